//! `callburner bench`: measures the engine on recordings with known text, and the capacity of the server.

mod attack;
mod capacity;
mod frontier;
mod plot;
mod score;
mod soak;
mod webhooks;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use cpu_time::ThreadTime;
use serde::Serialize;

use crate::app::{App, ServerConfig};
use crate::audio::{self, level, mulaw, recording::RecordingReader, resample::Upsampler};
use crate::cli;
use crate::cli::demo::{format_report, read_call};
use crate::clock;
use crate::config::EngineSettings;
use crate::engine::offline;
use crate::engine::recognizer::{Effort, Hypothesis, RecognizeError, RecognizeRequest, Recognizer};
use crate::engine::whisper::{self, ContextPolicy, WhisperCppRecognizer};
use crate::eval::calibration::ConfidenceCalibration;
use crate::eval::latency::{LatencyReport, LatencyTally, ReceivedEvent};
use crate::eval::loudness::LoudnessTable;
use crate::eval::script::{self, ManifestClip};
use crate::eval::wer::WerScore;
use crate::ids::Track;
use crate::loopback::run_loopback;
use crate::models;
use crate::transcript::Event;
use crate::twilio_sim::StreamOptions;

/// Measure the engine on recordings with known text, and the capacity of the server.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Word error rate and compute time of the live path, and of the same model on whole recordings.
    Words(WordsArgs),
    /// Word error rate of another recognizer's transcripts, counted in the same way.
    Score(score::ScoreArgs),
    /// Word error rate against compute time for each model and mode, as a table and a plot.
    Frontier(frontier::FrontierArgs),
    /// Latency and steadiness of calls that are played in real time through the real server.
    Latency(LatencyArgs),
    /// Number of concurrent calls that the server sustains in real time.
    Capacity(capacity::CapacityArgs),
    /// Half an hour of calls in a rising and falling number, with injected faults.
    Soak(soak::SoakArgs),
    /// Status callbacks at a fixed rate to the real server with a real database; optionally with calls and
    /// attackers at the same time.
    Webhooks(webhooks::WebhooksArgs),
}

#[derive(Debug, clap::Args)]
struct WordsArgs {
    /// Folders with a `manifest.tsv` (columns: file, seconds, text, source, licence).
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Mode in which the live path makes its finals.
    #[arg(long, value_enum, default_value_t)]
    finals: FinalsMode,
    /// Recognizer of each whole recording, for comparison.
    #[arg(long, value_enum, default_value_t = OfflineMode::WhisperCpp)]
    offline: OfflineMode,
    /// Print every recording with a transcript that differs from the reference.
    #[arg(long)]
    differences: bool,
    /// Print the share of correct words on the live path, by confidence.
    #[arg(long)]
    calibration: bool,
    /// Print the number of words that the live path missed, by loudness of the recording's speech.
    #[arg(long)]
    loudness: bool,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum FinalsMode {
    /// Accurate finals, as on a machine with time for each.
    #[default]
    #[value(name = "careful")]
    Accurate,
    /// Fast finals, as on a machine where other utterances wait.
    #[value(name = "hurried")]
    Fast,
    /// whisper.cpp with a trimmed context.
    WhisperCpp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OfflineMode {
    /// No comparison.
    None,
    /// The engine's accurate finals.
    #[value(name = "careful")]
    Accurate,
    /// The engine's fast finals.
    #[value(name = "hurried")]
    Fast,
    /// whisper.cpp with its whole context.
    WhisperCpp,
}

#[derive(Debug, clap::Args)]
struct LatencyArgs {
    /// Call scripts (JSON).
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// Folder of the calls' recordings, if they are not beside the scripts.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    match args.command {
        BenchCommand::Words(args) => {
            tokio::task::spawn_blocking(move || bench_words(&args)).await?
        }
        BenchCommand::Score(args) => score::run(&args),
        BenchCommand::Frontier(args) => {
            tokio::task::spawn_blocking(move || frontier::run(&args)).await?
        }
        BenchCommand::Latency(args) => bench_latency(&args).await,
        BenchCommand::Capacity(args) => capacity::run(&args).await,
        BenchCommand::Soak(args) => soak::run(&args).await,
        BenchCommand::Webhooks(args) => webhooks::run(&args).await,
    }
}

/// Column heads of [`PathFigures::format_row`].
const WORDS_HEADING: &str = "set            path         WER   ins   del   sub  words  digits false/10min revised      final   partials";

/// Makes every final a fast one, as on a machine where other utterances wait.
struct FastRecognizer(Box<dyn Recognizer>);

impl Recognizer for FastRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let effort = match request.effort {
            Effort::Partial => Effort::Partial,
            Effort::Fast | Effort::Accurate => Effort::Fast,
        };
        self.0.recognize(&RecognizeRequest { effort, ..*request })
    }
}

