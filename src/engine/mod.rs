//! Live speech recognition: the audio of each track in, partials and finals out. Knows nothing of
//! Twilio, HTTP or WebSockets.
//!
//! ```text
//!   media task, one per call                 │  worker threads, one per core
//!                                            │
//!     frames                                 │
//!       ▼                                    │
//!   TrackPipeline ── RecognitionJob ──► Engine::submit ──► scheduler ──► Recognizer
//!       │   ▲                                │                     (native or whisper.cpp)
//!       │   └──────── JobResult ◄────────────┼─────────────────────────────┘
//!       ▼                                    │
//!     partials, finals                       │
//! ```
//!
//! An utterance, step by step:
//!
//! 1. [`track`] decodes the μ-law frames of one track, places them on the call's clock and
//!    resamples them to 16 kHz.
//! 2. [`vad`] classifies each 16 ms of audio as speech or not; [`segmenter`] finds the start and
//!    the end of the utterance.
//! 3. While the party speaks, the track submits the audio so far as jobs for partials; from the
//!    first pause on, it submits a job for the final. [`scheduler`] orders the jobs of all tracks,
//!    finals first, and the threads of [`workers`] run them.
//! 4. A [`recognizer::Recognizer`] returns timed words. [`native`] runs the models up to the size
//!    of small, [`whisper`] all others; [`model`] chooses. [`hallucination`] constrains the
//!    decoding, so that it neither loops nor ends early, [`decoded`] groups tokens into words,
//!    [`number_format`] and [`obscenity`] edit the words.
//! 5. [`stabilizer`] settles the words on which successive hypotheses agree, and the track
//!    publishes a partial. The final pass settles all words: the track publishes a segment.
//!
//! A [`track::TrackPipeline`] is a pure state machine; the [`Engine`] is the worker pool that the
//! tracks of all calls share. The media task also asks [`echo`] whether an utterance is an echo of
//! the other party, and [`language`] whether a party speaks another language than the expected one.
//! [`offline`] runs one track by audio time, for files and for measurements that do not depend on
//! the machine.

pub mod decoded;
pub mod echo;
pub mod hallucination;
pub mod language;
pub mod model;
pub mod native;
pub mod number_format;
pub mod obscenity;
pub mod offline;
pub mod recognizer;
pub mod scheduler;
pub mod segmenter;
pub mod stabilizer;
pub mod track;
pub mod vad;
pub mod whisper;
pub mod workers;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::recognizer::Recognizer;
use crate::engine::scheduler::RecognitionJob;
use crate::engine::scheduler::SchedulerCounts;
use crate::engine::scheduler::TrackId;
use crate::engine::workers::ResultSender;
use crate::engine::workers::WorkTotals;
use crate::engine::workers::Workers;
use crate::transcript::EngineHealth;

/// Lag of the oldest waiting final above which listeners are informed that the engine is behind.
const BEHIND_LAG: Duration = Duration::from_millis(1_500);

/// The recognizers that all calls of this process share.
#[derive(Debug)]
pub struct Engine {
    workers: Workers,
    track_ids: AtomicU64,
}

impl Engine {
    /// Starts one worker thread per recognizer.
    pub fn start(recognizers: Vec<Box<dyn Recognizer>>) -> Self {
        Self {
            workers: Workers::start(recognizers),
            track_ids: AtomicU64::new(1),
        }
    }

    /// Returns an identifier for a new track, unique within the engine.
    pub fn next_track_id(&self) -> TrackId {
        TrackId(self.track_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a job; never waits. `reply` receives a result in every case: recognised, failed,
    /// dropped or refused.
    pub fn submit(&self, job: RecognitionJob, reply: ResultSender) {
        self.workers.submit(job, reply);
    }

    /// Returns whether finals are on time, and the lag of the oldest waiting final: the time since
    /// the end of its speech.
    pub fn health(&self) -> (EngineHealth, Duration) {
        let lag = self.workers.final_lag();
        (
            if lag > BEHIND_LAG {
                EngineHealth::Behind
            } else {
                EngineHealth::Ok
            },
            lag,
        )
    }

    /// Returns the counts of jobs by outcome, and the totals of the workers' work.
    pub fn statistics(&self) -> (SchedulerCounts, WorkTotals) {
        self.workers.statistics()
    }

    /// Stops the worker threads. Waiting jobs are dropped without a result, so end the calls first.
    pub fn stop(&self) {
        self.workers.stop();
    }
}
