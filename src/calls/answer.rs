//! Builds the TwiML answers to the voice webhooks `/voice`, `/voice/announcement` and `/voice/ended`.

use std::fmt::Write;
use std::time::Duration;

use tokio::sync::oneshot;

use super::callbacks::party_of;
use super::stream_tokens::ExpectedStream;
use super::{CallService, lock, streams};
use crate::access::secret::Secret;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::dialing::DialError;
use crate::ids::{CallSid, ClientIdentity, UserId};
use crate::limits;
use crate::store::{LegUpdate, NewCall, Party, PlacedCall, StoreError, TranscriptState};
use crate::transcript::{CallStatus, Direction};
use crate::twilio::token;
use crate::twilio::tracks::TrackSelection;
use crate::twilio::twiml::{
    Dial, DialNoun, Say, StatusCallback, StreamNoun, TranscriptionNoun, TwimlError, TwimlParameter,
    TwimlRejectReason, TwimlVerb, VoiceResponse,
};
use crate::twilio::webhook::{CallAddress, DialEnded, VoiceRequest};

/// Path prefix of media WebSockets; the stream token follows.
const MEDIA_PATH: &str = "/media/";

/// Name of Twilio's Real-Time Transcription of a call.
const TRANSCRIPTION_NAME: &str = "callburner";

/// Delays before the retries of a failed database write.
const WRITE_RETRY_DELAYS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
];

/// Reason for rejecting a call.
enum RejectReason {
    /// The dialing policy or a call limit forbids it.
    NotAllowed(DialError),
    /// No browser is registered.
    NobodyAvailable,
    /// A setting that calls need is missing.
    NotConfigured(&'static str),
    /// The session has ended or the user was deleted, although the browser's access token is not expired; or
    /// this server did not mint the access token.
    UnknownUser,
    /// The call belongs to another Twilio account; this server would reject its audio and its callbacks.
    OtherAccount,
    /// The server is draining before a stop.
    Restarting,
}

impl RejectReason {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed(error) => error.code(),
            Self::NobodyAvailable => "nobody_home",
            Self::NotConfigured(_) => "not_set_up",
            Self::UnknownUser => "unknown_user",
            Self::OtherAccount => "another_account",
            Self::Restarting => "restarting",
        }
    }

    fn spoken_message(&self) -> String {
        match self {
            Self::NotAllowed(error) => error.spoken_message(),
            Self::NobodyAvailable => {
                "Sorry, nobody can take your call now. Please try again later.".to_owned()
            }
            Self::NotConfigured(what) => {
                format!("This phone cannot place calls yet. Its owner has to set {what}.")
            }
            Self::UnknownUser => "This phone is not signed in any more.".to_owned(),
            Self::OtherAccount => {
                "This phone belongs to another Twilio account. Its owner has to set the account of \
                 this number."
                    .to_owned()
            }
            Self::Restarting => {
                "This phone is about to restart. Please try again in a few minutes.".to_owned()
            }
        }
    }
}

impl CallService {
    /// Answers `/voice`. Never fails: a rejected caller hears the reason. `is_ours`: whether the call belongs
    /// to the configured Twilio account.
    pub async fn on_voice_request(&self, request: &VoiceRequest, is_ours: bool) -> VoiceResponse {
        if !is_ours {
            return self
                .reject_call(request, &RejectReason::OtherAccount, None)
                .await;
        }
        if self.0.deps.tasks.is_draining() {
            return self
                .reject_call(request, &RejectReason::Restarting, None)
                .await;
        }
        let answer = match &request.from {
            Some(CallAddress::Client(identity)) => self.answer_outgoing(request, identity).await,
            Some(CallAddress::Number(_) | CallAddress::Other(_)) | None => {
                self.answer_incoming(request).await
            }
        };
        match answer {
            Ok(response) => response,
            Err((reason, user)) => self.reject_call(request, &reason, user).await,
        }
    }

