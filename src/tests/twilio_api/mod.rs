//! A fake of Twilio's REST API: a plain model of calls and their resources behind a real HTTP server, as
//! strict as Twilio or stricter.
//!
//! ```ignore
//! let twilio = FakeTwilio::start(&tasks);
//! let call = twilio.call_in_progress();
//! twilio.inject_fault_next(ApiFault::Lose);        // processes the next request, and responds 500
//! twilio.client().start_recording(&call, &ask).await?;
//! twilio.finish_recording(&sid, b"RIFF…");         // completed: audio, and a callback
//! twilio.deliver_all(server.addr).await;           // signed, as by Twilio
//! assert_eq!(twilio.requests()[0].body, "…");
//! ```
//!
//! An unknown field, a wrong method, a body that is not a form, and bad credentials are refused. Documented
//! behaviour follows Twilio's documentation; undocumented behaviour is a guess, marked *guess*.

mod account_state;
mod http;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use reqwest::Url;

use self::account_state::{AccountState, FakeApiKey};
use self::http::{ApiRequest, encoded, no};
use super::{HttpResponse, request, serve};
use crate::ids::{AccountSid, ApiKeySid, CallSid, RecordingSid};
use crate::tasks::Tasks;
use crate::twilio::api::retry::RetryPolicy;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig};
use crate::twilio::signature::{SigningKey, sign};

pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// The auth token, which also signs callbacks.
pub(crate) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// An API key that exists from the start.
pub(crate) const KEY: &str = "SK00000000000000000000000000000001";
/// The secret of that key.
pub(crate) const KEY_SECRET: &str = "a-secret-of-a-key";

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiFault {
    /// Refused without effect, with this status and `Retry-After` in seconds.
    Refuse(u16, Option<u64>),
    /// Processed, but the response is 500.
    Lose,
    /// Processed, but there is no response.
    Stall,
    /// Processed, but the response breaks off.
    BreakOff,
    /// Processed, but the response is not JSON.
    Garble,
}

/// A request that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedRequest {
    /// The method, such as `POST`.
    pub(crate) method: String,
    /// The path after the account, with the query: `/Calls/CA….json`.
    pub(crate) path: String,
    pub(crate) body: String,
}

/// A webhook that has not been delivered.
#[derive(Debug, Clone)]
pub(crate) struct PendingCallback {
    /// The URL that was given to Twilio.
    pub(crate) url: String,
    pub(crate) form: Vec<(String, String)>,
    /// The idempotency token, the same for each delivery.
    pub(crate) token: String,
}

/// The fake server; clones share it.
#[derive(Clone)]
pub(crate) struct FakeTwilio {
    addr: SocketAddr,
    state: Arc<Mutex<AccountState>>,
}

impl FakeTwilio {
    /// Listens on a free port until `tasks` shut down.
    pub(crate) fn start(tasks: &Tasks) -> Self {
        let mut state = AccountState::default();
        state.keys.push(FakeApiKey {
            sid: KEY.to_owned(),
            name: "older".to_owned(),
            secret: KEY_SECRET.to_owned(),
        });
        let state = Arc::new(Mutex::new(state));
        let router = Router::new().fallback(answer).with_state(state.clone());
        let addr = serve(router, tasks);
        Self { addr, state }
    }

