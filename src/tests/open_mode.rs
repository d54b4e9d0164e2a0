//! A server without users, on one's own machine: only the printed link grants access.

use serde_json::{Value, json};

use super::browser::LiveClient;
use super::sign_in::{PASSWORD, TestServer, assert_refused, cookie};
use super::{keys, request_of_stranger};
use crate::access::secret::Secret;
use crate::clock;

#[tokio::test]
async fn on_this_machine_without_users_the_printed_link_opens_the_page() {
    let app = TestServer::open_at(None).await;
    let addr = app.server.addr;
    let auth = &app.server.state.auth;
    let link = auth.first_run_link(clock::utc_now()).await.unwrap();
    assert_eq!(link, None, "it is for servers that others reach");
    let link = auth.page_link().await.unwrap().unwrap();
    let (page, key) = link.split_once('#').unwrap();
    assert!(page.ends_with("/open"), "{page}");

    let state = request_of_stranger(addr, "GET", "/api/session", "", "").await;
    let shut = json!({ "user": null, "open": false, "linkNeeded": true, "setupNeeded": false });
    assert_eq!(state.json(), shut);
    for path in ["/api/calls", "/api/users", "/metrics"] {
        let refused = request_of_stranger(addr, "GET", path, "", "").await;
        assert_refused(&refused, 401, "sign_in_required");
        let guess = format!("Authorization: Bearer {}\r\n", Secret::random().expose());
        let refused = request_of_stranger(addr, "GET", path, &guess, "").await;
        assert_refused(&refused, 401, "sign_in_required");
        let script = format!("Authorization: Bearer {key}\r\n");
        let answer = request_of_stranger(addr, "GET", path, &script, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let kind = "Content-Type: application/json\r\n";
    let open = async |headers: &str, secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        let headers = format!("{kind}{headers}");
        request_of_stranger(addr, "POST", "/api/session/open", &headers, &body).await
    };
    assert_refused(
        &open("", Secret::random().expose()).await,
        403,
        "not_allowed",
    );
    let evil = "Origin: https://evil.example\r\n";
    assert_refused(&open(evil, key).await, 403, "origin_refused");
    let through = "X-Forwarded-For: 203.0.113.9\r\n";
    assert_refused(&open(through, key).await, 403, "host_refused");
    // The link is valid again, for the next browser.
    for _ in 0..2 {
        let opened = open("", key).await;
        assert_eq!(opened.status, 200, "{}", opened.body);
        let cookie = format!("Cookie: {}\r\n", cookie(&opened));
        let state = request_of_stranger(addr, "GET", "/api/session", &cookie, "").await;
        assert_eq!(state.json(), opened.json());
        assert_eq!(state.json()["open"], true);
    }
}

#[tokio::test]
async fn no_proxy_makes_a_stranger_the_first_admin() {
    let app = TestServer::open_at(None).await;
    let addr = app.server.addr;
    let new = json!({ "name": "eve", "password": PASSWORD, "role": "user" }).to_string();
    let kind = "Content-Type: application/json\r\n";
    // As nginx forwards it with a bare proxy_pass: only the Host of the upstream.
    let refused = request_of_stranger(addr, "POST", "/api/users", kind, &new).await;
    assert_refused(&refused, 401, "sign_in_required");
    // Even with the key, a request with a proxy's headers is refused.
    let bearer = format!("Authorization: Bearer {}\r\n", keys().page.expose());
    for header in [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Host: calls.example.org",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "Via: 1.1 proxy",
        "CF-Connecting-IP: 203.0.113.9",
    ] {
        let headers = format!("{kind}{bearer}{header}\r\n");
        let refused = request_of_stranger(addr, "POST", "/api/users", &headers, &new).await;
        assert_refused(&refused, 403, "host_refused");
        let refused = app.ask("GET", "/api/calls", &headers, &Value::Null).await;
        assert_refused(&refused, 403, "host_refused");
    }
    assert!(app.store.users().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_user_shuts_a_server_that_was_open() {
    let app = TestServer::open_at(None).await;
    let mut browser = LiveClient::connect(app.server.addr).await;
    browser.settle().await;

    // Neither another host name that resolves to this machine, nor a proxy that forwards from the internet.
    let through = "X-Forwarded-For: 203.0.113.9\r\n";
    let answer = app.ask("GET", "/api/users", through, &Value::Null).await;
    assert_refused(&answer, 403, "host_refused");
    let rebound = [
        ("host", "rebound.example"),
        ("origin", "http://rebound.example"),
    ];
    let refused = LiveClient::open(app.server.addr, "", &rebound).await;
    assert_eq!(refused.err(), Some(403));
    let strange = "Origin: https://evil.example\r\nContent-Type: application/json\r\n";
    let new = json!({ "name": "alice", "password": PASSWORD, "role": "user" });
    let answer = app.ask("POST", "/api/users", strange, &new).await;
    assert_refused(&answer, 403, "origin_refused");

    let json = "Content-Type: application/json\r\n";
    let added = app.ask("POST", "/api/users", json, &new).await;
    assert_eq!(
        (added.status, added.json()["role"].as_str()),
        (201, Some("admin"))
    );
    assert_eq!(
        browser.closed().await,
        Some(1008),
        "open to everyone for ever"
    );
    let answer = app.ask("GET", "/api/users", "", &Value::Null).await;
    assert_refused(&answer, 401, "sign_in_required");
    assert_eq!(app.server.state.auth.page_link().await.unwrap(), None);
    let late = json!({ "secret": keys().page.expose() });
    let answer = app.ask("POST", "/api/session/open", json, &late).await;
    assert_refused(&answer, 403, "not_allowed");
    let answer = app.sign_in("alice", PASSWORD).await;
    assert_refused(&answer, 403, "origin_refused");
    let body = json!({ "name": "alice", "password": PASSWORD });
    let answer = app.ask("POST", "/api/session", json, &body).await;
    assert!(
        cookie(&answer).starts_with("callburner="),
        "{}",
        answer.body
    );
}
