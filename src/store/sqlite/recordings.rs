//! Rows of recordings at Twilio.

use sqlx::SqliteConnection;

use super::SqliteStore;
use super::calls::{CallAggregate, parse_call_sid};
use super::leg_updates::is_first_delivery;
use crate::clock::UtcTime;
use crate::ids::{CallSid, RecordingSid};
use crate::store::columns::{decode_enum, encode_enum};
use crate::store::error::StoreError;
use crate::store::recording_state::{merge_update, resume};
use crate::store::{Recording, RecordingUpdate};

/// A query for all columns of a [`RecordingRow`].
macro_rules! select_recordings {
    ($rest:literal) => {
        concat!(
            "SELECT r.sid, c.sid AS call_sid, r.status, r.channels, r.duration_seconds, \
             r.started_at FROM recordings r JOIN calls c ON c.id = r.call_id ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct RecordingRow {
    sid: String,
    call_sid: String,
    status: String,
    channels: Option<u8>,
    duration_seconds: Option<u32>,
    started_at: Option<i64>,
}

impl RecordingRow {
    fn into_recording(self) -> Result<Recording, StoreError> {
        Ok(Recording {
            sid: parse_recording_sid(&self.sid)?,
            call_sid: parse_call_sid(&self.call_sid)?,
            status: decode_enum(&self.status)?,
            channels: self.channels,
            duration_seconds: self.duration_seconds,
            started_at: self.started_at.map(UtcTime::from_millis),
        })
    }
}

/// Parses a stored SID.
pub(super) fn parse_recording_sid(text: &str) -> Result<RecordingSid, StoreError> {
    RecordingSid::parse(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Returns a call's recordings, oldest first.
pub(super) async fn load_recordings(
    connection: &mut SqliteConnection,
    call: i64,
) -> Result<Vec<Recording>, StoreError> {
    let rows: Vec<RecordingRow> = sqlx::query_as(select_recordings!(
        "WHERE r.call_id = ? ORDER BY r.started_at IS NOT NULL, r.started_at, r.id"
    ))
    .bind(call)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(RecordingRow::into_recording).collect()
}

async fn find_recording(
    connection: &mut SqliteConnection,
    recording: &RecordingSid,
) -> Result<Option<Recording>, StoreError> {
    let row: Option<RecordingRow> = sqlx::query_as(select_recordings!("WHERE r.sid = ?"))
        .bind(recording.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(RecordingRow::into_recording).transpose()
}

async fn update_recording(
    transaction: &mut SqliteConnection,
    recording: &Recording,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE recordings SET status = ?, channels = ?, duration_seconds = ?, started_at = ? \
         WHERE sid = ?",
    )
    .bind(encode_enum(&recording.status))
    .bind(recording.channels)
    .bind(recording.duration_seconds)
    .bind(recording.started_at.map(UtcTime::millis))
    .bind(recording.sid.as_str())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Stores an unknown recording, and its call if that is unknown too.
async fn create_recording(
    transaction: &mut SqliteConnection,
    recording: &Recording,
    now: UtcTime,
) -> Result<(), StoreError> {
    let began = recording.started_at.unwrap_or(now);
    let aggregate = CallAggregate::load_or_create(transaction, &recording.call_sid, began).await?;
    sqlx::query("INSERT INTO recordings (sid, call_id, status) VALUES (?, ?, ?)")
        .bind(recording.sid.as_str())
        .bind(aggregate.id)
        .bind(encode_enum(&recording.status))
        .execute(&mut *transaction)
        .await?;
    update_recording(transaction, recording).await
}

impl SqliteStore {
    pub(in crate::store) async fn apply_recording_update(
        &self,
        update: &RecordingUpdate,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        if !is_first_delivery(&mut transaction, update.token.as_deref(), now).await? {
            return Ok(false);
        }
        let changed = match find_recording(&mut transaction, &update.recording.sid).await? {
            None => match create_recording(&mut transaction, &update.recording, now).await {
                Err(StoreError::NoSuchCall) => false,
                other => other.map(|()| true)?,
            },
            Some(known) => {
                let next = merge_update(&known, &update.recording);
                if next != known {
                    update_recording(&mut transaction, &next).await?;
                }
                next != known
            }
        };
        transaction.commit().await?;
        Ok(changed)
    }

    pub(in crate::store) async fn resume_recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(known) = find_recording(&mut transaction, recording).await? else {
            return Ok(false);
        };
        let next = resume(&known);
        if next != known {
            update_recording(&mut transaction, &next).await?;
            transaction.commit().await?;
        }
        Ok(next != known)
    }

    pub(in crate::store) async fn recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<Option<Recording>, StoreError> {
        find_recording(&mut *self.readers.acquire().await?, recording).await
    }

    pub(in crate::store) async fn latest_recording(
        &self,
        call: &CallSid,
    ) -> Result<Option<Recording>, StoreError> {
        let row: Option<RecordingRow> = sqlx::query_as(select_recordings!(
            "WHERE c.id = (SELECT call_id FROM legs WHERE sid = ?) \
             ORDER BY r.started_at IS NULL, r.started_at DESC, r.id DESC LIMIT 1"
        ))
        .bind(call.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.map(RecordingRow::into_recording).transpose()
    }
}
