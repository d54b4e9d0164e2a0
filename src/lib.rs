//! CallBurner: a self-hosted softphone on Twilio that writes down both sides of every call, live.
//!
//! # The machine
//!
//! ```text
//!                     one call                                       many listeners
//!  Twilio ──wss──► twilio::stream ──► call ──► engine ──► call ──► hub ──► api::live ──wss──► browser
//!                  JSON → frames       │                   ▲
//!                                      ▼                   │ partials, finals
//!                    engine::track, one for each track     │
//!   ┌───────────────────────────────────────────────────┐  │
//!   │ audio::mulaw      G.711 bytes  → samples          │  │
//!   │ audio::timeline   timestamps   → the call's clock │  │
//!   │ audio::resample   8 kHz        → 16 kHz           │  │
//!   │ engine::vad       16 ms frames → speech or not    │  │
//!   │ engine::segmenter frames       → utterances       │  │
//!   │ engine::stabilizer hypotheses  → settled words    │──┘
//!   └───────────┬───────────────────────────▲───────────┘
//!          jobs ▼                           │ hypotheses
//!        engine::scheduler ──► engine::workers ──► engine::whisper (one thread, one state a core)
//! ```
//!
//! Data goes round as drawn; knowledge goes down the list below. A module may name only modules
//! above it in this list (`tests::tidy` holds it to that), so `audio` has never heard of Twilio,
//! `engine` has never heard of HTTP, and `twilio` has never heard of Whisper.
//!
//! Start reading at [`engine::track`] for the heart, at [`call`] for the wiring, at [`app`] for
//! the composition of the server.

pub mod limits;

pub mod clock;
pub mod ids;
pub mod tasks;
pub mod telemetry;

pub mod transcript;

pub mod audio;

pub mod twilio;

pub mod player;
