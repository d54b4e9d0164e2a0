//! The webhook simulator: simulates a whole call as Twilio makes it. It requests TwiML from the server,
//! executes it, and sends all status callbacks; each request is signed.
//!
//! ```text
//!   POST /voice ─► TwiML ─┬─► Stream: started, the media socket, stopped
//!                         └─► Dial: initiated, ringing, answered, completed; then its action
//!   POST /api/calls/status: the call is completed
//! ```
//!
//! Sources: <https://www.twilio.com/docs/voice/twiml> and
//! <https://www.twilio.com/docs/usage/webhooks/voice-webhooks>. The callee answers at once, and hangs up when
//! the recording ends.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect};
use url::form_urlencoded;

use super::{
    PlaybackError, PlaybackReport, RecordedCall, RequestSigner, SocketStep, StreamOptions,
    fresh_call_sid, play_call, replay_capture,
};
use crate::clock;
use crate::ids::{AccountSid, CallSid};
use crate::limits;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::{self, SigningKey};
use crate::twilio::twiml::{
    self, CallProgress, Dial, DialNoun, StatusCallback, StreamNoun, TwimlError, TwimlVerb,
};
use crate::twilio::webhook::IDEMPOTENCY_HEADER;

/// Time that Twilio waits for a response
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>). Reached:
/// [`SimulatorError::Unreachable`].
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(15);

/// Error of a simulated call.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The server does not respond, or not in time.
    #[error("the server does not respond at {0}: {1}")]
    Unreachable(String, String),
    /// The server does not accept the simulator's signature.
    #[error(
        "the server refused {0}: the request was not signed with its auth token, or the signed \
         URL does not start with its PUBLIC_BASE_URL"
    )]
    Unauthorized(String),
    /// A response that Twilio would report as an error.
    #[error("the server responded to {0} with {1}")]
    Failed(String, StatusCode),
    /// A response that is not valid TwiML.
    #[error("the server responded to {0} with invalid TwiML: {1}")]
    Twiml(String, TwimlError),
    /// The server rejects the call; the text is the announcement to the caller.
    #[error("the server rejects the call, with the announcement: {0}")]
    Refused(String),
    /// The server connects the call, but without a media stream.
    #[error(
        "the server connects the call without a media stream: TRANSCRIPTION_SOURCE is not whisper"
    )]
    NoStream,
    /// The stream could not be played.
    #[error(transparent)]
    Play(#[from] PlaybackError),
}

/// The audio of a simulated call.
#[derive(Debug, Clone, Copy)]
pub enum CallSource<'a> {
    /// A recorded call.
    Recorded(&'a RecordedCall),
    /// A captured session, byte for byte: its SIDs match [`StreamOptions::call_sid`] and the server's account
    /// only if they were captured so.
    Captured(&'a [SocketStep]),
}

/// The parties of a call: telephone numbers, or `client:…` for a browser. No `Debug`.
#[derive(Clone)]
pub struct CallParties {
    /// The caller.
    pub from: String,
    /// The callee; for a call by a browser, the text that the page sends.
    pub to: String,
}

/// Simulates Twilio for one server.
#[derive(Debug, Clone)]
pub struct WebhookSimulator {
    http: Client,
    key: SigningKey,
    account_sid: AccountSid,
    public_url: PublicUrl,
    server_url: PublicUrl,
}

/// One of a call's two legs, as callbacks describe it.
struct CallLeg<'a> {
    sid: &'a CallSid,
    /// `None`: this is the parent.
    parent: Option<&'a CallSid>,
    from: &'a str,
    to: &'a str,
}

type FormPairs = Vec<(String, String)>;

impl WebhookSimulator {
    /// Creates a simulator that signs with `key` for the account. Requests are signed for the server's URL
    /// `public_url`, and sent to `server_url`.
    pub fn new(
        key: SigningKey,
        account_sid: AccountSid,
        public_url: PublicUrl,
        server_url: PublicUrl,
    ) -> Result<Self, SimulatorError> {
        let http = Client::builder()
            .user_agent("TwilioProxy/1.1")
            .timeout(ANSWER_WAIT_MAX)
            .redirect(redirect::Policy::none())
            .build();
        let http =
            http.map_err(|e| SimulatorError::Unreachable(server_url.to_string(), root_cause(&e)))?;
        Ok(Self {
            http,
            key,
            account_sid,
            public_url,
            server_url,
        })
    }

