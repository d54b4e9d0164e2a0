//! Audit log: users' actions, each with the client's address. A repeated action of the same client is counted
//! in memory and written only at intervals, so that neither users nor strangers can fill the log or keep the
//! database busy.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{CallService, lock};
use crate::access::client_context;
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{NewLogEntry, StoreError};

/// Detail of a user's events beyond [`limits::AUDIT_EVENTS_PER_USER_MAX`].
const MORE_DETAIL: &str = "more of the same kind";

/// Key of an event: equal events are repetitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AuditEvent {
    /// First, so that a user's events are adjacent in the map.
    user: Option<UserId>,
    kind: &'static str,
    detail: String,
    address: Option<String>,
}

/// State of an event that was written, or is being written.
#[derive(Debug)]
struct RepeatedEvent {
    /// ID of the log entry; `None` while it is being written.
    entry: Option<i64>,
    since: Instant,
    written_at: Instant,
    unwritten_count: u32,
}

/// An entry's ID, and the repetitions to add to its count.
type RepeatCount = (i64, u32);

/// Writes that follow from an event.
#[derive(Debug, PartialEq, Eq)]
struct AuditWrite {
    /// Whether the event needs a new entry.
    is_new: bool,
    counts: Vec<RepeatCount>,
}

/// Deduplicates the events of the last hour. Pure: no I/O; takes `now`.
#[derive(Debug, Default)]
pub(super) struct AuditDeduplicator(BTreeMap<AuditEvent, RepeatedEvent>);

impl AuditDeduplicator {
    /// Records an event, and returns what must be written. Beyond the limits, generalises the event's detail
    /// or removes its address, so that further events fall together.
    fn record(&mut self, event: &mut AuditEvent, now: Instant) -> AuditWrite {
        let mut counts = Vec::new();
        if !self.0.contains_key(event) {
            counts = self.evict_expired(now);
            if self.count_of_user(event.user) >= limits::AUDIT_EVENTS_PER_USER_MAX
                || self.0.len() >= limits::AUDIT_EVENTS_MAX
            {
                match event.user {
                    Some(_) => MORE_DETAIL.clone_into(&mut event.detail),
                    None => event.address = None,
                }
            }
        }
        let age = |since: Instant| now.saturating_duration_since(since);
        let known = self.0.get_mut(event);
        let known = known.filter(|repeated| age(repeated.since) < limits::AUDIT_REPEAT_WINDOW);
        let Some(repeated) = known else {
            let repeated = RepeatedEvent {
                entry: None,
                since: now,
                written_at: now,
                unwritten_count: 0,
            };
            let was = self.0.insert(event.clone(), repeated);
            counts.extend(was.and_then(|repeated| repeated.count()));
            let is_new = true;
            return AuditWrite { is_new, counts };
        };
        repeated.unwritten_count += 1;
        if age(repeated.written_at) >= limits::AUDIT_COUNT_INTERVAL
            && let Some(count) = repeated.count()
        {
            (repeated.written_at, repeated.unwritten_count) = (now, 0);
            counts.push(count);
        }
        let is_new = false;
        AuditWrite { is_new, counts }
    }

    /// Counts the remembered events of a user, or of strangers (`None`).
    fn count_of_user(&self, user: Option<UserId>) -> usize {
        let first = AuditEvent {
            user,
            kind: "",
            detail: String::new(),
            address: None,
        };
        let from = self.0.range(first..);
        from.take_while(|(event, _)| event.user == user).count()
    }

    /// Stores the ID of an event's new entry; `None`: the write failed.
    fn on_written(&mut self, event: &AuditEvent, entry: Option<i64>) {
        if entry.is_none() {
            // The next repetition makes a new entry.
            self.0.remove(event);
        } else if let Some(repeated) = self.0.get_mut(event) {
            repeated.entry = entry;
        }
    }

