//! Outgoing calls, from the access token to the exported file; and refused calls.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    BASE, CallbackLeg, OURS, THEIRS, TestAccount, endpoint, sid, texts, url_of, with_twilio_account,
};
use crate::app::ServerConfig;
use crate::clock::{self, UtcTime};
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::engine::track::TrackConfig;
use crate::ids::Track;
use crate::limits;
use crate::store::Role;
use crate::tests::RunningServer;
use crate::tests::phone::{speech, with_timeout};
use crate::tests::scenarios::call;
use crate::tests::sign_in::assert_refused;
use crate::tests::twilio_api::FakeTwilio;
use crate::transcript::{CallStatus, EndReason};
use crate::twilio::region::TwilioRegion;

#[tokio::test]
async fn a_browser_is_told_what_to_register_with() {
    let account = TestAccount::open().await;
    let cookie = account.app.session("Alice", Role::User).await;
    let before = clock::utc_now();
    let answer = account
        .page("GET", "/api/token", &cookie, &Value::Null)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json();
    let identity = token["identity"].as_str().unwrap();
    assert!(identity.ends_with("_Alice"), "{identity}");
    let expires = UtcTime::parse(token["expiresAt"].as_str().unwrap()).unwrap();
    let lasts = expires.since(before);
    assert!(lasts.abs_diff(Duration::from_hours(1)) < Duration::from_mins(1));
    assert_eq!(account.identity(&cookie).await, identity, "it changed");
    let again = account.app.session("alice2", Role::User).await;
    assert_ne!(account.identity(&again).await, identity);

    let bare = TestAccount::open_with(|server_config| {
        server_config.calls.access_tokens = Err(vec!["TWILIO_API_KEY"]);
    })
    .await;
    let cookie = bare.app.session("alice", Role::User).await;
    let answer = bare.page("GET", "/api/token", &cookie, &Value::Null).await;
    assert_refused(&answer, 503, "twilio_not_set_up");
    assert!(answer.body.contains("TWILIO_API_KEY"), "{}", answer.body);
}

#[tokio::test]
async fn a_call_is_announced_streamed_and_connected() {
    let account = TestAccount::open_with(|server_config| {
        server_config.calls.announcement = Some("This call is written down.".to_owned());
    })
    .await;
    let (_, twiml) = account.alice_calls().await;
    let stream = url_of(&twiml);
    let secret = stream.strip_prefix("wss://calls.example.org/media/");
    assert!(secret.is_some_and(|secret| secret.len() >= 43), "{stream}");
    let overrides = "#rc=3&amp;rp=5xx,ct,rt";
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say>This call is written down.</Say>\
         <Start><Stream url=\"{stream}\" name=\"callburner-1\" track=\"both_tracks\" \
         statusCallback=\"{BASE}/api/streams/status{overrides}\">\
         <Parameter name=\"direction\" value=\"outgoing\"/></Stream></Start>\
         <Dial callerId=\"{OURS}\" answerOnBridge=\"true\" timeout=\"30\" timeLimit=\"14400\" \
         action=\"{BASE}/voice/ended{overrides}\">\
         <Number url=\"{BASE}/voice/announcement{overrides}\" \
         statusCallback=\"{BASE}/api/calls/status{overrides}\" \
         statusCallbackEvent=\"initiated ringing answered completed\">{THEIRS}</Number></Dial>\
         </Response>"
    );
    assert_eq!(twiml, expected);
    let announced = account.twiml("/voice/announcement", &[]).await;
    assert!(announced.ends_with("<Response><Say>This call is written down.</Say></Response>"));
}

/// The words of the two parties, one after the other.
const SAID: [&str; 2] = ["one two three", "one two three four"];

