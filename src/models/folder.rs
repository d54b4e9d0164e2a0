//! The models folder: what is in it, and whether a file is what it says. Beside each model lies a
//! note of its origin (`ggml-tiny.en.bin.origin.json`), so that an imported file, whose checksum
//! nobody publishes, can be checked too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::models::ModelFileError;
use crate::models::catalogue::{self, CATALOGUE, CatalogueEntry};

/// Longest note of origin that is read; a longer one counts as none.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// Where a model file came from, and what it was when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOrigin {
    /// In words: an address, packages, a folder.
    pub from: String,
    /// Size of the file.
    pub bytes: u64,
    /// Checksum of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a look at the folder shows, without reading the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
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
pub enum ChecksumMatch {
    /// The file is the published one.
    Published,
    /// The file is still what it was when it came from there.
    RecordedOrigin {
        /// From where.
        from: String,
    },
}

/// What `folder` holds of `entry`.
pub fn model_state(entry: &CatalogueEntry, folder: &Path) -> ModelState {
    let path = folder.join(entry.file_name());
    match std::fs::metadata(&path) {
        Ok(found) if found.len() == entry.bytes => ModelState::Present {
            from: read_origin(&path).map(|origin| origin.from),
        },
        Ok(found) => ModelState::WrongSize { bytes: found.len() },
        Err(_) => match std::fs::metadata(with_suffix(&path, ".part")) {
            Ok(part) if part.len() > 0 => ModelState::Partial { bytes: part.len() },
            _ => ModelState::Absent,
        },
    }
}

/// Reads the whole file and compares its checksum: with the published one if it bears a catalogue
/// name, with any published one if not, and with the note beside it.
pub fn verify(path: &Path) -> Result<ChecksumMatch, ModelFileError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if let Some(entry) = CATALOGUE.iter().find(|entry| entry.file_name() == name) {
        return verify_entry(entry, path);
    }
    let found = file_sha256(path)?;
    if CATALOGUE.iter().any(|entry| entry.sha256 == found) {
        return Ok(ChecksumMatch::Published);
    }
    match read_origin(path) {
        Some(origin) if origin.sha256 == found => {
            Ok(ChecksumMatch::RecordedOrigin { from: origin.from })
        }
        Some(origin) => Err(checksum_error(path, &origin.sha256, found)),
        None => Err(ModelFileError::UnknownOrigin {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Like [`verify`], for a file that should be `entry`.
pub(super) fn verify_entry(
    entry: &CatalogueEntry,
    path: &Path,
) -> Result<ChecksumMatch, ModelFileError> {
    let found = std::fs::metadata(path)
        .map_err(ModelFileError::io("read", path))?
        .len();
    if found != entry.bytes {
        let (path, expected) = (path.to_owned(), entry.bytes);
        return Err(ModelFileError::WrongSize {
            path,
            expected,
            found,
        });
    }
    let found = file_sha256(path)?;
    if found == entry.sha256 {
        return Ok(ChecksumMatch::Published);
    }
    match read_origin(path) {
        Some(origin) if origin.sha256 == found => {
            Ok(ChecksumMatch::RecordedOrigin { from: origin.from })
        }
        Some(origin) => Err(checksum_error(path, &origin.sha256, found)),
        None => Err(checksum_error(path, entry.sha256, found)),
    }
}

/// The file that a name or a path stands for, there or not.
pub fn resolve_path(name_or_path: &str, folder: &Path) -> PathBuf {
    match catalogue::find_entry(name_or_path) {
        Some(entry) => folder.join(entry.file_name()),
        None => match catalogue::find_variant(name_or_path) {
            Some(variant) => folder.join(variant.file_name()),
            None => PathBuf::from(name_or_path),
        },
    }
}

/// Puts a whole, checked file in its place, with the note of its origin. The note goes first: one
/// without its file does no harm.
pub(super) fn install(
    part: &Path,
    path: &Path,
    origin: &ModelOrigin,
) -> Result<(), ModelFileError> {
    let note = origin_path(path);
    let draft = with_suffix(&note, ".part");
    let text = serde_json::to_string_pretty(origin).expect("two texts and a number are JSON");
    std::fs::write(&draft, text + "\n").map_err(ModelFileError::io("write", &draft))?;
    std::fs::rename(&draft, &note).map_err(ModelFileError::io("write", &note))?;
    std::fs::rename(part, path).map_err(ModelFileError::io("write", path))
}

/// Checksum of a file, in lower-case hexadecimal digits.
pub(super) fn file_sha256(path: &Path) -> Result<String, ModelFileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(ModelFileError::NoFile {
                path: path.to_owned(),
            });
        }
        Err(e) => return Err(ModelFileError::io("read", path)(e)),
    };
    let mut sum = Sha256::new();
    let mut bytes = vec![0; HASH_BYTES];
    loop {
        match file
            .read(&mut bytes)
            .map_err(ModelFileError::io("read", path))?
        {
            0 => return Ok(hex_digest(sum)),
            count => sum.update(&bytes[..count]),
        }
    }
}

