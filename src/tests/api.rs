//! Properties of the whole API: one format of errors, and the two health endpoints.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::{HttpResponse, RunningServer, request, serve};
use crate::api::{ApiError, openapi_json, with_error_layer};
use crate::archive::AudioArchive;
use crate::cli::healthcheck;
use crate::ids::{CallSid, Track};
use crate::limits;
use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// Asserts the format of an error, and returns its code.
fn code(answer: &HttpResponse) -> String {
    let json = answer.json();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let error = json["error"].as_object().expect("an `error` object");
    let keys: Vec<&String> = error.keys().collect();
    assert_eq!(keys, ["code", "message", "requestId"]);
    assert!(!error["message"].as_str().unwrap().is_empty());
    assert_eq!(error["requestId"].as_str(), answer.header("x-request-id"));
    error["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_unknown_path_a_wrong_method_and_a_plain_get_have_the_one_shape() {
    let server = RunningServer::start().await;
    let unknown = server.get("/nothing/here", "").await;
    assert_eq!(
        (unknown.status, code(&unknown).as_str()),
        (404, "not_found")
    );

    let wrong = request(server.addr, "DELETE", "/healthz", "", "").await;
    assert_eq!(
        (wrong.status, code(&wrong).as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));

    let plain = server.get("/ws/transcriptions", "").await;
    assert_eq!((plain.status, code(&plain).as_str()), (400, "bad_request"));
    let plain = server.get("/ws/transcriptions?callSid=x", "").await;
    assert_eq!((plain.status, code(&plain).as_str()), (400, "bad_request"));
}

#[tokio::test]
async fn what_handlers_and_extractors_refuse_has_the_one_shape() {
    async fn broken() -> ApiError {
        ApiError::internal(anyhow::anyhow!("the secret cause"))
    }
    async fn own_words() -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
        (
            StatusCode::BAD_REQUEST,
            [("content-type", "text/xml")],
            "<Response/>",
        )
    }
    let routes = Router::new()
        .route("/broken", get(broken))
        .route("/own", get(own_words))
        .route("/post", post(|body: String| async { body }))
        .layer(DefaultBodyLimit::max(10));
    let tasks = Tasks::default();
    let addr = serve(with_error_layer(routes, Metrics::default()), &tasks);

    let answer = request(addr, "GET", "/broken", "", "").await;
    assert_eq!((answer.status, code(&answer).as_str()), (500, "internal"));
    assert!(!answer.body.contains("secret"), "{}", answer.body);

    let answer = request(addr, "POST", "/post", "", "longer than ten").await;
    assert_eq!((answer.status, code(&answer).as_str()), (413, "too_large"));
    let answer = request(addr, "POST", "/post", "", "short").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "short"));

    let answer = request(addr, "GET", "/own", "", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "<Response/>"));
    assert!(answer.header("x-request-id").is_some());

    let answer = request(addr, "GET", "/gone", "", "").await;
    assert_eq!((answer.status, code(&answer).as_str()), (404, "not_found"));
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let server = RunningServer::start().await;
    let answer = server
        .get("/healthz", "X-Request-Id: from-proxy_1.2\r\n")
        .await;
    assert_eq!(answer.header("x-request-id"), Some("from-proxy_1.2"));
    let answer = server
        .get("/nowhere", "X-Request-Id: from-proxy_1.2\r\n")
        .await;
    assert_eq!(answer.json()["error"]["requestId"], "from-proxy_1.2");

    let mut seen = Vec::new();
    for given in ["a b", "<script>", &"x".repeat(65), ""] {
        let answer = server
            .get("/nowhere", &format!("X-Request-Id: {given}\r\n"))
            .await;
        code(&answer);
        let made = answer.header("x-request-id").unwrap().to_owned();
        assert!(made.len() == 16 && made != given, "{made:?}");
        assert!(!seen.contains(&made), "{made:?} was given twice");
        seen.push(made);
    }
}

#[tokio::test]
async fn ready_says_why_not() {
    let server = RunningServer::start().await;
    assert_eq!(server.get("/healthz", "").await.body, "ok");
    let answer = server.get("/readyz", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "ready": true,
            "reasons": [],
            "headroom": {
                "mediaStreams": limits::MEDIA_SOCKETS_MAX,
                "listeners": limits::LISTENERS_MAX,
                "engineLagMs": 0,
                "diskFreeBytes": null,
            },
        })
    );

    server.state.readiness.block("model", "still loading");
    server
        .state
        .readiness
        .block("model", "no model: run `callburner models pull tiny.en`");
    server.state.readiness.block("engine", "no worker runs");
    let answer = server.get("/readyz", "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        (&answer.json()["ready"], &answer.json()["reasons"]),
        (
            &serde_json::json!(false),
            &serde_json::json!([
                "no worker runs",
                "no model: run `callburner models pull tiny.en`"
            ])
        )
    );
    server.state.readiness.clear("model");
    server.state.readiness.clear("engine");
    assert_eq!(server.get("/readyz", "").await.status, 200);

    server.tasks.stop();
    let answer = server.get("/readyz", "").await;
    assert_eq!(
        (answer.status, answer.json()["ready"].as_bool()),
        (503, Some(false))
    );
    assert_eq!(server.get("/healthz", "").await.status, 200);
}

#[tokio::test]
async fn a_healthcheck_says_why_a_server_is_not_ready_and_that_it_is_alive() {
    let server = RunningServer::start().await;
    healthcheck::check_server(server.addr, true).await.unwrap();
    server.state.readiness.block("model", "no model is there");
    let why = healthcheck::check_server(server.addr, true)
        .await
        .unwrap_err();
    assert!(why.to_string().contains("no model is there"), "{why}");
    healthcheck::check_server(server.addr, false).await.unwrap();
    let nobody = healthcheck::check_server(([127, 0, 0, 1], 1).into(), false).await;
    assert!(nobody.unwrap_err().to_string().contains("no server"));
}

#[tokio::test]
async fn not_ready_without_its_database_or_its_disk() {
    let server = RunningServer::start().await;
    server.state.calls.store().close().await;
    let answer = server.get("/readyz", "").await;
    let reasons = answer.json()["reasons"].to_string();
    assert_eq!(answer.status, 503);
    assert!(reasons.contains("the database cannot be used"), "{reasons}");

    let folder = tempfile::tempdir().unwrap();
    let audio_archive = AudioArchive::open(folder.path()).unwrap();
    let server = RunningServer::start_with(|state| {
        state.media_deps.audio_archive = Some(audio_archive.clone());
    })
    .await;
    assert_eq!(server.get("/readyz", "").await.status, 200);
    let call = CallSid::parse("CA00000000000000000000000000000001").unwrap();
    std::fs::create_dir(audio_archive.file_path(&call)).unwrap();
    let writer = audio_archive.open_writer(&call, Duration::ZERO);
    writer.push(Track::Inbound, 0, &[1_000; 8_000]);
    drop(writer);
    // Joins the thread, so that its findings are available.
    audio_archive.stop();
    let answer = server.get("/readyz", "").await;
    let reasons = answer.json()["reasons"].to_string();
    assert_eq!(answer.status, 503);
    assert!(reasons.contains("DATA_DIR"), "{reasons}");
}

#[tokio::test]
async fn the_contract_is_served_to_anyone() {
    let server = RunningServer::start().await;
    let answer = server.get("/api/openapi.json", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, openapi_json());
}
