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
    if path.exists() {
        let verified = verify_file(entry, &path, progress).await?;
        return Ok(PulledModel {
            path,
            was_present: true,
            verified,
        });
    }
    let web = match pull_from_mirror(entry, &path, &sources.web, progress).await {
        Ok(()) => {
            return Ok(PulledModel {
                path,
                was_present: false,
                verified: ChecksumMatch::Published,
            });
        }
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
            path: path.clone(),
        }))
    };
    let Some(recipe) = entry.recipe else {
        return Err(failed("no package is known to contain it".to_owned()));
    };
    progress.report(ProgressEvent::FallingBack {
        reason: web.clone(),
    });
    let scratch = work_dir.join(format!("{}-packages", entry.name));
    let made =
        pull_from_packages(entry, &path, recipe, &sources.packages, &scratch, progress).await;
    // Scratch files only; a left-over is removed by the next pull.
    let _ = std::fs::remove_dir_all(&scratch);
    made.map_err(|e| failed(e.to_string()))?;
    // The partial download from the publisher is no longer needed.
    let _ = std::fs::remove_file(folder::with_suffix(&path, ".part"));
    let verified = verify_file(entry, &path, progress).await?;
    Ok(PulledModel {
        path,
        was_present: false,
        verified,
    })
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
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::response::{IntoResponse, Response};
    use tokio::net::TcpListener;

    use super::*;
    use crate::limits::{MODEL_CONNECTIONS_MAX, MODEL_REQUESTS_MAX};
    use crate::models::catalogue::{PinnedWheel, WheelFile};
    use crate::models::synthetic::{StoredType, SyntheticModel, vocabulary};
    use crate::models::{ModelState, model_state};
    use crate::tasks::Tasks;

    /// A server with one file; records the requested ranges.
    struct FakeMirror {
        web: ModelMirror,
        asked: Arc<Mutex<Vec<Option<String>>>>,
    }

    impl FakeMirror {
        /// `answer` receives the number of the request, from 0, and the requested offset.
        async fn start(answer: impl Fn(usize, usize) -> Response + Send + Sync + 'static) -> Self {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let (log, answer) = (asked.clone(), Arc::new(answer));
            let app = Router::new().fallback(move |headers: HeaderMap| {
                let range = headers
                    .get(header::RANGE)
                    .map(|v| v.to_str().unwrap().to_owned());
                let from = range.as_deref().map_or(0, |r| {
                    r.strip_prefix("bytes=")
                        .unwrap()
                        .strip_suffix('-')
                        .unwrap()
                        .parse()
                        .unwrap()
                });
                let mut log = log.lock().unwrap();
                let response = answer(log.len(), from);
                log.push(range);
                async move { response }
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let web = web(listener.local_addr().unwrap());
            Tasks::default().spawn(async move { axum::serve(listener, app).await.unwrap() });
            Self { web, asked }
        }

        fn asked(&self) -> Vec<Option<String>> {
            self.asked.lock().unwrap().clone()
        }
    }

    fn web(address: SocketAddr) -> ModelMirror {
        ModelMirror {
            base_url: format!("http://{address}/files"),
            backoff: Duration::ZERO,
        }
    }

    /// A port without a listener.
    async fn nowhere() -> ModelMirror {
        web(TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap())
    }

    /// Returns the response of a server that supports ranges.
    fn part(content: &[u8], from: usize) -> Response {
        let body = content[from..].to_vec();
        if from == 0 {
            return body.into_response();
        }
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        (
            StatusCode::PARTIAL_CONTENT,
            [(header::CONTENT_RANGE, range)],
            body,
        )
            .into_response()
    }

    /// Returns a response that breaks off after slightly more than a megabyte.
    fn short(content: &[u8], from: usize) -> Response {
        let some = Bytes::copy_from_slice(&content[from..from + 1_100_000]);
        // A stream has no content length that would reveal the end.
        let body = Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>(some)]));
        let mut response = part(content, from);
        *response.body_mut() = body;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }

    /// 3.5 megabytes of pseudorandom bytes, with a period far longer than that.
    fn content() -> Vec<u8> {
        (0..3_500_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8)
            .collect()
    }

    fn sum(bytes: &[u8]) -> &'static str {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        folder::file_sha256(file.path()).unwrap().leak()
    }

    fn entry(content: &[u8]) -> CatalogueEntry {
        let bytes = content.len() as u64;
        CatalogueEntry {
            name: "test",
            bytes,
            sha256: sum(content),
            recipe: None,
        }
    }

    /// A package index that has the synthetic model in two parts, and counts its requests.
    #[derive(Default)]
    struct FakePackageIndex {
        asked: AtomicUsize,
        spoil: bool,
    }

    impl PackageIndex for FakePackageIndex {
        async fn unpack(&self, wheels: &[PinnedWheel], into: &Path) -> Result<(), ModelFileError> {
            assert_eq!(wheels.len(), 1);
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mut model = SyntheticModel::new(StoredType::F16).bytes();
            let last = model.len() - 1;
            model[last] ^= u8::from(self.spoil);
            std::fs::write(into.join("model.bin.part1"), &model[..1_000]).unwrap();
            std::fs::write(into.join("model.bin.part2"), &model[1_000..]).unwrap();
            std::fs::write(into.join("words.txt"), vocabulary()).unwrap();
            Ok(())
        }
    }

    /// An entry with weights that a [`FakePackageIndex`] has; no published model has its checksum.
    fn shelved() -> CatalogueEntry {
        let model = SyntheticModel::new(StoredType::F16).bytes();
        let piece = |path, file, bytes: &[u8]| WheelFile {
            path,
            file,
            bytes: bytes.len() as u64,
            sha256: sum(bytes),
        };
        let pieces = vec![
            piece("model.bin.part1", "model.bin", &model[..1_000]),
            piece("model.bin.part2", "model.bin", &model[1_000..]),
            piece("words.txt", "vocabulary.txt", vocabulary().as_bytes()),
        ];
        let wheels = &[PinnedWheel {
            requirement: "some-words==1",
            sha256: "00",
        }];
        let recipe = Box::leak(Box::new(PackageRecipe {
            wheels,
            pieces: pieces.leak(),
        }));
        let folder = tempfile::tempdir().unwrap();
        SyntheticModel::new(StoredType::F16).write(folder.path());
        let (output, progress) = (folder.path().join("x"), ProgressReporter::silent());
        let bytes = import::convert(folder.path(), &output, &progress)
            .unwrap()
            .bytes;
        CatalogueEntry {
            name: "test",
            bytes,
            sha256: "published",
            recipe: Some(recipe),
        }
    }

    async fn pull_from(
        web: &ModelMirror,
        entry: &CatalogueEntry,
        folder: &Path,
    ) -> Result<PulledModel, ModelFileError> {
        let sources = ModelSources {
            web: web.clone(),
            packages: FakePackageIndex::default(),
        };
        pull(entry, folder, &sources, &ProgressReporter::silent()).await
    }

    /// Returns the files in the folder except the `work_dir`.
    fn files(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = names
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != ".work");
        names.sort();
        names
    }

    const WHOLE: [&str; 2] = ["ggml-test.bin", "ggml-test.bin.origin.json"];

    #[tokio::test]
    async fn a_download_is_checked_and_noted_and_the_second_pull_asks_nobody() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let file = content.clone();
        let server = FakeMirror::start(move |_, from| part(&file, from)).await;
        let pulled = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(std::fs::read(&pulled.path).unwrap(), content);
        assert_eq!(
            (pulled.was_present, pulled.verified),
            (false, ChecksumMatch::Published)
        );
        assert_eq!(files(folder.path()), WHOLE);
        let from = Some(server.web.url(&entry));
        assert_eq!(
            model_state(&entry, folder.path()),
            ModelState::Present { from }
        );

        let again = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(
            (again.was_present, again.verified),
            (true, ChecksumMatch::Published)
        );
        assert_eq!(server.asked(), [None]);
    }

    #[tokio::test]
    async fn a_download_goes_on_where_an_earlier_one_stopped() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        std::fs::write(
            folder.path().join("ggml-test.bin.part"),
            &content[..1_234_567],
        )
        .unwrap();
        let entry = entry(&content);
        let server = FakeMirror::start(move |_, from| part(&content, from)).await;
        pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(server.asked(), [Some("bytes=1234567-".to_owned())]);
        assert_eq!(files(folder.path()), WHOLE);
    }

    #[tokio::test]
    async fn a_connection_that_keeps_breaking_gets_there_as_long_as_it_brings_something() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let server = FakeMirror::start(move |request, from| match request {
            0 | 2 | 4 => short(&content, from),
            1 | 3 | 5 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => part(&content, from),
        });
        let server = server.await;
        pull_from(&server.web, &entry, folder.path()).await.unwrap();
        let asked = server.asked();
        assert!(asked.len() > MODEL_REQUESTS_MAX as usize);
        let from = |bytes: u32| Some(format!("bytes={bytes}-"));
        let (a, b, c) = (from(1_100_000), from(2_200_000), from(3_300_000));
        assert_eq!(asked, [None, a.clone(), a, b.clone(), b, c.clone(), c]);
        assert_eq!(files(folder.path()), WHOLE);
    }

    #[tokio::test]
    async fn a_server_without_ranges_sends_the_whole_again() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        std::fs::write(
            folder.path().join("ggml-test.bin.part"),
            b"some other bytes",
        )
        .unwrap();
        let entry = entry(&content);
        let file = content.clone();
        let server = FakeMirror::start(move |_, _| file.clone().into_response()).await;
        let pulled = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(server.asked().len(), 1);
        assert_eq!(std::fs::read(pulled.path).unwrap(), content);
    }

    #[tokio::test]
    async fn a_spoilt_beginning_is_thrown_away_and_fetched_again() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("ggml-test.bin.part"), b"spoilt").unwrap();
        let entry = entry(&content);
        let file = content.clone();
        let server = FakeMirror::start(move |_, from| part(&file, from)).await;
        let pulled = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(server.asked(), [Some("bytes=6-".to_owned()), None]);
        assert_eq!(std::fs::read(pulled.path).unwrap(), content);
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
        let (mut content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = CatalogueEntry {
            recipe: shelved().recipe,
            ..entry(&content)
        };
        content[77] ^= 1;
        let server = FakeMirror::start(move |_, from| part(&content, from)).await;
        let error = pull_from(&server.web, &entry, folder.path())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ModelFileError::WrongDownload { .. }),
            "{error}"
        );
        assert!(files(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_server_with_another_file_is_found_out_before_its_bytes_are_taken() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let page = "<html>Please log in to this network</html>";
        let server = FakeMirror::start(move |_, _| page.into_response()).await;
        let error = pull_from(&server.web, &entry, folder.path())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("42 bytes instead of 3500000"), "{error}");
        assert!(files(folder.path()).is_empty());
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_refused_connection_leads_to_the_packages_and_through_the_importer() {
        let (folder, entry) = (tempfile::tempdir().unwrap(), shelved());
        let steps = Arc::new(Mutex::new(Vec::new()));
        let log = steps.clone();
        let progress = ProgressReporter::new(move |step| log.lock().unwrap().push(step));
        std::fs::write(folder.path().join("ggml-test.bin.part"), b"left over").unwrap();
        let sources = ModelSources {
            web: nowhere().await,
            packages: FakePackageIndex::default(),
        };
        let pulled = pull(&entry, folder.path(), &sources, &progress)
            .await
            .unwrap();
        let from = "imported from the Python packages some-words==1".to_owned();
        assert_eq!(pulled.verified, ChecksumMatch::RecordedOrigin { from });
        assert_eq!(files(folder.path()), WHOLE);
        let left = std::fs::read_dir(folder.path().join(".work")).unwrap();
        let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["test.lock"]);

        let steps = std::mem::take(&mut *steps.lock().unwrap());
        let count = |wanted: fn(&ProgressEvent) -> bool| steps.iter().filter(|s| wanted(s)).count();
        let retries = count(|s| matches!(s, ProgressEvent::Retrying { .. }));
        assert_eq!(retries, MODEL_CONNECTIONS_MAX as usize - 1);
        assert_eq!(count(|s| matches!(s, ProgressEvent::FallingBack { .. })), 1);
        assert!(count(|s| matches!(s, ProgressEvent::Importing { .. })) > 100);

        let again = pull(&entry, folder.path(), &sources, &progress)
            .await
            .unwrap();
        assert!(again.was_present);
        assert_eq!(sources.packages.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn spoilt_packages_are_refused_and_every_way_is_named() {
        let (folder, entry) = (tempfile::tempdir().unwrap(), shelved());
        let packages = FakePackageIndex {
            spoil: true,
            ..FakePackageIndex::default()
        };
        let sources = ModelSources {
            web: nowhere().await,
            packages,
        };
        let pulled = pull(&entry, folder.path(), &sources, &ProgressReporter::silent()).await;
        let error = pulled.unwrap_err().to_string();
        for words in [
            "From the publisher: http://127",
            "model.bin.part2 has SHA-256",
            "By hand",
        ] {
            assert!(error.contains(words), "{error}");
        }
        assert!(files(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_a_bounded_number_of_times_and_a_missing_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let entry = entry(b"content");
        let busy = FakeMirror::start(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
        let error = pull_from(&busy.web, &entry, folder.path())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ModelFileError::PullFailed { .. }),
            "{error}"
        );
        assert_eq!(busy.asked().len(), MODEL_REQUESTS_MAX as usize);

        let gone = FakeMirror::start(|_, _| StatusCode::NOT_FOUND.into_response()).await;
        let error = pull_from(&gone.web, &entry, folder.path())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("404") && error.contains("no package is known"),
            "{error}"
        );
        assert_eq!(gone.asked().len(), 1);
    }

    #[tokio::test]
    async fn another_file_under_the_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-test.bin");
        std::fs::write(&path, "mine!").unwrap();
        let entry = entry(b"other");
        let error = pull_from(&nowhere().await, &entry, folder.path())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ModelFileError::WrongChecksum { .. }),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"mine!");
    }

    #[tokio::test]
    async fn two_pulls_at_once_fetch_the_file_once() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let server = FakeMirror::start(move |_, from| part(&content, from)).await;
        let (a, b) = tokio::join!(
            pull_from(&server.web, &entry, folder.path()),
            pull_from(&server.web, &entry, folder.path()),
        );
        assert_ne!(a.unwrap().was_present, b.unwrap().was_present);
        assert_eq!(server.asked().len(), 1);
    }
}
