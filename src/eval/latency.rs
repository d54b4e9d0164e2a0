//! Latency and steadiness of live transcripts: compares the events that listeners received with the reference
//! utterances. Pure: no I/O, no clock; all times are milliseconds on the call's clock.
//!
//! People divide the reference into utterances, the engine divides its output into segments, and the two need
//! not match. For each track they are matched as follows:
//!
//! - A segment *covers* an utterance if they share [`SHARED_MS_MIN`], or half of the shorter one.
//! - A segment *ends* an utterance if it covers it and contains its end, within [`END_TOLERANCE_MS`]; of
//!   several segments, the latest. If no segment contains the end, the latest that covers the utterance ends
//!   it. An utterance's final time is the arrival of the segment that ends it.
//! - A segment's *end of speech* is the end of the last utterance that it ends. A segment that ends no
//!   utterance (the middle of a long one) has no final latency.
//! - A segment's *start of speech* is the start of the first utterance that it is the first to cover. A
//!   segment that only continues an utterance has no first-words latency.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::eval::script::ScriptUtterance;
use crate::eval::wer;
use crate::ids::{SegmentId, Track};
use crate::transcript::{Event, Partial, Segment};

/// Shortest overlap of a segment and an utterance that match. With a lower value, the padding of one segment
/// claims its neighbour's words; with a higher value, a cut-off last word matches no segment.
pub const SHARED_MS_MIN: u64 = 300;

/// Longest time by which a segment may end before the true end of its words. Voice detectors miss soft last
/// sounds by about this much.
pub const END_TOLERANCE_MS: u64 = 250;

/// Longest reference utterance that may have no words: the target is for longer ones.
pub const MISSABLE_MS_MAX: u64 = 500;

/// An event that a listener received.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedEvent {
    /// Time of its arrival.
    pub at_ms: u64,
    /// The event; only partials, segments and snapshots count.
    pub event: Event,
}

/// A distribution of milliseconds. Percentiles are nearest-rank: the smallest value that at least that share
/// of all values does not exceed, so each is a measured value. Values can be negative: a final can arrive
/// before the end of speech in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyStats {
    /// Number of values.
    pub count: usize,
    /// Mean.
    pub mean_ms: f64,
    /// 50th percentile.
    pub p50_ms: i64,
    /// 95th percentile.
    pub p95_ms: i64,
    /// 99th percentile.
    pub p99_ms: i64,
    /// Largest value.
    pub max_ms: i64,
}

impl fmt::Display for LatencyStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50_ms,
            p95_ms,
            p99_ms,
            ..
        } = self;
        write!(f, "p50 {p50_ms} ms, p95 {p95_ms} ms, p99 {p99_ms} ms")
    }
}

impl LatencyStats {
    /// Computes the distribution of `values` in any order; `None` if there are no values.
    pub fn from_values(mut values: Vec<i64>) -> Option<Self> {
        values.sort_unstable();
        let max_ms = *values.last()?;
        let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self {
            count: values.len(),
            mean_ms: values.iter().map(|v| *v as f64).sum::<f64>() / values.len() as f64,
            p50_ms: rank(50),
            p95_ms: rank(95),
            p99_ms: rank(99),
            max_ms,
        })
    }
}

/// Parts of the time from the end of speech to the final. For each segment, the three parts add up to its
/// final latency.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyBreakdown {
    /// From the true end of speech to the end of the segment as the engine reports it.
    pub end_error: Option<LatencyStats>,
    /// From the end of the segment to its publication, as the engine reports it (`latencyMs`).
    pub engine: Option<LatencyStats>,
    /// From publication to arrival.
    pub delivery: Option<LatencyStats>,
}

