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
//! A [`voice::Voice`] is one track, a pure state machine; the [`Engine`] is the pool that all
//! voices share. [`offline`] drives one voice by audio time, for files and for measurements that
//! do not depend on the machine.

pub mod echo;
pub mod guard;
pub mod heard;
pub mod language;
pub mod model;
pub mod native;
pub mod obscenity;
pub mod offline;
pub mod recognizer;
pub mod scheduler;
pub mod segmenter;
pub mod stabilizer;
pub mod vad;
pub mod voice;
pub mod whisper;
pub mod workers;
pub mod written;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::recognizer::Recognizer;
use crate::engine::scheduler::Counts;
use crate::engine::scheduler::Job;
use crate::engine::scheduler::VoiceId;
use crate::engine::workers::Reply;
use crate::engine::workers::Work;
use crate::engine::workers::Workers;
use crate::transcript::EngineHealth;

/// Finals that wait longer than this are late, and listeners are told.
const BEHIND: Duration = Duration::from_millis(1_500);

/// The recognisers that all calls of this process share.
#[derive(Debug)]
pub struct Engine {
    workers: Workers,
    voices: AtomicU64,
}

impl Engine {
    /// Starts one worker thread for each recogniser.
    pub fn start(recognizers: Vec<Box<dyn Recognizer>>) -> Self {
        Self {
            workers: Workers::start(recognizers),
            voices: AtomicU64::new(1),
        }
    }

    /// A name for a new voice.
    pub fn voice(&self) -> VoiceId {
        VoiceId(self.voices.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a job; never waits. The answer comes through `reply`, whatever becomes of the job.
    pub fn submit(&self, job: Job, reply: Reply) {
        self.workers.submit(job, reply);
    }

    /// How the engine keeps up, and how far the oldest waiting final is behind.
    pub fn health(&self) -> (EngineHealth, Duration) {
        let lag = self.workers.lag();
        (
            if lag > BEHIND {
                EngineHealth::Behind
            } else {
                EngineHealth::Ok
            },
            lag,
        )
    }

    /// What became of the jobs so far, and what they cost.
    pub fn tally(&self) -> (Counts, Work) {
        self.workers.tally()
    }

    /// Ends the worker threads; what still waits is dropped unanswered, so end the calls first.
    pub fn stop(&self) {
        self.workers.stop();
    }
}
