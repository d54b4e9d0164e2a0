//! One voice driven by audio time: the live path without sockets, threads or waiting. The same
//! audio gives the same words on any machine (the computation-unaware mode of
//! `whisper_streaming`).

use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::time::Instant;

use crate::audio;
use crate::audio::mulaw;
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
/// time from `begin` on and recognition took none. `meter` reads the compute time so far, and
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
                let outcome = workers::recognize(recognizer, &job, &never);
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
