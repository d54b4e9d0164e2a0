//! `callburner bench soak`: recorded calls in a rising and falling number, through the real server and
//! the real engine, with faults among them: calls that break off, and sockets that send garbage. Then:
//! is every final there, heard and kept, did anything panic, does the memory stay flat?

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

use super::{print, write_json};
use crate::app::{App, Parts};
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock;
use crate::config::EngineSettings;
use crate::measure::latency::Tally;
use crate::measure::script::Script;
use crate::player::{Call, Options};
use crate::rehearsal::rehearse;
use crate::store::Store;
use crate::telemetry;
use crate::transcript::Event;

/// Time from one crest of calls to the next.
const WAVE: Duration = Duration::from_mins(4);

/// How often the number of calls is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time that the database may take to have a call's last words.
const KEPT_WAIT_MAX: Duration = Duration::from_secs(20);

/// Growth of the memory from the middle third to the last above which it is not flat.
const GROWTH_MAX: f64 = 0.1;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Recorded calls in a rising and falling number, with faults among them.
#[derive(Debug, clap::Args)]
pub(super) struct SoakArgs {
    /// Call scripts.
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// How long new calls begin.
    #[arg(long, env = "SOAK_MINUTES", default_value_t = 30.0)]
    minutes: f64,
    /// Calls at once, at the crest.
    #[arg(long, default_value_t = 4)]
    crest: usize,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    /// Calls that were played to their end.
    whole: usize,
    /// Calls that were broken off on purpose.
    broken: usize,
    /// Sockets that sent garbage.
    garbage: usize,
    /// Finals that were heard in whole calls.
    finals: usize,
    /// Utterances of whole calls for which no final came.
    finals_missing: usize,
    /// Finals that were heard and are not in the database.
    finals_not_kept: usize,
    panics: usize,
    /// Most memory of the middle third, and of the last.
    memory_mb: [f64; 2],
}

/// What one turn came to.
enum Done {
    Whole {
        finals: usize,
        missing: usize,
        not_kept: usize,
    },
    Broken,
    Garbage,
}

pub(super) async fn run(args: &SoakArgs) -> anyhow::Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(panic);
    }));
    let calls = args.calls.iter().map(|path| read_call(path, None));
    let calls: Vec<(Script, Call)> = calls.collect::<anyhow::Result<_>>()?;
    let engine = cli::start_engine(&args.engine)?;
    let voice = cli::voice_config(&args.engine);
    let parts = Parts::local(([127, 0, 0, 1], 0).into(), engine, voice);
    let app = App::start(parts.await?).await?;
    let figures = soak(&app, &calls, args).await;
    app.stop().await;
    let figures = figures?;
    print(&serde_json::to_string_pretty(&figures)?)?;
    write_json(args.json.as_deref(), &figures)?;
    let [middle, last] = figures.memory_mb;
    let is_flat = last <= middle * (1.0 + GROWTH_MAX);
    if figures.finals_missing + figures.finals_not_kept + figures.panics > 0 || !is_flat {
        bail!("finals were lost, something panicked, or the memory grew");
    }
    Ok(())
}

