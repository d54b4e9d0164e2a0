//! Twilio recordings, hanging up, and deletion: the result of a user's request is Twilio's response.

use serde_json::{Value, json};

use super::{CallbackLeg, OURS, THEIRS, TestAccount};
use crate::clock;
use crate::ids::RecordingSid;
use crate::store::Role;
use crate::tests::HttpResponse;
use crate::tests::request;
use crate::tests::scenarios::call;
use crate::tests::sign_in::assert_refused;
use crate::tests::twilio_api::ApiFault;
use crate::transcript::RecordingStatus;

/// Returns the response to a command: the recording's status and its SID.
#[track_caller]
fn recording(answer: &HttpResponse) -> (String, RecordingSid) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    let sid = RecordingSid::parse(json["sid"].as_str().unwrap()).unwrap();
    (json["status"].as_str().unwrap().to_owned(), sid)
}

#[tokio::test]
async fn a_recording_is_started_held_and_ended_and_asking_twice_is_asking_once() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    let asked = async |command: &str| {
        let answer = account
            .command(1, &format!("recording/{command}"), &alice)
            .await;
        recording(&answer).0
    };
    let refused = account.command(1, "recording/stop", &alice).await;
    assert_refused(&refused, 409, "not_recording");
    for (command, status, changes) in [
        ("start", "in-progress", 1),
        ("start", "in-progress", 1),
        ("resume", "in-progress", 1),
        ("pause", "paused", 2),
        ("pause", "paused", 2),
        ("resume", "in-progress", 3),
        ("pause", "paused", 4),
        ("start", "in-progress", 5),
        ("stop", "stopped", 6),
        ("stop", "stopped", 6),
    ] {
        assert_eq!(asked(command).await, status, "{command}");
        assert_eq!(account.twilio.changes().len(), changes, "{command}");
        let kept = account.read(1, &alice).await;
        assert_eq!(kept["recording"], status, "{command}");
    }
    let refused = account.command(1, "recording/pause", &alice).await;
    assert_refused(&refused, 409, "not_recording");
    let page = browser
        .until(&call(1), |page| {
            page.recording == Some(RecordingStatus::Stopped)
        })
        .await;
    assert_eq!(page.recording, Some(RecordingStatus::Stopped));
    let kept = account.read(1, &alice).await;
    let events = kept["events"].as_array().unwrap().iter();
    let kinds: Vec<&str> = events
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "recording_started",
            "recording_paused",
            "recording_resumed",
            "recording_paused",
            "recording_started",
            "recording_stopped"
        ]
    );
    assert!(kept["events"][0]["userId"].is_number(), "{kept}");
}

#[tokio::test]
async fn a_late_callback_does_not_undo_a_hold_and_the_last_one_makes_it_playable() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let bob = account.app.session("bob", Role::User).await;
    let addr = account.app.server.addr;
    let mut browser = account.listen(1, &alice).await;
    let (_, sid) = recording(&account.command(1, "recording/start", &alice).await);
    recording(&account.command(1, "recording/pause", &alice).await);
    // "in-progress" arrives only now.
    assert_eq!(account.twilio.deliver_all(addr).await, [204]);
    assert_eq!(account.read(1, &alice).await["recording"], "paused");
    recording(&account.command(1, "recording/stop", &alice).await);
    let path = format!("/api/recordings/{}/media", sid.as_str());
    let early = account.page("GET", &path, &alice, &Value::Null).await;
    assert_refused(&early, 502, "twilio_gone");

    account.twilio.finish_recording(&sid, b"RIFF0123456789");
    let [completed] = &account.twilio.take_callbacks()[..] else {
        panic!("one callback")
    };
    for _ in 0..2 {
        assert_eq!(account.twilio.deliver(addr, completed).await.status, 204);
    }
    browser
        .until(&call(1), |page| {
            page.recording == Some(RecordingStatus::Completed)
        })
        .await;
    let kept = account.read(1, &alice).await;
    assert_eq!(
        (
            &kept["recording"],
            &kept["recordings"][0]["durationSeconds"]
        ),
        (&json!("completed"), &json!(4))
    );
    let list = account
        .page("GET", "/api/calls?recorded=true", &alice, &Value::Null)
        .await
        .json();
    assert_eq!(list["calls"].as_array().unwrap().len(), 1);

    let whole = account.page("GET", &path, &alice, &Value::Null).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, "RIFF0123456789"));
    assert_eq!(whole.header("content-type"), Some("audio/x-wav"));
    assert!(whole.header("cache-control").unwrap().contains("no-store"));
    for (range, status, part) in [
        ("bytes=4-7", 206, "0123"),
        ("bytes=10-", 206, "6789"),
        ("bytes=99-", 416, ""),
    ] {
        let headers = format!("Cookie: {alice}\r\nRange: {range}\r\n");
        let answer = request(addr, "GET", &path, &headers, "").await;
        assert_eq!(answer.status, status, "{range}");
        if status == 206 {
            assert_eq!(answer.body, part);
            assert!(answer.header("content-range").unwrap().ends_with("/14"));
        }
    }
    let hidden = account.page("GET", &path, &bob, &Value::Null).await;
    assert_refused(&hidden, 404, "no_such_recording");
    let unknown = format!("/api/recordings/RE{:032}/media", 9);
    let hidden = account.page("GET", &unknown, &alice, &Value::Null).await;
    assert_refused(&hidden, 404, "no_such_recording");
}

