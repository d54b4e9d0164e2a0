//! TwiML: types for the documents that this server sends to Twilio. Pure: no I/O.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml> and the pages of each verb below. Verbs are plain data;
//! [`VoiceResponse::new`] rejects values that Twilio would reject during the call, so that
//! [`VoiceResponse::to_xml`] cannot fail. [`parse`](parse()) parses a document as Twilio does, for
//! `twilio_sim`.

mod reader;
mod writer;

use std::fmt;
use std::ops::RangeInclusive;

use url::Host;
use url::Url;

use crate::ids::ClientIdentity;
use crate::ids::E164;
use crate::twilio::tracks::TrackSelection;

pub use self::reader::parse;
pub use self::reader::started_streams;

/// The media type of a TwiML response.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// Largest number of nouns of a `<Dial>`, which ring at once
/// (<https://www.twilio.com/docs/voice/twiml/client>).
pub const NOUNS_MAX: usize = 10;

/// Largest number of characters of a parameter's name and value together
/// (<https://www.twilio.com/docs/voice/twiml/stream>).
pub const PARAMETER_CHARS_MAX: usize = 499;

/// Longest text of a `<Say>` in characters (<https://www.twilio.com/docs/voice/twiml/say>).
pub const SAY_CHARS_MAX: usize = 4_096;

/// Allowed ringing time of a `<Dial>` in seconds (<https://www.twilio.com/docs/voice/twiml/dial>).
const TIMEOUT_SECONDS: RangeInclusive<u16> = 5..=600;

/// Longest call by a `<Dial>` in seconds, for an account without a higher limit.
pub const TIME_LIMIT_SECONDS_MAX: u32 = 14_400;

/// Error of [`VoiceResponse::new`] or of [`parse`](parse()): Twilio would reject the document. The messages
/// name the part, not its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// Twilio cannot send a stream to the URL.
    #[error(
        "a stream's URL must start with wss:// (ws:// only on this machine), and have no query, \
         fragment or user: Twilio drops them"
    )]
    StreamUrl,
    /// A parameter is too long or has no name.
    #[error("a parameter needs a name, and name and value fewer than 500 characters together")]
    Parameter,
    /// A callback's URL is invalid.
    #[error("a callback needs an absolute http or https URL, without underscores in its host")]
    CallbackUrl,
    /// The text of a `<Say>` is empty or too long.
    #[error("a Say needs a text of 1 to 4096 characters")]
    Say,
    /// A `<Dial>` has no nouns or too many.
    #[error("a Dial rings 1 to 10 numbers and clients")]
    Nouns,
    /// The ringing time is out of range.
    #[error("a Dial rings 5 to 600 seconds")]
    Timeout,
    /// The time limit is out of range.
    #[error("a Dial lasts 1 to 14400 seconds")]
    TimeLimit,
    /// The document is not XML, or longer than [`limits::TWIML_BYTES_MAX`](crate::limits::TWIML_BYTES_MAX).
    #[error("this is not a TwiML document")]
    Document,
}

/// A TwiML document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceResponse {
    verbs: Vec<TwimlVerb>,
}

/// A TwiML verb: an instruction to Twilio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwimlVerb {
    /// Speaks a text.
    Say(Say),
    /// Waits for this many seconds.
    Pause(u16),
    /// Starts to fork the call's audio to a WebSocket, and continues with the next verb at once.
    StartStream(StreamNoun),
    /// Stops the stream with this name.
    StopStream(String),
    /// Starts Twilio's Real-Time Transcription, and continues with the next verb at once.
    StartTranscription(TranscriptionNoun),
    /// Stops the transcription with this name.
    StopTranscription(String),
    /// Dials others, and connects the first who answers.
    Dial(Dial),
    /// Ends the call.
    Hangup,
    /// Rejects the call; must be the first verb.
    Reject(TwimlRejectReason),
}

/// A `<Say>`: a spoken text (<https://www.twilio.com/docs/voice/twiml/say>).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Say {
    /// The text.
    pub text: String,
    /// The voice, such as `Polly.Joanna`; `None`: the account's voice.
    pub voice: Option<String>,
    /// The language, such as `en-GB`.
    pub language: Option<String>,
}

