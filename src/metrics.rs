//! Figures for the operator, as Prometheus reads them: what only grows, and how long things took,
//! counted where it happens. What is so at the moment is looked up when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::limits::LOG_LINES_EVERY;
use crate::transcript::{EndReason, Segment};

/// Bounds of words' latencies in seconds: fine where the promises are.
const LATENCY_BUCKETS: [f64; 12] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0, 15.0, 60.0];

/// Bounds of the store's times in seconds, up to [`STORE_WAIT_MAX`](crate::limits::STORE_WAIT_MAX).
const STORE_BUCKETS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// What is counted; clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Counted>);

struct Counted {
    segments: Family<IsTranscribed, Counter>,
    words: Counter,
    final_latency: Histogram,
    first_words_latency: Histogram,
    streams: Family<Ended, Counter>,
    media_lost: Family<Lost, Counter>,
    webhooks: Family<Webhook, Counter>,
    refused: Family<Code, Counter>,
    /// What was logged of refusals lately, by their code.
    lines: Mutex<BTreeMap<&'static str, Lines>>,
    registry: Registry,
}

/// How long the verbs of a part took; clones are the same.
#[derive(Debug, Clone)]
pub struct Times(Family<Verb, Histogram, fn() -> Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IsTranscribed {
    transcribed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Webhook {
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// Lines of the log about one thing.
#[derive(Debug, Clone, Copy)]
struct Lines {
    since: Instant,
    written: u32,
    left_out: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verb {
    verb: &'static str,
    result: &'static str,
}

impl Default for Times {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(STORE_BUCKETS)
        }))
    }
}

impl Times {
    /// `verb` took this long.
    pub fn took(&self, verb: &'static str, time: Duration, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        let verb = self.0.get_or_create_owned(&Verb { verb, result });
        verb.observe(time.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&Times::default())
    }
}

impl Metrics {
    /// Nothing has happened yet; `store` is counted by the store itself.
    pub fn new(store: &Times) -> Self {
        let mut registry = Registry::with_prefix("callburner");
        let to = &mut registry;
        add(
            to,
            "store_seconds",
            "Time of the store's verbs, queueing included",
            store.0.clone(),
        );
        Self(Arc::new(Counted {
            segments: add(
                to,
                "segments",
                "Utterances that were published, with their words or without",
                Family::default(),
            ),
            words: add(
                to,
                "words",
                "Words that were published as final",
                Counter::default(),
            ),
            final_latency: add(
                to,
                "final_latency_seconds",
                "From the end of speech to the publication of its words",
                Histogram::new(LATENCY_BUCKETS),
            ),
            first_words_latency: add(
                to,
                "first_words_latency_seconds",
                "Audio from the beginning of speech to its first draft",
                Histogram::new(LATENCY_BUCKETS),
            ),
            streams: add(
                to,
                "streams_ended",
                "Media streams that are over, by why",
                Family::default(),
            ),
            media_lost: add(
                to,
                "media_messages_lost",
                "Media messages that did not count, by why",
                Family::default(),
            ),
            webhooks: add(
                to,
                "webhooks",
                "What Twilio posted, by path and answer",
                Family::default(),
            ),
            refused: add(
                to,
                "refused",
                "Requests that were refused or not met, by the error's code",
                Family::default(),
            ),
            lines: Mutex::default(),
            registry,
        }))
    }

    /// An utterance was published.
    pub fn settled(&self, segment: &Segment) {
        let transcribed = if segment.transcribed { "true" } else { "false" };
        let segments = &self.0.segments;
        segments.get_or_create(&IsTranscribed { transcribed }).inc();
        self.0.words.inc_by(segment.words.len() as u64);
        let seconds = Duration::from_millis(segment.latency_ms).as_secs_f64();
        self.0.final_latency.observe(seconds);
    }

    /// An utterance's first draft was published after this much of its audio.
    pub fn drafted(&self, after: Duration) {
        self.0.first_words_latency.observe(after.as_secs_f64());
    }

