//! The tracks of a stream, a transcription or a recording. Pure: no I/O.

/// A selection of tracks. Twilio spells it in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrackSelection {
    /// Audio that Twilio receives from the leg.
    Inbound,
    /// Audio that Twilio sends to the leg.
    Outbound,
    /// Both directions, on separate tracks where Twilio offers that.
    #[default]
    Both,
}

impl TrackSelection {
    /// All selections.
    pub(super) const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Both];

    /// Returns the spelling for streams and transcriptions
    /// (<https://www.twilio.com/docs/voice/twiml/stream#attributes-track>).
    pub(super) fn stream_value(self) -> &'static str {
        match self {
            Self::Inbound => "inbound_track",
            Self::Outbound => "outbound_track",
            Self::Both => "both_tracks",
        }
    }

    /// Returns the spelling for recordings (<https://www.twilio.com/docs/voice/api/recording>).
    pub(super) fn recording_value(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }
}