    fn state(&self) -> MutexGuard<'_, AccountState> {
        self.state.lock().unwrap()
    }

    /// Returns a configuration with the account's auth token and very short timeouts.
    pub(crate) fn config(&self) -> TwilioClientConfig {
        let account = AccountSid::parse(ACCOUNT).unwrap();
        TwilioClientConfig {
            base_url: format!("http://{}", self.addr),
            retry_policy: Self::retry_policy(),
            ..TwilioClientConfig::new(account, ApiCredentials::AuthToken(AUTH_TOKEN.into()))
        }
    }

    /// Very short delays between attempts.
    pub(crate) fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        }
    }

    /// Returns a client with an API key, like the server's.
    pub(crate) fn client(&self) -> TwilioClient {
        self.client_with(Self::retry_policy())
    }

    /// Like [`Self::client`], with another retry policy.
    pub(crate) fn client_with(&self, retry_policy: RetryPolicy) -> TwilioClient {
        let credentials = ApiCredentials::ApiKey {
            sid: ApiKeySid::parse(KEY).unwrap(),
            secret: KEY_SECRET.into(),
        };
        TwilioClient::new(TwilioClientConfig {
            credentials,
            retry_policy,
            ..self.config()
        })
        .unwrap()
    }

    /// Adds a call in progress.
    pub(crate) fn call_in_progress(&self) -> CallSid {
        let mut state = self.state();
        let sid = state.next_sid("CA");
        state.calls.insert(sid.clone(), "in-progress");
        CallSid::parse(&sid).unwrap()
    }

    /// Adds a call in progress with this SID.
    pub(crate) fn add_call(&self, sid: &CallSid) {
        self.state()
            .calls
            .insert(sid.as_str().to_owned(), "in-progress");
    }

    /// Adds a leg that `parent` dialled, with its status.
    pub(crate) fn add_child_leg(&self, sid: &CallSid, parent: &CallSid, status: &'static str) {
        let mut state = self.state();
        state.calls.insert(sid.as_str().to_owned(), status);
        let parent = parent.as_str().to_owned();
        state.parents.insert(sid.as_str().to_owned(), parent);
    }

    /// Lets a call ring, unless it is already further.
    pub(crate) fn ring_call(&self, sid: &CallSid) {
        let mut state = self.state();
        let call = state.calls.entry(sid.as_str().to_owned());
        call.or_insert("ringing");
    }

    /// Removes a call as if it had never existed.
    pub(crate) fn remove_call(&self, sid: &CallSid) {
        self.state().calls.remove(sid.as_str());
    }

    /// Sets a leg's status (Twilio's name) without a callback.
    pub(crate) fn set_call_status(&self, sid: &CallSid, status: &'static str) {
        self.state().calls.insert(sid.as_str().to_owned(), status);
    }

    /// Counts the requests for a call's status.
    pub(crate) fn lookup_count(&self, sid: &CallSid) -> usize {
        let path = format!("/Calls/{}.json", sid.as_str());
        let requests = self.requests();
        let asked = requests
            .iter()
            .filter(|s| s.method == "GET" && s.path == path);
        asked.count()
    }

    /// Ends a call: streams stop, recordings are processed.
    pub(crate) fn end_call(&self, sid: &CallSid) {
        self.state().end_call(sid.as_str());
    }

    /// Returns a call's status (Twilio's name).
    pub(crate) fn call_status(&self, sid: &CallSid) -> Option<&'static str> {
        self.state().calls.get(sid.as_str()).copied()
    }

    /// Adds a recording that TwiML, not the API, started.
    pub(crate) fn add_dial_recording(&self, call: &CallSid) -> RecordingSid {
        let mut state = self.state();
        let sid = state.record(call.as_str(), "DialVerb", &[]);
        RecordingSid::parse(&sid).unwrap()
    }

    /// Returns the statuses of a call's recordings (Twilio's names), oldest first.
    pub(crate) fn recording_states(&self, call: &CallSid) -> Vec<&'static str> {
        let state = self.state();
        let of_call = state.recordings.iter().filter(|r| r.call == call.as_str());
        of_call.map(|r| r.status).collect()
    }

    /// Removes a recording without a callback.
    pub(crate) fn remove_recording(&self, sid: &RecordingSid) {
        let mut state = self.state();
        state.recordings.retain(|r| r.sid != sid.as_str());
    }

    /// Stops a recording as in Twilio's console, without a callback.
    pub(crate) fn stop_recording_unseen(&self, sid: &RecordingSid) {
        let mut state = self.state();
        let mut all = state.recordings.iter_mut();
        let found = all.find(|r| r.sid == sid.as_str());
        found.expect("a recording that was made").status = "processing";
    }

    /// Completes a stopped recording with this audio.
    pub(crate) fn finish_recording(&self, sid: &RecordingSid, media: &[u8]) {
        let mut state = self.state();
        let state = &mut *state;
        let found = state.recordings.iter_mut().find(|r| r.sid == sid.as_str());
        let recording = found.expect("a recording that was made");
        assert_eq!(recording.status, "processing", "stop it first");
        recording.status = "completed";
        recording.media = Bytes::copy_from_slice(media);
        let told = recording.told("completed");
        state.call_back(told);
    }

    /// Redirects requests for recordings to another URL.
    pub(crate) fn redirect_media_to(&self, url: &str) {
        self.state().media_at = Some(url.to_owned());
    }

    /// Returns the names of a call's running streams.
    pub(crate) fn streams(&self, call: &CallSid) -> Vec<String> {
        self.state().running("Streams", call)
    }

    /// Returns the names of a call's running Real-Time Transcriptions.
    pub(crate) fn transcriptions(&self, call: &CallSid) -> Vec<String> {
        self.state().running("Transcriptions", call)
    }

    /// Adds a number of the account, with its voice URL and, if not empty, its SIP trunk.
    pub(crate) fn add_incoming_number(&self, number: &str, voice_url: &str, trunk: &str) {
        let mut state = self.state();
        let fields = [
            ("phone_number", number),
            ("voice_url", voice_url),
            ("trunk_sid", trunk),
        ];
        let sid = state.next_sid("PN");
        state.numbers.insert(sid, owned(&fields));
    }

    /// Adds a number that the account has verified but does not own.
    pub(crate) fn add_verified_caller_id(&self, number: &str) {
        self.state().verified.push(number.to_owned());
    }

    /// Returns a field of a number, as Twilio reports it.
    pub(crate) fn number_field(&self, number: &str, field: &str) -> String {
        let state = self.state();
        let found = state.numbers.values().find(|n| n["phone_number"] == number);
        found
            .and_then(|n| n.get(field))
            .cloned()
            .unwrap_or_default()
    }

    /// Adds an application; returns its SID.
    pub(crate) fn add_application(&self, fields: &[(&str, &str)]) -> String {
        let mut state = self.state();
        let sid = state.next_sid("AP");
        state.applications.insert(sid.clone(), owned(fields));
        sid
    }

    /// Returns the SIDs of the applications.
    pub(crate) fn applications(&self) -> Vec<String> {
        self.state().applications.keys().cloned().collect()
    }

    /// Returns the names and secrets of the API keys, oldest first.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        let state = self.state();
        let keys = state.keys.iter();
        keys.map(|key| (key.name.clone(), key.secret.clone()))
            .collect()
    }

    /// Registers a browser with an access token in the region that it connects to; an error with Twilio's
    /// code if it is refused.
    pub(crate) fn check_registration(jwt: &str, region: &str) -> Result<(), u32> {
        let head = jwt.split('.').next().unwrap_or_default();
        let head = BASE64_URL.decode(head).map_err(|_| 20_101_u32)?;
        let head: serde_json::Value = serde_json::from_slice(&head).map_err(|_| 20_101_u32)?;
        let of = head["twr"].as_str().unwrap_or("us1");
        (of == region).then_some(()).ok_or(20_101)
    }

    /// Refuses the next request with this status.
    pub(crate) fn fail_next(&self, status: u16) {
        self.inject_fault_next(ApiFault::Refuse(status, None));
    }

    /// Injects a fault into the next request; a further call, into the one after it.
    pub(crate) fn inject_fault_next(&self, trouble: ApiFault) {
        self.state().faults.push_back(trouble);
    }

    /// Returns all requests up to now.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests_seen.clone()
    }

    /// Returns all requests up to now that were not only reads, as `POST /Calls/CA….json`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let seen = self
            .requests()
            .into_iter()
            .filter(|seen| !["GET", "HEAD"].contains(&seen.method.as_str()));
        seen.map(|seen| format!("{} {}", seen.method, seen.path))
            .collect()
    }

    /// Takes the pending webhooks, in the order of their events.
    pub(crate) fn take_callbacks(&self) -> Vec<PendingCallback> {
        self.state().callbacks.drain(..).collect()
    }

    /// Creates a webhook.
    pub(crate) fn callback(&self, url: &str, form: &[(&str, &str)]) -> PendingCallback {
        let form = form
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let token = self.state().next_sid("");
        PendingCallback {
            url: url.to_owned(),
            form: form.collect(),
            token,
        }
    }

    /// Delivers a webhook to the server at `addr`, whatever host it is addressed to, and signs it for its
    /// URL.
    pub(crate) async fn deliver(
        &self,
        addr: SocketAddr,
        callback: &PendingCallback,
    ) -> HttpResponse {
        let mut url = Url::parse(&callback.url).unwrap();
        // The retry settings in the fragment are neither sent nor signed.
        url.set_fragment(None);
        let signature = sign(
            &SigningKey::auth_token(AUTH_TOKEN),
            url.as_str(),
            &callback.form,
        );
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n\
             User-Agent: TwilioProxy/1.1\r\nI-Twilio-Idempotency-Token: {}\r\n\
             X-Twilio-Signature: {signature}\r\n",
            callback.token
        );
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let path = format!("{}{query}", url.path());
        request(addr, "POST", &path, &headers, &encoded(&callback.form)).await
    }

    /// Delivers the pending webhooks in order; returns the statuses of the responses.
    pub(crate) async fn deliver_all(&self, addr: SocketAddr) -> Vec<u16> {
        let mut statuses = Vec::new();
        for callback in self.take_callbacks() {
            statuses.push(self.deliver(addr, &callback).await.status);
        }
        statuses
    }
}

