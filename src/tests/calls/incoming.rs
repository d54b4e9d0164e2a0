//! Incoming calls: who is rung, who answers, and whose call it is.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CallbackLeg, OURS, THEIRS, TestAccount, sid, texts, uuid};
use crate::clock;
use crate::ids::Track;
use crate::limits;
use crate::store::{InjectedFault, Role};
use crate::tests::browser::ServerFrame;
use crate::tests::phone::{eventually, speech};
use crate::tests::scenarios::call;
use crate::tests::sign_in::{PASSWORD, assert_refused, cookie};
use crate::transcript::Speaker;

#[tokio::test]
async fn a_call_rings_the_browsers_that_are_ready_and_belongs_to_whoever_answers() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let admin = account.app.session("carol", Role::Admin).await;
    let [to_alice, to_bob] = [account.online(&alice).await, account.online(&bob).await];
    let twiml = account.ring(1).await;
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

    let child = CallbackLeg::child(2, 1, THEIRS, &format!("client:{to_alice}"));
    assert_eq!(
        account
            .post_call_status(&child, "ringing", &[("SequenceNumber", "1")])
            .await,
        204
    );
    let path = format!("/api/calls/{}", call(1).as_str());
    for cookie in [&alice, &bob] {
        let hidden = account.page("GET", &path, cookie, &Value::Null).await;
        assert_refused(&hidden, 404, "no_such_call");
    }
    // Alice's page claims the call as it answers, by the leg that rang it; Twilio's callback arrives a moment
    // later.
    let known = json!({ "sid": call(2).as_str(), "direction": "incoming" });
    let asked = account.page("POST", "/api/calls", &alice, &known);
    let told = async {
        tokio::task::yield_now().await;
        account
            .post_call_status(&child, "in-progress", &[("SequenceNumber", "2")])
            .await
    };
    let (confirmed, told) = tokio::join!(asked, told);
    assert_eq!((confirmed.status, told), (200, 204), "{}", confirmed.body);
    assert_eq!(confirmed.json()["sid"], sid(&call(1)));
    let answer = account.page("POST", "/api/calls", &bob, &known).await;
    assert_refused(&answer, 409, "answered_by_another");
    assert_refused(
        &account.page("GET", &path, &bob, &Value::Null).await,
        404,
        "no_such_call",
    );

    let mut browser = account.listen(1, &alice).await;
    let mut watching = account.listen(1, &admin).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    for browser in [&mut browser, &mut watching] {
        let page = browser.until(&call(1), |page| page.ended.is_some()).await;
        assert_eq!(page.segments[0].speaker, Speaker::Customer);
    }
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(
        (&kept["direction"], &kept["from"], &kept["to"]),
        (&json!("incoming"), &json!(THEIRS), &json!(OURS))
    );
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(kept["segments"][0]["speaker"], "customer");
}

/// Returns which of these browsers the `n`th call rings.
async fn ringing_browsers(account: &TestAccount, n: u32, browsers: &[&String]) -> Vec<bool> {
    let twiml = account.ring(n).await;
    let is_rung = |identity: &&String| twiml.contains(identity.as_str());
    browsers.iter().map(is_rung).collect()
}

