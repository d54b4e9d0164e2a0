//! Connections: how many there are at once, and how long a client may take to ask. A client that asks
//! slowly, or not at all, costs a place for a while and nobody else anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock;
use crate::limits;
use crate::tasks::Tasks;

/// Time until the next try after the system could not accept a connection.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves `routes` until the soft stop, then lets open requests finish.
pub(super) async fn serve(listener: TcpListener, routes: Router, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = tasks.stopping() => return,
        };
        let Some((stream, peer, place)) = accepted else {
            clock::until(Some(clock::now() + ACCEPT_AGAIN)).await;
            continue;
        };
        let _ = stream.set_nodelay(true); // Words are small, and wanted at once.
        let routes = routes.clone().layer(Extension(ConnectInfo(peer)));
        tasks.spawn(hold(stream, routes, tasks.clone(), place));
    }
}

/// The next connection, once there is a place for it; until then the system keeps it waiting.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("the places are never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

async fn hold(stream: TcpStream, routes: Router, tasks: Tasks, _place: OwnedSemaphorePermit) {
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD_WAIT_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tasks.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start() -> (SocketAddr, Tasks) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, tasks) = (listener.local_addr().unwrap(), Tasks::default());
        let routes = Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        );
        tasks.spawn(serve(listener, routes, tasks.clone()));
        (addr, tasks)
    }

    /// A client's own address, and what it is answered.
    async fn ask(addr: SocketAddr) -> (String, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (own, answer)
    }

    #[tokio::test]
    async fn a_request_is_answered_and_knows_its_peer() {
        let (addr, tasks) = start().await;
        let (own, answer) = ask(addr).await;
        assert!(answer.ends_with(&own), "{answer}");
        assert!(tasks.shut_down(Duration::from_secs(30)).await);
    }

    #[tokio::test]
    async fn who_asks_slowly_is_hung_up_on_and_costs_nobody_else() {
        let (addr, _tasks) = start().await;
        let mut slow = TcpStream::connect(addr).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nX-A:").await.unwrap();
        let mut drip = async || {
            // A byte each second, as such clients do, until the server has had enough.
            let mut answer = Vec::new();
            loop {
                let next = clock::now() + Duration::from_secs(1);
                tokio::select! {
                    read = slow.read_to_end(&mut answer) => return read.is_ok() || !answer.is_empty(),
                    () = clock::until(Some(next)) => {}
                }
                if slow.write_all(b"a").await.is_err() {
                    return true;
                }
            }
        };
        let patience = limits::REQUEST_HEAD_WAIT_MAX + Duration::from_secs(10);
        let ended = tokio::time::timeout(patience, drip()).await;
        assert_eq!(ended, Ok(true), "it still holds its connection");
        let (_, answer) = ask(addr).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
