//! Deletes calls from the rows, the full-text index and the journal.

use super::{SqliteStore, call_id_of_leg};
use crate::clock::UtcTime;
use crate::ids::CallSid;
use crate::limits;
use crate::store::DeletedCall;
use crate::store::error::StoreError;

impl SqliteStore {
    pub(in crate::store) async fn delete_call(
        &self,
        call: &CallSid,
        now: UtcTime,
    ) -> Result<Option<DeletedCall>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(id) = call_id_of_leg(&mut transaction, call.as_str()).await? else {
            return Ok(None);
        };
        let recordings = super::recordings::load_recordings(&mut transaction, id).await?;
        sqlx::query(
            "INSERT OR IGNORE INTO deleted_legs (sid, deleted_at) \
             SELECT sid, ?2 FROM legs WHERE call_id = ?1",
        )
        .bind(id)
        .bind(now.millis())
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM deleted_legs WHERE deleted_at < ?")
            .bind(now.minus(limits::DELETED_LEG_AGE_MAX).millis())
            .execute(&mut *transaction)
            .await?;
        // Foreign keys delete the dependent rows, and triggers delete the index entries.
        sqlx::query("DELETE FROM calls WHERE id = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.checkpoint().await?;
        let recordings = recordings.into_iter().map(|recording| recording.sid);
        Ok(Some(DeletedCall {
            recordings: recordings.collect(),
        }))
    }

    pub(in crate::store) async fn calls_before(
        &self,
        time: UtcTime,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT sid FROM calls WHERE started_at < ? ORDER BY started_at, sid LIMIT ?",
        )
        .bind(time.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        found
            .iter()
            .map(|sid| super::calls::parse_call_sid(sid))
            .collect()
    }

    pub(in crate::store) async fn calls_with_party(
        &self,
        number: &str,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT c.sid FROM calls c WHERE ?1 IN (c.from_party, c.to_party) OR EXISTS \
             (SELECT 1 FROM legs l WHERE l.call_id = c.id AND ?1 IN (l.from_party, l.to_party)) \
             ORDER BY c.started_at, c.sid LIMIT ?2",
        )
        .bind(number)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        found
            .iter()
            .map(|sid| super::calls::parse_call_sid(sid))
            .collect()
    }
}
