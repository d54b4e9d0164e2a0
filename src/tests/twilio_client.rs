//! The REST client against the fake of Twilio's API.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Uri};
use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};

use super::serve;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN, ApiFault, FakeTwilio};
use crate::ids::{CallSid, RecordingSid};
use crate::limits;
use crate::tasks::Tasks;
use crate::transcript::RecordingStatus;
use crate::twilio::api::account::ApplicationSettings;
use crate::twilio::api::calls::{
    NewStream, NewTranscription, PauseBehavior, RecordingRef, StartRecording,
};
use crate::twilio::api::media::{MediaFormat, RecordingMedia};
use crate::twilio::api::retry::RetryPolicy;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig, TwilioError};
use crate::twilio::signature::{SignedPayload, SigningKey, verify};
use crate::twilio::tracks::TrackSelection;

fn start_with_call() -> (FakeTwilio, TwilioClient, CallSid) {
    let twilio = FakeTwilio::start(&Tasks::default());
    let (client, call) = (twilio.client(), twilio.call_in_progress());
    (twilio, client, call)
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
        tracks: TrackSelection::Both,
        status_callback: Some("https://x/s".to_owned()),
        parameters: vec![("a".to_owned(), "b c".to_owned())],
    }
}

async fn bytes(media: RecordingMedia) -> Vec<u8> {
    let pieces = media.bytes.map(Result::unwrap).collect::<Vec<_>>().await;
    pieces.concat()
}

