//! The events that a browser receives in each scenario of `fixtures/live/`. The files are the contract
//! between the server and the client: this file writes them, a test here compares the server's types and
//! channel with them, and the client's tests fold them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::browser::CallView;
use crate::hub::{CallChannel, ListenerCursor, PARTIALS_MISSED_UNREPORTED_MAX, ResumePoint};
use crate::ids::{CallSid, SegmentId, StreamSid, Track};
use crate::transcript::{
    CallEvent, CallStatus, Direction, EndReason, EngineHealth, Event, LanguageDoubt, Partial,
    RecordingStatus, Segment, Speaker, Word,
};

const EPOCH: u64 = 1_795_345_200_000;

/// A call with one listener, which may disconnect and resume.
struct Scenario {
    name: &'static str,
    channel: CallChannel,
    cursor: Option<ListenerCursor>,
    resume_point: Option<ResumePoint>,
    heard: Vec<Arc<CallEvent>>,
}

impl Scenario {
    /// Creates a scenario with a listener from the start.
    fn new(name: &'static str) -> Self {
        let mut scenario = Self::unheard(name);
        scenario.reconnect();
        scenario
    }

    /// Creates a scenario without a listener at the start.
    fn unheard(name: &'static str) -> Self {
        let channel = CallChannel::new(call(1), EPOCH);
        Self {
            name,
            channel,
            cursor: None,
            resume_point: None,
            heard: Vec::new(),
        }
    }

    /// Publishes an event, which the listener receives if it is connected.
    fn publish(&mut self, event: Event) {
        self.publish_unread(event);
        self.listen();
    }

    /// Publishes an event that the listener is too slow to read.
    fn publish_unread(&mut self, event: Event) {
        self.channel
            .append(event)
            .expect("a story holds only what the channel takes");
    }

    fn publish_all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.publish(event);
        }
    }

    fn disconnect(&mut self) {
        let last = self.heard.last().expect("nobody goes before the snapshot");
        self.resume_point = Some(ResumePoint {
            offset: last.offset,
            epoch: Some(EPOCH),
        });
        self.cursor = None;
    }

    fn reconnect(&mut self) {
        self.cursor = Some(
            self.resume_point
                .map_or_else(ListenerCursor::default, ListenerCursor::resume),
        );
        self.listen();
    }

    fn listen(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            self.heard.extend(self.channel.read(cursor, 256));
        }
    }
}

/// Returns the `n`th call.
pub(crate) fn call(n: u32) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

/// Returns the id of the `n`th utterance of a track.
pub(crate) fn id(track: Track, n: u32) -> SegmentId {
    SegmentId::new(1, track, n)
}

/// Returns a partial of an outgoing call.
pub(crate) fn partial(
    segment_id: SegmentId,
    track: Track,
    revision: u32,
    start_ms: u64,
    stable: &str,
    unstable: &str,
) -> Event {
    let speaker = Direction::Outgoing.speaker(track);
    let (stable, unstable) = (stable.to_owned(), unstable.to_owned());
    Event::Partial {
        partial: Partial {
            segment_id,
            revision,
            track,
            speaker,
            start_ms,
            stable,
            unstable,
            echo: false,
        },
    }
}

/// Returns a final of an outgoing call; every word lasts 300 ms.
pub(crate) fn segment(id: SegmentId, track: Track, start_ms: u64, text: &str) -> Event {
    let words: Vec<Word> = text
        .split_whitespace()
        .zip(0..)
        .map(|(word, n)| Word {
            text: word.to_owned(),
            start_ms: start_ms + n * 300,
            end_ms: start_ms + n * 300 + 260,
            confidence: 0.95 - 0.03 * (n % 8) as f32,
        })
        .map(|word| Word {
            confidence: (word.confidence * 1_000.0).round() / 1_000.0,
            ..word
        })
        .collect();
    Event::Segment {
        segment: Segment {
            id,
            track,
            speaker: Direction::Outgoing.speaker(track),
            start_ms,
            end_ms: words.last().map_or(start_ms + 200, |word| word.end_ms),
            text: text.to_owned(),
            words,
            language: "en".to_owned(),
            latency_ms: 480,
            transcribed: true,
            echo: false,
        },
    }
}

fn status(status: CallStatus) -> Event {
    Event::Call {
        status,
        stream_sid: None,
    }
}

fn answered(stream: u32) -> Event {
    let stream_sid = Some(StreamSid::parse(&format!("MZ{stream:032x}")).unwrap());
    Event::Call {
        status: CallStatus::InProgress,
        stream_sid,
    }
}

fn recording(status: RecordingStatus) -> Event {
    Event::Recording { status }
}

fn engine(health: EngineHealth, lag_ms: u64) -> Event {
    Event::Engine {
        health,
        lag_ms,
        partials_missed: 0,
    }
}

/// A doubt about the customer's language.
pub(crate) fn doubt() -> LanguageDoubt {
    LanguageDoubt {
        speaker: Speaker::Customer,
        expected: "en".to_owned(),
    }
}

fn ended(reason: EndReason) -> Event {
    Event::Ended { reason }
}

