//! Detects echoes of the other party by comparing both tracks. Pure: no I/O, no clock.
//!
//! A speakerphone, or the telephone network, returns the audio that it received, later and quieter, so that
//! one party's speech is on both tracks. An utterance is an echo where the other track sounded the same a
//! moment before, and louder:
//!
//! ```text
//!   other track   ▁▇▅▁▆▇▂▁▁   levels of six bands, 20 ms a frame
//!   this track    ▁▁▃▂▁▂▃▁▁   the same shape, one lag later, some dB below
//! ```
//!
//! The shape of levels survives rooms, small loudspeakers and mobile codecs; a comparison of samples does
//! not. An utterance with the party's own speech in it is no echo: neither when both parties talk at the same
//! time nor when an answer follows at once.
//!
//! Measured with turns of bank calls, Harvard sentences, digits and single words over line noise of −66 dB.
//! 465 echoes (12 to 28 dB below, 80 to 600 ms late; unchanged, through a room, and through a room and GSM
//! 06.10) correlate with their source by 0.83 or more. Of 2,514 pairs of different speech of 0.9 s or more,
//! with one at least 8 dB below the other, two correlate by more than 0.75 at the best of 43 lags. Of shorter
//! pairs one in ten does; so short utterances are judged by the lag and the level of an earlier, longer echo.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::audio::LINE_HZ;
use crate::audio::LINE_SAMPLES_PER_MS;
use crate::ids::Track;

/// Bands of a frame.
const BAND_COUNT: usize = 6;

/// Centre frequencies of the bands in Hz, across the range of a telephone line.
const CENTRES_HZ: [f64; BAND_COUNT] = [300.0, 480.0, 760.0, 1_150.0, 1_750.0, 2_700.0];

/// Quality factor of a band: its centre over its width.
const BAND_Q: f64 = 2.0;

/// Samples of a frame: 20 ms.
const FRAME: u64 = 20 * LINE_SAMPLES_PER_MS;

/// Frames kept of each track: a minute. The longest utterance has 20 s, and its final may wait for others.
/// Reached: an older utterance is not taken for an echo.
const FRAMES_KEPT: usize = 60 * 50;

/// Level of a frame without sound, in dB of full scale.
const SILENCE_DB: f32 = -90.0;

/// Depth below the highest level of a band, in dB, at which lower levels are cut off: they are noise.
const LEVEL_DEPTH_DB: f32 = 25.0;

/// Lags that are tried, in frames: from 40 ms early, since timestamps deviate, to 800 ms late, for the way
/// there and back through a mobile network.
const LAG_RANGE: std::ops::RangeInclusive<i64> = -2..=40;

/// Smallest attenuation of an echo against its source. With less, two parties are on one line.
const ATTENUATION_DB_MIN: f32 = 8.0;

/// Smallest correlation of an echo with its source; 1 is equality.
const CORRELATION_MIN: f32 = 0.78;

/// Frames compared before and after an utterance: an echo starts and ends as its source does. Less than the
/// silence that ends an utterance.
const MARGIN_FRAMES: u64 = 15;

/// Frames of an utterance that is judged without an earlier echo: 0.9 s.
const LONG_FRAMES_MIN: u64 = 45;

/// Frames below which an utterance is never judged: 0.3 s.
const SHORT_FRAMES_MIN: u64 = 15;

/// Largest difference between the lag of a short echo and that of the last long one, in frames.
const LAG_DEVIATION_MAX: i64 = 2;

/// Largest difference between the attenuation of a short echo and that of the last long one, in dB.
const LEVEL_DEVIATION_DB_MAX: f32 = 8.0;

/// Excess over the expected level of an echo, in dB, above which a frame is the party's own speech.
const OWN_SPEECH_EXCESS_DB: f32 = 10.0;

/// Depth below the loudest frame, in dB, down to which a frame can be the party's own speech.
const OWN_SPEECH_DEPTH_DB: f32 = 12.0;

