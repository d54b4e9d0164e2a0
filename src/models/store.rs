//! The models folder: what is in it, and whether a file is what it says. Beside each model lies a
//! note of its origin (`ggml-tiny.en.bin.origin.json`), so that an imported file, whose checksum
//! nobody publishes, can be checked too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::models::ModelError;
use crate::models::catalogue::{self, CATALOGUE, Entry};

/// Longest note of origin that is read; a longer one counts as none.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// Where a model file came from, and what it was when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// In words: an address, packages, a folder.
    pub from: String,
    /// Size of the file.
    pub bytes: u64,
    /// Checksum of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a look at the folder shows, without reading the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there.
    Absent,
    /// Some of it was downloaded; `pull` goes on from there.
    Partial {
        /// Bytes that are there.
        bytes: u64,
    },
    /// There, with the published size.
    Present {
        /// Where it came from, if a note says so.
        from: Option<String>,
    },
    /// There, with another size: not that model.
    WrongSize {
        /// Its size.
        bytes: u64,
    },
}

/// What a checksum proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// The file is the published one.
    Published,
    /// The file is still what it was when it came from there.
    AsNoted {
        /// From where.
        from: String,
    },
}

/// What `folder` holds of `entry`.
pub fn state(entry: &Entry, folder: &Path) -> State {
    let path = folder.join(entry.file_name());
    match std::fs::metadata(&path) {
        Ok(found) if found.len() == entry.bytes => State::Present {
            from: origin(&path).map(|origin| origin.from),
        },
        Ok(found) => State::WrongSize { bytes: found.len() },
        Err(_) => match std::fs::metadata(with_suffix(&path, ".part")) {
            Ok(part) if part.len() > 0 => State::Partial { bytes: part.len() },
            _ => State::Absent,
        },
    }
}

/// Reads the whole file and compares its checksum: with the published one if it bears a catalogue
/// name, with any published one if not, and with the note beside it.
pub fn verify(path: &Path) -> Result<Verified, ModelError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if let Some(entry) = CATALOGUE.iter().find(|entry| entry.file_name() == name) {
        return verify_as(entry, path);
    }
    let found = sha256(path)?;
    if CATALOGUE.iter().any(|entry| entry.sha256 == found) {
        return Ok(Verified::Published);
    }
    match origin(path) {
        Some(origin) if origin.sha256 == found => Ok(Verified::AsNoted { from: origin.from }),
        Some(origin) => Err(wrong_checksum(path, &origin.sha256, found)),
        None => Err(ModelError::UnknownOrigin {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Like [`verify`], for a file that should be `entry`.
pub(super) fn verify_as(entry: &Entry, path: &Path) -> Result<Verified, ModelError> {
    let found = std::fs::metadata(path)
        .map_err(ModelError::io("read", path))?
        .len();
    if found != entry.bytes {
        let (path, expected) = (path.to_owned(), entry.bytes);
        return Err(ModelError::WrongSize {
            path,
            expected,
            found,
        });
    }
    let found = sha256(path)?;
    if found == entry.sha256 {
        return Ok(Verified::Published);
    }
    match origin(path) {
        Some(origin) if origin.sha256 == found => Ok(Verified::AsNoted { from: origin.from }),
        Some(origin) => Err(wrong_checksum(path, &origin.sha256, found)),
        None => Err(wrong_checksum(path, entry.sha256, found)),
    }
}

/// The file that a name or a path stands for, there or not.
pub fn place(name_or_path: &str, folder: &Path) -> PathBuf {
    match catalogue::find(name_or_path) {
        Some(entry) => folder.join(entry.file_name()),
        None => match catalogue::variant(name_or_path) {
            Some(variant) => folder.join(variant.file_name()),
            None => PathBuf::from(name_or_path),
        },
    }
}

/// Puts a whole, checked file in its place, with the note of its origin. The note goes first: one
/// without its file does no harm.
pub(super) fn publish(part: &Path, path: &Path, origin: &Origin) -> Result<(), ModelError> {
    let note = note(path);
    let draft = with_suffix(&note, ".part");
    let text = serde_json::to_string_pretty(origin).expect("two texts and a number are JSON");
    std::fs::write(&draft, text + "\n").map_err(ModelError::io("write", &draft))?;
    std::fs::rename(&draft, &note).map_err(ModelError::io("write", &note))?;
    std::fs::rename(part, path).map_err(ModelError::io("write", path))
}

/// Checksum of a file, in lower-case hexadecimal digits.
pub(super) fn sha256(path: &Path) -> Result<String, ModelError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(ModelError::NoFile {
                path: path.to_owned(),
            });
        }
        Err(e) => return Err(ModelError::io("read", path)(e)),
    };
    let mut sum = Sha256::new();
    let mut bytes = vec![0; HASH_BYTES];
    loop {
        match file
            .read(&mut bytes)
            .map_err(ModelError::io("read", path))?
        {
            0 => return Ok(hex(sum)),
            count => sum.update(&bytes[..count]),
        }
    }
}