/// "Good morning, this is Anna." on the customer's track, in three steps.
fn greeting() -> [Event; 3] {
    let (track, id) = (Track::Outbound, id(Track::Outbound, 1));
    [
        partial(id.clone(), track, 1, 900, "", "Good morning"),
        partial(id.clone(), track, 2, 900, "Good morning,", "this is an"),
        segment(id, track, 900, "Good morning, this is Anna."),
    ]
}

/// "Hello, I'd like to ask about my bill." on the agent's track, in four steps.
fn question() -> [Event; 4] {
    let (track, id) = (Track::Inbound, id(Track::Inbound, 1));
    [
        partial(id.clone(), track, 1, 2_700, "", "Hello"),
        partial(id.clone(), track, 2, 2_700, "Hello, I'd like", "to ask"),
        partial(
            id.clone(),
            track,
            3,
            2_700,
            "Hello, I'd like to ask about",
            "my bell",
        ),
        segment(id, track, 2_700, "Hello, I'd like to ask about my bill."),
    ]
}

fn answer() -> Event {
    segment(
        id(Track::Outbound, 2),
        Track::Outbound,
        5_600,
        "Of course. One moment, please.",
    )
}

fn normal_call() -> Scenario {
    let mut scenario = Scenario::new("normal-call");
    scenario.publish_all([
        status(CallStatus::Initiated),
        status(CallStatus::Ringing),
        answered(1),
    ]);
    let [good, morning, anna] = greeting();
    let [hello, ask, misheard, settled] = question();
    scenario.publish_all([good, morning, hello, anna, ask, misheard]);
    // Both talk at once: two utterances are open.
    scenario.publish(partial(
        id(Track::Outbound, 2),
        Track::Outbound,
        1,
        5_600,
        "",
        "Of course",
    ));
    scenario.publish_all([
        settled,
        answer(),
        ended(EndReason::Stopped),
        status(CallStatus::Completed),
    ]);
    scenario
}

fn resumed() -> Scenario {
    let mut scenario = Scenario::new("resumed-after-drop");
    let [good, morning, anna] = greeting();
    scenario.publish_all([answered(1), good]);
    scenario.disconnect();
    scenario.publish_all([morning, anna]);
    let [hello, ask, misheard, settled] = question();
    scenario.publish_all([hello, ask, misheard]);
    scenario.reconnect();
    scenario.publish_all([settled, answer(), ended(EndReason::Stopped)]);
    scenario
}

fn joined_late() -> Scenario {
    let mut scenario = Scenario::unheard("joined-mid-call");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    let [hello, ask, misheard, settled] = question();
    scenario.publish_all([recording(RecordingStatus::InProgress), hello, ask]);
    scenario.reconnect();
    scenario.publish_all([misheard, settled, ended(EndReason::Stopped)]);
    scenario
}

fn stream_came_back() -> Scenario {
    let mut scenario = Scenario::new("stream-dropped-and-back");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    scenario.publish(ended(EndReason::Dropped));
    scenario.channel.reopen(EPOCH + 1);
    scenario.listen();
    scenario.publish(answered(2));
    let id = SegmentId::new(2, Track::Inbound, 1);
    scenario.publish(segment(id, Track::Inbound, 31_000, "Are you still there?"));
    scenario.publish_all([ended(EndReason::Stopped), status(CallStatus::Completed)]);
    scenario
}

fn recorded() -> Scenario {
    let mut scenario = Scenario::new("recording-on-and-off");
    scenario.publish_all([answered(1), recording(RecordingStatus::InProgress)]);
    scenario.publish_all(greeting());
    scenario.publish_all([
        recording(RecordingStatus::Paused),
        recording(RecordingStatus::InProgress),
        recording(RecordingStatus::Stopped),
        ended(EndReason::Stopped),
        status(CallStatus::Completed),
        recording(RecordingStatus::Completed),
    ]);
    scenario
}

fn degraded() -> Scenario {
    let mut scenario = Scenario::new("degraded-engine");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    scenario.publish(engine(EngineHealth::Behind, 1_800));
    scenario.publish_all([
        engine(EngineHealth::Behind, 4_200),
        engine(EngineHealth::Degraded, 9_000),
    ]);
    let Event::Segment { mut segment } = question()[3].clone() else {
        unreachable!()
    };
    segment.transcribed = false;
    segment.text.clear();
    segment.words.clear();
    segment.language.clear();
    segment.latency_ms = 10_000;
    scenario.publish(Event::Segment { segment });
    scenario.publish_all([
        engine(EngineHealth::Ok, 0),
        answer(),
        ended(EndReason::Stopped),
    ]);
    scenario
}

fn slow_listener() -> Scenario {
    let mut scenario = Scenario::new("slow-listener");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    let (track, id) = (Track::Inbound, id(Track::Inbound, 1));
    let numbers = "One two three four five six seven eight nine ten eleven twelve.";
    let words: Vec<&str> = numbers.split(' ').collect();
    for revision in 1..=PARTIALS_MISSED_UNREPORTED_MAX as usize + 2 {
        let (stable, unstable) = (words[..revision].join(" "), words[revision]);
        let event = partial(id.clone(), track, revision as u32, 2_700, &stable, unstable);
        scenario.publish_unread(event);
    }
    scenario.listen();
    scenario.publish_all([
        segment(id, track, 2_700, numbers),
        ended(EndReason::Stopped),
    ]);
    scenario
}

