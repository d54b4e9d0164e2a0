//! `callburner bench soak`: recorded calls in a rising and falling number, through the real server and
//! the real engine, with faults among them: calls that break off, sockets that send garbage, a database
//! that somebody holds, a disk that is full, a recogniser that panics, and a Twilio that cannot be
//! reached at all. Then: is every final there, heard and kept, did anything else panic, do memory
//! and latency stay flat?

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::Message;

use super::{print, write_json};
use crate::access::local::LocalKeys;
use crate::app::{App, Parts};
use crate::archive::Shelf;
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock;
use crate::config::{Doors, EngineSettings};
use crate::engine::Engine;
use crate::engine::recognizer::{Effort, Hypothesis, RecognizeError, Recognizer, Request};
use crate::ids::AccountSid;
use crate::measure::latency::{Heard, Spread, Tally};
use crate::measure::script::{Script, Utterance};
use crate::player::{Call, Options};
use crate::rehearsal::rehearse;
use crate::store::Store;
use crate::telemetry;
use crate::transcript::Event;
use crate::twilio::rest::{Credentials, Rest, RestConfig};

/// Time from one crest of calls to the next.
const WAVE: Duration = Duration::from_mins(4);

/// How often the number of calls is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time that the database may take to have a call's last words: a fault, and the pause after it.
const KEPT_WAIT_MAX: Duration = Duration::from_mins(1);

/// Time between two faults of the machine, and how long each lasts.
const FAULT_EVERY: Duration = Duration::from_secs(40);
const FAULT_TIME: Duration = Duration::from_secs(15);

/// Where nobody listens: the server's Twilio.
const NOWHERE: &str = "http://127.0.0.1:1";

/// `SIGXFSZ`, which comes with the error when a file may not grow; unheard, it ends the process.
const FILE_TOO_LARGE: i32 = 25;

/// Growth of the memory from the middle third to the last above which it is not flat.
const GROWTH_MAX: f64 = 0.1;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Panics that are wanted, and those that have been.
static STUMBLES_WANTED: AtomicUsize = AtomicUsize::new(0);
static STUMBLES: AtomicUsize = AtomicUsize::new(0);

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
    /// Times that somebody held the database, and that the disk was full.
    held: usize,
    full: usize,
    /// Drafts at which a recogniser panicked on purpose.
    stumbles: usize,
    /// Finals that were heard in whole calls.
    finals: usize,
    /// Utterances of whole calls for which no final came.
    finals_missing: usize,
    /// Finals that were heard and are not in the database.
    finals_not_kept: usize,
    /// Panics that nobody wanted.
    panics: usize,
    /// Archives that ended early, which a full disk explains.
    archives_failed: u64,
    /// Most memory of the middle third, and of the last.
    memory_mb: [f64; 2],
    /// Last words of the calls that ended in the middle third, and in the last.
    last_words: [Option<Spread>; 2],
}

/// What one turn came to.
enum Done<'a> {
    Whole {
        truth: &'a [Utterance],
        heard: Vec<Heard>,
        finals: usize,
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
    let _heard = signal(SignalKind::from_raw(FILE_TOO_LARGE))?;
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("soak.db").display());
    let shelf = Shelf::open(&folder.path().join("audio"))?;
    let app = App::start(parts(args, &database, &shelf).await?).await?;
    let calls = soak(&app, &calls, args);
    let mut faults = Figures::default();
    let figures = tokio::select! {
        figures = calls => figures,
        error = trouble(&database, &mut faults) => Err(error),
    };
    let archives_failed = shelf.health().failed;
    app.stop().await;
    let figures = Figures {
        held: faults.held,
        full: faults.full,
        archives_failed,
        ..figures?
    };
    print(&figures.table())?;
    write_json(args.json.as_deref(), &figures)?;
    figures.verdict()
}

/// A server that keeps everything in a folder, and whose Twilio cannot be reached.
async fn parts(args: &SoakArgs, database: &str, shelf: &Shelf) -> anyhow::Result<Parts> {
    let model = cli::load(&args.engine)?;
    let stumbling = |_| -> anyhow::Result<Box<dyn Recognizer>> {
        let inner = model.recognizer()?;
        Ok(Box::new(Stumbling { inner }))
    };
    let recognizers = (0..args.engine.workers()).map(stumbling);
    let engine = Engine::start(recognizers.collect::<anyhow::Result<_>>()?);
    let voice = cli::voice_config(&args.engine);
    let mut doors = Doors::local(([127, 0, 0, 1], 0).into());
    doors.local_keys = Some(LocalKeys::random());
    let account = AccountSid::parse("AC00000000000000000000000000000001")?;
    let credentials = Credentials::AuthToken("nobody".to_owned().into());
    let twilio = RestConfig {
        base_url: NOWHERE.to_owned(),
        ..RestConfig::new(account, credentials)
    };
    let mut parts = Parts::behind(doors, Store::open(database).await?, engine, voice);
    (parts.shelf, parts.archives) = (Some(shelf.clone()), true);
    parts.rest = Some(Rest::new(twilio)?);
    Ok(parts)
}