impl Say {
    /// Creates a `<Say>` with the account's default voice.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

/// A `<Stream>`: a fork of the call's audio (<https://www.twilio.com/docs/voice/twiml/stream>). `Debug`
/// redacts the URL's path, which may contain a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamNoun {
    /// Destination of the audio: see [`TwimlError::StreamUrl`].
    pub url: String,
    /// Name, unique within the call, for stopping the stream. `None`: its SID.
    pub name: Option<String>,
    /// The tracks of the stream.
    pub tracks: TrackSelection,
    /// Webhook that Twilio calls when the stream has started, stopped or failed.
    pub status_callback: Option<String>,
    /// Parameters for the stream's `start` message.
    pub parameters: Vec<TwimlParameter>,
}

impl fmt::Debug for StreamNoun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamNoun")
            .field("name", &self.name)
            .field("tracks", &self.tracks)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// A `<Parameter>`: a value that Twilio passes on. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct TwimlParameter {
    /// The parameter's name.
    pub name: String,
    /// The parameter's value; with the name at most [`PARAMETER_CHARS_MAX`] characters.
    pub value: String,
}

impl TwimlParameter {
    /// Creates a parameter.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl fmt::Debug for TwimlParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TwimlParameter({})", self.name)
    }
}

/// A `<Transcription>`: Twilio's Real-Time Transcription
/// (<https://www.twilio.com/docs/voice/twiml/transcription>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptionNoun {
    /// Name, unique within the call, for stopping the transcription.
    pub name: Option<String>,
    /// Webhook that receives the transcript; without it the transcript is lost.
    pub status_callback: String,
    /// The spoken language, such as `en-US`; `None`: Twilio's default, also `en-US`.
    pub language: Option<String>,
    /// The transcribed tracks.
    pub tracks: TrackSelection,
    /// Whether partials are sent.
    pub partial_results: bool,
}

/// A `<Dial>`: rings others (<https://www.twilio.com/docs/voice/twiml/dial>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The number that the callee sees; `None`: the caller's own. A browser has no number, and needs one of
    /// the account's.
    pub caller_id: Option<E164>,
    /// Whether the caller's leg is answered only when the callee answers, so that the caller hears the
    /// ringing tone until then; otherwise Twilio answers at once.
    pub answer_on_bridge: bool,
    /// Ringing time in seconds; Twilio adds some seconds.
    pub timeout_seconds: u16,
    /// Longest duration of the dialled call in seconds.
    pub time_limit_seconds: u32,
    /// Webhook that returns the next TwiML when the dialled call has ended; `None`: Twilio continues with the
    /// next verb.
    pub action: Option<String>,
    /// The dialled parties, 1 to [`NOUNS_MAX`]. All ring at once, and the first who answers has the call.
    pub nouns: Vec<DialNoun>,
}

/// A party to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialNoun {
    /// A telephone.
    Number {
        /// Its number.
        number: E164,
        /// Webhook that returns the TwiML for the callee on answering, before the parties are connected.
        announcement: Option<String>,
        /// Status callback of the dialled leg.
        status: Option<StatusCallback>,
    },
    /// A browser.
    Client {
        /// The identity of the browser.
        identity: ClientIdentity,
        /// `call.customParameters` in the browser's Voice SDK.
        parameters: Vec<TwimlParameter>,
        /// Status callback of the dialled leg.
        status: Option<StatusCallback>,
    },
}

/// A status callback of a dialled leg, with its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// The callback's URL.
    pub url: String,
    /// The events to report; empty: only the end.
    pub events: Vec<CallProgress>,
}

impl StatusCallback {
    /// Creates a callback for all events.
    pub fn all(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            events: CallProgress::ALL.to_vec(),
        }
    }
}

/// An event of a dialled leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallProgress {
    /// Dialling has started.
    Initiated,
    /// The leg rings.
    Ringing,
    /// The callee answered.
    Answered,
    /// The leg has ended, for whatever reason.
    Completed,
}

impl CallProgress {
    /// All events, in chronological order.
    pub const ALL: [Self; 4] = [
        Self::Initiated,
        Self::Ringing,
        Self::Answered,
        Self::Completed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
        }
    }
}

