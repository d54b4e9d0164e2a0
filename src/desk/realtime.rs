//! Twilio's Real-Time Transcription as the words of our own engine: the same partials and segments,
//! on the same channel and in the same store. Pure: no I/O.
//!
//! Twilio says what was heard, and when it sent it; not when it was spoken. So times are estimates:
//! an utterance ends when its final was sent, begins when its first partial was sent or, without
//! one, as long before as its words take to say, and its words lie evenly in between.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml/transcription>.

use std::collections::BTreeMap;

use crate::clock::UtcTime;
use crate::ids::{CallSid, SegmentId, Track};
use crate::limits;
use crate::transcript::{Direction, Event, Partial, Segment, Word};

/// How long a word takes to say, where nothing better is known.
const WORD_MS: u64 = 350;

/// The calls that Twilio transcribes now.
#[derive(Debug, Default)]
pub(super) struct Transcriptions {
    calls: BTreeMap<CallSid, Realtime>,
}

impl Transcriptions {
    /// Whether the call is one of them.
    pub(super) fn knows(&self, call: &CallSid) -> bool {
        self.calls.contains_key(call)
    }

    /// Begins to listen to a call. The call that is listened to longest is let go if there are
    /// [`limits::TRANSCRIPTIONS_MAX`]: its end was never told.
    pub(super) fn begin(&mut self, call: CallSid, stream: u32, direction: Direction, at: UtcTime) {
        if self.calls.len() >= limits::TRANSCRIPTIONS_MAX {
            let oldest = self.calls.iter().min_by_key(|(_, realtime)| realtime.begun);
            if let Some(oldest) = oldest.map(|(call, _)| call.clone()) {
                self.calls.remove(&oldest);
            }
        }
        let realtime = Realtime::new(stream, direction, at);
        self.calls.insert(call, realtime);
    }

    /// What a listener of the call hears.
    pub(super) fn hear(&mut self, call: &CallSid, content: &Content) -> Option<Event> {
        self.calls.get_mut(call)?.hear(content)
    }

    /// Ends it; `false`: it was none of them.
    pub(super) fn end(&mut self, call: &CallSid) -> bool {
        self.calls.remove(call).is_some()
    }
}

/// What one `transcription-content` says.
#[derive(Clone, PartialEq)]
pub(super) struct Content {
    /// Counts the events of one transcription; arrival order is not guaranteed.
    pub sequence: u64,
    /// Whose words.
    pub track: Track,
    /// The words; may begin with a space.
    pub text: String,
    /// 0 to 1; finals have it.
    pub confidence: Option<f32>,
    /// Whether these words stay.
    pub is_final: bool,
    /// BCP 47, such as `en-US`.
    pub language: String,
    /// When Twilio sent it.
    pub at: UtcTime,
}

/// One Real-Time Transcription.
#[derive(Debug)]
pub(super) struct Realtime {
    stream: u32,
    direction: Direction,
    begun: UtcTime,
    tracks: BTreeMap<Track, Voice>,
}

/// What was heard of one track.
#[derive(Debug, Default)]
struct Voice {
    finals: u32,
    last_final: u64,
    /// The latest partial of the utterance that is being spoken.
    latest: u64,
    revision: u32,
    start_ms: Option<u64>,
}

impl Realtime {
    /// The `stream`th source of a call's words, which began to listen at `begun`.
    pub(super) fn new(stream: u32, direction: Direction, begun: UtcTime) -> Self {
        Self {
            stream,
            direction,
            begun,
            tracks: BTreeMap::new(),
        }
    }

