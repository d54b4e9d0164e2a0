//! A semaphore per key: limits how much of a shared resource one user holds at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the permits of each key, at most `max` for each. Clones share one state.
#[derive(Debug)]
pub struct KeyedSemaphore<K> {
    held: Arc<Mutex<BTreeMap<K, usize>>>,
    max: usize,
}

/// A permit. Dropping it releases it.
#[derive(Debug)]
pub struct KeyedPermit<K: Ord + Clone> {
    semaphore: KeyedSemaphore<K>,
    key: K,
}

impl<K: Ord + Clone> KeyedSemaphore<K> {
    /// Creates a semaphore with `max` permits for each key.
    pub fn new(max: usize) -> Self {
        Self {
            held: Arc::default(),
            max,
        }
    }

    /// Acquires a permit for `key`; `None` when it holds `max` permits.
    pub fn try_acquire(&self, key: &K) -> Option<KeyedPermit<K>> {
        let mut held = self.held();
        let number = held.entry(key.clone()).or_default();
        if *number >= self.max {
            return None;
        }
        *number += 1;
        Some(KeyedPermit {
            semaphore: self.clone(),
            key: key.clone(),
        })
    }

    /// Returns the number of permits that `key` holds.
    pub fn held_count(&self, key: &K) -> usize {
        self.held().get(key).copied().unwrap_or_default()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for KeyedSemaphore<K> {
    fn clone(&self) -> Self {
        Self {
            held: Arc::clone(&self.held),
            max: self.max,
        }
    }
}

impl<K: Ord + Clone> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut held = self.semaphore.held();
        let Some(number) = held.get_mut(&self.key) else {
            return;
        };
        *number -= 1;
        if *number == 0 {
            held.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_share_and_gives_it_back() {
        let semaphore = KeyedSemaphore::new(2);
        let first = semaphore.try_acquire(&"alice").unwrap();
        let _second = semaphore.try_acquire(&"alice").unwrap();
        assert!(semaphore.try_acquire(&"alice").is_none());
        assert!(semaphore.try_acquire(&"bob").is_some());
        drop(first);
        assert_eq!(semaphore.held_count(&"alice"), 1);
        assert!(semaphore.try_acquire(&"alice").is_some());
        assert_eq!(semaphore.held().len(), 1, "bob holds nothing any more");
    }
}
