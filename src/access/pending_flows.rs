//! Flows of two requests, which a secret connects: a sign-in that waits for its second factor, a
//! challenge that waits for a passkey's answer. Each expires after
//! [`limits::SECOND_FACTOR_WAIT_MAX`], allows [`limits::SECOND_FACTOR_ATTEMPTS_MAX`] attempts, and
//! is taken once. Pure: no I/O; takes `now`.

use std::time::Instant;

use super::secret::{Secret, SecretHash};
use crate::limits;

/// Pending flows, each with an owner.
#[derive(Debug)]
pub struct PendingFlows<K, T> {
    /// Oldest first.
    entries: Vec<PendingFlow<K, T>>,
}

#[derive(Debug)]
struct PendingFlow<K, T> {
    hash: SecretHash,
    owner: K,
    payload: T,
    expires_at: Instant,
    tries: u32,
}

impl<K, T> Default for PendingFlows<K, T> {
    fn default() -> Self {
        let entries = Vec::new();
        Self { entries }
    }
}

impl<K: PartialEq, T> PendingFlows<K, T> {
    /// Stores `payload`, and returns the secret that identifies it. Beyond
    /// [`limits::CHALLENGES_PER_OWNER_MAX`] of one owner, and [`limits::CHALLENGES_MAX`] of all,
    /// the oldest is dropped.
    pub fn insert(&mut self, owner: K, payload: T, now: Instant) -> Secret {
        self.entries.retain(|entry| entry.expires_at > now);
        let own = self.entries.iter().filter(|entry| entry.owner == owner);
        if own.count() >= limits::CHALLENGES_PER_OWNER_MAX {
            let oldest = self.entries.iter().position(|entry| entry.owner == owner);
            self.entries.remove(oldest.expect("the owner has entries"));
        } else if self.entries.len() >= limits::CHALLENGES_MAX {
            self.entries.remove(0);
        }
        let secret = Secret::random();
        self.entries.push(PendingFlow {
            hash: secret.hash(),
            owner,
            payload,
            expires_at: now + limits::SECOND_FACTOR_WAIT_MAX,
            tries: 0,
        });
        secret
    }

    /// Returns the payload for one attempt; `None` when it is unknown or expired. A flow without
    /// attempts left is dropped.
    pub fn try_access(&mut self, secret: &str, now: Instant) -> Option<&T> {
        let place = self.place(secret, now)?;
        let entry = &mut self.entries[place];
        if entry.tries >= limits::SECOND_FACTOR_ATTEMPTS_MAX {
            self.entries.remove(place);
            return None;
        }
        entry.tries += 1;
        Some(&self.entries[place].payload)
    }

    /// Removes and returns the payload; only one caller receives it.
    pub fn take(&mut self, secret: &str, now: Instant) -> Option<T> {
        let place = self.place(secret, now)?;
        Some(self.entries.remove(place).payload)
    }

    /// Drops every flow of this owner.
    pub fn remove_owner(&mut self, owner: &K) {
        self.entries.retain(|entry| entry.owner != *owner);
    }

    fn place(&self, secret: &str, now: Instant) -> Option<usize> {
        let hash = Secret::parse(secret)?.hash();
        let is_it = |entry: &PendingFlow<K, T>| entry.hash == hash && entry.expires_at > now;
        self.entries.iter().position(is_it)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn a_thing_is_taken_once_and_in_time() {
        let start = clock::now();
        let mut waiting = PendingFlows::default();
        let [one, two] = [1, 2].map(|payload| waiting.insert("ada", payload, start));
        assert_eq!(waiting.take(one.expose(), start), Some(1));
        assert_eq!(waiting.take(one.expose(), start), None, "taken twice");
        let late = start + limits::SECOND_FACTOR_WAIT_MAX;
        let almost = late.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(waiting.try_access(two.expose(), almost), Some(&2));
        assert_eq!(waiting.try_access(two.expose(), late), None);
        assert_eq!(waiting.take(two.expose(), late), None);
        assert_eq!(waiting.take("guess", start), None);
    }

    #[test]
    fn a_thing_is_tried_a_few_times() {
        let now = clock::now();
        let mut waiting = PendingFlows::default();
        let secret = waiting.insert("ada", 1, now);
        for _ in 0..limits::SECOND_FACTOR_ATTEMPTS_MAX {
            assert_eq!(waiting.try_access(secret.expose(), now), Some(&1));
        }
        assert_eq!(waiting.try_access(secret.expose(), now), None);
        assert_eq!(waiting.take(secret.expose(), now), None);
    }

    #[test]
    fn one_owner_cannot_push_out_another_and_nobody_makes_it_grow() {
        let now = clock::now();
        let mut waiting = PendingFlows::default();
        let bob = waiting.insert(0, 0, now);
        for payload in 1..=10 * limits::CHALLENGES_PER_OWNER_MAX {
            waiting.insert(1, payload, now);
        }
        assert_eq!(waiting.entries.len(), limits::CHALLENGES_PER_OWNER_MAX + 1);
        assert_eq!(waiting.try_access(bob.expose(), now), Some(&0));
        for owner in 2..limits::CHALLENGES_MAX + 100 {
            waiting.insert(owner, owner, now);
        }
        assert_eq!(waiting.entries.len(), limits::CHALLENGES_MAX);
        let last = waiting.insert(5_000, 1, now);
        waiting.remove_owner(&5_000);
        assert_eq!(waiting.take(last.expose(), now), None);
    }
}
