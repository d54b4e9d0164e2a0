//! The fake world: a real server on port 0, and the browsers and phone calls that talk to it.

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

/// How long a test waits for what must come; only a failing test ever waits that long.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What opens the servers of tests that only this machine reaches.
pub(crate) fn keys() -> LocalKeys {
    let key = |letter: &str| Secret::parse(&format!("{}A", letter.repeat(42))).unwrap();
    LocalKeys {
        page: key("P"),
        simulator: key("S"),
    }
}

/// The cookie of a browser that opened the printed link of such a server.
pub(crate) fn page_cookie() -> String {
    let cookie = PageKey::new(keys().page).set_cookie_value();
    cookie.split(';').next().unwrap().to_owned()
}

/// The media socket of such a server, as the simulator opens it.
pub(crate) fn media_url(addr: SocketAddr) -> String {
    format!("ws://{addr}/media/{}", keys().simulator.expose())
}

/// A running server.
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

    /// `change` sees the state before the server starts. One scripted recogniser.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ApiState)) -> Self {
        let recognizer: Box<dyn Recognizer> = Box::new(ScriptedRecognizer::default());
        Self::start_on(vec![recognizer], change).await
    }

    /// A server whose engine has these recognisers, and that nobody needs to sign in to.
    pub(crate) async fn start_on(
        recognizers: Vec<Box<dyn Recognizer>>,
        change: impl FnOnce(&mut ApiState),
    ) -> Self {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
        Self::start_behind(endpoint, store, recognizers, change)
    }

    /// A server behind these doors, with what lasts.
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

    /// A server of these parts.
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

    /// `GET path`, with header lines as they go over the wire.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> HttpResponse {
        request(self.addr, "GET", path, headers, "").await
    }
}

/// Serves `router` on a free port, with send buffers so small that a listener that does not read
/// is felt after some kilobytes.
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

/// An HTTP answer, taken apart.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// The values of all headers of this name, in order.
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

/// One HTTP/1.1 exchange, with the keys of a server that only this machine reaches: other servers
/// take no notice of them.
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

/// One HTTP/1.1 exchange by hand, so that a test controls every byte.
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

/// What is logged on this thread, on which all of a test's server runs but the hashing.
pub(crate) struct LogCapture {
    lines: LogBuffer,
    _deaf: Dispatch,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogCapture {
    /// From now on.
    pub(crate) fn listen() -> Self {
        let lines = LogBuffer::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        // With one subscriber alone, a line that another test's thread passes first would count as
        // wanted by nobody: tracing asks the one of that thread, and remembers the answer.
        let heard = Dispatch::new(subscriber);
        Self {
            lines,
            _deaf: Dispatch::new(NoSubscriber::default()),
            _guard: tracing::dispatcher::set_default(&heard),
        }
    }

    /// All of it.
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
