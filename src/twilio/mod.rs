//! Twilio's protocols in our words. Twilio's own words stay inside.
//!
//! One call that a browser makes, as this module sees it:
//!
//! ```text
//! browser            Twilio                                  we
//!   │ connect(To) ──►│ POST /voice ───────────────────────►  │ signature, webhook::VoiceRequest
//!   │                │ ◄─────────────────────────────── XML  │ twiml: Say, Start Stream, Dial Number
//!   │                │ wss /media/… ──────────────────────►  │ signature, stream
//!   │                │ POST /api/calls/status ────────────►  │ webhook::CallStatusCallback
//!   │ ◄── the other party talks ──►                          │
//!   │                │ POST /voice/ended ─────────────────►  │ webhook::DialEnded
//!   │                │ ◄─────────────────────────────── XML  │ twiml: Hangup
//! ```
//!
//! Before all that the browser has registered with a [`token`]. What nobody awaits comes as a
//! callback too: of recordings, of streams, and of Twilio's own transcription ([`webhook`]).

pub mod api;
pub mod public_url;
pub mod region;
pub mod signature;
pub mod stream;
pub mod token;
pub mod tracks;
pub mod twiml;
pub mod webhook;
