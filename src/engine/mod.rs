//! Speech to text, live: voices in, words out. Has never heard of Twilio, HTTP or WebSockets.
//!
//! ```text
//!   call task                        │ worker threads, one a core
//!   ─────────                        │ ──────────────
//!   voice ── Job ──► Engine::submit ─┼─► scheduler ──► recognizer (native, or whisper)
//!     ▲                              │                     │
//!     └────── Answer ◄── reply ◄─────┼─────────────────────┘
//! ```
//!
//! A [`track::TrackPipeline`] is one track, a pure state machine; the [`Engine`] is the pool that all
//! voices share. [`offline`] drives one voice by audio time, for files and for measurements that
//! do not depend on the machine.

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

/// Finals that wait longer than this are late, and listeners are told.
const BEHIND_LAG: Duration = Duration::from_millis(1_500);

/// The recognisers that all calls of this process share.
#[derive(Debug)]
pub struct Engine {
    workers: Workers,
    track_ids: AtomicU64,
}

impl Engine {
    /// Starts one worker thread for each recogniser.
    pub fn start(recognizers: Vec<Box<dyn Recognizer>>) -> Self {
        Self {
            workers: Workers::start(recognizers),
            track_ids: AtomicU64::new(1),
        }
    }

    /// A name for a new voice.
    pub fn next_track_id(&self) -> TrackId {
        TrackId(self.track_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a job; never waits. The answer comes through `reply`, whatever becomes of the job.
    pub fn submit(&self, job: RecognitionJob, reply: ResultSender) {
        self.workers.submit(job, reply);
    }

    /// How the engine keeps up, and how far the oldest waiting final is behind.
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

    /// What became of the jobs so far, and what they cost.
    pub fn statistics(&self) -> (SchedulerCounts, WorkTotals) {
        self.workers.statistics()
    }

    /// Ends the worker threads; what still waits is dropped unanswered, so end the calls first.
    pub fn stop(&self) {
        self.workers.stop();
    }
}
