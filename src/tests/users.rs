//! Changes of rights: admins' access to other users' sessions and tokens, temporary passwords, and
//! re-authentication for sensitive actions.

use serde_json::{Value, json};

use super::sign_in::{PASSWORD, TestServer, assert_refused, cookie};
use crate::access::secret::Secret;
use crate::clock::{self, UtcTime};
use crate::limits;
use crate::store::{NewSession, Role, Scope, User};

const OWN: &str = "a phrase of my own";

async fn list(app: &TestServer, cookie: &str, path: &str, of: &str) -> Vec<Value> {
    let answer = app.page("GET", path, cookie, &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()[of].as_array().unwrap().clone()
}

/// Creates an API token of the user; returns its secret.
async fn token_of(app: &TestServer, user: &User) -> Secret {
    let secret = Secret::api_token();
    let hash = secret.hash();
    let (scopes, now) = ([Scope::CallsRead], clock::utc_now());
    let added = app
        .store
        .add_api_token(&hash, user.id, "cron", &scopes, None, now);
    added.await.unwrap();
    secret
}

/// Returns the status of a request with this API token.
async fn machine(app: &TestServer, token: &Secret) -> u16 {
    let headers = format!("Authorization: Bearer {}\r\n", token.expose());
    let answer = app.ask("GET", "/api/calls", &headers, &Value::Null);
    answer.await.status
}

/// Returns the cookie of a session that was authenticated [`limits::CONFIRMATION_AGE_MAX`] ago.
async fn unconfirmed(app: &TestServer, user: &User) -> String {
    let secret = Secret::random();
    let begun = clock::utc_now().minus(limits::CONFIRMATION_AGE_MAX);
    let hash = secret.hash();
    let opened = app.store.open_session(&hash, user.id, begun);
    opened.await.unwrap();
    format!("__Host-callburner={}", secret.expose())
}

#[tokio::test]
async fn an_admin_sees_and_ends_sessions_and_api_tokens_of_others_and_nobody_else_does() {
    let app = TestServer::open().await;
    let admin = app.session("carol", Role::Admin).await;
    let bob = app.user("bob", Role::User).await;
    let signed_in = app.sign_in("bob", PASSWORD).await;
    let here = cookie(&signed_in);
    let there = app.session_of(&bob, clock::utc_now()).await;
    let [one, two] = [token_of(&app, &bob).await, token_of(&app, &bob).await];
    let at = |rest: &str| format!("/api/users/{}/{rest}", bob.id.0);

    let sessions = list(&app, &admin, &at("sessions"), "sessions").await;
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|s| s["isCurrent"] == false));
    let tokens = list(&app, &admin, &at("tokens"), "tokens").await;
    assert_eq!(tokens.len(), 2);
    for secret in [&one, &two] {
        assert!(
            !tokens
                .iter()
                .any(|t| t.to_string().contains(secret.expose()))
        );
    }
    for (method, path) in [
        ("GET", at("sessions")),
        ("GET", at("tokens")),
        ("DELETE", at("sessions")),
        ("DELETE", at("tokens")),
        ("DELETE", at("tokens/1")),
        ("DELETE", at("sessions/0")),
    ] {
        let refused = app.page(method, &path, &here, &Value::Null).await;
        assert_refused(&refused, 403, "not_allowed");
    }

    let path = at(&format!("tokens/{}", tokens[0]["id"]));
    let ended = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    assert_eq!(
        [machine(&app, &one).await, machine(&app, &two).await],
        [401, 200]
    );
    let again = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_refused(&again, 404, "no_such_token");
    let all = app
        .page("DELETE", &at("tokens"), &admin, &Value::Null)
        .await;
    assert_eq!((all.status, machine(&app, &two).await), (204, 401));

    let own = list(&app, &there, "/api/sessions", "sessions").await;
    let current = own.iter().find(|s| s["isCurrent"] == true).unwrap();
    let path = at(&format!("sessions/{}", current["id"].as_str().unwrap()));
    let ended = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    assert_eq!(app.signed_in_name(&there).await, None);
    assert_eq!(app.signed_in_name(&here).await.as_deref(), Some("bob"));
    let mut browser = app.listen(&here).await.ok().unwrap();
    browser.settle().await;
    let all = app
        .page("DELETE", &at("sessions"), &admin, &Value::Null)
        .await;
    assert_eq!((all.status, app.signed_in_name(&here).await), (204, None));
    assert_eq!(browser.closed().await, Some(1008));

    let log = list(&app, &admin, "/api/log", "entries").await;
    let ended = log.iter().filter(|e| e["kind"] == "sessions_ended");
    let details: Vec<&str> = ended.map(|e| e["detail"].as_str().unwrap()).collect();
    let expected = format!("1 sessions of user {}", bob.id.0);
    assert_eq!(details, [expected.as_str(); 2]);
    let nobody = app.page("GET", "/api/users/4711/sessions", &admin, &Value::Null);
    assert_refused(&nobody.await, 404, "no_such_user");
}

