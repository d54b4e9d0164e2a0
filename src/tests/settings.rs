//! The settings that the page can read, by role.

use std::time::Duration;

use serde_json::{Value, json};

use super::RunningServer;
use super::calls::{OURS, TestAccount};
use super::sign_in::{TestServer, assert_refused};
use super::twilio_api::{AUTH_TOKEN, KEY_SECRET};
use crate::archive::AudioArchive;
use crate::dialing::DialingPolicy;
use crate::ids::E164;
use crate::store::Role;

#[tokio::test]
async fn a_newcomer_reads_what_is_missing() {
    let server = RunningServer::start().await;
    let answer = server.get("/api/settings", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let missing = [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_API_KEY",
        "TWILIO_API_SECRET",
        "TWILIO_TWIML_APP_SID",
        "TWILIO_CALLER_ID",
    ];
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "twilio": { "ready": false, "missing": missing },
        "callerId": null,
        "defaultCountry": null,
        "allowedCountries": [],
        "announcement": null,
        "transcriptionSource": "whisper",
        "model": null,
        "archive": false,
        "retentionDays": null,
        "maxCallSeconds": 14_400,
        "ringSeconds": 30,
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn whoever_has_signed_in_reads_what_is_set_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let account = TestAccount::open_with(|server_config| {
        let ours = E164::parse(OURS).unwrap();
        server_config.calls.policy =
            DialingPolicy::new(Some("gb, US"), false, Some(&ours)).unwrap();
        server_config.calls.announcement = Some("This call is written down.".to_owned());
        server_config.audio_archive = Some(AudioArchive::open(folder.path()).unwrap());
        server_config.is_archiving_enabled = true;
        server_config.retention = Some(Duration::from_hours(90 * 24));
        server_config.model = "tiny.en".to_owned();
    })
    .await;
    let cookie = account.app.session("alice", Role::User).await;
    let path = "/api/settings";
    let answer = account.page("GET", path, &cookie, &Value::Null).await;
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "twilio": { "ready": true, "missing": [] },
        "callerId": OURS,
        "defaultCountry": "US",
        "allowedCountries": ["GB", "US"],
        "announcement": "This call is written down.",
        "transcriptionSource": "whisper",
        "model": "tiny.en",
        "archive": true,
        "retentionDays": 90,
        "maxCallSeconds": 14_400,
        "ringSeconds": 30,
    });
    assert_eq!(answer.json(), expected);
    for secret in [AUTH_TOKEN, KEY_SECRET] {
        assert!(!answer.body.contains(secret));
    }
}

#[tokio::test]
async fn a_stranger_reads_nothing() {
    let app = TestServer::open().await;
    let answer = app.ask("GET", "/api/settings", "", &Value::Null).await;
    assert_refused(&answer, 401, "sign_in_required");
}

#[tokio::test]
async fn where_no_number_is_ours_the_only_country_is_home() {
    let server = async |countries: &str| {
        let account = TestAccount::open_with(|server_config| {
            server_config.calls.caller_id = None;
            server_config.calls.policy = DialingPolicy::new(Some(countries), false, None).unwrap();
        })
        .await;
        let cookie = account.app.session("alice", Role::User).await;
        let path = "/api/settings";
        let answer = account.page("GET", path, &cookie, &Value::Null).await;
        answer.json()["defaultCountry"].clone()
    };
    assert_eq!(server("DE").await, json!("DE"));
    assert_eq!(server("DE,FR").await, Value::Null);
}