    /// Simulates a call from the first ringing to the last callback. The simulator sets the signer, the
    /// account and the parameters of `options`.
    pub async fn place_call(
        &self,
        parties: &CallParties,
        source: CallSource<'_>,
        options: StreamOptions,
    ) -> Result<PlaybackReport, SimulatorError> {
        let parent = CallLeg {
            sid: &options.call_sid,
            parent: None,
            from: &parties.from,
            to: &parties.to,
        };
        let mut form = self.leg_form(&parent, "ringing");
        if parties.from.starts_with("client:") {
            // The text that the page sends is not a called number.
            push_fields(&mut form, [("Called", "")]);
        }
        let (stream, dial) = self.request_twiml(form).await?;
        let child_sid = fresh_call_sid();
        let (from, to) = child_addresses(&dial, parties);
        let child = CallLeg {
            sid: &child_sid,
            parent: Some(&options.call_sid),
            from: &from,
            to: &to,
        };
        let played = tokio::try_join!(
            async {
                let played = self.play_stream(&stream, source, &options).await;
                played.map_err(SimulatorError::from)
            },
            async {
                self.post_stream_status(&stream, &options, "stream-started")
                    .await?;
                self.dial_child(&dial, &child).await
            },
        );
        let (played, ()) = played?;
        self.post_stream_status(&stream, &options, "stream-stopped")
            .await?;
        self.hang_up(&dial, &parent, &child, &played).await?;
        Ok(played)
    }

    /// Requests TwiML for the call; returns its `<Stream>` and its `<Dial>`.
    async fn request_twiml(&self, form: FormPairs) -> Result<(StreamNoun, Dial), SimulatorError> {
        let url = self.public_url.https_url("/voice");
        let document = self.post(&url, form).await?;
        let response = twiml::parse(&document);
        let response = response.map_err(|error| SimulatorError::Twiml(url, error))?;
        let (mut said, mut stream, mut dial) = (Vec::new(), None, None);
        for verb in response.verbs() {
            match verb {
                TwimlVerb::Say(say) => said.push(say.text.as_str()),
                TwimlVerb::StartStream(it) => stream = stream.or_else(|| Some(it.clone())),
                TwimlVerb::Dial(it) => dial = Some(it.clone()),
                TwimlVerb::Reject(_) => said.push("that the line is busy"),
                TwimlVerb::Pause(_)
                | TwimlVerb::StopStream(_)
                | TwimlVerb::StartTranscription(_)
                | TwimlVerb::StopTranscription(_)
                | TwimlVerb::Hangup => {}
            }
        }
        let dial = dial.ok_or_else(|| SimulatorError::Refused(said.join(" ")))?;
        Ok((stream.ok_or(SimulatorError::NoStream)?, dial))
    }

    /// Connects to the media socket, and plays the stream to its end.
    async fn play_stream(
        &self,
        stream: &StreamNoun,
        source: CallSource<'_>,
        options: &StreamOptions,
    ) -> Result<PlaybackReport, PlaybackError> {
        let signer = RequestSigner {
            key: self.key.clone(),
            public_url: Some(stream.url.clone()),
        };
        let url = self.reachable_url(&stream.url);
        match source {
            CallSource::Recorded(call) => {
                let parameters = stream.parameters.iter();
                let parameters = parameters.map(|p| (p.name.clone(), p.value.clone()));
                let options = StreamOptions {
                    account_sid: self.account_sid.as_str().to_owned(),
                    parameters: parameters.collect(),
                    signer: Some(signer),
                    ..options.clone()
                };
                Box::pin(play_call(&url, call, &options)).await
            }
            CallSource::Captured(steps) => {
                Box::pin(replay_capture(&url, steps, options.speed, Some(&signer))).await
            }
        }
    }

    /// Calls the callee, who answers.
    async fn dial_child(&self, dial: &Dial, child: &CallLeg<'_>) -> Result<(), SimulatorError> {
        let noun = dial.nouns.first();
        for (sequence, progress) in (0..).zip(CallProgress::ALL) {
            if progress == CallProgress::Completed {
                break;
            }
            if progress == CallProgress::Answered
                && let Some(DialNoun::Number { announcement, .. }) = noun
                && let Some(url) = announcement
            {
                // Requested when the callee answers, before the parties are connected.
                self.post(url, self.leg_form(child, "in-progress")).await?;
            }
            let status = noun.and_then(status_callback_of);
            self.post_call_status(status, child, progress, sequence, None)
                .await?;
        }
        Ok(())
    }

    /// Ends the child leg, then the call.
    async fn hang_up(
        &self,
        dial: &Dial,
        parent: &CallLeg<'_>,
        child: &CallLeg<'_>,
        played: &PlaybackReport,
    ) -> Result<(), SimulatorError> {
        let talked = clock::now().saturating_duration_since(played.started);
        let seconds = talked.as_secs().max(1);
        let (completed, last) = (CallProgress::Completed, CallProgress::ALL.len() as u32 - 1);
        let status = dial.nouns.first().and_then(status_callback_of);
        self.post_call_status(status, child, completed, last, Some(seconds))
            .await?;
        if let Some(action) = &dial.action {
            let mut form = self.leg_form(parent, "in-progress");
            let duration = seconds.to_string();
            push_fields(
                &mut form,
                [
                    ("DialCallStatus", "completed"),
                    ("DialCallSid", child.sid.as_str()),
                    ("DialCallDuration", &duration),
                    ("DialBridged", "true"),
                ],
            );
            let document = self.post(action, form).await?;
            let next = twiml::parse(&document);
            next.map_err(|error| SimulatorError::Twiml(action.clone(), error))?;
        }
        // The status callback of the TwiML application, as `callburner setup` configures it.
        let status = StatusCallback {
            url: self.public_url.https_url("/api/calls/status"),
            events: vec![],
        };
        self.post_call_status(Some(&status), parent, completed, 0, Some(seconds))
            .await
    }

