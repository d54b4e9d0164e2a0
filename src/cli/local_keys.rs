//! Keys of a server that only its own machine can reach, kept as files in `DATA_DIR` that only their owner
//! can read. The page key is part of the printed link, and scripts may send it; `callburner replay` sends the
//! simulator key. The keys survive restarts, so that an open page keeps working.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

use crate::access::local::LocalKeys;
use crate::access::secret::Secret;

pub(super) const PAGE_KEY_FILE: &str = "page.key";

pub(super) const SIMULATOR_KEY_FILE: &str = "simulator.key";

/// Bytes that are read of a key file; a longer file holds no key.
const KEY_BYTES_MAX: u64 = 256;

/// Permission bits of everyone except the owner.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Returns the keys in `folder`, and creates those that are missing. An error if the folder cannot be used.
pub(super) fn load_or_create(folder: &Path) -> anyhow::Result<LocalKeys> {
    let unusable = || format!("DATA_DIR: {} cannot be used", folder.display());
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(unusable)?;
    Ok(LocalKeys {
        page: load_or_create_key(&folder.join(PAGE_KEY_FILE)).with_context(unusable)?,
        simulator: load_or_create_key(&folder.join(SIMULATOR_KEY_FILE)).with_context(unusable)?,
    })
}

/// Reads the key in a file; `None` if there is no file, or no valid key in it.
pub(super) fn read_key(path: &Path) -> anyhow::Result<Option<Secret>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    };
    let mut text = String::new();
    let read = file.take(KEY_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| format!("{}", path.display()))?;
    Ok(Secret::parse(text.trim()))
}

/// Returns the key in a file that only its owner can read. Replaces a key that is invalid, or that others
/// could read.
fn load_or_create_key(path: &Path) -> anyhow::Result<Secret> {
    if let Some(secret) = read_key(path)? {
        if fs::metadata(path)?.mode() & GROUP_AND_OTHERS == 0 {
            return Ok(secret);
        }
        tracing::warn!(
            file = %path.display(),
            "other users of this machine could read this key: it is replaced; open the printed \
             link again in each browser"
        );
    }
    let secret = Secret::random();
    // Written to a new file and renamed, so that the key is complete and never readable by others.
    let fresh = path.with_extension("new");
    if fresh.exists() {
        fs::remove_file(&fresh)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    writeln!(file, "{}", secret.expose())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn keys_are_the_owners_alone_and_last() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let first = load_or_create(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        let again = load_or_create(&folder).unwrap();
        assert!(again.page.matches_hash(&first.page.hash()));
        assert!(again.simulator.matches_hash(&first.simulator.hash()));
        assert!(!first.page.matches_hash(&first.simulator.hash()));
        for name in [PAGE_KEY_FILE, SIMULATOR_KEY_FILE] {
            assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
        }
        let read = read_key(&folder.join(SIMULATOR_KEY_FILE)).unwrap().unwrap();
        assert!(read.matches_hash(&first.simulator.hash()));
    }

    #[test]
    fn a_key_that_others_could_read_and_one_that_is_none_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_create(folder.path()).unwrap();
        let page = folder.path().join(PAGE_KEY_FILE);
        fs::set_permissions(&page, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(folder.path().join(SIMULATOR_KEY_FILE), "guess\n").unwrap();
        let second = load_or_create(folder.path()).unwrap();
        assert!(!second.page.matches_hash(&first.page.hash()));
        assert!(!second.simulator.matches_hash(&first.simulator.hash()));
        assert_eq!(mode(&page), 0o600);
        assert!(read_key(&folder.path().join("missing")).unwrap().is_none());
    }
}
