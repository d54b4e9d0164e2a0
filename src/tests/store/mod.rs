//! The guarantees of the store, tested with every backend.

mod calls;
mod list;
mod migrations;
mod transcript;
mod users;

use std::time::Duration;

use tempfile::TempDir;

use crate::clock::UtcTime;
use crate::ids::{CallSid, RecordingSid, SegmentId, StreamSid, Track, UserId};
use crate::store::{
    CallEdit, CallFilter, CallRecord, LegUpdate, LogFilter, NewCall, Party, Recording,
    RecordingUpdate, StatusChange, Store, StoreError, TranscriptState,
};
use crate::transcript::{CallStatus, Direction, RecordingStatus, Segment, Speaker, Word};

/// Runs the scenario with an empty store of each backend.
async fn for_each_backend(scenario: impl AsyncFn(Store)) {
    let folder = TempDir::new().unwrap();
    for url in [
        "sqlite::memory:".to_owned(),
        format!("sqlite://{}", folder.path().join("calls.db").display()),
    ] {
        let store = Store::open(&url).await.unwrap();
        scenario(store.clone()).await;
        store.close().await;
    }
}

/// The tests' time, in seconds from its start.
fn at(seconds: u64) -> UtcTime {
    UtcTime::from_millis(1_795_341_600_000).plus(Duration::from_secs(seconds))
}

fn call(n: u32) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

fn new_call(n: u32) -> NewCall {
    NewCall {
        sid: call(n),
        direction: Direction::Outgoing,
        status: CallStatus::Queued,
        from: Party("client:ada".into()),
        to: Party(format!("+1415555{n:04}")),
        user_id: None,
        started_at: at(u64::from(n) * 100),
        transcript: TranscriptState::Waiting,
        announced: false,
    }
}

fn leg_update(leg: u32, parent: Option<u32>, status: CallStatus, sequence: u32) -> LegUpdate {
    LegUpdate {
        leg: call(leg),
        parent: parent.map(call),
        status,
        sequence: Some(sequence),
        at: Some(at(1_000 + u64::from(sequence))),
        duration_seconds: None,
        sip_code: None,
        parties: None,
        token: Some(format!("{leg}-{sequence}")),
    }
}

fn segment(number: u32, start_ms: u64, text: &str) -> Segment {
    let word = |(n, text): (usize, &str)| Word {
        text: text.to_owned(),
        start_ms: start_ms + 100 * n as u64,
        end_ms: start_ms + 100 * n as u64 + 90,
        confidence: 1.0 / (n as f32 + 3.0),
    };
    Segment {
        id: SegmentId::new(1, Track::Outbound, number),
        track: Track::Outbound,
        speaker: Speaker::Customer,
        start_ms,
        end_ms: start_ms + 1_000,
        text: text.to_owned(),
        words: text.split(' ').enumerate().map(word).collect(),
        language: "en".into(),
        latency_ms: 420,
        transcribed: true,
        echo: false,
    }
}

fn stream(n: u32) -> StreamSid {
    StreamSid::parse(&format!("MZ{n:032x}")).unwrap()
}

fn recording_sid(n: u32) -> RecordingSid {
    RecordingSid::parse(&format!("RE{n:032x}")).unwrap()
}

fn recording_update(n: u32, status: RecordingStatus) -> RecordingUpdate {
    let recording = Recording {
        sid: recording_sid(n),
        call_sid: call(n),
        status,
        channels: Some(2),
        duration_seconds: None,
        started_at: Some(at(1)),
    };
    RecordingUpdate {
        recording,
        token: None,
    }
}

async fn list_calls(
    store: &Store,
    filter: &CallFilter,
    user: Option<UserId>,
    limit: u32,
) -> Vec<u32> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .calls(filter, user, cursor.as_deref(), limit)
            .await
            .unwrap();
        assert!(page.calls.len() <= limit as usize);
        for hit in &page.calls {
            found.push(u32::from_str_radix(&hit.call.sid.as_str()[2..], 16).unwrap());
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

fn search_filter(text: &str) -> CallFilter {
    CallFilter {
        q: Some(text.to_owned()),
        ..CallFilter::default()
    }
}

async fn call_record(store: &Store, n: u32) -> CallRecord {
    store.call_record(&call(n)).await.unwrap().unwrap()
}

/// Applies a callback; returns the change of the call's status.
async fn apply_leg(store: &Store, update: LegUpdate) -> Option<StatusChange> {
    store.apply_leg_update(&update, at(5_000)).await.unwrap()
}

async fn add_segments(store: &Store, n: u32, segments: &[Segment]) {
    store.add_segments(&call(n), segments).await.unwrap();
}

async fn set_notes(store: &Store, n: u32, notes: &str) {
    let notes = Some(notes.to_owned());
    let edit = CallEdit {
        notes,
        ..CallEdit::default()
    };
    store.edit_call(&call(n), &edit).await.unwrap().unwrap();
}

/// Opens a stream of a call; returns its index.
async fn stream_number(store: &Store, n: u32, sid: u32) -> u32 {
    let opened = store.open_stream(&call(n), &stream(sid), at(1)).await;
    opened.unwrap().number
}

#[tokio::test]
async fn the_store_says_how_it_is() {
    for_each_backend(async |store| {
        store.ping().await.unwrap();
        let empty = store.size_bytes().await.unwrap();
        store.open_call(&new_call(1)).await.unwrap();
        let said: Vec<Segment> = (0..200)
            .map(|n| segment(n, 0, &"many words ".repeat(20)))
            .collect();
        store.add_segments(&call(1), &said).await.unwrap();
        assert!(store.size_bytes().await.unwrap() > empty + 100_000);
        store.close().await;
        assert!(matches!(
            store.ping().await,
            Err(StoreError::Unavailable(_))
        ));
    })
    .await;
}
