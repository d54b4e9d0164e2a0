//! Tests of `engine/track.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::audio::LINE_HZ;
use crate::audio::recording::RecordingReader;
use crate::clock;
use crate::engine::segmenter::ms_to_samples;
use crate::engine::stabilizer::UNSTABLE_TAIL_MS;

const SILENCE: u8 = 0xff;
const FRAME_BYTES: usize = 160;
const FIRST_STAMP_MS: u64 = 100;

/// A sentence from the fixtures, as μ-law.
fn sentence(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prompts");
    let channels = RecordingReader::read_all(&path.join(name), LINE_HZ).unwrap();
    let encode = |&sample: &f32| mulaw::encode((sample * 32_767.0) as i16);
    channels[0].iter().map(encode).collect()
}

fn hypothesis(text: &str, over_ms: u32) -> Hypothesis {
    let texts: Vec<&str> = text.split_whitespace().collect();
    let step_ms = over_ms / (texts.len() as u32).max(1);
    let words = texts.iter().zip(0u32..).map(|(text, n)| RecognizedWord {
        text: (*text).to_owned(),
        start_ms: n * step_ms,
        end_ms: (n + 1) * step_ms,
        confidence: 1.0,
    });
    Hypothesis {
        words: words.collect(),
        language: "en".to_owned(),
        mean_logprob: 0.0,
    }
}

/// One word for each 200 ms of speech, each named after its index: longer clips continue where shorter
/// ones end.
fn count(job: &RecognitionJob) -> JobOutcome {
    let n = job.clip.speech_end_ms() / 200;
    let words: Vec<String> = (1..=n).map(|n| format!("w{n}")).collect();
    JobOutcome::Recognized(hypothesis(&words.join(" "), n * 200))
}

/// A track, its time and its outputs; fails when the track breaks an invariant.
struct TrackTest {
    pipeline: TrackPipeline,
    begin: Instant,
    now: Instant,
    sent: u64,
    jobs: Vec<RecognitionJob>,
    partials: Vec<Partial>,
    segments: Vec<Segment>,
}

impl TrackTest {
    fn new() -> Self {
        let now = clock::now();
        let identity = TrackIdentity {
            track_id: TrackId(7),
            stream: 3,
            track: Track::Outbound,
            speaker: Speaker::Customer,
        };
        Self {
            pipeline: TrackPipeline::new(identity, TrackConfig::default()),
            begin: now,
            now,
            sent: 0,
            jobs: Vec::new(),
            partials: Vec::new(),
            segments: Vec::new(),
        }
    }

    fn input(&mut self, input: TrackInput<'_>) {
        self.pipeline.handle(self.now, input);
        while let Some(output) = self.pipeline.poll() {
            match output {
                TrackOutput::Job(job) => self.jobs.push(job),
                TrackOutput::Partial(partial) => self.check_partial(partial),
                TrackOutput::Segment(segment) => self.check_segment(segment),
            }
        }
    }

    fn check_partial(&mut self, partial: Partial) {
        let id = &partial.segment_id;
        assert!(
            self.segments.iter().all(|segment| segment.id != *id),
            "a partial after its final: {partial:?}"
        );
        if let Some(old) = self.partials.iter().rfind(|old| old.segment_id == *id) {
            assert_eq!(partial.revision, old.revision + 1);
            assert!(
                partial.stable.starts_with(&old.stable),
                "{partial:?} takes back {old:?}"
            );
        } else {
            assert_eq!(partial.revision, 1);
        }
        self.partials.push(partial);
    }

    fn check_segment(&mut self, segment: Segment) {
        assert!(
            self.segments.iter().all(|old| old.id != segment.id),
            "two finals of {:?}",
            segment.id
        );
        assert!(segment.start_ms < segment.end_ms, "{segment:?}");
        let places = segment.words.iter().flat_map(|w| [w.start_ms, w.end_ms]);
        let bounds = segment.start_ms..=segment.end_ms;
        assert!(places.into_iter().all(|ms| bounds.contains(&ms)));
        if let Some(last) = self.partials.iter().rfind(|p| p.segment_id == segment.id) {
            assert!(
                segment.text.starts_with(&last.stable),
                "{segment:?} takes back {last:?}"
            );
        }
        self.segments.push(segment);
    }

