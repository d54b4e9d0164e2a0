//! Threads that own a recogniser each, and the queue they share. Decides nothing: the order is
//! the scheduler's.

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
use crate::engine::recognizer::Recognizer;
use crate::engine::recognizer::Request;
use crate::engine::scheduler::Counts;
use crate::engine::scheduler::Job;
use crate::engine::scheduler::Purpose;
use crate::engine::scheduler::Scheduler;
use crate::engine::scheduler::VoiceId;
use crate::engine::voice::Answer;
use crate::engine::voice::Outcome;

/// Added to the niceness of the threads that recognise, so that sockets, webhooks and the database are
/// served at once while every core recognises. Measured on two cores, with 8,400 attacking clients beside
/// two calls: webhooks are answered within 64 ms (p99) instead of 450, and last words come no later.
const NICENESS: i32 = 5;

/// An answer with the name of the voice that it is for.
pub type Addressed = (VoiceId, Answer);

/// Where a job's answer goes.
pub type Reply = mpsc::Sender<Addressed>;

/// The worker threads and their queue.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Stops passes that run.
    abandon: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    scheduler: Scheduler<Reply>,
    /// Answers for jobs that will not run, which a worker hands out.
    unrun: VecDeque<(Job, Reply, Outcome)>,
    work: Work,
    stopped: bool,
}

/// What the workers have done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Audio that finals were made from.
    pub final_audio: Duration,
    /// Thread time that finals took.
    pub final_time: Duration,
    /// Finals made quickly because others waited.
    pub hurried: u64,
    /// Thread time that partials took.
    pub partial_time: Duration,
}

