//! `callburner demo`: plays a recorded call to the real server in real time and prints its transcript.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::app::{App, ServerConfig};
use crate::archive::AudioArchive;
use crate::cli;
use crate::cli::local_keys::{self, SIMULATOR_KEY_FILE};
use crate::cli::serve::wait_for_signal;
use crate::config::EngineSettings;
use crate::engine::Engine;
use crate::eval::latency::{LatencyReport, LatencyStats, LatencyTally};
use crate::eval::script::{self, CallScript};
use crate::loopback::{LoopbackResult, run_loopback};
use crate::telemetry::{self, LogFormat};
use crate::transcript::{CallEvent, Event, Partial, Segment, Speaker};
use crate::twilio_sim::{RecordedCall, StreamOptions};

/// Play a recorded two-party call through the real server and print its transcript live.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Call script (JSON), with its recordings beside it.
    #[arg(long, default_value = "fixtures/calls/reading.json")]
    call: PathBuf,
    /// Keep the server running after the call, until Ctrl+C.
    #[arg(long)]
    keep: bool,
    /// Port of the server; 0 selects a free port.
    #[arg(long, env = "PORT", default_value_t = 0)]
    port: u16,
    #[command(flatten)]
    engine: EngineSettings,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let filter = std::env::var("LOG").unwrap_or_else(|_| "warn,whisper_rs=error".to_owned());
    telemetry::init(LogFormat::Text, &filter)?;
    let (script, call) = read_call(&args.call, None)?;
    let engine = cli::start_engine(&args.engine)?;
    // The call's audio for the page, and the server's keys; removed when the command ends.
    let temp_dir = args.keep.then(tempfile::tempdir).transpose()?;
    let folder = temp_dir.as_ref().map(TempDir::path);
    let app = App::start(configure_server(&args, engine, folder).await?).await?;
    let view = TerminalView::new();
    view.print_line(&format_introduction(&args, &script, app.address()))?;
    if args.keep {
        let link = app.page_link().await?.unwrap_or_default();
        view.print_line(&format!(
            "Open this link to see the call on the page, and to start other calls there:\n{link}\n"
        ))?;
    }
    let loopback = run_loopback(
        app.address(),
        app.keys(),
        &call,
        &StreamOptions::fresh(),
        |event| {
            view.print_event(event);
        },
    )
    .await?;
    view.print_line(&format_summary(&script, &loopback))?;
    if let Some(folder) = folder {
        view.print_line(&format_instructions(&args.call, app.address(), folder))?;
        wait_for_signal().await?;
    }
    app.stop().await;
    Ok(())
}

/// Creates the configuration of a local server. `folder` is for the call's audio and the server's keys, if
/// the server keeps running after the call.
async fn configure_server(
    args: &DemoArgs,
    engine: Engine,
    folder: Option<&Path>,
) -> anyhow::Result<ServerConfig> {
    let address = ([127, 0, 0, 1], args.port).into();
    let voice = cli::track_config(&args.engine);
    let audio = folder.map(|folder| folder.join("audio"));
    let audio_archive = audio.map(|audio| AudioArchive::open(&audio));
    let keys = folder.map(local_keys::load_or_create).transpose()?;
    let mut server_config = ServerConfig {
        is_simulation_enabled: args.keep,
        audio_archive: audio_archive.transpose()?,
        is_archiving_enabled: args.keep,
        model: args.engine.model_name(),
        ..ServerConfig::local(address, engine, voice).await?
    };
    if keys.is_some() {
        server_config.endpoint.local_keys = keys;
    }
    Ok(server_config)
}

fn format_introduction(args: &DemoArgs, script: &CallScript, address: SocketAddr) -> String {
    format!(
        "{}: {:.0} s of a recorded call, model {}, {} workers, server on http://{address}\n",
        script.name,
        script.seconds,
        args.engine.model,
        args.engine.workers()
    )
}

/// Formats what the user can do with a server that keeps running. `folder` has its keys.
fn format_instructions(call: &Path, address: SocketAddr, folder: &Path) -> String {
    format!(
        "The server keeps running on http://{address} until Ctrl+C. Start a call on the page, or \
         stream one to the server with\n  callburner replay {} --url ws://{address}/media \
         --key-file {}",
        call.display(),
        folder.join(SIMULATOR_KEY_FILE).display()
    )
}

