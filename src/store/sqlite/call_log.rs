//! The logs of calls: append-only, bounded.

use sqlx::SqliteConnection;

use super::{SqliteStore, call_id_of_leg};
use crate::clock::UtcTime;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::CallLogEntry;
use crate::store::error::StoreError;

/// Appends an entry to the call's log. Beyond [`limits::LOG_ENTRIES_MAX`], deletes the oldest entry of the
/// user and kind with the most, so that frequent events do not displace rare ones.
pub(super) async fn append_entry(
    transaction: &mut SqliteConnection,
    call: i64,
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
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "DELETE FROM log_entries WHERE (SELECT count(*) FROM log_entries WHERE call_id = ?1) > ?2 \
         AND id = (SELECT min(id) FROM log_entries WHERE call_id = ?1 \
         GROUP BY kind, user_id ORDER BY count(*) DESC, min(id) LIMIT 1)",
    )
    .bind(call)
    .bind(limits::LOG_ENTRIES_MAX)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Returns the latest entries of the call's log, in order of time.
pub(super) async fn load_call_log(
    connection: &mut SqliteConnection,
    call: i64,
    limit: u32,
) -> Result<Vec<CallLogEntry>, StoreError> {
    let mut rows: Vec<(i64, String, String, Option<i64>)> = sqlx::query_as(
        "SELECT at, kind, detail, user_id FROM log_entries WHERE call_id = ? \
         ORDER BY at DESC, id DESC LIMIT ?",
    )
    .bind(call)
    .bind(limit)
    .fetch_all(connection)
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

impl SqliteStore {
    pub(in crate::store) async fn log(
        &self,
        call: &CallSid,
        entry: &CallLogEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(id) = call_id_of_leg(&mut transaction, call.as_str()).await? else {
            return Ok(false);
        };
        append_entry(&mut transaction, id, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
