//! What fails around a call while it goes on: the database, the disk, Twilio's API, a recogniser.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Leg, OURS, Office, THEIRS, texts};
use crate::app::{App, Parts};
use crate::archive::Shelf;
use crate::config::Doors;
use crate::engine::Engine;
use crate::engine::recognizer::{
    Hypothesis, RecognizeError, Recognizer, Request, ScriptedRecognizer,
};
use crate::store::{Fault, Role, Store};
use crate::tests::metrics::figure;
use crate::tests::phone::{Stream, eventually, speech, unhurried_voice};
use crate::tests::sign_in::assert_refused;
use crate::tests::stories::call;
use crate::tests::twilio_api::{FakeTwilio, Trouble};
use crate::tests::{Log, keys};
use crate::transcript::EndReason;
use crate::twilio::rest::retry::Patience;
use crate::twilio::rest::{Rest, RestConfig};

/// An utterance, and the silence that ends it.
fn utterance() -> Vec<u8> {
    [&speech()[..], &[0xff; 16_000]].concat()
}

/// Whether a call could be taken now, and why not.
async fn ready(office: &Office) -> (u16, String) {
    let answer = office.house.server.get("/readyz", "").await;
    (answer.status, answer.json()["reasons"].to_string())
}

/// A figure of the operator's.
async fn told(office: &Office, admin: &str, name: &str) -> Option<f64> {
    let answer = office.page("GET", "/metrics", admin, &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    figure(&answer.body, name)
}

#[tokio::test]
async fn without_a_database_a_call_goes_through_and_its_words_wait_in_memory() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    let mut page = office.house.listen(&alice).await.ok().unwrap();
    page.settle().await;
    office.house.store.suffer(Some(Fault::Gone));

    let twiml = office.dial(1, &identity, THEIRS).await;
    assert!(
        twiml.contains("<Dial") && twiml.contains("<Stream"),
        "{twiml}"
    );
    let list = office.page("GET", "/api/calls", &alice, &Value::Null).await;
    assert_refused(&list, 503, "store_unavailable");
    let (status, reasons) = ready(&office).await;
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("the database cannot be used"), "{reasons}");
    page.subscribe(&call(1)).await;
    page.settle().await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak(&utterance()).await;
    let heard = page.until(&call(1), |page| page.segments.len() == 1).await;
    assert_eq!(heard.texts(), ["one two three"]);
    stream.stop().await;
    stream.closed().await;
    let child = Leg::child(2, 1, OURS, THEIRS);
    let sequence = [("SequenceNumber", "3")];
    assert_eq!(office.moved(&child, "completed", &sequence).await, 503);

    office.house.store.suffer(None);
    assert_eq!(office.moved(&child, "completed", &sequence).await, 204);
    office.appears(1, &alice).await;
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
    assert_eq!(ready(&office).await.0, 200);
}

#[tokio::test]
async fn a_server_that_stops_without_a_database_says_that_words_are_lost() {
    let log = Log::listen();
    let store = Store::open("sqlite::memory:").await.unwrap();
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut doors = Doors::local(([127, 0, 0, 1], 0).into());
    doors.local_keys = Some(keys());
    let parts = Parts::behind(doors, store.clone(), engine, unhurried_voice());
    let app = App::start(parts).await.unwrap();
    let mut stream = Stream::start(app.address(), 1).await;
    stream.settle().await;
    store.suffer(Some(Fault::Gone));
    stream.speak(&speech()).await;
    stream.stop().await;
    stream.closed().await;
    app.stop().await;
    let said = log.text();
    assert!(
        said.contains("the last words of this call are lost"),
        "{said}"
    );
}

/// A server that keeps calls' audio, its folder, and an admin.
async fn studio() -> (Office, Shelf, TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path()).unwrap();
    let office = Office::open_with(|parts| {
        (parts.shelf, parts.archives) = (Some(shelf.clone()), true);
    });
    let office = office.await;
    let admin = office.house.session("carol", Role::Admin).await;
    (office, shelf, folder, admin)
}

