//! Connections: how many there are at a time, and how long a client may take to send a request and
//! to read the response. A slow client occupies a slot for a while, and does not slow down others.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::stall_timeout::StallTimeoutStream;
use crate::access::connection_table::ConnectionBounds;
use crate::access::connections::{ConnectionRegistry, OpenConnection};
use crate::access::proxies::TrustedProxies;
use crate::access::sign_in_rate_limit::client_network;
use crate::clock;
use crate::limits;
use crate::tasks::Tasks;

/// Time until the next attempt, after the system could not accept a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The bounds of connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionSettings {
    pub(super) proxies: TrustedProxies,
    pub(super) bounds: ConnectionBounds,
    pub(super) answer_stall_max: Duration,
}

impl ConnectionSettings {
    /// Creates the settings of a server on this machine that trusts `proxies`.
    pub(super) fn new(proxies: TrustedProxies) -> Self {
        Self {
            proxies,
            bounds: ConnectionBounds::within(raise_open_file_limit()),
            answer_stall_max: limits::RESPONSE_STALL_MAX,
        }
    }
}

/// Raises the number of files that this process can open to the system's maximum, and returns it.
fn raise_open_file_limit() -> u64 {
    let allowed = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    let allowed = match setrlimit(Resource::Nofile, all) {
        Ok(()) => all,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files could not be raised");
            allowed
        }
    };
    allowed.current.unwrap_or(u64::MAX)
}

/// Binds a listener to `address`.
pub(super) fn bind_listener(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit this.
        socket.set_send_buffer_size(limits::SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(limits::ACCEPT_QUEUE_MAX)
    };
    listen().with_context(|| {
        format!("cannot listen on {address}; another server may be using it: set another PORT")
    })
}

/// Serves `routes` until the soft stop, then lets open requests finish.
pub(super) async fn accept_connections(
    listener: TcpListener,
    routes: Router,
    tasks: Tasks,
    connection_settings: ConnectionSettings,
) {
    let connections = ConnectionRegistry::new(connection_settings.bounds);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.wait_for_stop() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let made_room = connections.make_room();
                tracing::warn!(%error, made_room, "a connection could not be accepted");
                clock::sleep_until(Some(clock::now() + ACCEPT_RETRY_DELAY)).await;
                continue;
            }
        };
        let is_proxy = connection_settings.proxies.trusts(peer.ip());
        let address = (!is_proxy).then(|| client_network(peer.ip()));
        let Ok(connection) = connections.open(address) else {
            continue; // Every connection is busy with a request: close this one.
        };
        let _ = stream.set_nodelay(true); // Transcript events are small and urgent.
        let stream = StallTimeoutStream::new(
            stream,
            connection.handle(),
            connection_settings.answer_stall_max,
        );
        tasks.spawn(serve_connection(
            stream,
            peer,
            routes.clone(),
            tasks.clone(),
            connection,
        ));
    }
}

async fn serve_connection(
    stream: StallTimeoutStream<TcpStream>,
    peer: SocketAddr,
    routes: Router,
    tasks: Tasks,
    connection: OpenConnection,
) {
    let is_upgraded = stream.upgrade_flag();
    let (routes, handle) = (TowerToHyperService::new(routes), connection.handle());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(handle.clone());
        routes.call(request)
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD_WAIT_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = connection.closed() => return,
        () = tasks.wait_for_stop() => {
            http.as_mut().graceful_shutdown();
            tokio::select! {
                ended = http.as_mut() => ended,
                () = connection.closed() => return,
            }
        }
    };
    // A WebSocket may own the stream from here on.
    is_upgraded.store(true, Ordering::Relaxed);
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
