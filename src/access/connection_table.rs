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
//! Requests that are not Twilio's ([`Kind::Other`]) may not take the last places. A connection that has
//! just carried a request that Twilio signed is closed after all others, up to as many as are kept for
//! Twilio.

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::limits;

/// Names a connection.
pub type Id = u64;

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections that are open at once.
    pub open_max: usize,
    /// Connections of one address.
    pub per_address_max: usize,
    /// Places that only Twilio's requests may take.
    pub kept_for_twilio: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            open_max: limits::CONNECTIONS_MAX,
            per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            kept_for_twilio: limits::CONNECTIONS_FOR_TWILIO,
        }
    }
}

impl Bounds {
    /// The bounds of a process that may have this many files open: half of them may be connections, for
    /// WebSockets, the database and the archive need the rest.
    pub fn within(open_files: u64) -> Self {
        let whole = Self::default();
        let half = usize::try_from(open_files / 2).unwrap_or(usize::MAX);
        let open_max = whole.open_max.min(half).max(8);
        Self {
            open_max,
            per_address_max: whole.per_address_max.min(open_max / 2),
            kept_for_twilio: whole.kept_for_twilio.min(open_max / 8),
        }
    }
}

/// Whose door a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A webhook or a media socket, signed or not: that is not known yet.
    Twilio,
    /// Anything else.
    Other,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The address has its share, and the server works for every one of its connections.
    Address,
    /// All places are taken, and the server works for every one of them.
    All,
}

/// A place among those that wait: whether it is kept for Twilio, which comes last, since when it waits,
/// and whose it is.
type Place = (bool, Instant, Id);

/// Every open connection; `H` is what closes one.
#[derive(Debug)]
pub struct ConnectionTable<H> {
    bounds: Bounds,
    connections: HashMap<Id, Entry<H>>,
    /// Those that may be closed for room, in this order.
    waiting: BTreeSet<Place>,
    addresses: HashMap<IpAddr, OfAddress>,
    /// Requests in progress that are not Twilio's.
    others: usize,
    /// Idle connections that Twilio's requests have come on.
    proven: usize,
    next: Id,
}

#[derive(Debug)]
struct Entry<H> {
    handle: H,
    /// None: a trusted proxy's, between two requests.
    address: Option<IpAddr>,
    waits_since: Option<Instant>,
    request: Option<Kind>,
    is_proven: bool,
}

#[derive(Debug, Default)]
struct OfAddress {
    open: usize,
    waiting: BTreeSet<Place>,
}

