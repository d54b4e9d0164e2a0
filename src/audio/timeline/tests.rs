//! Tests of `audio/timeline.rs`.

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
