//! Call service: what happens to a call beside its audio. It answers Twilio's questions with TwiML,
//! takes its callbacks, keeps the call's record, tells the page, and asks Twilio for recordings.
//!
//! ```text
//!   Twilio ──webhooks──► api::twilio ──► CallService ──► Store
//!                                             │ ├───► Hub ──► browsers
//!   Twilio ◄───REST─────── TwilioClient ◄─────┘ └───► TwiML ──► Twilio
//! ```
//!
//! Calls matter more than their records: whoever may call gets through while the database is down,
//! and the record is made up for by the callbacks.

mod answer;
mod audio;
mod audit;
mod callbacks;
mod ownership;
mod presence;
mod reconcile;
mod recording;
mod registrations;
mod ring_targets;
mod simulation;
mod stream_tokens;
mod streams;
mod twilio_transcription;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::archive::AudioArchive;
use crate::clock::{self, UtcTime};
use crate::config::TranscriptionSource;
use crate::dialing::{
    CallLimiter, CallLimits, CountedCall, DAY, DailyQuota, DayLimits, DialingPolicy,
};
use crate::hub::Hub;
use crate::ids::{ApplicationSid, CallSid, ClientIdentity, E164, UserId};
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::transcript::Event;
use crate::transcript_writer::TranscriptWriter;
use crate::twilio::api::TwilioClient;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::token::{self, AccessToken, VoiceGrant};

use self::audit::AuditDeduplicator;
use self::presence::BrowserPresence;
use self::reconcile::ReconcileSchedule;
use self::ring_targets::RingTargets;
use self::stream_tokens::StreamTokens;
use self::streams::{OpenStream, StreamRestarts};
use self::twilio_transcription::LiveTranscriptions;

pub use self::answer::NO_USER;
pub use self::ownership::CallOwnership;
pub use self::reconcile::ReconcileIntervals;
pub use self::recording::{CallError, RecordingCommand};
pub use self::registrations::TokenExpired;
pub use self::stream_tokens::ExpectedStream;

/// What browsers' passes to Twilio are made with.
#[derive(Debug, Clone)]
pub struct AccessTokenConfig {
    /// Sign them.
    pub keys: token::TokenKeys,
    /// Where browsers' calls ask for instructions.
    pub application_sid: ApplicationSid,
}

/// How calls are answered.
#[derive(Debug, Clone)]
pub struct CallConfig {
    /// Where Twilio reaches this server.
    pub public_url: PublicUrl,
    /// What makes a browser a phone; or the names of the settings that are missing.
    pub access_tokens: Result<AccessTokenConfig, Vec<&'static str>>,
    /// The number that calls come from; none: browsers cannot call.
    pub caller_id: Option<E164>,
    /// Who may be called.
    pub policy: DialingPolicy,
    /// How often and how long.
    pub limits: CallLimits,
    /// What the parties are told first.
    pub announcement: Option<String>,
    /// Where words come from.
    pub transcription_source: TranscriptionSource,
    /// What is spoken, as Twilio's own transcription wants it: `en-US`.
    pub language: Option<String>,
    /// How long the other end may ring.
    pub ring_seconds_max: u16,
    /// How soon, and how often, Twilio is asked what it did not tell.
    pub reconcile_intervals: ReconcileIntervals,
}

impl CallConfig {
    /// For a server without an account: nobody can be called.
    pub fn without_account(public_url: PublicUrl) -> Self {
        let policy = DialingPolicy::new(None, false, None);
        Self {
            public_url,
            access_tokens: Err(vec![
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "TWILIO_API_KEY",
                "TWILIO_API_SECRET",
                "TWILIO_TWIML_APP_SID",
                "TWILIO_CALLER_ID",
            ]),
            caller_id: None,
            policy: policy.expect("nothing named is nothing wrong"),
            limits: CallLimits {
                call_seconds_max: 14_400,
                concurrent_max: 16,
                concurrent_per_user_max: 2,
                per_minute_max: 10,
                day: DayLimits {
                    calls_max: 2_000,
                    calls_per_user_max: 300,
                    minutes_max: 6_000,
                    minutes_per_user_max: 720,
                },
            },
            announcement: None,
            transcription_source: TranscriptionSource::Whisper,
            language: None,
            ring_seconds_max: 30,
            reconcile_intervals: ReconcileIntervals::default(),
        }
    }
}