/// Frames of own speech that make an utterance no echo: 0.2 s, and 2 % of a long utterance in addition, for
/// the reverberation of a room.
const OWN_SPEECH_FRAMES_MIN: usize = 10;

/// Levels of the bands in one frame, in dB of full scale.
type BandFrame = [f32; BAND_COUNT];

/// Detects echoes on both tracks of a call.
#[derive(Debug, Default)]
pub struct EchoDetector {
    tracks: BTreeMap<Track, BandLevels>,
    /// Lag and attenuation of the last long echo on each track.
    echo_paths: BTreeMap<Track, EchoPath>,
}

/// Lag and attenuation of an echo.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EchoPath {
    /// Frames from the source to its echo.
    lag: i64,
    /// Attenuation of the echo against its source, in dB.
    attenuation_db: f32,
}

/// The best match of an utterance with the other track.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EchoMatch {
    path: EchoPath,
    /// 1: equal except for the level.
    shape_correlation: f32,
    /// Frames louder than an echo would be.
    own_speech_frames: usize,
    /// Frames that were compared.
    frames: usize,
    /// Whether the utterance can be judged without an earlier echo.
    is_long: bool,
}

impl EchoDetector {
    /// Takes samples (8 kHz) of a track; the first one is sample `at` on the call's clock.
    pub fn push_audio(&mut self, track: Track, at: u64, samples: &[i16]) {
        self.tracks
            .entry(track)
            .or_default()
            .push_audio(at, samples);
    }

    /// Whether the speech on `track` from `start_ms` to `end_ms` is an echo of the other track. Remembers the
    /// path of a long echo to judge later short ones, so each utterance is to be passed once, after its end.
    pub fn is_echo(&mut self, track: Track, start_ms: u64, end_ms: u64) -> bool {
        let Some(found) = self.find_echo(track, start_ms, end_ms) else {
            return false;
        };
        if found.is_long {
            self.echo_paths.insert(track, found.path);
        }
        true
    }

    /// The same for an utterance in progress, from `start_ms` to the end of the track so far.
    pub fn may_be_echo(&self, track: Track, start_ms: u64) -> bool {
        let heard = self.tracks.get(&track).map_or(0, BandLevels::end);
        let heard_ms = heard * FRAME / LINE_SAMPLES_PER_MS;
        self.find_echo(track, start_ms, heard_ms).is_some()
    }

    fn find_echo(&self, track: Track, start_ms: u64, end_ms: u64) -> Option<EchoMatch> {
        let other = match track {
            Track::Inbound => Track::Outbound,
            Track::Outbound => Track::Inbound,
        };
        let (own, other) = (self.tracks.get(&track)?, self.tracks.get(&other)?);
        let frame = |ms: u64| ms * LINE_SAMPLES_PER_MS / FRAME;
        let (start, end) = (frame(start_ms), frame(end_ms).min(own.end()));
        let length = end.saturating_sub(start);
        let is_long = length >= LONG_FRAMES_MIN;
        let path = self.echo_paths.get(&track);
        if length < SHORT_FRAMES_MIN || (!is_long && path.is_none()) {
            return None;
        }
        let start = start.saturating_sub(MARGIN_FRAMES).max(own.first_frame);
        let end = (end + MARGIN_FRAMES).min(own.end());
        let frames = own.frame_range(start, end)?;
        let lags = match path {
            Some(path) if !is_long => path.lag - LAG_DEVIATION_MAX..=path.lag + LAG_DEVIATION_MAX,
            _ => LAG_RANGE,
        };
        let found = lags
            .filter_map(|lag| {
                let from = start.checked_add_signed(-lag)?;
                let to = end.checked_add_signed(-lag)?;
                Some((lag, other.frame_range(from, to)?))
            })
            .map(|(lag, source)| (shape_correlation(&frames, &source), lag, source))
            .max_by(|(a, ..), (b, ..)| a.total_cmp(b))?;
        let (shape_correlation, lag, source) = found;
        let (attenuation_db, own_speech_frames) = compare_levels(&frames, &source);
        let found = EchoMatch {
            path: EchoPath {
                lag,
                attenuation_db,
            },
            shape_correlation,
            own_speech_frames,
            frames: frames.len(),
            is_long,
        };
        found.is_echo(path).then_some(found)
    }
}

