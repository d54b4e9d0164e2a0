//! `callburner bench soak`: plays recorded calls in a rising and falling number through the real server and
//! the real engine, with injected faults: calls that break off, sockets that send garbage, a locked database,
//! a full disk, a recognizer that panics, and an unreachable Twilio. It checks that every final was received
//! and stored, that there was no other panic, and that memory and latency stayed flat.

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

use super::{print_line, write_json};
use crate::access::local::LocalKeys;
use crate::app::{App, ServerConfig};
use crate::archive::AudioArchive;
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock;
use crate::config::{EndpointConfig, EngineSettings};
use crate::engine::Engine;
use crate::engine::recognizer::{Effort, Hypothesis, RecognizeError, RecognizeRequest, Recognizer};
use crate::eval::latency::{LatencyStats, LatencyTally, ReceivedEvent};
use crate::eval::script::{CallScript, ScriptUtterance};
use crate::ids::AccountSid;
use crate::loopback::run_loopback;
use crate::store::Store;
use crate::telemetry;
use crate::transcript::Event;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig};
use crate::twilio_sim::{RecordedCall, StreamOptions};

/// Time from one peak of the number of calls to the next.
const WAVE_PERIOD: Duration = Duration::from_mins(4);

/// Interval at which the number of calls is adjusted.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Longest wait until the database has a call's last finals: a fault, and the pause after it.
const STORED_WAIT_MAX: Duration = Duration::from_mins(1);

/// Time between two injected faults, and duration of each.
const FAULT_INTERVAL: Duration = Duration::from_secs(40);
const FAULT_DURATION: Duration = Duration::from_secs(15);

/// URL without a listener, in place of Twilio's API.
const UNREACHABLE_URL: &str = "http://127.0.0.1:1";

/// `SIGXFSZ`, which accompanies the error when a file may not grow; without a handler, it ends the process.
const SIGXFSZ: i32 = 25;

/// Largest growth of the memory from the middle third to the last that counts as flat, as a fraction.
const MEMORY_GROWTH_MAX: f64 = 0.1;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Injected panics: those requested, and those that happened.
static PANICS_REQUESTED: AtomicUsize = AtomicUsize::new(0);
static PANICS_INJECTED: AtomicUsize = AtomicUsize::new(0);

/// Recorded calls in a rising and falling number, with injected faults.
#[derive(Debug, clap::Args)]
pub(super) struct SoakArgs {
    /// Call scripts.
    #[arg(required = true)]
    calls: Vec<PathBuf>,
    /// Minutes during which new calls start.
    #[arg(long, env = "SOAK_MINUTES", default_value_t = 30.0)]
    minutes: f64,
    /// Concurrent calls at the peak.
    #[arg(long, default_value_t = 4)]
    crest: usize,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// Results of the run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SoakFigures {
    /// Calls that were played to their end.
    whole: usize,
    /// Calls that were broken off on purpose.
    broken: usize,
    /// Sockets that sent garbage.
    garbage: usize,
    /// Times that the database was locked, and that the disk was full.
    held: usize,
    full: usize,
    /// Partials at which a recognizer panicked on purpose.
    #[serde(rename = "stumbles")]
    panics_injected: usize,
    /// Finals that were received in whole calls.
    finals: usize,
    /// Utterances of whole calls without a final.
    finals_missing: usize,
    /// Finals that were received, but are not in the database.
    finals_not_kept: usize,
    /// Panics that were not injected.
    panics: usize,
    /// Archives that ended early, because of a full disk.
    archives_failed: u64,
    /// Peak memory in the middle third and in the last, in megabytes.
    memory_mb: [f64; 2],
    /// Latency of the last words of calls that ended in the middle third, and in the last.
    last_words: [Option<LatencyStats>; 2],
}

