//! Places one track's chunks on the call's clock, so that output sample `n` is at `n / 8000` seconds of the
//! stream. Pure: no I/O, no clock; timestamps are input.
//!
//! Media Streams messages carry a timestamp in milliseconds from the start of the stream
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>). Seen in real calls: the first
//! timestamp is 90 to 160, later ones deviate a few milliseconds from a straight line, and audio that Twilio
//! never received or discarded shows as a step.
//!
//! # How jitter, drift and loss are distinguished
//!
//! *Samples are trusted more than timestamps.* A chunk follows its predecessor without a seam while its
//! timestamp is within `JITTER_TOLERANCE` of the expected place. The expected place is the end of the samples
//! so far plus the *drift*: the mean by which the last second of timestamps was ahead of the samples. So
//! jitter averages out, including the jitter of the first timestamp, and a slow clock changes the drift,
//! never the samples. While the drift is unknown (the first `WARM_UP_CHUNKS` after a start or a gap) the
//! tolerance is `WARM_UP_TOLERANCE`.
//!
//! *Drift is corrected in silence.* Once the drift exceeds `DRIFT_MAX`, the next quiet chunk is placed later,
//! after zeros, or loses its first samples; both are inaudible. A loud chunk is used only if no quiet chunk
//! arrives before `DRIFT_FORCED_MAX` is reached.

use crate::limits::GAP_FILL_MS_MAX;
use crate::limits::MEDIA_AHEAD_MS_MAX;
use crate::limits::TIMESTAMP_JUMP_MS_MAX;

/// Samples in a millisecond of line audio.
const SAMPLES_PER_MS: i64 = super::LINE_SAMPLES_PER_MS as i64;

/// 15 ms: more than the jitter of timestamps (±10 ms), less than the shortest loss (one frame of 20 ms).
const JITTER_TOLERANCE: i64 = 15 * SAMPLES_PER_MS;

/// 25 ms: the tolerance while the drift is unknown. Two timestamps that jitter by ±10 ms each may be 20 ms
/// apart, the same as one lost frame; here the difference is taken for jitter.
const WARM_UP_TOLERANCE: i64 = 25 * SAMPLES_PER_MS;

/// Chunks after which the drift is known well enough.
const WARM_UP_CHUNKS: u32 = 10;

/// Chunks over which timestamps are averaged: a second of 20 ms frames.
const AVERAGED_CHUNKS: u32 = 50;

/// Drift of up to 10 ms is not corrected.
const DRIFT_MAX: f64 = 10.0 * SAMPLES_PER_MS as f64;

/// Drift of 100 ms or more is corrected even within speech.
const DRIFT_FORCED_MAX: f64 = 100.0 * SAMPLES_PER_MS as f64;

/// A chunk is quiet if every sample is at most this far from zero (−48 dB).
const QUIET_PEAK: u16 = 128;

/// After this many consecutive chunks (half a second) that are late, or implausibly far ahead, the timestamps
/// have restarted: the next chunk is placed directly after the last one, and time is counted from there.
/// Fewer would mistake a burst of duplicates for a restart.
const IMPLAUSIBLE_CHUNKS_MAX: u32 = 25;

/// A call lasts 24 hours at most (<https://www.twilio.com/docs/voice/twiml/dial>, `timeLimit`); a later first
/// timestamp is invalid, and the track starts at zero instead.
const FIRST_TIMESTAMP_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Timestamps are clamped to this, so that arithmetic in samples cannot overflow.
const TIMESTAMP_MS_MAX: u64 = 1 << 50;

/// The zeros written for gaps are at most this many times the samples received …
const GAP_FILL_RATIO_MAX: u64 = 8;

/// … plus ten seconds. Reached: the gap moves the clock instead. Keeps a malicious sender's small chunks from
/// growing to a hundred times their size.
const GAP_FILL_FREE_SAMPLES: u64 = 10_000 * SAMPLES_PER_MS as u64;