#[tokio::test]
async fn a_browser_whose_session_ends_anywhere_rings_no_more() {
    let account = TestAccount::open().await;
    let (app, now) = (&account.app, clock::utc_now());
    let ada = app.user("ada", Role::User).await;
    let admin = app.session("carol", Role::Admin).await;
    let [here, there, far] = [
        app.session_of(&ada, now).await,
        app.session_of(&ada, now).await,
        app.session_of(&ada, now).await,
    ];
    let mut browsers = Vec::new();
    for cookie in [&here, &there, &far, &admin] {
        browsers.push(account.online(cookie).await);
    }
    let browsers: Vec<&String> = browsers.iter().collect();
    assert_eq!(ringing_browsers(&account, 1, &browsers).await, [true; 4]);

    let listed = app.page("GET", "/api/sessions", &there, &Value::Null).await;
    let listed = listed.json()["sessions"].as_array().unwrap().clone();
    let current = listed.iter().find(|s| s["isCurrent"] == true).unwrap();
    let path = format!("/api/sessions/{}", current["id"].as_str().unwrap());
    let ended = app.page("DELETE", &path, &here, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    let rung = ringing_browsers(&account, 2, &browsers).await;
    assert_eq!(rung, [true, false, true, true], "one session was ended");

    // After a user's own change of password, only the browser that made it remains signed in.
    let edit = json!({ "password": "better horse", "oldPassword": PASSWORD });
    let me = format!("/api/users/{}", ada.id.0);
    let changed = app.page("PATCH", &me, &here, &edit).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let rung = ringing_browsers(&account, 3, &browsers).await;
    assert_eq!(rung, [true, false, false, true], "one's own new password");

    let edit = json!({ "password": "borrowed horse" });
    let changed = app.page("PATCH", &me, &admin, &edit).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let rung = ringing_browsers(&account, 4, &browsers).await;
    assert_eq!(
        rung,
        [false, false, false, true],
        "a password from an admin"
    );
}

#[tokio::test]
async fn a_browser_whose_session_ended_behind_the_servers_back_neither_rings_nor_calls() {
    let account = TestAccount::open().await;
    let store = &account.app.store;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let [to_alice, to_bob] = [account.online(&alice).await, account.online(&bob).await];
    assert_eq!(
        ringing_browsers(&account, 1, &[&to_alice, &to_bob]).await,
        [true; 2]
    );
    assert!(account.dial(2, &to_alice, THEIRS).await.contains("<Dial"));
    account.post_dial_ended(2, None, "no-answer").await;
    let (user, _) = store.credentials("alice").await.unwrap().unwrap();
    // Like `callburner user passwd`, in its own process.
    store.close_sessions(user.id).await.unwrap();
    let rung = ringing_browsers(&account, 3, &[&to_alice, &to_bob]).await;
    assert_eq!(rung, [false, true]);
    refused_aloud(&account, 4, &to_alice).await;
    // The same happens with each further browser of alice's, and bob is still rung.
    let again = open_new_session(&account, "alice").await;
    for tab in ["a", "b", "c", "d"] {
        account.go_online(&again, tab).await;
    }
    store.close_sessions(user.id).await.unwrap();
    let twiml = account.ring(5).await;
    assert_eq!(twiml.matches("<Identity>").count(), 1, "{twiml}");
    assert!(twiml.contains(&to_bob), "{twiml}");
}

/// Opens a new session of an existing user; returns the cookie.
async fn open_new_session(account: &TestAccount, name: &str) -> String {
    let store = &account.app.store;
    let (user, _) = store.credentials(name).await.unwrap().unwrap();
    account.app.session_of(&user, clock::utc_now()).await
}

/// Asserts that the `n`th call, by a browser without a session, is refused with an announcement.
async fn refused_aloud(account: &TestAccount, n: u32, identity: &str) {
    let twiml = account.dial(n, identity, THEIRS).await;
    assert!(
        twiml.contains("not signed in any more") && !twiml.contains("<Dial"),
        "{twiml}"
    );
    let kept = account.app.store.call_record(&call(n)).await.unwrap();
    assert_eq!(kept.unwrap().end_cause.as_deref(), Some("unknown_user"));
}

#[tokio::test]
async fn a_pass_ends_with_its_session_and_goes_on_when_the_session_is_renewed() {
    let account = TestAccount::open().await;
    let (app, now) = (&account.app, clock::utc_now());
    let ada = app.user("ada", Role::User).await;
    let [here, there] = [
        app.session_of(&ada, now).await,
        app.session_of(&ada, now).await,
    ];
    let [first, other] = [account.online(&here).await, account.online(&there).await];
    assert_ne!(first, other, "two sessions are two telephones");
    // After a user's own change of password, the browser that made it remains signed in, under the same
    // identity.
    let edit = json!({ "password": "better horse", "oldPassword": PASSWORD });
    let me = format!("/api/users/{}", ada.id.0);
    let changed = app.page("PATCH", &me, &here, &edit).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let renewed = cookie(&changed);
    assert_eq!(account.online(&renewed).await, first);
    assert!(account.dial(1, &first, THEIRS).await.contains("<Dial"));
    refused_aloud(&account, 2, &other).await;

    let out = account
        .page("DELETE", "/api/session", &renewed, &Value::Null)
        .await;
    assert_eq!(out.status, 204, "{}", out.body);
    refused_aloud(&account, 3, &first).await;
    assert_eq!(ringing_browsers(&account, 4, &[&first]).await, [false]);
    // The call in progress is not cut off.
    assert!(account.twilio.changes().is_empty());
    // Signing in again in the same tab does not make an earlier access token valid again.
    let again = open_new_session(&account, "ada").await;
    assert_ne!(account.online(&again).await, first);
    refused_aloud(&account, 5, &first).await;
}

#[tokio::test]
async fn whom_this_server_signed_out_or_removed_stays_so_while_the_database_is_gone() {
    let account = TestAccount::open().await;
    let admin = account.app.session("carol", Role::Admin).await;
    let [alice, bob] = [
        account.app.session("alice", Role::User).await,
        account.app.session("bob", Role::User).await,
    ];
    let [by_carol, by_alice, by_bob] = [
        account.online(&admin).await,
        account.online(&alice).await,
        account.online(&bob).await,
    ];
    let out = account
        .page("DELETE", "/api/session", &alice, &Value::Null)
        .await;
    assert_eq!(out.status, 204, "{}", out.body);
    let store = &account.app.store;
    let (user, _) = store.credentials("bob").await.unwrap().unwrap();
    let path = format!("/api/users/{}", user.id.0);
    let removed = account.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    store.inject_fault(Some(InjectedFault::Unavailable));
    let browsers = [&by_carol, &by_alice, &by_bob];
    assert_eq!(
        ringing_browsers(&account, 1, &browsers).await,
        [true, false, false]
    );
    for (n, identity) in [(2, &by_alice), (3, &by_bob)] {
        let twiml = account.dial(n, identity, THEIRS).await;
        assert!(twiml.contains("not signed in any more"), "{twiml}");
    }
    // Users with the permission can still call.
    assert!(account.dial(4, &by_carol, THEIRS).await.contains("<Dial"));
}

#[tokio::test]
async fn whoever_is_removed_is_hung_up_on_and_nobody_else_is() {
    let account = TestAccount::open().await;
    let admin = account.app.session("carol", Role::Admin).await;
    let bob = account.app.session("bob", Role::User).await;
    for (n, cookie) in [(1, &admin), (2, &bob)] {
        let identity = account.identity(cookie).await;
        assert!(account.dial(n, &identity, THEIRS).await.contains("<Dial"));
        account.twilio.add_call(&call(n));
    }
    let store = &account.app.store;
    let (user, _) = store.credentials("bob").await.unwrap().unwrap();
    let path = format!("/api/users/{}", user.id.0);
    let removed = account.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    let is_over = async || account.twilio.call_status(&call(2)) == Some("completed");
    eventually("the end of bob's call", is_over).await;
    assert_eq!(account.twilio.call_status(&call(1)), Some("in-progress"));
}

#[tokio::test]
async fn where_there_are_users_a_browser_that_is_of_none_of_them_calls_nobody() {
    let account = TestAccount::open().await;
    account.app.session("carol", Role::Admin).await;
    for (n, identity) in [
        (1, "desk"),
        (2, "u1"),
        (3, "u0_0000000000000001_local"),
        (4, "u1_0000000000000001_carol"),
        (5, "u77_0000000000000001_nobody"),
    ] {
        refused_aloud(&account, n, identity).await;
    }
}

#[tokio::test]
async fn to_ask_for_passes_rings_nobody_and_no_user_is_rung_more_than_three_times() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let eve = account.app.session("eve", Role::User).await;
    let to_alice = account.online(&alice).await;
    for n in 0..10 {
        let path = format!("/api/token?browser=hog{n}");
        let answer = account.page("GET", &path, &eve, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let identities = |twiml: &str| twiml.matches("<Identity>").count();
    let twiml = account.ring(1).await;
    assert!(
        twiml.contains(&to_alice) && identities(&twiml) == 1,
        "{twiml}"
    );
    let mut hogs = Vec::new();
    for n in 0..10 {
        hogs.push(account.go_online(&eve, &format!("hog{n}")).await.0);
    }
    let twiml = account.ring(2).await;
    assert!(
        twiml.contains(&to_alice) && identities(&twiml) == 4,
        "{twiml}"
    );
    for hog in &hogs[7..] {
        assert!(twiml.contains(hog), "the latest: {twiml}");
    }
    // A page of another origin cannot register eve's browser.
    let said = json!({ "id": uuid(), "expiresAt": "2100-01-01T00:00:00Z" });
    let strange = format!(
        "Origin: https://evil.example\r\nContent-Type: application/json\r\nCookie: {eve}\r\n"
    );
    let app = &account.app;
    let answer = app.ask("POST", "/api/registrations", &strange, &said);
    assert_refused(&answer.await, 403, "origin_refused");
}

#[tokio::test]
async fn a_page_that_goes_offline_takes_its_own_registration_back_and_no_other() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    // A duplicated tab has the same tab name.
    let (identity, first) = account.go_online(&alice, "tab").await;
    let (same, second) = account.go_online(&alice, "tab").await;
    assert_eq!(identity, same);
    let twiml = account.ring(1).await;
    assert_eq!(twiml.matches(&identity).count(), 1, "{twiml}");
    let end = async |cookie: &str, id: &str| {
        let path = format!("/api/registrations/{id}");
        let answer = account.page("DELETE", &path, cookie, &Value::Null).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    };
    end(&bob, &second).await;
    end(&alice, &first).await;
    let kept = account.app.store.registrations(clock::utc_now()).await;
    assert_eq!(kept.unwrap().len(), 1, "what the next server knows");
    assert_eq!(ringing_browsers(&account, 2, &[&identity]).await, [true]);
    end(&alice, &second).await;
    assert_eq!(ringing_browsers(&account, 3, &[&identity]).await, [false]);
}

#[tokio::test]
async fn whoever_was_rung_learns_what_became_of_the_call_and_no_more() {
    let account = TestAccount::open().await;
    let [alice, bob, eve] = [
        account.app.session("alice", Role::User).await,
        account.app.session("bob", Role::User).await,
        account.app.session("eve", Role::User).await,
    ];
    let to_alice = account.online(&alice).await;
    account.online(&bob).await;
    let outcome = async |n: u32, cookie: &str| {
        let path = format!("/api/rung/{}", call(n).as_str());
        account.page("GET", &path, cookie, &Value::Null).await
    };
    for n in [1, 3] {
        account.ring(n).await;
        assert_eq!(
            outcome(n, &bob).await.json(),
            json!({ "outcome": "ringing" })
        );
    }
    let child = CallbackLeg::child(2, 1, THEIRS, &format!("client:{to_alice}"));
    let answered = [("SequenceNumber", "2")];
    assert_eq!(
        account
            .post_call_status(&child, "in-progress", &answered)
            .await,
        204
    );
    for cookie in [&alice, &bob] {
        let told = outcome(1, cookie).await.json();
        assert_eq!(told, json!({ "outcome": "answered" }));
    }
    account.post_dial_ended(3, None, "no-answer").await;
    assert_eq!(
        outcome(3, &bob).await.json(),
        json!({ "outcome": "missed" })
    );
    assert_refused(&outcome(1, &eve).await, 404, "no_such_call");
    assert_refused(&outcome(9, &alice).await, 404, "no_such_call");
}

#[tokio::test]
async fn a_registration_lasts_no_longer_than_its_pass() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let said = json!({ "id": uuid(), "expiresAt": "2026-01-01T00:00:00Z" });
    let answer = account
        .page("POST", "/api/registrations", &alice, &said)
        .await;
    assert_refused(&answer, 409, "pass_over");
    let said = json!({ "id": "short", "expiresAt": "2100-01-01T00:00:00Z" });
    let answer = account
        .page("POST", "/api/registrations", &alice, &said)
        .await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    // The expiry of a registration is limited to an hour.
    let said = json!({ "id": uuid(), "expiresAt": "2100-01-01T00:00:00Z" });
    let answer = account
        .page("POST", "/api/registrations", &alice, &said)
        .await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let kept = account.app.store.registrations(clock::utc_now()).await;
    let [registration] = &kept.unwrap()[..] else {
        panic!("one is kept")
    };
    let hour = Duration::from_hours(1);
    assert!(registration.expires_at.since(registration.since) <= hour);
}