/// Accuracy and cost of one path on one folder. Times are processor seconds of one thread.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PathFigures {
    score: WerScore,
    wer: Option<f64>,
    /// Errors in digits, spelled letters and amounts, per symbol of the reference.
    digit_error_rate: Option<f64>,
    false_words_per_minute: Option<f64>,
    final_seconds: f64,
    #[serde(rename = "draftSeconds")]
    partial_seconds: f64,
    audio_seconds: f64,
    final_seconds_per_audio_second: f64,
    #[serde(rename = "draftSecondsPerAudioSecond")]
    partial_seconds_per_audio_second: f64,
    /// Words of partials that a later partial or final replaced.
    revised_words: u64,
    /// Words of finals.
    settled_words: u64,
    unstable_partial_word_ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct FolderFigures {
    folder: String,
    live: PathFigures,
    offline: Option<PathFigures>,
}

impl FolderFigures {
    fn print_rows(&self, folder: &Path) -> std::io::Result<()> {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        print_line(&self.live.format_row(&name, "live"))?;
        if let Some(offline) = &self.offline {
            print_line(&offline.format_row(&name, "offline"))?;
        }
        Ok(())
    }
}

fn bench_words(args: &WordsArgs) -> anyhow::Result<()> {
    print_line(WORDS_HEADING)?;
    let (all, details) = transcribe_folders(args)?;
    print_line(
        "\ndigits: errors in digits, spelled letters and amounts, per symbol of the reference; \
         revised: replaced words of partials, per word of finals; final, partials: audio seconds \
         per processor second of one core",
    )?;
    if args.calibration {
        print_line(&calibration_table(&details.calibration))?;
    }
    if args.loudness {
        print_line("\nloudness of speech  files  words   missed      WER")?;
        print_line(&details.loudness.format_rows().join("\n"))?;
    }
    write_json(args.json.as_deref(), &all)
}

/// Calibration and loudness of the live path, over all folders.
#[derive(Debug, Default)]
struct WordsDetails {
    calibration: ConfidenceCalibration,
    loudness: LoudnessTable,
}

impl WordsDetails {
    fn add_recording(
        &mut self,
        clip: &ManifestClip,
        samples: &[i16],
        run: &offline::OfflineTranscript,
    ) {
        if let Some(db) = level::speech_db(samples) {
            let mut one = WerScore::default();
            one.add_file(&clip.text, &run.text(), clip.seconds);
            self.loudness.add_recording(db, one.errors);
        }
        let words = run.segments.iter().flat_map(|segment| &segment.words);
        self.calibration.add_file(
            &clip.text,
            words.map(|word| (word.text.as_str(), word.confidence)),
        );
    }
}

/// The recognizers of the live path and of whole recordings.
struct PathRecognizers {
    live: Box<dyn Recognizer>,
    /// `None`: no comparison.
    whole: Option<Box<dyn Recognizer>>,
}

impl PathRecognizers {
    fn load(args: &WordsArgs) -> anyhow::Result<Self> {
        let whisper_cpp = || -> anyhow::Result<WhisperCppRecognizer> {
            let path = models::resolve(&args.engine.model, &args.engine.models_dir)?;
            Ok(whisper::WhisperCppModel::load(&path)?.recognizer()?)
        };
        let engine = || Ok::<_, anyhow::Error>(cli::load_model(&args.engine)?.recognizer()?);
        let live: Box<dyn Recognizer> = match args.finals {
            FinalsMode::Accurate => engine()?,
            FinalsMode::Fast => Box::new(FastRecognizer(engine()?)),
            FinalsMode::WhisperCpp => Box::new(whisper_cpp()?),
        };
        let whole: Option<Box<dyn Recognizer>> = match args.offline {
            OfflineMode::None => None,
            OfflineMode::Accurate => Some(engine()?),
            OfflineMode::Fast => Some(Box::new(FastRecognizer(engine()?))),
            OfflineMode::WhisperCpp => Some(Box::new(
                whisper_cpp()?.with_policy(ContextPolicy::FullContext),
            )),
        };
        Ok(Self { live, whole })
    }
}

/// Measures every folder and prints its figures as soon as they are complete. Returns them with the details
/// of the live path.
fn transcribe_folders(args: &WordsArgs) -> anyhow::Result<(Vec<FolderFigures>, WordsDetails)> {
    let mut recognizers = PathRecognizers::load(args)?;
    let mut all = Vec::new();
    let mut details = WordsDetails::default();
    for folder in &args.folders {
        let figures = transcribe_folder(folder, args, &mut recognizers, &mut details)?;
        figures.print_rows(folder)?;
        all.push(figures);
    }
    Ok((all, details))
}