#[tokio::test]
async fn a_session_says_which_browser_it_is_and_from_where() {
    let app = TestServer::open().await;
    app.user("ada", Role::User).await;
    let body = json!({ "name": "ada", "password": PASSWORD });
    let headers = "Origin: https://calls.example.org\r\nContent-Type: application/json\r\n\
                   User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0\r\n";
    let here = cookie(&app.ask("POST", "/api/session", headers, &body).await);
    let [session] = &list(&app, &here, "/api/sessions", "sessions").await[..] else {
        panic!("one session was begun");
    };
    assert_eq!(session["browser"], "Firefox on Linux");
    assert_eq!(session["address"], "127.0.0.1");
    assert_eq!(session["isCurrent"], true);
}

#[tokio::test]
async fn what_a_browser_calls_itself_is_kept_within_a_bound() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let long = "ä".repeat(limits::USER_AGENT_BYTES_MAX);
    let new = NewSession {
        hash: &[7; 32],
        user: ada.id,
        address: "203.0.113.7",
        user_agent: &long,
    };
    app.store
        .begin_session(&new, clock::utc_now())
        .await
        .unwrap();
    let kept = app.store.session(&[7; 32]).await.unwrap().unwrap();
    assert_eq!(kept.user_agent.len(), limits::USER_AGENT_BYTES_MAX);
    assert_eq!(kept.address, "203.0.113.7");
}

#[tokio::test]
async fn an_admins_reset_ends_sessions_and_tokens_and_its_password_is_good_for_choosing_another() {
    let app = TestServer::open().await;
    let admin = app.session("carol", Role::Admin).await;
    let bob = app.user("bob", Role::User).await;
    let before = app.session_of(&bob, clock::utc_now()).await;
    let token = token_of(&app, &bob).await;
    let path = format!("/api/users/{}", bob.id.0);
    let body = json!({ "password": "from the admin" });
    let reset = app.page("PATCH", &path, &admin, &body).await;
    assert_eq!(reset.json()["passwordIsTemporary"], true, "{}", reset.body);
    assert_eq!(app.signed_in_name(&before).await, None);
    assert_eq!(
        machine(&app, &token).await,
        401,
        "the token outlived the reset"
    );

    let signed_in = app.sign_in("bob", "from the admin").await;
    let here = cookie(&signed_in);
    assert_eq!(signed_in.json()["user"]["passwordIsTemporary"], true);
    let new = json!({ "name": "x", "scopes": ["calls:read"] });
    for (method, path, body) in [
        ("GET", "/api/calls", &Value::Null),
        ("GET", "/api/sessions", &Value::Null),
        ("GET", "/api/settings", &Value::Null),
        ("POST", "/api/tokens", &new),
    ] {
        let refused = app.page(method, path, &here, body).await;
        assert_refused(&refused, 403, "password_is_temporary");
    }
    assert_eq!(app.listen(&here).await.err(), Some(403));
    // The right to change one's own password does not include other changes.
    let more = json!({ "role": "admin" });
    let refused = app.page("PATCH", &path, &here, &more).await;
    assert_refused(&refused, 403, "password_is_temporary");

    let same = json!({ "password": "from the admin" });
    let refused = app.page("PATCH", &path, &here, &same).await;
    assert_refused(&refused, 422, "weak_password");
    let chosen = app
        .page("PATCH", &path, &here, &json!({ "password": OWN }))
        .await;
    assert_eq!(chosen.status, 200, "{}", chosen.body);
    assert_eq!(chosen.json()["passwordIsTemporary"], false);
    let mine = list(&app, &cookie(&chosen), "/api/sessions", "sessions").await;
    assert_eq!(mine.len(), 1);
    assert_eq!(app.sign_in("bob", "from the admin").await.status, 401);
    assert_eq!(app.sign_in("bob", OWN).await.status, 200);
}