/// The announcement to a rejected caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TwimlRejectReason {
    /// The number is not in service.
    #[default]
    Rejected,
    /// The line is busy.
    Busy,
}

impl VoiceResponse {
    /// Creates a document; an error if Twilio would reject a verb.
    pub fn new(verbs: Vec<TwimlVerb>) -> Result<Self, TwimlError> {
        for verb in &verbs {
            match verb {
                TwimlVerb::Say(say) => check_say(say)?,
                TwimlVerb::StartStream(stream) => check_stream(stream)?,
                TwimlVerb::StartTranscription(it) => check_callback(&it.status_callback)?,
                TwimlVerb::Dial(dial) => check_dial(dial)?,
                TwimlVerb::Pause(_)
                | TwimlVerb::StopStream(_)
                | TwimlVerb::StopTranscription(_)
                | TwimlVerb::Hangup
                | TwimlVerb::Reject(_) => {}
            }
        }
        Ok(Self { verbs })
    }

    /// Creates an empty document, the response to status callbacks.
    pub fn empty() -> Self {
        Self { verbs: vec![] }
    }

    /// Returns the verbs, in order.
    pub fn verbs(&self) -> &[TwimlVerb] {
        &self.verbs
    }

    /// Serialises the document. Characters that XML does not allow are omitted.
    pub fn to_xml(&self) -> String {
        writer::write_document(&self.verbs)
    }
}

fn check_say(say: &Say) -> Result<(), TwimlError> {
    let chars = writer::strip_illegal_chars(&say.text)
        .trim()
        .chars()
        .count();
    let fits = (1..=SAY_CHARS_MAX).contains(&chars);
    fits.then_some(()).ok_or(TwimlError::Say)
}

fn check_stream(stream: &StreamNoun) -> Result<(), TwimlError> {
    let url = Url::parse(&stream.url).map_err(|_| TwimlError::StreamUrl)?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(TwimlError::StreamUrl),
    };
    let carried = url.scheme() == "wss" || (url.scheme() == "ws" && here);
    let plain = !stream.url.contains(['?', '#', '@']);
    if !(carried && plain) {
        return Err(TwimlError::StreamUrl);
    }
    stream
        .status_callback
        .as_deref()
        .map_or(Ok(()), check_callback)?;
    stream.parameters.iter().try_for_each(check_parameter)
}

fn check_parameter(parameter: &TwimlParameter) -> Result<(), TwimlError> {
    let chars = parameter.name.chars().count() + parameter.value.chars().count();
    let has_name = !writer::strip_illegal_chars(&parameter.name).is_empty();
    let fits = has_name && chars <= PARAMETER_CHARS_MAX;
    fits.then_some(()).ok_or(TwimlError::Parameter)
}

fn check_callback(url: &str) -> Result<(), TwimlError> {
    let parsed = Url::parse(url).map_err(|_| TwimlError::CallbackUrl)?;
    let fits = matches!(parsed.scheme(), "http" | "https")
        && parsed.host_str().is_some_and(|host| !host.contains('_'));
    fits.then_some(()).ok_or(TwimlError::CallbackUrl)
}

