//! Gets a model into the folder: from the publisher, or else, where that is known, out of Python
//! packages and through the importer.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::import;
use super::store::{self, Origin, Verified};
use crate::models::catalogue::{Entry, Recipe};
use crate::models::{ModelError, Packages, Pip, PullFailure, Step, Watcher, Web};

/// Where models come from.
#[derive(Debug, Clone)]
pub struct Sources<P> {
    /// The publisher.
    pub web: Web,
    /// Where to turn when the publisher does not deliver.
    pub packages: P,
}

impl Sources<Pip> {
    /// Hugging Face, then pip.
    pub fn usual() -> Self {
        Self {
            web: Web::publisher(),
            packages: Pip,
        }
    }
}

/// A model that is in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its file.
    pub path: PathBuf,
    /// Whether it was there already, so that no network was needed.
    pub was_there: bool,
    /// What its checksum proved.
    pub verified: Verified,
}

/// Makes sure that `entry` is in `folder`, whole and checked. Asks the network for nothing when
/// it is. A file of that name which is something else is left alone: an error. Two pulls of one
/// model wait for each other.
pub async fn pull<P: Packages>(
    entry: &Entry,
    folder: &Path,
    sources: &Sources<P>,
    watcher: &Watcher,
) -> Result<Pulled, ModelError> {
    let path = folder.join(entry.file_name());
    let desk = folder.join(".work");
    std::fs::create_dir_all(&desk).map_err(ModelError::io("write", &desk))?;
    let _lock = lock(&desk.join(format!("{}.lock", entry.name)), watcher).await?;
    if path.exists() {
        let verified = check(entry, &path, watcher).await?;
        return Ok(Pulled {
            path,
            was_there: true,
            verified,
        });
    }
    let web = match from_web(entry, &path, &sources.web, watcher).await {
        Ok(()) => {
            return Ok(Pulled {
                path,
                was_there: false,
                verified: Verified::Published,
            });
        }
        Err(error @ ModelError::Web { .. }) => error.to_string(),
        // A full disk or a wrong file: worth an operator's look, not a silent way round.
        Err(error) => return Err(error),
    };
    let failed = |packages: String| {
        ModelError::PullFailed(Box::new(PullFailure {
            name: entry.name.to_owned(),
            web: web.clone(),
            packages,
            bytes: entry.bytes,
            url: entry.url(),
            path: path.clone(),
        }))
    };
    let Some(recipe) = entry.recipe else {
        return Err(failed("no package is known to hold it".to_owned()));
    };
    watcher.tell(Step::FallingBack {
        reason: web.clone(),
    });
    let scratch = desk.join(format!("{}-packages", entry.name));
    let made = from_packages(entry, &path, recipe, &sources.packages, &scratch, watcher).await;
    // Scratch is scratch; a left-over is cleared away by the next pull.
    let _ = std::fs::remove_dir_all(&scratch);
    made.map_err(|e| failed(e.to_string()))?;
    // What the publisher managed to send is of no use any more.
    let _ = std::fs::remove_file(store::with_suffix(&path, ".part"));
    let verified = check(entry, &path, watcher).await?;
    Ok(Pulled {
        path,
        was_there: false,
        verified,
    })
}

async fn from_web(
    entry: &Entry,
    path: &Path,
    web: &Web,
    watcher: &Watcher,
) -> Result<(), ModelError> {
    let part = store::with_suffix(path, ".part");
    let mut is_resumed = part.exists();
    loop {
        web.download(entry, &part, watcher).await?;
        watcher.tell(Step::Checking);
        let file = part.clone();
        let found = blocking(move || store::sha256(&file)).await?;
        let url = web.url(entry);
        if found == entry.sha256 {
            let origin = Origin {
                from: url,
                bytes: entry.bytes,
                sha256: found,
            };
            return store::publish(&part, path, &origin);
        }
        std::fs::remove_file(&part).map_err(ModelError::io("delete", &part))?;
        if !is_resumed {
            return Err(ModelError::WrongDownload {
                url,
                expected: entry.sha256.into(),
                found,
            });
        }
        // What lay here may have been the culprit: once more, from the beginning.
        is_resumed = false;
        watcher.tell(Step::Retrying {
            reason: "the checksum is wrong".to_owned(),
        });
    }
}

