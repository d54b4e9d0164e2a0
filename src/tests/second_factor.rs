//! Second factors: authenticator apps, recovery codes and passkeys, and sign-in without one.

use std::time::Duration;

use serde_json::{Value, json};

use super::authenticator::Authenticator;
use super::sign_in::{PASSWORD, TestServer, assert_refused, cookie};
use super::{HttpResponse, LogCapture};
use crate::access::totp::TotpSecret;
use crate::clock;
use crate::config::{EndpointConfig, SecondFactorPolicy};
use crate::limits;
use crate::store::{Role, User};

const ORIGIN: &str = "https://calls.example.org";

/// Headers of a request by the server's own page, without a cookie.
const PAGE: &str = "Origin: https://calls.example.org\r\nContent-Type: application/json\r\n";

const STEP: Duration = Duration::from_secs(30);

/// A user with an authenticator app.
struct EnrolledUser {
    user: User,
    here: String,
    secret: TotpSecret,
    recovery: Vec<String>,
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Sets up an authenticator app; returns its secret and the response.
async fn set_up(app: &TestServer, here: &str) -> (TotpSecret, HttpResponse) {
    let path = "/api/second-factor/totp";
    let begun = app.page("POST", path, here, &Value::Null).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let begun = begun.json();
    let secret = totp_rs::Secret::try_from_base32(begun["secret"].as_str().unwrap()).unwrap();
    let secret = TotpSecret::from_bytes(secret.as_bytes()).unwrap();
    let code = secret.code_at(clock::utc_now());
    let body = json!({ "token": begun["token"], "code": code });
    let done = app.page("PUT", path, here, &body).await;
    (secret, done)
}

async fn enrolled(app: &TestServer, name: &str) -> EnrolledUser {
    let user = app.user(name, Role::User).await;
    let here = app.session_of(&user, clock::utc_now()).await;
    let (secret, done) = set_up(app, &here).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let recovery = texts(&done.json()["recoveryCodes"]);
    EnrolledUser {
        user,
        here,
        secret,
        recovery,
    }
}

/// Takes the first step of signing in; returns the token for the second.
async fn first_step(app: &TestServer, name: &str) -> String {
    let answer = app.sign_in(name, PASSWORD).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(
        answer.header("set-cookie"),
        None,
        "a password alone signs in"
    );
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn second_step(app: &TestServer, token: &str, code: &str) -> HttpResponse {
    let body = json!({ "token": token, "code": code });
    app.ask("POST", "/api/session/factor", PAGE, &body).await
}

/// Returns a code that is not valid for this secret now.
fn wrong_code(secret: &TotpSecret) -> String {
    let now = clock::utc_now();
    let wrong = (0..1_000_000).map(|n| format!("{n:06}"));
    let mut wrong = wrong.filter(|code| secret.matching_step(code, now).is_none());
    wrong.next().unwrap()
}

#[tokio::test]
async fn with_an_authenticator_app_the_password_alone_signs_nobody_in() {
    let app = TestServer::open().await;
    let ada = enrolled(&app, "ada").await;
    assert_eq!(ada.recovery.len(), 10);
    // The browser's live connection continues.
    let mut browser = app.listen(&ada.here).await.ok().unwrap();
    browser.settle().await;
    let token = first_step(&app, "ada").await;
    let wrong = second_step(&app, &token, &wrong_code(&ada.secret)).await;
    assert_refused(&wrong, 403, "wrong_code");
    let code = ada.secret.code_at(clock::utc_now().plus(STEP));
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    let done = second_step(&app, &token, &spaced).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.json()["user"]["hasSecondFactor"], true);
    assert_eq!(
        app.signed_in_name(&cookie(&done)).await.as_deref(),
        Some("ada")
    );

    // Neither the first step nor the code is valid twice.
    let again = second_step(&app, &token, &code).await;
    assert_refused(&again, 401, "sign_in_again");
    let token = first_step(&app, "ada").await;
    let again = second_step(&app, &token, &code).await;
    assert_refused(&again, 403, "wrong_code");
    // A recovery code is accepted instead, once.
    let done = second_step(&app, &token, &ada.recovery[0].to_uppercase()).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let token = first_step(&app, "ada").await;
    let again = second_step(&app, &token, &ada.recovery[0]).await;
    assert_refused(&again, 403, "wrong_code");
    let state = app.page("GET", "/api/second-factor", &ada.here, &Value::Null);
    let state = state.await.json();
    assert_eq!(state["recoveryCodesLeft"], 9);
    assert!(state["totpSince"].is_string());

    // Without the app the password is sufficient again, and no recovery code is left.
    let path = "/api/second-factor/totp";
    let gone = app.page("DELETE", path, &ada.here, &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    browser.settle().await;
    assert_eq!(app.sign_in("ada", PASSWORD).await.status, 200);
    let left = app.store.recovery_codes_left(ada.user.id).await.unwrap();
    assert_eq!(left, 0);
    let gone = app.page("DELETE", path, &ada.here, &Value::Null).await;
    assert_refused(&gone, 404, "no_such_factor");
}

#[tokio::test]
async fn an_app_that_gave_no_right_code_is_not_set_up() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let here = app.session_of(&ada, clock::utc_now()).await;
    let path = "/api/second-factor/totp";
    let begun = app.page("POST", path, &here, &Value::Null).await.json();
    assert!(
        begun["uri"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/CallBurner:ada?")
    );
    assert!(begun["qr"]["path"].as_str().unwrap().starts_with('M'));
    for _ in 0..limits::SECOND_FACTOR_ATTEMPTS_MAX {
        let body = json!({ "token": begun["token"], "code": "12345" });
        let refused = app.page("PUT", path, &here, &body).await;
        assert_refused(&refused, 403, "wrong_code");
    }
    let body = json!({ "token": begun["token"], "code": "123456" });
    let refused = app.page("PUT", path, &here, &body).await;
    assert_refused(&refused, 409, "begin_again");
    assert_eq!(app.sign_in("ada", PASSWORD).await.status, 200);
    let codes = app.page(
        "POST",
        "/api/second-factor/recovery-codes",
        &here,
        &Value::Null,
    );
    assert_refused(&codes.await, 404, "no_such_factor");
}

#[tokio::test]
async fn codes_cannot_be_guessed_by_who_knows_the_password() {
    let log = LogCapture::listen();
    let app = TestServer::open().await;
    let ada = enrolled(&app, "ada").await;
    let wrong = wrong_code(&ada.secret);
    let token = first_step(&app, "ada").await;
    for _ in 0..limits::SECOND_FACTOR_ATTEMPTS_MAX {
        let refused = second_step(&app, &token, &wrong).await;
        assert_refused(&refused, 403, "wrong_code");
    }
    let refused = second_step(&app, &token, &ada.recovery[0]).await;
    assert_refused(&refused, 401, "sign_in_again");
    assert_refused(
        &second_step(&app, "guess", &wrong).await,
        401,
        "sign_in_again",
    );

    // Repeating the password does not allow more attempts at codes.
    let mut tried = limits::SECOND_FACTOR_ATTEMPTS_MAX;
    let held = loop {
        let token = first_step(&app, "ada").await;
        let refused = second_step(&app, &token, &wrong).await;
        if refused.status != 403 {
            break refused;
        }
        tried += 1;
    };
    assert_refused(&held, 429, "too_many_attempts");
    assert_eq!(tried, limits::TOTP_ATTEMPTS_MAX);
    assert!(held.header("retry-after").is_some());
    assert!(log.text().contains("sign-in refused at its second step"));
    // This does not lock out a user with a recovery code.
    let token = first_step(&app, "ada").await;
    assert_eq!(
        second_step(&app, &token, &ada.recovery[0]).await.status,
        200
    );
    for hidden in [&ada.recovery[0], &ada.secret.to_base32(), &token] {
        assert!(
            !log.text().contains(hidden.as_str()),
            "{hidden} is in the log"
        );
    }
}

#[tokio::test]
async fn a_password_that_changes_meanwhile_ends_a_sign_in_between_its_steps() {
    let app = TestServer::open().await;
    let ada = enrolled(&app, "ada").await;
    let admin = app.session("carol", Role::Admin).await;
    let path = format!("/api/users/{}", ada.user.id.0);
    let token = first_step(&app, "ada").await;
    let body = json!({ "password": "from the admin" });
    assert_eq!(app.page("PATCH", &path, &admin, &body).await.status, 200);
    let refused = second_step(&app, &token, &ada.recovery[0]).await;
    assert_refused(&refused, 401, "sign_in_again");

    // By another process, without notice to this one.
    let signed = app.sign_in("ada", "from the admin").await;
    let token = signed.json()["token"].as_str().unwrap().to_owned();
    let hash = crate::access::password::PasswordHashPool::default();
    let hash = hash.hash("another".to_owned().into()).await.unwrap();
    app.store
        .reset_password(ada.user.id, &hash, true)
        .await
        .unwrap();
    let refused = second_step(&app, &token, &ada.recovery[1]).await;
    assert_refused(&refused, 401, "sign_in_again");
}

#[tokio::test]
async fn an_admin_takes_a_lost_second_factor_away_and_that_is_logged() {
    let app = TestServer::open().await;
    let ada = enrolled(&app, "ada").await;
    let admin = app.session("carol", Role::Admin).await;
    let path = format!("/api/users/{}/second-factor", ada.user.id.0);
    let refused = app.page("DELETE", &path, &ada.here, &Value::Null).await;
    assert_refused(&refused, 403, "not_allowed");
    let reset = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_eq!(reset.status, 204, "{}", reset.body);
    assert_eq!(
        app.signed_in_name(&ada.here).await,
        None,
        "the session goes on"
    );
    assert_eq!(app.sign_in("ada", PASSWORD).await.status, 200);
    let again = app.page("DELETE", &path, &admin, &Value::Null).await;
    assert_refused(&again, 404, "no_such_factor");
    let log = app
        .page("GET", "/api/log", &admin, &Value::Null)
        .await
        .json();
    let entries = log["entries"].as_array().unwrap();
    let kinds: Vec<&str> = entries
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"second_factor_added") && kinds.contains(&"second_factor_reset"));
}

