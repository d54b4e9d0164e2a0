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
mod hostile;
mod live;
mod log;
mod media;
mod metrics;
mod open_mode;
mod oracles;
mod page;
mod people;
mod phone;
mod prism;
mod quantised;
mod replay;
mod rest;
mod routes;
mod second_factor;
mod security;
mod settings;
mod setup;
mod shares;
mod shutdown;
mod sign_in;
mod simulation;
mod store;
mod stories;
mod tidy;
mod twilio_api;
mod webhooks;
mod words;

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
use crate::app::{Parts, compose};
use crate::config::Doors;
use crate::engine::recognizer::{Recognizer, ScriptedRecognizer};
use crate::engine::{Engine, voice};
use crate::hub::Hub;
use crate::store::Store;
use crate::tasks::Tasks;

/// How long a test waits for what must come; only a failing test ever waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

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
    let cookie = PageKey::new(keys().page).cookie();
    cookie.split(';').next().unwrap().to_owned()
}

/// The media socket of such a server, as the simulator opens it.
pub(crate) fn media_url(addr: SocketAddr) -> String {
    format!("ws://{addr}/media/{}", keys().simulator.expose())
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) tasks: Tasks,
    pub(crate) state: ApiState,
}

impl Server {
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
        let doors = Doors::local(([127, 0, 0, 1], 0).into());
        Self::start_behind(doors, store, recognizers, change)
    }

    /// A server behind these doors, with what lasts.
    pub(crate) fn start_behind(
        doors: Doors,
        store: Store,
        recognizers: Vec<Box<dyn Recognizer>>,
        change: impl FnOnce(&mut ApiState),
    ) -> Self {
        let engine = Engine::start(recognizers);
        let parts = Parts::behind(doors, store, engine, voice::Config::default());
        Self::of(parts, change)
    }

    /// A server of these parts.
    pub(crate) fn of(mut parts: Parts, change: impl FnOnce(&mut ApiState)) -> Self {
        let tasks = Tasks::default();
        parts.doors.local_keys = Some(keys());
        let mut state = compose(parts, &tasks);
        change(&mut state);
        let addr = serve(router(state.clone()), &tasks);
        Self {
            addr,
            hub: state.switchboard.hub.clone(),
            tasks,
            state,
        }
    }

    /// `GET path`, with header lines as they go over the wire.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
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
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
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
) -> Answer {
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
) -> Answer {
    let exchange = async {
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
    let answer = tokio::time::timeout(PATIENCE, exchange)
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
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// What is logged on this thread, on which all of a test's server runs but the hashing.
pub(crate) struct Log {
    lines: Lines,
    _deaf: Dispatch,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on.
    pub(crate) fn listen() -> Self {
        let lines = Lines::default();
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

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
