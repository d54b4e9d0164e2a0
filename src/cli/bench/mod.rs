//! `callburner bench`: what the engine is worth on recordings whose words are known, and what the
//! server bears.

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

use crate::app::{App, Parts};
use crate::audio::{self, level, mulaw, recording::Recording, resample::Upsampler};
use crate::cli;
use crate::cli::demo::{figures, read_call};
use crate::clock;
use crate::config::EngineSettings;
use crate::engine::offline;
use crate::engine::recognizer::{Effort, Hypothesis, RecognizeError, Recognizer, Request};
use crate::engine::whisper::{self, Policy, Whisper};
use crate::ids::Track;
use crate::measure::calibration::Calibration;
use crate::measure::latency::{Heard, Report, Tally};
use crate::measure::loudness::Loudness;
use crate::measure::script::{self, Clip};
use crate::measure::wer::Score;
use crate::models;
use crate::player::Options;
use crate::rehearsal::rehearse;
use crate::transcript::Event;

/// Measure the engine on recordings whose words are known, and what the server bears.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Word error rate and compute time of the live path and of the same model offline.
    Words(WordsArgs),
    /// Word error rate of what another recogniser heard, counted as ours is.
    Score(score::ScoreArgs),
    /// Words against compute: each way to recognise, with each model, as a table and a drawing.
    Frontier(frontier::FrontierArgs),
    /// Delays and steadiness, calls played in real time through the real server.
    Latency(LatencyArgs),
    /// How many calls at once, in real time through the real server.
    Capacity(capacity::CapacityArgs),
    /// Calls in a rising and falling number for half an hour, with faults among them.
    Soak(soak::SoakArgs),
    /// Status callbacks at a fixed rate, to the real server with a real database; with calls and
    /// attackers beside them, if wanted.
    Webhooks(webhooks::WebhooksArgs),
}

