//! Webhooks as Twilio sends them (`fixtures/webhooks/`): each has a valid signature, and each is parsed.

use std::fs;
use std::path::Path;

use crate::clock::UtcTime;
use crate::ids::CallSid;
use crate::ids::Track;
use crate::ids::UserId;
use crate::transcript::CallStatus;
use crate::transcript::RecordingStatus;
use crate::twilio::signature::Keyring;
use crate::twilio::signature::SignatureError;
use crate::twilio::signature::SignedPayload;
use crate::twilio::signature::VerifiedKey;
use crate::twilio::token;
use crate::twilio::webhook;
use crate::twilio::webhook::CallAddress;
use crate::twilio::webhook::CallStatusCallback;
use crate::twilio::webhook::DialEnded;
use crate::twilio::webhook::LegDirection;
use crate::twilio::webhook::RecordingCallback;
use crate::twilio::webhook::StreamCallback;
use crate::twilio::webhook::StreamEvent;
use crate::twilio::webhook::TranscriptionCallback;
use crate::twilio::webhook::TranscriptionEvent;
use crate::twilio::webhook::VoiceRequest;

/// The auth token that the fixtures are signed with.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The base URL that the fixtures were sent to.
const BASE: &str = "https://callburner.example.com";

/// A request from a `.form` file: its first line, its headers, an empty line, its body.
pub(crate) struct RecordedWebhook {
    pub(crate) name: String,
    pub(crate) url: String,
    head: String,
    pub(crate) body: String,
}

impl RecordedWebhook {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn form(&self) -> Vec<(String, String)> {
        webhook::decode_form(self.body.as_bytes()).unwrap()
    }
}

/// Returns all fixtures.
pub(crate) fn requests() -> Vec<RecordedWebhook> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/webhooks");
    let files = fs::read_dir(folder).unwrap();
    let mut requests: Vec<RecordedWebhook> =
        files.map(|file| read(&file.unwrap().path())).collect();
    requests.sort_by(|a, b| a.name.cmp(&b.name));
    requests
}

fn read(path: &Path) -> RecordedWebhook {
    let text = fs::read_to_string(path).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (head, body) = rest.split_once("\n\n").unwrap();
    RecordedWebhook {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        url: first.strip_prefix("POST ").unwrap().to_owned(),
        head: head.to_owned(),
        body: body.trim_end().to_owned(),
    }
}

/// Returns the form of one fixture, which was sent to `path`.
fn form(name: &str, path: &str) -> Vec<(String, String)> {
    let mut requests = requests().into_iter();
    let request = requests.find(|request| request.name == name).unwrap();
    assert_eq!(request.url, format!("{BASE}{path}"));
    request.form()
}

fn call_sid() -> CallSid {
    CallSid::parse("CA00000000000000000000000000000001").unwrap()
}

fn child_sid() -> CallSid {
    CallSid::parse("CA00000000000000000000000000000002").unwrap()
}

