//! The server's log, as it is written: what people did, each with the client's address. What the same
//! client does again and again is counted in memory and written now and then, so that neither users nor
//! strangers can fill the log, or keep the database busy with it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Desk, lock};
use crate::access::client;
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{NewLogEntry, StoreError};

/// The detail of what a user does beyond [`limits::LOG_FOLDS_PER_USER_MAX`].
const MORE: &str = "more of the same kind";

/// What is the same thing done again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Deed {
    /// First, so that a user's deeds lie together.
    user: Option<UserId>,
    kind: &'static str,
    detail: String,
    address: Option<String>,
}

/// What is known of a deed that was written.
#[derive(Debug)]
struct Fold {
    /// The entry; none yet while it is being written.
    entry: Option<i64>,
    since: Instant,
    written: Instant,
    unwritten: u32,
}

/// So many more times an entry's deed was done.
type Count = (i64, u32);

/// What to write now.
#[derive(Debug, PartialEq, Eq)]
struct Writing {
    /// The deed itself, as an entry of its own.
    is_new: bool,
    counts: Vec<Count>,
}

/// Deeds of the last hour. Pure: no I/O; takes `now`.
#[derive(Debug, Default)]
pub(super) struct Folds(BTreeMap<Deed, Fold>);

impl Folds {
    /// A deed is done.
    fn step(&mut self, deed: &mut Deed, now: Instant) -> Writing {
        let mut counts = Vec::new();
        if !self.0.contains_key(deed) {
            counts = self.forget(now);
            if self.of(deed.user) >= limits::LOG_FOLDS_PER_USER_MAX
                || self.0.len() >= limits::LOG_FOLDS_MAX
            {
                match deed.user {
                    Some(_) => MORE.clone_into(&mut deed.detail),
                    None => deed.address = None,
                }
            }
        }
        let age = |since: Instant| now.saturating_duration_since(since);
        let known = self.0.get_mut(deed);
        let known = known.filter(|fold| age(fold.since) < limits::LOG_FOLD_TIME);
        let Some(fold) = known else {
            let fold = Fold {
                entry: None,
                since: now,
                written: now,
                unwritten: 0,
            };
            let was = self.0.insert(deed.clone(), fold);
            counts.extend(was.and_then(|fold| fold.count()));
            let is_new = true;
            return Writing { is_new, counts };
        };
        fold.unwritten += 1;
        if age(fold.written) >= limits::LOG_COUNT_EVERY
            && let Some(count) = fold.count()
        {
            (fold.written, fold.unwritten) = (now, 0);
            counts.push(count);
        }
        let is_new = false;
        Writing { is_new, counts }
    }

    /// How many of a user's deeds, or of strangers', are remembered.
    fn of(&self, user: Option<UserId>) -> usize {
        let first = Deed {
            user,
            kind: "",
            detail: String::new(),
            address: None,
        };
        let from = self.0.range(first..);
        from.take_while(|(deed, _)| deed.user == user).count()
    }

    /// The deed was written, or was not.
    fn wrote(&mut self, deed: &Deed, entry: Option<i64>) {
        if entry.is_none() {
            // The next time it is new again.
            self.0.remove(deed);
        } else if let Some(fold) = self.0.get_mut(deed) {
            fold.entry = entry;
        }
    }

    /// Takes out what is too old to be counted on; what of it is to be written. Looks at all of it, which
    /// only a deed that is new pays for.
    fn forget(&mut self, now: Instant) -> Vec<Count> {
        let is_old =
            |fold: &Fold| now.saturating_duration_since(fold.since) >= limits::LOG_FOLD_TIME;
        let old = self.0.extract_if(.., |_, fold| is_old(fold));
        old.filter_map(|(_, fold)| fold.count()).collect()
    }

    /// All that was counted and is not written yet.
    fn take(&mut self, now: Instant) -> Vec<Count> {
        let waiting = self.0.values_mut();
        let counts = waiting.filter_map(|fold| {
            let count = fold.count()?;
            (fold.written, fold.unwritten) = (now, 0);
            Some(count)
        });
        counts.collect()
    }
}

impl Fold {
    fn count(&self) -> Option<Count> {
        let count = self.entry.map(|entry| (entry, self.unwritten));
        count.filter(|(_, times)| *times > 0)
    }
}

