//! TwiML: the few documents that this server answers Twilio with, as types. Pure: no I/O.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml> and the pages of each verb below. Verbs are
//! plain data; [`VoiceResponse::new`] refuses what Twilio would refuse in the middle of a call, so that
//! [`VoiceResponse::to_xml`] cannot fail. [`parse`](parse()) reads a document as Twilio does, for the
//! simulator that stands in for it.

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

/// The type of a TwiML answer.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// Numbers and clients that one `Dial` may ring at once
/// (<https://www.twilio.com/docs/voice/twiml/client>).
pub const NOUNS_MAX: usize = 10;

/// Name and value of a parameter stay below this many characters together
/// (<https://www.twilio.com/docs/voice/twiml/stream>).
pub const PARAMETER_CHARS_MAX: usize = 499;

/// Longest text of one `Say` (<https://www.twilio.com/docs/voice/twiml/say>).
pub const SAY_CHARS_MAX: usize = 4_096;

/// Seconds that a `Dial` may ring (<https://www.twilio.com/docs/voice/twiml/dial>).
const TIMEOUT_SECONDS: RangeInclusive<u16> = 5..=600;

/// Longest call that a `Dial` may make, where the account has no more.
pub const TIME_LIMIT_SECONDS_MAX: u32 = 14_400;

/// Why Twilio would not do what a document says. The messages name the part, not its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// A stream goes nowhere that Twilio can send it.
    #[error(
        "a stream's URL must begin with wss:// (ws:// on this machine alone), and have no query, \
         fragment or user: Twilio does not carry them"
    )]
    StreamUrl,
    /// A parameter that is too long, or has no name.
    #[error("a parameter needs a name, and name and value fewer than 500 characters together")]
    Parameter,
    /// A callback goes nowhere.
    #[error("a callback needs an absolute http or https URL, without underscores in its host")]
    CallbackUrl,
    /// Nothing to say, or too much.
    #[error("a text that is said has 1 to 4096 characters")]
    Say,
    /// Nobody to dial, or too many.
    #[error("a Dial rings 1 to 10 numbers and clients")]
    Nouns,
    /// Rings too shortly or too long.
    #[error("a Dial rings 5 to 600 seconds")]
    Timeout,
    /// Too long a call.
    #[error("a Dial lasts 1 to 14400 seconds")]
    TimeLimit,
    /// A document that is not XML, or longer than [`limits::TWIML_BYTES_MAX`](crate::limits::TWIML_BYTES_MAX).
    #[error("this is no TwiML document")]
    Document,
}

/// A whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceResponse {
    verbs: Vec<TwimlVerb>,
}

/// What Twilio is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwimlVerb {
    /// Speaks.
    Say(Say),
    /// Waits this many seconds.
    Pause(u16),
    /// Forks the call's audio to us, and goes on at once.
    StartStream(StreamNoun),
    /// Ends the fork of this name.
    StopStream(String),
    /// Writes the call down at Twilio, and goes on at once.
    StartTranscription(TranscriptionNoun),
    /// Ends the transcription of this name.
    StopTranscription(String),
    /// Rings others, and joins the first who answers.
    Dial(Dial),
    /// Ends the call.
    Hangup,
    /// Does not take the call; must be the first verb.
    Reject(TwimlRejectReason),
}

/// A spoken text (<https://www.twilio.com/docs/voice/twiml/say>).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Say {
    /// What is said.
    pub text: String,
    /// Who says it, such as `Polly.Joanna`; none: the account's voice.
    pub voice: Option<String>,
    /// In which language, such as `en-GB`.
    pub language: Option<String>,
}

impl Say {
    /// A text in the account's own voice.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

/// A fork of the call's audio (<https://www.twilio.com/docs/voice/twiml/stream>). `Debug` shows no
/// path, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamNoun {
    /// Where the audio goes: see [`TwimlError::StreamUrl`].
    pub url: String,
    /// Unique in its call; by it the stream is stopped. None: its SID.
    pub name: Option<String>,
    /// Who is heard.
    pub tracks: TrackSelection,
    /// Where Twilio tells that the stream has started, stopped or failed.
    pub status_callback: Option<String>,
    /// What arrives in the stream's `start` message.
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

/// A word of ours that Twilio carries along. `Debug` does not show its value.
#[derive(Clone, PartialEq, Eq)]
pub struct TwimlParameter {
    /// What it is called.
    pub name: String,
    /// What it says; with the name at most [`PARAMETER_CHARS_MAX`] characters.
    pub value: String,
}

impl TwimlParameter {
    /// A parameter of this name and value.
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

/// Twilio's own transcription (<https://www.twilio.com/docs/voice/twiml/transcription>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptionNoun {
    /// Unique in its call; by it the transcription is stopped.
    pub name: Option<String>,
    /// Where the words come to; without it nobody hears them.
    pub status_callback: String,
    /// The language that is spoken, such as `en-US`; none: Twilio's default, that one.
    pub language: Option<String>,
    /// Who is heard.
    pub tracks: TrackSelection,
    /// Whether words come before they are settled.
    pub partial_results: bool,
}

/// Rings others (<https://www.twilio.com/docs/voice/twiml/dial>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The number that the callee sees. A browser has none, and needs one of the account's; none:
    /// the caller's own.
    pub caller_id: Option<E164>,
    /// Whether the caller hears the ringing until the callee answers, rather than an answer of
    /// Twilio's.
    pub answer_on_bridge: bool,
    /// How long it rings; Twilio adds some seconds.
    pub timeout_seconds: u16,
    /// When the call is cut off.
    pub time_limit_seconds: u32,
    /// Asked when the dialled call has ended, and answered with what is next; none: the next verb.
    pub action: Option<String>,
    /// All ring at once, and the first who answers has the call; 1 to [`NOUNS_MAX`].
    pub nouns: Vec<DialNoun>,
}

/// Who is rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialNoun {
    /// A telephone.
    Number {
        /// Its number.
        number: E164,
        /// The URL of what is said to whoever picks up, before the parties are connected.
        announcement: Option<String>,
        /// Who is told how its leg goes.
        status: Option<StatusCallback>,
    },
    /// A browser.
    Client {
        /// What it is called.
        identity: ClientIdentity,
        /// What its page reads as `call.customParameters`.
        parameters: Vec<TwimlParameter>,
        /// Who is told how its leg goes.
        status: Option<StatusCallback>,
    },
}

/// Who is told of a dialled leg, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// Where to.
    pub url: String,
    /// Of what; none: of the end alone.
    pub events: Vec<CallProgress>,
}

impl StatusCallback {
    /// Tells everything.
    pub fn all(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            events: CallProgress::ALL.to_vec(),
        }
    }
}

/// A step of a dialled leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallProgress {
    /// Dialling has begun.
    Initiated,
    /// It rings.
    Ringing,
    /// Someone answered.
    Answered,
    /// It is over, however it ended.
    Completed,
}

impl CallProgress {
    /// Every step, in the order in which they come.
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

/// What a rejected caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TwimlRejectReason {
    /// That the number is not in service.
    #[default]
    Rejected,
    /// That the line is engaged.
    Busy,
}

impl VoiceResponse {
    /// A document of these verbs, in this order.
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

    /// A document that says nothing: what callbacks are answered with.
    pub fn empty() -> Self {
        Self { verbs: vec![] }
    }

    /// What Twilio is to do, in this order.
    pub fn verbs(&self) -> &[TwimlVerb] {
        &self.verbs
    }

    /// The document as Twilio reads it. Characters that XML cannot hold are left out.
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
        // Nothing that XML can hold.
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
