//! `callburner bench webhooks`: sends Twilio's status callbacks at a fixed rate to the real server with a
//! real database, and checks the records afterwards. Optionally, calls are played and transcribed at the same
//! time, and [attackers](super::attack) occupy connections.
//!
//! Each callback is due at a fixed time, independent of the callbacks before it, and its latency counts from
//! that time: a callback that waits for a connection, because the server is slow, is late too.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::http::header;
use futures_util::future::join_all;
use serde::Serialize;

use super::attack::{AttackArgs, AttackFigures, RunningAttack};
use super::soak::stored_finals;
use super::{print_line, write_json};
use crate::access::local::LocalKeys;
use crate::app::{App, ServerConfig};
use crate::cli;
use crate::cli::demo::read_call;
use crate::clock::{self, UtcTime};
use crate::config::{EndpointConfig, EngineSettings};
use crate::engine::Engine;
use crate::eval::latency::{LatencyStats, LatencyTally};
use crate::eval::script::CallScript;
use crate::eval::wer::WerScore;
use crate::ids::{CallSid, Track};
use crate::loopback::run_loopback;
use crate::store::{CallRecord, Store};
use crate::transcript::{CallStatus, Direction, Event};
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::{self, Keyring, SigningKey};
use crate::twilio::webhook::IDEMPOTENCY_HEADER;
use crate::twilio_sim::{RecordedCall, RequestSigner, StreamOptions};

/// Path of status callbacks of calls.
const STATUS_PATH: &str = "/api/calls/status";

/// Auth token that signs the callbacks; the server has no other secret.
const AUTH_TOKEN: &str = "00000000000000000000000000000000";

/// Public address over which the signatures are computed.
const PUBLIC_URL: &str = "https://bench.example";

const ACCOUNT_SID: &str = "AC00000000000000000000000000000000";
const BROWSER_ADDRESS: &str = "client:bench";
const NUMBER: &str = "+14155550123";

/// Statuses of each leg, in order.
const CALL_STATUSES: [&str; 4] = ["initiated", "ringing", "in-progress", "completed"];

/// Times of the statuses of a parent leg, which this server answers, in seconds from the call's start.
const PARENT_STATUS_SECONDS: [u64; 4] = [0, 0, 1, 50];

/// Times of the statuses of a child leg, which a person answers, in seconds from the call's start.
const CHILD_STATUS_SECONDS: [u64; 4] = [1, 2, 7, 49];

/// Callbacks of one call: those of a parent and a child leg.
const CALLBACKS_PER_CALL: u32 = 2 * CALL_STATUSES.len() as u32;

/// One callback in this many is sent again.
const REPEAT_ONE_IN: u32 = 20;

/// Number of calls among which callbacks are shuffled.
const SHUFFLE_WINDOW_CALLS: u64 = 64;

#[derive(Debug, clap::Args)]
pub(super) struct WebhooksArgs {
    /// Callbacks per second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Duration in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Connections that carry the callbacks.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Folder for the database, which is removed afterwards; by default the system's temporary folder.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Call script to play during the run; may be given several times. Each call is also played before the
    /// run, without load, for comparison.
    #[arg(long = "call")]
    calls: Vec<PathBuf>,
    #[command(flatten)]
    attack: AttackArgs,
    #[command(flatten)]
    engine: EngineSettings,
}

/// Results of the run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookFigures {
    rate: u32,
    connections: u32,
    /// Calls to which the callbacks belong.
    calls: u32,
    /// Callbacks that were sent.
    callbacks: usize,
    /// Callbacks among them that repeat an earlier one.
    repeated: usize,
    /// Callbacks with a successful response.
    answered: usize,
    /// Number of the other callbacks, by response status or error.
    errors: BTreeMap<String, usize>,
    /// From the time when a callback was due to its response, in milliseconds rounded up.
    latency: Option<LatencyStats>,
    /// From the first callback to the last response.
    took_seconds: f64,
    /// Calls with a record that does not match the callbacks.
    wrong_records: usize,
    database_bytes: u64,
    /// Attackers during the run.
    attack: AttackFigures,
    /// Calls that were played before the run, without load.
    calls_alone: CallFigures,
    /// Calls that were played during the run.
    calls_beside: CallFigures,
}

