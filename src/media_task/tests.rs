//! Tests of `media_task.rs`.

use super::*;
use crate::audio::recording::RecordingReader;
use crate::audio::{LINE_HZ, mulaw};
use crate::engine::recognizer::{
    Hypothesis, RecognizeError, RecognizeRequest, RecognizedWord, Recognizer, ScriptedRecognizer,
};
use crate::hub::Subscription;
use crate::store::Store;
use crate::transcript::{LanguageDoubt, Speaker};
use crate::twilio::stream::message::{MediaFrame, MessageBody, StreamMessage};

const CALL: &str = "CA00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000001";

struct FailingRecognizer;

impl Recognizer for FailingRecognizer {
    fn recognize(&mut self, _: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        Err(RecognizeError::Failed("as the test wants".to_owned()))
    }
}

/// Recognises the same word in everything, with the given confidence.
struct UnsureRecognizer(f32);

impl Recognizer for UnsureRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let word = RecognizedWord {
            text: "mumble".to_owned(),
            start_ms: 0,
            end_ms: request.speech_end_ms,
            confidence: self.0,
        };
        Ok(Hypothesis {
            words: vec![word],
            language: "en".to_owned(),
            mean_logprob: -1.0,
        })
    }
}

/// A stream without a socket, on a clock that the test sets.
struct TestStream {
    task: MediaTask,
    job_results: mpsc::Receiver<TrackResult>,
    listener: Subscription,
    now: Instant,
    sent_ms: u64,
}

/// "Weasels have eaten our phone system", 3 s.
fn weasels() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prompts/weasels.wav");
    let call = RecordingReader::read_all(path.as_ref(), LINE_HZ).unwrap();
    crate::audio::to_i16(&call[0])
}

impl TestStream {
    async fn new(recognizer: impl Recognizer + 'static) -> Self {
        let (hub, tasks) = (Hub::new(), Tasks::default());
        let store = Store::open("sqlite::memory:").await.unwrap();
        let media_deps = MediaDeps {
            engine: Arc::new(Engine::start(vec![Box::new(recognizer)])),
            transcript_writer: TranscriptWriter::new(store, hub.clone(), tasks.clone()),
            audio_archive: None,
            hub,
            tasks,
            track_config: TrackConfig::default(),
            metrics: Metrics::default(),
        };
        let listener = media_deps
            .hub
            .subscribe(&CallSid::parse(CALL).unwrap(), None)
            .unwrap();
        let (result_sender, job_results) = mpsc::channel(limits::RESULTS_QUEUED_MAX);
        let now = clock::now();
        Self {
            task: MediaTask::new(now, media_deps, StreamBinding::default(), result_sender),
            job_results,
            listener,
            now,
            sent_ms: 0,
        }
    }

    fn text(&mut self, text: &str) {
        self.task
            .on_message(self.now, Some(Ok(Message::text(text))));
    }

    fn start(&mut self) {
        let start = format!(
            r#"{{"event":"start","sequenceNumber":"1","streamSid":"{STREAM}","start":{{"accountSid":"AC00000000000000000000000000000001","streamSid":"{STREAM}","callSid":"{CALL}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}}}}"#
        );
        self.text(&start);
        let start = self
            .task
            .pending_start
            .take()
            .expect("a stream that says what it is of");
        self.task.on_start(start, StreamContext::default());
        self.listener.read(); // the snapshot
    }

    /// Two seconds of speech, in real time, without an end.
    fn speak(&mut self) {
        let speech = weasels();
        self.play(&[(Track::Inbound, &speech[..100 * 160])]);
    }

    /// Sends tracks in real time, side by side; they are equally long.
    fn play(&mut self, tracks: &[(Track, &[i16])]) {
        let frames = tracks[0].1.len() / 160;
        for n in 0..frames {
            self.now += Duration::from_millis(20);
            for &(track, samples) in tracks {
                let frame = &samples[n * 160..][..160];
                let media = MediaFrame {
                    track,
                    chunk: None,
                    timestamp_ms: self.sent_ms,
                    mulaw: frame.iter().map(|&s| mulaw::encode(s)).collect(),
                };
                let message = StreamMessage {
                    sequence: None,
                    stream_sid: None,
                    body: MessageBody::Media(media),
                };
                self.text(&message.to_json());
            }
            self.sent_ms += 20;
        }
    }

    fn session_closes(&mut self) {
        self.task
            .handle_session_input(self.now, SessionInput::Closed);
    }

    /// Continues as `run_media_stream` does after the end.
    async fn settle(mut self) -> Vec<Event> {
        while !self.task.is_finished() {
            let answer = self
                .job_results
                .recv()
                .await
                .expect("the line holds a sender");
            self.task.on_job_result(self.now, answer);
        }
        drop(self.task);
        let events = self.listener.read().into_iter();
        events.map(|event| event.event.clone()).collect()
    }

    /// Advances the time as `run_media_stream` does: from deadline to deadline.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.task.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.task.on_tick(self.now);
            if self.task.ended.is_some() {
                return;
            }
            let next = self.task.deadline();
            assert!(next > Some(self.now), "a deadline that never passes");
        }
        self.now = until;
    }
}

