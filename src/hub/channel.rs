//! One call's event log, from which listeners catch up after a late start or a reconnect. Pure: no I/O, no
//! locks, no clock.
//!
//! Listeners have no queues. Each holds a [`ListenerCursor`], and reads the events after it:
//!
//! ```text
//!            log: every final, call, recording, language and ended event
//!   offsets  1   2   .   .   5   .   7   .   .  10 ◄── head
//!            call seg        seg     ended
//!            latest only: one partial for each open segment, one engine state
//!                        4           (6 → 9)
//!                    ▲ a cursor at 3 reads 4, 5, 7, 9 …
//! ```
//!
//! So a slow listener costs nothing: its unread partials are coalesced to the latest ones, once for all
//! listeners, and finals stay in the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ids::{CallSid, SegmentId};
use crate::limits;
use crate::transcript::{
    CallEvent, CallStatus, EndReason, EngineHealth, Event, LanguageDoubt, Partial, RecordingStatus,
    Segment,
};

/// Number of partials that may be replaced between two reads without a notice to the listener: a listener
/// that keeps up misses one or two when both parties talk. A lower value reports every hiccup; a higher one
/// hides seconds.
pub const PARTIALS_MISSED_UNREPORTED_MAX: u64 = 8;

/// One call's event log and its latest partials.
#[derive(Debug)]
pub struct CallChannel {
    call_sid: CallSid,
    epoch: u64,
    head: u64,
    /// Offset of the last event removed from the log; a cursor below it receives a snapshot.
    trimmed_offset: u64,
    log: VecDeque<Arc<CallEvent>>,
    partials: BTreeMap<SegmentId, Arc<CallEvent>>,
    engine: Option<Arc<CallEvent>>,
    doubts: Vec<LanguageDoubt>,
    /// IDs of the segments in the log.
    final_segments: BTreeSet<SegmentId>,
    status: Option<CallStatus>,
    recording: Option<RecordingStatus>,
    ended: Option<EndReason>,
    partials_appended: u64,
    events_max: usize,
}

/// Reason for refusing an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A partial, or a second final, of a segment that is already final.
    #[error("the segment is final: publish later text under a segment of its own")]
    AlreadyFinal,
    /// A partial that arrived after a newer revision.
    #[error("the revision is not above the current one: count revisions up")]
    StaleRevision,
    /// A partial with unchanged text.
    #[error("the text is unchanged: publish a partial when it changes")]
    UnchangedText,
    /// A partial that withdraws stable text.
    #[error("the stable prefix shrank: put text that may change into the unstable tail")]
    StableShrank,
    /// A partial beyond [`limits::CHANNEL_PARTIALS_MAX`] open segments.
    #[error("too many segments are open: publish the finals of those that are over")]
    TooManyPartials,
    /// Transcript events after the end.
    #[error("the transcript has ended: reopen the channel before publishing more")]
    Ended,
    /// A snapshot, or a notice to a single listener.
    #[error(
        "snapshots and notices to one listener are made by the channel: publish the event itself"
    )]
    NotPublishable,
}

/// Point at which a reconnecting listener continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// Last offset that the listener received.
    pub offset: u64,
    /// Epoch of the listener's last snapshot. Without it, a listener that reconnects after a restart of the
    /// server, to a channel that has again passed `offset`, receives events of a different log.
    pub epoch: Option<u64>,
}

/// One listener's position in a channel.
#[derive(Debug, Clone, Default)]
pub struct ListenerCursor {
    position: Option<ResumePoint>,
    /// Number of the channel's partials that this listener has read or missed; `None` before its first read,
    /// because partials published while it was away do not count as missed.
    partials_seen: Option<u64>,
}

impl ListenerCursor {
    /// Creates the cursor of a reconnecting listener; offset 0 means a new listener.
    pub fn resume(from: ResumePoint) -> Self {
        Self {
            position: (from.offset > 0).then_some(from),
            partials_seen: None,
        }
    }
}

impl CallChannel {
    /// Creates an empty channel; `epoch` must differ from that of every earlier channel of this call.
    pub fn new(call_sid: CallSid, epoch: u64) -> Self {
        Self {
            call_sid,
            epoch,
            head: 0,
            trimmed_offset: 0,
            log: VecDeque::new(),
            partials: BTreeMap::new(),
            engine: None,
            doubts: Vec::new(),
            final_segments: BTreeSet::new(),
            status: None,
            recording: None,
            ended: None,
            partials_appended: 0,
            events_max: limits::CHANNEL_EVENTS_MAX,
        }
    }

