//! Converts Twilio's Real-Time Transcription into this server's partials and segments, for the same channel
//! and the same store. Pure: no I/O.
//!
//! Twilio reports the text and the time at which it sent it, but not when it was spoken, so times are
//! estimates. An utterance ends when its final was sent. It starts when its first partial was sent minus the
//! time that the partial's words take to say or, without a partial, as long before its end as its words take
//! to say. Its words are spread evenly in between.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml/transcription>.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::clock::UtcTime;
use crate::ids::{CallSid, SegmentId, Track, TranscriptionSid};
use crate::limits;
use crate::transcript::{Direction, Event, Partial, Segment, Word};

/// Assumed duration of a word, where no better estimate exists.
const WORD_MS: u64 = 350;

/// Calls that Twilio transcribes at present.
#[derive(Debug, Default)]
pub(super) struct LiveTranscriptions {
    calls: BTreeMap<CallSid, CallTranscription>,
    /// Received finals, also those of calls that are over: Twilio repeats a callback if it received no
    /// response.
    seen_finals: SeenFinals,
}

/// Identity of a final.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum FinalKey {
    /// Token of the callback.
    Token(String),
    /// Sequence number within a transcription.
    Sequence(TranscriptionSid, u32),
}

/// The latest finals, with at most [`limits::TRANSCRIPTION_FINALS_MAX`] keys.
#[derive(Debug, Default)]
struct SeenFinals {
    final_keys: BTreeSet<FinalKey>,
    order: VecDeque<FinalKey>,
}

impl SeenFinals {
    fn contains(&self, content: &TranscriptionText) -> bool {
        final_keys(content).any(|key| self.final_keys.contains(&key))
    }

    fn insert(&mut self, content: &TranscriptionText) {
        for key in final_keys(content) {
            if self.order.len() >= limits::TRANSCRIPTION_FINALS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.final_keys.remove(&oldest);
            }
            if self.final_keys.insert(key.clone()) {
                self.order.push_back(key);
            }
        }
    }
}

fn final_keys(content: &TranscriptionText) -> impl Iterator<Item = FinalKey> {
    let token = content.token.clone().map(FinalKey::Token);
    let sid = content.transcription.clone();
    let number = content
        .sequence
        .map(|number| FinalKey::Sequence(sid, number));
    token.into_iter().chain(number)
}

impl LiveTranscriptions {
    pub(super) fn contains(&self, call: &CallSid) -> bool {
        self.calls.contains_key(call)
    }

    /// Starts to collect a call's transcription. At [`limits::TRANSCRIPTIONS_MAX`] calls, the oldest is
    /// removed: its end was never reported.
    pub(super) fn start(&mut self, call: CallSid, stream: u32, direction: Direction, at: UtcTime) {
        if self.calls.len() >= limits::TRANSCRIPTIONS_MAX {
            let oldest = self
                .calls
                .iter()
                .min_by_key(|(_, transcription)| transcription.begun);
            if let Some(oldest) = oldest.map(|(call, _)| call.clone()) {
                self.calls.remove(&oldest);
            }
        }
        let transcription = CallTranscription::new(stream, direction, at);
        self.calls.insert(call, transcription);
    }

    /// Converts a callback's text into an event for the call's listeners. A repeated final returns `None`.
    pub(super) fn on_text(&mut self, call: &CallSid, content: &TranscriptionText) -> Option<Event> {
        if content.is_final && self.seen_finals.contains(content) {
            return None;
        }
        let event = self.calls.get_mut(call)?.on_text(content);
        if content.is_final {
            self.seen_finals.insert(content);
        }
        event
    }

    /// Whether this text is a final that was received before.
    pub(super) fn is_duplicate(&self, content: &TranscriptionText) -> bool {
        content.is_final && self.seen_finals.contains(content)
    }

    /// Removes a call; returns `false` if the call was not transcribed.
    pub(super) fn stop(&mut self, call: &CallSid) -> bool {
        self.calls.remove(call).is_some()
    }
}

