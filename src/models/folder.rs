//! The models folder: lists and verifies its files. Beside each model, an origin record
//! (`ggml-tiny.en.bin.origin.json`) stores the file's checksum, so that an imported file, which has no
//! published checksum, can be verified, too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::models::ModelFileError;
use crate::models::catalogue::{self, CATALOGUE, CatalogueEntry};

/// Longest origin record in bytes; a longer one is ignored.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// Number of bytes that are hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// The origin of a model file, with its size and checksum at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOrigin {
    /// A description for people: a URL, packages, a folder.
    pub from: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// The state of a model in the folder, without reading its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// There is no file.
    Absent,
    /// The file is partly downloaded; `pull` resumes the download.
    Partial {
        /// Number of bytes on disk.
        bytes: u64,
    },
    /// The file is present and has the published size.
    Present {
        /// The file's origin, if it is recorded.
        from: Option<String>,
    },
    /// The file has another size, so it is not that model.
    WrongSize {
        /// The file's size in bytes.
        bytes: u64,
    },
}

/// The result of comparing a checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChecksumMatch {
    /// The file equals the published one.
    Published,
    /// The file equals the one that its origin record describes.
    RecordedOrigin {
        /// The origin.
        from: String,
    },
}

/// Returns the state of `entry` in `folder`.
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

/// Reads the whole file and compares its checksum: with the published one if the file has a catalogue name,
/// otherwise with all published ones, and with the origin record.
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

/// Returns the path of a model's file, whether or not it exists.
pub fn resolve_path(name_or_path: &str, folder: &Path) -> PathBuf {
    match catalogue::find_entry(name_or_path) {
        Some(entry) => folder.join(entry.file_name()),
        None => match catalogue::find_variant(name_or_path) {
            Some(variant) => folder.join(variant.file_name()),
            None => PathBuf::from(name_or_path),
        },
    }
}

/// Installs a complete, verified file, with its origin record. The record is written first: a record without
/// its file does no harm.
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

/// Returns the SHA-256 of a file in lower-case hexadecimal digits.
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

/// Returns a finished checksum in hexadecimal digits.
pub(super) fn hex_digest(sum: Sha256) -> String {
    use std::fmt::Write;

    sum.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
}

/// Appends to a path: `a.bin` and `.part` make `a.bin.part`.
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

/// Reads the origin record of a file.
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
