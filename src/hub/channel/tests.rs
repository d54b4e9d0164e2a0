//! Tests of `hub/channel.rs`.

use super::*;
use crate::ids::Track;
use crate::transcript::Speaker;

fn channel() -> CallChannel {
    CallChannel::new(CallSid::parse(&format!("CA{:032x}", 1)).unwrap(), 1)
}

fn partial(n: u32, revision: u32, stable: &str, unstable: &str) -> Event {
    Event::Partial {
        partial: Partial {
            segment_id: SegmentId::new(1, Track::Inbound, n),
            revision,
            track: Track::Inbound,
            speaker: Speaker::Agent,
            start_ms: u64::from(n) * 1_000,
            stable: stable.to_owned(),
            unstable: unstable.to_owned(),
            echo: false,
        },
    }
}

fn segment(n: u32) -> Event {
    Event::Segment {
        segment: Segment {
            id: SegmentId::new(1, Track::Inbound, n),
            track: Track::Inbound,
            speaker: Speaker::Agent,
            start_ms: u64::from(n) * 1_000,
            end_ms: u64::from(n) * 1_000 + 500,
            text: format!("number {n}"),
            words: Vec::new(),
            language: "en".to_owned(),
            latency_ms: 500,
            transcribed: true,
            echo: false,
        },
    }
}

fn engine(lag_ms: u64) -> Event {
    Event::Engine {
        health: EngineHealth::Behind,
        lag_ms,
        partials_missed: 0,
    }
}

fn kinds(events: &[Arc<CallEvent>]) -> Vec<(u64, &'static str)> {
    let kind = |event: &Event| match event {
        Event::Snapshot { .. } => "snapshot",
        Event::Partial { .. } => "partial",
        Event::Segment { .. } => "segment",
        Event::Call { .. } => "call",
        Event::Recording { .. } => "recording",
        Event::Engine {
            partials_missed: 0, ..
        } => "engine",
        Event::Engine { .. } => "notice",
        Event::Language { .. } => "language",
        Event::Ended { .. } => "ended",
    };
    events
        .iter()
        .map(|event| (event.offset, kind(&event.event)))
        .collect()
}

#[test]
fn a_partial_is_refused_unless_it_adds_to_the_current_one() {
    let mut channel = channel();
    assert_eq!(channel.append(partial(1, 2, "a", "b")), Ok(1));
    assert_eq!(
        channel.append(partial(1, 2, "a", "c")),
        Err(PublishError::StaleRevision)
    );
    assert_eq!(
        channel.append(partial(1, 1, "a", "c")),
        Err(PublishError::StaleRevision)
    );
    assert_eq!(
        channel.append(partial(1, 3, "a", "b")),
        Err(PublishError::UnchangedText)
    );
    assert_eq!(
        channel.append(partial(1, 3, "", "a b")),
        Err(PublishError::StableShrank)
    );
    assert_eq!(
        channel.append(partial(1, 3, "x b", "")),
        Err(PublishError::StableShrank)
    );
    assert_eq!(channel.append(partial(1, 3, "a b", "")), Ok(2));
    assert_eq!(channel.append(partial(2, 1, "", "z")), Ok(3));
}

#[test]
fn nothing_of_a_segment_follows_its_final() {
    let mut channel = channel();
    channel.append(partial(1, 1, "", "numb")).unwrap();
    channel.append(segment(1)).unwrap();
    assert_eq!(
        channel.append(partial(1, 2, "", "number")),
        Err(PublishError::AlreadyFinal)
    );
    assert_eq!(channel.append(segment(1)), Err(PublishError::AlreadyFinal));
    assert_eq!(
        kinds(&channel.events_since(0, 9).unwrap()),
        [(2, "segment")]
    );
}

#[test]
fn what_a_channel_makes_itself_cannot_be_published() {
    let mut channel = channel();
    let snapshot = channel.snapshot().event;
    assert_eq!(channel.append(snapshot), Err(PublishError::NotPublishable));
    let notice = Event::Engine {
        health: EngineHealth::Ok,
        lag_ms: 0,
        partials_missed: 1,
    };
    assert_eq!(channel.append(notice), Err(PublishError::NotPublishable));
}

#[test]
fn after_the_end_only_the_call_and_its_recording_move() {
    let mut channel = channel();
    channel.append(partial(1, 1, "", "a")).unwrap();
    channel
        .append(Event::Ended {
            reason: EndReason::Dropped,
        })
        .unwrap();
    for event in [
        segment(1),
        partial(1, 2, "", "b"),
        engine(1),
        Event::Ended {
            reason: EndReason::Idle,
        },
    ] {
        assert_eq!(channel.append(event), Err(PublishError::Ended));
    }
    let status = CallStatus::Completed;
    assert_eq!(
        channel.append(Event::Call {
            status,
            stream_sid: None
        }),
        Ok(3)
    );
    let status = RecordingStatus::Completed;
    assert_eq!(channel.append(Event::Recording { status }), Ok(4));
    let events = channel.events_since(0, 9).unwrap();
    assert_eq!(
        kinds(&events),
        [(2, "ended"), (3, "call"), (4, "recording")]
    );
}

