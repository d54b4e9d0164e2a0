//! Checks who can read the server's files. Only the server's user may access the data folder and its files,
//! and an `.env` with secrets. A file that was restored or unpacked can have wider permissions.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::DataSettings;

/// Permission bits of everyone except the owner.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Permission bits of users outside the file's group. A settings file may be meant for a group, such as that
/// of a service.
const OTHERS: u32 = 0o007;

/// Permission bits of a mode, without the file type.
const PERMISSION_BITS: u32 = 0o777;

/// Names of settings with secret values.
const SECRETS: [&str; 4] = [
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_NEXT",
    "TWILIO_API_SECRET",
    "TWILIO_WEBHOOK_KEYS",
];

/// A path that other users of this machine can read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExposedPath {
    pub(super) path: PathBuf,
    /// Its permission bits.
    mode: u32,
    /// Whether the server may restrict the permissions: the path is its own.
    is_server_owned: bool,
}

impl ExposedPath {
    /// Returns the problem, for people.
    pub(super) fn description(&self) -> String {
        let (path, mode) = (self.path.display(), self.mode);
        format!("other users of this machine can read {path} (mode {mode:03o})")
    }

    /// Returns the command that restricts the permissions.
    pub(super) fn advice(&self) -> String {
        let mode = self.mode & !GROUP_AND_OTHERS;
        let command = format!("chmod {mode:03o} {}", self.path.display());
        if self.is_server_owned {
            format!("{command}, or start the server, which does this")
        } else {
            command
        }
    }

    /// Removes the permissions of everyone except the owner.
    fn restrict(&self) -> io::Result<()> {
        fs::set_permissions(
            &self.path,
            Permissions::from_mode(self.mode & !GROUP_AND_OTHERS),
        )
    }
}

/// Restricts the permissions of the server's own paths and logs each change; only warns about other paths.
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
                "other users of this machine could read this path: only the server's user can now"
            ),
            Err(error) => tracing::warn!(
                "{} ({error}): {}",
                exposed_path.description(),
                exposed_path.advice()
            ),
        }
    }
}

/// Returns the paths that other users can read or change, among the data folder, its files and the settings
/// file.
pub(super) fn find_exposed(data: &DataSettings, env_file: &Path) -> Vec<ExposedPath> {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = data.data_dir.as_path();
    // The working directory and the folders around it are not the server's own, even if DATA_DIR names one.
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

/// Returns `None` if the path does not exist or has no `unwanted` permissions.
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
        assert!(found[0].description().ends_with("(mode 644)"));
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
