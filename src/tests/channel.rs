//! Properties of a channel for every sequence of events and every listener: the state that any reader folds,
//! at any pace and with any disconnections, equals the snapshot.

use proptest::prelude::*;

use super::browser::CallView;
use super::scenarios::{call, doubt, id, partial, segment};
use crate::hub::{CallChannel, ListenerCursor, PublishError};
use crate::ids::Track;
use crate::transcript::{CallEvent, CallStatus, EndReason, EngineHealth, Event, RecordingStatus};

/// Any event that an engine might publish, in and out of order.
fn any_event() -> impl Strategy<Value = Event> {
    let track = prop_oneof![Just(Track::Inbound), Just(Track::Outbound)];
    let partials = (track.clone(), 1..6_u32, 1..9_u32, "[ab]{0,3}", "[ab]{0,2}").prop_map(
        |(track, n, revision, stable, unstable)| {
            partial(
                id(track, n),
                track,
                revision,
                u64::from(n) * 1_000,
                &stable,
                &unstable,
            )
        },
    );
    let segments = (track, 1..6_u32)
        .prop_map(|(track, n)| segment(id(track, n), track, u64::from(n) * 1_000, "a b"));
    let health = prop_oneof![Just(EngineHealth::Ok), Just(EngineHealth::Behind)];
    prop_oneof![
        8 => partials,
        4 => segments,
        1 => Just(Event::Call { status: CallStatus::InProgress, stream_sid: None }),
        1 => Just(Event::Recording { status: RecordingStatus::Paused }),
        2 => (health, 0..9_u64).prop_map(|(health, lag_ms)| {
            Event::Engine { health, lag_ms, partials_missed: 0 }
        }),
        1 => prop::collection::vec(Just(doubt()), 0..2).prop_map(|doubts| Event::Language { doubts }),
        1 => Just(Event::Ended { reason: EndReason::Stopped }),
    ]
}

#[derive(Debug, Clone)]
enum ChannelOp {
    Publish(Event),
    Reopen,
    /// The listener reads up to this many events.
    Read(usize),
    /// The listener disconnects, and resumes.
    Drop,
}

fn any_step() -> impl Strategy<Value = ChannelOp> {
    prop_oneof![
        12 => any_event().prop_map(ChannelOp::Publish),
        1 => Just(ChannelOp::Reopen),
        3 => (1..5_usize).prop_map(ChannelOp::Read),
        2 => Just(ChannelOp::Drop),
    ]
}

proptest! {
    #[test]
    fn every_reader_folds_what_the_snapshot_says(
        steps in proptest::collection::vec(any_step(), 1..120),
    ) {
        let mut channel = CallChannel::new(call(1), 1);
        let mut epoch = 1;
        let mut cursor = ListenerCursor::default();
        let mut page = CallView::default();
        for step in steps {
            match step {
                ChannelOp::Publish(event) => {
                    let before = channel.head();
                    let taken = channel.append(event);
                    prop_assert_eq!(channel.head(), before + u64::from(taken.is_ok()));
                }
                ChannelOp::Reopen => {
                    epoch += 1;
                    channel.reopen(epoch);
                }
                ChannelOp::Read(max) => {
                    let news = channel.has_unread(&cursor);
                    let events = channel.read(&mut cursor, max);
                    prop_assert_eq!(news, !events.is_empty());
                    // There may be a notice in addition.
                    prop_assert!(events.len() <= max + 1);
                    for event in &events {
page.apply(event);
}
                }
                ChannelOp::Drop => cursor = ListenerCursor::resume(page.resume()),
            }
        }
        while channel.has_unread(&cursor) {
            for event in channel.read(&mut cursor, 3) {
page.apply(&event);
}
        }
        let newcomer = CallView::of([&channel.snapshot()]);
        prop_assert_eq!(page.same_for_all(), newcomer.same_for_all());
    }
}

