//! Inputs that the server must survive: lists of unexpected values, and requests made of them.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use url::form_urlencoded;

use super::super::twilio_api::{ACCOUNT, AUTH_TOKEN};
use super::target_server::ReceivedReply;
use crate::api;
use crate::twilio::signature::{self, SigningKey};
use crate::twilio::webhook::IDEMPOTENCY_HEADER;

pub(super) const PUBLIC_URL: &str = "https://calls.example.org";
const CALL: &str = "CA00000000000000000000000000000001";
const CHILD: &str = "CA00000000000000000000000000000002";

/// Twilio's routes, and the required fields of their forms.
pub(super) const WEBHOOKS: [(&str, &[(&str, &str)]); 7] = [
    (
        "/voice",
        &[("From", "client:alice"), ("To", "+14155550123")],
    ),
    ("/voice/announcement", &[]),
    ("/voice/ended", &[("DialCallStatus", "completed")]),
    ("/api/calls/status", &[("CallStatus", "ringing")]),
    (
        "/api/recordings/status",
        &[
            ("RecordingSid", "RE00000000000000000000000000000001"),
            ("RecordingStatus", "completed"),
        ],
    ),
    (
        "/api/streams/status",
        &[
            ("StreamSid", "MZ00000000000000000000000000000001"),
            ("StreamEvent", "stream-error"),
        ],
    ),
    (
        "/api/transcriptions/realtime",
        &[
            ("TranscriptionSid", "GT00000000000000000000000000000001"),
            ("TranscriptionEvent", "transcription-content"),
            (
                "TranscriptionData",
                r#"{"transcript":"one two","confidence":0.9}"#,
            ),
            ("Track", "inbound_track"),
            ("Final", "true"),
        ],
    ),
];

/// Every field that a webhook's parser reads.
const FIELDS: [&str; 41] = [
    "AccountSid",
    "ApplicationSid",
    "CallDuration",
    "CallSid",
    "CallStatus",
    "Caller",
    "CallerName",
    "DialBridged",
    "DialCallDuration",
    "DialCallSid",
    "DialCallStatus",
    "Direction",
    "ErrorCode",
    "ErrorMessage",
    "Final",
    "From",
    "LanguageCode",
    "Name",
    "ParentCallSid",
    "RecordingChannels",
    "RecordingDuration",
    "RecordingSid",
    "RecordingStartTime",
    "RecordingStatus",
    "RecordingUrl",
    "SequenceId",
    "SequenceNumber",
    "SipResponseCode",
    "Stability",
    "StreamError",
    "StreamEvent",
    "StreamName",
    "StreamSid",
    "Timestamp",
    "To",
    "Track",
    "TranscriptionData",
    "TranscriptionError",
    "TranscriptionErrorCode",
    "TranscriptionEvent",
    "TranscriptionSid",
];

/// Routes that the API description does not list, and paths that are not routes.
const OTHER_TARGETS: [&str; 16] = [
    "/",
    "//",
    "/api",
    "/api/",
    "/api/calls/",
    "/healthz",
    "/readyz",
    "/media",
    "/media/",
    "/media/{x}",
    "/ws/transcriptions",
    "/nothing/here",
    "/..%2f..%2fetc/passwd",
    "/../../etc/passwd",
    "/%00",
    "/%zz%",
];

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
];

/// Values for names, numbers and dates; must be escaped for the request.
const NASTY: [&str; 34] = [
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "NaN",
    "4294967296",
    "9223372036854775808",
    "340282366920938463463374607431768211456",
    "true",
    "null",
    "\0",
    "a\0b",
    "\u{feff}",
    "\u{202e}drow",
    "\u{1f4a9}",
    "e\u{301}",
    "'; DROP TABLE calls; --",
    "\" OR \"\"=\"",
    "<Hangup/>",
    "]]>&amp;",
    "%s%n",
    "../../../etc/passwd",
    "-0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "+99999-01-01",
    "Thu, 32 Foo 2026 25:61:61 +9999",
    "in-progress",
    "completed",
    "client:",
    "client:alice",
    "+14155550123",
    CALL,
    CHILD,
];

/// False headers, each a whole line.
const HEADERS: [&str; 22] = [
    "Authorization: Bearer",
    "Authorization: Bearer cb_",
    "Authorization: Basic ====",
    "Authorization: \x7f",
    "Cookie: callburner=",
    "Cookie: __Host-callburner=%00; ;;=;",
    "Origin: null",
    "Origin: https://evil.example",
    "Origin: ::",
    "Content-Type: application/json",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: multipart/form-data",
    "Content-Type: ;;;",
    "Content-Encoding: gzip",
    "Range: bytes=9-1,-0,x",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Version: 99",
    "X-Forwarded-For: ,,,::,999.1.1.1",
    "X-Twilio-Signature: ====",
    "X-Request-Id: \t",
    "Accept: \u{1f4a9}",
];

