//! The real model on recorded speech. Ignored where no model is; `make test` fetches it and runs
//! these too.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Server;
use crate::audio::{self, recording::Recording, resample::Upsampler};
use crate::clock;
use crate::engine::offline;
use crate::engine::recognizer::{Effort, Recognizer, Request};
use crate::engine::voice;
use crate::engine::whisper::{Model, Policy, Whisper};
use crate::ids::{CallSid, StreamSid, Track};
use crate::measure::latency::Tally;
use crate::measure::normalise;
use crate::measure::script::{self, Script};
use crate::measure::wer::Score;
use crate::player::{Call, Options};
use crate::rehearsal::rehearse;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path)
}

fn model() -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ggml-tiny.en.bin");
    Model::load(&file)
        .expect("`make test` fetches the model; so does `callburner models pull tiny.en`")
}

fn line_audio(path: &Path) -> Vec<i16> {
    audio::to_i16(&Recording::read_all(path, audio::LINE_HZ).unwrap()[0])
}

fn live(samples: &[i16], whisper: &mut Whisper) -> offline::Run {
    let config = voice::Config::default();
    offline::transcribe(
        samples,
        Track::Inbound,
        config,
        whisper,
        clock::now(),
        Duration::default,
        |_| {},
    )
}

/// What faster-whisper writes (float32, greedy, the audio padded to 30 s) with the same weights.
#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn the_imported_model_writes_what_faster_whisper_writes() {
    let mut whisper = model()
        .recognizer()
        .unwrap()
        .with_policy(Policy::FullContext);
    let golden = std::fs::read_to_string(fixture("prompts/faster-whisper.tsv")).unwrap();
    for line in golden.lines().skip(1) {
        let (file, expected) = line.split_once('\t').unwrap();
        let samples = line_audio(&fixture("prompts").join(file));
        let mut speech = Vec::new();
        let mut upsampler = Upsampler::new();
        upsampler.push(&samples, &mut speech);
        upsampler.flush(&mut speech);
        let hypothesis = whisper
            .recognize(&Request {
                samples: &speech,
                speech_end_ms: 0,
                effort: Effort::Final,
                language: Some("en"),
                cancelled: &AtomicBool::new(false),
            })
            .unwrap();
        assert_eq!(
            normalise::english(&hypothesis.text()),
            normalise::english(expected),
            "{file}"
        );
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn the_live_path_hears_the_prompts() {
    let mut whisper = model().recognizer().unwrap();
    let mut score = Score::default();
    for clip in script::read_manifest(&fixture("prompts/manifest.tsv")).unwrap() {
        let run = live(&line_audio(&clip.path), &mut whisper);
        score.add(&clip.text, &run.text(), clip.seconds);
        assert!(
            !run.partials.is_empty(),
            "{} settled without a partial",
            clip.name
        );
    }
    let wer = score.wer().unwrap();
    assert!(
        wer < 0.08,
        "{wer:.3} is far from the 0.03 that these prompts have: {score:?}"
    );
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn sounds_without_words_stay_without_words() {
    let mut whisper = model().recognizer().unwrap();
    for clip in script::read_manifest(&fixture("non_speech/manifest.tsv")).unwrap() {
        let run = live(&line_audio(&clip.path), &mut whisper);
        assert_eq!(run.text(), "", "{}", clip.name);
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn a_pooled_state_carries_no_word_from_one_utterance_to_the_next() {
    let model = model();
    let file = fixture("prompts/weasels.wav");
    let alone = live(&line_audio(&file), &mut model.recognizer().unwrap()).text();
    let mut pooled = model.recognizer().unwrap();
    live(&line_audio(&fixture("prompts/dashwood.wav")), &mut pooled);
    assert_eq!(live(&line_audio(&file), &mut pooled).text(), alone);
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn a_call_off_is_heeded() {
    let samples = vec![0.1; 16_000];
    let request = Request {
        samples: &samples,
        speech_end_ms: 1_000,
        effort: Effort::Draft,
        language: Some("en"),
        cancelled: &AtomicBool::new(true),
    };
    let outcome = model().recognizer().unwrap().recognize(&request);
    assert_eq!(
        outcome,
        Err(crate::engine::recognizer::RecognizeError::Cancelled)
    );
}

/// A whole two-party call over real sockets, in real time, as the demo plays it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs models/ggml-tiny.en.bin"]
async fn a_played_call_is_written_down_on_both_sides() {
    let model = model();
    let recognizers = (0..2)
        .map(|_| Box::new(model.recognizer().unwrap()) as Box<dyn Recognizer>)
        .collect();
    let server = Server::start_on(recognizers, |_| {}).await;
    let path = fixture("calls/cards.json");
    let script = Script::read(&path).unwrap();
    let [inbound, outbound] = script::audio_paths(&path, None).unwrap();
    let call = Call::read(&inbound, &outbound).unwrap();
    let options = Options::new(
        CallSid::parse("CA0000000000000000000000000000c0de").unwrap(),
        StreamSid::parse("MZ0000000000000000000000000000c0de").unwrap(),
    );
    let rehearsal = rehearse(server.addr, &call, &options, |_| {})
        .await
        .unwrap();

    let score = rehearsal.score(&script);
    let wer = score.wer().unwrap();
    assert!(wer < 0.2, "{wer:.3}: {:?}", rehearsal.events);

    let mut tally = Tally::default();
    tally.add(&script.truth, &rehearsal.heard());
    let report = tally.report();
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    assert_eq!(report.retractions, 0);
    assert_eq!(report.duplicate_partials, 0);
    assert_eq!(report.partials_after_final, 0);
}