    /// Appends `event` and returns its offset, or an error if the channel refuses it.
    pub fn append(&mut self, event: Event) -> Result<u64, PublishError> {
        self.check_event(&event)?;
        self.head += 1;
        let offset = self.head;
        let is_durable = event.is_durable();
        let entry = Arc::new(CallEvent {
            call_sid: self.call_sid.clone(),
            offset,
            event,
        });
        match &entry.event {
            Event::Partial { partial } => {
                self.partials_appended += 1;
                self.partials
                    .insert(partial.segment_id.clone(), Arc::clone(&entry));
            }
            Event::Segment { segment } => {
                self.partials.remove(&segment.id);
                self.final_segments.insert(segment.id.clone());
            }
            Event::Call { status, .. } => self.status = Some(*status),
            Event::Recording { status } => self.recording = Some(*status),
            Event::Engine { .. } => self.engine = Some(Arc::clone(&entry)),
            Event::Language { doubts } => self.doubts.clone_from(doubts),
            Event::Ended { reason } => {
                self.ended = Some(*reason);
                self.partials.clear();
            }
            Event::Snapshot { .. } => unreachable!("check() refuses snapshots"),
        }
        if is_durable {
            self.log.push_back(entry);
            self.trim_log();
        }
        Ok(offset)
    }

    /// Reopens the channel after the end, for example when a new stream of the same call replaces one that
    /// dropped. Every listener reads a snapshot next.
    pub fn reopen(&mut self, epoch: u64) {
        self.ended = None;
        self.doubts.clear();
        self.epoch = epoch;
    }

    /// Returns the call's last published status.
    pub fn status(&self) -> Option<CallStatus> {
        self.status
    }

    /// Whether the transcript has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Returns the offset of the latest event; 0 before the first.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether [`read`](Self::read) would return anything.
    pub fn has_unread(&self, cursor: &ListenerCursor) -> bool {
        self.resume_offset(cursor)
            .is_none_or(|offset| offset < self.head)
    }

    /// Reads the events after `cursor` and advances it. Returns a snapshot if the cursor is new, of another
    /// epoch, beyond the head, or older than the log; otherwise up to `max` events in order. A notice to this
    /// listener precedes them if more than [`PARTIALS_MISSED_UNREPORTED_MAX`] partials were replaced since
    /// its last read.
    pub fn read(&self, cursor: &mut ListenerCursor, max: usize) -> Vec<Arc<CallEvent>> {
        let since = self
            .resume_offset(cursor)
            .and_then(|offset| self.events_since(offset, max));
        let Some(mut events) = since else {
            *cursor = ListenerCursor {
                position: Some(self.position(self.head)),
                partials_seen: Some(self.partials_appended),
            };
            return vec![Arc::new(self.snapshot())];
        };
        let Some(last) = events.last() else {
            return events;
        };
        let before = cursor.position.map_or(0, |position| position.offset);
        cursor.position = Some(self.position(last.offset));

        let is_partial = |entry: &&Arc<CallEvent>| matches!(entry.event, Event::Partial { .. });
        let read = events.iter().filter(is_partial).count() as u64;
        let waiting = self
            .partials
            .values()
            .filter(|entry| entry.offset > before)
            .count() as u64;
        let passed = self.partials_appended.saturating_sub(waiting);
        let missed = cursor
            .partials_seen
            .map_or(0, |seen| passed.saturating_sub(seen));
        cursor.partials_seen = Some(passed + read);
        if missed > PARTIALS_MISSED_UNREPORTED_MAX {
            events.insert(0, Arc::new(self.missed_partials_event(missed, before)));
        }
        events
    }

    /// Returns the first `max` events after `offset` in order: all durable ones, and the current partials and
    /// engine state. `None` if `offset` is beyond the head or older than the log.
    pub fn events_since(&self, offset: u64, max: usize) -> Option<Vec<Arc<CallEvent>>> {
        if offset > self.head || offset < self.trimmed_offset {
            return None;
        }
        let kept = self.log.partition_point(|entry| entry.offset <= offset);
        let latest = self.partials.values().chain(&self.engine);
        let mut events: Vec<_> = self.log.range(kept..).take(max).cloned().collect();
        events.extend(latest.filter(|entry| entry.offset > offset).cloned());
        events.sort_unstable_by_key(|entry| entry.offset);
        events.truncate(max);
        Some(events)
    }

