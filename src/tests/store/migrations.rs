//! Migrations, forward and back, with rows in every table.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use super::{
    RecordingStatus, add_segments, apply_leg, at, call, leg_update, new_call, recording_update,
    segment, set_notes, stream_number,
};
use crate::ids::{ClientIdentity, RegistrationId};
use crate::store::{
    NewCall, NewPasskey, PlacedCall, RegistrationRecord, Role, Scope, Store, StoreError, User,
};
use crate::transcript::CallStatus;

/// The rows of each table: the values by column, as SQL literals.
type Rows = BTreeMap<String, Vec<BTreeMap<String, String>>>;

async fn connect(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    options.connect().await.unwrap()
}

async fn query_texts(connection: &mut SqliteConnection, query: String) -> Vec<String> {
    let query = sqlx::query_scalar(AssertSqlSafe(query));
    query.fetch_all(connection).await.unwrap()
}

/// Returns the rows of every table of this program; the tables of the full-text index follow from them. The
/// server's log only has a table at newer versions, so it is tested separately.
async fn rows(file: &Path) -> Rows {
    let mut connection = connect(file).await;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                  AND name NOT LIKE '_sqlx_%' AND name NOT LIKE '%_fts_%'";
    let mut all = Rows::new();
    for table in query_texts(&mut connection, tables.to_owned()).await {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
        for column in query_texts(&mut connection, columns).await {
            let key = primary_key(&mut connection, &table).await;
            let of_calls = if table == "log_entries" {
                "WHERE call_id IS NOT NULL"
            } else {
                ""
            };
            let values = format!("SELECT quote({column}) FROM {table} {of_calls} ORDER BY {key}");
            let values = query_texts(&mut connection, values).await;
            rows.resize_with(values.len(), BTreeMap::new);
            for (row, value) in rows.iter_mut().zip(values) {
                row.insert(column.clone(), value);
            }
        }
        all.insert(table, rows);
    }
    let log = match all.remove("server_log") {
        Some(_) => "server_log",
        None => "log_entries WHERE call_id IS NULL",
    };
    let log = format!("SELECT at || kind || detail || quote(user_id) FROM {log} ORDER BY id");
    let log = query_texts(&mut connection, log).await.into_iter();
    let row = |entry| BTreeMap::from([("entry".to_owned(), entry)]);
    all.insert("the server's log".to_owned(), log.map(row).collect());
    connection.close().await.unwrap();
    all
}

/// Returns the columns of a table's primary key, or its row numbers.
async fn primary_key(connection: &mut SqliteConnection, table: &str) -> String {
    let key = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk");
    let key = query_texts(connection, key).await.join(", ");
    if key.is_empty() {
        "rowid".to_owned()
    } else {
        key
    }
}

/// Returns the part of `rows` that fits into the tables and columns of `shape`, an older version.
fn rows_in_schema(shape: &Rows, rows: &Rows) -> Rows {
    let columns = |table: &str| {
        shape[table]
            .first()
            .map(|row| row.keys().collect::<Vec<_>>())
    };
    let cut = |table: &str, row: &BTreeMap<String, String>| {
        let kept = columns(table).expect("every table of an older step has rows");
        let held = row.iter().filter(|(column, _)| kept.contains(column));
        held.map(|(column, value)| (column.clone(), value.clone()))
            .collect()
    };
    let tables = rows.iter().filter(|(table, _)| shape.contains_key(*table));
    tables
        .map(|(table, rows)| {
            (
                table.clone(),
                rows.iter().map(|row| cut(table, row)).collect(),
            )
        })
        .collect()
}

/// Returns the definitions of tables and indexes.
async fn shape(file: &Path) -> Vec<String> {
    let mut connection = connect(file).await;
    let shape = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name";
    let shape = query_texts(&mut connection, shape.to_owned()).await;
    connection.close().await.unwrap();
    shape
}

fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// Creates a user, and a row in every table about users.
async fn fill_people(store: &Store) -> User {
    let ada = store
        .add_user("Ada", "hash", Role::Admin, at(0))
        .await
        .unwrap();
    store.open_session(&[1; 32], ada.id, at(0)).await.unwrap();
    let registration = RegistrationRecord {
        id: RegistrationId::parse("registration-00000001").unwrap(),
        identity: ClientIdentity::parse("u1_0101010101010101").unwrap(),
        since: at(0),
        expires_at: at(3_600),
    };
    store.save_registration(&registration, at(0)).await.unwrap();
    store
        .remember_browser(&[3; 32], ada.id, at(0))
        .await
        .unwrap();
    let scopes = [Scope::Metrics];
    let token = store.add_api_token(&[2; 32], ada.id, "robot", &scopes, None, at(0));
    token.await.unwrap();
    let user = ada.id;
    let codes = [[3; 32], [4; 32]];
    store
        .set_totp(user, &[5; 20], 7, &codes, at(0))
        .await
        .unwrap();
    let passkey = NewPasskey {
        user,
        credential_id: &[6; 16],
        user_handle: &[7; 16],
        name: "phone",
        credential: "{}",
    };
    store.add_passkey(&passkey, &codes, at(0)).await.unwrap();
    ada
}