#[tokio::test]
async fn a_page_hears_the_call_by_the_leg_that_rang_it() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let identity = account.online(&alice).await;
    let twiml = account.ring(1).await;
    let mut page = account.app.listen(&alice).await.ok().unwrap();
    page.subscribe(&call(2)).await;
    assert_eq!(page.next_error().await, "no_such_call", "nobody knows it");

    let child = CallbackLeg::child(2, 1, THEIRS, &format!("client:{identity}"));
    account
        .post_call_status(&child, "in-progress", &[("SequenceNumber", "2")])
        .await;
    let known = json!({ "sid": call(2).as_str(), "direction": "incoming" });
    let adopted = account.page("POST", "/api/calls", &alice, &known).await;
    assert_eq!(adopted.status, 200, "{}", adopted.body);
    let parent = ServerFrame::Leg { parent: call(1) };
    page.subscribe(&call(2)).await;
    assert_eq!(page.next_frame().await, parent);
    // Unsubscribing by either SID has the same effect.
    let mut gone = account.app.listen(&alice).await.ok().unwrap();
    gone.subscribe(&call(2)).await;
    assert_eq!(gone.next_frame().await, parent);
    gone.unsubscribe(&call(2)).await;
    gone.settle().await;

    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Inbound, &speech()).await;
    stream.stop().await;
    let over = page.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(over.texts(), ["one two three"]);
    gone.settle().await;
    assert!(gone.heard.len() <= 1, "{:?}", gone.heard);

    let mut other = account.app.listen(&bob).await.ok().unwrap();
    other.subscribe(&call(2)).await;
    assert_eq!(other.next_error().await, "no_such_call", "it is not bob's");
}

