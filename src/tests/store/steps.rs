//! The steps of the tables, there and back, with something in every table.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use super::{
    RecordingStatus, at, call, hear, leg_update, new_call, note, recording_update, say, segment,
    stream_number,
};
use crate::store::{NewCall, Role, Scope, Store, StoreError};
use crate::transcript::CallStatus;

/// A table's rows, as SQL writes them.
type Rows = BTreeMap<String, Vec<String>>;

async fn connect(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    options.connect().await.unwrap()
}

async fn texts(connection: &mut SqliteConnection, query: String) -> Vec<String> {
    let query = sqlx::query_scalar(AssertSqlSafe(query));
    query.fetch_all(connection).await.unwrap()
}

/// What is in every table of ours; the index's own tables follow from them.
async fn rows(file: &Path) -> Rows {
    let mut connection = connect(file).await;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                  AND name NOT LIKE '_sqlx_%' AND name NOT LIKE '%_fts_%'";
    let mut all = Rows::new();
    for table in texts(&mut connection, tables.to_owned()).await {
        let columns = format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')");
        let columns = texts(&mut connection, columns).await.join(" || ',' || ");
        let rows = format!("SELECT {columns} FROM {table} ORDER BY 1");
        all.insert(table, texts(&mut connection, rows).await);
    }
    connection.close().await.unwrap();
    all
}

/// How tables and indexes are made.
async fn shape(file: &Path) -> Vec<String> {
    let mut connection = connect(file).await;
    let shape = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name";
    let shape = texts(&mut connection, shape.to_owned()).await;
    connection.close().await.unwrap();
    shape
}

fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// Something in every table.
async fn fill(file: &Path) {
    let store = Store::open(&url(file)).await.unwrap();
    let ada = store
        .add_user("Ada", "hash", Role::Admin, at(0))
        .await
        .unwrap();
    store.open_session(&[1; 32], ada.id, at(0)).await.unwrap();
    let scopes = [Scope::Metrics];
    let token = store.add_api_token(&[2; 32], ada.id, "robot", &scopes, None, at(0));
    token.await.unwrap();
    for n in 1..=3 {
        let user_id = Some(ada.id);
        let new = NewCall {
            user_id,
            ..new_call(n)
        };
        store.open_call(&new).await.unwrap();
        stream_number(&store, n, n).await;
        say(
            &store,
            n,
            &[
                segment(1, 0, "grüße an alle"),
                segment(2, 900, "it's \"fine\""),
            ],
        )
        .await;
    }
    note(&store, 1, "a note").await;
    hear(&store, leg_update(12, Some(1), CallStatus::Completed, 3)).await;
    let mut told = leg_update(13, Some(2), CallStatus::Ringing, 1);
    told.token = Some("token".to_owned());
    hear(&store, told).await;
    let recording = recording_update(1, RecordingStatus::Completed);
    store.apply_recording(&recording, at(5)).await.unwrap();
    store
        .log(Some(&call(1)), "kind", "detail", Some(ada.id), at(6))
        .await
        .unwrap();
    store
        .log(None, "kind", "detail", None, at(6))
        .await
        .unwrap();
    store.delete_call(&call(3), at(7)).await.unwrap().unwrap();
    store.close().await;
}

#[tokio::test]
async fn every_step_goes_back_and_forth_without_a_loss() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("calls.db");
    fill(&file).await;
    let (newest, was) = (Store::newest_step(), rows(&file).await);
    assert!(newest >= 2);
    let empty: Vec<&String> = was
        .iter()
        .filter(|(_, rows)| rows.is_empty())
        .map(|(t, _)| t)
        .collect();
    assert!(
        was.len() >= 12 && empty.is_empty(),
        "nothing is in {empty:?}"
    );

    for step in (1..newest).rev() {
        // How a database of that step is from the start.
        let young = folder.path().join(format!("young-{step}.db"));
        drop(Store::open(&url(&young)).await.unwrap());
        let moved = Store::move_to(&url(&young), step).await.unwrap();
        assert_eq!((moved.from, moved.to), (newest, step));

        let moved = Store::move_to(&url(&file), step).await.unwrap();
        assert_eq!((moved.from, moved.to), (step + 1, step));
        assert_eq!(Store::step(&url(&file)).await.unwrap(), step);
        assert_eq!(rows(&file).await, was, "step {step}");
        assert_eq!(shape(&file).await, shape(&young).await, "step {step}");
        let copy = moved.copy.unwrap();
        assert_eq!(rows(&copy).await, was, "the copy");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    // An upgrade is the start of the newer program.
    let store = Store::open(&url(&file)).await.unwrap();
    assert_eq!(store.segments(&call(1)).await.unwrap().len(), 2);
    store.close().await;
    let fresh = folder.path().join("fresh.db");
    Store::open(&url(&fresh)).await.unwrap().close().await;
    assert_eq!(Store::step(&url(&file)).await.unwrap(), newest);
    assert_eq!(rows(&file).await, was);
    assert_eq!(shape(&file).await, shape(&fresh).await);
}

#[track_caller]
fn refused<T: std::fmt::Debug>(done: Result<T, StoreError>, why: &str) {
    let told = done.unwrap_err().to_string();
    assert!(told.contains(why), "{told}");
}

#[tokio::test]
async fn no_step_is_taken_beside_a_server_without_a_copy_or_into_the_unknown() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("calls.db");
    let url = url(&file);
    refused(Store::move_to(&url, 1).await, "is not there");
    assert!(!file.exists());
    refused(Store::move_to("sqlite::memory:", 1).await, "in memory");
    let server = Store::open(&url).await.unwrap();
    refused(Store::move_to(&url, 1).await, "stop the server");
    server.close().await;
    let newest = Store::newest_step();
    for step in [0, -1, newest + 1] {
        refused(Store::move_to(&url, step).await, "there are 1 to");
    }
    let copy = folder.path().join(format!("calls.db.step-{newest}"));
    std::fs::write(&copy, "of another day").unwrap();
    refused(Store::move_to(&url, 1).await, "was copied before");
    assert_eq!(Store::step(&url).await.unwrap(), newest);

    // Of a program that is newer than this one.
    let mut connection = connect(&file).await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                 execution_time) VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    refused(
        Store::move_to(&url, 1).await,
        "newer program's `callburner migrate --to 1`",
    );
    refused(Store::open(&url).await, "callburner migrate");
}
