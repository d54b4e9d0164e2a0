//! The exchange: a whole call as Twilio makes it. It asks the server what to do with the call, does
//! it, and tells of every step, each request signed.
//!
//! ```text
//!   POST /voice ─► TwiML ─┬─► Stream: started, the media socket, stopped
//!                         └─► Dial: initiated, ringing, answered, completed; then its action
//!   POST /api/calls/status: the call is completed
//! ```
//!
//! Sources: <https://www.twilio.com/docs/voice/twiml> and
//! <https://www.twilio.com/docs/usage/webhooks/voice-webhooks>. Whoever is dialled answers at once,
//! and hangs up when the recording ends.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect};
use url::form_urlencoded;

use super::{Call, Options, PlayError, Played, Signer, Step, fresh_call_sid, play, replay};
use crate::clock;
use crate::ids::{AccountSid, CallSid};
use crate::limits;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::{self, Key};
use crate::twilio::twiml::{self, Dial, Noun, Progress, StatusCallback, Stream, TwimlError, Verb};
use crate::twilio::webhook::IDEMPOTENCY_HEADER;

/// Time that Twilio waits for an answer
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>). Hit:
/// [`ExchangeError::Unreachable`].
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(15);

/// Why a call could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Nobody answers, or not in time.
    #[error("the server does not answer at {0}: {1}")]
    Unreachable(String, String),
    /// The server does not take the exchange for Twilio.
    #[error(
        "the server refused {0}: it was not signed with its auth token, or for another address \
         than its PUBLIC_BASE_URL"
    )]
    NotBelieved(String),
    /// An answer that Twilio would raise an alarm at.
    #[error("the server answered {0} with {1}")]
    Failed(String, StatusCode),
    /// An answer that Twilio could not follow.
    #[error("the server answered {0} with what Twilio cannot follow: {1}")]
    Twiml(String, TwimlError),
    /// The call is not put through; the caller hears why.
    #[error("the call is not put through. The caller hears: {0}")]
    Refused(String),
    /// The call is put through, and nobody listens to it.
    #[error("the call is put through without a media stream: TRANSCRIPTION_SOURCE is not whisper")]
    NoStream,
    /// The stream could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
}

/// What is said on the line.
#[derive(Debug, Clone, Copy)]
pub enum Sound<'a> {
    /// A recorded call.
    Recorded(&'a Call),
    /// A captured session, to the letter: it is of [`Options::call_sid`] and of the server's account
    /// only if it says so.
    Captured(&'a [Step]),
}

/// Who calls whom: telephone numbers, or `client:…` for a browser. No `Debug`.
#[derive(Clone)]
pub struct Parties {
    /// Who calls.
    pub from: String,
    /// Who is called; from a browser, what its page asks for.
    pub to: String,
}

/// Stands in for Twilio before one server.
#[derive(Debug, Clone)]
pub struct Exchange {
    http: Client,
    key: Key,
    account_sid: AccountSid,
    named: PublicUrl,
    called: PublicUrl,
}

/// One of a call's two legs, as its callbacks name it.
struct Leg<'a> {
    sid: &'a CallSid,
    /// None: it is the parent.
    parent: Option<&'a CallSid>,
    from: &'a str,
    to: &'a str,
}

type Form = Vec<(String, String)>;

impl Exchange {
    /// An exchange that signs with `key` for the account. The server knows itself as `named`, which
    /// is what is signed, and is reached at `called`, whatever it names.
    pub fn new(
        key: Key,
        account_sid: AccountSid,
        named: PublicUrl,
        called: PublicUrl,
    ) -> Result<Self, ExchangeError> {
        let http = Client::builder()
            .user_agent("TwilioProxy/1.1")
            .timeout(ANSWER_WAIT_MAX)
            .redirect(redirect::Policy::none())
            .build();
        let http = http.map_err(|e| ExchangeError::Unreachable(called.to_string(), root(&e)))?;
        Ok(Self {
            http,
            key,
            account_sid,
            named,
            called,
        })
    }

    /// Makes a call, from its first ringing to the last callback. Signer, account and parameters of
    /// `options` are the exchange's to fill in.
    pub async fn place(
        &self,
        parties: &Parties,
        sound: Sound<'_>,
        options: Options,
    ) -> Result<Played, ExchangeError> {
        let parent = Leg {
            sid: &options.call_sid,
            parent: None,
            from: &parties.from,
            to: &parties.to,
        };
        let mut form = self.leg(&parent, "ringing");
        if parties.from.starts_with("client:") {
            // What the page asks for is no number that was called.
            put(&mut form, [("Called", "")]);
        }
        let (stream, dial) = self.instructions(form).await?;
        let child_sid = fresh_call_sid();
        let (from, to) = ends(&dial, parties);
        let child = Leg {
            sid: &child_sid,
            parent: Some(&options.call_sid),
            from: &from,
            to: &to,
        };
        let played = tokio::try_join!(
            async {
                let played = self.stream(&stream, sound, &options).await;
                played.map_err(ExchangeError::from)
            },
            async {
                self.tell_stream(&stream, &options, "stream-started")
                    .await?;
                self.connect(&dial, &child).await
            },
        );
        let (played, ()) = played?;
        self.tell_stream(&stream, &options, "stream-stopped")
            .await?;
        self.hang_up(&dial, &parent, &child, &played).await?;
        Ok(played)
    }