#[tokio::test]
async fn every_word_of_a_call_is_heard_kept_found_and_saved() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let bob = account.app.session("bob", Role::User).await;
    let mut browser = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    assert_eq!(
        account
            .post_call_status(&child, "in-progress", &[("SequenceNumber", "2")])
            .await,
        204
    );
    stream.send_audio_on(Track::Inbound, &speech()).await;
    stream
        .send_audio_on(Track::Outbound, &[vec![0xff; 32_000], speech()].concat())
        .await;
    stream.stop().await;
    let page = browser.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(page.ended, Some(EndReason::Stopped));
    assert_eq!(
        page.status,
        Some(CallStatus::InProgress),
        "the stream's end is not the call's"
    );
    assert_eq!(page.texts(), SAID);

    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), SAID);
    let speakers = [
        &kept["segments"][0]["speaker"],
        &kept["segments"][1]["speaker"],
    ];
    assert_eq!(speakers, ["agent", "customer"]);
    assert_eq!((&kept["from"], &kept["to"]), (&json!(OURS), &json!(THEIRS)));

    is_saved(&account, &alice, &bob).await;
    is_found(&account, &alice, &bob).await;
}

/// Checks the call's export files, which only Alice can read.
async fn is_saved(account: &TestAccount, alice: &str, bob: &str) {
    let path = format!("/api/calls/{}/transcript", call(1).as_str());
    for (ending, kind, part) in [
        (
            "txt",
            "text/plain; charset=utf-8",
            "[00:00:00] Agent: one two three\n",
        ),
        (
            "srt",
            "application/x-subrip; charset=utf-8",
            "\nCustomer: one two three four\n",
        ),
        (
            "vtt",
            "text/vtt; charset=utf-8",
            "\n<v Customer>one two three four\n",
        ),
        ("json", "application/json", "\"text\": \"one two three\""),
    ] {
        let path = format!("{path}.{ending}");
        let file = account.page("GET", &path, alice, &Value::Null).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some(kind))
        );
        assert!(file.body.contains(part), "{ending}: {}", file.body);
        let name = file.header("content-disposition").unwrap();
        assert!(
            name.starts_with("attachment; filename=\"call-")
                && name.ends_with(&format!(".{ending}\""))
        );
        assert!(!name.contains("1415"), "{name}");
        let hidden = account.page("GET", &path, bob, &Value::Null).await;
        assert_refused(&hidden, 404, "no_such_call");
    }
    let unknown = account
        .page("GET", &format!("{path}.pdf"), alice, &Value::Null)
        .await;
    assert_refused(&unknown, 404, "not_found");
}

/// Checks the call in lists, which only Alice can read.
async fn is_found(account: &TestAccount, alice: &str, bob: &str) {
    for (query, who, found) in [
        ("q=three", alice, 1),
        ("q=seven", alice, 0),
        ("number=0123", alice, 1),
        ("direction=incoming", alice, 0),
        ("q=three", bob, 0),
    ] {
        let path = format!("/api/calls?{query}");
        let list = account.page("GET", &path, who, &Value::Null).await.json();
        assert_eq!(
            list["calls"].as_array().unwrap().len(),
            found,
            "{query}: {list}"
        );
    }
}