#[tokio::test]
async fn a_temporary_password_is_changed_without_the_old_one_only_right_after_signing_in() {
    let app = TestServer::open().await;
    let admin = app.session("carol", Role::Admin).await;
    let new = json!({ "name": "bob", "password": PASSWORD, "role": "user" });
    let added = app.page("POST", "/api/users", &admin, &new).await;
    assert_eq!(added.json()["passwordIsTemporary"], true, "{}", added.body);
    let (bob, _) = app.store.credentials("bob").await.unwrap().unwrap();
    let path = format!("/api/users/{}", bob.id.0);
    let late = unconfirmed(&app, &bob).await;
    let refused = app
        .page("PATCH", &path, &late, &json!({ "password": OWN }))
        .await;
    assert_refused(&refused, 403, "wrong_password");
    let body = json!({ "password": OWN, "oldPassword": PASSWORD });
    let chosen = app.page("PATCH", &path, &late, &body).await;
    assert_eq!(chosen.status, 200, "{}", chosen.body);
}

#[tokio::test]
async fn what_is_sensitive_asks_for_the_password_again_after_a_while() {
    let app = TestServer::open().await;
    let carol = app.user("carol", Role::Admin).await;
    let bob = app.user("bob", Role::User).await;
    let bob_here = app.session_of(&bob, clock::utc_now()).await;
    let at = |rest: &str| format!("/api/users/{}{rest}", bob.id.0);
    let token = json!({ "name": "x", "scopes": ["calls:read"] });
    let user = json!({ "name": "dave", "password": PASSWORD, "role": "user" });
    let late = unconfirmed(&app, &carol).await;
    let acts = [
        ("POST", "/api/tokens".to_owned(), token.clone()),
        ("POST", "/api/users".to_owned(), user),
        ("PATCH", at(""), json!({ "role": "admin" })),
        ("PATCH", at(""), json!({ "password": OWN })),
        ("DELETE", at("/tokens"), Value::Null),
        ("DELETE", at("/tokens/1"), Value::Null),
        ("DELETE", at("/sessions"), Value::Null),
        ("DELETE", at("/sessions/0"), Value::Null),
        ("DELETE", at(""), Value::Null),
    ];
    for (method, path, body) in &acts {
        let refused = app.page(method, path, &late, body).await;
        assert_refused(&refused, 403, "confirm_password");
    }
    assert_eq!(app.store.users().await.unwrap().len(), 2);
    assert_eq!(app.signed_in_name(&bob_here).await.as_deref(), Some("bob"));
    // Actions that are not sensitive remain allowed.
    assert_eq!(list(&app, &late, "/api/users", "users").await.len(), 2);

    let prove = async |password: &str| {
        let body = json!({ "password": password });
        app.page("POST", "/api/session/confirm", &late, &body).await
    };
    assert_refused(&prove("wrong horse").await, 403, "wrong_password");
    let refused = app.page("POST", "/api/tokens", &late, &token).await;
    assert_refused(&refused, 403, "confirm_password");
    assert_eq!(prove(PASSWORD).await.status, 204);
    let made = app.page("POST", "/api/tokens", &late, &token).await;
    assert_eq!(made.status, 201, "{}", made.body);
    for (method, path, body) in &acts {
        let done = app.page(method, path, &late, body).await;
        let is_asked = done.body.contains("confirm_password");
        assert!(!is_asked, "{method} {path}: {}", done.body);
    }
    // Another session of the same user must re-authenticate separately.
    let other = unconfirmed(&app, &carol).await;
    let refused = app.page("POST", "/api/tokens", &other, &token).await;
    assert_refused(&refused, 403, "confirm_password");
}

