//! Streams and their segments.

use sqlx::SqliteConnection;

use super::calls::{CallAggregate, parse_call_sid, save_leg};
use super::{SqliteStore, call_id_of_leg, call_log};
use crate::clock::UtcTime;
use crate::ids::{CallSid, StreamSid};
use crate::limits;
use crate::store::columns::{decode_enum, decode_json, encode_enum, encode_json};
use crate::store::error::StoreError;
use crate::store::{CallLogEntry, StreamRecord, TranscriptState};
use crate::transcript::{CallStatus, EndReason, Segment};

#[derive(sqlx::FromRow)]
struct SegmentRow {
    segment_id: String,
    track: String,
    speaker: String,
    start_ms: i64,
    end_ms: i64,
    text: String,
    words: String,
    language: String,
    latency_ms: i64,
    transcribed: bool,
    echo: bool,
}

impl SegmentRow {
    fn into_segment(self) -> Result<Segment, StoreError> {
        Ok(Segment {
            id: decode_enum(&self.segment_id)?,
            track: decode_enum(&self.track)?,
            speaker: decode_enum(&self.speaker)?,
            start_ms: self.start_ms as u64,
            end_ms: self.end_ms as u64,
            text: self.text,
            words: decode_json(&self.words)?,
            language: self.language,
            latency_ms: self.latency_ms as u64,
            transcribed: self.transcribed,
            echo: self.echo,
        })
    }
}

/// Returns a call's segments, in order of time.
pub(super) async fn load_segments(
    connection: &mut SqliteConnection,
    call: i64,
) -> Result<Vec<Segment>, StoreError> {
    let rows: Vec<SegmentRow> = sqlx::query_as(
        "SELECT segment_id, track, speaker, start_ms, end_ms, text, words, language, latency_ms, \
         transcribed, echo FROM segments WHERE call_id = ? ORDER BY start_ms, id",
    )
    .bind(call)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(SegmentRow::into_segment).collect()
}

async fn insert_segment(
    transaction: &mut SqliteConnection,
    call: i64,
    segment: &Segment,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO segments (call_id, segment_id, track, speaker, start_ms, end_ms, text, words, \
         language, latency_ms, transcribed, echo) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (call_id, segment_id) DO NOTHING",
    )
    .bind(call)
    .bind(segment.id.as_str())
    .bind(encode_enum(&segment.track))
    .bind(encode_enum(&segment.speaker))
    .bind(segment.start_ms as i64)
    .bind(segment.end_ms as i64)
    .bind(&segment.text)
    .bind(encode_json(&segment.words))
    .bind(&segment.language)
    .bind(segment.latency_ms as i64)
    .bind(segment.transcribed)
    .bind(segment.echo)
    .execute(transaction)
    .await?;
    Ok(())
}

async fn load_stream(
    connection: &mut SqliteConnection,
    sid: &StreamSid,
) -> Result<Option<StreamRecord>, StoreError> {
    let row: Option<(u32, i64, Option<String>)> = sqlx::query_as(
        "SELECT number, started_at - (SELECT min(started_at) FROM streams AS all_streams \
         WHERE all_streams.call_id = streams.call_id), ended FROM streams WHERE sid = ?",
    )
    .bind(sid.as_str())
    .fetch_optional(connection)
    .await?;
    let record = |(number, start_offset_ms, ended): (u32, i64, Option<String>)| {
        Ok(StreamRecord {
            sid: sid.clone(),
            number,
            // Negative if the clock was set back between two streams.
            start_offset_ms: start_offset_ms.max(0) as u64,
            ended: ended.as_deref().map(decode_enum).transpose()?,
        })
    };
    row.map(record).transpose()
}