/// A leg, its status, and the further fields of a callback.
type Told = (CallbackLeg, &'static str, Vec<(&'static str, &'static str)>);

/// Returns Twilio's callbacks of an answered call, in chronological order.
fn answered(n: u32) -> Vec<Told> {
    let child = || CallbackLeg::child(n + 100, n, OURS, THEIRS);
    let at = |second| match second {
        0 => "Sun, 22 Nov 2026 10:00:00 +0000",
        5 => "Sun, 22 Nov 2026 10:00:05 +0000",
        9 => "Sun, 22 Nov 2026 10:00:09 +0000",
        _ => "Sun, 22 Nov 2026 10:00:16 +0000",
    };
    let talk = ("CallDuration", "7");
    vec![
        (
            child(),
            "initiated",
            vec![("SequenceNumber", "0"), ("Timestamp", at(0))],
        ),
        (
            child(),
            "ringing",
            vec![("SequenceNumber", "1"), ("Timestamp", at(5))],
        ),
        (
            child(),
            "in-progress",
            vec![("SequenceNumber", "2"), ("Timestamp", at(9))],
        ),
        (
            child(),
            "completed",
            vec![("SequenceNumber", "3"), ("Timestamp", at(16)), talk],
        ),
        (
            CallbackLeg::parent(n, "client:alice", ""),
            "completed",
            vec![
                ("SequenceNumber", "0"),
                ("Timestamp", at(16)),
                ("CallDuration", "16"),
            ],
        ),
    ]
}

#[tokio::test]
async fn in_any_order_and_twice_the_callbacks_end_in_the_same_record() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let orders: [&[usize]; 5] = [
        &[0, 1, 2, 3, 4],
        &[4, 3, 2, 1, 0],
        &[2, 0, 4, 1, 3],
        &[0, 0, 3, 4, 4, 3, 2, 1, 1],
        &[3, 4],
    ];
    for (n, order) in (1..).zip(orders) {
        account.dial(n, &identity, THEIRS).await;
        let told = answered(n);
        for (leg, status, more) in order.iter().map(|at| &told[*at]) {
            assert_eq!(account.post_call_status(leg, status, more).await, 204);
        }
        let hangup = account.post_dial_ended(n, Some(n + 100), "completed").await;
        assert!(
            hangup.ends_with("<Response><Hangup/></Response>"),
            "{hangup}"
        );
        let kept = account.read(n, &alice).await;
        let is = |field: &str, wanted: Value| assert_eq!(kept[field], wanted, "{field}, {order:?}");
        is("sid", sid(&call(n)));
        is("status", json!("completed"));
        is("direction", json!("outgoing"));
        is("answeredAt", json!("2026-11-22T10:00:09.000Z"));
        is("endedAt", json!("2026-11-22T10:00:16.000Z"));
        is("durationSeconds", json!(7));
        is("endCause", Value::Null);
        let leg = format!("/api/calls/{}", call(n + 100).as_str());
        let by_leg = account.page("GET", &leg, &alice, &Value::Null).await.json();
        assert_eq!(by_leg, kept);
    }
    // All places are free again.
    for n in 11..=12 {
        let twiml = account.dial(n, &identity, THEIRS).await;
        assert!(twiml.contains("<Dial"), "{twiml}");
    }
}

#[tokio::test]
async fn a_call_that_was_not_answered_says_why_to_the_caller_and_in_its_record() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let busy = ("SipResponseCode", "486");
    for (n, child, status, spoken, cause) in [
        (1, Some(101), "busy", "The line is busy.", "sip_486"),
        (2, Some(102), "no-answer", "Nobody answered.", "no_answer"),
        (3, Some(103), "failed", "could not be connected", "failed"),
        // No leg was created.
        (4, None, "failed", "could not be connected", "failed"),
    ] {
        account.dial(n, &identity, THEIRS).await;
        if let Some(child) = child {
            let leg = CallbackLeg::child(child, n, OURS, THEIRS);
            let more = [("SequenceNumber", "2"), busy];
            let more = if status == "busy" {
                &more[..]
            } else {
                &more[..1]
            };
            assert_eq!(account.post_call_status(&leg, status, more).await, 204);
        }
        let said = account.post_dial_ended(n, child, status).await;
        // The announcement must not be transcribed as the other party's words.
        let stop = "<Response><Stop><Stream name=\"callburner-1\"/></Stop><Say>";
        assert!(
            said.contains(spoken) && said.contains(stop) && said.ends_with("<Hangup/></Response>"),
            "{said}"
        );
        let kept = account.read(n, &alice).await;
        assert_eq!(
            (&kept["status"], &kept["endCause"]),
            (&json!(status), &json!(cause))
        );
        assert_eq!(
            (&kept["answeredAt"], &kept["durationSeconds"]),
            (&Value::Null, &Value::Null)
        );
        assert!(kept["endedAt"].is_string());
    }
}

