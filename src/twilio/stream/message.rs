//! Media Streams messages: parses JSON into types, and serialises types to JSON. Pure: no I/O.
//!
//! Lenient in parsing: fields in any order, unknown fields and events, numbers as numbers or strings. Strict
//! in writing: exactly what Twilio sends, for `twilio_sim`
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::json;

use crate::ids::CallSid;
use crate::ids::StreamSid;
use crate::ids::Track;

/// The only encoding of Media Streams.
const ENCODING: &str = "audio/x-mulaw";

/// Standard alphabet; padding is written, and optional when decoding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMessage {
    /// The message's number within the stream, from 1, over both tracks. `connected` has none.
    pub sequence: Option<u64>,
    /// The stream's SID, unvalidated. `connected` has none.
    pub stream_sid: Option<String>,
    /// The event and its fields.
    pub body: MessageBody,
}

/// The event of a message, with its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageBody {
    /// The socket is open.
    Connected,
    /// The stream starts.
    Start(StreamStart),
    /// A frame of one track.
    Media(MediaFrame),
    /// The stream has ended.
    Stop {
        /// The account, `AC…`.
        account_sid: Option<String>,
        /// The call of the stream.
        call_sid: Option<CallSid>,
    },
    /// An event that this program does not use.
    Other {
        /// The event's name.
        event: String,
    },
}

/// Metadata of a stream. Its format has been checked: μ-law, 8 kHz, one channel for each track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStart {
    /// The stream.
    pub stream_sid: StreamSid,
    /// The call leg that started it.
    pub call_sid: CallSid,
    /// The account, `AC…`.
    pub account_sid: Option<String>,
    /// The tracks of the stream.
    pub tracks: Vec<Track>,
    /// The `<Parameter>` values of the `<Stream>`.
    pub parameters: BTreeMap<String, String>,
}

/// A frame of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFrame {
    /// The track of the audio.
    pub track: Track,
    /// The message's number within the track, from 1. Unused.
    pub chunk: Option<u64>,
    /// Milliseconds from the start of the stream.
    pub timestamp_ms: u64,
    /// G.711 μ-law, 8 kHz; usually 160 bytes, but any length is valid.
    pub mulaw: Vec<u8>,
}

/// Error of [`StreamMessage::parse`]. No variant quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The text is not JSON, or not an object with an `event`.
    #[error("not a JSON object with an event, at column {column}")]
    NotAMessage {
        /// Column where parsing stopped.
        column: usize,
    },
    /// A field that the event requires is missing or malformed.
    #[error("a {event} message whose {part} is missing or unreadable")]
    Incomplete {
        /// The event's name.
        event: &'static str,
        /// The field's name.
        part: &'static str,
    },
    /// An audio format that this program cannot decode.
    #[error(
        "a stream of {encoding} at {rate_hz} Hz with {channels} channels; only {ENCODING} at 8000 Hz with 1 is read"
    )]
    Format {
        /// The encoding in `mediaFormat`.
        encoding: String,
        /// The sample rate in `mediaFormat`.
        rate_hz: u64,
        /// The number of channels in `mediaFormat`.
        channels: u64,
    },
}

impl StreamMessage {
    /// Parses one text message.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        // Two passes: an unknown event may have any value where a known event has its fields.
        let head: MessageHead<'_> = parse_json(text)?;
        let body = match head.event.as_ref() {
            "connected" => MessageBody::Connected,
            "start" => MessageBody::Start(parse_start(text, head.stream_sid.as_deref())?),
            "media" => MessageBody::Media(parse_media(text)?),
            "stop" => {
                let stop = parse_json::<StopWire>(text)
                    .map(|wire| wire.stop)
                    .unwrap_or_default();
                let call_sid = stop.call_sid.and_then(|sid| CallSid::parse(&sid).ok());
                MessageBody::Stop {
                    account_sid: stop.account_sid,
                    call_sid,
                }
            }
            other => MessageBody::Other {
                event: other.to_owned(),
            },
        };
        let stream_sid = head.stream_sid.map(Cow::into_owned);
        Ok(Self {
            sequence: head.sequence.0,
            stream_sid,
            body,
        })
    }

    /// Serialises the message as Twilio does. An [`MessageBody::Other`] is written with only its event.
    pub fn to_json(&self) -> String {
        let mut json = match &self.body {
            MessageBody::Connected => {
                json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            }
            MessageBody::Start(start) => json!({"event": "start", "start": {
                "accountSid": start.account_sid,
                "streamSid": start.stream_sid,
                "callSid": start.call_sid,
                "tracks": start.tracks,
                "mediaFormat": {"encoding": ENCODING, "sampleRate": 8000, "channels": 1},
                "customParameters": start.parameters,
            }}),
            MessageBody::Media(media) => {
                let mut part = json!({
                    "track": media.track,
                    "timestamp": media.timestamp_ms.to_string(),
                    "payload": BASE64.encode(&media.mulaw),
                });
                if let Some(chunk) = media.chunk {
                    part["chunk"] = chunk.to_string().into();
                }
                json!({"event": "media", "media": part})
            }
            MessageBody::Stop {
                account_sid,
                call_sid,
            } => {
                json!({"event": "stop", "stop": {"accountSid": account_sid, "callSid": call_sid}})
            }
            MessageBody::Other { event } => json!({"event": event}),
        };
        if let Some(sequence) = self.sequence {
            json["sequenceNumber"] = sequence.to_string().into();
        }
        if let Some(stream_sid) = &self.stream_sid {
            json["streamSid"] = stream_sid.as_str().into();
        }
        json.to_string()
    }
}

