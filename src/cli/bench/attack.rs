//! Clients that only occupy connections: they start requests that they never finish, and request responses
//! that they never read. A client reconnects when the server closes its connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::clock;

/// Time after which a client reconnects.
const RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// Time within which all clients first connect.
const START_SPREAD: Duration = Duration::from_secs(2);

/// Time between two writes of a client that does not read.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Head of a webhook request, and one byte of its body.
const SLOW_BODY_REQUEST: &str = "POST /voice HTTP/1.1\r\nHost: bench.example\r\n\
    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nA";

/// Request for the largest response that needs no authentication.
const LARGE_REQUEST: &str = "GET /api/openapi.json HTTP/1.1\r\nHost: bench.example\r\n\r\n";

/// Number of these requests that a client sends without reading.
const LARGE_REQUESTS: usize = 30;

/// Clients that only occupy connections.
#[derive(Debug, clap::Args)]
pub(super) struct AttackArgs {
    /// Clients that send the head of a webhook, one byte of its body, and nothing more.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    slow_bodies: u32,
    /// Clients that request a large response thirty times and never read it.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    mute_readers: u32,
    /// Address of this machine that the attackers connect from; the callbacks use 127.0.0.1.
    #[arg(long, default_value = "127.0.0.2")]
    attack_from: IpAddr,
}

/// Results of the attack.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttackFigures {
    clients: u32,
    from: Option<IpAddr>,
    /// Connections that the clients opened.
    opened: usize,
    /// Connections that the server closed.
    hung_up: usize,
    /// Connections that were open at the end.
    open_at_the_end: usize,
}

#[derive(Debug, Default)]
struct ConnectionCounts {
    opened: AtomicUsize,
    hung_up: AtomicUsize,
}

/// Clients that reconnect until this is dropped.
#[derive(Debug)]
pub(super) struct RunningAttack {
    figures: AttackFigures,
    counts: Arc<ConnectionCounts>,
    _clients: JoinSet<()>,
}

impl AttackArgs {
    pub(super) fn is_enabled(&self) -> bool {
        self.slow_bodies + self.mute_readers > 0
    }

    /// Starts the clients against the server at `to`.
    pub(super) fn start(&self, to: SocketAddr) -> RunningAttack {
        let counts = Arc::new(ConnectionCounts::default());
        let mut clients = JoinSet::new();
        let all = self.slow_bodies + self.mute_readers;
        for n in 0..all {
            // Both kinds are interleaved from the start.
            let share = u64::from(n) * u64::from(self.slow_bodies) / u64::from(all);
            let next = u64::from(n + 1) * u64::from(self.slow_bodies) / u64::from(all);
            let (from, is_slow_body) = (self.attack_from, next > share);
            let (counts, wait) = (
                Arc::clone(&counts),
                START_SPREAD.mul_f64(f64::from(n) / f64::from(all)),
            );
            clients.spawn(async move {
                clock::sleep_until(Some(clock::now() + wait)).await;
                loop {
                    if let Ok(stream) = connect_from(from, to).await {
                        counts.opened.fetch_add(1, Ordering::Relaxed);
                        let _ = if is_slow_body {
                            send_slow_body(stream).await
                        } else {
                            ignore_responses(stream).await
                        };
                        counts.hung_up.fetch_add(1, Ordering::Relaxed);
                    }
                    clock::sleep_until(Some(clock::now() + RECONNECT_DELAY)).await;
                }
            });
        }
        let figures = AttackFigures {
            clients: all,
            from: Some(self.attack_from),
            ..AttackFigures::default()
        };
        RunningAttack {
            figures,
            counts,
            _clients: clients,
        }
    }
}

impl RunningAttack {
    /// Stops the clients and returns the figures.
    pub(super) fn stop(self) -> AttackFigures {
        let opened = self.counts.opened.load(Ordering::Relaxed);
        let hung_up = self.counts.hung_up.load(Ordering::Relaxed);
        AttackFigures {
            opened,
            hung_up,
            open_at_the_end: opened - hung_up,
            ..self.figures
        }
    }
}

impl AttackFigures {
    /// Formats the figures as one line of the table.
    pub(super) fn format_row(&self) -> String {
        let Some(from) = self.from else {
            return "none".to_owned();
        };
        format!(
            "{} clients from {from}, {} connections: {} closed by the server, {} open at the \
             end",
            self.clients, self.opened, self.hung_up, self.open_at_the_end
        )
    }
}

async fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match from {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Sends a part of a body, and waits until the server closes the connection.
async fn send_slow_body(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(SLOW_BODY_REQUEST.as_bytes()).await?;
    let mut answer = [0; 1_024];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

/// Sends requests without reading the responses, until the server closes the connection. A server ignores
/// empty lines before a request; writing them shows whether the connection is closed.
async fn ignore_responses(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(LARGE_REQUEST.repeat(LARGE_REQUESTS).as_bytes())
        .await?;
    loop {
        clock::sleep_until(Some(clock::now() + KEEPALIVE_INTERVAL)).await;
        stream.write_all(b"\r\n").await?;
    }
}
