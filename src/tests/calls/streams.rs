//! Media Streams of real calls: the accepted sockets, and broken streams.

use super::{CallbackLeg, OURS, THEIRS, TestAccount, texts, url_of};
use crate::clock;
use crate::ids::{CallSid, Track};
use crate::limits;
use crate::store::Role;
use crate::tests::browser::{CallView, LiveClient};
use crate::tests::phone::{MediaClient, eventually, speech, with_timeout};
use crate::tests::scenarios::call;
use crate::tests::twilio_api::{ACCOUNT, ApiFault};
use crate::transcript::{EndReason, EngineHealth};
use crate::twilio::signature::SigningKey;
use futures_util::FutureExt;
use serde_json::json;

#[tokio::test]
async fn a_secret_opens_one_socket() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let url = url_of(&twiml);
    let addr = account.app.server.addr;
    // Neither an unsigned request with the URL, nor one with another key, consumes it.
    assert_eq!(MediaClient::dial(addr, &url, None).await.err(), Some(403));
    let strange = SigningKey::auth_token("ffffffffffffffffffffffffffffffff");
    assert_eq!(
        MediaClient::dial(addr, &url, Some(&strange)).await.err(),
        Some(403)
    );
    let made_up = format!("wss://calls.example.org/media/{}", "A".repeat(43));
    for wrong in [
        &made_up,
        "wss://calls.example.org/media",
        "wss://calls.example.org/media/",
    ] {
        assert_eq!(account.socket(wrong).await.err(), Some(403), "{wrong}");
    }
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    assert_eq!(account.socket(&url).await.err(), Some(403), "a second time");
    stream.send_audio(&speech()).await;
    stream.stop().await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
}

#[tokio::test]
async fn a_secret_is_for_one_call_and_one_account() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let identity = account.identity(&alice).await;
    let other = account.dial(2, &identity, THEIRS).await;
    // Its `start` names the other call.
    account.stream(&twiml, 1, 2).await.closed().await;
    assert!(!account.app.server.hub.has_events(&call(2)));
    // The right call, but another account.
    let mut stream = account.socket(&url_of(&other)).await.unwrap();
    let start = stream.start_message(2).replace(
        "\"start\":{",
        &format!(
            "\"start\":{{\"accountSid\":\"{}\",",
            ACCOUNT.replace("01", "02")
        ),
    );
    assert!(start.contains("0002"), "{start}");
    stream.text(&start).await.unwrap();
    stream.closed().await;
    assert!(!account.app.server.hub.has_events(&call(2)));
    assert_eq!(account.read(2, &alice).await["transcript"], "waiting");
}

/// Returns the name and the URL of the stream that was last requested from Twilio.
fn asked_for(account: &TestAccount) -> (String, String) {
    let requests = account.twilio.requests();
    let asked = requests
        .iter()
        .rev()
        .find(|seen| seen.path.ends_with("/Streams.json"));
    let form = reqwest::Url::parse(&format!(
        "http://form/?{}",
        asked.expect("no stream was asked for").body
    ))
    .unwrap();
    let field = |name: &str| {
        form.query_pairs()
            .find(|(n, _)| n == name)
            .unwrap()
            .1
            .into_owned()
    };
    (field("Name"), field("Url"))
}

/// Waits until this many streams of the first call have been requested from Twilio.
pub(super) async fn streams_asked_for(account: &TestAccount, count: usize) {
    let wanted = format!("POST /Calls/{}/Streams.json", call(1).as_str());
    let asked = async || {
        account
            .twilio
            .changes()
            .iter()
            .filter(|change| **change == wanted)
            .count()
            >= count
    };
    eventually(&format!("stream {count}"), asked).await;
}