/// Outcome of one turn.
enum TurnOutcome<'a> {
    Whole {
        truth: &'a [ScriptUtterance],
        events: Vec<ReceivedEvent>,
        finals: usize,
        not_stored: usize,
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
    let calls: Vec<(CallScript, RecordedCall)> = calls.collect::<anyhow::Result<_>>()?;
    let _sigxfsz_handler = signal(SignalKind::from_raw(SIGXFSZ))?;
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("soak.db").display());
    let audio_archive = AudioArchive::open(&folder.path().join("audio"))?;
    let app = App::start(server_config(args, &database, &audio_archive).await?).await?;
    let calls = run_soak(&app, &calls, args);
    let mut faults = SoakFigures::default();
    let figures = tokio::select! {
        figures = calls => figures,
        error = inject_faults(&database, &mut faults) => Err(error),
    };
    let archives_failed = audio_archive.health().failed;
    app.stop().await;
    let figures = SoakFigures {
        held: faults.held,
        full: faults.full,
        archives_failed,
        ..figures?
    };
    print_line(&figures.format_table())?;
    write_json(args.json.as_deref(), &figures)?;
    figures.check_goals()
}

/// Configures a server that stores everything in a folder, and that cannot reach Twilio.
async fn server_config(
    args: &SoakArgs,
    database: &str,
    audio_archive: &AudioArchive,
) -> anyhow::Result<ServerConfig> {
    let model = cli::load_model(&args.engine)?;
    let panicking_recognizer = |_| -> anyhow::Result<Box<dyn Recognizer>> {
        let inner = model.recognizer()?;
        Ok(Box::new(PanickingRecognizer { inner }))
    };
    let recognizers = (0..args.engine.workers()).map(panicking_recognizer);
    let engine = Engine::start(recognizers.collect::<anyhow::Result<_>>()?);
    let voice = cli::track_config(&args.engine);
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.local_keys = Some(LocalKeys::random());
    let account = AccountSid::parse("AC00000000000000000000000000000001")?;
    let credentials = ApiCredentials::AuthToken("nobody".to_owned().into());
    let twilio = TwilioClientConfig {
        base_url: UNREACHABLE_URL.to_owned(),
        ..TwilioClientConfig::new(account, credentials)
    };
    let mut server_config =
        ServerConfig::behind(endpoint, Store::open(database).await?, engine, voice);
    (
        server_config.audio_archive,
        server_config.is_archiving_enabled,
    ) = (Some(audio_archive.clone()), true);
    server_config.twilio = Some(TwilioClient::new(twilio)?);
    Ok(server_config)
}

/// Panics at a partial on request: one partial is lost, and no final.
struct PanickingRecognizer {
    inner: Box<dyn Recognizer>,
}

impl Recognizer for PanickingRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let wanted = request.effort == Effort::Partial
            && PANICS_REQUESTED
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok();
        if wanted {
            PANICS_INJECTED.fetch_add(1, Ordering::Relaxed);
            panic!("requested by the soak test");
        }
        self.inner.recognize(request)
    }
}

/// Simulates a full disk: until this is dropped, no file of this process can grow.
struct FullDisk(Rlimit);

impl FullDisk {
    fn start() -> anyhow::Result<Self> {
        let before = getrlimit(Resource::Fsize);
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        setrlimit(Resource::Fsize, none)?;
        Ok(Self(before))
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let restored = setrlimit(Resource::Fsize, self.0);
        restored.expect("the soft limit may be raised to the hard one");
    }
}

/// Injects faults one after the other until it is dropped; returns only an error.
async fn inject_faults(database: &str, figures: &mut SoakFigures) -> anyhow::Error {
    let pause = async |time| clock::sleep_until(Some(clock::now() + time)).await;
    loop {
        pause(FAULT_INTERVAL).await;
        let held = match Store::hold_write_lock(database).await {
            Ok(held) => held,
            Err(error) => return error.into(),
        };
        figures.held += 1;
        pause(FAULT_DURATION).await;
        drop(held);

        pause(FAULT_INTERVAL).await;
        let full = match FullDisk::start() {
            Ok(full) => full,
            Err(error) => return error,
        };
        figures.full += 1;
        pause(FAULT_DURATION).await;
        drop(full);

        PANICS_REQUESTED.fetch_add(2, Ordering::Relaxed);
    }
}

