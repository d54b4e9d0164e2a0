//! How fast one user changes things: a person clicks, a machine that has lost its way does not stop.
//! Each change costs a write, and often a request of Twilio's. Pure: no I/O; takes `now`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::UserId;
use crate::limits;

/// A change that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many changes in a row: try again in {} seconds", wait.as_secs() + 1)]
pub struct TooFast {
    /// How long until the next may be made.
    pub wait: Duration,
}

/// Counts each user's changes: [`limits::CHANGES_IN_A_ROW_MAX`] at once, and one more for each
/// [`limits::CHANGE_EVERY`].
#[derive(Debug, Default)]
pub struct Pace {
    /// When the user may make all of them at once again. At most one entry for each user of the server.
    whole_at: Mutex<BTreeMap<UserId, Instant>>,
}

impl Pace {
    /// Counts a change of this user's. What is refused does not count.
    pub fn step(&self, user: UserId, now: Instant) -> Result<(), TooFast> {
        // A panic in here leaves whole entries behind.
        let mut users = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, whole_at| *whole_at > now);
        let begun = users.get(&user).copied().unwrap_or(now);
        let whole_at = begun + limits::CHANGE_EVERY;
        let allowance = limits::CHANGE_EVERY * limits::CHANGES_IN_A_ROW_MAX;
        let wait = whole_at
            .saturating_duration_since(now)
            .saturating_sub(allowance);
        if !wait.is_zero() {
            return Err(TooFast { wait });
        }
        users.insert(user, whole_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const ADA: UserId = UserId(1);

    #[test]
    fn a_user_makes_so_many_changes_in_a_row_and_then_one_at_a_time() {
        let (pace, now) = (Pace::default(), clock::now());
        for _ in 0..limits::CHANGES_IN_A_ROW_MAX {
            assert_eq!(pace.step(ADA, now), Ok(()));
        }
        let wait = limits::CHANGE_EVERY;
        assert_eq!(pace.step(ADA, now), Err(TooFast { wait }));
        assert_eq!(pace.step(UserId(2), now), Ok(()), "another user");
        assert_eq!(pace.step(ADA, now + wait), Ok(()));
        assert_eq!(pace.step(ADA, now + wait), Err(TooFast { wait }));
        let later = now + wait * (limits::CHANGES_IN_A_ROW_MAX + 1);
        for _ in 0..limits::CHANGES_IN_A_ROW_MAX {
            assert_eq!(pace.step(ADA, later), Ok(()));
        }
        assert!(pace.step(ADA, later).is_err());
    }

    #[test]
    fn nobody_is_remembered_for_longer_than_it_matters() {
        let (pace, now) = (Pace::default(), clock::now());
        for n in 0..100 {
            pace.step(UserId(n), now).unwrap();
        }
        pace.step(ADA, now + limits::CHANGE_EVERY).unwrap();
        assert_eq!(pace.whole_at.lock().unwrap().len(), 1);
    }
}
