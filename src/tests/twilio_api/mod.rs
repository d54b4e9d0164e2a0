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

mod http;
mod world;

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

use self::http::{Request, encoded, no};
use self::world::{ApiKey, World};
use super::{Answer, request, serve};
use crate::ids::{AccountSid, ApiKeySid, CallSid, RecordingSid};
use crate::tasks::Tasks;
use crate::twilio::rest::retry::Patience;
use crate::twilio::rest::{Credentials, Rest, RestConfig};
use crate::twilio::signature::{Key, sign};

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
pub(crate) enum Trouble {
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
pub(crate) struct Seen {
    /// `POST`.
    pub(crate) method: String,
    /// What follows the account, with the query: `/Calls/CA….json`.
    pub(crate) path: String,
    /// The body.
    pub(crate) body: String,
}

/// A webhook that waits to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
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
    world: Arc<Mutex<World>>,
}

impl FakeTwilio {
    /// Listens on a free port until `tasks` are shut down.
    pub(crate) fn start(tasks: &Tasks) -> Self {
        let mut world = World::default();
        world.keys.push(ApiKey {
            sid: KEY.to_owned(),
            name: "older".to_owned(),
            secret: KEY_SECRET.to_owned(),
        });
        let world = Arc::new(Mutex::new(world));
        let router = Router::new().fallback(answer).with_state(world.clone());
        let addr = serve(router, tasks);
        Self { addr, world }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// How to reach it with the account's token, and with next to no patience.
    pub(crate) fn config(&self) -> RestConfig {
        let account = AccountSid::parse(ACCOUNT).unwrap();
        RestConfig {
            base_url: format!("http://{}", self.addr),
            patience: Self::patience(),
            ..RestConfig::new(account, Credentials::AuthToken(AUTH_TOKEN.into()))
        }
    }

    /// Next to none between attempts.
    pub(crate) fn patience() -> Patience {
        Patience {
            pause: Duration::from_millis(1),
            ..Patience::default()
        }
    }

    /// A client with an API key, as the server has it.
    pub(crate) fn rest(&self) -> Rest {
        self.rest_with(Self::patience())
    }

    /// The same, as patient as is said.
    pub(crate) fn rest_with(&self, patience: Patience) -> Rest {
        let credentials = Credentials::ApiKey {
            sid: ApiKeySid::parse(KEY).unwrap(),
            secret: KEY_SECRET.into(),
        };
        Rest::new(RestConfig {
            credentials,
            patience,
            ..self.config()
        })
        .unwrap()
    }

    /// A call whose parties talk.
    pub(crate) fn call_in_progress(&self) -> CallSid {
        let mut world = self.world();
        let sid = world.next_sid("CA");
        world.calls.insert(sid.clone(), "in-progress");
        CallSid::parse(&sid).unwrap()
    }

    /// Lets a call that a story has named be known, its parties talking.
    pub(crate) fn knows_call(&self, sid: &CallSid) {
        self.world()
            .calls
            .insert(sid.as_str().to_owned(), "in-progress");
    }

    /// Lets a leg be known that another dialled, and where it is.
    pub(crate) fn knows_leg(&self, sid: &CallSid, parent: &CallSid, status: &'static str) {
        let mut world = self.world();
        world.calls.insert(sid.as_str().to_owned(), status);
        let parent = parent.as_str().to_owned();
        world.parents.insert(sid.as_str().to_owned(), parent);
    }

    /// A call rings, if it is not further already.
    pub(crate) fn rings(&self, sid: &CallSid) {
        let mut world = self.world();
        let call = world.calls.entry(sid.as_str().to_owned());
        call.or_insert("ringing");
    }

    /// A call was never there.
    pub(crate) fn forgets_call(&self, sid: &CallSid) {
        self.world().calls.remove(sid.as_str());
    }

    /// A leg is elsewhere now, in Twilio's words; nobody is told.
    pub(crate) fn moves_call(&self, sid: &CallSid, status: &'static str) {
        self.world().calls.insert(sid.as_str().to_owned(), status);
    }

    /// Questions where a call is, so far.
    pub(crate) fn asked_about(&self, sid: &CallSid) -> usize {
        let path = format!("/Calls/{}.json", sid.as_str());
        let requests = self.requests();
        let asked = requests
            .iter()
            .filter(|s| s.method == "GET" && s.path == path);
        asked.count()
    }

    /// Both hang up: streams stop, recordings are being made ready.
    pub(crate) fn end_call(&self, sid: &CallSid) {
        self.world().end_call(sid.as_str());
    }

    /// Where a call is, in Twilio's words.
    pub(crate) fn call_status(&self, sid: &CallSid) -> Option<&'static str> {
        self.world().calls.get(sid.as_str()).copied()
    }