#[test]
fn of_engine_states_only_the_latest_is_kept() {
    let mut channel = channel();
    for lag_ms in 0..1_000 {
        channel.append(engine(lag_ms)).unwrap();
    }
    assert_eq!(
        kinds(&channel.events_since(0, 9).unwrap()),
        [(1_000, "engine")]
    );
}

#[test]
fn beyond_its_bound_the_log_forgets_the_oldest_and_old_cursors_get_a_snapshot() {
    let mut channel = CallChannel {
        events_max: 3,
        ..channel()
    };
    for n in 1..=5 {
        channel.append(segment(n)).unwrap();
    }
    assert_eq!(channel.events_since(1, 9), None);
    assert_eq!(
        kinds(&channel.events_since(2, 9).unwrap()),
        [(3, "segment"), (4, "segment"), (5, "segment")]
    );
    let mut cursor = ListenerCursor::resume(ResumePoint {
        offset: 1,
        epoch: Some(1),
    });
    assert_eq!(kinds(&channel.read(&mut cursor, 9)), [(5, "snapshot")]);
    assert_eq!(channel.segments().count(), 3);
    assert_eq!(channel.final_segments.len(), 3);
}

#[test]
fn too_many_open_segments_cost_partials_and_no_finals() {
    let mut channel = channel();
    let open_max = limits::CHANNEL_PARTIALS_MAX as u32;
    for n in 1..=open_max {
        channel.append(partial(n, 1, "", "a")).unwrap();
    }
    assert_eq!(
        channel.append(partial(open_max + 1, 1, "", "a")),
        Err(PublishError::TooManyPartials)
    );
    assert!(channel.append(partial(open_max, 2, "", "b")).is_ok());
    assert!(channel.append(segment(open_max + 1)).is_ok());
    assert!(channel.append(segment(1)).is_ok());
    assert!(channel.append(partial(open_max + 2, 1, "", "a")).is_ok());
}

#[test]
fn a_read_is_bounded_and_the_next_one_goes_on() {
    let mut channel = channel();
    let mut cursor = ListenerCursor::default();
    channel.read(&mut cursor, 2);
    channel.append(partial(9, 1, "", "open")).unwrap();
    for n in 1..=4 {
        channel.append(segment(n)).unwrap();
    }
    assert_eq!(
        kinds(&channel.read(&mut cursor, 2)),
        [(1, "partial"), (2, "segment")]
    );
    assert_eq!(
        kinds(&channel.read(&mut cursor, 2)),
        [(3, "segment"), (4, "segment")]
    );
    assert_eq!(kinds(&channel.read(&mut cursor, 2)), [(5, "segment")]);
    assert_eq!(kinds(&channel.read(&mut cursor, 2)), []);
}

#[test]
fn only_a_listener_that_really_lags_is_told_and_of_the_right_number() {
    let mut channel = channel();
    let [mut swift, mut slow] = [ListenerCursor::default(), ListenerCursor::default()];
    channel.read(&mut swift, 9);
    channel.read(&mut slow, 9);
    let mut revision = 0;
    let mut speak = |channel: &mut CallChannel| {
        revision += 1;
        channel
            .append(partial(1, revision, "", &format!("word {revision}")))
            .unwrap()
    };
    for _ in 0..=PARTIALS_MISSED_UNREPORTED_MAX {
        let at = speak(&mut channel);
        assert_eq!(kinds(&channel.read(&mut swift, 9)), [(at, "partial")]);
    }
    // One partial was read, so the bound is just not exceeded.
    let at = channel.head();
    assert_eq!(kinds(&channel.read(&mut slow, 9)), [(at, "partial")]);

    let before = at;
    for _ in 0..PARTIALS_MISSED_UNREPORTED_MAX + 2 {
        speak(&mut channel);
    }
    let at = channel.head();
    let events = channel.read(&mut slow, 9);
    assert_eq!(kinds(&events), [(before, "notice"), (at, "partial")]);
    let expected = PARTIALS_MISSED_UNREPORTED_MAX + 1;
    assert!(
        matches!(events[0].event, Event::Engine { partials_missed, .. } if partials_missed == expected)
    );
    // The notice is not repeated.
    assert_eq!(kinds(&channel.read(&mut slow, 9)), []);
    let at = speak(&mut channel);
    assert_eq!(kinds(&channel.read(&mut slow, 9)), [(at, "partial")]);
}

#[test]
fn one_that_comes_back_is_not_called_slow() {
    let mut channel = channel();
    channel.append(segment(1)).unwrap();
    for revision in 1..100 {
        channel
            .append(partial(2, revision, "", &format!("{revision}")))
            .unwrap();
    }
    let mut cursor = ListenerCursor::resume(ResumePoint {
        offset: 1,
        epoch: Some(1),
    });
    assert_eq!(kinds(&channel.read(&mut cursor, 9)), [(100, "partial")]);
}
