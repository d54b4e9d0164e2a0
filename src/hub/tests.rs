//! Tests of `hub/mod.rs`.

use std::time::Duration;

use super::*;
use crate::transcript::{CallStatus, EndReason};

fn call(n: usize) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

fn status() -> Event {
    Event::Call {
        status: CallStatus::Ringing,
        stream_sid: None,
    }
}

fn ended() -> Event {
    Event::Ended {
        reason: EndReason::Stopped,
    }
}

fn epoch(events: &[Arc<CallEvent>]) -> u64 {
    let [Event::Snapshot { epoch, .. }] = events.iter().map(|e| &e.event).collect::<Vec<_>>()[..]
    else {
        panic!("expected one snapshot, got {events:?}");
    };
    *epoch
}

#[test]
fn an_ended_call_waits_for_its_listeners_to_come_back_and_then_goes() {
    let hub = Hub::new();
    let start = clock::now();
    hub.open_stream(&call(1), 1);
    let listener = hub.subscribe(&call(1), None).unwrap();
    hub.sweep(start);
    hub.publish(&call(1), ended());
    hub.sweep(start + limits::CHANNEL_LINGER * 9);
    assert_eq!(hub.channel_count(), 1, "someone listens");

    drop(listener);
    let left = start + limits::CHANNEL_LINGER * 10;
    hub.sweep(left);
    hub.sweep(left + limits::CHANNEL_LINGER / 2);
    let back = hub.subscribe(&call(1), None).unwrap();
    drop(back);
    hub.sweep(left + limits::CHANNEL_LINGER);
    assert_eq!(hub.channel_count(), 1, "the wait began anew");
    hub.sweep(left + limits::CHANNEL_LINGER * 2);
    assert_eq!(hub.channel_count(), 0);
    assert_eq!(hub.publish(&call(1), status()), None);
}

#[test]
fn of_a_deleted_call_nothing_is_told_to_whoever_comes() {
    let hub = Hub::new();
    hub.open_stream(&call(1), 1);
    hub.publish(&call(1), status());
    hub.publish(&call(1), ended());
    let mut old = hub.subscribe(&call(1), None).unwrap();
    let old_epoch = epoch(&old.read());
    hub.remove_call(&call(1));
    assert!(!hub.has_events(&call(1)));
    let mut new = hub.subscribe(&call(1), None).unwrap();
    drop(old);
    assert_eq!(hub.channel_count(), 1, "who comes later is let go of");
    let events = new.read();
    assert_ne!(epoch(&events), old_epoch);
    let Event::Snapshot { status, ended, .. } = &events[0].event else {
        panic!("{events:?}");
    };
    assert_eq!((status, ended), (&None, &None));
}

#[test]
fn a_stream_that_comes_late_does_not_take_the_call_back() {
    let hub = Hub::new();
    let stream = || StreamSid::parse(&format!("MZ{:032x}", 1)).unwrap();
    let mut listener = hub.subscribe(&call(1), None).unwrap();
    hub.open_stream(&call(1), 1);
    hub.publish_stream_started(&call(1), stream(), CallStatus::Initiated);
    hub.publish(&call(1), status());
    hub.publish_stream_started(&call(1), stream(), CallStatus::Initiated);
    hub.publish_stream_started(&call(2), stream(), CallStatus::Initiated);
    let events = listener.read();
    let [Event::Snapshot { status, .. }] = events.iter().map(|e| &e.event).collect::<Vec<_>>()[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*status, Some(CallStatus::Ringing));
    assert_eq!((events[0].offset, hub.channel_count()), (3, 1));
}

#[test]
fn a_call_from_before_goes_on_where_it_was() {
    let hub = Hub::new();
    let early = hub.subscribe(&call(1), None).unwrap();
    assert!(!hub.has_events(&call(1)));
    hub.restore_call(&call(1), [status()]);
    hub.restore_call(&call(1), [status()]);
    assert!(hub.has_events(&call(1)));
    assert_eq!(hub.open_stream(&call(1), 3), 3, "its third stream");
    assert_eq!(hub.open_stream(&call(1), 1), 4);
    let mut late = hub.subscribe(&call(1), None).unwrap();
    let events = late.read();
    let [Event::Snapshot { status, .. }] =
        events.iter().map(|event| &event.event).collect::<Vec<_>>()[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*status, Some(CallStatus::Ringing));
    assert_eq!(events[0].offset, 1, "recalled once");
    drop(early);

    // A call without a stream is removed with its last listener.
    let reader = hub.subscribe(&call(2), None).unwrap();
    hub.restore_call(&call(2), [ended()]);
    assert!(hub.has_events(&call(2)));
    drop(reader);
    assert!(!hub.has_events(&call(2)));
}

#[test]
fn a_call_that_goes_on_keeps_its_channel_without_listeners() {
    let hub = Hub::new();
    hub.open_stream(&call(1), 1);
    drop(hub.subscribe(&call(1), None).unwrap());
    let now = clock::now();
    hub.sweep(now);
    hub.sweep(now + limits::CHANNEL_LINGER * 100);
    assert_eq!(hub.publish(&call(1), status()), Some(1));
}

#[test]
fn a_call_that_nobody_opened_goes_with_its_last_listener() {
    let hub = Hub::new();
    let listeners = [hub.subscribe(&call(1), None), hub.subscribe(&call(1), None)];
    let [first, second] = listeners.map(Result::unwrap);
    drop(first);
    assert_eq!(hub.channel_count(), 1);
    drop(second);
    assert_eq!(hub.channel_count(), 0);
}