/// Content of a `transcription-content` callback.
#[derive(Clone, PartialEq)]
pub(super) struct TranscriptionText {
    pub transcription: TranscriptionSid,
    /// Sequence number of the event within its transcription; events may arrive out of order.
    pub sequence: Option<u32>,
    /// Identifies the callback; a repeated callback has the same token.
    pub token: Option<String>,
    pub track: Track,
    /// The text; may start with a space.
    pub text: String,
    /// From 0 to 1; only finals have it.
    pub confidence: Option<f32>,
    pub is_final: bool,
    /// BCP 47 tag, such as `en-US`.
    pub language: String,
    /// Time at which Twilio sent it.
    pub at: UtcTime,
}

impl TranscriptionText {
    /// Returns the language without its region: `en` for `en-US`.
    fn primary_language(&self) -> &str {
        self.language.split('-').next().unwrap_or_default()
    }

    /// Estimates the start of an utterance of these words that ends at `end_ms`.
    fn estimate_start_ms(&self, end_ms: u64) -> u64 {
        let count = self.text.split_whitespace().count() as u64;
        end_ms.saturating_sub(count * WORD_MS)
    }
}

/// Transcription state of one call.
#[derive(Debug)]
pub(super) struct CallTranscription {
    stream: u32,
    direction: Direction,
    begun: UtcTime,
    /// Transcriptions of the call, the latest last. The sequence numbers of each start from 1.
    transcriptions: Vec<TranscriptionSid>,
    tracks: BTreeMap<Track, TranscribedTrack>,
}

#[derive(Debug, Default)]
struct TranscribedTrack {
    finals: u32,
    last_final: u64,
    /// Sequence number of the latest partial of the open utterance.
    last_partial: u64,
    revision: u32,
    start_ms: Option<u64>,
}

impl TranscribedTrack {
    /// Adds a partial, sent at `at_ms`, to the open utterance, and returns the utterance's start.
    /// `None`: the partial is empty, or a newer event of its track arrived before it.
    fn accept_partial(
        &mut self,
        content: &TranscriptionText,
        is_latest: bool,
        at_ms: u64,
    ) -> Option<u64> {
        let sequence = content.sequence.map_or(0, u64::from);
        let is_old = sequence < self.last_partial.max(self.last_final);
        if !is_latest || is_old || content.text.trim().is_empty() {
            return None;
        }
        self.last_partial = sequence;
        self.revision += 1;
        let estimate = content.estimate_start_ms(at_ms);
        Some(*self.start_ms.get_or_insert(estimate))
    }

    /// Ends the open utterance with a final, sent at `at_ms`, and returns the utterance's start.
    /// `None`: the final is empty, and no partial preceded it.
    fn accept_final(
        &mut self,
        content: &TranscriptionText,
        is_latest: bool,
        at_ms: u64,
    ) -> Option<u64> {
        if content.text.trim().is_empty() && self.revision == 0 {
            return None;
        }
        let estimate = content.estimate_start_ms(at_ms);
        let start_ms = self.start_ms.take().unwrap_or(estimate).min(at_ms);
        self.finals += 1;
        self.revision = 0;
        if is_latest {
            let sequence = content.sequence.map_or(0, u64::from);
            self.last_final = self.last_final.max(sequence);
        }
        Some(start_ms)
    }
}

impl CallTranscription {
    /// Creates the state of a call's stream `stream`, which started at `begun`.
    pub(super) fn new(stream: u32, direction: Direction, begun: UtcTime) -> Self {
        Self {
            stream,
            direction,
            begun,
            transcriptions: Vec::new(),
            tracks: BTreeMap::new(),
        }
    }

    /// Converts a callback's text into an event. A final always counts, however late it arrives; a partial is
    /// dropped if a newer event of its track arrived before it.
    pub(super) fn on_text(&mut self, content: &TranscriptionText) -> Option<Event> {
        let is_latest = self.is_from_latest(&content.transcription);
        let text = content.text.trim();
        let at_ms = content.at.since(self.begun).as_millis() as u64;
        let speaker = self.direction.speaker(content.track);
        let track_state = self.tracks.entry(content.track).or_default();
        let id = SegmentId::new(self.stream, content.track, track_state.finals + 1);
        if !content.is_final {
            let start_ms = track_state.accept_partial(content, is_latest, at_ms)?;
            let partial = Partial {
                segment_id: id,
                revision: track_state.revision,
                track: content.track,
                speaker,
                start_ms,
                stable: String::new(),
                unstable: text.to_owned(),
                echo: false,
            };
            return Some(Event::Partial { partial });
        }
        let start_ms = track_state.accept_final(content, is_latest, at_ms)?;
        let segment = Segment {
            id,
            track: content.track,
            speaker,
            start_ms,
            end_ms: at_ms,
            text: text.to_owned(),
            words: spread_words(text, start_ms, at_ms, content.confidence.unwrap_or(0.0)),
            language: content.primary_language().to_owned(),
            latency_ms: 0,
            transcribed: true,
            echo: false,
        };
        Some(Event::Segment { segment })
    }
}