    /// Sends a piece of the track's audio directly after the last one.
    fn chunk(&mut self, mulaw: &[u8]) {
        let sent = self.sent + mulaw.len() as u64;
        self.chunk_at(self.begin + Duration::from_micros(sent * 125), mulaw);
    }

    /// The same, with another arrival time.
    fn chunk_at(&mut self, now: Instant, mulaw: &[u8]) {
        let timestamp_ms = FIRST_STAMP_MS + self.sent / 8;
        self.sent += mulaw.len() as u64;
        self.now = now;
        self.input(TrackInput::Audio {
            timestamp_ms,
            mulaw,
        });
    }

    /// Sends 20 ms frames until one of them causes a final pass; returns the index after it.
    fn until_final(&mut self, mulaw: &[u8]) -> usize {
        for (n, frame) in mulaw.chunks(FRAME_BYTES).enumerate() {
            self.chunk(frame);
            if self
                .jobs
                .last()
                .is_some_and(|job| job.priority == JobPriority::Final)
            {
                return (n + 1) * FRAME_BYTES;
            }
        }
        panic!("no final pass was asked for");
    }

    /// Sends 20 ms frames; `recognize` completes each job at once, or leaves it in `jobs`.
    fn play(
        &mut self,
        mulaw: &[u8],
        mut recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>,
    ) {
        for frame in mulaw.chunks(FRAME_BYTES) {
            self.chunk(frame);
            self.complete_jobs(&mut recognize);
        }
    }

    fn play_silence(
        &mut self,
        ms: usize,
        recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>,
    ) {
        self.play(&vec![SILENCE; ms * 8], recognize);
    }

    fn complete_jobs(&mut self, recognize: &mut impl FnMut(&RecognitionJob) -> Option<JobOutcome>) {
        let mut left = Vec::new();
        for job in std::mem::take(&mut self.jobs) {
            match recognize(&job) {
                Some(outcome) => self.complete_job(&job, outcome),
                None => left.push(job),
            }
        }
        left.append(&mut self.jobs);
        self.jobs = left;
    }

    fn complete_job(&mut self, job: &RecognitionJob, outcome: JobOutcome) {
        assert_eq!(job.track_id, TrackId(7));
        self.input(TrackInput::JobResult(JobResult {
            utterance: job.utterance,
            pass: job.pass,
            outcome,
        }));
    }

    /// Advances the time without a frame, from deadline to deadline.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.pipeline.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(TrackInput::Tick);
            let next = self.pipeline.deadline();
            assert!(next.is_none_or(|next| next > self.now), "a deadline stays");
        }
        self.now = until;
    }

    fn finish(&mut self, mut recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>) {
        self.input(TrackInput::Finish);
        self.complete_jobs(&mut recognize);
    }

    fn texts(&self) -> Vec<&str> {
        self.segments.iter().map(|s| s.text.as_str()).collect()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the others may leave a job unanswered"
)]
fn all(job: &RecognitionJob) -> Option<JobOutcome> {
    Some(count(job))
}

fn none(_: &RecognitionJob) -> Option<JobOutcome> {
    None
}

fn recognized(text: &str) -> JobOutcome {
    JobOutcome::Recognized(hypothesis(text, 1_000))
}

fn wanted(job: &RecognitionJob) -> bool {
    !job.cancelled.load(Ordering::Relaxed)
}

