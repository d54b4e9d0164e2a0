//! Whole calls: a real server with an account, a database on disk, signed-in browsers, and a simulated
//! Twilio: its webhooks, its REST API and its media sockets.

mod clock;
mod failures;
mod incoming;
mod outage;
mod outgoing;
mod realtime;
mod reconcile;
mod recordings;
mod streams;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::HttpResponse;
use super::browser::LiveClient;
use super::phone::{MediaClient, eventually, stall_free_config};
use super::scenarios::call;
use super::sign_in::TestServer;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN, FakeTwilio, KEY, KEY_SECRET};
use crate::app::ServerConfig;
use crate::calls::AccessTokenConfig;
use crate::config::EndpointConfig;
use crate::dialing::DialingPolicy;
use crate::ids::{AccountSid, ApiKeySid, ApplicationSid, CallSid, E164};
use crate::store::Role;
use crate::tasks::Tasks;
use crate::twilio::api::TwilioClient;
use crate::twilio::api::retry::RetryPolicy;
use crate::twilio::signature::{Keyring, SigningKey};
use crate::twilio::token::TokenKeys;
use crate::twilio::twiml::StreamNoun;
use crate::twilio::twiml::started_streams;

/// The public URL of the server.
pub(crate) const BASE: &str = "https://calls.example.org";
/// The server's own number.
pub(crate) const OURS: &str = "+14155550100";
/// The other party's number.
pub(crate) const THEIRS: &str = "+14155550123";

/// The endpoint of a server with an account.
pub(crate) fn endpoint() -> EndpointConfig {
    EndpointConfig {
        public_base_url: Some(BASE.parse().unwrap()),
        public_url: BASE.parse().unwrap(),
        keyring: Some(Keyring::new(AUTH_TOKEN).unwrap()),
        account_sid: Some(AccountSid::parse(ACCOUNT).unwrap()),
        ..EndpointConfig::local(([127, 0, 0, 1], 0).into())
    }
}

/// Adds the rest of a server with an account.
pub(crate) fn with_twilio_account(
    server_config: &mut ServerConfig,
    twilio_client: Option<TwilioClient>,
) {
    let ours = E164::parse(OURS).unwrap();
    server_config.track_config = stall_free_config();
    server_config.twilio = twilio_client;
    server_config.calls.policy = DialingPolicy::new(None, false, Some(&ours)).unwrap();
    server_config.calls.caller_id = Some(ours);
    server_config.calls.access_tokens = Ok(AccessTokenConfig {
        keys: TokenKeys {
            account_sid: AccountSid::parse(ACCOUNT).unwrap(),
            api_key_sid: ApiKeySid::parse(KEY).unwrap(),
            secret: KEY_SECRET.into(),
            region: None,
        },
        application_sid: ApplicationSid::parse(&format!("AP{:032}", 1)).unwrap(),
    });
}

/// A server with an account, and its [`FakeTwilio`]. Its variables are called `account`.
pub(crate) struct TestAccount {
    pub(crate) app: TestServer,
    pub(crate) twilio: FakeTwilio,
    _tasks: Tasks,
}

