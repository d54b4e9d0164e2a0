//! A new installation: no account, no sign-in, and a simulated call to watch.

use serde_json::{Value, json};

use super::browser::{CallView, LiveClient};
use super::phone::{eventually, stall_free_config};
use super::{HttpResponse, keys, media_url, request};
use crate::app::{App, ServerConfig};
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::CallSid;
use crate::store::{Store, TranscriptState};
use crate::transcript::{CallStatus, EndReason, Speaker};
use crate::twilio_sim::{self, RecordedCall, StreamOptions};

async fn app(simulates: bool) -> App {
    app_on("sqlite::memory:", simulates).await
}

async fn app_on(database: &str, simulates: bool) -> App {
    let store = Store::open(database).await.unwrap();
    let endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut server_config = ServerConfig::behind(endpoint, store, engine, stall_free_config());
    server_config.endpoint.local_keys = Some(keys());
    server_config.is_simulation_enabled = simulates;
    App::start(server_config).await.unwrap()
}

async fn ask(app: &App, method: &str, path: &str) -> HttpResponse {
    request(app.address(), method, path, "", "").await
}

async fn state(app: &App) -> Value {
    ask(app, "GET", "/api/simulation").await.json()
}

#[tokio::test]
async fn a_page_asks_for_a_call_and_watches_it_until_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("calls.db").display());
    let app = app_on(&database, true).await;
    let nothing = json!({ "available": true, "callSid": null });
    assert_eq!(state(&app).await, nothing);
    let begun = ask(&app, "POST", "/api/simulation").await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let json = begun.json();
    let sid = CallSid::parse(json["callSid"].as_str().unwrap()).unwrap();
    assert_eq!(state(&app).await["callSid"], json["callSid"]);
    let figures = ask(&app, "GET", "/metrics").await.body;
    for line in [
        "callburner_calls{kind=\"simulated\"} 1",
        "callburner_calls{kind=\"telephone\"} 0",
    ] {
        assert!(
            figures.lines().any(|told| told == line),
            "{line} in\n{figures}"
        );
    }

    let second = ask(&app, "POST", "/api/simulation").await;
    assert_eq!(second.status, 409);
    assert_eq!(second.json()["error"]["code"], "simulation_running");

    let mut browser = LiveClient::connect(app.address()).await;
    browser.subscribe(&sid).await;
    let has_words = |page: &CallView| !page.partials.is_empty() || !page.segments.is_empty();
    let page = browser.until(&sid, has_words).await;
    assert_eq!(page.status, Some(CallStatus::InProgress));
    let listed = ask(&app, "GET", "/api/calls?status=in-progress")
        .await
        .json();
    assert_eq!(listed["calls"][0]["sid"], json["callSid"]);
    assert!(listed["calls"][0]["answeredAt"].is_string());

    let last = browser.until(&sid, |page| page.ended.is_some());
    let (page, ()) = tokio::join!(last, app.stop());
    assert_eq!(page.ended, Some(EndReason::ShuttingDown));
    let store = Store::open(&database).await.unwrap();
    let record = store.call_record(&sid).await.unwrap().unwrap();
    assert_eq!(record.status, CallStatus::Completed);
    assert_eq!(record.transcript, TranscriptState::Interrupted);
}

#[tokio::test]
async fn it_is_kept_like_any_other_call_and_makes_room_for_the_next() {
    let app = app(true).await;
    let options = StreamOptions {
        speed: f64::INFINITY,
        ..StreamOptions::fresh()
    };
    let sid = app.calls().simulate_call(None, options).await.unwrap();
    let record = async || app.store().call_record(&sid).await.unwrap().unwrap();
    let is_over = async || {
        let record = record().await;
        record.status.is_over() && record.transcript == TranscriptState::Complete
    };
    let is_free = async || is_over().await && app.calls().simulated_call().is_none();
    eventually("the end of the call", is_free).await;
    let record = record().await;
    assert_eq!(record.status, CallStatus::Completed);
    assert!(record.answered_at.is_some() && record.ended_at.is_some());
    let segments = app.store().segments(&sid).await.unwrap();
    for speaker in [Speaker::Agent, Speaker::Customer] {
        let theirs = segments.iter().filter(|s| s.speaker == speaker);
        assert!(theirs.count() >= 4, "{speaker:?}: {segments:?}");
    }
    let next = ask(&app, "POST", "/api/simulation").await;
    assert_eq!(next.status, 201, "{}", next.body);
    app.stop().await;
}

#[tokio::test]
async fn beside_a_public_address_it_is_heard_and_nobody_else() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let endpoint = EndpointConfig {
        public_base_url: Some("https://calls.example.org".parse().unwrap()),
        public_url: "https://calls.example.org".parse().unwrap(),
        ..EndpointConfig::local(([127, 0, 0, 1], 0).into())
    };
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut server_config = ServerConfig::behind(endpoint, store, engine, stall_free_config());
    (
        server_config.is_simulation_enabled,
        server_config.endpoint.local_keys,
    ) = (true, Some(keys()));
    let app = App::start(server_config).await.unwrap();
    let options = StreamOptions {
        speed: f64::INFINITY,
        ..StreamOptions::fresh()
    };
    let strange = twilio_sim::play_call(
        &media_url(app.address()),
        &RecordedCall::default(),
        &options,
    )
    .await;
    assert!(
        strange.is_err(),
        "the simulator key opens a server that only its own machine reaches"
    );
    let sid = app.calls().simulate_call(None, options).await.unwrap();
    let record = async || app.store().call_record(&sid).await.unwrap().unwrap();
    let is_over = async || record().await.transcript == TranscriptState::Complete;
    eventually("the end of the call", is_over).await;
    assert!(app.store().segments(&sid).await.unwrap().len() >= 8);
    app.stop().await;
}

#[tokio::test]
async fn where_calls_are_real_none_is_simulated() {
    let app = app(false).await;
    let nothing = json!({ "available": false, "callSid": null });
    assert_eq!(state(&app).await, nothing);
    let refused = ask(&app, "POST", "/api/simulation").await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"]["code"], "simulation_off");
    app.stop().await;
}
