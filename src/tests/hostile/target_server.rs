//! The server under attack: a real server, with or without an account, and its responses.

use std::cell::Cell;
use std::net::SocketAddr;
use std::panic;
use std::sync::Once;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::super::phone::with_timeout;
use super::super::twilio_api::{ACCOUNT, AUTH_TOKEN, FakeTwilio, KEY, KEY_SECRET};
use super::super::{RunningServer, keys, page_cookie};
use super::strategies::PUBLIC_URL;
use crate::access::secret::Secret;
use crate::app::ServerConfig;
use crate::calls::AccessTokenConfig;
use crate::clock;
use crate::config::EndpointConfig;
use crate::dialing::DayLimits;
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::engine::track::TrackConfig;
use crate::ids::{AccountSid, ApiKeySid, ApplicationSid, E164};
use crate::limits;
use crate::store::{Role, Store, User};
use crate::tasks::Tasks;
use crate::twilio::signature::Keyring;
use crate::twilio::token::TokenKeys;

thread_local! {
    /// Panics on this thread, which also runs the server.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

/// A server, with a signed-in user if it has an account.
pub(super) struct TargetServer {
    pub(super) runtime: Runtime,
    pub(super) server: RunningServer,
    /// `None`: the server requires no sign-in.
    admin: Option<User>,
}

impl TargetServer {
    /// A server that only this machine reaches, with keys that permit everything.
    pub(super) fn open() -> Self {
        count_panics();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let server = runtime.block_on(RunningServer::start());
        Self {
            runtime,
            server,
            admin: None,
        }
    }

    /// A server with an account at a strict Twilio, and an admin.
    pub(super) fn with_account() -> Self {
        let open = Self::open();
        let runtime = open.runtime;
        let (server, admin) = runtime.block_on(async {
            let store = Store::open("sqlite::memory:").await.unwrap();
            let admin = store.add_user("admin", "none", Role::Admin, clock::utc_now());
            let admin = admin.await.unwrap();
            (RunningServer::of(server_config(store), |_| {}), admin)
        });
        Self {
            runtime,
            server,
            admin: Some(admin),
        }
    }

    /// Returns header lines that permit everything, with a new session each time, since a request may end its
    /// session.
    pub(super) async fn credentials(&self) -> String {
        let Some(admin) = &self.admin else {
            let simulator = keys().simulator;
            return format!(
                "Cookie: {}\r\nX-CallBurner-Simulator: {}\r\n",
                page_cookie(),
                simulator.expose()
            );
        };
        let secret = Secret::random();
        let store = self.server.state.calls.store();
        let hash = secret.hash();
        let opened = store.open_session(&hash, admin.id, clock::utc_now());
        opened.await.unwrap();
        format!(
            "Origin: {PUBLIC_URL}\r\nCookie: __Host-callburner={}\r\n",
            secret.expose()
        )
    }

    /// Returns the response to these bytes, if any.
    pub(super) async fn answer(&self, bytes: &[u8]) -> Option<ReceivedReply> {
        ReceivedReply::parse(&send_raw_request(self.server.addr, bytes).await)
    }

    /// Checks that the server works as before.
    pub(super) async fn check_health(&self) -> Result<(), String> {
        if PANICS.take() > 0 {
            return Err("something panicked".to_owned());
        }
        let answer = self.server.get("/healthz", "").await;
        let is_well = (answer.status, answer.body.as_str()) == (200, "ok");
        is_well
            .then_some(())
            .ok_or("/healthz is not well".to_owned())
    }

    /// Runs `cases` requests from `strategy`, the same every time; prints the smallest that fails.
    pub(super) fn run_cases<T: std::fmt::Debug>(
        &self,
        cases: u32,
        strategy: &impl Strategy<Value = T>,
        check: &impl AsyncFn(&T) -> Result<(), String>,
    ) {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let case = |value| {
            let outcome = self.runtime.block_on(async {
                check(&value).await?;
                self.check_health().await
            });
            outcome.map_err(TestCaseError::fail)
        };
        if let Err(failure) = TestRunner::new_with_rng(config, seed).run(strategy, case) {
            panic!("{failure}");
        }
    }
}

/// A server with a public address and an account, and without limits on calls.
fn server_config(store: Store) -> ServerConfig {
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.public_base_url = Some(PUBLIC_URL.parse().unwrap());
    endpoint.public_url = PUBLIC_URL.parse().unwrap();
    endpoint.keyring = Some(Keyring::new(AUTH_TOKEN).unwrap());
    endpoint.account_sid = Some(AccountSid::parse(ACCOUNT).unwrap());
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut server_config = ServerConfig::behind(endpoint, store, engine, TrackConfig::default());
    server_config.twilio = Some(FakeTwilio::start(&Tasks::default()).client());
    server_config.calls.caller_id = Some(E164::parse("+14155550100").unwrap());
    server_config.calls.limits.per_minute_max = u32::MAX;
    server_config.calls.limits.day = DayLimits {
        calls_max: u32::MAX,
        calls_per_user_max: u32::MAX,
        minutes_max: u32::MAX,
        minutes_per_user_max: u32::MAX,
    };
    server_config.calls.limits.concurrent_max = limits::ACTIVE_CALLS_MAX;
    server_config.calls.limits.concurrent_per_user_max = limits::ACTIVE_CALLS_MAX;
    server_config.calls.access_tokens = Ok(AccessTokenConfig {
        keys: TokenKeys {
            account_sid: AccountSid::parse(ACCOUNT).unwrap(),
            api_key_sid: ApiKeySid::parse(KEY).unwrap(),
            secret: KEY_SECRET.into(),
            region: None,
        },
        application_sid: ApplicationSid::parse("AP00000000000000000000000000000001").unwrap(),
    });
    server_config
}

/// Sends the bytes while it reads; returns everything received until the server closed the connection or
/// switched the protocol. A server that does not read everything may reset the connection.
async fn send_raw_request(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(addr).await.unwrap().into_split();
    let send = async {
        let _ = to.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let hear = async {
        let mut heard = Vec::new();
        while let Ok(1..) = from.read_buf(&mut heard).await {
            if heard.starts_with(b"HTTP/1.1 101") && heard.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        heard
    };
    with_timeout("the end of an answer", async {
        tokio::select! {
            heard = hear => heard,
            () = send => unreachable!("it is pending"),
        }
    })
    .await
}

/// A response of any bytes.
pub(super) struct ReceivedReply {
    pub(super) status: u16,
    pub(super) head: String,
    body: Vec<u8>,
}

impl ReceivedReply {
    /// `None`: the server closed the connection without a response.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        Some(Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_lowercase(),
            body: bytes[end + 4..].to_vec(),
        })
    }

    /// Checks that the response is a defined one: of this server, with the format of its errors, or the HTTP
    /// library's response to a malformed request.
    pub(super) fn is_defined(&self, is_head: bool) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {}\n{}", self.head, self.text()));
        if self.status == 500 {
            return wrong("500");
        }
        if !self.head.contains("\r\nx-request-id:") {
            let known = matches!(self.status, 400 | 413 | 414 | 431 | 501 | 505);
            return if known { Ok(()) } else { wrong("not ours") };
        }
        if self.status < 400 || is_head {
            return Ok(());
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let fields = ["code", "message", "requestId"];
        let shaped = fields.iter().all(|field| body["error"][field].is_string());
        if shaped {
            Ok(())
        } else {
            wrong("no error shape")
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(500)
            .collect()
    }
}
