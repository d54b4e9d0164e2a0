//! Tests of `twilio_sim/mod.rs`.

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws;
use axum::http::HeaderMap;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::tasks::Tasks;
use crate::transcript::EndReason;
use crate::twilio::signature::SignedPayload;
use crate::twilio::stream::session::SessionInput;
use crate::twilio::stream::session::SessionOutput;
use crate::twilio::stream::session::StreamBinding;
use crate::twilio::stream::session::StreamSession;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn options() -> StreamOptions {
    let call_sid = CallSid::parse("CA00000000000000000000000000000007").unwrap();
    let stream_sid = StreamSid::parse("MZ00000000000000000000000000000007").unwrap();
    let parameters = BTreeMap::from([("secret".to_owned(), "s".to_owned())]);
    StreamOptions {
        parameters,
        speed: f64::INFINITY,
        ..StreamOptions::new(call_sid, stream_sid)
    }
}

/// Every μ-law code in turn; the second track is shorter than the first.
fn call() -> RecordedCall {
    let codes = |skip: usize, length| (0..=255).cycle().skip(skip).take(length).collect();
    RecordedCall {
        inbound: codes(0, 8_050),
        outbound: codes(99, 3_210),
    }
}

/// The messages that a server received on one socket.
#[derive(Debug, Default)]
struct ReceivedMessages {
    signature: Option<String>,
    texts: Vec<String>,
    binaries: Vec<Vec<u8>>,
    outputs: Vec<SessionOutput>,
    has_closed: bool,
    last_at: Option<Instant>,
}