#[tokio::test]
async fn an_incoming_call_belongs_to_whoever_twilio_says_answered_and_to_nobody_who_asks() {
    let account = TestAccount::open().await;
    let bob = account.app.session("bob", Role::User).await;
    let eve = account.app.session("eve", Role::User).await;
    let mallory = account.app.session("mallory", Role::User).await;
    let admin = account.app.session("carol", Role::Admin).await;
    let machine = account
        .app
        .token(&eve, &["calls:read", "calls:write"])
        .await;
    let machine = format!("Authorization: Bearer {machine}\r\nContent-Type: application/json\r\n");
    let [to_bob, _] = [account.online(&bob).await, account.online(&eve).await];
    account.ring(1).await;
    let claim = async |n: u32, cookie: &str| {
        let known = json!({ "sid": call(n).as_str(), "direction": "incoming" });
        account.page("POST", "/api/calls", cookie, &known).await
    };
    // The call rings at bob's and eve's, and has no owner, even if eve claims it.
    let (early, stranger) = tokio::join!(claim(1, &eve), claim(1, &mallory));
    assert_refused(&early, 409, "not_answered_yet");
    assert_refused(&stranger, 404, "no_such_call");
    let known = json!({ "sid": call(1).as_str(), "direction": "incoming" });
    let (with_token, of_admin) = tokio::join!(
        account.app.ask("POST", "/api/calls", &machine, &known),
        claim(1, &admin)
    );
    assert_refused(&with_token, 409, "not_answered_yet");
    assert_refused(&of_admin, 404, "no_such_call");
    assert_eq!(account.read(1, &admin).await["userId"], Value::Null);
    let mut ears = account.app.listen(&eve).await.ok().unwrap();
    ears.subscribe(&call(1)).await;
    assert_eq!(ears.next_error().await, "no_such_call");

    // Twilio's callbacks arrive in any order: here the last of the answered leg arrives first.
    let answered = CallbackLeg::child(2, 1, THEIRS, &format!("client:{to_bob}"));
    account
        .post_call_status(&answered, "completed", &[("SequenceNumber", "3")])
        .await;
    account
        .post_call_status(&answered, "in-progress", &[("SequenceNumber", "2")])
        .await;
    account
        .post_call_status(&answered, "ringing", &[("SequenceNumber", "1")])
        .await;
    assert_eq!(claim(1, &bob).await.json()["sid"], sid(&call(1)));
    assert_eq!(claim(2, &bob).await.json()["userId"], 1);
    for n in [1, 2] {
        assert_refused(&claim(n, &eve).await, 409, "answered_by_another");
        assert_refused(&claim(n, &mallory).await, 404, "no_such_call");
    }
    for command in ["recording/start", "hangup"] {
        let refused = account.command(1, command, &eve).await;
        assert_refused(&refused, 404, "no_such_call");
    }
    // Also after its end.
    account
        .post_call_status(&CallbackLeg::parent(1, THEIRS, OURS), "completed", &[])
        .await;
    assert_refused(&claim(1, &eve).await, 409, "answered_by_another");
    assert_eq!(account.read(1, &bob).await["userId"], 1);
}