impl EchoMatch {
    fn is_echo(&self, known: Option<&EchoPath>) -> bool {
        if self.path.attenuation_db < ATTENUATION_DB_MIN
            || self.own_speech_frames >= OWN_SPEECH_FRAMES_MIN + self.frames / 50
        {
            return false;
        }
        let is_of_path = |known: &EchoPath| {
            (known.attenuation_db - self.path.attenuation_db).abs() <= LEVEL_DEVIATION_DB_MAX
        };
        self.shape_correlation >= CORRELATION_MIN && (self.is_long || known.is_some_and(is_of_path))
    }
}

/// Returns the similarity of the shapes of two stretches: the mean of the bands' correlations.
fn shape_correlation(echo: &[BandFrame], source: &[BandFrame]) -> f32 {
    let of_band = |band: usize| {
        let shape = |frames: &[BandFrame]| -> Vec<f32> {
            let levels = frames.iter().map(|frame| frame[band]);
            let floor = levels.clone().fold(SILENCE_DB, f32::max) - LEVEL_DEPTH_DB;
            let levels = levels.map(|level| level.max(floor));
            let mean = levels.clone().sum::<f32>() / frames.len() as f32;
            levels.map(|level| level - mean).collect()
        };
        let (a, b) = (shape(echo), shape(source));
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let scale = (product(&a, &a) * product(&b, &b)).sqrt();
        product(&a, &b) / scale.max(f32::MIN_POSITIVE)
    };
    (0..BAND_COUNT).map(of_band).sum::<f32>() / BAND_COUNT as f32
}

/// Returns the attenuation of `echo` in dB, measured where `source` is loud, and the number of frames that
/// are louder than this attenuation explains.
fn compare_levels(echo: &[BandFrame], source: &[BandFrame]) -> (f32, usize) {
    let power = |frame: &BandFrame| frame.iter().map(|db| 10_f32.powf(db / 10.0)).sum::<f32>();
    let mut pairs: Vec<(f32, f32)> = echo
        .iter()
        .zip(source)
        .map(|(echo, source)| (power(source), power(echo)))
        .collect();
    pairs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let loud = &pairs[..(pairs.len() * 2).div_ceil(5)];
    let sum = |of: fn(&(f32, f32)) -> f32| loud.iter().map(of).sum::<f32>();
    let ratio = sum(|(source, _)| *source) / sum(|(_, echo)| *echo).max(f32::MIN_POSITIVE);
    let loudest = pairs.iter().map(|(_, echo)| *echo).fold(0.0, f32::max);
    let times = |db: f32| 10_f32.powf(db / 10.0);
    let is_own = |(source, echo): &&(f32, f32)| {
        *echo > *source / ratio * times(OWN_SPEECH_EXCESS_DB)
            && *echo > loudest / times(OWN_SPEECH_DEPTH_DB)
    };
    (10.0 * ratio.log10(), pairs.iter().filter(is_own).count())
}

/// The band levels of one track.
#[derive(Debug)]
struct BandLevels {
    bands: [BandFilter; BAND_COUNT],
    /// Position of the next sample on the call's clock.
    next_sample: u64,
    /// Number of the first frame that is kept.
    first_frame: u64,
    frames: VecDeque<BandFrame>,
}

impl Default for BandLevels {
    fn default() -> Self {
        Self {
            bands: CENTRES_HZ.map(BandFilter::new),
            next_sample: 0,
            first_frame: 0,
            frames: VecDeque::new(),
        }
    }
}