/// Keys of the API's JSON bodies.
const KEYS: [&str; 14] = [
    "name",
    "role",
    "scopes",
    "notes",
    "labels",
    "sid",
    "direction",
    "from",
    "to",
    "expiresAt",
    "current",
    "secret",
    "identity",
    "password",
];

/// Unexpected JSON values.
const VALUES: [&str; 16] = [
    "null",
    "true",
    "-1",
    "1e400",
    "18446744073709551616",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[[[]]]]",
    "[null,1,\"x\"]",
    "\"admin\"",
    "[\"calls:read\"]",
    "\"9999-99-99T99:99:99Z\"",
    "}{",
];

/// The parts of a request.
#[derive(Debug, Clone)]
pub(super) struct MalformedRequest {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<&'static str>,
    pub(super) body: Vec<u8>,
}

impl MalformedRequest {
    pub(super) fn bytes(&self, credentials: &str) -> Vec<u8> {
        let mut headers = String::new();
        for line in &self.headers {
            headers.push_str(line);
            headers.push_str("\r\n");
        }
        let Self {
            method,
            target,
            body,
            ..
        } = self;
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{credentials}{headers}\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        bytes
    }
}

fn escaped(bytes: &[u8]) -> String {
    form_urlencoded::byte_serialize(bytes).collect()
}

/// A path segment, or the value after an `=`.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(CALL.to_owned()),
        3 => select(&NASTY[..]).prop_map(|text| escaped(text.as_bytes())),
        2 => proptest::collection::vec(any::<u8>(), 0..24).prop_map(|bytes| escaped(&bytes)),
        2 => "[!-\"$->@-~]{0,24}",
        1 => select(vec!["transcript.txt", "transcript.srt", "transcript.exe", "1", "%", "%f", "%C3%28"])
            .prop_map(str::to_owned),
        1 => Just("a".repeat(3_000)),
    ]
}

/// Paths of the API, of Twilio and of no route, with any values for their parameters, and a query.
fn target() -> impl Strategy<Value = String> {
    let (_, contract) = api::client_routes().split_for_parts();
    let contract = serde_json::to_value(contract).unwrap();
    let paths = contract["paths"].as_object().unwrap().keys().cloned();
    let paths: Vec<String> = paths
        .chain(WEBHOOKS.map(|(path, _)| path.to_owned()))
        .chain(OTHER_TARGETS.map(str::to_owned))
        .collect();
    let names = [
        "q",
        "direction",
        "status",
        "number",
        "since",
        "until",
        "recorded",
        "label",
        "cursor",
        "limit",
        "callSid",
        "offset",
        "epoch",
        "ticket",
        "x",
        "%00",
    ];
    let query = proptest::collection::vec((select(names.to_vec()), part()), 0..3);
    (select(paths), part(), part(), query).prop_map(|(path, one, two, query)| {
        let mut holes = [one, two].into_iter().cycle();
        let filled: Vec<String> = path
            .split('/')
            .map(|name| {
                let hole = name.starts_with('{').then(|| holes.next()).flatten();
                hole.unwrap_or_else(|| name.to_owned())
            })
            .collect();
        let pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", filled.join("/"), pairs.join("&"))
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        select(&VALUES[..]).prop_map(str::to_owned),
        select(&NASTY[..]).prop_map(|text| serde_json::to_string(text).unwrap()),
    ];
    let pair = (select(&KEYS[..]), value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let object = proptest::collection::vec(pair, 0..5);
    let form = proptest::collection::vec((select(&FIELDS[..]), part()), 0..6);
    prop_oneof![
        2 => Just(Vec::new()),
        2 => proptest::collection::vec(any::<u8>(), 0..600),
        6 => object.prop_map(|pairs| format!("{{{}}}", pairs.join(",")).into_bytes()),
        2 => form.prop_map(|pairs| {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join("&").into_bytes()
        }),
        1 => select(vec!["[", "{\"a\":", "\"", "%", "&", "="]).prop_map(|text| text.repeat(20_000).into_bytes()),
    ]
}

pub(super) fn malformed_request() -> impl Strategy<Value = MalformedRequest> {
    let headers = prop_oneof![
        2 => Just(vec!["Content-Type: application/json"]),
        1 => proptest::collection::vec(select(&HEADERS[..]), 0..4),
    ];
    (select(&METHODS[..]), target(), headers, body()).prop_map(|(method, target, headers, body)| {
        MalformedRequest {
            method,
            target,
            headers,
            body,
        }
    })
}

/// A webhook that Twilio signed, with malformed values in some fields.
#[derive(Debug, Clone)]
pub(super) struct ForgedWebhook {
    path: &'static str,
    form: Vec<(String, String)>,
    token: String,
}

impl ForgedWebhook {
    fn new(route: usize, garbage: Vec<(Index, &str, String)>, token: String) -> Self {
        let (path, needed) = WEBHOOKS[route];
        let known = [("CallSid", CALL), ("AccountSid", ACCOUNT)];
        let mut form: Vec<(String, String)> = known
            .iter()
            .chain(needed)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        for (place, name, value) in garbage {
            match form.iter_mut().find(|(known, _)| known == name) {
                // Either instead of the present value, or in addition to it.
                Some(field) if place.index(2) == 0 => field.1 = value,
                Some(_) | None => form.push((name.to_owned(), value)),
            }
        }
        Self { path, form, token }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let url = format!("{PUBLIC_URL}{}", self.path);
        let signature = signature::sign(&SigningKey::auth_token(AUTH_TOKEN), &url, &self.form);
        let mut body = form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(&self.form).finish();
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}: {signature}\r\n\
             {IDEMPOTENCY_HEADER}: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            signature::HEADER,
            self.token,
            body.len()
        )
        .into_bytes()
    }

    /// Checks that the webhook is accepted, or refused for its content: its signature is valid.
    pub(super) fn is_taken(&self, reply: &ReceivedReply) -> Result<(), String> {
        reply.is_defined(false)?;
        let spoken = self.path.starts_with("/voice");
        let taken = match reply.status {
            200 => spoken,
            204 | 400 => !spoken,
            _ => false,
        };
        let said = || format!("{}: {}", reply.head, reply.text());
        taken.then_some(()).ok_or_else(said)
    }
}

