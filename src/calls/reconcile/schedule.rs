//! Schedules the queries to Twilio for calls and recordings. Pure: no I/O; takes `now`.
//!
//! A callback makes a query unnecessary for a while. A missing callback makes one due: the end of a call
//! after the end of its media stream, an answer after the time that the call may ring. A query without a
//! response is repeated, each time after a longer delay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::ids::{CallSid, RecordingSid};
use crate::limits;

/// Delays of the queries to Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileIntervals {
    /// Delay from a sign that a call is over to the query, so that a callback on its way arrives first.
    pub after_end_hint: Duration,
    /// Time beyond the maximum ringing time after which an unanswered call is queried.
    pub ringing_slack: Duration,
    /// Time without news after which a call is queried; also the maximum of the delay, which doubles after
    /// each query.
    pub silence_max: Duration,
    /// Minimum time between two queries of any kind.
    pub request_gap: Duration,
}

impl Default for ReconcileIntervals {
    fn default() -> Self {
        Self {
            after_end_hint: limits::RECONCILE_AFTER_END_HINT,
            ringing_slack: limits::RECONCILE_RINGING_SLACK,
            silence_max: limits::RECONCILE_SILENCE_MAX,
            request_gap: limits::RECONCILE_REQUEST_GAP,
        }
    }
}

/// Subject of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::calls) enum ReconcileSubject {
    /// A call that is not known to be over.
    Call(CallSid),
    /// A recording of a call that is over, not known to be ready.
    Recording(RecordingSid),
}

/// Scheduled queries, at most [`limits::RECONCILE_SUBJECTS_MAX`].
#[derive(Debug)]
pub(in crate::calls) struct ReconcileSchedule {
    intervals: ReconcileIntervals,
    subjects: BTreeMap<ReconcileSubject, ScheduledCheck>,
}

#[derive(Debug)]
struct ScheduledCheck {
    /// Time at which the subject was added, and its age at that time.
    since: Instant,
    age: Duration,
    check_at: Instant,
    /// Delay after a response that the subject is unfinished.
    pause: Duration,
    /// Consecutive queries without a response.
    failures: u32,
}

impl ReconcileSchedule {
    pub(in crate::calls) fn new(intervals: ReconcileIntervals) -> Self {
        Self {
            intervals,
            subjects: BTreeMap::new(),
        }
    }

    /// Adds a subject that is `age` old, to be queried `after` this time unless there is news. A subject that
    /// is already scheduled stays unchanged.
    pub(in crate::calls) fn add(
        &mut self,
        subject: ReconcileSubject,
        age: Duration,
        after: Duration,
        now: Instant,
    ) {
        let is_full = self.subjects.len() >= limits::RECONCILE_SUBJECTS_MAX;
        if is_full || self.subjects.contains_key(&subject) {
            return;
        }
        let check = ScheduledCheck {
            since: now,
            age,
            check_at: now + after,
            pause: self.intervals.silence_max,
            failures: 0,
        };
        self.subjects.insert(subject, check);
    }

    /// Schedules a call that rings from `now` on, for at most `ring`.
    pub(in crate::calls) fn on_ringing(&mut self, call: &CallSid, ring: Duration, now: Instant) {
        let after = ring + self.intervals.ringing_slack;
        self.add(
            ReconcileSubject::Call(call.clone()),
            Duration::ZERO,
            after,
            now,
        );
    }

    /// Postpones the query of an answered call.
    pub(in crate::calls) fn on_answered(&mut self, call: &CallSid, now: Instant) {
        let (subject, quiet) = (
            ReconcileSubject::Call(call.clone()),
            self.intervals.silence_max,
        );
        self.add(subject.clone(), Duration::ZERO, quiet, now);
        if let Some(check) = self.subjects.get_mut(&subject) {
            (check.check_at, check.pause) = (now + quiet, quiet);
        }
    }

    /// Advances the query of a call that may be over.
    pub(in crate::calls) fn on_end_hint(&mut self, call: &CallSid, now: Instant) {
        let (subject, after) = (
            ReconcileSubject::Call(call.clone()),
            self.intervals.after_end_hint,
        );
        self.add(subject.clone(), Duration::ZERO, after, now);
        if let Some(check) = self.subjects.get_mut(&subject) {
            check.check_at = check.check_at.min(now + after);
            check.pause = after;
        }
    }

    pub(in crate::calls) fn remove(&mut self, subject: &ReconcileSubject) {
        self.subjects.remove(subject);
    }

