//! Which calls and recordings Twilio is asked about, and when. Pure: no I/O; takes `now`.
//!
//! What Twilio tells by itself is believed and makes a question unnecessary for a while. What
//! should have been told and was not makes one due: the end of a call after the end of its media
//! stream, an answer after the time that it may ring. A question that Twilio does not answer is
//! asked again, later each time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::ids::{CallSid, RecordingSid};
use crate::limits;

/// How soon, and how often, Twilio is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileIntervals {
    /// From a sign that a call is over to the question: its callback may be on its way.
    pub after_end_hint: Duration,
    /// Time beyond the ringing after which a call that nobody answered is asked about.
    pub ringing_slack: Duration,
    /// Time without news after which a call is asked about. The pause after a question doubles up
    /// to it.
    pub silence_max: Duration,
    /// Between two questions about whatever.
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

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::calls) enum ReconcileSubject {
    /// A call that is not known to be over.
    Call(CallSid),
    /// A recording of a call that is over, not known to be ready.
    Recording(RecordingSid),
}

/// All of them, at most [`limits::RECONCILE_SUBJECTS_MAX`].
#[derive(Debug)]
pub(in crate::calls) struct ReconcileSchedule {
    intervals: ReconcileIntervals,
    subjects: BTreeMap<ReconcileSubject, ScheduledCheck>,
}

#[derive(Debug)]
struct ScheduledCheck {
    /// When it was entered, and how old it was then.
    since: Instant,
    age: Duration,
    check_at: Instant,
    /// How long to wait after an answer by which it goes on.
    pause: Duration,
    /// Questions in a row that Twilio did not answer.
    failures: u32,
}

impl ReconcileSchedule {
    pub(in crate::calls) fn new(intervals: ReconcileIntervals) -> Self {
        Self {
            intervals,
            subjects: BTreeMap::new(),
        }
    }

    /// Enters a subject that is `age` old, to be asked about `after` this time unless there is news.
    /// One that is there already stays as it is.
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

    /// A call rings from now on, for at most `ring`.
    pub(in crate::calls) fn on_ringing(&mut self, call: &CallSid, ring: Duration, now: Instant) {
        let after = ring + self.intervals.ringing_slack;
        self.add(
            ReconcileSubject::Call(call.clone()),
            Duration::ZERO,
            after,
            now,
        );
    }

    /// Twilio has told that the parties talk.
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

    /// Something ended that ends with a call: it may be over.
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

    /// There is nothing more to be asked about it.
    pub(in crate::calls) fn remove(&mut self, subject: &ReconcileSubject) {
        self.subjects.remove(subject);
    }

    /// When the next question is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.subjects.values().map(|check| check.check_at).min()
    }

    /// The subject of the question that is due longest. It is not due again before an answer, or
    /// the longest pause.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<ReconcileSubject> {
        let due = self.subjects.iter_mut().filter(|(_, w)| w.check_at <= now);
        let (subject, check) = due.min_by_key(|(_, check)| check.check_at)?;
        check.check_at = now + self.intervals.silence_max;
        Some(subject.clone())
    }

    /// Twilio has answered that it goes on.
    pub(super) fn on_still_active(&mut self, subject: &ReconcileSubject, now: Instant) {
        if let Some(check) = self.subjects.get_mut(subject) {
            check.failures = 0;
            check.check_at = now + check.pause;
            check.pause = (check.pause * 2).min(self.intervals.silence_max);
        }
    }

    /// Twilio has not answered, or there is no account to ask with; says how old the subject is.
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

    /// When each of the next `count` questions is asked, if each is answered so.
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
        // Twilio asks /voice again: it still began when it began.
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
