//! Reconciliation: the server requests the status of calls for which Twilio sends no callback, and ends them
//! as Twilio did.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CallbackLeg, OURS, THEIRS, TestAccount};
use crate::app::ServerConfig;
use crate::calls::ReconcileIntervals;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::ids::RecordingSid;
use crate::store::{NewCall, Party, Role, TranscriptState};
use crate::tests::phone::eventually;
use crate::tests::scenarios::call;
use crate::transcript::{CallStatus, Direction, RecordingStatus};

/// Returns very short intervals.
fn impatient() -> ReconcileIntervals {
    ReconcileIntervals {
        after_end_hint: Duration::from_millis(1),
        ringing_slack: Duration::from_millis(1),
        silence_max: Duration::from_millis(20),
        request_gap: Duration::from_millis(1),
    }
}

/// A server that requests the status at once.
async fn open() -> TestAccount {
    open_with(|_| {}).await
}

async fn open_with(change: impl FnOnce(&mut ServerConfig)) -> TestAccount {
    TestAccount::open_with(|server_config| {
        server_config.calls.reconcile_intervals = impatient();
        change(server_config);
    })
    .await
}

/// Places Alice's first call, which the other end has answered as the second leg.
async fn answered(account: &TestAccount) -> (String, String) {
    let (alice, twiml) = account.alice_calls().await;
    account
        .twilio
        .add_child_leg(&call(2), &call(1), "in-progress");
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    (alice, twiml)
}

/// Returns the number of calls in progress by the server's count.
fn places(account: &TestAccount) -> usize {
    account
        .app
        .server
        .state
        .calls
        .active_call_count(clock::now())
}

#[tokio::test]
async fn a_call_whose_end_is_lost_is_over_after_its_stream_and_frees_its_place() {
    // The end of the stream is the only reason for a request.
    let account = open_with(|server_config| {
        server_config.calls.reconcile_intervals = ReconcileIntervals {
            after_end_hint: Duration::from_millis(1),
            ..ReconcileIntervals::default()
        };
    })
    .await;
    let (alice, twiml) = answered(&account).await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    account.twilio.end_call(&call(1));
    account.twilio.set_call_status(&call(2), "completed");
    stream.stop().await;
    stream.closed().await;

    let over = account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;
    assert_eq!(over["endedAt"], "2026-11-22T10:00:33.000Z");
    assert_eq!(over["durationSeconds"], 33);
    page.until(&call(1), |page| {
        page.status.is_some_and(CallStatus::is_over)
    })
    .await;
    assert_eq!(places(&account), 0);
}

#[tokio::test]
async fn a_call_that_is_on_stays_on_and_is_asked_about_again() {
    let account = open().await;
    let (alice, _) = answered(&account).await;
    eventually("two questions", async || {
        account.twilio.lookup_count(&call(1)) >= 2
    })
    .await;
    assert_eq!(account.read(1, &alice).await["status"], "in-progress");
    assert_eq!(places(&account), 1);
    account.twilio.set_call_status(&call(2), "completed");
    account.twilio.end_call(&call(1));
    account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;
}

#[tokio::test]
async fn two_abandoned_calls_of_which_nothing_is_told_do_not_lock_their_user_out() {
    // The smallest value that Twilio accepts.
    let account = open_with(|server_config| server_config.calls.ring_seconds_max = 5).await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    for n in 1..=2 {
        account.dial(n, &identity, THEIRS).await;
        account.twilio.add_call(&call(n));
        account
            .twilio
            .add_child_leg(&call(n + 10), &call(n), "no-answer");
        account.twilio.set_call_status(&call(n), "canceled");
    }
    for n in 1..=2 {
        let kept = account
            .wait_for_field(n, &alice, "status", &json!("canceled"))
            .await;
        assert_eq!(kept["endCause"], "no_answer");
    }
    let twiml = account.dial(3, &identity, THEIRS).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
}