/// Panics at a draft when that is wanted: one draft, and no word, is lost.
struct Stumbling {
    inner: Box<dyn Recognizer>,
}

impl Recognizer for Stumbling {
    fn recognize(&mut self, request: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
        let wanted = request.effort == Effort::Draft
            && STUMBLES_WANTED
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok();
        if wanted {
            STUMBLES.fetch_add(1, Ordering::Relaxed);
            panic!("as the soak wants");
        }
        self.inner.recognize(request)
    }
}

/// No file of this process may grow until it is dropped: to whoever writes, the disk is full.
struct Full(Rlimit);

impl Full {
    fn begin() -> anyhow::Result<Self> {
        let before = getrlimit(Resource::Fsize);
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        setrlimit(Resource::Fsize, none)?;
        Ok(Self(before))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let restored = setrlimit(Resource::Fsize, self.0);
        restored.expect("the soft limit may be raised to the hard one");
    }
}

/// Faults of the machine, one after the other, until it is dropped; returns only an error.
async fn trouble(database: &str, figures: &mut Figures) -> anyhow::Error {
    let pause = async |time| clock::until(Some(clock::now() + time)).await;
    loop {
        pause(FAULT_EVERY).await;
        let held = match Store::hold(database).await {
            Ok(held) => held,
            Err(error) => return error.into(),
        };
        figures.held += 1;
        pause(FAULT_TIME).await;
        drop(held);

        pause(FAULT_EVERY).await;
        let full = match Full::begin() {
            Ok(full) => full,
            Err(error) => return error,
        };
        figures.full += 1;
        pause(FAULT_TIME).await;
        drop(full);

        STUMBLES_WANTED.fetch_add(2, Ordering::Relaxed);
    }
}

impl Figures {
    fn table(&self) -> String {
        let [middle, last] = self.memory_mb;
        let last_words =
            |third: usize| self.last_words[third].map_or("none".to_owned(), |s| s.to_string());
        let rows = [
            ("calls played whole", self.whole.to_string()),
            ("calls broken off", self.broken.to_string()),
            ("sockets that sent garbage", self.garbage.to_string()),
            (
                "database held",
                format!("{} times, {} s each", self.held, FAULT_TIME.as_secs()),
            ),
            (
                "disk full",
                format!("{} times, {} s each", self.full, FAULT_TIME.as_secs()),
            ),
            ("recogniser panicked on purpose", self.stumbles.to_string()),
            (
                "archives that a full disk ended",
                self.archives_failed.to_string(),
            ),
            ("finals", self.finals.to_string()),
            ("finals missing", self.finals_missing.to_string()),
            ("finals not kept", self.finals_not_kept.to_string()),
            ("panics", self.panics.to_string()),
            (
                "memory, middle and last third",
                format!("{middle:.0} MB, {last:.0} MB"),
            ),
            ("last words, middle third", last_words(0)),
            ("last words, last third", last_words(1)),
        ];
        let rows = rows.map(|(what, value)| format!("{what:<32} {value}"));
        rows.join("\n")
    }

    fn verdict(&self) -> anyhow::Result<()> {
        let [middle, last] = self.memory_mb;
        ensure!(self.finals > 0, "not one final was heard: nothing is shown");
        let gone = self.finals_missing + self.finals_not_kept;
        ensure!(gone == 0, "{gone} finals were lost");
        ensure!(self.panics == 0, "something panicked {} times", self.panics);
        let grown = last / middle - 1.0;
        ensure!(
            grown <= GROWTH_MAX,
            "the memory grew by {:.0} %, more than {:.0} %",
            grown * 100.0,
            GROWTH_MAX * 100.0
        );
        Ok(())
    }
}

async fn soak(app: &App, calls: &[(Script, Call)], args: &SoakArgs) -> anyhow::Result<Figures> {
    let (began, time) = (clock::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut figures = Figures::default();
    let mut tallies: [Tally; 3] = Default::default();
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
        let third = third(elapsed, time);
        note_memory(&mut figures, third);
        tokio::select! {
            Some(done) = turns.next() => count(&mut figures, &mut tallies[third], done?),
            () = clock::until(Some(clock::now() + LOOK_EVERY)) => {}
        }
    }
    let [first, middle, last] = tallies.map(|tally| tally.report());
    figures.finals_missing = [&first, &middle, &last]
        .map(|report| report.missing.len())
        .iter()
        .sum();
    figures.last_words = [middle.final_words, last.final_words];
    figures.stumbles = STUMBLES.load(Ordering::Relaxed);
    figures.panics = PANICS.load(Ordering::Relaxed) - figures.stumbles;
    Ok(figures)
}