/// The placement of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkPlacement {
    /// Directly after the chunk before it.
    Next,
    /// After a gap: zeros were written, then the chunk.
    AfterGap {
        /// Number of zeros written.
        silence_samples: u64,
    },
    /// The clock moved and nothing was written for the time between: the first chunk, or a gap too long to
    /// fill. Output now starts at `to_sample`; restart filters there.
    Jumped {
        /// Position of the chunk's first sample, in samples since the stream started.
        to_sample: u64,
    },
    /// Dropped: audio of its time was already written.
    Late,
}

/// Counts of a track's chunks by the behaviour of their timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimelineCounts {
    /// Chunks dropped because audio of their time was already written.
    pub late: u64,
    /// Gaps, filled or jumped over.
    pub gaps: u64,
    /// Milliseconds of zeros written for gaps.
    pub filled_ms: u64,
    /// Gaps that moved the clock without zeros.
    pub jumps: u64,
    /// Chunks placed directly after the last one because their timestamps were too far ahead.
    pub implausible: u64,
    /// Restarts of the timestamps.
    pub rebases: u64,
    /// Corrections of drift.
    pub drift_corrections: u64,
}

/// The clock of one track.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    started: bool,
    /// Position of the next sample.
    next_sample: i64,
    /// Added to a timestamp in samples, after rebasing.
    rebase_offset: i64,
    /// Mean of timestamps minus samples, in samples.
    drift: f64,
    /// Chunks in the mean, up to [`AVERAGED_CHUNKS`].
    averaged_chunks: u32,
    last_timestamp: i64,
    implausible_in_a_row: u32,
    /// Milliseconds since the chunk before, by other clocks.
    elapsed_ms: u64,
    received: u64,
    filled: u64,
    counts: TimelineCounts,
}

impl Timeline {
    /// Creates a clock that starts with its first chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the milliseconds since the last [`Timeline::push`], by another clock than this track's
    /// timestamps. The next timestamp may jump that far and is accepted, however far that is.
    pub fn set_elapsed(&mut self, ms: u64) {
        self.elapsed_ms = ms.min(TIMESTAMP_MS_MAX);
    }

    /// Places `samples` (8 kHz) with the timestamp `timestamp_ms`, and appends the result to `out`.
    /// `position()` advances by exactly the number of appended samples, except over a jump.
    pub fn push(
        &mut self,
        timestamp_ms: u64,
        samples: &[i16],
        out: &mut Vec<i16>,
    ) -> ChunkPlacement {
        if samples.is_empty() {
            return ChunkPlacement::Next;
        }
        let elapsed_ms = std::mem::take(&mut self.elapsed_ms);
        let jump_ms_max = TIMESTAMP_JUMP_MS_MAX.max(elapsed_ms + MEDIA_AHEAD_MS_MAX);
        let timestamp = timestamp_ms.min(TIMESTAMP_MS_MAX).cast_signed() * SAMPLES_PER_MS;
        if !self.started {
            self.start(timestamp_ms, timestamp);
            return self.place_chunk(
                timestamp,
                samples,
                out,
                ChunkPlacement::Jumped {
                    to_sample: self.position(),
                },
            );
        }

        let off = self.offset_ahead(timestamp) - self.drift.round() as i64;
        let tolerance = if self.averaged_chunks < WARM_UP_CHUNKS {
            WARM_UP_TOLERANCE
        } else {
            JITTER_TOLERANCE
        };
        let repeated = timestamp <= self.last_timestamp && off < -tolerance / 2;
        if off < -tolerance || repeated {
            if self.implausible_in_a_row < IMPLAUSIBLE_CHUNKS_MAX {
                self.implausible_in_a_row += 1;
                self.counts.late += 1;
                return ChunkPlacement::Late;
            }
            self.rebase_clock(timestamp);
        } else if off > jump_ms_max.cast_signed() * SAMPLES_PER_MS {
            if self.implausible_in_a_row < IMPLAUSIBLE_CHUNKS_MAX {
                self.implausible_in_a_row += 1;
                self.counts.implausible += 1;
                self.append_samples(samples, out);
                return ChunkPlacement::Next;
            }
            self.rebase_clock(timestamp);
        } else if off > tolerance {
            let placed = self.open_gap(timestamp, off, out);
            return self.place_chunk(timestamp, samples, out, placed);
        }
        let (timestamp, kept) = self.correct_drift(timestamp, samples, out);
        self.place_chunk(timestamp, kept, out, ChunkPlacement::Next)
    }