/// Speaks on the stream that was last requested from Twilio; `n` is its index.
pub(super) async fn speak_again(
    account: &TestAccount,
    browser: &mut LiveClient,
    n: u32,
) -> MediaClient {
    let (name, url) = asked_for(account);
    assert_eq!(name, format!("callburner-{n}"));
    let mut stream = account.socket(&url).await.unwrap();
    stream.begin(n, 1).await;
    browser.until(&call(1), |page| page.ended.is_none()).await;
    stream.send_audio(&speech()).await;
    stream
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_started_again_and_its_words_are_joined() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    let began = clock::now();
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Outbound, &speech()).await;
    stream.reset();
    browser
        .until(&call(1), |page| page.ended == Some(EndReason::Dropped))
        .await;
    streams_asked_for(&account, 1).await;
    let again_after = began.elapsed().as_millis() as u64;
    // Late callbacks of the broken stream change nothing.
    let failed = |name: &'static str, stream: &'static str| {
        let form = [
            ("CallSid", call(1).as_str().to_owned()),
            ("StreamSid", stream.to_owned()),
            ("StreamName", name.to_owned()),
            ("StreamEvent", "stream-error".to_owned()),
            ("StreamError", "The server closed the connection".to_owned()),
        ];
        let account = &account;
        async move {
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            assert_eq!(account.post("/api/streams/status", &form).await.status, 204);
        }
    };
    let mut stream = speak_again(&account, &mut browser, 2).await;
    failed("callburner-1", "MZ00000000000000000000000000000001").await;
    stream.stop().await;
    let page = browser
        .until(&call(1), |page| page.ended == Some(EndReason::Stopped))
        .await;
    assert_eq!(page.ids(), ["1-outbound-1", "2-inbound-1"]);
    let start_ms = page.segments[1].start_ms;
    assert!(
        (200..again_after + 5_000).contains(&start_ms),
        "{start_ms} ms, asked for after {again_after} ms"
    );
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three", "one two three"]);
    assert_eq!(kept["segments"][1]["startMs"], start_ms);
    let kinds: Vec<&str> = kept["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["stream_restarted", "stream_failed"]);
    assert_eq!(account.twilio.streams(&call(1)), ["callburner-2"]);
}

/// Returns Twilio's callback for a call's first stream that it could not open.
fn could_not_open(call: &CallSid) -> [(&str, &str); 4] {
    [
        ("CallSid", call.as_str()),
        ("StreamSid", "MZ00000000000000000000000000000001"),
        ("StreamName", "callburner-1"),
        ("StreamEvent", "stream-error"),
    ]
}

#[tokio::test]
async fn a_stream_that_twilio_could_not_open_is_started_again_under_another_secret() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    let sid = call(1);
    let failed = could_not_open(&sid);
    assert_eq!(
        account.post("/api/streams/status", &failed).await.status,
        204
    );
    streams_asked_for(&account, 1).await;
    assert_eq!(
        account.socket(&url_of(&twiml)).await.err(),
        Some(403),
        "the old secret"
    );
    let mut stream = speak_again(&account, &mut browser, 2).await;
    stream.stop().await;
    let page = browser.until(&sid, |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["one two three"]);
    // A repeated callback is also about the old stream.
    assert_eq!(
        account.post("/api/streams/status", &failed).await.status,
        204
    );
    assert_eq!(account.twilio.streams(&sid), ["callburner-2"]);
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_tells_new_ones_to_come_back() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let identity = account.identity(&alice).await;
    let mut browser = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    let tasks = account.app.server.tasks.clone();
    tasks.drain();
    let ready = account.app.server.get("/readyz", "").await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    let rejected = account.ring(2).await;
    assert!(rejected.contains("<Reject "), "{rejected}");
    let told = account.dial(3, &identity, THEIRS).await;
    assert!(
        told.contains("restart") && !told.contains("<Dial"),
        "{told}"
    );

    let over = tasks.wait_for_calls();
    tokio::pin!(over);
    assert!(over.as_mut().now_or_never().is_none());
    stream.send_audio(&speech()).await;
    stream.stop().await;
    with_timeout("the end of the calls", over).await;
    let page = browser.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["one two three"]);
}

#[tokio::test]
async fn a_call_that_there_is_no_room_to_hear_is_connected_and_says_so_until_there_is() {
    let account = TestAccount::open().await;
    let sockets = account.app.server.state.media_sockets.clone();
    let all = sockets.acquire_many_owned(limits::MEDIA_SOCKETS_MAX as u32);
    let all = all.await.unwrap();
    let (alice, twiml) = account.alice_calls().await;
    assert!(twiml.contains("<Dial "), "{twiml}");
    let mut browser = account.listen(1, &alice).await;
    assert_eq!(account.socket(&url_of(&twiml)).await.err(), Some(503));
    let is = |health| move |page: &CallView| page.engine == health;
    browser.until(&call(1), is(EngineHealth::Degraded)).await;
    let events = account.read(1, &alice).await["events"].clone();
    assert_eq!(events[0]["kind"], "not_transcribed", "{events}");

    drop(all);
    let sid = call(1);
    let failed = could_not_open(&sid);
    account.post("/api/streams/status", &failed).await;
    streams_asked_for(&account, 1).await;
    let mut stream = speak_again(&account, &mut browser, 2).await;
    browser.until(&call(1), is(EngineHealth::Ok)).await;
    stream.stop().await;
    let page = browser.until(&sid, |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["one two three"]);
}

