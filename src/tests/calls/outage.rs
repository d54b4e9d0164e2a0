//! Another process locks the database: calls continue, and no data is lost.

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

use super::{CallbackLeg, OURS, THEIRS, TestAccount, texts};
use crate::clock;
use crate::ids::Track;
use crate::store::Role;
use crate::tests::phone::{eventually, speech};
use crate::tests::scenarios::{call, doubt, id, segment};
use crate::transcript::{Direction, EndReason, Event};

/// Another process with a write lock; until it is dropped, the server cannot write.
struct DatabaseLock(SqliteConnection);

impl DatabaseLock {
    async fn hold(account: &TestAccount) -> Self {
        let file = account.app.folder.path().join("house.db");
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        connection.execute("BEGIN IMMEDIATE").await.unwrap();
        Self(connection)
    }

    async fn let_go(mut self) {
        self.0.execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn while_the_database_is_held_calls_go_through_and_are_made_up_for_afterwards() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let database_lock = DatabaseLock::hold(&account).await;
    let twiml = account.dial(1, &identity, THEIRS).await;
    assert!(
        twiml.contains("<Dial") && twiml.contains("<Stream"),
        "{twiml}"
    );
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    let form = |status| {
        account.post_call_status(
            &child,
            status,
            &[
                ("SequenceNumber", "2"),
                ("Timestamp", "Sun, 22 Nov 2026 10:00:09 +0000"),
            ],
        )
    };
    assert_eq!(form("in-progress").await, 503);

    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Outbound, &speech()).await;
    stream.stop().await;
    stream.closed().await;
    database_lock.let_go().await;

    assert_eq!(form("in-progress").await, 204);
    account.wait_for_call(1, &alice).await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(kept["segments"][0]["speaker"], "customer");
    assert_eq!(
        (&kept["status"], &kept["direction"]),
        (&json!("in-progress"), &json!("outgoing"))
    );
    assert_eq!(kept["answeredAt"], "2026-11-22T10:00:09.000Z");
}

#[tokio::test]
async fn who_speaks_is_known_without_the_database() {
    let account = TestAccount::open().await;
    let admin = account.app.session("carol", Role::Admin).await;
    account.online(&admin).await;
    let database_lock = DatabaseLock::hold(&account).await;
    let twiml = account.ring(1).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    stream.closed().await;
    database_lock.let_go().await;
    account.wait_for_call(1, &admin).await;
    let kept = account
        .wait_for_field(1, &admin, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(
        (&kept["direction"], &kept["segments"][0]["speaker"]),
        (&json!("incoming"), &json!("customer"))
    );
}

#[tokio::test]
async fn a_refusal_is_said_before_the_database_has_it() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let database_lock = DatabaseLock::hold(&account).await;
    let twiml = account.dial(1, &identity, "911").await;
    assert!(twiml.contains("emergency services"), "{twiml}");
    let ended = account.post_dial_ended(1, Some(2), "busy").await;
    assert!(ended.contains("The line is busy"), "{ended}");
    database_lock.let_go().await;
    account.wait_for_call(1, &alice).await;
    account
        .wait_for_field(1, &alice, "endCause", &json!("emergency_number"))
        .await;
}

#[tokio::test]
async fn words_make_the_record_of_a_call_that_nobody_wrote_down_unless_it_was_deleted() {
    let account = TestAccount::open().await;
    let admin = account.app.session("carol", Role::Admin).await;
    let identity = account.identity(&admin).await;
    account.dial(3, &identity, THEIRS).await;
    let store = &account.app.store;
    let deleted = store.delete_call(&call(3), clock::utc_now()).await;
    assert!(deleted.unwrap().is_some());
    let media_deps = &account.app.server.state.media_deps;
    for (n, direction) in (1..).zip([
        Direction::Outgoing,
        Direction::Incoming,
        Direction::Outgoing,
    ]) {
        let Event::Segment { mut segment } =
            segment(id(Track::Inbound, 1), Track::Inbound, 0, "hi")
        else {
            unreachable!()
        };
        segment.speaker = direction.speaker(segment.track);
        media_deps.hub.open_stream(&call(n), 1);
        media_deps.transcript_writer.attach(&call(n));
        media_deps.hub.publish(&call(n), Event::Segment { segment });
        let reason = EndReason::Stopped;
        media_deps
            .hub
            .close_stream(&call(n), [Event::Ended { reason }]);
    }
    eventually("the transcript writer's rest", async || {
        media_deps.transcript_writer.active_call_count() == 0
    })
    .await;
    for (n, direction) in [(1, "outgoing"), (2, "incoming")] {
        let kept = account.read(n, &admin).await;
        assert_eq!(
            (&kept["direction"], texts(&kept)),
            (&json!(direction), vec!["hi"])
        );
        assert_eq!(kept["transcript"], "complete");
    }
    assert_eq!(store.call_record(&call(3)).await.unwrap(), None);
}

#[tokio::test]
async fn a_doubt_about_the_language_is_kept_once_in_the_call_s_log() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    account.dial(1, &identity, THEIRS).await;
    let media_deps = &account.app.server.state.media_deps;
    media_deps.hub.open_stream(&call(1), 1);
    media_deps.transcript_writer.attach(&call(1));
    for doubts in [vec![doubt()], vec![], vec![doubt()]] {
        let event = Event::Language { doubts };
        media_deps.hub.publish(&call(1), event);
    }
    let reason = EndReason::Stopped;
    media_deps
        .hub
        .close_stream(&call(1), [Event::Ended { reason }]);
    let resting = async || media_deps.transcript_writer.active_call_count() == 0;
    eventually("the transcript writer's rest", resting).await;
    let kept = account.read(1, &alice).await;
    let events = kept["events"].as_array().unwrap().iter();
    let doubted = events.filter(|event| event["kind"] == "other_language");
    let details: Vec<_> = doubted.map(|event| &event["detail"]).collect();
    let [detail] = details[..] else {
        panic!("{kept}")
    };
    assert!(detail.as_str().unwrap().starts_with("the customer seems"));
}