fn at(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

#[test]
fn every_webhook_is_signed_and_no_changed_one_is() {
    let keys = Keyring::new(TOKEN).unwrap();
    for request in requests() {
        let name = &request.name;
        let verify = |form: &[(String, String)]| {
            let signature = request.header("X-Twilio-Signature");
            keys.verify(&request.url, SignedPayload::Form(form), signature, None)
        };
        let form = request.form();
        assert_eq!(verify(&form), Ok(VerifiedKey::Primary), "{name}");
        for field in 0..form.len() {
            let mut changed = form.clone();
            changed[field].1.push('x');
            let changed = verify(&changed);
            assert_eq!(
                changed,
                Err(SignatureError::Mismatch),
                "{name}, field {field}"
            );
        }
        let token = request.header(webhook::IDEMPOTENCY_HEADER);
        assert!(webhook::idempotency_token(token).is_some(), "{name}");
    }
}

#[test]
fn a_browser_asks_for_a_call() {
    let request = VoiceRequest::from_form(&form("voice-browser", "/voice")).unwrap();
    assert_eq!(request.from, CallAddress::parse("client:Anonymous"));
    assert_eq!(request.to, None);
    assert_eq!(request.call_sid, call_sid());
    assert!(request.application_sid.is_some());
    assert_eq!(request.parent, None);

    let request = VoiceRequest::from_form(&form("voice-browser-to", "/voice")).unwrap();
    assert_eq!(request.to, CallAddress::parse("+14155550123"));
    assert_eq!(request.status, Some(CallStatus::Ringing));
    assert_eq!(request.direction, Some(LegDirection::Inbound));
    let Some(CallAddress::Client(identity)) = request.from else {
        panic!("{:?} is no browser", request.from);
    };
    assert_eq!(token::user_of_identity(&identity), Some(UserId(42)));
}

#[test]
fn a_telephone_asks_for_a_call() {
    let request = VoiceRequest::from_form(&form("voice-number", "/voice")).unwrap();
    assert_eq!(request.from, CallAddress::parse("+14155550199"));
    assert_eq!(request.to, CallAddress::parse("+14155550100"));
    assert_eq!(request.application_sid, None);
    assert_eq!(request.caller_name.unwrap().0, "JANE DOE");
}

#[test]
fn a_dial_ends() {
    let ended = DialEnded::from_form(&form("voice-ended", "/voice/ended")).unwrap();
    assert_eq!(
        (ended.call_sid, ended.child),
        (call_sid(), Some(child_sid()))
    );
    assert_eq!(ended.status, CallStatus::Completed);
    assert_eq!(
        (ended.duration_seconds, ended.bridged),
        (Some(42), Some(true))
    );
}

#[test]
fn a_call_is_completed() {
    let callback = CallStatusCallback::from_form(&form("status-completed", "/api/calls/status"));
    let callback = callback.unwrap();
    assert_eq!((callback.call_sid, callback.parent), (call_sid(), None));
    assert_eq!(callback.status, CallStatus::Completed);
    assert_eq!(callback.sequence, Some(3));
    assert_eq!(callback.duration_seconds, Some(49));
    assert_eq!(callback.at, Some(at("2018-03-25T09:53:19Z")));
    assert_eq!(callback.direction, Some(LegDirection::OutboundApi));
    assert_eq!(callback.sip_code, None);
}

#[test]
fn a_dialled_leg_is_engaged() {
    let callback =
        CallStatusCallback::from_form(&form("status-busy", "/api/calls/status")).unwrap();
    assert_eq!(
        (callback.call_sid, callback.parent),
        (child_sid(), Some(call_sid()))
    );
    assert_eq!(callback.status, CallStatus::Busy);
    assert_eq!((callback.sequence, callback.sip_code), (Some(2), Some(486)));
    assert_eq!(callback.direction, Some(LegDirection::OutboundDial));
    assert_eq!(callback.from, CallAddress::parse("+14155550100"));
}

#[test]
fn a_recording_is_completed() {
    let form = form("recording-completed", "/api/recordings/status");
    let callback = RecordingCallback::from_form(&form).unwrap();
    let sid = callback.recording_sid.as_str();
    assert_eq!(sid, "RE00000000000000000000000000000001");
    assert_eq!(callback.status, RecordingStatus::Completed);
    assert_eq!(
        (callback.channels, callback.duration_seconds),
        (Some(2), Some(11))
    );
    assert_eq!(callback.started_at, Some(at("2022-04-20T23:45:25Z")));
    assert_eq!(callback.error_code, None);
    assert!(callback.url.unwrap().ends_with(sid));
}

#[test]
fn a_stream_starts_and_fails() {
    let read = |name| StreamCallback::from_form(&form(name, "/api/streams/status")).unwrap();
    let started = read("stream-started");
    assert_eq!(started.event, StreamEvent::Started);
    assert_eq!(started.name.as_deref(), Some("cb-1"));
    assert_eq!(
        (started.at, started.error),
        (Some(at("2026-11-22T10:00:00Z")), None)
    );
    let failed = read("stream-error");
    assert_eq!(failed.event, StreamEvent::Failed);
    let error = failed.error.as_deref();
    assert_eq!(error, Some("The server closed the connection"));
}

#[test]
fn twilio_writes_a_call_down() {
    let read = |name| {
        let form = form(name, "/api/transcriptions/realtime");
        TranscriptionCallback::from_form(&form).unwrap()
    };
    let words = |name| {
        let event = read(name).event;
        let TranscriptionEvent::Content(content) = event else {
            panic!("{name} is {event:?}");
        };
        content
    };
    let started = TranscriptionEvent::Started {
        name: Some("cb-1".to_owned()),
        language: Some("en-US".to_owned()),
    };
    assert_eq!(read("transcription-started").event, started);

    let partial = words("transcription-partial");
    assert_eq!((partial.text.as_str(), partial.is_final), ("Hel", false));
    assert_eq!((partial.confidence, partial.stability), (None, Some(0.9)));

    let callback = read("transcription-final");
    assert_eq!(callback.sequence, Some(3));
    assert_eq!(callback.at, Some(at("2026-01-23T21:47:44.614Z")));
    let settled = words("transcription-final");
    assert_eq!((settled.text.as_str(), settled.is_final), ("Hello?", true));
    assert_eq!(settled.track, Track::Inbound);
    assert_eq!(
        (settled.confidence, settled.stability),
        (Some(0.974_609_4), None)
    );

    assert_eq!(
        read("transcription-stopped").event,
        TranscriptionEvent::Stopped
    );
    let failed = TranscriptionEvent::Failed {
        code: Some(32_650),
        message: Some("Invalid transcription engine".to_owned()),
    };
    assert_eq!(read("transcription-error").event, failed);
}