#[tokio::test]
async fn a_recording_runs_is_held_goes_on_ends_and_is_heard() {
    let (twilio, client, call) = start_with_call();
    let recording = client.start_recording(&call, &ask()).await.unwrap();
    assert_eq!(recording.status, RecordingStatus::InProgress);
    assert_eq!((recording.channels, &recording.call_sid), (Some(2), &call));
    let sid = recording.sid;

    let current = RecordingRef::Current;
    let held = client
        .pause_recording(&call, current, PauseBehavior::Silence)
        .await;
    assert_eq!(held.unwrap().status, RecordingStatus::Paused);
    let again = client
        .resume_recording(&call, RecordingRef::Sid(&sid))
        .await;
    assert_eq!(again.unwrap().status, RecordingStatus::InProgress);
    let stopped = client.stop_recording(&call, RecordingRef::Sid(&sid)).await;
    assert_eq!(stopped.unwrap().status, RecordingStatus::Stopped);
    let none = client.stop_recording(&call, current).await.unwrap_err();
    assert!(none.is_not_found(), "{none}");

    let early = client.recording_media(&sid, MediaFormat::Wav, None).await;
    assert!(early.unwrap_err().is_not_found());
    twilio.finish_recording(&sid, b"0123456789");
    let ready = client.fetch_recording(&sid).await.unwrap();
    assert_eq!(ready.status, RecordingStatus::Completed);
    assert_eq!(ready.duration_seconds, Some(4));
    assert_eq!(client.list_recordings(&call).await.unwrap(), [ready]);

    client.delete_recording(&sid).await.unwrap();
    client.delete_recording(&sid).await.unwrap();
    assert!(
        client
            .fetch_recording(&sid)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

/// The bodies are those that Twilio's library for Python (9.13.0) sends for the same requests.
#[tokio::test]
async fn forms_are_those_of_twilios_own_library() {
    let (twilio, client, call) = start_with_call();
    client.start_recording(&call, &ask()).await.unwrap();
    let current = RecordingRef::Current;
    client
        .pause_recording(&call, current, PauseBehavior::Silence)
        .await
        .unwrap();
    client.start_stream(&call, &stream("n x/y")).await.unwrap();
    client.stop_stream(&call, "n x/y").await.unwrap();
    let words = NewTranscription {
        name: "n".to_owned(),
        status_callback: "https://x/rt".to_owned(),
        tracks: TrackSelection::Both,
        language: Some("en-US".to_owned()),
        partial_results: true,
    };
    client.start_transcription(&call, &words).await.unwrap();
    assert_eq!(twilio.transcriptions(&call), ["n"]);
    client.stop_transcription(&call, "n").await.unwrap();
    assert!(twilio.transcriptions(&call).is_empty());
    client.hang_up(&call).await.unwrap();

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
    let (twilio, client, _) = start_with_call();
    let settings = ApplicationSettings {
        friendly_name: "CallBurner".to_owned(),
        voice_url: "https://x/voice".to_owned(),
        voice_method: "POST".to_owned(),
        voice_fallback_url: "https://f/voice".to_owned(),
        voice_fallback_method: "POST".to_owned(),
        status_callback: "https://x/s".to_owned(),
        status_callback_method: "POST".to_owned(),
    };
    let made = client.create_application(&settings).await.unwrap();
    assert_eq!(made.settings, settings);
    assert_eq!(
        twilio.requests()[0].body,
        "VoiceUrl=https%3A%2F%2Fx%2Fvoice&VoiceMethod=POST\
         &VoiceFallbackUrl=https%3A%2F%2Ff%2Fvoice&VoiceFallbackMethod=POST\
         &StatusCallback=https%3A%2F%2Fx%2Fs&StatusCallbackMethod=POST&FriendlyName=CallBurner"
    );
    assert_eq!(client.fetch_application(&made.sid).await.unwrap(), made);
}

#[tokio::test]
async fn a_call_that_is_over_says_so() {
    let (twilio, client, call) = start_with_call();
    client.start_stream(&call, &stream("one")).await.unwrap();
    client.start_recording(&call, &ask()).await.unwrap();
    twilio.end_call(&call);
    assert!(twilio.streams(&call).is_empty());
    assert_eq!(twilio.recording_states(&call), ["processing"]);
    let errors = [
        client.hang_up(&call).await.unwrap_err(),
        client.start_recording(&call, &ask()).await.unwrap_err(),
        client
            .start_stream(&call, &stream("two"))
            .await
            .unwrap_err(),
        client.stop_stream(&call, "one").await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_call_ended(), "{error}");
    }
    let stranger = CallSid::parse("CAffffffffffffffffffffffffffffffff").unwrap();
    assert!(client.hang_up(&stranger).await.unwrap_err().is_not_found());
    twilio.add_call(&stranger);
    client.hang_up(&stranger).await.unwrap();
    assert_eq!(twilio.call_status(&stranger), Some("completed"));
}

#[tokio::test]
async fn what_was_not_processed_is_asked_again() {
    let (twilio, client, call) = start_with_call();
    twilio.fail_next(429);
    twilio.inject_fault_next(ApiFault::Refuse(429, Some(0)));
    client.start_recording(&call, &ask()).await.unwrap();
    assert_eq!(twilio.requests().len(), 3);

    for _ in 0..limits::REST_ATTEMPTS_MAX {
        twilio.fail_next(429);
    }
    let busy = client.start_stream(&call, &stream("n")).await.unwrap_err();
    assert!(busy.is_rate_limited(), "{busy}");
    let long = limits::REST_RETRY_AFTER_MAX.as_secs() + 1;
    twilio.inject_fault_next(ApiFault::Refuse(429, Some(long)));
    let busy = client.start_stream(&call, &stream("n")).await.unwrap_err();
    let wait = busy.error_response().unwrap().retry_after;
    assert_eq!(wait, Some(Duration::from_secs(long)));
    assert!(twilio.streams(&call).is_empty());
}

#[tokio::test]
async fn a_recording_whose_answer_was_lost_is_found_not_made_twice() {
    for trouble in [
        ApiFault::Lose,
        ApiFault::Stall,
        ApiFault::BreakOff,
        ApiFault::Garble,
    ] {
        let (twilio, _, call) = start_with_call();
        let retry_policy = RetryPolicy {
            request_timeout: Duration::from_secs(1),
            ..twilio.config().retry_policy
        };
        let client = TwilioClient::new(TwilioClientConfig {
            retry_policy,
            ..twilio.config()
        })
        .unwrap();
        // A recording by TwiML, and one that was stopped and is being processed, do not count.
        twilio.add_dial_recording(&call);
        let older = client.start_recording(&call, &ask()).await.unwrap().sid;
        client
            .stop_recording(&call, RecordingRef::Sid(&older))
            .await
            .unwrap();
        let known = StartRecording {
            known: vec![older.clone()],
            ..ask()
        };
        twilio.inject_fault_next(trouble);
        let found = client.start_recording(&call, &known).await;
        let found = found.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert_eq!(found.status, RecordingStatus::InProgress);
        assert_ne!(found.sid, older);
        let states = ["in-progress", "processing", "in-progress"];
        assert_eq!(twilio.recording_states(&call), states, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_creation_that_may_have_been_seen_is_not_repeated() {
    let (twilio, client, call) = start_with_call();
    // Nothing was created: neither an older recording nor one by TwiML is taken for the new one.
    let older = client.start_recording(&call, &ask()).await.unwrap().sid;
    let current = RecordingRef::Current;
    client.stop_recording(&call, current).await.unwrap();
    twilio.add_dial_recording(&call);
    let known = StartRecording {
        known: vec![older],
        ..ask()
    };
    twilio.fail_next(503);
    let error = client.start_recording(&call, &known).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(
        twilio.recording_states(&call),
        ["processing", "in-progress"]
    );
    twilio.inject_fault_next(ApiFault::Lose);
    let error = client.start_stream(&call, &stream("n")).await.unwrap_err();
    assert!(error.may_have_succeeded(), "{error}");
    assert_eq!(twilio.streams(&call), ["n"]);
}

#[tokio::test]
async fn reads_and_changes_survive_network_faults() {
    for trouble in [
        ApiFault::Lose,
        ApiFault::BreakOff,
        ApiFault::Refuse(502, None),
    ] {
        let (twilio, client, call) = start_with_call();
        let sid = client.start_recording(&call, &ask()).await.unwrap().sid;
        twilio.inject_fault_next(trouble);
        client.fetch_recording(&sid).await.unwrap();
        twilio.inject_fault_next(trouble);
        let held = RecordingRef::Sid(&sid);
        client
            .pause_recording(&call, held, PauseBehavior::Skip)
            .await
            .unwrap();
        assert_eq!(twilio.recording_states(&call), ["paused"], "{trouble:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_a_lost_answer() {
    let (twilio, ..) = start_with_call();
    // The port is bound, but has no listener.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}", taken.local_addr().unwrap());
    let client = TwilioClient::new(TwilioClientConfig {
        base_url,
        ..twilio.config()
    })
    .unwrap();
    let error = client.fetch_account().await.unwrap_err();
    assert!(matches!(error, TwilioError::Unreachable { .. }), "{error}");
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
    let (twilio, ..) = start_with_call();
    let base_url = format!("http://{addr}");
    let client = TwilioClient::new(TwilioClientConfig {
        base_url,
        ..twilio.config()
    })
    .unwrap();
    let error = client.fetch_account().await.unwrap_err();
    assert!(matches!(error, TwilioError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_token_and_a_key_where_none_will_do_are_denied() {
    let (twilio, client, _) = start_with_call();
    let wrong = ApiCredentials::AuthToken("wrong".into());
    let stranger = TwilioClient::new(TwilioClientConfig {
        credentials: wrong,
        ..twilio.config()
    })
    .unwrap();
    assert!(
        stranger
            .list_applications("x")
            .await
            .unwrap_err()
            .is_unauthorized()
    );
    let denied = client.fetch_account().await.unwrap_err();
    assert!(
        denied.is_unauthorized() && denied.to_string().contains("auth token"),
        "{denied}"
    );
    let owner = TwilioClient::new(twilio.config()).unwrap();
    assert_eq!(owner.fetch_account().await.unwrap().status, "active");
}

#[tokio::test]
async fn sound_comes_in_ranges_and_with_as_many_channels_as_there_are() {
    let (twilio, client, call) = start_with_call();
    let ask = StartRecording {
        mono: true,
        ..ask()
    };
    let sid = client.start_recording(&call, &ask).await.unwrap().sid;
    client
        .stop_recording(&call, RecordingRef::Current)
        .await
        .unwrap();
    twilio.finish_recording(&sid, b"0123456789");

    let all = client
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
    let part = client
        .recording_media(&sid, MediaFormat::Wav, Some(&range))
        .await
        .unwrap();
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers[CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(bytes(part).await, b"234");
    let beyond = HeaderValue::from_static("bytes=10-");
    let none = client
        .recording_media(&sid, MediaFormat::Wav, Some(&beyond))
        .await
        .unwrap();
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(none.headers[CONTENT_RANGE], "bytes */10");
}

#[tokio::test]
async fn sound_that_breaks_off_ends_with_an_error() {
    let (twilio, client, call) = start_with_call();
    let sid = ready(&twilio, &client, &call).await;
    twilio.inject_fault_next(ApiFault::BreakOff);
    let media = client
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap();
    let pieces: Vec<_> = media.bytes.collect().await;
    assert!(
        matches!(pieces.last(), Some(Err(TwilioError::Lost { .. }))),
        "{pieces:?}"
    );
}

#[tokio::test]
async fn sound_that_does_not_begin_is_not_waited_for_long() {
    let (twilio, client, call) = start_with_call();
    let sid = ready(&twilio, &client, &call).await;
    let retry_policy = RetryPolicy {
        request_timeout: Duration::from_millis(50),
        attempts_max: 1,
        ..twilio.config().retry_policy
    };
    let hasty = TwilioClient::new(TwilioClientConfig {
        retry_policy,
        ..twilio.config()
    })
    .unwrap();
    twilio.inject_fault_next(ApiFault::Stall);
    let error = hasty
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert!(matches!(error, TwilioError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn credentials_follow_no_redirect_to_strangers() {
    let heard = Arc::new(Mutex::new(Vec::<HeaderMap>::new()));
    let log = heard.clone();
    let listen = move |headers: HeaderMap| async move { log.lock().unwrap().push(headers) };
    let stranger = serve(Router::new().fallback(listen), &Tasks::default());
    let (twilio, client, call) = start_with_call();
    let sid = ready(&twilio, &client, &call).await;
    twilio.redirect_media_to(&format!("http://{stranger}/recording.wav"));
    let error = client
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert_eq!(error, TwilioError::ForeignHost);
    assert!(heard.lock().unwrap().is_empty());

    let here: Uri = twilio.config().base_url.parse().unwrap();
    twilio.redirect_media_to(&format!(
        "{here}2010-04-01/Accounts/{ACCOUNT}/Recordings/{}.wav",
        sid.as_str()
    ));
    let circle = client
        .recording_media(&sid, MediaFormat::Wav, None)
        .await
        .unwrap_err();
    assert!(matches!(circle, TwilioError::Unreadable { .. }), "{circle}");
}

async fn ready(twilio: &FakeTwilio, client: &TwilioClient, call: &CallSid) -> RecordingSid {
    let sid = client.start_recording(call, &ask()).await.unwrap().sid;
    client
        .stop_recording(call, RecordingRef::Current)
        .await
        .unwrap();
    twilio.finish_recording(&sid, b"0123456789");
    sid
}

#[tokio::test]
async fn the_stand_in_signs_its_callbacks_and_tells_of_recordings_and_streams() {
    let (twilio, client, call) = start_with_call();
    ready(&twilio, &client, &call).await;
    client.start_stream(&call, &stream("n")).await.unwrap();
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
            SigningKey::auth_token(AUTH_TOKEN),
            format!("https://x.example{uri}"),
        );
        match verify(&key, &url, SignedPayload::Form(&form), signature) {
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
    client.start_recording(&other, &ask()).await.unwrap();
    assert_eq!(twilio.deliver_all(server).await, [204]);
}