/// Creates a row in every table.
async fn fill(file: &Path) {
    let store = Store::open(&url(file)).await.unwrap();
    let ada = fill_people(&store).await;
    for n in 1..=3 {
        let user_id = Some(ada.id);
        let new = NewCall {
            user_id,
            ..new_call(n)
        };
        store.open_call(&new).await.unwrap();
        stream_number(&store, n, n).await;
        add_segments(
            &store,
            n,
            &[
                segment(1, 0, "grüße an alle"),
                segment(2, 900, "it's \"fine\""),
            ],
        )
        .await;
    }
    set_notes(&store, 1, "a note").await;
    apply_leg(&store, leg_update(12, Some(1), CallStatus::Completed, 3)).await;
    let mut told = leg_update(13, Some(2), CallStatus::Ringing, 1);
    told.token = Some("token".to_owned());
    apply_leg(&store, told).await;
    let recording = recording_update(1, RecordingStatus::Completed);
    store
        .apply_recording_update(&recording, at(5))
        .await
        .unwrap();
    store
        .log(Some(&call(1)), "kind", "detail", Some(ada.id), at(6))
        .await
        .unwrap();
    store
        .log(None, "kind", "detail", None, at(6))
        .await
        .unwrap();
    let placed = PlacedCall {
        call: call(1),
        user_id: Some(ada.id),
        at: at(7),
        ended_at: None,
    };
    store.add_placed_call(&placed).await.unwrap();
    store.delete_call(&call(3), at(7)).await.unwrap().unwrap();
    store.close().await;
}

#[tokio::test]
async fn every_step_goes_back_and_forth_without_a_loss() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("calls.db");
    fill(&file).await;
    let (newest, was) = (Store::latest_migration_version(), rows(&file).await);
    assert!(newest >= 2);
    let empty: Vec<&String> = was
        .iter()
        .filter(|(_, rows)| rows.is_empty())
        .map(|(t, _)| t)
        .collect();
    assert!(
        was.len() >= 13 && empty.is_empty(),
        "nothing is in {empty:?}"
    );

    let mut last = was.clone();
    for step in (1..newest).rev() {
        // A new database at that version.
        let young = folder.path().join(format!("young-{step}.db"));
        Store::open(&url(&young)).await.unwrap().close().await;
        let moved = Store::migrate_to(&url(&young), step).await.unwrap();
        assert_eq!((moved.from, moved.to), (newest, step));

        let moved = Store::migrate_to(&url(&file), step).await.unwrap();
        assert_eq!((moved.from, moved.to), (step + 1, step));
        assert_eq!(Store::migration_version(&url(&file)).await.unwrap(), step);
        let now = rows(&file).await;
        assert_eq!(now, rows_in_schema(&now, &was), "step {step}");
        assert_eq!(shape(&file).await, shape(&young).await, "step {step}");
        let copy = moved.copy.unwrap();
        assert_eq!(rows(&copy).await, last, "the copy");
        last = now;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    // Starting the newer program upgrades the database.
    let store = Store::open(&url(&file)).await.unwrap();
    assert_eq!(store.segments(&call(1)).await.unwrap().len(), 2);
    store.close().await;
    let fresh = folder.path().join("fresh.db");
    Store::open(&url(&fresh)).await.unwrap().close().await;
    assert_eq!(Store::migration_version(&url(&file)).await.unwrap(), newest);
    assert_eq!(rows_in_schema(&last, &rows(&file).await), last);
    assert_eq!(shape(&file).await, shape(&fresh).await);
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(done: Result<T, StoreError>, why: &str) {
    let told = done.unwrap_err().to_string();
    assert!(told.contains(why), "{told}");
}

#[tokio::test]
async fn no_step_is_taken_beside_a_server_without_a_copy_or_into_the_unknown() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("calls.db");
    let url = url(&file);
    assert_refused(Store::migrate_to(&url, 1).await, "does not exist");
    assert!(!file.exists());
    assert_refused(Store::migrate_to("sqlite::memory:", 1).await, "in memory");
    let server = Store::open(&url).await.unwrap();
    assert_refused(Store::migrate_to(&url, 1).await, "stop the server");
    server.close().await;
    let newest = Store::latest_migration_version();
    for step in [0, -1, newest + 1] {
        assert_refused(Store::migrate_to(&url, step).await, "there are 1 to");
    }
    let copy = folder.path().join(format!("calls.db.step-{newest}"));
    std::fs::write(&copy, "of another day").unwrap();
    assert_refused(Store::migrate_to(&url, 1).await, "has an older copy");
    assert_eq!(Store::migration_version(&url).await.unwrap(), newest);

    // A database of a newer program than this.
    let mut connection = connect(&file).await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                 execution_time) VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_refused(
        Store::migrate_to(&url, 1).await,
        "newer program's `callburner migrate --to 1`",
    );
    assert_refused(Store::open(&url).await, "callburner migrate");
}
