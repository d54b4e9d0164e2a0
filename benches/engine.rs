//! Measures the cost of each stage of a track, and of a track as a whole; with a model in `models/`, also the
//! cost of recognition.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use callburner::audio::recording::RecordingReader;
use callburner::audio::{LINE_HZ, SPEECH_HZ, to_i16};
use callburner::clock;
use callburner::engine::model::SpeechModel;
use callburner::engine::offline;
use callburner::engine::recognizer::{
    Effort, RecognizeRequest, RecognizedWord, ScriptedRecognizer,
};
use callburner::engine::scheduler::{JobPriority, RecognitionJob, Scheduler, TrackId};
use callburner::engine::segmenter::{AudioClip, Segmenter, SegmenterConfig};
use callburner::engine::stabilizer::Stabilizer;
use callburner::engine::track::TrackConfig;
use callburner::engine::vad::{FRAME_SAMPLES, Vad, VadDecision};
use callburner::ids::Track;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const TRACKS: u64 = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(path: &str, hz: u32) -> Vec<f32> {
    let channels = RecordingReader::read_all(&root().join("fixtures").join(path), hz);
    channels.expect("fixtures are whole").swap_remove(0)
}

/// A minute of one party of a call, pauses included.
fn minute(hz: u32) -> Vec<f32> {
    let party = fixture("calls/reading_outbound.wav", hz);
    party.into_iter().cycle().take(60 * hz as usize).collect()
}

fn frames(samples: &[f32]) -> Vec<[f32; FRAME_SAMPLES]> {
    samples.as_chunks().0.to_vec()
}

fn decisions(frames: &[[f32; FRAME_SAMPLES]]) -> Vec<VadDecision> {
    let mut vad = Vad::default();
    frames.iter().map(|frame| vad.push_frame(frame)).collect()
}

fn vad(c: &mut Criterion) {
    let frames = frames(&minute(SPEECH_HZ));
    let mut group = c.benchmark_group("engine/vad");
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("minute", |b| b.iter(|| decisions(black_box(&frames))));
    group.finish();
}

fn segment(c: &mut Criterion) {
    let frames = frames(&minute(SPEECH_HZ));
    let decisions = decisions(&frames);
    let mut group = c.benchmark_group("engine/segmenter");
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("minute", |b| {
        b.iter(|| {
            let mut segmenter = Segmenter::new(SegmenterConfig::default(), 0);
            let pairs = frames.iter().zip(&decisions);
            let cues = pairs.map(|(frame, &decision)| segmenter.push(frame, decision).len());
            cues.sum::<usize>()
        });
    });
    group.finish();
}

/// Hypotheses over an utterance that grows by three words each, up to sixty words.
fn hypotheses() -> Vec<(Vec<RecognizedWord>, u32)> {
    let word = |n: u32| RecognizedWord {
        text: format!("word{}", n % 17),
        start_ms: n * 300,
        end_ms: n * 300 + 280,
        confidence: 0.9,
    };
    (1..=20)
        .map(|n| ((0..3 * n).map(word).collect(), n * 900))
        .collect()
}

fn stabilize(c: &mut Criterion) {
    let hypotheses = hypotheses();
    let mut group = c.benchmark_group("engine/stabilizer");
    group.throughput(Throughput::Elements(hypotheses.len() as u64));
    group.bench_function("utterance", |b| {
        b.iter_batched(
            || hypotheses.clone(),
            |hypotheses| {
                let mut stabilizer = Stabilizer::default();
                for (words, speech_end_ms) in hypotheses {
                    black_box(stabilizer.push(words, speech_end_ms));
                }
                stabilizer.finish(&[])
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn job(n: u64, begin: Instant, samples: &Arc<[i16]>) -> RecognitionJob {
    let priorities = [
        JobPriority::Partial,
        JobPriority::FirstPartial,
        JobPriority::Final,
    ];
    RecognitionJob {
        track_id: TrackId(n % TRACKS),
        utterance: (n / TRACKS) as u32,
        pass: 1,
        priority: priorities[(n / TRACKS % 3) as usize],
        clip: AudioClip {
            samples: samples.clone(),
            start: 0,
            speech: 0..samples.len() as u64,
        },
        language: None,
        speech_ended_at: begin + Duration::from_micros(n * 7 % 1_000),
        cancelled: Arc::default(),
    }
}

fn schedule(c: &mut Criterion) {
    let samples: Arc<[i16]> = vec![0; 3 * SPEECH_HZ as usize].into();
    let begin = clock::now();
    let mut scheduler = Scheduler::default();
    for n in 0..TRACKS {
        scheduler.push(job(n, begin, &samples), ());
    }
    let mut n = TRACKS;
    // One job is pushed and one popped, while one job of each track waits.
    c.bench_function("engine/scheduler/100_voices", |b| {
        b.iter(|| {
            n += 1;
            black_box(scheduler.push(job(n, begin, &samples), ()));
            black_box(scheduler.pop(begin));
        });
    });
}

fn whole_track(c: &mut Criterion) {
    let minute = to_i16(&minute(LINE_HZ));
    let mut group = c.benchmark_group("engine/voice");
    group.throughput(Throughput::Elements(60));
    group.bench_function("minute", |b| {
        b.iter(|| {
            let run = offline::transcribe(
                black_box(&minute),
                Track::Inbound,
                TrackConfig::default(),
                &mut ScriptedRecognizer::default(),
                clock::now(),
                Duration::default,
                |_| {},
            );
            assert!(run.segments.len() > 2, "a minute of speech has finals");
            run
        });
    });
    group.finish();
}

fn recognize(c: &mut Criterion) {
    let path: PathBuf = root().join("models/ggml-tiny.en.bin");
    if !path.exists() {
        return;
    }
    let model = SpeechModel::load(&path).expect("the model can be loaded");
    let mut recognizer = model.recognizer().expect("a state fits in memory");
    let mut samples = fixture("prompts/weasels.wav", SPEECH_HZ);
    samples.resize(3 * SPEECH_HZ as usize, 0.0);
    let mut group = c.benchmark_group("engine/tiny_3s");
    group.sample_size(10);
    for (name, effort) in [
        ("draft", Effort::Partial),
        ("final", Effort::Fast),
        ("careful", Effort::Accurate),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                recognizer.recognize(&RecognizeRequest {
                    samples: &samples,
                    speech_end_ms: 2_900,
                    effort,
                    language: Some("en"),
                    cancelled: &AtomicBool::new(false),
                })
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    vad,
    segment,
    stabilize,
    schedule,
    whole_track,
    recognize
);
criterion_main!(benches);
