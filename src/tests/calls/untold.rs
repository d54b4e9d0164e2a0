//! What Twilio does not tell: it is asked, and the call ends here as it ended there.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Leg, OURS, Office, THEIRS};
use crate::app::Parts;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::desk::Pace;
use crate::ids::RecordingSid;
use crate::store::{NewCall, Party, Role, TranscriptState};
use crate::tests::phone::eventually;
use crate::tests::stories::call;
use crate::transcript::{CallStatus, Direction, RecordingStatus};

/// In no time.
fn impatient() -> Pace {
    Pace {
        after_sign: Duration::from_millis(1),
        ringing_slack: Duration::from_millis(1),
        quiet_max: Duration::from_millis(20),
        gap: Duration::from_millis(1),
    }
}

/// A server that asks at once.
async fn open() -> Office {
    open_with(|_| {}).await
}

async fn open_with(change: impl FnOnce(&mut Parts)) -> Office {
    Office::open_with(|parts| {
        parts.desk.pace = impatient();
        change(parts);
    })
    .await
}

/// Alice's first call, which the other end has answered as the second leg.
async fn answered(office: &Office) -> (String, String) {
    let (alice, twiml) = office.alice_calls().await;
    office.twilio.knows_leg(&call(2), &call(1), "in-progress");
    let child = Leg::child(2, 1, OURS, THEIRS);
    assert_eq!(office.moved(&child, "in-progress", &[]).await, 204);
    (alice, twiml)
}

/// Calls that go on, as far as the server counts them.
fn places(office: &Office) -> usize {
    office.house.server.state.desk.calls(clock::now())
}

#[tokio::test]
async fn a_call_whose_end_is_lost_is_over_after_its_stream_and_frees_its_place() {
    // Asked for no other reason than the end of the stream.
    let office = open_with(|parts| {
        parts.desk.pace = Pace {
            after_sign: Duration::from_millis(1),
            ..Pace::default()
        };
    })
    .await;
    let (alice, twiml) = answered(&office).await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.settle().await;
    office.twilio.end_call(&call(1));
    office.twilio.moves_call(&call(2), "completed");
    stream.stop().await;
    stream.closed().await;

    let over = office
        .becomes(1, &alice, "status", &json!("completed"))
        .await;
    assert_eq!(over["endedAt"], "2026-11-22T10:00:33.000Z");
    assert_eq!(over["durationSeconds"], 33);
    page.until(&call(1), |page| {
        page.status.is_some_and(CallStatus::is_over)
    })
    .await;
    assert_eq!(places(&office), 0);
}

#[tokio::test]
async fn a_call_that_is_on_stays_on_and_is_asked_about_again() {
    let office = open().await;
    let (alice, _) = answered(&office).await;
    eventually("two questions", async || {
        office.twilio.asked_about(&call(1)) >= 2
    })
    .await;
    assert_eq!(office.read(1, &alice).await["status"], "in-progress");
    assert_eq!(places(&office), 1);
    office.twilio.moves_call(&call(2), "completed");
    office.twilio.end_call(&call(1));
    office
        .becomes(1, &alice, "status", &json!("completed"))
        .await;
}

#[tokio::test]
async fn two_abandoned_calls_of_which_nothing_is_told_do_not_lock_their_user_out() {
    // The least that Twilio takes.
    let office = open_with(|parts| parts.desk.ring_seconds = 5).await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    for n in 1..=2 {
        office.dial(n, &identity, THEIRS).await;
        office.twilio.knows_call(&call(n));
        office
            .twilio
            .knows_leg(&call(n + 10), &call(n), "no-answer");
        office.twilio.moves_call(&call(n), "canceled");
    }
    for n in 1..=2 {
        let kept = office
            .becomes(n, &alice, "status", &json!("canceled"))
            .await;
        assert_eq!(kept["endCause"], "no_answer");
    }
    let twiml = office.dial(3, &identity, THEIRS).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
}

#[tokio::test]
async fn who_is_refused_for_calls_that_are_over_is_let_through_next_time() {
    // Nothing but the refusal gives a reason to ask.
    let office = Office::open_with(|parts| {
        parts.desk.pace = Pace {
            after_sign: Duration::from_millis(1),
            ..Pace::default()
        };
    })
    .await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    for n in 1..=2 {
        office.dial(n, &identity, THEIRS).await;
        office.twilio.knows_call(&call(n));
        office.twilio.end_call(&call(n));
    }
    let refused = office.dial(3, &identity, THEIRS).await;
    assert!(refused.contains("other calls"), "{refused}");
    eventually("free places", async || places(&office) == 0).await;
    let twiml = office.dial(4, &identity, THEIRS).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
}