async fn from_packages<P: Packages>(
    entry: &Entry,
    path: &Path,
    recipe: &'static Recipe,
    packages: &P,
    scratch: &Path,
    watcher: &Watcher,
) -> Result<(), ModelError> {
    match std::fs::remove_dir_all(scratch) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(ModelError::io("clear", scratch)(e));
        }
        _ => {}
    }
    let unpacked = scratch.join("unpacked");
    std::fs::create_dir_all(&unpacked).map_err(ModelError::io("write", &unpacked))?;
    packages.unpack(recipe.wheels, &unpacked).await?;

    let (model, draft) = (scratch.join("model"), scratch.join(entry.file_name()));
    let (bytes, path, watcher) = (entry.bytes, path.to_owned(), watcher.clone());
    blocking(move || {
        assemble(recipe, &unpacked, &model)?;
        let imported = import::convert(&model, &draft, &watcher)?;
        if imported.bytes != bytes {
            let (expected, found) = (bytes, imported.bytes);
            return Err(ModelError::WrongSize {
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
        store::publish(
            &draft,
            &path,
            &Origin {
                from,
                bytes,
                sha256: imported.sha256,
            },
        )
    })
    .await
}

/// Puts the recipe's pieces together to a model folder, checking each.
fn assemble(recipe: &Recipe, unpacked: &Path, model: &Path) -> Result<(), ModelError> {
    std::fs::create_dir_all(model).map_err(ModelError::io("write", model))?;
    for piece in recipe.pieces {
        let from = unpacked.join(piece.path);
        let found = std::fs::metadata(&from)
            .map_err(ModelError::io("read", &from))?
            .len();
        if found != piece.bytes {
            return Err(ModelError::WrongSize {
                path: from,
                expected: piece.bytes,
                found,
            });
        }
        let found = store::sha256(&from)?;
        if found != piece.sha256 {
            return Err(store::wrong_checksum(&from, piece.sha256, found));
        }
        let to = model.join(piece.file);
        let mut reader = File::open(&from).map_err(ModelError::io("read", &from))?;
        let mut writer = File::options()
            .create(true)
            .append(true)
            .open(&to)
            .map_err(ModelError::io("write", &to))?;
        io::copy(&mut reader, &mut writer).map_err(ModelError::io("write", &to))?;
    }
    Ok(())
}

async fn check(entry: &Entry, path: &Path, watcher: &Watcher) -> Result<Verified, ModelError> {
    watcher.tell(Step::Checking);
    let (entry, path) = (*entry, path.to_owned());
    blocking(move || store::verify_as(&entry, &path)).await
}

/// Held until the file is dropped, also by a process that dies.
async fn lock(path: &Path, watcher: &Watcher) -> Result<File, ModelError> {
    let file = File::create(path).map_err(ModelError::io("write", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => watcher.tell(Step::Waiting),
        Err(TryLockError::Error(e)) => return Err(ModelError::io("lock", path)(e)),
    }
    let path = path.to_owned();
    blocking(move || {
        file.lock()
            .map(|()| file)
            .map_err(ModelError::io("lock", &path))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
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
    use crate::models::catalogue::{Piece, Wheel};
    use crate::models::synthetic::{Model, Stored, vocabulary};
    use crate::models::{State, state};
    use crate::tasks::Tasks;

    /// A server that has one file, and the ranges it was asked for.
    struct Server {
        web: Web,
        asked: Arc<Mutex<Vec<Option<String>>>>,
    }

    impl Server {
        /// `answer` gets the number of the request, from 0, and the offset it asks for.
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

    fn web(address: SocketAddr) -> Web {
        Web {
            base_url: format!("http://{address}/files"),
            pause: Duration::ZERO,
        }
    }

    /// A port at which nobody listens.
    async fn nowhere() -> Web {
        web(TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap())
    }

    /// What a server with ranges says.
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

    /// A megabyte and a bit of the content, and then no more.
    fn short(content: &[u8], from: usize) -> Response {
        let some = Bytes::copy_from_slice(&content[from..from + 1_100_000]);
        // A stream has no length that would give the end away.
        let body = Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>(some)]));
        let mut response = part(content, from);
        *response.body_mut() = body;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }

    /// Three and a half megabytes that repeat nowhere near their own length.
    fn content() -> Vec<u8> {
        (0..3_500_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8)
            .collect()
    }

    fn sum(bytes: &[u8]) -> &'static str {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        store::sha256(file.path()).unwrap().leak()
    }

    fn entry(content: &[u8]) -> Entry {
        let bytes = content.len() as u64;
        Entry {
            name: "test",
            bytes,
            sha256: sum(content),
            recipe: None,
        }
    }

    /// Packages that hold the synthetic model in two parts, and how often they were asked for.
    #[derive(Default)]
    struct Shelf {
        asked: AtomicUsize,
        spoil: bool,
    }

    impl Packages for Shelf {
        async fn unpack(&self, wheels: &[Wheel], into: &Path) -> Result<(), ModelError> {
            assert_eq!(wheels.len(), 1);
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mut model = Model::new(Stored::F16).bytes();
            let last = model.len() - 1;
            model[last] ^= u8::from(self.spoil);
            std::fs::write(into.join("model.bin.part1"), &model[..1_000]).unwrap();
            std::fs::write(into.join("model.bin.part2"), &model[1_000..]).unwrap();
            std::fs::write(into.join("words.txt"), vocabulary()).unwrap();
            Ok(())
        }
    }

    /// An entry whose weights a [`Shelf`] has; nothing that is published has its checksum.
    fn shelved() -> Entry {
        let model = Model::new(Stored::F16).bytes();
        let piece = |path, file, bytes: &[u8]| Piece {
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
        let wheels = &[Wheel {
            requirement: "some-words==1",
            sha256: "00",
        }];
        let recipe = Box::leak(Box::new(Recipe {
            wheels,
            pieces: pieces.leak(),
        }));
        let folder = tempfile::tempdir().unwrap();
        Model::new(Stored::F16).write(folder.path());
        let (output, watcher) = (folder.path().join("x"), Watcher::silent());
        let bytes = import::convert(folder.path(), &output, &watcher)
            .unwrap()
            .bytes;
        Entry {
            name: "test",
            bytes,
            sha256: "published",
            recipe: Some(recipe),
        }
    }

    async fn pull_from(web: &Web, entry: &Entry, folder: &Path) -> Result<Pulled, ModelError> {
        let sources = Sources {
            web: web.clone(),
            packages: Shelf::default(),
        };
        pull(entry, folder, &sources, &Watcher::silent()).await
    }

    /// Everything in the folder but the desk.
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
        let server = Server::start(move |_, from| part(&file, from)).await;
        let pulled = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(std::fs::read(&pulled.path).unwrap(), content);
        assert_eq!(
            (pulled.was_there, pulled.verified),
            (false, Verified::Published)
        );
        assert_eq!(files(folder.path()), WHOLE);
        let from = Some(server.web.url(&entry));
        assert_eq!(state(&entry, folder.path()), State::Present { from });

        let again = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(
            (again.was_there, again.verified),
            (true, Verified::Published)
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
        let server = Server::start(move |_, from| part(&content, from)).await;
        pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(server.asked(), [Some("bytes=1234567-".to_owned())]);
        assert_eq!(files(folder.path()), WHOLE);
    }

    #[tokio::test]
    async fn a_connection_that_keeps_breaking_gets_there_as_long_as_it_brings_something() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let server = Server::start(move |request, from| match request {
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
        let server = Server::start(move |_, _| file.clone().into_response()).await;
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
        let server = Server::start(move |_, from| part(&file, from)).await;
        let pulled = pull_from(&server.web, &entry, folder.path()).await.unwrap();
        assert_eq!(server.asked(), [Some("bytes=6-".to_owned()), None]);
        assert_eq!(std::fs::read(pulled.path).unwrap(), content);
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
        let (mut content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = Entry {
            recipe: shelved().recipe,
            ..entry(&content)
        };
        content[77] ^= 1;
        let server = Server::start(move |_, from| part(&content, from)).await;
        let error = pull_from(&server.web, &entry, folder.path())
            .await
            .unwrap_err();
        assert!(matches!(error, ModelError::WrongDownload { .. }), "{error}");
        assert!(files(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_server_with_another_file_is_found_out_before_its_bytes_are_taken() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let page = "<html>Please log in to this network</html>";
        let server = Server::start(move |_, _| page.into_response()).await;
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
        let watcher = Watcher::new(move |step| log.lock().unwrap().push(step));
        std::fs::write(folder.path().join("ggml-test.bin.part"), b"left over").unwrap();
        let sources = Sources {
            web: nowhere().await,
            packages: Shelf::default(),
        };
        let pulled = pull(&entry, folder.path(), &sources, &watcher)
            .await
            .unwrap();
        let from = "imported from the Python packages some-words==1".to_owned();
        assert_eq!(pulled.verified, Verified::AsNoted { from });
        assert_eq!(files(folder.path()), WHOLE);
        let left = std::fs::read_dir(folder.path().join(".work")).unwrap();
        let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["test.lock"]);

        let steps = std::mem::take(&mut *steps.lock().unwrap());
        let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|s| wanted(s)).count();
        let retries = count(|s| matches!(s, Step::Retrying { .. }));
        assert_eq!(retries, MODEL_CONNECTIONS_MAX as usize - 1);
        assert_eq!(count(|s| matches!(s, Step::FallingBack { .. })), 1);
        assert!(count(|s| matches!(s, Step::Importing { .. })) > 100);

        let again = pull(&entry, folder.path(), &sources, &watcher)
            .await
            .unwrap();
        assert!(again.was_there);
        assert_eq!(sources.packages.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn spoilt_packages_are_refused_and_every_way_is_named() {
        let (folder, entry) = (tempfile::tempdir().unwrap(), shelved());
        let packages = Shelf {
            spoil: true,
            ..Shelf::default()
        };
        let sources = Sources {
            web: nowhere().await,
            packages,
        };
        let pulled = pull(&entry, folder.path(), &sources, &Watcher::silent()).await;
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
        let busy = Server::start(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
        let error = pull_from(&busy.web, &entry, folder.path())
            .await
            .unwrap_err();
        assert!(matches!(error, ModelError::PullFailed { .. }), "{error}");
        assert_eq!(busy.asked().len(), MODEL_REQUESTS_MAX as usize);

        let gone = Server::start(|_, _| StatusCode::NOT_FOUND.into_response()).await;
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
        assert!(matches!(error, ModelError::WrongChecksum { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine!");
    }

    #[tokio::test]
    async fn two_pulls_at_once_fetch_the_file_once() {
        let (content, folder) = (content(), tempfile::tempdir().unwrap());
        let entry = entry(&content);
        let server = Server::start(move |_, from| part(&content, from)).await;
        let (a, b) = tokio::join!(
            pull_from(&server.web, &entry, folder.path()),
            pull_from(&server.web, &entry, folder.path()),
        );
        assert_ne!(a.unwrap().was_there, b.unwrap().was_there);
        assert_eq!(server.asked().len(), 1);
    }
}
