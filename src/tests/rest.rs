//! Stories of the REST client and the stand-in for Twilio.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Uri};
use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};

use super::serve;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN, FakeTwilio, Trouble};
use crate::ids::{CallSid, RecordingSid};
use crate::limits;
use crate::tasks::Tasks;
use crate::transcript::RecordingStatus;
use crate::twilio::rest::account::ApplicationSettings;
use crate::twilio::rest::calls::{
    NewStream, NewTranscription, PauseBehavior, RecordingRef, StartRecording,
};
use crate::twilio::rest::media::{Media, MediaFormat};
use crate::twilio::rest::retry::Patience;
use crate::twilio::rest::{Credentials, Rest, RestConfig, RestError};
use crate::twilio::signature::{Key, Payload, verify};
use crate::twilio::tracks::Tracks;

fn world() -> (FakeTwilio, Rest, CallSid) {
    let twilio = FakeTwilio::start(&Tasks::default());
    let (rest, call) = (twilio.rest(), twilio.call_in_progress());
    (twilio, rest, call)
}

fn ask() -> StartRecording {
    StartRecording {
        callback: Some("https://x.example/r?a=1".to_owned()),
        ..StartRecording::default()
    }
}

fn stream(name: &str) -> NewStream {
    NewStream {
        url: "wss://x/ws".to_owned(),
        name: name.to_owned(),
        tracks: Tracks::Both,
        status_callback: Some("https://x/s".to_owned()),
        parameters: vec![("a".to_owned(), "b c".to_owned())],
    }
}

async fn bytes(media: Media) -> Vec<u8> {
    let pieces = media.bytes.map(Result::unwrap).collect::<Vec<_>>().await;
    pieces.concat()
}

#[tokio::test]
async fn a_recording_runs_is_held_goes_on_ends_and_is_heard() {
    let (twilio, rest, call) = world();
    let recording = rest.start_recording(&call, &ask()).await.unwrap();
    assert_eq!(recording.status, RecordingStatus::InProgress);
    assert_eq!((recording.channels, &recording.call_sid), (Some(2), &call));
    let sid = recording.sid;

    let current = RecordingRef::Current;
    let held = rest
        .pause_recording(&call, current, PauseBehavior::Silence)
        .await;
    assert_eq!(held.unwrap().status, RecordingStatus::Paused);
    let again = rest.resume_recording(&call, RecordingRef::Sid(&sid)).await;
    assert_eq!(again.unwrap().status, RecordingStatus::InProgress);
    let stopped = rest.stop_recording(&call, RecordingRef::Sid(&sid)).await;
    assert_eq!(stopped.unwrap().status, RecordingStatus::Stopped);
    let none = rest.stop_recording(&call, current).await.unwrap_err();
    assert!(none.is_gone(), "{none}");

    let early = rest.recording_media(&sid, MediaFormat::Wav, None).await;
    assert!(early.unwrap_err().is_gone());
    twilio.finish_recording(&sid, b"0123456789");
    let ready = rest.recording(&sid).await.unwrap();
    assert_eq!(ready.status, RecordingStatus::Completed);
    assert_eq!(ready.duration_seconds, Some(4));
    assert_eq!(rest.recordings(&call).await.unwrap(), [ready]);

    rest.delete_recording(&sid).await.unwrap();
    rest.delete_recording(&sid).await.unwrap();
    assert!(rest.recording(&sid).await.unwrap_err().is_gone());
}

