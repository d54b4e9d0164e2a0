//! Access without permission is refused: at Twilio's endpoints to everyone but Twilio, and at calls to all
//! users but their own.

use std::fs;
use std::path::Path;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::calls::{BASE, THEIRS, TestAccount, endpoint};
use super::phone::with_timeout;
use super::scenarios::call;
use super::sign_in::{TestServer, assert_refused};
use super::twilio_api::AUTH_TOKEN;
use super::{LogCapture, RunningServer, keys, page_cookie, webhooks};
use super::{request, request_of_stranger};
use crate::access::secret::Secret;
use crate::api;
use crate::store::Role;
use crate::twilio::signature::SigningKey;
use crate::twilio::signature::sign;

#[tokio::test]
async fn nobody_but_twilio_is_heard_on_its_routes() {
    let account = TestAccount::open().await;
    let addr = account.app.server.addr;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (path, _) in api::webhook_routes() {
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
            let signature = sign(&SigningKey::auth_token(key), url, &fields);
            let headers = format!("{form}X-Twilio-Signature: {signature}\r\n");
            let forged = request(addr, "POST", path, &headers, "CallSid=CA1").await;
            assert_refused(&forged, 403, "bad_signature");
        }
        let signature = sign(&SigningKey::auth_token(AUTH_TOKEN), &url, &fields);
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
    assert_eq!(account.app.store.call_record(&call(1)).await.unwrap(), None);
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Returns Twilio's routes that accept a request with these headers, and with the key, if any, in the media
/// socket's path.
async fn taken(server: &RunningServer, key: Option<&str>, headers: &str) -> Vec<String> {
    let mut taken = Vec::new();
    let body = format!("CallSid={}&CallStatus=ringing", call(1).as_str());
    for (path, _) in api::webhook_routes() {
        let headers = match key {
            Some(key) => format!("{FORM}{headers}X-CallBurner-Simulator: {key}\r\n"),
            None => format!("{FORM}{headers}"),
        };
        let answer = request_of_stranger(server.addr, "POST", path, &headers, &body).await;
        if answer.status == 403 {
            assert_refused(&answer, 403, "no_account");
        } else {
            taken.push(format!("{path}: {}", answer.status));
        }
    }
    let paths = [
        "/media".to_owned(),
        format!("/media/{}", key.unwrap_or("x")),
    ];
    for path in paths {
        let headers = format!("Connection: Upgrade\r\n{UPGRADE}{headers}");
        let answer = answer_to_upgrade(server, &path, &headers).await;
        if answer != 403 {
            taken.push(format!("media: {answer}"));
        }
    }
    taken
}

/// Returns the status of the response to an upgrade; drops the socket.
async fn answer_to_upgrade(server: &RunningServer, path: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let host = if headers.contains("Host:") {
        ""
    } else {
        "Host: 127.0.0.1\r\n"
    };
    let upgrade = format!("GET {path} HTTP/1.1\r\n{host}{headers}\r\n");
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    with_timeout("the answer", stream.read_exact(&mut head))
        .await
        .unwrap();
    String::from_utf8_lossy(&head[9..]).parse().unwrap()
}

#[tokio::test]
async fn without_an_account_a_public_server_is_shut_to_whoever_says_to_be_twilio() {
    let log = LogCapture::listen();
    let app = TestServer::open().await;
    let server = &app.server;
    let simulator = keys().simulator;
    for key in [None, Some(simulator.expose())] {
        assert_eq!(taken(server, key, "").await, Vec::<String>::new());
    }
    assert_eq!(app.store.call_record(&call(1)).await.unwrap(), None);
    let text = log.text();
    let is_shown = |line: &&str| line.contains(" WARN ") && line.contains("no_account");
    let lines: Vec<&str> = text.lines().filter(is_shown).collect();
    assert_eq!(lines.len(), 1, "one for all of them: {lines:?}");
    assert!(lines[0].contains("TWILIO_ACCOUNT_SID"), "{lines:?}");
}

#[tokio::test]
async fn on_ones_own_machine_only_the_simulator_is_heard() {
    let server = RunningServer::start().await;
    let simulator = keys().simulator;
    let key = simulator.expose();
    let strange = Secret::random();
    let page = keys().page;
    for wrong in [None, Some(strange.expose()), Some(page.expose())] {
        assert_eq!(taken(&server, wrong, "").await, Vec::<String>::new());
    }
    let cookie = format!("Cookie: {}\r\n", page_cookie());
    for elsewhere in [
        "Origin: http://evil.example:5599\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "X-Forwarded-For: 203.0.113.9\r\n",
        "Forwarded: for=203.0.113.9\r\n",
        "Via: 1.1 proxy\r\n",
        "CF-Connecting-IP: 203.0.113.9\r\n",
    ] {
        let headers = format!("{cookie}{elsewhere}");
        let found = taken(&server, Some(key), &headers).await;
        assert_eq!(found, Vec::<String>::new(), "{elsewhere}");
    }
    let rebound = format!("Host: rebound.evil.example\r\nConnection: Upgrade\r\n{UPGRADE}");
    let path = format!("/media/{key}");
    assert_eq!(answer_to_upgrade(&server, &path, &rebound).await, 403);

    assert_eq!(taken(&server, Some(key), "").await.len(), 8);
}

#[tokio::test]
async fn strangers_fill_no_log_and_are_counted() {
    let log = LogCapture::listen();
    let account = TestAccount::open().await;
    let addr = account.app.server.addr;
    for (path, _) in api::webhook_routes().iter().cycle().take(70) {
        let unsigned = request(addr, "POST", path, "", "CallSid=CA1").await;
        assert_refused(&unsigned, 403, "bad_signature");
    }
    let text = log.text();
    let is_shown = |line: &&str| line.contains(" WARN ") && line.contains("bad_signature");
    let lines: Vec<&str> = text.lines().filter(is_shown).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("not signed by Twilio"), "{lines:?}");
    let metrics = account
        .app
        .server
        .state
        .media_deps
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
    let mut at_example = endpoint();
    at_example.public_url = "https://callburner.example.com".parse().unwrap();
    let account = TestAccount::open_with(|server_config| server_config.endpoint = at_example).await;
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
                account.app.server.addr,
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
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let bob = account.app.session("bob", Role::User).await;
    let admin = account.app.session("carol", Role::Admin).await;
    let identity = account.identity(&alice).await;
    account.dial(1, &identity, THEIRS).await;
    account.twilio.add_call(&call(1));
    let at = format!("/api/calls/{}", call(1).as_str());
    let start = account
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
    let before = account.twilio.changes();
    let kept = account.read(1, &admin).await;
    for (method, path, body) in &routes {
        let answer = account.page(method, path, &bob, body).await;
        assert_refused(&answer, 404, "no_such_call");
    }
    let media = format!("/api/recordings/{recording}/media");
    let answer = account.page("GET", &media, &bob, &Value::Null).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    let list = account
        .page("GET", "/api/calls", &bob, &Value::Null)
        .await
        .json();
    assert_eq!(list["calls"], json!([]));
    let mut browser = account.app.listen(&bob).await.ok().unwrap();
    browser.subscribe(&call(1)).await;
    assert_eq!(browser.next_error().await, "no_such_call");
    assert_eq!(account.read(1, &admin).await, kept, "bob left a trace");
    assert_eq!(account.twilio.changes(), before);

    // An admin may do all of it, except claim the call as their own.
    let not_his = |path: &&(_, String, _)| path.1 != "/api/calls";
    for (method, path, body) in routes[..routes.len() - 1].iter().filter(not_his) {
        let answer = account.page(method, path, &admin, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    }
}
