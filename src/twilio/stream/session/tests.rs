//! Tests of `twilio/stream/session.rs`.

use proptest::prelude::*;

use super::*;
use crate::clock;

const MZ: &str = "MZ00000000000000000000000000000005";
const CA: &str = "CA00000000000000000000000000000005";
const SECOND: Duration = Duration::from_secs(1);
const ALMOST_IDLE: Duration = MEDIA_IDLE_MAX.saturating_sub(SECOND);

fn start() -> String {
    format!(
        r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC00000000000000000000000000000005","streamSid":"{MZ}","callSid":"{CA}","tracks":["inbound","outbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"secret":"s"}}}},"streamSid":"{MZ}"}}"#
    )
}

fn stop(sequence: u64) -> String {
    format!(r#"{{"event":"stop","sequenceNumber":"{sequence}","streamSid":"{MZ}","stop":{{}}}}"#)
}

fn media_of(sid: &str, sequence: u64, track: Track, timestamp_ms: u64, mulaw: &[u8]) -> String {
    StreamMessage {
        sequence: Some(sequence),
        stream_sid: Some(sid.to_owned()),
        body: MessageBody::Media(MediaFrame {
            track,
            chunk: None,
            timestamp_ms,
            mulaw: mulaw.to_vec(),
        }),
    }
    .to_json()
}

fn media(sequence: u64) -> String {
    media_of(
        MZ,
        sequence,
        Track::Inbound,
        sequence.saturating_mul(20),
        &[0xff; 160],
    )
}

#[test]
fn a_socket_carries_no_other_call_than_it_was_opened_for() {
    let binding = |call: &str, account: &str| StreamBinding {
        call_sid: Some(CallSid::parse(call).unwrap()),
        account_sid: Some(AccountSid::parse(account).unwrap()),
    };
    let ours = "AC00000000000000000000000000000005";
    let other_call = "CA00000000000000000000000000000006";
    let other_account = "AC00000000000000000000000000000006";
    let driver = SessionDriver::bound_to(binding(CA, ours));
    assert!(matches!(driver.heard[..], [SessionOutput::Started(_)]));
    for foreign in [binding(other_call, ours), binding(CA, other_account)] {
        let driver = SessionDriver::bound_to(foreign);
        assert_eq!(
            driver.heard,
            [SessionOutput::Ended(EndReason::ProtocolError)]
        );
        assert_eq!(driver.session.last_fault(), Some(&StreamFault::ForeignCall));
    }
}

/// A session with its clock, its outputs except `Timeout`, and the time of the last `Timeout`.
struct SessionDriver {
    session: StreamSession,
    now: Instant,
    heard: Vec<SessionOutput>,
    timeout_at: Option<Instant>,
}

impl SessionDriver {
    fn new() -> Self {
        let now = clock::now();
        let mut driver = Self {
            session: StreamSession::new(now, StreamBinding::default()),
            now,
            heard: Vec::new(),
            timeout_at: None,
        };
        driver.drain();
        driver
    }

    fn bound_to(binding: StreamBinding) -> Self {
        let mut driver = Self::new();
        driver.session = StreamSession::new(driver.now, binding);
        driver.drain();
        driver.handle_text(&start());
        driver
    }

    fn started() -> Self {
        let mut driver = Self::new();
        driver.handle_text(&start());
        driver.heard.clear();
        driver
    }

    fn drain(&mut self) {
        self.timeout_at = None;
        while let Some(output) = self.session.poll() {
            assert_eq!(self.timeout_at, None, "something came after Timeout");
            if let SessionOutput::Timeout(until) = output {
                self.timeout_at = Some(until);
            } else {
                self.heard.push(output);
            }
        }
    }

    fn input(&mut self, input: SessionInput<'_>) {
        self.session.handle(self.now, input);
        self.drain();
    }

    fn handle_text(&mut self, text: &str) {
        self.input(SessionInput::Text(text));
    }

    fn after(&mut self, time: Duration, input: SessionInput<'_>) {
        self.now += time;
        self.input(input);
    }

    fn ended(&self) -> Option<EndReason> {
        let Some(SessionOutput::Ended(reason)) = self.heard.last() else {
            return None;
        };
        Some(*reason)
    }

    fn pauses(&self) -> Vec<Instant> {
        let mut pauses = Vec::new();
        for output in &self.heard {
            if let SessionOutput::PauseReading(until) = output {
                pauses.push(*until);
            }
        }
        pauses
    }
}

#[test]
fn a_call_goes_from_connected_to_stop() {
    let mut driver = SessionDriver::new();
    driver.handle_text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    assert_eq!(driver.heard, []);
    driver.handle_text(&start());
    driver.handle_text(&media_of(MZ, 2, Track::Outbound, 155, &[1, 2, 3]));
    driver.handle_text(&media_of(MZ, 3, Track::Inbound, 156, &[4]));
    driver.handle_text(&stop(4));
    let [SessionOutput::Started(start), rest @ ..] = driver.heard.as_slice() else {
        panic!("no start")
    };
    assert_eq!(
        (start.stream_sid.as_str(), start.call_sid.as_str()),
        (MZ, CA)
    );
    assert_eq!(start.tracks, Track::ALL);
    assert_eq!(start.parameters["secret"], "s");
    let audio = |track, timestamp_ms, mulaw: &[u8]| SessionOutput::Audio {
        track,
        timestamp_ms,
        mulaw: mulaw.to_vec(),
    };
    assert_eq!(
        rest,
        [
            audio(Track::Outbound, 155, &[1, 2, 3]),
            audio(Track::Inbound, 156, &[4]),
            SessionOutput::Ended(EndReason::Stopped),
        ]
    );
    assert_eq!(driver.timeout_at, None);
    assert_eq!(
        driver.session.counts(),
        StreamCounts {
            messages: 5,
            media: 2,
            inbound_samples: 1,
            outbound_samples: 3,
            ..StreamCounts::default()
        }
    );
}

#[test]
fn connected_may_be_missing() {
    let mut driver = SessionDriver::new();
    driver.handle_text(&start());
    assert!(matches!(driver.heard[..], [SessionOutput::Started(_)]));
}

#[test]
fn a_stream_that_does_not_start_in_time_ends() {
    let mut driver = SessionDriver::new();
    assert_eq!(driver.timeout_at, Some(driver.now + MEDIA_START_WAIT_MAX));
    driver.handle_text(r#"{"event":"connected"}"#);
    driver.after(
        MEDIA_START_WAIT_MAX.saturating_sub(SECOND),
        SessionInput::Tick,
    );
    assert_eq!(driver.ended(), None);
    driver.after(SECOND, SessionInput::Tick);
    assert_eq!(driver.ended(), Some(EndReason::NeverStarted));
}

#[test]
fn chatter_does_not_stand_in_for_a_start() {
    let mut driver = SessionDriver::new();
    driver.after(
        MEDIA_START_WAIT_MAX,
        SessionInput::Text(r#"{"event":"connected"}"#),
    );
    assert_eq!(driver.ended(), Some(EndReason::NeverStarted));
}

#[test]
fn a_stream_that_falls_silent_ends_but_not_before_its_time() {
    let mut driver = SessionDriver::started();
    driver.after(ALMOST_IDLE, SessionInput::Text(&media(2)));
    assert_eq!(driver.timeout_at, Some(driver.now + MEDIA_IDLE_MAX));
    driver.after(ALMOST_IDLE, SessionInput::Tick);
    assert_eq!(driver.ended(), None);
    driver.after(SECOND, SessionInput::Tick);
    assert_eq!(driver.ended(), Some(EndReason::Idle));
}

#[test]
fn garbage_does_not_keep_a_silent_stream_alive() {
    let mut driver = SessionDriver::started();
    driver.after(ALMOST_IDLE, SessionInput::Text("garbage"));
    driver.after(SECOND, SessionInput::Text("garbage"));
    assert_eq!(driver.ended(), Some(EndReason::Idle));
}

#[test]
fn a_close_and_a_shutdown_end_it_in_every_state() {
    for (input, before, after) in [
        (
            SessionInput::Closed,
            EndReason::NeverStarted,
            EndReason::Dropped,
        ),
        (
            SessionInput::Stopping,
            EndReason::ShuttingDown,
            EndReason::ShuttingDown,
        ),
    ] {
        let mut driver = SessionDriver::new();
        driver.input(input);
        assert_eq!(driver.heard, [SessionOutput::Ended(before)]);
        let mut driver = SessionDriver::started();
        driver.input(input);
        assert_eq!(driver.heard, [SessionOutput::Ended(after)]);
    }
}

#[test]
fn after_the_end_nothing_is_heard() {
    let mut driver = SessionDriver::started();
    driver.handle_text(&stop(2));
    driver.heard.clear();
    let again = media(3);
    for input in [
        SessionInput::Text(&again),
        SessionInput::Closed,
        SessionInput::Stopping,
        SessionInput::Binary,
        SessionInput::Tick,
    ] {
        driver.after(MEDIA_IDLE_MAX, input);
    }
    assert_eq!(
        (driver.heard.as_slice(), driver.timeout_at),
        ([].as_slice(), None)
    );
}

#[test]
fn another_format_ends_the_stream_with_its_reason() {
    let mut driver = SessionDriver::new();
    driver.handle_text(&start().replace("audio/x-mulaw", "audio/x-l16"));
    assert_eq!(
        driver.heard,
        [SessionOutput::Ended(EndReason::ProtocolError)]
    );
    let reason = driver.session.last_fault().unwrap().to_string();
    assert!(reason.contains("audio/x-l16"), "{reason}");
}

#[test]
fn what_cannot_be_read_ends_the_stream_at_once() {
    for mut driver in [SessionDriver::new(), SessionDriver::started()] {
        driver.input(SessionInput::Unreadable);
        assert_eq!(
            driver.heard,
            [SessionOutput::Ended(EndReason::ProtocolError)]
        );
        let reason = driver.session.last_fault().unwrap().to_string();
        assert!(reason.contains("65536 bytes"), "{reason}");
    }
}

#[test]
fn the_first_fault_is_kept_beside_the_last() {
    let mut driver = SessionDriver::started();
    driver.input(SessionInput::Binary);
    driver.handle_text("{");
    assert_eq!(driver.session.first_fault(), Some(&StreamFault::Binary));
    let last = StreamFault::Message(MessageError::NotAMessage { column: 1 });
    assert_eq!(driver.session.last_fault(), Some(&last));
}

#[test]
fn faults_are_counted_and_named() {
    let foreign = media_of(
        "MZ00000000000000000000000000000006",
        2,
        Track::Inbound,
        1,
        &[1],
    );
    let second = start().replace(r#""1""#, r#""2""#);
    let early = media(2);
    for (started, input, fault) in [
        (
            false,
            SessionInput::Text(&early),
            StreamFault::BeforeStart { event: "media" },
        ),
        (
            false,
            SessionInput::Text(&stop(2)),
            StreamFault::BeforeStart { event: "stop" },
        ),
        (false, SessionInput::Binary, StreamFault::Binary),
        (
            true,
            SessionInput::Text(&foreign),
            StreamFault::ForeignStream,
        ),
        (true, SessionInput::Text(&second), StreamFault::SecondStart),
        (true, SessionInput::Binary, StreamFault::Binary),
        (
            true,
            SessionInput::Text("{"),
            StreamFault::Message(MessageError::NotAMessage { column: 1 }),
        ),
        (
            true,
            SessionInput::Text(
                r#"{"event":"media","media":{"track":"inbound","timestamp":"1","payload":"?"}}"#,
            ),
            StreamFault::Message(MessageError::Incomplete {
                event: "media",
                part: "payload",
            }),
        ),
    ] {
        let mut driver = if started {
            SessionDriver::started()
        } else {
            SessionDriver::new()
        };
        driver.input(input);
        assert_eq!(driver.heard, [], "{input:?}");
        assert_eq!(driver.session.last_fault(), Some(&fault));
        assert_eq!(driver.session.counts().faults, 1);
    }
}

#[test]
fn one_fault_more_than_is_forgiven_ends_the_stream() {
    let mut driver = SessionDriver::started();
    for _ in 0..MEDIA_FAULTS_MAX {
        driver.handle_text("garbage");
    }
    assert_eq!(driver.ended(), None);
    driver.handle_text("garbage");
    assert_eq!(
        driver.heard,
        [SessionOutput::Ended(EndReason::ProtocolError)]
    );
}

#[test]
fn a_number_seen_before_is_dropped_and_a_missing_one_is_counted() {
    let mut driver = SessionDriver::started();
    for sequence in [2, 3, 3, 2, 4, 7, 8] {
        driver.handle_text(&media(sequence));
    }
    let counts = driver.session.counts();
    assert_eq!((counts.media, counts.duplicates, counts.missing), (5, 2, 2));
    assert_eq!(driver.heard.len(), 5);
}

#[test]
fn messages_that_overtake_each_other_are_all_heard_once() {
    let mut driver = SessionDriver::started();
    for sequence in [3, 2, 3, 2, 200, 5, 4, 5, 1_000, 999, 1] {
        driver.handle_text(&media(sequence));
    }
    let mut heard = Vec::new();
    for output in &driver.heard {
        let SessionOutput::Audio { timestamp_ms, .. } = output else {
            panic!("{output:?}")
        };
        heard.push(timestamp_ms / 20);
    }
    // 5, 4 and 1 are outside the window, so duplicates of them are not detected here; the timeline
    // detects them.
    assert_eq!(heard, [3, 2, 200, 5, 4, 5, 1_000, 999, 1]);
    assert_eq!(driver.session.counts().duplicates, 2);
    assert_eq!(driver.session.counts().missing, 196 + 799 - 1);
}

#[test]
fn numbers_beyond_belief_cost_no_audio() {
    let mut driver = SessionDriver::started();
    for sequence in [2, u64::MAX, 3, 1_000_000, 4] {
        driver.handle_text(&media_of(MZ, sequence, Track::Inbound, 100, &[1]));
    }
    let counts = driver.session.counts();
    assert_eq!((counts.media, counts.duplicates, counts.missing), (5, 0, 0));
}

#[test]
fn unknown_events_are_ignored_and_counted() {
    let mut driver = SessionDriver::started();
    driver.handle_text(r#"{"event":"mark","mark":{"name":"m"},"sequenceNumber":"2"}"#);
    driver.handle_text(&format!(
        r#"{{"event":"dtmf","streamSid":"{MZ}","dtmf":{{"digit":"1"}}}}"#
    ));
    assert_eq!(
        (driver.heard.as_slice(), driver.session.counts().ignored),
        ([].as_slice(), 2)
    );
}

#[test]
fn two_tracks_in_real_time_are_never_held_back() {
    let mut driver = SessionDriver::started();
    for n in 0..3_000 {
        for (m, track) in Track::ALL.into_iter().enumerate() {
            let sequence = 2 + 2 * n + m as u64;
            driver.handle_text(&media_of(MZ, sequence, track, 20 * n, &[0xff; 160]));
        }
        driver.now += Duration::from_millis(20);
    }
    assert_eq!(
        (driver.pauses(), driver.session.counts().media),
        (vec![], 6_000)
    );
}

#[test]
fn audio_ahead_of_the_clock_is_held_back_and_not_lost() {
    let mut driver = SessionDriver::started();
    let began = driver.now;
    let second = [0xff; 8_000];
    for n in 0..200 {
        driver.handle_text(&media_of(MZ, 2 + n, Track::Inbound, 1_000 * n, &second));
        if let Some(&until) = driver.pauses().last() {
            driver.now = driver.now.max(until);
        }
    }
    assert_eq!(driver.session.counts().inbound_samples, 200 * 8_000);
    let took = driver.now.duration_since(began);
    assert!(
        (168..=172).contains(&took.as_secs()),
        "200 s of audio took {took:?}"
    );
    assert!(
        driver.timeout_at.unwrap() > driver.now,
        "a pause must not end in idleness"
    );
}

#[test]
fn a_minute_that_was_stalled_may_come_at_once() {
    let mut driver = SessionDriver::started();
    driver.handle_text(&media(2));
    driver.now += Duration::from_secs(50);
    let frames = 50 * 50;
    for n in 0..frames {
        driver.handle_text(&media_of(MZ, 3 + n, Track::Inbound, 20 * n, &[0xff; 160]));
    }
    assert!(driver.pauses().is_empty());
}

#[test]
fn a_flood_of_messages_is_held_back_whatever_they_say() {
    for text in [
        "{\"event\":\"mark\"}".to_owned(),
        format!("{{\"event\":\"{}\"}}", "x".repeat(60_000)),
    ] {
        let mut driver = SessionDriver::started();
        let began = driver.now;
        for _ in 0..10_000 {
            driver.handle_text(&text);
            if let Some(&until) = driver.pauses().last() {
                driver.now = driver.now.max(until);
            }
        }
        let took = driver.now.duration_since(began).as_secs();
        let messages = 10_000 * (1 + text.len() as u64 / 2_048);
        let wanted = (messages - 3_000) / 500;
        assert!(took.abs_diff(wanted) <= 1, "took {took} s, not {wanted}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(start()),
        (0_u64..20).prop_map(stop),
        (0_u64..20).prop_map(media),
        any::<u64>().prop_map(media),
        Just(r#"{"event":"connected"}"#.to_owned()),
        r#"\{"event":"(start|media|stop|mark)","(start|media|stop)":(\{\}|[0-9]|null)\}"#,
        ".*",
    ]
}

proptest! {
    #[test]
    fn whatever_comes_there_is_one_end_and_one_start_at_most(
        inputs in prop::collection::vec((texts(), 0_u64..70_000, 0_u8..20), 0..60),
    ) {
        let mut driver = SessionDriver::new();
        for (text, wait_ms, kind) in inputs {
            let input = match kind {
                0 => SessionInput::Closed,
                1 => SessionInput::Stopping,
                2 => SessionInput::Binary,
                3 => SessionInput::Tick,
                _ => SessionInput::Text(&text),
            };
            let wait = if wait_ms > 60_000 { wait_ms } else { wait_ms / 1_000 };
            driver.after(Duration::from_millis(wait), input);
            prop_assert_eq!(driver.timeout_at.is_none(), driver.ended().is_some());
        }
        let ends = driver.heard.iter().filter(|o| matches!(o, SessionOutput::Ended(_))).count();
        let starts = driver.heard.iter().filter(|o| matches!(o, SessionOutput::Started(_))).count();
        prop_assert!(ends <= 1 && starts <= 1);
        if ends == 1 {
            prop_assert!(matches!(driver.heard.last(), Some(SessionOutput::Ended(_))));
        }
        let first_audio = driver.heard.iter().position(|o| matches!(o, SessionOutput::Audio { .. }));
        let first_start = driver.heard.iter().position(|o| matches!(o, SessionOutput::Started(_)));
        prop_assert!(first_audio.is_none() || first_start < first_audio);
    }
}
