//! Compares this crate with Twilio's own libraries: they accept its access tokens, write the same TwiML, and
//! compute the same signatures.
//!
//! `make oracles` installs the official Python and Node packages in `target/oracles/`; without them these
//! tests print a note and are skipped. With `CI` set, it is a failure if only one of them is present.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::webhooks;
use crate::clock;
use crate::ids::AccountSid;
use crate::ids::ApiKeySid;
use crate::ids::ApplicationSid;
use crate::ids::ClientIdentity;
use crate::ids::E164;
use crate::ids::UserId;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature;
use crate::twilio::signature::Keyring;
use crate::twilio::signature::SignedPayload;
use crate::twilio::signature::SigningAlgorithm;
use crate::twilio::signature::SigningKey;
use crate::twilio::token;
use crate::twilio::token::SessionTag;
use crate::twilio::token::TokenKeys;
use crate::twilio::token::VoiceGrant;
use crate::twilio::tracks::TrackSelection;
use crate::twilio::twiml;
use crate::twilio::twiml::Dial;
use crate::twilio::twiml::DialNoun;
use crate::twilio::twiml::Say;
use crate::twilio::twiml::StatusCallback;
use crate::twilio::twiml::StreamNoun;
use crate::twilio::twiml::TranscriptionNoun;
use crate::twilio::twiml::TwimlParameter;
use crate::twilio::twiml::TwimlRejectReason;
use crate::twilio::twiml::TwimlVerb;
use crate::twilio::twiml::VoiceResponse;

/// One of Twilio's libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TwilioOracle {
    Python,
    Node,
}

impl TwilioOracle {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    fn folder(self) -> PathBuf {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        project.join("target/oracles").join(self.name())
    }

    /// Runs the library once for all questions; returns the answers in order.
    fn ask(self, questions: &[Value]) -> Vec<Value> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/oracles");
        let mut command = match self {
            Self::Python => Command::new("python3"),
            Self::Node => Command::new("node"),
        };
        match self {
            Self::Python => command
                .env("PYTHONPATH", self.folder())
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .arg(scripts.join("ask.py")),
            Self::Node => command.arg(scripts.join("ask.mjs")).arg(self.folder()),
        };
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut run = pipes.spawn().unwrap();
        // The scripts read all input before they write any output.
        let mut stdin = run.stdin.take().unwrap();
        stdin
            .write_all(json!(questions).to_string().as_bytes())
            .unwrap();
        drop(stdin);
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{self:?}: {}", output.status);
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answers.len(), questions.len());
        answers
    }

    /// Returns the answer to one question; panics on an error.
    fn answer(self, question: Value) -> Value {
        let answer = self.ask(&[question]).remove(0);
        assert_eq!(answer.get("error"), None, "{self:?}");
        answer
    }
}

/// Returns the available libraries. Prints the missing ones to the terminal, since the test harness would
/// capture the message.
fn oracles() -> Vec<TwilioOracle> {
    let is_there = |oracle: &TwilioOracle| oracle.folder().join("ready").exists();
    let (there, missing): (Vec<_>, Vec<_>) = [TwilioOracle::Python, TwilioOracle::Node]
        .into_iter()
        .partition(is_there);
    for oracle in &missing {
        let reason = fs::read_to_string(oracle.folder().join("missing"));
        let reason = reason.unwrap_or_else(|_| "run `make oracles` first".to_owned());
        let note = format!(
            "SKIPPED, no Twilio library for {oracle:?}: {}\n",
            reason.trim()
        );
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    let half = !there.is_empty() && !missing.is_empty();
    let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!(half && in_ci), "only {there:?} could be installed");
    there
}

const SECRET: &str = "secret-secret-secret-secret-0123";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const API_KEY: &str = "SK00000000000000000000000000000002";
const APPLICATION: &str = "AP00000000000000000000000000000003";

