//! The media socket: calls played as Twilio would, broken streams, and hostile clients, next to which a good
//! call must lose nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::{self, Message};

use super::browser::{CallView, LiveClient};
use super::metrics::figure;
use super::phone::{
    MediaClient, RecognizerGate, fixture, speech, stall_free_config, stream_sid, with_timeout,
    without_stalls,
};
use super::scenarios::call;
use super::{RunningServer, keys, media_url};
use crate::clock;
use crate::config::EndpointConfig;
use crate::engine::offline;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::{CallSid, Track};
use crate::limits;
use crate::transcript::{CallStatus, EndReason, EngineHealth, Event, Segment, Speaker};
use crate::twilio::signature::{Keyring, SigningKey};
use crate::twilio_sim::{self, PlaybackError, RecordedCall, RequestSigner, StreamOptions};

/// A call of 25 s.
fn cards() -> RecordedCall {
    let read = |track| fixture(&format!("calls/cards_{track}.wav"));
    RecordedCall::read_tracks(&read("inbound"), &read("outbound")).unwrap()
}

/// Options of the `n`th call, played as fast as the server reads.
fn options(n: u32) -> StreamOptions {
    StreamOptions {
        speed: f64::INFINITY,
        ..StreamOptions::new(call(n), stream_sid(n))
    }
}

fn url(server: &RunningServer) -> String {
    media_url(server.addr)
}

async fn listener(server: &RunningServer, call: &CallSid) -> LiveClient {
    let mut browser = LiveClient::connect(server.addr).await;
    browser.subscribe(call).await;
    browser.settle().await;
    browser
}

fn is_over(page: &CallView) -> bool {
    page.ended.is_some()
}

/// A final without the parts that depend on when its partials arrived.
type Outline = (String, Track, u64, u64, String, bool);

fn outline(page: &CallView) -> Vec<Outline> {
    let mut outline: Vec<Outline> = page.segments.iter().map(outline_of).collect();
    // The engine decides which of two tracks is final first.
    outline.sort();
    outline
}

fn outline_of(segment: &Segment) -> Outline {
    let id = segment.id.as_str().to_owned();
    let (track, text) = (segment.track, segment.text.clone());
    (
        id,
        track,
        segment.start_ms,
        segment.end_ms,
        text,
        segment.transcribed,
    )
}

#[tokio::test]
async fn a_call_is_heard_on_both_tracks_and_by_all_listeners_alike() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browsers = [
        listener(&server, &call(1)).await,
        listener(&server, &call(1)).await,
    ];
    let options = StreamOptions {
        parameters: BTreeMap::from([("direction".to_owned(), "incoming".to_owned())]),
        ..options(1)
    };
    twilio_sim::play_call(&url(&server), &cards(), &options)
        .await
        .unwrap();
    let [a, b] = &mut browsers;
    let a = a.until(&call(1), is_over).await;
    let b = b.until(&call(1), is_over).await;
    assert_eq!(a.same_for_all(), b.same_for_all());
    assert_eq!(
        (a.ended, a.status),
        (Some(EndReason::Stopped), Some(CallStatus::Completed))
    );
    for (track, speaker) in [
        (Track::Inbound, Speaker::Customer),
        (Track::Outbound, Speaker::Agent),
    ] {
        let finals: Vec<&Segment> = a.segments.iter().filter(|s| s.track == track).collect();
        assert!(finals.len() >= 4, "{track}: {finals:?}");
        assert!(
            finals
                .iter()
                .all(|s| s.speaker == speaker && s.text.starts_with("one"))
        );
        assert!(finals.is_sorted_by_key(|segment| segment.start_ms));
    }
}