impl CallTranscription {
    /// Whether it is the transcription that started last. A new transcription restarts the sequence numbers.
    fn is_from_latest(&mut self, transcription: &TranscriptionSid) -> bool {
        if !self.transcriptions.contains(transcription) {
            if self.transcriptions.len() >= limits::TRANSCRIPTIONS_PER_CALL_MAX {
                self.transcriptions.remove(0);
            }
            self.transcriptions.push(transcription.clone());
            for track_state in self.tracks.values_mut() {
                (track_state.last_partial, track_state.last_final) = (0, 0);
            }
        }
        self.transcriptions.last() == Some(transcription)
    }
}

/// Splits `text` into words, spread evenly from `start_ms` to `end_ms`.
fn spread_words(text: &str, start_ms: u64, end_ms: u64, confidence: f32) -> Vec<Word> {
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

    fn transcription(n: u32) -> TranscriptionSid {
        TranscriptionSid::parse(&format!("GT{n:032}")).unwrap()
    }

    fn content(
        sequence: u32,
        track: Track,
        text: &str,
        is_final: bool,
        ms: i64,
    ) -> TranscriptionText {
        TranscriptionText {
            transcription: transcription(1),
            sequence: Some(sequence),
            token: None,
            track,
            text: text.to_owned(),
            confidence: is_final.then_some(0.9),
            is_final,
            language: "en-US".to_owned(),
            at: at(ms),
        }
    }

    fn listen(contents: &[TranscriptionText]) -> Vec<Event> {
        let mut transcription = CallTranscription::new(2, Direction::Outgoing, at(0));
        let events = contents
            .iter()
            .filter_map(|content| transcription.on_text(content));
        events.collect()
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
    fn a_final_counts_once_by_its_callback_or_by_its_number_and_when_its_call_is_over() {
        let call = CallSid::parse("CA00000000000000000000000000000001").unwrap();
        let mut all = LiveTranscriptions::default();
        let mut tell = |sequence: u32, token: Option<&str>, transcription_number| {
            all.start(call.clone(), 1, Direction::Outgoing, at(0));
            let mut content = content(sequence, Track::Inbound, "Hello", true, 1_000);
            content.token = token.map(str::to_owned);
            content.transcription = transcription(transcription_number);
            let is_new = !all.is_duplicate(&content);
            assert_eq!(all.on_text(&call, &content).is_some(), is_new);
            all.stop(&call);
            is_new
        };
        assert!(tell(3, Some("a"), 1));
        assert!(!tell(3, Some("a"), 1), "the same once more");
        assert!(!tell(3, None, 1), "the same, without its name");
        assert!(tell(4, Some("b"), 1));
        assert!(tell(3, Some("c"), 2), "of another transcription");
    }

    #[test]
    fn another_transcription_of_the_call_counts_anew_and_takes_over() {
        let a = Track::Inbound;
        let mut second = content(2, a, "three", false, 3_000);
        second.transcription = transcription(2);
        let events = listen(&[
            content(9, a, "one two", true, 2_000),
            second,
            content(10, a, "late", false, 3_100),
            content(11, a, "late words", true, 3_200),
        ]);
        let kinds: Vec<bool> = events
            .iter()
            .map(|event| matches!(event, Event::Segment { .. }))
            .collect();
        assert_eq!(kinds, [true, false, true], "{events:?}");
    }

    #[test]
    fn finals_that_are_remembered_are_bounded() {
        let mut seen_finals = SeenFinals::default();
        for n in 0..=limits::TRANSCRIPTION_FINALS_MAX as u32 {
            seen_finals.insert(&content(n, Track::Inbound, "", true, 0));
        }
        assert_eq!(
            seen_finals.final_keys.len(),
            limits::TRANSCRIPTION_FINALS_MAX
        );
        assert_eq!(seen_finals.order.len(), limits::TRANSCRIPTION_FINALS_MAX);
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
