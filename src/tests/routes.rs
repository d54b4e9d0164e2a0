//! Every route of the API, requested with insufficient rights: without signing in, by another user, by a
//! removed user's session and API token, by an API token of the owner's with the wrong scope; and by an
//! admin.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::browser::LiveClient;
use super::calls::{THEIRS, TestAccount};
use super::scenarios::call;
use super::{HttpResponse, request};
use crate::access::secret::Secret;
use crate::api;
use crate::clock;
use crate::ids::RecordingSid;
use crate::store::{CallDetail, Role, Scope, User};

/// A route, the request's body, and the responses to: no credentials; another user; a removed user's cookie;
/// a removed user's API token; an API token of the owner's without the scope; an admin.
type Row = (&'static str, &'static str, &'static str, [&'static str; 6]);

const NONE: &str = "";
const SIGN_IN: &str = "401 sign_in_required";
const CALL: &str = "404 no_such_call";
const DENIED: &str = "403 not_allowed";
const KNOWN: &str = r#"{"sid":"CALL","direction":"outgoing"}"#;
const NOTES: &str = r#"{"notes":"mine"}"#;
const NEW_TOKEN: &str = r#"{"name":"robot","scopes":["calls:read"]}"#;
const NEW_USER: &str = r#"{"name":"dave","password":"correct horse","role":"user"}"#;
const CREDENTIALS: &str = r#"{"name":"alice","password":"wrong horse"}"#;
const SET_UP: &str = r#"{"secret":"x","name":"eve","password":"correct horse"}"#;
const REGISTRATION: &str = r#"{"id":"0123456789abcdef-0","expiresAt":"2020-01-01T00:00:00.000Z"}"#;
const AGAIN: &str = "401 sign_in_again";
const WRONG: &str = "401 wrong_credentials";