impl<H> ConnectionTable<H> {
    /// A table without connections.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            connections: HashMap::new(),
            waiting: BTreeSet::new(),
            addresses: HashMap::new(),
            others: 0,
            proven: 0,
            next: 0,
        }
    }

    /// Connections that are open.
    pub fn open_now(&self) -> usize {
        self.connections.len()
    }

    /// A client has connected; `address` is none if it is a trusted proxy. Returns the connection's name,
    /// and which ones are to be closed for it.
    pub fn open(
        &mut self,
        address: Option<IpAddr>,
        handle: H,
        now: Instant,
    ) -> Result<(Id, Vec<H>), Full> {
        let mut closed = Vec::new();
        if let Some(address) = &address {
            closed.extend(self.room_of(address)?);
        }
        if self.connections.len() >= self.bounds.open_max {
            closed.push(self.close_longest().ok_or(Full::All)?);
        }
        let id = self.next;
        self.next += 1;
        let entry = Entry {
            handle,
            address: None,
            waits_since: None,
            request: None,
            is_proven: false,
        };
        self.connections.insert(id, entry);
        self.move_to(id, address);
        self.wait(id, now);
        Ok((id, closed))
    }

    /// The head of a request has come, from `client`. Returns which connections are to be closed for it.
    pub fn begin(
        &mut self,
        id: Id,
        client: IpAddr,
        kind: Kind,
        has_body: bool,
        now: Instant,
    ) -> Result<Vec<H>, Full> {
        let Some(entry) = self.connections.get(&id) else {
            return Err(Full::All); // It is being closed.
        };
        let others_max = self.bounds.open_max - self.bounds.kept_for_twilio;
        if kind == Kind::Other && self.others >= others_max {
            return Err(Full::All);
        }
        let mut closed = Vec::new();
        if entry.address != Some(client) {
            closed.extend(self.room_of(&client)?);
        }
        self.finish(id);
        self.move_to(id, Some(client));
        self.others += usize::from(kind == Kind::Other);
        self.with(id, |entry| entry.request = Some(kind));
        if has_body {
            self.wait(id, now);
        }
        Ok(closed)
    }

    /// The client has done what the server waited for: what the server waits for next, if no request is
    /// in progress, is another one.
    pub fn work(&mut self, id: Id, now: Instant) {
        self.stop_waiting(id);
        if self
            .connections
            .get(&id)
            .is_some_and(|entry| entry.request.is_none())
        {
            self.wait(id, now);
        }
    }

    /// The server waits for the client from now on, unless it has waited already.
    pub fn wait(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        if entry.waits_since.is_some() {
            return;
        }
        entry.waits_since = Some(now);
        let place = (entry.is_proven, now, id);
        self.waiting.insert(place);
        if let Some(of) = entry.address.and_then(|ip| self.addresses.get_mut(&ip)) {
            of.waiting.insert(place);
        }
    }

    /// A request is answered. `is_signed`: Twilio made it. `is_proxied`: the connection is a trusted
    /// proxy's, and its next request may be anybody's.
    pub fn end(&mut self, id: Id, is_signed: bool, is_proxied: bool, now: Instant) {
        self.finish(id);
        if is_proxied {
            self.move_to(id, None);
        }
        if is_signed
            && self.proven < self.bounds.kept_for_twilio
            && let Some(entry) = self.connections.get_mut(&id)
        {
            entry.is_proven = true;
            self.proven += 1;
        }
        self.wait(id, now);
    }

    /// A connection is gone.
    pub fn close(&mut self, id: Id) -> Option<H> {
        self.finish(id);
        self.move_to(id, None);
        self.connections.remove(&id).map(|entry| entry.handle)
    }

    /// Closes the connection that has waited longest, if one waits.
    pub fn close_longest(&mut self) -> Option<H> {
        let &(_, _, id) = self.waiting.first()?;
        self.close(id)
    }

    /// Makes room for one more connection of an address; returns the one that was closed for it.
    fn room_of(&mut self, address: &IpAddr) -> Result<Option<H>, Full> {
        let Some(of) = self.addresses.get(address) else {
            return Ok(None);
        };
        if of.open < self.bounds.per_address_max {
            return Ok(None);
        }
        let &(_, _, id) = of.waiting.first().ok_or(Full::Address)?;
        Ok(self.close(id))
    }

    /// Neither waits nor has a request in progress, and is nobody's in particular.
    fn finish(&mut self, id: Id) {
        self.stop_waiting(id);
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        self.others -= usize::from(entry.request.take() == Some(Kind::Other));
        self.proven -= usize::from(entry.is_proven);
        entry.is_proven = false;
    }

    fn stop_waiting(&mut self, id: Id) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(since) = entry.waits_since.take() else {
            return;
        };
        let place = (entry.is_proven, since, id);
        self.waiting.remove(&place);
        if let Some(of) = entry.address.and_then(|ip| self.addresses.get_mut(&ip)) {
            of.waiting.remove(&place);
        }
    }

    /// Counts a connection, which does not wait, for another address.
    fn move_to(&mut self, id: Id, address: Option<IpAddr>) {
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
        if let Some(of) = self.addresses.get_mut(&left) {
            of.open -= 1;
            if of.open == 0 {
                self.addresses.remove(&left);
            }
        }
    }

    fn with(&mut self, id: Id, change: impl FnOnce(&mut Entry<H>)) {
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

    const SMALL: Bounds = Bounds {
        open_max: 6,
        per_address_max: 3,
        kept_for_twilio: 2,
    };

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0xc000_0200 + n).into()
    }

    /// A table, and a time that goes on by a second with each look.
    struct Bench {
        table: ConnectionTable<u32>,
        now: Instant,
    }

    impl Bench {
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

        fn open(&mut self, from: u32, name: u32) -> (Id, Vec<u32>) {
            let now = self.later();
            self.table.open(Some(address(from)), name, now).unwrap()
        }

        fn begin(&mut self, id: Id, from: u32, kind: Kind) -> Result<Vec<u32>, Full> {
            let now = self.later();
            self.table.begin(id, address(from), kind, false, now)
        }

        fn end(&mut self, id: Id, is_signed: bool) {
            let now = self.later();
            self.table.end(id, is_signed, false, now);
        }
    }

    #[test]
    fn an_address_that_has_its_share_loses_the_connection_that_has_waited_longest() {
        let mut bench = Bench::new();
        let (first, _) = bench.open(1, 1);
        bench.open(1, 2);
        bench.open(1, 3);
        // The first one's request is being worked at: the second has waited longest.
        bench.begin(first, 1, Kind::Other).unwrap();
        assert_eq!(bench.open(1, 4).1, [2]);
        // It has just been answered, so that it has waited least.
        bench.end(first, false);
        assert_eq!(bench.open(1, 5).1, [3]);
        assert_eq!(
            bench.open(2, 6).1,
            [] as [u32; 0],
            "another address has room"
        );
    }

    #[test]
    fn an_address_for_which_the_server_works_on_all_its_connections_gets_no_more() {
        let mut bench = Bench::new();
        for n in 0..3 {
            let (id, _) = bench.open(1, n);
            bench.begin(id, 1, Kind::Other).unwrap();
        }
        let now = bench.later();
        let refused = bench.table.open(Some(address(1)), 9, now);
        assert_eq!(refused, Err(Full::Address));
        assert!(bench.table.open(Some(address(2)), 9, now).is_ok());
    }

    #[test]
    fn a_full_table_loses_the_connection_that_has_waited_longest_whose_ever_it_is() {
        let mut bench = Bench::new();
        for n in 0..6 {
            bench.open(n, n);
        }
        assert_eq!(bench.open(7, 7).1, [0]);
        assert_eq!(bench.table.open_now(), SMALL.open_max);
    }

    #[test]
    fn the_last_places_are_for_twilio() {
        let mut bench = Bench::new();
        let ids: Vec<Id> = (0..6).map(|n| bench.open(n, n).0).collect();
        for (n, id) in (0..4).zip(&ids) {
            bench.begin(*id, n, Kind::Other).unwrap();
        }
        assert_eq!(bench.begin(ids[4], 4, Kind::Other), Err(Full::All));
        assert_eq!(bench.begin(ids[4], 4, Kind::Twilio), Ok(vec![]));
        bench.end(ids[0], false);
        assert_eq!(bench.begin(ids[5], 5, Kind::Other), Ok(vec![]));
    }

    #[test]
    fn a_connection_that_twilio_came_on_is_closed_last_until_another_request_comes_on_it() {
        let mut bench = Bench::new();
        let (twilio, _) = bench.open(1, 1);
        bench.begin(twilio, 1, Kind::Twilio).unwrap();
        bench.end(twilio, true);
        bench.open(1, 2);
        bench.open(1, 3);
        assert_eq!(bench.open(1, 4).1, [2]);
        // A request that nobody signed, and whose body does not come.
        let now = bench.later();
        let begun = bench
            .table
            .begin(twilio, address(1), Kind::Twilio, true, now);
        assert_eq!(begun, Ok(vec![]));
        assert_eq!(bench.open(1, 5).1, [3]);
        assert_eq!(bench.open(1, 6).1, [4]);
        assert_eq!(bench.open(1, 7).1, [1]);
    }

    #[test]
    fn only_so_many_idle_connections_are_kept_for_twilio() {
        let mut bench = Bench::new();
        for n in 0..6 {
            let (id, _) = bench.open(n, n);
            bench.begin(id, n, Kind::Twilio).unwrap();
            bench.end(id, true);
        }
        assert_eq!(bench.open(7, 7).1, [2], "the third was one too many");
    }

    #[test]
    fn where_there_are_twilios_connections_alone_the_one_that_is_idle_longest_makes_room() {
        let mut bench = Bench::new();
        for n in 0..3 {
            let (id, _) = bench.open(1, n);
            bench.begin(id, 1, Kind::Twilio).unwrap();
            bench.end(id, n < 2);
        }
        assert_eq!(bench.open(1, 3).1, [2]);
        let now = bench.later();
        bench.table.close(3);
        bench.table.open(None, 4, now).unwrap();
        let (id, _) = bench.open(1, 5);
        bench.begin(id, 1, Kind::Other).unwrap();
        assert_eq!(bench.open(1, 6).1, [0]);
    }

    #[test]
    fn requests_through_a_trusted_proxy_count_for_their_clients() {
        let mut bench = Bench::new();
        let mut opened = Vec::new();
        for n in 0..5 {
            let now = bench.later();
            opened.push(bench.table.open(None, n, now).unwrap().0);
        }
        for id in &opened[..3] {
            let now = bench.later();
            let begun = bench.table.begin(*id, address(1), Kind::Other, true, now);
            assert_eq!(begun, Ok(vec![]));
        }
        let now = bench.later();
        let begun = bench
            .table
            .begin(opened[3], address(1), Kind::Other, true, now);
        assert_eq!(begun, Ok(vec![0]), "its oldest slow body makes room");
        // What is answered is the proxy's again.
        bench.table.end(opened[1], false, true, now);
        let begun = bench
            .table
            .begin(opened[4], address(1), Kind::Other, true, now);
        assert_eq!(begun, Ok(vec![]));
    }

    #[test]
    fn a_process_with_few_files_has_fewer_connections() {
        assert_eq!(Bounds::within(65_536), Bounds::default());
        let few = Bounds::within(1_024);
        assert_eq!((few.open_max, few.kept_for_twilio), (512, 64));
        assert!(few.per_address_max <= few.open_max / 2);
        assert!(Bounds::within(0).open_max > 0);
    }

    proptest! {
        /// Whatever happens, in whatever order, the bounds hold, and nothing stays when all have left.
        #[test]
        fn whatever_happens_the_bounds_hold(
            steps in prop::collection::vec((0_u8..6, 0_u64..12, 0_u32..4, any::<bool>()), 0..200),
        ) {
            let mut bench = Bench::new();
            let table = &mut bench.table;
            for (n, (step, id, from, flag)) in steps.into_iter().enumerate() {
                let now = bench.now + Duration::from_secs(n as u64);
                let kind = if flag { Kind::Twilio } else { Kind::Other };
                match step {
                    0 => drop(table.open((from > 0).then(|| address(from)), 0, now)),
                    1 => drop(table.begin(id, address(from), kind, flag, now)),
                    2 => table.work(id, now),
                    3 => table.wait(id, now),
                    4 => table.end(id, flag, from == 0, now),
                    _ => drop(table.close(id)),
                }
                prop_assert!(table.open_now() <= SMALL.open_max);
                prop_assert!(table.others <= SMALL.open_max - SMALL.kept_for_twilio);
                prop_assert!(table.proven <= SMALL.kept_for_twilio);
                for of in table.addresses.values() {
                    prop_assert!(of.open <= SMALL.per_address_max && of.waiting.len() <= of.open);
                }
            }
            for id in 0..table.next {
                table.close(id);
            }
            prop_assert!(table.waiting.is_empty() && table.addresses.is_empty());
            prop_assert_eq!((table.others, table.proven), (0, 0));
        }
    }
}
