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
mod tests {
    use super::*;
    use crate::transcript::{EndReason, EngineHealth, Speaker, Word};

    fn utterance(track: Track, start_ms: u64, end_ms: u64, text: &str) -> ScriptUtterance {
        ScriptUtterance {
            track,
            start_ms,
            end_ms,
            speaker: String::new(),
            text: text.to_owned(),
        }
    }

    fn segment(number: u32, track: Track, span: (u64, u64), text: &str) -> Segment {
        Segment {
            id: SegmentId::new(1, track, number),
            track,
            speaker: Speaker::Agent,
            start_ms: span.0,
            end_ms: span.1,
            text: text.to_owned(),
            words: Vec::new(),
            language: "en".to_owned(),
            latency_ms: 400,
            transcribed: true,
            echo: false,
        }
    }

    fn final_at(at_ms: u64, number: u32, span: (u64, u64), text: &str) -> ReceivedEvent {
        let segment = segment(number, Track::Inbound, span, text);
        ReceivedEvent {
            at_ms,
            event: Event::Segment { segment },
        }
    }

    fn partial(number: u32, revision: u32, stable: &str, unstable: &str) -> Partial {
        Partial {
            segment_id: SegmentId::new(1, Track::Inbound, number),
            revision,
            track: Track::Inbound,
            speaker: Speaker::Agent,
            start_ms: 0,
            stable: stable.to_owned(),
            unstable: unstable.to_owned(),
            echo: false,
        }
    }

    fn partial_at(
        at_ms: u64,
        number: u32,
        revision: u32,
        stable: &str,
        unstable: &str,
    ) -> ReceivedEvent {
        let partial = partial(number, revision, stable, unstable);
        ReceivedEvent {
            at_ms,
            event: Event::Partial { partial },
        }
    }

    fn measure_latency(truth: &[ScriptUtterance], received: &[ReceivedEvent]) -> LatencyReport {
        let mut tally = LatencyTally::default();
        tally.add_call(truth, received);
        tally.report()
    }

    fn only(spread: Option<LatencyStats>) -> i64 {
        let spread = spread.unwrap();
        assert_eq!(spread.count, 1, "{spread:?}");
        spread.max_ms
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = LatencyStats::from_values((1..=200).rev().collect()).unwrap();
        assert_eq!((spread.p50_ms, spread.p95_ms), (100, 190));
        assert_eq!((spread.p99_ms, spread.max_ms), (198, 200));
        let spread = LatencyStats::from_values(vec![30, 10, 20]).unwrap();
        assert_eq!(
            (spread.count, spread.p50_ms, spread.p95_ms, spread.p99_ms),
            (3, 20, 30, 30)
        );
        assert!((spread.mean_ms - 20.0).abs() < 1e-9);
        assert_eq!(LatencyStats::from_values(vec![-5]).unwrap().p50_ms, -5);
        assert_eq!(LatencyStats::from_values(Vec::new()), None);
    }

    #[test]
    fn one_utterance_one_segment() {
        let truth = [utterance(
            Track::Inbound,
            1_000,
            3_000,
            "good morning to you",
        )];
        let received = [
            partial_at(1_700, 1, 1, "", ""),
            partial_at(1_900, 1, 2, "", "Good"),
            partial_at(2_500, 1, 3, "Good", "morning"),
            final_at(3_600, 1, (980, 3_100), "Good morning to you."),
        ];
        let report = measure_latency(&truth, &received);
        assert_eq!(
            only(report.first_partial),
            900,
            "an empty partial shows no words"
        );
        assert_eq!(only(report.first_words), 900);
        assert_eq!(only(report.final_words), 600);
        assert_eq!((report.utterances, report.segments), (1, 1));
        assert_eq!((report.missing.len(), report.retractions), (0, 0));
    }

    #[test]
    fn words_may_begin_or_end_beside_what_was_said() {
        let truth = [utterance(Track::Inbound, 1_000, 3_000, "good morning")];
        let mut received = final_at(3_650, 1, (980, 3_100), "good morning");
        let Event::Segment { segment } = &mut received.event else {
            panic!()
        };
        let word = |start_ms, end_ms| Word {
            text: "good".to_owned(),
            start_ms,
            end_ms,
            confidence: 1.0,
        };
        segment.words = vec![word(990, 1_500), word(1_500, 3_040)];
        let off = measure_latency(&truth, &[received]).word_times.unwrap();
        assert_eq!((off.count, off.p50_ms, off.max_ms), (2, 10, 40));
    }