    /// Removes events older than [`limits::AUDIT_REPEAT_WINDOW`], and returns their unwritten counts. It
    /// scans all events, a cost that only new events incur.
    fn evict_expired(&mut self, now: Instant) -> Vec<RepeatCount> {
        let is_old = |repeated: &RepeatedEvent| {
            now.saturating_duration_since(repeated.since) >= limits::AUDIT_REPEAT_WINDOW
        };
        let old = self.0.extract_if(.., |_, repeated| is_old(repeated));
        old.filter_map(|(_, repeated)| repeated.count()).collect()
    }

    /// Takes all unwritten counts.
    fn take_counts(&mut self, now: Instant) -> Vec<RepeatCount> {
        let waiting = self.0.values_mut();
        let counts = waiting.filter_map(|repeated| {
            let count = repeated.count()?;
            (repeated.written_at, repeated.unwritten_count) = (now, 0);
            Some(count)
        });
        counts.collect()
    }
}

impl RepeatedEvent {
    fn count(&self) -> Option<RepeatCount> {
        let count = self.entry.map(|entry| (entry, self.unwritten_count));
        count.filter(|(_, times)| *times > 0)
    }
}

impl CallService {
    /// Writes an event of a user to the audit log, with the address of the client that this task serves.
    pub async fn write_audit_event(
        &self,
        kind: &'static str,
        detail: &str,
        user: Option<UserId>,
        at: UtcTime,
    ) -> Result<(), StoreError> {
        tracing::info!(kind, by = user.map(|user| user.0), detail, "people");
        let address = client_context::current_address().map(|address| address.to_string());
        let (kind, detail, user_id) = (kind.to_owned(), detail.to_owned(), user);
        let entry = NewLogEntry {
            at,
            kind,
            detail,
            user_id,
            address,
        };
        self.store().log_server(&entry).await.map(drop)
    }

    /// Writes an event of a user or a stranger to the audit log, or counts it if the same client caused it
    /// within the hour. A failed write is only logged.
    pub async fn record_audit_event(&self, kind: &'static str, detail: &str, user: Option<UserId>) {
        let address = client_context::current_address();
        let address = address.map(|address| match client_context::current_user() {
            Some(_) => address.to_string(),
            None => client_context::network_label(address),
        });
        let mut event = AuditEvent {
            kind,
            detail: detail.to_owned(),
            user,
            address,
        };
        let write = lock(&self.0.audit_deduplicator).record(&mut event, clock::now());
        if write.is_new {
            tracing::info!(kind, by = user.map(|user| user.0), detail, "people");
            let entry = NewLogEntry {
                at: clock::utc_now(),
                kind: kind.to_owned(),
                detail: event.detail.clone(),
                user_id: user,
                address: event.address.clone(),
            };
            let written = self.store().log_server(&entry).await;
            if let Err(error) = &written {
                tracing::warn!(kind, %error, "could not write to the audit log");
            }
            lock(&self.0.audit_deduplicator).on_written(&event, written.ok());
        }
        self.write_repeat_counts(write.counts).await;
    }

    /// As [`Self::record_audit_event`], in the background, so that a refused client does not wait for the
    /// database.
    pub fn spawn_audit_event(&self, kind: &'static str, detail: String, user: Option<UserId>) {
        let service = self.clone();
        let noted = async move { service.record_audit_event(kind, &detail, user).await };
        self.0.deps.tasks.spawn(client_context::propagate(noted));
    }

    /// Writes all counts that are only in memory, before the log is read and at the stop.
    pub async fn flush_audit_log(&self) {
        let counts = lock(&self.0.audit_deduplicator).take_counts(clock::now());
        self.write_repeat_counts(counts).await;
    }

    async fn write_repeat_counts(&self, counts: Vec<RepeatCount>) {
        for (entry, times) in counts {
            let counted = self
                .store()
                .add_to_log_count(entry, times, clock::utc_now());
            if let Err(error) = counted.await {
                tracing::warn!(times, %error, "could not write to the audit log");
            }
        }
    }

