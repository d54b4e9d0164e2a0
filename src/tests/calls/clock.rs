//! This machine's clock is set during calls: calls do not depend on the date.

use std::process::Command;

use serde_json::json;

use super::streams::{speak_again, streams_asked_for};
use super::{CallbackLeg, THEIRS, TestAccount, texts};
use crate::clock;
use crate::ids::Track;
use crate::store::Role;
use crate::tests::phone::speech;
use crate::tests::scenarios::call;
use crate::tests::sign_in::{PASSWORD, cookie};
use crate::transcript::EndReason;

const HOUR_SECONDS: i64 = 3_600;

/// The environment variable that allows a test to set this process's clock.
const ALONE: &str = "CALLBURNER_TEST_CLOCK";

#[test]
#[ignore = "sets the clock of its process, so that the next test runs it in one of its own"]
fn a_machine_whose_clock_is_set() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        calls_go_on().await;
        sessions_go_by_the_date().await;
    });
}

#[test]
fn a_clock_that_is_set_moves_no_word_and_hides_no_browser() {
    let told = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("tests::calls::clock::a_machine_whose_clock_is_set")
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{said}");
    assert!(said.contains("1 passed"), "it did not run: {said}");
}

/// Two hours ahead during a call, then two behind: consecutive streams keep their distance of some seconds,
/// and a connected browser still rings.
async fn calls_go_on() {
    let account = TestAccount::open().await;
    let (alice, twiml) = account.alice_calls().await;
    let identity = account.online(&alice).await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio_on(Track::Outbound, &speech()).await;
    for (n, hours) in [(2, 2), (3, -2)] {
        stream.reset();
        page.until(&call(1), |page| page.ended == Some(EndReason::Dropped))
            .await;
        clock::test_offset::set(hours * HOUR_SECONDS);
        let rung = account.ring(10 + n).await;
        assert!(rung.contains(&identity), "{hours} h: {rung}");
        streams_asked_for(&account, n as usize - 1).await;
        stream = speak_again(&account, &mut page, n).await;
    }
    stream.stop().await;
    let over = page
        .until(&call(1), |page| page.ended == Some(EndReason::Stopped))
        .await;
    let starts: Vec<u64> = over.segments.iter().map(|s| s.start_ms).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(starts.is_sorted() && starts[2] < 60_000, "{starts:?}");
    // Times in Twilio's callbacks are Twilio's.
    let child = CallbackLeg::child(4, 1, THEIRS, THEIRS);
    let at = ("Timestamp", "Sun, 22 Nov 2026 10:00:09 +0000");
    let more = [("SequenceNumber", "2"), at];
    assert_eq!(
        account.post_call_status(&child, "in-progress", &more).await,
        204
    );
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept).len(), 3);
    assert_eq!(kept["answeredAt"], "2026-11-22T10:00:09.000Z");
    clock::test_offset::set(0);
}

/// A session that appears to be idle for too long ends; signing in works, also after the clock is correct
/// again.
async fn sessions_go_by_the_date() {
    let account = TestAccount::open().await;
    let app = &account.app;
    app.user("ada", Role::User).await;
    for (days, lasts) in [(40, false), (-40, true), (0, false), (0, true)] {
        let begun = app.sign_in("ada", PASSWORD).await;
        assert_eq!(begun.status, 200, "{}", begun.body);
        let session = cookie(&begun);
        assert_eq!(app.signed_in_name(&session).await.as_deref(), Some("ada"));
        clock::test_offset::set(days * 24 * HOUR_SECONDS);
        // A clock that is set back prolongs a session by the same time.
        let who = app.signed_in_name(&session).await;
        assert_eq!(who.is_some(), lasts, "{days} days");
    }
}
