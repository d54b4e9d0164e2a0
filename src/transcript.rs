//! Transcripts: words, segments, partials, and the events of the client channel. Pure data; the JSON of these
//! types is the contract with the client, and `fixtures/live/` holds examples that both sides' tests read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{CallSid, SegmentId, StreamSid, Track};

/// A word of a segment. Times are milliseconds on the call's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// The word with its punctuation, without surrounding spaces.
    pub text: String,
    /// Start of the word.
    pub start_ms: u64,
    /// End of the word.
    pub end_ms: u64,
    /// 0 (a guess) to 1 (certain).
    pub confidence: f32,
}

/// The party on a track; the call's direction decides which track has which party.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The user at the browser.
    Agent,
    /// The party on the other end.
    Customer,
}

/// The direction of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The browser called a number.
    #[default]
    Outgoing,
    /// A number called the browser.
    Incoming,
}

impl Direction {
    /// Returns the party on `track`: the inbound track has the party on the leg that started the stream
    /// (notes on [`Track`]), which is the browser's when the browser called.
    pub fn speaker(self, track: Track) -> Speaker {
        match (self, track) {
            (Self::Outgoing, Track::Inbound) | (Self::Incoming, Track::Outbound) => Speaker::Agent,
            (Self::Outgoing, Track::Outbound) | (Self::Incoming, Track::Inbound) => {
                Speaker::Customer
            }
        }
    }
}

/// A final: a stretch of one party's speech with its transcript. Never changes once published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Identifier, the same as that of the segment's partials.
    pub id: SegmentId,
    /// The track of the speech.
    pub track: Track,
    /// The party that spoke.
    pub speaker: Speaker,
    /// Start of the speech, in milliseconds on the call's clock.
    pub start_ms: u64,
    /// End of the speech, in milliseconds on the call's clock.
    pub end_ms: u64,
    /// The words as one text. Empty when no speech was recognised after all: its partials are then removed
    /// without a replacement.
    pub text: String,
    /// The words in order of time.
    pub words: Vec<Word>,
    /// ISO 639-1 code of the recognised language.
    pub language: String,
    /// Milliseconds from the end of speech to publication.
    pub latency_ms: u64,
    /// Whether all of the audio was recognised. `false` when the engine refused the job for lack of capacity
    /// or recognition failed: the party spoke, and the segment has only the words, if any, that a partial had
    /// shown.
    pub transcribed: bool,
    /// Whether this is an echo: the other party's speech, returned on this track. Left out of the JSON where
    /// it is `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub echo: bool,
}

/// The transcript so far of an utterance in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Partial {
    /// The segment that the utterance will have.
    pub segment_id: SegmentId,
    /// Counts up from 1 within the segment.
    pub revision: u32,
    /// The track of the speech.
    pub track: Track,
    /// The party that speaks.
    pub speaker: Speaker,
    /// Start of the speech, in milliseconds on the call's clock.
    pub start_ms: u64,
    /// Text that does not change: from revision to revision it only grows.
    pub stable: String,
    /// Text that may change.
    pub unstable: String,
    /// Whether this seems to be an echo of the other party so far; the final decides. Left out of the JSON
    /// where it is `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub echo: bool,
}

/// Lets serde leave a field out of the JSON if it is `false`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A party that seems to speak another language than the engine transcribes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LanguageDoubt {
    /// The party.
    pub speaker: Speaker,
    /// ISO 639-1 code of the language that the engine transcribes.
    pub expected: String,
}

/// The status of a call, with Twilio's names (<https://www.twilio.com/docs/voice/api/call-resource>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// Waiting to be dialled.
    Queued,
    /// Dialling has started.
    Initiated,
    /// The other end is ringing.
    Ringing,
    /// The parties are connected.
    InProgress,
    /// Over, after a conversation.
    Completed,
    /// Over: the line was busy.
    Busy,
    /// Over: not answered.
    NoAnswer,
    /// Over: hung up before the answer.
    Canceled,
    /// Over: could not be placed.
    Failed,
}

impl CallStatus {
    /// Whether the call has ended.
    pub fn is_over(self) -> bool {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::NoAnswer | Self::Canceled | Self::Failed => true,
        }
    }
}

impl RecordingStatus {
    /// Whether the status can no longer change.
    pub fn is_settled(self) -> bool {
        match self {
            Self::InProgress | Self::Paused | Self::Stopped => false,
            Self::Completed | Self::Absent | Self::Failed => true,
        }
    }
}

/// The status of Twilio's recording of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingStatus {
    /// Running.
    InProgress,
    /// Paused, and can be resumed.
    Paused,
    /// Ended, not ready to play.
    Stopped,
    /// Ready to play.
    Completed,
    /// Without audio to play.
    Absent,
    /// Failed.
    Failed,
}

/// How far the engine keeps up with this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineHealth {
    /// Partials and finals are on time.
    Ok,
    /// Finals wait longer than they should; fewer partials are published.
    Behind,
    /// Segments are incomplete: the engine refused a job for lack of capacity, or recognition failed.
    Degraded,
}

/// The reason that the transcript of a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Twilio sent `stop`: the call, or the stream, was ended on purpose.
    Stopped,
    /// The socket closed without a `stop`.
    Dropped,
    /// No message arrived for too long.
    Idle,
    /// No `start` arrived in time.
    NeverStarted,
    /// The messages violated the protocol.
    ProtocolError,
    /// This server is shutting down.
    ShuttingDown,
}

