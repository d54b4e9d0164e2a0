//! What happened to calls, and to the server: lines that only grow, within a bound.

use sqlx::SqliteConnection;

use super::{Sqlite, call_of};
use crate::clock::UtcTime;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::CallLogEntry;
use crate::store::error::StoreError;

/// Adds a line to the call's log, or to the server's.
pub(super) async fn write(
    work: &mut SqliteConnection,
    call: Option<i64>,
    entry: &CallLogEntry,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO log_entries (call_id, at, kind, detail, user_id) \
         VALUES (?, ?, ?, ?, (SELECT id FROM users WHERE id = ?))",
    )
    .bind(call)
    .bind(entry.at.millis())
    .bind(&entry.kind)
    .bind(&entry.detail)
    .bind(entry.user_id.map(|user| user.0))
    .execute(&mut *work)
    .await?;
    sqlx::query(
        "DELETE FROM log_entries WHERE call_id IS ?1 AND id <= (SELECT id FROM log_entries \
         WHERE call_id IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(call)
    .bind(match call {
        Some(_) => limits::LOG_ENTRIES_MAX,
        None => limits::SERVER_LOG_ENTRIES_MAX,
    })
    .execute(work)
    .await?;
    Ok(())
}

/// The latest lines of the call's log, or of the server's, in order of time.
pub(super) async fn of_call(
    look: &mut SqliteConnection,
    call: Option<i64>,
    limit: u32,
) -> Result<Vec<CallLogEntry>, StoreError> {
    let mut rows: Vec<(i64, String, String, Option<i64>)> = sqlx::query_as(
        "SELECT at, kind, detail, user_id FROM log_entries WHERE call_id IS ? \
         ORDER BY at DESC, id DESC LIMIT ?",
    )
    .bind(call)
    .bind(limit)
    .fetch_all(look)
    .await?;
    rows.reverse();
    let entry = |(at, kind, detail, user): (i64, String, String, Option<i64>)| CallLogEntry {
        at: UtcTime::from_millis(at),
        kind,
        detail,
        user_id: user.map(UserId),
    };
    Ok(rows.into_iter().map(entry).collect())
}

impl Sqlite {
    pub(in crate::store) async fn log(
        &self,
        call: Option<&CallSid>,
        entry: &CallLogEntry,
    ) -> Result<bool, StoreError> {
        let mut work = self.write().await?;
        let id = match call {
            None => None,
            Some(call) => match call_of(&mut work, call.as_str()).await? {
                None => return Ok(false),
                id => id,
            },
        };
        write(&mut work, id, entry).await?;
        work.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn server_log(
        &self,
        limit: u32,
    ) -> Result<Vec<CallLogEntry>, StoreError> {
        of_call(&mut *self.readers.acquire().await?, None, limit).await
    }
}