#[test]
fn listeners_that_came_first_hear_the_call_that_comes() {
    let hub = Hub::new();
    let mut early = hub.subscribe(&call(1), None).unwrap();
    let first = epoch(&early.read());
    hub.open_stream(&call(1), 1);
    assert!(early.read().is_empty(), "opening is no news");
    assert_eq!(hub.publish(&call(1), status()), Some(1));
    assert_eq!(early.read()[0].event, status());
    assert_eq!(epoch(&hub.subscribe(&call(1), None).unwrap().read()), first);
}

#[test]
fn no_two_lives_of_a_channel_share_an_epoch() {
    let hub = Hub::new();
    let first = epoch(&hub.subscribe(&call(1), None).unwrap().read());
    let mut listener = hub.subscribe(&call(1), None).unwrap();
    let second = epoch(&listener.read());
    hub.open_stream(&call(1), 1);
    hub.publish(&call(1), ended());
    listener.read();
    hub.open_stream(&call(1), 1);
    let third = epoch(&listener.read());
    assert!(first < second && second < third, "{first} {second} {third}");
    assert!(third < 1 << 53);
}

#[test]
fn a_stream_that_ends_late_does_not_end_the_one_that_took_over() {
    let hub = Hub::new();
    let mut listener = hub.subscribe(&call(1), None).unwrap();
    assert_eq!(
        (hub.open_stream(&call(1), 1), hub.open_stream(&call(1), 1)),
        (1, 2)
    );
    listener.read();
    hub.close_stream(&call(1), [ended()]);
    assert!(listener.read().is_empty() && !listener.is_finished());
    hub.close_stream(&call(1), [status(), ended()]);
    let events: Vec<Event> = listener.read().iter().map(|e| e.event.clone()).collect();
    assert_eq!(events, [status(), ended()]);
    hub.close_stream(&call(2), [ended()]);
    assert_eq!(hub.channel_count(), 1, "a call that nobody opened was made");
}

#[test]
fn strangers_cannot_use_up_the_channels_of_calls() {
    let hub = Hub::new();
    let hold: Vec<_> = (0..limits::CHANNELS_MAX)
        .map(|n| hub.subscribe(&call(n), None).unwrap())
        .collect();
    let refused = hub.subscribe(&call(limits::CHANNELS_MAX), None);
    assert_eq!(refused.unwrap_err(), SubscribeError::TooManyChannels);
    assert!(
        hub.subscribe(&call(0), None).is_ok(),
        "a known call takes more listeners"
    );
    hub.open_stream(&call(limits::CHANNELS_MAX), 1);
    assert_eq!(hub.publish(&call(limits::CHANNELS_MAX), status()), Some(1));
    drop(hold);
    assert_eq!(hub.channel_count(), 1);
}

#[test]
fn one_user_cannot_use_up_the_channels_of_others() {
    let hub = Hub::new();
    let (eve, bob) = (Some(UserId(1)), Some(UserId(2)));
    let max = limits::CHANNELS_PER_USER_MAX;
    let mut hold: Vec<_> = (0..max)
        .map(|n| hub.subscribe_as(eve, &call(n), None).unwrap())
        .collect();
    let refused = hub.subscribe_as(eve, &call(max), None);
    assert_eq!(refused.unwrap_err(), SubscribeError::TooManyOfUser);
    assert!(hub.subscribe_as(bob, &call(max + 1), None).is_ok());
    // A live call can be subscribed to, and no longer counts.
    hub.open_stream(&call(max), 1);
    assert!(hub.subscribe_as(eve, &call(max), None).is_ok());
    hub.open_stream(&call(0), 1);
    hold.push(hub.subscribe_as(eve, &call(max + 2), None).unwrap());
    // An unsubscribed channel frees its place.
    drop(hold);
    assert!(hub.subscribe_as(eve, &call(max + 3), None).is_ok());
}

#[tokio::test]
async fn news_wakes_a_listener_and_a_dropped_wait_loses_none() {
    let hub = Hub::new();
    hub.open_stream(&call(1), 1);
    let mut listener = hub.subscribe(&call(1), None).unwrap();
    assert_eq!(listener.next().await.len(), 1);
    for n in 1..=50_u64 {
        let waits = tokio::select! {
            biased;
            _ = listener.next() => false,
            () = std::future::ready(()) => true,
        };
        assert!(waits, "there is nothing to hear");
        let wait = tokio::time::timeout(Duration::from_secs(20), listener.next());
        let publish = async {
            // The listener is polled first, and so sleeps when the event arrives.
            tokio::task::yield_now().await;
            hub.publish(&call(1), status())
        };
        let (events, offset) = tokio::join!(wait, publish);
        assert_eq!(offset, Some(n));
        let events = events.expect("the listener slept through it");
        assert_eq!(events[0].offset, n);
    }
}

#[test]
fn many_threads_publish_and_every_listener_hears_all_in_one_order() {
    let hub = Hub::new();
    hub.open_stream(&call(1), 1);
    let mut before: Vec<_> = (0..4)
        .map(|_| hub.subscribe(&call(1), None).unwrap())
        .collect();
    for listener in &mut before {
        listener.read();
    }
    let published = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    hub.publish(&call(1), status()).unwrap();
                    published.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for listener in &mut before {
            let published = &published;
            scope.spawn(move || {
                let mut last = 0;
                loop {
                    let all = published.load(Ordering::SeqCst) == 400;
                    for event in listener.read() {
                        assert_eq!(event.offset, last + 1);
                        last = event.offset;
                    }
                    if all
                        && !listener
                            .topic
                            .lock_state()
                            .channel
                            .has_unread(&listener.cursor)
                    {
                        break;
                    }
                    std::thread::yield_now();
                }
                assert_eq!(last, 400);
            });
        }
    });
}
