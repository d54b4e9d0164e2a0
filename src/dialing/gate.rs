//! How many calls there may be at once, and how many within a minute. Pure: no I/O; takes `now`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{DayLimits, Refusal};
use crate::ids::{CallSid, UserId};
use crate::limits;

/// The stretch of time within which a user's calls are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// The operator's choice.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Seconds of talk after which Twilio ends a call.
    pub call_seconds_max: u32,
    /// Calls at once, of everyone together; at most [`limits::CALL_PLACES_MAX`].
    pub at_once_max: usize,
    /// Calls at once of one user.
    pub at_once_per_user_max: usize,
    /// Calls that one user may begin within a minute.
    pub per_minute_max: u32,
    /// How much may be called within a day.
    pub day: DayLimits,
}

/// Counts calls, and refuses those that would be too many. Shared by reference; never waits.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<CallSid, Place>,
    /// Calls that users began within the last minute, the oldest first.
    begun: VecDeque<(UserId, Instant)>,
}

/// A call that goes on, as far as is known.
#[derive(Debug)]
struct Place {
    user: Option<UserId>,
    since: Instant,
}

impl Gate {
    /// No calls yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Lets a call in, or says why not. A call that is in is let in again and counted once: Twilio
    /// asks again when an answer was late. A call without a user counts against the whole server
    /// alone. What is refused leaves no trace.
    pub fn admit(&self, call: &CallSid, user: Option<UserId>, now: Instant) -> Result<(), Refusal> {
        let mut state = self.state(now);
        if state.places.contains_key(call) {
            return Ok(());
        }
        if state.places.len() >= self.limits.at_once_max.min(limits::CALL_PLACES_MAX) {
            return Err(Refusal::TooManyCalls);
        }
        if let Some(user) = user {
            self.admit_user(&mut state, user, now)?;
        }
        let place = Place { user, since: now };
        state.places.insert(call.clone(), place);
        Ok(())
    }

    fn admit_user(&self, state: &mut State, user: UserId, now: Instant) -> Result<(), Refusal> {
        let places = state.places.values();
        let at_once = places.filter(|place| place.user == Some(user)).count();
        if at_once >= self.limits.at_once_per_user_max {
            return Err(Refusal::TooManyCallsOfUser);
        }
        let begun = state.begun.iter().filter(|(of, _)| *of == user).count();
        if begun >= self.limits.per_minute_max as usize
            || state.begun.len() >= limits::CALLS_BEGUN_MAX
        {
            return Err(Refusal::TooOften);
        }
        state.begun.push_back((user, now));
        Ok(())
    }

    /// The user began a call at that moment, of which this gate does not know: before a restart.
    pub fn recall(&self, user: UserId, at: Instant, now: Instant) {
        let mut state = self.state(now);
        if state.begun.len() < limits::CALLS_BEGUN_MAX {
            state.begun.push_back((user, at));
        }
    }

    /// The call is over. Again, or for a call that was never let in: nothing.
    pub fn release(&self, call: &CallSid, now: Instant) {
        self.state(now).places.remove(call);
    }

    /// Whether the call goes on, as far as is known.
    pub fn has(&self, call: &CallSid, now: Instant) -> bool {
        self.state(now).places.contains_key(call)
    }

    /// Whether the user placed this call, and it goes on.
    pub fn is_of(&self, call: &CallSid, user: UserId, now: Instant) -> bool {
        let place = self.state(now).places.get(call).map(|place| place.user);
        place == Some(Some(user))
    }

    /// The calls that go on, as far as is known, and how long they have.
    pub fn ages(&self, now: Instant) -> Vec<(CallSid, Duration)> {
        let state = self.state(now);
        let age = |(call, place): (&CallSid, &Place)| {
            (call.clone(), now.saturating_duration_since(place.since))
        };
        state.places.iter().map(age).collect()
    }

    /// The calls of a user that go on, as far as is known.
    pub fn calls_of(&self, user: UserId, now: Instant) -> Vec<CallSid> {
        let state = self.state(now);
        let places = state.places.iter();
        let of_user = places.filter(|(_, place)| place.user == Some(user));
        of_user.map(|(call, _)| call.clone()).collect()
    }

    /// Calls that go on.
    pub fn calls(&self, now: Instant) -> usize {
        self.state(now).places.len()
    }

    /// What still counts. A call whose end nobody told counts until Twilio must have ended it.
    fn state(&self, now: Instant) -> MutexGuard<'_, State> {
        // A panic in here leaves whole entries behind.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let call_max = Duration::from_secs(self.limits.call_seconds_max.into());
        let place_max = call_max + limits::CALL_PLACE_SLACK;
        let age = |since: Instant| now.saturating_duration_since(since);
        state.places.retain(|_, place| age(place.since) < place_max);
        state.begun.retain(|(_, at)| age(*at) < MINUTE);
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