impl BandLevels {
    /// Returns the number of the frame that is not complete.
    fn end(&self) -> u64 {
        self.first_frame + self.frames.len() as u64
    }

    fn frame_range(&self, from: u64, to: u64) -> Option<Vec<BandFrame>> {
        if from < self.first_frame || to > self.end() || from >= to {
            return None;
        }
        let from = (from - self.first_frame) as usize;
        let to = (to - self.first_frame) as usize;
        Some(self.frames.range(from..to).copied().collect())
    }

    fn push_audio(&mut self, at: u64, samples: &[i16]) {
        if at != self.next_sample {
            self.jump_to(at);
        }
        for &sample in samples {
            for band in &mut self.bands {
                band.push_sample(f64::from(sample) / 32_768.0);
            }
            self.next_sample += 1;
            if self.next_sample.is_multiple_of(FRAME) {
                let frame = self.bands.each_mut().map(BandFilter::take_level_db);
                self.push(frame);
            }
        }
    }

    /// Continues at `at`: with silence up to there, or with all frames dropped if that is far away.
    fn jump_to(&mut self, at: u64) {
        let frame = at / FRAME;
        if self.frames.is_empty() || frame < self.end() || frame - self.end() > FRAMES_KEPT as u64 {
            self.frames.clear();
            self.first_frame = frame;
        }
        while self.end() < frame {
            self.push([SILENCE_DB; BAND_COUNT]);
        }
        self.bands = CENTRES_HZ.map(BandFilter::new);
        self.next_sample = at;
    }

    fn push(&mut self, frame: BandFrame) {
        if self.frames.len() == FRAMES_KEPT {
            self.frames.pop_front();
            self.first_frame += 1;
        }
        self.frames.push_back(frame);
    }
}

/// A band-pass filter (Bristow-Johnson, <https://www.w3.org/TR/audio-eq-cookbook/>, constant peak gain) and
/// the energy of its output.
#[derive(Debug)]
struct BandFilter {
    gain: f64,
    feedback: [f64; 2],
    inputs: [f64; 2],
    outputs: [f64; 2],
    energy: f64,
}

impl BandFilter {
    fn new(centre_hz: f64) -> Self {
        let omega = std::f64::consts::TAU * centre_hz / f64::from(LINE_HZ);
        let alpha = omega.sin() / (2.0 * BAND_Q);
        Self {
            gain: alpha / (1.0 + alpha),
            feedback: [
                -2.0 * omega.cos() / (1.0 + alpha),
                (1.0 - alpha) / (1.0 + alpha),
            ],
            inputs: [0.0; 2],
            outputs: [0.0; 2],
            energy: 0.0,
        }
    }

    fn push_sample(&mut self, sample: f64) {
        let output = self.gain * (sample - self.inputs[1])
            - self.feedback[0] * self.outputs[0]
            - self.feedback[1] * self.outputs[1];
        self.inputs = [sample, self.inputs[0]];
        self.outputs = [output, self.outputs[0]];
        self.energy += output * output;
    }

    /// Returns the level of the finished frame in dB and starts the next one.
    fn take_level_db(&mut self) -> f32 {
        // The decay after a sound reaches denormal numbers, which are slow on many processors.
        for output in &mut self.outputs {
            if output.abs() < 1e-12 {
                *output = 0.0;
            }
        }
        let mean = std::mem::take(&mut self.energy) / FRAME as f64;
        (10.0 * (mean + 1e-9).log10()) as f32
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audio;
    use crate::audio::mulaw;
    use crate::audio::recording::RecordingReader;

    const MS: usize = LINE_SAMPLES_PER_MS as usize;

    fn sentence(name: &str) -> Vec<f32> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prompts");
        let channels = RecordingReader::read_all(&path.join(name), LINE_HZ).unwrap();
        channels.into_iter().next().unwrap()
    }

    /// Numbers from −1 to 1 that sound like noise and are the same every time.
    fn noise() -> impl Iterator<Item = f32> {
        let mut state = 7_u64;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
    }

