//! Calls: creating, reading and editing their rows.

use sqlx::SqliteConnection;

use super::{SqliteStore, call_id_of_leg};
use crate::clock::UtcTime;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::columns::{decode_enum, decode_json, encode_enum, encode_json};
use crate::store::error::StoreError;
use crate::store::legs::{
    CallOpening, CallOutcome, LegState, derive_outcome, find_owner, user_of_party,
};
use crate::store::{CallDetail, CallEdit, CallRecord, Leg, NewCall, Party, TranscriptState};
use crate::transcript::{CallStatus, Direction};

/// A query for all columns of a [`CallRow`], from `calls c`.
macro_rules! select_calls {
    ($($rest:literal)?) => {
        concat!(
            "SELECT c.sid, c.direction, c.status, c.from_party, c.to_party, c.user_id, \
             c.started_at, c.answered_at, c.ended_at, c.duration_seconds, c.end_cause, \
             c.transcript, c.announced, c.has_audio, c.notes, c.labels, c.id, \
             (SELECT r.status FROM recordings r WHERE r.call_id = c.id \
              ORDER BY r.started_at IS NULL, r.started_at DESC, r.id DESC LIMIT 1) AS recording \
             FROM calls c ",
            $($rest)?
        )
    };
}
pub(super) use select_calls;

/// A row of `calls`, with the status of its latest recording.
#[derive(sqlx::FromRow)]
pub(super) struct CallRow {
    pub(super) id: i64,
    sid: String,
    direction: String,
    status: String,
    from_party: String,
    to_party: String,
    user_id: Option<i64>,
    started_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    duration_seconds: Option<u32>,
    end_cause: Option<String>,
    transcript: String,
    recording: Option<String>,
    announced: bool,
    has_audio: bool,
    notes: String,
    labels: String,
}

impl CallRow {
    pub(super) fn into_record(self) -> Result<CallRecord, StoreError> {
        Ok(CallRecord {
            sid: parse_call_sid(&self.sid)?,
            direction: decode_enum(&self.direction)?,
            status: decode_enum(&self.status)?,
            from: Party(self.from_party),
            to: Party(self.to_party),
            user_id: self.user_id.map(UserId),
            started_at: UtcTime::from_millis(self.started_at),
            answered_at: self.answered_at.map(UtcTime::from_millis),
            ended_at: self.ended_at.map(UtcTime::from_millis),
            duration_seconds: self.duration_seconds,
            end_cause: self.end_cause,
            transcript: decode_enum(&self.transcript)?,
            recording: self.recording.as_deref().map(decode_enum).transpose()?,
            announced: self.announced,
            has_audio: self.has_audio,
            notes: self.notes,
            labels: decode_json(&self.labels)?,
        })
    }
}

