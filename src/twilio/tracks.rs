//! Whose voices a stream, a transcription or a recording is of. Pure: no I/O.

/// Whose voices. Twilio has two spellings for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrackSelection {
    /// What Twilio receives from the call's own leg.
    Inbound,
    /// What Twilio sends to it.
    Outbound,
    /// Both parties', each on a track of its own where that is to be had.
    #[default]
    Both,
}

impl TrackSelection {
    /// All that there are.
    pub(super) const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Both];

    /// As streams and transcriptions spell it
    /// (<https://www.twilio.com/docs/voice/twiml/stream#attributes-track>).
    pub(super) fn stream_value(self) -> &'static str {
        match self {
            Self::Inbound => "inbound_track",
            Self::Outbound => "outbound_track",
            Self::Both => "both_tracks",
        }
    }

    /// As recordings spell it (<https://www.twilio.com/docs/voice/api/recording>).
    pub(super) fn recording_value(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }
}