#[tokio::test]
async fn calls_of_a_removed_user_and_calls_that_never_were_are_nobodys_to_take() {
    let account = TestAccount::open().await;
    let tom = account.app.session("tom", Role::User).await;
    let eve = account.app.session("eve", Role::User).await;
    let admin = account.app.session("carol", Role::Admin).await;
    let identity = account.online(&tom).await;
    account.online(&eve).await;
    account.dial(1, &identity, THEIRS).await;
    // An incoming call that rang eve and that tom answered.
    account.ring(2).await;
    let answered = CallbackLeg::child(3, 2, THEIRS, &format!("client:{identity}"));
    account
        .post_call_status(&answered, "in-progress", &[("SequenceNumber", "2")])
        .await;
    assert_eq!(account.read(2, &tom).await["userId"], 1);
    for n in [1, 2] {
        let parties = if n == 1 {
            (format!("client:{identity}"), THEIRS)
        } else {
            (THEIRS.to_owned(), OURS)
        };
        let parent = CallbackLeg::parent(n, &parties.0, parties.1);
        account
            .post_call_status(&parent, "completed", &[("SequenceNumber", "9")])
            .await;
    }
    let removed = account
        .page("DELETE", "/api/users/1", &admin, &Value::Null)
        .await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    // Late callbacks of the call do not give it an owner either.
    account
        .post_call_status(&answered, "completed", &[("SequenceNumber", "3")])
        .await;
    for n in 1..=4 {
        let known = json!({ "sid": call(n).as_str(), "direction": "outgoing" });
        let answer = account.page("POST", "/api/calls", &eve, &known).await;
        assert_refused(&answer, 404, "no_such_call");
        let path = format!("/api/calls/{}", call(n).as_str());
        let hidden = account.page("GET", &path, &eve, &Value::Null).await;
        assert_refused(&hidden, 404, "no_such_call");
    }
    for n in [1, 2] {
        assert_eq!(account.read(n, &admin).await["userId"], Value::Null);
    }
    assert_eq!(account.app.store.call_record(&call(4)).await.unwrap(), None);
}