    /// A recording that TwiML, not the API, began.
    pub(crate) fn recording_by_dial(&self, call: &CallSid) -> RecordingSid {
        let mut world = self.world();
        let sid = world.record(call.as_str(), "DialVerb", &[]);
        RecordingSid::parse(&sid).unwrap()
    }

    /// The states of a call's recordings, in Twilio's words, oldest first.
    pub(crate) fn recording_states(&self, call: &CallSid) -> Vec<&'static str> {
        let world = self.world();
        let of_call = world.recordings.iter().filter(|r| r.call == call.as_str());
        of_call.map(|r| r.status).collect()
    }

    /// A recording is gone, without a word.
    pub(crate) fn loses_recording(&self, sid: &RecordingSid) {
        let mut world = self.world();
        world.recordings.retain(|r| r.sid != sid.as_str());
    }

    /// A recording is stopped in the console, without a word.
    pub(crate) fn stops_recording(&self, sid: &RecordingSid) {
        let mut world = self.world();
        let mut all = world.recordings.iter_mut();
        let found = all.find(|r| r.sid == sid.as_str());
        found.expect("a recording that was made").status = "processing";
    }

    /// Makes a stopped recording ready: this is its sound.
    pub(crate) fn finish_recording(&self, sid: &RecordingSid, media: &[u8]) {
        let mut world = self.world();
        let world = &mut *world;
        let found = world.recordings.iter_mut().find(|r| r.sid == sid.as_str());
        let recording = found.expect("a recording that was made");
        assert_eq!(recording.status, "processing", "stop it first");
        recording.status = "completed";
        recording.media = Bytes::copy_from_slice(media);
        let told = recording.told("completed");
        world.call_back(told);
    }

    /// Recordings lie at another address: what a request for one is redirected to.
    pub(crate) fn keep_media_at(&self, url: &str) {
        self.world().media_at = Some(url.to_owned());
    }

    /// Names of a call's streams that run.
    pub(crate) fn streams(&self, call: &CallSid) -> Vec<String> {
        self.world().running("Streams", call)
    }

    /// Names of a call's Real-Time Transcriptions that run.
    pub(crate) fn transcriptions(&self, call: &CallSid) -> Vec<String> {
        self.world().running("Transcriptions", call)
    }

    /// The account owns this number; its calls go to that address, and `trunk`, if not empty.
    pub(crate) fn owns_number(&self, number: &str, voice_url: &str, trunk: &str) {
        let mut world = self.world();
        let fields = [
            ("phone_number", number),
            ("voice_url", voice_url),
            ("trunk_sid", trunk),
        ];
        let sid = world.next_sid("PN");
        world.numbers.insert(sid, owned(&fields));
    }

    /// The account has verified this number, and does not own it.
    pub(crate) fn has_verified(&self, number: &str) {
        self.world().verified.push(number.to_owned());
    }

    /// A field of the number, as Twilio shows it.
    pub(crate) fn number_field(&self, number: &str, field: &str) -> String {
        let world = self.world();
        let found = world.numbers.values().find(|n| n["phone_number"] == number);
        found
            .and_then(|n| n.get(field))
            .cloned()
            .unwrap_or_default()
    }

    /// An application that exists; gives its SID.
    pub(crate) fn has_application(&self, fields: &[(&str, &str)]) -> String {
        let mut world = self.world();
        let sid = world.next_sid("AP");
        world.applications.insert(sid.clone(), owned(fields));
        sid
    }

    /// SIDs of the applications.
    pub(crate) fn applications(&self) -> Vec<String> {
        self.world().applications.keys().cloned().collect()
    }

    /// Names and secrets of the API keys, oldest first.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        let world = self.world();
        let keys = world.keys.iter();
        keys.map(|key| (key.name.clone(), key.secret.clone()))
            .collect()
    }

    /// Registers a browser with a pass, in the region that it connects to: Twilio's code, if it refuses.
    pub(crate) fn registers(jwt: &str, region: &str) -> Result<(), u32> {
        let head = jwt.split('.').next().unwrap_or_default();
        let head = BASE64_URL.decode(head).map_err(|_| 20_101_u32)?;
        let head: serde_json::Value = serde_json::from_slice(&head).map_err(|_| 20_101_u32)?;
        let of = head["twr"].as_str().unwrap_or("us1");
        (of == region).then_some(()).ok_or(20_101)
    }

    /// The next request is refused with this status.
    pub(crate) fn fail_next(&self, status: u16) {
        self.trouble_next(Trouble::Refuse(status, None));
    }

    /// This goes wrong with the next request; called again, with the one after it.
    pub(crate) fn trouble_next(&self, trouble: Trouble) {
        self.world().troubles.push_back(trouble);
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.world().seen.clone()
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
    pub(crate) fn take_callbacks(&self) -> Vec<Callback> {
        self.world().callbacks.drain(..).collect()
    }

    /// A webhook of one's own, to be delivered.
    pub(crate) fn callback(&self, url: &str, form: &[(&str, &str)]) -> Callback {
        let form = form
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let token = self.world().next_sid("");
        Callback {
            url: url.to_owned(),
            form: form.collect(),
            token,
        }
    }

    /// Delivers a webhook to the server at `addr`, whatever host Twilio was told, and signs it for
    /// the address that Twilio was told.
    pub(crate) async fn deliver(&self, addr: SocketAddr, callback: &Callback) -> Answer {
        let mut url = Url::parse(&callback.url).unwrap();
        // What is said of repetitions there is neither sent nor signed.
        url.set_fragment(None);
        let signature = sign(&Key::auth_token(AUTH_TOKEN), url.as_str(), &callback.form);
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
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (reply, trouble) = {
        let mut world = world.lock().unwrap();
        let prefix = format!("/2010-04-01/Accounts/{ACCOUNT}");
        let path = uri.to_string();
        world.seen.push(Seen {
            method: method.to_string(),
            path: path.strip_prefix(&prefix).unwrap_or(&path).to_owned(),
            body: body.clone(),
        });
        let trouble = world.troubles.pop_front();
        if let Some(Trouble::Refuse(status, retry_after)) = trouble {
            return refuse(status, retry_after);
        }
        let reply = Request::read(&method, &uri, &headers, &body).and_then(|ask| {
            if world.admits(&headers, &ask.path) {
                world.answer(&ask)
            } else {
                Err(no(401, 20_003, "Authenticate"))
            }
        });
        (reply.unwrap_or_else(IntoResponse::into_response), trouble)
    };
    match trouble {
        None | Some(Trouble::Refuse(..)) => reply,
        Some(Trouble::Lose) => no(500, 20_500, "Internal Server Error").into_response(),
        Some(Trouble::Stall) => std::future::pending().await,
        Some(Trouble::Garble) => {
            (reply.status(), "<html>welcome to the hotel</html>").into_response()
        }
        Some(Trouble::BreakOff) => {
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
