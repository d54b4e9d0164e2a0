//! Audio: from Twilio's bytes to 16 kHz samples on the call's clock. Independent of Twilio's protocol, of
//! sockets and of recognition. Pure, except for `recording`, which reads files.

pub mod level;
pub mod mulaw;
pub mod ogg;
pub mod ogg_opus;
pub mod opus;
pub mod recording;
pub mod resample;
pub mod timeline;

/// Sample rate of the telephone line, in Hz.
pub const LINE_HZ: u32 = 8_000;

/// Samples in a millisecond of line audio.
pub const LINE_SAMPLES_PER_MS: u64 = LINE_HZ as u64 / 1_000;

/// Sample rate of voice activity detection and of Whisper, in Hz.
pub const SPEECH_HZ: u32 = 16_000;

/// Converts samples of −1 to 1 to 16 bits; clips louder ones.
pub fn to_i16(samples: &[f32]) -> Vec<i16> {
    let one = |&sample: &f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    samples.iter().map(one).collect()
}
