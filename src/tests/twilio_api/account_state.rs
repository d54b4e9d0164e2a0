//! The state of the account: calls with their resources, and the effect of each request on them.

use std::collections::{BTreeMap, VecDeque};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::http::{
    ApiRejection, ApiRequest, ApiResult, FormFields, gone, media, no, page, resource, yes,
};
use super::{ACCOUNT, AUTH_TOKEN, ApiFault, PendingCallback, RecordedRequest};
use crate::ids::CallSid;

#[derive(Default)]
pub(super) struct AccountState {
    pub(super) sids_issued: u32,
    pub(super) calls: BTreeMap<String, &'static str>,
    /// The parent of each dialled leg.
    pub(super) parents: BTreeMap<String, String>,
    pub(super) recordings: Vec<FakeRecording>,
    pub(super) running: Vec<RunningResource>,
    pub(super) applications: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) numbers: BTreeMap<String, BTreeMap<String, String>>,
    /// Verified caller IDs.
    pub(super) verified: Vec<String>,
    pub(super) keys: Vec<FakeApiKey>,
    pub(super) media_at: Option<String>,
    pub(super) faults: VecDeque<ApiFault>,
    pub(super) requests_seen: Vec<RecordedRequest>,
    pub(super) callbacks: VecDeque<PendingCallback>,
}

pub(super) struct FakeRecording {
    pub(super) sid: String,
    pub(super) call: String,
    pub(super) status: &'static str,
    pub(super) source: &'static str,
    pub(super) began: String,
    pub(super) asked: FormFields,
    pub(super) media: Bytes,
}

/// A stream or a transcription.
pub(super) struct RunningResource {
    pub(super) what: &'static str,
    pub(super) sid: String,
    pub(super) call: String,
    pub(super) is_stopped: bool,
    pub(super) asked: FormFields,
}

pub(super) struct FakeApiKey {
    pub(super) sid: String,
    pub(super) name: String,
    pub(super) secret: String,
}

impl FakeRecording {
    pub(super) fn is_running(&self) -> bool {
        ["in-progress", "paused"].contains(&self.status)
    }

    pub(super) fn channels(&self) -> u8 {
        if self.asked.get("RecordingChannels") == "dual" {
            2
        } else {
            1
        }
    }

    pub(super) fn json(&self, status: &str) -> Value {
        let duration = (status == "completed").then_some("4");
        json!({
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "call_sid": self.call,
            "conference_sid": null, "channels": self.channels(), "date_created": self.began,
            "date_updated": self.began, "start_time": self.began, "price": null,
            "price_unit": null, "duration": duration, "sid": self.sid, "source": self.source,
            "status": status, "error_code": null, "encryption_details": null,
            "track": self.asked.get("RecordingTrack"),
            "uri": format!("/2010-04-01/Accounts/{ACCOUNT}/Recordings/{}.json", self.sid),
        })
    }

    /// A recording that is looked up is never reported as in progress or paused.
    pub(super) fn json_looked_up(&self) -> Value {
        self.json(if self.status == "completed" {
            "completed"
        } else {
            "processing"
        })
    }

    /// Returns the webhook of this event, if it was requested.
    pub(super) fn told(&self, event: &str) -> Option<(String, Vec<(String, String)>)> {
        let wanted = |(name, value): &(String, String)| {
            name == "RecordingStatusCallbackEvent" && value == event
        };
        if !self.asked.0.iter().any(wanted) {
            return None;
        }
        let channels = self.channels().to_string();
        let url = format!(
            "https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{}",
            self.sid
        );
        let mut form = vec![
            ("RecordingSource", self.source),
            ("RecordingTrack", self.asked.get("RecordingTrack")),
            ("RecordingSid", &self.sid),
            ("RecordingUrl", &url),
            ("RecordingStatus", event),
            ("RecordingChannels", &channels),
            ("ErrorCode", "0"),
            ("CallSid", &self.call),
            ("RecordingStartTime", &self.began),
            ("AccountSid", ACCOUNT),
        ];
        if event == "completed" {
            form.push(("RecordingDuration", "4"));
        }
        let form = form
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((
            self.asked.get("RecordingStatusCallback").to_owned(),
            form.collect(),
        ))
    }
}

