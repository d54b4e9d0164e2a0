//! Migrates a database to another step, including back to one that an older program knows. It runs only on
//! request, with exclusive access to the file. Before a downgrade, it copies the database.

use std::path::{Path, PathBuf};

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};

use super::{MIGRATOR, SqliteStore, create_private_file, describe_location};
use crate::limits;
use crate::store::MigrationOutcome;
use crate::store::error::StoreError;

/// `SQLITE_BUSY`.
const SQLITE_BUSY: &str = "5";

impl SqliteStore {
    /// Returns the newest migration step that this program knows.
    pub(in crate::store) fn latest_migration_version() -> i64 {
        MIGRATOR
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0)
    }

    /// Returns the file's migration step.
    pub(in crate::store) async fn migration_version(file: &Path) -> Result<i64, StoreError> {
        if !file.exists() {
            return Err(unusable(
                file,
                "does not exist: check DATA_DIR and DATABASE_URL",
            ));
        }
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let options = options.busy_timeout(limits::STORE_LOCK_WAIT_MAX);
        let mut connection = options.disable_statement_logging().connect().await?;
        let version = read_migration_version(&mut connection).await?;
        connection.close().await?;
        Ok(version)
    }

    /// Migrates the file to the given step.
    pub(in crate::store) async fn migrate_to(
        file: &Path,
        to: i64,
    ) -> Result<MigrationOutcome, StoreError> {
        let (from, newest) = (
            Self::migration_version(file).await?,
            Self::latest_migration_version(),
        );
        if from > newest {
            let problem = format!(
                "is at step {from}, and the newest step of this program is {newest}: run the newer \
                 program's `callburner migrate --to {to}`"
            );
            return Err(unusable(file, problem));
        }
        if !(1..=newest).contains(&to) {
            return Err(unusable(
                file,
                format!("has no step {to}: there are 1 to {newest}"),
            ));
        }
        let mut connection = open_exclusive(file).await?;
        let mut copy = None;
        if to < from {
            copy = Some(copy_database(file, from, &mut connection).await?);
            let reverted = MIGRATOR.undo(&mut connection, to).await;
            reverted.map_err(|error| Self::migration_error(Some(file), error))?;
        } else {
            let done = MIGRATOR.run_to(to, &mut connection).await;
            done.map_err(|error| Self::migration_error(Some(file), error))?;
        }
        connection.close().await?;
        Ok(MigrationOutcome { from, to, copy })
    }
}

/// Blocks all other writers of a database file until it is dropped: for measurements of a slow writer.
#[derive(Debug)]
pub struct WriteLock(#[expect(dead_code, reason = "closed when it is dropped")] SqliteConnection);

impl SqliteStore {
    pub(in crate::store) async fn hold_write_lock(file: &Path) -> Result<WriteLock, StoreError> {
        let options = SqliteConnectOptions::new().filename(file);
        let options = options.busy_timeout(limits::STORE_WAIT_MAX);
        let mut connection = options.disable_statement_logging().connect().await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        Ok(WriteLock(connection))
    }
}

fn unusable(file: &Path, problem: impl Into<String>) -> StoreError {
    let (location, problem) = (describe_location(Some(file)), problem.into());
    StoreError::UnusableDatabase { location, problem }
}

/// Returns the migration step; 0 if there are no tables.
async fn read_migration_version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let table = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(table)
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        return Ok(0);
    }
    let version = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
    Ok(sqlx::query_scalar(version).fetch_one(connection).await?)
}

/// Opens the file with exclusive access, which leaving WAL mode requires. The next server switches back to
/// WAL.
async fn open_exclusive(file: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(limits::STORE_LOCK_WAIT_MAX)
        .journal_mode(SqliteJournalMode::Delete)
        .pragma("secure_delete", "ON")
        .disable_statement_logging();
    options.connect().await.map_err(|error| {
        let code = error.as_database_error().and_then(DatabaseError::code);
        if code.is_some_and(|code| code == SQLITE_BUSY) {
            return unusable(file, "is in use: stop the server first");
        }
        error.into()
    })
}

/// Copies the database to a file beside it, with access for this system user only. Returns the copy's path.
async fn copy_database(
    file: &Path,
    version: i64,
    connection: &mut SqliteConnection,
) -> Result<PathBuf, StoreError> {
    let mut copy = file.as_os_str().to_owned();
    copy.push(format!(".step-{version}"));
    let copy = PathBuf::from(copy);
    if copy.exists() {
        let problem = format!("has an older copy: move {} elsewhere first", copy.display());
        return Err(unusable(file, problem));
    }
    // SQLite writes into an existing empty file, and keeps its permissions.
    let created = create_private_file(&copy).await;
    created.map_err(|error| {
        unusable(
            file,
            format!("cannot be copied ({error}): free space on its disk"),
        )
    })?;
    let written = sqlx::query("VACUUM INTO ?")
        .bind(copy.to_string_lossy())
        .execute(connection)
        .await;
    if let Err(error) = written {
        let _ = tokio::fs::remove_file(&copy).await; // An incomplete copy is useless.
        return Err(error.into());
    }
    Ok(copy)
}