/// Measurements of one or more calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyReport {
    /// Number of reference utterances.
    pub utterances: usize,
    /// Number of segments that arrived.
    pub segments: usize,
    /// Start of speech to the first partial with words, over segments with such a partial.
    pub first_partial: Option<LatencyStats>,
    /// Start of speech to the first words, partial or final, over all segments.
    pub first_words: Option<LatencyStats>,
    /// End of speech to the arrival of the final.
    pub final_words: Option<LatencyStats>,
    /// Parts of `final_words`.
    pub breakdown: LatencyBreakdown,
    /// Absolute error of the first word's start and of the last word's end, over the segments that start an
    /// utterance and those that end one.
    pub word_times: Option<LatencyStats>,
    /// Reference utterances longer than [`MISSABLE_MS_MAX`] for which no words arrived.
    pub missing: Vec<MissingUtterance>,
    /// Words of partials that the next partial, or the final, replaced or removed.
    pub revised_words: u64,
    /// Words of finals.
    pub settled_words: u64,
    /// `revised_words` divided by `settled_words`: the "unstable partial word ratio" (Shangguan et al. 2020,
    /// <https://arxiv.org/abs/2006.01416>). Letter case and punctuation do not count.
    pub unstable_partial_word_ratio: Option<f64>,
    /// Number of times that stable text changed or disappeared, in a later partial or in the final, and that
    /// a final arrived again with other words. Must be 0.
    pub retractions: u64,
    /// Partials that were equal to the one before.
    pub duplicate_partials: u64,
    /// Partials of a segment that arrived after its final. Must be 0.
    pub partials_after_final: u64,
    /// Segments with partials, but without a final.
    pub without_final: u64,
}

/// A reference utterance for which no words arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingUtterance {
    /// Track of the utterance.
    pub track: Track,
    /// Start of the utterance.
    pub start_ms: u64,
    /// End of the utterance.
    pub end_ms: u64,
    /// Text of the reference.
    pub text: String,
}

/// Measurements of several calls, kept so that percentiles are taken over all their segments.
#[derive(Debug, Clone, Default)]
pub struct LatencyTally {
    report: LatencyReport,
    first_partial: Vec<i64>,
    first_words: Vec<i64>,
    final_words: Vec<i64>,
    end_error: Vec<i64>,
    engine: Vec<i64>,
    delivery: Vec<i64>,
    word_times: Vec<i64>,
}

impl LatencyTally {
    /// Adds one call: its reference utterances, and the events that one listener received, in order of
    /// arrival.
    pub fn add_call(&mut self, truth: &[ScriptUtterance], received: &[ReceivedEvent]) {
        let mut histories = BTreeMap::<SegmentId, SegmentHistory>::new();
        for received in received {
            self.add_event(&mut histories, received);
        }
        self.report.utterances += truth.len();
        self.report.without_final += histories
            .values()
            .filter(|l| l.final_segment.is_none())
            .count() as u64;
        for track in Track::ALL {
            let truth: Vec<&ScriptUtterance> = truth.iter().filter(|u| u.track == track).collect();
            let mut histories: Vec<FinalSegment<'_>> = histories
                .values()
                .filter_map(SegmentHistory::final_segment)
                .filter(|s| s.segment.track == track)
                .collect();
            histories.sort_by_key(|s| (s.segment.start_ms, s.segment.end_ms));
            self.match_track(&truth, &histories);
        }
    }

    /// Returns the measurements of all calls so far.
    pub fn report(&self) -> LatencyReport {
        let mut report = self.report.clone();
        report.first_partial = LatencyStats::from_values(self.first_partial.clone());
        report.first_words = LatencyStats::from_values(self.first_words.clone());
        report.final_words = LatencyStats::from_values(self.final_words.clone());
        report.breakdown = LatencyBreakdown {
            end_error: LatencyStats::from_values(self.end_error.clone()),
            engine: LatencyStats::from_values(self.engine.clone()),
            delivery: LatencyStats::from_values(self.delivery.clone()),
        };
        report.word_times = LatencyStats::from_values(self.word_times.clone());
        let words = report.settled_words;
        report.unstable_partial_word_ratio =
            (words > 0).then(|| report.revised_words as f64 / words as f64);
        report
    }

