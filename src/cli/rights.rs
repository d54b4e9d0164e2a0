//! Who may read what the server keeps: the data folder and its files are for the server's user alone,
//! and so is an `.env` with secrets. A file that was copied back, or unpacked, may have other rights.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::DataSettings;

/// Rights of others than the owner.
const OTHERS: u32 = 0o077;

/// Rights of everyone. A file of settings may be meant for a group, as that of a service is.
const EVERYONE: u32 = 0o007;

/// Rights that a file has, without those of its kind.
const RIGHTS: u32 = 0o777;

/// Names of settings whose values are secrets.
const SECRETS: [&str; 4] = [
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_NEXT",
    "TWILIO_API_SECRET",
    "TWILIO_WEBHOOK_KEYS",
];

/// Something that others on this machine may read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exposed {
    /// What it is.
    pub(super) path: PathBuf,
    /// Its rights.
    rights: u32,
    /// Whether the server may take the rights of others away: it is the server's own.
    is_ours: bool,
}

impl Exposed {
    /// What is so.
    pub(super) fn found(&self) -> String {
        let (path, rights) = (self.path.display(), self.rights);
        format!("others on this machine may read {path} (rights {rights:03o})")
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        let rights = self.rights & !OTHERS;
        let command = format!("chmod {rights:03o} {}", self.path.display());
        if self.is_ours {
            format!("{command}, or start the server, which does so")
        } else {
            command
        }
    }

    /// Takes the rights of others away, from what is the server's own.
    fn mend(&self) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(self.rights & !OTHERS))
    }
}

/// Takes the rights of others away where the server may, and says so; warns of the rest.
pub(super) fn mend(data: &DataSettings, env_file: &Path) {
    for exposed in look(data, env_file) {
        let path = exposed.path.display();
        if !exposed.is_ours {
            tracing::warn!("{}: {}", exposed.found(), exposed.advice());
            continue;
        }
        match exposed.mend() {
            Ok(()) => tracing::warn!(
                %path, rights = format!("{:03o}", exposed.rights),
                "others on this machine could read this: it is now the server's user's alone"
            ),
            Err(error) => tracing::warn!("{} ({error}): {}", exposed.found(), exposed.advice()),
        }
    }
}

/// What others may read or change of what the server keeps, and of the file of settings.
pub(super) fn look(data: &DataSettings, env_file: &Path) -> Vec<Exposed> {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = data.data_dir.as_path();
    // The folder that one works in, or one around it, is not the server's own, whatever DATA_DIR says.
    let is_own = fs::canonicalize(folder).is_ok_and(|folder| !here.starts_with(folder));
    let mut found = Vec::new();
    found.extend(exposed(folder, OTHERS, is_own));
    found.extend(exposed(&data.archive_dir(), OTHERS, true));
    if let Some(file) = data.database_file() {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.clone().into_os_string();
            name.push(ending);
            found.extend(exposed(Path::new(&name), OTHERS, true));
        }
    }
    if holds_secrets(env_file) {
        found.extend(exposed(env_file, EVERYONE, false));
    }
    found
}

/// `None`: it is not there, or has none of the `unwanted` rights.
fn exposed(path: &Path, unwanted: u32, is_own: bool) -> Option<Exposed> {
    let known = fs::metadata(path).ok()?;
    let rights = known.mode() & RIGHTS;
    (rights & unwanted != 0).then(|| Exposed {
        path: path.to_owned(),
        rights,
        is_ours: is_own && known.uid() == rustix::process::geteuid().as_raw(),
    })
}

fn holds_secrets(env_file: &Path) -> bool {
    let text = fs::read_to_string(env_file).unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.any(|(name, value)| {
        let name = name.trim().trim_start_matches("export ").trim();
        SECRETS.contains(&name) && !value.trim().trim_matches(['"', '\'']).is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        parent: tempfile::TempDir,
        data: DataSettings,
    }

    impl Folder {
        fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            let data_dir = parent.path().join("data");
            fs::create_dir(&data_dir).unwrap();
            let data = DataSettings {
                data_dir,
                database_url: None,
            };
            let folder = Self { parent, data };
            folder.give("data", 0o700);
            folder
        }

        fn at(&self, name: &str) -> PathBuf {
            self.parent.path().join(name)
        }

        fn write(&self, name: &str, text: &str, rights: u32) {
            fs::write(self.at(name), text).unwrap();
            self.give(name, rights);
        }

        fn give(&self, name: &str, rights: u32) {
            fs::set_permissions(self.at(name), Permissions::from_mode(rights)).unwrap();
        }

        fn rights(&self, name: &str) -> u32 {
            fs::metadata(self.at(name)).unwrap().mode() & RIGHTS
        }

        fn look(&self) -> Vec<PathBuf> {
            let found = look(&self.data, &self.at(".env"));
            found.into_iter().map(|exposed| exposed.path).collect()
        }
    }

    #[test]
    fn what_was_copied_back_with_other_rights_is_made_the_owners_alone() {
        let folder = Folder::new();
        let files = [
            "data/callburner.db",
            "data/callburner.db-wal",
            "data/callburner.db-shm",
        ];
        for file in files {
            folder.write(file, "", 0o644);
        }
        folder.give("data", 0o755);
        assert_eq!(folder.look().len(), 4);
        mend(&folder.data, &folder.at(".env"));
        assert_eq!(folder.look(), Vec::<PathBuf>::new());
        assert_eq!(folder.rights("data"), 0o700);
        for file in files {
            assert_eq!(folder.rights(file), 0o600, "{file}");
        }
    }

    #[test]
    fn a_file_of_settings_with_secrets_is_told_and_left() {
        let folder = Folder::new();
        folder.write(".env", "PORT=4000\nTWILIO_AUTH_TOKEN=\n", 0o644);
        assert_eq!(folder.look(), Vec::<PathBuf>::new(), "it holds no secret");
        folder.write(".env", "export TWILIO_AUTH_TOKEN='x'\n", 0o644);
        let found = look(&folder.data, &folder.at(".env"));
        assert_eq!(found.len(), 1);
        assert!(found[0].found().ends_with("(rights 644)"));
        assert!(found[0].advice().starts_with("chmod 600 "));
        mend(&folder.data, &folder.at(".env"));
        assert_eq!(folder.rights(".env"), 0o644);
    }

    #[test]
    fn the_folder_that_one_works_in_is_left() {
        let here = DataSettings {
            data_dir: PathBuf::from("."),
            database_url: Some("sqlite::memory:".to_owned()),
        };
        let found = look(&here, Path::new("no such file"));
        assert!(found.iter().all(|exposed| !exposed.is_ours), "{found:?}");
    }
}
