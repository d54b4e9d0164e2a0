//! `callburner bench capacity`: how many calls at once the server bears, in real time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cpu_time::ProcessTime;
use plotters::chart::SeriesLabelPosition;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{plot, print, write_json};
use crate::app::{App, Parts};
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock;
use crate::config::EngineSettings;
use crate::measure::knee::{Knee, Next};
use crate::measure::latency::{Report, Tally};
use crate::measure::script::Script;
use crate::measure::wer::Score;
use crate::player::{Call, Options};
use crate::rehearsal::{Rehearsal, rehearse};
use crate::telemetry;
use crate::transcript::Event;

/// Calls of one round begin within this time of each other: nobody's turns come in step.
const STAGGER: Duration = Duration::from_secs(15);

/// How many calls at once the server bears: rounds of more and more calls, until finals come late.
#[derive(Debug, clap::Args)]
pub(super) struct CapacityArgs {
    /// Call scripts (JSON), played in turn.
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// Folder of the calls' recordings, if not beside the scripts.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Calls of the first round; each further one has twice as many until one is too many, then
    /// between.
    #[arg(long, default_value_t = 8)]
    first: usize,
    /// No round has more calls.
    #[arg(long, default_value_t = 256)]
    most: usize,
    /// The 95th percentile from the end of speech to its final that is still borne.
    #[arg(long, default_value_t = 1_500)]
    bound_ms: i64,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw them into this file, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// What one round gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    calls: usize,
    report: Report,
    wer: Option<f64>,
    /// Utterances that were shown and never settled, refused, or settled without words.
    finals_lost: u64,
    /// Finals made quickly because others waited, of all.
    hurried_share: f64,
    /// Drafts that never ran, of all that were asked for.
    thinned_share: f64,
    /// Processor seconds in a second, of player, listeners and server together.
    processors: f64,
    /// What the process grew by, for each track.
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
    print(&format!(
        "{:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>5} {:>8} {:>8} {:>5} {:>9}",
        "calls",
        "final50",
        "final95",
        "final99",
        "first50",
        "first95",
        "WER",
        "lost",
        "hurried",
        "thinned",
        "cpus",
        "KiB/track"
    ))?;
    let mut knee = Knee::new(args.first, args.most);
    let mut rounds = Vec::new();
    while let Next::Try(count) = knee.next() {
        let round = play(&calls, count, &args.engine).await?;
        print(&round.row())?;
        knee.tell(count, round.is_borne(args.bound_ms));
        rounds.push(round);
    }
    rounds.sort_by_key(|round| round.calls);
    print(&format!(
        "\n{}: most calls at once with every final there and 95 % of them within {} ms of the end of \
         speech",
        knee.borne()
            .map_or("none".to_owned(), |calls| calls.to_string()),
        args.bound_ms
    ))?;
    if let Some(path) = &args.plot {
        draw(&rounds, args.bound_ms).write(path)?;
    }
    write_json(args.json.as_deref(), &rounds)
}

/// One round, on a server of its own.
async fn play(
    calls: &[Arc<(Script, Call)>],
    count: usize,
    settings: &EngineSettings,
) -> anyhow::Result<Round> {
    let engine = cli::start_engine(settings)?;
    let voice = cli::voice_config(settings);
    let parts = Parts::local(([127, 0, 0, 1], 0).into(), engine, voice);
    let app = App::start(parts.await?).await?;
    let address = app.address();
    let (before_kib, began, cpu) = (resident_kib(), clock::now(), ProcessTime::now());
    let mut playing = JoinSet::new();
    for (n, call) in calls.iter().cycle().take(count).cloned().enumerate() {
        let wait = STAGGER.mul_f64(n as f64 / count as f64);
        let keys = app.keys().cloned();
        playing.spawn(async move {
            tokio::time::sleep(wait).await;
            let rehearsal =
                rehearse(address, keys.as_ref(), &call.1, &Options::fresh(), |_| {}).await;
            rehearsal.map(|rehearsal| (call, rehearsal))
        });
    }
    let middle = STAGGER + Duration::from_secs_f64(calls[0].1.seconds() / 2.0);
    tokio::time::sleep(middle).await;
    let grown_kib = resident_kib().saturating_sub(before_kib);
    let (mut tally, mut score, mut unheard) = (Tally::default(), Score::default(), 0);
    while let Some(played) = playing.join_next().await {
        let (call, rehearsal) = played.context("a call broke off")??;
        tally.add(&call.0.truth, &rehearsal.heard());
        score += rehearsal.score(&call.0);
        unheard += without_words(&rehearsal);
    }
    let processors = cpu.elapsed().as_secs_f64() / (clock::now() - began).as_secs_f64();
    let (counts, work) = app.engine().tally();
    app.stop().await;
    let report = tally.report();
    Ok(Round {
        calls: count,
        wer: score.wer(),
        finals_lost: report.without_final + unheard + counts.finals_refused,
        hurried_share: work.hurried as f64 / (counts.finals as f64).max(1.0),
        thinned_share: counts.partials_dropped as f64 / (counts.partials as f64).max(1.0),
        processors,
        kib_per_track: grown_kib / (2 * count as u64),
        report,
    })
}

/// Finals that came without having been recognised.
fn without_words(rehearsal: &Rehearsal) -> u64 {
    let lost = rehearsal.events.iter().filter(
        |(_, event)| matches!(&event.event, Event::Segment { segment } if !segment.transcribed),
    );
    lost.count() as u64
}

/// What the process has in memory; 0 where the system does not say.
fn resident_kib() -> u64 {
    telemetry::resident_bytes().unwrap_or(0) / 1_024
}

impl Round {
    fn is_borne(&self, bound_ms: i64) -> bool {
        let finals = self.report.final_words;
        self.finals_lost == 0 && finals.is_some_and(|finals| finals.p95_ms <= bound_ms)
    }

    fn row(&self) -> String {
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
            100.0 * self.hurried_share,
            100.0 * self.thinned_share,
            self.processors,
            self.kib_per_track,
        )
    }
}

fn draw(rounds: &[Round], bound_ms: i64) -> plot::Plot {
    let line = |name: &str, of: &dyn Fn(&Report) -> Option<i64>| plot::Line {
        name: name.to_owned(),
        points: rounds
            .iter()
            .filter_map(|round| Some((round.calls as f64, of(&round.report)? as f64)))
            .collect(),
        labels: vec![],
    };
    let most = rounds.last().map_or(1, |round| round.calls) as f64;
    plot::Plot {
        title: "Two-party calls at once, in real time".to_owned(),
        across: "calls".to_owned(),
        up: "ms".to_owned(),
        names_at: SeriesLabelPosition::UpperLeft,
        lines: vec![
            line("end of speech to final, 95 %", &|r| {
                r.final_words.map(|s| s.p95_ms)
            }),
            line("the same, 50 %", &|r| r.final_words.map(|s| s.p50_ms)),
            line("start of speech to first words, 95 %", &|r| {
                r.first_words.map(|s| s.p95_ms)
            }),
            plot::Line {
                name: "bound".to_owned(),
                points: vec![(0.0, bound_ms as f64), (most, bound_ms as f64)],
                labels: vec![],
            },
        ],
    }
}
