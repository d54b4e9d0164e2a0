//! Twilio's Real-Time Transcription, published on the same channel and written to the same store.

use serde_json::{Value, json};

use super::{BASE, CallbackLeg, THEIRS, TestAccount, texts};
use crate::clock;
use crate::config::TranscriptionSource;
use crate::tests::phone::eventually;
use crate::tests::scenarios::call;
use crate::tests::twilio_api::ACCOUNT;
use crate::transcript::EndReason;

/// A server with Twilio's Real-Time Transcription.
async fn open() -> TestAccount {
    TestAccount::open_with(|server_config| {
        server_config.calls.transcription_source = TranscriptionSource::Twilio;
    })
    .await
}

/// Posts an event of the first call's transcription.
async fn tell(account: &TestAccount, event: &str, sequence: u32, more: &[(&str, &str)]) {
    let (sid, sequence, at) = (call(1), sequence.to_string(), clock::utc_now().to_string());
    let mut form = vec![
        ("CallSid", sid.as_str()),
        ("TranscriptionSid", "GT00000000000000000000000000000001"),
        ("TranscriptionEvent", event),
        ("SequenceId", &sequence),
        ("Timestamp", &at),
    ];
    form.extend(more);
    let answer = account.post("/api/transcriptions/realtime", &form).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
}

async fn say(account: &TestAccount, sequence: u32, track: &str, is_final: bool, text: &str) {
    let data = json!({ "transcript": text, "confidence": 0.9 }).to_string();
    let more = [
        ("Track", track),
        ("Final", if is_final { "true" } else { "false" }),
        ("TranscriptionData", &data),
        ("LanguageCode", "en-US"),
    ];
    tell(account, "transcription-content", sequence, &more).await;
}

#[tokio::test]
async fn twilios_words_are_heard_and_kept_as_our_own() {
    let account = open().await;
    let (alice, twiml) = account.alice_calls().await;
    let start = format!(
        "<Start><Transcription name=\"callburner\" statusCallbackUrl=\"{BASE}/api/transcriptions/realtime#"
    );
    assert!(
        twiml.contains(&start) && !twiml.contains("<Stream"),
        "{twiml}"
    );
    let mut browser = account.listen(1, &alice).await;
    tell(&account, "transcription-started", 1, &[]).await;
    say(&account, 2, "inbound_track", false, " Hel").await;
    browser
        .until(&call(1), |page| page.partials.len() == 1)
        .await;
    say(&account, 3, "inbound_track", true, "Hello?").await;
    say(&account, 4, "outbound_track", true, "Who is there?").await;
    browser
        .until(&call(1), |page| page.segments.len() == 2)
        .await;
    assert_eq!(account.read(1, &alice).await["transcript"], "live");
    // Content that arrives after the end is still published.
    tell(&account, "transcription-stopped", 6, &[]).await;
    say(&account, 5, "inbound_track", true, "It is me.").await;
    account.post_dial_ended(1, Some(2), "completed").await;
    let page = browser.until(&call(1), |page| page.ended.is_some()).await;
    assert_eq!(page.texts(), ["Hello?", "Who is there?", "It is me."]);
    assert!(page.partials.is_empty());
    assert_eq!(page.ended, Some(EndReason::Stopped));
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    let mut kept_texts = texts(&kept);
    kept_texts.sort_unstable();
    assert_eq!(kept_texts, ["Hello?", "It is me.", "Who is there?"]);
    let who = |text: &str| {
        let mut all = kept["segments"].as_array().unwrap().iter();
        all.find(|segment| segment["text"] == text).unwrap()["speaker"].clone()
    };
    assert_eq!(
        (who("Hello?"), who("Who is there?")),
        (json!("agent"), json!("customer"))
    );
}

