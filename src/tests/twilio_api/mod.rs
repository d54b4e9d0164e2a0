//! A stand-in for Twilio's REST API: a plain model of calls and what hangs on them behind a real
//! HTTP server, as strict as Twilio or stricter.
//!
//! ```ignore
//! let twilio = FakeTwilio::start(&tasks);
//! let call = twilio.call_in_progress();
//! twilio.trouble_next(Trouble::Lose);              // does it, and answers 500
//! twilio.rest().start_recording(&call, &ask).await?;
//! twilio.finish_recording(&sid, b"RIFF…");         // completed: media, and a callback
//! twilio.deliver_all(server.addr).await;           // signed, as Twilio would
//! assert_eq!(twilio.requests()[0].body, "…");
//! ```
//!
//! A field that Twilio does not know, a wrong method, a body that is no form, or bad credentials
//! are refused. What Twilio documents is done as documented; what it does not is a guess, marked
//! *guess*.

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

/// The account.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Its token, which also signs callbacks.
pub(crate) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// A key that it has from the start.
pub(crate) const KEY: &str = "SK00000000000000000000000000000001";
/// The secret of that key.
pub(crate) const KEY_SECRET: &str = "a-secret-of-a-key";

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiFault {
    /// It is refused unseen, with this status and `Retry-After` in seconds.
    Refuse(u16, Option<u64>),
    /// It is done, but the answer is 500.
    Lose,
    /// It is done, but nothing comes back.
    Stall,
    /// It is done, but the answer breaks off.
    BreakOff,
    /// It is done, but the answer is no JSON.
    Garble,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedRequest {
    /// `POST`.
    pub(crate) method: String,
    /// What follows the account, with the query: `/Calls/CA….json`.
    pub(crate) path: String,
    /// The body.
    pub(crate) body: String,
}

/// A webhook that waits to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct PendingCallback {
    /// Where to, as Twilio was told.
    pub(crate) url: String,
    /// Its fields.
    pub(crate) form: Vec<(String, String)>,
    /// The same when it is delivered again.
    pub(crate) token: String,
}

/// The stand-in; clones are the same.
#[derive(Clone)]
pub(crate) struct FakeTwilio {
    addr: SocketAddr,
    state: Arc<Mutex<AccountState>>,
}

impl FakeTwilio {
    /// Listens on a free port until `tasks` are shut down.
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

    /// How to reach it with the account's token, and with next to no patience.
    pub(crate) fn config(&self) -> TwilioClientConfig {
        let account = AccountSid::parse(ACCOUNT).unwrap();
        TwilioClientConfig {
            base_url: format!("http://{}", self.addr),
            retry_policy: Self::retry_policy(),
            ..TwilioClientConfig::new(account, ApiCredentials::AuthToken(AUTH_TOKEN.into()))
        }
    }