/// What a call service works with.
#[derive(Debug, Clone)]
pub struct CallDeps {
    /// Writes calls down, and has the store.
    pub transcript_writer: TranscriptWriter,
    /// Who listens.
    pub hub: Hub,
    /// Where work goes on after an answer.
    pub tasks: Tasks,
    /// Twilio's REST API; none: no account is set.
    pub twilio: Option<TwilioClient>,
    /// Where calls' audio is, if any was ever kept.
    pub audio_archive: Option<AudioArchive>,
    /// The server's own media socket, `ws://…`, where simulated calls go; none: there are none.
    pub media_socket: Option<String>,
}

/// The call service; clones are the same.
#[derive(Clone)]
pub struct CallService(Arc<CallServiceState>);

struct CallServiceState {
    config: CallConfig,
    deps: CallDeps,
    stream_tokens: Mutex<StreamTokens>,
    presence: Mutex<BrowserPresence>,
    ring_targets: Mutex<RingTargets>,
    /// Whether a user was ever seen; the last admin cannot go, so it stays true.
    has_users: AtomicBool,
    call_limiter: CallLimiter,
    daily_quota: DailyQuota,
    stream_restarts: Mutex<StreamRestarts>,
    /// Streams whose sockets are open.
    open_streams: Mutex<BTreeMap<CallSid, OpenStream>>,
    transcriptions: Mutex<LiveTranscriptions>,
    /// What Twilio is asked about.
    schedule: Mutex<ReconcileSchedule>,
    /// A question may be due earlier than was thought.
    schedule_changed: Notify,
    /// Calls whose recording is being commanded; bounded by the requests that wait for Twilio.
    locked_calls: Mutex<BTreeSet<CallSid>>,
    /// What people did within the last hour.
    audit_deduplicator: Mutex<AuditDeduplicator>,
    /// Calls for whose stream there was no room.
    untranscribed: Mutex<BTreeSet<CallSid>>,
    /// The simulated call that goes on.
    simulated_call: Mutex<Option<CallSid>>,
    /// Rings when Twilio has told of a leg.
    leg_changed: watch::Sender<()>,
}

impl fmt::Debug for CallService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallService")
    }
}

impl CallService {
    /// A call service without calls.
    pub fn new(config: CallConfig, deps: CallDeps) -> Self {
        let call_limiter = CallLimiter::new(config.limits.clone());
        let schedule = ReconcileSchedule::new(config.reconcile_intervals);
        let daily_quota = DailyQuota::new(config.limits.day, config.limits.call_seconds_max);
        Self(Arc::new(CallServiceState {
            config,
            deps,
            stream_tokens: Mutex::default(),
            presence: Mutex::default(),
            ring_targets: Mutex::default(),
            has_users: AtomicBool::new(false),
            call_limiter,
            daily_quota,
            stream_restarts: Mutex::default(),
            open_streams: Mutex::default(),
            transcriptions: Mutex::default(),
            schedule: Mutex::new(schedule),
            schedule_changed: Notify::new(),
            locked_calls: Mutex::default(),
            audit_deduplicator: Mutex::default(),
            untranscribed: Mutex::default(),
            simulated_call: Mutex::default(),
            leg_changed: watch::Sender::new(()),
        }))
    }

    /// What is kept of calls.
    pub fn store(&self) -> &Store {
        self.0.deps.transcript_writer.store()
    }

    /// After a restart: goes on counting what was called within the last day and the last minute.
    pub async fn restore_placed_calls(&self) -> Result<(), StoreError> {
        let (date, now) = (clock::utc_now(), clock::now());
        let placed = self.store().placed_calls_since(date.minus(DAY)).await?;
        for placed in &placed {
            if let Some(user) = placed.user_id
                && let Some(at) = now.checked_sub(date.since(placed.at))
            {
                self.0.call_limiter.restore_start(user, at, now);
            }
        }
        let placed = placed.into_iter().map(|placed| CountedCall {
            call: placed.call,
            user: placed.user_id,
            at: placed.at,
            ended_at: placed.ended_at,
        });
        self.0.daily_quota.restore_calls(placed);
        Ok(())
    }

