//! Tests of `access/connection_table.rs`.

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

/// A table, and a clock that advances by a second with each reading.
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
    // The request of the first is in progress: the second has waited longest.
    harness
        .begin_request(first, 1, RequestOrigin::Other)
        .unwrap();
    assert_eq!(harness.open(1, 4).1, [2]);
    // It was just answered, so that it has waited least.
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
    // An unsigned request that lacks its body.
    let now = harness.later();
    let begun = harness
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
        let begun = harness
            .table
            .begin_request(*id, address(1), RequestOrigin::Other, true, now);
        assert_eq!(begun, Ok(vec![]));
    }
    let now = harness.later();
    let begun = harness
        .table
        .begin_request(opened[3], address(1), RequestOrigin::Other, true, now);
    assert_eq!(begun, Ok(vec![0]), "its oldest slow body makes room");
    // After the response the connection is the proxy's.
    harness.table.end_request(opened[1], false, true, now);
    let begun = harness
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
    /// In any order of events, the bounds hold, and the table is empty after all connections
    /// were closed.
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
