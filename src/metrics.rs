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

use crate::limits::LOG_QUOTA_WINDOW;
use crate::transcript::{EndReason, Segment};

/// Bounds of words' latencies in seconds: fine where the promises are.
const LATENCY_BUCKETS: [f64; 12] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0, 15.0, 60.0];

/// Bounds of the store's times in seconds, up to [`STORE_WAIT_MAX`](crate::limits::STORE_WAIT_MAX).
const STORE_BUCKETS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// What is counted; clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<MetricFamilies>);

struct MetricFamilies {
    segments: Family<SegmentLabels, Counter>,
    words: Counter,
    final_latency: Histogram,
    first_words_latency: Histogram,
    streams: Family<StreamEndLabels, Counter>,
    media_lost: Family<MediaLossLabels, Counter>,
    webhooks: Family<WebhookLabels, Counter>,
    refused: Family<ErrorCodeLabels, Counter>,
    /// What was logged of refusals lately, by their code.
    log_quotas: Mutex<BTreeMap<&'static str, LogQuota>>,
    registry: Registry,
}

/// How long the verbs of a part took; clones are the same.
#[derive(Debug, Clone)]
pub struct QueryDurations(Family<VerbLabels, Histogram, fn() -> Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SegmentLabels {
    transcribed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamEndLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MediaLossLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorCodeLabels {
    code: &'static str,
}

/// Lines of the log about one thing.
#[derive(Debug, Clone, Copy)]
struct LogQuota {
    window_start: Instant,
    written: u32,
    suppressed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
    result: &'static str,
}

impl Default for QueryDurations {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(STORE_BUCKETS)
        }))
    }
}

impl QueryDurations {
    /// `verb` took this long.
    pub fn observe(&self, verb: &'static str, time: Duration, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        let verb = self.0.get_or_create_owned(&VerbLabels { verb, result });
        verb.observe(time.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&QueryDurations::default())
    }
}

impl Metrics {
    /// Nothing has happened yet; `store` is counted by the store itself.
    pub fn new(store: &QueryDurations) -> Self {
        let mut registry = Registry::with_prefix("callburner");
        let target = &mut registry;
        register_metric(
            target,
            "store_seconds",
            "Time of the store's verbs, queueing included",
            store.0.clone(),
        );
        Self(Arc::new(MetricFamilies {
            segments: register_metric(
                target,
                "segments",
                "Utterances that were published, with their words or without",
                Family::default(),
            ),
            words: register_metric(
                target,
                "words",
                "Words that were published as final",
                Counter::default(),
            ),
            final_latency: register_metric(
                target,
                "final_latency_seconds",
                "From the end of speech to the publication of its words",
                Histogram::new(LATENCY_BUCKETS),
            ),
            first_words_latency: register_metric(
                target,
                "first_words_latency_seconds",
                "Audio from the beginning of speech to its first draft",
                Histogram::new(LATENCY_BUCKETS),
            ),
            streams: register_metric(
                target,
                "streams_ended",
                "Media streams that are over, by why",
                Family::default(),
            ),
            media_lost: register_metric(
                target,
                "media_messages_lost",
                "Media messages that did not count, by why",
                Family::default(),
            ),
            webhooks: register_metric(
                target,
                "webhooks",
                "What Twilio posted, by path and answer",
                Family::default(),
            ),
            refused: register_metric(
                target,
                "refused",
                "Requests that were refused or not met, by the error's code",
                Family::default(),
            ),
            log_quotas: Mutex::default(),
            registry,
        }))
    }

    /// An utterance was published.
    pub fn count_segment(&self, segment: &Segment) {
        let transcribed = if segment.transcribed { "true" } else { "false" };
        let segments = &self.0.segments;
        segments.get_or_create(&SegmentLabels { transcribed }).inc();
        self.0.words.inc_by(segment.words.len() as u64);
        let seconds = Duration::from_millis(segment.latency_ms).as_secs_f64();
        self.0.final_latency.observe(seconds);
    }

    /// An utterance's first draft was published after this much of its audio.
    pub fn observe_first_partial(&self, after: Duration) {
        self.0.first_words_latency.observe(after.as_secs_f64());
    }

    /// A media stream is over.
    pub fn count_stream_end(&self, reason: EndReason) {
        let reason = match reason {
            EndReason::Stopped => "stopped",
            EndReason::Dropped => "dropped",
            EndReason::Idle => "idle",
            EndReason::NeverStarted => "never_started",
            EndReason::ProtocolError => "protocol_error",
            EndReason::ShuttingDown => "shutting_down",
        };
        self.0
            .streams
            .get_or_create(&StreamEndLabels { reason })
            .inc();
    }

