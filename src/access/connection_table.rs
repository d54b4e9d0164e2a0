//! The table of open connections: whose each one is, and which of them is closed when there is no room
//! for another. Pure: no I/O.
//!
//! A connection *waits* while the server waits for its client: for a request, for the rest of a body, or
//! for the client to read its answer. While the server works at an answer, a connection does not wait.
//! When there is no room, the connection that has waited longest is closed: among those of the same
//! address if that address has its share, among all if the table is full. A client that sends whole
//! requests and reads its answers never waits for long, so slow clients push out each other, also when
//! they share an address with everybody else (a proxy that is not trusted, an office).
//!
//! Requests that are not Twilio's ([`RequestOrigin::Other`]) may not take the last places. A connection that has
//! just carried a request that Twilio signed is closed after all others, up to as many as are kept for
//! Twilio.

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::limits;

/// Names a connection.
pub type ConnectionId = u64;

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Connections that are open at once.
    pub open_max: usize,
    /// Connections of one address.
    pub per_address_max: usize,
    /// Places that only Twilio's requests may take.
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
    /// The bounds of a process that may have this many files open: half of them may be connections, for
    /// WebSockets, the database and the archive need the rest.
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

/// Whose door a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOrigin {
    /// A webhook or a media socket, signed or not: that is not known yet.
    Twilio,
    /// Anything else.
    Other,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCapacity {
    /// The address has its share, and the server works for every one of its connections.
    Address,
    /// All places are taken, and the server works for every one of them.
    All,
}

/// A place among those that wait: whether it is kept for Twilio, which comes last, since when it waits,
/// and whose it is.
type WaitingKey = (bool, Instant, ConnectionId);

/// Every open connection; `H` is what closes one.
#[derive(Debug)]
pub struct ConnectionTable<H> {
    bounds: ConnectionBounds,
    connections: HashMap<ConnectionId, ConnectionEntry<H>>,
    /// Those that may be closed for room, in this order.
    waiting: BTreeSet<WaitingKey>,
    addresses: HashMap<IpAddr, AddressConnections>,
    /// Requests in progress that are not Twilio's.
    other_requests: usize,
    /// Idle connections that Twilio's requests have come on.
    verified_idle: usize,
    next_id: ConnectionId,
}

#[derive(Debug)]
struct ConnectionEntry<H> {
    handle: H,
    /// None: a trusted proxy's, between two requests.
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
    /// A table without connections.
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

    /// Connections that are open.
    pub fn open_count(&self) -> usize {
        self.connections.len()
    }

    /// A client has connected; `address` is none if it is a trusted proxy. Returns the connection's name,
    /// and which ones are to be closed for it.
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

