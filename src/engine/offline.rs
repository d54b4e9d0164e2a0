//! One voice driven by audio time: the live path without sockets, threads or waiting. The same
//! audio gives the same words on any machine (the computation-unaware mode of
//! `whisper_streaming`).

use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::time::Instant;

use crate::audio;
use crate::audio::mulaw;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::Recognizer;
use crate::engine::scheduler::Purpose;
use crate::engine::scheduler::VoiceId;
use crate::engine::voice::Answer;
use crate::engine::voice::Config;
use crate::engine::voice::Identity;
use crate::engine::voice::Input;
use crate::engine::voice::Output;
use crate::engine::voice::Voice;
use crate::engine::workers;
use crate::ids::Track;
use crate::transcript::Partial;
use crate::transcript::Segment;
use crate::transcript::Speaker;

/// Samples of one Media Streams frame.
const FRAME_SAMPLES: usize = 160;

/// What a run over one recording gave.
#[derive(Debug, Default)]
pub struct Run {
    /// Finals in the order of publication.
    pub segments: Vec<Segment>,
    /// Every partial that a listener would have seen.
    pub partials: Vec<Partial>,
    /// Compute time of final passes, as `meter` measured it.
    pub final_time: Duration,
    /// Compute time of drafts.
    pub draft_time: Duration,
}

impl Run {
    /// The words of all segments.
    pub fn text(&self) -> String {
        self.segments
            .iter()
            .map(|segment| segment.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Feeds `samples` (8 kHz) through μ-law and a voice, 20 ms at a time, as if they came in real
/// time from `begin` on and recognition took none. Nothing hurries a final. `meter` reads the compute time so far, and
/// `progress` hears the seconds done.
pub fn transcribe(
    samples: &[i16],
    track: Track,
    config: Config,
    recognizer: &mut dyn Recognizer,
    begin: Instant,
    meter: impl Fn() -> Duration,
    mut progress: impl FnMut(f64),
) -> Run {
    let identity = Identity {
        voice: VoiceId(0),
        stream: 1,
        track,
        speaker: Speaker::Customer,
    };
    let mut voice = Voice::new(identity, config);
    let mut run = Run::default();
    let at = |frame: usize| Duration::from_millis(20 * frame as u64);
    for (n, chunk) in samples.chunks(FRAME_SAMPLES).enumerate() {
        let mulaw: Vec<u8> = chunk.iter().map(|&sample| mulaw::encode(sample)).collect();
        let input = Input::Audio {
            timestamp_ms: at(n).as_millis() as u64,
            mulaw: &mulaw,
        };
        voice.handle(begin + at(n + 1), input);
        drain(&mut voice, begin + at(n + 1), recognizer, &meter, &mut run);
        if n % 50 == 0 {
            progress((n * FRAME_SAMPLES) as f64 / f64::from(audio::LINE_HZ));
        }
    }
    let end = begin + at(samples.len().div_ceil(FRAME_SAMPLES));
    voice.handle(end, Input::Finish);
    drain(&mut voice, end, recognizer, &meter, &mut run);
    debug_assert!(voice.is_settled());
    run
}

fn drain(
    voice: &mut Voice,
    now: Instant,
    recognizer: &mut dyn Recognizer,
    meter: &impl Fn() -> Duration,
    run: &mut Run,
) {
    let never = AtomicBool::new(false);
    while let Some(output) = voice.poll() {
        match output {
            Output::Partial(partial) => run.partials.push(partial),
            Output::Segment(segment) => run.segments.push(segment),
            Output::Job(job) => {
                let began = meter();
                let effort = if job.purpose == Purpose::Final {
                    Effort::Careful
                } else {
                    Effort::Draft
                };
                let outcome = workers::recognize(recognizer, &job, effort, &never);
                let took = meter().saturating_sub(began);
                if job.purpose == Purpose::Final {
                    run.final_time += took;
                } else {
                    run.draft_time += took;
                }
                let answer = Answer {
                    utterance: job.utterance,
                    question: job.question,
                    outcome,
                };
                voice.handle(now, Input::Answer(answer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::audio::LINE_HZ;
    use crate::audio::recording::Recording;
    use crate::clock;
    use crate::engine::recognizer::ScriptedRecognizer;

    fn samples() -> Vec<i16> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls/cards_inbound.wav");
        audio::to_i16(&Recording::read_all(&path, LINE_HZ).unwrap()[0])
    }

    /// A run in which every pass takes a millisecond.
    fn run(samples: &[i16], begin: Instant) -> Run {
        let time = Cell::new(Duration::ZERO);
        let meter = || {
            // Read before and after each pass.
            time.set(time.get() + Duration::from_millis(1));
            time.get()
        };
        let (config, mut recognizer) = (Config::default(), ScriptedRecognizer::default());
        transcribe(
            samples,
            Track::Inbound,
            config,
            &mut recognizer,
            begin,
            meter,
            |_| {},
        )
    }

    #[test]
    fn the_same_recording_gives_the_same_words_at_any_time_on_any_machine() {
        let (samples, now) = (samples(), clock::now());
        let (a, b) = (
            run(&samples, now),
            run(&samples, now + Duration::from_secs(1_000)),
        );
        assert_eq!((&a.segments, &a.partials), (&b.segments, &b.partials));
        assert_eq!(a.segments.len(), 5, "{}", a.text());
        assert!(a.text().starts_with("one two"));
    }

    #[test]
    fn finals_come_one_endpoint_after_the_speech() {
        for segment in run(&samples(), clock::now()).segments {
            let endpoint_ms = 496..=496 + 60;
            assert!(
                endpoint_ms.contains(&segment.latency_ms),
                "{} ms",
                segment.latency_ms
            );
        }
    }

    #[test]
    fn a_recording_that_breaks_off_in_a_word_keeps_the_word() {
        let samples = samples();
        let run = run(&samples[..8 * 2_600], clock::now());
        assert_eq!(run.segments.len(), 1);
        let end_ms = run.segments[0].end_ms;
        assert!((2_500..=2_620).contains(&end_ms), "{end_ms} ms");
    }

    #[test]
    fn compute_time_and_progress_are_told() {
        let samples = samples();
        let run = run(&samples, clock::now());
        let finals = run.final_time.as_millis();
        assert!(finals >= run.segments.len() as u128 && run.draft_time >= Duration::from_millis(5));
        let mut told = Vec::new();
        let (config, mut recognizer) = (Config::default(), ScriptedRecognizer::default());
        let meter = Duration::default;
        transcribe(
            &samples,
            Track::Inbound,
            config,
            &mut recognizer,
            clock::now(),
            meter,
            |s| told.push(s),
        );
        assert_eq!(told.len(), 25);
        assert!(
            told.iter()
                .zip(0_u32..)
                .all(|(told, n)| (told - f64::from(n)).abs() < 1e-9)
        );
    }
}