/// The placeholders in these paths are replaced by the owner's resources: a call that has ended and was
/// recorded, a session, an API token, the owner.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("GET", "/api/calls", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/calls", KNOWN, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, CALL]),
    ("GET", "/api/calls/{sid}", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("DELETE", "/api/calls/{sid}", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("PATCH", "/api/calls/{sid}", NOTES, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("GET", "/api/calls/{sid}/audio", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "404 no_audio"]),
    ("POST", "/api/calls/{sid}/hangup", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("POST", "/api/calls/{sid}/recording/pause", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "409 call_over"]),
    ("POST", "/api/calls/{sid}/recording/resume", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "409 call_over"]),
    ("POST", "/api/calls/{sid}/recording/start", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "409 call_over"]),
    ("POST", "/api/calls/{sid}/recording/stop", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "409 call_over"]),
    ("GET", "/api/calls/{sid}/{file}", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("GET", "/api/recordings/{sid}/media", NONE,
        [SIGN_IN, "404 no_such_recording", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("GET", "/ws/transcriptions", NONE, ["401", "101", "401", "401", "403", "101"]),
    ("GET", "/api/simulation", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/simulation", NONE,
        [SIGN_IN, "409 simulation_off", SIGN_IN, SIGN_IN, DENIED, "409 simulation_off"]),
    ("GET", "/api/token", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/registrations", REGISTRATION,
        [SIGN_IN, "409 pass_over", SIGN_IN, SIGN_IN, DENIED, "409 pass_over"]),
    ("DELETE", "/api/registrations/{id}", NONE, [SIGN_IN, "204", SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("GET", "/api/rung/{sid}", NONE, [SIGN_IN, CALL, SIGN_IN, SIGN_IN, DENIED, CALL]),
    ("GET", "/api/settings", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, "200", "200"]),
    ("GET", "/api/log", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("GET", "/metrics", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("GET", "/api/users", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/users", NEW_USER, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "201"]),
    ("PATCH", "/api/users/{id}", r#"{"role":"admin"}"#, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("DELETE", "/api/users/{id}", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("GET", "/api/sessions", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("DELETE", "/api/sessions", NONE, [SIGN_IN, "204", SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("DELETE", "/api/sessions/{id}", NONE,
        [SIGN_IN, "404 no_such_session", SIGN_IN, SIGN_IN, DENIED, "404 no_such_session"]),
    ("GET", "/api/tokens", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/tokens", NEW_TOKEN, [SIGN_IN, "201", SIGN_IN, SIGN_IN, DENIED, "201"]),
    ("DELETE", "/api/tokens/{id}", NONE,
        [SIGN_IN, "404 no_such_token", SIGN_IN, SIGN_IN, DENIED, "404 no_such_token"]),
    ("GET", "/api/second-factor", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/second-factor/totp", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("PUT", "/api/second-factor/totp", r#"{"token":"x","code":"123456"}"#,
        [SIGN_IN, "409 begin_again", SIGN_IN, SIGN_IN, DENIED, "409 begin_again"]),
    ("DELETE", "/api/second-factor/totp", NONE,
        [SIGN_IN, "404 no_such_factor", SIGN_IN, SIGN_IN, DENIED, "404 no_such_factor"]),
    ("POST", "/api/second-factor/passkeys/options", NONE, [SIGN_IN, "200", SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("POST", "/api/second-factor/passkeys", r#"{"token":"x","name":"x","credential":{}}"#,
        [SIGN_IN, "409 begin_again", SIGN_IN, SIGN_IN, DENIED, "409 begin_again"]),
    ("DELETE", "/api/second-factor/passkeys/{id}", NONE,
        [SIGN_IN, "404 no_such_factor", SIGN_IN, SIGN_IN, DENIED, "404 no_such_factor"]),
    ("POST", "/api/second-factor/recovery-codes", NONE,
        [SIGN_IN, "404 no_such_factor", SIGN_IN, SIGN_IN, DENIED, "404 no_such_factor"]),
    ("POST", "/api/session/confirm", "{}",
        [SIGN_IN, "422 bad_proof", SIGN_IN, SIGN_IN, DENIED, "422 bad_proof"]),
    ("POST", "/api/session/confirm/options", NONE,
        [SIGN_IN, "409 no_passkeys", SIGN_IN, SIGN_IN, DENIED, "409 no_passkeys"]),
    ("GET", "/api/users/{id}/sessions", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("DELETE", "/api/users/{id}/sessions", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("DELETE", "/api/users/{id}/sessions/{session}", NONE,
        [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("GET", "/api/users/{id}/tokens", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "200"]),
    ("DELETE", "/api/users/{id}/tokens", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("DELETE", "/api/users/{id}/tokens/{token}", NONE, [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "204"]),
    ("DELETE", "/api/users/{id}/second-factor", NONE,
        [SIGN_IN, DENIED, SIGN_IN, SIGN_IN, DENIED, "404 no_such_factor"]),
    // These routes do not require sign-in; an invalid API token is refused nevertheless.
    ("GET", "/api/session", NONE, ["200", "200", "200", SIGN_IN, "200", "200"]),
    ("POST", "/api/session", CREDENTIALS, [WRONG, WRONG, WRONG, SIGN_IN, WRONG, WRONG]),
    ("DELETE", "/api/session", NONE, ["204", "204", "204", SIGN_IN, "204", "204"]),
    ("POST", "/api/setup", SET_UP, [DENIED, DENIED, DENIED, SIGN_IN, DENIED, DENIED]),
    ("POST", "/api/session/open", r#"{"secret":"x"}"#, [DENIED, DENIED, DENIED, SIGN_IN, DENIED, DENIED]),
    ("POST", "/api/session/factor", r#"{"token":"x","code":"123456"}"#, [AGAIN, AGAIN, AGAIN, SIGN_IN, AGAIN, AGAIN]),
    ("POST", "/api/session/passkey", r#"{"token":"x","credential":{}}"#, [AGAIN, AGAIN, AGAIN, SIGN_IN, AGAIN, AGAIN]),
    ("POST", "/api/session/passkey/options", NONE, ["200", "200", "200", SIGN_IN, "200", "200"]),
    ("GET", "/api/openapi.json", NONE, ["200"; 6]),
    ("GET", "/healthz", NONE, ["200"; 6]),
    ("GET", "/readyz", NONE, ["200"; 6]),
];

/// A server with the owner's resources, and the credentials of all parties as header lines.
struct RouteFixture {
    account: TestAccount,
    owner: User,
    recording: RecordingSid,
    session: String,
    token: i64,
    callers: [String; 6],
}

impl RouteFixture {
    /// The API token without the scope lacks the one that `method` needs.
    async fn open(method: &str) -> Self {
        let account = TestAccount::open().await;
        let (app, now) = (&account.app, clock::utc_now());
        let owner = app.user("alice", Role::User).await;
        let cookie = app.session_of(&owner, now).await;
        let admin = app.session("carol", Role::Admin).await;
        let other = app.session("bob", Role::User).await;
        let removed = app
            .store
            .add_user("tom", "none", Role::User, now)
            .await
            .unwrap();
        let removed_cookie = app.session_of(&removed, now).await;
        let token = async |user: &User, scopes: &[Scope]| {
            let secret = Secret::api_token();
            let hash = secret.hash();
            let added = app
                .store
                .add_api_token(&hash, user.id, "robot", scopes, None, now);
            let bearer = format!("Authorization: Bearer {}\r\n", secret.expose());
            (added.await.unwrap().id, bearer)
        };
        let all = [Scope::CallsRead, Scope::CallsWrite];
        let (_, removed_token) = token(&removed, &all).await;
        app.store.remove_user(removed.id).await.unwrap();
        let lacking = if method == "GET" {
            Scope::CallsWrite
        } else {
            Scope::CallsRead
        };
        let (id, wrong_scope) = token(&owner, &[lacking]).await;

        let identity = account.identity(&cookie).await;
        account.dial(1, &identity, THEIRS).await;
        account.twilio.add_call(&call(1));
        let at = format!("/api/calls/{}", call(1).as_str());
        let record = async |command: &str| -> RecordingSid {
            let path = format!("{at}/recording/{command}");
            let answer = account.page("POST", &path, &cookie, &Value::Null).await;
            RecordingSid::parse(answer.json()["sid"].as_str().unwrap()).unwrap()
        };
        let recording = record("start").await;
        record("stop").await;
        account.post_dial_ended(1, Some(2), "completed").await;
        account.twilio.finish_recording(&recording, b"RIFF");
        let sessions = account
            .page("GET", "/api/sessions", &cookie, &Value::Null)
            .await;
        let session = sessions.json()["sessions"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let with_cookie =
            |cookie: String| format!("Origin: https://calls.example.org\r\nCookie: {cookie}\r\n");
        Self {
            owner,
            recording,
            session,
            token: id,
            callers: [
                String::new(),
                with_cookie(other),
                with_cookie(removed_cookie),
                removed_token,
                wrong_scope,
                with_cookie(admin),
            ],
            account,
        }
    }

    /// Fills the path with the owner's resources.
    fn path(&self, route: &str) -> String {
        let id = match route.split('/').nth(2) {
            Some("users") => self.owner.id.0.to_string(),
            Some("sessions") => self.session.clone(),
            Some("registrations") => "0123456789abcdef-0".to_owned(),
            _ => self.token.to_string(),
        };
        let sid = if route.starts_with("/api/recordings") {
            self.recording.as_str().to_owned()
        } else {
            call(1).as_str().to_owned()
        };
        route
            .replace("{sid}", &sid)
            .replace("{id}", &id)
            .replace("{session}", &self.session)
            .replace("{token}", &self.token.to_string())
            .replace("{file}", "transcript.txt")
    }

    async fn ask(&self, method: &str, route: &str, headers: &str, body: &str) -> String {
        let addr = self.account.app.server.addr;
        if route == "/ws/transcriptions" {
            let lines = headers.lines().filter_map(|line| line.split_once(": "));
            let lines: Vec<(&'static str, &str)> = lines
                .map(|(name, value)| match name {
                    "Origin" => ("origin", value),
                    "Cookie" => ("cookie", value),
                    _ => ("authorization", value),
                })
                .collect();
            return match LiveClient::open(addr, "", &lines).await {
                Ok(_) => "101".to_owned(),
                Err(status) => status.to_string(),
            };
        }
        let headers = match body {
            NONE => headers.to_owned(),
            _ => format!("{headers}Content-Type: application/json\r\n"),
        };
        let body = body.replace("CALL", call(1).as_str());
        told(&request(addr, method, &self.path(route), &headers, &body).await)
    }

    /// Returns the state of the owner's resources.
    async fn things(&self) -> (Option<CallDetail>, usize, usize, Vec<String>) {
        let store = &self.account.app.store;
        let detail = store.call_detail(&call(1)).await.unwrap();
        let sessions = store.sessions(self.owner.id).await.unwrap().len();
        let tokens = store.api_tokens(self.owner.id).await.unwrap().len();
        (detail, sessions, tokens, self.account.twilio.changes())
    }
}

/// Returns `404 no_such_call`, or only the status.
fn told(answer: &HttpResponse) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match body["error"]["code"].as_str() {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

#[test]
fn no_route_is_without_a_row() {
    let contract: Value = serde_json::from_str(api::openapi_json()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let rows = ROWS
        .iter()
        .map(|(method, path, ..)| format!("{method} {path}"));
    let rows: BTreeSet<String> = rows.collect();
    let differ: Vec<&String> = routes.symmetric_difference(&rows).collect();
    assert!(differ.is_empty(), "say in ROWS who may do what: {differ:?}");
    assert_eq!(rows.len(), ROWS.len(), "a route has two rows");
}

#[tokio::test]
async fn every_route_answers_everyone_as_the_table_says() {
    let mut wrong = Vec::new();
    for (method, route, body, expected) in ROWS {
        let fixture = RouteFixture::open(method).await;
        let before = fixture.things().await;
        let mut answers = Vec::new();
        let (admin, others) = fixture.callers.split_last().unwrap();
        for headers in others {
            answers.push(fixture.ask(method, route, headers, body).await);
        }
        if fixture.things().await != before {
            wrong.push(format!(
                "{method} {route}: something of the owner's has changed"
            ));
        }
        answers.push(fixture.ask(method, route, admin, body).await);
        if answers != expected {
            wrong.push(format!("{method} {route}: {}", json!(answers)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