    /// Sends a leg's status callback, if one is configured for this event.
    async fn post_call_status(
        &self,
        status: Option<&StatusCallback>,
        leg: &CallLeg<'_>,
        progress: CallProgress,
        sequence: u32,
        seconds: Option<u64>,
    ) -> Result<(), SimulatorError> {
        let Some(status) = status else {
            return Ok(());
        };
        let is_wanted = if status.events.is_empty() {
            progress == CallProgress::Completed
        } else {
            status.events.contains(&progress)
        };
        if !is_wanted {
            return Ok(());
        }
        let word = match progress {
            CallProgress::Initiated => "initiated",
            CallProgress::Ringing => "ringing",
            CallProgress::Answered => "in-progress",
            CallProgress::Completed => "completed",
        };
        let mut form = self.leg_form(leg, word);
        let (sequence, date) = (sequence.to_string(), clock::utc_now().to_rfc_2822());
        push_fields(
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
            push_fields(
                &mut form,
                [("CallDuration", seconds.as_str()), ("Duration", &minutes)],
            );
        }
        self.post(&status.url, form).await.map(|_| ())
    }

    /// Sends the stream's status callback, if one is configured.
    async fn post_stream_status(
        &self,
        stream: &StreamNoun,
        options: &StreamOptions,
        event: &str,
    ) -> Result<(), SimulatorError> {
        let Some(url) = &stream.status_callback else {
            return Ok(());
        };
        let sid = options.stream_sid.as_str();
        let now = clock::utc_now().to_string();
        let mut form = FormPairs::new();
        push_fields(
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

    /// Returns the fields that every webhook of a leg has.
    fn leg_form(&self, leg: &CallLeg<'_>, status: &str) -> FormPairs {
        let mut form = FormPairs::new();
        let direction = if leg.parent.is_some() {
            "outbound-dial"
        } else {
            "inbound"
        };
        push_fields(
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
        push_fields(&mut form, parent);
        form
    }

    /// Posts a form to a URL from the server's TwiML; returns the body of the response.
    async fn post(&self, url: &str, form: FormPairs) -> Result<String, SimulatorError> {
        // The fragment is for Twilio only: the number of retries.
        let url = url.split('#').next().unwrap_or_default();
        let signature = signature::sign(&self.key, url, &form);
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form)
            .finish();
        let token = fresh_call_sid();
        let answer = self.http.post(self.reachable_url(url));
        let answer = answer
            .header(
                CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=UTF-8",
            )
            .header(signature::HEADER, signature)
            .header(IDEMPOTENCY_HEADER, token.as_str())
            .body(body)
            .send();
        let url = url.to_owned();
        let mut answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return Err(SimulatorError::Unreachable(url, root_cause(&error))),
        };
        match answer.status() {
            StatusCode::FORBIDDEN => return Err(SimulatorError::Unauthorized(url)),
            status if !status.is_success() => return Err(SimulatorError::Failed(url, status)),
            _ => {}
        }
        let mut document = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => document.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return Err(SimulatorError::Unreachable(url, root_cause(&error))),
            }
            if document.len() > limits::TWIML_BYTES_MAX {
                return Err(SimulatorError::Twiml(url, TwimlError::Document));
            }
        }
        let document = String::from_utf8(document);
        document.map_err(|_| SimulatorError::Twiml(url, TwimlError::Document))
    }

    /// Returns the URL at which a URL from the server's TwiML can be reached.
    fn reachable_url(&self, url: &str) -> String {
        if let Some(path) = url.strip_prefix(&self.public_url.https_url("/")) {
            return self.server_url.https_url(path);
        }
        match url.strip_prefix(&self.public_url.wss_url("/")) {
            Some(path) => self.server_url.wss_url(path),
            None => url.to_owned(),
        }
    }
}

/// Returns the caller and the callee of the dialled leg.
fn child_addresses(dial: &Dial, parties: &CallParties) -> (String, String) {
    let from = dial
        .caller_id
        .as_ref()
        .map_or(parties.from.as_str(), |id| id.as_str());
    let to = match dial.nouns.first() {
        Some(DialNoun::Number { number, .. }) => number.as_str().to_owned(),
        Some(DialNoun::Client { identity, .. }) => format!("client:{}", identity.as_str()),
        None => parties.to.clone(),
    };
    (from.to_owned(), to)
}

fn status_callback_of(noun: &DialNoun) -> Option<&StatusCallback> {
    match noun {
        DialNoun::Number { status, .. } | DialNoun::Client { status, .. } => status.as_ref(),
    }
}

fn push_fields<'a>(form: &mut FormPairs, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let fields = fields.into_iter();
    form.extend(fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Returns the innermost cause of an error: the system's message.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
