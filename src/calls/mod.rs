//! Call service: everything about a call except its audio. It answers Twilio's voice webhooks with TwiML,
//! handles its status callbacks, keeps the call's record, publishes events to browsers, and controls
//! recordings over Twilio's REST API.
//!
//! ```text
//!   Twilio ──webhooks──► api::twilio ──► CallService ──► Store
//!                                             │ ├───► Hub ──► browsers
//!   Twilio ◄───REST─────── TwilioClient ◄─────┘ └───► TwiML ──► Twilio
//! ```
//!
//! Calls take precedence over their records: a permitted call is connected even while the database is
//! down, and later status callbacks complete the record.

mod answer;
mod audio;
mod audit;
mod callbacks;
mod deletion;
mod error;
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
pub use self::error::CallError;
pub use self::ownership::CallOwnership;
pub use self::reconcile::ReconcileIntervals;
pub use self::recording::RecordingCommand;
pub use self::registrations::TokenExpired;

/// Configuration for minting the access tokens that browsers connect to Twilio with.
#[derive(Debug, Clone)]
pub struct AccessTokenConfig {
    /// Signing keys.
    pub keys: token::TokenKeys,
    /// TwiML application that handles calls placed by browsers.
    pub application_sid: ApplicationSid,
}

/// Configuration of the call service.
#[derive(Debug, Clone)]
pub struct CallConfig {
    /// Base URL at which Twilio reaches this server.
    pub public_url: PublicUrl,
    /// Access token configuration, or the names of the missing settings.
    pub access_tokens: Result<AccessTokenConfig, Vec<&'static str>>,
    /// Caller ID of outgoing calls; `None`: browsers cannot place calls.
    pub caller_id: Option<E164>,
    /// Rules for the numbers that may be called.
    pub policy: DialingPolicy,
    /// Limits on concurrent calls, call rate and duration.
    pub limits: CallLimits,
    /// Text read to both parties before they are connected.
    pub announcement: Option<String>,
    pub transcription_source: TranscriptionSource,
    /// Spoken language as a BCP 47 tag (`en-US`), for Twilio's own transcription.
    pub language: Option<String>,
    /// Seconds that an unanswered call rings.
    pub ring_seconds_max: u16,
    /// Timing of the queries for status callbacks that Twilio did not send.
    pub reconcile_intervals: ReconcileIntervals,
}

impl CallConfig {
    /// Returns the configuration of a server without a Twilio account, on which no number can be called.
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
            policy: policy.expect("an empty list of countries is valid"),
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

/// Dependencies of the call service.
#[derive(Debug, Clone)]
pub struct CallDeps {
    /// Persists transcripts; also gives access to the store.
    pub transcript_writer: TranscriptWriter,
    /// Channels to the listeners.
    pub hub: Hub,
    /// Runs work that outlives the request.
    pub tasks: Tasks,
    /// Client of Twilio's REST API; `None`: no account is configured.
    pub twilio: Option<TwilioClient>,
    /// Archive of call audio; `None`: none was ever kept.
    pub audio_archive: Option<AudioArchive>,
    /// URL of the server's own media WebSocket (`ws://…`), to which simulated calls connect; `None`: calls
    /// cannot be simulated.
    pub media_socket: Option<String>,
}

/// Handle to the call service; clones share its state.
#[derive(Clone)]
pub struct CallService(Arc<CallServiceState>);

struct CallServiceState {
    config: CallConfig,
    deps: CallDeps,
    stream_tokens: Mutex<StreamTokens>,
    presence: Mutex<BrowserPresence>,
    ring_targets: Mutex<RingTargets>,
    /// Whether a user has ever been found. It never reverts to false, because the last admin cannot be
    /// deleted.
    has_users: AtomicBool,
    call_limiter: CallLimiter,
    daily_quota: DailyQuota,
    stream_restarts: Mutex<StreamRestarts>,
    /// Calls that have an open media socket.
    open_streams: Mutex<BTreeMap<CallSid, OpenStream>>,
    transcriptions: Mutex<LiveTranscriptions>,
    /// Pending queries to Twilio.
    schedule: Mutex<ReconcileSchedule>,
    /// Notified when a query may have become due earlier.
    schedule_changed: Notify,
    /// Calls that a recording command or a deletion is in progress for; bounded by the number of requests
    /// that wait for Twilio.
    locked_calls: Mutex<BTreeSet<CallSid>>,
    /// Audit events of the last hour.
    audit_deduplicator: Mutex<AuditDeduplicator>,
    /// Calls that are not transcribed because every media stream was taken.
    untranscribed: Mutex<BTreeSet<CallSid>>,
    /// The simulated call in progress.
    simulated_call: Mutex<Option<CallSid>>,
    /// Notified on each update of a leg.
    leg_changed: watch::Sender<()>,
}

impl fmt::Debug for CallService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallService")
    }
}

