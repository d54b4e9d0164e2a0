//! Who may read what the server keeps: the data folder and its files are for the server's user alone,
//! and so is an `.env` with secrets. A file that was copied back, or unpacked, may have other rights.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::DataSettings;

/// Rights of others than the owner.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Rights of everyone. A file of settings may be meant for a group, as that of a service is.
const OTHERS: u32 = 0o007;

/// Rights that a file has, without those of its kind.
const PERMISSION_BITS: u32 = 0o777;

/// Names of settings whose values are secrets.
const SECRETS: [&str; 4] = [
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_NEXT",
    "TWILIO_API_SECRET",
    "TWILIO_WEBHOOK_KEYS",
];

/// Something that others on this machine may read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExposedPath {
    /// What it is.
    pub(super) path: PathBuf,
    /// Its rights.
    mode: u32,
    /// Whether the server may take the rights of others away: it is the server's own.
    is_server_owned: bool,
}

impl ExposedPath {
    /// What is so.
    pub(super) fn description(&self) -> String {
        let (path, mode) = (self.path.display(), self.mode);
        format!("others on this machine may read {path} (rights {mode:03o})")
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        let mode = self.mode & !GROUP_AND_OTHERS;
        let command = format!("chmod {mode:03o} {}", self.path.display());
        if self.is_server_owned {
            format!("{command}, or start the server, which does so")
        } else {
            command
        }
    }

    /// Takes the rights of others away, from what is the server's own.
    fn restrict(&self) -> io::Result<()> {
        fs::set_permissions(
            &self.path,
            Permissions::from_mode(self.mode & !GROUP_AND_OTHERS),
        )
    }
}

/// Takes the rights of others away where the server may, and says so; warns of the rest.
pub(super) fn restrict_exposed(data: &DataSettings, env_file: &Path) {
    for exposed_path in find_exposed(data, env_file) {
        let path = exposed_path.path.display();
        if !exposed_path.is_server_owned {
            tracing::warn!("{}: {}", exposed_path.description(), exposed_path.advice());
            continue;
        }
        match exposed_path.restrict() {
            Ok(()) => tracing::warn!(
                %path, rights = format!("{:03o}", exposed_path.mode),
                "others on this machine could read this: it is now the server's user's alone"
            ),
            Err(error) => tracing::warn!(
                "{} ({error}): {}",
                exposed_path.description(),
                exposed_path.advice()
            ),
        }
    }
}

/// What others may read or change of what the server keeps, and of the file of settings.
pub(super) fn find_exposed(data: &DataSettings, env_file: &Path) -> Vec<ExposedPath> {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = data.data_dir.as_path();
    // The folder that one works in, or one around it, is not the server's own, whatever DATA_DIR says.
    let is_server_owned = fs::canonicalize(folder).is_ok_and(|folder| !here.starts_with(folder));
    let mut found = Vec::new();
    found.extend(check_path(folder, GROUP_AND_OTHERS, is_server_owned));
    found.extend(check_path(&data.archive_dir(), GROUP_AND_OTHERS, true));
    if let Some(file) = data.database_file() {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.clone().into_os_string();
            name.push(ending);
            found.extend(check_path(Path::new(&name), GROUP_AND_OTHERS, true));
        }
    }
    if holds_secrets(env_file) {
        found.extend(check_path(env_file, OTHERS, false));
    }
    found
}

/// `None`: it is not there, or has none of the `unwanted` rights.
fn check_path(path: &Path, unwanted: u32, is_server_owned: bool) -> Option<ExposedPath> {
    let known = fs::metadata(path).ok()?;
    let mode = known.mode() & PERMISSION_BITS;
    (mode & unwanted != 0).then(|| ExposedPath {
        path: path.to_owned(),
        mode,
        is_server_owned: is_server_owned && known.uid() == rustix::process::geteuid().as_raw(),
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

    struct TestFolder {
        parent: tempfile::TempDir,
        data: DataSettings,
    }

    impl TestFolder {
        fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            let data_dir = parent.path().join("data");
            fs::create_dir(&data_dir).unwrap();
            let data = DataSettings {
                data_dir,
                database_url: None,
            };
            let folder = Self { parent, data };
            folder.set_mode("data", 0o700);
            folder
        }

        fn at(&self, name: &str) -> PathBuf {
            self.parent.path().join(name)
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            fs::write(self.at(name), text).unwrap();
            self.set_mode(name, mode);
        }

        fn set_mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        }

        fn mode(&self, name: &str) -> u32 {
            fs::metadata(self.at(name)).unwrap().mode() & PERMISSION_BITS
        }

        fn find_exposed(&self) -> Vec<PathBuf> {
            let found = find_exposed(&self.data, &self.at(".env"));
            found
                .into_iter()
                .map(|exposed_path| exposed_path.path)
                .collect()
        }
    }

    #[test]
    fn what_was_copied_back_with_other_rights_is_made_the_owners_alone() {
        let folder = TestFolder::new();
        let files = [
            "data/callburner.db",
            "data/callburner.db-wal",
            "data/callburner.db-shm",
        ];
        for file in files {
            folder.write(file, "", 0o644);
        }
        folder.set_mode("data", 0o755);
        assert_eq!(folder.find_exposed().len(), 4);
        restrict_exposed(&folder.data, &folder.at(".env"));
        assert_eq!(folder.find_exposed(), Vec::<PathBuf>::new());
        assert_eq!(folder.mode("data"), 0o700);
        for file in files {
            assert_eq!(folder.mode(file), 0o600, "{file}");
        }
    }

    #[test]
    fn a_settings_file_with_secrets_is_reported_and_left() {
        let folder = TestFolder::new();
        folder.write(".env", "PORT=4000\nTWILIO_AUTH_TOKEN=\n", 0o644);
        assert_eq!(
            folder.find_exposed(),
            Vec::<PathBuf>::new(),
            "it holds no secret"
        );
        folder.write(".env", "export TWILIO_AUTH_TOKEN='x'\n", 0o644);
        let found = find_exposed(&folder.data, &folder.at(".env"));
        assert_eq!(found.len(), 1);
        assert!(found[0].description().ends_with("(rights 644)"));
        assert!(found[0].advice().starts_with("chmod 600 "));
        restrict_exposed(&folder.data, &folder.at(".env"));
        assert_eq!(folder.mode(".env"), 0o644);
    }

    #[test]
    fn the_folder_that_one_works_in_is_left() {
        let here = DataSettings {
            data_dir: PathBuf::from("."),
            database_url: Some("sqlite::memory:".to_owned()),
        };
        let found = find_exposed(&here, Path::new("no such file"));
        assert!(
            found
                .iter()
                .all(|exposed_path| !exposed_path.is_server_owned),
            "{found:?}"
        );
    }
}