#[derive(Debug, clap::Args)]
struct WordsArgs {
    /// Folders with a `manifest.tsv` (columns: file, seconds, text, source, licence).
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// What the live path's finals are made by.
    #[arg(long, value_enum, default_value_t)]
    finals: Finals,
    /// What hears each recording whole, to compare with.
    #[arg(long, value_enum, default_value_t = Offline::WhisperCpp)]
    offline: Offline,
    /// Print every file whose words differ from the reference.
    #[arg(long)]
    differences: bool,
    /// Print how many of the live path's words were right, by their confidence.
    #[arg(long)]
    calibration: bool,
    /// Print how many words the live path left out, by how loud the recording's speech is.
    #[arg(long)]
    loudness: bool,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Finals {
    /// As on a box that has time for each.
    #[default]
    Careful,
    /// As on a box where others wait.
    Hurried,
    /// By whisper.cpp, with its context trimmed.
    WhisperCpp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Offline {
    /// Nothing does.
    None,
    /// The engine, as it does finals where there is time.
    Careful,
    /// The engine, as it does finals where others wait.
    Hurried,
    /// whisper.cpp, with its whole context.
    WhisperCpp,
}

#[derive(Debug, clap::Args)]
struct LatencyArgs {
    /// Call scripts (JSON).
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// Folder of the calls' recordings, if not beside the scripts.
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
        BenchCommand::Words(args) => tokio::task::spawn_blocking(move || words(&args)).await?,
        BenchCommand::Score(args) => score::run(&args),
        BenchCommand::Frontier(args) => {
            tokio::task::spawn_blocking(move || frontier::run(&args)).await?
        }
        BenchCommand::Latency(args) => latency(&args).await,
        BenchCommand::Capacity(args) => capacity::run(&args).await,
        BenchCommand::Soak(args) => soak::run(&args).await,
        BenchCommand::Webhooks(args) => webhooks::run(&args).await,
    }
}

/// Over [`PathFigures::row`].
const HEADING: &str = "set            path         WER   ins   del   sub  words  digits false/10min revised      final     drafts";

/// Makes every final as on a box where others wait.
struct Hurried(Box<dyn Recognizer>);

impl Recognizer for Hurried {
    fn recognize(&mut self, request: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
        let effort = match request.effort {
            Effort::Draft => Effort::Draft,
            Effort::Final | Effort::Careful => Effort::Final,
        };
        self.0.recognize(&Request { effort, ..*request })
    }
}

/// One path's words and cost on one folder. Times are processor seconds of one thread.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PathFigures {
    score: Score,
    wer: Option<f64>,
    /// Errors in digits, spelled letters and amounts, for each one that was said.
    digit_error_rate: Option<f64>,
    false_words_per_minute: Option<f64>,
    final_seconds: f64,
    draft_seconds: f64,
    audio_seconds: f64,
    final_seconds_per_audio_second: f64,
    draft_seconds_per_audio_second: f64,
    /// Words of partials that were replaced.
    revised_words: u64,
    /// Words of finals that partials came before.
    settled_words: u64,
    unstable_partial_word_ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct FolderFigures {
    folder: String,
    live: PathFigures,
    offline: Option<PathFigures>,
}

fn words(args: &WordsArgs) -> anyhow::Result<()> {
    print(HEADING)?;
    let (all, details) = listen(args)?;
    print(
        "\ndigits: errors in digits, spelled letters and amounts, for each one that was said; revised: words of partials that were replaced, for each word of finals; final, drafts: \
         audio seconds for each processor second of one core",
    )?;
    if args.calibration {
        print(&table(&details.calibration))?;
    }
    if args.loudness {
        print("\nloudness of speech  files  words left out      WER")?;
        print(&details.loudness.lines().join("\n"))?;
    }
    write_json(args.json.as_deref(), &all)
}

/// What is known of the live path over all folders.
#[derive(Debug, Default)]
struct Details {
    calibration: Calibration,
    loudness: Loudness,
}

/// Every folder's figures, each printed when it is there, and what is known beside them.
fn listen(args: &WordsArgs) -> anyhow::Result<(Vec<FolderFigures>, Details)> {
    let whisper_cpp = || -> anyhow::Result<Whisper> {
        let path = models::resolve(&args.engine.model, &args.engine.models_dir)?;
        Ok(whisper::Model::load(&path)?.recognizer()?)
    };
    let engine = || Ok::<_, anyhow::Error>(cli::load(&args.engine)?.recognizer()?);
    let mut live: Box<dyn Recognizer> = match args.finals {
        Finals::Careful => engine()?,
        Finals::Hurried => Box::new(Hurried(engine()?)),
        Finals::WhisperCpp => Box::new(whisper_cpp()?),
    };
    let mut whole: Option<Box<dyn Recognizer>> = match args.offline {
        Offline::None => None,
        Offline::Careful => Some(engine()?),
        Offline::Hurried => Some(Box::new(Hurried(engine()?))),
        Offline::WhisperCpp => Some(Box::new(whisper_cpp()?.with_policy(Policy::FullContext))),
    };
    let mut all = Vec::new();
    let mut details = Details::default();
    for folder in &args.folders {
        let clips = script::read_manifest(&folder.join("manifest.tsv"))?;
        let mut figures = FolderFigures {
            folder: folder.display().to_string(),
            live: PathFigures::default(),
            offline: whole.as_ref().map(|_| PathFigures::default()),
        };
        for clip in &clips {
            let samples = read(&clip.path)?;
            let run = figures.live.listen_live(clip, &samples, args, &mut *live)?;
            if let Some(db) = level::speech_db(&samples) {
                let mut one = Score::default();
                one.add(&clip.text, &run.text(), clip.seconds);
                details.loudness.add(db, one.errors);
            }
            let words = run.segments.iter().flat_map(|segment| &segment.words);
            details.calibration.add(
                &clip.text,
                words.map(|word| (word.text.as_str(), word.confidence)),
            );
            if let (Some(offline), Some(whole)) = (&mut figures.offline, &mut whole) {
                offline.listen_whole(clip, &samples, args, &mut **whole)?;
            }
        }
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        figures.live.finish();
        print(&figures.live.row(&name, "live"))?;
        if let Some(offline) = &mut figures.offline {
            offline.finish();
            print(&offline.row(&name, "offline"))?;
        }
        all.push(figures);
    }
    Ok((all, details))
}

fn table(calibration: &Calibration) -> String {
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
    if let Some(error) = calibration.error() {
        lines.push(format!("expected calibration error {error:.3}"));
    }
    lines.join("\n")
}

impl PathFigures {
    /// The live path in audio time, drafts and all.
    fn listen_live(
        &mut self,
        clip: &Clip,
        samples: &[i16],
        args: &WordsArgs,
        recognizer: &mut dyn Recognizer,
    ) -> anyhow::Result<offline::Run> {
        let config = cli::voice_config(&args.engine);
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
        self.draft_seconds += run.draft_time.as_secs_f64();
        self.follow(&run);
        self.add(clip, &run.text(), args.differences)?;
        Ok(run)
    }