impl CallService {
    /// Creates a call service without calls.
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

    /// Returns the store that holds the call records.
    pub fn store(&self) -> &Store {
        self.0.deps.transcript_writer.store()
    }

    /// Restores the per-minute and daily counts of placed calls after a restart.
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

    /// Releases the place of an ended call in the call limit and records its duration in the daily quota. The
    /// database write runs in the background.
    fn release_call(&self, call: &CallSid) {
        self.0.call_limiter.release(call, clock::now());
        let now = clock::utc_now();
        if self.0.daily_quota.end_call(call, now) {
            let (store, call) = (self.store().clone(), call.clone());
            self.0.deps.tasks.spawn(async move {
                if let Err(error) = store.end_placed_call(&call, now).await {
                    tracing::warn!(?call, %error, "could not save the end time of a placed call");
                }
            });
        }
    }

    /// Hangs up the call at Twilio. A call that is already over is not an error.
    pub async fn hang_up(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(CallError::NoSuchCall)?;
        if record.status.is_over() {
            return Ok(());
        }
        match self.twilio()?.hang_up(call).await {
            Ok(()) => self.log_call_event(call, "hung_up", "", user).await,
            // A call can be ended in any state, so the call is over and its status callback was missed.
            Err(error) if error.is_call_ended() || error.is_not_found() => {
                self.mark_call_over(&record.sid).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Returns the client of Twilio's REST API; [`CallError::NoAccount`] without an account.
    pub fn twilio(&self) -> Result<&TwilioClient, CallError> {
        self.0.deps.twilio.as_ref().ok_or(CallError::NoAccount)
    }

    /// Returns the number of calls known to be in progress.
    pub fn active_call_count(&self, now: Instant) -> usize {
        self.0.call_limiter.active_count(now)
    }

    /// Whether the user placed this call and it is in progress; does not query the database.
    pub fn is_placed_by(&self, call: &CallSid, user: UserId) -> bool {
        self.0.call_limiter.is_active_for(call, user, clock::now())
    }

    pub fn config(&self) -> &CallConfig {
        &self.0.config
    }

    /// Mints an access token for a browser; an error holds the names of the missing settings.
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
        Ok(minted.expect("Twilio accepts a lifetime of one hour"))
    }

    /// Returns the Twilio edge that browsers must connect to; `None`: the nearest one.
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

    /// Records in the audit log that a user asked whether a call is theirs.
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

    /// Adds an entry to the audit log; a failed write is only logged.
    async fn audit_call_event(&self, kind: &'static str, call: &CallSid, user: Option<UserId>) {
        if let Err(error) = self
            .write_audit_event(kind, call.as_str(), user, clock::utc_now())
            .await
        {
            tracing::warn!(kind, ?call, %error, "could not write to the audit log");
        }
    }

    /// Publishes an event to the call's listeners, if there are any.
    fn publish(&self, call: &CallSid, event: Event) {
        self.0.deps.hub.publish(call, event);
    }

    /// Adds an entry to the call's log; a failed write is only logged.
    async fn log_call_event(&self, call: &CallSid, kind: &str, detail: &str, user: Option<UserId>) {
        let noted = self
            .store()
            .log(Some(call), kind, detail, user, clock::utc_now());
        if let Err(error) = noted.await {
            tracing::warn!(?call, kind, %error, "could not write to the call's log");
        }
    }

    /// Returns the URL of a path on this server for Twilio, with Twilio's options that retry an unanswered
    /// request.
    fn callback_url(&self, path: &str) -> String {
        self.0.config.public_url.https_url_with_retries(path)
    }
}

/// Locks a mutex that is never held across an await, and whose holders never leave the data half changed, so
/// that a poisoned lock is safe to use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
