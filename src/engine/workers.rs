//! Threads that own a recognizer each, and the queue that they share. The scheduler decides the order.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::RecognizeRequest;
use crate::engine::recognizer::Recognizer;
use crate::engine::scheduler::JobPriority;
use crate::engine::scheduler::RecognitionJob;
use crate::engine::scheduler::Scheduler;
use crate::engine::scheduler::SchedulerCounts;
use crate::engine::scheduler::TrackId;
use crate::engine::track::JobOutcome;
use crate::engine::track::JobResult;

/// Added to the niceness of the recognition threads, so that sockets, webhooks and the database are served at
/// once while every core recognises. Measured on two cores, with 8,400 attacking clients beside two calls:
/// webhooks are answered within 64 ms (p99) instead of 450, and the last words appear no later.
const NICENESS: i32 = 5;

/// A job's result with the track that it is for.
pub type TrackResult = (TrackId, JobResult);

/// The destination of a job's result.
pub type ResultSender = mpsc::Sender<TrackResult>;

/// The worker threads and their queue.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<WorkerQueue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct WorkerQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// Cancels the passes in progress.
    abort: AtomicBool,
}

#[derive(Debug, Default)]
struct QueueState {
    scheduler: Scheduler<ResultSender>,
    /// Outcomes of jobs that will not run, which a worker sends.
    unrun_jobs: VecDeque<(RecognitionJob, ResultSender, JobOutcome)>,
    totals: WorkTotals,
    stopped: bool,
}

/// Totals of the workers' work so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WorkTotals {
    /// Audio that finals covered.
    pub final_audio: Duration,
    /// Thread time that finals took.
    pub final_time: Duration,
    /// Finals that took the fast path because other finals waited or they were late.
    pub fast_finals: u64,
    /// Thread time that partials took.
    pub partial_time: Duration,
}

