//! What Twilio is told to do with a call: the TwiML of `/voice` and `/voice/ended`.

use std::fmt::Write;

use super::{Desk, lock};
use crate::access::secret::Secret;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::dialing::Refusal;
use crate::ids::{CallSid, ClientIdentity, UserId};
use crate::store::{LegUpdate, NewCall, Party, TranscriptState};
use crate::transcript::{CallStatus, Direction};
use crate::twilio::token;
use crate::twilio::twiml::{
    Dial, Noun, Reason, Response, Say, StatusCallback, Stream, Tracks, Transcription, TwimlError,
    Verb,
};
use crate::twilio::webhook::{Address, DialEnded, VoiceRequest};

/// Where media sockets open; the stream's secret follows.
const MEDIA: &str = "/media/";

/// Why a call is not put through.
enum No {
    /// By a rule.
    Refused(Refusal),
    /// Whoever calls was removed; the token of the browser outlives that by up to an hour.
    Removed,
    /// Nobody is there to be called.
    NobodyHome,
    /// The settings do not allow calls yet.
    NotSetUp(&'static str),
}

impl No {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Removed => "user_removed",
            Self::NobodyHome => "nobody_home",
            Self::NotSetUp(_) => "not_set_up",
        }
    }

    fn spoken(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.spoken(),
            Self::Removed => "This phone may not place calls any more.".to_owned(),
            Self::NobodyHome => {
                "Sorry, nobody can take your call now. Please try again later.".to_owned()
            }
            Self::NotSetUp(what) => {
                format!("This phone cannot place calls yet. Its owner has to set {what}.")
            }
        }
    }
}

impl Desk {
    /// What Twilio does with a call that begins. Never fails: what cannot be done is said.
    pub async fn answer(&self, request: &VoiceRequest) -> Response {
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
        let child = ended.child.as_ref().map(|child| LegUpdate {
            duration_seconds: ended.duration_seconds,
            parent: Some(call.clone()),
            ..LegUpdate::new(child, ended.status)
        });
        // The call ends with what is answered here, whether or not Twilio tells of it once more.
        let parent = LegUpdate::new(call, CallStatus::Completed);
        for update in child.iter().chain([&parent]) {
            if let Err(error) = self.follow_leg(update).await {
                tracing::warn!(?call, %error, "the end of a call was not kept; its callback will");
            }
        }
        let why = match ended.status {
            CallStatus::Busy => "The line is busy.",
            CallStatus::NoAnswer => "Nobody answered.",
            CallStatus::Failed => "The call could not be connected. Please check the number.",
            CallStatus::Queued
            | CallStatus::Initiated
            | CallStatus::Ringing
            | CallStatus::InProgress
            | CallStatus::Completed
            | CallStatus::Canceled => {
                return Response::new(vec![Verb::Hangup]).expect("no text, no URL");
            }
        };
        Response::new(vec![say(why), Verb::Hangup]).expect("a short text, no URL")
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
        if self.is_removed(user).await {
            return Err(no(No::Removed));
        }
        let caller_id = config.caller_id.as_ref();
        let caller_id = caller_id.ok_or_else(|| no(No::NotSetUp("its Twilio number")))?;
        let wanted = request.to.as_ref().map_or("", Address::as_str);
        let number = config.policy.check(wanted, caller_id);
        let number = number.map_err(|refusal| no(No::Refused(refusal)))?;
        self.admit(&request.call_sid, user).map_err(no)?;
        let parties = (caller_id.as_str(), number.as_str());
        self.open(request, Direction::Outgoing, parties, user).await;
        let status = Some(StatusCallback::all(self.callback("/api/calls/status")));
        let announcement = config.announcement.as_ref();
        let noun = Noun::Number {
            number,
            announcement: announcement.map(|_| config.public_url.https("/voice/announcement")),
            status,
        };
        Ok(self.connect(&request.call_sid, Some(caller_id.clone()), vec![noun]))
    }

    /// Whether there is no such user any more; not while the database cannot say.
    async fn is_removed(&self, user: Option<UserId>) -> bool {
        let Some(user) = user else { return false };
        matches!(self.store().user(user).await, Ok(None))
    }

    /// A number calls the browsers.
    async fn incoming(&self, request: &VoiceRequest) -> Result<Response, (No, Option<UserId>)> {
        let browsers = lock(&self.0.presence).ring(clock::utc_now());
        if browsers.is_empty() {
            return Err((No::NobodyHome, None));
        }
        self.admit(&request.call_sid, None)
            .map_err(|no| (no, None))?;
        let text = |address: &Option<Address>| {
            let address = address.as_ref().map_or("", Address::as_str);
            address.to_owned()
        };
        let (from, to) = (text(&request.from), text(&request.to));
        self.open(request, Direction::Incoming, (&from, &to), None)
            .await;
        let status = StatusCallback::all(self.callback("/api/calls/status"));
        let noun = |identity| Noun::Client {
            identity,
            parameters: vec![],
            status: Some(status.clone()),
        };
        let nouns = browsers.into_iter().map(noun).collect();
        Ok(self.connect(&request.call_sid, None, nouns))
    }