impl SoakFigures {
    fn format_table(&self) -> String {
        let [middle, last] = self.memory_mb;
        let last_words =
            |third: usize| self.last_words[third].map_or("none".to_owned(), |s| s.to_string());
        let rows = [
            ("calls played whole", self.whole.to_string()),
            ("calls broken off", self.broken.to_string()),
            ("sockets that sent garbage", self.garbage.to_string()),
            (
                "database locked",
                format!("{} times, {} s each", self.held, FAULT_DURATION.as_secs()),
            ),
            (
                "disk full",
                format!("{} times, {} s each", self.full, FAULT_DURATION.as_secs()),
            ),
            (
                "recognizer panicked on purpose",
                self.panics_injected.to_string(),
            ),
            (
                "archives ended by a full disk",
                self.archives_failed.to_string(),
            ),
            ("finals", self.finals.to_string()),
            ("finals missing", self.finals_missing.to_string()),
            ("finals not stored", self.finals_not_kept.to_string()),
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

    fn check_goals(&self) -> anyhow::Result<()> {
        let [middle, last] = self.memory_mb;
        ensure!(
            self.finals > 0,
            "not one final was received: the run shows nothing"
        );
        let gone = self.finals_missing + self.finals_not_kept;
        ensure!(gone == 0, "{gone} finals were lost");
        ensure!(
            self.panics == 0,
            "the server panicked {} times",
            self.panics
        );
        let grown = last / middle - 1.0;
        ensure!(
            grown <= MEMORY_GROWTH_MAX,
            "the memory grew by {:.0} %, more than {:.0} %",
            grown * 100.0,
            MEMORY_GROWTH_MAX * 100.0
        );
        Ok(())
    }
}

async fn run_soak(
    app: &App,
    calls: &[(CallScript, RecordedCall)],
    args: &SoakArgs,
) -> anyhow::Result<SoakFigures> {
    let (began, time) = (clock::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut figures = SoakFigures::default();
    let mut tallies: [LatencyTally; 3] = Default::default();
    let mut running_turns = FuturesUnordered::new();
    let mut number = 0;
    loop {
        let elapsed = clock::now() - began;
        while elapsed < time && running_turns.len() < target_calls(elapsed, args.crest) {
            running_turns.push(run_turn(app, &calls[number % calls.len()], number));
            number += 1;
        }
        if elapsed >= time && running_turns.is_empty() {
            break;
        }
        let third = third_of_run(elapsed, time);
        record_memory(&mut figures, third);
        tokio::select! {
            Some(done) = running_turns.next() => record_outcome(&mut figures, &mut tallies[third], done?),
            () = clock::sleep_until(Some(clock::now() + POLL_INTERVAL)) => {}
        }
    }
    let [first, middle, last] = tallies.map(|tally| tally.report());
    figures.finals_missing = [&first, &middle, &last]
        .map(|report| report.missing.len())
        .iter()
        .sum();
    figures.last_words = [middle.final_words, last.final_words];
    figures.panics_injected = PANICS_INJECTED.load(Ordering::Relaxed);
    figures.panics = PANICS.load(Ordering::Relaxed) - figures.panics_injected;
    Ok(figures)
}

/// Returns how many calls there should be: from one to the peak, and back.
fn target_calls(elapsed: Duration, crest: usize) -> usize {
    let phase = (elapsed.as_secs_f64() / WAVE_PERIOD.as_secs_f64()).fract();
    let height = 1.0 - (2.0 * phase - 1.0).abs();
    1 + (height * crest.saturating_sub(1) as f64).round() as usize
}

/// Returns the third of the run, from 0; calls that end after the run belong to the last third.
fn third_of_run(elapsed: Duration, time: Duration) -> usize {
    let part = elapsed.as_secs_f64() / time.as_secs_f64();
    ((part * 3.0) as usize).min(2)
}

fn record_memory(figures: &mut SoakFigures, third: usize) {
    let bytes = telemetry::resident_bytes().unwrap_or_default();
    let Some(later) = third.checked_sub(1) else {
        return; // The first third includes one-time allocations.
    };
    let most = &mut figures.memory_mb[later];
    *most = most.max(bytes as f64 / 1e6);
}

fn record_outcome(figures: &mut SoakFigures, tally: &mut LatencyTally, done: TurnOutcome<'_>) {
    match done {
        TurnOutcome::Whole {
            truth,
            events,
            finals,
            not_stored,
        } => {
            tally.add_call(truth, &events);
            figures.whole += 1;
            figures.finals += finals;
            figures.finals_not_kept += not_stored;
        }
        TurnOutcome::Broken => figures.broken += 1,
        TurnOutcome::Garbage => figures.garbage += 1,
    }
}

/// Plays a whole call, or injects a fault.
async fn run_turn<'a>(
    app: &App,
    (script, call): &'a (CallScript, RecordedCall),
    number: usize,
) -> anyhow::Result<TurnOutcome<'a>> {
    match number % 4 {
        2 => send_garbage(app).await,
        3 => {
            let options = StreamOptions::fresh();
            let half = Duration::from_secs_f64(call.seconds() / 2.0);
            let played = run_loopback(app.address(), app.keys(), call, &options, |_| {});
            let _ = tokio::time::timeout(half, played).await; // Both sockets are dropped.
            Ok(TurnOutcome::Broken)
        }
        _ => play_whole_call(app, script, call).await,
    }
}

async fn play_whole_call<'a>(
    app: &App,
    script: &'a CallScript,
    call: &RecordedCall,
) -> anyhow::Result<TurnOutcome<'a>> {
    let options = StreamOptions::fresh();
    let loopback = run_loopback(app.address(), app.keys(), call, &options, |_| {}).await?;
    let is_final = |event: &Event| matches!(event, Event::Segment { .. });
    let finals = loopback.events.iter();
    let finals = finals.filter(|(_, event)| is_final(&event.event)).count();
    Ok(TurnOutcome::Whole {
        truth: &script.truth,
        events: loopback.received_events(),
        finals,
        not_stored: finals - stored_finals(app.store(), &options, finals).await?,
    })
}

