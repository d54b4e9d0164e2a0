//! CallBurner: a self-hosted softphone on Twilio that writes down both sides of every call, live.
//!
//! # The machine
//!
//! ```text
//!                 one call                                                      many listeners
//!  Twilio ─wss─► twilio::stream ─► media_task ─► engine ─► media_task ─► hub ─► api::live ─wss─► browser
//!                JSON → frames        │                       ▲
//!                                     ▼                       │ partials, finals
//!                   engine::track, one for each track         │
//!   ┌───────────────────────────────────────────────────┐     │
//!   │ audio::mulaw      G.711 bytes  → samples          │     │
//!   │ audio::timeline   timestamps   → the call's clock │     │
//!   │ audio::resample   8 kHz        → 16 kHz           │     │
//!   │ engine::vad       16 ms frames → speech or not    │     │
//!   │ engine::segmenter frames       → utterances       │     │
//!   │ engine::stabilizer hypotheses  → settled words    │─────┘
//!   └───────────┬───────────────────────────▲───────────┘
//!          jobs ▼                           │ hypotheses
//!        engine::scheduler ──► engine::workers ──► engine::native (one thread a core)
//! ```
//!
//! Beside its audio, a call is a record, a few questions of Twilio's, and what users ask for:
//!
//! ```text
//!  Twilio ──POST /voice, …/status──► api::twilio ──► calls ──► store ◄── transcript_writer ◄── hub
//!     ▲                              signatures       │ │                finals, as they settle
//!     │                                               │ └────► hub ──► api::live ──wss──► browser
//!     └───── twilio::api ◄── recordings, new streams ─┘
//!                            where a call is, if it was not told
//!           browser ──► api::{token, calls, recordings} ──► calls           access: who may
//!           media_task ── samples ──► archive                               dialing: whom one may call
//! ```
//!
//! # The layers
//!
//! Data goes round as drawn; knowledge goes down this list. A module may name only modules of the
//! lines above its own, so that `audio` has never heard of Twilio, `engine` has never heard of
//! HTTP, and `twilio` has never heard of Whisper. `tests::tidy` reads this list, and holds the code
//! to it.
//!
//! ```text
//! limits                                      every bound
//! clock ids                                   the time; names of things
//! tasks telemetry                             what runs; what is logged
//! transcript                                  what the engine says and a browser hears
//! metrics                                     figures for the operator
//! audio                                       bytes of the line, samples, recordings
//! access archive dialing engine eval export hub models store twilio  strangers to each other
//! config                                      settings, checked at the start
//! transcript_writer                           what is published, written down
//! twilio_sim                                  stands in for Twilio
//! calls media_task                            one live call: all that is beside its audio; its audio
//! api                                         endpoints: HTTP and WebSocket
//! app                                         the server, composed
//! loopback                                    a call through the server, and what was heard
//! cli                                         commands
//! ```
//!
//! Start reading at [`engine::track`] for the heart, at [`media_task`] for the wiring, at [`calls`] for
//! what Twilio asks and tells, at [`app`] for the composition of the server.

pub mod limits;

pub mod clock;
pub mod ids;

pub mod tasks;
pub mod telemetry;

pub mod transcript;

pub mod metrics;

pub mod audio;

pub mod access;
pub mod archive;
pub mod dialing;
pub mod engine;
pub mod eval;
pub mod export;
pub mod hub;
pub mod models;
pub mod store;
pub mod twilio;

pub mod config;

pub mod transcript_writer;

pub mod twilio_sim;

pub mod calls;
pub mod media_task;

pub mod api;

pub mod app;

pub mod loopback;

pub mod cli;

#[cfg(test)]
mod tests;
