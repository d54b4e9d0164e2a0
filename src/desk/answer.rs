//! What Twilio is told to do with a call: the TwiML of `/voice` and `/voice/ended`.

use std::fmt::Write;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::Expected;
use super::callbacks::party;
use super::{Desk, lock, streams};
use crate::access::secret::Secret;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::dialing::Refusal;
use crate::ids::{CallSid, ClientIdentity, UserId};
use crate::limits;
use crate::store::{LegUpdate, NewCall, Party, PlacedCall, StoreError, TranscriptState};
use crate::transcript::{CallStatus, Direction};
use crate::twilio::token;
use crate::twilio::tracks::Tracks;
use crate::twilio::twiml::{
    Dial, Noun, Parameter, Reason, Response, Say, StatusCallback, Stream, Transcription,
    TwimlError, Verb,
};
use crate::twilio::webhook::{Address, DialEnded, VoiceRequest};

/// Where media sockets open; the stream's secret follows.
const MEDIA: &str = "/media/";

/// What Twilio's transcription of a call is called.
const TRANSCRIPTION: &str = "callburner";

/// Time before each further try to write down what could not be.
const WRITE_AGAIN: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
];

/// Why a call is not put through.
enum No {
    /// By a rule.
    Refused(Refusal),
    /// Nobody is there to be called.
    NobodyHome,
    /// The settings do not allow calls yet.
    NotSetUp(&'static str),
    /// The session is over or the user gone, though the browser's pass still lasts; or the pass is
    /// not of this server.
    NobodyCalls,
    /// It is a call of another account, whose audio and callbacks would not be taken.
    AnotherAccount,
    /// The server is about to stop.
    Restarting,
}

impl No {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NobodyHome => "nobody_home",
            Self::NotSetUp(_) => "not_set_up",
            Self::NobodyCalls => "unknown_user",
            Self::AnotherAccount => "another_account",
            Self::Restarting => "restarting",
        }
    }

    fn spoken(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.spoken(),
            Self::NobodyHome => {
                "Sorry, nobody can take your call now. Please try again later.".to_owned()
            }
            Self::NotSetUp(what) => {
                format!("This phone cannot place calls yet. Its owner has to set {what}.")
            }
            Self::NobodyCalls => "This phone is not signed in any more.".to_owned(),
            Self::AnotherAccount => {
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

impl Desk {
    /// What Twilio does with a call that begins. Never fails: what cannot be done is said. `is_ours`:
    /// it is of the account that is set here.
    pub async fn answer(&self, request: &VoiceRequest, is_ours: bool) -> Response {
        if !is_ours {
            return self.refuse(request, &No::AnotherAccount, None).await;
        }
        if self.0.tools.tasks.is_draining() {
            return self.refuse(request, &No::Restarting, None).await;
        }
        let answer = match &request.from {
            Some(Address::Client(identity)) => self.outgoing(request, identity).await,
            Some(Address::Number(_) | Address::Other(_)) | None => self.incoming(request).await,
        };
        match answer {
            Ok(response) => response,
            Err((no, user)) => self.refuse(request, &no, user).await,
        }
    }

    /// What the called person hears before the parties are connected.
    pub fn announce(&self) -> Response {
        let said = self.0.config.announcement.as_deref().map(say);
        Response::new(said.into_iter().collect()).unwrap_or_else(unspeakable)
    }

    /// What Twilio does after the other end has hung up, or never answered.
    pub async fn ended(&self, ended: &DialEnded) -> Response {
        let call = &ended.call_sid;
        let stop = self.stop_listening(call);
        let legs = legs(ended);
        self.0.gate.release(call, clock::now());
        self.write_down(call, move |desk| {
            let legs = legs.clone();
            async move {
                for update in &legs {
                    desk.follow_leg(update).await?;
                }
                Ok(())
            }
        })
        .await;
        let why = match ended.status {
            _ if ended.bridged == Some(true) => return hang_up(),
            CallStatus::Busy => "The line is busy.",
            CallStatus::NoAnswer => "Nobody answered.",
            CallStatus::Failed => "The call could not be connected. Please check the number.",
            CallStatus::Queued
            | CallStatus::Initiated
            | CallStatus::Ringing
            | CallStatus::InProgress
            | CallStatus::Completed
            | CallStatus::Canceled => return hang_up(),
        };
        // What is said now is not the other party's.
        let verbs = stop.into_iter().chain([say(why), Verb::Hangup]);
        Response::new(verbs.collect()).expect("a short text, no URL")
    }

    /// A browser calls a number.
    async fn outgoing(
        &self,
        request: &VoiceRequest,
        identity: &ClientIdentity,
    ) -> Result<Response, (No, Option<UserId>)> {
        let config = &self.0.config;
        let user = token::user_of(identity).filter(|user| *user != NOBODY);
        let no = |no| (no, user);
        let caller_id = config.caller_id.as_ref();
        let caller_id = caller_id.ok_or_else(|| no(No::NotSetUp("its Twilio number")))?;
        let wanted = request.to.as_ref().map_or("", Address::as_str);
        let number = config.policy.check(wanted, caller_id);
        let number = number.map_err(|refusal| no(No::Refused(refusal)))?;
        if !self.is_signed_in(identity).await {
            return Err(no(No::NobodyCalls));
        }
        let seconds_max = self.admit_placed(&request.call_sid, user).map_err(no)?;
        self.open(self.opening(request, number.as_str(), user), None)
            .await;
        let status = Some(StatusCallback::all(self.callback("/api/calls/status")));
        let announcement = config.announcement.as_ref();
        let noun = Noun::Number {
            number,
            announcement: announcement.map(|_| self.callback("/voice/announcement")),
            status,
        };
        let direction = Direction::Outgoing;
        Ok(self.connect(&request.call_sid, direction, vec![noun], seconds_max))
    }

    /// A number calls the browsers.
    async fn incoming(&self, request: &VoiceRequest) -> Result<Response, (No, Option<UserId>)> {
        let no = |no| (no, None);
        let browsers = self.browsers_to_ring().await;
        if browsers.is_empty() {
            return Err(no(No::NobodyHome));
        }
        self.admit(&request.call_sid, None).map_err(no)?;
        self.note_rung(&request.call_sid, &browsers);
        self.open(self.opening(request, "", None), None).await;
        let status = StatusCallback::all(self.callback("/api/calls/status"));
        let noun = |identity| Noun::Client {
            identity,
            // The page only knows the SID of its own leg.
            parameters: vec![Parameter::new("callSid", request.call_sid.as_str())],
            status: Some(status.clone()),
        };
        let nouns = browsers.into_iter().map(noun).collect();
        let seconds_max = self.0.config.limits.call_seconds_max;
        let direction = Direction::Incoming;
        Ok(self.connect(&request.call_sid, direction, nouns, seconds_max))
    }

    fn admit(&self, call: &CallSid, user: Option<UserId>) -> Result<(), No> {
        let now = clock::now();
        let admitted = self.0.gate.admit(call, user, now);
        // Whether those are still on is asked now, for the next try.
        let others = match (&admitted, user) {
            (Err(Refusal::TooManyCallsOfUser), Some(user)) => self.0.gate.calls_of(user, now),
            (Err(Refusal::TooManyCalls), _) => {
                let ages = self.0.gate.ages(now).into_iter();
                ages.map(|(call, _)| call).collect()
            }
            (_, _) => Vec::new(),
        };
        for call in &others {
            self.may_be_over(call);
        }
        admitted.map_err(No::Refused)
    }

    /// As [`Self::admit`], within the bounds of a day: for so many seconds.
    fn admit_placed(&self, call: &CallSid, user: Option<UserId>) -> Result<u32, No> {
        let begun = self.0.ledger.begin(call, user, clock::utc_now());
        let seconds_max = begun.map_err(No::Refused)?;
        if let Err(no) = self.admit(call, user) {
            self.0.ledger.withdraw(call);
            return Err(no);
        }
        Ok(seconds_max)
    }

    /// What is known of a call when it begins; `number` is who is called, if that was looked into.
    fn opening(&self, request: &VoiceRequest, number: &str, user: Option<UserId>) -> NewCall {
        let config = &self.0.config;
        let of = |address: &Option<Address>| address.as_ref().map_or_else(Party::default, party);
        let (direction, from, to) = match &request.from {
            Some(caller @ Address::Client(_)) => {
                let ours = config.caller_id.as_ref();
                let from = ours.map_or_else(|| party(caller), |id| Party(id.as_str().to_owned()));
                (Direction::Outgoing, from, of(&request.to))
            }
            Some(Address::Number(_) | Address::Other(_)) | None => {
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
            transcript: match config.source {
                TranscriptionSource::Off => TranscriptState::Off,
                TranscriptionSource::Whisper | TranscriptionSource::Twilio => {
                    TranscriptState::Waiting
                }
            },
            announced: config.announcement.is_some(),
        }
    }

    /// Writes the call down, and why it is not put through, if it is not.
    async fn open(&self, new: NewCall, refused: Option<&'static str>) {
        let (direction, user) = (new.direction, new.user_id);
        tracing::info!(call = ?new.sid, ?direction, ?user, refused, "call");
        let call = new.sid.clone();
        self.write_down(&call, move |desk| {
            let new = new.clone();
            async move {
                if direction == Direction::Outgoing && refused.is_none() {
                    let placed = PlacedCall {
                        call: new.sid.clone(),
                        user_id: user,
                        at: new.started_at,
                        ended_at: None,
                    };
                    desk.store().place_call(&placed).await?;
                }
                desk.store().open_call(&new).await?;
                if let Some(code) = refused {
                    desk.store().set_end_cause(&new.sid, code).await?;
                    desk.note(&new.sid, "refused", code, new.user_id).await;
                }
                Ok(())
            }
        })
        .await;
    }

    /// Does what is to be kept of a call, again if the database does not do it now. Twilio's
    /// question waits for it up to [`limits::ANSWER_WAIT_MAX`].
    async fn write_down<F>(&self, call: &CallSid, work: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let (desk, call) = (self.clone(), call.clone());
        let (done, is_done) = oneshot::channel();
        self.0.tools.tasks.spawn(async move {
            let mut pauses = WRITE_AGAIN.into_iter();
            while let Err(error) = work(desk.clone()).await {
                let is_passing = matches!(error, StoreError::Unavailable(_) | StoreError::Full);
                let Some(pause) = pauses.next().filter(|_| is_passing) else {
                    tracing::error!(?call, %error, "what happened of a call is not written down");
                    break;
                };
                tracing::warn!(?call, %error, "what happened of a call is to be written down yet");
                clock::until(Some(clock::now() + pause)).await;
            }
            let _ = done.send(()); // Nobody waits any more.
        });
        let _ = tokio::time::timeout(limits::ANSWER_WAIT_MAX, is_done).await;
    }

    /// Announcement, stream, connection.
    fn connect(
        &self,
        call: &CallSid,
        direction: Direction,
        nouns: Vec<Noun>,
        seconds_max: u32,
    ) -> Response {
        self.watch(call);
        let config = &self.0.config;
        let caller_id = match direction {
            Direction::Outgoing => config.caller_id.clone(),
            Direction::Incoming => None,
        };
        let announcement = config.announcement.as_deref().map(say);
        let dial = Verb::Dial(Dial {
            caller_id,
            answer_on_bridge: true,
            timeout_seconds: config.ring_seconds,
            time_limit_seconds: seconds_max,
            action: Some(self.callback("/voice/ended")),
            nouns,
        });
        let verbs = announcement
            .into_iter()
            .chain(self.listen(call, direction))
            .chain([dial]);
        Response::new(verbs.collect()).unwrap_or_else(unspeakable)
    }

    /// How the call's words are got.
    fn listen(&self, call: &CallSid, direction: Direction) -> Option<Verb> {
        match self.0.config.source {
            TranscriptionSource::Off => None,
            TranscriptionSource::Whisper => Some(Verb::StartStream(Stream {
                url: self.expect_stream(call, 1),
                name: Some(streams::name(1)),
                tracks: Tracks::Both,
                status_callback: Some(self.callback("/api/streams/status")),
                parameters: vec![Parameter::new(
                    streams::DIRECTION,
                    streams::direction(direction),
                )],
            })),
            TranscriptionSource::Twilio => Some(Verb::StartTranscription(Transcription {
                name: Some(TRANSCRIPTION.to_owned()),
                status_callback: self.callback("/api/transcriptions/realtime"),
                language: self.0.config.language.clone(),
                tracks: Tracks::Both,
                partial_results: true,
            })),
        }
    }

    /// Ends what [`Self::listen`] began.
    fn stop_listening(&self, call: &CallSid) -> Option<Verb> {
        match self.0.config.source {
            TranscriptionSource::Off => None,
            TranscriptionSource::Whisper => {
                let latest = lock(&self.0.restarts).latest(call);
                Some(Verb::StopStream(streams::name(latest)))
            }
            TranscriptionSource::Twilio => Some(Verb::StopTranscription(TRANSCRIPTION.to_owned())),
        }
    }

    /// Expects the call's `number`th media socket; the secret that opens it, once.
    pub(super) fn stream_secret(&self, call: &CallSid, number: u32) -> Secret {
        let (secret, call) = (Secret::random(), call.clone());
        let stream = Expected { call, number };
        lock(&self.0.admissions).issue(secret.hash(), stream, clock::now());
        secret
    }

    /// Expects the call's `number`th media socket; the URL that opens it, once.
    pub(super) fn expect_stream(&self, call: &CallSid, number: u32) -> String {
        let secret = self.stream_secret(call, number);
        let mut path = MEDIA.to_owned();
        write!(path, "{}", secret.expose()).expect("a String takes any text");
        self.0.config.public_url.wss(&path)
    }

    /// Says why not, and keeps that it was tried.
    async fn refuse(&self, request: &VoiceRequest, no: &No, user: Option<UserId>) -> Response {
        let call = &request.call_sid;
        tracing::warn!(?call, ?user, reason = no.code(), "call refused");
        let new = NewCall {
            transcript: TranscriptState::Off,
            announced: false,
            ..self.opening(request, "", user)
        };
        let direction = new.direction;
        self.open(new, Some(no.code())).await;
        self.may_be_over(call);
        let verbs = match (direction, no) {
            // Answering would cost the caller money.
            (Direction::Incoming, No::Refused(_) | No::Restarting) => {
                vec![Verb::Reject(Reason::Busy)]
            }
            _ => vec![say(&no.spoken()), Verb::Hangup],
        };
        Response::new(verbs).unwrap_or_else(unspeakable)
    }
}

/// Who calls from a server without users.
pub const NOBODY: UserId = UserId(0);

/// What the end of a `Dial` says of the call's legs, in order.
fn legs(ended: &DialEnded) -> Vec<LegUpdate> {
    let call = &ended.call_sid;
    let child = ended.child.as_ref().map(|child| LegUpdate {
        duration_seconds: ended.duration_seconds,
        parent: Some(call.clone()),
        ..LegUpdate::new(child, ended.status)
    });
    // Legs that were joined were answered, whatever is told of their ends.
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
    // The call ends with what is answered here, whether or not Twilio tells of it once more. If it
    // came to no leg, the call is what that leg would have been.
    let status = match child {
        Some(_) => CallStatus::Completed,
        None => ended.status,
    };
    let parent = LegUpdate::new(call, status);
    answer.into_iter().chain(child).chain([parent]).collect()
}

fn hang_up() -> Response {
    Response::new(vec![Verb::Hangup]).expect("no text, no URL")
}

fn say(text: &str) -> Verb {
    Verb::Say(Say::text(text))
}

/// The settings make TwiML that Twilio would not take: said rather than played as Twilio's own
/// "application error".
fn unspeakable(error: TwimlError) -> Response {
    tracing::error!(%error, "the settings do not make an answer that Twilio takes");
    let sorry = "Sorry, this phone is not set up correctly.";
    Response::new(vec![say(sorry), Verb::Hangup]).expect("a short text, no URL")
}
