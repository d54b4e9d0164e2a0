//! What the page may know of the host's settings, and who.

use std::time::Duration;

use serde_json::{Value, json};

use super::Server;
use super::calls::{OURS, Office};
use super::sign_in::{House, assert_refused};
use super::twilio_api::{AUTH_TOKEN, KEY_SECRET};
use crate::archive::Shelf;
use crate::dialing::Policy;
use crate::ids::E164;
use crate::store::Role;

#[tokio::test]
async fn a_newcomer_reads_what_is_missing() {
    let server = Server::start().await;
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
    let office = Office::open_with(|parts| {
        let ours = E164::parse(OURS).unwrap();
        parts.desk.policy = Policy::new(Some("gb, US"), false, Some(&ours)).unwrap();
        parts.desk.announcement = Some("This call is written down.".to_owned());
        parts.shelf = Some(Shelf::open(folder.path()).unwrap());
        parts.archives = true;
        parts.retention = Some(Duration::from_hours(90 * 24));
        parts.model = "tiny.en".to_owned();
    })
    .await;
    let cookie = office.house.session("alice", Role::User).await;
    let path = "/api/settings";
    let answer = office.page("GET", path, &cookie, &Value::Null).await;
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
    let house = House::open().await;
    let answer = house.ask("GET", "/api/settings", "", &Value::Null).await;
    assert_refused(&answer, 401, "sign_in_required");
}

#[tokio::test]
async fn where_no_number_is_ours_the_only_country_is_home() {
    let server = async |countries: &str| {
        let office = Office::open_with(|parts| {
            parts.desk.caller_id = None;
            parts.desk.policy = Policy::new(Some(countries), false, None).unwrap();
        })
        .await;
        let cookie = office.house.session("alice", Role::User).await;
        let path = "/api/settings";
        let answer = office.page("GET", path, &cookie, &Value::Null).await;
        answer.json()["defaultCountry"].clone()
    };
    assert_eq!(server("DE").await, json!("DE"));
    assert_eq!(server("DE,FR").await, Value::Null);
}