    /// Media messages that did not count: `missing`, `duplicate`, `malformed`.
    pub fn count_media_lost(&self, reason: &'static str, messages: u64) {
        let lost = self
            .0
            .media_lost
            .get_or_create_owned(&MediaLossLabels { reason });
        lost.inc_by(messages);
    }

    /// Twilio posted something; `path` is one of the server's own.
    pub fn count_webhook(&self, path: &str, status: u16) {
        let path = path.to_owned();
        self.0
            .webhooks
            .get_or_create(&WebhookLabels { path, status })
            .inc();
    }

    /// A request was refused, or not met. Whether that is to be logged: anybody can make requests, and
    /// the log has a disk, so that of one code there are `lines_max` lines in each
    /// [`LOG_QUOTA_WINDOW`]. If so, how many were left out since the
    /// last line.
    pub fn count_refusal(&self, code: &'static str, lines_max: u32, now: Instant) -> Option<u64> {
        self.0
            .refused
            .get_or_create(&ErrorCodeLabels { code })
            .inc();
        let mut quotas = self
            .0
            .log_quotas
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let quota = quotas.entry(code).or_insert(LogQuota {
            window_start: now,
            written: 0,
            suppressed: 0,
        });
        if now.saturating_duration_since(quota.window_start) >= LOG_QUOTA_WINDOW {
            (quota.window_start, quota.written) = (now, 0);
        }
        if quota.written >= lines_max {
            quota.suppressed += 1;
            return None;
        }
        quota.written += 1;
        Some(mem::take(&mut quota.suppressed))
    }

    /// Everything, and what is so at the moment, in the format of `OpenMetrics`.
    pub fn render(&self, live_registry: &Registry) -> String {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)
            .and_then(|()| text::encode_registry(&mut out, live_registry))
            .and_then(|()| text::encode_eof(&mut out))
            .expect("a String takes any text");
        out
    }
}

/// Has a figure told from now on.
fn register_metric<M: Metric + Clone>(
    target: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    target.register(name, help, metric.clone());
    metric
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
        assert_eq!(metrics.count_refusal("bad_signature", 1, at(0)), Some(0));
        for n in 1..1_000 {
            let line = metrics.count_refusal("bad_signature", 1, at(n % 60));
            assert_eq!(line, None);
        }
        assert_eq!(metrics.count_refusal("internal", 2, at(59)), Some(0));
        assert_eq!(metrics.count_refusal("internal", 2, at(59)), Some(0));
        assert_eq!(metrics.count_refusal("internal", 2, at(59)), None);
        assert_eq!(metrics.count_refusal("bad_signature", 1, at(60)), Some(999));
        assert_eq!(metrics.count_refusal("bad_signature", 1, at(61)), None);
        let rendered = metrics.render(&Registry::default());
        let counted = "callburner_refused_total{code=\"bad_signature\"} 1002";
        assert!(rendered.contains(counted), "{rendered}");
    }

    #[test]
    fn what_is_counted_is_told_once_with_its_labels() {
        let durations = QueryDurations::default();
        let metrics = Metrics::new(&durations);
        metrics.count_stream_end(EndReason::Dropped);
        metrics.count_media_lost("missing", 3);
        metrics.count_webhook("/voice", 200);
        metrics.count_webhook("/voice", 200);
        metrics.observe_first_partial(Duration::from_millis(550));
        durations.observe("open_call", Duration::from_millis(3), true);
        let rendered = metrics.render(&Registry::default());
        for line in [
            "callburner_streams_ended_total{reason=\"dropped\"} 1",
            "callburner_media_messages_lost_total{reason=\"missing\"} 3",
            "callburner_webhooks_total{path=\"/voice\",status=\"200\"} 2",
            "callburner_first_words_latency_seconds_bucket{le=\"0.5\"} 0",
            "callburner_first_words_latency_seconds_bucket{le=\"0.6\"} 1",
            "callburner_store_seconds_count{verb=\"open_call\",result=\"ok\"} 1",
        ] {
            assert!(
                rendered.lines().any(|rendered| rendered == line),
                "{line} in\n{rendered}"
            );
        }
        assert!(rendered.ends_with("# EOF\n"));
    }
}
