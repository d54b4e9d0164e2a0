//! How soon words arrive and how steady they are: what listeners received against what was said
//! and when. Pure: no I/O, no clock; all times are milliseconds on the call's clock.
//!
//! The truth is cut into utterances by people, what arrives is cut into segments by the engine,
//! and neither has to respect the other. The two meet as follows, track by track:
//!
//! - A segment *covers* an utterance when they share [`SHARED_MS_MIN`] or half of the shorter one.
//! - A segment *ends* an utterance when it covers it and contains its end, give or take
//!   [`END_TOLERANCE_MS`]; of several the latest one. Where none contains the end, the latest that
//!   covers it. An utterance's final time is the arrival of the segment that ends it.
//! - A segment's *end of speech* is the end of the last utterance that it ends. Segments that end
//!   none (the middle of a long utterance) have no final latency.
//! - A segment's *start of speech* is the start of the first utterance that it is the first to
//!   cover. Segments that only go on with an utterance have no first-words latency.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{SegmentId, Track};
use crate::measure::script::Utterance;
use crate::measure::wer;
use crate::transcript::{Event, Partial, Segment};

/// Common time that makes a segment and an utterance belong together. Lower, and the padding of
/// one segment claims its neighbour's words; higher, and a cut-off last word finds no segment.
pub const SHARED_MS_MIN: u64 = 300;

/// How far the end of a segment may be before the true end of its words. Voice detectors miss
/// soft last sounds by about this much.
pub const END_TOLERANCE_MS: u64 = 250;

/// Reference utterances up to this length may be missed without a word: the promise is for longer
/// ones.
pub const MISSABLE_MS_MAX: u64 = 500;

/// Something that a listener received.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// When it arrived.
    pub at_ms: u64,
    /// What it was; only partials, segments and snapshots count.
    pub event: Event,
}

/// A distribution of milliseconds. Percentiles are nearest-rank: the smallest value that at least
/// that share of all values does not exceed, so each is a value that was measured. Negative
/// values are possible: a final can arrive before the reference thinks that speech has ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean_ms: f64,
    /// Half of them are no larger.
    pub p50_ms: i64,
    /// 95 of 100.
    pub p95_ms: i64,
    /// 99 of 100.
    pub p99_ms: i64,
    /// The largest.
    pub max_ms: i64,
}

impl fmt::Display for Spread {
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

impl Spread {
    /// Of `values` in any order; `None` of none.
    pub fn of(mut values: Vec<i64>) -> Option<Self> {
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

/// Where the time from the end of speech to the final went. For each segment the three add up to
/// its final latency.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breakdown {
    /// From the true end of speech to the end that the engine put on the segment.
    pub end_error: Option<Spread>,
    /// From there to publication, by the engine's own account (`latencyMs`).
    pub engine: Option<Spread>,
    /// From publication to arrival.
    pub delivery: Option<Spread>,
}

/// What was measured on one call or several.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Reference utterances.
    pub utterances: usize,
    /// Segments that arrived.
    pub segments: usize,
    /// Start of speech → first partial with words, over segments that had one.
    pub first_partial: Option<Spread>,
    /// Start of speech → first words, be they partial or final, over all segments.
    pub first_words: Option<Spread>,
    /// End of speech → arrival of the final.
    pub final_words: Option<Spread>,
    /// The parts of that.
    pub breakdown: Breakdown,
    /// How far off, either way, the first word's start and the last word's end are, over the segments
    /// that begin an utterance and those that end one.
    pub word_times: Option<Spread>,
    /// Reference utterances longer than [`MISSABLE_MS_MAX`] for which no words arrived.
    pub missing: Vec<Missing>,
    /// Words of partials that the next partial, or the final, replaced or took back.
    pub revised_words: u64,
    /// Words of finals.
    pub settled_words: u64,
    /// The first over the second, "unstable partial word ratio" (Shangguan et al. 2020,
    /// <https://arxiv.org/abs/2006.01416>); letter case and punctuation don't count.
    pub unstable_partial_word_ratio: Option<f64>,
    /// Times that text which had been called stable changed or went, in a later partial or in the
    /// final, and times that a final came again with other words. Must be 0.
    pub retractions: u64,
    /// Partials that said what the one before had said.
    pub duplicate_partials: u64,
    /// Partials of a segment whose final had arrived. Must be 0.
    pub partials_after_final: u64,
    /// Segments that partials announced and no final followed.
    pub without_final: u64,
}

/// A reference utterance for which no words arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Its track.
    pub track: Track,
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
    /// What was said.
    pub text: String,
}