/// The digits of a finished checksum.
pub(super) fn hex_digest(sum: Sha256) -> String {
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

pub(super) fn checksum_error(path: &Path, expected: &str, found: String) -> ModelFileError {
    ModelFileError::WrongChecksum {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    }
}

fn origin_path(path: &Path) -> PathBuf {
    with_suffix(path, ".origin.json")
}

/// What the note beside a file says.
pub fn read_origin(path: &Path) -> Option<ModelOrigin> {
    let file = File::open(origin_path(path)).ok()?;
    serde_json::from_reader(file.take(NOTE_BYTES_MAX)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc": FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn abc() -> CatalogueEntry {
        CatalogueEntry {
            name: "abc",
            bytes: 3,
            sha256: ABC,
            recipe: None,
        }
    }

    fn origin_of(text: &str, sha256: &str) -> ModelOrigin {
        ModelOrigin {
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
        assert_eq!(
            verify_entry(&abc(), &path).unwrap(),
            ChecksumMatch::Published
        );
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(
            verify_entry(&abc(), &path),
            Err(ModelFileError::WrongChecksum { expected, .. }) if expected == ABC
        ));
        std::fs::write(&path, "abcd").unwrap();
        assert!(matches!(
            verify_entry(&abc(), &path),
            Err(ModelFileError::WrongSize { found: 4, .. })
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
            Err(ModelFileError::UnknownOrigin { .. })
        ));

        std::fs::write(&part, "abc").unwrap();
        install(&part, &path, &origin_of("abc", ABC)).unwrap();
        assert!(!part.exists());
        let noted = ChecksumMatch::RecordedOrigin {
            from: "a test".to_owned(),
        };
        assert_eq!(verify(&path).unwrap(), noted);

        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(
            verify(&path),
            Err(ModelFileError::WrongChecksum { .. })
        ));
    }

    #[test]
    fn a_catalogue_name_holds_the_file_to_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-tiny.bin");
        std::fs::write(&path, "abc").unwrap();
        assert!(matches!(
            verify(&path),
            Err(ModelFileError::WrongSize {
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
        assert_eq!(model_state(&abc(), folder.path()), ModelState::Absent);
        std::fs::write(&part, "a").unwrap();
        assert_eq!(
            model_state(&abc(), folder.path()),
            ModelState::Partial { bytes: 1 }
        );
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(
            model_state(&abc(), folder.path()),
            ModelState::Present { from: None }
        );
        install(&part, &path, &origin_of("abc", ABC)).unwrap();
        assert_eq!(
            model_state(&abc(), folder.path()),
            ModelState::WrongSize { bytes: 1 }
        );
        std::fs::write(&path, "abc").unwrap();
        let from = Some("a test".to_owned());
        assert_eq!(
            model_state(&abc(), folder.path()),
            ModelState::Present { from }
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("no/such/ggml-x.bin");
        assert!(matches!(verify(path), Err(ModelFileError::NoFile { .. })));
    }
}