/// Results of the played calls.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallFigures {
    played: usize,
    /// Utterances of the scripts.
    utterances: usize,
    /// Utterances without a final.
    finals_missing: usize,
    /// Segments with partials, but without a final.
    finals_lost: u64,
    /// Finals that arrived, but are not in the database.
    finals_not_kept: usize,
    /// Words of the scripts.
    words: u64,
    /// Words of the scripts that are missing from the finals.
    words_missing: u64,
    /// From the end of speech to its final.
    last_words: Option<LatencyStats>,
}

pub(super) async fn run(args: &WebhooksArgs) -> anyhow::Result<()> {
    let figures = run_bench(args).await?;
    print_line(&format_table(&figures))?;
    write_json(args.json.as_deref(), &figures)?;
    anyhow::ensure!(
        figures.errors.is_empty() && figures.wrong_records == 0,
        "the server did not answer and store every callback correctly"
    );
    let (alone, beside) = (&figures.calls_alone, &figures.calls_beside);
    anyhow::ensure!(
        beside.finals_missing <= alone.finals_missing
            && beside.finals_lost == 0
            && beside.finals_not_kept == 0,
        "finals were lost"
    );
    Ok(())
}

async fn run_bench(args: &WebhooksArgs) -> anyhow::Result<WebhookFigures> {
    let scripts = args.calls.iter().map(|path| read_call(path, None));
    let scripts: Vec<(CallScript, RecordedCall)> = scripts.collect::<anyhow::Result<_>>()?;
    let scratch_folder = ScratchFolder::new(args.folder.as_deref());
    let app = start_server(&scratch_folder, args).await?;
    let calls_alone = play_calls(&app, &scripts).await?;
    let attack = args
        .attack
        .is_enabled()
        .then(|| args.attack.start(app.address()));
    let total = args.rate * args.seconds;
    let (plan, calls) = plan_callbacks(total);
    let client = CallbackClient::new(app.address(), args.connections)?;
    let run = CallbackRun {
        client: &client,
        plan: &plan,
        next: AtomicUsize::new(0),
        start: clock::now() + Duration::from_millis(100),
        rate: args.rate,
    };
    let connections = join_all((0..args.connections).map(|_| run.run_connection()));
    let (connections, calls_beside) = tokio::join!(connections, play_calls(&app, &scripts));
    let calls_beside = calls_beside?;
    let attack = attack.map(RunningAttack::stop).unwrap_or_default();
    let took = clock::now().saturating_duration_since(run.start);
    let mut latencies_ms = Vec::new();
    let mut errors = BTreeMap::new();
    for (latency, outcome) in connections.into_iter().flatten() {
        match outcome {
            Ok(()) => latencies_ms.push(latency.as_micros().div_ceil(1_000) as i64),
            Err(what) => *errors.entry(what).or_default() += 1,
        }
    }
    let mut wrong_records = 0;
    for call in 0..calls {
        wrong_records += usize::from(!record_matches(app.store(), &client, call).await?);
    }
    let database_bytes = app.store().size_bytes().await?;
    app.stop().await;
    Ok(WebhookFigures {
        rate: args.rate,
        connections: args.connections,
        calls,
        callbacks: plan.len(),
        repeated: plan.len() - (calls * CALLBACKS_PER_CALL) as usize,
        answered: latencies_ms.len(),
        errors,
        latency: LatencyStats::from_values(latencies_ms),
        took_seconds: took.as_secs_f64(),
        wrong_records,
        database_bytes,
        attack,
        calls_alone,
        calls_beside,
    })
}

fn format_table(figures: &WebhookFigures) -> String {
    let late = figures.latency.map_or_else(
        || "none".to_owned(),
        |s| format!("{s}, max {} ms", s.max_ms),
    );
    let errors = figures.errors.iter();
    let errors: Vec<String> = errors.map(|(what, n)| format!("{n} × {what}")).collect();
    format!(
        "callbacks  {} in {:.1} s on {} connections, of {} calls, {} of them repeated\n\
         answered   {}\nerrors     {}\nlatency    {late}\nrecords    {} wrong\ndatabase   {:.1} MB\n\
         attack     {}\ncalls      before: {}\n           during: {}",
        figures.callbacks,
        figures.took_seconds,
        figures.connections,
        figures.calls,
        figures.repeated,
        figures.answered,
        if errors.is_empty() {
            "none".to_owned()
        } else {
            errors.join(", ")
        },
        figures.wrong_records,
        figures.database_bytes as f64 / 1e6,
        figures.attack.format_row(),
        figures.calls_alone.format_row(),
        figures.calls_beside.format_row(),
    )
}

