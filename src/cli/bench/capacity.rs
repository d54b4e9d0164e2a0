//! `callburner bench capacity`: finds the number of concurrent calls that the server sustains in real time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cpu_time::ProcessTime;
use plotters::chart::SeriesLabelPosition;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{plot, print_line, write_json};
use crate::app::{App, ServerConfig};
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock;
use crate::config::EngineSettings;
use crate::eval::capacity_search::{CapacitySearch, NextStep};
use crate::eval::latency::{LatencyReport, LatencyTally};
use crate::eval::script::CallScript;
use crate::eval::wer::WerScore;
use crate::loopback::{LoopbackResult, run_loopback};
use crate::telemetry;
use crate::transcript::Event;
use crate::twilio_sim::{RecordedCall, StreamOptions};

/// Time within which the calls of one round start, so that their turns do not coincide.
const STAGGER: Duration = Duration::from_secs(15);

/// Find the number of concurrent calls that the server sustains: rounds of more and more calls, until finals
/// are late.
#[derive(Debug, clap::Args)]
pub(super) struct CapacityArgs {
    /// Call scripts (JSON), played in rotation.
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// Folder of the calls' recordings, if they are not beside the scripts.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Calls of the first round. Each further round doubles the number until one is too many, then tries
    /// numbers in between.
    #[arg(long, default_value_t = 8)]
    first: usize,
    /// Most calls in a round.
    #[arg(long, default_value_t = 256)]
    most: usize,
    /// Largest acceptable 95th percentile of the time from the end of speech to its final, in milliseconds.
    #[arg(long, default_value_t = 1_500)]
    bound_ms: i64,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Plot the figures into this SVG file.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// Results of one round.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CapacityRound {
    calls: usize,
    report: LatencyReport,
    wer: Option<f64>,
    /// Utterances with partials but without a final, and finals that were refused or not recognised.
    finals_lost: u64,
    /// Share of finals that were fast because others waited.
    #[serde(rename = "hurriedShare")]
    fast_share: f64,
    /// Share of requested partials that never ran.
    #[serde(rename = "thinnedShare")]
    dropped_share: f64,
    /// Processor seconds per second, of player, listeners and server together.
    processors: f64,
    /// Growth of the process per track, in KiB.
    kib_per_track: u64,
}

pub(super) async fn run(args: &CapacityArgs) -> anyhow::Result<()> {
    let calls = args
        .calls
        .iter()
        .map(|path| read_call(path, args.audio.as_deref()));
    let calls: Vec<_> = calls
        .map(|call| call.map(Arc::new))
        .collect::<Result<_, _>>()?;
    print_line(&format!(
        "{:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>5} {:>8} {:>8} {:>5} {:>9}",
        "calls",
        "final50",
        "final95",
        "final99",
        "first50",
        "first95",
        "WER",
        "lost",
        "fast",
        "dropped",
        "cpus",
        "KiB/track"
    ))?;
    let mut search = CapacitySearch::new(args.first, args.most);
    let mut rounds = Vec::new();
    while let NextStep::Try(count) = search.next_step() {
        let round = run_round(&calls, count, &args.engine).await?;
        print_line(&round.format_row())?;
        search.record_result(count, round.is_sustained(args.bound_ms));
        rounds.push(round);
    }
    rounds.sort_by_key(|round| round.calls);
    print_line(&format!(
        "\n{}: most concurrent calls with no final lost and 95 % of finals within {} ms of the \
         end of speech",
        search
            .sustained_max()
            .map_or("none".to_owned(), |calls| calls.to_string()),
        args.bound_ms
    ))?;
    if let Some(path) = &args.plot {
        plot_rounds(&rounds, args.bound_ms).write_svg(path)?;
    }
    write_json(args.json.as_deref(), &rounds)
}

