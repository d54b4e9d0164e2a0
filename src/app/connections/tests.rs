//! Tests of `app/connections.rs`.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request as Asked, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::StreamExt;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::api::{RequestBounds, apply_request_bounds};

const HEAD: &str = "HTTP/1.1\r\nHost: x\r\n";

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(10);

/// Short enough that a test can wait for it, and long enough that a fast client is never late.
const SHORT: Duration = Duration::from_secs(2);

/// Blocks the requests to `/held`.
struct RequestGate {
    /// A permit for each request that has arrived.
    arrived: Semaphore,
    /// A permit for each request that may be answered.
    may_answer: Semaphore,
}

/// A server with few connection slots.
struct SmallServer {
    addr: SocketAddr,
    tasks: Tasks,
    gate: Arc<RequestGate>,
}

const BOUNDS: ConnectionBounds = ConnectionBounds {
    open_max: 12,
    per_address_max: 6,
    reserved_for_twilio: 4,
};

impl SmallServer {
    fn start(proxies: &str, bounds: ConnectionBounds, body: Duration, answer: Duration) -> Self {
        let listener = bind_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let (addr, tasks) = (listener.local_addr().unwrap(), Tasks::default());
        let gate = Arc::new(RequestGate {
            arrived: Semaphore::new(0),
            may_answer: Semaphore::new(0),
        });
        let routes = Router::new()
            .route("/", get(echo_peer))
            .route("/whole", get(|| async { "x".repeat(16 * 1024 * 1024) }))
            .route("/held", get(hold_request))
            .route("/body", post(read_body))
            .route("/voice", post(answer_signed))
            .with_state(gate.clone());
        let proxies: TrustedProxies = proxies.parse().unwrap();
        let routes = apply_request_bounds(
            routes,
            RequestBounds::new(proxies.clone()).with_body_time(body),
        );
        let connection_settings = ConnectionSettings {
            proxies,
            bounds,
            answer_stall_max: answer,
        };
        tasks.spawn(accept_connections(
            listener,
            routes,
            tasks.clone(),
            connection_settings,
        ));
        Self { addr, tasks, gate }
    }

    fn start_patient() -> Self {
        Self::start("", BOUNDS, LONG, LONG)
    }

    /// Connects from another address of this machine, and sends `text`.
    async fn connect_and_send(&self, from: &str, text: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(self.addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a whole request, and returns the status of its response.
    async fn read_status(&self, from: &str, first_line: &str) -> Option<u16> {
        let text = format!("{first_line} {HEAD}Connection: close\r\nContent-Length: 0\r\n\r\n");
        read_status(&mut self.connect_and_send(from, &text).await).await
    }
}

async fn echo_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    peer.to_string()
}

async fn hold_request(State(gate): State<Arc<RequestGate>>) {
    gate.arrived.add_permits(1);
    gate.may_answer.acquire().await.unwrap().forget();
}

async fn read_body(request: Asked) -> StatusCode {
    match to_bytes(request.into_body(), 1_000).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// Simulates a webhook: a signed request has no query.
async fn answer_signed(request: Asked) -> StatusCode {
    let is_signed = request.uri().query().is_none();
    match to_bytes(request.into_body(), 1_000).await {
        Ok(_) if is_signed => StatusCode::OK,
        Ok(_) | Err(_) => StatusCode::FORBIDDEN,
    }
}

/// Reads the status of the response; `None`: the connection was closed without one.
async fn read_status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = [0; 12];
    let wait_max = Duration::from_secs(30);
    let read = tokio::time::timeout(wait_max, stream.read_exact(&mut answer)).await;
    read.expect("neither an answer nor an end").ok()?;
    let answer = str::from_utf8(&answer).unwrap();
    Some(answer.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap())
}

/// Waits until the server has closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let wait_max = limits::REQUEST_HEAD_WAIT_MAX + Duration::from_secs(15);
    let read = tokio::time::timeout(wait_max, stream.read_to_end(&mut rest));
    read.await.is_ok()
}

const SLOW_BODY: &str = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nA";