impl Workers {
    /// Starts one thread for each recognizer.
    pub fn start(recognizers: Vec<Box<dyn Recognizer>>) -> Self {
        let shared = Arc::new(WorkerQueue::default());
        let threads = recognizers.into_iter().enumerate().map(|(n, recognizer)| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("recognizer-{n}"))
                .spawn(move || {
                    lower_thread_priority();
                    run_worker(&shared, recognizer);
                })
                .expect("the system can start one more thread")
        });
        let threads = Mutex::new(threads.collect());
        Self { shared, threads }
    }

    /// Queues a job; never waits. `reply` receives its result, also if the job never runs.
    pub fn submit(&self, job: RecognitionJob, reply: ResultSender) {
        let mut queue = self.shared.lock();
        let refused = (job.track_id, job.utterance, job.pass);
        for (job, reply) in queue.scheduler.push(job, reply) {
            let is_new = (job.track_id, job.utterance, job.pass) == refused;
            let outcome = if is_new {
                JobOutcome::Refused
            } else {
                JobOutcome::Dropped
            };
            queue.unrun_jobs.push_back((job, reply, outcome));
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Returns the time since the end of the oldest waiting final's speech.
    pub fn final_lag(&self) -> Duration {
        self.shared.lock().scheduler.final_lag(clock::now())
    }

    /// Returns the counts of jobs and the totals of their work.
    pub fn statistics(&self) -> (SchedulerCounts, WorkTotals) {
        let queue = self.shared.lock();
        (queue.scheduler.counts(), queue.totals)
    }

    /// Cancels the passes in progress, drops the waiting jobs and joins the threads. Blocks for the length of
    /// one encoder pass at most.
    pub fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.abort.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join(); // a worker catches panics: never an error
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl WorkerQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next task for a worker, blocking until there is one; `None` when the worker should end.
    fn next_task(&self) -> Option<WorkerTask> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some((job, reply, outcome)) = queue.unrun_jobs.pop_front() {
                return Some(WorkerTask::Reply(job, reply, outcome));
            }
            let (next, stale) = queue.scheduler.pop(clock::now());
            queue.unrun_jobs.extend(
                stale
                    .into_iter()
                    .map(|(job, reply)| (job, reply, JobOutcome::Dropped)),
            );
            if let Some((job, reply)) = next {
                let effort = match job.priority {
                    JobPriority::Final if queue.scheduler.is_backlogged(&job, clock::now()) => {
                        Effort::Fast
                    }
                    JobPriority::Final => Effort::Accurate,
                    JobPriority::FirstPartial | JobPriority::Partial => Effort::Partial,
                };
                return Some(WorkerTask::Run(job, reply, effort));
            }
            if queue.unrun_jobs.is_empty() {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

enum WorkerTask {
    Run(RecognitionJob, ResultSender, Effort),
    Reply(RecognitionJob, ResultSender, JobOutcome),
}

/// Lowers the priority of this thread, on Linux only: elsewhere that would be the priority of the whole
/// process.
fn lower_thread_priority() {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "could not lower the priority of a recognition thread");
    }
}

fn run_worker(shared: &WorkerQueue, mut recognizer: Box<dyn Recognizer>) {
    while let Some(task) = shared.next_task() {
        let (job, reply, outcome) = match task {
            WorkerTask::Reply(job, reply, outcome) => (job, reply, outcome),
            WorkerTask::Run(job, reply, effort) => {
                let began = clock::now();
                let outcome = recognize(&mut *recognizer, &job, effort, &shared.abort);
                shared.lock().totals.add(&job, effort, clock::now() - began);
                (job, reply, outcome)
            }
        };
        let result = JobResult {
            utterance: job.utterance,
            pass: job.pass,
            outcome,
        };
        // An error only means that the call has ended.
        let _ = reply.blocking_send((job.track_id, result));
    }
}

/// Runs one job on the calling thread.
pub(crate) fn recognize(
    recognizer: &mut dyn Recognizer,
    job: &RecognitionJob,
    effort: Effort,
    cancelled: &AtomicBool,
) -> JobOutcome {
    let samples: Vec<f32> = job
        .clip
        .samples
        .iter()
        .map(|&s| f32::from(s) / 32_768.0)
        .collect();
    let request = RecognizeRequest {
        samples: &samples,
        speech_end_ms: job.clip.speech_end_ms(),
        effort,
        language: job.language.as_deref(),
        cancelled,
    };
    let result = catch_unwind(AssertUnwindSafe(|| recognizer.recognize(&request)))
        .unwrap_or_else(|_| Err(RecognizeError::Failed("it panicked".to_owned())));
    match result {
        Ok(hypothesis) => JobOutcome::Recognized(hypothesis),
        Err(error) => {
            if error != RecognizeError::Cancelled {
                tracing::error!(%error, priority = ?job.priority, "an utterance was not recognised");
            }
            JobOutcome::Failed(error)
        }
    }
}

impl WorkTotals {
    fn add(&mut self, job: &RecognitionJob, effort: Effort, time: Duration) {
        if job.priority == JobPriority::Final {
            self.fast_finals += u64::from(effort == Effort::Fast);
            self.final_audio += Duration::from_millis(job.clip.duration_ms());
            self.final_time += time;
        } else {
            self.partial_time += time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::recognizer::Hypothesis;
    use crate::engine::recognizer::ScriptedRecognizer;
    use crate::engine::segmenter::AudioClip;

    fn job(pass: u32, priority: JobPriority) -> RecognitionJob {
        RecognitionJob {
            track_id: TrackId(1),
            utterance: 1,
            pass,
            priority,
            clip: AudioClip {
                samples: vec![0; 16_000].into(),
                start: 0,
                speech: 0..16_000,
            },
            language: None,
            speech_ended_at: clock::now(),
            cancelled: Arc::default(),
        }
    }

    struct FailingWorkerRecognizer;

    impl Recognizer for FailingWorkerRecognizer {
        fn recognize(&mut self, _: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
            panic!("as the test wants")
        }
    }

    #[tokio::test]
    async fn every_job_is_answered() {
        let workers = Workers::start(vec![Box::new(ScriptedRecognizer::new(["hello there"]))]);
        let (reply, mut results) = mpsc::channel(8);
        workers.submit(job(1, JobPriority::Final), reply);
        let (track_id, result) = results.recv().await.unwrap();
        assert_eq!(track_id, TrackId(1));
        assert!(matches!(result.outcome, JobOutcome::Recognized(h) if h.text() == "hello there"));
        assert_eq!(workers.statistics().1.final_audio, Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_recogniser_that_panics_costs_one_utterance_and_no_thread() {
        let workers = Workers::start(vec![Box::new(FailingWorkerRecognizer)]);
        let (reply, mut results) = mpsc::channel(8);
        for pass in 1..=2 {
            workers.submit(job(pass, JobPriority::Final), reply.clone());
            let (_, result) = results.recv().await.unwrap();
            assert!(matches!(
                result.outcome,
                JobOutcome::Failed(RecognizeError::Failed(_))
            ));
        }
    }

    #[tokio::test]
    async fn jobs_that_never_run_are_answered_too() {
        let workers = Workers::start(vec![Box::new(ScriptedRecognizer::default())]);
        let (reply, mut results) = mpsc::channel(8);
        let cancelled = job(1, JobPriority::Final);
        cancelled.cancelled.store(true, Ordering::Relaxed);
        workers.submit(cancelled, reply);
        let (_, result) = results.recv().await.unwrap();
        assert!(matches!(result.outcome, JobOutcome::Dropped));
    }
}