#[tokio::test]
async fn a_user_asks_for_so_many_changes_in_a_row_and_no_more() {
    let account = TestAccount::open().await;
    let eve = account.app.session("eve", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let known = json!({ "sid": call(9).as_str(), "direction": "incoming" });
    let mut refused = None;
    for _ in 0..10 * limits::CHANGE_BURST_MAX {
        let answer = account.page("POST", "/api/calls", &eve, &known).await;
        if answer.status != 404 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("nobody held eve back");
    assert_refused(&refused, 429, "too_many_requests");
    assert!(refused.header("retry-after").is_some());
    assert_refused(
        &account.page("POST", "/api/calls", &bob, &known).await,
        404,
        "no_such_call",
    );
    // eve can still read and sign out.
    let list = account.page("GET", "/api/calls", &eve, &Value::Null).await;
    assert_eq!(list.status, 200, "{}", list.body);
    let out = account
        .page("DELETE", "/api/session", &eve, &Value::Null)
        .await;
    assert_eq!(out.status, 204, "{}", out.body);
}

#[tokio::test]
async fn no_call_rings_a_browser_that_went_offline_or_signed_out() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    // Two of alice's tabs share a session, and are two telephones.
    let (first, registration) = account.go_online(&alice, "first").await;
    let second = account.go_online(&alice, "second").await.0;
    let to_bob = account.go_online(&bob, "first").await.0;
    let identities = [&first, &second, &to_bob];
    assert_eq!(
        ringing_browsers(&account, 1, &identities).await,
        [true, true, true]
    );

    let offline = format!("/api/registrations/{registration}");
    let answer = account.page("DELETE", &offline, &alice, &Value::Null);
    assert_eq!(answer.await.status, 204);
    assert_eq!(
        ringing_browsers(&account, 2, &identities).await,
        [false, true, true]
    );
    // Online again, with the same identity.
    assert_eq!(account.go_online(&alice, "first").await.0, first);
    assert_eq!(
        ringing_browsers(&account, 3, &identities).await,
        [true, true, true]
    );

    let answer = account.page("DELETE", "/api/session", &alice, &Value::Null);
    assert_eq!(answer.await.status, 204);
    assert_eq!(
        ringing_browsers(&account, 4, &identities).await,
        [false, false, true]
    );
    let answer = account.page("DELETE", &offline, &alice, &Value::Null);
    assert_refused(&answer.await, 401, "sign_in_required");
}

#[tokio::test]
async fn the_caller_is_told_when_nobody_is_there() {
    let account =
        TestAccount::open_with(|server_config| server_config.calls.limits.concurrent_max = 1).await;
    let admin = account.app.session("carol", Role::Admin).await;
    for n in 1..=2 {
        let twiml = account.ring(n).await;
        assert!(twiml.contains("nobody can take your call"), "{twiml}");
        let kept = account.read(n, &admin).await;
        assert_eq!(
            (&kept["endCause"], &kept["direction"]),
            (&json!("nobody_home"), &json!("incoming"))
        );
        assert_eq!(kept["transcript"], "off");
    }
    // These calls did not count against the limit.
    let alice = account.app.session("alice", Role::User).await;
    account.online(&alice).await;
    assert!(account.ring(3).await.contains("<Dial"));
    let refused = account.ring(4).await;
    assert!(
        refused.ends_with("<Response><Reject reason=\"busy\"/></Response>"),
        "{refused}"
    );
    assert_eq!(account.read(4, &admin).await["endCause"], "too_many_calls");
    account.post_dial_ended(3, Some(103), "no-answer").await;
    assert!(account.ring(5).await.contains("<Dial"));
}