    /// Answers `/voice/announcement`: the text that the called party hears before the parties are connected.
    pub fn on_announcement_request(&self) -> VoiceResponse {
        let said = self.0.config.announcement.as_deref().map(say_verb);
        VoiceResponse::new(said.into_iter().collect()).unwrap_or_else(fallback_response)
    }

    /// Answers `/voice/ended`, after the other party has hung up or did not answer.
    pub async fn on_dial_ended(&self, ended: &DialEnded) -> VoiceResponse {
        let call = &ended.call_sid;
        let stop = self.stop_transcription_verb(call);
        let legs = leg_updates(ended);
        self.0.call_limiter.release(call, clock::now());
        self.save_with_retry(call, move |service| {
            let legs = legs.clone();
            async move {
                for update in &legs {
                    service.apply_leg_update(update).await?;
                }
                Ok(())
            }
        })
        .await;
        let why = match ended.status {
            _ if ended.bridged == Some(true) => return hangup_response(),
            CallStatus::Busy => "The line is busy.",
            CallStatus::NoAnswer => "Nobody answered.",
            CallStatus::Failed => "The call could not be connected. Please check the number.",
            CallStatus::Queued
            | CallStatus::Initiated
            | CallStatus::Ringing
            | CallStatus::InProgress
            | CallStatus::Completed
            | CallStatus::Canceled => return hangup_response(),
        };
        // The message must not be transcribed as speech of the other party.
        let verbs = stop.into_iter().chain([say_verb(why), TwimlVerb::Hangup]);
        VoiceResponse::new(verbs.collect()).expect("a short text, no URL")
    }

    /// Answers a call from a browser to a number.
    async fn answer_outgoing(
        &self,
        request: &VoiceRequest,
        identity: &ClientIdentity,
    ) -> Result<VoiceResponse, (RejectReason, Option<UserId>)> {
        let config = &self.0.config;
        let user = token::user_of_identity(identity).filter(|user| *user != NO_USER);
        let reason = |reason| (reason, user);
        let caller_id = config.caller_id.as_ref();
        let caller_id =
            caller_id.ok_or_else(|| reason(RejectReason::NotConfigured("its Twilio number")))?;
        let wanted = request.to.as_ref().map_or("", CallAddress::as_str);
        let number = config.policy.check_number(wanted, caller_id);
        let number = number.map_err(|error| reason(RejectReason::NotAllowed(error)))?;
        if !self.is_signed_in(identity).await {
            return Err(reason(RejectReason::UnknownUser));
        }
        let seconds_max = self
            .admit_outgoing_call(&request.call_sid, user)
            .map_err(reason)?;
        self.save_new_call(self.new_call(request, number.as_str(), user), None)
            .await;
        let status = Some(StatusCallback::all(self.callback_url("/api/calls/status")));
        let announcement = config.announcement.as_ref();
        let noun = DialNoun::Number {
            number,
            announcement: announcement.map(|_| self.callback_url("/voice/announcement")),
            status,
        };
        let direction = Direction::Outgoing;
        Ok(self.connect_response(&request.call_sid, direction, vec![noun], seconds_max))
    }

    /// Answers a call from a number to the browsers.
    async fn answer_incoming(
        &self,
        request: &VoiceRequest,
    ) -> Result<VoiceResponse, (RejectReason, Option<UserId>)> {
        let reason = |reason| (reason, None);
        let browsers = self.browsers_to_ring().await;
        if browsers.is_empty() {
            return Err(reason(RejectReason::NobodyAvailable));
        }
        self.admit_call(&request.call_sid, None).map_err(reason)?;
        self.record_ring_targets(&request.call_sid, &browsers);
        self.save_new_call(self.new_call(request, "", None), None)
            .await;
        let status = StatusCallback::all(self.callback_url("/api/calls/status"));
        let noun = |identity| DialNoun::Client {
            identity,
            // The browser only knows the SID of its own leg.
            parameters: vec![TwimlParameter::new("callSid", request.call_sid.as_str())],
            status: Some(status.clone()),
        };
        let nouns = browsers.into_iter().map(noun).collect();
        let seconds_max = self.0.config.limits.call_seconds_max;
        let direction = Direction::Incoming;
        Ok(self.connect_response(&request.call_sid, direction, nouns, seconds_max))
    }