#[tokio::test]
async fn a_call_that_may_not_be_is_refused_aloud_and_kept_as_refused() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    for (n, to, spoken, code) in [
        (1, "+442079460000", "this country", "country_not_allowed"),
        (2, "+19005550199", "of this kind", "special_number"),
        (3, "911", "emergency services", "emergency_number"),
        (4, "client:bob", "not a telephone number", "bad_number"),
        (5, "", "not a telephone number", "bad_number"),
    ] {
        let twiml = account.dial(n, &identity, to).await;
        assert!(
            twiml.contains(spoken) && twiml.ends_with("<Hangup/></Response>"),
            "{to}: {twiml}"
        );
        assert!(
            !twiml.contains("<Dial") && !twiml.contains("<Stream"),
            "{to}: {twiml}"
        );
        let kept = account.read(n, &alice).await;
        assert_eq!(
            (&kept["endCause"], &kept["transcript"]),
            (&json!(code), &json!("off"))
        );
        assert_eq!(
            (&kept["direction"], &kept["from"]),
            (&json!("outgoing"), &json!(OURS))
        );
        assert_eq!(
            (&kept["events"][0]["kind"], &kept["events"][0]["detail"]),
            (&json!("refused"), &json!(code))
        );
        // Later callbacks do not overwrite the cause.
        let leg = CallbackLeg::parent(n, &format!("client:{identity}"), to);
        assert_eq!(
            account
                .post_call_status(&leg, "completed", &[("CallDuration", "4")])
                .await,
            204
        );
        let kept = account.read(n, &alice).await;
        assert_eq!(
            (&kept["status"], &kept["endCause"]),
            (&json!("completed"), &json!(code))
        );
    }
    assert!(account.twilio.requests().is_empty());
}

#[tokio::test]
async fn whoever_has_as_many_calls_as_one_may_have_waits_for_their_end() {
    let account = TestAccount::open_with(|server_config| {
        server_config.calls.limits.concurrent_per_user_max = 1;
    })
    .await;
    let (alice, _) = account.alice_calls().await;
    let identity = account.identity(&alice).await;
    let refused = account.dial(2, &identity, THEIRS).await;
    assert!(refused.contains("You have other calls"), "{refused}");
    assert_eq!(
        account.read(2, &alice).await["endCause"],
        "too_many_calls_of_user"
    );
    // Twilio repeats the request, because the response was late.
    assert!(account.dial(1, &identity, THEIRS).await.contains("<Dial"));
    account.post_dial_ended(1, Some(101), "no-answer").await;
    assert!(account.dial(3, &identity, THEIRS).await.contains("<Dial"));
}

#[tokio::test]
async fn without_a_number_of_ours_nobody_is_called() {
    let account =
        TestAccount::open_with(|server_config| server_config.calls.caller_id = None).await;
    let (alice, twiml) = account.alice_calls().await;
    assert!(twiml.contains("cannot place calls yet"), "{twiml}");
    assert_eq!(account.read(1, &alice).await["endCause"], "not_set_up");
}

#[tokio::test]
async fn whoever_was_removed_calls_nobody_while_his_token_lasts() {
    let account = TestAccount::open().await;
    account.app.session("carol", Role::Admin).await;
    let cookie = account.app.session("bob", Role::User).await;
    let identity = account.identity(&cookie).await;
    let users = account.app.store.users().await.unwrap();
    let bob = users.iter().find(|user| user.name == "bob").unwrap();
    account.app.store.remove_user(bob.id).await.unwrap();
    let twiml = account.dial(1, &identity, THEIRS).await;
    assert!(
        !twiml.contains("<Dial") && twiml.contains("<Say>"),
        "{twiml}"
    );
}

#[tokio::test]
async fn what_cannot_be_understood_is_said() {
    let account = TestAccount::open().await;
    let twiml = account.twiml("/voice", &[("CallSid", "CA1")]).await;
    assert!(twiml.contains("could not be understood"), "{twiml}");
    let twiml = account.twiml("/voice/ended", &[]).await;
    assert!(twiml.contains("<Response/>"), "{twiml}");
    for path in [
        "/api/calls/status",
        "/api/recordings/status",
        "/api/streams/status",
        "/api/transcriptions/realtime",
    ] {
        let answer = account.post(path, &[("CallSid", "CA1")]).await;
        assert_refused(&answer, 400, "bad_webhook");
    }
}

