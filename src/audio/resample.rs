//! Converts sample rates: 8 kHz telephone samples to 16 kHz for voice activity detection and Whisper, as they
//! arrive, and any rate to any other for recordings. Hides rubato's buffers. Pure: no I/O.
//!
//! # Choice of the resampler
//!
//! Measured with tones from 300 to 3,400 Hz, 8 to 16 kHz (rubato 5.0.1, 2026-11). *Image* is the mirrored
//! tone that a bad resampler leaves above 4 kHz, *ripple* the largest change of level, *wait* the block that
//! has to fill first, *delay* that of the filter, *cost* is on one core:
//!
//! | resampler | image | ripple | wait + delay | cost |
//! |---|---|---|---|---|
//! | FFT, block 40, Blackman | −119 dB | 6.2 dB | 5 + 2.5 ms | 15 M samples/s |
//! | FFT, block 80, Blackman–Harris² (rubato's default) | −152 dB | 10.4 dB | 10 + 5 ms | 16 M |
//! | **FFT, block 80, Blackman** | **−125 dB** | **0.001 dB** | **10 + 5 ms** | **15 M** |
//! | FFT, block 160, Blackman–Harris² | −153 dB | 0.002 dB | 20 + 10 ms | 22 M |
//! | sinc, length 64, Blackman | −93 dB | 0.2 dB | 10 + 2 ms | 5 M |
//! | sinc, length 96, Blackman | −96 dB | 0.001 dB | 10 + 3 ms | 4 M |
//!
//! Twilio's frame of 20 ms is two blocks of 80, so in practice nothing waits, and the live path has only the
//! delay of 5 ms.

use rubato::Fft;
use rubato::FixedSync;
use rubato::Resampler;
use rubato::WindowFunction;
use rubato::audioadapter_buffers::direct::InterleavedSlice;

use crate::audio::LINE_HZ;
use crate::audio::SPEECH_HZ;

/// Input samples that the live path converts at a time: 10 ms.
const LIVE_BLOCK_SAMPLES: usize = 80;

/// Approximate input samples that recordings are converted by: a steeper filter, since delay is free.
const RECORDING_BLOCK_SAMPLES: usize = 1_024;

/// Highest accepted rate: a higher one is a sign of a broken header.
pub const RATE_HZ_MAX: u32 = 384_000;

/// A sample rate that is zero or above [`RATE_HZ_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot convert {from_hz} Hz to {to_hz} Hz; both must be from 1 to {RATE_HZ_MAX} Hz")]
pub struct RateError {
    from_hz: u32,
    to_hz: u32,
}

/// Converts 8 kHz to 16 kHz for one live track. Sample `2n` of the output is at the time of sample `n` of the
/// input; the output is the same to the bit however the input is split.
#[derive(Debug)]
pub struct Upsampler {
    converter: RateConverter,
}

impl Upsampler {
    /// Creates an upsampler without input.
    pub fn new() -> Self {
        let fft = new_fft(LINE_HZ, SPEECH_HZ, LIVE_BLOCK_SAMPLES);
        Self {
            converter: RateConverter::from_fft(fft, LINE_HZ, SPEECH_HZ),
        }
    }

    /// Takes any number of samples; appends the output that is ready, in −1 to 1.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<f32>) {
        self.converter.push_samples(
            samples.iter().map(|&sample| f32::from(sample) / 32_768.0),
            out,
        );
    }

    /// Appends the rest of the output, so that there are two samples for each input sample, then resets.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        self.converter.flush(out);
    }

    /// Discards the samples inside and restarts: after a jump of the clock.
    pub fn reset(&mut self) {
        self.converter.reset();
    }
}

