//! Stories of whole calls: a real server with an account, a database on disk, browsers that have
//! signed in, and Twilio on the other side: its webhooks, its REST API and its media sockets.

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

/// Where Twilio and browsers reach the server.
pub(crate) const BASE: &str = "https://calls.example.org";
/// The server's own number.
pub(crate) const OURS: &str = "+14155550100";
/// The other party's.
pub(crate) const THEIRS: &str = "+14155550123";

/// The doors of a server with an account.
pub(crate) fn endpoint() -> EndpointConfig {
    EndpointConfig {
        public_base_url: Some(BASE.parse().unwrap()),
        public_url: BASE.parse().unwrap(),
        keyring: Some(Keyring::new(AUTH_TOKEN).unwrap()),
        account_sid: Some(AccountSid::parse(ACCOUNT).unwrap()),
        ..EndpointConfig::local(([127, 0, 0, 1], 0).into())
    }
}

/// What a server with an account has besides.
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

/// A server with an account, and its Twilio.
pub(crate) struct TestAccount {
    pub(crate) app: TestServer,
    pub(crate) twilio: FakeTwilio,
    _tasks: Tasks,
}

impl TestAccount {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// `change` sees what the server is made of.
    pub(crate) async fn open_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let retry_policy = FakeTwilio::retry_policy();
        Self::open_with_retry_policy(retry_policy, change).await
    }

    /// A server that waits for Twilio as long as is said.
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

    /// A webhook, signed.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> HttpResponse {
        let form = [&[("AccountSid", ACCOUNT)], form].concat();
        let callback = self.twilio.callback(&format!("{BASE}{path}"), &form);
        self.twilio.deliver(self.app.server.addr, &callback).await
    }

    /// Fetches a browser's token; what the browser is called.
    pub(crate) async fn identity(&self, cookie: &str) -> String {
        let answer = self.page("GET", "/api/token", cookie, &Value::Null).await;
        let identity = &answer.json()["identity"];
        identity.as_str().expect("an identity").to_owned()
    }

    /// A page goes online: it fetches its browser's token, registers at Twilio, and says so; what the
    /// browser is called, and the registration.
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

    /// A browser's only page goes online; what the browser is called.
    pub(crate) async fn online(&self, cookie: &str) -> String {
        self.go_online(cookie, "tab").await.0
    }

    /// A browser calls `to`, as the `n`th call: the TwiML that answers it.
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

    /// The other party calls us, as the `n`th call: the TwiML that answers it.
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

    /// The dialled leg is over: the TwiML that ends the call.
    pub(crate) async fn post_dial_ended(&self, n: u32, child: Option<u32>, status: &str) -> String {
        let (sid, child) = (call(n), child.map(call));
        let mut form = vec![("CallSid", sid.as_str()), ("DialCallStatus", status)];
        form.extend(child.iter().map(|child| ("DialCallSid", child.as_str())));
        self.twiml("/voice/ended", &form).await
    }

    /// A leg's status callback, and what more it says; the status of the answer.
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

    /// The stream that a document starts, opened and begun as stream `stream` of the `n`th call.
    pub(crate) async fn stream(&self, twiml: &str, stream: u32, n: u32) -> MediaClient {
        let wanted = stream_of(twiml);
        let mut opened = self.socket(&wanted.url).await.unwrap();
        let parameters = wanted.parameters.into_iter();
        opened.parameters = parameters.map(|p| (p.name, p.value)).collect();
        opened.begin(stream, n).await;
        opened
    }

    /// A media socket, signed.
    async fn socket(&self, url: &str) -> Result<MediaClient, u16> {
        let key = SigningKey::auth_token(AUTH_TOKEN);
        MediaClient::dial(self.app.server.addr, url, Some(&key)).await
    }

    /// As the page asks.
    pub(crate) async fn page(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        body: &Value,
    ) -> HttpResponse {
        self.app.page(method, path, cookie, body).await
    }

    /// A call as the page reads it.
    pub(crate) async fn read(&self, n: u32, cookie: &str) -> Value {
        let path = format!("/api/calls/{}", call(n).as_str());
        let answer = self.page("GET", &path, cookie, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// What the page does to a call, without a body.
    async fn command(&self, n: u32, command: &str, cookie: &str) -> HttpResponse {
        let path = format!("/api/calls/{}/{command}", call(n).as_str());
        self.page("POST", &path, cookie, &Value::Null).await
    }

    /// Waits until a call is there for this page; the call.
    async fn wait_for_call(&self, n: u32, cookie: &str) -> Value {
        let path = format!("/api/calls/{}", call(n).as_str());
        let look = async || self.page("GET", &path, cookie, &Value::Null).await;
        eventually("the call", async || look().await.status == 200).await;
        look().await.json()
    }

    /// Waits until a field of a call is as wanted; the call.
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

    /// A page that listens to the `n`th call.
    pub(crate) async fn listen(&self, n: u32, cookie: &str) -> LiveClient {
        let mut browser = self.app.listen(cookie).await.ok().unwrap();
        browser.subscribe(&call(n)).await;
        browser.settle().await;
        browser
    }

    /// Alice, who has signed in, calls: her cookie, and the TwiML of the first call.
    async fn alice_calls(&self) -> (String, String) {
        let cookie = self.app.session("alice", Role::User).await;
        let identity = self.identity(&cookie).await;
        let twiml = self.dial(1, &identity, THEIRS).await;
        self.twilio.add_call(&call(1));
        (cookie, twiml)
    }
}

/// Another one each time, as a page makes it.
pub(crate) fn uuid() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let n = MADE.fetch_add(1, Ordering::SeqCst);
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A leg as its callbacks name it.
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

/// The one stream of a document.
fn stream_of(twiml: &str) -> StreamNoun {
    let [stream] = &started_streams(twiml).unwrap()[..] else {
        panic!("{twiml}")
    };
    stream.clone()
}

/// Where it goes.
pub(crate) fn url_of(twiml: &str) -> String {
    stream_of(twiml).url
}

/// The call's SID as JSON has it.
fn sid(call: &CallSid) -> Value {
    json!(call.as_str())
}

/// The texts of a call's segments.
fn texts(call: &Value) -> Vec<&str> {
    let segments = call["segments"].as_array().unwrap().iter();
    segments
        .map(|segment| segment["text"].as_str().unwrap())
        .collect()
}
