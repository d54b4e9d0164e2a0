//! Media Streams: the audio of a call, sent by Twilio over a WebSocket during the call
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).
//!
//! ```text
//! Twilio                                          server
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