/// Measures one folder, and adds to the details of the live path.
fn transcribe_folder(
    folder: &Path,
    args: &WordsArgs,
    recognizers: &mut PathRecognizers,
    details: &mut WordsDetails,
) -> anyhow::Result<FolderFigures> {
    let PathRecognizers { live, whole } = recognizers;
    let clips = script::read_manifest(&folder.join("manifest.tsv"))?;
    let mut figures = FolderFigures {
        folder: folder.display().to_string(),
        live: PathFigures::default(),
        offline: whole.as_ref().map(|_| PathFigures::default()),
    };
    for clip in &clips {
        let samples = read_samples(&clip.path)?;
        let run = figures
            .live
            .transcribe_live(clip, &samples, args, &mut **live)?;
        details.add_recording(clip, &samples, &run);
        if let (Some(offline), Some(whole)) = (&mut figures.offline, &mut *whole) {
            offline.transcribe_whole(clip, &samples, args, &mut **whole)?;
        }
    }
    figures.live.finish();
    if let Some(offline) = &mut figures.offline {
        offline.finish();
    }
    Ok(figures)
}

fn calibration_table(calibration: &ConfidenceCalibration) -> String {
    let mut lines = vec!["\nconfidence  words  right   mean".to_owned()];
    lines.extend(calibration.bins().map(|(from, bin)| {
        let words = bin.words as f64;
        format!(
            "from {from:.1} {:>10} {:>5.0}% {:>5.0}%",
            bin.words,
            100.0 * bin.right as f64 / words,
            100.0 * bin.confidence / words
        )
    }));
    if let Some(error) = calibration.expected_error() {
        lines.push(format!("expected calibration error {error:.3}"));
    }
    lines.join("\n")
}

impl PathFigures {
    /// Transcribes on the live path, with partials, on the audio's clock.
    fn transcribe_live(
        &mut self,
        clip: &ManifestClip,
        samples: &[i16],
        args: &WordsArgs,
        recognizer: &mut dyn Recognizer,
    ) -> anyhow::Result<offline::OfflineTranscript> {
        let config = cli::track_config(&args.engine);
        let start = ThreadTime::now();
        let meter = || start.elapsed();
        let run = offline::transcribe(
            samples,
            Track::Inbound,
            config,
            recognizer,
            clock::now(),
            meter,
            |_| {},
        );
        self.final_seconds += run.final_time.as_secs_f64();
        self.partial_seconds += run.partial_time.as_secs_f64();
        self.count_revisions(&run);
        self.add_clip(clip, &run.text(), args.differences)?;
        Ok(run)
    }

    /// Transcribes the whole file at once.
    fn transcribe_whole(
        &mut self,
        clip: &ManifestClip,
        samples: &[i16],
        args: &WordsArgs,
        recognizer: &mut dyn Recognizer,
    ) -> anyhow::Result<()> {
        let mut upsampler = Upsampler::new();
        let mut speech = Vec::new();
        let line: Vec<i16> = samples
            .iter()
            .map(|&s| mulaw::decode(mulaw::encode(s)))
            .collect();
        upsampler.push(&line, &mut speech);
        upsampler.flush(&mut speech);
        let language = args.engine.language();
        let start = ThreadTime::now();
        let hypothesis = recognizer.recognize(&RecognizeRequest {
            samples: &speech,
            speech_end_ms: (clip.seconds * 1_000.0) as u32,
            effort: Effort::Accurate,
            language: language.as_deref(),
            cancelled: &AtomicBool::new(false),
        })?;
        self.final_seconds += start.elapsed().as_secs_f64();
        self.add_clip(clip, &hypothesis.text(), args.differences)
    }

    fn add_clip(
        &mut self,
        clip: &ManifestClip,
        text: &str,
        differences: bool,
    ) -> anyhow::Result<()> {
        self.audio_seconds += clip.seconds;
        let mut one = WerScore::default();
        one.add_file(&clip.text, text, clip.seconds);
        if differences && (one.errors.total() > 0 || one.false_words > 0) {
            print_line(&format!(
                "  {}\n    - {}\n    + {text}",
                clip.name, clip.text
            ))?;
        }
        self.score += one;
        Ok(())
    }

    /// Counts the words of partials that were revised.
    fn count_revisions(&mut self, run: &offline::OfflineTranscript) {
        let partials = run
            .partials
            .iter()
            .cloned()
            .map(|partial| Event::Partial { partial });
        let segments = run
            .segments
            .iter()
            .cloned()
            .map(|segment| Event::Segment { segment });
        let events = partials
            .chain(segments)
            .map(|event| ReceivedEvent { at_ms: 0, event });
        let mut tally = LatencyTally::default();
        tally.add_call(&[], &events.collect::<Vec<_>>());
        let report = tally.report();
        self.revised_words += report.revised_words;
        self.settled_words += report.settled_words;
    }

