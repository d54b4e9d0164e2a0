//! Sign-in: a real server, a real database on disk, browsers, machines and unauthorised clients.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use utoipa::openapi::OpenApi;

use super::browser::LiveClient;
use super::scenarios::call;
use super::{HttpResponse, LogCapture, RunningServer, request, request_of_stranger};
use crate::access::password::PasswordHashPool;
use crate::access::secret::Secret;
use crate::api::{self, AuthMethod, Caller};
use crate::app::ServerConfig;
use crate::clock::{self, UtcTime};
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::engine::track::TrackConfig;
use crate::ids::CallSid;
use crate::limits;
use crate::store::{CallRecord, InjectedFault, NewCall, Party, Role, Store, TranscriptState, User};
use crate::transcript::{CallStatus, Direction};

pub(crate) const PASSWORD: &str = "correct horse";

/// Headers of a request by the server's own page.
const PAGE: &str = "Origin: https://calls.example.org\r\nContent-Type: application/json\r\n";

/// A server at a public address, so that everyone must sign in. Its variables are called `app`.
pub(crate) struct TestServer {
    pub(crate) server: RunningServer,
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl TestServer {
    pub(crate) async fn open() -> Self {
        Self::open_at(Some("https://calls.example.org")).await
    }

    /// Opens a server; without a public URL, only this machine reaches it.
    pub(crate) async fn open_at(public: Option<&str>) -> Self {
        let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
        if let Some(url) = public {
            endpoint.public_base_url = Some(url.parse().unwrap());
            endpoint.public_url = url.parse().unwrap();
        }
        Self::open_behind(endpoint, |_| {}).await
    }

    /// Opens a server at this endpoint; `change` edits the configuration before it starts.
    pub(crate) async fn open_behind(
        endpoint: EndpointConfig,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&database(&folder)).await.unwrap();
        let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
        let mut server_config =
            ServerConfig::behind(endpoint, store.clone(), engine, TrackConfig::default());
        change(&mut server_config);
        Self {
            server: RunningServer::of(server_config, |_| {}),
            store,
            folder,
        }
    }

    /// Creates a user with the password [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str, role: Role) -> User {
        let passwords = PasswordHashPool::default();
        let hash = passwords.hash(PASSWORD.to_owned().into()).await.unwrap();
        let added = self.store.add_user(name, &hash, role, clock::utc_now());
        added.await.unwrap()
    }

    /// Creates a user with a session, without hashing a password; returns the cookie.
    pub(crate) async fn session(&self, name: &str, role: Role) -> String {
        let now = clock::utc_now();
        let user = self.store.add_user(name, "none", role, now).await.unwrap();
        self.session_of(&user, now).await
    }

    pub(crate) async fn session_of(&self, user: &User, since: UtcTime) -> String {
        let secret = Secret::random();
        let hash = secret.hash();
        self.store
            .open_session(&hash, user.id, since)
            .await
            .unwrap();
        format!("__Host-callburner={}", secret.expose())
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &Value,
    ) -> HttpResponse {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        request(self.server.addr, method, path, headers, &body).await
    }

    /// Sends a request as the page does, with a cookie.
    pub(crate) async fn page(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        body: &Value,
    ) -> HttpResponse {
        let headers = format!("{PAGE}Cookie: {cookie}\r\n");
        self.ask(method, path, &headers, body).await
    }

    /// Signs in; returns the response.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> HttpResponse {
        let body = json!({ "name": name, "password": password });
        self.ask("POST", "/api/session", PAGE, &body).await
    }

    /// Returns the name of the cookie's user, if the server accepts the cookie.
    pub(crate) async fn signed_in_name(&self, cookie: &str) -> Option<String> {
        let state = self.page("GET", "/api/session", cookie, &Value::Null).await;
        let name = &state.json()["user"]["name"];
        name.as_str().map(str::to_owned)
    }

    /// Creates an API token; returns its secret.
    pub(crate) async fn token(&self, cookie: &str, scopes: &[&str]) -> String {
        let body = json!({ "name": "robot", "scopes": scopes });
        let added = self.page("POST", "/api/tokens", cookie, &body).await;
        assert_eq!(added.status, 201, "{}", added.body);
        added.json()["secret"].as_str().unwrap().to_owned()
    }

    async fn call_of(&self, sid: &CallSid, user: Option<&User>) -> CallRecord {
        let new = NewCall {
            sid: sid.clone(),
            direction: Direction::Outgoing,
            status: CallStatus::InProgress,
            from: Party("+14155550100".to_owned()),
            to: Party("+14155550101".to_owned()),
            user_id: user.map(|user| user.id),
            started_at: clock::utc_now(),
            transcript: TranscriptState::Live,
            announced: false,
        };
        self.store.open_call(&new).await.unwrap()
    }

    pub(crate) async fn listen(&self, cookie: &str) -> Result<LiveClient, u16> {
        let origin = ("origin", "https://calls.example.org");
        LiveClient::open(self.server.addr, "", &[origin, ("cookie", cookie)]).await
    }
}