#[test]
#[ignore = "needs make oracles"]
fn twilios_libraries_take_our_tokens() {
    let keys = TokenKeys {
        account_sid: AccountSid::parse(ACCOUNT).unwrap(),
        api_key_sid: ApiKeySid::parse(API_KEY).unwrap(),
        secret: SECRET.into(),
        region: None,
    };
    let identity = token::identity_for(UserId(42), "jörg@example.org", SessionTag(7), None);
    let now = clock::utc_now();
    for (oracle, incoming) in oracles().into_iter().flat_map(|o| [(o, true), (o, false)]) {
        let grant = VoiceGrant {
            identity: &identity,
            application_sid: &ApplicationSid::parse(APPLICATION).unwrap(),
            incoming,
        };
        let ours = token::mint(&keys, &grant, now, token::LIFETIME).unwrap();
        let theirs = oracle.answer(json!({
            "ask": "mint", "account": ACCOUNT, "key": API_KEY, "secret": SECRET,
            "identity": identity, "application": APPLICATION, "incoming": incoming, "ttl": 3_600,
        }));
        let read =
            |jwt: &Value| oracle.answer(json!({"ask": "token", "jwt": jwt, "secret": SECRET}));
        let (ours_read, theirs_read) = (read(&json!(ours.jwt)), read(&theirs));
        assert_eq!(ours_read["headers"], theirs_read["headers"], "{oracle:?}");
        for claim in ["iss", "sub", "grants"] {
            assert_eq!(
                ours_read["payload"][claim], theirs_read["payload"][claim],
                "{oracle:?}, {claim}"
            );
        }
        let exp = ours_read["payload"]["exp"].as_i64().unwrap();
        assert_eq!(exp * 1_000, ours.expires_at.millis());

        let before = now.minus(token::LIFETIME + Duration::from_secs(1));
        let expired = token::mint(&keys, &grant, before, token::LIFETIME).unwrap();
        let early = now.plus(Duration::from_mins(5));
        let early = token::mint(&keys, &grant, early, token::LIFETIME).unwrap();
        for (jwt, secret) in [
            (&ours.jwt, "another-secret-another-secret-01"),
            (&expired.jwt, SECRET),
            (&early.jwt, SECRET),
        ] {
            let question = json!({"ask": "token", "jwt": jwt, "secret": secret});
            let refusal = &oracle.ask(&[question])[0];
            assert!(refusal["error"].is_string(), "{oracle:?} took {refusal}");
        }
    }
}

/// Returns documents, each with the calls of Twilio's generators that produce the same.
fn documents() -> Vec<(Vec<TwimlVerb>, Value)> {
    let base = PublicUrl::parse("https://callburner.example.com").unwrap();
    vec![
        outgoing(&base),
        incoming(&base),
        refusal(),
        rejection(),
        transcription(&base),
    ]
}

fn outgoing(base: &PublicUrl) -> (Vec<TwimlVerb>, Value) {
    let announcement = "You & I are \"written\" <down>, okay?";
    let (account, customer) = ("+14155550100", "+14155550123");
    let (media, value) = (base.wss_url("/media/s3cret"), "a&b<c>\"d\" 'ü'");
    let ended = base.https_url("/voice/ended?x=1&y=2");
    let (status, streams) = (
        base.https_url("/api/calls/status"),
        base.https_url("/api/streams/status"),
    );
    let whisper = "https://callburner.example.com/voice/announcement";
    let ours = vec![
        TwimlVerb::Say(Say {
            text: announcement.to_owned(),
            voice: Some("Polly.Joanna".to_owned()),
            language: Some("en-US".to_owned()),
        }),
        TwimlVerb::Pause(1),
        TwimlVerb::StartStream(StreamNoun {
            url: media.clone(),
            name: Some("cb-1".to_owned()),
            tracks: TrackSelection::Both,
            status_callback: Some(streams.clone()),
            parameters: vec![
                TwimlParameter::new("call", value),
                TwimlParameter::new("empty", ""),
            ],
        }),
        TwimlVerb::Dial(Dial {
            caller_id: Some(E164::parse(account).unwrap()),
            answer_on_bridge: true,
            timeout_seconds: 30,
            time_limit_seconds: 14_400,
            action: Some(ended.clone()),
            nouns: vec![DialNoun::Number {
                number: E164::parse(customer).unwrap(),
                announcement: Some(whisper.to_owned()),
                status: Some(StatusCallback::all(&status)),
            }],
        }),
    ];
    let events = ["initiated", "ringing", "answered", "completed"];
    let theirs = json!([
        {"do": "say", "text": announcement, "with": {"voice": "Polly.Joanna", "language": "en-US"}},
        {"do": "pause", "with": {"length": 1}},
        {"do": "start", "then": [{
            "do": "stream",
            "with": {"url": media, "name": "cb-1", "track": "both_tracks", "statusCallback": streams},
            "then": [
                {"do": "parameter", "with": {"name": "call", "value": value}},
                {"do": "parameter", "with": {"name": "empty", "value": ""}},
            ],
        }]},
        {
            "do": "dial",
            "with": {
                "callerId": account, "answerOnBridge": true, "timeout": 30, "timeLimit": 14_400,
                "action": ended,
            },
            "then": [{
                "do": "number", "text": customer,
                "with": {
                    "url": whisper, "statusCallback": status, "statusCallbackEvent": events,
                },
            }],
        },
    ]);
    (ours, theirs)
}

