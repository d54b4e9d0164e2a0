//! The audio archive: written during calls, across broken streams, served in ranges, and deleted on request.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::header::{COOKIE, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode};
use tempfile::TempDir;

use super::browser::LiveClient;
use super::phone::{
    MediaClient, eventually, fixture, speech, stall_free_config, stream_sid, with_timeout,
};
use super::scenarios::call;
use super::{RunningServer, media_url, page_cookie};
use crate::app::ServerConfig;
use crate::archive::AudioArchive;
use crate::audio::recording::RecordingReader;
use crate::audio::{LINE_HZ, ogg_opus};
use crate::clock;
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::CallSid;
use crate::store::{NewCall, Party, Store, TranscriptState};
use crate::transcript::{CallStatus, Direction};
use crate::twilio_sim::{self, RecordedCall, StreamOptions};

/// A server with an audio archive, and a browser that requests audio.
struct ArchiveServer {
    server: RunningServer,
    store: Store,
    audio_archive: AudioArchive,
    folder: TempDir,
    client: Client,
}

impl ArchiveServer {
    async fn open() -> Self {
        Self::open_with(true).await
    }

    async fn open_with(archives: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let audio_archive = AudioArchive::open(folder.path()).unwrap();
        let store = Store::open("sqlite::memory:").await.unwrap();
        let endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
        let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
        let mut server_config =
            ServerConfig::behind(endpoint, store.clone(), engine, stall_free_config());
        (
            server_config.audio_archive,
            server_config.is_archiving_enabled,
        ) = (Some(audio_archive.clone()), archives);
        Self {
            server: RunningServer::of(server_config, |_| {}),
            store,
            audio_archive,
            folder,
            client: Client::builder()
                .default_headers(HeaderMap::from_iter([(
                    COOKIE,
                    page_cookie().parse().unwrap(),
                )]))
                .build()
                .unwrap(),
        }
    }

    /// Plays a call of 25 s, as fast as the server reads.
    async fn play(&self, n: u32) {
        let options = StreamOptions {
            speed: f64::INFINITY,
            jitter_ms_max: 0,
            ..StreamOptions::new(call(n), stream_sid(n))
        };
        let url = media_url(self.server.addr);
        let [inbound, outbound] = tracks().map(|track| track.1);
        let recorded = RecordedCall { inbound, outbound };
        twilio_sim::play_call(&url, &recorded, &options)
            .await
            .unwrap();
    }

    async fn listen(&self, n: u32) -> LiveClient {
        let mut browser = LiveClient::connect(self.server.addr).await;
        browser.subscribe(&call(n)).await;
        browser.settle().await;
        browser
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://{}{path}", self.server.addr);
        let origin = format!("http://{}", self.server.addr);
        let mut request = self.client.request(method, url).header("origin", origin);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        with_timeout("an answer", request.send()).await.unwrap()
    }

    async fn audio(&self, n: u32, headers: &[(&str, &str)]) -> Response {
        let path = format!("/api/calls/{}/audio", call(n).as_str());
        self.ask(Method::GET, &path, headers).await
    }

    async fn has_audio(&self, n: u32) -> bool {
        let record = self.store.call_record(&call(n)).await.unwrap();
        record.is_some_and(|record| record.has_audio)
    }

    /// Waits until the call's file is complete.
    async fn until_kept(&self, n: u32) {
        let is_kept = async || {
            let kept = self.audio_archive.read(&call(n)).unwrap();
            kept.is_some_and(|kept| !kept.is_open) && self.has_audio(n).await
        };
        eventually("the archive", is_kept).await;
    }
}

/// Both tracks of a recorded call, inbound first: samples, and the same as μ-law.
fn tracks() -> [(Vec<f32>, Vec<u8>); 2] {
    ["inbound", "outbound"].map(|track| {
        let path = fixture(&format!("calls/cards_{track}.wav"));
        let samples = RecordingReader::read_all(&path, LINE_HZ).unwrap().remove(0);
        let call = RecordedCall::read_recording(&path).unwrap();
        (samples, call.inbound)
    })
}

/// Decodes a file as a player does: left and right.
fn decode_stereo(file: &[u8]) -> [Vec<f32>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let (ogg, wav) = (folder.path().join("a.ogg"), folder.path().join("a.wav"));
    std::fs::write(&ogg, file).unwrap();
    let decoded = Command::new("opusdec")
        .args(["--quiet", "--rate", "8000"])
        .args([&ogg, &wav])
        .output()
        .expect("this test needs the package `opus-tools`");
    assert!(decoded.status.success(), "{decoded:?}");
    RecordingReader::read_all(&wav, LINE_HZ)
        .unwrap()
        .try_into()
        .unwrap()
}