/// Starts a server that passes up to `messages_max` messages of one socket to a session; returns its URL
/// and the receiver of its output.
async fn server(tasks: &Tasks, messages_max: usize) -> (String, mpsc::Receiver<ReceivedMessages>) {
    let (tell, heard) = mpsc::channel(1);
    let upgrade = async move |headers: HeaderMap, upgrade: WebSocketUpgrade| {
        let signature = headers
            .get("x-twilio-signature")
            .map(|value| value.to_str().unwrap().to_owned());
        upgrade.on_upgrade(async move |socket| {
            let heard = listen(socket, messages_max).await;
            tell.send(ReceivedMessages { signature, ..heard })
                .await
                .unwrap();
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/media", listener.local_addr().unwrap());
    let router = Router::new().route("/media", any(upgrade));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, heard)
}

async fn listen(mut socket: ws::WebSocket, messages_max: usize) -> ReceivedMessages {
    let mut session = StreamSession::new(clock::now(), StreamBinding::default());
    let mut heard = ReceivedMessages::default();
    for _ in 0..messages_max {
        let message = socket.recv().await;
        let now = clock::now();
        match &message {
            Some(Ok(ws::Message::Text(text))) => {
                heard.texts.push(text.to_string());
                heard.last_at = Some(now);
                session.handle(now, SessionInput::Text(text));
            }
            Some(Ok(ws::Message::Binary(bytes))) => {
                heard.binaries.push(bytes.to_vec());
                session.handle(now, SessionInput::Binary);
            }
            Some(Ok(ws::Message::Close(_))) => heard.has_closed = true,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => session.handle(now, SessionInput::Closed),
        }
        heard.outputs.extend(std::iter::from_fn(|| session.poll()));
        if matches!(message, Some(Err(_)) | None) {
            break;
        }
    }
    heard
        .outputs
        .retain(|output| !matches!(output, SessionOutput::Timeout(_)));
    heard
}

fn audio(outputs: &[SessionOutput], wanted: Track) -> Vec<u8> {
    let mut audio = Vec::new();
    for output in outputs {
        if let SessionOutput::Audio { track, mulaw, .. } = output
            && *track == wanted
        {
            audio.extend_from_slice(mulaw);
        }
    }
    audio
}

#[tokio::test]
async fn a_session_hears_what_was_played() {
    let tasks = Tasks::default();
    let (url, mut heard) = server(&tasks, usize::MAX).await;
    let (call, options) = (call(), options());
    let played = play_call(&url, &call, &options).await.unwrap();
    let heard = heard.recv().await.unwrap();

    let [
        SessionOutput::Started(start),
        ..,
        SessionOutput::Ended(EndReason::Stopped),
    ] = &heard.outputs[..]
    else {
        panic!("{:?}", heard.outputs.last());
    };
    assert_eq!(
        (&start.call_sid, &start.stream_sid),
        (&options.call_sid, &options.stream_sid)
    );
    assert_eq!(
        (&start.parameters, start.tracks.len()),
        (&options.parameters, 2)
    );
    for (track, recorded) in [
        (Track::Inbound, &call.inbound),
        (Track::Outbound, &call.outbound),
    ] {
        let heard = audio(&heard.outputs, track);
        assert_eq!(heard.len(), 51 * FRAME_SAMPLES);
        assert_eq!(heard[..recorded.len()], recorded[..]);
        assert!(heard[recorded.len()..].iter().all(|&code| code == SILENCE));
    }
    assert!(heard.has_closed && played.is_whole);
    assert_eq!((played.sent, heard.texts.len()), (3 + 2 * 51, 3 + 2 * 51));
    assert_eq!(heard.signature, None);
}

#[tokio::test]
async fn the_upgrade_is_signed_for_the_public_url() {
    let tasks = Tasks::default();
    let (url, mut heard) = server(&tasks, usize::MAX).await;
    let public_url = "wss://callburner.example.com/ws/twilio/media".to_owned();
    let key = SigningKey::auth_token(TOKEN);
    let signer = RequestSigner {
        key: key.clone(),
        public_url: Some(public_url.clone()),
    };
    let options = StreamOptions {
        signer: Some(signer),
        ..options()
    };
    play_call(&url, &RecordedCall::default(), &options)
        .await
        .unwrap();
    let signature = heard.recv().await.unwrap().signature.unwrap();
    assert_eq!(signature, "jBXy345IJTDIvsID7Ei8YeEcD8Q=");
    assert_eq!(
        signature::verify(&key, &public_url, SignedPayload::None, &signature),
        Ok(())
    );
}

#[tokio::test]
async fn a_frame_never_leaves_before_it_was_spoken() {
    let tasks = Tasks::default();
    let (url, mut heard) = server(&tasks, usize::MAX).await;
    let call = RecordedCall {
        inbound: vec![SILENCE; 3_200],
        outbound: Vec::new(),
    };
    let options = StreamOptions {
        speed: 4.0,
        ..options()
    };
    let played = play_call(&url, &call, &options).await.unwrap();
    let stop_at = heard.recv().await.unwrap().last_at.unwrap();
    assert!(stop_at >= played.spoken_at(400));
    assert_eq!(
        played.spoken_at(400),
        played.started + Duration::from_millis(100)
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_is_noticed() {
    let tasks = Tasks::default();
    let (url, _heard) = server(&tasks, 3).await;
    let call = RecordedCall {
        inbound: vec![SILENCE; 8_000 * 60 * 60],
        outbound: Vec::new(),
    };
    let error = play_call(
        &url,
        &call,
        &StreamOptions {
            speed: 1_000.0,
            ..options()
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, PlaybackError::ClosedEarly { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_server_and_not_the_secret_of_the_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let url = format!("{server}/media/s3cret");
    let error = play_call(&url, &call(), &options()).await.unwrap_err();
    assert!(matches!(error, PlaybackError::Connect { .. }));
    let said = error.to_string();
    assert!(said.contains(&server) && !said.contains("s3cret"), "{said}");
    let error = play_call("not a url", &call(), &options())
        .await
        .unwrap_err();
    assert!(matches!(error, PlaybackError::Url { .. }), "{error}");
}

#[tokio::test]
async fn a_capture_is_replayed_to_the_letter() {
    let tasks = Tasks::default();
    for (last, has_closed) in [("close", true), ("drop", false)] {
        let (url, mut heard) = server(&tasks, usize::MAX).await;
        let capture = format!(
            "{{\"atMs\":0,\"text\":\"{{ garbage \\\"}}\"}}\n\n{{\"atMs\":7,\"binary\":\"AAEC\"}}\n\
             {{\"atMs\":7,\"text\":\"\"}}\n{{\"atMs\":9,\"{last}\":true}}\n"
        );
        let steps = parse_capture(&capture).unwrap();
        let played = replay_capture(&url, &steps, f64::INFINITY, None)
            .await
            .unwrap();
        let heard = heard.recv().await.unwrap();
        assert_eq!(heard.texts, ["{ garbage \"}", ""]);
        assert_eq!(heard.binaries, [[0, 1, 2]]);
        assert_eq!(
            heard.outputs,
            [SessionOutput::Ended(EndReason::NeverStarted)]
        );
        assert_eq!(
            (heard.has_closed, played.sent, played.is_whole),
            (has_closed, 3, true)
        );
    }
}

#[test]
fn a_capture_that_is_none_is_refused_with_its_line() {
    for (capture, line) in [
        ("{\"atMs\":0,\"text\":\"\"}\nx", 2),
        ("{\"atMs\":0}", 1),
        ("{\"text\":\"\"}", 1),
        ("{\"atMs\":0,\"text\":\"\",\"close\":true}", 1),
        ("{\"atMs\":0,\"txt\":\"\"}", 1),
        ("\n{\"atMs\":0,\"binary\":\"*\"}", 2),
        ("{\"atMs\":5,\"text\":\"\"}\n{\"atMs\":4,\"text\":\"\"}", 2),
    ] {
        match parse_capture(capture) {
            Err(PlaybackError::Capture { line: found, .. }) => {
                assert_eq!(found, line, "{capture}");
            }
            other => panic!("{capture}: {other:?}"),
        }
    }
}

#[test]
fn a_call_is_numbered_stamped_and_paced_as_twilio_does() {
    let (call, options) = (
        call(),
        StreamOptions {
            jitter_ms_max: 9,
            seed: 5,
            ..options()
        },
    );
    let steps: Vec<SocketStep> = socket_steps(&call, &options).collect();
    let messages: Vec<(u64, StreamMessage)> = steps
        .iter()
        .filter_map(|step| match &step.action {
            SocketAction::Text(text) => Some((step.at_ms, StreamMessage::parse(text).unwrap())),
            SocketAction::Binary(_) | SocketAction::Close | SocketAction::Drop => None,
        })
        .collect();
    assert_eq!(
        steps.last(),
        Some(&SocketStep {
            at_ms: 51 * 20,
            action: SocketAction::Close
        })
    );
    assert!(
        messages
            .iter()
            .skip(1)
            .map(|(_, m)| m.sequence)
            .eq((1..=104).map(Some))
    );
    let mut jitters = Vec::new();
    for track in Track::ALL {
        let mut chunk = 0;
        for (at_ms, message) in &messages {
            let MessageBody::Media(media) = &message.body else {
                continue;
            };
            if media.track == track {
                jitters.push(media.timestamp_ms.cast_signed() - (100 + 20 * chunk));
                chunk += 1;
                assert_eq!(media.chunk, Some(chunk.cast_unsigned()));
                assert_eq!(*at_ms, 20 * chunk.cast_unsigned());
            }
        }
        assert_eq!(chunk, 51);
    }
    assert!(jitters.iter().all(|jitter| (-9..=9).contains(jitter)));
    assert!(jitters.iter().any(|&jitter| jitter < -5) && jitters.iter().any(|&j| j > 5));
    assert!(
        socket_steps(&call, &options).eq(steps),
        "the same seed gave another call"
    );
}

#[test]
fn recordings_become_tracks_to_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.wav"), folder.path().join("b.wav"));
    // 0x7f, the other zero, is decoded and encoded to 0xff.
    let codes: Vec<u8> = (0..=255).filter(|&code| code != 0x7f).collect();
    std::fs::write(&a, crate::audio::recording::wav_from_mulaw(&codes).unwrap()).unwrap();
    std::fs::write(
        &b,
        crate::audio::recording::wav_from_mulaw(&codes[..100]).unwrap(),
    )
    .unwrap();
    let call = RecordedCall::read_tracks(&a, &b).unwrap();
    assert_eq!((&call.inbound, &call.outbound[..]), (&codes, &codes[..100]));
    assert!((call.seconds() - 255.0 / 8_000.0).abs() < 1e-9);
    assert_eq!(
        RecordedCall::read_recording(&a).unwrap(),
        RecordedCall {
            inbound: codes,
            outbound: Vec::new()
        }
    );
}