    /// Returns the channel's complete state as a snapshot event at the head.
    pub fn snapshot(&self) -> CallEvent {
        let mut partials: Vec<Partial> = self.partials().cloned().collect();
        partials.sort_by_key(|partial| partial.start_ms);
        let event = Event::Snapshot {
            epoch: self.epoch,
            status: self.status,
            recording: self.recording,
            engine: self.engine_state().0,
            segments: self.segments().cloned().collect(),
            partials,
            doubts: self.doubts.clone(),
            ended: self.ended,
        };
        CallEvent {
            call_sid: self.call_sid.clone(),
            offset: self.head,
            event,
        }
    }

    fn check_event(&self, event: &Event) -> Result<(), PublishError> {
        let may_follow_end = matches!(event, Event::Call { .. } | Event::Recording { .. });
        if self.has_ended() && !may_follow_end {
            return Err(PublishError::Ended);
        }
        match event {
            Event::Snapshot { .. }
            | Event::Engine {
                partials_missed: 1..,
                ..
            } => Err(PublishError::NotPublishable),
            Event::Segment { segment } if self.final_segments.contains(&segment.id) => {
                Err(PublishError::AlreadyFinal)
            }
            Event::Partial { partial } => self.check_partial(partial),
            Event::Segment { .. }
            | Event::Call { .. }
            | Event::Recording { .. }
            | Event::Engine { .. }
            | Event::Language { .. }
            | Event::Ended { .. } => Ok(()),
        }
    }

    fn check_partial(&self, new: &Partial) -> Result<(), PublishError> {
        if self.final_segments.contains(&new.segment_id) {
            return Err(PublishError::AlreadyFinal);
        }
        let current = self.partials.get(&new.segment_id);
        let Some(Event::Partial { partial: old }) = current.map(|entry| &entry.event) else {
            let is_full = self.partials.len() >= limits::CHANNEL_PARTIALS_MAX;
            return if is_full {
                Err(PublishError::TooManyPartials)
            } else {
                Ok(())
            };
        };
        if new.revision <= old.revision {
            return Err(PublishError::StaleRevision);
        }
        if !new.stable.starts_with(&old.stable) {
            return Err(PublishError::StableShrank);
        }
        if new.stable == old.stable && new.unstable == old.unstable {
            return Err(PublishError::UnchangedText);
        }
        Ok(())
    }

    fn trim_log(&mut self) {
        while self.log.len() > self.events_max {
            let Some(oldest) = self.log.pop_front() else {
                break;
            };
            self.trimmed_offset = oldest.offset;
            if let Event::Segment { segment } = &oldest.event {
                self.final_segments.remove(&segment.id);
            }
        }
    }

    /// Returns the cursor's offset if it is of the current epoch and the log holds all events after it.
    fn resume_offset(&self, cursor: &ListenerCursor) -> Option<u64> {
        let position = cursor.position?;
        let is_same_epoch = position.epoch.is_none_or(|epoch| epoch == self.epoch);
        (is_same_epoch && (self.trimmed_offset..=self.head).contains(&position.offset))
            .then_some(position.offset)
    }

    fn position(&self, offset: u64) -> ResumePoint {
        ResumePoint {
            offset,
            epoch: Some(self.epoch),
        }
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.log.iter().filter_map(|entry| {
            let Event::Segment { segment } = &entry.event else {
                return None;
            };
            Some(segment)
        })
    }

    fn partials(&self) -> impl Iterator<Item = &Partial> {
        self.partials.values().filter_map(|entry| {
            let Event::Partial { partial } = &entry.event else {
                return None;
            };
            Some(partial)
        })
    }

    fn engine_state(&self) -> (EngineHealth, u64) {
        let latest = self.engine.as_ref().map(|entry| &entry.event);
        let Some(Event::Engine { health, lag_ms, .. }) = latest else {
            return (EngineHealth::Ok, 0);
        };
        (*health, *lag_ms)
    }

    fn missed_partials_event(&self, partials_missed: u64, offset: u64) -> CallEvent {
        let (health, lag_ms) = self.engine_state();
        let event = Event::Engine {
            health,
            lag_ms,
            partials_missed,
        };
        CallEvent {
            call_sid: self.call_sid.clone(),
            offset,
            event,
        }
    }
}

#[cfg(test)]
mod tests;
