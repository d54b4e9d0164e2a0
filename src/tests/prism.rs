//! Twilio's own API description: every method of the REST client against Prism, which serves Twilio's
//! `OpenAPI` file and refuses requests that the file does not allow.
//!
//! ```text
//! npm install @stoplight/prism-cli@5.14.2
//! fixtures/oracles/mockable twilio_api_v2010.json mockable.json
//! prism mock -h 127.0.0.1 -p 4010 --errors mockable.json
//! PRISM_URL=http://127.0.0.1:4010 cargo test -- --ignored prism
//! ```
//!
//! The file is from <https://github.com/twilio/twilio-oai>; `mockable` documents why Prism cannot serve it
//! unchanged. The audio of a recording is not part of it.

use reqwest::StatusCode;

use crate::ids::{AccountSid, ApplicationSid, CallSid, E164, PhoneNumberSid, RecordingSid};
use crate::twilio::api::account::{ApplicationSettings, IncomingNumber};
use crate::twilio::api::calls::{
    NewStream, NewTranscription, PauseBehavior, RecordingRef, StartRecording,
};
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig, TwilioError};
use crate::twilio::tracks::TrackSelection;

const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// The outcome of each method.
struct CallVerdicts {
    refused: Vec<String>,
}

impl CallVerdicts {
    fn note<T>(&mut self, verb: &str, answer: Result<T, TwilioError>) {
        match answer {
            Ok(_) => println!("{verb:<20} ok"),
            Err(error) => {
                println!("{verb:<20} {error}");
                self.refused.push(format!("{verb}: {error}"));
            }
        }
    }
}

fn client(url: &str) -> TwilioClient {
    let credentials = ApiCredentials::AuthToken("0123456789abcdef0123456789abcdef".into());
    TwilioClient::new(TwilioClientConfig {
        base_url: url.to_owned(),
        ..TwilioClientConfig::new(AccountSid::parse(ACCOUNT).unwrap(), credentials)
    })
    .unwrap()
}

/// Asserts that the server refuses an invalid request: one that accepts everything proves nothing.
async fn assert_strict(url: &str) {
    let address = format!(
        "{url}/2010-04-01/Accounts/{ACCOUNT}/Calls/CA00000000000000000000000000000001.json"
    );
    let ask = |status| {
        let client = reqwest::Client::new();
        client.post(&address).form(&[("Status", status)])
    };
    let stranger = ask("completed").send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let nonsense = ask("dreaming").basic_auth(ACCOUNT, Some("x"));
    let nonsense = nonsense.send().await.unwrap();
    assert_eq!(nonsense.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

async fn commands(client: &TwilioClient, verdicts: &mut CallVerdicts) {
    let call = CallSid::parse("CA00000000000000000000000000000001").unwrap();
    let recording = RecordingSid::parse("RE00000000000000000000000000000001").unwrap();
    let which = RecordingRef::Sid(&recording);
    let ask = StartRecording {
        callback: Some("https://calls.example.org/api/recordings/status".to_owned()),
        ..StartRecording::default()
    };
    verdicts.note("start_recording", client.start_recording(&call, &ask).await);
    let held = client.pause_recording(&call, which, PauseBehavior::Silence);
    verdicts.note("pause_recording", held.await);
    let held = client.pause_recording(&call, RecordingRef::Current, PauseBehavior::Skip);
    verdicts.note("pause_recording (current)", held.await);
    verdicts.note(
        "resume_recording",
        client.resume_recording(&call, which).await,
    );
    verdicts.note("stop_recording", client.stop_recording(&call, which).await);
    verdicts.note("recording", client.fetch_recording(&recording).await);
    verdicts.note("recordings", client.list_recordings(&call).await);
    verdicts.note(
        "delete_recording",
        client.delete_recording(&recording).await,
    );

    let stream = NewStream {
        url: "wss://calls.example.org/media/secret".to_owned(),
        name: "cb-2".to_owned(),
        tracks: TrackSelection::Both,
        status_callback: Some("https://calls.example.org/api/streams/status".to_owned()),
        parameters: vec![("a".to_owned(), "b c".to_owned())],
    };
    verdicts.note("start_stream", client.start_stream(&call, &stream).await);
    verdicts.note("stop_stream", client.stop_stream(&call, "cb-2").await);
    let words = NewTranscription {
        name: "cb".to_owned(),
        status_callback: "https://calls.example.org/api/transcriptions/realtime".to_owned(),
        tracks: TrackSelection::Both,
        language: Some("en-US".to_owned()),
        partial_results: true,
    };
    let started = client.start_transcription(&call, &words).await;
    verdicts.note("start_transcription", started);
    let stopped = client.stop_transcription(&call, "cb").await;
    verdicts.note("stop_transcription", stopped);
    verdicts.note("hang_up", client.hang_up(&call).await);
}

async fn setting_up(client: &TwilioClient, verdicts: &mut CallVerdicts) {
    let application = ApplicationSid::parse("AP00000000000000000000000000000001").unwrap();
    let settings = ApplicationSettings {
        friendly_name: "CallBurner".to_owned(),
        voice_url: "https://calls.example.org/voice".to_owned(),
        voice_method: "POST".to_owned(),
        status_callback: "https://calls.example.org/api/calls/status".to_owned(),
        status_callback_method: "POST".to_owned(),
        ..ApplicationSettings::default()
    };
    verdicts.note("account", client.fetch_account().await);
    verdicts.note("applications", client.list_applications("CallBurner").await);
    verdicts.note("application", client.fetch_application(&application).await);
    let made = client.create_application(&settings).await;
    verdicts.note("create_application", made);
    let changed = client.update_application(&application, &settings).await;
    verdicts.note("update_application", changed);
    let number = E164::parse("+14155550123").unwrap();
    verdicts.note(
        "incoming_number",
        client.find_incoming_number(&number).await,
    );
    let number = IncomingNumber {
        sid: PhoneNumberSid::parse("PN00000000000000000000000000000001").unwrap(),
        phone_number: number,
        voice_application_sid: String::new(),
        voice_url: String::new(),
        trunk_sid: String::new(),
    };
    let pointed = client.assign_application(&number, &application).await;
    verdicts.note("point_number", pointed);
    verdicts.note("keys", client.list_keys().await);
    verdicts.note("create_key", client.create_key("CallBurner").await);
}

#[tokio::test]
#[ignore = "needs a Prism mock of Twilio's OpenAPI at PRISM_URL"]
async fn every_verb_is_what_twilios_contract_allows() {
    let Ok(url) = std::env::var("PRISM_URL") else {
        println!("skipped: PRISM_URL is not set; the head of tests/prism.rs says what it is");
        return;
    };
    assert_strict(&url).await;
    let client = client(&url);
    let mut verdicts = CallVerdicts {
        refused: Vec::new(),
    };
    commands(&client, &mut verdicts).await;
    setting_up(&client, &mut verdicts).await;
    assert_eq!(verdicts.refused, Vec::<String>::new());
}
