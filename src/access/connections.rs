//! The open connections of a server, as those share them who accept, ask and answer: the
//! [table](super::connection_table), and how a connection is told to close.

use core::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connection_table::{
    ConnectionBounds, ConnectionId, ConnectionTable, NoCapacity, RequestOrigin,
};
use crate::clock;

type SharedTable = ConnectionTable<CancellationToken>;

/// All open connections; clones are the same.
#[derive(Debug, Clone)]
pub struct ConnectionRegistry(Arc<Mutex<SharedTable>>);

/// One open connection. Dropping it is closing.
#[derive(Debug)]
pub struct OpenConnection {
    handle: ConnectionHandle,
    closed: CancellationToken,
}

/// What requests and answers say of their connection; clones are of the same connection.
#[derive(Debug, Clone)]
pub struct ConnectionHandle {
    connections: ConnectionRegistry,
    id: ConnectionId,
    is_proxied: bool,
}

/// A request in progress. Dropping it is the end of its answer.
#[derive(Debug)]
pub struct RequestGuard {
    connection: ConnectionHandle,
    is_signed: bool,
}

impl ConnectionRegistry {
    /// No connections yet.
    pub fn new(bounds: ConnectionBounds) -> Self {
        Self(Arc::new(Mutex::new(SharedTable::new(bounds))))
    }

    /// A client at `address` has connected, or, where that is none, a trusted proxy.
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

    /// Closes the connection that has waited longest; `false`: none waits.
    pub fn make_room(&self) -> bool {
        let longest = self.table().close_longest_waiting();
        longest.inspect(CancellationToken::cancel).is_some()
    }

    fn table(&self) -> MutexGuard<'_, SharedTable> {
        // The table is never left half changed by a panic: nothing in it can fail half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancel_all(connections: &[CancellationToken]) {
    connections.iter().for_each(CancellationToken::cancel);
}

impl OpenConnection {
    /// For its requests and answers.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Resolves when it is to be closed to make room for others.
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
    /// The head of a request of `client` has come.
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

    /// The client has sent all of its request, or reads its answer.
    pub fn mark_active(&self) {
        self.connections.table().mark_active(self.id, clock::now());
    }

    /// The client does not read its answer at the moment.
    pub fn mark_waiting(&self) {
        self.connections.table().mark_waiting(self.id, clock::now());
    }
}

impl RequestGuard {
    /// The request was signed by Twilio.
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
