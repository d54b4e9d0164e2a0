//! Whole-server tests: a real server on port 0, with browsers, telephone calls and a fake of Twilio.
//!
//! | type | description | use |
//! |---|---|---|
//! | [`RunningServer`] | a server in this process, without sign-in | media socket, live channel |
//! | [`TestServer`](sign_in::TestServer) | a server with a public URL and users | sign-in, sessions, rights |
//! | [`TestAccount`](calls::TestAccount) | a `TestServer` with an account at a `FakeTwilio` | whole calls |
//! | [`FakeTwilio`](twilio_api::FakeTwilio) | Twilio's REST API and callbacks | requests to Twilio, faults |
//! | [`MediaClient`](phone::MediaClient) | Twilio's end of a media socket | audio of a call |
//! | [`RecognizerGate`](phone::RecognizerGate) | a recognizer that waits for the test | backlog, shutdown |
//! | [`LiveClient`](browser::LiveClient) | a browser's socket on the live channel | events of calls |
//! | [`CallView`](browser::CallView) | the folded events of one call | the state in a browser |
//! | [`Authenticator`](authenticator::Authenticator) | a device with a passkey | second factors |
//! | [`HttpResponse`] | a parsed response of [`request`] | HTTP without a browser |
//! | [`LogCapture`] | the log of the test's thread | log lines, secrets in the log |
//!
//! The variable of a `TestAccount` is called `account`, that of a `TestServer` `app`.
//! [`eventually`](phone::eventually) polls a condition; [`call`](scenarios::call),
//! [`segment`](scenarios::segment) and their neighbours in [`scenarios`] make test data. Most tests use the
//! scripted recognizer, so that transcripts are exact and no model is needed; [`recognition`] uses the real
//! model.

mod api;
mod archive;
mod authenticator;
mod backup;
mod browser;
mod calls;
mod channel;
mod crash;
mod doctor;
mod fair_share;
mod hostile;
mod live;
mod log;
mod media;
mod metrics;
mod open_mode;
mod oracles;
mod phone;
mod prism;
mod quantised;
mod recognition;
mod replay;
mod routes;
mod scenarios;
mod second_factor;
mod security;
mod settings;
mod setup;
mod shutdown;
mod sign_in;
mod simulation;
mod static_files;
mod store;
mod tidy;
mod twilio_api;
mod twilio_client;
mod users;
mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing::subscriber::NoSubscriber;

use crate::access::local::{LocalKeys, PageKey};
use crate::access::secret::Secret;
use crate::api::{ApiState, router};
use crate::app::{ServerConfig, build_api_state};
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::recognizer::{Recognizer, ScriptedRecognizer};
use crate::engine::track::TrackConfig;
use crate::hub::Hub;
use crate::store::Store;
use crate::tasks::Tasks;

/// Longest time that a test waits for an event; only a failing test waits that long.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the keys of a server that only this machine reaches.
pub(crate) fn keys() -> LocalKeys {
    let key = |letter: &str| Secret::parse(&format!("{}A", letter.repeat(42))).unwrap();
    LocalKeys {
        page: key("P"),
        simulator: key("S"),
    }
}

/// Returns the cookie of a browser that opened the printed link of such a server.
pub(crate) fn page_cookie() -> String {
    let cookie = PageKey::new(keys().page).set_cookie_value();
    cookie.split(';').next().unwrap().to_owned()
}

/// Returns the URL of such a server's media socket, as the simulator opens it.
pub(crate) fn media_url(addr: SocketAddr) -> String {
    format!("ws://{addr}/media/{}", keys().simulator.expose())
}

/// A server in this process, on a free port.
pub(crate) struct RunningServer {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) tasks: Tasks,
    pub(crate) state: ApiState,
}

impl RunningServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with one scripted recognizer; `change` edits the state before.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ApiState)) -> Self {
        let recognizer: Box<dyn Recognizer> = Box::new(ScriptedRecognizer::default());
        Self::start_on(vec![recognizer], change).await
    }

    /// Starts a server without sign-in, with these recognizers.
    pub(crate) async fn start_on(
        recognizers: Vec<Box<dyn Recognizer>>,
        change: impl FnOnce(&mut ApiState),
    ) -> Self {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
        Self::start_behind(endpoint, store, recognizers, change)
    }

    /// Starts a server at this endpoint, with this store.
    pub(crate) fn start_behind(
        endpoint: EndpointConfig,
        store: Store,
        recognizers: Vec<Box<dyn Recognizer>>,
        change: impl FnOnce(&mut ApiState),
    ) -> Self {
        let engine = Engine::start(recognizers);
        let server_config = ServerConfig::behind(endpoint, store, engine, TrackConfig::default());
        Self::of(server_config, change)
    }

    /// Starts a server from a configuration.
    pub(crate) fn of(mut server_config: ServerConfig, change: impl FnOnce(&mut ApiState)) -> Self {
        let tasks = Tasks::default();
        server_config.endpoint.local_keys = Some(keys());
        let mut state = build_api_state(server_config, &tasks);
        change(&mut state);
        let addr = serve(router(state.clone()), &tasks);
        Self {
            addr,
            hub: state.media_deps.hub.clone(),
            tasks,
            state,
        }
    }

    /// Requests `GET path`, with header lines as on the wire.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> HttpResponse {
        request(self.addr, "GET", path, headers, "").await
    }
}

/// Serves `router` on a free port, with send buffers so small that a listener that does not read is noticed
/// after some kilobytes.
pub(crate) fn serve(router: axum::Router, tasks: &Tasks) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(64).unwrap();
    let addr = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    });
    addr
}

/// A parsed HTTP response.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// Returns the values of all headers with this name, in order.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("{e} in the body of {}: {}", self.status, self.body))
    }
}

/// Sends one HTTP/1.1 request, with the keys of a server that only this machine reaches: other servers ignore
/// them.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> HttpResponse {
    let (cookie, simulator) = (page_cookie(), keys().simulator);
    let simulator = simulator.expose();
    let headers = format!("{headers}Cookie: {cookie}\r\nX-CallBurner-Simulator: {simulator}\r\n");
    request_of_stranger(addr, method, path, &headers, body).await
}

/// Sends one HTTP/1.1 request written by hand, so that a test controls every byte.
pub(crate) async fn request_of_stranger(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> HttpResponse {
    let round_trip = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(TEST_TIMEOUT, round_trip)
        .await
        .expect("no answer to a request");
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .expect("an answer without a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap();
    HttpResponse {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Captures the log of this thread, which runs all of a test's server except the password hashing.
pub(crate) struct LogCapture {
    lines: LogBuffer,
    _deaf: Dispatch,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogCapture {
    /// Starts capturing.
    pub(crate) fn listen() -> Self {
        let lines = LogBuffer::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        // With only one subscriber, a log line that another test's thread reaches first would be disabled for
        // all threads: tracing asks the subscriber of that thread, and caches the answer.
        let heard = Dispatch::new(subscriber);
        Self {
            lines,
            _deaf: Dispatch::new(NoSubscriber::default()),
            _guard: tracing::dispatcher::set_default(&heard),
        }
    }

    /// Returns everything that has been logged.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
