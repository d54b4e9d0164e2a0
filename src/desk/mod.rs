//! The desk: what happens to a call beside its audio. It answers Twilio's questions with TwiML,
//! takes its callbacks, keeps the call's record, tells the page, and asks Twilio for recordings.
//!
//! ```text
//!   Twilio ──webhooks──► api::twilio ──► Desk ──► Store
//!                                         │ ├───► Hub ──► browsers
//!   Twilio ◄───REST─────────── Rest ◄─────┘ └───► TwiML ──► Twilio
//! ```
//!
//! Calls matter more than their records: whoever may call gets through while the database is down,
//! and the record is made up for by the callbacks.

mod admission;
mod answer;
mod audio;
mod audit;
mod callbacks;
mod ownership;
mod presence;
mod realtime;
mod reconcile;
mod recording;
mod registrations;
mod rung;
mod simulation;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::archive::Shelf;
use crate::clock::{self, UtcTime};
use crate::config::TranscriptionSource;
use crate::dialing::{DAY, DayLimits, Gate, Ledger, Limits, Placed, Policy};
use crate::hub::Hub;
use crate::ids::{ApplicationSid, CallSid, ClientIdentity, E164, UserId};
use crate::scribe::Scribe;
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::transcript::Event;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::rest::Rest;
use crate::twilio::token::{self, AccessToken, Grant};

use self::admission::Admissions;
use self::audit::Folds;
use self::presence::Presence;
use self::realtime::Transcriptions;
use self::reconcile::Schedule;
use self::rung::Rung;
use self::streams::{Live, Restarts};

pub use self::admission::Expected;
pub use self::answer::NOBODY;
pub use self::ownership::Claim;
pub use self::reconcile::Pace;
pub use self::recording::{Command, DeskError};
pub use self::registrations::PassOver;

/// What browsers' passes to Twilio are made with.
#[derive(Debug, Clone)]
pub struct Phone {
    /// Sign them.
    pub keys: token::Keys,
    /// Where browsers' calls ask for instructions.
    pub application_sid: ApplicationSid,
}

/// How calls are answered.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Twilio reaches this server.
    pub public_url: PublicUrl,
    /// What makes a browser a phone; or the names of the settings that are missing.
    pub phone: Result<Phone, Vec<&'static str>>,
    /// The number that calls come from; none: browsers cannot call.
    pub caller_id: Option<E164>,
    /// Who may be called.
    pub policy: Policy,
    /// How often and how long.
    pub limits: Limits,
    /// What the parties are told first.
    pub announcement: Option<String>,
    /// Where words come from.
    pub source: TranscriptionSource,
    /// What is spoken, as Twilio's own transcription wants it: `en-US`.
    pub language: Option<String>,
    /// How long the other end may ring.
    pub ring_seconds: u16,
    /// How soon, and how often, Twilio is asked what it did not tell.
    pub pace: Pace,
}

impl Config {
    /// For a server without an account: nobody can be called.
    pub fn without_account(public_url: PublicUrl) -> Self {
        let policy = Policy::new(None, false, None);
        Self {
            public_url,
            phone: Err(vec![
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "TWILIO_API_KEY",
                "TWILIO_API_SECRET",
                "TWILIO_TWIML_APP_SID",
                "TWILIO_CALLER_ID",
            ]),
            caller_id: None,
            policy: policy.expect("nothing named is nothing wrong"),
            limits: Limits {
                call_seconds_max: 14_400,
                at_once_max: 16,
                at_once_per_user_max: 2,
                per_minute_max: 10,
                day: DayLimits {
                    calls_max: 2_000,
                    calls_per_user_max: 300,
                    minutes_max: 6_000,
                    minutes_per_user_max: 720,
                },
            },
            announcement: None,
            source: TranscriptionSource::Whisper,
            language: None,
            ring_seconds: 30,
            pace: Pace::default(),
        }
    }
}

/// What a desk works with.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Writes calls down, and has the store.
    pub scribe: Scribe,
    /// Who listens.
    pub hub: Hub,
    /// Where work goes on after an answer.
    pub tasks: Tasks,
    /// Twilio's REST API; none: no account is set.
    pub rest: Option<Rest>,
    /// Where calls' audio is, if any was ever kept.
    pub shelf: Option<Shelf>,
    /// The server's own media socket, `ws://…`, where simulated calls go; none: there are none.
    pub media_socket: Option<String>,
}

/// The desk; clones are the same.
#[derive(Clone)]
pub struct Desk(Arc<Shared>);