#[tokio::test]
async fn what_twilio_refuses_is_said_and_nothing_is_kept_of_it() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    account.twilio.fail_next(401);
    let refused = account.command(1, "recording/start", &alice).await;
    assert_refused(&refused, 502, "twilio_denied");
    assert_eq!(account.read(1, &alice).await["recording"], Value::Null);
    // The response to a start is lost, so the recording is looked up, and found.
    account.twilio.inject_fault_next(ApiFault::Lose);
    assert_eq!(
        recording(&account.command(1, "recording/start", &alice).await).0,
        "in-progress"
    );
    assert_eq!(account.twilio.recording_states(&call(1)), ["in-progress"]);

    account.twilio.end_call(&call(1));
    for command in ["recording/pause", "recording/stop"] {
        let refused = account.command(1, command, &alice).await;
        assert_refused(&refused, 409, "call_over");
    }
    let unknown = account.command(9, "recording/start", &alice).await;
    assert_refused(&unknown, 404, "no_such_call");

    let bare = TestAccount::open_with(|server_config| server_config.twilio = None).await;
    let (alice, _) = bare.alice_calls().await;
    for command in ["recording/start", "hangup"] {
        let refused = bare.command(1, command, &alice).await;
        assert_refused(&refused, 503, "twilio_not_set_up");
    }
}

#[tokio::test]
async fn a_call_is_ended_by_its_user_alone_and_once() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let bob = account.app.session("bob", Role::User).await;
    assert_refused(
        &account.command(1, "hangup", &bob).await,
        404,
        "no_such_call",
    );
    assert_eq!(account.twilio.call_status(&call(1)), Some("in-progress"));
    // By the SID of a leg.
    let child = CallbackLeg::child(2, 1, THEIRS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    assert_eq!(account.command(2, "hangup", &alice).await.status, 204);
    assert_eq!(account.twilio.call_status(&call(1)), Some("completed"));
    assert_eq!(account.command(1, "hangup", &alice).await.status, 204);
    account.post_dial_ended(1, Some(2), "completed").await;
    let changes = account.twilio.changes().len();
    assert_eq!(account.command(1, "hangup", &alice).await.status, 204);
    assert_eq!(
        account.twilio.changes().len(),
        changes,
        "Twilio was asked for a call that is over"
    );
}

#[tokio::test]
async fn a_call_whose_end_was_never_told_is_over_when_twilio_says_so() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    account.twilio.end_call(&call(1));
    assert_eq!(account.command(1, "hangup", &alice).await.status, 204);
    assert_eq!(account.read(1, &alice).await["status"], "completed");
}

#[tokio::test]
async fn a_call_is_deleted_at_twilio_first_and_then_for_good() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let path = format!("/api/calls/{}", call(1).as_str());
    let delete = async || account.page("DELETE", &path, &alice, &Value::Null).await;
    let (_, sid) = recording(&account.command(1, "recording/start", &alice).await);
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    assert_refused(&delete().await, 409, "call_in_progress");
    stream.stop().await;
    recording(&account.command(1, "recording/stop", &alice).await);
    account.post_dial_ended(1, Some(2), "completed").await;
    account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    // Twilio does not delete a recording that is not completed.
    assert_refused(&delete().await, 502, "twilio_refused");
    assert_eq!(account.read(1, &alice).await["status"], "completed");

    account.twilio.finish_recording(&sid, b"RIFF");
    let callbacks = account.twilio.take_callbacks();
    assert_eq!(delete().await.status, 204);
    assert!(account.twilio.recording_states(&call(1)).is_empty());
    assert_refused(&delete().await, 404, "no_such_call");
    // Late callbacks do not restore it.
    for callback in &callbacks {
        let answer = account
            .twilio
            .deliver(account.app.server.addr, callback)
            .await;
        assert_eq!(answer.status, 204);
    }
    let leg = CallbackLeg::parent(1, "client:alice", "");
    assert_eq!(account.post_call_status(&leg, "completed", &[]).await, 204);
    assert!(!account.app.server.hub.has_events(&call(1)), "it lingers");
    assert_refused(
        &account.page("GET", &path, &alice, &Value::Null).await,
        404,
        "no_such_call",
    );
}