#[test]
fn an_utterance_has_partials_while_it_is_spoken_and_a_final_after_it() {
    let mut track_test = TrackTest::new();
    let mut requested = Vec::new();
    let mut recognize = |job: &RecognitionJob| {
        requested.push((
            job.priority,
            job.pass,
            job.clip.clone(),
            job.language.clone(),
        ));
        Some(count(job))
    };
    track_test.play(&sentence("weasels.wav"), &mut recognize);
    track_test.play_silence(1_000, &mut recognize);

    let priorities: Vec<JobPriority> = requested.iter().map(|(priority, ..)| *priority).collect();
    assert_eq!(priorities.first(), Some(&JobPriority::FirstPartial));
    assert_eq!(priorities.last(), Some(&JobPriority::Final));
    assert!(priorities.contains(&JobPriority::Partial));
    assert!(
        requested
            .iter()
            .map(|(_, pass, ..)| *pass)
            .eq(1..=requested.len() as u32)
    );
    for pair in requested.windows(2) {
        assert_eq!(pair[0].2.start, pair[1].2.start);
        let (a, b) = (&pair[0].2.samples, &pair[1].2.samples);
        assert_eq!(a[..a.len().min(b.len())], b[..a.len().min(b.len())]);
    }
    assert!(
        requested
            .iter()
            .all(|(.., language)| language.as_deref() == Some("en"))
    );

    let [segment] = &track_test.segments[..] else {
        panic!("{:?}", track_test.texts())
    };
    assert_eq!(segment.id, SegmentId::new(3, Track::Outbound, 1));
    assert_eq!(
        (segment.track, segment.speaker),
        (Track::Outbound, Speaker::Customer)
    );
    assert!(segment.transcribed && segment.text.starts_with("w1 w2 w3"));
    assert!(
        (FIRST_STAMP_MS..700).contains(&segment.start_ms)
            && (2_500..3_200).contains(&segment.end_ms),
        "{} to {}",
        segment.start_ms,
        segment.end_ms
    );
    assert!(
        (480..600).contains(&segment.latency_ms),
        "{} ms",
        segment.latency_ms
    );
    assert!(track_test.partials.len() > 2 && track_test.pipeline.is_settled());
    assert!(
        track_test
            .partials
            .iter()
            .any(|partial| !partial.stable.is_empty())
    );
}

#[test]
fn one_partial_pass_is_under_way_at_a_time() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav"), none);
    let partial_jobs = track_test
        .jobs
        .iter()
        .filter(|job| job.priority != JobPriority::Final);
    assert_eq!(partial_jobs.count(), 1);
}

#[test]
fn speech_after_a_pause_makes_a_partial_of_the_final_pass_and_cancels_it() {
    let speech = sentence("weasels.wav");
    let mut track_test = TrackTest::new();
    track_test.play(&speech, none);
    track_test.until_final(&[SILENCE; 4_000]);
    let first = track_test.jobs.pop().unwrap();
    assert!(wanted(&first) && !wanted(&track_test.jobs[0]));
    track_test.play(&speech, none);
    assert!(!wanted(&first), "the final pass goes on in vain");
    track_test.complete_job(&first, recognized("said so far"));
    assert_eq!(track_test.partials.last().unwrap().unstable, "said so far");
    assert!(track_test.segments.is_empty());

    track_test.until_final(&[SILENCE; 4_000]);
    let last = track_test.jobs.pop().unwrap();
    assert_eq!(
        (last.utterance, last.clip.start),
        (first.utterance, first.clip.start)
    );
    assert!(last.clip.samples.len() > first.clip.samples.len());
    track_test.play_silence(600, none);
    track_test.complete_job(&last, recognized("all of it"));
    assert_eq!(track_test.texts(), ["all of it"]);
    assert!(track_test.pipeline.is_settled());
}

#[test]
fn a_result_before_the_end_of_the_pause_waits_for_it() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav"), none);
    track_test.until_final(&[SILENCE; 4_000]);
    let job = track_test.jobs.pop().unwrap();
    track_test.complete_job(&job, recognized("weasels have eaten"));
    assert_eq!(
        track_test.partials.last().unwrap().unstable,
        "weasels have eaten"
    );
    assert!(track_test.segments.is_empty() && !track_test.pipeline.is_settled());
    track_test.play_silence(600, none);
    assert_eq!(track_test.texts(), ["weasels have eaten"]);
}