#[tokio::test]
async fn a_call_that_twilio_does_not_know_is_over_unless_its_audio_arrives() {
    let office = open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    let twiml = office.dial(1, &identity, THEIRS).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.settle().await;
    office.twilio.forgets_call(&call(1));
    let child = Leg::child(2, 1, OURS, THEIRS);
    assert_eq!(office.moved(&child, "in-progress", &[]).await, 204);
    eventually("two questions", async || {
        office.twilio.asked_about(&call(1)) >= 2
    })
    .await;
    assert_eq!(office.read(1, &alice).await["status"], "in-progress");
    stream.stop().await;
    office
        .becomes(1, &alice, "status", &json!("completed"))
        .await;
}

#[tokio::test]
async fn a_twilio_that_cannot_be_asked_is_asked_again_and_time_ends_a_call_at_last() {
    let office = open_with(|parts| {
        parts.desk.source = TranscriptionSource::Off;
    })
    .await;
    let (alice, _) = answered(&office).await;
    office.twilio.moves_call(&call(2), "completed");
    office.twilio.end_call(&call(1));
    // Refused so often that the first question and its repetitions fail.
    for _ in 0..10 {
        office.twilio.fail_next(500);
    }
    office
        .becomes(1, &alice, "status", &json!("completed"))
        .await;

    // Nobody to ask, and a call that is older than any can be.
    let lonely = open_with(|parts| parts.rest = None).await;
    let (alice, _) = lonely.alice_calls().await;
    let admin = lonely.house.session("carol", Role::Admin).await;
    let old = NewCall {
        sid: call(2),
        direction: Direction::Outgoing,
        status: CallStatus::InProgress,
        from: Party::default(),
        to: Party::default(),
        user_id: None,
        started_at: clock::utc_now().minus(Duration::from_hours(5)),
        transcript: TranscriptState::Off,
        announced: false,
    };
    lonely.house.store.open_call(&old).await.unwrap();
    let over = lonely
        .becomes(2, &admin, "status", &json!("completed"))
        .await;
    assert_eq!(over["endCause"], "end_unknown");
    let events = over["events"].to_string();
    assert!(events.contains("end_unknown"), "{events}");
    assert_eq!(lonely.read(1, &alice).await["status"], "ringing");
}

#[tokio::test]
async fn a_recording_whose_end_is_lost_is_asked_for_when_its_call_is_over() {
    let office = open().await;
    let (alice, _) = answered(&office).await;
    let mut page = office.listen(1, &alice).await;
    let started = office.command(1, "recording/start", &alice).await;
    assert_eq!(started.status, 200, "{}", started.body);
    let sid = started.json()["sid"].as_str().unwrap().to_owned();
    let sid = RecordingSid::parse(&sid).unwrap();
    office.twilio.end_call(&call(1));
    office.dial_ended(1, Some(2), "completed").await;
    // It does not run any more, whatever becomes of it.
    office
        .becomes(1, &alice, "recording", &json!("stopped"))
        .await;
    office.twilio.finish_recording(&sid, b"RIFF");
    let lost = office.twilio.take_callbacks();
    assert!(!lost.is_empty());
    office
        .becomes(1, &alice, "recording", &json!("completed"))
        .await;
    page.until(&call(1), |page| {
        page.recording == Some(RecordingStatus::Completed)
    })
    .await;
    let kept = office.read(1, &alice).await;
    assert_eq!(kept["recordings"][0]["durationSeconds"], json!(4));
}

#[tokio::test]
async fn a_refused_call_is_over_though_nobody_tells() {
    let office = open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    let twiml = office.dial(1, &identity, "911").await;
    assert!(twiml.contains("<Hangup"), "{twiml}");
    office.twilio.knows_call(&call(1));
    office.twilio.end_call(&call(1));
    office
        .becomes(1, &alice, "status", &json!("completed"))
        .await;
    let list = office.page("GET", "/api/calls", &alice, &Value::Null).await;
    assert_eq!(list.json()["calls"][0]["endCause"], "emergency_number");
}
