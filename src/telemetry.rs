//! Logging, tracing and the memory usage of the process. Rules for log lines: one line where a failure is
//! handled; fields for queries, a message for people; SIDs as stubs; never a phone number, transcript text,
//! token or secret. The same rules apply to spans (requests, store operations, media streams), which only a
//! build with the feature `otel` exports.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The `tracing` target of spans.
pub const SPAN_TARGET: &str = "callburner::spans";

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. `filter` has the syntax of `RUST_LOG`, for instance `callburner=debug`;
/// an invalid one is an error. Idempotent: a second call in a process changes nothing.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("LOG is not a log filter ({e}); try LOG=info"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    let subscriber = subscriber.with(traces::layer()?);
    // An error means that a subscriber is already installed, which is the requested state.
    let _ = subscriber.try_init();
    whisper_rs::install_logging_hooks();
    Ok(())
}

/// Flushes spans that are not exported.
pub fn stop() {
    #[cfg(feature = "otel")]
    traces::stop();
}

/// Exports spans to an OpenTelemetry collector, configured by OpenTelemetry's own variables:
/// `OTEL_EXPORTER_OTLP_ENDPOINT` and others. Without an endpoint, nothing is exported.
#[cfg(feature = "otel")]
mod traces {
    use std::sync::OnceLock;

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::level_filters::LevelFilter;
    use tracing::subscriber::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::registry::LookupSpan;

    use super::SPAN_TARGET;

    /// OpenTelemetry's variables for the collector's URL.
    const ENDPOINTS: [&str; 2] = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    pub(super) fn layer<S>() -> anyhow::Result<Option<impl Layer<S>>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if ENDPOINTS
            .iter()
            .all(|name| std::env::var_os(name).is_none())
        {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().build()?;
        let resource = Resource::builder().with_service_name("callburner").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("callburner");
        let _ = PROVIDER.set(provider);
        let spans = Targets::new().with_target(SPAN_TARGET, LevelFilter::TRACE);
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        Ok(Some(layer.with_filter(spans)))
    }

    pub(super) fn stop() {
        if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Returns the resident memory of this process in bytes; `None` where the system does not report it.
pub fn resident_bytes() -> Option<u64> {
    // https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