pub(super) fn forged_webhook() -> impl Strategy<Value = ForgedWebhook> {
    let value = prop_oneof![
        4 => select(&NASTY[..]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => Just("9".repeat(5_000)),
        1 => Just("\u{1f4a9}".repeat(2_000)),
        1 => Just(format!("{{\"transcript\":\"x\",\"confidence\":{}", "[".repeat(9_000))),
        1 => Just(r#"{"transcript":"\u0000 \ud83d\udca9","confidence":-1e308}"#.to_owned()),
        1 => select(vec![
            "transcription-started", "transcription-stopped", "transcription-error", "stream-started",
            "stream-stopped", "absent", "failed", "busy", "no-answer", "canceled", "queued", "answered",
            "outbound-dial", "inbound", "outbound_track", "false",
        ])
        .prop_map(str::to_owned),
    ];
    let garbage = (any::<Index>(), select(&FIELDS[..]), value);
    let garbage = proptest::collection::vec(garbage, 0..7);
    (0..WEBHOOKS.len(), garbage, "[ -~]{0,200}")
        .prop_map(|(route, garbage, token)| ForgedWebhook::new(route, garbage, token))
}

const POST: &str = "POST /voice HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";

fn post(rest: &str) -> Vec<u8> {
    format!("{POST}{rest}").into_bytes()
}

fn get(header: &[u8]) -> Vec<u8> {
    let head = b"GET /api/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    [&head[..], header, b"\r\n\r\n"].concat()
}

/// Bytes that are not an HTTP request.
pub(super) fn malformed() -> Vec<Vec<u8>> {
    let long = "a".repeat(70_000);
    vec![
        b"\0\0\0\0\0\0\0\0\r\n\r\n".to_vec(),
        b"\xff\xfe\xfd GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\xff\xc3\x28 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET http://[::1/voice HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"CONNECT calls.example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        format!("GET /{long} HTTP/1.1\r\nConnection: close\r\n\r\n").into_bytes(),
        get(b"X: \0"),
        get(b"X\xff: x"),
        get(b"no colon"),
        get("X: y\r\n".repeat(500).trim_end().as_bytes()),
        get(format!("X: {}", "y".repeat(1_000_000)).as_bytes()),
        post("Content-Length: -1\r\n\r\n"),
        post("Content-Length: 99999999999999999999999\r\n\r\n"),
        post("Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        post("Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
        post("Transfer-Encoding: gzip, identity\r\n\r\n"),
    ]
}

/// Requests that no client sends; with an admin's credentials they are answered nevertheless.
pub(super) fn odd() -> Vec<Vec<u8>> {
    vec![
        get(b"X: \xff\xfe\xc3\x28"),
        get(b"Cookie: callburner=\xff\xfe"),
        get(b"Authorization: Bearer \xff"),
        get(b"X-Request-Id: \xff"),
        // With chunks, the length is ignored (RFC 9112, 6.3).
        post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    ]
}