#[test]
fn audio_that_stops_coming_gives_a_partial_soon_and_ends_the_utterance_later() {
    let speech = sentence("weasels.wav");
    let mut track_test = TrackTest::new();
    assert_eq!(track_test.pipeline.deadline(), None);
    track_test.play(&speech[..12_000], none);
    let silent_since = track_test.now;
    let first_job = track_test.jobs.pop().unwrap();
    track_test.complete_job(&first_job, recognized("weasels"));
    let (moment, stall) = (Duration::from_millis(1), TrackConfig::default().stall);
    track_test.wait(stall.saturating_sub(moment));
    assert!(track_test.jobs.is_empty());
    track_test.wait(moment);
    let later_job = track_test.jobs.pop().unwrap();
    assert_eq!(later_job.priority, JobPriority::Partial);
    assert!(later_job.clip.samples.len() > first_job.clip.samples.len());
    track_test.complete_job(&later_job, recognized("weasels have"));
    assert_eq!(track_test.partials.last().unwrap().unstable, "weasels have");

    let deadline = track_test
        .pipeline
        .deadline()
        .expect("the utterance is open");
    assert_eq!(
        deadline,
        silent_since + TrackConfig::default().stall_endpoint
    );
    track_test.wait(deadline.saturating_duration_since(track_test.now + moment));
    assert!(track_test.jobs.is_empty(), "nothing new was heard");
    track_test.now = deadline;
    track_test.input(TrackInput::Tick);
    assert_eq!(track_test.pipeline.deadline(), None);
    let job = track_test.jobs.pop().unwrap();
    assert_eq!(job.priority, JobPriority::Final);
    track_test.complete_job(&job, recognized("weasels"));
    assert_eq!(track_test.texts(), ["weasels"]);
    assert!(track_test.pipeline.is_settled());
}

#[test]
fn a_partial_pass_under_way_when_the_audio_stops_is_followed_by_one_of_the_rest() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav")[..12_000], none);
    let first = track_test.jobs.pop().unwrap();
    track_test.wait(TrackConfig::default().stall);
    assert!(track_test.jobs.is_empty(), "two drafts at a time");
    track_test.complete_job(&first, recognized("weasels"));
    let rest = track_test
        .jobs
        .pop()
        .expect("what came after the first draft");
    assert!(rest.clip.samples.len() > first.clip.samples.len());
    track_test.complete_job(&rest, recognized("weasels have"));
    assert!(track_test.jobs.is_empty(), "all is drafted");
}

#[test]
fn frames_that_come_in_bunches_make_the_same_segments_as_frames_in_time() {
    let audio = three_utterances();
    let mut steady = TrackTest::new();
    steady.play(&audio, all);
    steady.finish(all);
    assert!(steady.segments.len() >= 3);
    for bunch_ms in [500, 800, 1_000, 1_500, 3_000, 6_000] {
        let mut bunched = TrackTest::new();
        for bunch in audio.chunks(bunch_ms * 8) {
            bunched.wait(Duration::from_millis(bunch.len() as u64 / 8));
            bunched.complete_jobs(&mut all);
            let arrived = bunched.now;
            for frame in bunch.chunks(FRAME_BYTES) {
                bunched.chunk_at(arrived, frame);
                bunched.complete_jobs(&mut all);
            }
        }
        bunched.finish(all);
        assert_eq!(
            outline(&steady.segments),
            outline(&bunched.segments),
            "bunches of {bunch_ms} ms"
        );
    }
}