impl Default for Upsampler {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts one channel from any rate to any other, piece by piece, so that long recordings need no memory.
#[derive(Debug)]
pub struct RateConverter {
    fft: Fft<f32>,
    from_hz: u32,
    to_hz: u32,
    /// Input that does not fill a block.
    pending_input: Vec<f32>,
    /// Buffer for one block of output.
    output_block: Vec<f32>,
    /// Output samples of the filter's delay that remain to be dropped.
    skip_samples: usize,
    received_samples: u64,
    emitted_samples: u64,
}

impl RateConverter {
    /// Creates a converter between two rates in Hz. An error when one of them is outside 1 to
    /// [`RATE_HZ_MAX`].
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, RateError> {
        let known = 1..=RATE_HZ_MAX;
        if !known.contains(&from_hz) || !known.contains(&to_hz) {
            return Err(RateError { from_hz, to_hz });
        }
        Ok(Self::from_fft(
            new_fft(from_hz, to_hz, RECORDING_BLOCK_SAMPLES),
            from_hz,
            to_hz,
        ))
    }

    /// Takes any number of samples; appends the output that is ready.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.push_samples(samples.iter().copied(), out);
    }

    /// Appends the rest of the output, so that it is as long as the input, then resets.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        let owed =
            (self.received_samples * u64::from(self.to_hz)).div_ceil(u64::from(self.from_hz));
        while self.emitted_samples < owed {
            self.pending_input.resize(self.fft.input_frames_next(), 0.0);
            self.convert_block(out);
        }
        out.truncate(out.len() - (self.emitted_samples - owed) as usize);
        self.reset();
    }

    /// Discards the samples inside and restarts.
    pub fn reset(&mut self) {
        self.fft.reset();
        self.pending_input.clear();
        self.skip_samples = self.fft.output_delay();
        self.received_samples = 0;
        self.emitted_samples = 0;
    }

    fn from_fft(fft: Fft<f32>, from_hz: u32, to_hz: u32) -> Self {
        Self {
            from_hz,
            to_hz,
            pending_input: Vec::with_capacity(fft.input_frames_max()),
            output_block: vec![0.0; fft.output_frames_max()],
            skip_samples: fft.output_delay(),
            received_samples: 0,
            emitted_samples: 0,
            fft,
        }
    }

    fn push_samples(&mut self, samples: impl Iterator<Item = f32>, out: &mut Vec<f32>) {
        let wanted = self.fft.input_frames_next();
        for sample in samples {
            self.pending_input.push(sample);
            self.received_samples += 1;
            if self.pending_input.len() == wanted {
                self.convert_block(out);
            }
        }
    }

    fn convert_block(&mut self, out: &mut Vec<f32>) {
        let (frames_in, frames_out) = (self.pending_input.len(), self.output_block.len());
        let input = InterleavedSlice::new(&self.pending_input, 1, frames_in)
            .expect("one channel of that many frames is that many samples");
        let mut output = InterleavedSlice::new_mut(&mut self.output_block, 1, frames_out)
            .expect("one channel of that many frames is that many samples");
        let (_, made) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .expect("both buffers have the sizes that the resampler asked for");
        self.pending_input.clear();
        let skipped = self.skip_samples.min(made);
        self.skip_samples -= skipped;
        self.emitted_samples += (made - skipped) as u64;
        out.extend_from_slice(&self.output_block[skipped..made]);
    }
}