/// Waits until the database has all finals of the call, for at most [`STORED_WAIT_MAX`]. Returns how many it
/// has.
pub(super) async fn stored_finals(
    store: &Store,
    options: &StreamOptions,
    finals: usize,
) -> anyhow::Result<usize> {
    let latest: Instant = clock::now() + STORED_WAIT_MAX;
    loop {
        let stored_finals = store.segments(&options.call_sid).await?.len();
        if stored_finals >= finals || clock::now() > latest {
            return Ok(stored_finals.min(finals));
        }
        clock::sleep_until(Some(clock::now() + POLL_INTERVAL)).await;
    }
}

/// Opens a media socket and sends invalid messages until the server closes it.
async fn send_garbage(app: &App) -> anyhow::Result<TurnOutcome<'static>> {
    let secret = app.keys().map_or("", |keys| keys.simulator.expose());
    let url = format!("ws://{}/media/{secret}", app.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let messages = [
        "{",
        "{\"event\":\"media\"}",
        "\u{0}",
        "{\"event\":\"start\"}",
    ];
    for message in messages.iter().cycle().take(1_000) {
        if socket.send(Message::text(*message)).await.is_err() {
            break;
        }
    }
    Ok(TurnOutcome::Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_final_a_panic_and_growth_are_failures() {
        let good = || SoakFigures {
            finals: 100,
            memory_mb: [200.0, 210.0],
            ..SoakFigures::default()
        };
        assert!(good().check_goals().is_ok());
        for (bad, why) in [
            (
                SoakFigures {
                    finals: 0,
                    ..good()
                },
                "not one",
            ),
            (
                SoakFigures {
                    finals_missing: 1,
                    ..good()
                },
                "lost",
            ),
            (
                SoakFigures {
                    finals_not_kept: 1,
                    ..good()
                },
                "lost",
            ),
            (
                SoakFigures {
                    panics: 1,
                    ..good()
                },
                "panicked",
            ),
            (
                SoakFigures {
                    memory_mb: [200.0, 230.0],
                    ..good()
                },
                "grew by 15 %",
            ),
        ] {
            let message = bad.check_goals().unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn the_number_of_calls_rises_to_the_crest_and_falls_again() {
        assert_eq!(target_calls(Duration::ZERO, 5), 1);
        assert_eq!(target_calls(WAVE_PERIOD / 4, 5), 3);
        assert_eq!(target_calls(WAVE_PERIOD / 2, 5), 5);
        assert_eq!(target_calls(WAVE_PERIOD * 3 / 4, 5), 3);
        assert_eq!(target_calls(WAVE_PERIOD, 5), 1);
    }
}