#[tokio::test]
async fn who_is_refused_for_calls_that_are_over_is_let_through_next_time() {
    // The refusal is the only reason for a request.
    let account = TestAccount::open_with(|server_config| {
        server_config.calls.reconcile_intervals = ReconcileIntervals {
            after_end_hint: Duration::from_millis(1),
            ..ReconcileIntervals::default()
        };
    })
    .await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    for n in 1..=2 {
        account.dial(n, &identity, THEIRS).await;
        account.twilio.add_call(&call(n));
        account.twilio.end_call(&call(n));
    }
    let refused = account.dial(3, &identity, THEIRS).await;
    assert!(refused.contains("other calls"), "{refused}");
    eventually("free places", async || places(&account) == 0).await;
    let twiml = account.dial(4, &identity, THEIRS).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
}

#[tokio::test]
async fn a_call_that_twilio_does_not_know_is_over_unless_its_audio_arrives() {
    let account = open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let twiml = account.dial(1, &identity, THEIRS).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    account.twilio.remove_call(&call(1));
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    eventually("two questions", async || {
        account.twilio.lookup_count(&call(1)) >= 2
    })
    .await;
    assert_eq!(account.read(1, &alice).await["status"], "in-progress");
    stream.stop().await;
    account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;
}

#[tokio::test]
async fn a_twilio_that_cannot_be_asked_is_asked_again_and_time_ends_a_call_at_last() {
    let account = open_with(|server_config| {
        server_config.calls.transcription_source = TranscriptionSource::Off;
    })
    .await;
    let (alice, _) = answered(&account).await;
    account.twilio.set_call_status(&call(2), "completed");
    account.twilio.end_call(&call(1));
    // Refused so often that the first request and its retries fail.
    for _ in 0..10 {
        account.twilio.fail_next(500);
    }
    account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;

    // No account to ask, and a call that is older than any can be.
    let lonely = open_with(|server_config| server_config.twilio = None).await;
    let (alice, _) = lonely.alice_calls().await;
    let admin = lonely.app.session("carol", Role::Admin).await;
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
    lonely.app.store.open_call(&old).await.unwrap();
    let over = lonely
        .wait_for_field(2, &admin, "status", &json!("completed"))
        .await;
    assert_eq!(over["endCause"], "end_unknown");
    let events = over["events"].to_string();
    assert!(events.contains("end_unknown"), "{events}");
    assert_eq!(lonely.read(1, &alice).await["status"], "ringing");
}

#[tokio::test]
async fn a_recording_whose_end_is_lost_is_asked_for_when_its_call_is_over() {
    let account = open().await;
    let (alice, _) = answered(&account).await;
    let mut page = account.listen(1, &alice).await;
    let started = account.command(1, "recording/start", &alice).await;
    assert_eq!(started.status, 200, "{}", started.body);
    let sid = started.json()["sid"].as_str().unwrap().to_owned();
    let sid = RecordingSid::parse(&sid).unwrap();
    account.twilio.end_call(&call(1));
    account.post_dial_ended(1, Some(2), "completed").await;
    // The recording is no longer running, whatever its outcome.
    account
        .wait_for_field(1, &alice, "recording", &json!("stopped"))
        .await;
    account.twilio.finish_recording(&sid, b"RIFF");
    let lost = account.twilio.take_callbacks();
    assert!(!lost.is_empty());
    account
        .wait_for_field(1, &alice, "recording", &json!("completed"))
        .await;
    page.until(&call(1), |page| {
        page.recording == Some(RecordingStatus::Completed)
    })
    .await;
    let kept = account.read(1, &alice).await;
    assert_eq!(kept["recordings"][0]["durationSeconds"], json!(4));
}

#[tokio::test]
async fn a_refused_call_is_over_though_nobody_tells() {
    let account = open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let twiml = account.dial(1, &identity, "911").await;
    assert!(twiml.contains("<Hangup"), "{twiml}");
    account.twilio.add_call(&call(1));
    account.twilio.end_call(&call(1));
    account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;
    let list = account
        .page("GET", "/api/calls", &alice, &Value::Null)
        .await;
    assert_eq!(list.json()["calls"][0]["endCause"], "emergency_number");
}