/// Converts a whole recording from `from_hz` to `to_hz`; its duration stays the same, to the sample.
#[cfg(test)]
pub fn resample_to(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, RateError> {
    let mut converter = RateConverter::new(from_hz, to_hz)?;
    if from_hz == to_hz {
        return Ok(samples.to_vec());
    }
    let mut out = Vec::new();
    converter.push(samples, &mut out);
    converter.flush(&mut out);
    Ok(out)
}

/// Creates a resampler of blocks of at least `block` input samples.
fn new_fft(from_hz: u32, to_hz: u32, block: usize) -> Fft<f32> {
    let window = WindowFunction::Blackman;
    // An even block has the middle of its filter on a sample, so that the delay is a whole number.
    let step = 2 * from_hz as usize / gcd(from_hz, to_hz) as usize;
    let block = block.div_ceil(step) * step;
    Fft::new_custom(
        from_hz as usize,
        to_hz as usize,
        block,
        1,
        1,
        window,
        FixedSync::Both,
    )
    .expect("rates and block are not zero")
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn tone(hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| ((TAU * hz * n as f64 / f64::from(rate_hz)).sin() * 16_000.0) as i16)
            .collect()
    }

    /// Ten tones of the speech band at once, and a sweep through it.
    fn speech_band() -> Vec<i16> {
        (0..24_000)
            .map(|n| {
                let s = f64::from(n) / 8_000.0;
                let chord: f64 = (0..10)
                    .map(|k| (TAU * (307.0 + 339.0 * f64::from(k)) * s).sin())
                    .sum();
                let sweep = (TAU * (300.0 * s + 3_100.0 / 6.0 * s * s)).sin();
                (chord * 1_500.0 + sweep * 8_000.0) as i16
            })
            .collect()
    }

    /// Noise between 0 and 3.4 kHz: two thousand tones of fixed, disorderly phases.
    fn band_noise() -> Vec<i16> {
        (0..8_000)
            .map(|n| {
                let s = f64::from(n) / 8_000.0;
                let sum: f64 = (0..850)
                    .map(|k| (TAU * (4.0 * f64::from(k) * s + 0.618_034 * f64::from(k * k))).sin())
                    .sum();
                (sum * 250.0) as i16
            })
            .collect()
    }

    fn upsample(samples: &[i16]) -> Vec<f32> {
        let mut upsampler = Upsampler::new();
        let mut out = Vec::new();
        upsampler.push(samples, &mut out);
        upsampler.flush(&mut out);
        out
    }

    /// Amplitude of one frequency under a Hann window.
    fn amplitude(samples: &[f32], hz: f64, rate_hz: f64) -> f64 {
        let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
        for (n, &sample) in samples.iter().enumerate() {
            let hann = 0.5 - 0.5 * (TAU * n as f64 / samples.len() as f64).cos();
            let (sin, cos) = (TAU * hz * n as f64 / rate_hz).sin_cos();
            re += hann * f64::from(sample) * cos;
            im += hann * f64::from(sample) * sin;
            weight += hann;
        }
        2.0 * re.hypot(im) / weight
    }

    fn snr_db(wanted: &[f32], got: &[f32]) -> f64 {
        let energy = |x: f64| x * x;
        let signal: f64 = wanted.iter().map(|&w| energy(w.into())).sum();
        let error: f64 = wanted
            .iter()
            .zip(got)
            .map(|(&w, &g)| energy(f64::from(w - g)))
            .sum();
        10.0 * (signal / error).log10()
    }

    #[test]
    fn the_speech_band_keeps_its_level_and_leaves_no_image() {
        for hz in (300..=3_400).step_by(100) {
            let hz = f64::from(hz);
            let out = upsample(&tone(hz, 8_000, 8_000));
            let middle = &out[4_000..12_000];
            let level = 20.0 * (amplitude(middle, hz, 16_000.0) * 32_768.0 / 16_000.0).log10();
            assert!(level.abs() < 0.01, "{hz} Hz came out at {level:.4} dB");
            let image = 20.0 * (amplitude(middle, 8_000.0 - hz, 16_000.0) * 2.0).log10();
            assert!(image < -100.0, "{hz} Hz left an image of {image:.1} dB");
        }
    }

    #[test]
    fn every_second_sample_is_the_one_that_went_in() {
        let audio = speech_band();
        let out = upsample(&audio);
        for n in 200..audio.len() - 200 {
            let error = (out[2 * n] - f32::from(audio[n]) / 32_768.0).abs();
            assert!(error < 2e-4, "sample {n} is off by {error}");
        }
    }

    #[test]
    fn an_impulse_stays_where_it_is() {
        let mut audio = vec![0; 1_000];
        audio[333] = i16::MAX;
        let out = upsample(&audio);
        let peak = (0..out.len()).max_by(|&a, &b| out[a].abs().total_cmp(&out[b].abs()));
        assert_eq!(peak, Some(666));
    }

    #[test]
    fn twice_as_many_samples_come_out_whatever_went_in() {
        for length in 0..=500 {
            assert_eq!(upsample(&vec![1_000; length]).len(), 2 * length);
        }
    }

    #[test]
    fn after_a_flush_or_a_reset_nothing_of_the_past_is_left() {
        let fresh = upsample(&tone(440.0, 8_000, 333));
        let mut upsampler = Upsampler::new();
        let mut past = Vec::new();
        upsampler.push(&tone(1_000.0, 8_000, 777), &mut past);
        upsampler.reset();
        for _ in 0..2 {
            let mut out = Vec::new();
            upsampler.push(&tone(440.0, 8_000, 333), &mut out);
            upsampler.flush(&mut out);
            assert_eq!(out, fresh);
        }
    }

    #[test]
    fn sox_agrees_in_the_speech_band() {
        for (name, audio) in [("sweep and chord", speech_band()), ("noise", band_noise())] {
            let ours = upsample(&audio);
            let theirs = sox(&audio);
            assert_eq!(ours.len(), theirs.len());
            let middle = 800..ours.len() - 800;
            let snr = snr_db(&theirs[middle.clone()], &ours[middle]);
            assert!(snr >= 60.0, "{name}: {snr:.1} dB");
        }
    }

    #[test]
    fn recordings_of_any_rate_keep_pitch_time_and_length() {
        for from_hz in [8_000_u32, 11_025, 22_050, 44_100, 48_000] {
            for to_hz in [8_000_u32, 16_000] {
                let second = |rate: u32| -> Vec<f32> {
                    (0..rate + 7)
                        .map(|n| (TAU * 440.0 * f64::from(n) / f64::from(rate)).sin() as f32)
                        .collect()
                };
                let out = resample_to(&second(from_hz), from_hz, to_hz).unwrap();
                let wanted = u64::from(from_hz + 7) * u64::from(to_hz);
                assert_eq!(out.len() as u64, wanted.div_ceil(u64::from(from_hz)));
                let middle = 2_000..to_hz as usize - 2_000;
                let snr = snr_db(&second(to_hz)[middle.clone()], &out[middle]);
                assert!(snr >= 60.0, "{from_hz} to {to_hz} Hz: {snr:.1} dB");
            }
        }
    }

    #[test]
    fn rates_that_do_not_exist_are_refused() {
        for (from_hz, to_hz) in [(0, 8_000), (8_000, 0), (u32::MAX, 8_000)] {
            assert_eq!(
                resample_to(&[], from_hz, to_hz),
                Err(RateError { from_hz, to_hz })
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_bits(
            pieces in prop::collection::vec(1_usize..=400, 1..60),
        ) {
            let audio = tone(1_234.5, 8_000, pieces.iter().sum());
            let mut upsampler = Upsampler::new();
            let mut out = Vec::new();
            let mut rest = audio.as_slice();
            for piece in pieces {
                let (now, later) = rest.split_at(piece);
                upsampler.push(now, &mut out);
                rest = later;
            }
            upsampler.flush(&mut out);
            let whole = upsample(&audio);
            prop_assert!(out.iter().map(|s| s.to_bits()).eq(whole.iter().map(|s| s.to_bits())));
        }
    }

    /// 8 to 16 kHz by the `sox` program, which shares no code with rubato.
    fn sox(samples: &[i16]) -> Vec<f32> {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.s16"), folder.path().join("out.f32"));
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        std::fs::write(&input, bytes).unwrap();
        let status = Command::new("sox")
            .args(["-V1", "-D", "-t", "s16", "-r", "8000", "-c", "1"])
            .arg(&input)
            .args(["-t", "f32"])
            .arg(&output)
            .args(["rate", "-v", "16000"])
            .status()
            .expect("this test needs the program `sox`; install the package of that name");
        assert!(status.success(), "sox failed");
        std::fs::read(&output)
            .unwrap()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }
}