    #[test]
    fn the_breakdown_adds_up_to_the_final_latency() {
        let truth = [utterance(Track::Inbound, 1_000, 3_000, "good morning")];
        let report = measure_latency(&truth, &[final_at(3_650, 1, (980, 3_100), "good morning")]);
        let LatencyBreakdown {
            end_error,
            engine,
            delivery,
        } = report.breakdown;
        assert_eq!(
            (only(end_error), only(engine), only(delivery)),
            (100, 400, 150)
        );
        assert_eq!(only(report.final_words), 650);
    }

    #[test]
    fn a_segment_over_several_utterances_is_measured_from_the_last_one() {
        let truth = [
            utterance(Track::Inbound, 1_000, 2_000, "yes"),
            utterance(Track::Inbound, 2_300, 4_000, "that is right"),
        ];
        let received = [
            partial_at(1_800, 1, 1, "", "yes"),
            final_at(4_500, 1, (1_000, 4_000), "yes that is right"),
        ];
        let report = measure_latency(&truth, &received);
        assert_eq!(only(report.final_words), 500);
        assert_eq!(only(report.first_partial), 800);
        assert!(report.missing.is_empty());
    }

    #[test]
    fn an_utterance_over_several_segments_ends_with_the_one_that_holds_its_end() {
        let truth = [utterance(Track::Inbound, 0, 20_000, "a long story")];
        let received = [
            partial_at(700, 1, 1, "", "a"),
            final_at(9_000, 1, (0, 8_000), "a"),
            final_at(16_500, 2, (8_000, 16_000), "long"),
            partial_at(17_000, 3, 1, "", "story"),
            final_at(20_450, 3, (16_000, 19_900), "story"),
        ];
        let report = measure_latency(&truth, &received);
        assert_eq!(only(report.final_words), 450);
        assert_eq!(
            only(report.first_partial),
            700,
            "segment 3 only continues it"
        );
        assert_eq!(report.segments, 3);
    }

    #[test]
    fn an_end_that_was_missed_by_far_counts_for_the_last_segment() {
        let truth = [utterance(Track::Inbound, 0, 5_000, "one two three")];
        let received = [
            final_at(2_600, 1, (0, 2_000), "one"),
            final_at(4_600, 2, (2_100, 4_000), "two"),
        ];
        assert_eq!(only(measure_latency(&truth, &received).final_words), -400);
    }

    #[test]
    fn a_padded_edge_does_not_claim_the_neighbours_words() {
        let truth = [
            utterance(Track::Inbound, 1_000, 3_000, "first"),
            utterance(Track::Inbound, 3_500, 6_000, "second"),
        ];
        let report = measure_latency(&truth, &[final_at(3_500, 1, (900, 3_700), "first")]);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(report.missing[0].text, "second");
        assert_eq!(only(report.final_words), 500);
    }

    #[test]
    fn words_must_come_on_their_own_track_and_be_words() {
        let truth = [utterance(Track::Outbound, 0, 2_000, "hello there")];
        let missing = |track: Track, text: &str, transcribed: bool| {
            let segment = Segment {
                transcribed,
                ..segment(1, track, (0, 2_000), text)
            };
            let received = [ReceivedEvent {
                at_ms: 2_500,
                event: Event::Segment { segment },
            }];
            measure_latency(&truth, &received).missing.len()
        };
        assert_eq!(missing(Track::Outbound, "hello there", true), 0);
        assert_eq!(missing(Track::Inbound, "hello there", true), 1);
        assert_eq!(missing(Track::Outbound, " ", true), 1);
        assert_eq!(missing(Track::Outbound, "hello there", false), 1);
    }

    #[test]
    fn only_utterances_of_more_than_half_a_second_can_be_missing() {
        let short = [utterance(Track::Inbound, 0, 500, "mm")];
        assert!(measure_latency(&short, &[]).missing.is_empty());
        let longer = [utterance(Track::Inbound, 0, 501, "yes")];
        let report = measure_latency(&longer, &[]);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(
            (report.final_words, report.unstable_partial_word_ratio),
            (None, None)
        );
    }

    #[test]
    fn a_final_without_partials_still_gives_first_words() {
        let truth = [utterance(Track::Inbound, 1_000, 1_600, "yes")];
        let report = measure_latency(&truth, &[final_at(2_100, 1, (1_000, 1_600), "yes")]);
        assert_eq!(report.first_partial, None);
        assert_eq!(only(report.first_words), 1_100);
    }

