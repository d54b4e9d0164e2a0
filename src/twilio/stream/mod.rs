//! Media Streams: one call's audio, pushed to us over a WebSocket while people talk
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).
//!
//! ```text
//! Twilio                                          we
//!   │ GET, Upgrade, X-Twilio-Signature             │
//!   ├─────────────────────────────────────────────►│ signature
//!   │ connected                                    │
//!   │ start  sequence 1: SIDs, tracks, parameters  │ Started
//!   │ media  sequence 2, 3, …: 20 ms of one track  │ Audio
//!   │ stop                                         │ Ended
//!   ▼ close                                        ▼
//! ```

pub mod message;
pub mod session;