impl TestAccount {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// `change` edits the configuration before the server starts.
    pub(crate) async fn open_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let retry_policy = FakeTwilio::retry_policy();
        Self::open_with_retry_policy(retry_policy, change).await
    }

    /// Like [`Self::open_with`], with another retry policy for requests to Twilio.
    async fn open_with_retry_policy(
        retry_policy: RetryPolicy,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let tasks = Tasks::default();
        let twilio = FakeTwilio::start(&tasks);
        let with_twilio_account = |server_config: &mut ServerConfig| {
            with_twilio_account(server_config, Some(twilio.client_with(retry_policy)));
            change(server_config);
        };
        Self {
            app: TestServer::open_behind(endpoint(), with_twilio_account).await,
            twilio,
            _tasks: tasks,
        }
    }

    /// Posts a signed webhook.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> HttpResponse {
        let form = [&[("AccountSid", ACCOUNT)], form].concat();
        let callback = self.twilio.callback(&format!("{BASE}{path}"), &form);
        self.twilio.deliver(self.app.server.addr, &callback).await
    }

    /// Requests an access token; returns the browser's identity.
    pub(crate) async fn identity(&self, cookie: &str) -> String {
        let answer = self.page("GET", "/api/token", cookie, &Value::Null).await;
        let identity = &answer.json()["identity"];
        identity.as_str().expect("an identity").to_owned()
    }

    /// Puts a page online: requests an access token, registers at Twilio, and reports it; returns the
    /// browser's identity and its registration.
    pub(crate) async fn go_online(&self, cookie: &str, tab: &str) -> (String, String) {
        let path = format!("/api/token?browser={tab}");
        let answer = self.page("GET", &path, cookie, &Value::Null).await;
        let token = answer.json();
        let id = uuid();
        let said = json!({ "id": id, "browser": tab, "expiresAt": token["expiresAt"] });
        let answer = self.page("POST", "/api/registrations", cookie, &said).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
        (token["identity"].as_str().unwrap().to_owned(), id)
    }

    /// Puts a browser's only page online; returns its identity.
    pub(crate) async fn online(&self, cookie: &str) -> String {
        self.go_online(cookie, "tab").await.0
    }

    /// Lets a browser call `to` as the `n`th call; returns the TwiML.
    pub(crate) async fn dial(&self, n: u32, identity: &str, to: &str) -> String {
        let (sid, from) = (call(n), format!("client:{identity}"));
        let form = [
            ("CallSid", sid.as_str()),
            ("From", &from),
            ("Caller", &from),
            ("To", to),
            ("Called", ""),
            ("CallStatus", "ringing"),
            ("Direction", "inbound"),
        ];
        self.twilio.ring_call(&sid);
        self.twiml("/voice", &form).await
    }

    /// Lets the other party call the server as the `n`th call; returns the TwiML.
    pub(crate) async fn ring(&self, n: u32) -> String {
        let sid = call(n);
        let form = [
            ("CallSid", sid.as_str()),
            ("From", THEIRS),
            ("To", OURS),
            ("CallStatus", "ringing"),
            ("Direction", "inbound"),
        ];
        self.twilio.ring_call(&sid);
        self.twiml("/voice", &form).await
    }

    async fn twiml(&self, path: &str, form: &[(&str, &str)]) -> String {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/xml; charset=utf-8"));
        answer.body
    }

    /// Reports the end of the dialled leg; returns the TwiML.
    pub(crate) async fn post_dial_ended(&self, n: u32, child: Option<u32>, status: &str) -> String {
        let (sid, child) = (call(n), child.map(call));
        let mut form = vec![("CallSid", sid.as_str()), ("DialCallStatus", status)];
        form.extend(child.iter().map(|child| ("DialCallSid", child.as_str())));
        self.twiml("/voice/ended", &form).await
    }

    /// Posts a leg's status callback with further fields; returns the response's status.
    async fn post_call_status(
        &self,
        leg: &CallbackLeg,
        status: &str,
        more: &[(&str, &str)],
    ) -> u16 {
        let (sid, parent) = (call(leg.n), leg.parent.map(call));
        let mut form = vec![("CallSid", sid.as_str()), ("CallStatus", status)];
        form.extend(parent.iter().map(|sid| ("ParentCallSid", sid.as_str())));
        form.extend([("From", leg.from.as_str()), ("To", leg.to.as_str())]);
        form.extend(more);
        self.post("/api/calls/status", &form).await.status
    }

    /// Opens the stream in a TwiML document and sends `start`, as stream `stream` of the `n`th call.
    pub(crate) async fn stream(&self, twiml: &str, stream: u32, n: u32) -> MediaClient {
        let wanted = stream_of(twiml);
        let mut opened = self.socket(&wanted.url).await.unwrap();
        let parameters = wanted.parameters.into_iter();
        opened.parameters = parameters.map(|p| (p.name, p.value)).collect();
        opened.begin(stream, n).await;
        opened
    }

    /// Opens a signed media socket.
    async fn socket(&self, url: &str) -> Result<MediaClient, u16> {
        let key = SigningKey::auth_token(AUTH_TOKEN);
        MediaClient::dial(self.app.server.addr, url, Some(&key)).await
    }

    /// Sends a request as the page does.
    pub(crate) async fn page(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        body: &Value,
    ) -> HttpResponse {
        self.app.page(method, path, cookie, body).await
    }

    /// Reads a call as the page does.
    pub(crate) async fn read(&self, n: u32, cookie: &str) -> Value {
        let path = format!("/api/calls/{}", call(n).as_str());
        let answer = self.page("GET", &path, cookie, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Sends a command for a call, without a body.
    async fn command(&self, n: u32, command: &str, cookie: &str) -> HttpResponse {
        let path = format!("/api/calls/{}/{command}", call(n).as_str());
        self.page("POST", &path, cookie, &Value::Null).await
    }

    /// Waits until this page sees a call; returns it.
    async fn wait_for_call(&self, n: u32, cookie: &str) -> Value {
        let path = format!("/api/calls/{}", call(n).as_str());
        let look = async || self.page("GET", &path, cookie, &Value::Null).await;
        eventually("the call", async || look().await.status == 200).await;
        look().await.json()
    }

    /// Waits until a field of a call has a value; returns the call.
    pub(crate) async fn wait_for_field(
        &self,
        n: u32,
        cookie: &str,
        field: &str,
        wanted: &Value,
    ) -> Value {
        let is_so = async || self.read(n, cookie).await[field] == *wanted;
        eventually(&format!("{field} {wanted}"), is_so).await;
        self.read(n, cookie).await
    }

    /// Opens a listener of the `n`th call.
    pub(crate) async fn listen(&self, n: u32, cookie: &str) -> LiveClient {
        let mut browser = self.app.listen(cookie).await.ok().unwrap();
        browser.subscribe(&call(n)).await;
        browser.settle().await;
        browser
    }

    /// Signs Alice in, and lets her call; returns her cookie and the TwiML of the first call.
    async fn alice_calls(&self) -> (String, String) {
        let cookie = self.app.session("alice", Role::User).await;
        let identity = self.identity(&cookie).await;
        let twiml = self.dial(1, &identity, THEIRS).await;
        self.twilio.add_call(&call(1));
        (cookie, twiml)
    }
}

/// Returns a new UUID, as a page makes it.
pub(crate) fn uuid() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let n = MADE.fetch_add(1, Ordering::SeqCst);
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A leg in status callbacks.
struct CallbackLeg {
    n: u32,
    parent: Option<u32>,
    from: String,
    to: String,
}

impl CallbackLeg {
    fn parent(n: u32, from: &str, to: &str) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        Self {
            n,
            parent: None,
            from,
            to,
        }
    }

    fn child(n: u32, parent: u32, from: &str, to: &str) -> Self {
        Self {
            parent: Some(parent),
            ..Self::parent(n, from, to)
        }
    }
}

/// Returns the only stream of a document.
fn stream_of(twiml: &str) -> StreamNoun {
    let [stream] = &started_streams(twiml).unwrap()[..] else {
        panic!("{twiml}")
    };
    stream.clone()
}

/// Returns the URL of the only stream of a document.
pub(crate) fn url_of(twiml: &str) -> String {
    stream_of(twiml).url
}

/// Returns a call's SID as JSON.
fn sid(call: &CallSid) -> Value {
    json!(call.as_str())
}

/// Returns the texts of a call's segments.
fn texts(call: &Value) -> Vec<&str> {
    let segments = call["segments"].as_array().unwrap().iter();
    segments
        .map(|segment| segment["text"].as_str().unwrap())
        .collect()
}