#[tokio::test]
async fn where_the_host_wants_a_second_factor_nothing_goes_before_it_is_set_up() {
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.public_base_url = Some(ORIGIN.parse().unwrap());
    endpoint.public_url = ORIGIN.parse().unwrap();
    endpoint.second_factor_for = SecondFactorPolicy::Admins;
    let app = TestServer::open_behind(endpoint, |_| {}).await;
    let carol = app.user("carol", Role::Admin).await;
    app.user("bob", Role::User).await;
    let answer = app.sign_in("bob", PASSWORD).await;
    assert_eq!(answer.json()["secondFactorNeeded"], Value::Null);
    let bob = cookie(&answer);
    let calls = app.page("GET", "/api/calls", &bob, &Value::Null).await;
    assert_eq!(calls.status, 200);

    let answer = app.sign_in("carol", PASSWORD).await;
    assert_eq!(answer.json()["secondFactorNeeded"], true);
    let here = cookie(&answer);
    for path in ["/api/calls", "/api/users", "/api/log", "/api/settings"] {
        let refused = app.page("GET", path, &here, &Value::Null).await;
        assert_refused(&refused, 403, "second_factor_required");
    }
    assert_eq!(app.listen(&here).await.err(), Some(403));
    let state = app
        .page("GET", "/api/second-factor", &here, &Value::Null)
        .await;
    assert_eq!(state.json()["required"], true);
    let (_, done) = set_up(&app, &here).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let calls = app.page("GET", "/api/calls", &here, &Value::Null).await;
    assert_eq!(calls.status, 200, "{}", calls.body);
    assert!(app.listen(&here).await.is_ok());
    let (user, _) = app.store.credentials("carol").await.unwrap().unwrap();
    assert!(user.has_second_factor && user.id == carol.id);
}