impl CallFigures {
    fn format_row(&self) -> String {
        let last_words = self.last_words.map_or("none".to_owned(), |s| s.to_string());
        format!(
            "{} played; {} utterances, {} without a final; {} finals lost, {} not stored; {} \
             words, {} missing; last words {last_words}",
            self.played,
            self.utterances,
            self.finals_missing,
            self.finals_lost,
            self.finals_not_kept,
            self.words,
            self.words_missing,
        )
    }
}

/// Plays all calls at once, and listens to each.
async fn play_calls(
    app: &App,
    scripts: &[(CallScript, RecordedCall)],
) -> anyhow::Result<CallFigures> {
    let mut figures = CallFigures::default();
    let (mut tally, mut score) = (LatencyTally::default(), WerScore::default());
    let plays = scripts.iter().map(async |(script, call)| {
        let options = StreamOptions {
            signer: Some(RequestSigner {
                key: SigningKey::auth_token(AUTH_TOKEN),
                public_url: Some(PublicUrl::parse(PUBLIC_URL)?.wss_url("/media")),
            }),
            ..StreamOptions::fresh()
        };
        let loopback = run_loopback(app.address(), app.keys(), call, &options, |_| {}).await?;
        anyhow::Ok((script, options, loopback))
    });
    for played in join_all(plays).await {
        let (script, options, loopback) = played?;
        tally.add_call(&script.truth, &loopback.received_events());
        for track in Track::ALL {
            score.add_file(
                &script.track_text(track),
                &loopback.final_words(track),
                script.seconds,
            );
        }
        let is_final = |event: &Event| matches!(event, Event::Segment { .. });
        let finals = loopback.events.iter().filter(|(_, e)| is_final(&e.event));
        let finals = finals.count();
        figures.finals_not_kept += finals - stored_finals(app.store(), &options, finals).await?;
        figures.played += 1;
    }
    let report = tally.report();
    Ok(CallFigures {
        utterances: report.utterances,
        finals_missing: report.missing.len(),
        finals_lost: report.without_final,
        words: score.errors.reference_words(),
        words_missing: score.errors.deletions,
        last_words: report.final_words,
        ..figures
    })
}

/// A folder that is removed on drop.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn new(parent: Option<&Path>) -> Self {
        let mut name = [0; 8];
        getrandom::fill(&mut name).expect("the system has random numbers");
        let name = format!("callburner-bench-{:016x}", u64::from_be_bytes(name));
        Self(
            parent
                .map_or_else(std::env::temp_dir, Path::to_owned)
                .join(name),
        )
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left behind.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts the server as an operator runs it, reachable only from this machine.
async fn start_server(scratch_folder: &ScratchFolder, args: &WebhooksArgs) -> anyhow::Result<App> {
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.public_url = PublicUrl::parse(PUBLIC_URL)?;
    endpoint.keyring = Some(Keyring::new(AUTH_TOKEN)?);
    endpoint.local_keys = Some(LocalKeys::random());
    let file = scratch_folder.0.join("calls.db");
    let store = Store::open(&format!("sqlite://{}", file.display())).await?;
    let engine = if args.calls.is_empty() {
        Engine::start(Vec::new())
    } else {
        cli::start_engine(&args.engine)?
    };
    let voice = cli::track_config(&args.engine);
    App::start(ServerConfig::behind(endpoint, store, engine, voice)).await
}

/// One callback: a call, one of its legs, and the index of the leg's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PlannedCallback {
    call: u32,
    is_child: bool,
    step: usize,
}

/// Plans `total` callbacks of as many whole calls as fit, shuffled, some of them twice. Also returns the
/// number of calls. The result is the same every time.
fn plan_callbacks(total: u32) -> (Vec<PlannedCallback>, u32) {
    let firsts = total - total / (REPEAT_ONE_IN + 1);
    let calls = (firsts / CALLBACKS_PER_CALL).max(1);
    let of_leg = |call, is_child| {
        (0..CALL_STATUSES.len()).map(move |step| PlannedCallback {
            call,
            is_child,
            step,
        })
    };
    let mut plan: Vec<PlannedCallback> = (0..calls)
        .flat_map(|call| of_leg(call, false).chain(of_leg(call, true)))
        .collect();
    let firsts = plan.len();
    for n in firsts..total as usize {
        let again = plan[(stable_hash(&n) % firsts as u64) as usize];
        plan.push(again);
    }
    let mut numbered: Vec<(usize, PlannedCallback)> = plan.into_iter().enumerate().collect();
    numbered.sort_by_cached_key(|(n, callback)| {
        let hash = stable_hash(&(n, callback));
        (u64::from(callback.call) + hash % SHUFFLE_WINDOW_CALLS, hash)
    });
    let plan = numbered.into_iter().map(|(_, callback)| callback);
    (plan.collect(), calls)
}