fn parse_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, MessageError> {
    serde_json::from_str(text).map_err(|error| MessageError::NotAMessage {
        column: error.column(),
    })
}

fn parse_start(text: &str, envelope_sid: Option<&str>) -> Result<StreamStart, MessageError> {
    let missing = |part| MessageError::Incomplete {
        event: "start",
        part,
    };
    let wire = parse_json::<StartWire<'_>>(text)
        .map_err(|_| missing("start"))?
        .start;
    if let Some(format) = wire.media_format {
        let encoding = format.encoding.as_deref().unwrap_or(ENCODING);
        let rate_hz = format.sample_rate.0.unwrap_or(8_000);
        let channels = format.channels.0.unwrap_or(1);
        if !encoding.eq_ignore_ascii_case(ENCODING) || rate_hz != 8_000 || channels != 1 {
            return Err(MessageError::Format {
                encoding: encoding.to_owned(),
                rate_hz,
                channels,
            });
        }
    }
    let stream_sid = wire
        .stream_sid
        .as_deref()
        .or(envelope_sid)
        .unwrap_or_default();
    let call_sid = wire.call_sid.as_deref().unwrap_or_default();
    Ok(StreamStart {
        stream_sid: StreamSid::parse(stream_sid).map_err(|_| missing("streamSid"))?,
        call_sid: CallSid::parse(call_sid).map_err(|_| missing("callSid"))?,
        account_sid: wire.account_sid,
        tracks: wire
            .tracks
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| parse_track(name.as_str()?))
            .collect(),
        parameters: wire
            .custom_parameters
            .into_iter()
            .map(|(name, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name, text)
            })
            .collect(),
    })
}

fn parse_media(text: &str) -> Result<MediaFrame, MessageError> {
    let missing = |part| MessageError::Incomplete {
        event: "media",
        part,
    };
    let wire = parse_json::<MediaWire<'_>>(text)
        .map_err(|_| missing("media"))?
        .media;
    Ok(MediaFrame {
        track: parse_track(&wire.track).ok_or_else(|| missing("track"))?,
        chunk: wire.chunk.0,
        timestamp_ms: wire.timestamp.0.ok_or_else(|| missing("timestamp"))?,
        mulaw: BASE64
            .decode(wire.payload.as_bytes())
            .map_err(|_| missing("payload"))?,
    })
}

/// Parses a track's name in either of Twilio's two spellings.
fn parse_track(name: &str) -> Option<Track> {
    match name {
        "inbound" | "inbound_track" => Some(Track::Inbound),
        "outbound" | "outbound_track" => Some(Track::Outbound),
        _ => None,
    }
}

#[derive(Deserialize)]
struct MessageHead<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(rename = "sequenceNumber", default)]
    sequence: LenientNumber,
    #[serde(rename = "streamSid", borrow, default)]
    stream_sid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StartWire<'a> {
    #[serde(borrow)]
    start: StartFields<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartFields<'a> {
    #[serde(borrow, default)]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    call_sid: Option<Cow<'a, str>>,
    #[serde(default)]
    account_sid: Option<String>,
    /// Informational: a malformed value does not fail the message.
    #[serde(default)]
    tracks: serde_json::Value,
    #[serde(borrow, default)]
    media_format: Option<FormatFields<'a>>,
    #[serde(default, deserialize_with = "null_as_default")]
    custom_parameters: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormatFields<'a> {
    #[serde(borrow, default)]
    encoding: Option<Cow<'a, str>>,
    #[serde(default)]
    sample_rate: LenientNumber,
    #[serde(default)]
    channels: LenientNumber,
}

#[derive(Deserialize)]
struct MediaWire<'a> {
    #[serde(borrow)]
    media: MediaFields<'a>,
}

#[derive(Deserialize)]
struct MediaFields<'a> {
    #[serde(borrow)]
    track: Cow<'a, str>,
    #[serde(default)]
    chunk: LenientNumber,
    #[serde(default)]
    timestamp: LenientNumber,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StopWire {
    #[serde(default)]
    stop: StopFields,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StopFields {
    account_sid: Option<String>,
    call_sid: Option<String>,
}

/// Deserialises `null` like an absent field.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A whole number, written as a number or as a string; any other value is `None`, not an error.
#[derive(Default, Clone, Copy)]
struct LenientNumber(Option<u64>);

impl<'de> Deserialize<'de> for LenientNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientNumberVisitor).map(Self)
    }
}

struct LenientNumberVisitor;

impl<'de> Visitor<'de> for LenientNumberVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).ok())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        let whole = number >= 0.0 && number < 2_f64.powi(53) && number.fract() == 0.0;
        Ok(whole.then_some(number as u64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.trim().parse().ok())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