    fn admit_call(&self, call: &CallSid, user: Option<UserId>) -> Result<(), RejectReason> {
        let now = clock::now();
        let admitted = self.0.call_limiter.admit(call, user, now);
        // Queries Twilio whether these calls are in progress, so that a retry may succeed.
        let others = match (&admitted, user) {
            (Err(DialError::TooManyCallsOfUser), Some(user)) => {
                self.0.call_limiter.calls_of_user(user, now)
            }
            (Err(DialError::TooManyCalls), _) => {
                let ages = self.0.call_limiter.call_ages(now).into_iter();
                ages.map(|(call, _)| call).collect()
            }
            (_, _) => Vec::new(),
        };
        for call in &others {
            self.schedule_end_check(call);
        }
        admitted.map_err(RejectReason::NotAllowed)
    }

    /// As [`Self::admit_call`], within the daily quota; returns the call's maximum duration in seconds.
    fn admit_outgoing_call(
        &self,
        call: &CallSid,
        user: Option<UserId>,
    ) -> Result<u32, RejectReason> {
        let begun = self.0.daily_quota.begin_call(call, user, clock::utc_now());
        let seconds_max = begun.map_err(RejectReason::NotAllowed)?;
        if let Err(reason) = self.admit_call(call, user) {
            self.0.daily_quota.cancel_call(call);
            return Err(reason);
        }
        Ok(seconds_max)
    }

    /// Builds the record of a new call. `number` is the called number in E.164 format, or empty if it was not
    /// checked.
    fn new_call(&self, request: &VoiceRequest, number: &str, user: Option<UserId>) -> NewCall {
        let config = &self.0.config;
        let of =
            |address: &Option<CallAddress>| address.as_ref().map_or_else(Party::default, party_of);
        let (direction, from, to) = match &request.from {
            Some(caller @ CallAddress::Client(_)) => {
                let ours = config.caller_id.as_ref();
                let from =
                    ours.map_or_else(|| party_of(caller), |id| Party(id.as_str().to_owned()));
                (Direction::Outgoing, from, of(&request.to))
            }
            Some(CallAddress::Number(_) | CallAddress::Other(_)) | None => {
                (Direction::Incoming, of(&request.from), of(&request.to))
            }
        };
        NewCall {
            sid: request.call_sid.clone(),
            direction,
            status: request.status.unwrap_or(CallStatus::Ringing),
            from,
            to: match number {
                "" => to,
                number => Party(number.to_owned()),
            },
            user_id: user,
            started_at: clock::utc_now(),
            transcript: match config.transcription_source {
                TranscriptionSource::Off => TranscriptState::Off,
                TranscriptionSource::Whisper | TranscriptionSource::Twilio => {
                    TranscriptState::Waiting
                }
            },
            announced: config.announcement.is_some(),
        }
    }

    /// Saves a new call and, if it was rejected, the reason code.
    async fn save_new_call(&self, new: NewCall, refused: Option<&'static str>) {
        let (direction, user) = (new.direction, new.user_id);
        tracing::info!(call = ?new.sid, ?direction, ?user, refused, "call");
        let call = new.sid.clone();
        self.save_with_retry(&call, move |service| {
            let new = new.clone();
            async move {
                if direction == Direction::Outgoing && refused.is_none() {
                    let placed = PlacedCall {
                        call: new.sid.clone(),
                        user_id: user,
                        at: new.started_at,
                        ended_at: None,
                    };
                    service.store().add_placed_call(&placed).await?;
                }
                service.store().open_call(&new).await?;
                if let Some(code) = refused {
                    service.store().set_end_cause(&new.sid, code).await?;
                    service
                        .log_call_event(&new.sid, "refused", code, new.user_id)
                        .await;
                }
                Ok(())
            }
        })
        .await;
    }