    /// Next to none between attempts.
    pub(crate) fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        }
    }

    /// A client with an API key, as the server has it.
    pub(crate) fn client(&self) -> TwilioClient {
        self.client_with(Self::retry_policy())
    }

    /// The same, as patient as is said.
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

    /// A call whose parties talk.
    pub(crate) fn call_in_progress(&self) -> CallSid {
        let mut state = self.state();
        let sid = state.next_sid("CA");
        state.calls.insert(sid.clone(), "in-progress");
        CallSid::parse(&sid).unwrap()
    }

    /// Lets a call that a story has named be known, its parties talking.
    pub(crate) fn add_call(&self, sid: &CallSid) {
        self.state()
            .calls
            .insert(sid.as_str().to_owned(), "in-progress");
    }

    /// Lets a leg be known that another dialled, and where it is.
    pub(crate) fn add_child_leg(&self, sid: &CallSid, parent: &CallSid, status: &'static str) {
        let mut state = self.state();
        state.calls.insert(sid.as_str().to_owned(), status);
        let parent = parent.as_str().to_owned();
        state.parents.insert(sid.as_str().to_owned(), parent);
    }

    /// A call rings, if it is not further already.
    pub(crate) fn ring_call(&self, sid: &CallSid) {
        let mut state = self.state();
        let call = state.calls.entry(sid.as_str().to_owned());
        call.or_insert("ringing");
    }

    /// A call was never there.
    pub(crate) fn remove_call(&self, sid: &CallSid) {
        self.state().calls.remove(sid.as_str());
    }

    /// A leg is elsewhere now, in Twilio's words; nobody is told.
    pub(crate) fn set_call_status(&self, sid: &CallSid, status: &'static str) {
        self.state().calls.insert(sid.as_str().to_owned(), status);
    }

    /// Questions where a call is, so far.
    pub(crate) fn lookup_count(&self, sid: &CallSid) -> usize {
        let path = format!("/Calls/{}.json", sid.as_str());
        let requests = self.requests();
        let asked = requests
            .iter()
            .filter(|s| s.method == "GET" && s.path == path);
        asked.count()
    }

    /// Both hang up: streams stop, recordings are being made ready.
    pub(crate) fn end_call(&self, sid: &CallSid) {
        self.state().end_call(sid.as_str());
    }

    /// Where a call is, in Twilio's words.
    pub(crate) fn call_status(&self, sid: &CallSid) -> Option<&'static str> {
        self.state().calls.get(sid.as_str()).copied()
    }

    /// A recording that TwiML, not the API, began.
    pub(crate) fn add_dial_recording(&self, call: &CallSid) -> RecordingSid {
        let mut state = self.state();
        let sid = state.record(call.as_str(), "DialVerb", &[]);
        RecordingSid::parse(&sid).unwrap()
    }

    /// The states of a call's recordings, in Twilio's words, oldest first.
    pub(crate) fn recording_states(&self, call: &CallSid) -> Vec<&'static str> {
        let state = self.state();
        let of_call = state.recordings.iter().filter(|r| r.call == call.as_str());
        of_call.map(|r| r.status).collect()
    }

    /// A recording is gone, without a word.
    pub(crate) fn remove_recording(&self, sid: &RecordingSid) {
        let mut state = self.state();
        state.recordings.retain(|r| r.sid != sid.as_str());
    }

    /// A recording is stopped in the console, without a word.
    pub(crate) fn stop_recording_unseen(&self, sid: &RecordingSid) {
        let mut state = self.state();
        let mut all = state.recordings.iter_mut();
        let found = all.find(|r| r.sid == sid.as_str());
        found.expect("a recording that was made").status = "processing";
    }

    /// Makes a stopped recording ready: this is its sound.
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

    /// Recordings lie at another address: what a request for one is redirected to.
    pub(crate) fn redirect_media_to(&self, url: &str) {
        self.state().media_at = Some(url.to_owned());
    }

    /// Names of a call's streams that run.
    pub(crate) fn streams(&self, call: &CallSid) -> Vec<String> {
        self.state().running("Streams", call)
    }

    /// Names of a call's Real-Time Transcriptions that run.
    pub(crate) fn transcriptions(&self, call: &CallSid) -> Vec<String> {
        self.state().running("Transcriptions", call)
    }

    /// The account owns this number; its calls go to that address, and `trunk`, if not empty.
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

    /// The account has verified this number, and does not own it.
    pub(crate) fn add_verified_caller_id(&self, number: &str) {
        self.state().verified.push(number.to_owned());
    }

    /// A field of the number, as Twilio shows it.
    pub(crate) fn number_field(&self, number: &str, field: &str) -> String {
        let state = self.state();
        let found = state.numbers.values().find(|n| n["phone_number"] == number);
        found
            .and_then(|n| n.get(field))
            .cloned()
            .unwrap_or_default()
    }

    /// An application that exists; gives its SID.
    pub(crate) fn add_application(&self, fields: &[(&str, &str)]) -> String {
        let mut state = self.state();
        let sid = state.next_sid("AP");
        state.applications.insert(sid.clone(), owned(fields));
        sid
    }

    /// SIDs of the applications.
    pub(crate) fn applications(&self) -> Vec<String> {
        self.state().applications.keys().cloned().collect()
    }

    /// Names and secrets of the API keys, oldest first.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        let state = self.state();
        let keys = state.keys.iter();
        keys.map(|key| (key.name.clone(), key.secret.clone()))
            .collect()
    }

    /// Registers a browser with a pass, in the region that it connects to: Twilio's code, if it refuses.
    pub(crate) fn check_registration(jwt: &str, region: &str) -> Result<(), u32> {
        let head = jwt.split('.').next().unwrap_or_default();
        let head = BASE64_URL.decode(head).map_err(|_| 20_101_u32)?;
        let head: serde_json::Value = serde_json::from_slice(&head).map_err(|_| 20_101_u32)?;
        let of = head["twr"].as_str().unwrap_or("us1");
        (of == region).then_some(()).ok_or(20_101)
    }

    /// The next request is refused with this status.
    pub(crate) fn fail_next(&self, status: u16) {
        self.inject_fault_next(ApiFault::Refuse(status, None));
    }

    /// This goes wrong with the next request; called again, with the one after it.
    pub(crate) fn inject_fault_next(&self, trouble: ApiFault) {
        self.state().faults.push_back(trouble);
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests_seen.clone()
    }

    /// Every request so far that did not only read, as `POST /Calls/CA….json`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let seen = self
            .requests()
            .into_iter()
            .filter(|seen| !["GET", "HEAD"].contains(&seen.method.as_str()));
        seen.map(|seen| format!("{} {}", seen.method, seen.path))
            .collect()
    }

    /// The webhooks that wait, in the order of their events; they wait no longer.
    pub(crate) fn take_callbacks(&self) -> Vec<PendingCallback> {
        self.state().callbacks.drain(..).collect()
    }

    /// A webhook of one's own, to be delivered.
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

    /// Delivers a webhook to the server at `addr`, whatever host Twilio was told, and signs it for
    /// the address that Twilio was told.
    pub(crate) async fn deliver(
        &self,
        addr: SocketAddr,
        callback: &PendingCallback,
    ) -> HttpResponse {
        let mut url = Url::parse(&callback.url).unwrap();
        // What is said of repetitions there is neither sent nor signed.
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

    /// Delivers the webhooks that wait, in order; gives the statuses of the answers.
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
                        // Lets the first piece leave.
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