#[tokio::test]
async fn a_request_is_answered_and_knows_its_peer() {
    let server = SmallServer::start_patient();
    let request = format!("GET / {HEAD}Connection: close\r\n\r\n");
    let mut stream = server.connect_and_send("127.0.0.1", &request).await;
    let own = stream.local_addr().unwrap().to_string();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&own), "{answer}");
    assert!(server.tasks.shut_down(Duration::from_secs(30)).await);
}

#[tokio::test]
async fn who_asks_slowly_is_hung_up_on_and_costs_nobody_else() {
    let server = SmallServer::start_patient();
    let mut slow = server
        .connect_and_send("127.0.0.1", "GET / HTTP/1.1\r\nX-A:")
        .await;
    let mut drip = async || {
        // A byte each second, as such clients do, until the server closes the connection.
        let mut answer = Vec::new();
        loop {
            let next = clock::now() + Duration::from_secs(1);
            tokio::select! {
                read = slow.read_to_end(&mut answer) => return read.is_ok() || !answer.is_empty(),
                () = clock::sleep_until(Some(next)) => {}
            }
            if slow.write_all(b"a").await.is_err() {
                return true;
            }
        }
    };
    let wait_max = limits::REQUEST_HEAD_WAIT_MAX + Duration::from_secs(10);
    let ended = tokio::time::timeout(wait_max, drip()).await;
    assert_eq!(ended, Ok(true), "it still holds its connection");
    assert_eq!(server.read_status("127.0.0.1", "GET /").await, Some(200));
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_answered_with_408_and_hung_up_on() {
    let server = SmallServer::start("", BOUNDS, SHORT, LONG);
    for (path, expected_status) in [("/body", Some(408)), ("/voice", Some(408))] {
        let body = SLOW_BODY.replace("/body", path);
        let mut slow = server.connect_and_send("127.0.0.1", &body).await;
        assert_eq!(read_status(&mut slow).await, expected_status, "{path}");
        assert!(is_closed(&mut slow).await);
    }
    assert_eq!(
        server.read_status("127.0.0.1", "POST /body").await,
        Some(204)
    );
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_hung_up_on_and_a_slow_reader_is_not() {
    let server = SmallServer::start("", BOUNDS, LONG, SHORT);
    let request = format!("GET /whole {HEAD}\r\n");
    let mut mute = server.connect_and_send("127.0.0.1", &request).await;
    let mut slow = server.connect_and_send("127.0.0.1", &request).await;
    // The slow client takes more than twice the time that the silent one has.
    let until = clock::now() + SHORT * 2 + SHORT / 2;
    let mut some = vec![0; 128 * 1024];
    while clock::now() < until {
        clock::sleep_until(Some(clock::now() + SHORT / 8)).await;
        slow.read_exact(&mut some)
            .await
            .expect("a slow reader was hung up on");
    }
    let mut rest = Vec::new();
    let read = mute.read_to_end(&mut rest).await;
    assert!(
        read.is_err() || rest.len() < 16 * 1024 * 1024,
        "{}",
        rest.len()
    );
    slow.read_exact(&mut some)
        .await
        .expect("a slow reader was hung up on");
}

#[tokio::test]
async fn one_address_has_its_share_and_pushes_out_itself_alone() {
    let server = SmallServer::start_patient();
    let mut slow = Vec::new();
    for _ in 0..BOUNDS.open_max {
        slow.push(server.connect_and_send("127.0.0.2", SLOW_BODY).await);
    }
    let mut ends: FuturesUnordered<_> = slow.iter().map(TcpStream::readable).collect();
    for _ in BOUNDS.per_address_max..BOUNDS.open_max {
        // No client has a response, so that only the end of its connection can be read.
        let end = tokio::time::timeout(Duration::from_secs(30), ends.next()).await;
        end.expect("more of them than its share were kept");
    }
    drop(ends);
    // Others are served, and so are clients that share the address.
    for from in ["127.0.0.3", "127.0.0.2", "127.0.0.2"] {
        assert_eq!(server.read_status(from, "GET /").await, Some(200), "{from}");
    }
    // The latest slow connection is open.
    let latest = slow.last_mut().unwrap();
    latest.write_all(&[b'A'; 99]).await.unwrap();
    assert_eq!(read_status(latest).await, Some(204));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_share() {
    let server = SmallServer::start("127.0.0.1", BOUNDS, LONG, LONG);
    let from = |client: &str, text: &str| {
        text.replace(
            "Host: x",
            &format!("Host: x\r\nX-Forwarded-For: 6.6.6.6, {client}"),
        )
    };
    let mut slow = Vec::new();
    for _ in 0..=BOUNDS.per_address_max {
        slow.push(
            server
                .connect_and_send("127.0.0.1", &from("203.0.113.9", SLOW_BODY))
                .await,
        );
    }
    // One connection was too many; no request has a response, so that only its end can be read.
    let ends = slow.iter().map(|stream| Box::pin(stream.readable()));
    let end = tokio::time::timeout(Duration::from_secs(30), select_all(ends)).await;
    let (_, first, _) = end.expect("all of them were kept");
    drop(slow.remove(first));
    let mut other = server
        .connect_and_send("127.0.0.1", &from("203.0.113.10", SLOW_BODY))
        .await;
    for stream in slow.iter_mut().chain([&mut other]) {
        stream.write_all(&[b'A'; 99]).await.unwrap();
        assert_eq!(
            read_status(stream).await,
            Some(204),
            "another was pushed out"
        );
    }
}

#[tokio::test]
async fn when_the_server_is_busy_the_last_places_are_for_webhooks() {
    let bounds = ConnectionBounds {
        per_address_max: BOUNDS.open_max,
        ..BOUNDS
    };
    let server = SmallServer::start("", bounds, LONG, LONG);
    let mut held = Vec::new();
    let request = format!("GET /held {HEAD}\r\n");
    for _ in 0..bounds.open_max - bounds.reserved_for_twilio {
        held.push(server.connect_and_send("127.0.0.2", &request).await);
    }
    let all = server.gate.arrived.acquire_many(held.len() as u32);
    let all = tokio::time::timeout(Duration::from_secs(30), all).await;
    drop(all.expect("not all of them came").unwrap());
    // Another one is refused, without its body being read.
    let mut more = server.connect_and_send("127.0.0.3", SLOW_BODY).await;
    assert_eq!(read_status(&mut more).await, Some(503));
    assert_eq!(
        server.read_status("127.0.0.4", "POST /voice").await,
        Some(200)
    );
    // Clients that only pretend to be Twilio do not delay Twilio.
    let mut liars = Vec::new();
    for _ in 0..bounds.open_max {
        let lie = SLOW_BODY.replace("/body", "/voice?unsigned");
        liars.push(server.connect_and_send("127.0.0.3", &lie).await);
    }
    assert_eq!(
        server.read_status("127.0.0.4", "POST /voice").await,
        Some(200)
    );
    server.gate.may_answer.add_permits(held.len());
    for stream in &mut held {
        assert_eq!(read_status(stream).await, Some(200));
    }
}

#[tokio::test]
async fn a_connection_that_twilio_came_on_stays_and_one_that_lied_is_closed() {
    let server = SmallServer::start_patient();
    let webhook = |query: &str| format!("POST /voice{query} {HEAD}Content-Length: 1\r\n\r\na");
    let mut twilio = server.connect_and_send("127.0.0.2", &webhook("")).await;
    assert_eq!(read_status(&mut twilio).await, Some(200));
    let mut liar = server
        .connect_and_send("127.0.0.2", &webhook("?unsigned"))
        .await;
    assert_eq!(read_status(&mut liar).await, Some(403));
    assert!(is_closed(&mut liar).await);
    let mut slow = Vec::new();
    for _ in 0..BOUNDS.open_max {
        slow.push(server.connect_and_send("127.0.0.2", SLOW_BODY).await);
    }
    assert!(is_closed(&mut slow[0]).await);
    let mut rest = vec![0; 4_096];
    let read = twilio.try_read(&mut rest).unwrap_or_default();
    assert!(str::from_utf8(&rest[..read]).unwrap().ends_with("\r\n\r\n"));
    twilio.write_all(webhook("").as_bytes()).await.unwrap();
    assert_eq!(read_status(&mut twilio).await, Some(200));
}