    /// Returns the position of the next sample that follows without a gap, in samples since the stream
    /// started.
    pub fn position(&self) -> u64 {
        self.next_sample as u64
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> TimelineCounts {
        self.counts
    }

    fn start(&mut self, timestamp_ms: u64, timestamp: i64) {
        self.started = true;
        if timestamp_ms <= FIRST_TIMESTAMP_MS_MAX {
            self.next_sample = timestamp;
        } else {
            self.rebase_clock(timestamp);
        }
    }

    /// Returns how far the timestamp is ahead of the samples, in samples.
    fn offset_ahead(&self, timestamp: i64) -> i64 {
        timestamp + self.rebase_offset - self.next_sample
    }

    /// Makes the timestamp mean the current position.
    fn rebase_clock(&mut self, timestamp: i64) {
        self.rebase_offset = self.next_sample - timestamp;
        self.drift = 0.0;
        self.averaged_chunks = 0;
        self.counts.rebases += 1;
    }

    /// Moves the clock over missing audio, with zeros if the limits allow it. Corrects positive drift at the
    /// same time.
    fn open_gap(&mut self, timestamp: i64, off: i64, out: &mut Vec<i16>) -> ChunkPlacement {
        let gap = off.max(self.offset_ahead(timestamp));
        self.drift -= (gap - off) as f64;
        self.averaged_chunks = 0;
        self.next_sample += gap;
        self.counts.gaps += 1;
        let gap = gap as u64;
        let affordable =
            self.filled + gap <= self.received * GAP_FILL_RATIO_MAX + GAP_FILL_FREE_SAMPLES;
        if gap > GAP_FILL_MS_MAX * SAMPLES_PER_MS as u64 || !affordable {
            self.counts.jumps += 1;
            return ChunkPlacement::Jumped {
                to_sample: self.position(),
            };
        }
        self.filled += gap;
        self.counts.filled_ms = self.filled / SAMPLES_PER_MS as u64;
        out.resize(out.len() + gap as usize, 0);
        ChunkPlacement::AfterGap {
            silence_samples: gap,
        }
    }

    /// Corrects the drift where it is inaudible; returns the rest of the chunk and its timestamp.
    fn correct_drift<'a>(
        &mut self,
        timestamp: i64,
        samples: &'a [i16],
        out: &mut Vec<i16>,
    ) -> (i64, &'a [i16]) {
        let quiet = || {
            samples
                .iter()
                .all(|sample| sample.unsigned_abs() <= QUIET_PEAK)
        };
        let known = self.averaged_chunks == AVERAGED_CHUNKS;
        if !known
            || self.drift.abs() <= DRIFT_MAX
            || (self.drift.abs() < DRIFT_FORCED_MAX && !quiet())
        {
            return (timestamp, samples);
        }
        self.counts.drift_corrections += 1;
        let drift = self.drift.round() as i64;
        let zeros = drift.max(0);
        out.resize(out.len() + zeros as usize, 0);
        self.next_sample += zeros;
        let dropped = samples.len().min((-drift).max(0) as usize);
        self.drift += dropped as f64 - zeros as f64;
        (
            timestamp + dropped.cast_signed() as i64,
            &samples[dropped..],
        )
    }

    fn place_chunk(
        &mut self,
        timestamp: i64,
        samples: &[i16],
        out: &mut Vec<i16>,
        placed: ChunkPlacement,
    ) -> ChunkPlacement {
        self.averaged_chunks = (self.averaged_chunks + 1).min(AVERAGED_CHUNKS);
        self.drift +=
            (self.offset_ahead(timestamp) as f64 - self.drift) / f64::from(self.averaged_chunks);
        self.last_timestamp = timestamp;
        self.implausible_in_a_row = 0;
        self.append_samples(samples, out);
        placed
    }