fn incoming(base: &PublicUrl) -> (Vec<TwimlVerb>, Value) {
    let (media, status) = (
        base.wss_url("/media/x"),
        base.https_url("/api/calls/status"),
    );
    let browsers = ["u1_00c0ffee00c0ffee_jo", "u1_00c0ffee00c0ffef_jo"];
    let client = |identity: &&str| DialNoun::Client {
        identity: ClientIdentity::parse(identity).unwrap(),
        parameters: vec![TwimlParameter::new("callSid", "CA1")],
        status: Some(StatusCallback {
            url: status.clone(),
            events: vec![],
        }),
    };
    let ours = vec![
        TwimlVerb::StartStream(StreamNoun {
            url: media.clone(),
            name: None,
            tracks: TrackSelection::Inbound,
            status_callback: None,
            parameters: vec![],
        }),
        TwimlVerb::Dial(Dial {
            caller_id: None,
            answer_on_bridge: false,
            timeout_seconds: 20,
            time_limit_seconds: 3_600,
            action: None,
            nouns: browsers.iter().map(client).collect(),
        }),
    ];
    let client = |identity: &&str| {
        json!({"do": "client", "with": {"statusCallback": status}, "then": [
            {"do": "identity", "text": identity},
            {"do": "parameter", "with": {"name": "callSid", "value": "CA1"}},
        ]})
    };
    let clients: Vec<Value> = browsers.iter().map(client).collect();
    let theirs = json!([
        {"do": "start", "then": [
            {"do": "stream", "with": {"url": media, "track": "inbound_track"}},
        ]},
        {
            "do": "dial",
            "with": {"answerOnBridge": false, "timeout": 20, "timeLimit": 3_600},
            "then": clients,
        },
    ]);
    (ours, theirs)
}

fn refusal() -> (Vec<TwimlVerb>, Value) {
    let ours = vec![
        TwimlVerb::Say(Say::text("This number can't be called.")),
        TwimlVerb::Hangup,
    ];
    let theirs = json!([
        {"do": "say", "text": "This number can't be called."},
        {"do": "hangup"},
    ]);
    (ours, theirs)
}

fn rejection() -> (Vec<TwimlVerb>, Value) {
    let theirs = json!([{"do": "reject", "with": {"reason": "busy"}}]);
    (vec![TwimlVerb::Reject(TwimlRejectReason::Busy)], theirs)
}

fn transcription(base: &PublicUrl) -> (Vec<TwimlVerb>, Value) {
    let words = base.https_url("/api/transcriptions/realtime");
    let ours = vec![
        TwimlVerb::StartTranscription(TranscriptionNoun {
            name: Some("cb-1".to_owned()),
            status_callback: words.clone(),
            language: Some("de-DE".to_owned()),
            tracks: TrackSelection::Both,
            partial_results: true,
        }),
        TwimlVerb::Dial(Dial {
            caller_id: Some(E164::parse("+14155550100").unwrap()),
            answer_on_bridge: true,
            timeout_seconds: 600,
            time_limit_seconds: 60,
            action: None,
            nouns: vec![DialNoun::Number {
                number: E164::parse("+14155550123").unwrap(),
                announcement: None,
                status: None,
            }],
        }),
    ];
    let theirs = json!([
        {"do": "start", "then": [{"do": "transcription", "with": {
            "name": "cb-1", "statusCallbackUrl": words, "languageCode": "de-DE",
            "track": "both_tracks", "partialResults": true,
        }}]},
        {
            "do": "dial",
            "with": {
                "callerId": "+14155550100", "answerOnBridge": true, "timeout": 600, "timeLimit": 60,
            },
            "then": [{"do": "number", "text": "+14155550123"}],
        },
    ]);
    (ours, theirs)
}