    /// Records that a user viewed a call of another user.
    pub async fn audit_call_viewed(&self, call: &CallSid, user: UserId) {
        self.record_audit_event("looked_into_call", call.as_str(), Some(user))
            .await;
    }

    /// Records that a user exported a transcript.
    pub async fn audit_transcript_export(&self, call: &CallSid, user: Option<UserId>) {
        self.record_audit_event("transcript_exported", call.as_str(), user)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(n: usize, user: Option<i64>) -> AuditEvent {
        AuditEvent {
            kind: "kind",
            detail: String::new(),
            user: user.map(UserId),
            address: Some(n.to_string()),
        }
    }

    fn writes(is_new: bool, counts: &[RepeatCount]) -> AuditWrite {
        let counts = counts.to_vec();
        AuditWrite { is_new, counts }
    }

    #[test]
    fn what_is_done_again_is_counted_and_written_now_and_then() {
        let (mut audit_deduplicator, now) = (AuditDeduplicator::default(), clock::now());
        let mut one = event(1, Some(1));
        assert_eq!(audit_deduplicator.record(&mut one, now), writes(true, &[]));
        // While its entry is being written.
        assert_eq!(audit_deduplicator.record(&mut one, now), writes(false, &[]));
        audit_deduplicator.on_written(&one, Some(7));
        assert_eq!(audit_deduplicator.record(&mut one, now), writes(false, &[]));
        assert_eq!(
            audit_deduplicator.record(&mut event(2, Some(1)), now),
            writes(true, &[])
        );
        let later = now + limits::AUDIT_COUNT_INTERVAL;
        assert_eq!(
            audit_deduplicator.record(&mut one, later),
            writes(false, &[(7, 3)])
        );
        assert_eq!(
            audit_deduplicator.record(&mut one, later),
            writes(false, &[])
        );
        assert_eq!(audit_deduplicator.take_counts(later), [(7, 1)]);
        assert!(audit_deduplicator.take_counts(later).is_empty());
        audit_deduplicator.record(&mut one, later);
        let next = now + limits::AUDIT_REPEAT_WINDOW;
        assert_eq!(
            audit_deduplicator.record(&mut one, next),
            writes(true, &[(7, 1)])
        );
    }

    #[test]
    fn what_could_not_be_written_is_new_the_next_time() {
        let (mut audit_deduplicator, now) = (AuditDeduplicator::default(), clock::now());
        let mut one = event(1, None);
        audit_deduplicator.record(&mut one, now);
        audit_deduplicator.on_written(&one, None);
        assert!(audit_deduplicator.record(&mut one, now).is_new);
    }

    #[test]
    fn neither_a_user_nor_strangers_take_the_place_of_others() {
        let (mut audit_deduplicator, now) = (AuditDeduplicator::default(), clock::now());
        let max = limits::AUDIT_EVENTS_PER_USER_MAX;
        for user in [None, Some(1)] {
            let mut new = 0;
            for n in 0..3 * max {
                let mut event = event(n, user);
                if user.is_some() {
                    event.detail = n.to_string();
                    event.address = None;
                }
                new += usize::from(audit_deduplicator.record(&mut event, now).is_new);
                audit_deduplicator.on_written(&event, Some(n as i64));
            }
            assert_eq!(new, max + 1, "{user:?}");
        }
        let mut other = event(1, Some(2));
        other.detail = "what another user did".to_owned();
        assert!(audit_deduplicator.record(&mut other, now).is_new);
        assert_eq!(other.detail, "what another user did");
        let later = now + limits::AUDIT_REPEAT_WINDOW + Duration::from_secs(1);
        assert!(
            audit_deduplicator
                .record(&mut event(1, Some(1)), later)
                .is_new
        );
        assert_eq!(audit_deduplicator.0.len(), 1);
    }
}