#[tokio::test]
async fn a_call_whose_legs_were_joined_was_answered_whatever_is_told_after() {
    let account = TestAccount::open().await;
    let (alice, _) = account.alice_calls().await;
    let (parent, leg) = (call(1), call(101));
    let form = [
        ("CallSid", parent.as_str()),
        ("DialCallStatus", "no-answer"),
        ("DialCallSid", leg.as_str()),
        ("DialCallDuration", "33"),
        ("DialBridged", "true"),
    ];
    let said = account.twiml("/voice/ended", &form).await;
    assert!(said.ends_with("<Response><Hangup/></Response>"), "{said}");
    let child = CallbackLeg::child(101, 1, OURS, THEIRS);
    let late = [("SequenceNumber", "3")];
    assert_eq!(
        account.post_call_status(&child, "no-answer", &late).await,
        204
    );
    let kept = account.read(1, &alice).await;
    assert_eq!(kept["status"], "completed");
    assert_eq!(kept["durationSeconds"], 33);
    assert!(kept["answeredAt"].is_string(), "{kept}");
    assert_eq!(kept["endCause"], Value::Null);
}

#[tokio::test]
async fn a_question_that_cannot_be_taken_is_answered_with_words() {
    let account = TestAccount::open().await;
    let sid = call(1);
    let long = "x".repeat(limits::WEBHOOK_BODY_BYTES_MAX);
    let many: Vec<(String, &str)> = (0..300).map(|n| (format!("f{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, of)| (name.as_str(), *of)).collect();
    for more in [&[("note", long.as_str())][..], &many] {
        let form = [
            &[("CallSid", sid.as_str()), ("CallStatus", "ringing")],
            more,
        ]
        .concat();
        let spoken = account.twiml("/voice", &form).await;
        assert!(
            spoken.contains("<Say>Sorry") && spoken.contains("<Hangup/>"),
            "{spoken}"
        );
        let ended = account.twiml("/voice/ended", &form).await;
        assert!(
            ended.ends_with("<Response/>") || ended.contains("</Response>"),
            "{ended}"
        );
        // A request that is not for TwiML is refused as before.
        let answer = account.post("/api/calls/status", &form).await;
        assert!([400, 413].contains(&answer.status), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_call_of_another_account_is_told_so_and_its_log_says_why() {
    let account = TestAccount::open().await;
    let carol = account.app.session("carol", Role::Admin).await;
    let sid = call(1);
    let form = [
        ("AccountSid", "AC00000000000000000000000000000002"),
        ("CallSid", sid.as_str()),
        ("From", THEIRS),
        ("To", OURS),
        ("CallStatus", "ringing"),
    ];
    let callback = account.twilio.callback(&format!("{BASE}/voice"), &form);
    let answer = account.twilio.deliver(account.app.server.addr, &callback);
    let spoken = answer.await;
    assert_eq!(spoken.status, 200);
    assert!(
        spoken.body.contains("another Twilio account"),
        "{}",
        spoken.body
    );
    let kept = account.wait_for_call(1, &carol).await;
    assert_eq!(kept["endCause"], "another_account");
    assert_eq!(kept["events"][0]["detail"], "another_account");
}

#[tokio::test]
async fn a_browser_gets_a_pass_of_the_region_and_the_edge_to_it() {
    for (region, edge, home) in [
        (Some("ie1"), json!("dublin"), "ie1"),
        (None, Value::Null, "us1"),
    ] {
        let account = TestAccount::open_with(|server_config| {
            let phone = server_config.calls.access_tokens.as_mut().unwrap();
            phone.keys.region = TwilioRegion::parse(region, None).unwrap();
        })
        .await;
        let alice = account.app.session("alice", Role::User).await;
        let pass = account
            .page("GET", "/api/token", &alice, &Value::Null)
            .await;
        let pass = pass.json();
        assert_eq!(pass["edge"], edge);
        let token = pass["token"].as_str().unwrap();
        assert_eq!(FakeTwilio::check_registration(token, home), Ok(()));
        assert_eq!(FakeTwilio::check_registration(token, "au1"), Err(20_101));
    }
}

/// Stops the server, and starts another on its database.
async fn restart(account: &mut TestAccount, change: impl FnOnce(&mut ServerConfig)) {
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let store = account.app.store.clone();
    let mut server_config = ServerConfig::behind(endpoint(), store, engine, TrackConfig::default());
    with_twilio_account(&mut server_config, Some(account.twilio.client()));
    change(&mut server_config);
    let server = RunningServer::of(server_config, |_| {});
    server.state.calls.restore_placed_calls().await.unwrap();
    account.app.server = server;
}

#[tokio::test]
async fn calls_and_minutes_of_a_day_are_bounded_and_neither_a_restart_nor_a_deletion_begins_anew() {
    let few =
        |server_config: &mut ServerConfig| server_config.calls.limits.day.calls_per_user_max = 2;
    let mut account = TestAccount::open_with(few).await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let [of_alice, of_bob] = [account.identity(&alice).await, account.identity(&bob).await];
    for n in 1..=2 {
        assert!(account.dial(n, &of_alice, THEIRS).await.contains("<Dial"));
        account.post_dial_ended(n, Some(100 + n), "completed").await;
        let parent = CallbackLeg::parent(n, &format!("client:{of_alice}"), "");
        account.post_call_status(&parent, "completed", &[]).await;
        let path = format!("/api/calls/{}", call(n).as_str());
        let deleted = account.page("DELETE", &path, &alice, &Value::Null).await;
        assert_eq!(deleted.status, 204, "{}", deleted.body);
    }
    let refused = account.dial(3, &of_alice, THEIRS).await;
    assert!(
        refused.contains("as many calls as are allowed within a day"),
        "{refused}"
    );
    assert_eq!(account.read(3, &alice).await["endCause"], "too_many_today");
    assert!(account.dial(4, &of_bob, THEIRS).await.contains("<Dial"));
    restart(&mut account, few).await;
    let refused = account.dial(5, &of_alice, THEIRS).await;
    assert!(
        refused.contains("as many calls as are allowed within a day"),
        "{refused}"
    );

    // Minutes: the last call gets the rest of them, and the next one is refused.
    let day = |calls, minutes| {
        move |server_config: &mut ServerConfig| {
            server_config.calls.limits.per_minute_max = calls;
            server_config.calls.limits.day.minutes_per_user_max = minutes;
        }
    };
    restart(&mut account, day(9, 10)).await;
    let dialled = account.dial(6, &of_bob, THEIRS).await;
    let seconds = dialled
        .split("timeLimit=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let seconds: u32 = seconds.unwrap().parse().unwrap();
    assert!((500..=600).contains(&seconds), "{dialled}");
    restart(&mut account, day(9, 0)).await;
    let refused = account.dial(7, &of_bob, THEIRS).await;
    assert!(
        refused.contains("for as long as is allowed within a day"),
        "{refused}"
    );
    // The count of the minute also continues.
    restart(&mut account, day(2, 720)).await;
    account.dial(8, &of_bob, THEIRS).await;
    assert_eq!(account.read(8, &bob).await["endCause"], "too_often");
}

#[tokio::test]
async fn a_question_whose_signature_cannot_be_checked_ends_its_connection() {
    let account = TestAccount::open().await;
    // Too many fields to parse, so that it is unknown whether Twilio sent it.
    let body = "a=1&".repeat(limits::WEBHOOK_FIELDS_MAX + 1);
    let head = "POST /voice HTTP/1.1\r\nHost: calls.example.org\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut socket = TcpStream::connect(account.app.server.addr).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let end = socket.read_to_string(&mut answer);
    with_timeout("the end of the connection", end)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("<Say>Sorry"), "{answer}");
}