async fn soak(app: &App, calls: &[(Script, Call)], args: &SoakArgs) -> anyhow::Result<Figures> {
    let (began, time) = (clock::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut figures = Figures::default();
    let mut turns = FuturesUnordered::new();
    let mut number = 0;
    loop {
        let elapsed = clock::now() - began;
        while elapsed < time && turns.len() < wanted(elapsed, args.crest) {
            turns.push(turn(app, &calls[number % calls.len()], number));
            number += 1;
        }
        if elapsed >= time && turns.is_empty() {
            break;
        }
        note_memory(&mut figures, elapsed.as_secs_f64() / time.as_secs_f64());
        tokio::select! {
            Some(done) = turns.next() => count(&mut figures, &done?),
            () = clock::until(Some(clock::now() + LOOK_EVERY)) => {}
        }
    }
    figures.panics = PANICS.load(Ordering::Relaxed);
    Ok(figures)
}

/// How many calls there should be: from one to the crest, and back.
fn wanted(elapsed: Duration, crest: usize) -> usize {
    let place = (elapsed.as_secs_f64() / WAVE.as_secs_f64()).fract();
    let height = 1.0 - (2.0 * place - 1.0).abs();
    1 + (height * crest.saturating_sub(1) as f64).round() as usize
}

fn note_memory(figures: &mut Figures, part: f64) {
    let bytes = telemetry::resident_bytes().unwrap_or_default();
    let third = (part * 3.0) as usize; // What is loaded and made once belongs to the first.
    let Some(third) = third.min(2).checked_sub(1) else {
        return;
    };
    let most = &mut figures.memory_mb[third];
    *most = most.max(bytes as f64 / 1e6);
}

fn count(figures: &mut Figures, done: &Done) {
    match done {
        Done::Whole {
            finals,
            missing,
            not_kept,
        } => {
            figures.whole += 1;
            figures.finals += finals;
            figures.finals_missing += missing;
            figures.finals_not_kept += not_kept;
        }
        Done::Broken => figures.broken += 1,
        Done::Garbage => figures.garbage += 1,
    }
}

/// A call, or a fault.
async fn turn(app: &App, (script, call): &(Script, Call), number: usize) -> anyhow::Result<Done> {
    match number % 4 {
        2 => garbage(app).await,
        3 => {
            let options = Options::fresh();
            let half = Duration::from_secs_f64(call.seconds() / 2.0);
            let played = rehearse(app.address(), call, &options, |_| {});
            let _ = tokio::time::timeout(half, played).await; // Both sockets are dropped.
            Ok(Done::Broken)
        }
        _ => whole(app, script, call).await,
    }
}

async fn whole(app: &App, script: &Script, call: &Call) -> anyhow::Result<Done> {
    let options = Options::fresh();
    let rehearsal = rehearse(app.address(), call, &options, |_| {}).await?;
    let is_final = |event: &Event| matches!(event, Event::Segment { .. });
    let finals = rehearsal.events.iter();
    let finals = finals.filter(|(_, heard)| is_final(&heard.event)).count();
    let mut tally = Tally::default();
    tally.add(&script.truth, &rehearsal.heard());
    Ok(Done::Whole {
        finals,
        missing: tally.report().missing.len(),
        not_kept: finals - kept(app.store(), &options, finals).await?,
    })
}

/// How many of the call's finals the database has, once it has had time.
async fn kept(store: &Store, options: &Options, finals: usize) -> anyhow::Result<usize> {
    let latest: Instant = clock::now() + KEPT_WAIT_MAX;
    loop {
        let kept = store.segments(&options.call_sid).await?.len();
        if kept >= finals || clock::now() > latest {
            return Ok(kept.min(finals));
        }
        clock::until(Some(clock::now() + LOOK_EVERY)).await;
    }
}

/// A media socket that sends what is no Media Stream, until the server has had enough.
async fn garbage(app: &App) -> anyhow::Result<Done> {
    let url = format!("ws://{}/media", app.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let lies = [
        "{",
        "{\"event\":\"media\"}",
        "\u{0}",
        "{\"event\":\"start\"}",
    ];
    for lie in lies.iter().cycle().take(1_000) {
        if socket.send(Message::text(*lie)).await.is_err() {
            break;
        }
    }
    Ok(Done::Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_calls_rises_to_the_crest_and_falls_again() {
        assert_eq!(wanted(Duration::ZERO, 5), 1);
        assert_eq!(wanted(WAVE / 4, 5), 3);
        assert_eq!(wanted(WAVE / 2, 5), 5);
        assert_eq!(wanted(WAVE * 3 / 4, 5), 3);
        assert_eq!(wanted(WAVE, 5), 1);
    }
}