#[tokio::test]
async fn a_call_over_a_socket_gives_the_same_finals_as_its_recording() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let options = StreamOptions {
        jitter_ms_max: 0,
        first_timestamp_ms: 140,
        ..options(1)
    };
    twilio_sim::play_call(&url(&server), &cards(), &options)
        .await
        .unwrap();
    let page = browser.until(&call(1), is_over).await;
    let cards = cards();
    for (track, mulaw) in [
        (Track::Inbound, &cards.inbound),
        (Track::Outbound, &cards.outbound),
    ] {
        let samples: Vec<i16> = mulaw
            .iter()
            .map(|&code| crate::audio::mulaw::decode(code))
            .collect();
        let run = offline::transcribe(
            &samples,
            track,
            stall_free_config(),
            &mut ScriptedRecognizer::default(),
            clock::now(),
            Duration::default,
            |_| {},
        );
        let offline: Vec<Outline> = run.segments.iter().map(outline_of).collect();
        let live = page
            .segments
            .iter()
            .filter(|segment| segment.track == track);
        let live: Vec<Outline> = live
            .map(outline_of)
            .map(|(id, track, start, end, text, heard)| {
                (id, track, start - 140, end - 140, text, heard)
            })
            .collect();
        assert_eq!(live, offline);
    }
}

