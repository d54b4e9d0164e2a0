//! Streams and the words that came of them.

use sqlx::SqliteConnection;

use super::calls::{Case, save_leg, sid as call_sid};
use super::{Sqlite, call_of, log};
use crate::clock::UtcTime;
use crate::ids::{CallSid, StreamSid};
use crate::limits;
use crate::store::error::StoreError;
use crate::store::words::{json, read, read_json, word};
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
    fn segment(self) -> Result<Segment, StoreError> {
        Ok(Segment {
            id: read(&self.segment_id)?,
            track: read(&self.track)?,
            speaker: read(&self.speaker)?,
            start_ms: self.start_ms as u64,
            end_ms: self.end_ms as u64,
            text: self.text,
            words: read_json(&self.words)?,
            language: self.language,
            latency_ms: self.latency_ms as u64,
            transcribed: self.transcribed,
            echo: self.echo,
        })
    }
}

/// What was said in a call, in order of time.
pub(super) async fn of_call(
    look: &mut SqliteConnection,
    call: i64,
) -> Result<Vec<Segment>, StoreError> {
    let rows: Vec<SegmentRow> = sqlx::query_as(
        "SELECT segment_id, track, speaker, start_ms, end_ms, text, words, language, latency_ms, \
         transcribed, echo FROM segments WHERE call_id = ? ORDER BY start_ms, id",
    )
    .bind(call)
    .fetch_all(look)
    .await?;
    rows.into_iter().map(SegmentRow::segment).collect()
}

async fn keep(work: &mut SqliteConnection, call: i64, segment: &Segment) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO segments (call_id, segment_id, track, speaker, start_ms, end_ms, text, words, \
         language, latency_ms, transcribed, echo) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (call_id, segment_id) DO NOTHING",
    )
    .bind(call)
    .bind(segment.id.as_str())
    .bind(word(&segment.track))
    .bind(word(&segment.speaker))
    .bind(segment.start_ms as i64)
    .bind(segment.end_ms as i64)
    .bind(&segment.text)
    .bind(json(&segment.words))
    .bind(&segment.language)
    .bind(segment.latency_ms as i64)
    .bind(segment.transcribed)
    .bind(segment.echo)
    .execute(work)
    .await?;
    Ok(())
}

async fn stream(
    look: &mut SqliteConnection,
    sid: &StreamSid,
) -> Result<Option<StreamRecord>, StoreError> {
    let row: Option<(u32, i64, Option<String>)> = sqlx::query_as(
        "SELECT number, started_at - (SELECT min(started_at) FROM streams AS all_streams \
         WHERE all_streams.call_id = streams.call_id), ended FROM streams WHERE sid = ?",
    )
    .bind(sid.as_str())
    .fetch_optional(look)
    .await?;
    let record = |(number, begun_ms, ended): (u32, i64, Option<String>)| {
        Ok(StreamRecord {
            sid: sid.clone(),
            number,
            // A clock that was set back between two streams.
            begun_ms: begun_ms.max(0) as u64,
            ended: ended.as_deref().map(read).transpose()?,
        })
    };
    row.map(record).transpose()
}

impl Sqlite {
    pub(in crate::store) async fn keep_segments(
        &self,
        call: &CallSid,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let id = call_of(&mut work, call.as_str()).await?;
        let id = id.ok_or(StoreError::NoSuchCall)?;
        let max = limits::SEGMENTS_PER_CALL_MAX;
        let kept: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM segments WHERE call_id = ? LIMIT ?)",
        )
        .bind(id)
        .bind(max as i64)
        .fetch_one(&mut *work)
        .await?;
        if kept as usize + segments.len() > max {
            let what = "segments of one call";
            return Err(StoreError::TooMany { what, max });
        }
        for segment in segments {
            keep(&mut work, id, segment).await?;
        }
        work.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn segments(
        &self,
        call: &CallSid,
    ) -> Result<Vec<Segment>, StoreError> {
        let mut look = self.readers.begin().await?;
        let Some(id) = call_of(&mut look, call.as_str()).await? else {
            return Ok(Vec::new());
        };
        let segments = of_call(&mut look, id).await?;
        look.commit().await?;
        Ok(segments)
    }

    pub(in crate::store) async fn open_stream(
        &self,
        call: &CallSid,
        sid: &StreamSid,
        now: UtcTime,
    ) -> Result<StreamRecord, StoreError> {
        let mut work = self.write().await?;
        if let Some(known) = stream(&mut work, sid).await? {
            return Ok(known);
        }
        let is_new = call_of(&mut work, call.as_str()).await?.is_none();
        let mut case = Case::of(&mut work, call, now).await?;
        if is_new {
            // Nobody has told of the call, but it is being talked.
            let leg = case.leg(call, false);
            leg.reach(CallStatus::InProgress, None, now);
            let leg = leg.clone();
            save_leg(&mut work, case.id, &leg).await?;
            case.conclude(&mut work).await?;
        }
        sqlx::query(
            "INSERT INTO streams (sid, call_id, number, started_at) \
             SELECT ?1, ?2, 1 + coalesce(max(number), 0), ?3 FROM streams WHERE call_id = ?2",
        )
        .bind(sid.as_str())
        .bind(case.id)
        .bind(now.millis())
        .execute(&mut *work)
        .await?;
        sqlx::query("UPDATE calls SET transcript = ? WHERE id = ?")
            .bind(word(&TranscriptState::Live))
            .bind(case.id)
            .execute(&mut *work)
            .await?;
        let opened = stream(&mut work, sid).await?;
        work.commit().await?;
        opened.ok_or_else(|| StoreError::Damaged("a stream was not kept".to_owned()))
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
        .bind(word(&reason))
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
        let mut work = self.write().await?;
        let live: Vec<i64> = sqlx::query_scalar(
            "UPDATE calls SET transcript = 'interrupted' WHERE transcript = 'live' RETURNING id",
        )
        .fetch_all(&mut *work)
        .await?;
        let entry = CallLogEntry {
            at: now,
            kind: "interrupted".into(),
            detail: "the server stopped in mid-call".into(),
            user_id: None,
        };
        for id in live {
            log::write(&mut work, id, &entry).await?;
        }
        sqlx::query("UPDATE streams SET ended = ?, ended_at = ? WHERE ended IS NULL")
            .bind(word(&EndReason::Dropped))
            .bind(now.millis())
            .execute(&mut *work)
            .await?;
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT sid FROM (SELECT sid, started_at, from_party <> '' OR to_party <> '' \
             OR EXISTS (SELECT 1 FROM legs l WHERE l.call_id = calls.id AND l.sequence IS NOT NULL) \
             AS is_told, EXISTS (SELECT 1 FROM streams s WHERE s.call_id = calls.id) AS has_stream \
             FROM calls WHERE ended_at IS NULL) WHERE is_told OR has_stream \
             ORDER BY has_stream DESC, started_at DESC LIMIT ?",
        )
        .bind(limits::OPEN_CALLS_MAX)
        .fetch_all(&mut *work)
        .await?;
        work.commit().await?;
        open.iter().map(|sid| call_sid(sid)).collect()
    }
}
