//! Tests of `store/sqlite/mod.rs`.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};
use tempfile::TempDir;

use super::*;
use crate::clock::UtcTime;
use crate::ids::{CallSid, SegmentId, Track};
use crate::store::records::{CallEdit, NewCall, Party, TranscriptState};
use crate::transcript::{CallStatus, Direction, Segment, Speaker};

fn now() -> UtcTime {
    UtcTime::from_millis(1_795_341_600_000)
}

fn call(n: u32) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(Some(&folder.path().join("calls.db")))
        .await
        .unwrap()
}

fn problem<T>(opened: Result<T, StoreError>) -> String {
    match opened {
        Ok(_) => panic!("it was opened"),
        Err(error @ StoreError::UnusableDatabase { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
    }
}

fn segment(number: u32) -> Segment {
    Segment {
        id: SegmentId::new(1, Track::Inbound, number),
        track: Track::Inbound,
        speaker: Speaker::Agent,
        start_ms: 0,
        end_ms: 1,
        text: String::new(),
        words: Vec::new(),
        language: "en".into(),
        latency_ms: 0,
        transcribed: true,
        echo: false,
    }
}

async fn fill(store: &SqliteStore, n: u32, word: &str) {
    let new = NewCall {
        sid: call(n),
        direction: Direction::Outgoing,
        status: CallStatus::InProgress,
        from: Party("client:ada".into()),
        to: Party(format!("+1{word}")),
        user_id: None,
        started_at: now(),
        transcript: TranscriptState::Live,
        announced: false,
    };
    store.open_call(&new).await.unwrap();
    let said = |number| Segment {
        text: format!("They said {word} {number} times"),
        ..segment(number)
    };
    let segments: Vec<Segment> = (0..40).map(said).collect();
    store.add_segments(&call(n), &segments).await.unwrap();
    let edit = CallEdit {
        notes: Some(format!("About {word}.")),
        labels: Some(vec![word.to_owned()]),
    };
    store.edit_call(&call(n), &edit).await.unwrap();
}

/// Returns the names of files in the folder that contain the word.
fn files_with(folder: &TempDir, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap().to_ascii_lowercase();
        if bytes.windows(word.len()).any(|w| w == word.as_bytes()) {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_deleted_calls_words_are_in_no_file() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    fill(&store, 1, "xylophone").await;
    fill(&store, 2, "marimba").await;
    assert!(!files_with(&folder, "xylophone").is_empty());
    store.delete_call(&call(1), now()).await.unwrap().unwrap();
    assert_eq!(files_with(&folder, "xylophone"), Vec::<String>::new());
    assert!(!files_with(&folder, "marimba").is_empty());
    for check in [
        "INSERT INTO segments_fts (segments_fts, rank) VALUES ('integrity-check', 1)",
        "INSERT INTO calls_fts (calls_fts, rank) VALUES ('integrity-check', 1)",
    ] {
        sqlx::query(check).execute(&store.writer).await.unwrap();
    }
    store.close().await;
    assert_eq!(files_with(&folder, "xylophone"), Vec::<String>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_made_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("a/b");
    let store = SqliteStore::open(Some(&inner.join("calls.db")))
        .await
        .unwrap();
    fill(&store, 1, "word").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for file in ["calls.db", "calls.db-wal", "calls.db-shm"] {
        assert_eq!(mode(&inner.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.close().await;
    let location = folder.path().join("calls.db");
    let told = problem(SqliteStore::open(Some(&location)).await);
    assert!(told.contains("newer CallBurner"), "{told}");
    assert!(told.contains("calls.db"), "{told}");
}

#[tokio::test]
async fn a_full_disk_refuses_words_and_takes_them_once_there_is_room() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    fill(&store, 1, "word").await;
    // The current number of pages.
    let limit = |pages: u32| format!("PRAGMA max_page_count = {pages}");
    let set = |pages| sqlx::query(AssertSqlSafe(limit(pages)));
    set(1).execute(&store.writer).await.unwrap();
    let long = |number| Segment {
        text: "many words ".repeat(1_000),
        ..segment(number)
    };
    let mut kept = 0;
    let refused = loop {
        match store.add_segments(&call(1), &[long(100 + kept)]).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull), "{refused:?}");
    assert_eq!(
        store.segments(&call(1)).await.unwrap().len(),
        40 + kept as usize
    );
    set(u32::MAX - 1).execute(&store.writer).await.unwrap();
    store
        .add_segments(&call(1), &[long(100 + kept)])
        .await
        .unwrap();
    assert_eq!(
        store.segments(&call(1)).await.unwrap().len(),
        41 + kept as usize
    );
}

#[tokio::test]
async fn a_transaction_that_sqlite_ends_by_itself_is_not_the_last() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for n in 1..=3 {
        let mut transaction = store.begin_write().await.unwrap();
        // As SQLite does when the disk fails.
        sqlx::query("ROLLBACK")
            .execute(&mut *transaction)
            .await
            .unwrap();
        drop(transaction);
        fill(&store, n, "word").await;
    }
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to look at ".repeat(99),
    )
    .unwrap();
    let told = problem(SqliteStore::open(Some(&text)).await);
    assert!(
        told.contains("notes.txt") && told.contains("restore"),
        "{told}"
    );
    let below_a_file = text.join("calls.db");
    let told = problem(SqliteStore::open(Some(&below_a_file)).await);
    assert!(told.contains("check the path"), "{told}");
}

#[tokio::test]
async fn a_locked_database_is_waited_for_only_so_long() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    fill(&store, 1, "word").await;
    let other = open(&folder).await;
    let lock = other.begin_write().await.unwrap();
    // Readers do not wait.
    assert!(store.call_record(&call(1)).await.unwrap().is_some());
    let edit = CallEdit::default();
    let patience = limits::STORE_LOCK_WAIT_MAX + Duration::from_secs(5);
    let refused = tokio::time::timeout(patience, store.edit_call(&call(1), &edit)).await;
    assert!(matches!(refused, Ok(Err(StoreError::Unavailable(_)))));
    lock.rollback().await.unwrap();
    assert!(store.edit_call(&call(1), &edit).await.unwrap().is_some());
}

#[tokio::test]
async fn the_file_is_as_durable_and_as_strict_as_is_said() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for (pragma, value) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", "1"),
        ("PRAGMA foreign_keys", "1"),
        ("PRAGMA secure_delete", "1"),
    ] {
        let row = sqlx::query(pragma).fetch_one(&store.writer).await.unwrap();
        let found = row
            .try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()));
        assert_eq!(found.unwrap(), value, "{pragma}");
    }
    let non_strict_tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 \
         AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx_%'",
    )
    .fetch_all(&store.writer)
    .await
    .unwrap();
    assert_eq!(non_strict_tables, Vec::<String>::new());
}