#[test]
fn the_other_track_s_clock_ends_the_utterance_of_a_track_without_frames() {
    let absent_ms = TrackConfig::default().absent_ms;
    let mut track_test = TrackTest::new();
    for frame in sentence("weasels.wav")[..12_000].chunks(FRAME_BYTES) {
        // The other track is always ahead of this one, as after a jump that was rejected.
        let position_ms = 60_000 + track_test.sent / 8;
        track_test.input(TrackInput::OtherTrack { position_ms });
        track_test.chunk(frame);
    }
    let at_last_frame_ms = 60_000 + (track_test.sent - FRAME_BYTES as u64) / 8;
    let position_ms = at_last_frame_ms + absent_ms - 1;
    track_test.input(TrackInput::OtherTrack { position_ms });
    assert!(
        track_test
            .jobs
            .iter()
            .all(|job| job.priority != JobPriority::Final)
    );
    let position_ms = position_ms + 1;
    track_test.input(TrackInput::OtherTrack { position_ms });
    assert_eq!(track_test.jobs.last().unwrap().priority, JobPriority::Final);
    assert_eq!(track_test.pipeline.deadline(), None);
}

#[test]
fn another_track_that_comes_back_from_silence_ends_nobody_s_utterance() {
    let mut track_test = TrackTest::new();
    track_test.input(TrackInput::OtherTrack { position_ms: 100 });
    track_test.sent = 30_000 * 8;
    track_test.play(&sentence("weasels.wav")[..12_000], none);
    let position_ms = FIRST_STAMP_MS + track_test.sent / 8 + 20;
    track_test.input(TrackInput::OtherTrack { position_ms });
    assert!(
        track_test
            .jobs
            .iter()
            .all(|job| job.priority != JobPriority::Final)
    );
}

#[test]
fn a_track_without_frames_for_eleven_minutes_keeps_its_place() {
    let speech = sentence("weasels.wav");
    let minutes_ms = 11 * 60_000;
    // The elapsed time is taken from this machine's clock, or from the other track where a call is played
    // faster.
    for by_the_other_track in [false, true] {
        let mut track_test = TrackTest::new();
        track_test.play(&speech, all);
        track_test.play_silence(1_000, all);
        let silent_since = track_test.now;
        track_test.sent += minutes_ms * 8;
        let position_ms = FIRST_STAMP_MS + track_test.sent / 8;
        if by_the_other_track {
            track_test.input(TrackInput::OtherTrack { position_ms });
        }
        for frame in speech.chunks(FRAME_BYTES) {
            let in_time = track_test.begin + Duration::from_micros(track_test.sent * 125);
            let at = if by_the_other_track {
                silent_since
            } else {
                in_time
            };
            track_test.chunk_at(at, frame);
            track_test.complete_jobs(&mut all);
        }
        track_test.finish(all);
        let [before, after] = &track_test.segments[..] else {
            panic!("{:?}", track_test.texts())
        };
        let apart_ms = minutes_ms + speech.len() as u64 / 8 + 1_000;
        assert!(
            (after.start_ms - before.start_ms).abs_diff(apart_ms) < 200,
            "{} and {}",
            before.start_ms,
            after.start_ms
        );
        assert_eq!(track_test.pipeline.timeline().counts().implausible, 0);
    }
}

#[test]
fn the_end_of_the_stream_ends_the_utterance_and_nothing_is_heard_after_it() {
    let speech = sentence("weasels.wav");
    let mut track_test = TrackTest::new();
    track_test.play(&speech[..12_000], none);
    track_test.input(TrackInput::Finish);
    assert!(
        !track_test.pipeline.is_settled(),
        "the last words are still to come"
    );
    let job = track_test.jobs.pop().unwrap();
    assert_eq!(job.priority, JobPriority::Final);
    assert!(
        job.clip.duration_ms() >= 1_300,
        "only {} ms are left",
        job.clip.duration_ms()
    );
    track_test.play(&speech, none);
    track_test.input(TrackInput::Finish);
    track_test.complete_job(&job, recognized("weasels"));
    assert_eq!(track_test.texts(), ["weasels"]);
    assert!(track_test.pipeline.is_settled() && track_test.jobs.iter().all(|job| job.pass < 3));
}

