//! The server's log, as it is written: what people did, each with the client's address. What the same
//! client does again and again is counted in memory and written now and then, so that neither users nor
//! strangers can fill the log, or keep the database busy with it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{CallService, lock};
use crate::access::client_context;
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{NewLogEntry, StoreError};

/// The detail of what a user does beyond [`limits::AUDIT_EVENTS_PER_USER_MAX`].
const MORE_DETAIL: &str = "more of the same kind";

/// What is the same thing done again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AuditEvent {
    /// First, so that a user's deeds lie together.
    user: Option<UserId>,
    kind: &'static str,
    detail: String,
    address: Option<String>,
}

/// What is known of a deed that was written.
#[derive(Debug)]
struct RepeatedEvent {
    /// The entry; none yet while it is being written.
    entry: Option<i64>,
    since: Instant,
    written_at: Instant,
    unwritten_count: u32,
}

/// So many more times an entry's deed was done.
type RepeatCount = (i64, u32);

/// What to write now.
#[derive(Debug, PartialEq, Eq)]
struct AuditWrite {
    /// The deed itself, as an entry of its own.
    is_new: bool,
    counts: Vec<RepeatCount>,
}

/// Deeds of the last hour. Pure: no I/O; takes `now`.
#[derive(Debug, Default)]
pub(super) struct AuditDeduplicator(BTreeMap<AuditEvent, RepeatedEvent>);

impl AuditDeduplicator {
    /// A deed is done.
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

    /// How many of a user's deeds, or of strangers', are remembered.
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

    /// The deed was written, or was not.
    fn on_written(&mut self, event: &AuditEvent, entry: Option<i64>) {
        if entry.is_none() {
            // The next time it is new again.
            self.0.remove(event);
        } else if let Some(repeated) = self.0.get_mut(event) {
            repeated.entry = entry;
        }
    }

    /// Takes out what is too old to be counted on; what of it is to be written. Looks at all of it, which
    /// only a deed that is new pays for.
    fn evict_expired(&mut self, now: Instant) -> Vec<RepeatCount> {
        let is_old = |repeated: &RepeatedEvent| {
            now.saturating_duration_since(repeated.since) >= limits::AUDIT_REPEAT_WINDOW
        };
        let old = self.0.extract_if(.., |_, repeated| is_old(repeated));
        old.filter_map(|(_, repeated)| repeated.count()).collect()
    }

    /// All that was counted and is not written yet.
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
    /// Writes down what a user did, by the address of the client that this task works for.
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

    /// Writes down what a user or a stranger did, or counts it, if it was done within the hour by the
    /// same client. A log that cannot be written stops nothing.
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
                tracing::warn!(kind, %error, "the server's log could not be written");
            }
            lock(&self.0.audit_deduplicator).on_written(&event, written.ok());
        }
        self.write_repeat_counts(write.counts).await;
    }

    /// As [`Self::record_audit_event`], after the answer: whoever is refused does not wait for the database.
    pub fn spawn_audit_event(&self, kind: &'static str, detail: String, user: Option<UserId>) {
        let service = self.clone();
        let noted = async move { service.record_audit_event(kind, &detail, user).await };
        self.0.deps.tasks.spawn(client_context::propagate(noted));
    }

    /// Writes down what was only counted: before the log is read, and at the stop.
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
                tracing::warn!(times, %error, "the server's log could not be written");
            }
        }
    }

    /// Somebody looks into a call that is not his.
    pub async fn audit_call_viewed(&self, call: &CallSid, user: UserId) {
        self.record_audit_event("looked_into_call", call.as_str(), Some(user))
            .await;
    }

    /// What was said in a call leaves as a file.
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