/// Reads a call script and its recordings. An error if one is missing or cannot be used.
pub(super) fn read_call(
    path: &Path,
    audio: Option<&Path>,
) -> anyhow::Result<(CallScript, RecordedCall)> {
    let script = CallScript::read(path)?;
    let [inbound, outbound] = script::audio_paths(path, audio)?;
    let call = RecordedCall::read_tracks(&inbound, &outbound)
        .with_context(|| format!("the audio of {} cannot be used", path.display()))?;
    Ok((script, call))
}

/// Formats the word error rate and the latency of the call.
fn format_summary(script: &CallScript, loopback: &LoopbackResult) -> String {
    let score = loopback.score(script);
    let mut tally = LatencyTally::default();
    tally.add_call(&script.truth, &loopback.received_events());
    let report = tally.report();
    let errors = score.errors;
    format!(
        "\nwords      {:.1} % word error rate against the reference ({} of {} words: {} wrong, {} \
         missing, {} added)\n{}",
        100.0 * score.wer().unwrap_or(0.0),
        errors.total(),
        errors.reference_words(),
        errors.substitutions,
        errors.deletions,
        errors.insertions,
        format_report(&report)
    )
}

/// Formats a report: last words, first words, steadiness and finals, one line each.
pub(super) fn format_report(report: &LatencyReport) -> String {
    let spread = |spread: &Option<LatencyStats>| {
        spread.as_ref().map_or_else(
            || "none measured".to_owned(),
            |s| format!("{s} ({} measured)", s.count),
        )
    };
    let mut missing = String::new();
    for utterance in &report.missing {
        let at = utterance.start_ms as f64 / 1_000.0;
        let _ = write!(
            missing,
            "
           missing: {} {at:.1} s: {}",
            utterance.track, utterance.text
        );
    }
    format!(
        "last words {} after the end of speech\nfirst words {} after the start of speech\n\
         steadiness {:.2} unstable partial word ratio, {} retractions, {} duplicate partials\n\
         finals     {} segments for {} utterances, {} utterances missing{missing}\n",
        spread(&report.final_words),
        spread(&report.first_partial),
        report.unstable_partial_word_ratio.unwrap_or(0.0),
        report.retractions,
        report.duplicate_partials,
        report.segments,
        report.utterances,
        report.missing.len(),
    )
}

/// Terminal output: one line for each final, and one line that the latest partial overwrites.
struct TerminalView {
    is_terminal: bool,
}

impl TerminalView {
    fn new() -> Self {
        Self {
            is_terminal: std::io::stdout().is_terminal(),
        }
    }

    fn print_event(&self, event: &CallEvent) {
        match &event.event {
            Event::Segment { segment } if !segment.text.is_empty() => self.print_segment(segment),
            Event::Partial { partial } if self.is_terminal => Self::print_partial(partial),
            Event::Engine { health, lag_ms, .. } => {
                let _ = self.print_line(&format!("engine {health:?}, {lag_ms} ms behind"));
            }
            Event::Language { doubts } => {
                for doubt in doubts {
                    let (speaker, expected) = (speaker_label(doubt.speaker), &doubt.expected);
                    let _ =
                        self.print_line(&format!("{speaker}: the language may not be {expected}"));
                }
            }
            Event::Segment { .. }
            | Event::Partial { .. }
            | Event::Snapshot { .. }
            | Event::Call { .. }
            | Event::Recording { .. }
            | Event::Ended { .. } => {}
        }
    }

    fn print_segment(&self, segment: &Segment) {
        let words = format!(
            "{}  {}  {}  ({} ms)",
            format_time(segment.start_ms),
            speaker_label(segment.speaker),
            segment.text,
            segment.latency_ms
        );
        let _ = self.print_line(&words); // a closed terminal must not end the call
    }

    fn print_partial(partial: &Partial) {
        let text = format!("{} {}", partial.stable, partial.unstable);
        let tail: String = {
            let letters: Vec<char> = text.trim().chars().collect();
            letters[letters.len().saturating_sub(60)..].iter().collect()
        };
        let mut out = std::io::stdout().lock();
        let _ = write!(
            out,
            "\r\x1b[2K\x1b[2m{}  {}  {tail}\x1b[0m",
            format_time(partial.start_ms),
            speaker_label(partial.speaker)
        );
        let _ = out.flush();
    }

    fn print_line(&self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.is_terminal {
            write!(out, "\r\x1b[2K")?;
        }
        writeln!(out, "{text}")?;
        out.flush()
    }
}

fn format_time(ms: u64) -> String {
    format!("{:02}:{:04.1}", ms / 60_000, (ms % 60_000) as f64 / 1_000.0)
}

fn speaker_label(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Agent => "agent   ",
        Speaker::Customer => "customer",
    }
}