    fn admit(&self, call: &CallSid, user: Option<UserId>) -> Result<(), No> {
        let admitted = self.0.gate.admit(call, user, clock::now());
        admitted.map_err(No::Refused)
    }

    /// Writes the call down. One that cannot be is put through all the same.
    async fn open(
        &self,
        request: &VoiceRequest,
        direction: Direction,
        (from, to): (&str, &str),
        user_id: Option<UserId>,
    ) {
        let config = &self.0.config;
        let transcript = match config.source {
            TranscriptionSource::Off => TranscriptState::Off,
            TranscriptionSource::Whisper | TranscriptionSource::Twilio => TranscriptState::Waiting,
        };
        let new = NewCall {
            sid: request.call_sid.clone(),
            direction,
            status: request.status.unwrap_or(CallStatus::Ringing),
            from: Party(from.to_owned()),
            to: Party(to.to_owned()),
            user_id,
            started_at: clock::utc_now(),
            transcript,
            announced: config.announcement.is_some(),
        };
        match self.store().open_call(&new).await {
            Ok(_) => tracing::info!(call = ?new.sid, ?direction, ?user_id, "call"),
            Err(error) => {
                tracing::error!(call = ?new.sid, %error, "a call is not written down");
            }
        }
    }

    /// Announcement, stream, connection.
    fn connect(
        &self,
        call: &CallSid,
        caller_id: Option<crate::ids::E164>,
        nouns: Vec<Noun>,
    ) -> Response {
        let config = &self.0.config;
        let announcement = config.announcement.as_deref().map(say);
        let dial = Verb::Dial(Dial {
            caller_id,
            answer_on_bridge: true,
            timeout_seconds: config.ring_seconds,
            time_limit_seconds: config.limits.call_seconds_max,
            action: Some(config.public_url.https("/voice/ended")),
            nouns,
        });
        let verbs = announcement
            .into_iter()
            .chain(self.listen(call))
            .chain([dial]);
        Response::new(verbs.collect()).unwrap_or_else(unspeakable)
    }

    /// How the call's words are got.
    fn listen(&self, call: &CallSid) -> Option<Verb> {
        match self.0.config.source {
            TranscriptionSource::Off => None,
            TranscriptionSource::Whisper => Some(Verb::StartStream(Stream {
                url: self.expect_stream(call),
                name: Some(super::streams::name(clock::utc_now())),
                tracks: Tracks::Both,
                status_callback: Some(self.callback("/api/streams/status")),
                parameters: vec![],
            })),
            TranscriptionSource::Twilio => Some(Verb::StartTranscription(Transcription {
                name: Some("callburner".to_owned()),
                status_callback: self.callback("/api/transcriptions/realtime"),
                language: self.0.config.language.clone(),
                tracks: Tracks::Both,
                partial_results: true,
            })),
        }
    }

    /// Expects a media socket for the call; the URL that opens it, once.
    pub(super) fn expect_stream(&self, call: &CallSid) -> String {
        let secret = Secret::random();
        lock(&self.0.admissions).issue(secret.hash(), call.clone(), clock::now());
        let mut path = MEDIA.to_owned();
        write!(path, "{}", secret.expose()).expect("a String takes any text");
        self.0.config.public_url.wss(&path)
    }

    /// Says why not, and keeps that it was tried.
    async fn refuse(&self, request: &VoiceRequest, no: &No, user: Option<UserId>) -> Response {
        let call = &request.call_sid;
        tracing::warn!(?call, ?user, reason = no.code(), "call refused");
        let is_client = matches!(request.from, Some(Address::Client(_)));
        let direction = if is_client {
            Direction::Outgoing
        } else {
            Direction::Incoming
        };
        let text = |address: &Option<Address>| {
            address
                .as_ref()
                .map_or(String::new(), |address| address.as_str().to_owned())
        };
        let (from, to) = (text(&request.from), text(&request.to));
        self.open(request, direction, (&from, &to), user).await;
        let ended = async {
            self.store().set_end_cause(call, no.code()).await?;
            // Twilio will call it completed, since it heard a sentence; but nobody talked.
            let failed = LegUpdate::new(call, CallStatus::Failed);
            self.follow_leg(&failed).await
        };
        if let Err(error) = ended.await {
            tracing::warn!(?call, %error, "why a call was refused is not written down");
        }
        self.note(call, "refused", no.code(), user).await;
        let verbs = match (direction, no) {
            // Answering would cost the caller money.
            (Direction::Incoming, No::Refused(_)) => vec![Verb::Reject(Reason::Busy)],
            _ => vec![say(&no.spoken()), Verb::Hangup],
        };
        Response::new(verbs).unwrap_or_else(unspeakable)
    }
}

/// Who calls from a server without users.
pub const NOBODY: UserId = UserId(0);

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