#[tokio::test]
async fn every_captured_session_ends_as_told_and_keeps_what_arrived() {
    // The end reason, and the end of each track's finals on the call's clock.
    for (name, reason, inbound, outbound) in [
        (
            "clean",
            EndReason::Stopped,
            &[2_742, 6_102][..],
            &[955, 5_307][..],
        ),
        ("gaps", EndReason::Stopped, &[3_910], &[955, 4_747]),
        (
            "jumps",
            EndReason::Stopped,
            &[1_686, 92_692],
            &[955, 94_233],
        ),
        ("disorder", EndReason::Stopped, &[2_758], &[955, 4_747]),
        ("abrupt", EndReason::Dropped, &[2_262], &[955]),
        ("oddities", EndReason::Stopped, &[2_742], &[955, 4_747]),
        ("malformed", EndReason::Stopped, &[2_742], &[955, 3_355]),
        ("numbers", EndReason::Stopped, &[2_742], &[955, 4_747]),
    ] {
        let text = std::fs::read_to_string(fixture(&format!("sessions/{name}.jsonl"))).unwrap();
        let steps = twilio_sim::parse_capture(&text).unwrap();
        let server = RunningServer::start_with(without_stalls).await;
        let mut browser = listener(&server, &call(2)).await;
        let played = twilio_sim::replay_capture(&url(&server), &steps, f64::INFINITY, None)
            .await
            .unwrap();
        assert!(played.is_whole, "{name}: the server hung up early");
        let page = browser.until(&call(2), is_over).await;
        assert_eq!(page.ended, Some(reason), "{name}");
        assert!(
            page.partials.is_empty(),
            "{name}: words were left in the air"
        );
        assert!(
            page.segments.iter().all(|segment| segment.transcribed),
            "{name}"
        );
        for (track, wanted) in [(Track::Inbound, inbound), (Track::Outbound, outbound)] {
            let finals = page
                .segments
                .iter()
                .filter(|segment| segment.track == track);
            let ends: Vec<u64> = finals.map(|segment| segment.end_ms).collect();
            // One frame of the voice detector more or less is not a loss.
            let near = |(a, b): (&u64, &u64)| a.abs_diff(*b) <= 32;
            assert!(
                ends.len() == wanted.len() && ends.iter().zip(wanted).all(near),
                "{name}, {track}: {ends:?}, not {wanted:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_word_loses_no_word() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    browser.settle().await;
    assert_eq!(browser.page(&call(1)).segments, []);
    stream.stop().await;
    let page = browser.until(&call(1), is_over).await;
    let [segment] = &page.segments[..] else {
        panic!("{:?}", page.texts())
    };
    assert!(
        (1_300..=1_520).contains(&segment.end_ms),
        "{} ms",
        segment.end_ms
    );
    assert_eq!(
        (segment.text.as_str(), page.ended),
        ("one two", Some(EndReason::Stopped))
    );
    stream.closed().await;
}

#[tokio::test]
async fn a_socket_that_only_comes_and_goes_makes_no_call() {
    let server = RunningServer::start().await;
    let stream = MediaClient::open(server.addr).await;
    stream.reset();
    let mut stream = MediaClient::open(server.addr).await;
    stream
        .text(r#"{"event":"connected","protocol":"Call"}"#)
        .await
        .unwrap();
    stream.frame(Message::Close(None)).await.unwrap();
    stream.closed().await;
    let all = server
        .state
        .media_sockets
        .acquire_many(limits::MEDIA_SOCKETS_MAX as u32);
    let _all = with_timeout("every permit", all).await.unwrap();
    assert_eq!(server.hub.channel_count(), 0);
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_stream_and_keeps_what_was_said() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    let _ = stream.text(&"x".repeat(1 << 20)).await; // the server may hang up in the middle
    let page = browser.until(&call(1), is_over).await;
    assert_eq!(page.texts(), ["one two"]);
    assert_eq!(page.ended, Some(EndReason::ProtocolError));
}

#[tokio::test]
async fn a_client_that_disappears_leaves_its_words() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    stream.reset();
    let page = browser.until(&call(1), is_over).await;
    assert_eq!(
        (page.texts(), page.ended),
        (vec!["one two"], Some(EndReason::Dropped))
    );
}

#[tokio::test]
async fn a_stream_that_comes_back_goes_on_under_fresh_ids() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.send_audio(&speech()).await;
    stream.reset();
    browser.until(&call(1), is_over).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    browser.until(&call(1), |page| page.ended.is_none()).await;
    stream.send_audio(&speech()).await;
    stream.stop().await;
    let page = browser.until(&call(1), is_over).await;
    assert_eq!(page.ids(), ["1-inbound-1", "2-inbound-1"]);
    assert_eq!(page.ended, Some(EndReason::Stopped));
}

#[tokio::test]
async fn the_end_of_a_broken_stream_does_not_end_the_one_that_took_over() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let mut broken = MediaClient::start(server.addr, 1).await;
    broken.send_audio(&speech()[..12_000]).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    broken.reset();
    let page = browser
        .until(&call(1), |page| page.segments.len() == 1)
        .await;
    assert_eq!(page.segments[0].id.as_str(), "1-inbound-1");
    stream.stop().await;
    let page = browser.until(&call(1), is_over).await;
    assert_eq!(page.ids(), ["1-inbound-1", "2-inbound-1"]);
    assert_eq!(page.ended, Some(EndReason::Stopped));
    let ends = browser
        .heard
        .iter()
        .filter(|e| matches!(e.event, Event::Ended { .. }));
    assert_eq!(ends.count(), 1);
}

#[tokio::test]
async fn one_socket_too_many_is_refused_until_another_has_left() {
    let server =
        RunningServer::start_with(|state| state.media_sockets = Arc::new(Semaphore::new(1))).await;
    let stream = MediaClient::open(server.addr).await;
    let (url, nothing, options) = (url(&server), RecordedCall::default(), options(2));
    let play = || twilio_sim::play_call(&url, &nothing, &options);
    let refused = play().await;
    assert_eq!(http_status(&refused.unwrap_err()), 503);
    stream.reset();
    let free = with_timeout("the permit", server.state.media_sockets.acquire()).await;
    drop(free);
    play().await.unwrap();
}

fn http_status(error: &PlaybackError) -> u16 {
    if let PlaybackError::Connect { source, .. } = error
        && let tungstenite::Error::Http(response) = &**source
    {
        return response.status().as_u16();
    }
    panic!("{error}");
}

#[tokio::test]
async fn with_a_key_only_twilio_may_stream() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let key = SigningKey::auth_token(TOKEN);
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.public_url = "https://calls.example.org".parse().unwrap();
    endpoint.keyring = Some(Keyring::new(TOKEN).unwrap());
    let server = RunningServer::start_with(|state| state.endpoint = Arc::new(endpoint)).await;
    let signer = |key: &SigningKey, url: &str| {
        let public_url = Some(url.to_owned());
        Some(RequestSigner {
            key: key.clone(),
            public_url,
        })
    };
    let stranger = SigningKey::auth_token("ffffffffffffffffffffffffffffffff");
    let (path, slash) = (
        "wss://calls.example.org/media",
        "wss://calls.example.org/media/",
    );
    for (called, signer, status) in [
        ("/media", signer(&key, path), None),
        ("/media", signer(&key, slash), None),
        ("/media/", signer(&key, slash), None),
        ("/media/", signer(&key, path), None),
        (
            "/media/secret",
            signer(&key, "wss://calls.example.org/media/secret"),
            None,
        ),
        ("/media/secret", signer(&key, path), Some(403)),
        (
            "/media",
            signer(&key, "wss://elsewhere.example.org/media"),
            Some(403),
        ),
        ("/media", signer(&stranger, path), Some(403)),
        ("/media", None, Some(403)),
    ] {
        let case = format!("{called} {signer:?}");
        let url = format!("ws://{}{called}", server.addr);
        let options = StreamOptions {
            signer,
            ..options(1)
        };
        let played = twilio_sim::play_call(&url, &RecordedCall::default(), &options).await;
        assert_eq!(played.err().as_ref().map(http_status), status, "{case}");
    }
}