/// The bodies are those that Twilio's library for Python (9.13.0) sends for the same wishes.
#[tokio::test]
async fn forms_are_those_of_twilios_own_library() {
    let (twilio, rest, call) = world();
    rest.start_recording(&call, &ask()).await.unwrap();
    let current = RecordingRef::Current;
    rest.pause_recording(&call, current, PauseBehavior::Silence)
        .await
        .unwrap();
    rest.start_stream(&call, &stream("n x/y")).await.unwrap();
    rest.stop_stream(&call, "n x/y").await.unwrap();
    let words = NewTranscription {
        name: "n".to_owned(),
        status_callback: "https://x/rt".to_owned(),
        tracks: Tracks::Both,
        language: Some("en-US".to_owned()),
        partial_results: true,
    };
    rest.start_transcription(&call, &words).await.unwrap();
    assert_eq!(twilio.transcriptions(&call), ["n"]);
    rest.stop_transcription(&call, "n").await.unwrap();
    assert!(twilio.transcriptions(&call).is_empty());
    rest.hang_up(&call).await.unwrap();

    let of_call = format!("/Calls/{}", call.as_str());
    let expected = [
        (
            "/Recordings.json",
            "RecordingStatusCallbackEvent=in-progress&RecordingStatusCallbackEvent=completed\
             &RecordingStatusCallbackEvent=absent\
             &RecordingStatusCallback=https%3A%2F%2Fx.example%2Fr%3Fa%3D1\
             &RecordingStatusCallbackMethod=POST&Trim=do-not-trim&RecordingChannels=dual\
             &RecordingTrack=both",
        ),
        (
            "/Recordings/Twilio.CURRENT.json",
            "Status=paused&PauseBehavior=silence",
        ),
        (
            "/Streams.json",
            "Url=wss%3A%2F%2Fx%2Fws&Name=n+x%2Fy&Track=both_tracks\
             &StatusCallback=https%3A%2F%2Fx%2Fs&StatusCallbackMethod=POST\
             &Parameter1.Name=a&Parameter1.Value=b+c",
        ),
        ("/Streams/n%20x%2Fy.json", "Status=stopped"),
        (
            "/Transcriptions.json",
            "Name=n&Track=both_tracks&StatusCallbackUrl=https%3A%2F%2Fx%2Frt\
             &StatusCallbackMethod=POST&PartialResults=true&LanguageCode=en-US",
        ),
        ("/Transcriptions/n.json", "Status=stopped"),
        (".json", "Status=completed"),
    ];
    let seen = twilio.requests();
    assert_eq!(seen.len(), expected.len());
    for (seen, (path, body)) in seen.iter().zip(expected) {
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.path, format!("{of_call}{path}"));
        assert_eq!(seen.body, body, "{path}");
    }
}

#[tokio::test]
async fn an_application_is_set_as_twilios_own_library_sets_it() {
    let (twilio, rest, _) = world();
    let settings = ApplicationSettings {
        friendly_name: "CallBurner".to_owned(),
        voice_url: "https://x/voice".to_owned(),
        voice_method: "POST".to_owned(),
        voice_fallback_url: "https://f/voice".to_owned(),
        voice_fallback_method: "POST".to_owned(),
        status_callback: "https://x/s".to_owned(),
        status_callback_method: "POST".to_owned(),
    };
    let made = rest.create_application(&settings).await.unwrap();
    assert_eq!(made.settings, settings);
    assert_eq!(
        twilio.requests()[0].body,
        "VoiceUrl=https%3A%2F%2Fx%2Fvoice&VoiceMethod=POST\
         &VoiceFallbackUrl=https%3A%2F%2Ff%2Fvoice&VoiceFallbackMethod=POST\
         &StatusCallback=https%3A%2F%2Fx%2Fs&StatusCallbackMethod=POST&FriendlyName=CallBurner"
    );
    assert_eq!(rest.application(&made.sid).await.unwrap(), made);
}

