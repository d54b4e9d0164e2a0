//! What the engine says and what a browser hears: words, segments, partials, and the events of
//! the client channel. Pure data; the JSON of these types is the contract with the client, and
//! `fixtures/live/` holds examples that both sides' tests read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{CallSid, SegmentId, StreamSid, Track};

/// A word of a settled segment. Times are milliseconds on the call's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// The word with its punctuation, without surrounding spaces.
    pub text: String,
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
    /// 0 (a guess) to 1 (certain).
    pub confidence: f32,
}

/// Who speaks on a track; which track is whose depends on the call's direction.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person at the browser.
    Agent,
    /// The person on the other end.
    Customer,
}

/// Who called whom.
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
    /// Who is on `track`: the inbound track is the party on the leg that started the stream
    /// (notes on `Track`), which is the browser's when the browser called.
    pub fn speaker(self, track: Track) -> Speaker {
        match (self, track) {
            (Self::Outgoing, Track::Inbound) | (Self::Incoming, Track::Outbound) => Speaker::Agent,
            (Self::Outgoing, Track::Outbound) | (Self::Incoming, Track::Inbound) => {
                Speaker::Customer
            }
        }
    }
}

/// A stretch of one party's speech whose words are settled. Never changes once published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Stable name; the partials before it carried the same.
    pub id: SegmentId,
    /// The track it was heard on.
    pub track: Track,
    /// Who spoke.
    pub speaker: Speaker,
    /// Where speech begins, on the call's clock.
    pub start_ms: u64,
    /// Where speech ends.
    pub end_ms: u64,
    /// The words as one text. Empty when nothing was said after all: its partials then go away,
    /// and nothing takes their place.
    pub text: String,
    /// The words one by one, in order of time.
    pub words: Vec<Word>,
    /// ISO 639-1 code of the language that was recognised.
    pub language: String,
    /// Milliseconds from the end of speech to publication.
    pub latency_ms: u64,
    /// Whether the engine heard all of the audio. `false` above the queue's last bound and where
    /// recognition failed: something was said, and of its words only those are here, if any, that a
    /// partial had shown.
    pub transcribed: bool,
    /// Whether these are the other party's words, which came back on this track: an echo. Left out
    /// of the JSON where they are not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub echo: bool,
}

/// The words of an utterance that is still being spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Partial {
    /// The segment it will become.
    pub segment_id: SegmentId,
    /// Counts up from 1 within the segment.
    pub revision: u32,
    /// The track it is heard on.
    pub track: Track,
    /// Who speaks.
    pub speaker: Speaker,
    /// Where speech begins, on the call's clock.
    pub start_ms: u64,
    /// Words that stay: from revision to revision this text only grows.
    pub stable: String,
    /// Words that may still change.
    pub unstable: String,
    /// Whether this seems to be an echo of the other party so far; its final tells for good. Left
    /// out of the JSON where it does not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub echo: bool,
}

/// Whether a field may be left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Somebody seems to speak another language than the engine writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LanguageDoubt {
    /// Who.
    pub speaker: Speaker,
    /// ISO 639-1 code of the language that the engine writes down.
    pub expected: String,
}

/// Twilio's words for where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// Waits to be dialled.
    Queued,
    /// Dialling has begun.
    Initiated,
    /// The other end rings.
    Ringing,
    /// The parties talk.
    InProgress,
    /// Over, after a talk.
    Completed,
    /// Over: engaged.
    Busy,
    /// Over: nobody picked up.
    NoAnswer,
    /// Over: hung up before the answer.
    Canceled,
    /// Over: could not be placed.
    Failed,
}

impl CallStatus {
    /// Whether it is a status that a call ends with.
    pub fn is_over(self) -> bool {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::NoAnswer | Self::Canceled | Self::Failed => true,
        }
    }
}

impl RecordingStatus {
    /// Whether nothing more becomes of it.
    pub fn is_settled(self) -> bool {
        match self {
            Self::InProgress | Self::Paused | Self::Stopped => false,
            Self::Completed | Self::Absent | Self::Failed => true,
        }
    }
}