    fn add_event(
        &mut self,
        histories: &mut BTreeMap<SegmentId, SegmentHistory>,
        received: &ReceivedEvent,
    ) {
        let at_ms = received.at_ms;
        match &received.event {
            Event::Partial { partial } => self.add_partial(histories, at_ms, partial),
            Event::Segment { segment } => self.add_segment(histories, at_ms, segment),
            Event::Snapshot {
                segments, partials, ..
            } => {
                for segment in segments {
                    self.add_segment(histories, at_ms, segment);
                }
                // A snapshot repeats partials that this listener may have; these are no duplicates.
                let known = |p: &Partial, histories: &BTreeMap<SegmentId, SegmentHistory>| {
                    histories
                        .get(&p.segment_id)
                        .is_some_and(|l| l.revision == Some(p.revision))
                };
                for partial in partials {
                    if !known(partial, histories) {
                        self.add_partial(histories, at_ms, partial);
                    }
                }
            }
            Event::Call { .. }
            | Event::Recording { .. }
            | Event::Engine { .. }
            | Event::Language { .. }
            | Event::Ended { .. } => {}
        }
    }

    fn add_partial(
        &mut self,
        histories: &mut BTreeMap<SegmentId, SegmentHistory>,
        at_ms: u64,
        partial: &Partial,
    ) {
        let history = histories.entry(partial.segment_id.clone()).or_default();
        if history.final_segment.is_some() {
            self.report.partials_after_final += 1;
            return;
        }
        let stable = split_words(&partial.stable);
        let shown = [stable.clone(), split_words(&partial.unstable)].concat();
        if history.revision.is_some() && history.stable == stable && history.shown == shown {
            self.report.duplicate_partials += 1;
        }
        self.report.retractions += u64::from(!stable.starts_with(&history.stable));
        self.report.revised_words += count_revised(&history.shown, &shown);
        if !shown.is_empty() {
            history.first_partial_ms.get_or_insert(at_ms);
        }
        history.revision = Some(partial.revision);
        history.stable = stable;
        history.shown = shown;
    }

    fn add_segment(
        &mut self,
        histories: &mut BTreeMap<SegmentId, SegmentHistory>,
        at_ms: u64,
        segment: &Segment,
    ) {
        let history = histories.entry(segment.id.clone()).or_default();
        if let Some((_, known)) = &history.final_segment {
            self.report.retractions += u64::from(known.text != segment.text);
            return;
        }
        let final_words = split_words(&segment.text);
        self.report.segments += 1;
        self.report.retractions += u64::from(!final_words.starts_with(&history.stable));
        self.report.revised_words += count_revised(&history.shown, &final_words);
        self.report.settled_words += final_words.len() as u64;
        history.final_segment = Some((at_ms, segment.clone()));
    }