    /// Returns the time of the earliest query.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.subjects.values().map(|check| check.check_at).min()
    }

    /// Returns the subject that is due longest. It is not due again before a response, or before
    /// [`ReconcileIntervals::silence_max`] has passed.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<ReconcileSubject> {
        let due = self.subjects.iter_mut().filter(|(_, w)| w.check_at <= now);
        let (subject, check) = due.min_by_key(|(_, check)| check.check_at)?;
        check.check_at = now + self.intervals.silence_max;
        Some(subject.clone())
    }

    /// Schedules the next query after a response that the subject is unfinished.
    pub(super) fn on_still_active(&mut self, subject: &ReconcileSubject, now: Instant) {
        if let Some(check) = self.subjects.get_mut(subject) {
            check.failures = 0;
            check.check_at = now + check.pause;
            check.pause = (check.pause * 2).min(self.intervals.silence_max);
        }
    }

    /// Schedules the next query when Twilio did not respond, or no account is configured; returns the
    /// subject's age.
    pub(super) fn on_no_answer(
        &mut self,
        subject: &ReconcileSubject,
        now: Instant,
    ) -> Option<Duration> {
        let check = self.subjects.get_mut(subject)?;
        let doubled = 2_u32.saturating_pow(check.failures);
        let pause = self.intervals.after_end_hint.saturating_mul(doubled);
        check.failures += 1;
        check.check_at = now + pause.min(self.intervals.silence_max);
        Some(check.age + now.saturating_duration_since(check.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn subject(n: usize) -> ReconcileSubject {
        ReconcileSubject::Call(call(n))
    }

    fn schedule() -> ReconcileSchedule {
        ReconcileSchedule::new(ReconcileIntervals::default())
    }

    /// Returns the seconds after `begin` of the next `count` queries, each with this `answer`.
    fn asked(
        schedule: &mut ReconcileSchedule,
        begin: Instant,
        count: usize,
        answer: impl Fn(&mut ReconcileSchedule, &ReconcileSubject, Instant),
    ) -> Vec<u64> {
        let next = |_| {
            let at = schedule.next_at().unwrap();
            let subject = schedule.take_due(at).unwrap();
            answer(schedule, &subject, at);
            at.duration_since(begin).as_secs()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_call_that_may_be_over_is_asked_about_soon_and_then_less_and_less() {
        let (mut schedule, now) = (schedule(), clock::now());
        schedule.on_answered(&call(1), now);
        schedule.on_end_hint(&call(1), now);
        let at = asked(&mut schedule, now, 8, ReconcileSchedule::on_still_active);
        assert_eq!(at, [5, 10, 20, 40, 80, 160, 320, 620]);
    }

    #[test]
    fn a_call_that_is_told_of_is_asked_about_when_it_has_been_quiet() {
        let (mut schedule, now) = (schedule(), clock::now());
        schedule.on_answered(&call(1), now);
        schedule.on_answered(&call(1), now + SECOND * 100);
        let at = asked(&mut schedule, now, 3, ReconcileSchedule::on_still_active);
        assert_eq!(at, [400, 700, 1_000]);
    }

    #[test]
    fn a_call_may_ring_for_its_time_and_some_more() {
        let (mut schedule, now) = (schedule(), clock::now());
        schedule.on_ringing(&call(1), SECOND * 30, now);
        // Twilio requests /voice again: the ringing time still counts from the first request.
        schedule.on_ringing(&call(1), SECOND * 30, now + SECOND * 10);
        assert_eq!(schedule.take_due(now + SECOND * 59), None);
        assert_eq!(schedule.take_due(now + SECOND * 60), Some(subject(1)));
    }

    #[test]
    fn a_twilio_that_does_not_answer_is_asked_less_and_less() {
        let (mut schedule, now) = (schedule(), clock::now());
        schedule.add(subject(1), SECOND * 100, Duration::ZERO, now);
        let unanswered =
            |schedule: &mut ReconcileSchedule, subject: &ReconcileSubject, at: Instant| {
                let age = schedule.on_no_answer(subject, at).unwrap();
                assert_eq!(age, at.duration_since(now) + SECOND * 100);
            };
        let at = asked(&mut schedule, now, 9, unanswered);
        assert_eq!(at, [0, 5, 15, 35, 75, 155, 315, 615, 915]);
        schedule.remove(&subject(1));
        assert_eq!(schedule.on_no_answer(&subject(1), now), None);
        assert_eq!(schedule.next_at(), None);
    }

    #[test]
    fn the_longest_due_is_first_and_nothing_is_asked_twice_at_once() {
        let (mut schedule, now) = (schedule(), clock::now());
        schedule.add(subject(1), SECOND, SECOND * 2, now);
        schedule.add(subject(2), SECOND, SECOND, now);
        let later = now + SECOND * 3;
        assert_eq!(schedule.take_due(later), Some(subject(2)));
        assert_eq!(schedule.take_due(later), Some(subject(1)));
        assert_eq!(schedule.take_due(later), None);
    }

    #[test]
    fn what_is_watched_is_bounded() {
        let (mut schedule, now) = (schedule(), clock::now());
        for n in 0..=limits::RECONCILE_SUBJECTS_MAX {
            schedule.on_answered(&call(n), now);
        }
        assert_eq!(schedule.subjects.len(), limits::RECONCILE_SUBJECTS_MAX);
    }
}
