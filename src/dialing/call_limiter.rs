//! Limits on concurrent calls and on calls within a minute. Pure: no I/O; takes `now`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{DayLimits, DialError};
use crate::ids::{CallSid, UserId};
use crate::limits;

/// Window over which a user's call starts are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Configured limits.
#[derive(Debug, Clone)]
pub struct CallLimits {
    /// Duration in seconds after which Twilio ends a call.
    pub call_seconds_max: u32,
    /// Concurrent calls of all users together; at most [`limits::ACTIVE_CALLS_MAX`].
    pub concurrent_max: usize,
    /// Concurrent calls of one user.
    pub concurrent_per_user_max: usize,
    /// Calls that one user may start within a minute.
    pub per_minute_max: u32,
    /// Daily limits.
    pub day: DayLimits,
}

/// Counts calls, and refuses those beyond the limits. Shared by reference; never waits.
#[derive(Debug)]
pub struct CallLimiter {
    limits: CallLimits,
    state: Mutex<LimiterState>,
}

#[derive(Debug, Default)]
struct LimiterState {
    active: BTreeMap<CallSid, ActiveCall>,
    /// Users' call starts within the last minute, the oldest first.
    recent_starts: VecDeque<(UserId, Instant)>,
}

/// A call that is known to be in progress.
#[derive(Debug)]
struct ActiveCall {
    user: Option<UserId>,
    since: Instant,
}