impl RunningResource {
    pub(super) fn name(&self) -> &str {
        match self.asked.get("Name") {
            "" => &self.sid,
            name => name,
        }
    }

    pub(super) fn json(&self) -> Value {
        let status = if self.is_stopped {
            "stopped"
        } else {
            "in-progress"
        };
        json!({
            "account_sid": ACCOUNT, "call_sid": self.call, "sid": self.sid,
            "name": self.asked.get("Name"), "status": status,
            "date_updated": "Sun, 22 Nov 2026 10:00:00 +0000",
        })
    }

    /// Returns the webhook of a stream's event.
    pub(super) fn told(&self, event: &str) -> Option<(String, Vec<(String, String)>)> {
        let url = self.asked.get("StatusCallback");
        if url.is_empty() {
            return None;
        }
        let form = [
            ("AccountSid", ACCOUNT),
            ("CallSid", &self.call),
            ("StreamSid", &self.sid),
            ("StreamName", self.name()),
            ("StreamEvent", event),
            ("Timestamp", "2026-11-22T10:00:00.000Z"),
        ];
        let form = form
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((url.to_owned(), form.collect()))
    }
}

impl AccountState {
    pub(super) fn next_sid(&mut self, prefix: &str) -> String {
        self.sids_issued += 1;
        format!("{prefix}{:032x}", 0xfa4e_0000_u32 + self.sids_issued)
    }

    pub(super) fn call_back(&mut self, told: Option<(String, Vec<(String, String)>)>) {
        if let Some((url, form)) = told {
            let token = self.next_sid("");
            self.callbacks
                .push_back(PendingCallback { url, form, token });
        }
    }

    pub(super) fn running(&self, what: &str, call: &CallSid) -> Vec<String> {
        let of_call = self
            .running
            .iter()
            .filter(|r| r.what == what && r.call == call.as_str());
        of_call
            .filter(|r| !r.is_stopped)
            .map(|r| r.name().to_owned())
            .collect()
    }

    pub(super) fn end_call(&mut self, call: &str) {
        self.calls.insert(call.to_owned(), "completed");
        for recording in self.recordings.iter_mut().filter(|r| r.call == call) {
            if recording.is_running() {
                recording.status = "processing";
            }
        }
        let open = self
            .running
            .iter_mut()
            .filter(|r| r.call == call && !r.is_stopped);
        let told: Vec<_> = open
            .map(|running| {
                running.is_stopped = true;
                running.told("stream-stopped")
            })
            .collect();
        for told in told {
            self.call_back(told);
        }
    }

    pub(super) fn record(
        &mut self,
        call: &str,
        source: &'static str,
        asked: &[(String, String)],
    ) -> String {
        let sid = self.next_sid("RE");
        let recording = FakeRecording {
            sid: sid.clone(),
            call: call.to_owned(),
            status: "in-progress",
            source,
            began: format!("Sun, 22 Nov 2026 10:00:{:02} +0000", self.sids_issued % 60),
            asked: FormFields(asked.to_vec()),
            media: Bytes::new(),
        };
        let told = recording.told("in-progress");
        self.recordings.push(recording);
        self.call_back(told);
        sid
    }

    /// Returns a leg as it is looked up.
    fn call_json(&self, sid: &str) -> Value {
        let status = self.calls[sid];
        let is_over = !["queued", "ringing", "in-progress"].contains(&status);
        let talked = if status == "completed" { "33" } else { "0" };
        json!({
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "sid": sid,
            "parent_call_sid": self.parents.get(sid), "status": status, "to": "", "from": "",
            "direction": "inbound", "start_time": "Sun, 22 Nov 2026 10:00:00 +0000",
            "end_time": is_over.then_some("Sun, 22 Nov 2026 10:00:33 +0000"),
            "duration": is_over.then_some(talked), "answered_by": null, "price": null,
        })
    }

    /// Checks that a call is in progress.
    pub(super) fn live(&self, call: &str) -> Result<(), ApiRejection> {
        match self.calls.get(call) {
            Some(&"in-progress") => Ok(()),
            Some(_) => Err(no(400, 21_220, "Call is not in-progress. Cannot redirect.")),
            None => Err(gone(call)),
        }
    }