impl Workers {
    /// One thread for each recogniser.
    pub fn start(recognizers: Vec<Box<dyn Recognizer>>) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = recognizers.into_iter().enumerate().map(|(n, recognizer)| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("recognizer-{n}"))
                .spawn(move || {
                    lower_priority();
                    run(&shared, recognizer);
                })
                .expect("the system can start one more thread")
        });
        let threads = Mutex::new(threads.collect());
        Self { shared, threads }
    }

    /// Queues a job; never waits. Its answer comes through `reply`, whatever becomes of it.
    pub fn submit(&self, job: Job, reply: Reply) {
        let mut queue = self.shared.lock();
        let refused = (job.voice, job.utterance, job.question);
        for (job, reply) in queue.scheduler.push(job, reply) {
            let is_new = (job.voice, job.utterance, job.question) == refused;
            let outcome = if is_new {
                Outcome::Refused
            } else {
                Outcome::Dropped
            };
            queue.unrun.push_back((job, reply, outcome));
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// How far the oldest waiting final is behind its speech.
    pub fn lag(&self) -> Duration {
        self.shared.lock().scheduler.lag(clock::now())
    }

    /// What became of the jobs, and what they cost.
    pub fn tally(&self) -> (Counts, Work) {
        let queue = self.shared.lock();
        (queue.scheduler.counts(), queue.work)
    }

    /// Stops: what runs is abandoned, what waits is dropped, the threads end. Blocks for the
    /// length of one encoder pass at most.
    pub fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.abandon.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join(); // a worker catches its panics, so this is no news
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing for a worker to do; `None` when it should end.
    fn next(&self) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some((job, reply, outcome)) = queue.unrun.pop_front() {
                return Some(Task::Tell(job, reply, outcome));
            }
            let (next, stale) = queue.scheduler.pop(clock::now());
            queue.unrun.extend(
                stale
                    .into_iter()
                    .map(|(job, reply)| (job, reply, Outcome::Dropped)),
            );
            if let Some((job, reply)) = next {
                let effort = match job.purpose {
                    Purpose::Final if queue.scheduler.is_pressed(&job, clock::now()) => {
                        Effort::Final
                    }
                    Purpose::Final => Effort::Careful,
                    Purpose::FirstPartial | Purpose::Partial => Effort::Draft,
                };
                return Some(Task::Run(job, reply, effort));
            }
            if queue.unrun.is_empty() {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

enum Task {
    Run(Job, Reply, Effort),
    Tell(Job, Reply, Outcome),
}

/// Lowers the priority of this thread. Elsewhere than on Linux that would be the whole process's.
fn lower_priority() {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "a recognition thread keeps the priority of the others");
    }
}

fn run(shared: &Shared, mut recognizer: Box<dyn Recognizer>) {
    while let Some(task) = shared.next() {
        let (job, reply, outcome) = match task {
            Task::Tell(job, reply, outcome) => (job, reply, outcome),
            Task::Run(job, reply, effort) => {
                let began = clock::now();
                let outcome = recognize(&mut *recognizer, &job, effort, &shared.abandon);
                shared.lock().work.add(&job, effort, clock::now() - began);
                (job, reply, outcome)
            }
        };
        let answer = Answer {
            utterance: job.utterance,
            question: job.question,
            outcome,
        };
        // A call that is gone wants no answer.
        let _ = reply.blocking_send((job.voice, answer));
    }
}

/// Runs one job on this thread.
pub(crate) fn recognize(
    recognizer: &mut dyn Recognizer,
    job: &Job,
    effort: Effort,
    cancelled: &AtomicBool,
) -> Outcome {
    let samples: Vec<f32> = job
        .clip
        .samples
        .iter()
        .map(|&s| f32::from(s) / 32_768.0)
        .collect();
    let request = Request {
        samples: &samples,
        speech_end_ms: job.clip.speech_end_ms(),
        effort,
        language: job.language.as_deref(),
        cancelled,
    };
    let result = catch_unwind(AssertUnwindSafe(|| recognizer.recognize(&request)))
        .unwrap_or_else(|_| Err(RecognizeError::Failed("it panicked".to_owned())));
    match result {
        Ok(hypothesis) => Outcome::Heard(hypothesis),
        Err(error) => {
            if error != RecognizeError::Cancelled {
                tracing::error!(%error, purpose = ?job.purpose, "an utterance was not recognised");
            }
            Outcome::Failed(error)
        }
    }
}

impl Work {
    fn add(&mut self, job: &Job, effort: Effort, time: Duration) {
        if job.purpose == Purpose::Final {
            self.hurried += u64::from(effort == Effort::Final);
            self.final_audio += Duration::from_millis(job.clip.ms());
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
    use crate::engine::segmenter::Clip;

    fn job(question: u32, purpose: Purpose) -> Job {
        Job {
            voice: VoiceId(1),
            utterance: 1,
            question,
            purpose,
            clip: Clip {
                samples: vec![0; 16_000].into(),
                start: 0,
                speech: 0..16_000,
            },
            language: None,
            heard_at: clock::now(),
            unwanted: Arc::default(),
        }
    }

    struct Panics;

    impl Recognizer for Panics {
        fn recognize(&mut self, _: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
            panic!("as the test wants")
        }
    }

    #[tokio::test]
    async fn every_job_is_answered() {
        let workers = Workers::start(vec![Box::new(ScriptedRecognizer::new(["hello there"]))]);
        let (reply, mut answers) = mpsc::channel(8);
        workers.submit(job(1, Purpose::Final), reply);
        let (voice, answer) = answers.recv().await.unwrap();
        assert_eq!(voice, VoiceId(1));
        assert!(matches!(answer.outcome, Outcome::Heard(h) if h.text() == "hello there"));
        assert_eq!(workers.tally().1.final_audio, Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_recogniser_that_panics_costs_one_utterance_and_no_thread() {
        let workers = Workers::start(vec![Box::new(Panics)]);
        let (reply, mut answers) = mpsc::channel(8);
        for question in 1..=2 {
            workers.submit(job(question, Purpose::Final), reply.clone());
            let (_, answer) = answers.recv().await.unwrap();
            assert!(matches!(
                answer.outcome,
                Outcome::Failed(RecognizeError::Failed(_))
            ));
        }
    }

    #[tokio::test]
    async fn jobs_that_never_run_are_answered_too() {
        let workers = Workers::start(vec![Box::new(ScriptedRecognizer::default())]);
        let (reply, mut answers) = mpsc::channel(8);
        let unwanted = job(1, Purpose::Final);
        unwanted.unwanted.store(true, Ordering::Relaxed);
        workers.submit(unwanted, reply);
        let (_, answer) = answers.recv().await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Dropped));
    }
}