#[test]
fn an_utterance_that_could_not_be_recognised_is_told_without_words() {
    let bad = [
        || JobOutcome::Refused,
        || JobOutcome::Dropped,
        || JobOutcome::Failed(RecognizeError::Failed("broken".to_owned())),
    ];
    for outcome in bad {
        for before_the_end in [true, false] {
            let mut track_test = TrackTest::new();
            track_test.play(&sentence("weasels.wav"), none);
            track_test.until_final(&[SILENCE; 4_000]);
            let job = track_test.jobs.pop().unwrap();
            if before_the_end {
                track_test.complete_job(&job, outcome());
            }
            track_test.play_silence(800, none);
            if !before_the_end {
                track_test.complete_job(&job, outcome());
            }
            track_test.play(&sentence("married.wav"), none);
            track_test.finish(|job| (job.utterance == 2).then(|| recognized("the next one")));
            let told: Vec<_> = track_test
                .segments
                .iter()
                .map(|s| (s.transcribed, &*s.text))
                .collect();
            assert_eq!(told, [(false, ""), (true, "the next one")]);
            assert!(track_test.pipeline.is_settled());
        }
    }
}

#[test]
fn what_was_shown_outlives_a_final_pass_that_failed() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("busy-line.wav")[..28_000], all);
    let last = track_test.partials.last().unwrap();
    assert!(!last.stable.is_empty() && !last.unstable.is_empty());
    let shown = format!("{} {}", last.stable, last.unstable);
    track_test.finish(|_| Some(JobOutcome::Refused));
    assert_eq!(track_test.texts(), [shown]);
    assert!(!track_test.segments[0].transcribed);
}

#[test]
fn silence_that_was_taken_for_speech_leaves_no_segment_unless_words_were_shown() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav"), |_| Some(recognized("")));
    track_test.finish(|_| Some(recognized("")));
    assert!(track_test.segments.is_empty() && track_test.pipeline.is_settled());

    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav")[..12_000], |_| {
        Some(recognized("thank you"))
    });
    track_test.finish(|_| Some(recognized("")));
    assert_eq!(track_test.texts(), [""], "what was shown must go away");
}

#[test]
fn a_leap_of_the_clock_ends_the_utterance_and_moves_the_next() {
    let speech = sentence("weasels.wav");
    let mut track_test = TrackTest::new();
    track_test.play(&speech[..12_000], all);
    track_test.sent += 90_000 * 8;
    track_test.play(&speech, all);
    track_test.finish(all);
    let [before, after] = &track_test.segments[..] else {
        panic!("{:?}", track_test.texts())
    };
    assert!(before.end_ms < 1_700, "{} ms", before.end_ms);
    assert!(
        (91_600..92_400).contains(&after.start_ms),
        "{} ms",
        after.start_ms
    );
    assert!(
        (94_000..95_000).contains(&after.end_ms),
        "{} ms",
        after.end_ms
    );
}

#[test]
fn the_first_and_the_last_word_keep_to_the_edges_of_speech() {
    let samples = |ms| ms_to_samples(ms);
    let clip = AudioClip {
        samples: vec![0; samples(5_000) as usize].into(),
        start: samples(10_000),
        speech: samples(10_300)..samples(14_800),
    };
    let word = |start_ms, end_ms| RecognizedWord {
        text: "word".to_owned(),
        start_ms,
        end_ms,
        confidence: 1.0,
    };
    let times = |recognized: &[RecognizedWord]| -> Vec<(u64, u64)> {
        let placed = place_words(recognized.to_vec(), &clip);
        placed.iter().map(|w| (w.start_ms, w.end_ms)).collect()
    };
    let near = [word(0, 900), word(900, 2_000), word(2_000, 4_400)];
    let placed = [(10_300, 10_900), (10_900, 12_000), (12_000, 14_800)];
    assert_eq!(times(&near), placed);
    let near = [word(700, 900), word(4_000, 4_999)];
    assert_eq!(times(&near), [(10_300, 10_900), (14_000, 14_800)]);
    let far = [word(1_000, 1_500), word(1_500, 4_000)];
    assert_eq!(times(&far), [(11_000, 11_500), (11_500, 14_000)]);
    assert_eq!(times(&[word(600, 4_500)]), [(10_300, 14_800)]);
}

