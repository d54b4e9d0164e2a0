//! A number calls the browsers.

use serde_json::{Value, json};

use super::{Leg, OURS, Office, THEIRS, sid, texts};
use crate::clock;
use crate::ids::Track;
use crate::store::Role;
use crate::tests::browser::Frame;
use crate::tests::phone::speech;
use crate::tests::sign_in::{PASSWORD, assert_refused};
use crate::tests::stories::call;
use crate::transcript::Speaker;

#[tokio::test]
async fn a_call_rings_the_browsers_that_are_ready_and_belongs_to_whoever_answers() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let bob = office.house.session("bob", Role::User).await;
    let admin = office.house.session("carol", Role::Admin).await;
    let [to_alice, to_bob] = [office.identity(&alice).await, office.identity(&bob).await];
    let twiml = office.ring(1).await;
    for identity in [&to_alice, &to_bob] {
        assert!(
            twiml.contains(&format!("<Identity>{identity}</Identity>")),
            "{twiml}"
        );
    }
    let names_the_call = format!(
        "<Parameter name=\"callSid\" value=\"{}\"/>",
        call(1).as_str()
    );
    assert!(twiml.contains(&names_the_call), "{twiml}");

    let child = Leg::child(2, 1, THEIRS, &format!("client:{to_alice}"));
    assert_eq!(
        office
            .moved(&child, "ringing", &[("SequenceNumber", "1")])
            .await,
        204
    );
    let path = format!("/api/calls/{}", call(1).as_str());
    for cookie in [&alice, &bob] {
        let hidden = office.page("GET", &path, cookie, &Value::Null).await;
        assert_refused(&hidden, 404, "no_such_call");
    }
    // Alice's page knows the leg that rang it.
    let known = json!({ "sid": call(2).as_str(), "direction": "incoming" });
    let adopted = office.page("POST", "/api/calls", &alice, &known).await;
    assert_eq!(adopted.status, 200, "{}", adopted.body);
    assert_eq!(adopted.json()["sid"], sid(&call(1)));
    let answer = office.page("POST", "/api/calls", &bob, &known).await;
    assert_refused(&answer, 404, "no_such_call");
    assert_refused(
        &office.page("GET", &path, &bob, &Value::Null).await,
        404,
        "no_such_call",
    );

    let mut browser = office.listen(1, &alice).await;
    let mut watching = office.listen(1, &admin).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    for browser in [&mut browser, &mut watching] {
        let page = browser.until(&call(1), |page| page.ended.is_some()).await;
        assert_eq!(page.segments[0].speaker, Speaker::Customer);
    }
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(
        (&kept["direction"], &kept["from"], &kept["to"]),
        (&json!("incoming"), &json!(THEIRS), &json!(OURS))
    );
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(kept["segments"][0]["speaker"], "customer");
}

/// Which of these browsers the `n`th call rings.
async fn rings(office: &Office, n: u32, browsers: &[&String]) -> Vec<bool> {
    let twiml = office.ring(n).await;
    let is_rung = |identity: &&String| twiml.contains(identity.as_str());
    browsers.iter().map(is_rung).collect()
}

#[tokio::test]
async fn a_browser_whose_session_ends_anywhere_rings_no_more() {
    let office = Office::open().await;
    let (house, now) = (&office.house, clock::utc_now());
    let ada = house.user("ada", Role::User).await;
    let admin = house.session("carol", Role::Admin).await;
    let [here, there, far] = [
        house.session_of(&ada, now).await,
        house.session_of(&ada, now).await,
        house.session_of(&ada, now).await,
    ];
    let mut browsers = Vec::new();
    for cookie in [&here, &there, &far, &admin] {
        browsers.push(office.identity(cookie).await);
    }
    let browsers: Vec<&String> = browsers.iter().collect();
    assert_eq!(rings(&office, 1, &browsers).await, [true; 4]);

    let listed = house
        .page("GET", "/api/sessions", &there, &Value::Null)
        .await;
    let listed = listed.json()["sessions"].as_array().unwrap().clone();
    let current = listed.iter().find(|s| s["isCurrent"] == true).unwrap();
    let path = format!("/api/sessions/{}", current["id"].as_str().unwrap());
    let ended = house.page("DELETE", &path, &here, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    let rung = rings(&office, 2, &browsers).await;
    assert_eq!(rung, [true, false, true, true], "one session was ended");

    // With one's own new password the browser that gives it goes on, and no other.
    let edit = json!({ "password": "better horse", "oldPassword": PASSWORD });
    let me = format!("/api/users/{}", ada.id.0);
    let changed = house.page("PATCH", &me, &here, &edit).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let rung = rings(&office, 3, &browsers).await;
    assert_eq!(rung, [true, false, false, true], "one's own new password");

    let edit = json!({ "password": "borrowed horse" });
    let changed = house.page("PATCH", &me, &admin, &edit).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let rung = rings(&office, 4, &browsers).await;
    assert_eq!(
        rung,
        [false, false, false, true],
        "a password from an admin"
    );
}

#[tokio::test]
async fn a_browser_whose_session_ended_behind_the_servers_back_rings_no_more() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let mut page = office.house.listen(&alice).await.ok().unwrap();
    page.settle().await;
    let identity = office.identity(&alice).await;
    let (user, _) = office
        .house
        .store
        .credentials("alice")
        .await
        .unwrap()
        .unwrap();
    // As `callburner user passwd` does, in a process of its own.
    office.house.store.close_sessions(user.id).await.unwrap();
    // Somebody else's end has the server look at everyone who listens.
    let bob = office.house.session("bob", Role::User).await;
    office
        .page("DELETE", "/api/session", &bob, &Value::Null)
        .await;
    page.closed().await;
    assert_eq!(rings(&office, 1, &[&identity]).await, [false]);
}