fn silent() -> Scenario {
    let mut scenario = Scenario::new("never-a-word");
    scenario.publish_all([
        status(CallStatus::Ringing),
        answered(1),
        ended(EndReason::Stopped),
    ]);
    scenario.publish(status(CallStatus::Completed));
    scenario
}

fn dropped() -> Scenario {
    let mut scenario = Scenario::new("ended-by-drop");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    let [d, e, ..] = question();
    // Utterances before that are final; the open one disappears with the end.
    scenario.publish_all([d, e, ended(EndReason::Dropped)]);
    scenario
}

fn nothing_said() -> Scenario {
    let mut scenario = Scenario::new("nothing-said-after-all");
    let (track, id) = (Track::Inbound, id(Track::Inbound, 1));
    scenario.publish_all([
        answered(1),
        partial(id.clone(), track, 1, 400, "", "Thank you."),
    ]);
    scenario.publish_all([segment(id, track, 400, ""), ended(EndReason::Stopped)]);
    scenario
}

fn echoed() -> Scenario {
    let mut scenario = Scenario::new("echo-of-the-other-party");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    let [hello, ask, misheard, settled] = question();
    scenario.publish_all([hello, ask]);
    // An echo: the agent's words return on the customer's track; it is reported once there are enough of
    // them.
    let (track, id) = (Track::Outbound, id(Track::Outbound, 2));
    scenario.publish(partial(id.clone(), track, 1, 2_900, "", "Hello"));
    let of_agent = "Hello, I'd like to ask about my bill.";
    let mut events = [
        partial(id.clone(), track, 2, 2_900, "Hello, I'd like", "to ask"),
        segment(id, track, 2_900, of_agent),
    ];
    for event in &mut events {
        if let Event::Partial { partial } = event {
            partial.echo = true;
        }
        if let Event::Segment { segment } = event {
            segment.echo = true;
        }
    }
    scenario.publish_all(events);
    scenario.publish_all([misheard, settled, ended(EndReason::Stopped)]);
    scenario
}

fn another_language() -> Scenario {
    let mut scenario = Scenario::new("another-language");
    scenario.publish(answered(1));
    scenario.publish_all(greeting());
    for n in 2..=4 {
        let (track, start_ms) = (Track::Outbound, u64::from(n) * 3_000);
        let event = segment(id(track, n), track, start_ms, "I'm going to show you");
        let Event::Segment { mut segment } = event else {
            unreachable!()
        };
        for word in &mut segment.words {
            word.confidence = 0.3;
        }
        scenario.publish(Event::Segment { segment });
    }
    scenario.publish(Event::Language {
        doubts: vec![doubt()],
    });
    scenario.publish(ended(EndReason::Stopped));
    scenario
}

fn scenarios() -> Vec<Scenario> {
    vec![
        normal_call(),
        resumed(),
        joined_late(),
        stream_came_back(),
        recorded(),
        degraded(),
        slow_listener(),
        silent(),
        dropped(),
        nothing_said(),
        echoed(),
        another_language(),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/live"))
}

fn lines<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> String {
    let line = |event| serde_json::to_string(event).unwrap() + "\n";
    events.into_iter().map(line).collect()
}

#[test]
fn the_fixtures_are_exactly_what_the_server_says() {
    let mut wanted = vec!["README.md".to_owned()];
    for scenario in scenarios() {
        let end = scenario.channel.snapshot();
        let heard: Vec<&CallEvent> = scenario.heard.iter().map(Arc::as_ref).collect();
        for (file, text) in [
            (format!("{}.jsonl", scenario.name), lines(heard)),
            (format!("{}.end.jsonl", scenario.name), lines([&end])),
        ] {
            let path = folder().join(&file);
            if std::env::var_os("UPDATE_FIXTURES").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let stored = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                stored, text,
                "{file} differs; if that is meant, run with UPDATE_FIXTURES=1"
            );
            wanted.push(file);
        }
    }
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(
        found, wanted,
        "a file of fixtures/live that no story makes, or none for a story"
    );
}

#[test]
fn a_fixture_line_is_the_same_json_after_a_round_trip() {
    for scenario in scenarios() {
        let text = fs::read_to_string(folder().join(format!("{}.jsonl", scenario.name))).unwrap();
        for line in text.lines() {
            let event: CallEvent = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
        }
    }
}

#[test]
fn a_fixture_folds_to_the_snapshot_beside_it() {
    for scenario in scenarios() {
        let read = |kind: &str| {
            let text =
                fs::read_to_string(folder().join(format!("{}{kind}", scenario.name))).unwrap();
            let events: Vec<CallEvent> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            CallView::of(&events).same_for_all()
        };
        assert_eq!(read(".jsonl"), read(".end.jsonl"), "{}", scenario.name);
    }
}