    /// The head of a request has come, from `client`. Returns which connections are to be closed for it.
    pub fn begin_request(
        &mut self,
        id: ConnectionId,
        client: IpAddr,
        kind: RequestOrigin,
        has_body: bool,
        now: Instant,
    ) -> Result<Vec<H>, NoCapacity> {
        let Some(entry) = self.connections.get(&id) else {
            return Err(NoCapacity::All); // It is being closed.
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

    /// The client has done what the server waited for: what the server waits for next, if no request is
    /// in progress, is another one.
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

    /// The server waits for the client from now on, unless it has waited already.
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

    /// A request is answered. `is_signed`: Twilio made it. `is_proxied`: the connection is a trusted
    /// proxy's, and its next request may be anybody's.
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

    /// A connection is gone.
    pub fn close(&mut self, id: ConnectionId) -> Option<H> {
        self.reset_state(id);
        self.assign_address(id, None);
        self.connections.remove(&id).map(|entry| entry.handle)
    }

    /// Closes the connection that has waited longest, if one waits.
    pub fn close_longest_waiting(&mut self) -> Option<H> {
        let &(_, _, id) = self.waiting.first()?;
        self.close(id)
    }

    /// Makes room for one more connection of an address; returns the one that was closed for it.
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

    /// Neither waits nor has a request in progress, and is nobody's in particular.
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

    /// Counts a connection, which does not wait, for another address.
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
mod tests {
    use core::net::Ipv4Addr;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const SMALL: ConnectionBounds = ConnectionBounds {
        open_max: 6,
        per_address_max: 3,
        reserved_for_twilio: 2,
    };

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0xc000_0200 + n).into()
    }

    /// A table, and a time that goes on by a second with each look.
    struct TableHarness {
        table: ConnectionTable<u32>,
        now: Instant,
    }

    impl TableHarness {
        fn new() -> Self {
            Self {
                table: ConnectionTable::new(SMALL),
                now: clock::now(),
            }
        }

        fn later(&mut self) -> Instant {
            self.now += Duration::from_secs(1);
            self.now
        }

        fn open(&mut self, from: u32, name: u32) -> (ConnectionId, Vec<u32>) {
            let now = self.later();
            self.table.open(Some(address(from)), name, now).unwrap()
        }

        fn begin_request(
            &mut self,
            id: ConnectionId,
            from: u32,
            kind: RequestOrigin,
        ) -> Result<Vec<u32>, NoCapacity> {
            let now = self.later();
            self.table
                .begin_request(id, address(from), kind, false, now)
        }

        fn end_request(&mut self, id: ConnectionId, is_signed: bool) {
            let now = self.later();
            self.table.end_request(id, is_signed, false, now);
        }
    }

    #[test]
    fn an_address_that_has_its_share_loses_the_connection_that_has_waited_longest() {
        let mut harness = TableHarness::new();
        let (first, _) = harness.open(1, 1);
        harness.open(1, 2);
        harness.open(1, 3);
        // The first one's request is being worked at: the second has waited longest.
        harness
            .begin_request(first, 1, RequestOrigin::Other)
            .unwrap();
        assert_eq!(harness.open(1, 4).1, [2]);
        // It has just been answered, so that it has waited least.
        harness.end_request(first, false);
        assert_eq!(harness.open(1, 5).1, [3]);
        assert_eq!(
            harness.open(2, 6).1,
            [] as [u32; 0],
            "another address has room"
        );
    }

    #[test]
    fn an_address_for_which_the_server_works_on_all_its_connections_gets_no_more() {
        let mut harness = TableHarness::new();
        for n in 0..3 {
            let (id, _) = harness.open(1, n);
            harness.begin_request(id, 1, RequestOrigin::Other).unwrap();
        }
        let now = harness.later();
        let refused = harness.table.open(Some(address(1)), 9, now);
        assert_eq!(refused, Err(NoCapacity::Address));
        assert!(harness.table.open(Some(address(2)), 9, now).is_ok());
    }

    #[test]
    fn a_full_table_loses_the_connection_that_has_waited_longest_whose_ever_it_is() {
        let mut harness = TableHarness::new();
        for n in 0..6 {
            harness.open(n, n);
        }
        assert_eq!(harness.open(7, 7).1, [0]);
        assert_eq!(harness.table.open_count(), SMALL.open_max);
    }

    #[test]
    fn the_last_places_are_for_twilio() {
        let mut harness = TableHarness::new();
        let ids: Vec<ConnectionId> = (0..6).map(|n| harness.open(n, n).0).collect();
        for (n, id) in (0..4).zip(&ids) {
            harness.begin_request(*id, n, RequestOrigin::Other).unwrap();
        }
        assert_eq!(
            harness.begin_request(ids[4], 4, RequestOrigin::Other),
            Err(NoCapacity::All)
        );
        assert_eq!(
            harness.begin_request(ids[4], 4, RequestOrigin::Twilio),
            Ok(vec![])
        );
        harness.end_request(ids[0], false);
        assert_eq!(
            harness.begin_request(ids[5], 5, RequestOrigin::Other),
            Ok(vec![])
        );
    }

    #[test]
    fn a_connection_that_twilio_came_on_is_closed_last_until_another_request_comes_on_it() {
        let mut harness = TableHarness::new();
        let (twilio, _) = harness.open(1, 1);
        harness
            .begin_request(twilio, 1, RequestOrigin::Twilio)
            .unwrap();
        harness.end_request(twilio, true);
        harness.open(1, 2);
        harness.open(1, 3);
        assert_eq!(harness.open(1, 4).1, [2]);
        // A request that nobody signed, and whose body does not come.
        let now = harness.later();
        let begun =
            harness
                .table
                .begin_request(twilio, address(1), RequestOrigin::Twilio, true, now);
        assert_eq!(begun, Ok(vec![]));
        assert_eq!(harness.open(1, 5).1, [3]);
        assert_eq!(harness.open(1, 6).1, [4]);
        assert_eq!(harness.open(1, 7).1, [1]);
    }

    #[test]
    fn only_so_many_idle_connections_are_kept_for_twilio() {
        let mut harness = TableHarness::new();
        for n in 0..6 {
            let (id, _) = harness.open(n, n);
            harness.begin_request(id, n, RequestOrigin::Twilio).unwrap();
            harness.end_request(id, true);
        }
        assert_eq!(harness.open(7, 7).1, [2], "the third was one too many");
    }

    #[test]
    fn where_there_are_twilios_connections_alone_the_one_that_is_idle_longest_makes_room() {
        let mut harness = TableHarness::new();
        for n in 0..3 {
            let (id, _) = harness.open(1, n);
            harness.begin_request(id, 1, RequestOrigin::Twilio).unwrap();
            harness.end_request(id, n < 2);
        }
        assert_eq!(harness.open(1, 3).1, [2]);
        let now = harness.later();
        harness.table.close(3);
        harness.table.open(None, 4, now).unwrap();
        let (id, _) = harness.open(1, 5);
        harness.begin_request(id, 1, RequestOrigin::Other).unwrap();
        assert_eq!(harness.open(1, 6).1, [0]);
    }

    #[test]
    fn requests_through_a_trusted_proxy_count_for_their_clients() {
        let mut harness = TableHarness::new();
        let mut opened = Vec::new();
        for n in 0..5 {
            let now = harness.later();
            opened.push(harness.table.open(None, n, now).unwrap().0);
        }
        for id in &opened[..3] {
            let now = harness.later();
            let begun =
                harness
                    .table
                    .begin_request(*id, address(1), RequestOrigin::Other, true, now);
            assert_eq!(begun, Ok(vec![]));
        }
        let now = harness.later();
        let begun =
            harness
                .table
                .begin_request(opened[3], address(1), RequestOrigin::Other, true, now);
        assert_eq!(begun, Ok(vec![0]), "its oldest slow body makes room");
        // What is answered is the proxy's again.
        harness.table.end_request(opened[1], false, true, now);
        let begun =
            harness
                .table
                .begin_request(opened[4], address(1), RequestOrigin::Other, true, now);
        assert_eq!(begun, Ok(vec![]));
    }

    #[test]
    fn a_process_with_few_files_has_fewer_connections() {
        assert_eq!(
            ConnectionBounds::within(65_536),
            ConnectionBounds::default()
        );
        let few = ConnectionBounds::within(1_024);
        assert_eq!((few.open_max, few.reserved_for_twilio), (512, 64));
        assert!(few.per_address_max <= few.open_max / 2);
        assert!(ConnectionBounds::within(0).open_max > 0);
    }

    proptest! {
        /// Whatever happens, in whatever order, the bounds hold, and nothing stays when all have left.
        #[test]
        fn whatever_happens_the_bounds_hold(
            steps in prop::collection::vec((0_u8..6, 0_u64..12, 0_u32..4, any::<bool>()), 0..200),
        ) {
            let mut harness = TableHarness::new();
            let table = &mut harness.table;
            for (n, (step, id, from, flag)) in steps.into_iter().enumerate() {
                let now = harness.now + Duration::from_secs(n as u64);
                let kind = if flag { RequestOrigin::Twilio } else { RequestOrigin::Other };
                match step {
                    0 => drop(table.open((from > 0).then(|| address(from)), 0, now)),
                    1 => drop(table.begin_request(id, address(from), kind, flag, now)),
                    2 => table.mark_active(id, now),
                    3 => table.mark_waiting(id, now),
                    4 => table.end_request(id, flag, from == 0, now),
                    _ => drop(table.close(id)),
                }
                prop_assert!(table.open_count() <= SMALL.open_max);
                prop_assert!(table.other_requests <= SMALL.open_max - SMALL.reserved_for_twilio);
                prop_assert!(table.verified_idle <= SMALL.reserved_for_twilio);
                for address_connections in table.addresses.values() {
                    prop_assert!(address_connections.open <= SMALL.per_address_max && address_connections.waiting.len() <= address_connections.open);
                }
            }
            for id in 0..table.next_id {
                table.close(id);
            }
            prop_assert!(table.waiting.is_empty() && table.addresses.is_empty());
            prop_assert_eq!((table.other_requests, table.verified_idle), (0, 0));
        }
    }
}
