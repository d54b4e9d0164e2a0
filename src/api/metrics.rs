//! `GET /metrics`: the operator's metrics, for admins, and for an admin's API token with the scope
//! `metrics`.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::{ApiError, ApiState, Caller};
use crate::clock;
use crate::limits;
use crate::store::Scope;
use crate::telemetry;

/// The content type by which Prometheus recognises `OpenMetrics`.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Get the operator's metrics, in the format `OpenMetrics`.
#[utoipa::path(get, path = "/metrics", tag = "operators", responses(
    (status = 200, content_type = "application/openmetrics-text", body = String),
    (status = 403, description = "`not_allowed`: for admins, or an admin's token with the scope `metrics`"),
))]
pub(super) async fn read_metrics(
    caller: Caller,
    State(state): State<ApiState>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require_scope(Scope::Metrics)?;
    let mut snapshot = Registry::with_prefix("callburner");
    register_connections(&state, &mut snapshot);
    register_engine(&state, &mut snapshot);
    register_storage(&state, &mut snapshot).await;
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    snapshot.register("build", "The program", Info::new(version));
    let text = state.media_deps.metrics.render(&snapshot);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}

fn register_connections(state: &ApiState, registry: &mut Registry) {
    let media_deps = &state.media_deps;
    let mut gauge = |name: &str, help: &str, value: usize| {
        registry.register(name, help, ConstGauge::new(value as u64));
    };
    let (streams, listeners) = (state.media_sockets_left(), state.listeners_left());
    gauge(
        "media_streams",
        "Media streams that are open",
        limits::MEDIA_SOCKETS_MAX.saturating_sub(streams),
    );
    gauge(
        "listeners",
        "Client-channel sockets that are open",
        limits::LISTENERS_MAX.saturating_sub(listeners),
    );
    gauge(
        "channels",
        "Calls with a channel",
        media_deps.hub.channel_count(),
    );
    gauge(
        "calls_written_down",
        "Calls with a transcript that is being stored",
        media_deps.transcript_writer.active_call_count(),
    );
    let calls: Family<Vec<(&str, &str)>, Gauge> = Family::default();
    for (kind, number) in [
        ("telephone", state.calls.active_call_count(clock::now())),
        (
            "simulated",
            usize::from(state.calls.simulated_call().is_some()),
        ),
    ] {
        let calls = calls.get_or_create_owned(&vec![("kind", kind)]);
        calls.set(number as i64);
    }
    registry.register("calls", "Active calls, transcribed or not", calls);
    let refused = ConstCounter::new(media_deps.hub.refused_count());
    registry.register("events_refused", "Events that channels refused", refused);
}

fn register_engine(state: &ApiState, registry: &mut Registry) {
    let engine = &state.media_deps.engine;
    let ((_, lag), (counts, work)) = (engine.health(), engine.statistics());
    let age = ConstGauge::new(lag.as_secs_f64());
    registry.register(
        "queue_age_seconds",
        "How far the oldest waiting final is behind its speech",
        age,
    );
    let jobs: Family<Vec<(&str, &str)>, Counter> = Family::default();
    for (what, number) in [
        ("finals", counts.finals),
        ("finals_refused", counts.finals_refused),
        ("partials", counts.partials),
        ("partials_dropped", counts.partials_dropped),
        ("finals_called_off", counts.finals_cancelled),
    ] {
        jobs.get_or_create_owned(&vec![("what", what)])
            .inc_by(number);
    }
    registry.register(
        "engine_jobs",
        "The engine's jobs: accepted, refused when the queue was full, never run",
        jobs,
    );
    let seconds: Family<Vec<(&str, &str)>, Counter<f64, AtomicU64>> = Family::default();
    for (of, time) in [
        ("final_audio", work.final_audio),
        ("final_work", work.final_time),
        ("partial_work", work.partial_time),
    ] {
        let seconds = seconds.get_or_create_owned(&vec![("of", of)]);
        seconds.inc_by(time.as_secs_f64());
    }
    registry.register(
        "engine_seconds",
        "Audio of finals, and thread time of finals and partials",
        seconds,
    );
    let audio = work.final_audio.as_secs_f64();
    if audio > 0.0 {
        let factor = work.final_time.as_secs_f64() / audio;
        registry.register(
            "real_time_factor",
            "Thread time of finals for each second of their audio, since the start",
            ConstGauge::new(factor),
        );
    }
}

async fn register_storage(state: &ApiState, registry: &mut Registry) {
    let store = state.calls.store();
    if let Ok(bytes) = store.size_bytes().await {
        registry.register(
            "store_bytes",
            "Size of the database",
            ConstGauge::new(bytes),
        );
    }
    if let Ok(Some(bytes)) = store.disk_free_bytes().await {
        registry.register(
            "disk_free_bytes",
            "Free space where the database is",
            ConstGauge::new(bytes),
        );
    }
    if let Some(audio_archive) = &state.media_deps.audio_archive {
        let health = audio_archive.health();
        let archives: Family<Vec<(&str, &str)>, Gauge> = Family::default();
        for (what, number) in [
            ("open", health.open as u64),
            ("failed", health.failed),
            ("lost_ms", health.lost_ms),
        ] {
            let archive = archives.get_or_create_owned(&vec![("what", what)]);
            archive.set(number as i64);
        }
        registry.register(
            "archives",
            "Archived audio of calls: files open, files failed, milliseconds lost",
            archives,
        );
    }
    if let Some(bytes) = telemetry::resident_bytes() {
        registry.register(
            "resident_memory_bytes",
            "Memory of the process",
            ConstGauge::new(bytes),
        );
    }
}