    /// Simulates a speakerphone: a room of 150 ms and a small loudspeaker, `attenuation_db` quieter.
    fn through_a_room(speech: &[f32], attenuation_db: f32) -> Vec<f32> {
        let ring: Vec<f32> = noise()
            .take(150 * MS)
            .enumerate()
            .map(|(n, sample)| sample * (-(n as f32) / (50 * MS) as f32).exp())
            .collect();
        let mut out = vec![0.0; speech.len()];
        for (n, _) in speech.iter().enumerate() {
            // Every eighth tap is enough for the reverberation.
            out[n] = 1.5 * speech[n]
                + (8..ring.len().min(n + 1))
                    .step_by(8)
                    .map(|back| ring[back] * speech[n - back])
                    .sum::<f32>();
        }
        let thin: Vec<f32> = (0..out.len())
            .map(|n| out[n] - 0.9 * out[n.saturating_sub(1)])
            .collect();
        let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
        let scale = (power(speech) / power(&thin)).sqrt() * 10_f32.powf(-attenuation_db / 20.0);
        thin.iter().map(|sample| sample * scale).collect()
    }

    fn quieter(speech: &[f32], db: f32) -> Vec<f32> {
        speech
            .iter()
            .map(|sample| sample * 10_f32.powf(-db / 20.0))
            .collect()
    }

    /// A call with pieces of speech, each from a given millisecond on, over line noise.
    struct TestTrack(Vec<f32>);

    impl TestTrack {
        fn new(ms: usize) -> Self {
            Self(
                noise()
                    .take(ms * MS)
                    .map(|sample| sample * 0.000_8)
                    .collect(),
            )
        }

        fn says(mut self, at_ms: usize, speech: &[f32]) -> Self {
            for (place, sample) in self.0[at_ms * MS..].iter_mut().zip(speech) {
                *place += sample;
            }
            self
        }
    }

    fn call(inbound: &TestTrack, outbound: &TestTrack) -> EchoDetector {
        let mut detector = EchoDetector::default();
        let both = inbound.0.chunks(160).zip(outbound.0.chunks(160));
        for ((inbound, outbound), n) in both.zip(0_u64..) {
            for (track, frame) in [(Track::Inbound, inbound), (Track::Outbound, outbound)] {
                let line =
                    |&sample: &f32| mulaw::decode(mulaw::encode(audio::to_i16(&[sample])[0]));
                let samples: Vec<i16> = frame.iter().map(line).collect();
                detector.push_audio(track, n * 160, &samples);
            }
        }
        detector
    }

    /// Returns the end of a piece of speech that starts at `at_ms`.
    fn end_ms(at_ms: usize, speech: &[f32]) -> u64 {
        (at_ms + speech.len() / MS) as u64
    }

    #[test]
    fn what_the_other_party_said_a_moment_before_and_louder_is_an_echo() {
        let speech = sentence("weasels.wav");
        for (lag_ms, attenuation_db) in
            [(0, 12.0), (80, 20.0), (80, 26.0), (300, 32.0), (600, 20.0)]
        {
            for echo in [
                quieter(&speech, attenuation_db),
                through_a_room(&speech, attenuation_db),
            ] {
                let agent = TestTrack::new(6_000).says(1_500, &speech);
                let customer = TestTrack::new(6_000).says(1_500 + lag_ms, &echo);
                let mut detector = call(&agent, &customer);
                let (start, end) = (1_600 + lag_ms, end_ms(1_500 + lag_ms, &echo));
                assert!(
                    detector.is_echo(Track::Outbound, start as u64, end),
                    "{lag_ms} ms, {attenuation_db} dB"
                );
                assert!(detector.may_be_echo(Track::Outbound, start as u64));
                assert!(!detector.is_echo(Track::Inbound, 1_600, end_ms(1_500, &speech)));
            }
        }
    }