impl Desk {
    /// Writes down what a user did, by the address of the client that this task works for.
    pub async fn record_deed(
        &self,
        kind: &'static str,
        detail: &str,
        user: Option<UserId>,
        at: UtcTime,
    ) -> Result<(), StoreError> {
        tracing::info!(kind, by = user.map(|user| user.0), detail, "people");
        let address = client::address().map(|address| address.to_string());
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
    pub async fn note_deed(&self, kind: &'static str, detail: &str, user: Option<UserId>) {
        let address = client::address();
        let address = address.map(|address| match client::user() {
            Some(_) => address.to_string(),
            None => client::network(address),
        });
        let mut deed = Deed {
            kind,
            detail: detail.to_owned(),
            user,
            address,
        };
        let writing = lock(&self.0.folds).step(&mut deed, clock::now());
        if writing.is_new {
            tracing::info!(kind, by = user.map(|user| user.0), detail, "people");
            let entry = NewLogEntry {
                at: clock::utc_now(),
                kind: kind.to_owned(),
                detail: deed.detail.clone(),
                user_id: user,
                address: deed.address.clone(),
            };
            let written = self.store().log_server(&entry).await;
            if let Err(error) = &written {
                tracing::warn!(kind, %error, "the server's log could not be written");
            }
            lock(&self.0.folds).wrote(&deed, written.ok());
        }
        self.write_counts(writing.counts).await;
    }

    /// As [`Self::note_deed`], after the answer: whoever is refused does not wait for the database.
    pub fn note_deed_later(&self, kind: &'static str, detail: String, user: Option<UserId>) {
        let desk = self.clone();
        let noted = async move { desk.note_deed(kind, &detail, user).await };
        self.0.tools.tasks.spawn(client::carry(noted));
    }

    /// Writes down what was only counted: before the log is read, and at the stop.
    pub async fn settle_log(&self) {
        let counts = lock(&self.0.folds).take(clock::now());
        self.write_counts(counts).await;
    }

    async fn write_counts(&self, counts: Vec<Count>) {
        for (entry, times) in counts {
            let counted = self.store().count_log(entry, times, clock::utc_now());
            if let Err(error) = counted.await {
                tracing::warn!(times, %error, "the server's log could not be written");
            }
        }
    }

    /// Somebody looks into a call that is not his.
    pub async fn looked_into(&self, call: &CallSid, user: UserId) {
        self.note_deed("looked_into_call", call.as_str(), Some(user))
            .await;
    }

    /// What was said in a call leaves as a file.
    pub async fn exported(&self, call: &CallSid, user: Option<UserId>) {
        self.note_deed("transcript_exported", call.as_str(), user)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deed(n: usize, user: Option<i64>) -> Deed {
        Deed {
            kind: "kind",
            detail: String::new(),
            user: user.map(UserId),
            address: Some(n.to_string()),
        }
    }

    fn writes(is_new: bool, counts: &[Count]) -> Writing {
        let counts = counts.to_vec();
        Writing { is_new, counts }
    }

    #[test]
    fn what_is_done_again_is_counted_and_written_now_and_then() {
        let (mut folds, now) = (Folds::default(), clock::now());
        let mut one = deed(1, Some(1));
        assert_eq!(folds.step(&mut one, now), writes(true, &[]));
        // While its entry is being written.
        assert_eq!(folds.step(&mut one, now), writes(false, &[]));
        folds.wrote(&one, Some(7));
        assert_eq!(folds.step(&mut one, now), writes(false, &[]));
        assert_eq!(folds.step(&mut deed(2, Some(1)), now), writes(true, &[]));
        let later = now + limits::LOG_COUNT_EVERY;
        assert_eq!(folds.step(&mut one, later), writes(false, &[(7, 3)]));
        assert_eq!(folds.step(&mut one, later), writes(false, &[]));
        assert_eq!(folds.take(later), [(7, 1)]);
        assert!(folds.take(later).is_empty());
        folds.step(&mut one, later);
        let next = now + limits::LOG_FOLD_TIME;
        assert_eq!(folds.step(&mut one, next), writes(true, &[(7, 1)]));
    }

    #[test]
    fn what_could_not_be_written_is_new_the_next_time() {
        let (mut folds, now) = (Folds::default(), clock::now());
        let mut one = deed(1, None);
        folds.step(&mut one, now);
        folds.wrote(&one, None);
        assert!(folds.step(&mut one, now).is_new);
    }

    #[test]
    fn neither_a_user_nor_strangers_take_the_place_of_others() {
        let (mut folds, now) = (Folds::default(), clock::now());
        let max = limits::LOG_FOLDS_PER_USER_MAX;
        for user in [None, Some(1)] {
            let mut new = 0;
            for n in 0..3 * max {
                let mut deed = deed(n, user);
                if user.is_some() {
                    deed.detail = n.to_string();
                    deed.address = None;
                }
                new += usize::from(folds.step(&mut deed, now).is_new);
                folds.wrote(&deed, Some(n as i64));
            }
            assert_eq!(new, max + 1, "{user:?}");
        }
        let mut other = deed(1, Some(2));
        other.detail = "what another user did".to_owned();
        assert!(folds.step(&mut other, now).is_new);
        assert_eq!(other.detail, "what another user did");
        let later = now + limits::LOG_FOLD_TIME + Duration::from_secs(1);
        assert!(folds.step(&mut deed(1, Some(1)), later).is_new);
        assert_eq!(folds.0.len(), 1);
    }
}