#[tokio::test]
async fn who_guesses_a_confirmation_is_held_back() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let late = unconfirmed(&app, &ada).await;
    let body = json!({ "password": "wrong horse" });
    let mut answers = Vec::new();
    for _ in 0..=limits::SIGN_INS_PER_KNOWN_BROWSER_MAX.get() {
        let answer = app.page("POST", "/api/session/confirm", &late, &body).await;
        answers.push(answer.status);
    }
    assert_eq!(
        (answers[0], *answers.last().unwrap()),
        (403, 429),
        "{answers:?}"
    );
}

#[tokio::test]
async fn an_api_token_ends_after_90_days_unless_something_else_is_said() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let here = app.session_of(&ada, clock::utc_now()).await;
    let add = async |more: Value| {
        let mut body = json!({ "name": "x", "scopes": ["calls:read"] });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        app.page("POST", "/api/tokens", &here, &body).await
    };
    let before = clock::utc_now();
    for silent in [json!({}), json!({ "expiresAt": null })] {
        let made = add(silent).await.json();
        let until = made["token"]["expiresAt"].as_str().unwrap().to_owned();
        let until = UtcTime::parse(&until).unwrap();
        assert!(
            until >= before.plus(limits::API_TOKEN_LIFE_DEFAULT),
            "{until}"
        );
        let latest = clock::utc_now().plus(limits::API_TOKEN_LIFE_DEFAULT);
        assert!(until <= latest, "{until}");
    }
    let made = add(json!({ "neverExpires": true })).await.json();
    assert_eq!(made["token"]["expiresAt"], Value::Null);
    let both = json!({ "neverExpires": true, "expiresAt": "2099-01-01T00:00:00Z" });
    assert_refused(&add(both).await, 422, "bad_expiry");
}

#[tokio::test]
async fn a_new_password_wants_the_old_one_and_ends_all_other_sessions() {
    let app = TestServer::open().await;
    let alice = app.user("alice", Role::User).await;
    let now = clock::utc_now();
    let [here, elsewhere] = [
        app.session_of(&alice, now).await,
        app.session_of(&alice, now).await,
    ];
    let path = format!("/api/users/{}", alice.id.0);
    for (body, status, expected) in [
        (
            json!({ "password": "another horse" }),
            403,
            "wrong_password",
        ),
        (
            json!({ "password": "another horse", "oldPassword": "wrong horse" }),
            403,
            "wrong_password",
        ),
        (
            json!({ "password": "alice", "oldPassword": PASSWORD }),
            422,
            "weak_password",
        ),
    ] {
        let answer = app.page("PATCH", &path, &here, &body).await;
        assert_refused(&answer, status, expected);
    }
    let body = json!({ "password": "another horse", "oldPassword": PASSWORD });
    let answer = app.page("PATCH", &path, &here, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let fresh = cookie(&answer);
    assert_eq!(app.signed_in_name(&fresh).await.as_deref(), Some("alice"));
    assert_eq!(app.signed_in_name(&here).await, None);
    assert_eq!(app.signed_in_name(&elsewhere).await, None);
    assert_eq!(app.sign_in("alice", PASSWORD).await.status, 401);
    assert_eq!(app.sign_in("alice", "another horse").await.status, 200);
}