struct Shared {
    config: Config,
    tools: Tools,
    admissions: Mutex<Admissions>,
    presence: Mutex<Presence>,
    rung: Mutex<Rung>,
    /// Whether a user was ever seen; the last admin cannot go, so it stays true.
    has_users: AtomicBool,
    gate: Gate,
    ledger: Ledger,
    restarts: Mutex<Restarts>,
    /// Streams whose sockets are open.
    live: Mutex<BTreeMap<CallSid, Live>>,
    transcriptions: Mutex<Transcriptions>,
    /// What Twilio is asked about.
    schedule: Mutex<Schedule>,
    /// A question may be due earlier than was thought.
    due: Notify,
    /// Calls whose recording is being commanded; bounded by the requests that wait for Twilio.
    commanded: Mutex<BTreeSet<CallSid>>,
    /// What people did within the last hour.
    folds: Mutex<Folds>,
    /// Calls for whose stream there was no room.
    unheard: Mutex<BTreeSet<CallSid>>,
    /// The simulated call that goes on.
    simulated: Mutex<Option<CallSid>>,
    /// Rings when Twilio has told of a leg.
    moved: watch::Sender<()>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

impl Desk {
    /// A desk that nobody has called yet.
    pub fn new(config: Config, tools: Tools) -> Self {
        let gate = Gate::new(config.limits.clone());
        let schedule = Schedule::new(config.pace);
        let ledger = Ledger::new(config.limits.day, config.limits.call_seconds_max);
        Self(Arc::new(Shared {
            config,
            tools,
            admissions: Mutex::default(),
            presence: Mutex::default(),
            rung: Mutex::default(),
            has_users: AtomicBool::new(false),
            gate,
            ledger,
            restarts: Mutex::default(),
            live: Mutex::default(),
            transcriptions: Mutex::default(),
            schedule: Mutex::new(schedule),
            due: Notify::new(),
            commanded: Mutex::default(),
            folds: Mutex::default(),
            unheard: Mutex::default(),
            simulated: Mutex::default(),
            moved: watch::Sender::new(()),
        }))
    }

    /// What is kept of calls.
    pub fn store(&self) -> &Store {
        self.0.tools.scribe.store()
    }

    /// After a restart: goes on counting what was called within the last day and the last minute.
    pub async fn recall_placed(&self) -> Result<(), StoreError> {
        let (date, now) = (clock::utc_now(), clock::now());
        let placed = self.store().placed_since(date.minus(DAY)).await?;
        for placed in &placed {
            if let Some(user) = placed.user_id
                && let Some(at) = now.checked_sub(date.since(placed.at))
            {
                self.0.gate.recall(user, at, now);
            }
        }
        let placed = placed.into_iter().map(|placed| Placed {
            call: placed.call,
            user: placed.user_id,
            at: placed.at,
            ended_at: placed.ended_at,
        });
        self.0.ledger.recall(placed);
        Ok(())
    }

    /// The call is over: its place is free, and its minutes count. Nobody waits for the database.
    fn release(&self, call: &CallSid) {
        self.0.gate.release(call, clock::now());
        let now = clock::utc_now();
        if self.0.ledger.end(call, now) {
            let (store, call) = (self.store().clone(), call.clone());
            self.0.tools.tasks.spawn(async move {
                if let Err(error) = store.end_placed(&call, now).await {
                    tracing::warn!(?call, %error, "how long a call lasted is not written down");
                }
            });
        }
    }

    /// Calls that go on, as far as is known.
    pub fn calls(&self, now: Instant) -> usize {
        self.0.gate.calls(now)
    }

    /// Whether the user placed this call, and it goes on: known without the database.
    pub fn is_placed_by(&self, call: &CallSid, user: UserId) -> bool {
        self.0.gate.is_of(call, user, clock::now())
    }

    /// How calls are answered.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// A pass to Twilio for a browser; or the names of the settings that are missing.
    pub fn mint(
        &self,
        identity: &ClientIdentity,
        now: UtcTime,
    ) -> Result<AccessToken, &[&'static str]> {
        let phone = self.0.config.phone.as_ref().map_err(Vec::as_slice)?;
        let grant = Grant {
            identity,
            application_sid: &phone.application_sid,
            incoming: true,
        };
        let minted = token::mint(&phone.keys, &grant, now, token::LIFETIME);
        Ok(minted.expect("an hour is a lifetime that Twilio takes"))
    }

    /// The edge of Twilio's that browsers are to connect to; none: the nearest.
    pub fn edge(&self) -> Option<&str> {
        let region = self.0.config.phone.as_ref().ok()?.keys.region.as_ref()?;
        Some(region.edge())
    }

    /// A user asked whether a call is his: for the server's log.
    pub async fn claimed(&self, call: &CallSid, claim: &Claim, user: UserId) {
        let kind = match claim {
            Claim::Own(_) => "call_confirmed",
            Claim::Another | Claim::NotTold | Claim::Unknown => "call_not_confirmed",
        };
        self.note_deed(kind, call.as_str(), Some(user)).await;
    }

    /// Adds to the server's log; one that cannot be written stops nothing.
    async fn log(&self, kind: &'static str, call: &CallSid, user: Option<UserId>) {
        if let Err(error) = self
            .record_deed(kind, call.as_str(), user, clock::utc_now())
            .await
        {
            tracing::warn!(kind, ?call, %error, "the server's log could not be written");
        }
    }

    /// Tells the call's listeners, if there are any.
    fn tell(&self, call: &CallSid, event: Event) {
        self.0.tools.hub.publish(call, event);
    }

    /// Adds to the call's log; a log that cannot be written stops nothing.
    async fn note(&self, call: &CallSid, kind: &str, detail: &str, user: Option<UserId>) {
        let noted = self
            .store()
            .log(Some(call), kind, detail, user, clock::utc_now());
        if let Err(error) = noted.await {
            tracing::warn!(?call, kind, %error, "the call's log could not be written");
        }
    }

    /// A path of this server as Twilio calls it, again if it was not answered.
    fn callback(&self, path: &str) -> String {
        self.0.config.public_url.retried(path)
    }
}

/// Takes a lock whose holder never waits and never leaves it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
