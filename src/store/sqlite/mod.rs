//! The store on SQLite: one file, nothing else to run. SQL lives in this folder alone.
//!
//! # What survives
//!
//! The journal is a write-ahead log with `synchronous = NORMAL`. What a verb has returned from is in
//! the kernel's hands: it survives the end of the process in any way, `kill -9` too. It is on the
//! disk itself from the next checkpoint on, or when the kernel writes it of its own accord (seconds):
//! a power cut may take the last commits back, the newest first, but never tears one, and never
//! damages the file (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
//!
//! # Who waits for whom
//!
//! Readers never wait. SQLite has one writer at a time, so one connection writes, and writers queue
//! for it in order; `BEGIN IMMEDIATE` takes the lock before anything is read, so that no decision
//! is made on what another process (the command line) is about to change.
//!
//! # What is deleted
//!
//! `secure_delete` overwrites rows, the full-text index drops its entries at once, and the log is
//! emptied into the file and cut to nothing, before a deletion counts as done.

mod calls;
mod erase;
mod list;
mod log;
mod people;
mod recordings;
mod status;
mod transcript;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection, Transaction};

use super::error::StoreError;
use crate::limits;

static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// A database file, open.
pub(super) struct Sqlite {
    /// One connection.
    writer: SqlitePool,
    /// Several; the writer itself when the database is in memory, where there can be but one.
    readers: SqlitePool,
    /// `None`: in memory.
    file: Option<PathBuf>,
}

/// A piece of work that is done whole or not at all.
type Work = Transaction<'static, sqlx::Sqlite>;

impl Sqlite {
    /// Opens `file`, or a database in memory; makes what is missing, brings the tables up to date.
    pub(super) async fn open(file: Option<&Path>) -> Result<Self, StoreError> {
        let options = match file {
            Some(file) => {
                make_private(file).await.map_err(|error| StoreError::Place {
                    place: file.display().to_string(),
                    problem: format!(
                        "cannot be opened ({error}): check the path, and that this user may write there"
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
        // A database in memory is gone with its connection, so that one is kept.
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(limits::STORE_WAIT_MAX)
            .idle_timeout(None)
            .max_lifetime(None);
        let wrong = |error: StoreError| Self::wrong_place(file, error);
        let writer = pool.clone().max_connections(1);
        let writer = writer.connect_with(options.clone()).await;
        let writer = writer.map_err(|error| wrong(error.into()))?;
        let migrated = MIGRATOR.run(&writer).await;
        migrated.map_err(|error| wrong(Self::not_migrated(file, error)))?;
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

    fn wrong_place(file: Option<&Path>, error: StoreError) -> StoreError {
        let problem = match error {
            StoreError::Damaged(what) => format!("cannot be read ({what}): restore a copy of it"),
            StoreError::Unavailable(what) => format!(
                "cannot be opened ({what}): check that no other program holds it, and that this user may write there"
            ),
            StoreError::Place { .. }
            | StoreError::Full
            | StoreError::Conflict(_)
            | StoreError::TooLong { .. }
            | StoreError::TooMany { .. }
            | StoreError::BadCursor
            | StoreError::NoSuchCall
            | StoreError::NoSuchUser => return error,
        };
        let place = place(file);
        StoreError::Place { place, problem }
    }

    fn not_migrated(file: Option<&Path>, error: MigrateError) -> StoreError {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others cannot happen to steps that are compiled in"
        )]
        let problem = match error {
            MigrateError::VersionMissing(version) => format!(
                "was written by a newer CallBurner (step {version}): run that version, or restore \
                 the copy from before the upgrade"
            ),
            MigrateError::VersionMismatch(version) => format!(
                "was made by another CallBurner than this one (step {version} differs): run the \
                 version that made it"
            ),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                return error.into();
            }
            other => format!("cannot be brought up to date: {other}"),
        };
        let place = place(file);
        StoreError::Place { place, problem }
    }

    /// Begins a piece of work that writes.
    async fn write(&self) -> Result<Work, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Empties the write-ahead log into the file, and cuts it. Readers of older states hold that up.
    async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.file.is_none() {
            return Ok(());
        }
        let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.writer)
            .await?;
        if busy != 0 {
            tracing::warn!("deleted words stay in the database's -wal file until nobody reads it");
        }
        Ok(())
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
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
            Some(file) => tokio::fs::metadata(wal(file)).await.map_or(0, |m| m.len()),
            None => 0,
        };
        Ok((pages * page_bytes) as u64 + log)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// How errors name the database.
fn place(file: Option<&Path>) -> String {
    file.map_or_else(|| "in memory".to_owned(), |file| file.display().to_string())
}

/// The write-ahead log beside a database file.
fn wal(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Makes the file and its folder, if they are missing, for this user alone. SQLite gives its own
/// files beside it the same permissions.
async fn make_private(file: &Path) -> std::io::Result<()> {
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
const CORRUPT: u32 = 11;
/// `SQLITE_FULL`.
const FULL: u32 = 13;
/// `SQLITE_NOTADB`.
const NOT_A_DATABASE: u32 = 26;

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
            Some(FULL) => Self::Full,
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged(error.to_string()),
            _ if is_misread => Self::Damaged(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// The call that a leg belongs to, by its number here.
async fn call_of(work: &mut SqliteConnection, leg: &str) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar("SELECT call_id FROM legs WHERE sid = ?")
        .bind(leg)
        .fetch_optional(work)
        .await?)
}