/// A call with partials, finals and states; a channel accepts every one.
fn long_call(utterances: u32) -> Vec<Event> {
    let mut events = vec![Event::Call {
        status: CallStatus::InProgress,
        stream_sid: None,
    }];
    for n in 1..=utterances {
        let track = Track::ALL[n as usize % 2];
        let at = u64::from(n) * 2_000;
        events.push(partial(id(track, n), track, 1, at, "", "one"));
        events.push(partial(id(track, n), track, 2, at, "one", "two"));
        events.push(segment(id(track, n), track, at, "one two three"));
        if n % 5 == 0 {
            let health = if n % 2 == 0 {
                EngineHealth::Behind
            } else {
                EngineHealth::Ok
            };
            events.push(Event::Engine {
                health,
                lag_ms: at,
                partials_missed: 0,
            });
        }
    }
    events.push(Event::Ended {
        reason: EndReason::Stopped,
    });
    events
}

#[test]
fn a_listener_that_drops_at_any_point_for_any_time_misses_no_final() {
    let events = long_call(12);
    for gone in 0..=events.len() {
        for back in gone..=events.len() {
            let mut channel = CallChannel::new(call(1), 1);
            let mut cursor = ListenerCursor::default();
            let mut page = CallView::default();
            for (n, event) in events.iter().enumerate() {
                if n == back {
                    cursor = ListenerCursor::resume(page.resume());
                }
                if !(gone..back).contains(&n) {
                    for event in channel.read(&mut cursor, 256) {
                        page.apply(&event);
                    }
                }
                channel.append(event.clone()).unwrap();
            }
            // A listener that never reconnected reads now.
            if back == events.len() {
                cursor = ListenerCursor::resume(page.resume());
            }
            for event in channel.read(&mut cursor, 256) {
                page.apply(&event);
            }
            let whole = CallView::of([&channel.snapshot()]);
            assert_eq!(page.segments.len(), 12, "gone at {gone}, back at {back}");
            assert_eq!(page.same_for_all(), whole.same_for_all());
        }
    }
}

#[test]
fn what_is_told_twice_keeps_its_offset() {
    let mut channel = CallChannel::new(call(1), 1);
    for event in long_call(3) {
        channel.append(event).unwrap();
    }
    let all = channel.events_since(0, usize::MAX).unwrap();
    for event in &all {
        let again = channel.events_since(event.offset - 1, 1).unwrap();
        assert_eq!(again[0], *event);
    }
    assert_eq!(all.last().unwrap().offset, channel.head());
    assert_eq!(channel.events_since(channel.head(), 9).unwrap(), []);
    assert_eq!(channel.events_since(channel.head() + 1, 9), None);
}

#[test]
fn an_offset_of_another_life_leads_to_a_snapshot() {
    let mut channel = CallChannel::new(call(1), 7);
    for event in long_call(2) {
        channel.append(event).unwrap();
    }
    let first = |offset, epoch| -> CallEvent {
        let mut cursor = ListenerCursor::resume(crate::hub::ResumePoint { offset, epoch });
        channel.read(&mut cursor, 256)[0].as_ref().clone()
    };
    assert_eq!(first(3, Some(6)), channel.snapshot(), "a lower epoch");
    assert_eq!(first(3, Some(8)), channel.snapshot(), "a higher epoch");
    assert_eq!(first(99, Some(7)), channel.snapshot(), "beyond the head");
    assert_eq!(
        first(99, None),
        channel.snapshot(),
        "beyond the head of who knows what"
    );
    assert_eq!(first(0, Some(7)), channel.snapshot(), "from the start");
    assert_eq!(first(3, Some(7)).offset, 4);
    assert_eq!(first(3, None).offset, 4);
}

#[test]
fn reopening_lets_words_come_again_and_every_listener_hears_of_it() {
    let mut channel = CallChannel::new(call(1), 1);
    let mut cursor = ListenerCursor::default();
    for event in long_call(2) {
        channel.append(event).unwrap();
    }
    channel.read(&mut cursor, 256);
    let late = segment(id(Track::Inbound, 9), Track::Inbound, 60_000, "late");
    assert_eq!(channel.append(late.clone()), Err(PublishError::Ended));

    channel.reopen(2);
    assert!(channel.has_unread(&cursor));
    let page = CallView::of(channel.read(&mut cursor, 256).iter().map(AsRef::as_ref));
    assert_eq!(
        (page.ended, page.epoch, page.segments.len()),
        (None, Some(2), 2)
    );
    assert_eq!(channel.append(late), Ok(channel.head()));
}