/// The digits of a finished checksum.
pub(super) fn hex(sum: Sha256) -> String {
    use std::fmt::Write;

    sum.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
}

/// `path` with more at its end: `a.bin` and `.part` make `a.bin.part`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(super) fn wrong_checksum(path: &Path, expected: &str, found: String) -> ModelError {
    ModelError::WrongChecksum {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    }
}

fn note(path: &Path) -> PathBuf {
    with_suffix(path, ".origin.json")
}

/// What the note beside a file says.
pub fn origin(path: &Path) -> Option<Origin> {
    let file = File::open(note(path)).ok()?;
    serde_json::from_reader(file.take(NOTE_BYTES_MAX)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc": FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn abc() -> Entry {
        Entry {
            name: "abc",
            bytes: 3,
            sha256: ABC,
            recipe: None,
        }
    }

    fn origin_of(text: &str, sha256: &str) -> Origin {
        Origin {
            from: "a test".to_owned(),
            bytes: text.len() as u64,
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn a_published_file_verifies_and_a_changed_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(verify_as(&abc(), &path).unwrap(), Verified::Published);
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(
            verify_as(&abc(), &path),
            Err(ModelError::WrongChecksum { expected, .. }) if expected == ABC
        ));
        std::fs::write(&path, "abcd").unwrap();
        assert!(matches!(
            verify_as(&abc(), &path),
            Err(ModelError::WrongSize { found: 4, .. })
        ));
    }

    #[test]
    fn a_file_of_noted_origin_verifies_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, part) = (
            folder.path().join("x.bin"),
            folder.path().join("x.bin.part"),
        );
        std::fs::write(&path, "abc").unwrap();
        assert!(matches!(
            verify(&path),
            Err(ModelError::UnknownOrigin { .. })
        ));

        std::fs::write(&part, "abc").unwrap();
        publish(&part, &path, &origin_of("abc", ABC)).unwrap();
        assert!(!part.exists());
        let noted = Verified::AsNoted {
            from: "a test".to_owned(),
        };
        assert_eq!(verify(&path).unwrap(), noted);

        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(
            verify(&path),
            Err(ModelError::WrongChecksum { .. })
        ));
    }

    #[test]
    fn a_catalogue_name_holds_the_file_to_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-tiny.bin");
        std::fs::write(&path, "abc").unwrap();
        assert!(matches!(
            verify(&path),
            Err(ModelError::WrongSize {
                expected: 77_691_713,
                ..
            })
        ));
    }

    #[test]
    fn a_look_tells_absent_partial_present_and_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-abc.bin");
        let part = with_suffix(&path, ".part");
        assert_eq!(state(&abc(), folder.path()), State::Absent);
        std::fs::write(&part, "a").unwrap();
        assert_eq!(state(&abc(), folder.path()), State::Partial { bytes: 1 });
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(state(&abc(), folder.path()), State::Present { from: None });
        publish(&part, &path, &origin_of("abc", ABC)).unwrap();
        assert_eq!(state(&abc(), folder.path()), State::WrongSize { bytes: 1 });
        std::fs::write(&path, "abc").unwrap();
        let from = Some("a test".to_owned());
        assert_eq!(state(&abc(), folder.path()), State::Present { from });
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("no/such/ggml-x.bin");
        assert!(matches!(verify(path), Err(ModelError::NoFile { .. })));
    }
}