#[tokio::test]
async fn a_page_hears_the_call_by_the_leg_that_rang_it() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let bob = office.house.session("bob", Role::User).await;
    let identity = office.identity(&alice).await;
    let twiml = office.ring(1).await;
    let mut page = office.house.listen(&alice).await.ok().unwrap();
    page.subscribe(&call(2)).await;
    assert_eq!(page.next_error().await, "no_such_call", "nobody knows it");

    let child = Leg::child(2, 1, THEIRS, &format!("client:{identity}"));
    office
        .moved(&child, "in-progress", &[("SequenceNumber", "2")])
        .await;
    let known = json!({ "sid": call(2).as_str(), "direction": "incoming" });
    let adopted = office.page("POST", "/api/calls", &alice, &known).await;
    assert_eq!(adopted.status, 200, "{}", adopted.body);
    let parent = Frame::Leg { parent: call(1) };
    page.subscribe(&call(2)).await;
    assert_eq!(page.next_frame().await, parent);
    // To leave by either name is to leave.
    let mut gone = office.house.listen(&alice).await.ok().unwrap();
    gone.subscribe(&call(2)).await;
    assert_eq!(gone.next_frame().await, parent);
    gone.unsubscribe(&call(2)).await;
    gone.settle().await;

    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    let over = page.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(over.texts(), ["one two three"]);
    gone.settle().await;
    assert!(gone.heard.len() <= 1, "{:?}", gone.heard);

    let mut other = office.house.listen(&bob).await.ok().unwrap();
    other.subscribe(&call(2)).await;
    assert_eq!(other.next_error().await, "no_such_call", "it is not bob's");
}

#[tokio::test]
async fn a_call_is_taken_over_before_twilio_has_told_of_the_leg() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    office.ring(1).await;
    let known = json!({ "sid": call(2).as_str(), "direction": "incoming" });
    assert_eq!(
        office
            .page("POST", "/api/calls", &alice, &known)
            .await
            .status,
        200
    );
    let child = Leg::child(2, 1, THEIRS, &format!("client:{identity}"));
    assert_eq!(
        office
            .moved(&child, "in-progress", &[("SequenceNumber", "2")])
            .await,
        204
    );
    let kept = office.read(2, &alice).await;
    assert_eq!(
        (&kept["sid"], &kept["status"]),
        (&sid(&call(1)), &json!("in-progress"))
    );
    let list = office
        .page("GET", "/api/calls", &alice, &Value::Null)
        .await
        .json();
    assert_eq!(list["calls"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn no_call_rings_a_browser_that_went_offline_or_signed_out() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let bob = office.house.session("bob", Role::User).await;
    // Two tabs of hers share a session, and are two telephones.
    let [first, second] = ["first", "second"].map(|tab| format!("/api/token?browser={tab}"));
    let mut identities = Vec::new();
    for (cookie, tab) in [(&alice, &first), (&alice, &second), (&bob, &first)] {
        let answer = office.page("GET", tab, cookie, &Value::Null).await;
        identities.push(answer.json()["identity"].as_str().unwrap().to_owned());
    }
    let rung = async |n| {
        let twiml = office.ring(n).await;
        let rings = |identity: &String| twiml.contains(&format!("<Identity>{identity}</Identity>"));
        identities.iter().map(rings).collect::<Vec<_>>()
    };
    assert_eq!(rung(1).await, [true, true, true]);

    let answer = office.page("DELETE", &first, &alice, &Value::Null);
    assert_eq!(answer.await.status, 204);
    assert_eq!(rung(2).await, [false, true, true]);
    // Back online, under the same name.
    office.page("GET", &first, &alice, &Value::Null).await;
    assert_eq!(rung(3).await, [true, true, true]);

    let answer = office.page("DELETE", "/api/session", &alice, &Value::Null);
    assert_eq!(answer.await.status, 204);
    assert_eq!(rung(4).await, [false, false, true]);
    let answer = office.page("DELETE", &first, &alice, &Value::Null);
    assert_refused(&answer.await, 401, "sign_in_required");
}

#[tokio::test]
async fn the_caller_is_told_when_nobody_is_there() {
    let office = Office::open_with(|parts| parts.desk.limits.at_once_max = 1).await;
    let admin = office.house.session("carol", Role::Admin).await;
    for n in 1..=2 {
        let twiml = office.ring(n).await;
        assert!(twiml.contains("nobody can take your call"), "{twiml}");
        let kept = office.read(n, &admin).await;
        assert_eq!(
            (&kept["endCause"], &kept["direction"]),
            (&json!("nobody_home"), &json!("incoming"))
        );
        assert_eq!(kept["transcript"], "off");
    }
    // Those calls took nobody's place.
    let alice = office.house.session("alice", Role::User).await;
    office.identity(&alice).await;
    assert!(office.ring(3).await.contains("<Dial"));
    let refused = office.ring(4).await;
    assert!(
        refused.ends_with("<Response><Reject reason=\"busy\"/></Response>"),
        "{refused}"
    );
    assert_eq!(office.read(4, &admin).await["endCause"], "too_many_calls");
    office.dial_ended(3, Some(103), "no-answer").await;
    assert!(office.ring(5).await.contains("<Dial"));
}
