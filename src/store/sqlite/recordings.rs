//! Twilio's recordings as rows.

use sqlx::SqliteConnection;

use super::Sqlite;
use super::calls::{Case, sid as call_sid};
use super::status::is_news;
use crate::clock::UtcTime;
use crate::ids::{CallSid, RecordingSid};
use crate::store::error::StoreError;
use crate::store::recordings::{heard, resumed};
use crate::store::words::{read, word};
use crate::store::{Recording, RecordingUpdate};

/// Everything of a [`RecordingRow`].
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
    fn recording(self) -> Result<Recording, StoreError> {
        Ok(Recording {
            sid: sid(&self.sid)?,
            call_sid: call_sid(&self.call_sid)?,
            status: read(&self.status)?,
            channels: self.channels,
            duration_seconds: self.duration_seconds,
            started_at: self.started_at.map(UtcTime::from_millis),
        })
    }
}

/// A stored SID.
pub(super) fn sid(text: &str) -> Result<RecordingSid, StoreError> {
    RecordingSid::parse(text).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// A call's recordings, oldest first.
pub(super) async fn of_call(
    look: &mut SqliteConnection,
    call: i64,
) -> Result<Vec<Recording>, StoreError> {
    let rows: Vec<RecordingRow> = sqlx::query_as(select_recordings!(
        "WHERE r.call_id = ? ORDER BY r.started_at IS NOT NULL, r.started_at, r.id"
    ))
    .bind(call)
    .fetch_all(look)
    .await?;
    rows.into_iter().map(RecordingRow::recording).collect()
}

async fn find(
    look: &mut SqliteConnection,
    recording: &RecordingSid,
) -> Result<Option<Recording>, StoreError> {
    let row: Option<RecordingRow> = sqlx::query_as(select_recordings!("WHERE r.sid = ?"))
        .bind(recording.as_str())
        .fetch_optional(look)
        .await?;
    row.map(RecordingRow::recording).transpose()
}

async fn rewrite(work: &mut SqliteConnection, recording: &Recording) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE recordings SET status = ?, channels = ?, duration_seconds = ?, started_at = ? \
         WHERE sid = ?",
    )
    .bind(word(&recording.status))
    .bind(recording.channels)
    .bind(recording.duration_seconds)
    .bind(recording.started_at.map(UtcTime::millis))
    .bind(recording.sid.as_str())
    .execute(work)
    .await?;
    Ok(())
}

/// Writes down a recording that nobody knew, and its call if need be.
async fn begin(
    work: &mut SqliteConnection,
    recording: &Recording,
    now: UtcTime,
) -> Result<(), StoreError> {
    let began = recording.started_at.unwrap_or(now);
    let case = Case::of(work, &recording.call_sid, began).await?;
    sqlx::query("INSERT INTO recordings (sid, call_id, status) VALUES (?, ?, ?)")
        .bind(recording.sid.as_str())
        .bind(case.id)
        .bind(word(&recording.status))
        .execute(&mut *work)
        .await?;
    rewrite(work, recording).await
}

impl Sqlite {
    pub(in crate::store) async fn apply_recording(
        &self,
        update: &RecordingUpdate,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let mut work = self.write().await?;
        if !is_news(&mut work, update.token.as_deref(), now).await? {
            return Ok(false);
        }
        let changed = match find(&mut work, &update.recording.sid).await? {
            None => match begin(&mut work, &update.recording, now).await {
                Err(StoreError::NoSuchCall) => false,
                other => other.map(|()| true)?,
            },
            Some(known) => {
                let next = heard(&known, &update.recording);
                if next != known {
                    rewrite(&mut work, &next).await?;
                }
                next != known
            }
        };
        work.commit().await?;
        Ok(changed)
    }

    pub(in crate::store) async fn resume_recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<bool, StoreError> {
        let mut work = self.write().await?;
        let Some(known) = find(&mut work, recording).await? else {
            return Ok(false);
        };
        let next = resumed(&known);
        if next != known {
            rewrite(&mut work, &next).await?;
            work.commit().await?;
        }
        Ok(next != known)
    }

    pub(in crate::store) async fn recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<Option<Recording>, StoreError> {
        find(&mut *self.readers.acquire().await?, recording).await
    }

    pub(in crate::store) async fn recording_of(
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
        row.map(RecordingRow::recording).transpose()
    }
}
