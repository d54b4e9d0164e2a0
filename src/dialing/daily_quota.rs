//! Daily limits on calls and minutes, for each user and for all together; they limit the bill of a user who
//! calls all day. Counts calls to numbers, from their admission. Pure: no I/O; takes `now` as a date, so that
//! the counts continue after a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::DialError;
use crate::clock::UtcTime;
use crate::ids::{CallSid, UserId};
use crate::limits;

/// Window of the daily limits.
pub const DAY: Duration = Duration::from_hours(24);

/// Shortest remaining time, in seconds, for which a call is admitted at the end of a day's minutes.
const CALL_SECONDS_MIN: u64 = 60;

/// Configured daily limits.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "limits end in `_max`")]
pub struct DayLimits {
    /// Calls of all users together.
    pub calls_max: u32,
    pub calls_per_user_max: u32,
    /// Minutes of all users' calls together, from their start to their end.
    pub minutes_max: u32,
    pub minutes_per_user_max: u32,
}

/// A call to a number that counts towards the daily limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedCall {
    pub call: CallSid,
    /// Caller; `None` on a server without users.
    pub user: Option<UserId>,
    /// Time of its admission.
    pub at: UtcTime,
    /// Time of its end; `None` while it is in progress.
    pub ended_at: Option<UtcTime>,
}

/// Calls of the last day. Shared by reference; never waits.
#[derive(Debug)]
pub struct DailyQuota {
    limits: DayLimits,
    call_seconds_max: u32,
    calls: Mutex<BTreeMap<CallSid, CountedCall>>,
}

impl DailyQuota {
    /// Creates a quota without calls; Twilio ends each call after `call_seconds_max`.
    pub fn new(limits: DayLimits, call_seconds_max: u32) -> Self {
        Self {
            limits,
            call_seconds_max,
            calls: Mutex::default(),
        }
    }

    /// Restores the day's calls after a restart.
    pub fn restore_calls(&self, placed: impl IntoIterator<Item = CountedCall>) {
        let placed = placed.into_iter().take(limits::DAILY_CALLS_MAX);
        self.lock_calls()
            .extend(placed.map(|placed| (placed.call.clone(), placed)));
    }

    /// Admits a call and returns its maximum duration in seconds, or returns the reason for the refusal. A
    /// call that is admitted again counts once.
    pub fn begin_call(
        &self,
        call: &CallSid,
        user: Option<UserId>,
        now: UtcTime,
    ) -> Result<u32, DialError> {
        let mut placed = self.lock_calls();
        placed.retain(|_, placed| now.since(placed.at) < DAY);
        let others = || placed.values().filter(|other| other.call != *call);
        let of_user = || others().filter(|other| user.is_some() && other.user == user);
        let DayLimits {
            calls_max,
            calls_per_user_max,
            minutes_max,
            minutes_per_user_max,
        } = self.limits;
        if others().count() >= limits::DAILY_CALLS_MAX.min(calls_max as usize)
            || of_user().count() >= calls_per_user_max as usize
        {
            return Err(DialError::TooManyToday);
        }
        let of_all = remaining_seconds(
            minutes_max,
            others().map(|placed| self.duration_seconds(placed, now)),
        );
        let of_user = remaining_seconds(
            minutes_per_user_max,
            of_user().map(|placed| self.duration_seconds(placed, now)),
        );
        let left = of_all.min(of_user);
        if left < CALL_SECONDS_MIN {
            return Err(DialError::TooLongToday);
        }
        placed.entry(call.clone()).or_insert_with(|| CountedCall {
            call: call.clone(),
            user,
            at: now,
            ended_at: None,
        });
        Ok(u32::try_from(left).map_or(self.call_seconds_max, |left| {
            left.min(self.call_seconds_max)
        }))
    }

    /// Removes a call that was not admitted after all.
    pub fn cancel_call(&self, call: &CallSid) {
        self.lock_calls().remove(call);
    }

    /// Marks a call as ended; returns `false` if it already was, or was never admitted.
    pub fn end_call(&self, call: &CallSid, now: UtcTime) -> bool {
        let mut placed = self.lock_calls();
        let open = placed
            .get_mut(call)
            .filter(|placed| placed.ended_at.is_none());
        open.map(|placed| placed.ended_at = Some(now)).is_some()
    }

    /// Returns a call's duration so far in seconds; a call without a reported end lasts as long as Twilio
    /// lets it.
    fn duration_seconds(&self, placed: &CountedCall, now: UtcTime) -> u64 {
        let lasted = placed.ended_at.unwrap_or(now).since(placed.at).as_secs();
        lasted.min(self.call_seconds_max.into())
    }

