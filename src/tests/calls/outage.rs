//! The database is held by somebody else: calls go through, and nothing is lost.

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

use super::{Leg, OURS, Office, THEIRS, texts};
use crate::clock;
use crate::ids::Track;
use crate::store::Role;
use crate::tests::phone::{eventually, speech};
use crate::tests::stories::{call, doubt, id, segment};
use crate::transcript::{Direction, EndReason, Event};

/// Another program that writes, and takes its time; until it lets go, the server cannot write.
struct Hog(SqliteConnection);

impl Hog {
    async fn hold(office: &Office) -> Self {
        let file = office.house.folder.path().join("house.db");
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
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    let hog = Hog::hold(&office).await;
    let twiml = office.dial(1, &identity, THEIRS).await;
    assert!(
        twiml.contains("<Dial") && twiml.contains("<Stream"),
        "{twiml}"
    );
    let child = Leg::child(2, 1, OURS, THEIRS);
    let form = |status| {
        office.moved(
            &child,
            status,
            &[
                ("SequenceNumber", "2"),
                ("Timestamp", "Sun, 22 Nov 2026 10:00:09 +0000"),
            ],
        )
    };
    assert_eq!(form("in-progress").await, 503);

    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak_on(Track::Outbound, &speech()).await;
    stream.stop().await;
    stream.closed().await;
    hog.let_go().await;

    assert_eq!(form("in-progress").await, 204);
    office.appears(1, &alice).await;
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
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
    let office = Office::open().await;
    let admin = office.house.session("carol", Role::Admin).await;
    office.online(&admin).await;
    let hog = Hog::hold(&office).await;
    let twiml = office.ring(1).await;
    assert!(twiml.contains("<Dial"), "{twiml}");
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    stream.closed().await;
    hog.let_go().await;
    office.appears(1, &admin).await;
    let kept = office
        .becomes(1, &admin, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(
        (&kept["direction"], &kept["segments"][0]["speaker"]),
        (&json!("incoming"), &json!("customer"))
    );
}

#[tokio::test]
async fn a_refusal_is_said_before_the_database_has_it() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    let hog = Hog::hold(&office).await;
    let twiml = office.dial(1, &identity, "911").await;
    assert!(twiml.contains("emergency services"), "{twiml}");
    let ended = office.dial_ended(1, Some(2), "busy").await;
    assert!(ended.contains("The line is busy"), "{ended}");
    hog.let_go().await;
    office.appears(1, &alice).await;
    office
        .becomes(1, &alice, "endCause", &json!("emergency_number"))
        .await;
}

#[tokio::test]
async fn words_make_the_record_of_a_call_that_nobody_wrote_down_unless_it_was_deleted() {
    let office = Office::open().await;
    let admin = office.house.session("carol", Role::Admin).await;
    let identity = office.identity(&admin).await;
    office.dial(3, &identity, THEIRS).await;
    let store = &office.house.store;
    let deleted = store.delete_call(&call(3), clock::utc_now()).await;
    assert!(deleted.unwrap().is_some());
    let switchboard = &office.house.server.state.switchboard;
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
        switchboard.hub.open(&call(n), 1);
        switchboard.scribe.follow(&call(n));
        switchboard
            .hub
            .publish(&call(n), Event::Segment { segment });
        let reason = EndReason::Stopped;
        switchboard.hub.close(&call(n), [Event::Ended { reason }]);
    }
    eventually("the scribe's rest", async || {
        switchboard.scribe.calls() == 0
    })
    .await;
    for (n, direction) in [(1, "outgoing"), (2, "incoming")] {
        let kept = office.read(n, &admin).await;
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
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    office.dial(1, &identity, THEIRS).await;
    let switchboard = &office.house.server.state.switchboard;
    switchboard.hub.open(&call(1), 1);
    switchboard.scribe.follow(&call(1));
    for doubts in [vec![doubt()], vec![], vec![doubt()]] {
        let event = Event::Language { doubts };
        switchboard.hub.publish(&call(1), event);
    }
    let reason = EndReason::Stopped;
    switchboard.hub.close(&call(1), [Event::Ended { reason }]);
    let resting = async || switchboard.scribe.calls() == 0;
    eventually("the scribe's rest", resting).await;
    let kept = office.read(1, &alice).await;
    let events = kept["events"].as_array().unwrap().iter();
    let doubted = events.filter(|event| event["kind"] == "other_language");
    let details: Vec<_> = doubted.map(|event| &event["detail"]).collect();
    let [detail] = details[..] else {
        panic!("{kept}")
    };
    assert!(detail.as_str().unwrap().starts_with("the customer seems"));
}
