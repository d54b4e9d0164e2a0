//! How many calls at once, how many a minute, and how long one may last. Pure: no I/O; time is an
//! argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Refusal;
use crate::ids::{CallSid, UserId};

/// The time over which beginnings are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Time after the longest call in which its end is told. Hit: the call is taken for ended.
const FAREWELL: Duration = Duration::from_mins(2);

/// What may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest call; Twilio ends it then.
    pub call: Duration,
    /// Calls of the server at once.
    pub calls_max: usize,
    /// Calls of one user at once.
    pub user_calls_max: usize,
    /// Calls that the server begins in a minute.
    pub calls_per_minute: usize,
    /// Calls that one user begins in a minute.
    pub user_calls_per_minute: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_hours(4),
            calls_max: 16,
            user_calls_max: 2,
            calls_per_minute: 60,
            user_calls_per_minute: 10,
        }
    }
}

/// Counts calls, and lets in what the limits allow. It holds as many calls, and as many beginnings
/// of the last minute, as the limits allow for the server.
///
/// An end that is never told does not shut the gate: a call that is older than a call can be is
/// over.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    open: BTreeMap<CallSid, (Option<UserId>, Instant)>,
    begun: VecDeque<(Instant, Option<UserId>)>,
}

impl Gate {
    /// Nothing goes on.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: BTreeMap::new(),
            begun: VecDeque::new(),
        }
    }

    /// What may go on.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Lets `call` of `user` in, or says why not; calls without a user are those of one more. A
    /// call that is in already stays, so that a request may be repeated.
    pub fn admit(
        &mut self,
        call: &CallSid,
        user: Option<UserId>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.open.contains_key(call) {
            return Ok(());
        }
        let longest = self.limits.call + FAREWELL;
        self.open
            .retain(|_, (_, begun)| now.saturating_duration_since(*begun) < longest);
        let is_past = |begun: Instant| now.saturating_duration_since(begun) >= MINUTE;
        while self.begun.front().is_some_and(|(begun, _)| is_past(*begun)) {
            self.begun.pop_front();
        }
        let of_user = self.open.values().filter(|(of, _)| *of == user).count();
        let begun_of_user = self.begun.iter().filter(|(_, of)| *of == user).count();
        let limits = &self.limits;
        for (count, max, refusal) in [
            (of_user, limits.user_calls_max, Refusal::UserCalls),
            (
                begun_of_user,
                limits.user_calls_per_minute,
                Refusal::UserRate,
            ),
            (self.open.len(), limits.calls_max, Refusal::ServerCalls),
            (
                self.begun.len(),
                limits.calls_per_minute,
                Refusal::ServerRate,
            ),
        ] {
            if count >= max {
                return Err(refusal);
            }
        }
        self.open.insert(call.clone(), (user, now));
        self.begun.push_back((now, user));
        Ok(())
    }

    /// `call` is over. It may be told often, and of calls that were never let in.
    pub fn release(&mut self, call: &CallSid) {
        self.open.remove(call);
    }

    /// Calls that go on.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const LIMITS: Limits = Limits {
        call: Duration::from_hours(1),
        calls_max: 3,
        user_calls_max: 2,
        calls_per_minute: 6,
        user_calls_per_minute: 4,
    };

    const ALICE: Option<UserId> = Some(UserId(1));
    const BOB: Option<UserId> = Some(UserId(2));

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn gate() -> (Gate, Instant) {
        (Gate::new(LIMITS), clock::now())
    }

    #[test]
    fn a_user_and_the_server_have_so_many_calls_at_once() {
        let (mut gate, now) = gate();
        assert_eq!(gate.admit(&call(1), ALICE, now), Ok(()));
        assert_eq!(gate.admit(&call(2), ALICE, now), Ok(()));
        assert_eq!(gate.admit(&call(3), ALICE, now), Err(Refusal::UserCalls));
        assert_eq!(gate.admit(&call(4), BOB, now), Ok(()));
        assert_eq!(gate.admit(&call(5), BOB, now), Err(Refusal::ServerCalls));
        gate.release(&call(2));
        assert_eq!(gate.admit(&call(5), BOB, now), Ok(()));
        assert_eq!(gate.open(), 3);
    }

    #[test]
    fn a_user_and_the_server_begin_so_many_calls_in_any_minute() {
        let (mut gate, start) = gate();
        let mut dial = |n: usize, user, second: u64| {
            let begun = gate.admit(&call(n), user, start + Duration::from_secs(second));
            gate.release(&call(n));
            begun
        };
        for n in 0..4 {
            assert_eq!(dial(n, ALICE, 10 * n as u64), Ok(()));
        }
        assert_eq!(dial(4, ALICE, 59), Err(Refusal::UserRate));
        assert_eq!(dial(5, BOB, 59), Ok(()));
        assert_eq!(dial(6, None, 59), Ok(()));
        assert_eq!(dial(7, BOB, 59), Err(Refusal::ServerRate));
        assert_eq!(dial(8, ALICE, 60), Ok(()));
        assert_eq!(dial(9, ALICE, 69), Err(Refusal::UserRate));
        assert_eq!(dial(10, ALICE, 70), Ok(()));
    }

    #[test]
    fn a_repeated_request_is_one_call() {
        let (mut gate, now) = gate();
        for _ in 0..10 {
            assert_eq!(gate.admit(&call(1), ALICE, now), Ok(()));
        }
        assert_eq!(gate.open(), 1);
        gate.release(&call(1));
        gate.release(&call(1));
        assert_eq!(gate.open(), 0);
        assert_eq!(gate.begun.len(), 1);
    }

    #[test]
    fn a_call_whose_end_is_never_told_is_over_when_it_must_be() {
        let (mut gate, now) = gate();
        gate.admit(&call(1), ALICE, now).unwrap();
        gate.admit(&call(2), ALICE, now).unwrap();
        let end = now + LIMITS.call;
        assert_eq!(gate.admit(&call(3), ALICE, end), Err(Refusal::UserCalls));
        assert_eq!(gate.admit(&call(3), ALICE, end + FAREWELL), Ok(()));
        assert_eq!(gate.open(), 1);
    }

    #[test]
    fn no_call_is_admitted_where_none_is_allowed() {
        let limits = Limits {
            calls_max: 0,
            ..LIMITS
        };
        let mut gate = Gate::new(limits);
        let admitted = gate.admit(&call(1), None, clock::now());
        assert_eq!(admitted, Err(Refusal::ServerCalls));
    }

    proptest! {
        #[test]
        fn the_limits_hold_whatever_happens(
            steps in prop::collection::vec((0..8_usize, 0..3_i64, 0..40_u64, any::<bool>()), 0..200),
        ) {
            let (mut gate, mut now) = gate();
            for (n, user, seconds, ends) in steps {
                now += Duration::from_secs(seconds);
                if ends {
                    gate.release(&call(n));
                } else {
                    let _ = gate.admit(&call(n), Some(UserId(user)), now);
                }
                prop_assert!(gate.open.len() <= LIMITS.calls_max);
                prop_assert!(gate.begun.len() <= LIMITS.calls_per_minute);
                let mut of_users = BTreeMap::new();
                for (user, _) in gate.open.values() {
                    *of_users.entry(*user).or_insert(0) += 1;
                }
                prop_assert!(of_users.values().all(|calls| *calls <= LIMITS.user_calls_max));
            }
        }
    }
}