#[test]
#[ignore = "needs make oracles"]
fn twilios_generators_write_our_documents() {
    let (ours, calls): (Vec<_>, Vec<_>) = documents().into_iter().unzip();
    // Needs Python, but no package.
    let canonical = |documents: Vec<Value>| {
        let question = |xml| json!({"ask": "canonical", "xml": xml});
        let questions: Vec<Value> = documents.into_iter().map(question).collect();
        TwilioOracle::Python.ask(&questions)
    };
    let ours = ours
        .into_iter()
        .map(|verbs| VoiceResponse::new(verbs).unwrap().to_xml());
    let ours: Vec<String> = ours.collect();
    let ours_canonical = canonical(ours.iter().map(|xml| json!(xml)).collect());
    for oracle in oracles() {
        let question = |calls| json!({"ask": "twiml", "calls": calls});
        let questions: Vec<Value> = calls.iter().map(question).collect();
        let theirs = oracle.ask(&questions);
        // This crate's parser also parses Twilio's documents.
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let theirs = theirs
                .as_str()
                .unwrap_or_else(|| panic!("{oracle:?}: {theirs}"));
            assert_eq!(
                twiml::started_streams(theirs),
                twiml::started_streams(ours),
                "{oracle:?}"
            );
        }
        for (ours, theirs) in ours_canonical.iter().zip(canonical(theirs)) {
            assert!(ours.is_string(), "{ours}");
            assert_eq!(*ours, theirs, "{oracle:?}");
        }
    }
}

/// A request, and the key of its signature.
#[derive(Clone)]
struct SignatureCase {
    url: String,
    form: Vec<(String, String)>,
    body: Option<String>,
}

impl SignatureCase {
    fn form(url: &str, form: &[(&str, &str)]) -> Self {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            url: url.to_owned(),
            form: form.iter().map(field).collect(),
            body: None,
        }
    }

    fn raw(url: &str, body: &str) -> Self {
        Self {
            body: Some(body.to_owned()),
            ..Self::form(url, &[])
        }
    }

    fn payload(&self) -> SignedPayload<'_> {
        match &self.body {
            Some(body) => SignedPayload::Raw(body.as_bytes()),
            None => SignedPayload::Form(&self.form),
        }
    }

    fn sign(&self) -> Value {
        json!({
            "ask": "sign", "secret": webhooks::TOKEN, "url": self.url, "form": self.form,
        })
    }

    fn validate(&self, signature: &str) -> Value {
        let mut question = json!({
            "ask": "validate", "secret": webhooks::TOKEN, "url": self.url, "form": self.form,
            "signature": signature,
        });
        if let Some(body) = &self.body {
            question["body"] = json!(body);
        }
        question
    }

    /// Returns the case with every possible single change.
    fn tampered(&self) -> Vec<Self> {
        let mut all = vec![Self {
            url: self.url.replacen("example.com", "example.org", 1),
            ..self.clone()
        }];
        for field in 0..self.form.len() {
            let mut changed = self.clone();
            changed.form[field].1.push('1');
            all.push(changed.clone());
            changed.form.remove(field);
            all.push(changed.clone());
            changed.form.push(("Extra".to_owned(), String::new()));
            all.push(changed);
        }
        let body = self.body.as_ref().map(|body| format!("{body} "));
        all.extend(body.map(|body| Self {
            body: Some(body),
            ..self.clone()
        }));
        all
    }
}