    #[test]
    fn revised_words_are_those_that_went_or_changed() {
        let received = [
            partial_at(100, 1, 1, "", "I want two"),
            partial_at(200, 1, 2, "I want", "to go"), // two became to
            partial_at(300, 1, 3, "I want", "to"),    // go went
            final_at(400, 1, (0, 300), "I want To, go home now."), // only case and a comma
        ];
        let report = measure_latency(&[], &received);
        assert_eq!((report.revised_words, report.settled_words), (2, 6));
        assert_eq!(report.unstable_partial_word_ratio, Some(2.0 / 6.0));
        assert_eq!(report.retractions, 0);
    }

    #[test]
    fn stable_text_that_changes_is_a_retraction_wherever_it_happens() {
        let retractions = |received: &[ReceivedEvent]| measure_latency(&[], received).retractions;
        let shrinks = [
            partial_at(1, 1, 1, "a b", ""),
            partial_at(2, 1, 2, "a", "b"),
        ];
        assert_eq!(retractions(&shrinks), 1);
        let changes = [
            partial_at(1, 1, 1, "a b", ""),
            partial_at(2, 1, 2, "a c", ""),
        ];
        assert_eq!(retractions(&changes), 1);
        let a_word_grows = [
            partial_at(1, 1, 1, "a b", ""),
            partial_at(2, 1, 2, "a bc", ""),
        ];
        assert_eq!(retractions(&a_word_grows), 1);
        let in_final = [
            partial_at(1, 1, 1, "a b", ""),
            final_at(2, 1, (0, 1), "a x"),
        ];
        assert_eq!(retractions(&in_final), 1);
        let again = |text: &str| final_at(2, 1, (0, 1), text);
        assert_eq!(retractions(&[again("a"), again("a"), again("b")]), 1);
        let fine = [
            partial_at(1, 1, 1, "a", "x"),
            partial_at(2, 1, 2, "a b", ""),
            again("a b c"),
        ];
        assert_eq!(retractions(&fine), 0);
    }

    #[test]
    fn duplicates_late_partials_and_lost_segments_are_counted() {
        let received = [
            partial_at(1, 1, 1, "", "a"),
            partial_at(2, 1, 2, "", "a"),
            partial_at(3, 1, 3, "a", ""),
            final_at(4, 1, (0, 3), "a"),
            partial_at(5, 1, 4, "a", "b"),
            partial_at(6, 2, 1, "", "lost"),
        ];
        let report = measure_latency(&[], &received);
        assert_eq!(
            report.duplicate_partials, 1,
            "words that become stable are news"
        );
        assert_eq!(report.partials_after_final, 1);
        assert_eq!(report.without_final, 1);
    }

    #[test]
    fn a_snapshot_counts_for_what_is_new_in_it() {
        let truth = [
            utterance(Track::Inbound, 0, 1_000, "one"),
            utterance(Track::Inbound, 2_000, 3_000, "two"),
        ];
        let snapshot = Event::Snapshot {
            epoch: 1,
            status: None,
            recording: None,
            engine: EngineHealth::Ok,
            segments: vec![
                segment(1, Track::Inbound, (0, 1_000), "one"),
                segment(2, Track::Inbound, (2_000, 3_000), "two"),
            ],
            partials: vec![partial(3, 1, "", "three")],
            doubts: vec![],
            ended: None,
        };
        let received = [
            final_at(1_400, 1, (0, 1_000), "one"),
            partial_at(1_500, 3, 1, "", "three"),
            ReceivedEvent {
                at_ms: 9_000,
                event: snapshot,
            },
            ReceivedEvent {
                at_ms: 9_001,
                event: Event::Ended {
                    reason: EndReason::Stopped,
                },
            },
        ];
        let report = measure_latency(&truth, &received);
        let spread = report.final_words.unwrap();
        assert_eq!(
            (spread.count, spread.p50_ms, spread.max_ms),
            (2, 400, 6_000)
        );
        assert_eq!((report.duplicate_partials, report.retractions), (0, 0));
    }

    #[test]
    fn percentiles_are_taken_over_all_calls_together() {
        let truth = [utterance(Track::Inbound, 0, 1_000, "one")];
        let mut tally = LatencyTally::default();
        for late in [100, 300, 200] {
            tally.add_call(&truth, &[final_at(1_000 + late, 1, (0, 1_000), "one")]);
        }
        let report = tally.report();
        let spread = report.final_words.unwrap();
        assert_eq!((spread.count, spread.p50_ms, spread.max_ms), (3, 200, 300));
        assert_eq!(report.utterances, 3);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["finalWords"]["p50Ms"], 200);
        assert_eq!(
            serde_json::from_value::<LatencyReport>(json).unwrap(),
            report
        );
    }
}