    /// Matches the utterances and segments of one track, both in order of time.
    fn match_track(&mut self, truth: &[&ScriptUtterance], histories: &[FinalSegment<'_>]) {
        let mut speech_ends = BTreeMap::<usize, u64>::new();
        let mut speech_starts = BTreeMap::<usize, u64>::new();
        for utterance in truth {
            let covering: Vec<usize> = (0..histories.len())
                .filter(|at| {
                    histories[*at].has_words()
                        && covers_utterance(histories[*at].segment, utterance)
                })
                .collect();
            let (Some(first), Some(last)) = (
                covering.first(),
                ending_segment(utterance, &covering, histories),
            ) else {
                if utterance.end_ms.saturating_sub(utterance.start_ms) > MISSABLE_MS_MAX {
                    self.report.missing.push(MissingUtterance::from(*utterance));
                }
                continue;
            };
            let start = speech_starts.entry(*first).or_insert(utterance.start_ms);
            *start = utterance.start_ms.min(*start);
            let end = speech_ends.entry(last).or_insert(utterance.end_ms);
            *end = utterance.end_ms.max(*end);
        }
        for (at, start_ms) in speech_starts {
            let history = &histories[at];
            let first_words_ms = history
                .first_partial_ms
                .map_or(history.at_ms, |ms| ms.min(history.at_ms));
            self.first_words.push(ms_between(start_ms, first_words_ms));
            self.first_partial
                .extend(history.first_partial_ms.map(|ms| ms_between(start_ms, ms)));
            let first_word = history.segment.words.first();
            self.word_times
                .extend(first_word.map(|word| ms_between(start_ms, word.start_ms).abs()));
        }
        for (at, end_ms) in speech_ends {
            let FinalSegment { at_ms, segment, .. } = &histories[at];
            let published_ms = segment.end_ms + segment.latency_ms;
            self.final_words.push(ms_between(end_ms, *at_ms));
            self.end_error.push(ms_between(end_ms, segment.end_ms));
            self.engine.push(ms_between(segment.end_ms, published_ms));
            self.delivery.push(ms_between(published_ms, *at_ms));
            let last_word = segment.words.last();
            self.word_times
                .extend(last_word.map(|word| ms_between(end_ms, word.end_ms).abs()));
        }
    }
}

impl From<&ScriptUtterance> for MissingUtterance {
    fn from(u: &ScriptUtterance) -> Self {
        Self {
            track: u.track,
            start_ms: u.start_ms,
            end_ms: u.end_ms,
            text: u.text.clone(),
        }
    }
}

/// Events that were received for one segment.
#[derive(Debug, Default)]
struct SegmentHistory {
    first_partial_ms: Option<u64>,
    revision: Option<u32>,
    stable: Vec<String>,
    shown: Vec<String>,
    final_segment: Option<(u64, Segment)>,
}

impl SegmentHistory {
    fn final_segment(&self) -> Option<FinalSegment<'_>> {
        let (at_ms, segment) = self.final_segment.as_ref()?;
        Some(FinalSegment {
            at_ms: *at_ms,
            segment,
            first_partial_ms: self.first_partial_ms,
        })
    }
}

/// A segment whose final has arrived.
#[derive(Debug, Clone, Copy)]
struct FinalSegment<'a> {
    at_ms: u64,
    segment: &'a Segment,
    first_partial_ms: Option<u64>,
}

impl FinalSegment<'_> {
    fn has_words(&self) -> bool {
        self.segment.transcribed && !self.segment.text.trim().is_empty()
    }
}

fn covers_utterance(segment: &Segment, utterance: &ScriptUtterance) -> bool {
    let start = segment.start_ms.max(utterance.start_ms);
    let shared = segment.end_ms.min(utterance.end_ms).saturating_sub(start);
    let shorter = segment
        .end_ms
        .saturating_sub(segment.start_ms)
        .min(utterance.end_ms.saturating_sub(utterance.start_ms));
    shared > 0 && (shared >= SHARED_MS_MIN || 2 * shared >= shorter)
}

/// Returns the index of the segment, among those that cover `utterance`, that ends it.
fn ending_segment(
    utterance: &ScriptUtterance,
    covering: &[usize],
    histories: &[FinalSegment<'_>],
) -> Option<usize> {
    let contains_end = |at: &&usize| {
        let segment = histories[**at].segment;
        segment.start_ms <= utterance.end_ms
            && utterance.end_ms <= segment.end_ms + END_TOLERANCE_MS
    };
    covering
        .iter()
        .rfind(contains_end)
        .or(covering.last())
        .copied()
}

fn ms_between(earlier_ms: u64, later_ms: u64) -> i64 {
    later_ms.cast_signed() - earlier_ms.cast_signed()
}

fn split_words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Returns the number of words of `before` that `now` replaced or removed.
fn count_revised(before: &[String], now: &[String]) -> u64 {
    let plain = |words: &[String]| -> Vec<String> {
        let letters = |word: &String| {
            word.to_lowercase()
                .trim_matches(|c: char| !c.is_alphanumeric())
                .to_owned()
        };
        words
            .iter()
            .map(letters)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let errors = wer::count_word_errors(&plain(before), &plain(now));
    errors.substitutions + errors.deletions
}

#[cfg(test)]
mod tests;