    /// The call is over: its place is free, and its minutes count. Nobody waits for the database.
    fn release_call(&self, call: &CallSid) {
        self.0.call_limiter.release(call, clock::now());
        let now = clock::utc_now();
        if self.0.daily_quota.end_call(call, now) {
            let (store, call) = (self.store().clone(), call.clone());
            self.0.deps.tasks.spawn(async move {
                if let Err(error) = store.end_placed_call(&call, now).await {
                    tracing::warn!(?call, %error, "how long a call lasted is not written down");
                }
            });
        }
    }

    /// Calls that go on, as far as is known.
    pub fn active_call_count(&self, now: Instant) -> usize {
        self.0.call_limiter.active_count(now)
    }

    /// Whether the user placed this call, and it goes on: known without the database.
    pub fn is_placed_by(&self, call: &CallSid, user: UserId) -> bool {
        self.0.call_limiter.is_active_for(call, user, clock::now())
    }

    /// How calls are answered.
    pub fn config(&self) -> &CallConfig {
        &self.0.config
    }

    /// A pass to Twilio for a browser; or the names of the settings that are missing.
    pub fn mint_access_token(
        &self,
        identity: &ClientIdentity,
        now: UtcTime,
    ) -> Result<AccessToken, &[&'static str]> {
        let access_tokens = self
            .0
            .config
            .access_tokens
            .as_ref()
            .map_err(Vec::as_slice)?;
        let grant = VoiceGrant {
            identity,
            application_sid: &access_tokens.application_sid,
            incoming: true,
        };
        let minted = token::mint(&access_tokens.keys, &grant, now, token::LIFETIME);
        Ok(minted.expect("an hour is a lifetime that Twilio takes"))
    }

    /// The edge of Twilio's that browsers are to connect to; none: the nearest.
    pub fn twilio_edge(&self) -> Option<&str> {
        let region = self
            .0
            .config
            .access_tokens
            .as_ref()
            .ok()?
            .keys
            .region
            .as_ref()?;
        Some(region.edge())
    }

    /// A user asked whether a call is his: for the server's log.
    pub async fn audit_ownership_check(
        &self,
        call: &CallSid,
        ownership: &CallOwnership,
        user: UserId,
    ) {
        let kind = match ownership {
            CallOwnership::Own(_) => "call_confirmed",
            CallOwnership::OtherUser | CallOwnership::Pending | CallOwnership::Unknown => {
                "call_not_confirmed"
            }
        };
        self.record_audit_event(kind, call.as_str(), Some(user))
            .await;
    }

    /// Adds to the server's log; one that cannot be written stops nothing.
    async fn audit_call_event(&self, kind: &'static str, call: &CallSid, user: Option<UserId>) {
        if let Err(error) = self
            .write_audit_event(kind, call.as_str(), user, clock::utc_now())
            .await
        {
            tracing::warn!(kind, ?call, %error, "the server's log could not be written");
        }
    }

    /// Tells the call's listeners, if there are any.
    fn publish(&self, call: &CallSid, event: Event) {
        self.0.deps.hub.publish(call, event);
    }

    /// Adds to the call's log; a log that cannot be written stops nothing.
    async fn log_call_event(&self, call: &CallSid, kind: &str, detail: &str, user: Option<UserId>) {
        let noted = self
            .store()
            .log(Some(call), kind, detail, user, clock::utc_now());
        if let Err(error) = noted.await {
            tracing::warn!(?call, kind, %error, "the call's log could not be written");
        }
    }

    /// A path of this server as Twilio calls it, again if it was not answered.
    fn callback_url(&self, path: &str) -> String {
        self.0.config.public_url.https_url_with_retries(path)
    }
}

/// Takes a lock whose holder never waits and never leaves it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
