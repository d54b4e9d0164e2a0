//! Orders recognition jobs. Pure: no I/O; takes `now`.
//!
//! Finals run first, by the end of their speech; then first partials, then later partials, oldest first.
//! Finals are never dropped. Above capacity finals wait and partials thin out: a track's new partial replaces
//! its waiting one, and a partial that waited too long is dropped. Only the bound on the memory of waiting
//! finals refuses a final, and reports it as [`SchedulerCounts::finals_refused`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::engine::segmenter::AudioClip;
use crate::limits;

/// Identifies one track of one live call within an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

/// The purpose of a job, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobPriority {
    /// The final of an utterance.
    Final,
    /// The first partial of an utterance.
    FirstPartial,
    /// A later partial of an utterance.
    Partial,
}

/// One clip of audio to recognise.
#[derive(Debug)]
pub struct RecognitionJob {
    /// The track of the clip.
    pub track_id: TrackId,
    /// The number of the utterance within the track.
    pub utterance: u32,
    /// The number of the pass over the utterance, from 1.
    pub pass: u32,
    /// The purpose of the pass.
    pub priority: JobPriority,
    /// The audio of the utterance so far.
    pub clip: AudioClip,
    /// ISO 639-1 code, if the language is known.
    pub language: Option<String>,
    /// When the end of the clip's speech arrived.
    pub speech_ended_at: Instant,
    /// Set when the result is no longer wanted: a job that is waiting then never runs.
    pub cancelled: Arc<AtomicBool>,
}

impl RecognitionJob {
    fn sample_bytes(&self) -> usize {
        self.clip.samples.len() * size_of::<i16>()
    }
}

/// Order of execution: priority, then end of speech, then order of arrival.
type JobRank = (JobPriority, Instant, u64);

/// Waiting jobs, each with a tag of the caller's.
#[derive(Debug)]
pub struct Scheduler<T> {
    waiting: BTreeMap<JobRank, (RecognitionJob, T)>,
    arrivals: u64,
    final_bytes: usize,
    counts: SchedulerCounts,
}

/// Counts of jobs by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulerCounts {
    /// Finals accepted.
    pub finals: u64,
    /// Finals refused at the memory bound.
    pub finals_refused: u64,
    /// Partials accepted.
    pub partials: u64,
    /// Partials that never ran: replaced by newer ones or by their final, too old, or cancelled.
    pub partials_dropped: u64,
    /// Finals that never ran: requested at a pause after which the speaker continued.
    pub finals_cancelled: u64,
}

impl<T> Default for Scheduler<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            arrivals: 0,
            final_bytes: 0,
            counts: SchedulerCounts::default(),
        }
    }
}

/// A job that will not run, with its tag.
pub type DroppedJob<T> = (RecognitionJob, T);

impl<T> Scheduler<T> {
    /// Accepts a job. Returns the jobs that will not run because of it: the track's waiting partial, or the
    /// job itself at the memory bound.
    pub fn push(&mut self, job: RecognitionJob, tag: T) -> Vec<DroppedJob<T>> {
        let is_final = job.priority == JobPriority::Final;
        if is_final && self.final_bytes + job.sample_bytes() > limits::FINALS_WAITING_BYTES_MAX {
            self.counts.finals_refused += 1;
            return vec![(job, tag)];
        }
        let replaced = self.remove_jobs(|waiting| {
            waiting.track_id == job.track_id && waiting.priority != JobPriority::Final
        });
        if is_final {
            self.counts.finals += 1;
            self.final_bytes += job.sample_bytes();
        } else {
            self.counts.partials += 1;
        }
        self.arrivals += 1;
        self.waiting.insert(
            (job.priority, job.speech_ended_at, self.arrivals),
            (job, tag),
        );
        replaced
    }

    /// Returns the next job to run, if there is one, and the jobs dropped before it: stale partials and
    /// cancelled jobs.
    pub fn pop(&mut self, now: Instant) -> (Option<(RecognitionJob, T)>, Vec<DroppedJob<T>>) {
        let stale = self.remove_jobs(|job| {
            let late =
                now.saturating_duration_since(job.speech_ended_at) > limits::PARTIAL_WAIT_MAX;
            (late && job.priority != JobPriority::Final) || job.cancelled.load(Ordering::Relaxed)
        });
        let next = self.waiting.pop_first().map(|(_, entry)| entry);
        if let Some((job, _)) = &next {
            self.release_bytes(job);
        }
        (next, stale)
    }

    /// Whether a final that starts `now` should take the fast path: other finals wait, or it is late itself.
    pub fn is_backlogged(&self, job: &RecognitionJob, now: Instant) -> bool {
        let others = self.waiting.first_key_value();
        others.is_some_and(|((priority, ..), _)| *priority == JobPriority::Final)
            || now.saturating_duration_since(job.speech_ended_at) > limits::FINAL_ACCURATE_WAIT_MAX
    }

    /// Returns the time since the end of the oldest waiting final's speech; zero if no final waits.
    pub fn final_lag(&self, now: Instant) -> Duration {
        self.waiting
            .first_key_value()
            .filter(|((priority, ..), _)| *priority == JobPriority::Final)
            .map_or(Duration::ZERO, |((_, speech_ended_at, _), _)| {
                now.saturating_duration_since(*speech_ended_at)
            })
    }

    /// Returns the number of waiting jobs.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the counts of jobs so far.
    pub fn counts(&self) -> SchedulerCounts {
        self.counts
    }

    fn remove_jobs(&mut self, cancelled: impl Fn(&RecognitionJob) -> bool) -> Vec<DroppedJob<T>> {
        let taken: Vec<DroppedJob<T>> = self
            .waiting
            .extract_if(.., |_, (job, _)| cancelled(job))
            .map(|(_, entry)| entry)
            .collect();
        for (job, _) in &taken {
            self.release_bytes(job);
            if job.priority == JobPriority::Final {
                self.counts.finals_cancelled += 1;
            } else {
                self.counts.partials_dropped += 1;
            }
        }
        taken
    }