    /// What the server wants done with the call.
    async fn instructions(&self, form: Form) -> Result<(Stream, Dial), ExchangeError> {
        let named = self.named.https("/voice");
        let document = self.post(&named, form).await?;
        let response = twiml::read(&document);
        let response = response.map_err(|error| ExchangeError::Twiml(named, error))?;
        let (mut said, mut stream, mut dial) = (Vec::new(), None, None);
        for verb in response.verbs() {
            match verb {
                Verb::Say(say) => said.push(say.text.as_str()),
                Verb::StartStream(it) => stream = stream.or_else(|| Some(it.clone())),
                Verb::Dial(it) => dial = Some(it.clone()),
                Verb::Reject(_) => said.push("that the line is engaged"),
                Verb::Pause(_)
                | Verb::StopStream(_)
                | Verb::StartTranscription(_)
                | Verb::StopTranscription(_)
                | Verb::Hangup => {}
            }
        }
        let dial = dial.ok_or_else(|| ExchangeError::Refused(said.join(" ")))?;
        Ok((stream.ok_or(ExchangeError::NoStream)?, dial))
    }

    /// Opens the media socket, and plays to its end.
    async fn stream(
        &self,
        stream: &Stream,
        sound: Sound<'_>,
        options: &Options,
    ) -> Result<Played, PlayError> {
        let signer = Signer {
            key: self.key.clone(),
            public_url: Some(stream.url.clone()),
        };
        let url = self.reach(&stream.url);
        match sound {
            Sound::Recorded(call) => {
                let parameters = stream.parameters.iter();
                let parameters = parameters.map(|p| (p.name.clone(), p.value.clone()));
                let options = Options {
                    account_sid: self.account_sid.as_str().to_owned(),
                    parameters: parameters.collect(),
                    signer: Some(signer),
                    ..options.clone()
                };
                Box::pin(play(&url, call, &options)).await
            }
            Sound::Captured(steps) => {
                Box::pin(replay(&url, steps, options.speed, Some(&signer))).await
            }
        }
    }

    /// The dialled end is called, and answers.
    async fn connect(&self, dial: &Dial, child: &Leg<'_>) -> Result<(), ExchangeError> {
        let noun = dial.nouns.first();
        for (sequence, progress) in (0..).zip(Progress::ALL) {
            if progress == Progress::Completed {
                break;
            }
            if progress == Progress::Answered
                && let Some(Noun::Number { announcement, .. }) = noun
                && let Some(url) = announcement
            {
                // Said to whoever picks up, before the parties are connected.
                self.post(url, self.leg(child, "in-progress")).await?;
            }
            let status = noun.and_then(status_of);
            self.tell_progress(status, child, progress, sequence, None)
                .await?;
        }
        Ok(())
    }

    /// The dialled end hangs up; then the call is over.
    async fn hang_up(
        &self,
        dial: &Dial,
        parent: &Leg<'_>,
        child: &Leg<'_>,
        played: &Played,
    ) -> Result<(), ExchangeError> {
        let talked = clock::now().saturating_duration_since(played.started);
        let seconds = talked.as_secs().max(1);
        let (completed, last) = (Progress::Completed, Progress::ALL.len() as u32 - 1);
        let status = dial.nouns.first().and_then(status_of);
        self.tell_progress(status, child, completed, last, Some(seconds))
            .await?;
        if let Some(action) = &dial.action {
            let mut form = self.leg(parent, "in-progress");
            let duration = seconds.to_string();
            put(
                &mut form,
                [
                    ("DialCallStatus", "completed"),
                    ("DialCallSid", child.sid.as_str()),
                    ("DialCallDuration", &duration),
                    ("DialBridged", "true"),
                ],
            );
            let document = self.post(action, form).await?;
            let next = twiml::read(&document);
            next.map_err(|error| ExchangeError::Twiml(action.clone(), error))?;
        }
        // Where the TwiML application has its status callback: `callburner setup` makes it so.
        let status = StatusCallback {
            url: self.named.https("/api/calls/status"),
            events: vec![],
        };
        self.tell_progress(Some(&status), parent, completed, 0, Some(seconds))
            .await
    }

