//! Twilio's protocols, translated into this crate's types. Twilio's own names stay inside this module.
//!
//! An outgoing call of a browser, as this module sees it:
//!
//! ```text
//! browser            Twilio                                  server
//!   │ connect(To) ──►│ POST /voice ───────────────────────►  │ signature, webhook::VoiceRequest
//!   │                │ ◄─────────────────────────────── XML  │ twiml: Say, Start Stream, Dial Number
//!   │                │ wss /media/… ──────────────────────►  │ signature, stream
//!   │                │ POST /api/calls/status ────────────►  │ webhook::CallStatusCallback
//!   │ ◄── the other party talks ──►                          │
//!   │                │ POST /voice/ended ─────────────────►  │ webhook::DialEnded
//!   │                │ ◄─────────────────────────────── XML  │ twiml: Hangup
//! ```
//!
//! Before the call, the browser registers with Twilio by a [`token`]. Events outside the call's request chain
//! also arrive as webhooks: status callbacks of recordings, of streams, and of Twilio's own transcription
//! ([`webhook`]).

pub mod api;
pub mod public_url;
pub mod region;
pub mod signature;
pub mod stream;
pub mod token;
pub mod tracks;
pub mod twiml;
pub mod webhook;
