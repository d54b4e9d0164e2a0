//! Failures around a call in progress: the database, the disk, Twilio's API, a recognizer.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CallbackLeg, OURS, THEIRS, TestAccount, texts};
use crate::app::{App, ServerConfig};
use crate::archive::AudioArchive;
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::recognizer::{
    Hypothesis, RecognizeError, RecognizeRequest, Recognizer, ScriptedRecognizer,
};
use crate::store::{InjectedFault, Role, Store};
use crate::tests::metrics::figure;
use crate::tests::phone::{MediaClient, eventually, speech, stall_free_config};
use crate::tests::scenarios::call;
use crate::tests::sign_in::assert_refused;
use crate::tests::twilio_api::{ApiFault, FakeTwilio};
use crate::tests::{LogCapture, keys};
use crate::transcript::EndReason;
use crate::twilio::api::retry::RetryPolicy;
use crate::twilio::api::{TwilioClient, TwilioClientConfig};

/// Returns an utterance, and the silence that ends it.
fn utterance() -> Vec<u8> {
    [&speech()[..], &[0xff; 16_000]].concat()
}

/// Returns the status of `/readyz`, and its reasons.
async fn ready(account: &TestAccount) -> (u16, String) {
    let answer = account.app.server.get("/readyz", "").await;
    (answer.status, answer.json()["reasons"].to_string())
}

/// Returns the value of a metric.
async fn told(account: &TestAccount, admin: &str, name: &str) -> Option<f64> {
    let answer = account.page("GET", "/metrics", admin, &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    figure(&answer.body, name)
}

#[tokio::test]
async fn without_a_database_a_call_goes_through_and_its_words_wait_in_memory() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    let mut page = account.app.listen(&alice).await.ok().unwrap();
    page.settle().await;
    account
        .app
        .store
        .inject_fault(Some(InjectedFault::Unavailable));

    let twiml = account.dial(1, &identity, THEIRS).await;
    assert!(
        twiml.contains("<Dial") && twiml.contains("<Stream"),
        "{twiml}"
    );
    let list = account
        .page("GET", "/api/calls", &alice, &Value::Null)
        .await;
    assert_refused(&list, 503, "store_unavailable");
    let (status, reasons) = ready(&account).await;
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("the database cannot be used"), "{reasons}");
    page.subscribe(&call(1)).await;
    page.settle().await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio(&utterance()).await;
    let heard = page.until(&call(1), |page| page.segments.len() == 1).await;
    assert_eq!(heard.texts(), ["one two three"]);
    stream.stop().await;
    stream.closed().await;
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    let sequence = [("SequenceNumber", "3")];
    assert_eq!(
        account
            .post_call_status(&child, "completed", &sequence)
            .await,
        503
    );

    account.app.store.inject_fault(None);
    assert_eq!(
        account
            .post_call_status(&child, "completed", &sequence)
            .await,
        204
    );
    account.wait_for_call(1, &alice).await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(ready(&account).await.0, 200);
}

#[tokio::test]
async fn a_server_that_stops_without_a_database_says_that_words_are_lost() {
    let log = LogCapture::listen();
    let store = Store::open("sqlite::memory:").await.unwrap();
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.local_keys = Some(keys());
    let server_config = ServerConfig::behind(endpoint, store.clone(), engine, stall_free_config());
    let app = App::start(server_config).await.unwrap();
    let mut stream = MediaClient::start(app.address(), 1).await;
    stream.settle().await;
    store.inject_fault(Some(InjectedFault::Unavailable));
    stream.send_audio(&speech()).await;
    stream.stop().await;
    stream.closed().await;
    app.stop().await;
    let said = log.text();
    assert!(
        said.contains("the end of this call's transcript is lost"),
        "{said}"
    );
}

/// A server with an audio archive, its folder, and an admin.
async fn open_with_archive() -> (TestAccount, AudioArchive, TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let audio_archive = AudioArchive::open(folder.path()).unwrap();
    let account = TestAccount::open_with(|server_config| {
        (
            server_config.audio_archive,
            server_config.is_archiving_enabled,
        ) = (Some(audio_archive.clone()), true);
    });
    let account = account.await;
    let admin = account.app.session("carol", Role::Admin).await;
    (account, audio_archive, folder, admin)
}

