//! Secrets among the settings. Each is read from its variable, or from a file named by the variable with
//! `_FILE` appended (the convention of container secrets and systemd credentials).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;

/// Maximum bytes read from a secret's file; a secret is never longer.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Returns the secret, trimmed; `None` if it is not set. An empty value counts as not set, because `.env`
/// files contain many of them. Returns an error if both sources are set, or the file is unreadable or empty.
pub(super) fn read_secret(
    name: &'static str,
    value: Option<&SecretString>,
    file: Option<&PathBuf>,
) -> Result<Option<SecretString>, ConfigError> {
    let value = value.filter(|secret| !secret.expose_secret().trim().is_empty());
    let file = file.filter(|path| !path.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::DuplicateSecret(name)),
        (Some(secret), None) => Ok(Some(secret.expose_secret().trim().into())),
        (None, Some(path)) => read_file(name, path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_file(name: &'static str, path: &Path) -> Result<SecretString, ConfigError> {
    let unusable = |reason: String| ConfigError::SecretFile {
        name,
        path: path.display().to_string(),
        reason,
    };
    let file = File::open(path).map_err(|error| unusable(error.to_string()))?;
    let mut text = String::new();
    file.take(SECRET_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| unusable(error.to_string()))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_one_place_without_the_space_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from a file\n").unwrap();
        let value = SecretString::from(" from a variable ");
        let text = |secret: Option<SecretString>| secret.map(|s| s.expose_secret().to_owned());

        let read_secret = |value, file| read_secret("TOKEN", value, file).map(text);
        assert_eq!(
            read_secret(Some(&value), None).unwrap().unwrap(),
            "from a variable"
        );
        assert_eq!(
            read_secret(None, Some(&file)).unwrap().unwrap(),
            "from a file"
        );
        assert_eq!(read_secret(None, None).unwrap(), None);
        let both = read_secret(Some(&value), Some(&file));
        assert!(matches!(both, Err(ConfigError::DuplicateSecret("TOKEN"))));
    }

    #[test]
    fn an_empty_variable_is_none_and_an_empty_file_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "\n").unwrap();
        let empty = SecretString::from("");
        assert!(read_secret("TOKEN", Some(&empty), None).unwrap().is_none());
        let missing = folder.path().join("missing");
        for path in [&file, &missing] {
            let error = read_secret("TOKEN", None, Some(path)).unwrap_err();
            assert!(error.to_string().starts_with("TOKEN_FILE="), "{error}");
        }
    }
}