/// Runs one round, on its own server.
async fn run_round(
    calls: &[Arc<(CallScript, RecordedCall)>],
    count: usize,
    settings: &EngineSettings,
) -> anyhow::Result<CapacityRound> {
    let engine = cli::start_engine(settings)?;
    let voice = cli::track_config(settings);
    let server_config = ServerConfig::local(([127, 0, 0, 1], 0).into(), engine, voice);
    let app = App::start(server_config.await?).await?;
    let address = app.address();
    let (before_kib, began, cpu) = (resident_kib(), clock::now(), ProcessTime::now());
    let mut playing = JoinSet::new();
    for (n, call) in calls.iter().cycle().take(count).cloned().enumerate() {
        let wait = STAGGER.mul_f64(n as f64 / count as f64);
        let keys = app.keys().cloned();
        playing.spawn(async move {
            tokio::time::sleep(wait).await;
            let loopback = run_loopback(
                address,
                keys.as_ref(),
                &call.1,
                &StreamOptions::fresh(),
                |_| {},
            )
            .await;
            loopback.map(|loopback| (call, loopback))
        });
    }
    let middle = STAGGER + Duration::from_secs_f64(calls[0].1.seconds() / 2.0);
    tokio::time::sleep(middle).await;
    let grown_kib = resident_kib().saturating_sub(before_kib);
    let (mut tally, mut score, mut untranscribed) =
        (LatencyTally::default(), WerScore::default(), 0);
    while let Some(played) = playing.join_next().await {
        let (call, loopback) = played.context("a call broke off")??;
        tally.add_call(&call.0.truth, &loopback.received_events());
        score += loopback.score(&call.0);
        untranscribed += count_untranscribed(&loopback);
    }
    let processors = cpu.elapsed().as_secs_f64() / (clock::now() - began).as_secs_f64();
    let (counts, work) = app.engine().statistics();
    app.stop().await;
    let report = tally.report();
    Ok(CapacityRound {
        calls: count,
        wer: score.wer(),
        finals_lost: report.without_final + untranscribed + counts.finals_refused,
        fast_share: work.fast_finals as f64 / (counts.finals as f64).max(1.0),
        dropped_share: counts.partials_dropped as f64 / (counts.partials as f64).max(1.0),
        processors,
        kib_per_track: grown_kib / (2 * count as u64),
        report,
    })
}

/// Counts the finals that were not recognised.
fn count_untranscribed(loopback: &LoopbackResult) -> u64 {
    let lost = loopback.events.iter().filter(
        |(_, event)| matches!(&event.event, Event::Segment { segment } if !segment.transcribed),
    );
    lost.count() as u64
}

/// Returns the resident memory of the process; 0 if the system does not report it.
fn resident_kib() -> u64 {
    telemetry::resident_bytes().unwrap_or(0) / 1_024
}

impl CapacityRound {
    fn is_sustained(&self, bound_ms: i64) -> bool {
        let finals = self.report.final_words;
        self.finals_lost == 0 && finals.is_some_and(|finals| finals.p95_ms <= bound_ms)
    }

    fn format_row(&self) -> String {
        let (finals, first) = (self.report.final_words, self.report.first_words);
        let ms = |value: Option<i64>| value.map_or("–".to_owned(), |ms| ms.to_string());
        format!(
            "{:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6.1}% {:>5} {:>7.0}% {:>7.0}% {:>5.2} {:>9}",
            self.calls,
            ms(finals.map(|s| s.p50_ms)),
            ms(finals.map(|s| s.p95_ms)),
            ms(finals.map(|s| s.p99_ms)),
            ms(first.map(|s| s.p50_ms)),
            ms(first.map(|s| s.p95_ms)),
            100.0 * self.wer.unwrap_or(0.0),
            self.finals_lost,
            100.0 * self.fast_share,
            100.0 * self.dropped_share,
            self.processors,
            self.kib_per_track,
        )
    }
}

fn plot_rounds(rounds: &[CapacityRound], bound_ms: i64) -> plot::LinePlot {
    let line = |name: &str, of: &dyn Fn(&LatencyReport) -> Option<i64>| plot::PlotSeries {
        name: name.to_owned(),
        points: rounds
            .iter()
            .filter_map(|round| Some((round.calls as f64, of(&round.report)? as f64)))
            .collect(),
        labels: vec![],
    };
    let most = rounds.last().map_or(1, |round| round.calls) as f64;
    plot::LinePlot {
        title: "Concurrent two-party calls in real time".to_owned(),
        x_label: "calls".to_owned(),
        y_label: "ms".to_owned(),
        legend_position: SeriesLabelPosition::UpperLeft,
        lines: vec![
            line("end of speech to final, 95 %", &|r| {
                r.final_words.map(|s| s.p95_ms)
            }),
            line("end of speech to final, 50 %", &|r| {
                r.final_words.map(|s| s.p50_ms)
            }),
            line("start of speech to first words, 95 %", &|r| {
                r.first_words.map(|s| s.p95_ms)
            }),
            plot::PlotSeries {
                name: "bound".to_owned(),
                points: vec![(0.0, bound_ms as f64), (most, bound_ms as f64)],
                labels: vec![],
            },
        ],
    }
}
