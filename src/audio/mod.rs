//! Samples: from Twilio's bytes to 16 kHz on the call's clock. Has never heard of Twilio, of
//! sockets, or of words. Pure, but for `recording`, which reads files.

pub mod level;
pub mod mulaw;
pub mod ogg;
pub mod ogg_opus;
pub mod opus;
pub mod recording;
pub mod resample;
pub mod timeline;

/// Samples a second on the telephone line.
pub const LINE_HZ: u32 = 8_000;

/// Samples in a millisecond of line audio.
pub const LINE_SAMPLES_PER_MS: u64 = LINE_HZ as u64 / 1_000;

/// Samples a second that voice detection and Whisper want.
pub const SPEECH_HZ: u32 = 16_000;

/// Samples of −1 to 1 as 16 bits; louder ones are clipped.
pub fn to_i16(samples: &[f32]) -> Vec<i16> {
    let one = |&sample: &f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    samples.iter().map(one).collect()
}