/// Returns a hash that is the same in every run.
fn stable_hash(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// Sends callbacks as Twilio does.
struct CallbackClient {
    client: reqwest::Client,
    address: String,
    signed_url: String,
    key: SigningKey,
    /// Start of the first call.
    started_at: UtcTime,
}

impl CallbackClient {
    fn new(address: SocketAddr, connections: u32) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(connections as usize)
            .timeout(Duration::from_secs(30));
        // Twilio's dates have whole seconds.
        let begin_ms = clock::utc_now().millis() / 1_000 * 1_000;
        Ok(Self {
            client: client.build().context("no HTTP client")?,
            address: format!("http://{address}{STATUS_PATH}"),
            signed_url: PublicUrl::parse(PUBLIC_URL)?.https_url(STATUS_PATH),
            key: SigningKey::auth_token(AUTH_TOKEN),
            started_at: UtcTime::from_millis(begin_ms),
        })
    }

    /// Returns the time `seconds` after the call's start; one call starts each second.
    fn status_time(&self, call: u32, seconds: u64) -> UtcTime {
        self.started_at
            .plus(Duration::from_secs(u64::from(call) + seconds))
    }

    /// Builds the request as Twilio does.
    fn request(&self, callback: PlannedCallback) -> reqwest::RequestBuilder {
        let form = self.form(callback);
        let signature = signature::sign(&self.key, &self.signed_url, &form);
        let token = format!("{:016x}", stable_hash(&callback));
        self.client
            .post(&self.address)
            .header(signature::HEADER, signature)
            .header(IDEMPOTENCY_HEADER, token)
            .header(header::USER_AGENT, "TwilioProxy/1.1")
            .form(&form)
    }

    /// Returns the parameters of the callback
    /// (<https://www.twilio.com/docs/voice/twiml/number#statuscallback>).
    fn form(&self, callback: PlannedCallback) -> Vec<(String, String)> {
        let PlannedCallback {
            call,
            is_child,
            step,
        } = callback;
        let (seconds, direction) = if is_child {
            (CHILD_STATUS_SECONDS, "outbound-dial")
        } else {
            (PARENT_STATUS_SECONDS, "inbound")
        };
        let mut form: Vec<(String, String)> = [
            ("AccountSid", ACCOUNT_SID.to_owned()),
            ("ApiVersion", "2010-04-01".to_owned()),
            ("CallSid", call_sid(call, is_child).into()),
            ("CallStatus", CALL_STATUSES[step].to_owned()),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("Called", NUMBER.to_owned()),
            ("Caller", BROWSER_ADDRESS.to_owned()),
            ("Direction", direction.to_owned()),
            ("From", BROWSER_ADDRESS.to_owned()),
            ("SequenceNumber", step.to_string()),
            (
                "Timestamp",
                self.status_time(call, seconds[step]).to_string(),
            ),
            ("To", NUMBER.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let mut also = |name: &str, value: String| form.push((name.to_owned(), value));
        if is_child {
            also("ParentCallSid", call_sid(call, false).into());
        }
        if step + 1 == CALL_STATUSES.len() {
            also("CallDuration", talk_seconds(seconds).to_string());
        }
        form
    }
}

fn call_sid(call: u32, is_child: bool) -> CallSid {
    let text = format!("CA{call:031x}{}", u8::from(is_child));
    CallSid::parse(&text).expect("32 hexadecimal digits")
}

/// Returns the seconds from the answer to the end of a leg.
fn talk_seconds(seconds: [u64; 4]) -> u32 {
    (seconds[3] - seconds[2]) as u32
}

/// State that all connections share.
struct CallbackRun<'a> {
    client: &'a CallbackClient,
    plan: &'a [PlannedCallback],
    next: AtomicUsize,
    /// Time at which the first callback is due.
    start: Instant,
    rate: u32,
}

impl CallbackRun<'_> {
    /// Runs one connection: takes the next callback, waits until it is due, and sends it, until there are no
    /// more. Returns the latency and the result of each.
    async fn run_connection(&self) -> Vec<(Duration, Result<(), String>)> {
        let mut results = Vec::new();
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(callback) = self.plan.get(n) else {
                return results;
            };
            let request = self.client.request(*callback);
            let due = self.start + Duration::from_secs_f64(n as f64 / f64::from(self.rate));
            clock::sleep_until(Some(due)).await;
            let outcome = match request.send().await {
                Ok(response) if response.status().is_success() => Ok(()),
                Ok(response) => Err(response.status().to_string()),
                Err(error) => Err(error.without_url().to_string()),
            };
            results.push((clock::now().saturating_duration_since(due), outcome));
        }
    }
}