    /// What a listener hears of it. A final always counts, however late it comes; a partial does
    /// only if nothing newer of its track was there before.
    pub(super) fn hear(&mut self, content: &Content) -> Option<Event> {
        let text = content.text.trim();
        let at_ms = content.at.since(self.begun).as_millis() as u64;
        let speaker = self.direction.speaker(content.track);
        let voice = self.tracks.entry(content.track).or_default();
        let id = SegmentId::new(self.stream, content.track, voice.finals + 1);
        let count = text.split_whitespace().count() as u64;
        if !content.is_final {
            if content.sequence < voice.latest.max(voice.last_final) || text.is_empty() {
                return None;
            }
            voice.latest = content.sequence;
            voice.revision += 1;
            let start_ms = *voice
                .start_ms
                .get_or_insert(at_ms.saturating_sub(count * WORD_MS));
            let partial = Partial {
                segment_id: id,
                revision: voice.revision,
                track: content.track,
                speaker,
                start_ms,
                stable: String::new(),
                unstable: text.to_owned(),
            };
            return Some(Event::Partial { partial });
        }
        if text.is_empty() && voice.revision == 0 {
            return None;
        }
        let estimate = at_ms.saturating_sub(count * WORD_MS);
        let start_ms = voice.start_ms.take().unwrap_or(estimate).min(at_ms);
        voice.finals += 1;
        voice.revision = 0;
        voice.last_final = voice.last_final.max(content.sequence);
        let segment = Segment {
            id,
            track: content.track,
            speaker,
            start_ms,
            end_ms: at_ms,
            text: text.to_owned(),
            words: spread(text, start_ms, at_ms, content.confidence.unwrap_or(0.0)),
            language: content
                .language
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            latency_ms: 0,
            transcribed: true,
        };
        Some(Event::Segment { segment })
    }
}

/// The words of `text`, evenly from `start_ms` to `end_ms`.
fn spread(text: &str, start_ms: u64, end_ms: u64, confidence: f32) -> Vec<Word> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let count = words.len() as u64;
    let at = |n: u64| start_ms + (end_ms - start_ms) * n / count;
    let word = |(text, n): (&&str, u64)| Word {
        text: (*text).to_owned(),
        start_ms: at(n),
        end_ms: at(n + 1),
        confidence,
    };
    words.iter().zip(0..count).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UtcTime {
        UtcTime::from_millis(1_795_341_600_000 + ms)
    }

    fn content(sequence: u64, track: Track, text: &str, is_final: bool, ms: i64) -> Content {
        Content {
            sequence,
            track,
            text: text.to_owned(),
            confidence: is_final.then_some(0.9),
            is_final,
            language: "en-US".to_owned(),
            at: at(ms),
        }
    }

    fn listen(contents: &[Content]) -> Vec<Event> {
        let mut realtime = Realtime::new(2, Direction::Outgoing, at(0));
        let heard = contents.iter().filter_map(|content| realtime.hear(content));
        heard.collect()
    }

    #[test]
    fn partials_become_the_final_of_the_same_segment() {
        let (a, b) = (Track::Inbound, Track::Outbound);
        let events = listen(&[
            content(2, a, " Hello", false, 1_000),
            content(3, b, " Who is", false, 1_200),
            content(4, a, " Hello there.", true, 2_000),
            content(5, a, "", true, 2_500),
            content(6, a, "Again", true, 5_000),
        ]);
        let [
            Event::Partial { partial },
            Event::Partial { .. },
            Event::Segment { segment },
            Event::Segment { segment: next },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(partial.segment_id.as_str(), "2-inbound-1");
        assert_eq!(
            (
                &segment.id,
                segment.text.as_str(),
                segment.language.as_str()
            ),
            (&partial.segment_id, "Hello there.", "en")
        );
        assert_eq!((segment.start_ms, segment.end_ms), (650, 2_000));
        let times: Vec<_> = segment
            .words
            .iter()
            .map(|w| (w.start_ms, w.end_ms))
            .collect();
        assert_eq!(times, [(650, 1_325), (1_325, 2_000)]);
        assert_eq!((next.id.as_str(), next.start_ms), ("2-inbound-2", 4_650));
    }

    #[test]
    fn a_late_partial_is_nothing_and_a_late_final_still_counts() {
        let a = Track::Inbound;
        let events = listen(&[
            content(4, a, "one two", true, 2_000),
            content(3, a, "one", false, 1_900),
            content(6, a, "three", false, 3_000),
            content(5, a, "thr", false, 2_900),
            content(2, a, "zero", true, 1_000),
        ]);
        let kinds: Vec<bool> = events
            .iter()
            .map(|event| matches!(event, Event::Segment { .. }))
            .collect();
        assert_eq!(kinds, [true, false, true], "{events:?}");
    }

    #[test]
    fn a_final_without_words_takes_its_partial_away() {
        let a = Track::Outbound;
        let events = listen(&[
            content(2, a, "hm", false, 500),
            content(3, a, " ", true, 900),
        ]);
        let [_, Event::Segment { segment }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(segment.text.is_empty() && segment.words.is_empty());
    }
}
