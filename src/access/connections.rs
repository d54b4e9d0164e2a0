//! The open connections of a server, as those share them who accept, ask and answer: the
//! [table](super::connection_table), and how a connection is told to close.

use core::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connection_table::{Bounds, ConnectionTable, Full, Id, Kind};
use crate::clock;

type Table = ConnectionTable<CancellationToken>;

/// All open connections; clones are the same.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Mutex<Table>>);

/// One open connection. Dropping it is closing.
#[derive(Debug)]
pub struct Connection {
    handle: ConnectionHandle,
    closed: CancellationToken,
}

/// What requests and answers say of their connection; clones are of the same connection.
#[derive(Debug, Clone)]
pub struct ConnectionHandle {
    connections: Connections,
    id: Id,
    is_proxied: bool,
}

/// A request in progress. Dropping it is the end of its answer.
#[derive(Debug)]
pub struct InProgress {
    connection: ConnectionHandle,
    is_signed: bool,
}

impl Connections {
    /// No connections yet.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Table::new(bounds))))
    }

    /// A client at `address` has connected, or, where that is none, a trusted proxy.
    pub fn open(&self, address: Option<IpAddr>) -> Result<Connection, Full> {
        let closed = CancellationToken::new();
        let (id, others) = self.table().open(address, closed.clone(), clock::now())?;
        hang_up(&others);
        let handle = ConnectionHandle {
            connections: self.clone(),
            id,
            is_proxied: address.is_none(),
        };
        Ok(Connection { handle, closed })
    }

    /// Closes the connection that has waited longest; `false`: none waits.
    pub fn make_room(&self) -> bool {
        let longest = self.table().close_longest();
        longest.inspect(CancellationToken::cancel).is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is never left half changed by a panic: nothing in it can fail half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hang_up(connections: &[CancellationToken]) {
    connections.iter().for_each(CancellationToken::cancel);
}

impl Connection {
    /// For its requests and answers.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Resolves when it is to be closed to make room for others.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let handle = &self.handle;
        handle.connections.table().close(handle.id);
    }
}

impl ConnectionHandle {
    /// The head of a request of `client` has come.
    pub fn begin(&self, client: IpAddr, kind: Kind, has_body: bool) -> Result<InProgress, Full> {
        let mut table = self.connections.table();
        let others = table.begin(self.id, client, kind, has_body, clock::now())?;
        drop(table);
        hang_up(&others);
        Ok(InProgress {
            connection: self.clone(),
            is_signed: false,
        })
    }

    /// The client has sent all of its request, or reads its answer.
    pub fn work(&self) {
        self.connections.table().work(self.id, clock::now());
    }

    /// The client does not read its answer at the moment.
    pub fn wait(&self) {
        self.connections.table().wait(self.id, clock::now());
    }
}

impl InProgress {
    /// The request was signed by Twilio.
    pub fn mark_signed(&mut self) {
        self.is_signed = true;
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let ConnectionHandle {
            connections,
            id,
            is_proxied,
        } = &self.connection;
        let mut table = connections.table();
        table.end(*id, self.is_signed, *is_proxied, clock::now());
    }
}
