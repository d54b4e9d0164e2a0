//! Writes settings into a `.env` file, and leaves all other lines unchanged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes these settings to the file at `path`. Creates the file if it does not exist, readable only by its
/// owner. Either all settings are written, or the file is unchanged.
pub(super) fn write_settings(path: &Path, settings: &[(&str, &str)]) -> io::Result<()> {
    // Follows a symbolic link to the file itself.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let text = set_lines(&text, settings)?;
    let mut temporary_path = path.clone().into_os_string();
    temporary_path.push(".new");
    let temporary_path = PathBuf::from(temporary_path);
    let written = write_new_file(&temporary_path, &text)
        .and_then(|()| match fs::metadata(&path) {
            Ok(old) => fs::set_permissions(&temporary_path, old.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs::rename(&temporary_path, &path));
    if written.is_err() {
        // The temporary file may contain a secret.
        drop(fs::remove_file(&temporary_path));
    }
    written
}

fn write_new_file(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Returns `text` with these settings. A setting replaces the lines that set the same name, otherwise a
/// commented-out line of that name, otherwise it is appended. An error for a value with characters that would
/// need quotes.
fn set_lines(text: &str, settings: &[(&str, &str)]) -> io::Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, value) in settings {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-_./:=".contains(c);
        if !value.chars().all(is_plain) {
            let reason = format!("{name} has characters that cannot be written to a .env file");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let line = format!("{name}={value}");
        if lines.iter().any(|line| line_sets(line, name)) {
            // Parsers differ in which of two lines applies.
            let of_name = lines.iter_mut().filter(|line| line_sets(line, name));
            of_name.for_each(|old| old.clone_from(&line));
            continue;
        }
        let comment = |line: &String| line.strip_prefix('#').is_some_and(|l| line_sets(l, name));
        match lines.iter().position(comment) {
            Some(at) => lines[at] = line,
            None => lines.push(line),
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Whether a line sets `name`.
fn line_sets(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let rest = line.strip_prefix(name);
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_setting_goes_where_it_was() {
        let key = [("KEY", "new")];
        for (text, expected) in [
            ("", "KEY=new\n"),
            ("A=1", "A=1\nKEY=new\n"),
            ("A=1\nKEY=old\nB=2\n", "A=1\nKEY=new\nB=2\n"),
            ("#KEY=\nexport KEY = old\n", "#KEY=\nKEY=new\n"),
            (
                "# The KEY=x of it\n#KEY=\nB=2\n",
                "# The KEY=x of it\nKEY=new\nB=2\n",
            ),
            ("KEY_FILE=x\nMY_KEY=y\n", "KEY_FILE=x\nMY_KEY=y\nKEY=new\n"),
            ("KEY=a\nKEY=b\n", "KEY=new\nKEY=new\n"),
        ] {
            assert_eq!(set_lines(text, &key).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_value_cannot_bring_a_line_of_its_own() {
        for value in ["a\nB=1", "a b", "a#b", "$a", "'a'"] {
            assert!(set_lines("", &[("KEY", value)]).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_an_old_one_keeps_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_settings(&path, &[("KEY", "1")]).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_settings(&path, &[("KEY", "2"), ("B", "3")]).unwrap();
        assert_eq!(mode(), 0o640);
        assert_eq!(fs::read_to_string(&path).unwrap(), "KEY=2\nB=3\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