#[tokio::test]
async fn beside_attackers_a_good_call_loses_no_word() {
    let quiet = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&quiet, &call(1)).await;
    twilio_sim::play_call(&url(&quiet), &cards(), &options(1))
        .await
        .unwrap();
    let alone = outline(browser.until(&call(1), is_over).await);
    assert!(alone.len() >= 8);

    let server = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&server, &call(1)).await;
    let (url, cards, options) = (url(&server), cards(), options(1));
    let play = async {
        let (played, ..) = tokio::join!(
            twilio_sim::play_call(&url, &cards, &options),
            send_megabytes(&server),
            send_binaries(&server),
            send_garbage(&server),
            send_foreign_formats(&server),
            send_broken_frames(&server),
        );
        played.unwrap();
        outline(browser.until(&call(1), is_over).await)
    };
    let beside = tokio::select! {
        beside = play => beside,
        () = flood(&server) => panic!("the flood was read to its end"),
    };
    assert_eq!(alone, beside);
}

async fn send_megabytes(server: &RunningServer) {
    for n in 10..14 {
        let mut stream = MediaClient::start(server.addr, n).await;
        let _ = stream.text(&"[".repeat(1 << 20)).await; // the server may hang up in the middle
        stream.closed().await;
        assert_eq!(reason(server, n).await, EndReason::ProtocolError);
    }
}

async fn send_binaries(server: &RunningServer) {
    let mut stream = MediaClient::start(server.addr, 20).await;
    while stream
        .frame(Message::binary(vec![0xff; 10_000]))
        .await
        .is_ok()
    {}
    assert_eq!(reason(server, 20).await, EndReason::ProtocolError);
}

async fn send_garbage(server: &RunningServer) {
    let mut stream = MediaClient::start(server.addr, 30).await;
    let deep = "[".repeat(60_000);
    let nonsense = [
        "{",
        "",
        "null",
        r#"{"event":7}"#,
        r#"{"event":"media"}"#,
        deep.as_str(),
    ];
    for text in nonsense.iter().cycle() {
        if stream.text(text).await.is_err() {
            break;
        }
    }
    assert_eq!(reason(server, 30).await, EndReason::ProtocolError);
}

/// Returns the end reason of the `n`th call.
async fn reason(server: &RunningServer, n: u32) -> EndReason {
    let mut browser = listener(server, &call(n)).await;
    let page = browser.until(&call(n), is_over).await;
    page.ended.unwrap()
}

async fn send_foreign_formats(server: &RunningServer) {
    for (ours, foreign) in [
        ("audio/x-mulaw", "audio/x-l16"),
        ("8000", "16000"),
        ("\"channels\":1", "\"channels\":2"),
    ] {
        let mut stream = MediaClient::open(server.addr).await;
        let start = stream.start_message(40);
        let changed = start.replace(ours, foreign);
        assert_ne!(start, changed);
        stream.text(&changed).await.unwrap();
        stream.closed().await;
    }
}