fn asked() -> Vec<SignatureCase> {
    let body = r#"{"property": "value", "boolean": true}"#;
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let mut all = vec![
        SignatureCase::form(
            "https://example.com/voice?CallSid=CA1&From=%2B1415&To=client%3Abob",
            &[],
        ),
        SignatureCase::form("wss://example.com/media/s3cret", &[]),
        SignatureCase::form("https://example.com:8443/base/voice", &[("CallSid", "CA1")]),
        SignatureCase::form("https://example.com/it's(1)?q=a'b", &[("A", "")]),
        SignatureCase::form(
            "http://example.com/voice",
            &[("b", "2"), ("B", "1"), ("_", ""), ("A9", "x")],
        ),
        SignatureCase::form(
            "https://example.com/h",
            &[("a", "ü☎ 李"), ("AA", " y "), ("é", "\n")],
        ),
        SignatureCase::form(
            "https://example.com/two",
            &[("X", "b"), ("Y", "1"), ("X", "a")],
        ),
        SignatureCase::raw(&format!("https://example.com/api?bodySHA256={hash}"), body),
    ];
    all.extend(
        webhooks::requests()
            .into_iter()
            .map(|request| SignatureCase {
                form: request.form(),
                url: request.url,
                body: None,
            }),
    );
    all
}

#[test]
#[ignore = "needs make oracles"]
fn what_twilios_libraries_sign_is_genuine_and_the_other_way_round() {
    let keys = Keyring::new(webhooks::TOKEN).unwrap();
    let token = SigningKey::auth_token(webhooks::TOKEN);
    let asked = asked();
    for oracle in oracles() {
        let questions: Vec<Value> = asked.iter().map(SignatureCase::sign).collect();
        let theirs = oracle.ask(&questions);
        let mut questions = Vec::new();
        let mut genuine = Vec::new();
        for (request, theirs) in asked.iter().zip(&theirs) {
            let url = &request.url;
            let theirs = theirs
                .as_str()
                .unwrap_or_else(|| panic!("{oracle:?}: {theirs}"));
            let verify = |request: &SignatureCase| {
                keys.verify(&request.url, request.payload(), Some(theirs), None)
            };
            assert!(verify(request).is_ok(), "{oracle:?}, {url}");
            let ours = signature::sign(&token, url, &request.form);
            questions.push(request.validate(&ours));
            genuine.push(true);
            for tampered in request.tampered() {
                assert!(verify(&tampered).is_err(), "{oracle:?}, {}", tampered.url);
                questions.push(tampered.validate(&ours));
                genuine.push(false);
            }
        }
        for ((question, answer), genuine) in
            questions.iter().zip(oracle.ask(&questions)).zip(genuine)
        {
            assert_eq!(answer, json!(genuine), "{oracle:?}, {question}");
        }
    }
}

#[test]
#[ignore = "needs make oracles"]
fn what_a_shared_key_signs_is_genuine() {
    // The Node package does not support shared keys.
    if !oracles().contains(&TwilioOracle::Python) {
        return;
    }
    let keys = Keyring::new("another").unwrap();
    let keys = keys.with_shared("SH1", webhooks::TOKEN).unwrap();
    for (name, algorithm) in [
        ("HMAC_SHA1", SigningAlgorithm::HmacSha1),
        ("HMAC_SHA256", SigningAlgorithm::HmacSha256),
    ] {
        let key = SigningKey::shared(webhooks::TOKEN, algorithm);
        let settings = format!("key=SH1,algorithm={name}");
        let asked = asked();
        let question = |request: &SignatureCase| {
            let mut question = request.sign();
            question["algorithm"] = json!(name);
            question
        };
        let questions: Vec<Value> = asked.iter().map(question).collect();
        for (request, theirs) in asked.iter().zip(TwilioOracle::Python.ask(&questions)) {
            let theirs = theirs.as_str();
            let which = keys.verify(&request.url, request.payload(), theirs, Some(&settings));
            assert!(which.is_ok(), "{name}, {}", request.url);
            let ours = signature::sign(&key, &request.url, &request.form);
            assert_eq!(Some(ours.as_str()), theirs, "{name}, {}", request.url);
        }
    }
}