/// Whether the call's record matches the callbacks, in any order.
async fn record_matches(store: &Store, client: &CallbackClient, call: u32) -> anyhow::Result<bool> {
    let Some(found) = store.call_detail(&call_sid(call, false)).await? else {
        return Ok(false);
    };
    let CallRecord {
        sid: name,
        direction,
        status,
        from,
        to,
        started_at,
        answered_at,
        ended_at,
        duration_seconds,
        ..
    } = found.call;
    let legs: Vec<&CallSid> = found.legs.iter().map(|leg| &leg.sid).collect();
    Ok(name == call_sid(call, false)
        && legs == [&name, &call_sid(call, true)]
        && (direction, status) == (Direction::Outgoing, CallStatus::Completed)
        && (from.0.as_str(), to.0.as_str()) == (BROWSER_ADDRESS, NUMBER)
        && started_at == client.status_time(call, PARENT_STATUS_SECONDS[0])
        && answered_at == Some(client.status_time(call, CHILD_STATUS_SECONDS[2]))
        && ended_at == Some(client.status_time(call, PARENT_STATUS_SECONDS[3]))
        && duration_seconds == Some(talk_seconds(CHILD_STATUS_SECONDS)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[test]
    fn every_callback_comes_some_come_twice_and_none_in_order() {
        let (all, calls) = plan_callbacks(10_000);
        assert_eq!((all.len(), calls), (10_000, 1_190));
        let key = |c: &PlannedCallback| (c.call, c.is_child, c.step);
        let different: BTreeSet<_> = all.iter().map(key).collect();
        assert_eq!(different.len(), (calls * CALLBACKS_PER_CALL) as usize);
        assert!(!all.is_sorted_by_key(key));
        assert_eq!(plan_callbacks(10_000).0, all, "the same every time");
        assert_eq!(
            plan_callbacks(1),
            (plan_callbacks(8).0, 1),
            "a call is whole"
        );
    }

    #[derive(clap::Parser)]
    struct WebhooksParser {
        #[command(flatten)]
        args: WebhooksArgs,
    }

    fn args(folder: &Path, more: &[&str]) -> WebhooksArgs {
        let folder = folder.to_str().unwrap();
        let line = [
            "bench",
            "--rate",
            "400",
            "--seconds",
            "1",
            "--connections",
            "8",
        ];
        let folder = ["--folder", folder];
        let line = line.iter().chain(&folder).chain(more);
        WebhooksParser::parse_from(line).args
    }

    /// More attackers than one address may have connections, from the address of the callbacks.
    #[tokio::test]
    async fn beside_slow_bodies_and_mute_readers_every_callback_is_answered_and_stored() {
        let folder = tempfile::TempDir::new().unwrap();
        let more = [
            "--slow-bodies",
            "300",
            "--mute-readers",
            "300",
            "--attack-from",
            "127.0.0.1",
        ];
        let figures = run_bench(&args(folder.path(), &more)).await.unwrap();
        assert_eq!((figures.answered, figures.callbacks), (400, 400));
        assert!(figures.errors.is_empty(), "{:?}", figures.errors);
        assert_eq!(figures.wrong_records, 0);
        assert!(figures.attack.format_row().contains("600 clients"));
    }

    #[tokio::test]
    async fn every_callback_is_answered_and_stored() {
        let folder = tempfile::TempDir::new().unwrap();
        let figures = run_bench(&args(folder.path(), &[])).await.unwrap();
        assert_eq!((figures.answered, figures.callbacks), (400, 400));
        assert_eq!((figures.calls, figures.repeated), (47, 24));
        assert!(figures.errors.is_empty(), "{:?}", figures.errors);
        assert_eq!(figures.wrong_records, 0);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "the database is removed");
    }
}