/// Sets up a passkey.
async fn add_passkey(app: &TestServer, here: &str, device: &mut Authenticator) -> HttpResponse {
    let path = "/api/second-factor/passkeys/options";
    let begun = app.page("POST", path, here, &Value::Null).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let begun = begun.json();
    let credential = device.create(&begun["options"]);
    let body = json!({ "token": begun["token"], "name": "phone", "credential": credential });
    app.page("POST", "/api/second-factor/passkeys", here, &body)
        .await
}

/// Signs in with only the passkey.
async fn discover(app: &TestServer, device: &mut Authenticator) -> HttpResponse {
    let path = "/api/session/passkey/options";
    let begun = app.ask("POST", path, PAGE, &Value::Null).await.json();
    let credential = device.get(&begun["options"]);
    let body = json!({ "token": begun["token"], "credential": credential });
    app.ask("POST", "/api/session/passkey", PAGE, &body).await
}

#[tokio::test]
async fn a_passkey_is_a_second_step_and_signs_in_alone() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let here = app.session_of(&ada, clock::utc_now()).await;
    let state = app.ask("GET", "/api/session", "", &Value::Null).await;
    assert_eq!(state.json()["passkeyHost"], Value::Null);
    let mut device = Authenticator::new(1, ORIGIN);
    let added = add_passkey(&app, &here, &mut device).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert_eq!(texts(&added.json()["recoveryCodes"]).len(), 10);
    let state = app.ask("GET", "/api/session", "", &Value::Null).await;
    assert_eq!(state.json()["passkeyHost"], "calls.example.org");

    let first = app.sign_in("ada", PASSWORD).await;
    assert_eq!((first.status, first.header("set-cookie")), (202, None));
    let first = first.json();
    assert_eq!(first["hasApp"], false);
    let answer = device.get(&first["passkeyOptions"]);
    let body = json!({ "token": first["token"], "passkey": answer });
    let done = app.ask("POST", "/api/session/factor", PAGE, &body).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        app.signed_in_name(&cookie(&done)).await.as_deref(),
        Some("ada")
    );
    let replayed = app.ask("POST", "/api/session/factor", PAGE, &body).await;
    assert_refused(&replayed, 401, "sign_in_again");

    let alone = discover(&app, &mut device).await;
    assert_eq!(alone.status, 200, "{}", alone.body);
    assert_eq!(
        app.signed_in_name(&cookie(&alone)).await.as_deref(),
        Some("ada")
    );

    let state = app.page("GET", "/api/second-factor", &here, &Value::Null);
    let state = state.await.json();
    let [passkey] = &state["passkeys"].as_array().unwrap()[..] else {
        panic!("one passkey was made: {state}");
    };
    assert_eq!(
        (passkey["name"].as_str(), passkey["usedAt"].is_string()),
        (Some("phone"), true)
    );
    let path = format!("/api/second-factor/passkeys/{}", passkey["id"]);
    let gone = app.page("DELETE", &path, &here, &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_refused(&discover(&app, &mut device).await, 403, "wrong_code");
    assert_eq!(app.sign_in("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_passkeys_answer_counts_for_its_page_its_challenge_and_its_user_alone() {
    let app = TestServer::open().await;
    let ada = app.user("ada", Role::User).await;
    let bob = app.user("bob", Role::User).await;
    let now = clock::utc_now();
    let [ada_here, bob_here] = [
        app.session_of(&ada, now).await,
        app.session_of(&bob, now).await,
    ];
    let mut first = Authenticator::new(1, ORIGIN);
    let mut second = Authenticator::new(2, ORIGIN);
    assert_eq!(add_passkey(&app, &ada_here, &mut first).await.status, 201);
    assert_eq!(add_passkey(&app, &bob_here, &mut second).await.status, 201);

    // A page that imitates this server's.
    first.origin = "https://calls.example.org.evil.example".to_owned();
    assert_refused(&discover(&app, &mut first).await, 403, "wrong_code");
    let mut lured = Authenticator::new(3, "https://evil.example");
    assert_refused(
        &add_passkey(&app, &ada_here, &mut lured).await,
        403,
        "wrong_code",
    );
    first.origin = ORIGIN.to_owned();

    // A device that did not verify its user.
    first.verifies = false;
    assert_refused(&discover(&app, &mut first).await, 403, "wrong_code");
    first.verifies = true;

    // A response to another challenge, and a repeated response.
    let path = "/api/session/passkey/options";
    let begun = app.ask("POST", path, PAGE, &Value::Null).await.json();
    let other = app.ask("POST", path, PAGE, &Value::Null).await.json();
    let answer = first.get(&begun["options"]);
    let send = async |token: &Value| {
        let body = json!({ "token": token, "credential": answer });
        app.ask("POST", "/api/session/passkey", PAGE, &body).await
    };
    assert_refused(&send(&other["token"]).await, 403, "wrong_code");
    assert_eq!(send(&begun["token"]).await.status, 200);
    assert_refused(&send(&begun["token"]).await, 401, "sign_in_again");

    // A copy of the device, with a lower signature counter.
    first.counter = 0;
    assert_refused(&discover(&app, &mut first).await, 403, "wrong_code");
    first.counter = 10;
    assert_eq!(discover(&app, &mut first).await.status, 200);

    // Another user's passkey is not accepted as a second step.
    let step = app.sign_in("ada", PASSWORD).await.json();
    let answer = second.get(&step["passkeyOptions"]);
    let body = json!({ "token": step["token"], "passkey": answer });
    let refused = app.ask("POST", "/api/session/factor", PAGE, &body).await;
    assert_refused(&refused, 403, "wrong_code");
    // A passkey belongs to one user.
    let mut same = Authenticator::new(1, ORIGIN);
    assert_refused(
        &add_passkey(&app, &bob_here, &mut same).await,
        409,
        "passkey_known",
    );
}

#[tokio::test]
async fn second_factors_change_only_for_who_has_just_proved_to_be_there() {
    let app = TestServer::open().await;
    let ada = enrolled(&app, "ada").await;
    let mut device = Authenticator::new(1, ORIGIN);
    assert_eq!(add_passkey(&app, &ada.here, &mut device).await.status, 201);
    let begun = clock::utc_now().minus(limits::CONFIRMATION_AGE_MAX);
    let late = app.session_of(&ada.user, begun).await;
    let factor = |rest: &str| format!("/api/second-factor/{rest}");
    let totp = json!({ "token": "x", "code": "123456" });
    let passkey = json!({ "token": "x", "name": "x", "credential": {} });
    let acts = [
        ("POST", factor("totp"), Value::Null),
        ("PUT", factor("totp"), totp),
        ("DELETE", factor("totp"), Value::Null),
        ("POST", factor("passkeys/options"), Value::Null),
        ("POST", factor("passkeys"), passkey),
        ("DELETE", factor("passkeys/1"), Value::Null),
        ("POST", factor("recovery-codes"), Value::Null),
    ];
    for (method, path, body) in &acts {
        let refused = app.page(method, path, &late, body).await;
        assert_refused(&refused, 403, "confirm_password");
    }
    let confirm = "/api/session/confirm";
    let prove = async |body: Value| app.page("POST", confirm, &late, &body).await;
    let wrong = wrong_code(&ada.secret);
    assert_refused(&prove(json!({ "code": wrong })).await, 403, "wrong_code");
    assert_refused(&prove(json!({})).await, 422, "bad_proof");
    let both = json!({ "code": wrong, "password": PASSWORD });
    assert_refused(&prove(both).await, 422, "bad_proof");
    let code = ada.secret.code_at(clock::utc_now().plus(STEP));
    assert_eq!(prove(json!({ "code": code })).await.status, 204);
    let path = factor("recovery-codes");
    let renewed = app.page("POST", &path, &late, &Value::Null).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    let fresh = texts(&renewed.json()["recoveryCodes"]);
    let token = first_step(&app, "ada").await;
    let old = second_step(&app, &token, &ada.recovery[1]).await;
    assert_refused(&old, 403, "wrong_code");
    assert_eq!(second_step(&app, &token, &fresh[1]).await.status, 200);

    // Also with a passkey.
    let late = app.session_of(&ada.user, begun).await;
    let options = format!("{confirm}/options");
    let begun = app.page("POST", &options, &late, &Value::Null).await.json();
    let credential = device.get(&begun["options"]);
    let body = json!({ "passkey": { "token": begun["token"], "credential": credential } });
    let proved = app.page("POST", confirm, &late, &body).await;
    assert_eq!(proved.status, 204, "{}", proved.body);
    let path = factor("totp");
    let gone = app.page("DELETE", &path, &late, &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    let again = app.page("POST", confirm, &late, &body).await;
    assert_refused(&again, 403, "wrong_code");
}
