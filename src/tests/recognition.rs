//! The real model on recorded speech. Ignored where there is no model; `make test` downloads it and also runs
//! these tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{RunningServer, keys};
use crate::audio::{self, level, recording::RecordingReader, resample::Upsampler};
use crate::clock;
use crate::engine::offline;
use crate::engine::recognizer::{Effort, RecognizeRequest, Recognizer};
use crate::engine::track::TrackConfig;
use crate::engine::{model::SpeechModel, native, whisper};
use crate::eval::latency::LatencyTally;
use crate::eval::normalise;
use crate::eval::script::{self, CallScript};
use crate::eval::symbols::extract_symbols;
use crate::eval::wer::WerScore;
use crate::ids::{CallSid, StreamSid, Track};
use crate::loopback::run_loopback;
use crate::twilio_sim::{RecordedCall, StreamOptions};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path)
}

fn file() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ggml-tiny.en.bin");
    let hint = "`make test` fetches the model; so does `callburner models pull tiny.en`";
    assert!(file.exists(), "{hint}");
    file
}

fn model() -> SpeechModel {
    SpeechModel::load(&file()).unwrap()
}

fn line_audio(path: &Path) -> Vec<i16> {
    audio::to_i16(&RecordingReader::read_all(path, audio::LINE_HZ).unwrap()[0])
}

fn speech(path: &Path) -> Vec<f32> {
    let mut speech = Vec::new();
    let mut upsampler = Upsampler::new();
    upsampler.push(&line_audio(path), &mut speech);
    upsampler.flush(&mut speech);
    speech
}

/// Returns the transcript of a whole recording, decoded at once.
fn heard(path: &Path, effort: Effort, recognizer: &mut dyn Recognizer) -> String {
    let request = RecognizeRequest {
        samples: &speech(path),
        speech_end_ms: 0,
        effort,
        language: Some("en"),
        cancelled: &AtomicBool::new(false),
    };
    recognizer.recognize(&request).unwrap().text()
}

fn live(samples: &[i16], recognizer: &mut dyn Recognizer) -> offline::OfflineTranscript {
    let config = TrackConfig::default();
    offline::transcribe(
        samples,
        Track::Inbound,
        config,
        recognizer,
        clock::now(),
        Duration::default,
        |_| {},
    )
}

