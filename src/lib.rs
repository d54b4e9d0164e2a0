//! CallBurner: a self-hosted softphone on Twilio that writes down both sides of every call, live.
//!
//! # The machine
//!
//! ```text
//!                     one call                                       many listeners
//!  Twilio ──wss──► twilio::stream ──► call ──► engine ──► call ──► hub ──► api::live ──wss──► browser
//!                  JSON → frames       │                   ▲
//!                                      ▼                   │ partials, finals
//!                    engine::voice, one for each track     │
//!   ┌───────────────────────────────────────────────────┐  │
//!   │ audio::mulaw      G.711 bytes  → samples          │  │
//!   │ audio::timeline   timestamps   → the call's clock │  │
//!   │ audio::resample   8 kHz        → 16 kHz           │  │
//!   │ engine::vad       16 ms frames → speech or not    │  │
//!   │ engine::segmenter frames       → utterances       │  │
//!   │ engine::stabilizer hypotheses  → settled words    │──┘
//!   └───────────┬───────────────────────────▲───────────┘
//!          jobs ▼                           │ hypotheses
//!        engine::scheduler ──► engine::workers ──► engine::native (one thread a core)
//! ```
//!
//! Beside its audio, a call is a record, a few questions of Twilio's, and what users ask for:
//!
//! ```text
//!  Twilio ──POST /voice, …/status──► api::twilio ──► desk ───► store ◄── scribe ◄── hub
//!     ▲                              signatures       │ │                finals, as they settle
//!     │                                               │ └────► hub ──► api::live ──wss──► browser
//!     └──── twilio::rest ◄── recordings, new streams ─┘
//!                            where a call is, if it was not told
//!           browser ──► api::{token, calls, recordings} ──► desk         access: who may
//!           call ── samples ──► archive                                  dialing: whom one may call
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
//! access archive dialing engine export hub measure models store twilio  strangers to each other
//! config                                      settings, checked at the start
//! scribe                                      what is published, written down
//! player                                      stands in for Twilio
//! call desk                                   one live call: its audio; all that is beside it
//! api                                         doors: HTTP and WebSocket
//! app                                         the server, composed
//! rehearsal                                   a call through the server, and what was heard
//! cli                                         commands
//! ```
//!
//! Start reading at [`engine::voice`] for the heart, at [`call`] for the wiring, at [`desk`] for
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
pub mod export;
pub mod hub;
pub mod measure;
pub mod models;
pub mod store;
pub mod twilio;

pub mod config;

pub mod scribe;

pub mod player;

pub mod call;
pub mod desk;

pub mod api;

pub mod app;

pub mod rehearsal;

pub mod cli;

#[cfg(test)]
mod tests;
