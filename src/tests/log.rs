//! Visibility of sign-ins and actions: a user's sessions, and the server's log.

use serde_json::{Value, json};

use super::calls::TestAccount;
use super::phone::eventually;
use super::scenarios::call;
use super::sign_in::{TestServer, assert_refused};
use crate::app::ServerConfig;
use crate::clock;
use crate::store::Role;

async fn sessions(app: &TestServer, cookie: &str) -> Vec<Value> {
    let answer = app.page("GET", "/api/sessions", cookie, &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_sees_ones_browsers_and_signs_them_out() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let now = clock::utc_now();
    let here = app.session_of(&ada, now).await;
    let there = app.session_of(&ada, now).await;
    let elsewhere = app.session_of(&ada, now).await;
    let bob = app.session("bob", Role::Admin).await;

    let mine = sessions(&app, &here).await;
    assert_eq!(mine.len(), 3);
    assert_eq!(mine.iter().filter(|s| s["isCurrent"] == true).count(), 1);
    let id = |cookie: Vec<Value>| {
        let current = cookie.iter().find(|s| s["isCurrent"] == true);
        current.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let path = format!("/api/sessions/{}", id(sessions(&app, &there).await));
    // Not even an admin can end another user's session through the route for one's own.
    let refused = app.page("DELETE", &path, &bob, &Value::Null).await;
    assert_refused(&refused, 404, "no_such_session");
    let ended = app.page("DELETE", &path, &here, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    let gone = app.page("GET", "/api/sessions", &there, &Value::Null);
    assert_refused(&gone.await, 401, "sign_in_required");

    let all = app.page("DELETE", "/api/sessions", &here, &Value::Null);
    assert_eq!(all.await.status, 204);
    let gone = app.page("GET", "/api/sessions", &elsewhere, &Value::Null);
    assert_refused(&gone.await, 401, "sign_in_required");
    assert_eq!(sessions(&app, &here).await.len(), 1);
    assert_eq!(sessions(&app, &bob).await.len(), 1);
}

#[tokio::test]
async fn admins_read_who_looked_into_took_away_and_deleted_what() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let identity = account.identity(&alice).await;
    account.dial(1, &identity, "+14155550123").await;
    let admin = account.app.session("carol", Role::Admin).await;
    let path = format!("/api/calls/{}", call(1).as_str());
    for _ in 0..2 {
        account.page("GET", &path, &admin, &Value::Null).await;
    }
    account.page("GET", &path, &alice, &Value::Null).await;
    let file = format!("{path}/transcript.srt");
    let taken = account.page("GET", &file, &alice, &Value::Null).await;
    assert_eq!(taken.status, 200, "{}", taken.body);

    let refused = account.page("GET", "/api/log", &alice, &Value::Null).await;
    assert_refused(&refused, 403, "not_allowed");
    let mut told = Vec::new();
    for kind in ["looked_into_call", "transcript_exported"] {
        told.extend(entries(&account.app, &admin, &format!("?kind={kind}")).await);
    }
    let sid = call(1);
    assert_eq!(
        told,
        [
            json!(["looked_into_call", sid.as_str(), 2, "127.0.0.1", 2]),
            json!(["transcript_exported", sid.as_str(), 1, "127.0.0.1", 1]),
        ]
    );
}

/// Returns the log's entries: kind, detail, user, address, count.
async fn entries(app: &TestServer, admin: &str, query: &str) -> Vec<Value> {
    let path = format!("/api/log{query}");
    let told = app.page("GET", &path, admin, &Value::Null).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let entries = told.json()["entries"].as_array().unwrap().clone();
    let entry = |e: &Value| {
        json!([
            e["kind"],
            e["detail"],
            e["userId"],
            e["address"],
            e["count"]
        ])
    };
    entries.iter().map(entry).collect()
}

/// A server behind a proxy that forwards client addresses, with a call by alice, the first user.
async fn watched() -> (TestAccount, String) {
    let behind_proxy =
        |server_config: &mut ServerConfig| server_config.proxies = "127.0.0.1".parse().unwrap();
    let account = TestAccount::open_with(behind_proxy).await;
    let alice = account.app.user("alice", Role::User).await;
    let cookie = account.app.session_of(&alice, clock::utc_now()).await;
    let identity = account.identity(&cookie).await;
    account.dial(1, &identity, "+14155550123").await;
    (account, cookie)
}

/// Sends a request from the client at this address; returns the status.
async fn from(
    app: &TestServer,
    address: &str,
    cookie: &str,
    (method, path): (&str, &str),
    body: &Value,
) -> u16 {
    let headers = format!(
        "Origin: https://calls.example.org\r\nContent-Type: application/json\r\n\
         X-Forwarded-For: {address}\r\nCookie: {cookie}\r\n"
    );
    app.ask(method, path, &headers, body).await.status
}

/// Waits until the log has all these entries: refusals are written after their responses.
async fn logged(app: &TestServer, admin: &str, wanted: &[Value]) {
    eventually(&format!("{wanted:?}"), async || {
        let told = entries(app, admin, "").await;
        wanted.iter().all(|entry| told.contains(entry))
    })
    .await;
}

#[tokio::test]
async fn the_log_tells_of_wrong_passwords_by_the_network_that_they_come_from() {
    let (account, _) = watched().await;
    let app = &account.app;
    let admin = app.session("carol", Role::Admin).await;
    let sign_in = ("POST", "/api/session");
    let wrong = |name: &str| json!({ "name": name, "password": "wrong horse" });
    for address in ["203.0.113.1", "203.0.113.1", "2001:db8::1", "2001:db8::2"] {
        let status = from(app, address, "", sign_in, &wrong("Alice")).await;
        assert_eq!(status, 401);
    }
    let typed = "a password in the wrong field";
    from(app, "203.0.113.2", "", sign_in, &wrong(typed)).await;
    let nobody = "for an unknown name";
    let wanted = [
        json!([
            "wrong_password",
            "for an existing user",
            1,
            "203.0.113.1",
            2
        ]),
        json!([
            "wrong_password",
            "for an existing user",
            1,
            "2001:db8::/64",
            2
        ]),
        json!(["wrong_password", nobody, null, "203.0.113.2", 1]),
    ];
    logged(app, &admin, &wanted).await;
    let told = app.page("GET", "/api/log", &admin, &Value::Null).await;
    for hidden in [typed, "wrong horse"] {
        assert!(
            !told.body.contains(hidden),
            "{hidden:?} is in {}",
            told.body
        );
    }
}

#[tokio::test]
async fn the_log_tells_of_claims_searches_and_refusals_by_the_clients_address() {
    let (account, cookie) = watched().await;
    let app = &account.app;
    let eve = app.session("eve", Role::User).await;
    let admin = app.session("carol", Role::Admin).await;
    let sid = call(1);
    let at = format!("/api/calls/{}", sid.as_str());
    let (read, users) = (("GET", at.as_str()), ("GET", "/api/users"));
    for _ in 0..2 {
        assert_eq!(
            from(app, "203.0.113.3", &eve, read, &Value::Null).await,
            404
        );
        assert_eq!(from(app, "203.0.113.4", "", read, &Value::Null).await, 401);
    }
    let known = json!({ "sid": sid.as_str(), "direction": "outgoing" });
    let claim = ("POST", "/api/calls");
    assert_eq!(from(app, "203.0.113.3", &eve, claim, &known).await, 404);
    assert_eq!(from(app, "203.0.113.5", &cookie, claim, &known).await, 200);
    assert_eq!(
        from(app, "203.0.113.3", &eve, users, &Value::Null).await,
        403
    );
    for query in ["?q=cancer", "?number=0123", ""] {
        let path = format!("/api/calls{query}");
        let list = ("GET", path.as_str());
        assert_eq!(
            from(app, "203.0.113.6", &admin, list, &Value::Null).await,
            200
        );
    }
    let not_hers = format!("no_such_call: GET /api/calls/{{sid}} {}", sid.as_str());
    let signed_out = "sign_in_required: GET /api/calls/{sid}";
    let wanted = [
        json!(["refused", not_hers, 2, "203.0.113.3", 2]),
        json!(["refused", signed_out, null, "203.0.113.4", 2]),
        json!([
            "refused",
            "not_allowed: GET /api/users",
            2,
            "203.0.113.3",
            1
        ]),
        json!(["call_not_confirmed", sid.as_str(), 2, "203.0.113.3", 1]),
        json!(["call_confirmed", sid.as_str(), 1, "203.0.113.5", 1]),
        json!(["searched_calls", "of others", 3, "203.0.113.6", 2]),
        json!(["listed_calls", "of others", 3, "203.0.113.6", 1]),
    ];
    logged(app, &admin, &wanted).await;
    let told = app.page("GET", "/api/log", &admin, &Value::Null).await;
    for hidden in ["cancer", "0123"] {
        assert!(
            !told.body.contains(hidden),
            "{hidden:?} is in {}",
            told.body
        );
    }
    let of_eve = entries(app, &admin, "?userId=2").await;
    assert!(
        !of_eve.is_empty() && of_eve.iter().all(|entry| entry[2] == 2),
        "{of_eve:?}"
    );
}

#[tokio::test]
async fn a_user_who_exports_without_end_pushes_nothing_out_of_the_log() {
    let account = TestAccount::open().await;
    let alice = account.app.session("alice", Role::User).await;
    let admin = account.app.session("carol", Role::Admin).await;
    let identity = account.identity(&alice).await;
    account.dial(1, &identity, "+14155550123").await;
    let file = format!("/api/calls/{}/transcript.txt", call(1).as_str());
    for _ in 0..200 {
        let taken = account.page("GET", &file, &alice, &Value::Null).await;
        assert_eq!(taken.status, 200, "{}", taken.body);
    }
    let told = entries(&account.app, &admin, "?kind=transcript_exported").await;
    assert_eq!(
        told,
        [json!([
            "transcript_exported",
            call(1).as_str(),
            1,
            "127.0.0.1",
            200
        ])]
    );
}
