//! The server's log of user actions. No user can flush it: entries are deleted only for their age. Instead,
//! the entries of one user (all unauthenticated clients count as one) and kind are bounded per day; further
//! ones are counted in one entry. The bound of the whole log protects the disk; it deletes the oldest entries
//! of the user and kind with the most entries.

use sqlx::{QueryBuilder, SqliteConnection};

use super::SqliteStore;
use crate::clock::UtcTime;
use crate::ids::UserId;
use crate::limits;
use crate::store::error::StoreError;
use crate::store::{LogFilter, NewLogEntry, ServerLogEntry};

/// Detail of the entry that counts a user's actions beyond the daily bound.
const MORE: &str = "more of the same kind";

/// Number of new entries between two checks of the log's total bound; counting all entries takes time.
const TRIM_EVERY: i64 = 1_024;

#[derive(sqlx::FromRow)]
struct ServerLogRow {
    at: i64,
    last_at: i64,
    count: i64,
    kind: String,
    detail: String,
    user_id: Option<i64>,
    address: Option<String>,
}

impl ServerLogRow {
    fn into_entry(self) -> ServerLogEntry {
        ServerLogEntry {
            at: UtcTime::from_millis(self.at),
            last_at: UtcTime::from_millis(self.last_at),
            count: self.count as u64,
            kind: self.kind,
            detail: self.detail,
            user_id: self.user_id.map(UserId),
            address: self.address,
        }
    }
}

async fn insert_entry(
    transaction: &mut SqliteConnection,
    entry: &NewLogEntry,
    detail: &str,
    address: Option<&str>,
) -> Result<i64, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO server_log (at, last_at, count, kind, detail, user_id, address) \
         VALUES (?1, ?1, 1, ?2, ?3, ?4, ?5)",
    )
    .bind(entry.at.millis())
    .bind(&entry.kind)
    .bind(detail)
    .bind(entry.user_id.map(|user| user.0))
    .bind(address)
    .execute(transaction)
    .await?;
    Ok(inserted.last_insert_rowid())
}

async fn add_count(
    transaction: &mut SqliteConnection,
    id: i64,
    times: u32,
    at: UtcTime,
) -> Result<bool, StoreError> {
    let counted = sqlx::query(
        "UPDATE server_log SET count = count + ?, last_at = max(last_at, ?) WHERE id = ?",
    )
    .bind(times)
    .bind(at.millis())
    .bind(id)
    .execute(transaction)
    .await?;
    Ok(counted.rows_affected() > 0)
}

/// Counts the entry in a shared one if the user has reached the daily bound of this kind. Returns the ID of
/// the shared entry; `None` below the bound.
async fn count_if_over_limit(
    transaction: &mut SqliteConnection,
    entry: &NewLogEntry,
) -> Result<Option<i64>, StoreError> {
    let since = entry.at.minus(limits::SERVER_LOG_DAY).millis();
    let user = entry.user_id.map(|user| user.0);
    let today: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM server_log WHERE kind = ? AND user_id IS ? AND at > ? \
         LIMIT ?)",
    )
    .bind(&entry.kind)
    .bind(user)
    .bind(since)
    .bind(limits::SERVER_LOG_ENTRIES_PER_DAY_MAX)
    .fetch_one(&mut *transaction)
    .await?;
    if today < i64::from(limits::SERVER_LOG_ENTRIES_PER_DAY_MAX) {
        return Ok(None);
    }
    let more: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM server_log WHERE kind = ? AND user_id IS ? AND at > ? AND detail = ? \
         ORDER BY at DESC LIMIT 1",
    )
    .bind(&entry.kind)
    .bind(user)
    .bind(since)
    .bind(MORE)
    .fetch_optional(&mut *transaction)
    .await?;
    match more {
        Some(id) => {
            add_count(transaction, id, 1, entry.at).await?;
            Ok(Some(id))
        }
        None => insert_entry(transaction, entry, MORE, None).await.map(Some),
    }
}