    fn append_samples(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.received += samples.len() as u64;
        self.next_sample += samples.len().cast_signed() as i64;
        out.extend_from_slice(samples);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: usize = 160;

    /// Loud audio; each sample's value shows its position.
    fn loud(samples: usize) -> Vec<i16> {
        (1_000_i16..21_011).cycle().take(samples).collect()
    }

    /// Pushes 20 ms frames of `audio`, each with the timestamp `stamp_ms(frame number)`.
    fn play(
        line: &mut Timeline,
        audio: &[i16],
        mut stamp_ms: impl FnMut(u64) -> u64,
    ) -> (Vec<i16>, Vec<ChunkPlacement>) {
        let mut out = Vec::new();
        let placed = audio
            .chunks(FRAME)
            .enumerate()
            .map(|(n, frame)| line.push(stamp_ms(n as u64), frame, &mut out))
            .collect();
        (out, placed)
    }

    /// Numbers that look random and are the same every time.
    fn noise(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        }
    }

    #[test]
    fn the_first_stamp_is_a_position_and_not_a_gap() {
        let mut line = Timeline::new();
        let audio = loud(3 * FRAME);
        let (out, placed) = play(&mut line, &audio, |n| 155 + 20 * n);
        assert_eq!(
            placed,
            [
                ChunkPlacement::Jumped { to_sample: 1_240 },
                ChunkPlacement::Next,
                ChunkPlacement::Next
            ]
        );
        assert_eq!(out, audio);
        assert_eq!(line.position(), 1_240 + 480);
        assert_eq!(line.counts(), TimelineCounts::default());
    }

    #[test]
    fn jitter_of_ten_milliseconds_leaves_the_samples_as_they_were() {
        for seed in 0..50 {
            let mut random = noise(seed);
            let mut line = Timeline::new();
            let audio = loud(3_000 * FRAME);
            let (out, _) = play(&mut line, &audio, |n| 100 + 20 * n + random(20));
            assert_eq!(line.counts(), TimelineCounts::default(), "seed {seed}");
            assert!(out == audio, "seed {seed}");
        }
    }

    #[test]
    fn one_lost_frame_becomes_its_silence() {
        let mut line = Timeline::new();
        let audio = loud(60 * FRAME);
        let (mut out, _) = play(&mut line, &audio, |n| 90 + 20 * n);
        let placed = line.push(90 + 20 * 61, &audio[..FRAME], &mut out);
        assert_eq!(
            placed,
            ChunkPlacement::AfterGap {
                silence_samples: 160
            }
        );
        assert_eq!(out[60 * FRAME..61 * FRAME], [0; FRAME]);
        assert_eq!(out[61 * FRAME..], audio[..FRAME]);
        assert_eq!(line.position(), 90 * 8 + 62 * 160);
        assert_eq!(
            line.counts(),
            TimelineCounts {
                gaps: 1,
                filled_ms: 20,
                ..TimelineCounts::default()
            }
        );
    }

    #[test]
    fn a_frame_lost_among_jittering_stamps_is_found_within_a_second() {
        for seed in 0..50 {
            let mut random = noise(seed);
            let mut line = Timeline::new();
            let audio = loud(200 * FRAME);
            play(&mut line, &audio, |n| {
                100 + 20 * n + random(20) + if n < 100 { 0 } else { 20 }
            });
            assert_eq!(line.counts().gaps, 1, "seed {seed}");
            let error = line.position().abs_diff((110 + 20 * 201) * 8);
            assert!(error <= 20 * 8, "seed {seed} is off by {error} samples");
        }
    }

    #[test]
    fn a_gap_is_written_out_up_to_its_bound_and_jumped_over_beyond() {
        let frame = loud(FRAME);
        for (gap_ms, filled) in [(GAP_FILL_MS_MAX, true), (GAP_FILL_MS_MAX + 1, false)] {
            let mut line = Timeline::new();
            let mut out = Vec::new();
            line.push(100, &frame, &mut out);
            let placed = line.push(120 + gap_ms, &frame, &mut out);
            let to_sample = (120 + gap_ms) * 8;
            if filled {
                assert_eq!(
                    placed,
                    ChunkPlacement::AfterGap {
                        silence_samples: gap_ms * 8
                    }
                );
                assert_eq!(out.len() as u64, 320 + gap_ms * 8);
            } else {
                assert_eq!(placed, ChunkPlacement::Jumped { to_sample });
                assert_eq!(out.len(), 320);
                assert_eq!(line.counts().jumps, 1);
            }
            assert_eq!(line.position(), to_sample + 160);
        }
    }

