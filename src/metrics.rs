//! Prometheus metrics for the operator. Counters and histograms are updated where the event happens; gauges
//! are read when a scrape requests them.

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

/// Upper bounds of the latency buckets in seconds, with high resolution around the targets.
const LATENCY_BUCKETS: [f64; 12] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0, 15.0, 60.0];

/// Upper bounds of the buckets for store operations in seconds, up to
/// [`STORE_WAIT_MAX`](crate::limits::STORE_WAIT_MAX).
const STORE_BUCKETS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// The metrics of the process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<MetricFamilies>);

struct MetricFamilies {
    transcripts: TranscriptMetrics,
    traffic: TrafficMetrics,
    /// Recent log lines about refusals, by error code.
    log_quotas: Mutex<BTreeMap<&'static str, LogQuota>>,
    registry: Registry,
}

/// Metrics of the published transcripts.
struct TranscriptMetrics {
    segments: Family<SegmentLabels, Counter>,
    words: Counter,
    final_latency: Histogram,
    first_words_latency: Histogram,
}

/// Metrics of media streams and requests.
struct TrafficMetrics {
    streams: Family<StreamEndLabels, Counter>,
    media_lost: Family<MediaLossLabels, Counter>,
    webhooks: Family<WebhookLabels, Counter>,
    refused: Family<ErrorCodeLabels, Counter>,
}

/// Durations of store operations. Clones share them.
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

/// The number of log lines about one error code.
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
    /// Records the duration of the operation `verb`.
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
    /// Returns metrics without any events; the store itself records `store`.
    pub fn new(store: &QueryDurations) -> Self {
        let mut registry = Registry::with_prefix("callburner");
        register_metric(
            &mut registry,
            "store_seconds",
            "Duration of store operations, including queueing",
            store.0.clone(),
        );
        Self(Arc::new(MetricFamilies {
            transcripts: TranscriptMetrics::register(&mut registry),
            traffic: TrafficMetrics::register(&mut registry),
            log_quotas: Mutex::default(),
            registry,
        }))
    }

    /// Counts a published segment.
    pub fn count_segment(&self, segment: &Segment) {
        let transcribed = if segment.transcribed { "true" } else { "false" };
        let transcripts = &self.0.transcripts;
        let segments = &transcripts.segments;
        segments.get_or_create(&SegmentLabels { transcribed }).inc();
        transcripts.words.inc_by(segment.words.len() as u64);
        let seconds = Duration::from_millis(segment.latency_ms).as_secs_f64();
        transcripts.final_latency.observe(seconds);
    }

    /// Records the audio before an utterance's first partial.
    pub fn observe_first_partial(&self, after: Duration) {
        let latency = &self.0.transcripts.first_words_latency;
        latency.observe(after.as_secs_f64());
    }

    /// Counts the end of a media stream.
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
            .traffic
            .streams
            .get_or_create(&StreamEndLabels { reason })
            .inc();
    }

    /// Counts discarded media messages: `missing`, `duplicate`, `malformed`.
    pub fn count_media_lost(&self, reason: &'static str, messages: u64) {
        let lost = self
            .0
            .traffic
            .media_lost
            .get_or_create_owned(&MediaLossLabels { reason });
        lost.inc_by(messages);
    }

    /// Counts a webhook; `path` is a route of this server.
    pub fn count_webhook(&self, path: &str, status: u16) {
        let path = path.to_owned();
        self.0
            .traffic
            .webhooks
            .get_or_create(&WebhookLabels { path, status })
            .inc();
    }

    /// Counts a request that was refused or failed, and decides whether to log it. Any client can cause such
    /// requests, and the log takes disk space, so at most `lines_max` lines of one code are logged in each
    /// [`LOG_QUOTA_WINDOW`]. Returns the number of lines suppressed since the last one; `None` if this line
    /// is suppressed too.
    pub fn count_refusal(&self, code: &'static str, lines_max: u32, now: Instant) -> Option<u64> {
        self.0
            .traffic
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

    /// Renders all metrics and those of `live_registry` in the `OpenMetrics` text format.
    pub fn render(&self, live_registry: &Registry) -> String {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)
            .and_then(|()| text::encode_registry(&mut out, live_registry))
            .and_then(|()| text::encode_eof(&mut out))
            .expect("writing to a String never fails");
        out
    }
}

impl TranscriptMetrics {
    fn register(target: &mut Registry) -> Self {
        Self {
            segments: register_metric(
                target,
                "segments",
                "Published utterances, with and without a transcript",
                Family::default(),
            ),
            words: register_metric(
                target,
                "words",
                "Words published in finals",
                Counter::default(),
            ),
            final_latency: register_metric(
                target,
                "final_latency_seconds",
                "Time from the end of speech to the publication of its final",
                Histogram::new(LATENCY_BUCKETS),
            ),
            first_words_latency: register_metric(
                target,
                "first_words_latency_seconds",
                "Audio from the start of speech to its first partial",
                Histogram::new(LATENCY_BUCKETS),
            ),
        }
    }
}

impl TrafficMetrics {
    fn register(target: &mut Registry) -> Self {
        Self {
            streams: register_metric(
                target,
                "streams_ended",
                "Ended media streams, by reason",
                Family::default(),
            ),
            media_lost: register_metric(
                target,
                "media_messages_lost",
                "Discarded media messages, by reason",
                Family::default(),
            ),
            webhooks: register_metric(
                target,
                "webhooks",
                "Webhooks from Twilio, by path and status",
                Family::default(),
            ),
            refused: register_metric(
                target,
                "refused",
                "Requests that were refused or failed, by error code",
                Family::default(),
            ),
        }
    }
}

/// Registers a metric.
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
