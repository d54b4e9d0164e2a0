//! What can be seen of who came in and what was done: one's sessions, and the server's log.

use serde_json::{Value, json};

use super::calls::Office;
use super::sign_in::{House, assert_refused};
use super::stories::call;
use crate::clock;
use crate::store::Role;

async fn sessions(house: &House, cookie: &str) -> Vec<Value> {
    let answer = house
        .page("GET", "/api/sessions", cookie, &Value::Null)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_sees_ones_browsers_and_signs_them_out() {
    let house = House::open().await;
    let ada = house.user("ada", Role::User).await;
    let now = clock::utc_now();
    let here = house.session_of(&ada, now).await;
    let there = house.session_of(&ada, now).await;
    let elsewhere = house.session_of(&ada, now).await;
    let bob = house.session("bob", Role::Admin).await;

    let mine = sessions(&house, &here).await;
    assert_eq!(mine.len(), 3);
    assert_eq!(mine.iter().filter(|s| s["isCurrent"] == true).count(), 1);
    let id = |cookie: Vec<Value>| {
        let current = cookie.iter().find(|s| s["isCurrent"] == true);
        current.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let path = format!("/api/sessions/{}", id(sessions(&house, &there).await));
    // Not even an admin ends another's.
    let refused = house.page("DELETE", &path, &bob, &Value::Null).await;
    assert_refused(&refused, 404, "no_such_session");
    let ended = house.page("DELETE", &path, &here, &Value::Null).await;
    assert_eq!(ended.status, 204, "{}", ended.body);
    let gone = house.page("GET", "/api/sessions", &there, &Value::Null);
    assert_refused(&gone.await, 401, "sign_in_required");

    let all = house.page("DELETE", "/api/sessions", &here, &Value::Null);
    assert_eq!(all.await.status, 204);
    let gone = house.page("GET", "/api/sessions", &elsewhere, &Value::Null);
    assert_refused(&gone.await, 401, "sign_in_required");
    assert_eq!(sessions(&house, &here).await.len(), 1);
    assert_eq!(sessions(&house, &bob).await.len(), 1);
}

#[tokio::test]
async fn admins_read_who_looked_into_took_away_and_deleted_what() {
    let office = Office::open().await;
    let alice = office.house.session("alice", Role::User).await;
    let identity = office.identity(&alice).await;
    office.dial(1, &identity, "+14155550123").await;
    let admin = office.house.session("carol", Role::Admin).await;
    let path = format!("/api/calls/{}", call(1).as_str());
    for _ in 0..2 {
        office.page("GET", &path, &admin, &Value::Null).await;
    }
    office.page("GET", &path, &alice, &Value::Null).await;
    let file = format!("{path}/transcript.srt");
    let taken = office.page("GET", &file, &alice, &Value::Null).await;
    assert_eq!(taken.status, 200, "{}", taken.body);

    let refused = office.page("GET", "/api/log", &alice, &Value::Null).await;
    assert_refused(&refused, 403, "not_allowed");
    let told = office.page("GET", "/api/log", &admin, &Value::Null).await;
    let entries = told.json()["entries"].as_array().unwrap().clone();
    let entry = |e: &Value| json!([e["kind"], e["detail"], e["userId"]]);
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    let sid = call(1);
    assert_eq!(
        entries,
        [
            json!(["looked_into_call", sid.as_str(), 2]),
            json!(["transcript_exported", sid.as_str(), 1]),
        ]
    );
}