#[tokio::test]
async fn a_call_that_is_over_says_so() {
    let (twilio, rest, call) = world();
    rest.start_stream(&call, &stream("one")).await.unwrap();
    rest.start_recording(&call, &ask()).await.unwrap();
    twilio.end_call(&call);
    assert!(twilio.streams(&call).is_empty());
    assert_eq!(twilio.recording_states(&call), ["processing"]);
    let errors = [
        rest.hang_up(&call).await.unwrap_err(),
        rest.start_recording(&call, &ask()).await.unwrap_err(),
        rest.start_stream(&call, &stream("two")).await.unwrap_err(),
        rest.stop_stream(&call, "one").await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_already_over(), "{error}");
    }
    let stranger = CallSid::parse("CAffffffffffffffffffffffffffffffff").unwrap();
    assert!(rest.hang_up(&stranger).await.unwrap_err().is_gone());
    twilio.knows_call(&stranger);
    rest.hang_up(&stranger).await.unwrap();
    assert_eq!(twilio.call_status(&stranger), Some("completed"));
}

#[tokio::test]
async fn what_was_not_processed_is_asked_again() {
    let (twilio, rest, call) = world();
    twilio.fail_next(429);
    twilio.trouble_next(Trouble::Refuse(429, Some(0)));
    rest.start_recording(&call, &ask()).await.unwrap();
    assert_eq!(twilio.requests().len(), 3);

    for _ in 0..limits::REST_ATTEMPTS_MAX {
        twilio.fail_next(429);
    }
    let busy = rest.start_stream(&call, &stream("n")).await.unwrap_err();
    assert!(busy.is_busy(), "{busy}");
    let long = limits::REST_RETRY_AFTER_MAX.as_secs() + 1;
    twilio.trouble_next(Trouble::Refuse(429, Some(long)));
    let busy = rest.start_stream(&call, &stream("n")).await.unwrap_err();
    let wait = busy.refusal().unwrap().retry_after;
    assert_eq!(wait, Some(Duration::from_secs(long)));
    assert!(twilio.streams(&call).is_empty());
}