    /// Tells of a leg's step, if anybody wants to know of it.
    async fn tell_progress(
        &self,
        status: Option<&StatusCallback>,
        leg: &Leg<'_>,
        progress: Progress,
        sequence: u32,
        seconds: Option<u64>,
    ) -> Result<(), ExchangeError> {
        let Some(status) = status else {
            return Ok(());
        };
        let is_wanted = if status.events.is_empty() {
            progress == Progress::Completed
        } else {
            status.events.contains(&progress)
        };
        if !is_wanted {
            return Ok(());
        }
        let word = match progress {
            Progress::Initiated => "initiated",
            Progress::Ringing => "ringing",
            Progress::Answered => "in-progress",
            Progress::Completed => "completed",
        };
        let mut form = self.leg(leg, word);
        let (sequence, date) = (sequence.to_string(), clock::utc_now().to_rfc_2822());
        put(
            &mut form,
            [
                ("CallbackSource", "call-progress-events"),
                ("SequenceNumber", &sequence),
                ("Timestamp", &date),
            ],
        );
        if let Some(seconds) = seconds {
            let minutes = seconds.div_ceil(60).to_string();
            let seconds = seconds.to_string();
            put(
                &mut form,
                [("CallDuration", seconds.as_str()), ("Duration", &minutes)],
            );
        }
        self.post(&status.url, form).await.map(|_| ())
    }

    /// Tells of the stream, if anybody wants to know.
    async fn tell_stream(
        &self,
        stream: &Stream,
        options: &Options,
        event: &str,
    ) -> Result<(), ExchangeError> {
        let Some(url) = &stream.status_callback else {
            return Ok(());
        };
        let sid = options.stream_sid.as_str();
        let now = clock::utc_now().to_string();
        let mut form = Form::new();
        put(
            &mut form,
            [
                ("AccountSid", self.account_sid.as_str()),
                ("CallSid", options.call_sid.as_str()),
                ("StreamSid", sid),
                ("StreamName", stream.name.as_deref().unwrap_or(sid)),
                ("StreamEvent", event),
                ("Timestamp", &now),
            ],
        );
        self.post(url, form).await.map(|_| ())
    }

    /// What every webhook of a leg says.
    fn leg(&self, leg: &Leg<'_>, status: &str) -> Form {
        let mut form = Form::new();
        let direction = if leg.parent.is_some() {
            "outbound-dial"
        } else {
            "inbound"
        };
        put(
            &mut form,
            [
                ("AccountSid", self.account_sid.as_str()),
                ("ApiVersion", "2010-04-01"),
                ("CallSid", leg.sid.as_str()),
                ("CallStatus", status),
                ("Direction", direction),
                ("From", leg.from),
                ("Caller", leg.from),
                ("To", leg.to),
            ],
        );
        let parent = leg.parent.map(|parent| ("ParentCallSid", parent.as_str()));
        put(&mut form, parent);
        form
    }

    /// Posts a form to a URL that the server named; the body of the answer.
    async fn post(&self, named: &str, form: Form) -> Result<String, ExchangeError> {
        // What follows is for Twilio alone: how often to ask again.
        let named = named.split('#').next().unwrap_or_default();
        let signature = signature::sign(&self.key, named, &form);
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form)
            .finish();
        let token = fresh_call_sid();
        let answer = self.http.post(self.reach(named));
        let answer = answer
            .header(
                CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=UTF-8",
            )
            .header(signature::HEADER, signature)
            .header(IDEMPOTENCY_HEADER, token.as_str())
            .body(body)
            .send();
        let named = named.to_owned();
        let mut answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return Err(ExchangeError::Unreachable(named, root(&error))),
        };
        match answer.status() {
            StatusCode::FORBIDDEN => return Err(ExchangeError::NotBelieved(named)),
            status if !status.is_success() => return Err(ExchangeError::Failed(named, status)),
            _ => {}
        }
        let mut document = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => document.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return Err(ExchangeError::Unreachable(named, root(&error))),
            }
            if document.len() > limits::TWIML_BYTES_MAX {
                return Err(ExchangeError::Twiml(named, TwimlError::Document));
            }
        }
        let document = String::from_utf8(document);
        document.map_err(|_| ExchangeError::Twiml(named, TwimlError::Document))
    }

    /// Where a URL that the server named is reached.
    fn reach(&self, named: &str) -> String {
        if let Some(path) = named.strip_prefix(&self.named.https("/")) {
            return self.called.https(path);
        }
        match named.strip_prefix(&self.named.wss("/")) {
            Some(path) => self.called.wss(path),
            None => named.to_owned(),
        }
    }
}

/// Who calls whom on the dialled leg.
fn ends(dial: &Dial, parties: &Parties) -> (String, String) {
    let from = dial
        .caller_id
        .as_ref()
        .map_or(parties.from.as_str(), |id| id.as_str());
    let to = match dial.nouns.first() {
        Some(Noun::Number { number, .. }) => number.as_str().to_owned(),
        Some(Noun::Client { identity, .. }) => format!("client:{}", identity.as_str()),
        None => parties.to.clone(),
    };
    (from.to_owned(), to)
}

fn status_of(noun: &Noun) -> Option<&StatusCallback> {
    match noun {
        Noun::Number { status, .. } | Noun::Client { status, .. } => status.as_ref(),
    }
}

fn put<'a>(form: &mut Form, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let fields = fields.into_iter();
    form.extend(fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// The last cause of an error: what the system says.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