    fn release_bytes(&mut self, job: &RecognitionJob) {
        if job.priority == JobPriority::Final {
            self.final_bytes -= job.sample_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(track: u64, priority: JobPriority, speech_ended_at: Instant) -> RecognitionJob {
        RecognitionJob {
            track_id: TrackId(track),
            utterance: 1,
            pass: 1,
            priority,
            clip: AudioClip {
                samples: vec![0; 16_000].into(),
                start: 0,
                speech: 0..16_000,
            },
            language: None,
            speech_ended_at,
            cancelled: Arc::default(),
        }
    }

    fn order(scheduler: &mut Scheduler<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| scheduler.pop(now).0.map(|(_, name)| name)).collect()
    }

    #[test]
    fn finals_lead_by_the_end_of_their_speech_then_first_partials_then_the_rest() {
        let now = crate::clock::now();
        let later = now + Duration::from_millis(100);
        let mut scheduler = Scheduler::default();
        scheduler.push(job(1, JobPriority::Partial, now), "refresh");
        scheduler.push(job(2, JobPriority::FirstPartial, later), "first");
        scheduler.push(job(3, JobPriority::Final, later), "late final");
        scheduler.push(job(4, JobPriority::Final, now), "early final");
        assert_eq!(scheduler.final_lag(later), Duration::from_millis(100));
        assert_eq!(
            order(&mut scheduler, later),
            ["early final", "late final", "first", "refresh"]
        );
        assert_eq!(scheduler.final_lag(later), Duration::ZERO);
    }

    #[test]
    fn a_track_has_one_waiting_partial_and_its_final_replaces_it() {
        let now = crate::clock::now();
        let mut scheduler = Scheduler::default();
        scheduler.push(job(1, JobPriority::FirstPartial, now), "old");
        scheduler.push(job(2, JobPriority::FirstPartial, now), "another voice");
        let dropped = scheduler.push(job(1, JobPriority::Partial, now), "new");
        assert_eq!(
            dropped.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
            ["old"]
        );
        let dropped = scheduler.push(job(1, JobPriority::Final, now), "final");
        assert_eq!(
            dropped.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
            ["new"]
        );
        assert_eq!(order(&mut scheduler, now), ["final", "another voice"]);
        assert_eq!(scheduler.counts().partials_dropped, 2);
    }

    #[test]
    fn a_final_is_fast_when_another_waits_or_it_is_late() {
        let now = crate::clock::now();
        let late = now + limits::FINAL_ACCURATE_WAIT_MAX + Duration::from_millis(1);
        let mut scheduler = Scheduler::default();
        scheduler.push(job(1, JobPriority::Final, now), ());
        scheduler.push(job(2, JobPriority::Final, now), ());
        scheduler.push(job(3, JobPriority::FirstPartial, now), ());
        let (first, ()) = scheduler.pop(now).0.unwrap();
        assert!(scheduler.is_backlogged(&first, now), "another final waits");
        let (second, ()) = scheduler.pop(now).0.unwrap();
        assert!(!scheduler.is_backlogged(&second, now), "a partial is none");
        assert!(scheduler.is_backlogged(&second, late));
    }

    #[test]
    fn finals_of_one_track_all_run() {
        let now = crate::clock::now();
        let mut scheduler = Scheduler::default();
        for _ in 0..3 {
            assert!(
                scheduler
                    .push(job(1, JobPriority::Final, now), "final")
                    .is_empty()
            );
        }
        assert_eq!(order(&mut scheduler, now).len(), 3);
    }

    #[test]
    fn a_partial_that_waited_too_long_is_dropped_and_a_final_never_is() {
        let now = crate::clock::now();
        let mut scheduler = Scheduler::default();
        scheduler.push(job(1, JobPriority::Partial, now), "partial");
        scheduler.push(job(2, JobPriority::Final, now), "final");
        let (next, stale) = scheduler.pop(now + limits::PARTIAL_WAIT_MAX * 100);
        assert_eq!(next.map(|(_, name)| name), Some("final"));
        assert_eq!(stale.len(), 1);
        assert!(scheduler.is_empty());
    }

    #[test]
    fn a_cancelled_final_gives_its_room_back() {
        let now = crate::clock::now();
        let mut scheduler = Scheduler::default();
        let cancelled = job(1, JobPriority::Final, now);
        let flag = cancelled.cancelled.clone();
        scheduler.push(cancelled, "unwanted");
        flag.store(true, Ordering::Relaxed);
        let (next, dropped) = scheduler.pop(now);
        assert!(next.is_none());
        assert_eq!(dropped.len(), 1);
        assert_eq!(scheduler.final_bytes, 0);
        assert_eq!(scheduler.counts().finals_cancelled, 1);
    }

    #[test]
    fn only_the_last_bound_refuses_a_final_and_room_comes_back() {
        let now = crate::clock::now();
        let mut scheduler = Scheduler::default();
        let fitting = limits::FINALS_WAITING_BYTES_MAX / 32_000;
        for _ in 0..fitting {
            assert!(
                scheduler
                    .push(job(1, JobPriority::Final, now), "fits")
                    .is_empty()
            );
        }
        assert_eq!(
            scheduler
                .push(job(1, JobPriority::Final, now), "too much")
                .len(),
            1
        );
        assert_eq!(scheduler.counts().finals_refused, 1);
        scheduler.pop(now);
        assert!(
            scheduler
                .push(job(1, JobPriority::Final, now), "fits again")
                .is_empty()
        );
    }
}
