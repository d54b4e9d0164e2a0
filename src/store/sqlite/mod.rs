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
mod tests;
