//! Samples: from Twilio's bytes to 16 kHz on the call's clock. Has never heard of Twilio, of
//! sockets, or of words. Pure, but for `recording`, which reads files.

pub mod mulaw;
pub mod recording;
pub mod resample;
pub mod timeline;

/// Samples a second on the telephone line.
pub const LINE_HZ: u32 = 8_000;

/// Samples a second that voice detection and Whisper want.
pub const SPEECH_HZ: u32 = 16_000;