    #[test]
    fn what_was_heard_already_is_dropped_and_counted() {
        let mut line = Timeline::new();
        let audio = loud(50 * FRAME);
        let (mut out, _) = play(&mut line, &audio, |n| 100 + 20 * n);
        for stale_ms in [100 + 20 * 49, 100 + 20 * 48, 0] {
            assert_eq!(
                line.push(stale_ms, &audio[..FRAME], &mut out),
                ChunkPlacement::Late
            );
        }
        assert_eq!(
            line.push(100 + 20 * 50, &audio[..FRAME], &mut out),
            ChunkPlacement::Next
        );
        assert_eq!(out.len(), 51 * FRAME);
        assert_eq!(
            line.counts(),
            TimelineCounts {
                late: 3,
                ..TimelineCounts::default()
            }
        );
    }

    #[test]
    fn every_frame_sent_twice_is_heard_once() {
        let mut line = Timeline::new();
        let audio = loud(100 * FRAME);
        let mut out = Vec::new();
        for (n, frame) in audio.chunks(FRAME).enumerate() {
            line.push(100 + 20 * n as u64, frame, &mut out);
            assert_eq!(
                line.push(100 + 20 * n as u64, frame, &mut out),
                ChunkPlacement::Late
            );
        }
        assert!(out == audio);
    }

    #[test]
    fn stamps_that_start_anew_cost_half_a_second_and_no_more() {
        let mut line = Timeline::new();
        let audio = loud(100 * FRAME);
        play(&mut line, &audio, |n| 60_000 + 20 * n);
        let before = line.position();
        let (out, placed) = play(&mut line, &audio, |n| 100 + 20 * n);
        assert_eq!(
            placed
                .iter()
                .filter(|&&p| p == ChunkPlacement::Late)
                .count(),
            25
        );
        assert_eq!(out, audio[25 * FRAME..]);
        assert_eq!(line.position(), before + out.len() as u64);
        assert_eq!(
            line.counts(),
            TimelineCounts {
                late: 25,
                rebases: 1,
                ..TimelineCounts::default()
            }
        );
    }

    #[test]
    fn a_jump_beyond_belief_is_laid_right_on() {
        let mut line = Timeline::new();
        let audio = loud(100 * FRAME);
        play(&mut line, &audio, |n| 100 + 20 * n);
        let before = line.position();
        let (out, placed) = play(&mut line, &audio, |n| 10_000_000_000 + 20 * n);
        assert!(placed.iter().all(|&placed| placed == ChunkPlacement::Next));
        assert_eq!((out, line.position()), (audio, before + 16_000));
        assert_eq!(
            line.counts(),
            TimelineCounts {
                implausible: 25,
                rebases: 1,
                ..TimelineCounts::default()
            }
        );
    }

    #[test]
    fn a_jump_as_long_as_the_time_that_passed_is_believed_and_a_longer_one_is_not() {
        let (elapsed_ms, frame) = (3 * 60 * 60 * 1_000, loud(FRAME));
        for (jump_ms, is_believed) in [
            (elapsed_ms, true),
            (elapsed_ms + MEDIA_AHEAD_MS_MAX, true),
            (elapsed_ms + MEDIA_AHEAD_MS_MAX + 1_000, false),
            (u64::MAX - 1_000, false),
        ] {
            let mut line = Timeline::new();
            let mut out = Vec::new();
            line.push(100, &frame, &mut out);
            line.set_elapsed(elapsed_ms);
            line.push(120 + jump_ms, &frame, &mut out);
            let counts = line.counts();
            assert_eq!(
                (counts.jumps, counts.implausible),
                if is_believed { (1, 0) } else { (0, 1) },
                "{jump_ms}"
            );
            // It applies to one chunk.
            let before = line.counts().implausible;
            line.push(120 + 3 * elapsed_ms, &frame, &mut out);
            assert_eq!(line.counts().implausible, before + 1);
        }
    }