/// Sends frames with a false length, or with other violations of the protocol (RFC 6455, 5.2).
async fn send_broken_frames(server: &RunningServer) {
    let endless = [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &[1, 2, 3, 4], b"five"].concat();
    let mut fragments = [0x01, 0x80, 0, 0, 0, 0].to_vec();
    let piece = [
        &[0x00, 0xfe, 0x80, 0x00, 0, 0, 0, 0][..],
        &b"[".repeat(32_768),
    ]
    .concat();
    fragments.extend(piece.repeat(4));
    for (what, bytes) in [
        ("a frame of 2^63 bytes", endless),
        ("fragments without an end", fragments),
        ("a frame without a mask", b"\x81\x02hi".to_vec()),
        ("a reserved opcode", b"\x83\x80\0\0\0\0".to_vec()),
        ("a fragment of nothing", b"\x80\x80\0\0\0\0".to_vec()),
        (
            "text that is not UTF-8",
            b"\x81\x82\0\0\0\0\xff\xff".to_vec(),
        ),
        (
            "a long ping",
            [&[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0][..], &[0; 256]].concat(),
        ),
    ] {
        let mut raw = TcpStream::connect(server.addr).await.unwrap();
        let upgrade = format!(
            "GET /media/{} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            keys().simulator.expose()
        );
        raw.write_all(upgrade.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        with_timeout("the upgrade", raw.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        let _ = raw.write_all(&bytes).await; // the server may hang up in the middle
        let mut rest = Vec::new();
        let _ = with_timeout(what, raw.read_to_end(&mut rest)).await; // a reset is an end too
    }
    let mut cut_off = TcpStream::connect(server.addr).await.unwrap();
    cut_off
        .write_all(b"GET /media HTTP/1.1\r\nHost: lo")
        .await
        .unwrap();
}

/// Sends speech without a pause, as fast as the server reads.
async fn flood(server: &RunningServer) {
    let mut stream = MediaClient::start(server.addr, 50).await;
    let speech = speech();
    loop {
        for frame in speech.chunks(160) {
            let media = stream.media(frame);
            if stream.send_without_timeout(media).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn while_the_recogniser_is_stuck_the_socket_is_read_and_afterwards_every_final_comes() {
    let quick = RunningServer::start_with(without_stalls).await;
    let mut browser = listener(&quick, &call(1)).await;
    twilio_sim::play_call(&url(&quick), &cards(), &options(1))
        .await
        .unwrap();
    let wanted = outline(browser.until(&call(1), is_over).await);

    let gated = RecognizerGate::closed();
    let server = RunningServer::start_on(vec![gated.recognizer()], without_stalls).await;
    let gate = gated; // Dropped, and so opened, before the server joins its workers.
    let mut browser = listener(&server, &call(1)).await;
    // Returns when the server has read everything and has answered the close.
    let played = twilio_sim::play_call(&url(&server), &cards(), &options(1))
        .await
        .unwrap();
    assert!(played.is_whole);
    browser.settle().await;
    let page = browser.page(&call(1));
    assert_eq!(
        (page.segments.len(), page.partials.len(), page.ended),
        (0, 0, None)
    );
    let behind = |page: &CallView| page.engine == EngineHealth::Behind;
    browser.until(&call(1), behind).await;
    let told = server.get("/metrics", "").await.body;
    let age = figure(&told, "callburner_queue_age_seconds");
    assert!(age.is_some_and(|seconds| seconds > 1.0), "{age:?}");
    gate.open();
    let page = browser.until(&call(1), is_over).await;
    assert_eq!(outline(page), wanted);
    // At most one was running; the queued ones were replaced by newer ones, then by finals.
    assert!(
        gate.partials() <= 1,
        "{} partials were run",
        gate.partials()
    );
}
