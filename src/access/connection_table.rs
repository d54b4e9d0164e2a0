//! The table of open connections: the client of each, and the choice of the connection to close
//! when there is no room for another. Pure: no I/O.
//!
//! A connection *waits* while the server waits for its client: for a request, for the rest of a
//! body, or for the client to read its response. A connection does not wait while the server works
//! on a response. When there is no room, the longest waiting connection is closed: of the same
//! address if that address has reached its share, of all if the table is full. A client that sends
//! whole requests and reads its responses never waits for long, so slow clients displace each
//! other, even if they share an address with many others (an untrusted proxy, an office).
//!
//! Requests that are not Twilio's ([`RequestOrigin::Other`]) cannot take the reserved connections.
//! Connections whose last request was signed by Twilio are closed after all others, up to the
//! number that is reserved for Twilio.

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::limits;

/// Identifies a connection.
pub type ConnectionId = u64;

/// The bounds of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// The maximum number of open connections.
    pub open_max: usize,
    /// The maximum number of open connections of one address.
    pub per_address_max: usize,
    /// The number of connections that only Twilio's requests can take.
    pub reserved_for_twilio: usize,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self {
            open_max: limits::CONNECTIONS_MAX,
            per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            reserved_for_twilio: limits::CONNECTIONS_RESERVED_FOR_TWILIO,
        }
    }
}

impl ConnectionBounds {
    /// Returns the bounds of a process that can have `open_files` files open: half of them can be
    /// connections; WebSockets, the database and the archive need the rest.
    pub fn within(open_files: u64) -> Self {
        let whole = Self::default();
        let half = usize::try_from(open_files / 2).unwrap_or(usize::MAX);
        let open_max = whole.open_max.min(half).max(8);
        Self {
            open_max,
            per_address_max: whole.per_address_max.min(open_max / 2),
            reserved_for_twilio: whole.reserved_for_twilio.min(open_max / 8),
        }
    }
}

/// The kind of endpoint that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOrigin {
    /// A webhook or a media socket, before its signature is verified.
    Twilio,
    /// Any other endpoint.
    Other,
}

/// Why a connection or a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCapacity {
    /// The address has reached its share, and all of its connections are busy.
    Address,
    /// The table is full, and all connections are busy.
    All,
}

/// The order in which waiting connections are closed: those reserved for Twilio last, then the
/// longest waiting first.
type WaitingKey = (bool, Instant, ConnectionId);

/// The open connections; `H` is the handle that closes one.
#[derive(Debug)]
pub struct ConnectionTable<H> {
    bounds: ConnectionBounds,
    connections: HashMap<ConnectionId, ConnectionEntry<H>>,
    /// The connections that may be closed, in this order.
    waiting: BTreeSet<WaitingKey>,
    addresses: HashMap<IpAddr, AddressConnections>,
    /// The number of requests in progress that are not Twilio's.
    other_requests: usize,
    /// The number of idle connections whose last request Twilio signed.
    verified_idle: usize,
    next_id: ConnectionId,
}

#[derive(Debug)]
struct ConnectionEntry<H> {
    handle: H,
    /// None: a trusted proxy's connection, between two requests.
    address: Option<IpAddr>,
    waiting_since: Option<Instant>,
    request: Option<RequestOrigin>,
    is_verified: bool,
}

#[derive(Debug, Default)]
struct AddressConnections {
    open: usize,
    waiting: BTreeSet<WaitingKey>,
}

impl<H> ConnectionTable<H> {
    /// Creates an empty table.
    pub fn new(bounds: ConnectionBounds) -> Self {
        Self {
            bounds,
            connections: HashMap::new(),
            waiting: BTreeSet::new(),
            addresses: HashMap::new(),
            other_requests: 0,
            verified_idle: 0,
            next_id: 0,
        }
    }

    /// Returns the number of open connections.
    #[cfg(test)]
    pub fn open_count(&self) -> usize {
        self.connections.len()
    }

    /// Adds a connection; `address` is `None` for a trusted proxy. Returns its id, and the handles
    /// of the connections to close for it; an error when there is no room.
    pub fn open(
        &mut self,
        address: Option<IpAddr>,
        handle: H,
        now: Instant,
    ) -> Result<(ConnectionId, Vec<H>), NoCapacity> {
        let mut closed = Vec::new();
        if let Some(address) = &address {
            closed.extend(self.make_room_for_address(address)?);
        }
        if self.connections.len() >= self.bounds.open_max {
            closed.push(self.close_longest_waiting().ok_or(NoCapacity::All)?);
        }
        let id = self.next_id;
        self.next_id += 1;
        let entry = ConnectionEntry {
            handle,
            address: None,
            waiting_since: None,
            request: None,
            is_verified: false,
        };
        self.connections.insert(id, entry);
        self.assign_address(id, address);
        self.mark_waiting(id, now);
        Ok((id, closed))
    }

