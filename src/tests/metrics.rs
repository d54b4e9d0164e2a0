//! The metrics at `/metrics`, and access to them.

use serde_json::{Value, json};

use super::RunningServer;
use super::phone::{MediaClient, eventually, speech, without_stalls};
use super::sign_in::{TestServer, assert_refused};
use crate::store::Role;

/// Returns the value of a metric; `None` if there is no such line.
pub(crate) fn figure(told: &str, name: &str) -> Option<f64> {
    let line = told.lines().find_map(|line| line.strip_prefix(name))?;
    line.strip_prefix(' ')?.parse().ok()
}

#[tokio::test]
async fn a_call_is_counted_while_it_goes_on_and_afterwards() {
    let server = RunningServer::start_with(without_stalls).await;
    let mut stream = MediaClient::start(server.addr, 1).await;
    stream.settle().await;
    let told = server.get("/metrics", "").await;
    assert_eq!(told.status, 200, "{}", told.body);
    let kind = told.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert_eq!(figure(&told.body, "callburner_media_streams"), Some(1.0));

    stream.send_audio(&speech()).await;
    stream.stop().await;
    stream.closed().await;
    let is_over = "callburner_streams_ended_total{reason=\"stopped\"}";
    eventually("the stream's end is counted", async || {
        let told = server.get("/metrics", "").await;
        figure(&told.body, is_over) == Some(1.0)
    })
    .await;
    let told = server.get("/metrics", "").await.body;
    let at = |name| figure(&told, name).unwrap_or_else(|| panic!("{name} in\n{told}"));
    let segments = at("callburner_segments_total{transcribed=\"true\"}") as u64;
    assert!(segments >= 1, "{told}");
    assert!(at("callburner_words_total") as u64 >= segments);
    assert_eq!(
        at("callburner_final_latency_seconds_count") as u64,
        segments
    );
    assert_eq!(
        at("callburner_engine_jobs_total{what=\"finals\"}") as u64,
        segments
    );
    assert!(at("callburner_engine_seconds_total{of=\"final_audio\"}") > 0.0);
    assert!(at("callburner_real_time_factor") >= 0.0);
    assert!(at("callburner_queue_age_seconds") <= 0.0);
    assert!(at("callburner_store_seconds_count{verb=\"open_stream\",result=\"ok\"}") >= 1.0);
    assert!(told.ends_with("# EOF\n"), "{told}");
}

#[tokio::test]
async fn what_twilio_posts_is_counted_by_the_answer() {
    let server = RunningServer::start().await;
    let post = super::request(server.addr, "POST", "/api/calls/status", "", "x=y");
    assert_eq!(post.await.status, 400);
    let told = server.get("/metrics", "").await.body;
    let posted = "callburner_webhooks_total{path=\"/api/calls/status\",status=\"400\"}";
    assert_eq!(figure(&told, posted), Some(1.0), "{told}");
}

#[tokio::test]
async fn figures_are_for_admins_and_their_machines() {
    let app = TestServer::open().await;
    let stranger = app.ask("GET", "/metrics", "", &Value::Null).await;
    assert_refused(&stranger, 401, "sign_in_required");
    let user = app.session("ada", Role::User).await;
    let refused = app.page("GET", "/metrics", &user, &Value::Null).await;
    assert_refused(&refused, 403, "not_allowed");

    let admin = app.session("bea", Role::Admin).await;
    let new = json!({ "name": "prometheus", "scopes": ["metrics"] });
    let token = app.page("POST", "/api/tokens", &admin, &new).await.json();
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        token["secret"].as_str().unwrap()
    );
    let told = app.ask("GET", "/metrics", &bearer, &Value::Null).await;
    assert_eq!(told.status, 200, "{}", told.body);
}
