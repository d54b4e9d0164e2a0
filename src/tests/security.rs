//! Nobody comes in who should not: nobody but Twilio at its doors, and no user at another's calls.

use std::fs;
use std::path::Path;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::calls::{BASE, Office, THEIRS, doors};
use super::sign_in::assert_refused;
use super::stories::call;
use super::twilio_api::AUTH_TOKEN;
use super::webhooks;
use super::{Log, request};
use crate::api;
use crate::store::Role;
use crate::twilio::signature::Key;
use crate::twilio::signature::sign;

#[tokio::test]
async fn nobody_but_twilio_is_heard_on_its_routes() {
    let office = Office::open().await;
    let addr = office.house.server.addr;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (path, _) in api::twilio_doors() {
        let body = format!(
            "CallSid={}&AccountSid=AC1&CallStatus=ringing",
            call(1).as_str()
        );
        let unsigned = request(addr, "POST", path, form, &body).await;
        assert_refused(&unsigned, 403, "bad_signature");
        let fields = [("CallSid".to_owned(), "CA1".to_owned())];
        let url = format!("{BASE}{path}");
        for (key, url) in [
            ("ffffffffffffffffffffffffffffffff", url.as_str()),
            // Signed for another path, and for another host.
            (AUTH_TOKEN, "https://calls.example.org/other"),
            (AUTH_TOKEN, &url.replace("calls.", "evil.")),
        ] {
            let signature = sign(&Key::auth_token(key), url, &fields);
            let headers = format!("{form}X-Twilio-Signature: {signature}\r\n");
            let forged = request(addr, "POST", path, &headers, "CallSid=CA1").await;
            assert_refused(&forged, 403, "bad_signature");
        }
        let signature = sign(&Key::auth_token(AUTH_TOKEN), &url, &fields);
        let headers = format!("{form}X-Twilio-Signature: {signature}\r\n");
        let tampered = request(
            addr,
            "POST",
            path,
            &headers,
            "CallSid=CA1&To=%2B19005550199",
        )
        .await;
        assert_refused(&tampered, 403, "bad_signature");
        let signed = request(addr, "POST", path, &headers, "CallSid=CA1").await;
        assert_ne!(signed.status, 403, "{path}");
        let read = request(addr, "GET", path, "", "").await;
        assert!([401, 405].contains(&read.status), "{path}: {}", read.status);
    }
    assert_eq!(
        office.house.store.call_record(&call(1)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn strangers_fill_no_log_and_are_counted() {
    let log = Log::listen();
    let office = Office::open().await;
    let addr = office.house.server.addr;
    for (path, _) in api::twilio_doors().iter().cycle().take(70) {
        let unsigned = request(addr, "POST", path, "", "CallSid=CA1").await;
        assert_refused(&unsigned, 403, "bad_signature");
    }
    let text = log.text();
    let is_shown = |line: &&str| line.contains(" WARN ") && line.contains("bad_signature");
    let lines: Vec<&str> = text.lines().filter(is_shown).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("not signed by Twilio"), "{lines:?}");
    let metrics = office
        .house
        .server
        .state
        .switchboard
        .metrics
        .render(&Registry::default());
    let counted = "callburner_refused_total{code=\"bad_signature\"} 70";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn what_a_container_logs_has_a_bound() {
    for file in ["compose.yaml", "compose.caddy.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(".deploy")
            .join(file);
        let text = fs::read_to_string(path).unwrap();
        let images = text.matches("    image: ").count();
        assert_eq!(text.matches("max-size: ").count(), images, "{file}");
    }
}

#[tokio::test]
async fn every_webhook_that_twilio_sends_is_taken() {
    let mut at_example = doors();
    at_example.public_url = "https://callburner.example.com".parse().unwrap();
    let office = Office::open_with(|parts| parts.doors = at_example).await;
    for webhook in webhooks::requests() {
        let path = webhook
            .url
            .strip_prefix("https://callburner.example.com")
            .unwrap();
        let header = |name| webhook.header(name).unwrap_or_default();
        let headers = format!(
            "Content-Type: {}\r\nX-Twilio-Signature: {}\r\nI-Twilio-Idempotency-Token: {}\r\n",
            header("Content-Type"),
            header("X-Twilio-Signature"),
            header("I-Twilio-Idempotency-Token"),
        );
        let expected = if path.starts_with("/voice") { 200 } else { 204 };
        for _ in 0..2 {
            let answer = request(
                office.house.server.addr,
                "POST",
                path,
                &headers,
                &webhook.body,
            )
            .await;
            assert_eq!(answer.status, expected, "{}: {}", webhook.name, answer.body);
        }
    }
}

#[tokio::test]
async fn no_user_sees_hears_or_moves_anothers_call() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let bob = office.house.session("bob", Role::User).await;
    let admin = office.house.session("carol", Role::Admin).await;
    let identity = office.identity(&alice).await;
    office.dial(1, &identity, THEIRS).await;
    office.twilio.knows_call(&call(1));
    let at = format!("/api/calls/{}", call(1).as_str());
    let start = office
        .page(
            "POST",
            &format!("{at}/recording/start"),
            &alice,
            &Value::Null,
        )
        .await;
    let recording = start.json()["sid"].as_str().unwrap().to_owned();

    let adopt = json!({ "sid": call(1).as_str(), "direction": "outgoing" });
    let edit = json!({ "notes": "mine" });
    let routes = [
        ("GET", at.clone(), Value::Null),
        ("PATCH", at.clone(), edit),
        ("POST", "/api/calls".to_owned(), adopt),
        ("GET", format!("{at}/transcript.txt"), Value::Null),
        ("GET", format!("{at}/transcript.srt"), Value::Null),
        ("GET", format!("{at}/transcript.vtt"), Value::Null),
        ("GET", format!("{at}/transcript.json"), Value::Null),
        ("POST", format!("{at}/recording/start"), Value::Null),
        ("POST", format!("{at}/recording/pause"), Value::Null),
        ("POST", format!("{at}/recording/resume"), Value::Null),
        ("POST", format!("{at}/recording/stop"), Value::Null),
        ("POST", format!("{at}/hangup"), Value::Null),
        ("DELETE", at.clone(), Value::Null),
    ];
    let before = office.twilio.changes();
    let kept = office.read(1, &admin).await;
    for (method, path, body) in &routes {
        let answer = office.page(method, path, &bob, body).await;
        assert_refused(&answer, 404, "no_such_call");
    }
    let media = format!("/api/recordings/{recording}/media");
    let answer = office.page("GET", &media, &bob, &Value::Null).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    let list = office
        .page("GET", "/api/calls", &bob, &Value::Null)
        .await
        .json();
    assert_eq!(list["calls"], json!([]));
    let mut browser = office.house.listen(&bob).await.ok().unwrap();
    browser.subscribe(&call(1)).await;
    assert_eq!(browser.next_error().await, "no_such_call");
    assert_eq!(office.read(1, &admin).await, kept, "bob left a trace");
    assert_eq!(office.twilio.changes(), before);

    // An admin may all of it.
    for (method, path, body) in &routes[..routes.len() - 1] {
        let answer = office.page(method, path, &admin, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    }
}