    /// Starts a request of `client`, after its head was received. Returns the handles of the
    /// connections to close for it; an error when there is no room.
    pub fn begin_request(
        &mut self,
        id: ConnectionId,
        client: IpAddr,
        kind: RequestOrigin,
        has_body: bool,
        now: Instant,
    ) -> Result<Vec<H>, NoCapacity> {
        let Some(entry) = self.connections.get(&id) else {
            return Err(NoCapacity::All); // The connection is being closed.
        };
        let others_max = self.bounds.open_max - self.bounds.reserved_for_twilio;
        if kind == RequestOrigin::Other && self.other_requests >= others_max {
            return Err(NoCapacity::All);
        }
        let mut closed = Vec::new();
        if entry.address != Some(client) {
            closed.extend(self.make_room_for_address(&client)?);
        }
        self.reset_state(id);
        self.assign_address(id, Some(client));
        self.other_requests += usize::from(kind == RequestOrigin::Other);
        self.update_entry(id, |entry| entry.request = Some(kind));
        if has_body {
            self.mark_waiting(id, now);
        }
        Ok(closed)
    }

    /// Records that the client did what the server waited for. If no request is in progress, the
    /// connection then waits for the next one.
    pub fn mark_active(&mut self, id: ConnectionId, now: Instant) {
        self.stop_waiting(id);
        if self
            .connections
            .get(&id)
            .is_some_and(|entry| entry.request.is_none())
        {
            self.mark_waiting(id, now);
        }
    }

    /// Marks the connection as waiting from now on, unless it waits already.
    pub fn mark_waiting(&mut self, id: ConnectionId, now: Instant) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        if entry.waiting_since.is_some() {
            return;
        }
        entry.waiting_since = Some(now);
        let key = (entry.is_verified, now, id);
        self.waiting.insert(key);
        if let Some(address_connections) = entry.address.and_then(|ip| self.addresses.get_mut(&ip))
        {
            address_connections.waiting.insert(key);
        }
    }

    /// Ends a request. `is_signed`: Twilio signed it. `is_proxied`: the connection is a trusted
    /// proxy's, so that its next request may be of another client.
    pub fn end_request(
        &mut self,
        id: ConnectionId,
        is_signed: bool,
        is_proxied: bool,
        now: Instant,
    ) {
        self.reset_state(id);
        if is_proxied {
            self.assign_address(id, None);
        }
        if is_signed
            && self.verified_idle < self.bounds.reserved_for_twilio
            && let Some(entry) = self.connections.get_mut(&id)
        {
            entry.is_verified = true;
            self.verified_idle += 1;
        }
        self.mark_waiting(id, now);
    }

    /// Removes a connection, and returns its handle.
    pub fn close(&mut self, id: ConnectionId) -> Option<H> {
        self.reset_state(id);
        self.assign_address(id, None);
        self.connections.remove(&id).map(|entry| entry.handle)
    }

    /// Removes the longest waiting connection, if one waits, and returns its handle.
    pub fn close_longest_waiting(&mut self) -> Option<H> {
        let &(_, _, id) = self.waiting.first()?;
        self.close(id)
    }

    /// Makes room for one more connection of an address. Returns the handle of the connection that
    /// was removed for it, if any; an error when none of the address's connections waits.
    fn make_room_for_address(&mut self, address: &IpAddr) -> Result<Option<H>, NoCapacity> {
        let Some(address_connections) = self.addresses.get(address) else {
            return Ok(None);
        };
        if address_connections.open < self.bounds.per_address_max {
            return Ok(None);
        }
        let &(_, _, id) = address_connections
            .waiting
            .first()
            .ok_or(NoCapacity::Address)?;
        Ok(self.close(id))
    }

    /// Resets a connection: it does not wait, has no request in progress, and is not reserved for
    /// Twilio.
    fn reset_state(&mut self, id: ConnectionId) {
        self.stop_waiting(id);
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        self.other_requests -= usize::from(entry.request.take() == Some(RequestOrigin::Other));
        self.verified_idle -= usize::from(entry.is_verified);
        entry.is_verified = false;
    }

    fn stop_waiting(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(since) = entry.waiting_since.take() else {
            return;
        };
        let key = (entry.is_verified, since, id);
        self.waiting.remove(&key);
        if let Some(address_connections) = entry.address.and_then(|ip| self.addresses.get_mut(&ip))
        {
            address_connections.waiting.remove(&key);
        }
    }

    /// Moves a connection, which does not wait, to another address.
    fn assign_address(&mut self, id: ConnectionId, address: Option<IpAddr>) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        let left = std::mem::replace(&mut entry.address, address);
        if let Some(address) = address {
            self.addresses.entry(address).or_default().open += 1;
        }
        let Some(left) = left else {
            return;
        };
        if let Some(address_connections) = self.addresses.get_mut(&left) {
            address_connections.open -= 1;
            if address_connections.open == 0 {
                self.addresses.remove(&left);
            }
        }
    }

    fn update_entry(&mut self, id: ConnectionId, change: impl FnOnce(&mut ConnectionEntry<H>)) {
        if let Some(entry) = self.connections.get_mut(&id) {
            change(entry);
        }
    }
}

#[cfg(test)]
mod tests;