#[tokio::test]
async fn a_socket_without_a_start_is_left_at_its_deadline_and_nobody_hears_of_it() {
    let mut stream_test = TestStream::new(ScriptedRecognizer::default()).await;
    let begin = stream_test.now;
    stream_test.text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    stream_test.wait(limits::MEDIA_START_WAIT_MAX * 3);
    assert_eq!(stream_test.task.ended, Some(EndReason::NeverStarted));
    assert_eq!(stream_test.now - begin, limits::MEDIA_START_WAIT_MAX);
    let events = stream_test.settle().await;
    assert!(matches!(events[..], [Event::Snapshot { .. }]), "{events:?}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_in_a_word_says_it_and_ends_later() {
    let mut stream_test = TestStream::new(ScriptedRecognizer::default()).await;
    stream_test.start();
    stream_test.speak();
    let silent_since = stream_test.now;
    stream_test.wait(TrackConfig::default().stall_endpoint);
    assert_eq!(stream_test.task.ended, None);
    let pipelines = &stream_test.task.call.as_ref().unwrap().pipelines;
    assert_eq!(
        pipelines[&Track::Inbound].1.deadline(),
        None,
        "the utterance is still open"
    );
    stream_test.wait(limits::MEDIA_IDLE_MAX * 2);
    assert_eq!(stream_test.task.ended, Some(EndReason::Idle));
    assert_eq!(stream_test.now - silent_since, limits::MEDIA_IDLE_MAX);
    let events = stream_test.settle().await;
    let [.., Event::Segment { segment }, Event::Ended { reason }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (segment.text.as_str(), *reason),
        ("one two", EndReason::Idle)
    );
}

#[tokio::test]
async fn words_that_could_not_be_recognised_make_the_engine_degraded_until_it_is_well_again() {
    let mut stream_test = TestStream::new(FailingRecognizer).await;
    stream_test.start();
    stream_test.speak();
    stream_test.listener.read();
    stream_test.wait(TrackConfig::default().stall_endpoint);
    while stream_test.task.health != EngineHealth::Degraded {
        let answer = stream_test.job_results.recv().await.unwrap();
        stream_test.task.on_job_result(stream_test.now, answer);
    }
    let events = stream_test.listener.read();
    let [lost, health] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(matches!(&lost.event, Event::Segment { segment } if !segment.transcribed));
    let degraded = EngineHealth::Degraded;
    assert!(matches!(health.event, Event::Engine { health, .. } if health == degraded));
    stream_test.wait(HEALTH_INTERVAL * 2);
    assert_eq!(stream_test.task.health, EngineHealth::Ok);
}

#[tokio::test]
async fn words_that_come_back_on_the_other_track_are_marked_as_an_echo() {
    let mut stream_test = TestStream::new(ScriptedRecognizer::default()).await;
    stream_test.start();
    let mut agent = vec![0; 8_000];
    agent.extend(weasels());
    agent.extend(vec![0; 16_000]);
    // 80 ms later, 12 dB below.
    let late = std::iter::repeat_n(&0, 80 * 8).chain(&agent);
    let customer: Vec<i16> = late.map(|sample| sample / 4).take(agent.len()).collect();
    let middle = 24_000; // two seconds of speech
    stream_test.play(&[
        (Track::Inbound, &agent[..middle]),
        (Track::Outbound, &customer[..middle]),
    ]);
    // The first partial of each track.
    for _ in Track::ALL {
        let answer = stream_test.job_results.recv().await.unwrap();
        stream_test.task.on_job_result(stream_test.now, answer);
    }
    let events = stream_test.listener.read().into_iter();
    let mut partials: Vec<_> = events
        .filter_map(|event| {
            let Event::Partial { partial } = &event.event else {
                return None;
            };
            Some((partial.track, partial.echo))
        })
        .collect();
    partials.sort_unstable();
    assert_eq!(partials, [(Track::Inbound, false), (Track::Outbound, true)]);

    stream_test.play(&[
        (Track::Inbound, &agent[middle..]),
        (Track::Outbound, &customer[middle..]),
    ]);
    stream_test.session_closes();
    let events = stream_test.settle().await;
    let finals = events.iter().filter_map(|event| {
        let Event::Segment { segment } = event else {
            return None;
        };
        Some((segment.track, segment.echo))
    });
    let mut finals: Vec<_> = finals.collect();
    finals.sort_unstable();
    assert_eq!(finals, [(Track::Inbound, false), (Track::Outbound, true)]);
}

#[tokio::test]
async fn unsure_words_several_times_in_a_row_are_said_to_be_another_language() {
    for (confidence, is_doubted) in [(0.3, true), (0.9, false)] {
        let mut stream_test = TestStream::new(UnsureRecognizer(confidence)).await;
        stream_test.start();
        let mut three_times = Vec::new();
        for _ in 0..3 {
            three_times.extend(weasels());
            three_times.extend(vec![0; 16_000]);
        }
        stream_test.play(&[(Track::Inbound, &three_times)]);
        stream_test.session_closes();
        let events = stream_test.settle().await;
        let doubts = events.iter().filter_map(|event| {
            let Event::Language { doubts } = event else {
                return None;
            };
            Some(doubts.clone())
        });
        let doubt = LanguageDoubt {
            speaker: Speaker::Agent,
            expected: "en".to_owned(),
        };
        let wanted = if is_doubted {
            vec![vec![doubt]]
        } else {
            vec![]
        };
        assert_eq!(doubts.collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn a_flood_is_left_unread_for_a_while() {
    let mut stream_test = TestStream::new(ScriptedRecognizer::default()).await;
    stream_test.start();
    let mut read = 0;
    while stream_test.task.is_reading(stream_test.now) {
        stream_test.text(r#"{"event":"mark"}"#);
        read += 1;
    }
    assert!((2_500..4_000).contains(&read), "{read} messages were read");
    stream_test.wait(Duration::from_secs(1));
    assert!(stream_test.task.is_reading(stream_test.now) && stream_test.task.ended.is_none());
}
