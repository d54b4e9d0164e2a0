//! The open connections of a server, shared between the listener, the requests and the response
//! streams: the [table](super::connection_table), and the signals that close connections.

use core::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connection_table::{
    ConnectionBounds, ConnectionId, ConnectionTable, NoCapacity, RequestOrigin,
};
use crate::clock;

type SharedTable = ConnectionTable<CancellationToken>;

/// All open connections. Clones share one state.
#[derive(Debug, Clone)]
pub struct ConnectionRegistry(Arc<Mutex<SharedTable>>);

/// One open connection. Dropping it removes it.
#[derive(Debug)]
pub struct OpenConnection {
    handle: ConnectionHandle,
    closed: CancellationToken,
}

/// A connection, as its requests and its stream see it. Clones refer to the same connection.
#[derive(Debug, Clone)]
pub struct ConnectionHandle {
    connections: ConnectionRegistry,
    id: ConnectionId,
    is_proxied: bool,
}

/// A request in progress. Dropping it marks the end of the response.
#[derive(Debug)]
pub struct RequestGuard {
    connection: ConnectionHandle,
    is_signed: bool,
}

impl ConnectionRegistry {
    /// Creates a registry without connections.
    pub fn new(bounds: ConnectionBounds) -> Self {
        Self(Arc::new(Mutex::new(SharedTable::new(bounds))))
    }

    /// Adds a connection of a client at `address`, or, if `None`, of a trusted proxy. An error when
    /// there is no room.
    pub fn open(&self, address: Option<IpAddr>) -> Result<OpenConnection, NoCapacity> {
        let closed = CancellationToken::new();
        let (id, others) = self.table().open(address, closed.clone(), clock::now())?;
        cancel_all(&others);
        let handle = ConnectionHandle {
            connections: self.clone(),
            id,
            is_proxied: address.is_none(),
        };
        Ok(OpenConnection { handle, closed })
    }

    /// Closes the longest waiting connection. `false`: no connection waits.
    pub fn make_room(&self) -> bool {
        let longest = self.table().close_longest_waiting();
        longest.inspect(CancellationToken::cancel).is_some()
    }

    fn table(&self) -> MutexGuard<'_, SharedTable> {
        // No operation of the table can fail half way, so a panic of another holder leaves it
        // consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancel_all(connections: &[CancellationToken]) {
    connections.iter().for_each(CancellationToken::cancel);
}

impl OpenConnection {
    /// Returns the handle for its requests and its stream.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Resolves when the connection has to close, to make room for others.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let handle = &self.handle;
        handle.connections.table().close(handle.id);
    }
}

impl ConnectionHandle {
    /// Starts a request of `client`, after its head was received. An error when there is no room.
    pub fn begin_request(
        &self,
        client: IpAddr,
        kind: RequestOrigin,
        has_body: bool,
    ) -> Result<RequestGuard, NoCapacity> {
        let mut table = self.connections.table();
        let others = table.begin_request(self.id, client, kind, has_body, clock::now())?;
        drop(table);
        cancel_all(&others);
        Ok(RequestGuard {
            connection: self.clone(),
            is_signed: false,
        })
    }

    /// Records that the client has sent all of its request, or reads its response.
    pub fn mark_active(&self) {
        self.connections.table().mark_active(self.id, clock::now());
    }

    /// Records that the client does not read its response at the moment.
    pub fn mark_waiting(&self) {
        self.connections.table().mark_waiting(self.id, clock::now());
    }
}

impl RequestGuard {
    /// Records that Twilio signed the request.
    pub fn mark_signed(&mut self) {
        self.is_signed = true;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let ConnectionHandle {
            connections,
            id,
            is_proxied,
        } = &self.connection;
        let mut table = connections.table();
        table.end_request(*id, self.is_signed, *is_proxied, clock::now());
    }
}