/// Similarity: 1: equal except for loudness; 0: unrelated.
fn likeness(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// Returns the first loud moment, in milliseconds.
fn onset_ms(samples: &[f32]) -> usize {
    let first = samples.iter().position(|sample| sample.abs() > 0.1);
    first.expect("a sound") / 8
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

async fn code(answer: Response) -> String {
    let json: serde_json::Value = answer.json().await.unwrap();
    json["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_is_heard_again_left_what_twilio_received_and_right_what_it_sent() {
    let archive_server = ArchiveServer::open().await;
    archive_server.play(1).await;
    archive_server.until_kept(1).await;
    let answer = archive_server.audio(1, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "audio/ogg; codecs=opus");
    let file = answer.bytes().await.unwrap();
    for (heard, (said, _)) in decode_stereo(&file).iter().zip(tracks()) {
        // The player's clock starts at 100 ms; the decoder shifts audio by half a sample.
        let heard = &heard[800..];
        assert!(likeness(heard, &said) > 0.8, "{}", likeness(heard, &said));
    }
    let path = format!("/api/calls/{}", call(1).as_str());
    let answer = archive_server.ask(Method::GET, &path, &[]).await;
    let json: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(json["hasAudio"], true);
}

#[tokio::test]
async fn it_is_sent_in_the_parts_that_a_player_wants() {
    let archive_server = ArchiveServer::open().await;
    archive_server.play(1).await;
    archive_server.until_kept(1).await;
    let whole = archive_server.audio(1, &[]).await;
    let tag = header(&whole, "etag").to_owned();
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    assert_eq!(header(&whole, "cache-control"), "private, no-cache");
    let file = whole.bytes().await.unwrap();
    let length = file.len();
    let path = format!("/api/calls/{}/audio", call(1).as_str());
    let head = [("range", "bytes=0-9")];
    let head = archive_server.ask(Method::HEAD, &path, &head).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(&head, "content-length"), length.to_string());
    assert!(head.bytes().await.unwrap().is_empty());

    let open_end = format!("bytes={}-", length - 100);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-1999", 1_000, 1_999),
        ("bytes=-100", length - 100, length - 1),
        (open_end.as_str(), length - 100, length - 1),
    ] {
        for also in [None, Some(("if-range", tag.as_str()))] {
            let headers: Vec<_> = also.into_iter().chain([("range", range)]).collect();
            let part = archive_server.audio(1, &headers).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            let place = format!("bytes {first}-{last}/{length}");
            assert_eq!(header(&part, "content-range"), place);
            assert_eq!(part.bytes().await.unwrap(), file[first..=last], "{range}");
        }
    }
    for other in ["\"another\"", "Wed, 25 Nov 2026 09:30:00 GMT"] {
        let headers = [("range", "bytes=0-0"), ("if-range", other)];
        let answer = archive_server.audio(1, &headers).await;
        assert_eq!(answer.status(), StatusCode::OK, "{other}");
        assert_eq!(answer.bytes().await.unwrap(), file);
    }
    let beyond = format!("bytes={length}-");
    let beyond = archive_server.audio(1, &[("range", &beyond)]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        header(&beyond, "content-range"),
        format!("bytes */{length}")
    );
    assert_eq!(code(beyond).await, "no_such_range");
    for known in [tag.clone(), format!("\"x\", W/{tag}")] {
        let answer = archive_server.audio(1, &[("if-none-match", &known)]).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(header(&answer, "etag"), tag);
    }
}

#[tokio::test]
async fn a_call_that_goes_on_is_heard_as_far_as_it_is_and_nothing_of_it_is_cached() {
    let archive_server = ArchiveServer::open().await;
    let mut stream = MediaClient::start(archive_server.server.addr, 1).await;
    stream.send_audio(&speech()).await;
    let is_heard = async || {
        let written =
            std::fs::read(archive_server.audio_archive.file_path(&call(1))).unwrap_or_default();
        let length = ogg_opus::duration(&written).unwrap_or_default();
        length > Duration::from_secs(1) && archive_server.has_audio(1).await
    };
    eventually("a second of audio", is_heard).await;
    let answer = archive_server.audio(1, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "cache-control"), "private, no-store");
    assert_eq!(header(&answer, "etag"), "");
    let so_far = answer.bytes().await.unwrap();
    assert!(onset_ms(&decode_stereo(&so_far)[0]) < 1_000);
    let headers = [("range", "bytes=0-9"), ("if-range", "\"x\"")];
    let answer = archive_server.audio(1, &headers).await;
    assert_eq!(
        answer.status(),
        StatusCode::OK,
        "nothing vouches for a part"
    );
    stream.send_audio(&speech()).await;
    stream.stop().await;
    archive_server.until_kept(1).await;
    let file = archive_server.audio(1, &[]).await.bytes().await.unwrap();
    assert!(file.len() > so_far.len());
    stream.closed().await;
}