#[tokio::test]
async fn on_a_full_disk_a_call_goes_on_and_its_words_wait_for_room() {
    let (account, audio_archive, _folder, admin) = open_with_archive().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    eventually("the first words and sound", async || {
        texts(&account.read(1, &alice).await).len() == 1
            && audio_archive.read(&call(1)).unwrap().is_some()
    })
    .await;
    let sound = audio_archive.read(&call(1)).unwrap().unwrap().bytes;

    account
        .app
        .store
        .inject_fault(Some(InjectedFault::DiskFull));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    audio_archive.replace_file(&call(1), full);
    stream.send_audio(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 2).await;
    eventually("a server that is not ready", async || {
        ready(&account).await.0 == 503
    })
    .await;
    let (_, reasons) = ready(&account).await;
    assert!(reasons.contains("DATA_DIR is full"), "{reasons}");
    let failed = told(&account, &admin, "callburner_archives{what=\"failed\"}").await;
    assert_eq!(failed, Some(1.0));
    stream.stop().await;
    stream.closed().await;
    let kept = account.read(1, &alice).await;
    assert_eq!(
        (texts(&kept).len(), &kept["transcript"]),
        (1, &json!("live"))
    );

    account.app.store.inject_fault(None);
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept).len(), 2);
    assert!(audio_archive.read(&call(1)).unwrap().unwrap().bytes >= sound);
    // The next call is archived again.
    let identity = account.identity(&alice).await;
    let twiml = account.dial(3, &identity, THEIRS).await;
    let mut stream = account.stream(&twiml, 3, 3).await;
    stream.send_audio(&utterance()).await;
    stream.stop().await;
    eventually("a server that is ready", async || {
        ready(&account).await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn while_the_disk_hangs_words_go_on_and_sound_waits_in_memory() {
    let (account, audio_archive, _folder, _) = open_with_archive().await;
    let (alice, twiml) = account.alice_calls().await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio(&utterance()).await;
    eventually("the first sound", async || {
        audio_archive.read(&call(1)).unwrap().is_some()
    })
    .await;
    // A full pipe simulates a disk that does not respond.
    let (mut disk, mut pipe) = std::io::pipe().unwrap();
    pipe.write_all(&vec![0; 65_536]).unwrap();
    audio_archive.replace_file(&call(1), File::from(OwnedFd::from(pipe)));
    for n in 2..=4 {
        stream.send_audio(&utterance()).await;
        page.until(&call(1), |page| page.segments.len() == n).await;
    }
    let kept = async || texts(&account.read(1, &alice).await).len() == 4;
    eventually("every word in the database", kept).await;
    // Requests for audio do not wait for it either.
    let path = format!("/api/calls/{}/audio", call(1).as_str());
    let sound = account.page("HEAD", &path, &alice, &Value::Null).await;
    assert_eq!(sound.status, 200);
    assert_eq!(audio_archive.health().lost_ms, 0);

    // The disk responds again.
    let reader = std::thread::spawn(move || {
        let mut written = Vec::new();
        disk.read_to_end(&mut written).map(|_| written)
    });
    stream.stop().await;
    account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    audio_archive.stop(); // Writes all that waits, and lets go of the pipe.
    let written = reader.join().unwrap().unwrap();
    let sound = &written[65_536..];
    assert!(
        sound.windows(4).any(|bytes| bytes == b"OggS"),
        "{}",
        sound.len()
    );
}

/// A client for Twilio's API at an address without a listener.
fn nowhere(twilio: &FakeTwilio) -> TwilioClient {
    TwilioClient::new(TwilioClientConfig {
        base_url: "http://127.0.0.1:1".to_owned(),
        ..twilio.config()
    })
    .unwrap()
}

#[tokio::test]
async fn while_twilios_api_is_down_calls_and_words_go_on_and_the_page_is_told() {
    let tasks = crate::tasks::Tasks::default();
    let twilio_client = nowhere(&FakeTwilio::start(&tasks));
    let account =
        TestAccount::open_with(|server_config| server_config.twilio = Some(twilio_client)).await;
    let (alice, twiml) = account.alice_calls().await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    for command in ["recording/start", "hangup"] {
        let refused = account.command(1, command, &alice).await;
        assert_refused(&refused, 502, "twilio_unreachable");
    }
    assert_eq!(account.read(1, &alice).await["recording"], Value::Null);
    stream.send_audio(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    // The stream breaks, and no other can be requested: the transcript until then is kept.
    stream.reset();
    page.until(&call(1), |page| page.ended == Some(EndReason::Dropped))
        .await;
    let child = CallbackLeg::child(2, 1, OURS, THEIRS);
    let sequence = [("SequenceNumber", "3")];
    assert_eq!(
        account
            .post_call_status(&child, "completed", &sequence)
            .await,
        204
    );
    account.post_dial_ended(1, Some(2), "completed").await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("interrupted"))
        .await;
    assert_eq!(
        (texts(&kept), &kept["status"]),
        (vec!["one two three"], &json!("completed"))
    );
}

#[tokio::test]
async fn a_twilio_that_is_slow_or_busy_costs_what_was_asked_and_nothing_else() {
    let retry_policy = RetryPolicy {
        request_timeout: Duration::from_millis(500),
        ..FakeTwilio::retry_policy()
    };
    let account = TestAccount::open_with_retry_policy(retry_policy, |_| {}).await;
    let (alice, twiml) = account.alice_calls().await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    let asked = account.twilio.requests().len();
    account
        .twilio
        .inject_fault_next(ApiFault::Refuse(429, Some(60)));
    let busy = account.command(1, "recording/start", &alice).await;
    assert_refused(&busy, 502, "twilio_busy");
    assert_eq!(
        account.twilio.requests().len(),
        asked + 1,
        "it was not let alone"
    );

    // Twilio processes the request but never responds, so the recording is looked up, without success.
    for _ in 0..8 {
        account.twilio.inject_fault_next(ApiFault::Stall);
    }
    let words = async {
        stream.send_audio(&utterance()).await;
        let page = page.until(&call(1), |page| page.segments.len() == 1).await;
        page.texts().len()
    };
    let (slow, words) = tokio::join!(account.command(1, "recording/start", &alice), words);
    assert_refused(&slow, 502, "twilio_lost");
    assert_eq!(words, 1);
    stream.stop().await;
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
}

/// A recognizer that panics at its first final.
struct PanickingRecognizer {
    inner: ScriptedRecognizer,
    has_panicked: bool,
}

impl Recognizer for PanickingRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let is_final = request.effort != crate::engine::recognizer::Effort::Partial;
        let faints = is_final && !std::mem::replace(&mut self.has_panicked, true);
        assert!(!faints, "as the test wanted");
        self.inner.recognize(request)
    }
}

#[tokio::test]
async fn a_recogniser_that_panics_marks_one_utterance_and_hears_the_next() {
    let account = TestAccount::open_with(|server_config| {
        let (inner, has_panicked) = (ScriptedRecognizer::default(), false);
        server_config.engine = Engine::start(vec![Box::new(PanickingRecognizer {
            inner,
            has_panicked,
        })]);
    });
    let account = account.await;
    let admin = account.app.session("carol", Role::Admin).await;
    let (alice, twiml) = account.alice_calls().await;
    let mut page = account.listen(1, &alice).await;
    let mut stream = account.stream(&twiml, 1, 1).await;
    stream.send_audio(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    stream.send_audio(&utterance()).await;
    stream.stop().await;
    let heard = page.until(&call(1), |page| page.ended.is_some()).await;
    let marks: Vec<bool> = heard.segments.iter().map(|s| s.transcribed).collect();
    assert_eq!(marks, [false, true]);
    let lost = "callburner_segments_total{transcribed=\"false\"}";
    assert_eq!(told(&account, &admin, lost).await, Some(1.0));
    let kept = account
        .wait_for_field(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(kept["segments"].as_array().unwrap().len(), 2);
}
