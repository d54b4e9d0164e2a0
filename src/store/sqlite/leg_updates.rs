//! Status callbacks: detects repetitions, joins children to their parents, stores the derived records.

use sqlx::SqliteConnection;

use super::calls::{CallAggregate, parse_call_sid, save_leg};
use super::{SqliteStore, call_id_of_leg, recordings};
use crate::clock::UtcTime;
use crate::limits;
use crate::store::columns::encode_enum;
use crate::store::error::StoreError;
use crate::store::{LegUpdate, StatusChange, UnfinishedItems};
use crate::transcript::RecordingStatus;

impl SqliteStore {
    pub(in crate::store) async fn apply_leg_update(
        &self,
        update: &LegUpdate,
        now: UtcTime,
    ) -> Result<Option<StatusChange>, StoreError> {
        let mut transaction = self.begin_write().await?;
        if !is_first_delivery(&mut transaction, update.token.as_deref(), now).await? {
            return Ok(None);
        }
        let heard = match apply_leg(&mut transaction, update, now).await {
            Err(StoreError::NoSuchCall) => None,
            other => other?,
        };
        transaction.commit().await?;
        Ok(heard)
    }
}

impl SqliteStore {
    pub(in crate::store) async fn unfinished_items(
        &self,
        since: UtcTime,
        limit: u32,
    ) -> Result<UnfinishedItems, StoreError> {
        let calls: Vec<(String, i64)> = sqlx::query_as(
            "SELECT sid, started_at FROM calls WHERE ended_at IS NULL \
             ORDER BY started_at DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let running: Vec<(String, i64)> = sqlx::query_as(
            "SELECT r.sid, c.ended_at FROM recordings r JOIN calls c ON c.id = r.call_id \
             WHERE c.ended_at IS NOT NULL AND (r.status IN (?, ?) OR r.status = ? AND c.ended_at > ?) \
             ORDER BY c.ended_at DESC LIMIT ?",
        )
        .bind(encode_enum(&RecordingStatus::InProgress))
        .bind(encode_enum(&RecordingStatus::Paused))
        .bind(encode_enum(&RecordingStatus::Stopped))
        .bind(since.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let call =
            |(text, at): (String, i64)| Ok((parse_call_sid(&text)?, UtcTime::from_millis(at)));
        let recording = |(text, at): (String, i64)| {
            Ok((
                recordings::parse_recording_sid(&text)?,
                UtcTime::from_millis(at),
            ))
        };
        Ok(UnfinishedItems {
            calls: calls
                .into_iter()
                .map(call)
                .collect::<Result<_, StoreError>>()?,
            recordings: running
                .into_iter()
                .map(recording)
                .collect::<Result<_, StoreError>>()?,
        })
    }
}

async fn apply_leg(
    transaction: &mut SqliteConnection,
    update: &LegUpdate,
    now: UtcTime,
) -> Result<Option<StatusChange>, StoreError> {
    let parent = update.parent.as_ref().filter(|sid| **sid != update.leg);
    let at = update.at.unwrap_or(now);
    let mut aggregate =
        CallAggregate::load_or_create(transaction, parent.unwrap_or(&update.leg), at).await?;
    let known_as = call_id_of_leg(transaction, update.leg.as_str()).await?;
    if let Some(other) = known_as.filter(|other| *other != aggregate.id) {
        // Until now this leg was taken for a call of its own.
        aggregate = merge_calls(transaction, aggregate, other).await?;
    }
    let known = aggregate.legs.iter().any(|leg| leg.sid == update.leg);
    if !known && aggregate.legs.len() >= limits::LEGS_PER_CALL_MAX {
        return Ok(None);
    }
    let leg = aggregate.leg_mut(&update.leg, parent.is_some());
    let before = leg.clone();
    leg.apply_update(update, now);
    let leg = leg.clone();
    if leg != before || !known {
        save_leg(transaction, aggregate.id, &leg).await?;
    }
    let (from, to) = aggregate.save_outcome(transaction).await?;
    Ok((from != to).then_some(StatusChange { from, to }))
}

/// Whether this is the first callback with its token. A callback without a token always counts as the first.
pub(super) async fn is_first_delivery(
    transaction: &mut SqliteConnection,
    token: Option<&str>,
    now: UtcTime,
) -> Result<bool, StoreError> {
    let check_length = |token: &&str| token.len() <= limits::CALLBACK_TOKEN_BYTES_MAX;
    let Some(token) = token.filter(check_length) else {
        return Ok(true);
    };
    let kept = sqlx::query("INSERT OR IGNORE INTO callbacks (token, seen_at) VALUES (?, ?)")
        .bind(token)
        .bind(now.millis())
        .execute(&mut *transaction)
        .await?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    // The oldest have the lowest IDs. At most 8 are deleted at a time, so that no single callback pays for
    // many.
    sqlx::query(
        "DELETE FROM callbacks WHERE id IN (SELECT id FROM callbacks ORDER BY id LIMIT 8) \
         AND (seen_at < ? OR id <= ?)",
    )
    .bind(now.minus(limits::CALLBACK_TOKEN_AGE_MAX).millis())
    .bind(kept.last_insert_rowid() - i64::from(limits::CALLBACK_TOKENS_MAX))
    .execute(transaction)
    .await?;
    Ok(true)
}

/// Moves all data of the call `other` to `aggregate`, because its leg turned out to be a child.
async fn merge_calls(
    transaction: &mut SqliteConnection,
    aggregate: CallAggregate,
    other: i64,
) -> Result<CallAggregate, StoreError> {
    for move_rows in [
        "UPDATE legs SET call_id = ?1 WHERE call_id = ?2",
        "UPDATE recordings SET call_id = ?1 WHERE call_id = ?2",
        "UPDATE streams SET number = number + \
         (SELECT coalesce(max(number), 0) FROM streams WHERE call_id = ?1), call_id = ?1 \
         WHERE call_id = ?2",
        "UPDATE log_entries SET call_id = ?1 WHERE call_id = ?2",
        // A segment with the same ID is the same segment.
        "UPDATE OR IGNORE segments SET call_id = ?1 WHERE call_id = ?2",
        "UPDATE calls SET user_id = coalesce(calls.user_id, o.user_id), \
         announced = calls.announced OR o.announced, \
         transcript = iif(calls.transcript = 'off', o.transcript, calls.transcript), \
         notes = iif(calls.notes = '', o.notes, calls.notes), \
         labels = iif(calls.labels = '[]', o.labels, calls.labels), \
         own_cause = coalesce(calls.own_cause, o.own_cause), \
         opened_direction = iif(calls.opened_at IS NULL, o.opened_direction, calls.opened_direction), \
         opened_from = iif(calls.opened_at IS NULL, o.opened_from, calls.opened_from), \
         opened_to = iif(calls.opened_at IS NULL, o.opened_to, calls.opened_to), \
         opened_at = coalesce(calls.opened_at, o.opened_at) \
         FROM calls o WHERE calls.id = ?1 AND o.id = ?2",
        "DELETE FROM calls WHERE id = ?2 AND id <> ?1",
    ] {
        sqlx::query(move_rows)
            .bind(aggregate.id)
            .bind(other)
            .execute(&mut *transaction)
            .await?;
    }
    let id = aggregate.id;
    CallAggregate::load(transaction, id).await
}