/// Returns the URL of the database in this folder.
pub(crate) fn database(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("house.db").display())
}

/// Returns the cookie of a response, as a browser sends it back.
pub(crate) fn cookie(answer: &HttpResponse) -> String {
    let set = answer.header("set-cookie").expect("no cookie was set");
    set.split(';').next().unwrap().to_owned()
}

/// Returns all cookies of a response, as a browser sends them back.
fn cookies(answer: &HttpResponse) -> String {
    let set = answer.headers("set-cookie");
    let pairs = set.iter().filter_map(|cookie| cookie.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

fn code(answer: &HttpResponse) -> String {
    let json = answer.json();
    json["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[track_caller]
pub(crate) fn assert_refused(answer: &HttpResponse, status: u16, expected: &str) {
    assert_eq!((answer.status, code(answer).as_str()), (status, expected));
}

/// Returns the routes of `contract` that respond with anything but 401 without credentials, except the `open`
/// ones. Path parameters are filled with a value that matches no resource.
pub(crate) async fn routes_open_to_strangers(
    server: &RunningServer,
    contract: &OpenApi,
    open: &[(&str, &str)],
) -> Vec<String> {
    let contract = serde_json::to_value(contract).unwrap();
    let mut found = Vec::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let filled: Vec<&str> = path
                .split('/')
                .map(|part| if part.starts_with('{') { "0" } else { part })
                .collect();
            let path_filled = filled.join("/");
            let answer = request_of_stranger(server.addr, &method, &path_filled, "", "").await;
            if answer.status != 401 && !open.contains(&(method.as_str(), path)) {
                found.push(format!("{method} {path}: {}", answer.status));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_first_run_link_makes_the_first_admin_once_and_in_time() {
    let app = TestServer::open().await;
    let auth = &app.server.state.auth;
    let state = app.ask("GET", "/api/session", "", &Value::Null).await;
    let expected = json!({ "user": null, "open": false, "linkNeeded": false, "setupNeeded": true });
    assert_eq!(state.json(), expected);

    let set_up = async |link: &str, password: &str| {
        let (_, secret) = link.split_once("/setup#").unwrap();
        let body = json!({ "secret": secret, "name": "alice", "password": password });
        app.ask("POST", "/api/setup", PAGE, &body).await
    };
    let now = clock::utc_now();
    let earlier = now.minus(limits::SETUP_LINK_AGE_MAX);
    let expired = auth.first_run_link(earlier).await.unwrap().unwrap();
    assert_refused(&set_up(&expired, PASSWORD).await, 403, "not_allowed");

    let link = auth.first_run_link(now).await.unwrap().unwrap();
    assert!(link.starts_with("https://calls.example.org/setup#"));
    assert_refused(&set_up(&expired, PASSWORD).await, 403, "not_allowed");
    assert_refused(&set_up(&link, "password").await, 422, "weak_password");
    let made = set_up(&link, PASSWORD).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["user"]["role"], "admin");
    assert_eq!(
        app.signed_in_name(&cookie(&made)).await.as_deref(),
        Some("alice")
    );

    assert_refused(&set_up(&link, PASSWORD).await, 403, "not_allowed");
    assert_eq!(auth.first_run_link(now).await.unwrap(), None);
    assert_eq!(app.store.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_signs_in_and_out_and_each_time_the_cookie_is_new() {
    let app = TestServer::open().await;
    app.user("Alice", Role::User).await;
    let answer = app.sign_in("alice", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["user"]["name"], "Alice");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let set = answer.header("set-cookie").unwrap();
    let (name, rest) = set.split_once('=').unwrap();
    let (_, attributes) = rest.split_once("; ").unwrap();
    assert_eq!(name, "__Host-callburner");
    let expected = "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure";
    assert_eq!(attributes, expected);

    let first = cookie(&answer);
    let mut browser = app.listen(&first).await.ok().unwrap();
    browser.settle().await;
    let body = json!({ "name": "Alice", "password": PASSWORD });
    let again = app.page("POST", "/api/session", &first, &body).await;
    let second = cookie(&again);
    assert_eq!(browser.closed().await, Some(1008));
    assert_ne!(first, second);
    assert_eq!(
        app.signed_in_name(&first).await,
        None,
        "the old session lives on"
    );
    assert_eq!(app.signed_in_name(&second).await.as_deref(), Some("Alice"));

    let out = app
        .page("DELETE", "/api/session", &second, &Value::Null)
        .await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("; Max-Age=0;"));
    assert_eq!(app.signed_in_name(&second).await, None);
    let after = app.page("GET", "/api/tokens", &second, &Value::Null).await;
    assert_refused(&after, 401, "sign_in_required");
}

#[tokio::test]
async fn a_session_ends_when_it_is_left_and_when_it_is_old() {
    let app = TestServer::open().await;
    let user = app.user("alice", Role::User).await;
    let now = clock::utc_now();
    let minute = Duration::from_mins(1);
    let idle = now.minus(limits::SESSION_IDLE_MAX);
    let left = app.session_of(&user, idle).await;
    assert_eq!(app.signed_in_name(&left).await, None);
    let almost = app.session_of(&user, idle.plus(minute)).await;
    assert_eq!(app.signed_in_name(&almost).await.as_deref(), Some("alice"));

    let old = Secret::random();
    let begun = now.minus(limits::SESSION_AGE_MAX);
    app.store
        .open_session(&old.hash(), user.id, begun)
        .await
        .unwrap();
    app.store.touch_session(&old.hash(), now).await.unwrap();
    let old = format!("__Host-callburner={}", old.expose());
    assert_eq!(app.signed_in_name(&old).await, None);
}

#[tokio::test]
async fn use_keeps_a_session_alive_and_is_not_written_down_each_time() {
    let app = TestServer::open().await;
    let user = app.user("alice", Role::User).await;
    let secret = Secret::random();
    let cookie = format!("__Host-callburner={}", secret.expose());
    let last_use = async || {
        app.store
            .session(&secret.hash())
            .await
            .unwrap()
            .unwrap()
            .used_at
    };
    let now = clock::utc_now();
    let a_while_ago = now.minus(limits::SESSION_TOUCH_INTERVAL);
    app.store
        .open_session(&secret.hash(), user.id, a_while_ago)
        .await
        .unwrap();
    app.signed_in_name(&cookie).await;
    let touched = last_use().await;
    assert!(touched >= now, "{touched} is before {now}");
    app.signed_in_name(&cookie).await;
    assert_eq!(last_use().await, touched);
}

#[tokio::test]
async fn who_guesses_is_held_back_and_told_when_to_come_back() {
    let app = TestServer::open().await;
    app.user("alice", Role::User).await;
    for _ in 0..limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX.get() {
        let wrong = app.sign_in("alice", "wrong horse").await;
        assert_refused(&wrong, 401, "wrong_credentials");
    }
    let held = app.sign_in("alice", PASSWORD).await;
    assert_refused(&held, 429, "too_many_attempts");
    let wait: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=limits::SIGN_IN_NAME_INTERVAL.as_secs() + 1).contains(&wait));

    let stranger = app.sign_in("nobody", PASSWORD).await;
    assert_refused(&stranger, 401, "wrong_credentials");
}

#[tokio::test]
async fn a_browser_that_has_signed_in_before_is_not_locked_out_by_guesses_of_others() {
    let app = TestServer::open().await;
    app.user("alice", Role::User).await;
    let first = app.sign_in("alice", PASSWORD).await;
    let cookies = cookies(&first);
    let session = cookie(&first);
    // Another client at the same address.
    for _ in 0..limits::SIGN_INS_PER_NETWORK_MAX.get() {
        app.sign_in("alice", "wrong horse").await;
    }
    let held = app.sign_in("alice", PASSWORD).await;
    assert_refused(&held, 429, "too_many_attempts");
    let right = json!({ "name": "Alice", "password": PASSWORD });
    let again = app.page("POST", "/api/session", &cookies, &right).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let changed = json!({ "password": "another horse", "oldPassword": PASSWORD });
    let session = if app.signed_in_name(&session).await.is_some() {
        session
    } else {
        cookie(&again)
    };
    let own = app.page("PATCH", "/api/users/1", &session, &changed).await;
    assert_eq!(own.status, 200, "{}", own.body);

    // A browser that is known as alice's counts as unknown for any other name, and does not sign in without
    // the password.
    app.user("bob", Role::User).await;
    let other = json!({ "name": "bob", "password": PASSWORD });
    let other = app.page("POST", "/api/session", &cookies, &other).await;
    assert_refused(&other, 429, "too_many_attempts");
    let wrong = json!({ "name": "alice", "password": PASSWORD });
    let known = cookies.split("; ").nth(1).unwrap();
    let wrong = app.page("POST", "/api/session", known, &wrong).await;
    assert_refused(&wrong, 401, "wrong_credentials");
}

#[tokio::test]
async fn on_a_full_disk_one_signs_out_and_a_removed_user_may_do_nothing() {
    let app = TestServer::open().await;
    let ada = app.session("ada", Role::Admin).await;
    let (bob, eve) = (
        app.user("bob", Role::User).await,
        app.user("eve", Role::User).await,
    );
    let now = clock::utc_now();
    let (of_bob, of_eve) = (
        app.session_of(&bob, now).await,
        app.session_of(&eve, now).await,
    );
    app.store.inject_fault(Some(InjectedFault::DiskFull));
    let out = app
        .page("DELETE", "/api/session", &of_bob, &Value::Null)
        .await;
    assert_eq!((out.status, app.signed_in_name(&of_bob).await), (204, None));
    let path = format!("/api/users/{}", eve.id.0);
    let removed = app.page("DELETE", &path, &ada, &Value::Null).await;
    assert_eq!(
        (removed.status, app.signed_in_name(&of_eve).await),
        (503, None)
    );
    assert_refused(
        &app.sign_in("eve", PASSWORD).await,
        401,
        "wrong_credentials",
    );
    // A user who removes themselves may be the last admin.
    let own = app.page("DELETE", "/api/users/1", &ada, &Value::Null).await;
    assert_eq!(own.status, 503);
    assert_eq!(app.signed_in_name(&ada).await.as_deref(), Some("ada"));

    app.store.inject_fault(None);
    app.server.state.auth.write_pending_revocations().await;
    assert!(app.store.sessions(bob.id).await.unwrap().is_empty());
    assert!(app.store.user(eve.id).await.unwrap().is_none());
    assert_eq!(app.sign_in("bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_name_that_looks_like_anothers_or_hides_something_is_refused() {
    let app = TestServer::open().await;
    let ada = app.session("ada", Role::Admin).await;
    let add = async |name: &str| {
        let body = json!({ "name": name, "password": PASSWORD, "role": "user" });
        app.page("POST", "/api/users", &ada, &body).await
    };
    assert_refused(&add("ada\u{200b}").await, 422, "bad_name");
    assert_refused(&add("\u{202e}ada").await, 422, "bad_name");
    assert_refused(&add("\u{430}da").await, 409, "name_taken");
    assert_eq!(add("ida").await.status, 201);
}

#[tokio::test]
async fn a_hash_that_is_out_of_date_is_renewed_at_sign_in() {
    let app = TestServer::open().await;
    let user = app.user("alice", Role::User).await;
    // PASSWORD with 8 MiB and one pass.
    let old = {
        use argon2::password_hash::PasswordHasher;
        use argon2::password_hash::phc::PasswordHash;
        use argon2::{Algorithm, Argon2, Params, Version};
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash = hasher.hash_password(PASSWORD.as_bytes()).unwrap();
        hash.to_string()
    };
    app.store.set_password(user.id, &old).await.unwrap();
    let kept = async || app.store.credentials("alice").await.unwrap().unwrap().1;
    assert_eq!(app.sign_in("alice", "wrong horse").await.status, 401);
    assert_eq!(kept().await, old);
    assert_eq!(app.sign_in("alice", PASSWORD).await.status, 200);
    let renewed = kept().await;
    assert!(renewed.contains("m=19456,t=2,p=1"), "{renewed}");
    assert_eq!(app.sign_in("alice", PASSWORD).await.status, 200);
    assert_eq!(kept().await, renewed);
}

#[tokio::test]
async fn a_page_of_another_origin_can_neither_sign_in_nor_change_anything() {
    let app = TestServer::open().await;
    let user = app.user("alice", Role::Admin).await;
    let cookie = app.session_of(&user, clock::utc_now()).await;
    let body = json!({ "name": "robot", "scopes": ["calls:read"] });
    let sign_in = json!({ "name": "alice", "password": PASSWORD });
    for strange in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        let headers = format!("{strange}Cookie: {cookie}\r\nContent-Type: application/json\r\n");
        for (method, path, body) in [
            ("POST", "/api/tokens", &body),
            ("POST", "/api/session", &sign_in),
            ("DELETE", "/api/session", &Value::Null),
        ] {
            let answer = app.ask(method, path, &headers, body).await;
            assert_refused(&answer, 403, "origin_refused");
        }
    }
    // A browser sends a form without a CORS preflight, but it is not JSON.
    let form = format!("Cookie: {cookie}\r\nContent-Type: text/plain\r\n");
    let answer = app.ask("POST", "/api/tokens", &form, &body).await;
    assert_refused(&answer, 415, "unsupported_media_type");
    assert_eq!(app.signed_in_name(&cookie).await.as_deref(), Some("alice"));
    assert!(app.store.api_tokens(user.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_hears_own_calls_only_and_an_admin_all() {
    let app = TestServer::open().await;
    let alice = app.user("alice", Role::User).await;
    let bob = app.user("bob", Role::User).await;
    let admin = app.session("carol", Role::Admin).await;
    let records = [
        app.call_of(&call(1), Some(&alice)).await,
        app.call_of(&call(2), Some(&bob)).await,
        app.call_of(&call(3), None).await,
    ];
    for n in 1..=4 {
        app.server.hub.open_stream(&call(n), 1);
    }

    let now = clock::utc_now();
    let cookie = app.session_of(&alice, now).await;
    let mut browser = app.listen(&cookie).await.ok().unwrap();
    browser.subscribe(&call(1)).await;
    assert_eq!(browser.next_event().await.call_sid, call(1));
    // Another user's call, one without an owner, and one that does not exist: the same response.
    for n in 2..=4 {
        browser.subscribe(&call(n)).await;
        assert_eq!(browser.next_error().await, "no_such_call", "call {n}");
    }
    let mut all = app.listen(&admin).await.ok().unwrap();
    for n in 1..=4 {
        all.subscribe(&call(n)).await;
        assert_eq!(all.next_event().await.call_sid, call(n));
    }

    let auth_method = AuthMethod::Session([0; 32]);
    let caller = Caller::User {
        user: alice,
        auth_method,
    };
    let seen = records.map(|record| caller.require_call_access(&record).is_ok());
    assert_eq!(seen, [true, false, false]);
}

#[tokio::test]
async fn a_stranger_finds_every_route_closed() {
    let app = TestServer::open().await;
    assert_eq!(app.listen("").await.err(), Some(401));
    let contract = api::client_routes().into_openapi();
    let open = [
        ("GET", "/api/session"),
        ("POST", "/api/session"),
        ("DELETE", "/api/session"),
        ("POST", "/api/session/open"),
        ("POST", "/api/session/factor"),
        ("POST", "/api/session/passkey"),
        ("POST", "/api/session/passkey/options"),
        ("POST", "/api/setup"),
    ];
    let found = routes_open_to_strangers(&app.server, &contract, &open).await;
    assert_eq!(found, Vec::<String>::new());
    let found = routes_open_to_strangers(&app.server, &contract, &[]).await;
    assert_eq!(found.len(), open.len(), "{found:?}");
}

#[tokio::test]
async fn who_signs_out_or_is_removed_hears_no_more() {
    let app = TestServer::open().await;
    let admin = app.session("carol", Role::Admin).await;
    let alice = app.user("alice", Role::User).await;
    let now = clock::utc_now();
    let [one, two] = [
        app.session_of(&alice, now).await,
        app.session_of(&alice, now).await,
    ];
    let mut first = app.listen(&one).await.ok().unwrap();
    let mut second = app.listen(&two).await.ok().unwrap();
    first.settle().await;
    second.settle().await;
    app.page("DELETE", "/api/session", &one, &Value::Null).await;
    assert_eq!(first.closed().await, Some(1008));
    second.settle().await;

    let path = format!("/api/users/{}", alice.id.0);
    let removed = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    assert_eq!(second.closed().await, Some(1008));
    assert_eq!(app.listen(&two).await.err(), Some(401));
}

#[tokio::test]
async fn a_machine_may_what_its_scopes_allow_until_its_token_is_taken_back() {
    let app = TestServer::open().await;
    let alice = app.user("alice", Role::Admin).await;
    let cookie = app.session_of(&alice, clock::utc_now()).await;
    let reader = app.token(&cookie, &["calls:read"]).await;
    let writer = app.token(&cookie, &["calls:write"]).await;
    app.call_of(&call(1), Some(&alice)).await;
    app.server.hub.open_stream(&call(1), 1);
    let connect = async |token: &str| {
        // No browser sends this, so the origin is not checked.
        let headers = [
            ("authorization", format!("Bearer {token}")),
            ("origin", "https://evil.example".to_owned()),
        ];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        LiveClient::open(app.server.addr, "", &headers).await
    };
    let mut machine = connect(&reader).await.ok().unwrap();
    machine.subscribe(&call(1)).await;
    assert_eq!(machine.next_event().await.call_sid, call(1));
    assert_eq!(connect(&writer).await.err(), Some(403));
    assert_eq!(connect("cb_guess").await.err(), Some(401));

    // Actions that are reserved for people are refused to an admin's API token.
    let headers = format!("Authorization: bearer {reader}\r\nCookie: {cookie}\r\n");
    for path in ["/api/users", "/api/tokens"] {
        let answer = app.ask("GET", path, &headers, &Value::Null).await;
        assert_refused(&answer, 403, "not_allowed");
    }

    let list = app.page("GET", "/api/tokens", &cookie, &Value::Null).await;
    assert!(!list.body.contains(&reader));
    let id = list.json()["tokens"][0]["id"].as_i64().unwrap();
    let path = format!("/api/tokens/{id}");
    let removed = app.page("DELETE", &path, &cookie, &Value::Null).await;
    assert_eq!(removed.status, 204);
    assert_eq!(machine.closed().await, Some(1008));
    // A cookie does not make up for an invalid API token.
    let answer = app.ask("GET", "/api/users", &headers, &Value::Null).await;
    assert_refused(&answer, 401, "sign_in_required");
}

#[tokio::test]
async fn a_token_is_good_for_what_its_owner_may_and_until_its_end() {
    let app = TestServer::open().await;
    let user = app.user("alice", Role::User).await;
    let cookie = app.session_of(&user, clock::utc_now()).await;
    for (body, status, expected) in [
        (json!({ "name": "x", "scopes": [] }), 422, "no_scopes"),
        (
            json!({ "name": " ", "scopes": ["calls:read"] }),
            422,
            "bad_name",
        ),
        (
            json!({ "name": "x", "scopes": ["metrics"] }),
            403,
            "not_allowed",
        ),
        (
            json!({ "name": "x", "scopes": ["calls:read"], "expiresAt": "2020-01-01T00:00:00Z" }),
            422,
            "bad_expiry",
        ),
        (
            json!({ "name": "x", "scopes": ["everything"] }),
            422,
            "unprocessable",
        ),
        (
            json!({ "name": "x", "scopes": ["calls:read"], "admin": true }),
            422,
            "unprocessable",
        ),
    ] {
        let answer = app.page("POST", "/api/tokens", &cookie, &body).await;
        assert_refused(&answer, status, expected);
    }
    let secret = Secret::api_token();
    let now = clock::utc_now();
    let scopes = [crate::store::Scope::CallsRead];
    let hash = secret.hash();
    let added = app
        .store
        .add_api_token(&hash, user.id, "old", &scopes, Some(now), now);
    added.await.unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", secret.expose());
    let answer = app.ask("GET", "/api/tokens", &headers, &Value::Null).await;
    assert_refused(&answer, 401, "sign_in_required");
}

#[tokio::test]
async fn admins_say_who_may_sign_in_and_nobody_else_does() {
    let app = TestServer::open().await;
    let admin = app.session("carol", Role::Admin).await;
    let new = json!({ "name": "Dave", "password": PASSWORD, "role": "user" });
    let added = app.page("POST", "/api/users", &admin, &new).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let taken = json!({ "name": "DAVE", "password": PASSWORD, "role": "user" });
    let answer = app.page("POST", "/api/users", &admin, &taken).await;
    assert_refused(&answer, 409, "name_taken");
    let list = app.page("GET", "/api/users", &admin, &Value::Null).await;
    let users = list.json()["users"].clone();
    let [carol, dave] = [&users[0], &users[1]].map(|user| user["id"].as_i64().unwrap());
    assert!(!list.body.contains("argon2"));

    let at = |id| format!("/api/users/{id}");
    let first = cookie(&app.sign_in("dave", PASSWORD).await);
    let own = json!({ "password": "another horse" });
    let chosen = app.page("PATCH", &at(dave), &first, &own).await;
    let dave_cookie = cookie(&chosen);
    let promote = json!({ "role": "admin" });
    for (method, path, body) in [
        ("GET", "/api/users".to_owned(), Value::Null),
        ("POST", "/api/users".to_owned(), new.clone()),
        ("PATCH", at(dave), promote.clone()),
        ("PATCH", at(carol), json!({ "password": "another horse" })),
        ("DELETE", at(carol), Value::Null),
    ] {
        let answer = app.page(method, &path, &dave_cookie, &body).await;
        assert_refused(&answer, 403, "not_allowed");
    }

    let demote = json!({ "role": "user" });
    let answer = app.page("PATCH", &at(carol), &admin, &demote).await;
    assert_refused(&answer, 409, "last_admin");
    let answer = app.page("DELETE", &at(carol), &admin, &Value::Null).await;
    assert_refused(&answer, 409, "last_admin");
    let answer = app.page("PATCH", &at(dave), &admin, &promote).await;
    assert_eq!(answer.json()["role"], "admin");
    let answer = app.page("DELETE", &at(4_711), &admin, &Value::Null).await;
    assert_refused(&answer, 404, "no_such_user");
    let answer = app.page("DELETE", &at(carol), &admin, &Value::Null).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(app.signed_in_name(&admin).await, None);
}

#[tokio::test]
async fn nothing_of_a_secret_is_in_the_log() {
    let log = LogCapture::listen();

    let app = TestServer::open().await;
    let auth = &app.server.state.auth;
    let link = auth
        .first_run_link(clock::utc_now())
        .await
        .unwrap()
        .unwrap();
    let (_, secret) = link.split_once('#').unwrap();
    let body = json!({ "secret": secret, "name": "alice.example", "password": PASSWORD });
    let made = app.ask("POST", "/api/setup", PAGE, &body).await;
    let session = cookie(&made);
    app.sign_in("alice.example", "wrong horse").await;
    let token = app.token(&session, &["calls:read"]).await;
    let headers = format!("Authorization: Bearer {token}\r\n");
    app.ask("GET", "/api/users", &headers, &Value::Null).await;
    let broken = format!("{PAGE}Cookie: {session}\r\n");
    let body = json!({ "name": "x", "password": ["wrong horse"] });
    app.ask("POST", "/api/session", &broken, &body).await;

    let text = log.text();
    assert!(text.contains("api_token_added"), "the log was not heard");
    assert!(text.contains("sign-in refused"), "the log was not heard");
    let session = session.split_once('=').unwrap().1;
    for hidden in [
        secret,
        session,
        &token,
        PASSWORD,
        "wrong horse",
        "alice.example",
    ] {
        assert!(!text.contains(hidden), "{hidden:?} is in the log:\n{text}");
    }
}
