//! The SQLite backend: one file, no other process. All SQL is in this folder.
//!
//! # Durability
//!
//! The journal is a write-ahead log with `synchronous = NORMAL`. When a method returns, its commit has been
//! passed to the kernel: it survives any end of the process, including `kill -9`. It is on the disk from the
//! next checkpoint on, or when the kernel writes it back (seconds). A power failure may roll back the last
//! commits, newest first, but it never tears a commit and never damages the file
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
//!
//! # Concurrency
//!
//! Readers never wait. SQLite allows one writer at a time, so one connection writes, and writers queue for it
//! in order. `BEGIN IMMEDIATE` takes the lock before anything is read, so that no decision is based on data
//! that another process (the command line) is about to change.
//!
//! # Deletion
//!
//! A deletion overwrites the rows (`secure_delete`), removes the entries of the full-text index at once, and
//! checkpoints and truncates the write-ahead log before it returns.

mod call_list;
mod call_log;
mod calls;
mod deletion;
mod leg_updates;
mod migrate;
mod placed_calls;
mod recordings;
mod registrations;
mod second_factors;
mod server_log;
mod transcript;
mod users;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, Transaction};

pub use self::migrate::WriteLock;

use super::error::StoreError;
use crate::limits;

/// The migrations in `migrations/sqlite`, in order. A released migration never changes; a new one is included
/// when this file is compiled. All but the first have a down migration.
static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// An open database file.
pub(super) struct SqliteStore {
    /// One connection.
    writer: SqlitePool,
    /// Several connections; for a database in memory, which can have only one connection, the writer itself.
    readers: SqlitePool,
    /// `None` for a database in memory.
    file: Option<PathBuf>,
}

/// A transaction that writes.
type WriteTransaction = Transaction<'static, sqlx::Sqlite>;

impl SqliteStore {
    /// Opens `file`, or a database in memory. Creates missing files and migrates the tables.
    pub(super) async fn open(file: Option<&Path>) -> Result<Self, StoreError> {
        let options = match file {
            Some(file) => {
                create_private_file(file).await.map_err(|error| StoreError::UnusableDatabase {
                    location: file.display().to_string(),
                    problem: format!(
                        "cannot be opened ({error}): check the path, and that this user can write there"
                    ),
                })?;
                SqliteConnectOptions::new()
                    .filename(file)
                    .journal_mode(SqliteJournalMode::Wal)
            }
            None => SqliteConnectOptions::from_str("sqlite::memory:")?,
        };
        let options = options
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(limits::STORE_LOCK_WAIT_MAX)
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        // A database in memory is lost with its connection, so that connection is kept.
        let mut pool = SqlitePoolOptions::new()
            .acquire_timeout(limits::STORE_WAIT_MAX)
            .idle_timeout(None)
            .max_lifetime(None);
        if file.is_some() {
            // When SQLite cannot write, it ends the transaction itself, and sqlx does not notice: that
            // connection could never start another transaction
            // (<https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>).
            pool = pool.before_acquire(|connection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            });
        }
        let unusable = |error: StoreError| Self::open_error(file, error);
        let writer = pool.clone().max_connections(1);
        let writer = writer.connect_with(options.clone()).await;
        let writer = writer.map_err(|error| unusable(error.into()))?;
        let migrated = MIGRATOR.run(&writer).await;
        migrated.map_err(|error| unusable(Self::migration_error(file, error)))?;
        let readers = if file.is_some() {
            pool.max_connections(limits::STORE_READERS_MAX)
                .connect_lazy_with(options.read_only(true))
        } else {
            writer.clone()
        };
        Ok(Self {
            writer,
            readers,
            file: file.map(Path::to_owned),
        })
    }

    fn open_error(file: Option<&Path>, error: StoreError) -> StoreError {
        let problem = match error {
            StoreError::Corrupt(what) => format!("cannot be read ({what}): restore a backup of it"),
            StoreError::Unavailable(what) => format!(
                "cannot be opened ({what}): check that no other program uses it, and that this user can write there"
            ),
            StoreError::UnusableDatabase { .. }
            | StoreError::DiskFull
            | StoreError::Conflict(_)
            | StoreError::TooLong { .. }
            | StoreError::TooMany { .. }
            | StoreError::InvalidCursor
            | StoreError::NoSuchCall
            | StoreError::NoSuchUser => return error,
        };
        let location = describe_location(file);
        StoreError::UnusableDatabase { location, problem }
    }

    fn migration_error(file: Option<&Path>, error: MigrateError) -> StoreError {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others cannot occur with migrations that are compiled in"
        )]
        let problem = match error {
            MigrateError::VersionMissing(version) => format!(
                "was written by a newer CallBurner (step {version}): run that version, or \
                 downgrade the database with its `callburner migrate --to {}`, or restore the \
                 backup from before the upgrade",
                Self::latest_migration_version()
            ),
            MigrateError::VersionMismatch(version) => format!(
                "was created by a different build of CallBurner (step {version} differs): run the \
                 build that created it"
            ),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                return error.into();
            }
            other => format!("cannot be brought up to date: {other}"),
        };
        let location = describe_location(file);
        StoreError::UnusableDatabase { location, problem }
    }

    /// Starts a transaction that writes.
    async fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Checkpoints the write-ahead log into the file and truncates it. Readers of older snapshots prevent
    /// that.
    async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.file.is_none() {
            return Ok(());
        }
        let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.writer)
            .await?;
        if busy != 0 {
            tracing::warn!(
                "deleted text stays in the database's -wal file until its readers finish"
            );
        }
        Ok(())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM calls LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        Ok(())
    }

    pub(super) async fn size_bytes(&self) -> Result<u64, StoreError> {
        let (pages, page_bytes): (i64, i64) =
            sqlx::query_as("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")
                .fetch_one(&self.readers)
                .await?;
        let log = match &self.file {
            Some(file) => tokio::fs::metadata(wal_path(file))
                .await
                .map_or(0, |m| m.len()),
            None => 0,
        };
        Ok((pages * page_bytes) as u64 + log)
    }

    pub(super) async fn disk_free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let Some(file) = self.file.clone() else {
            return Ok(None);
        };
        // Blocks if the disk does not respond.
        let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&file));
        let disk = looked.await.expect("it does not panic");
        let disk = disk.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Some(disk.f_bavail.saturating_mul(disk.f_frsize)))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Returns the name of the database for errors.