    /// The whole file at once.
    fn listen_whole(
        &mut self,
        clip: &Clip,
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
        let hypothesis = recognizer.recognize(&Request {
            samples: &speech,
            speech_end_ms: (clip.seconds * 1_000.0) as u32,
            effort: Effort::Careful,
            language: language.as_deref(),
            cancelled: &AtomicBool::new(false),
        })?;
        self.final_seconds += start.elapsed().as_secs_f64();
        self.add(clip, &hypothesis.text(), args.differences)
    }

    fn add(&mut self, clip: &Clip, text: &str, differences: bool) -> anyhow::Result<()> {
        self.audio_seconds += clip.seconds;
        let mut one = Score::default();
        one.add(&clip.text, text, clip.seconds);
        if differences && (one.errors.total() > 0 || one.false_words > 0) {
            print(&format!(
                "  {}\n    - {}\n    + {text}",
                clip.name, clip.text
            ))?;
        }
        self.score += one;
        Ok(())
    }

    /// How often partials changed their mind.
    fn follow(&mut self, run: &offline::Run) {
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
        let heard = partials
            .chain(segments)
            .map(|event| Heard { at_ms: 0, event });
        let mut tally = Tally::default();
        tally.add(&[], &heard.collect::<Vec<_>>());
        let report = tally.report();
        self.revised_words += report.revised_words;
        self.settled_words += report.settled_words;
    }

    /// Takes another folder's in.
    fn join(&mut self, more: &Self) {
        self.score += more.score;
        self.final_seconds += more.final_seconds;
        self.draft_seconds += more.draft_seconds;
        self.audio_seconds += more.audio_seconds;
        self.revised_words += more.revised_words;
        self.settled_words += more.settled_words;
    }

    fn finish(&mut self) {
        self.wer = self.score.wer();
        self.digit_error_rate = self.score.symbols.rate();
        self.false_words_per_minute = self.score.false_words_per_minute();
        self.final_seconds_per_audio_second = self.final_seconds / self.audio_seconds;
        self.draft_seconds_per_audio_second = self.draft_seconds / self.audio_seconds;
        self.unstable_partial_word_ratio =
            (self.settled_words > 0).then(|| self.revised_words as f64 / self.settled_words as f64);
    }

    fn row(&self, folder: &str, path: &str) -> String {
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
            speed(self.draft_seconds),
        )
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<i16>> {
    let channels = Recording::read_all(path, audio::LINE_HZ)?;
    let first = channels
        .first()
        .with_context(|| format!("{} has no audio", path.display()))?;
    Ok(audio::to_i16(first))
}

#[derive(Debug, Serialize)]
struct LatencyFigures {
    calls: Vec<(String, Report)>,
    all: Report,
}

async fn latency(args: &LatencyArgs) -> anyhow::Result<()> {
    let engine = cli::start_engine(&args.engine)?;
    let voice = cli::voice_config(&args.engine);
    let parts = Parts::local(([127, 0, 0, 1], 0).into(), engine, voice);
    let app = App::start(parts.await?).await?;
    let mut all = Tally::default();
    let mut calls = Vec::new();
    for path in &args.calls {
        let (script, call) = read_call(path, args.audio.as_deref())?;
        print(&format!("{} ({:.0} s)", script.name, script.seconds))?;
        let rehearsal =
            rehearse(app.address(), app.keys(), &call, &Options::fresh(), |_| {}).await?;
        let mut one = Tally::default();
        one.add(&script.truth, &rehearsal.heard());
        all.add(&script.truth, &rehearsal.heard());
        let report = one.report();
        print(&figures(&report))?;
        calls.push((script.name, report));
    }
    let (counts, work) = app.engine().tally();
    app.stop().await;
    let all = all.report();
    print(&format!("all calls\n{}", figures(&all)))?;
    print(&breakdown(&all))?;
    let audio = work.final_audio.max(Duration::from_millis(1)).as_secs_f64();
    print(&format!(
        "engine     {} final passes over {audio:.0} s of audio in {:.1} s, {} drafts in {:.1} s; {} \
         drafts dropped, {} finals refused",
        counts.finals,
        work.final_time.as_secs_f64(),
        counts.partials,
        work.partial_time.as_secs_f64(),
        counts.partials_dropped,
        counts.finals_refused
    ))?;
    write_json(args.json.as_deref(), &LatencyFigures { calls, all })
}

fn breakdown(report: &Report) -> String {
    let parts = &report.breakdown;
    let named = [
        ("voice detector's end against the true end", parts.end_error),
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
        "of last words\n{}\nword times {word_times} off, at both ends of what was said",
        lines.collect::<Vec<_>>().join("\n")
    )
}

fn write_json(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn print(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
