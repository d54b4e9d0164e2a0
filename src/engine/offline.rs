//! Transcribes one track by audio time: the live pipeline without sockets, threads or waiting. The
//! same audio gives the same transcript on any machine (the computation-unaware mode of
//! `whisper_streaming`).

use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::time::Instant;

use crate::audio;
use crate::audio::mulaw;
use crate::engine::recognizer::Effort;
use crate::engine::recognizer::Recognizer;
use crate::engine::scheduler::JobPriority;
use crate::engine::scheduler::TrackId;
use crate::engine::track::JobResult;
use crate::engine::track::TrackConfig;
use crate::engine::track::TrackIdentity;
use crate::engine::track::TrackInput;
use crate::engine::track::TrackOutput;
use crate::engine::track::TrackPipeline;
use crate::engine::workers;
use crate::ids::Track;
use crate::transcript::Partial;
use crate::transcript::Segment;
use crate::transcript::Speaker;

/// Length of one Media Streams frame.
const FRAME_MS: u64 = 20;

/// Samples per frame.
const FRAME_SAMPLES: usize = 160;

/// Output of one track, and its compute time.
#[derive(Debug, Default)]
pub struct OfflineTranscript {
    /// Finals in the order of publication.
    pub segments: Vec<Segment>,
    /// Every partial that would have been published.
    pub partials: Vec<Partial>,
    /// Compute time of the final passes, as `compute_time` measured it.
    pub final_time: Duration,
    /// Compute time of the passes for partials.
    pub partial_time: Duration,
}

impl OfflineTranscript {
    /// Returns the text of all segments, separated by spaces.
    pub fn text(&self) -> String {
        self.segments
            .iter()
            .map(|segment| segment.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A track that receives audio as it is read, as if in real time and with instant recognition.
/// Finals always have [`Effort::Accurate`].
#[derive(Debug)]
pub struct OfflineTranscriber {
    pipeline: TrackPipeline,
    begin: Instant,
    /// Number of complete frames so far.
    frames: u64,
    /// Samples of an incomplete frame.
    pending: Vec<i16>,
}

impl OfflineTranscriber {
    /// Creates a track that receives its first sample at `begin`.
    pub fn new(track: Track, config: TrackConfig, begin: Instant) -> Self {
        let identity = TrackIdentity {
            track_id: TrackId(0),
            stream: 1,
            track,
            speaker: Speaker::Customer,
        };
        Self {
            pipeline: TrackPipeline::new(identity, config),
            begin,
            frames: 0,
            pending: Vec::with_capacity(FRAME_SAMPLES),
        }
    }

    /// Audio time so far, in milliseconds.
    pub fn position_ms(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// Passes `samples` (8 kHz) through μ-law to the track, 20 ms at a time, and adds its output to
    /// `run`. `compute_time` returns the compute time so far.
    pub fn push(
        &mut self,
        samples: &[i16],
        recognizer: &mut dyn Recognizer,
        compute_time: &impl Fn() -> Duration,
        run: &mut OfflineTranscript,
    ) {
        for &sample in samples {
            self.pending.push(sample);
            if self.pending.len() == FRAME_SAMPLES {
                self.push_frame();
                self.drain(recognizer, compute_time, run);
            }
        }
    }

    /// Ends the audio, and adds the remaining output to `run`.
    pub fn finish(
        mut self,
        recognizer: &mut dyn Recognizer,
        compute_time: &impl Fn() -> Duration,
        run: &mut OfflineTranscript,
    ) {
        if !self.pending.is_empty() {
            self.push_frame();
            self.drain(recognizer, compute_time, run);
        }
        self.pipeline.handle(self.now(), TrackInput::Finish);
        self.drain(recognizer, compute_time, run);
        debug_assert!(self.pipeline.is_settled());
    }

    fn now(&self) -> Instant {
        self.begin + Duration::from_millis(self.position_ms())
    }

    fn push_frame(&mut self) {
        let frame = self.pending.drain(..);
        let mulaw: Vec<u8> = frame.map(mulaw::encode).collect();
        let timestamp_ms = self.position_ms();
        self.frames += 1;
        let input = TrackInput::Audio {
            timestamp_ms,
            mulaw: &mulaw,
        };
        self.pipeline.handle(self.now(), input);
    }

    fn drain(
        &mut self,
        recognizer: &mut dyn Recognizer,
        compute_time: &impl Fn() -> Duration,
        run: &mut OfflineTranscript,
    ) {
        let never = AtomicBool::new(false);
        while let Some(output) = self.pipeline.poll() {
            match output {
                TrackOutput::Partial(partial) => run.partials.push(partial),
                TrackOutput::Segment(segment) => run.segments.push(segment),
                TrackOutput::Job(job) => {
                    let began = compute_time();
                    let effort = if job.priority == JobPriority::Final {
                        Effort::Accurate
                    } else {
                        Effort::Partial
                    };
                    let outcome = workers::recognize(recognizer, &job, effort, &never);
                    let elapsed = compute_time().saturating_sub(began);
                    if job.priority == JobPriority::Final {
                        run.final_time += elapsed;
                    } else {
                        run.partial_time += elapsed;
                    }
                    let answer = JobResult {
                        utterance: job.utterance,
                        pass: job.pass,
                        outcome,
                    };
                    self.pipeline
                        .handle(self.now(), TrackInput::JobResult(answer));
                }
            }
        }
    }
}

/// Transcribes `samples` (8 kHz) from `begin` on. `progress` receives the seconds done.
pub fn transcribe(
    samples: &[i16],
    track: Track,
    config: TrackConfig,
    recognizer: &mut dyn Recognizer,
    begin: Instant,
    compute_time: impl Fn() -> Duration,
    mut progress: impl FnMut(f64),
) -> OfflineTranscript {
    let mut transcriber = OfflineTranscriber::new(track, config, begin);
    let mut run = OfflineTranscript::default();
    for second in samples.chunks(audio::LINE_HZ as usize) {
        progress(transcriber.position_ms() as f64 / 1_000.0);
        transcriber.push(second, recognizer, &compute_time, &mut run);
    }
    transcriber.finish(recognizer, &compute_time, &mut run);
    run
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::audio::LINE_HZ;
    use crate::audio::recording::RecordingReader;
    use crate::clock;
    use crate::engine::recognizer::ScriptedRecognizer;

    fn samples() -> Vec<i16> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls/cards_inbound.wav");
        audio::to_i16(&RecordingReader::read_all(&path, LINE_HZ).unwrap()[0])
    }

    /// A run in which every pass takes a millisecond.
    fn run(samples: &[i16], begin: Instant) -> OfflineTranscript {
        let time = Cell::new(Duration::ZERO);
        let compute_time = || {
            // Read before and after each pass.
            time.set(time.get() + Duration::from_millis(1));
            time.get()
        };
        let (config, mut recognizer) = (TrackConfig::default(), ScriptedRecognizer::default());
        transcribe(
            samples,
            Track::Inbound,
            config,
            &mut recognizer,
            begin,
            compute_time,
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
            // Frames arrive every 20 ms.
            let endpoint_ms = 496 - 20..=496 + 60;
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
        assert!(
            finals >= run.segments.len() as u128 && run.partial_time >= Duration::from_millis(5)
        );
        let mut told = Vec::new();
        let (config, mut recognizer) = (TrackConfig::default(), ScriptedRecognizer::default());
        let compute_time = Duration::default;
        transcribe(
            &samples,
            Track::Inbound,
            config,
            &mut recognizer,
            clock::now(),
            compute_time,
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