impl CallLimiter {
    /// Creates a limiter without calls.
    pub fn new(limits: CallLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Admits a call, or returns the reason for the refusal. A call that is already active is admitted again
    /// and counted once, because Twilio repeats a request after a late response. A call without a user counts
    /// only against the server's limit. A refused call leaves no trace.
    pub fn admit(
        &self,
        call: &CallSid,
        user: Option<UserId>,
        now: Instant,
    ) -> Result<(), DialError> {
        let mut state = self.lock_state(now);
        if state.active.contains_key(call) {
            return Ok(());
        }
        if state.active.len() >= self.limits.concurrent_max.min(limits::ACTIVE_CALLS_MAX) {
            return Err(DialError::TooManyCalls);
        }
        if let Some(user) = user {
            self.check_user_limits(&mut state, user, now)?;
        }
        let active_call = ActiveCall { user, since: now };
        state.active.insert(call.clone(), active_call);
        Ok(())
    }

    fn check_user_limits(
        &self,
        state: &mut LimiterState,
        user: UserId,
        now: Instant,
    ) -> Result<(), DialError> {
        let active = state.active.values();
        let at_once = active
            .filter(|active_call| active_call.user == Some(user))
            .count();
        if at_once >= self.limits.concurrent_per_user_max {
            return Err(DialError::TooManyCallsOfUser);
        }
        let recent_starts = state
            .recent_starts
            .iter()
            .filter(|(of, _)| *of == user)
            .count();
        if recent_starts >= self.limits.per_minute_max as usize
            || state.recent_starts.len() >= limits::CALL_STARTS_MAX
        {
            return Err(DialError::TooOften);
        }
        state.recent_starts.push_back((user, now));
        Ok(())
    }

    /// Restores a call start from before a restart.
    pub fn restore_start(&self, user: UserId, at: Instant, now: Instant) {
        let mut state = self.lock_state(now);
        if state.recent_starts.len() < limits::CALL_STARTS_MAX {
            state.recent_starts.push_back((user, at));
        }
    }

    /// Removes an ended call; no effect if it is not active.
    pub fn release(&self, call: &CallSid, now: Instant) {
        self.lock_state(now).active.remove(call);
    }

    /// Whether the call is known to be in progress.
    pub fn is_active(&self, call: &CallSid, now: Instant) -> bool {
        self.lock_state(now).active.contains_key(call)
    }

    /// Whether the user placed this call and it is in progress.
    pub fn is_active_for(&self, call: &CallSid, user: UserId, now: Instant) -> bool {
        let active_call = self
            .lock_state(now)
            .active
            .get(call)
            .map(|active_call| active_call.user);
        active_call == Some(Some(user))
    }

    /// Returns the active calls and their ages.
    pub fn call_ages(&self, now: Instant) -> Vec<(CallSid, Duration)> {
        let state = self.lock_state(now);
        let age = |(call, active_call): (&CallSid, &ActiveCall)| {
            (
                call.clone(),
                now.saturating_duration_since(active_call.since),
            )
        };
        state.active.iter().map(age).collect()
    }

    /// Returns a user's active calls.
    pub fn calls_of_user(&self, user: UserId, now: Instant) -> Vec<CallSid> {
        let state = self.lock_state(now);
        let active = state.active.iter();
        let of_user = active.filter(|(_, active_call)| active_call.user == Some(user));
        of_user.map(|(call, _)| call.clone()).collect()
    }

    /// Returns the number of active calls.
    pub fn active_count(&self, now: Instant) -> usize {
        self.lock_state(now).active.len()
    }

    /// Locks the state and removes expired entries. A call without a reported end counts until Twilio must
    /// have ended it.
    fn lock_state(&self, now: Instant) -> MutexGuard<'_, LimiterState> {
        // A panic under this lock leaves only complete entries.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let call_max = Duration::from_secs(self.limits.call_seconds_max.into());
        let place_max = call_max + limits::ACTIVE_CALL_SLACK;
        let age = |since: Instant| now.saturating_duration_since(since);
        state
            .active
            .retain(|_, active_call| age(active_call.since) < place_max);
        state.recent_starts.retain(|(_, at)| age(*at) < MINUTE);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const ALICE: Option<UserId> = Some(UserId(1));
    const BOB: Option<UserId> = Some(UserId(2));

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn limiter(at_once: usize, of_one_user: usize, a_minute: u32) -> CallLimiter {
        CallLimiter::new(CallLimits {
            call_seconds_max: 3_600,
            concurrent_max: at_once,
            concurrent_per_user_max: of_one_user,
            per_minute_max: a_minute,
            day: DayLimits {
                calls_max: 1,
                calls_per_user_max: 1,
                minutes_max: 1,
                minutes_per_user_max: 1,
            },
        })
    }

    #[test]
    fn a_user_has_some_places_and_everyone_together_more() {
        let (limiter, now) = (limiter(3, 2, 100), clock::now());
        assert_eq!(limiter.admit(&call(1), ALICE, now), Ok(()));
        assert_eq!(limiter.admit(&call(2), ALICE, now), Ok(()));
        let of_user = Err(DialError::TooManyCallsOfUser);
        assert_eq!(limiter.admit(&call(3), ALICE, now), of_user);
        assert_eq!(limiter.admit(&call(4), BOB, now), Ok(()));
        let of_all = Err(DialError::TooManyCalls);
        assert_eq!(limiter.admit(&call(5), BOB, now), of_all);
        assert_eq!(limiter.admit(&call(5), None, now), of_all);
        assert_eq!(limiter.active_count(now), 3);
        let of_alice = limiter.calls_of_user(UserId(1), now);
        assert_eq!(of_alice, [call(1), call(2)]);
        let age = Duration::from_secs(7);
        let ages = [1, 2, 4].map(|n| (call(n), age));
        assert_eq!(limiter.call_ages(now + age), ages);
        limiter.release(&call(1), now);
        assert_eq!(limiter.admit(&call(3), ALICE, now), Ok(()));
    }

    #[test]
    fn the_same_call_is_let_in_again_and_counted_once() {
        let (limiter, now) = (limiter(1, 1, 1), clock::now());
        for _ in 0..3 {
            assert_eq!(limiter.admit(&call(1), ALICE, now), Ok(()));
        }
        assert_eq!(limiter.active_count(now), 1);
        for _ in 0..2 {
            limiter.release(&call(1), now);
            limiter.release(&call(2), now);
        }
        assert_eq!(limiter.active_count(now), 0);
    }

    #[test]
    fn a_user_begins_so_many_calls_a_minute() {
        let (limiter, begin) = (limiter(10, 10, 2), clock::now());
        for n in 0..2 {
            let at = begin + Duration::from_secs(n as u64 * 20);
            assert_eq!(limiter.admit(&call(n), ALICE, at), Ok(()));
            limiter.release(&call(n), at);
        }
        let early = begin + Duration::from_millis(59_999);
        assert_eq!(
            limiter.admit(&call(2), ALICE, early),
            Err(DialError::TooOften)
        );
        assert_eq!(limiter.admit(&call(3), BOB, early), Ok(()), "another user");
        assert_eq!(limiter.admit(&call(4), None, early), Ok(()), "nobody");
        let later = begin + MINUTE;
        assert_eq!(
            limiter.admit(&call(2), ALICE, later),
            Ok(()),
            "the first is past"
        );
        assert_eq!(
            limiter.admit(&call(5), ALICE, later),
            Err(DialError::TooOften)
        );
    }

    #[test]
    fn a_restart_does_not_begin_the_minute_anew() {
        let (limiter, now) = (limiter(10, 10, 1), clock::now() + MINUTE);
        limiter.restore_start(UserId(1), now.checked_sub(MINUTE / 2).unwrap(), now);
        assert_eq!(
            limiter.admit(&call(1), ALICE, now),
            Err(DialError::TooOften)
        );
        assert_eq!(limiter.admit(&call(1), ALICE, now + MINUTE / 2), Ok(()));
    }

    #[test]
    fn a_call_without_a_user_counts_against_the_server_alone() {
        let (limiter, now) = (limiter(3, 1, 1), clock::now());
        for n in 0..3 {
            assert_eq!(limiter.admit(&call(n), None, now), Ok(()));
        }
        assert_eq!(
            limiter.admit(&call(3), None, now),
            Err(DialError::TooManyCalls)
        );
    }

    #[test]
    fn a_call_is_there_until_it_is_over() {
        let (limiter, now) = (limiter(2, 1, 1), clock::now());
        assert!(!limiter.is_active(&call(1), now), "it was never let in");
        limiter.admit(&call(1), None, now).unwrap();
        assert!(limiter.is_active(&call(1), now));
        limiter.release(&call(1), now);
        assert!(!limiter.is_active(&call(1), now));
    }

    #[test]
    fn a_call_whose_end_nobody_told_frees_its_place() {
        let (limiter, begin) = (limiter(1, 1, 10), clock::now());
        limiter.admit(&call(1), ALICE, begin).unwrap();
        let end = begin + Duration::from_hours(1) + limits::ACTIVE_CALL_SLACK;
        let before = end.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(
            limiter.admit(&call(2), BOB, before),
            Err(DialError::TooManyCalls)
        );
        assert_eq!(limiter.active_count(before), 1);
        assert_eq!(limiter.active_count(end), 0);
        assert_eq!(limiter.admit(&call(2), BOB, end), Ok(()));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let (limiter, now) = (limiter(usize::MAX, usize::MAX, u32::MAX), clock::now());
        for n in 0..limits::CALL_STARTS_MAX {
            let user = Some(UserId(n as i64));
            assert_eq!(limiter.admit(&call(n), user, now), Ok(()));
            limiter.release(&call(n), now);
        }
        assert_eq!(limiter.admit(&call(0), BOB, now), Err(DialError::TooOften));
        for n in 0..limits::ACTIVE_CALLS_MAX {
            assert_eq!(limiter.admit(&call(n), None, now), Ok(()));
        }
        let full = call(limits::ACTIVE_CALLS_MAX);
        assert_eq!(
            limiter.admit(&full, None, now),
            Err(DialError::TooManyCalls)
        );
    }

    #[test]
    fn a_clock_that_is_behind_is_borne() {
        let (limiter, now) = (limiter(2, 2, 2), clock::now() + MINUTE);
        limiter.admit(&call(1), ALICE, now).unwrap();
        let earlier = now.checked_sub(MINUTE).unwrap();
        assert_eq!(limiter.admit(&call(2), ALICE, earlier), Ok(()));
        assert_eq!(limiter.active_count(earlier), 2);
    }
}