#[tokio::test]
async fn on_a_full_disk_a_call_goes_on_and_its_words_wait_for_room() {
    let (office, shelf, _folder, admin) = studio().await;
    let (alice, twiml) = office.alice_calls().await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    eventually("the first words and sound", async || {
        texts(&office.read(1, &alice).await).len() == 1 && shelf.read(&call(1)).unwrap().is_some()
    })
    .await;
    let sound = shelf.read(&call(1)).unwrap().unwrap().bytes;

    office.house.store.suffer(Some(Fault::Full));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    shelf.replace_file(&call(1), full);
    stream.speak(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 2).await;
    eventually("a server that is not ready", async || {
        ready(&office).await.0 == 503
    })
    .await;
    let (_, reasons) = ready(&office).await;
    assert!(reasons.contains("DATA_DIR is full"), "{reasons}");
    let failed = told(&office, &admin, "callburner_archives{what=\"failed\"}").await;
    assert_eq!(failed, Some(1.0));
    stream.stop().await;
    stream.closed().await;
    let kept = office.read(1, &alice).await;
    assert_eq!(
        (texts(&kept).len(), &kept["transcript"]),
        (1, &json!("live"))
    );

    office.house.store.suffer(None);
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept).len(), 2);
    assert!(shelf.read(&call(1)).unwrap().unwrap().bytes >= sound);
    // The next call's audio is kept again.
    let identity = office.identity(&alice).await;
    let twiml = office.dial(3, &identity, THEIRS).await;
    let mut stream = office.stream(&twiml, 3, 3).await;
    stream.speak(&utterance()).await;
    stream.stop().await;
    eventually("a server that is ready", async || {
        ready(&office).await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn while_the_disk_hangs_words_go_on_and_sound_waits_in_memory() {
    let (office, shelf, _folder, _) = studio().await;
    let (alice, twiml) = office.alice_calls().await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak(&utterance()).await;
    eventually("the first sound", async || {
        shelf.read(&call(1)).unwrap().is_some()
    })
    .await;
    // A pipe that is full stands in for a disk that does not answer.
    let (mut disk, mut pipe) = std::io::pipe().unwrap();
    pipe.write_all(&vec![0; 65_536]).unwrap();
    shelf.replace_file(&call(1), File::from(OwnedFd::from(pipe)));
    for n in 2..=4 {
        stream.speak(&utterance()).await;
        page.until(&call(1), |page| page.segments.len() == n).await;
    }
    let kept = async || texts(&office.read(1, &alice).await).len() == 4;
    eventually("every word in the database", kept).await;
    // Nothing that asks for sound waits for it, either.
    let path = format!("/api/calls/{}/audio", call(1).as_str());
    let sound = office.page("HEAD", &path, &alice, &Value::Null).await;
    assert_eq!(sound.status, 200);
    assert_eq!(shelf.health().lost_ms, 0);

    // It moves again.
    let reader = std::thread::spawn(move || {
        let mut written = Vec::new();
        disk.read_to_end(&mut written).map(|_| written)
    });
    stream.stop().await;
    office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    shelf.stop(); // Writes all that waits, and lets go of the pipe.
    let written = reader.join().unwrap().unwrap();
    let sound = &written[65_536..];
    assert!(
        sound.windows(4).any(|bytes| bytes == b"OggS"),
        "{}",
        sound.len()
    );
}

/// A client of Twilio's, at whose address nobody listens.
fn nowhere(twilio: &FakeTwilio) -> Rest {
    Rest::new(RestConfig {
        base_url: "http://127.0.0.1:1".to_owned(),
        ..twilio.config()
    })
    .unwrap()
}

#[tokio::test]
async fn while_twilios_api_is_down_calls_and_words_go_on_and_the_page_is_told() {
    let world = crate::tasks::Tasks::default();
    let rest = nowhere(&FakeTwilio::start(&world));
    let office = Office::open_with(|parts| parts.rest = Some(rest)).await;
    let (alice, twiml) = office.alice_calls().await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    for command in ["recording/start", "hangup"] {
        let refused = office.command(1, command, &alice).await;
        assert_refused(&refused, 502, "twilio_unreachable");
    }
    assert_eq!(office.read(1, &alice).await["recording"], Value::Null);
    stream.speak(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    // Its stream breaks off, and no other can be asked for: the words until then are there.
    stream.reset();
    page.until(&call(1), |page| page.ended == Some(EndReason::Dropped))
        .await;
    let child = Leg::child(2, 1, OURS, THEIRS);
    let sequence = [("SequenceNumber", "3")];
    assert_eq!(office.moved(&child, "completed", &sequence).await, 204);
    office.dial_ended(1, Some(2), "completed").await;
    let kept = office
        .becomes(1, &alice, "transcript", &json!("interrupted"))
        .await;
    assert_eq!(
        (texts(&kept), &kept["status"]),
        (vec!["one two three"], &json!("completed"))
    );
}

#[tokio::test]
async fn a_twilio_that_is_slow_or_busy_costs_what_was_asked_and_nothing_else() {
    let patience = Patience {
        request: Duration::from_millis(500),
        ..FakeTwilio::patience()
    };
    let office = Office::open_patient(patience, |_| {}).await;
    let (alice, twiml) = office.alice_calls().await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    let asked = office.twilio.requests().len();
    office.twilio.trouble_next(Trouble::Refuse(429, Some(60)));
    let busy = office.command(1, "recording/start", &alice).await;
    assert_refused(&busy, 502, "twilio_busy");
    assert_eq!(
        office.twilio.requests().len(),
        asked + 1,
        "it was not let alone"
    );

    // It does what it is asked, and never says so: it is looked for, in vain.
    for _ in 0..8 {
        office.twilio.trouble_next(Trouble::Stall);
    }
    let words = async {
        stream.speak(&utterance()).await;
        let page = page.until(&call(1), |page| page.segments.len() == 1).await;
        page.texts().len()
    };
    let (slow, words) = tokio::join!(office.command(1, "recording/start", &alice), words);
    assert_refused(&slow, 502, "twilio_lost");
    assert_eq!(words, 1);
    stream.stop().await;
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(texts(&kept), ["one two three"]);
}

/// Panics at its first final.
struct Faint {
    inner: ScriptedRecognizer,
    has_fainted: bool,
}

impl Recognizer for Faint {
    fn recognize(&mut self, request: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
        let is_final = request.effort != crate::engine::recognizer::Effort::Draft;
        let faints = is_final && !std::mem::replace(&mut self.has_fainted, true);
        assert!(!faints, "as the test wanted");
        self.inner.recognize(request)
    }
}

#[tokio::test]
async fn a_recogniser_that_panics_marks_one_utterance_and_hears_the_next() {
    let office = Office::open_with(|parts| {
        let (inner, has_fainted) = (ScriptedRecognizer::default(), false);
        parts.engine = Engine::start(vec![Box::new(Faint { inner, has_fainted })]);
    });
    let office = office.await;
    let admin = office.house.session("carol", Role::Admin).await;
    let (alice, twiml) = office.alice_calls().await;
    let mut page = office.listen(1, &alice).await;
    let mut stream = office.stream(&twiml, 1, 1).await;
    stream.speak(&utterance()).await;
    page.until(&call(1), |page| page.segments.len() == 1).await;
    stream.speak(&utterance()).await;
    stream.stop().await;
    let heard = page.until(&call(1), |page| page.ended.is_some()).await;
    let marks: Vec<bool> = heard.segments.iter().map(|s| s.transcribed).collect();
    assert_eq!(marks, [false, true]);
    let lost = "callburner_segments_total{transcribed=\"false\"}";
    assert_eq!(told(&office, &admin, lost).await, Some(1.0));
    let kept = office
        .becomes(1, &alice, "transcript", &json!("complete"))
        .await;
    assert_eq!(kept["segments"].as_array().unwrap().len(), 2);
}