    /// A media stream is over.
    pub fn stream_ended(&self, reason: EndReason) {
        let reason = match reason {
            EndReason::Stopped => "stopped",
            EndReason::Dropped => "dropped",
            EndReason::Idle => "idle",
            EndReason::NeverStarted => "never_started",
            EndReason::ProtocolError => "protocol_error",
            EndReason::ShuttingDown => "shutting_down",
        };
        self.0.streams.get_or_create(&Ended { reason }).inc();
    }

    /// Media messages that did not count: `missing`, `duplicate`, `malformed`.
    pub fn media_lost(&self, reason: &'static str, messages: u64) {
        let lost = self.0.media_lost.get_or_create_owned(&Lost { reason });
        lost.inc_by(messages);
    }

    /// Twilio posted something; `path` is one of the server's own.
    pub fn webhook(&self, path: &str, status: u16) {
        let path = path.to_owned();
        self.0
            .webhooks
            .get_or_create(&Webhook { path, status })
            .inc();
    }

    /// A request was refused, or not met. Whether that is to be logged: anybody can make requests, and
    /// the log has a disk, so that of one code there are `lines_max` lines in each
    /// [`LOG_LINES_EVERY`]. If so, how many were left out since the
    /// last line.
    pub fn refused(&self, code: &'static str, lines_max: u32, now: Instant) -> Option<u64> {
        self.0.refused.get_or_create(&Code { code }).inc();
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.entry(code).or_insert(Lines {
            since: now,
            written: 0,
            left_out: 0,
        });
        if now.saturating_duration_since(lines.since) >= LOG_LINES_EVERY {
            (lines.since, lines.written) = (now, 0);
        }
        if lines.written >= lines_max {
            lines.left_out += 1;
            return None;
        }
        lines.written += 1;
        Some(mem::take(&mut lines.left_out))
    }

    /// Everything, and what is so at the moment, in the format of `OpenMetrics`.
    pub fn render(&self, moment: &Registry) -> String {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)
            .and_then(|()| text::encode_registry(&mut out, moment))
            .and_then(|()| text::encode_eof(&mut out))
            .expect("a String takes any text");
        out
    }
}

/// Has a figure told from now on.
fn add<M: Metric + Clone>(to: &mut Registry, name: &str, help: &str, figure: M) -> M {
    to.register(name, help, figure.clone());
    figure
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_anybody_can_cause_is_counted_and_logged_once_a_minute_with_the_number() {
        let (metrics, start) = (Metrics::default(), clock::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(metrics.refused("bad_signature", 1, at(0)), Some(0));
        for n in 1..1_000 {
            let line = metrics.refused("bad_signature", 1, at(n % 60));
            assert_eq!(line, None);
        }
        assert_eq!(metrics.refused("internal", 2, at(59)), Some(0));
        assert_eq!(metrics.refused("internal", 2, at(59)), Some(0));
        assert_eq!(metrics.refused("internal", 2, at(59)), None);
        assert_eq!(metrics.refused("bad_signature", 1, at(60)), Some(999));
        assert_eq!(metrics.refused("bad_signature", 1, at(61)), None);
        let told = metrics.render(&Registry::default());
        let counted = "callburner_refused_total{code=\"bad_signature\"} 1002";
        assert!(told.contains(counted), "{told}");
    }

    #[test]
    fn what_is_counted_is_told_once_with_its_labels() {
        let times = Times::default();
        let metrics = Metrics::new(&times);
        metrics.stream_ended(EndReason::Dropped);
        metrics.media_lost("missing", 3);
        metrics.webhook("/voice", 200);
        metrics.webhook("/voice", 200);
        metrics.drafted(Duration::from_millis(550));
        times.took("open_call", Duration::from_millis(3), true);
        let told = metrics.render(&Registry::default());
        for line in [
            "callburner_streams_ended_total{reason=\"dropped\"} 1",
            "callburner_media_messages_lost_total{reason=\"missing\"} 3",
            "callburner_webhooks_total{path=\"/voice\",status=\"200\"} 2",
            "callburner_first_words_latency_seconds_bucket{le=\"0.5\"} 0",
            "callburner_first_words_latency_seconds_bucket{le=\"0.6\"} 1",
            "callburner_store_seconds_count{verb=\"open_call\",result=\"ok\"} 1",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
        }
        assert!(told.ends_with("# EOF\n"));
    }
}