    #[test]
    fn two_who_speak_at_once_are_no_echo_however_quiet_one_is() {
        let (loud, other) = (sentence("weasels.wav"), sentence("married.wav"));
        for attenuation_db in [0.0, 10.0, 20.0, 30.0] {
            let quiet = quieter(&other, attenuation_db);
            for at_ms in [1_500, 1_700, 2_300] {
                let agent = TestTrack::new(9_000).says(1_500, &loud);
                let customer = TestTrack::new(9_000).says(at_ms, &quiet);
                let mut detector = call(&agent, &customer);
                let end = end_ms(at_ms, &quiet);
                assert!(
                    !detector.is_echo(Track::Outbound, at_ms as u64, end),
                    "{attenuation_db} dB at {at_ms} ms"
                );
            }
        }
    }

    #[test]
    fn the_same_words_at_the_same_level_are_no_echo() {
        let speech = sentence("weasels.wav");
        let line = TestTrack::new(6_000).says(1_500, &speech);
        let mut detector = call(&line, &line);
        for track in Track::ALL {
            assert!(!detector.is_echo(track, 1_600, end_ms(1_500, &speech)));
        }
    }

    #[test]
    fn an_answer_that_follows_the_echo_at_once_keeps_its_words() {
        let (speech, answer) = (sentence("weasels.wav"), sentence("married.wav"));
        let answer = &answer[..900 * MS];
        let echo = through_a_room(&speech, 22.0);
        for attenuation_db in [0.0, 20.0] {
            let from_ms = end_ms(1_580, &echo) as usize + 100;
            let agent = TestTrack::new(9_000).says(1_500, &speech);
            let customer = TestTrack::new(9_000)
                .says(1_580, &echo)
                .says(from_ms, &quieter(answer, attenuation_db));
            let mut detector = call(&agent, &customer);
            let end = end_ms(from_ms, answer);
            assert!(
                !detector.is_echo(Track::Outbound, 1_680, end),
                "{attenuation_db} dB"
            );
        }
    }

    #[test]
    fn a_short_echo_is_told_by_a_long_one_before() {
        let speech = sentence("weasels.wav");
        let word = &speech[300 * MS..900 * MS];
        let agent = TestTrack::new(9_000).says(1_000, &speech).says(6_000, word);
        let echo = through_a_room(&speech, 20.0);
        let customer = TestTrack::new(9_000)
            .says(1_200, &echo)
            .says(6_200, &through_a_room(word, 20.0));
        let mut detector = call(&agent, &customer);
        let (start, end) = (6_200, end_ms(6_200, word));
        assert!(
            !detector.is_echo(Track::Outbound, start, end),
            "nothing is known"
        );
        assert!(detector.is_echo(Track::Outbound, 1_300, end_ms(1_200, &echo)));
        assert!(detector.is_echo(Track::Outbound, start, end));
    }

    #[test]
    fn what_is_not_kept_is_no_echo() {
        let mut detector = EchoDetector::default();
        assert!(!detector.is_echo(Track::Inbound, 0, 2_000));
        let frame = [1_000; FRAME as usize];
        for n in 0..2 * FRAMES_KEPT as u64 {
            detector.push_audio(Track::Inbound, n * FRAME, &frame);
            detector.push_audio(Track::Outbound, n * FRAME, &frame);
        }
        assert_eq!(detector.tracks[&Track::Inbound].frames.len(), FRAMES_KEPT);
        assert!(!detector.is_echo(Track::Inbound, 0, 2_000));
        assert!(!detector.is_echo(Track::Inbound, 5_000, 4_000));
        detector.push_audio(Track::Inbound, u64::MAX / 2, &frame);
        assert_eq!(detector.tracks[&Track::Inbound].frames.len(), 1);
        detector.push_audio(Track::Inbound, u64::MAX / 2 + 100 * FRAME, &frame);
        assert!(detector.tracks[&Track::Inbound].frames.len() <= 101);
    }
}