fn describe_location(file: Option<&Path>) -> String {
    file.map_or_else(|| "in memory".to_owned(), |file| file.display().to_string())
}

/// Returns the path of a database file's write-ahead log.
fn wal_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Creates the file and its folder if they are missing, with access for this system user only. SQLite gives
/// its other files the same permissions.
async fn create_private_file(file: &Path) -> std::io::Result<()> {
    let mut folder = tokio::fs::DirBuilder::new();
    let mut open = tokio::fs::OpenOptions::new();
    #[cfg(unix)]
    {
        folder.mode(0o700);
        open.mode(0o600);
    }
    if let Some(parent) = file.parent().filter(|path| !path.as_os_str().is_empty()) {
        folder.recursive(true).create(parent).await?;
    }
    open.create(true).append(true).open(file).await?;
    Ok(())
}

/// `SQLITE_CORRUPT`.
const SQLITE_CORRUPT: u32 = 11;
/// `SQLITE_FULL`.
const SQLITE_FULL: u32 = 13;
/// `SQLITE_NOTADB`.
const SQLITE_NOTADB: u32 = 26;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // Primary result codes: <https://www.sqlite.org/rescode.html>.
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code: Option<u32> = code.and_then(|code| code.parse().ok());
        let is_misread = matches!(
            error,
            sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::TypeNotFound { .. }
        );
        match code.map(|code| code & 0xff) {
            Some(SQLITE_FULL) => Self::DiskFull,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt(error.to_string()),
            _ if is_misread => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Returns the row ID of the call that a leg belongs to.
async fn call_id_of_leg(
    transaction: &mut SqliteConnection,
    leg: &str,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar("SELECT call_id FROM legs WHERE sid = ?")
        .bind(leg)
        .fetch_optional(transaction)
        .await?)
}

#[cfg(test)]
mod tests {
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
}