    fn lock_calls(&self) -> MutexGuard<'_, BTreeMap<CallSid, CountedCall>> {
        // A panic under this lock leaves only complete entries.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the seconds that remain of `minutes_max`.
fn remaining_seconds(minutes_max: u32, seconds: impl Iterator<Item = u64>) -> u64 {
    (u64::from(minutes_max) * 60).saturating_sub(seconds.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Option<UserId> = Some(UserId(1));
    const BOB: Option<UserId> = Some(UserId(2));
    const MANY: u32 = 1_000_000;

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn at(minute: u64) -> UtcTime {
        UtcTime::from_millis(1_795_341_600_000).plus(Duration::from_mins(minute))
    }

    fn quota(calls: [u32; 2], minutes: [u32; 2]) -> DailyQuota {
        let limits = DayLimits {
            calls_max: calls[0],
            calls_per_user_max: calls[1],
            minutes_max: minutes[0],
            minutes_per_user_max: minutes[1],
        };
        DailyQuota::new(limits, 3_600)
    }

    #[test]
    fn a_user_makes_so_many_calls_a_day_and_everyone_together_more() {
        let quota = quota([3, 2], [MANY, MANY]);
        for (n, user) in [(1, ALICE), (2, ALICE), (3, BOB)] {
            assert_eq!(quota.begin_call(&call(n), user, at(n as u64)), Ok(3_600));
            assert!(quota.end_call(&call(n), at(n as u64)));
            if n == 2 {
                let refused = quota.begin_call(&call(9), ALICE, at(2));
                assert_eq!(refused, Err(DialError::TooManyToday));
            }
        }
        assert_eq!(
            quota.begin_call(&call(3), BOB, at(3)),
            Ok(3_600),
            "Twilio asks again"
        );
        assert_eq!(
            quota.begin_call(&call(4), BOB, at(4)),
            Err(DialError::TooManyToday)
        );
        assert_eq!(
            quota.begin_call(&call(4), None, at(4)),
            Err(DialError::TooManyToday)
        );
        let a_day = 24 * 60;
        assert_eq!(
            quota.begin_call(&call(4), BOB, at(a_day)),
            Err(DialError::TooManyToday)
        );
        assert_eq!(quota.begin_call(&call(4), BOB, at(a_day + 1)), Ok(3_600));
    }

    #[test]
    fn calls_last_so_many_minutes_a_day_together_and_the_last_one_what_is_left() {
        let quota = quota([MANY, MANY], [100, 40]);
        assert_eq!(quota.begin_call(&call(1), ALICE, at(0)), Ok(2_400));
        assert!(quota.end_call(&call(1), at(30)) && !quota.end_call(&call(1), at(35)));
        assert_eq!(quota.begin_call(&call(2), ALICE, at(50)), Ok(600));
        // The call is in progress: its duration so far counts.
        assert_eq!(quota.begin_call(&call(3), ALICE, at(55)), Ok(300));
        quota.cancel_call(&call(3));
        assert_eq!(
            quota.begin_call(&call(3), ALICE, at(60)),
            Err(DialError::TooLongToday)
        );
        assert_eq!(quota.begin_call(&call(4), BOB, at(60)), Ok(2_400));
        // Its end was not reported: it lasts as long as Twilio lets a call last.
        assert_eq!(
            quota.begin_call(&call(5), None, at(1_000)),
            Err(DialError::TooLongToday)
        );
    }

    #[test]
    fn a_restart_goes_on_with_the_day() {
        let placed = |n, user, minute, ended_at| CountedCall {
            call: call(n),
            user,
            at: at(minute),
            ended_at,
        };
        let quota = quota([MANY, 3], [MANY, 60]);
        quota.restore_calls([
            placed(1, ALICE, 0, Some(at(20))),
            placed(2, ALICE, 30, Some(at(45))),
            placed(3, BOB, 0, None),
        ]);
        assert_eq!(quota.begin_call(&call(4), ALICE, at(50)), Ok(1_500));
        assert_eq!(
            quota.begin_call(&call(5), ALICE, at(51)),
            Err(DialError::TooManyToday)
        );
        assert!(quota.end_call(&call(3), at(52)));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let quota = quota([u32::MAX, u32::MAX], [u32::MAX, u32::MAX]);
        let many = (0..limits::DAILY_CALLS_MAX + 10).map(|n| CountedCall {
            call: call(n),
            user: ALICE,
            at: at(0),
            ended_at: Some(at(0)),
        });
        quota.restore_calls(many);
        let one = call(limits::DAILY_CALLS_MAX + 20);
        assert_eq!(
            quota.begin_call(&one, BOB, at(1)),
            Err(DialError::TooManyToday)
        );
    }
}