    /// Runs a database write for a call, and retries it while the database is unavailable or the disk is
    /// full. The answer to Twilio waits for it up to [`limits::WEBHOOK_STORE_WAIT_MAX`].
    async fn save_with_retry<F>(&self, call: &CallSid, work: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let (service, call) = (self.clone(), call.clone());
        let (done, is_done) = oneshot::channel();
        self.0.deps.tasks.spawn(async move {
            let mut pauses = WRITE_RETRY_DELAYS.into_iter();
            while let Err(error) = work(service.clone()).await {
                let is_transient =
                    matches!(error, StoreError::Unavailable(_) | StoreError::DiskFull);
                let Some(pause) = pauses.next().filter(|_| is_transient) else {
                    tracing::error!(?call, %error, "gave up saving the update of a call");
                    break;
                };
                tracing::warn!(?call, %error, "could not save the update of a call: will retry");
                clock::sleep_until(Some(clock::now() + pause)).await;
            }
            let _ = done.send(()); // An error: the answer no longer waits.
        });
        let _ = tokio::time::timeout(limits::WEBHOOK_STORE_WAIT_MAX, is_done).await;
    }

    /// Builds the TwiML that plays the announcement, starts the transcription and connects the parties.
    fn connect_response(
        &self,
        call: &CallSid,
        direction: Direction,
        nouns: Vec<DialNoun>,
        seconds_max: u32,
    ) -> VoiceResponse {
        self.schedule_ringing(call);
        let config = &self.0.config;
        let caller_id = match direction {
            Direction::Outgoing => config.caller_id.clone(),
            Direction::Incoming => None,
        };
        let announcement = config.announcement.as_deref().map(say_verb);
        let dial = TwimlVerb::Dial(Dial {
            caller_id,
            answer_on_bridge: true,
            timeout_seconds: config.ring_seconds_max,
            time_limit_seconds: seconds_max,
            action: Some(self.callback_url("/voice/ended")),
            nouns,
        });
        let verbs = announcement
            .into_iter()
            .chain(self.start_transcription_verb(call, direction))
            .chain([dial]);
        VoiceResponse::new(verbs.collect()).unwrap_or_else(fallback_response)
    }

    /// Returns the TwiML verb that starts the call's media stream or Twilio's transcription, by
    /// [`TranscriptionSource`]; `None`: calls are not transcribed.
    fn start_transcription_verb(&self, call: &CallSid, direction: Direction) -> Option<TwimlVerb> {
        match self.0.config.transcription_source {
            TranscriptionSource::Off => None,
            TranscriptionSource::Whisper => Some(TwimlVerb::StartStream(StreamNoun {
                url: self.issue_stream_url(call, 1),
                name: Some(streams::stream_name(1)),
                tracks: TrackSelection::Both,
                status_callback: Some(self.callback_url("/api/streams/status")),
                parameters: vec![TwimlParameter::new(
                    streams::DIRECTION_PARAMETER,
                    streams::direction_parameter(direction),
                )],
            })),
            TranscriptionSource::Twilio => Some(TwimlVerb::StartTranscription(TranscriptionNoun {
                name: Some(TRANSCRIPTION_NAME.to_owned()),
                status_callback: self.callback_url("/api/transcriptions/realtime"),
                language: self.0.config.language.clone(),
                tracks: TrackSelection::Both,
                partial_results: true,
            })),
        }
    }

    /// Returns the TwiML verb that undoes [`Self::start_transcription_verb`].
    fn stop_transcription_verb(&self, call: &CallSid) -> Option<TwimlVerb> {
        match self.0.config.transcription_source {
            TranscriptionSource::Off => None,
            TranscriptionSource::Whisper => {
                let latest = lock(&self.0.stream_restarts).latest_number(call);
                Some(TwimlVerb::StopStream(streams::stream_name(latest)))
            }
            TranscriptionSource::Twilio => {
                Some(TwimlVerb::StopTranscription(TRANSCRIPTION_NAME.to_owned()))
            }
        }
    }

