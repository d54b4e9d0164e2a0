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
mod tests;