#[test]
fn a_late_result_never_replaces_newer_words() {
    let mut track_test = TrackTest::new();
    track_test.play(&sentence("weasels.wav"), none);
    track_test.until_final(&[SILENCE; 4_000]);
    let last = track_test.jobs.pop().unwrap();
    let partial_job = track_test.jobs.remove(0);
    track_test.complete_job(&last, recognized("weasels have eaten our phone system"));
    track_test.complete_job(&partial_job, recognized("weasels"));
    assert_eq!(
        track_test.partials.len(),
        1,
        "the draft was shown after the final pass"
    );
    track_test.play_silence(600, none);
    track_test.complete_job(&partial_job, recognized("weasels"));
    track_test.complete_job(&last, recognized("something else"));
    assert_eq!(track_test.texts(), ["weasels have eaten our phone system"]);
    assert_eq!(track_test.partials.len(), 1);
}

#[test]
fn words_at_the_end_of_a_clip_stay_unstable_however_late_its_result_is() {
    let speech = sentence("busy-line.wav");
    let mut track_test = TrackTest::new();
    track_test.play(&speech[..20_000], all);
    let job = loop {
        track_test.play(&speech[track_test.sent as usize..][..FRAME_BYTES], none);
        if let Some(job) = track_test.jobs.pop() {
            break job;
        }
    };
    // The speaker is seconds ahead of the recognizer when the results arrive.
    track_test.play(&speech[track_test.sent as usize..][..6_000], none);
    let JobOutcome::Recognized(hypothesis) = count(&job) else {
        panic!()
    };
    let stable = |words: &[RecognizedWord], speech_end_ms: u32| {
        words
            .iter()
            .filter(|word| word.end_ms + UNSTABLE_TAIL_MS <= speech_end_ms)
            .count()
    };
    let most = stable(&hypothesis.words, job.clip.speech_end_ms());
    track_test.complete_job(&job, JobOutcome::Recognized(hypothesis));
    let stable = track_test
        .partials
        .last()
        .unwrap()
        .stable
        .split_whitespace()
        .count();
    assert!(
        (1..=most).contains(&stable),
        "{stable} words settled, not up to {most}"
    );
}

#[test]
fn frames_that_come_twice_change_nothing() {
    let speech = sentence("weasels.wav");
    let mut once = TrackTest::new();
    once.play(&speech, all);
    once.finish(all);
    let mut twice = TrackTest::new();
    for frame in speech.chunks(FRAME_BYTES) {
        twice.chunk(frame);
        twice.sent -= frame.len() as u64;
        twice.chunk(frame);
        twice.complete_jobs(&mut all);
    }
    twice.finish(all);
    assert_eq!(outline(&once.segments), outline(&twice.segments));
    assert_eq!(
        twice.pipeline.timeline().counts().late,
        speech.len().div_ceil(FRAME_BYTES) as u64
    );
}

