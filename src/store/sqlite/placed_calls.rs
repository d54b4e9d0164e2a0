//! The calls to numbers of the last day, for the daily limits.

use super::SqliteStore;
use super::calls::parse_call_sid;
use crate::clock::UtcTime;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::PlacedCall;
use crate::store::error::StoreError;

impl SqliteStore {
    pub(in crate::store) async fn add_placed_call(
        &self,
        placed: &PlacedCall,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM placed_calls WHERE at < ?")
            .bind(placed.at.minus(limits::PLACED_CALL_AGE_MAX).millis())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT OR IGNORE INTO placed_calls (sid, user_id, at) VALUES (?, ?, ?)")
            .bind(placed.call.as_str())
            .bind(placed.user_id.map(|user| user.0))
            .bind(placed.at.millis())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn end_placed_call(
        &self,
        call: &CallSid,
        at: UtcTime,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE placed_calls SET ended_at = ? WHERE sid = ? AND ended_at IS NULL")
            .bind(at.millis())
            .bind(call.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn placed_calls_since(
        &self,
        since: UtcTime,
    ) -> Result<Vec<PlacedCall>, StoreError> {
        let rows: Vec<(String, Option<i64>, i64, Option<i64>)> = sqlx::query_as(
            "SELECT sid, user_id, at, ended_at FROM placed_calls WHERE at > ? \
             ORDER BY at DESC LIMIT ?",
        )
        .bind(since.millis())
        .bind(limits::DAILY_CALLS_MAX as i64)
        .fetch_all(&self.readers)
        .await?;
        let placed = |(call, user, at, ended_at): (String, Option<i64>, i64, Option<i64>)| {
            Ok(PlacedCall {
                call: parse_call_sid(&call)?,
                user_id: user.map(UserId),
                at: UtcTime::from_millis(at),
                ended_at: ended_at.map(UtcTime::from_millis),
            })
        };
        rows.into_iter().map(placed).collect()
    }
}