/// An event that listeners receive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Event {
    /// The whole state so far; replaces everything that the listener has of this call, at any offset.
    Snapshot {
        /// Identifies the lifetime of the channel that the offsets belong to; a listener that reconnects
        /// sends it with its offset. Below 2^53, so that every JSON reader can hold it.
        epoch: u64,
        /// The status of the call, once known.
        status: Option<CallStatus>,
        /// The status of its recording, if there is one.
        recording: Option<RecordingStatus>,
        /// How far the engine keeps up.
        engine: EngineHealth,
        /// Segments, in the order in which they became final.
        segments: Vec<Segment>,
        /// The latest partial of each utterance in progress.
        partials: Vec<Partial>,
        /// Parties that seem to speak another language than the engine transcribes; left out of the JSON
        /// where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubts: Vec<LanguageDoubt>,
        /// The reason of its end, if it has ended.
        ended: Option<EndReason>,
    },
    /// The transcript so far of an utterance; replaces the partial of the same segment. Never follows that
    /// segment's final.
    Partial {
        /// The partial.
        partial: Partial,
    },
    /// A final, which never changes; replaces the partial of the same segment.
    Segment {
        /// The segment.
        segment: Segment,
    },
    /// The status of the call changed.
    #[serde(rename_all = "camelCase")]
    Call {
        /// The new status.
        status: CallStatus,
        /// The stream that carries its audio, while there is one.
        stream_sid: Option<StreamSid>,
    },
    /// The status of the recording changed.
    Recording {
        /// The new status.
        status: RecordingStatus,
    },
    /// The engine's health changed, or this listener is too slow to receive every partial.
    #[serde(rename_all = "camelCase")]
    Engine {
        /// How far the engine keeps up.
        health: EngineHealth,
        /// Time since the end of the oldest waiting final's speech.
        lag_ms: u64,
        /// Partials that this listener missed because it reads too slowly; it misses no final.
        partials_missed: u64,
    },
    /// A party seems to speak another language than the engine transcribes, or no longer does. A snapshot of
    /// the next stream of the call starts without doubts.
    Language {
        /// All current doubts.
        doubts: Vec<LanguageDoubt>,
    },
    /// The transcript has ended, and remaining partials are to be removed; the call's status and its
    /// recording may change later. If the audio returns after all, a snapshot follows.
    Ended {
        /// The reason of the end.
        reason: EndReason,
    },
}

impl Event {
    /// Moves a partial or a segment by this many milliseconds on the call's clock (earlier, if negative;
    /// never before its start). Other events stay as they are.
    #[must_use]
    pub fn shifted_by(mut self, by_ms: i64) -> Self {
        let move_by = |at_ms: &mut u64| *at_ms = at_ms.saturating_add_signed(by_ms);
        match &mut self {
            Self::Partial { partial } => move_by(&mut partial.start_ms),
            Self::Segment { segment } => {
                move_by(&mut segment.start_ms);
                move_by(&mut segment.end_ms);
                for word in &mut segment.words {
                    move_by(&mut word.start_ms);
                    move_by(&mut word.end_ms);
                }
            }
            Self::Snapshot { .. }
            | Self::Call { .. }
            | Self::Recording { .. }
            | Self::Engine { .. }
            | Self::Language { .. }
            | Self::Ended { .. } => {}
        }
        self
    }

    /// Whether each event of this kind is kept for listeners that connect later. Of partials (for each
    /// segment) and of engine health only the latest counts, and a snapshot is made on demand.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Segment { .. }
            | Self::Call { .. }
            | Self::Recording { .. }
            | Self::Language { .. }
            | Self::Ended { .. } => true,
            Self::Snapshot { .. } | Self::Partial { .. } | Self::Engine { .. } => false,
        }
    }
}

/// An [`Event`] with its call and offset, as sent to the client:
/// `{"callSid":"CA…","offset":7,"type":"segment","segment":{…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallEvent {
    /// SID of the call.
    pub call_sid: CallSid,
    /// Counts the call's events from 1 within one epoch; a listener that reconnects sends the last one that
    /// it received. There are gaps where a newer event replaced an older one. A snapshot carries the offset
    /// of the latest event that it covers, a notice to one listener that of the event before it.
    pub offset: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_on_the_leg_that_started_the_stream_when_the_browser_called() {
        assert_eq!(Direction::Outgoing.speaker(Track::Inbound), Speaker::Agent);
        assert_eq!(
            Direction::Outgoing.speaker(Track::Outbound),
            Speaker::Customer
        );
        assert_eq!(
            Direction::Incoming.speaker(Track::Inbound),
            Speaker::Customer
        );
        assert_eq!(Direction::Incoming.speaker(Track::Outbound), Speaker::Agent);
    }

    #[test]
    fn an_event_carries_its_address_beside_its_type() {
        let event = CallEvent {
            call_sid: CallSid::parse("CA00000000000000000000000000000001").unwrap(),
            offset: 7,
            event: Event::Engine {
                health: EngineHealth::Behind,
                lag_ms: 1_600,
                partials_missed: 0,
            },
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "callSid": "CA00000000000000000000000000000001", "offset": 7,
                "type": "engine", "health": "behind", "lagMs": 1600, "partialsMissed": 0,
            })
        );
        assert_eq!(serde_json::from_value::<CallEvent>(json).unwrap(), event);
    }
}
