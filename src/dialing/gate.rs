//! How many calls there may be at once, and how many within a minute. Pure: no I/O; takes `now`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Refusal;
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

    /// The call is over. Again, or for a call that was never let in: nothing.
    pub fn release(&self, call: &CallSid, now: Instant) {
        self.state(now).places.remove(call);
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