/// Parses a stored SID.
pub(super) fn parse_call_sid(text: &str) -> Result<CallSid, StoreError> {
    CallSid::parse(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The values from which a call's record is derived, and the stored record.
pub(super) struct CallAggregate {
    pub(super) id: i64,
    pub(super) opening: Option<CallOpening>,
    pub(super) own_cause: Option<String>,
    pub(super) legs: Vec<LegState>,
    stored: Option<CallOutcome>,
    has_owner: bool,
}

#[derive(sqlx::FromRow)]
struct CallAggregateRow {
    direction: String,
    status: String,
    from_party: String,
    to_party: String,
    started_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    duration_seconds: Option<u32>,
    end_cause: Option<String>,
    opened_at: Option<i64>,
    opened_direction: Option<String>,
    opened_from: Option<String>,
    opened_to: Option<String>,
    own_cause: Option<String>,
    has_owner: bool,
}

#[derive(sqlx::FromRow)]
struct LegRow {
    sid: String,
    is_child: bool,
    status: String,
    sequence: Option<u32>,
    began_at: Option<i64>,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    duration_seconds: Option<u32>,
    sip_code: Option<u16>,
    from_party: String,
    to_party: String,
}

impl LegRow {
    fn into_leg_state(self) -> Result<LegState, StoreError> {
        Ok(LegState {
            sid: parse_call_sid(&self.sid)?,
            is_child: self.is_child,
            status: decode_enum(&self.status)?,
            sequence: self.sequence,
            began_at: self.began_at.map(UtcTime::from_millis),
            answered_at: self.answered_at.map(UtcTime::from_millis),
            ended_at: self.ended_at.map(UtcTime::from_millis),
            duration_seconds: self.duration_seconds,
            sip_code: self.sip_code,
            from: Party(self.from_party),
            to: Party(self.to_party),
        })
    }
}

impl CallAggregate {
    /// Loads the call with this row ID.
    pub(super) async fn load(
        transaction: &mut SqliteConnection,
        id: i64,
    ) -> Result<Self, StoreError> {
        let row: CallAggregateRow = sqlx::query_as(
            "SELECT direction, status, from_party, to_party, started_at, answered_at, ended_at, \
             duration_seconds, end_cause, opened_at, opened_direction, opened_from, opened_to, \
             own_cause, user_id IS NOT NULL AS has_owner FROM calls WHERE id = ?",
        )
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
        let opening = match (row.opened_at, row.opened_direction) {
            (Some(at), Some(direction)) => Some(CallOpening {
                at: UtcTime::from_millis(at),
                direction: decode_enum(&direction)?,
                from: Party(row.opened_from.unwrap_or_default()),
                to: Party(row.opened_to.unwrap_or_default()),
            }),
            _ => None,
        };
        let stored = CallOutcome {
            direction: decode_enum(&row.direction)?,
            status: decode_enum(&row.status)?,
            from: Party(row.from_party),
            to: Party(row.to_party),
            started_at: UtcTime::from_millis(row.started_at),
            answered_at: row.answered_at.map(UtcTime::from_millis),
            ended_at: row.ended_at.map(UtcTime::from_millis),
            duration_seconds: row.duration_seconds,
            end_cause: row.end_cause,
        };
        Ok(Self {
            id,
            opening,
            own_cause: row.own_cause,
            legs: load_legs(transaction, id).await?,
            stored: Some(stored),
            has_owner: row.has_owner,
        })
    }

    /// Creates a call with only its SID known.
    pub(super) async fn create(
        transaction: &mut SqliteConnection,
        sid: &CallSid,
        now: UtcTime,
    ) -> Result<Self, StoreError> {
        let id = sqlx::query(
            "INSERT INTO calls (sid, direction, status, from_party, to_party, started_at, transcript) \
             VALUES (?, ?, ?, '', '', ?, ?)",
        )
        .bind(sid.as_str())
        .bind(encode_enum(&Direction::default()))
        .bind(encode_enum(&CallStatus::Queued))
        .bind(now.millis())
        .bind(encode_enum(&TranscriptState::Off))
        .execute(&mut *transaction)
        .await?
        .last_insert_rowid();
        let leg = LegState::new(sid.clone(), false);
        save_leg(transaction, id, &leg).await?;
        Ok(Self {
            id,
            opening: None,
            own_cause: None,
            legs: vec![leg],
            stored: None,
            has_owner: false,
        })
    }

    /// Loads the call that the leg belongs to, or creates one with this SID. Returns
    /// [`StoreError::NoSuchCall`] if it was deleted.
    pub(super) async fn load_or_create(
        transaction: &mut SqliteConnection,
        leg: &CallSid,
        now: UtcTime,
    ) -> Result<Self, StoreError> {
        if let Some(id) = call_id_of_leg(transaction, leg.as_str()).await? {
            return Self::load(transaction, id).await;
        }
        if was_deleted(transaction, leg).await? {
            return Err(StoreError::NoSuchCall);
        }
        Self::create(transaction, leg, now).await
    }

    /// Returns the leg with this SID; adds it if it is unknown.
    pub(super) fn leg_mut(&mut self, sid: &CallSid, is_child: bool) -> &mut LegState {
        let known = self.legs.iter().position(|leg| leg.sid == *sid);
        let index = known.unwrap_or_else(|| {
            self.legs.push(LegState::new(sid.clone(), is_child));
            self.legs.len() - 1
        });
        &mut self.legs[index]
    }

    /// Derives the call's record and stores it if it differs. Returns the status before and now. A known
    /// owner stays.
    pub(super) async fn save_outcome(
        &self,
        transaction: &mut SqliteConnection,
    ) -> Result<(CallStatus, CallStatus), StoreError> {
        if let Some(user) = find_owner(&self.legs).filter(|_| !self.has_owner) {
            // No owner if that user was removed.
            sqlx::query(
                "UPDATE calls SET user_id = (SELECT id FROM users WHERE id = ?) WHERE id = ?",
            )
            .bind(user.0)
            .bind(self.id)
            .execute(&mut *transaction)
            .await?;
        }
        let now = derive_outcome(self.opening.as_ref(), self.own_cause.as_deref(), &self.legs);
        let before = self
            .stored
            .as_ref()
            .map_or(CallStatus::Queued, |stored| stored.status);
        if self.stored.as_ref() == Some(&now) {
            return Ok((before, now.status));
        }
        sqlx::query(
            "UPDATE calls SET direction = ?, status = ?, from_party = ?, to_party = ?, \
             started_at = ?, answered_at = ?, ended_at = ?, duration_seconds = ?, end_cause = ? \
             WHERE id = ?",
        )
        .bind(encode_enum(&now.direction))
        .bind(encode_enum(&now.status))
        .bind(&now.from.0)
        .bind(&now.to.0)
        .bind(now.started_at.millis())
        .bind(now.answered_at.map(UtcTime::millis))
        .bind(now.ended_at.map(UtcTime::millis))
        .bind(now.duration_seconds)
        .bind(&now.end_cause)
        .bind(self.id)
        .execute(transaction)
        .await?;
        Ok((before, now.status))
    }
}

/// Returns a call's legs, parent first.
async fn load_legs(
    transaction: &mut SqliteConnection,
    id: i64,
) -> Result<Vec<LegState>, StoreError> {
    let rows: Vec<LegRow> = sqlx::query_as(
        "SELECT sid, is_child, status, sequence, began_at, answered_at, ended_at, \
         duration_seconds, sip_code, from_party, to_party FROM legs WHERE call_id = ? \
         ORDER BY is_child, began_at, sid",
    )
    .bind(id)
    .fetch_all(transaction)
    .await?;
    rows.into_iter().map(LegRow::into_leg_state).collect()
}

/// Stores a leg of the call.
pub(super) async fn save_leg(
    transaction: &mut SqliteConnection,
    id: i64,
    leg: &LegState,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO legs (sid, call_id, is_child, status, sequence, began_at, \
         answered_at, ended_at, duration_seconds, sip_code, from_party, to_party) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(leg.sid.as_str())
    .bind(id)
    .bind(leg.is_child)
    .bind(encode_enum(&leg.status))
    .bind(leg.sequence)
    .bind(leg.began_at.map(UtcTime::millis))
    .bind(leg.answered_at.map(UtcTime::millis))
    .bind(leg.ended_at.map(UtcTime::millis))
    .bind(leg.duration_seconds)
    .bind(leg.sip_code)
    .bind(&leg.from.0)
    .bind(&leg.to.0)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Whether the leg belonged to a call that was deleted.
pub(super) async fn was_deleted(
    transaction: &mut SqliteConnection,
    leg: &CallSid,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM deleted_legs WHERE sid = ?")
        .bind(leg.as_str())
        .fetch_optional(transaction)
        .await?;
    Ok(found.is_some())
}

async fn load_call_row(transaction: &mut SqliteConnection, id: i64) -> Result<CallRow, StoreError> {
    let query = sqlx::query_as(select_calls!("WHERE c.id = ?"));
    Ok(query.bind(id).fetch_one(transaction).await?)
}

impl SqliteStore {
    pub(in crate::store) async fn open_call(
        &self,
        new: &NewCall,
    ) -> Result<CallRecord, StoreError> {
        let mut transaction = self.begin_write().await?;
        let mut aggregate =
            CallAggregate::load_or_create(&mut transaction, &new.sid, new.started_at).await?;
        let opening = CallOpening {
            at: new.started_at,
            direction: new.direction,
            from: new.from.clone(),
            to: new.to.clone(),
        };
        match &mut aggregate.opening {
            Some(known) => known.merge(&opening),
            None => aggregate.opening = Some(opening),
        }
        let leg = aggregate.leg_mut(&new.sid, false);
        leg.apply_status(new.status, None, new.started_at);
        let leg = leg.clone();
        save_leg(&mut transaction, aggregate.id, &leg).await?;
        save_opening(&mut transaction, &aggregate, new).await?;
        aggregate.save_outcome(&mut transaction).await?;
        let record = load_call_row(&mut transaction, aggregate.id)
            .await?
            .into_record()?;
        transaction.commit().await?;
        Ok(record)
    }

    pub(in crate::store) async fn set_end_cause(
        &self,
        call: &CallSid,
        why: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let id = call_id_of_leg(&mut transaction, call.as_str()).await?;
        let mut aggregate =
            CallAggregate::load(&mut transaction, id.ok_or(StoreError::NoSuchCall)?).await?;
        if aggregate.own_cause.is_none() {
            sqlx::query("UPDATE calls SET own_cause = ? WHERE id = ?")
                .bind(why)
                .bind(aggregate.id)
                .execute(&mut *transaction)
                .await?;
            aggregate.own_cause = Some(why.to_owned());
            aggregate.save_outcome(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn find_parent(
        &self,
        leg: &CallSid,
    ) -> Result<Option<CallSid>, StoreError> {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT c.sid FROM legs l JOIN calls c ON c.id = l.call_id WHERE l.sid = ?",
        )
        .bind(leg.as_str())
        .fetch_optional(&self.readers)
        .await?;
        found.as_deref().map(parse_call_sid).transpose()
    }

    pub(in crate::store) async fn rung_users(
        &self,
        call: &CallSid,
    ) -> Result<Vec<UserId>, StoreError> {
        let parties: Vec<String> = sqlx::query_scalar(
            "SELECT l.to_party FROM legs l JOIN legs named ON named.call_id = l.call_id \
             WHERE named.sid = ? AND l.is_child",
        )
        .bind(call.as_str())
        .fetch_all(&self.readers)
        .await?;
        let select_users = parties.into_iter().map(Party);
        Ok(select_users
            .filter_map(|party| user_of_party(&party))
            .collect())
    }

    pub(in crate::store) async fn call_record(
        &self,
        call: &CallSid,
    ) -> Result<Option<CallRecord>, StoreError> {
        let row: Option<CallRow> = sqlx::query_as(select_calls!(
            "WHERE c.id = (SELECT call_id FROM legs WHERE sid = ?)"
        ))
        .bind(call.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.map(CallRow::into_record).transpose()
    }

    pub(in crate::store) async fn call_detail(
        &self,
        call: &CallSid,
    ) -> Result<Option<CallDetail>, StoreError> {
        // One transaction, so that all parts are from the same snapshot.
        let mut connection = self.readers.begin().await?;
        let row: Option<CallRow> = sqlx::query_as(select_calls!(
            "WHERE c.id = (SELECT call_id FROM legs WHERE sid = ?)"
        ))
        .bind(call.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = row.id;
        let legs = load_legs(&mut connection, id).await?;
        let legs = legs.into_iter().map(|leg| Leg {
            sid: leg.sid,
            is_child: leg.is_child,
            status: leg.status,
            sequence: leg.sequence,
            sip_code: leg.sip_code,
        });
        let detail = CallDetail {
            call: row.into_record()?,
            legs: legs.collect(),
            recordings: super::recordings::load_recordings(&mut connection, id).await?,
            segments: super::transcript::load_segments(&mut connection, id).await?,
            events: super::call_log::load_call_log(&mut connection, id, limits::LOG_ENTRIES_MAX)
                .await?,
        };
        connection.commit().await?;
        Ok(Some(detail))
    }

    pub(in crate::store) async fn edit_call(
        &self,
        call: &CallSid,
        edit: &CallEdit,
    ) -> Result<Option<CallRecord>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "UPDATE calls SET notes = coalesce(?, notes), labels = coalesce(?, labels) \
             WHERE id = (SELECT call_id FROM legs WHERE sid = ?) RETURNING id",
        )
        .bind(&edit.notes)
        .bind(edit.labels.as_ref().map(encode_json))
        .bind(call.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(id) = id else {
            return Ok(None);
        };
        let record = load_call_row(&mut transaction, id).await?.into_record()?;
        transaction.commit().await?;
        Ok(Some(record))
    }

    pub(in crate::store) async fn set_transcript_state(
        &self,
        call: &CallSid,
        state: TranscriptState,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE calls SET transcript = ? WHERE id = (SELECT call_id FROM legs WHERE sid = ?)",
        )
        .bind(encode_enum(&state))
        .bind(call.as_str())
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn set_has_audio(
        &self,
        call: &CallSid,
        has_audio: bool,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE calls SET has_audio = ? WHERE id = (SELECT call_id FROM legs WHERE sid = ?)",
        )
        .bind(has_audio)
        .bind(call.as_str())
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Stores an opening; known values stay.
async fn save_opening(
    transaction: &mut SqliteConnection,
    aggregate: &CallAggregate,
    new: &NewCall,
) -> Result<(), StoreError> {
    let opening = aggregate
        .opening
        .as_ref()
        .expect("the caller has just set it");
    sqlx::query(
        "UPDATE calls SET opened_at = ?, opened_direction = ?, opened_from = ?, opened_to = ?, \
         user_id = coalesce(user_id, (SELECT id FROM users WHERE id = ?)), announced = announced OR ?, \
         transcript = iif(transcript = 'off', ?, transcript) WHERE id = ?",
    )
    .bind(opening.at.millis())
    .bind(encode_enum(&opening.direction))
    .bind(&opening.from.0)
    .bind(&opening.to.0)
    .bind(new.user_id.map(|user| user.0))
    .bind(new.announced)
    .bind(encode_enum(&new.transcript))
    .bind(aggregate.id)
    .execute(transaction)
    .await?;
    Ok(())
}