/// Reduces the log to `max` entries by deleting the oldest of the user and kind with the most.
async fn trim(transaction: &mut SqliteConnection, max: i64) -> Result<(), StoreError> {
    loop {
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM server_log")
            .fetch_one(&mut *transaction)
            .await?;
        let excess = kept - max;
        if excess <= 0 {
            return Ok(());
        }
        let sizes: Vec<(String, Option<i64>, i64)> = sqlx::query_as(
            "SELECT kind, user_id, count(*) FROM server_log GROUP BY kind, user_id \
             ORDER BY count(*) DESC, kind, user_id LIMIT 2",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let Some((kind, user, most)) = sizes.first() else {
            return Ok(());
        };
        let second = sizes.get(1).map_or(0, |(_, _, size)| *size);
        // Down to the size of the second largest group, then both in turn.
        let leave = excess.min((most - second).max(1));
        sqlx::query(
            "DELETE FROM server_log WHERE id IN (SELECT id FROM server_log \
             WHERE kind = ? AND user_id IS ? ORDER BY at, id LIMIT ?)",
        )
        .bind(kind)
        .bind(user)
        .bind(leave)
        .execute(&mut *transaction)
        .await?;
    }
}

impl SqliteStore {
    pub(in crate::store) async fn log_server(
        &self,
        entry: &NewLogEntry,
    ) -> Result<i64, StoreError> {
        let mut transaction = self.begin_write().await?;
        let id = match count_if_over_limit(&mut transaction, entry).await? {
            Some(id) => id,
            None => {
                insert_entry(
                    &mut transaction,
                    entry,
                    &entry.detail,
                    entry.address.as_deref(),
                )
                .await?
            }
        };
        if id % TRIM_EVERY == 0 {
            trim(&mut transaction, i64::from(limits::SERVER_LOG_ENTRIES_MAX)).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    pub(in crate::store) async fn add_to_log_count(
        &self,
        id: i64,
        times: u32,
        at: UtcTime,
    ) -> Result<bool, StoreError> {
        add_count(&mut *self.writer.acquire().await?, id, times, at).await
    }

    pub(in crate::store) async fn sweep_log(&self, before: UtcTime) -> Result<u64, StoreError> {
        let swept = sqlx::query("DELETE FROM server_log WHERE at < ?")
            .bind(before.millis())
            .execute(&self.writer)
            .await?;
        Ok(swept.rows_affected())
    }

    pub(in crate::store) async fn search_log(
        &self,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<Vec<ServerLogEntry>, StoreError> {
        let mut query = QueryBuilder::<sqlx::Sqlite>::new(
            "SELECT at, last_at, count, kind, detail, user_id, address FROM server_log WHERE 1",
        );
        if let Some(kind) = &filter.kind {
            query.push(" AND kind = ").push_bind(kind.clone());
        }
        if let Some(user) = filter.user_id {
            query.push(" AND user_id = ").push_bind(user.0);
        }
        if let Some(until) = filter.until {
            query.push(" AND at < ").push_bind(until.millis());
        }
        query
            .push(" ORDER BY at DESC, id DESC LIMIT ")
            .push_bind(limit);
        let rows: Vec<ServerLogRow> = query.build_query_as().fetch_all(&self.readers).await?;
        Ok(rows
            .into_iter()
            .rev()
            .map(ServerLogRow::into_entry)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_log_loses_the_oldest_of_whoever_has_the_most() {
        let store = SqliteStore::open(None).await.unwrap();
        let entry = |n: u64, kind: &str, user: i64| NewLogEntry {
            at: UtcTime::from_millis(1_800_000_000_000 + n as i64),
            kind: kind.to_owned(),
            detail: n.to_string(),
            user_id: Some(UserId(user)),
            address: None,
        };
        for (n, kind, user) in [(0, "signed_in", 1), (1, "exported", 2), (2, "exported", 1)] {
            store.log_server(&entry(n, kind, user)).await.unwrap();
        }
        for n in 3..40 {
            store.log_server(&entry(n, "exported", 2)).await.unwrap();
        }
        let mut transaction = store.begin_write().await.unwrap();
        trim(&mut transaction, 10).await.unwrap();
        transaction.commit().await.unwrap();
        let left = store.search_log(&LogFilter::default(), 100).await.unwrap();
        let left: Vec<&str> = left.iter().map(|entry| entry.detail.as_str()).collect();
        assert_eq!(
            left,
            ["0", "2", "32", "33", "34", "35", "36", "37", "38", "39"]
        );
    }
}