    fn gate(at_once: usize, of_one_user: usize, a_minute: u32) -> Gate {
        Gate::new(Limits {
            call_seconds_max: 3_600,
            at_once_max: at_once,
            at_once_per_user_max: of_one_user,
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
        let (gate, now) = (gate(3, 2, 100), clock::now());
        assert_eq!(gate.admit(&call(1), ALICE, now), Ok(()));
        assert_eq!(gate.admit(&call(2), ALICE, now), Ok(()));
        let of_user = Err(Refusal::TooManyCallsOfUser);
        assert_eq!(gate.admit(&call(3), ALICE, now), of_user);
        assert_eq!(gate.admit(&call(4), BOB, now), Ok(()));
        let of_all = Err(Refusal::TooManyCalls);
        assert_eq!(gate.admit(&call(5), BOB, now), of_all);
        assert_eq!(gate.admit(&call(5), None, now), of_all);
        assert_eq!(gate.calls(now), 3);
        let of_alice = gate.calls_of(UserId(1), now);
        assert_eq!(of_alice, [call(1), call(2)]);
        let age = Duration::from_secs(7);
        let ages = [1, 2, 4].map(|n| (call(n), age));
        assert_eq!(gate.ages(now + age), ages);
        gate.release(&call(1), now);
        assert_eq!(gate.admit(&call(3), ALICE, now), Ok(()));
    }

    #[test]
    fn the_same_call_is_let_in_again_and_counted_once() {
        let (gate, now) = (gate(1, 1, 1), clock::now());
        for _ in 0..3 {
            assert_eq!(gate.admit(&call(1), ALICE, now), Ok(()));
        }
        assert_eq!(gate.calls(now), 1);
        for _ in 0..2 {
            gate.release(&call(1), now);
            gate.release(&call(2), now);
        }
        assert_eq!(gate.calls(now), 0);
    }

    #[test]
    fn a_user_begins_so_many_calls_a_minute() {
        let (gate, begin) = (gate(10, 10, 2), clock::now());
        for n in 0..2 {
            let at = begin + Duration::from_secs(n as u64 * 20);
            assert_eq!(gate.admit(&call(n), ALICE, at), Ok(()));
            gate.release(&call(n), at);
        }
        let early = begin + Duration::from_millis(59_999);
        assert_eq!(gate.admit(&call(2), ALICE, early), Err(Refusal::TooOften));
        assert_eq!(gate.admit(&call(3), BOB, early), Ok(()), "another user");
        assert_eq!(gate.admit(&call(4), None, early), Ok(()), "nobody");
        let later = begin + MINUTE;
        assert_eq!(
            gate.admit(&call(2), ALICE, later),
            Ok(()),
            "the first is past"
        );
        assert_eq!(gate.admit(&call(5), ALICE, later), Err(Refusal::TooOften));
    }

    #[test]
    fn a_restart_does_not_begin_the_minute_anew() {
        let (gate, now) = (gate(10, 10, 1), clock::now() + MINUTE);
        gate.recall(UserId(1), now.checked_sub(MINUTE / 2).unwrap(), now);
        assert_eq!(gate.admit(&call(1), ALICE, now), Err(Refusal::TooOften));
        assert_eq!(gate.admit(&call(1), ALICE, now + MINUTE / 2), Ok(()));
    }

    #[test]
    fn a_call_without_a_user_counts_against_the_server_alone() {
        let (gate, now) = (gate(3, 1, 1), clock::now());
        for n in 0..3 {
            assert_eq!(gate.admit(&call(n), None, now), Ok(()));
        }
        assert_eq!(gate.admit(&call(3), None, now), Err(Refusal::TooManyCalls));
    }

    #[test]
    fn a_call_is_there_until_it_is_over() {
        let (gate, now) = (gate(2, 1, 1), clock::now());
        assert!(!gate.has(&call(1), now), "it was never let in");
        gate.admit(&call(1), None, now).unwrap();
        assert!(gate.has(&call(1), now));
        gate.release(&call(1), now);
        assert!(!gate.has(&call(1), now));
    }

    #[test]
    fn a_call_whose_end_nobody_told_frees_its_place() {
        let (gate, begin) = (gate(1, 1, 10), clock::now());
        gate.admit(&call(1), ALICE, begin).unwrap();
        let end = begin + Duration::from_hours(1) + limits::CALL_PLACE_SLACK;
        let before = end.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(
            gate.admit(&call(2), BOB, before),
            Err(Refusal::TooManyCalls)
        );
        assert_eq!(gate.calls(before), 1);
        assert_eq!(gate.calls(end), 0);
        assert_eq!(gate.admit(&call(2), BOB, end), Ok(()));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let (gate, now) = (gate(usize::MAX, usize::MAX, u32::MAX), clock::now());
        for n in 0..limits::CALLS_BEGUN_MAX {
            let user = Some(UserId(n as i64));
            assert_eq!(gate.admit(&call(n), user, now), Ok(()));
            gate.release(&call(n), now);
        }
        assert_eq!(gate.admit(&call(0), BOB, now), Err(Refusal::TooOften));
        for n in 0..limits::CALL_PLACES_MAX {
            assert_eq!(gate.admit(&call(n), None, now), Ok(()));
        }
        let full = call(limits::CALL_PLACES_MAX);
        assert_eq!(gate.admit(&full, None, now), Err(Refusal::TooManyCalls));
    }

    #[test]
    fn a_clock_that_is_behind_is_borne() {
        let (gate, now) = (gate(2, 2, 2), clock::now() + MINUTE);
        gate.admit(&call(1), ALICE, now).unwrap();
        let earlier = now.checked_sub(MINUTE).unwrap();
        assert_eq!(gate.admit(&call(2), ALICE, earlier), Ok(()));
        assert_eq!(gate.calls(earlier), 2);
    }
}