    pub(super) fn answer(&mut self, request: &ApiRequest) -> ApiResult {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", []) => {
                let name = "My account";
                Ok(yes(
                    200,
                    &json!({
                        "sid": ACCOUNT, "friendly_name": name, "status": "active", "type": "Full",
                        "auth_token": AUTH_TOKEN,
                    }),
                ))
            }
            ("GET", ["Calls"]) => {
                let parent = request.query.get("ParentCallSid");
                let children = self.parents.iter().filter(|(_, of)| *of == parent);
                let all = children.map(|(sid, _)| self.call_json(sid)).collect();
                Ok(page(request, "calls", all))
            }
            ("GET", ["Calls", call]) if self.calls.contains_key(*call) => {
                Ok(yes(200, &self.call_json(call)))
            }
            ("POST", ["Calls", call]) => {
                request.form.check(&["Status"], &[])?;
                self.live(call)?;
                self.end_call(call);
                Ok(yes(200, &json!({ "sid": call, "status": "completed" })))
            }
            ("DELETE", ["Calls", call]) => match self.calls.get(*call) {
                // Guess: the code.
                Some(&"in-progress") => Err(no(400, 20_001, "Call is not completed")),
                Some(_) => {
                    self.calls.remove(*call);
                    Ok(StatusCode::NO_CONTENT.into_response())
                }
                None => Err(gone(call)),
            },
            (_, ["Calls", call, "Recordings", rest @ ..]) => self.recordings(request, call, rest),
            (_, ["Recordings", name]) => self.recording(request, name),
            ("POST", ["Calls", call, "Streams", rest @ ..]) => {
                self.start_or_stop("Streams", "MZ", request, call, rest)
            }
            ("POST", ["Calls", call, "Transcriptions", rest @ ..]) => {
                self.start_or_stop("Transcriptions", "GT", request, call, rest)
            }
            (_, ["Applications", rest @ ..]) => self.applications(request, rest),
            (_, ["IncomingPhoneNumbers", rest @ ..]) => self.numbers(request, rest),
            ("GET", ["OutgoingCallerIds"]) => {
                let number = request.query.get("PhoneNumber");
                let found = self.verified.iter().filter(|verified| *verified == number);
                let all = found
                    .map(|number| json!({ "phone_number": number }))
                    .collect();
                Ok(page(request, "outgoing_caller_ids", all))
            }
            (_, ["Keys"]) => self.keys(request),
            (_, _) => Err(gone(&path.join("/"))),
        }
    }

    pub(super) fn recordings(
        &mut self,
        request: &ApiRequest,
        call: &str,
        rest: &[&str],
    ) -> ApiResult {
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let of_call = self.recordings.iter().rev().filter(|r| r.call == call);
                let all = of_call.map(FakeRecording::json_looked_up).collect();
                Ok(page(request, "recordings", all))
            }
            ("POST", []) => {
                let known = [
                    "RecordingStatusCallbackEvent",
                    "RecordingStatusCallback",
                    "RecordingStatusCallbackMethod",
                    "Trim",
                    "RecordingChannels",
                    "RecordingTrack",
                ];
                request.form.check(&[], &known)?;
                self.live(call)?;
                // A second request succeeds, but there is only one recording.
                let api = "StartCallRecordingAPI";
                let mut all = self.recordings.iter();
                let running = all.find(|r| r.call == call && r.source == api && r.is_running());
                let sid = match running.map(|r| r.sid.clone()) {
                    Some(sid) => sid,
                    None => self.record(call, api, &request.form.0),
                };
                let made = self.recordings.iter().find(|r| r.sid == sid).unwrap();
                Ok(yes(201, &made.json(made.status)))
            }
            ("POST", [which]) => {
                request.form.check(&["Status"], &["PauseBehavior"])?;
                self.live(call)?;
                let mut of_call = self.recordings.iter_mut().filter(|r| match *which {
                    "Twilio.CURRENT" => r.call == call && r.is_running(),
                    sid => r.call == call && r.sid == sid,
                });
                let recording = of_call.next().ok_or_else(|| gone(which))?;
                if of_call.next().is_some() {
                    // Guess: the code.
                    return Err(no(400, 20_001, "Several recordings are active"));
                }
                // Guess: that a status may be set again.
                let (status, kept) = match (request.form.get("Status"), recording.is_running()) {
                    ("stopped", true) => ("stopped", "processing"),
                    ("paused", true) => ("paused", "paused"),
                    ("in-progress", true) => ("in-progress", "in-progress"),
                    ("stopped" | "paused" | "in-progress", false) => {
                        return Err(no(400, 21_220, "Recording is not in-progress"));
                    }
                    (_, _) => return Err(no(400, 20_001, "Status is not one of a recording")),
                };
                recording.status = kept;
                Ok(yes(200, &recording.json(status)))
            }
            (_, _) => Err(no(405, 20_004, "Method not allowed")),
        }
    }

    pub(super) fn recording(&mut self, request: &ApiRequest, sid: &str) -> ApiResult {
        let at = self.recordings.iter().position(|r| r.sid == sid);
        let at = at.ok_or_else(|| gone(sid))?;
        let recording = &self.recordings[at];
        match (request.method.as_str(), request.file_type.as_str()) {
            ("GET", "json") => Ok(yes(200, &recording.json_looked_up())),
            ("GET", "wav" | "mp3") if recording.status == "completed" => {
                match (&self.media_at, request.query.get("RequestedChannels")) {
                    (_, "2") if recording.channels() == 1 => {
                        Err(no(400, 20_001, "Requested channels are not available"))
                    }
                    (Some(url), _) => {
                        Ok((StatusCode::FOUND, [(header::LOCATION, url)]).into_response())
                    }
                    (None, _) => Ok(media(&recording.media, request)),
                }
            }
            ("DELETE", "json") if recording.status == "completed" => {
                self.recordings.remove(at);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            // Guess: the code.
            ("DELETE", "json") => Err(no(400, 20_001, "Recording is not completed")),
            (_, _) => Err(gone(sid)),
        }
    }

    pub(super) fn start_or_stop(
        &mut self,
        what: &'static str,
        prefix: &str,
        request: &ApiRequest,
        call: &str,
        rest: &[&str],
    ) -> ApiResult {
        if let [which] = rest {
            request.form.check(&["Status"], &[])?;
            self.live(call)?;
            let mut of_call = self
                .running
                .iter_mut()
                .filter(|r| r.what == what && r.call == call);
            let found = of_call.find(|r| r.sid == *which || r.name() == *which);
            let running = found.ok_or_else(|| gone(which))?;
            running.is_stopped = true;
            let (answer, told) = (yes(200, &running.json()), running.told("stream-stopped"));
            self.call_back(told);
            return Ok(answer);
        }
        if what == "Streams" {
            let mut known = vec!["Name", "Track", "StatusCallback", "StatusCallbackMethod"];
            let parameters = request.form.0.iter().map(|(name, _)| name.as_str());
            known.extend(parameters.filter(|name| is_parameter(name)));
            request.form.check(&["Url"], &known)?;
            if !request.form.get("Url").starts_with("wss://") {
                return Err(no(400, 21_205, "Url is not a valid wss URL"));
            }
        } else {
            let known = [
                "Name",
                "Track",
                "StatusCallbackMethod",
                "PartialResults",
                "LanguageCode",
            ];
            request.form.check(&["StatusCallbackUrl"], &known)?;
        }
        if !["inbound_track", "outbound_track", "both_tracks"].contains(&request.form.get("Track"))
        {
            return Err(no(400, 20_001, "Track is not one"));
        }
        self.live(call)?;
        let running = RunningResource {
            what,
            sid: self.next_sid(prefix),
            call: call.to_owned(),
            is_stopped: false,
            asked: request.form.clone(),
        };
        let (answer, told) = (yes(200, &running.json()), running.told("stream-started"));
        self.running.push(running);
        self.call_back(told);
        Ok(answer)
    }

    pub(super) fn applications(&mut self, request: &ApiRequest, rest: &[&str]) -> ApiResult {
        let known = [
            "VoiceUrl",
            "VoiceMethod",
            "VoiceFallbackUrl",
            "VoiceFallbackMethod",
            "StatusCallback",
            "StatusCallbackMethod",
            "FriendlyName",
        ];
        request.form.check(&[], &known)?;
        let (status, sid) = match (request.method.as_str(), rest) {
            ("GET", []) => {
                let name = request.query.get("FriendlyName");
                let found = self
                    .applications
                    .iter()
                    .filter(|(_, a)| a["friendly_name"] == name);
                let all = found.map(|(sid, fields)| resource(sid, fields)).collect();
                return Ok(page(request, "applications", all));
            }
            ("POST", []) => (201, self.next_sid("AP")),
            (_, [sid]) if self.applications.contains_key(*sid) => (200, (*sid).to_owned()),
            (_, _) => return Err(gone(&rest.join("/"))),
        };
        let fields = self.applications.entry(sid.clone()).or_default();
        fields.extend(
            request
                .form
                .0
                .iter()
                .map(|(name, value)| (snake(name), value.clone())),
        );
        Ok(yes(status, &resource(&sid, fields)))
    }

    pub(super) fn numbers(&mut self, request: &ApiRequest, rest: &[&str]) -> ApiResult {
        request.form.check(&[], &["VoiceApplicationSid"])?;
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let part = request.query.get("PhoneNumber");
                let found = self
                    .numbers
                    .iter()
                    .filter(|(_, n)| n["phone_number"].contains(part));
                let all = found.map(|(sid, fields)| resource(sid, fields)).collect();
                Ok(page(request, "incoming_phone_numbers", all))
            }
            ("POST", [sid]) => {
                let fields = self.numbers.get_mut(*sid).ok_or_else(|| gone(sid))?;
                fields.extend(
                    request
                        .form
                        .0
                        .iter()
                        .map(|(name, value)| (snake(name), value.clone())),
                );
                // "Setting a `voice_application_sid` will automatically delete your `trunk_sid`."
                fields.insert("trunk_sid".to_owned(), String::new());
                Ok(yes(200, &resource(sid, fields)))
            }
            (_, _) => Err(gone(&rest.join("/"))),
        }
    }

    pub(super) fn keys(&mut self, request: &ApiRequest) -> ApiResult {
        if request.method == Method::GET {
            let shown = |key: &FakeApiKey| json!({ "sid": key.sid, "friendly_name": key.name });
            return Ok(page(request, "keys", self.keys.iter().map(shown).collect()));
        }
        request.form.check(&[], &["FriendlyName"])?;
        let sid = self.next_sid("SK");
        let key = FakeApiKey {
            name: request.form.get("FriendlyName").to_owned(),
            secret: format!("secret-of-{sid}"),
            sid,
        };
        let made = json!({ "sid": key.sid, "friendly_name": key.name, "secret": key.secret });
        self.keys.push(key);
        Ok(yes(201, &made))
    }

    /// Returns whether these credentials grant access to this path.
    pub(super) fn admits(&self, headers: &HeaderMap, path: &[String]) -> bool {
        let authorization = headers.get(header::AUTHORIZATION);
        let basic = authorization.and_then(|v| v.to_str().ok()?.strip_prefix("Basic "));
        let decoded = basic.and_then(|text| BASE64.decode(text).ok());
        let Some(decoded) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return false;
        };
        let is_key = |key: &FakeApiKey| decoded == format!("{}:{}", key.sid, key.secret);
        // A standard key grants access neither to the account nor to its keys.
        let is_closed_to_keys = matches!(path.first().map(String::as_str), None | Some("Keys"));
        decoded == format!("{ACCOUNT}:{AUTH_TOKEN}")
            || (!is_closed_to_keys && self.keys.iter().any(is_key))
    }
}

/// Converts `VoiceUrl` to `voice_url`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn is_parameter(name: &str) -> bool {
    let number = name.strip_prefix("Parameter").and_then(|rest| {
        rest.strip_suffix(".Name")
            .or_else(|| rest.strip_suffix(".Value"))
    });
    number.is_some_and(|number| number.parse().is_ok_and(|n: u32| (1..=99).contains(&n)))
}