async fn answer(
    State(state): State<Arc<Mutex<AccountState>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (reply, trouble) = {
        let mut state = state.lock().unwrap();
        let prefix = format!("/2010-04-01/Accounts/{ACCOUNT}");
        let path = uri.to_string();
        state.requests_seen.push(RecordedRequest {
            method: method.to_string(),
            path: path.strip_prefix(&prefix).unwrap_or(&path).to_owned(),
            body: body.clone(),
        });
        let trouble = state.faults.pop_front();
        if let Some(ApiFault::Refuse(status, retry_after)) = trouble {
            return refuse(status, retry_after);
        }
        let reply = ApiRequest::read(&method, &uri, &headers, &body).and_then(|request| {
            if state.admits(&headers, &request.path) {
                state.answer(&request)
            } else {
                Err(no(401, 20_003, "Authenticate"))
            }
        });
        (reply.unwrap_or_else(IntoResponse::into_response), trouble)
    };
    match trouble {
        None | Some(ApiFault::Refuse(..)) => reply,
        Some(ApiFault::Lose) => no(500, 20_500, "Internal Server Error").into_response(),
        Some(ApiFault::Stall) => std::future::pending().await,
        Some(ApiFault::Garble) => {
            (reply.status(), "<html>welcome to the hotel</html>").into_response()
        }
        Some(ApiFault::BreakOff) => {
            let half = futures_util::stream::unfold(0, |piece| async move {
                match piece {
                    0 => Some((Ok(Bytes::from_static(b"{\"sid\":")), 1)),
                    1 => {
                        // Lets the first piece be sent.
                        tokio::task::yield_now().await;
                        Some((Err(std::io::Error::other("the line is cut")), 2))
                    }
                    _ => None,
                }
            });
            (reply.status(), Body::from_stream(half)).into_response()
        }
    }
}

fn refuse(status: u16, retry_after: Option<u64>) -> Response {
    let mut response = no(
        status,
        20_000 + u32::from(status),
        "Refused as the test wanted",
    )
    .into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn owned(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