/// The output of faster-whisper (float32, greedy, the audio padded to 30 s) with the same weights.
#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn both_recognisers_write_what_faster_whisper_writes() {
    let model = whisper::WhisperCppModel::load(&file()).unwrap();
    let whisper = model.recognizer().unwrap();
    let mut whisper = whisper.with_policy(whisper::ContextPolicy::FullContext);
    let native = native::NativeModel::load(&file()).unwrap().recognizer();
    let mut native = native.with_whole_window();
    let golden = std::fs::read_to_string(fixture("prompts/faster-whisper.tsv")).unwrap();
    for line in golden.lines().skip(1) {
        let (file, expected) = line.split_once('\t').unwrap();
        let expected = normalise::normalise_english(expected);
        let recognizers: [(&str, &mut dyn Recognizer); 2] =
            [("whisper.cpp", &mut whisper), ("native", &mut native)];
        for (name, recognizer) in recognizers {
            let heard = heard(&fixture("prompts").join(file), Effort::Partial, recognizer);
            assert_eq!(
                normalise::normalise_english(&heard),
                expected,
                "{name}, {file}"
            );
        }
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn what_is_expected_is_heard_and_what_is_not_stays_as_it_was() {
    let plain = native::NativeModel::load(&file()).unwrap();
    let expected = ["four of clubs", "Kowalczyk", "Nimbus Mortgage", "Okonkwo"];
    let expecting = plain.clone().with_hotwords(&expected.map(str::to_owned));
    for clip in script::read_manifest(&fixture("prompts/manifest.tsv")).unwrap() {
        let samples = line_audio(&clip.path);
        let [without, with] =
            [&plain, &expecting].map(|model| live(&samples, &mut model.recognizer()).text());
        if clip.name == "three-cards.wav" {
            assert!(!without.contains("clubs"), "{without}");
            assert!(with.contains("four of clubs"), "{with}");
        } else {
            assert_eq!(without, with, "{}", clip.name);
        }
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn cached_silence_is_as_good_as_silence() {
    let model = native::NativeModel::load(&file()).unwrap();
    let mut remembering = model.recognizer();
    let mut whole = model.recognizer().with_whole_window();
    let mut scores = [WerScore::default(), WerScore::default()];
    for clip in script::read_manifest(&fixture("prompts/manifest.tsv")).unwrap() {
        for (recognizer, score) in [&mut remembering, &mut whole].into_iter().zip(&mut scores) {
            let heard = heard(&clip.path, Effort::Accurate, recognizer);
            score.add_file(&clip.text, &heard, clip.seconds);
        }
    }
    let [short, long] = scores.each_ref().map(|score| score.wer().unwrap());
    assert!(
        short < long + 0.01 && short < 0.05,
        "{short:.3} of the words are wrong, and {long:.3} with the whole window: {scores:?}"
    );
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn the_live_path_hears_the_prompts() {
    let mut recognizer = model().recognizer().unwrap();
    let mut score = WerScore::default();
    for clip in script::read_manifest(&fixture("prompts/manifest.tsv")).unwrap() {
        let run = live(&line_audio(&clip.path), &mut *recognizer);
        score.add_file(&clip.text, &run.text(), clip.seconds);
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

/// Returns the audio of a prompt without the silence around it.
fn said(name: &str) -> Vec<i16> {
    let samples = line_audio(&fixture("prompts").join(name));
    let loud = |sample: &i16| sample.unsigned_abs() > 1_000;
    let from = samples.iter().position(loud).unwrap().saturating_sub(400);
    let to = samples.iter().rposition(loud).unwrap() + 400;
    samples[from..to.min(samples.len())].to_vec()
}

/// Joins prompts with pauses of 200 ms, and adds silence around them.
fn in_one_breath(names: &[&str]) -> Vec<i16> {
    let mut call = vec![0; 4_000];
    for name in names {
        call.extend(said(name));
        call.extend([0; 1_600]);
    }
    call.extend([0; 6_400]);
    call
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn what_is_said_twice_is_written_twice_and_what_follows_too() {
    let native: Box<dyn Recognizer> =
        Box::new(native::NativeModel::load(&file()).unwrap().recognizer());
    let whisper = whisper::WhisperCppModel::load(&file())
        .unwrap()
        .recognizer()
        .unwrap();
    for (mut recognizer, name) in [(native, "native"), (Box::new(whisper), "whisper.cpp")] {
        for (prompts, again, last) in [
            (
                ["recorded.wav", "recorded.wav", "weasels.wav"],
                "recorded",
                "system",
            ),
            (
                ["check-number.wav", "check-number.wav", "recorded.wav"],
                "number",
                "recorded",
            ),
        ] {
            let text = live(&in_one_breath(&prompts), &mut *recognizer).text();
            let text = text.to_lowercase();
            assert_eq!(text.matches(again).count(), 2, "{name}: {text}");
            assert!(text.contains(last), "{name}: {text}");
        }
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn digits_that_come_again_are_all_written() {
    let mut recognizer = model().recognizer().unwrap();
    let digits =
        extract_symbols(&live(&in_one_breath(&["digits.wav"; 3]), &mut *recognizer).text());
    assert_eq!(digits.join(""), "29340".repeat(3));
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn a_quiet_caller_is_written_down() {
    let mut recognizer = model().recognizer().unwrap();
    let mut score = WerScore::default();
    for clip in script::read_manifest(&fixture("prompts/manifest.tsv")).unwrap() {
        let samples = line_audio(&clip.path);
        let loud = level::speech_db(&samples).unwrap();
        let gain = 10_f64.powf((-48.0 - loud) / 20.0);
        let quiet: Vec<i16> = samples
            .iter()
            .map(|&sample| (f64::from(sample) * gain).round() as i16)
            .collect();
        score.add_file(
            &clip.text,
            &live(&quiet, &mut *recognizer).text(),
            clip.seconds,
        );
    }
    assert!(score.errors.deletions <= 5, "{score:?}");
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn sounds_without_words_stay_without_words() {
    let mut recognizer = model().recognizer().unwrap();
    for clip in script::read_manifest(&fixture("non_speech/manifest.tsv")).unwrap() {
        let run = live(&line_audio(&clip.path), &mut *recognizer);
        assert_eq!(run.text(), "", "{}", clip.name);
    }
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn a_pooled_state_carries_no_word_from_one_utterance_to_the_next() {
    let model = model();
    let file = fixture("prompts/weasels.wav");
    let alone = live(&line_audio(&file), &mut *model.recognizer().unwrap()).text();
    let mut pooled = model.recognizer().unwrap();
    live(&line_audio(&fixture("prompts/dashwood.wav")), &mut *pooled);
    assert_eq!(live(&line_audio(&file), &mut *pooled).text(), alone);
}

#[test]
#[ignore = "needs models/ggml-tiny.en.bin"]
fn a_call_off_is_heeded() {
    let samples = vec![0.1; 16_000];
    let request = RecognizeRequest {
        samples: &samples,
        speech_end_ms: 1_000,
        effort: Effort::Partial,
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
    let recognizers = (0..2).map(|_| model.recognizer().unwrap()).collect();
    let server = RunningServer::start_on(recognizers, |_| {}).await;
    let path = fixture("calls/cards.json");
    let script = CallScript::read(&path).unwrap();
    let [inbound, outbound] = script::audio_paths(&path, None).unwrap();
    let call = RecordedCall::read_tracks(&inbound, &outbound).unwrap();
    let options = StreamOptions::new(
        CallSid::parse("CA0000000000000000000000000000c0de").unwrap(),
        StreamSid::parse("MZ0000000000000000000000000000c0de").unwrap(),
    );
    let loopback = run_loopback(server.addr, Some(&keys()), &call, &options, |_| {})
        .await
        .unwrap();

    let score = loopback.score(&script);
    let wer = score.wer().unwrap();
    assert!(wer < 0.2, "{wer:.3}: {:?}", loopback.events);

    let mut tally = LatencyTally::default();
    tally.add_call(&script.truth, &loopback.received_events());
    let report = tally.report();
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    assert_eq!(report.retractions, 0);
    assert_eq!(report.duplicate_partials, 0);
    assert_eq!(report.partials_after_final, 0);
}