/// The measurements of several calls, so that percentiles are taken over all their segments.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    report: Report,
    first_partial: Vec<i64>,
    first_words: Vec<i64>,
    final_words: Vec<i64>,
    end_error: Vec<i64>,
    engine: Vec<i64>,
    delivery: Vec<i64>,
    word_times: Vec<i64>,
}

impl Tally {
    /// Takes one call in: its truth, and what one listener received, in order of arrival.
    pub fn add(&mut self, truth: &[Utterance], heard: &[Heard]) {
        let mut lives = BTreeMap::<SegmentId, Life>::new();
        for heard in heard {
            self.follow(&mut lives, heard);
        }
        self.report.utterances += truth.len();
        self.report.without_final += lives.values().filter(|l| l.settled.is_none()).count() as u64;
        for track in Track::ALL {
            let truth: Vec<&Utterance> = truth.iter().filter(|u| u.track == track).collect();
            let mut lives: Vec<Settled<'_>> = lives
                .values()
                .filter_map(Life::settled)
                .filter(|s| s.segment.track == track)
                .collect();
            lives.sort_by_key(|s| (s.segment.start_ms, s.segment.end_ms));
            self.compare(&truth, &lives);
        }
    }

    /// The figures over everything taken in so far.
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.first_partial = Spread::of(self.first_partial.clone());
        report.first_words = Spread::of(self.first_words.clone());
        report.final_words = Spread::of(self.final_words.clone());
        report.breakdown = Breakdown {
            end_error: Spread::of(self.end_error.clone()),
            engine: Spread::of(self.engine.clone()),
            delivery: Spread::of(self.delivery.clone()),
        };
        report.word_times = Spread::of(self.word_times.clone());
        let words = report.settled_words;
        report.unstable_partial_word_ratio =
            (words > 0).then(|| report.revised_words as f64 / words as f64);
        report
    }

    fn follow(&mut self, lives: &mut BTreeMap<SegmentId, Life>, heard: &Heard) {
        let at_ms = heard.at_ms;
        match &heard.event {
            Event::Partial { partial } => self.follow_partial(lives, at_ms, partial),
            Event::Segment { segment } => self.follow_segment(lives, at_ms, segment),
            Event::Snapshot {
                segments, partials, ..
            } => {
                for segment in segments {
                    self.follow_segment(lives, at_ms, segment);
                }
                // A snapshot repeats what this listener may have already; that is no duplicate.
                let known = |p: &Partial, lives: &BTreeMap<SegmentId, Life>| {
                    lives
                        .get(&p.segment_id)
                        .is_some_and(|l| l.revision == Some(p.revision))
                };
                for partial in partials {
                    if !known(partial, lives) {
                        self.follow_partial(lives, at_ms, partial);
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

    fn follow_partial(
        &mut self,
        lives: &mut BTreeMap<SegmentId, Life>,
        at_ms: u64,
        partial: &Partial,
    ) {
        let life = lives.entry(partial.segment_id.clone()).or_default();
        if life.settled.is_some() {
            self.report.partials_after_final += 1;
            return;
        }
        let stable = words(&partial.stable);
        let shown = [stable.clone(), words(&partial.unstable)].concat();
        if life.revision.is_some() && life.stable == stable && life.shown == shown {
            self.report.duplicate_partials += 1;
        }
        self.report.retractions += u64::from(!stable.starts_with(&life.stable));
        self.report.revised_words += revised(&life.shown, &shown);
        if !shown.is_empty() {
            life.first_partial_ms.get_or_insert(at_ms);
        }
        life.revision = Some(partial.revision);
        life.stable = stable;
        life.shown = shown;
    }

    fn follow_segment(
        &mut self,
        lives: &mut BTreeMap<SegmentId, Life>,
        at_ms: u64,
        segment: &Segment,
    ) {
        let life = lives.entry(segment.id.clone()).or_default();
        if let Some((_, known)) = &life.settled {
            self.report.retractions += u64::from(known.text != segment.text);
            return;
        }
        let settled = words(&segment.text);
        self.report.segments += 1;
        self.report.retractions += u64::from(!settled.starts_with(&life.stable));
        self.report.revised_words += revised(&life.shown, &settled);
        self.report.settled_words += settled.len() as u64;
        life.settled = Some((at_ms, segment.clone()));
    }

    /// One track: `truth` and `lives` in order of time.
    fn compare(&mut self, truth: &[&Utterance], lives: &[Settled<'_>]) {
        let mut speech_ends = BTreeMap::<usize, u64>::new();
        let mut speech_starts = BTreeMap::<usize, u64>::new();
        for utterance in truth {
            let covering: Vec<usize> = (0..lives.len())
                .filter(|at| lives[*at].has_words() && covers(lives[*at].segment, utterance))
                .collect();
            let (Some(first), Some(last)) = (covering.first(), ending(utterance, &covering, lives))
            else {
                if utterance.end_ms.saturating_sub(utterance.start_ms) > MISSABLE_MS_MAX {
                    self.report.missing.push(Missing::from(*utterance));
                }
                continue;
            };
            let start = speech_starts.entry(*first).or_insert(utterance.start_ms);
            *start = utterance.start_ms.min(*start);
            let end = speech_ends.entry(last).or_insert(utterance.end_ms);
            *end = utterance.end_ms.max(*end);
        }
        for (at, start_ms) in speech_starts {
            let life = &lives[at];
            let first_words_ms = life
                .first_partial_ms
                .map_or(life.at_ms, |ms| ms.min(life.at_ms));
            self.first_words.push(after(start_ms, first_words_ms));
            self.first_partial
                .extend(life.first_partial_ms.map(|ms| after(start_ms, ms)));
            let first_word = life.segment.words.first();
            self.word_times
                .extend(first_word.map(|word| after(start_ms, word.start_ms).abs()));
        }
        for (at, end_ms) in speech_ends {
            let Settled { at_ms, segment, .. } = &lives[at];
            let published_ms = segment.end_ms + segment.latency_ms;
            self.final_words.push(after(end_ms, *at_ms));
            self.end_error.push(after(end_ms, segment.end_ms));
            self.engine.push(after(segment.end_ms, published_ms));
            self.delivery.push(after(published_ms, *at_ms));
            let last_word = segment.words.last();
            self.word_times
                .extend(last_word.map(|word| after(end_ms, word.end_ms).abs()));
        }
    }
}

impl From<&Utterance> for Missing {
    fn from(u: &Utterance) -> Self {
        Self {
            track: u.track,
            start_ms: u.start_ms,
            end_ms: u.end_ms,
            text: u.text.clone(),
        }
    }
}

/// What has been heard of one segment.
#[derive(Debug, Default)]
struct Life {
    first_partial_ms: Option<u64>,
    revision: Option<u32>,
    stable: Vec<String>,
    shown: Vec<String>,
    settled: Option<(u64, Segment)>,
}

impl Life {
    fn settled(&self) -> Option<Settled<'_>> {
        let (at_ms, segment) = self.settled.as_ref()?;
        Some(Settled {
            at_ms: *at_ms,
            segment,
            first_partial_ms: self.first_partial_ms,
        })
    }
}

/// A segment whose final has arrived.
#[derive(Debug, Clone, Copy)]
struct Settled<'a> {
    at_ms: u64,
    segment: &'a Segment,
    first_partial_ms: Option<u64>,
}

impl Settled<'_> {
    fn has_words(&self) -> bool {
        self.segment.transcribed && !self.segment.text.trim().is_empty()
    }
}

fn covers(segment: &Segment, utterance: &Utterance) -> bool {
    let start = segment.start_ms.max(utterance.start_ms);
    let shared = segment.end_ms.min(utterance.end_ms).saturating_sub(start);
    let shorter = segment
        .end_ms
        .saturating_sub(segment.start_ms)
        .min(utterance.end_ms.saturating_sub(utterance.start_ms));
    shared > 0 && (shared >= SHARED_MS_MIN || 2 * shared >= shorter)
}

/// Which of the segments that cover `utterance` ends it.
fn ending(utterance: &Utterance, covering: &[usize], lives: &[Settled<'_>]) -> Option<usize> {
    let contains_end = |at: &&usize| {
        let segment = lives[**at].segment;
        segment.start_ms <= utterance.end_ms
            && utterance.end_ms <= segment.end_ms + END_TOLERANCE_MS
    };
    covering
        .iter()
        .rfind(contains_end)
        .or(covering.last())
        .copied()
}

fn after(earlier_ms: u64, later_ms: u64) -> i64 {
    later_ms.cast_signed() - earlier_ms.cast_signed()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// How many words of `before` the text `now` replaced or took back.
fn revised(before: &[String], now: &[String]) -> u64 {
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
    let errors = wer::errors(&plain(before), &plain(now));
    errors.substitutions + errors.deletions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::{EndReason, EngineHealth, Speaker, Word};

    fn said(track: Track, start_ms: u64, end_ms: u64, text: &str) -> Utterance {
        Utterance {
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

    fn final_at(at_ms: u64, number: u32, span: (u64, u64), text: &str) -> Heard {
        let segment = segment(number, Track::Inbound, span, text);
        Heard {
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

    fn partial_at(at_ms: u64, number: u32, revision: u32, stable: &str, unstable: &str) -> Heard {
        let partial = partial(number, revision, stable, unstable);
        Heard {
            at_ms,
            event: Event::Partial { partial },
        }
    }

    fn measure(truth: &[Utterance], heard: &[Heard]) -> Report {
        let mut tally = Tally::default();
        tally.add(truth, heard);
        tally.report()
    }

    fn only(spread: Option<Spread>) -> i64 {
        let spread = spread.unwrap();
        assert_eq!(spread.count, 1, "{spread:?}");
        spread.max_ms
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=200).rev().collect()).unwrap();
        assert_eq!((spread.p50_ms, spread.p95_ms), (100, 190));
        assert_eq!((spread.p99_ms, spread.max_ms), (198, 200));
        let spread = Spread::of(vec![30, 10, 20]).unwrap();
        assert_eq!(
            (spread.count, spread.p50_ms, spread.p95_ms, spread.p99_ms),
            (3, 20, 30, 30)
        );
        assert!((spread.mean_ms - 20.0).abs() < 1e-9);
        assert_eq!(Spread::of(vec![-5]).unwrap().p50_ms, -5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn one_utterance_one_segment() {
        let truth = [said(Track::Inbound, 1_000, 3_000, "good morning to you")];
        let heard = [
            partial_at(1_700, 1, 1, "", ""),
            partial_at(1_900, 1, 2, "", "Good"),
            partial_at(2_500, 1, 3, "Good", "morning"),
            final_at(3_600, 1, (980, 3_100), "Good morning to you."),
        ];
        let report = measure(&truth, &heard);
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
        let truth = [said(Track::Inbound, 1_000, 3_000, "good morning")];
        let mut heard = final_at(3_650, 1, (980, 3_100), "good morning");
        let Event::Segment { segment } = &mut heard.event else {
            panic!()
        };
        let word = |start_ms, end_ms| Word {
            text: "good".to_owned(),
            start_ms,
            end_ms,
            confidence: 1.0,
        };
        segment.words = vec![word(990, 1_500), word(1_500, 3_040)];
        let off = measure(&truth, &[heard]).word_times.unwrap();
        assert_eq!((off.count, off.p50_ms, off.max_ms), (2, 10, 40));
    }

    #[test]
    fn the_breakdown_adds_up_to_the_final_latency() {
        let truth = [said(Track::Inbound, 1_000, 3_000, "good morning")];
        let report = measure(&truth, &[final_at(3_650, 1, (980, 3_100), "good morning")]);
        let Breakdown {
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
            said(Track::Inbound, 1_000, 2_000, "yes"),
            said(Track::Inbound, 2_300, 4_000, "that is right"),
        ];
        let heard = [
            partial_at(1_800, 1, 1, "", "yes"),
            final_at(4_500, 1, (1_000, 4_000), "yes that is right"),
        ];
        let report = measure(&truth, &heard);
        assert_eq!(only(report.final_words), 500);
        assert_eq!(only(report.first_partial), 800);
        assert!(report.missing.is_empty());
    }

    #[test]
    fn an_utterance_over_several_segments_ends_with_the_one_that_holds_its_end() {
        let truth = [said(Track::Inbound, 0, 20_000, "a long story")];
        let heard = [
            partial_at(700, 1, 1, "", "a"),
            final_at(9_000, 1, (0, 8_000), "a"),
            final_at(16_500, 2, (8_000, 16_000), "long"),
            partial_at(17_000, 3, 1, "", "story"),
            final_at(20_450, 3, (16_000, 19_900), "story"),
        ];
        let report = measure(&truth, &heard);
        assert_eq!(only(report.final_words), 450);
        assert_eq!(only(report.first_partial), 700, "segment 3 only goes on");
        assert_eq!(report.segments, 3);
    }

    #[test]
    fn an_end_that_was_missed_by_far_counts_for_the_last_segment() {
        let truth = [said(Track::Inbound, 0, 5_000, "one two three")];
        let heard = [
            final_at(2_600, 1, (0, 2_000), "one"),
            final_at(4_600, 2, (2_100, 4_000), "two"),
        ];
        assert_eq!(only(measure(&truth, &heard).final_words), -400);
    }

    #[test]
    fn a_padded_edge_does_not_claim_the_neighbours_words() {
        let truth = [
            said(Track::Inbound, 1_000, 3_000, "first"),
            said(Track::Inbound, 3_500, 6_000, "second"),
        ];
        let report = measure(&truth, &[final_at(3_500, 1, (900, 3_700), "first")]);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(report.missing[0].text, "second");
        assert_eq!(only(report.final_words), 500);
    }

    #[test]
    fn words_must_come_on_their_own_track_and_be_words() {
        let truth = [said(Track::Outbound, 0, 2_000, "hello there")];
        let missing = |track: Track, text: &str, transcribed: bool| {
            let segment = Segment {
                transcribed,
                ..segment(1, track, (0, 2_000), text)
            };
            let heard = [Heard {
                at_ms: 2_500,
                event: Event::Segment { segment },
            }];
            measure(&truth, &heard).missing.len()
        };
        assert_eq!(missing(Track::Outbound, "hello there", true), 0);
        assert_eq!(missing(Track::Inbound, "hello there", true), 1);
        assert_eq!(missing(Track::Outbound, " ", true), 1);
        assert_eq!(missing(Track::Outbound, "hello there", false), 1);
    }

    #[test]
    fn only_utterances_of_more_than_half_a_second_can_be_missing() {
        let short = [said(Track::Inbound, 0, 500, "mm")];
        assert!(measure(&short, &[]).missing.is_empty());
        let longer = [said(Track::Inbound, 0, 501, "yes")];
        let report = measure(&longer, &[]);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(
            (report.final_words, report.unstable_partial_word_ratio),
            (None, None)
        );
    }

    #[test]
    fn a_final_without_partials_still_gives_first_words() {
        let truth = [said(Track::Inbound, 1_000, 1_600, "yes")];
        let report = measure(&truth, &[final_at(2_100, 1, (1_000, 1_600), "yes")]);
        assert_eq!(report.first_partial, None);
        assert_eq!(only(report.first_words), 1_100);
    }

    #[test]
    fn revised_words_are_those_that_went_or_changed() {
        let heard = [
            partial_at(100, 1, 1, "", "I want two"),
            partial_at(200, 1, 2, "I want", "to go"), // two became to
            partial_at(300, 1, 3, "I want", "to"),    // go went
            final_at(400, 1, (0, 300), "I want To, go home now."), // only case and a comma
        ];
        let report = measure(&[], &heard);
        assert_eq!((report.revised_words, report.settled_words), (2, 6));
        assert_eq!(report.unstable_partial_word_ratio, Some(2.0 / 6.0));
        assert_eq!(report.retractions, 0);
    }

    #[test]
    fn stable_text_that_changes_is_a_retraction_wherever_it_happens() {
        let retractions = |heard: &[Heard]| measure(&[], heard).retractions;
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
        let heard = [
            partial_at(1, 1, 1, "", "a"),
            partial_at(2, 1, 2, "", "a"),
            partial_at(3, 1, 3, "a", ""),
            final_at(4, 1, (0, 3), "a"),
            partial_at(5, 1, 4, "a", "b"),
            partial_at(6, 2, 1, "", "lost"),
        ];
        let report = measure(&[], &heard);
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
            said(Track::Inbound, 0, 1_000, "one"),
            said(Track::Inbound, 2_000, 3_000, "two"),
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
        let heard = [
            final_at(1_400, 1, (0, 1_000), "one"),
            partial_at(1_500, 3, 1, "", "three"),
            Heard {
                at_ms: 9_000,
                event: snapshot,
            },
            Heard {
                at_ms: 9_001,
                event: Event::Ended {
                    reason: EndReason::Stopped,
                },
            },
        ];
        let report = measure(&truth, &heard);
        let spread = report.final_words.unwrap();
        assert_eq!(
            (spread.count, spread.p50_ms, spread.max_ms),
            (2, 400, 6_000)
        );
        assert_eq!((report.duplicate_partials, report.retractions), (0, 0));
    }

    #[test]
    fn percentiles_are_taken_over_all_calls_together() {
        let truth = [said(Track::Inbound, 0, 1_000, "one")];
        let mut tally = Tally::default();
        for late in [100, 300, 200] {
            tally.add(&truth, &[final_at(1_000 + late, 1, (0, 1_000), "one")]);
        }
        let report = tally.report();
        let spread = report.final_words.unwrap();
        assert_eq!((spread.count, spread.p50_ms, spread.max_ms), (3, 200, 300));
        assert_eq!(report.utterances, 3);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["finalWords"]["p50Ms"], 200);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