    /// Issues a one-time token for the call's stream `number`.
    pub(super) fn issue_stream_token(&self, call: &CallSid, number: u32) -> Secret {
        let (secret, call) = (Secret::random(), call.clone());
        let stream = ExpectedStream { call, number };
        lock(&self.0.stream_tokens).issue(secret.hash(), stream, clock::now());
        secret
    }

    /// Issues a one-time WebSocket URL for the call's stream `number`.
    pub(super) fn issue_stream_url(&self, call: &CallSid, number: u32) -> String {
        let secret = self.issue_stream_token(call, number);
        let mut path = MEDIA_PATH.to_owned();
        write!(path, "{}", secret.expose()).expect("a String takes any text");
        self.0.config.public_url.wss_url(&path)
    }

    /// Rejects a call with a spoken reason or a busy signal, and saves the attempt.
    async fn reject_call(
        &self,
        request: &VoiceRequest,
        reason: &RejectReason,
        user: Option<UserId>,
    ) -> VoiceResponse {
        let call = &request.call_sid;
        tracing::warn!(?call, ?user, reason = reason.code(), "call refused");
        let new = NewCall {
            transcript: TranscriptState::Off,
            announced: false,
            ..self.new_call(request, "", user)
        };
        let direction = new.direction;
        self.save_new_call(new, Some(reason.code())).await;
        self.schedule_end_check(call);
        let verbs = match (direction, reason) {
            // Answering would cost the caller money.
            (Direction::Incoming, RejectReason::NotAllowed(_) | RejectReason::Restarting) => {
                vec![TwimlVerb::Reject(TwimlRejectReason::Busy)]
            }
            _ => vec![say_verb(&reason.spoken_message()), TwimlVerb::Hangup],
        };
        VoiceResponse::new(verbs).unwrap_or_else(fallback_response)
    }
}

/// User ID of callers on a server without users.
pub const NO_USER: UserId = UserId(0);

/// Derives leg updates, in order, from the end of a `Dial`.
fn leg_updates(ended: &DialEnded) -> Vec<LegUpdate> {
    let call = &ended.call_sid;
    let child = ended.child.as_ref().map(|child| LegUpdate {
        duration_seconds: ended.duration_seconds,
        parent: Some(call.clone()),
        ..LegUpdate::new(child, ended.status)
    });
    // Bridged legs were answered, whatever status Twilio reports for their ends.
    let joined = child.as_ref().filter(|_| ended.bridged == Some(true));
    let answer = joined.map(|child| {
        let talk = Duration::from_secs(ended.duration_seconds.unwrap_or_default().into());
        LegUpdate {
            at: Some(clock::utc_now().minus(talk)),
            status: CallStatus::InProgress,
            duration_seconds: None,
            ..child.clone()
        }
    });
    // This answer ends the call, whether or not Twilio sends another callback. Without a child leg, the call
    // has the status that the leg would have had.
    let status = match child {
        Some(_) => CallStatus::Completed,
        None => ended.status,
    };
    let parent = LegUpdate::new(call, status);
    answer.into_iter().chain(child).chain([parent]).collect()
}

fn hangup_response() -> VoiceResponse {
    VoiceResponse::new(vec![TwimlVerb::Hangup]).expect("no text, no URL")
}

fn say_verb(text: &str) -> TwimlVerb {
    TwimlVerb::Say(Say::text(text))
}

/// Returns the answer for settings that make invalid TwiML: a spoken sentence instead of Twilio's own
/// "application error".
fn fallback_response(error: TwimlError) -> VoiceResponse {
    tracing::error!(%error, "the settings make invalid TwiML");
    let sorry = "Sorry, this phone is not set up correctly.";
    VoiceResponse::new(vec![say_verb(sorry), TwimlVerb::Hangup]).expect("a short text, no URL")
}