    #[test]
    fn one_stamp_beyond_belief_costs_the_chunks_after_it_nothing() {
        let mut line = Timeline::new();
        let audio = loud(100 * FRAME);
        let (out, _) = play(&mut line, &audio, |n| {
            if n == 50 { 86_400_000 } else { 100 + 20 * n }
        });
        assert_eq!(out, audio);
        assert_eq!(
            line.counts(),
            TimelineCounts {
                implausible: 1,
                ..TimelineCounts::default()
            }
        );
    }

    #[test]
    fn a_first_stamp_beyond_belief_starts_at_zero() {
        let mut line = Timeline::new();
        let placed = line.push(u64::MAX, &loud(FRAME), &mut Vec::new());
        assert_eq!(placed, ChunkPlacement::Jumped { to_sample: 0 });
    }

    #[test]
    fn drift_is_paid_back_in_silence_and_not_in_speech() {
        for ppm in [-400_i64, 400] {
            let timestamp = |n: u64| {
                (100_000 + 20_000 * n).saturating_add_signed(n.cast_signed() * ppm / 50) / 1_000
            };
            let mut line = Timeline::new();
            let speech = loud(9_000 * FRAME);
            let (out, _) = play(&mut line, &speech, timestamp);
            assert!(out == speech, "speech was touched at {ppm} ppm");

            let quiet = vec![8; 100 * FRAME];
            play(&mut line, &quiet, |n| timestamp(n + 9_000));
            assert!(
                (1..=4).contains(&line.counts().drift_corrections),
                "{:?}",
                line.counts()
            );
            let error = line.position().abs_diff(timestamp(9_100) * 8);
            assert!(error <= 10 * 8, "{ppm} ppm left {error} samples");
        }
    }

    #[test]
    fn drift_that_finds_no_silence_is_bounded_all_the_same() {
        for ppm in [-2_000_i64, 2_000] {
            let timestamp = |n: u64| {
                (100_000 + 20_000 * n).saturating_add_signed(n.cast_signed() * ppm / 50) / 1_000
            };
            let mut line = Timeline::new();
            play(&mut line, &loud(9_000 * FRAME), timestamp);
            let error = line.position().abs_diff(timestamp(9_000) * 8);
            assert!(error <= 110 * 8, "{ppm} ppm is off by {error} samples");
            assert!(line.counts().drift_corrections > 0);
        }
    }

    #[test]
    fn small_chunks_cannot_become_hours_of_silence() {
        let mut line = Timeline::new();
        let mut out = Vec::new();
        let mut received = 0;
        for n in 0..10_000 {
            line.push(100 + n * 1_999, &[1_000], &mut out);
            received += 1;
        }
        assert!(out.len() as u64 <= received * (1 + GAP_FILL_RATIO_MAX) + GAP_FILL_FREE_SAMPLES);
    }

    fn chunks() -> impl Strategy<Value = Vec<(u64, usize)>> {
        let timestamp = prop_oneof![
            8 => 0_u64..3_000,
            2 => 0_u64..10_000_000,
            1 => any::<u64>(),
        ];
        prop::collection::vec((timestamp, 0_usize..400), 0..200)
    }

    proptest! {
        #[test]
        fn any_stamps_keep_the_clock_and_the_samples_in_step(chunks in chunks(), quiet: bool) {
            let mut line = Timeline::new();
            let mut received = 0;
            let mut produced = 0;
            for (stamp_ms, length) in chunks {
                let samples = vec![if quiet { 1 } else { 10_000 }; length];
                let before = line.position();
                let mut out = Vec::new();
                let placed = line.push(stamp_ms, &samples, &mut out);
                let from = match placed {
                    ChunkPlacement::Jumped { to_sample } => to_sample,
                    ChunkPlacement::Next | ChunkPlacement::AfterGap { .. } | ChunkPlacement::Late => before,
                };
                prop_assert!(from >= before, "the clock went back");
                prop_assert_eq!(line.position() - from, out.len() as u64);
                prop_assert!(placed != ChunkPlacement::Late || out.is_empty());
                received += length as u64;
                produced += out.len() as u64;
            }
            prop_assert!(produced <= received * (1 + GAP_FILL_RATIO_MAX) + GAP_FILL_FREE_SAMPLES);
        }
    }
}