#[tokio::test]
async fn a_recording_whose_answer_was_lost_is_found_not_made_twice() {
    for trouble in [
        Trouble::Lose,
        Trouble::Stall,
        Trouble::BreakOff,
        Trouble::Garble,
    ] {
        let (twilio, _, call) = world();
        let patience = Patience {
            request: Duration::from_secs(1),
            ..twilio.config().patience
        };
        let rest = Rest::new(RestConfig {
            patience,
            ..twilio.config()
        })
        .unwrap();
        // One of TwiML's, and one that was stopped and is not ready yet, are not it.
        twilio.recording_by_dial(&call);
        let older = rest.start_recording(&call, &ask()).await.unwrap().sid;
        rest.stop_recording(&call, RecordingRef::Sid(&older))
            .await
            .unwrap();
        let known = StartRecording {
            known: vec![older.clone()],
            ..ask()
        };
        twilio.trouble_next(trouble);
        let found = rest.start_recording(&call, &known).await;
        let found = found.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert_eq!(found.status, RecordingStatus::InProgress);
        assert_ne!(found.sid, older);
        let states = ["in-progress", "processing", "in-progress"];
        assert_eq!(twilio.recording_states(&call), states, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_creation_that_may_have_been_seen_is_not_repeated() {
    let (twilio, rest, call) = world();
    // Nothing was made: neither an older one nor one of TwiML's is taken for it.
    let older = rest.start_recording(&call, &ask()).await.unwrap().sid;
    let current = RecordingRef::Current;
    rest.stop_recording(&call, current).await.unwrap();
    twilio.recording_by_dial(&call);
    let known = StartRecording {
        known: vec![older],
        ..ask()
    };
    twilio.fail_next(503);
    let error = rest.start_recording(&call, &known).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(
        twilio.recording_states(&call),
        ["processing", "in-progress"]
    );
    twilio.trouble_next(Trouble::Lose);
    let error = rest.start_stream(&call, &stream("n")).await.unwrap_err();
    assert!(error.is_in_doubt(), "{error}");
    assert_eq!(twilio.streams(&call), ["n"]);
}

#[tokio::test]
async fn reads_and_changes_survive_trouble_on_the_way() {
    for trouble in [Trouble::Lose, Trouble::BreakOff, Trouble::Refuse(502, None)] {
        let (twilio, rest, call) = world();
        let sid = rest.start_recording(&call, &ask()).await.unwrap().sid;
        twilio.trouble_next(trouble);
        rest.recording(&sid).await.unwrap();
        twilio.trouble_next(trouble);
        let held = RecordingRef::Sid(&sid);
        rest.pause_recording(&call, held, PauseBehavior::Skip)
            .await
            .unwrap();
        assert_eq!(twilio.recording_states(&call), ["paused"], "{trouble:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_a_lost_answer() {
    let (twilio, ..) = world();
    // Taken, but nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}", taken.local_addr().unwrap());
    let rest = Rest::new(RestConfig {
        base_url,
        ..twilio.config()
    })
    .unwrap();
    let error = rest.account().await.unwrap_err();
    assert!(matches!(error, RestError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains(ACCOUNT), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_not_read_to_its_end() {
    let flood = || async {
        let piece = vec![b' '; 1024 * 1024];
        let pieces = std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        axum::body::Body::from_stream(futures_util::stream::iter(pieces))
    };
    let addr = serve(Router::new().fallback(flood), &Tasks::default());
    let (twilio, ..) = world();
    let base_url = format!("http://{addr}");
    let rest = Rest::new(RestConfig {
        base_url,
        ..twilio.config()
    })
    .unwrap();
    let error = rest.account().await.unwrap_err();
    assert!(matches!(error, RestError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_token_and_a_key_where_none_will_do_are_denied() {
    let (twilio, rest, _) = world();
    let wrong = Credentials::AuthToken("wrong".into());
    let stranger = Rest::new(RestConfig {
        credentials: wrong,
        ..twilio.config()
    })
    .unwrap();
    assert!(stranger.applications("x").await.unwrap_err().is_denied());
    let denied = rest.account().await.unwrap_err();
    assert!(
        denied.is_denied() && denied.to_string().contains("auth token"),
        "{denied}"
    );
    let owner = Rest::new(twilio.config()).unwrap();
    assert_eq!(owner.account().await.unwrap().status, "active");
}

#[tokio::test]
async fn sound_comes_in_ranges_and_with_as_many_channels_as_there_are() {
    let (twilio, rest, call) = world();
    let ask = StartRecording {
        mono: true,
        ..ask()
    };
    let sid = rest.start_recording(&call, &ask).await.unwrap().sid;
    rest.stop_recording(&call, RecordingRef::Current)
        .await
        .unwrap();
    twilio.finish_recording(&sid, b"0123456789");

    let all = rest
        .recording_media(&sid, MediaFormat::Mp3, None)
        .await
        .unwrap();
    assert_eq!(all.status, StatusCode::OK);
    assert_eq!(all.headers[CONTENT_TYPE], "audio/mpeg");
    assert_eq!(bytes(all).await, b"0123456789");
    let asked: Vec<String> = twilio
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    let media = format!("/Recordings/{}.mp3?RequestedChannels=", sid.as_str());
    assert_eq!(
        asked[asked.len() - 2..],
        [format!("{media}2"), format!("{media}1")]
    );

    let range = HeaderValue::from_static("bytes=2-4");
    let part = rest
        .recording_media(&sid, MediaFormat::Wav, Some(&range))
        .await
        .unwrap();
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers[CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(bytes(part).await, b"234");
    let beyond = HeaderValue::from_static("bytes=10-");
    let none = rest
        .recording_media(&sid, MediaFormat::Wav, Some(&beyond))
        .await
        .unwrap();
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(none.headers[CONTENT_RANGE], "bytes */10");
}

#[tokio::test]
async fn sound_that_breaks_off_ends_with_an_error() {
    let (twilio, rest, call) = world();
    let sid = ready(&twilio, &rest, &call).await;
    twilio.trouble_next(Trouble::BreakOff);
    let media = rest
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap();
    let pieces: Vec<_> = media.bytes.collect().await;
    assert!(
        matches!(pieces.last(), Some(Err(RestError::Lost { .. }))),
        "{pieces:?}"
    );
}

#[tokio::test]
async fn sound_that_does_not_begin_is_not_waited_for_long() {
    let (twilio, rest, call) = world();
    let sid = ready(&twilio, &rest, &call).await;
    let patience = Patience {
        request: Duration::from_millis(50),
        attempts_max: 1,
        ..twilio.config().patience
    };
    let hasty = Rest::new(RestConfig {
        patience,
        ..twilio.config()
    })
    .unwrap();
    twilio.trouble_next(Trouble::Stall);
    let error = hasty
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert!(matches!(error, RestError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn credentials_follow_no_redirect_to_strangers() {
    let heard = Arc::new(Mutex::new(Vec::<HeaderMap>::new()));
    let log = heard.clone();
    let listen = move |headers: HeaderMap| async move { log.lock().unwrap().push(headers) };
    let stranger = serve(Router::new().fallback(listen), &Tasks::default());
    let (twilio, rest, call) = world();
    let sid = ready(&twilio, &rest, &call).await;
    twilio.keep_media_at(&format!("http://{stranger}/recording.wav"));
    let error = rest
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert_eq!(error, RestError::Elsewhere);
    assert!(heard.lock().unwrap().is_empty());

    let here: Uri = twilio.config().base_url.parse().unwrap();
    twilio.keep_media_at(&format!(
        "{here}2010-04-01/Accounts/{ACCOUNT}/Recordings/{}.wav",
        sid.as_str()
    ));
    let circle = rest
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert!(matches!(circle, RestError::Unreadable { .. }), "{circle}");
}

async fn ready(twilio: &FakeTwilio, rest: &Rest, call: &CallSid) -> RecordingSid {
    let sid = rest.start_recording(call, &ask()).await.unwrap().sid;
    rest.stop_recording(call, RecordingRef::Current)
        .await
        .unwrap();
    twilio.finish_recording(&sid, b"0123456789");
    sid
}

#[tokio::test]
async fn the_stand_in_signs_its_callbacks_and_tells_of_recordings_and_streams() {
    let (twilio, rest, call) = world();
    ready(&twilio, &rest, &call).await;
    rest.start_stream(&call, &stream("n")).await.unwrap();
    twilio.end_call(&call);
    let waiting = twilio.take_callbacks();
    let said = |name| {
        let fields = waiting.iter().flat_map(|callback| callback.form.iter());
        let named = fields.filter(move |(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(said("RecordingStatus"), ["in-progress", "completed"]);
    assert_eq!(said("StreamEvent"), ["stream-started", "stream-stopped"]);

    // A server that only checks signatures.
    let check = |uri: Uri, headers: HeaderMap, body: String| async move {
        let url = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
        let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let signature = headers["x-twilio-signature"].to_str().unwrap();
        let (key, url) = (
            Key::auth_token(AUTH_TOKEN),
            format!("https://x.example{uri}"),
        );
        match verify(&key, &url, Payload::Form(&form), signature) {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(_) => StatusCode::FORBIDDEN,
        }
    };
    let server = serve(Router::new().fallback(check), &Tasks::default());
    let answer = twilio.deliver(server, &waiting[0]).await;
    assert_eq!(answer.status, 204);
    let mine = twilio.callback("https://x.example/s?a=1", &[("To", "+14155550123 ü")]);
    assert_eq!(twilio.deliver(server, &mine).await.status, 204);
    let strange = twilio.callback("https://another.example/s", &[]);
    assert_eq!(twilio.deliver(server, &strange).await.status, 403);

    let other = twilio.call_in_progress();
    rest.start_recording(&other, &ask()).await.unwrap();
    assert_eq!(twilio.deliver_all(server).await, [204]);
}