    /// Adds the figures of another folder.
    fn merge(&mut self, more: &Self) {
        self.score += more.score;
        self.final_seconds += more.final_seconds;
        self.partial_seconds += more.partial_seconds;
        self.audio_seconds += more.audio_seconds;
        self.revised_words += more.revised_words;
        self.settled_words += more.settled_words;
    }

    fn finish(&mut self) {
        self.wer = self.score.wer();
        self.digit_error_rate = self.score.symbols.rate();
        self.false_words_per_minute = self.score.false_words_per_minute();
        self.final_seconds_per_audio_second = self.final_seconds / self.audio_seconds;
        self.partial_seconds_per_audio_second = self.partial_seconds / self.audio_seconds;
        self.unstable_partial_word_ratio =
            (self.settled_words > 0).then(|| self.revised_words as f64 / self.settled_words as f64);
    }

    fn format_row(&self, folder: &str, path: &str) -> String {
        let errors = self.score.errors;
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let speed = |seconds: f64| {
            if seconds > 0.0 {
                format!("{:.1}×", self.audio_seconds / seconds)
            } else {
                "–".to_owned()
            }
        };
        format!(
            "{folder:<14} {path:<8} {:>7} {:>5} {:>5} {:>5} {:>6} {:>7} {:>11} {:>7} {:>10} {:>10}",
            or_dash(self.wer.map(|wer| format!("{:.2} %", 100.0 * wer))),
            errors.insertions,
            errors.deletions,
            errors.substitutions,
            errors.reference_words(),
            or_dash(
                self.digit_error_rate
                    .map(|rate| format!("{:.1} %", 100.0 * rate))
            ),
            or_dash(
                self.false_words_per_minute
                    .map(|words| format!("{:.1}", 10.0 * words))
            ),
            or_dash(
                self.unstable_partial_word_ratio
                    .map(|ratio| format!("{ratio:.2}"))
            ),
            speed(self.final_seconds),
            speed(self.partial_seconds),
        )
    }
}

fn read_samples(path: &Path) -> anyhow::Result<Vec<i16>> {
    let channels = RecordingReader::read_all(path, audio::LINE_HZ)?;
    let first = channels
        .first()
        .with_context(|| format!("{} has no audio", path.display()))?;
    Ok(audio::to_i16(first))
}

#[derive(Debug, Serialize)]
struct LatencyFigures {
    calls: Vec<(String, LatencyReport)>,
    all: LatencyReport,
}

async fn bench_latency(args: &LatencyArgs) -> anyhow::Result<()> {
    let engine = cli::start_engine(&args.engine)?;
    let voice = cli::track_config(&args.engine);
    let server_config = ServerConfig::local(([127, 0, 0, 1], 0).into(), engine, voice);
    let app = App::start(server_config.await?).await?;
    let mut all = LatencyTally::default();
    let mut calls = Vec::new();
    for path in &args.calls {
        let (script, call) = read_call(path, args.audio.as_deref())?;
        print_line(&format!("{} ({:.0} s)", script.name, script.seconds))?;
        let loopback = run_loopback(
            app.address(),
            app.keys(),
            &call,
            &StreamOptions::fresh(),
            |_| {},
        )
        .await?;
        let mut one = LatencyTally::default();
        one.add_call(&script.truth, &loopback.received_events());
        all.add_call(&script.truth, &loopback.received_events());
        let report = one.report();
        print_line(&format_report(&report))?;
        calls.push((script.name, report));
    }
    let (counts, work) = app.engine().statistics();
    app.stop().await;
    let all = all.report();
    print_line(&format!("all calls\n{}", format_report(&all)))?;
    print_line(&format_breakdown(&all))?;
    let audio = work.final_audio.max(Duration::from_millis(1)).as_secs_f64();
    print_line(&format!(
        "engine     {} final passes over {audio:.0} s of audio in {:.1} s, {} partials in {:.1} s; \
         {} partials dropped, {} finals refused",
        counts.finals,
        work.final_time.as_secs_f64(),
        counts.partials,
        work.partial_time.as_secs_f64(),
        counts.partials_dropped,
        counts.finals_refused
    ))?;
    write_json(args.json.as_deref(), &LatencyFigures { calls, all })
}

fn format_breakdown(report: &LatencyReport) -> String {
    let parts = &report.breakdown;
    let named = [
        (
            "detected end of speech against the true end",
            parts.end_error,
        ),
        (
            "detected end to publication (endpoint, queue, inference)",
            parts.engine,
        ),
        ("publication to arrival", parts.delivery),
    ];
    let lines = named
        .iter()
        .filter_map(|(name, spread)| spread.map(|spread| format!("  {name}: {spread}")));
    let word_times = report
        .word_times
        .map_or("none measured".to_owned(), |spread| spread.to_string());
    format!(
        "parts of last words\n{}\nword times {word_times} off, at both ends of utterances",
        lines.collect::<Vec<_>>().join("\n")
    )
}

fn write_json(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