impl SqliteStore {
    pub(in crate::store) async fn add_segments(
        &self,
        call: &CallSid,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let id = call_id_of_leg(&mut transaction, call.as_str()).await?;
        let id = id.ok_or(StoreError::NoSuchCall)?;
        let max = limits::SEGMENTS_PER_CALL_MAX;
        let kept: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM segments WHERE call_id = ? LIMIT ?)",
        )
        .bind(id)
        .bind(max as i64)
        .fetch_one(&mut *transaction)
        .await?;
        if kept as usize + segments.len() > max {
            let what = "segments of one call";
            return Err(StoreError::TooMany { what, max });
        }
        for segment in segments {
            insert_segment(&mut transaction, id, segment).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn segments(
        &self,
        call: &CallSid,
    ) -> Result<Vec<Segment>, StoreError> {
        let mut connection = self.readers.begin().await?;
        let Some(id) = call_id_of_leg(&mut connection, call.as_str()).await? else {
            return Ok(Vec::new());
        };
        let segments = load_segments(&mut connection, id).await?;
        connection.commit().await?;
        Ok(segments)
    }

    pub(in crate::store) async fn open_stream(
        &self,
        call: &CallSid,
        sid: &StreamSid,
        now: UtcTime,
    ) -> Result<StreamRecord, StoreError> {
        let mut transaction = self.begin_write().await?;
        if let Some(known) = load_stream(&mut transaction, sid).await? {
            return Ok(known);
        }
        let is_new = call_id_of_leg(&mut transaction, call.as_str())
            .await?
            .is_none();
        let mut aggregate = CallAggregate::load_or_create(&mut transaction, call, now).await?;
        if is_new {
            // The call is in progress, although no callback has reported it.
            let leg = aggregate.leg_mut(call, false);
            leg.apply_status(CallStatus::InProgress, None, now);
            let leg = leg.clone();
            save_leg(&mut transaction, aggregate.id, &leg).await?;
            aggregate.save_outcome(&mut transaction).await?;
        }
        sqlx::query(
            "INSERT INTO streams (sid, call_id, number, started_at) \
             SELECT ?1, ?2, 1 + coalesce(max(number), 0), ?3 FROM streams WHERE call_id = ?2",
        )
        .bind(sid.as_str())
        .bind(aggregate.id)
        .bind(now.millis())
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE calls SET transcript = ? WHERE id = ?")
            .bind(encode_enum(&TranscriptState::Live))
            .bind(aggregate.id)
            .execute(&mut *transaction)
            .await?;
        let opened = load_stream(&mut transaction, sid).await?;
        transaction.commit().await?;
        opened.ok_or_else(|| StoreError::Corrupt("a stream was not kept".to_owned()))
    }

    pub(in crate::store) async fn end_stream(
        &self,
        sid: &StreamSid,
        reason: EndReason,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let ended = sqlx::query(
            "UPDATE streams SET ended = ?, ended_at = ? WHERE sid = ? AND ended IS NULL",
        )
        .bind(encode_enum(&reason))
        .bind(now.millis())
        .bind(sid.as_str())
        .execute(&self.writer)
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    pub(in crate::store) async fn interrupt_open_calls(
        &self,
        now: UtcTime,
    ) -> Result<Vec<CallSid>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let live: Vec<i64> = sqlx::query_scalar(
            "UPDATE calls SET transcript = 'interrupted' WHERE transcript = 'live' RETURNING id",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let entry = CallLogEntry {
            at: now,
            kind: "interrupted".into(),
            detail: "the server stopped during the call".into(),
            user_id: None,
        };
        for id in live {
            call_log::append_entry(&mut transaction, id, &entry).await?;
        }
        sqlx::query("UPDATE streams SET ended = ?, ended_at = ? WHERE ended IS NULL")
            .bind(encode_enum(&EndReason::Dropped))
            .bind(now.millis())
            .execute(&mut *transaction)
            .await?;
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT sid FROM (SELECT sid, started_at, from_party <> '' OR to_party <> '' \
             OR EXISTS (SELECT 1 FROM legs l WHERE l.call_id = calls.id AND l.sequence IS NOT NULL) \
             AS is_told, EXISTS (SELECT 1 FROM streams s WHERE s.call_id = calls.id) AS has_stream \
             FROM calls WHERE ended_at IS NULL) WHERE is_told OR has_stream \
             ORDER BY has_stream DESC, started_at DESC LIMIT ?",
        )
        .bind(limits::OPEN_CALLS_MAX)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        open.iter().map(|sid| parse_call_sid(sid)).collect()
    }
}
