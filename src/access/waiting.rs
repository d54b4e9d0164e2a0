//! What was begun and waits for whoever began it to come back with a secret: a sign-in that wants its
//! second factor, a challenge that a passkey is to sign. Each waits for
//! [`limits::SECOND_FACTOR_WAIT_MAX`], may be tried [`limits::SECOND_FACTOR_TRIES_MAX`] times, and is
//! taken once. Pure: no I/O; takes `now`.

use std::time::Instant;

use super::secret::{Secret, SecretHash};
use crate::limits;

/// Things that wait, each for an owner.
#[derive(Debug)]
pub struct Waiting<K, T> {
    /// The oldest first.
    entries: Vec<Entry<K, T>>,
}

#[derive(Debug)]
struct Entry<K, T> {
    hash: SecretHash,
    owner: K,
    thing: T,
    until: Instant,
    tries: u32,
}

impl<K, T> Default for Waiting<K, T> {
    fn default() -> Self {
        let entries = Vec::new();
        Self { entries }
    }
}

impl<K: PartialEq, T> Waiting<K, T> {
    /// Lets `thing` wait; the secret finds it again. Beyond [`limits::WAITING_PER_OWNER_MAX`] of one
    /// owner, and [`limits::WAITING_MAX`] of all, the oldest is forgotten.
    pub fn put(&mut self, owner: K, thing: T, now: Instant) -> Secret {
        self.entries.retain(|entry| entry.until > now);
        let own = self.entries.iter().filter(|entry| entry.owner == owner);
        if own.count() >= limits::WAITING_PER_OWNER_MAX {
            let oldest = self.entries.iter().position(|entry| entry.owner == owner);
            self.entries.remove(oldest.expect("it was just counted"));
        } else if self.entries.len() >= limits::WAITING_MAX {
            self.entries.remove(0);
        }
        let secret = Secret::random();
        self.entries.push(Entry {
            hash: secret.hash(),
            owner,
            thing,
            until: now + limits::SECOND_FACTOR_WAIT_MAX,
            tries: 0,
        });
        secret
    }

    /// What waits for this secret, for one try; after the last one it is forgotten.
    pub fn attempt(&mut self, secret: &str, now: Instant) -> Option<&T> {
        let place = self.place(secret, now)?;
        let entry = &mut self.entries[place];
        if entry.tries >= limits::SECOND_FACTOR_TRIES_MAX {
            self.entries.remove(place);
            return None;
        }
        entry.tries += 1;
        Some(&self.entries[place].thing)
    }

    /// Takes what waits for this secret: nobody else gets it.
    pub fn take(&mut self, secret: &str, now: Instant) -> Option<T> {
        let place = self.place(secret, now)?;
        Some(self.entries.remove(place).thing)
    }

    /// Nothing of this owner waits any more.
    pub fn forget(&mut self, owner: &K) {
        self.entries.retain(|entry| entry.owner != *owner);
    }

    fn place(&self, secret: &str, now: Instant) -> Option<usize> {
        let hash = Secret::parse(secret)?.hash();
        let is_it = |entry: &Entry<K, T>| entry.hash == hash && entry.until > now;
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
        let mut waiting = Waiting::default();
        let [one, two] = [1, 2].map(|thing| waiting.put("ada", thing, start));
        assert_eq!(waiting.take(one.expose(), start), Some(1));
        assert_eq!(waiting.take(one.expose(), start), None, "taken twice");
        let late = start + limits::SECOND_FACTOR_WAIT_MAX;
        let almost = late.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(waiting.attempt(two.expose(), almost), Some(&2));
        assert_eq!(waiting.attempt(two.expose(), late), None);
        assert_eq!(waiting.take(two.expose(), late), None);
        assert_eq!(waiting.take("guess", start), None);
    }

    #[test]
    fn a_thing_is_tried_a_few_times() {
        let now = clock::now();
        let mut waiting = Waiting::default();
        let secret = waiting.put("ada", 1, now);
        for _ in 0..limits::SECOND_FACTOR_TRIES_MAX {
            assert_eq!(waiting.attempt(secret.expose(), now), Some(&1));
        }
        assert_eq!(waiting.attempt(secret.expose(), now), None);
        assert_eq!(waiting.take(secret.expose(), now), None);
    }

    #[test]
    fn one_owner_cannot_push_out_another_and_nobody_makes_it_grow() {
        let now = clock::now();
        let mut waiting = Waiting::default();
        let bob = waiting.put(0, 0, now);
        for thing in 1..=10 * limits::WAITING_PER_OWNER_MAX {
            waiting.put(1, thing, now);
        }
        assert_eq!(waiting.entries.len(), limits::WAITING_PER_OWNER_MAX + 1);
        assert_eq!(waiting.attempt(bob.expose(), now), Some(&0));
        for owner in 2..limits::WAITING_MAX + 100 {
            waiting.put(owner, owner, now);
        }
        assert_eq!(waiting.entries.len(), limits::WAITING_MAX);
        let last = waiting.put(5_000, 1, now);
        waiting.forget(&5_000);
        assert_eq!(waiting.take(last.expose(), now), None);
    }
}