#[tokio::test]
async fn after_a_broken_stream_sound_and_words_go_on_at_the_same_time() {
    let archive_server = ArchiveServer::open().await;
    let mut browser = archive_server.listen(1).await;
    let mut stream = MediaClient::start(archive_server.server.addr, 1).await;
    stream.send_audio(&speech()).await;
    stream.reset();
    browser.until(&call(1), |page| page.ended.is_some()).await;
    // The next stream, as if it had started five seconds later.
    let later = clock::utc_now().plus(Duration::from_secs(5));
    let (call_1, next) = (call(1), stream_sid(0));
    let record = archive_server.store.open_stream(&call_1, &next, later);
    let start_offset_ms = record.await.unwrap().start_offset_ms;
    let mut stream = MediaClient::open(archive_server.server.addr).await;
    let start = stream.start_message(1);
    stream.text(&start).await.unwrap();
    stream.send_audio(&speech()).await;
    stream.stop().await;
    let page = browser
        .until(&call(1), |page| page.segments.len() == 2)
        .await;
    let moved_ms = page.segments[1].start_ms - page.segments[0].start_ms;
    assert_eq!(moved_ms, start_offset_ms);
    archive_server.until_kept(1).await;
    let file = archive_server.audio(1, &[]).await.bytes().await.unwrap();
    let [left, right] = decode_stereo(&file);
    let begun = start_offset_ms as usize;
    let second = &left[4_000 * 8..];
    let heard_ms = 4_000 + onset_ms(second);
    let wanted_ms = begun + onset_ms(&left);
    assert!(
        heard_ms.abs_diff(wanted_ms) <= 20,
        "{heard_ms} ms, not {wanted_ms} ms"
    );
    assert!(
        right.iter().all(|sample| sample.abs() < 0.01),
        "nobody is there"
    );
}

#[tokio::test]
async fn a_deleted_call_leaves_no_sound_and_brings_none_back() {
    let archive_server = ArchiveServer::open().await;
    archive_server.play(1).await;
    archive_server.play(2).await;
    archive_server.until_kept(1).await;
    archive_server.until_kept(2).await;
    let path = format!("/api/calls/{}", call(1).as_str());
    let deleted = archive_server.ask(Method::DELETE, &path, &[]).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let file = |call: &CallSid| archive_server.audio_archive.file_path(call).exists();
    assert!(!file(&call(1)) && file(&call(2)));
    assert_eq!(
        code(archive_server.audio(1, &[]).await).await,
        "no_such_call"
    );

    let mut browser = archive_server.listen(1).await;
    archive_server.play(1).await;
    browser.until(&call(1), |page| page.ended.is_some()).await;
    archive_server.audio_archive.stop(); // Writes all that is queued.
    assert!(!file(&call(1)), "a late stream brought it back");
}

#[tokio::test]
async fn without_an_archive_nothing_is_kept_and_what_was_kept_is_there() {
    let archive_server = ArchiveServer::open_with(false).await;
    let answer = archive_server.audio(1, &[]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(code(answer).await, "no_such_call");
    let mut browser = archive_server.listen(1).await;
    archive_server.play(1).await;
    browser.until(&call(1), |page| page.ended.is_some()).await;
    archive_server.audio_archive.stop();
    assert!(
        std::fs::read_dir(archive_server.folder.path())
            .unwrap()
            .next()
            .is_none()
    );
    let known = async || {
        archive_server
            .store
            .call_record(&call(1))
            .await
            .unwrap()
            .is_some()
    };
    eventually("the call", known).await;
    let answer = archive_server.audio(1, &[]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(code(answer).await, "no_audio");

    put(&archive_server.audio_archive.file_path(&call(1)));
    let answer = archive_server.audio(1, &[]).await;
    assert_eq!(answer.bytes().await.unwrap(), "sound");
}

#[tokio::test]
async fn old_audio_goes_with_its_call_or_without_and_young_audio_stays() {
    let archive_server = ArchiveServer::open().await;
    let hour = Duration::from_hours(1);
    let now = clock::utc_now();
    open_call(&archive_server.store, 1).await;
    let calls = &archive_server.server.state.calls;
    for n in [1, 2] {
        put(&archive_server.audio_archive.file_path(&call(n)));
    }
    assert_eq!(calls.delete_calls_before(now.minus(hour)).await, 0);
    assert_eq!(
        archive_server.audio_archive.list_calls().unwrap(),
        [call(1), call(2)]
    );
    assert_eq!(calls.delete_calls_before(now.plus(hour)).await, 1);
    assert_eq!(archive_server.audio_archive.list_calls().unwrap(), []);
}

#[tokio::test]
async fn audio_that_a_server_could_not_note_any_more_is_found_at_the_next_start() {
    let archive_server = ArchiveServer::open().await;
    open_call(&archive_server.store, 1).await;
    for n in [1, 2] {
        put(&archive_server.audio_archive.file_path(&call(n)));
    }
    assert!(!archive_server.has_audio(1).await);
    archive_server
        .server
        .state
        .calls
        .restore_audio_flags()
        .await
        .unwrap();
    assert!(archive_server.has_audio(1).await);
    let strange = archive_server.store.call_record(&call(2)).await.unwrap();
    assert!(strange.is_none() && archive_server.audio_archive.file_path(&call(2)).exists());
}

fn put(path: &Path) {
    std::fs::write(path, "sound").unwrap();
}

/// Stores a call that has ended.
async fn open_call(store: &Store, n: u32) {
    let new = NewCall {
        sid: call(n),
        direction: Direction::Outgoing,
        status: CallStatus::Completed,
        from: Party::default(),
        to: Party::default(),
        user_id: None,
        started_at: clock::utc_now(),
        transcript: TranscriptState::Complete,
        announced: false,
    };
    store.open_call(&new).await.unwrap();
}