/// How many calls there should be: from one to the crest, and back.
fn wanted(elapsed: Duration, crest: usize) -> usize {
    let place = (elapsed.as_secs_f64() / WAVE.as_secs_f64()).fract();
    let height = 1.0 - (2.0 * place - 1.0).abs();
    1 + (height * crest.saturating_sub(1) as f64).round() as usize
}

/// Which third of the time it is, from 0; calls that end after it belong to the last.
fn third(elapsed: Duration, time: Duration) -> usize {
    let part = elapsed.as_secs_f64() / time.as_secs_f64();
    ((part * 3.0) as usize).min(2)
}

fn note_memory(figures: &mut Figures, third: usize) {
    let bytes = telemetry::resident_bytes().unwrap_or_default();
    let Some(later) = third.checked_sub(1) else {
        return; // What is loaded and made once belongs to the first.
    };
    let most = &mut figures.memory_mb[later];
    *most = most.max(bytes as f64 / 1e6);
}

fn count(figures: &mut Figures, tally: &mut Tally, done: Done<'_>) {
    match done {
        Done::Whole {
            truth,
            heard,
            finals,
            not_kept,
        } => {
            tally.add(truth, &heard);
            figures.whole += 1;
            figures.finals += finals;
            figures.finals_not_kept += not_kept;
        }
        Done::Broken => figures.broken += 1,
        Done::Garbage => figures.garbage += 1,
    }
}

/// A call, or a fault.
async fn turn<'a>(
    app: &App,
    (script, call): &'a (Script, Call),
    number: usize,
) -> anyhow::Result<Done<'a>> {
    match number % 4 {
        2 => garbage(app).await,
        3 => {
            let options = Options::fresh();
            let half = Duration::from_secs_f64(call.seconds() / 2.0);
            let played = rehearse(app.address(), app.keys(), call, &options, |_| {});
            let _ = tokio::time::timeout(half, played).await; // Both sockets are dropped.
            Ok(Done::Broken)
        }
        _ => whole(app, script, call).await,
    }
}

async fn whole<'a>(app: &App, script: &'a Script, call: &Call) -> anyhow::Result<Done<'a>> {
    let options = Options::fresh();
    let rehearsal = rehearse(app.address(), app.keys(), call, &options, |_| {}).await?;
    let is_final = |event: &Event| matches!(event, Event::Segment { .. });
    let finals = rehearsal.events.iter();
    let finals = finals.filter(|(_, heard)| is_final(&heard.event)).count();
    Ok(Done::Whole {
        truth: &script.truth,
        heard: rehearsal.heard(),
        finals,
        not_kept: finals - kept(app.store(), &options, finals).await?,
    })
}

/// How many of the call's finals the database has, once it has had time.
pub(super) async fn kept(store: &Store, options: &Options, finals: usize) -> anyhow::Result<usize> {
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
async fn garbage(app: &App) -> anyhow::Result<Done<'static>> {
    let secret = app.keys().map_or("", |keys| keys.simulator.expose());
    let url = format!("ws://{}/media/{secret}", app.address());
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
    fn a_lost_final_a_panic_and_growth_are_failures() {
        let good = || Figures {
            finals: 100,
            memory_mb: [200.0, 210.0],
            ..Figures::default()
        };
        assert!(good().verdict().is_ok());
        for (bad, why) in [
            (
                Figures {
                    finals: 0,
                    ..good()
                },
                "not one",
            ),
            (
                Figures {
                    finals_missing: 1,
                    ..good()
                },
                "lost",
            ),
            (
                Figures {
                    finals_not_kept: 1,
                    ..good()
                },
                "lost",
            ),
            (
                Figures {
                    panics: 1,
                    ..good()
                },
                "panicked",
            ),
            (
                Figures {
                    memory_mb: [200.0, 230.0],
                    ..good()
                },
                "grew by 15 %",
            ),
        ] {
            let told = bad.verdict().unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_number_of_calls_rises_to_the_crest_and_falls_again() {
        assert_eq!(wanted(Duration::ZERO, 5), 1);
        assert_eq!(wanted(WAVE / 4, 5), 3);
        assert_eq!(wanted(WAVE / 2, 5), 5);
        assert_eq!(wanted(WAVE * 3 / 4, 5), 3);
        assert_eq!(wanted(WAVE, 5), 1);
    }
}