#[tokio::test]
async fn a_call_that_rings_is_recorded_once_it_is_answered() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    account.twilio.set_call_status(&call(1), "ringing");
    let refused = account.command(1, "recording/start", &alice).await;
    assert_refused(&refused, 409, "call_not_answered");
    assert_eq!(account.read(1, &alice).await["status"], "ringing");
    account.twilio.set_call_status(&call(1), "in-progress");
    let started = account.command(1, "recording/start", &alice).await;
    assert_eq!(recording(&started).0, "in-progress");
    // The end of the call was not reported: Twilio's refusal causes a request for its status.
    account.twilio.end_call(&call(1));
    let refused = account.command(1, "recording/stop", &alice).await;
    assert_refused(&refused, 409, "call_over");
    let kept = account.read(1, &alice).await;
    assert_eq!(
        (&kept["status"], &kept["recording"]),
        (&json!("completed"), &json!("stopped"))
    );
}

#[tokio::test]
async fn a_call_that_goes_on_is_not_deleted_and_its_end_frees_its_place_even_if_it_is_gone() {
    let account = TestAccount::open_with(|server_config| {
        server_config.calls.limits.concurrent_per_user_max = 1;
    })
    .await;
    let (alice, _) = account.alice_calls().await;
    let identity = account.identity(&alice).await;
    let path = format!("/api/calls/{}", call(1).as_str());
    let delete = account.page("DELETE", &path, &alice, &Value::Null).await;
    assert_refused(&delete, 409, "call_in_progress");
    assert_eq!(account.read(1, &alice).await["userId"], 1);
    // Like the command line, in its own process.
    let now = clock::utc_now();
    account.app.store.delete_call(&call(1), now).await.unwrap();
    let busy = account.dial(2, &identity, THEIRS).await;
    assert!(!busy.contains("<Dial"), "{busy}");
    let parent = CallbackLeg::parent(1, &format!("client:{identity}"), "");
    assert_eq!(
        account.post_call_status(&parent, "completed", &[]).await,
        204
    );
    let free = account.dial(3, &identity, THEIRS).await;
    assert!(free.contains("<Dial"), "{free}");
}

#[tokio::test]
async fn of_many_who_delete_a_call_at_once_one_does_it() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let (_, sid) = recording(&account.command(1, "recording/start", &alice).await);
    recording(&account.command(1, "recording/stop", &alice).await);
    account.post_dial_ended(1, Some(2), "completed").await;
    account.twilio.finish_recording(&sid, b"RIFF");
    let path = format!("/api/calls/{}", call(1).as_str());
    let deletions = (0..8).map(|_| account.page("DELETE", &path, &alice, &Value::Null));
    let answers = futures_util::future::join_all(deletions).await;
    let of = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((of(204), of(204) + of(404) + of(409)), (1, 8));
    let deletes = account.twilio.changes().into_iter();
    assert_eq!(
        deletes
            .filter(|change| change.starts_with("DELETE"))
            .count(),
        1
    );
    let log = account.app.store.server_log(100).await.unwrap();
    assert_eq!(
        log.iter()
            .filter(|entry| entry.kind == "call_deleted")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_recording_that_is_gone_or_was_stopped_elsewhere_does_not_run_here() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let (_, first) = recording(&account.command(1, "recording/start", &alice).await);
    account.twilio.remove_recording(&first);
    let stopped = account.command(1, "recording/stop", &alice).await;
    assert_eq!(recording(&stopped), ("absent".to_owned(), first));
    assert_eq!(account.read(1, &alice).await["recording"], "absent");
    // The next recording is a new one.
    let (status, second) = recording(&account.command(1, "recording/start", &alice).await);
    assert_eq!(status, "in-progress");
    assert_eq!(account.twilio.recording_states(&call(1)), ["in-progress"]);
    account.twilio.stop_recording_unseen(&second);
    let paused = account.command(1, "recording/pause", &alice).await;
    assert_refused(&paused, 409, "not_recording");
    let kept = account.read(1, &alice).await;
    assert_eq!(kept["recordings"][1]["status"], "stopped");
    assert_eq!(kept["status"], "in-progress", "the call itself goes on");
}

#[tokio::test]
async fn an_erased_call_leaves_twilios_call_log_too() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    account.post_call_status(&child, "completed", &[]).await;
    account.post_dial_ended(1, Some(2), "completed").await;
    let calls = &account.app.server.state.calls;
    // The call is still in progress at Twilio, which does not delete it, so it stays here as well and the
    // deletion is retried.
    assert!(calls.erase_call(&call(1)).await.is_err());
    assert_eq!(account.read(1, &alice).await["status"], "completed");
    account.twilio.end_call(&call(1));
    calls.erase_call(&call(1)).await.unwrap();
    let deleted = |n| format!("DELETE /Calls/{}.json", call(n).as_str());
    let changes = account.twilio.changes();
    for n in [1, 2] {
        assert!(changes.contains(&deleted(n)), "{changes:?}");
    }
    let store = &account.app.store;
    assert_eq!(store.call_record(&call(1)).await.unwrap(), None);
}