#[tokio::test]
async fn a_stream_whose_beginning_is_in_doubt_is_not_started_twice() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    account.twilio.inject_fault_next(ApiFault::Lose);
    account.stream(&twiml, 1, 1).await.reset();
    streams_asked_for(&account, 2).await;
    eventually("one stream", async || {
        account.twilio.streams(&call(1)) == ["callburner-3"]
    })
    .await;
    let mut stream = speak_again(&account, &mut browser, 3).await;
    stream.stop().await;
    let page = browser
        .until(&call(1), |page| page.ended == Some(EndReason::Stopped))
        .await;
    assert_eq!(page.texts(), ["one two three"]);
}

#[tokio::test]
async fn a_call_that_is_over_gets_no_new_stream() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    account.post_dial_ended(1, Some(101), "completed").await;
    stream.reset();
    browser.until(&call(1), |page| page.ended.is_some()).await;
    // For a second call, with a stream that breaks later, one is requested: for the first, none was.
    let identity = account.identity(&alice).await;
    let twiml = account.dial(2, &identity, THEIRS).await;
    account.twilio.add_call(&call(2));
    account.stream(&twiml, 2, 2).await.reset();
    eventually("the second call's", async || {
        !account.twilio.streams(&call(2)).is_empty()
    })
    .await;
    let asked: Vec<String> = account.twilio.changes();
    assert!(
        asked
            .iter()
            .all(|change| !change.contains(call(1).as_str())),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_call_that_twilio_says_is_over_is_over() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    account.twilio.end_call(&call(1));
    account.stream(&twiml, 1, 1).await.reset();
    streams_asked_for(&account, 1).await;
    account
        .wait_for_field(1, &alice, "status", &json!("completed"))
        .await;
}

#[tokio::test]
async fn a_users_call_goes_on_in_silence_when_there_is_no_way_to_ask_for_a_stream() {
    let account = TestAccount::open_with(|server_config| server_config.twilio = None).await;
    let cookie = account.app.session("alice", Role::User).await;
    let identity = account.identity(&cookie).await;
    let twiml = account.dial(1, &identity, THEIRS).await;
    let mut browser = account.listen(1, &cookie).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio(&speech()[..12_000]).await;
    stream.reset();
    let page = browser.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(
        (page.texts(), page.ended),
        (vec!["one two"], Some(EndReason::Dropped))
    );
    account
        .wait_for_field(1, &cookie, "transcript", &json!("interrupted"))
        .await;
}

#[tokio::test]
async fn a_stream_that_breaks_while_it_rings_is_started_again_at_the_answer() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    account.twilio.set_call_status(&call(1), "ringing");
    account.stream(&twiml, 1, 1).await.reset();
    // Twilio reports that the call is not in progress, and then the reason.
    streams_asked_for(&account, 1).await;
    eventually("a question", async || {
        account.twilio.lookup_count(&call(1)) > 0
    })
    .await;
    account.twilio.set_call_status(&call(1), "in-progress");
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    eventually("the stream", async || {
        account.twilio.streams(&call(1)) == ["callburner-3"]
    })
    .await;
    let mut stream = speak_again(&account, &mut browser, 3).await;
    stream.stop().await;
    let page = browser
        .until(&call(1), |page| page.ended == Some(EndReason::Stopped))
        .await;
    assert_eq!(page.texts(), ["one two three"]);
}

#[tokio::test]
async fn a_stream_that_twilio_calls_failed_goes_on_while_its_audio_arrives() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut browser = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.settle().await;
    let sid = call(1);
    let failed = could_not_open(&sid);
    let answer = account.post("/api/streams/status", &failed).await;
    assert_eq!(answer.status, 204);
    stream.send_audio(&speech()).await;
    let is_noted = async || {
        let events = account.read(1, &alice).await["events"].to_string();
        events.contains("stream_goes_on")
    };
    eventually("the note", is_noted).await;
    stream.stop().await;
    let page = browser.until(&sid, |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["one two three"]);
    assert!(account.twilio.changes().is_empty(), "another was started");

    // The second call's stream is open, and silent.
    let identity = account.identity(&alice).await;
    let twiml = account.dial(2, &identity, THEIRS).await;
    account.twilio.add_call(&call(2));
    let mut stream = account.stream(&twiml, 2, 2).await;
    stream.settle().await;
    let sid = call(2);
    let failed = could_not_open(&sid);
    account.post("/api/streams/status", &failed).await;
    eventually("another stream", async || {
        account.twilio.streams(&call(2)) == ["callburner-2"]
    })
    .await;
    let stopped = format!("POST /Calls/{}/Streams/callburner-1.json", sid.as_str());
    assert_eq!(account.twilio.changes()[0], stopped);
}