/// Where Twilio's recording of the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingStatus {
    /// Running.
    InProgress,
    /// Held.
    Paused,
    /// Ended, not ready yet.
    Stopped,
    /// Ready to be played.
    Completed,
    /// There is nothing to play.
    Absent,
    /// It did not work.
    Failed,
}

/// How the engine keeps up with this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineHealth {
    /// Partials and finals on time.
    Ok,
    /// Finals wait longer than they should; partials are being thinned out.
    Behind,
    /// Words are missing: the queue's last bound was hit, or the recogniser failed.
    Degraded,
}

/// Why no more words of a call will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Twilio said `stop`: the call, or the stream, was ended on purpose.
    Stopped,
    /// The socket closed without a `stop`.
    Dropped,
    /// Nothing came for too long.
    Idle,
    /// No `start` came in time.
    NeverStarted,
    /// What came was not the protocol.
    ProtocolError,
    /// This server is shutting down.
    ShuttingDown,
}

/// One thing that a listener hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Event {
    /// Everything so far; replaces whatever the listener had of this call, whatever its offset.
    Snapshot {
        /// Which life of the channel the offsets belong to; a listener that comes back sends it
        /// along with its offset. Below 2^53, so that every JSON reader can hold it.
        epoch: u64,
        /// Where the call is, once known.
        status: Option<CallStatus>,
        /// Where its recording is, if there is one.
        recording: Option<RecordingStatus>,
        /// How the engine keeps up.
        engine: EngineHealth,
        /// Settled segments, in the order in which they settled.
        segments: Vec<Segment>,
        /// The latest partial of each utterance that is being spoken.
        partials: Vec<Partial>,
        /// Who seems to speak another language than the engine writes down; left out of the JSON
        /// where nobody does.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubts: Vec<LanguageDoubt>,
        /// Why it ended, if it has.
        ended: Option<EndReason>,
    },
    /// Words that are not settled yet; replaces the partial of the same segment. Never follows
    /// that segment's final.
    Partial {
        /// The words.
        partial: Partial,
    },
    /// A final: words that never change; replaces the partial of the same segment.
    Segment {
        /// The words.
        segment: Segment,
    },
    /// The call moved.
    #[serde(rename_all = "camelCase")]
    Call {
        /// To here.
        status: CallStatus,
        /// The stream that carries its audio, while there is one.
        stream_sid: Option<StreamSid>,
    },
    /// The recording moved.
    Recording {
        /// To here.
        status: RecordingStatus,
    },
    /// The engine's health changed, or this listener is too slow for every partial.
    #[serde(rename_all = "camelCase")]
    Engine {
        /// How the engine keeps up.
        health: EngineHealth,
        /// How far the oldest waiting final is behind.
        lag_ms: u64,
        /// Partials that this listener missed because it reads too slowly; it misses no final.
        partials_missed: u64,
    },
    /// Somebody seems to speak another language than the engine writes down, or does so no more.
    /// A snapshot of the next stream of the call begins without doubts.
    Language {
        /// All who do, now.
        doubts: Vec<LanguageDoubt>,
    },
    /// No more words will come, and partials that are still there go away; the call and its
    /// recording may still move. Should the audio come
    /// back after all, a snapshot says so.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

impl Event {
    /// The same words, said this much later on the call's clock (earlier, if negative; never before
    /// its beginning). Other events have no place on it.
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

    /// Whether each one is kept for those who come late. Of partials (for each segment) and of
    /// engine health only the latest counts, and a snapshot is made on demand.
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

/// An [`Event`] with its address, as it goes over the wire:
/// `{"callSid":"CA…","offset":7,"type":"segment","segment":{…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallEvent {
    /// The call.
    pub call_sid: CallSid,
    /// Counts the call's events from 1 within one epoch; a listener that comes back names the last
    /// one it saw. There are holes where a newer event replaced an older one. A snapshot carries
    /// the offset of the latest event that it covers, a notice to one listener that of the event
    /// before it.
    pub offset: u64,
    /// What happened.
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