fn check_dial(dial: &Dial) -> Result<(), TwimlError> {
    if !(1..=NOUNS_MAX).contains(&dial.nouns.len()) {
        return Err(TwimlError::Nouns);
    }
    if !TIMEOUT_SECONDS.contains(&dial.timeout_seconds) {
        return Err(TwimlError::Timeout);
    }
    if !(1..=TIME_LIMIT_SECONDS_MAX).contains(&dial.time_limit_seconds) {
        return Err(TwimlError::TimeLimit);
    }
    dial.action.as_deref().map_or(Ok(()), check_callback)?;
    for noun in &dial.nouns {
        let (parameters, status) = match noun {
            DialNoun::Number {
                announcement,
                status,
                ..
            } => {
                announcement.as_deref().map_or(Ok(()), check_callback)?;
                (&[][..], status)
            }
            DialNoun::Client {
                parameters, status, ..
            } => (&parameters[..], status),
        };
        parameters.iter().try_for_each(check_parameter)?;
        if let Some(status) = status {
            check_callback(&status.url)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

    pub(super) fn stream(url: &str) -> StreamNoun {
        StreamNoun {
            url: url.to_owned(),
            name: None,
            tracks: TrackSelection::Both,
            status_callback: None,
            parameters: vec![],
        }
    }

    fn dial(nouns: Vec<DialNoun>) -> Dial {
        Dial {
            caller_id: None,
            answer_on_bridge: true,
            timeout_seconds: 30,
            time_limit_seconds: 3_600,
            action: None,
            nouns,
        }
    }

    fn number() -> DialNoun {
        DialNoun::Number {
            number: E164::parse("+14155550123").unwrap(),
            announcement: None,
            status: None,
        }
    }

    fn xml(verbs: Vec<TwimlVerb>) -> String {
        let xml = VoiceResponse::new(verbs).unwrap().to_xml();
        xml.strip_prefix(DECLARATION).unwrap().to_owned()
    }

    fn refused(verb: TwimlVerb) -> TwimlError {
        VoiceResponse::new(vec![verb]).unwrap_err()
    }

    #[test]
    fn a_call_to_a_number_is_announced_streamed_and_dialled() {
        let stream = StreamNoun {
            name: Some("cb-1".to_owned()),
            status_callback: Some("https://cb.example.com/api/streams/status".to_owned()),
            parameters: vec![TwimlParameter::new("call", "a&b<c>\"d\"")],
            ..stream("wss://cb.example.com/media/s3cret")
        };
        let dial = Dial {
            caller_id: Some(E164::parse("+14155550100").unwrap()),
            action: Some("https://cb.example.com/voice/ended".to_owned()),
            nouns: vec![DialNoun::Number {
                number: E164::parse("+14155550123").unwrap(),
                announcement: Some("https://cb.example.com/a".to_owned()),
                status: Some(StatusCallback::all("https://cb.example.com/s?a=1&b=2")),
            }],
            ..dial(vec![])
        };
        let say = Say {
            voice: Some("Polly.Joanna".to_owned()),
            language: Some("en-US".to_owned()),
            ..Say::text("This call is written down.")
        };
        assert_eq!(
            xml(vec![
                TwimlVerb::Say(say),
                TwimlVerb::StartStream(stream),
                TwimlVerb::Dial(dial),
            ]),
            "<Response>\
             <Say voice=\"Polly.Joanna\" language=\"en-US\">This call is written down.</Say>\
             <Start><Stream url=\"wss://cb.example.com/media/s3cret\" name=\"cb-1\" \
             track=\"both_tracks\" statusCallback=\"https://cb.example.com/api/streams/status\">\
             <Parameter name=\"call\" value=\"a&amp;b&lt;c&gt;&quot;d&quot;\"/></Stream></Start>\
             <Dial callerId=\"+14155550100\" answerOnBridge=\"true\" timeout=\"30\" \
             timeLimit=\"3600\" action=\"https://cb.example.com/voice/ended\">\
             <Number url=\"https://cb.example.com/a\" statusCallback=\"https://cb.example.com/s?a=1&amp;b=2\" \
             statusCallbackEvent=\"initiated ringing answered completed\">+14155550123</Number>\
             </Dial></Response>"
        );
    }

    #[test]
    fn a_client_is_rung_by_its_identity() {
        let client = DialNoun::Client {
            identity: ClientIdentity::parse("u1_00").unwrap(),
            parameters: vec![TwimlParameter::new("callSid", "CA1")],
            status: None,
        };
        assert_eq!(
            xml(vec![TwimlVerb::Dial(dial(vec![client]))]),
            "<Response><Dial answerOnBridge=\"true\" timeout=\"30\" timeLimit=\"3600\"><Client>\
             <Identity>u1_00</Identity><Parameter name=\"callSid\" value=\"CA1\"/></Client></Dial>\
             </Response>"
        );
    }

    #[test]
    fn a_refusal_is_spoken_or_silent() {
        assert_eq!(
            xml(vec![
                TwimlVerb::Say(Say::text("No & no.")),
                TwimlVerb::Hangup
            ]),
            "<Response><Say>No &amp; no.</Say><Hangup/></Response>"
        );
        assert_eq!(
            xml(vec![TwimlVerb::Reject(TwimlRejectReason::Busy)]),
            "<Response><Reject reason=\"busy\"/></Response>"
        );
        assert_eq!(
            xml(vec![TwimlVerb::Pause(2)]),
            "<Response><Pause length=\"2\"/></Response>"
        );
        assert_eq!(
            VoiceResponse::empty().to_xml(),
            format!("{DECLARATION}<Response/>")
        );
    }

    #[test]
    fn a_stream_goes_where_twilio_can_send_it() {
        for url in [
            "wss://cb.example.com/media/x",
            "wss://cb.example.com:8443/media",
            "wss://[2001:db8::1]/media",
            "ws://localhost:4000/media",
            "ws://127.0.0.1:4000/media",
            "ws://[::1]:4000/media",
        ] {
            assert!(
                VoiceResponse::new(vec![TwimlVerb::StartStream(stream(url))]).is_ok(),
                "{url}"
            );
        }
        for url in [
            "",
            "/media",
            "wss://",
            "https://cb.example.com/media",
            "ws://cb.example.com/media",
            "wss://cb.example.com/media?secret=1",
            "wss://cb.example.com/media#1",
            "wss://me@cb.example.com/media",
        ] {
            let error = refused(TwimlVerb::StartStream(stream(url)));
            assert_eq!(error, TwimlError::StreamUrl, "{url}");
        }
    }

    #[test]
    fn a_parameter_is_shorter_than_500_characters() {
        let with = |name: &str, value: String| {
            let parameters = vec![TwimlParameter::new(name, value)];
            VoiceResponse::new(vec![TwimlVerb::StartStream(StreamNoun {
                parameters,
                ..stream("wss://h/m")
            })])
        };
        assert!(with("ab", "ü".repeat(497)).is_ok());
        assert_eq!(with("ab", "ü".repeat(498)), Err(TwimlError::Parameter));
        assert_eq!(with("", "x".to_owned()), Err(TwimlError::Parameter));
        // Without a legal XML character.
        assert_eq!(with("\0", "x".to_owned()), Err(TwimlError::Parameter));
        let client = DialNoun::Client {
            identity: ClientIdentity::parse("u1").unwrap(),
            parameters: vec![TwimlParameter::new("a", "x".repeat(499))],
            status: None,
        };
        assert_eq!(
            refused(TwimlVerb::Dial(dial(vec![client]))),
            TwimlError::Parameter
        );
    }

    #[test]
    fn a_dial_keeps_to_twilios_bounds() {
        let ten = dial(vec![number(); NOUNS_MAX]);
        assert!(VoiceResponse::new(vec![TwimlVerb::Dial(ten)]).is_ok());
        for (dial, error) in [
            (dial(vec![]), TwimlError::Nouns),
            (dial(vec![number(); NOUNS_MAX + 1]), TwimlError::Nouns),
            (
                Dial {
                    timeout_seconds: 4,
                    ..dial(vec![number()])
                },
                TwimlError::Timeout,
            ),
            (
                Dial {
                    time_limit_seconds: TIME_LIMIT_SECONDS_MAX + 1,
                    ..dial(vec![number()])
                },
                TwimlError::TimeLimit,
            ),
            (
                Dial {
                    action: Some("/voice/ended".to_owned()),
                    ..dial(vec![number()])
                },
                TwimlError::CallbackUrl,
            ),
            (
                dial(vec![DialNoun::Number {
                    number: E164::parse("+14155550123").unwrap(),
                    announcement: None,
                    status: Some(StatusCallback::all("https://my_host.example.com/s")),
                }]),
                TwimlError::CallbackUrl,
            ),
        ] {
            assert_eq!(refused(TwimlVerb::Dial(dial)), error);
        }
    }

    #[test]
    fn there_is_something_to_say_and_not_too_much() {
        let (nothing, too_much) = (" \u{0}".to_owned(), "x".repeat(SAY_CHARS_MAX + 1));
        for text in [String::new(), nothing, too_much] {
            assert_eq!(refused(TwimlVerb::Say(Say::text(text))), TwimlError::Say);
        }
    }

    #[test]
    fn debug_shows_neither_path_nor_value() {
        let stream = StreamNoun {
            parameters: vec![TwimlParameter::new("call", "hidden")],
            ..stream("wss://h/hidden")
        };
        assert!(!format!("{stream:?}").contains("hidden"));
    }
}