#[tokio::test]
async fn words_that_come_after_the_calls_end_are_kept_and_nothing_stays_open() {
    let account = open().await;
    let (alice, _) = account.alice_calls().await;
    tell(&account, "transcription-started", 1, &[]).await;
    say(&account, 2, "inbound_track", true, "First.").await;
    account.post_dial_ended(1, Some(2), "completed").await;
    account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    say(&account, 3, "inbound_track", true, "Last.").await;
    tell(&account, "transcription-stopped", 4, &[]).await;
    let is_there = async || texts(&account.read(1, &alice).await) == ["First.", "Last."];
    eventually("the last words", is_there).await;
    account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    let transcript_writer = &account.app.server.state.media_deps.transcript_writer;
    eventually("the transcript writer's rest", async || {
        transcript_writer.active_call_count() == 0
    })
    .await;
    // A late start does not start the transcription either.
    tell(&account, "transcription-started", 1, &[]).await;
    assert_eq!(account.read(1, &alice).await["transcript"], "complete");
}

#[tokio::test]
async fn a_transcription_that_fails_is_interrupted_and_the_call_goes_on() {
    let account = open().await;
    let (alice, _) = account.alice_calls().await;
    let failed = [
        ("TranscriptionErrorCode", "32650"),
        ("TranscriptionError", "no engine"),
    ];
    tell(&account, "transcription-error", 1, &failed).await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("interrupted"))
        .await;
    assert_eq!(kept["events"][0]["kind"], "transcription_failed");
    assert_eq!(kept["events"][0]["detail"], "32650 no engine");
    let child = CallbackLeg::child(2, 1, THEIRS, THEIRS);
    assert_eq!(
        account.post_call_status(&child, "in-progress", &[]).await,
        204
    );
    assert_eq!(account.read(1, &alice).await["status"], "in-progress");
}

#[tokio::test]
async fn a_call_that_nobody_wrote_down_is_not_waited_for_after_its_end() {
    let account = open().await;
    let (alice, _) = account.alice_calls().await;
    assert_eq!(account.read(1, &alice).await["transcript"], "waiting");
    account.post_dial_ended(1, Some(2), "completed").await;
    assert_eq!(account.read(1, &alice).await["transcript"], "interrupted");

    let off = TestAccount::open_with(|server_config| {
        server_config.calls.transcription_source = TranscriptionSource::Off;
    })
    .await;
    let (alice, twiml) = off.alice_calls().await;
    assert!(!twiml.contains("<Start>"), "{twiml}");
    off.post_dial_ended(1, Some(2), "completed").await;
    assert_eq!(off.read(1, &alice).await["transcript"], "off");
    assert_eq!(off.read(1, &alice).await["segments"], Value::Array(vec![]));
}

#[tokio::test]
async fn words_that_twilio_tells_twice_are_heard_once() {
    let account = open().await;
    let (alice, _) = account.alice_calls().await;
    let said = |text: &str, number: &str, transcription: &str| {
        let data = json!({ "transcript": text, "confidence": 0.9 }).to_string();
        let (sid, at) = (call(1), clock::utc_now().to_string());
        let form = [
            ("AccountSid", ACCOUNT),
            ("CallSid", sid.as_str()),
            ("TranscriptionSid", transcription),
            ("TranscriptionEvent", "transcription-content"),
            ("SequenceId", number),
            ("Timestamp", &at),
            ("Track", "inbound_track"),
            ("Final", "true"),
            ("TranscriptionData", &data),
            ("LanguageCode", "en-US"),
        ];
        let url = format!("{BASE}/api/transcriptions/realtime");
        account.twilio.callback(&url, &form)
    };
    let [first, second] = [1, 2].map(|n| format!("GT{n:032}"));
    let hello = said("Hello?", "2", &first);
    let other_name = said("Hello?", "2", &first);
    let again = said("It is me.", "2", &second);
    let addr = account.app.server.addr;
    for callback in [&hello, &hello, &other_name, &again] {
        assert_eq!(account.twilio.deliver(addr, callback).await.status, 204);
    }
    account.post_dial_ended(1, Some(2), "completed").await;
    // The response was late: Twilio repeats the request after the end.
    for callback in [&hello, &again] {
        assert_eq!(account.twilio.deliver(addr, callback).await.status, 204);
    }
    tell(&account, "transcription-stopped", 3, &[]).await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["Hello?", "It is me."]);
}