#[test]
fn the_first_language_detected_is_the_track_s_from_then_on() {
    let mut track_test = TrackTest::new();
    track_test.pipeline = TrackPipeline::new(
        track_test.pipeline.identity,
        TrackConfig {
            language: None,
            ..TrackConfig::default()
        },
    );
    let mut requested = BTreeSet::new();
    let mut recognize = |job: &RecognitionJob| {
        requested.insert((job.utterance, job.language.clone()));
        let JobOutcome::Recognized(mut hypothesis) = count(job) else {
            panic!()
        };
        hypothesis.language = if job.utterance == 1 { "de" } else { "fr" }.to_owned();
        Some(JobOutcome::Recognized(hypothesis))
    };
    for _ in 0..2 {
        track_test.play(&sentence("weasels.wav"), &mut recognize);
        track_test.play_silence(800, &mut recognize);
    }
    assert_eq!(
        requested.into_iter().collect::<Vec<_>>(),
        [(1, None), (2, Some("de".to_owned()))]
    );
    assert!(
        track_test
            .segments
            .iter()
            .all(|segment| segment.language == "de")
    );
}

/// The fields of the segments that do not depend on the times of the results.
fn outline(segments: &[Segment]) -> Vec<(&SegmentId, u64, u64, &str, bool)> {
    let outline = |s: &'_ Segment| (s.start_ms, s.end_ms, s.transcribed);
    segments
        .iter()
        .map(|s| (s, outline(s)))
        .map(|(s, (start, end, transcribed))| (&s.id, start, end, s.text.as_str(), transcribed))
        .collect()
}

fn three_utterances() -> Vec<u8> {
    let gap = vec![SILENCE; 8 * 700];
    let says = ["weasels.wav", "married.wav", "recorded.wav"].map(sentence);
    says.join(&gap[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn however_the_audio_is_cut_the_segments_are_the_same(
        cuts in prop::collection::vec(1_usize..400, 50..300),
    ) {
        let audio = three_utterances();
        let mut whole = TrackTest::new();
        whole.play(&audio, all);
        whole.finish(all);
        let mut cut = TrackTest::new();
        let mut rest = &audio[..];
        for length in cuts.into_iter().cycle() {
            let (chunk, after) = rest.split_at(length.min(rest.len()));
            cut.chunk(chunk);
            cut.complete_jobs(&mut all);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        cut.finish(all);
        prop_assert!(whole.segments.len() >= 3);
        prop_assert_eq!(outline(&whole.segments), outline(&cut.segments));
    }

    /// [`TrackTest`] checks that stable text only grows, that each final is published once, and that
    /// nothing follows it; here results are late, out of order, contradictory, failed, or all of that.
    #[test]
    fn whatever_is_answered_and_when_every_utterance_ends_in_one_segment(
        answers in prop::collection::vec((0_u8..8, "([abc] ){1,8}", 0_usize..4), 20..60),
    ) {
        let audio = three_utterances();
        let mut track_test = TrackTest::new();
        let mut answers = answers.into_iter().cycle();
        let mut reply = |track_test: &mut TrackTest| {
            let (kind, text, place) = answers.next().expect("a cycle");
            if track_test.jobs.is_empty() {
                return;
            }
            let job = track_test.jobs.remove(place % track_test.jobs.len());
            let outcome = match kind {
                0 => JobOutcome::Refused,
                1 => JobOutcome::Failed(RecognizeError::Failed("broken".to_owned())),
                2 => JobOutcome::Dropped,
                _ => JobOutcome::Recognized(hypothesis(&text, job.clip.speech_end_ms())),
            };
            track_test.complete_job(&job, outcome);
        };
        for (n, frame) in audio.chunks(FRAME_BYTES).enumerate() {
            track_test.chunk(frame);
            if n % 7 == 0 {
                reply(&mut track_test);
            }
        }
        track_test.input(TrackInput::Finish);
        let utterances = track_test.pipeline.latest_utterance as usize;
        while !track_test.jobs.is_empty() {
            reply(&mut track_test);
        }
        prop_assert!(track_test.pipeline.is_settled());
        prop_assert!(utterances >= 3);
        prop_assert_eq!(track_test.segments.len(), utterances);
        let announced = track_test.partials.iter().map(|partial| &partial.segment_id);
        for id in announced {
            prop_assert!(track_test.segments.iter().any(|segment| segment.id == *id));
        }
    }
}
