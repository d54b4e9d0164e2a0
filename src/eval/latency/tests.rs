//! Tests of `eval/latency.rs`.

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
