//! `GET /metrics`: the operator's figures, for admins, and for machines whose API token has the
//! scope `metrics`.

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

/// What Prometheus takes for `OpenMetrics`.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The operator's figures, in the format of `OpenMetrics`.
#[utoipa::path(get, path = "/metrics", tag = "operators", responses(
    (status = 200, content_type = "application/openmetrics-text", body = String),
    (status = 403, description = "`not_allowed`: for admins, or an admin's token with the scope `metrics`"),
))]
pub(super) async fn read(
    caller: Caller,
    State(state): State<ApiState>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Metrics)?;
    let mut moment = Registry::with_prefix("callburner");
    connections(&state, &mut moment);
    engine(&state, &mut moment);
    places(&state, &mut moment).await;
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    moment.register("build", "The program", Info::new(version));
    let told = state.switchboard.metrics.render(&moment);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], told))
}

fn connections(state: &ApiState, to: &mut Registry) {
    let switchboard = &state.switchboard;
    let mut gauge = |name: &str, help: &str, value: usize| {
        to.register(name, help, ConstGauge::new(value as u64));
    };
    let (streams, listeners) = (state.media_sockets_left(), state.listeners_left());
    gauge(
        "media_streams",
        "Media streams that are open",
        limits::MEDIA_SOCKETS_MAX.saturating_sub(streams),
    );
    gauge(
        "listeners",
        "Pages that listen",
        limits::LISTENERS_MAX.saturating_sub(listeners),
    );
    gauge(
        "channels",
        "Calls that can be listened to",
        switchboard.hub.channels(),
    );
    gauge(
        "calls_written_down",
        "Calls whose words are being written down",
        switchboard.scribe.calls(),
    );
    let calls: Family<Vec<(&str, &str)>, Gauge> = Family::default();
    for (kind, number) in [
        ("telephone", state.desk.calls(clock::now())),
        ("simulated", usize::from(state.desk.simulated().is_some())),
    ] {
        let calls = calls.get_or_create_owned(&vec![("kind", kind)]);
        calls.set(number as i64);
    }
    to.register("calls", "Calls that go on, transcribed or not", calls);
    let refused = ConstCounter::new(switchboard.hub.refused());
    to.register("events_refused", "Events that channels refused", refused);
}

fn engine(state: &ApiState, to: &mut Registry) {
    let engine = &state.switchboard.engine;
    let ((_, lag), (counts, work)) = (engine.health(), engine.tally());
    let age = ConstGauge::new(lag.as_secs_f64());
    to.register(
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
        ("finals_called_off", counts.finals_called_off),
    ] {
        jobs.get_or_create_owned(&vec![("what", what)])
            .inc_by(number);
    }
    to.register(
        "engine_jobs",
        "What became of the engine's jobs: taken in, refused at the last bound, never run",
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
    to.register(
        "engine_seconds",
        "Audio that finals were made from, and thread time that finals and drafts took",
        seconds,
    );
    let audio = work.final_audio.as_secs_f64();
    if audio > 0.0 {
        let factor = work.final_time.as_secs_f64() / audio;
        to.register(
            "real_time_factor",
            "Thread time of finals for each second of their audio, since the start",
            ConstGauge::new(factor),
        );
    }
}

async fn places(state: &ApiState, to: &mut Registry) {
    let store = state.desk.store();
    if let Ok(bytes) = store.size_bytes().await {
        to.register(
            "store_bytes",
            "Size of the database",
            ConstGauge::new(bytes),
        );
    }
    if let Ok(Some(bytes)) = store.disk_free_bytes().await {
        to.register(
            "disk_free_bytes",
            "Free space where the database is",
            ConstGauge::new(bytes),
        );
    }
    if let Some(shelf) = &state.switchboard.shelf {
        let health = shelf.health();
        let archives: Family<Vec<(&str, &str)>, Gauge> = Family::default();
        for (what, number) in [
            ("open", health.open as u64),
            ("failed", health.failed),
            ("lost_ms", health.lost_ms),
        ] {
            let archive = archives.get_or_create_owned(&vec![("what", what)]);
            archive.set(number as i64);
        }
        to.register(
            "archives",
            "Calls' audio: being written, failed, lost",
            archives,
        );
    }
    if let Some(bytes) = telemetry::resident_bytes() {
        to.register(
            "resident_memory_bytes",
            "Memory of the process",
            ConstGauge::new(bytes),
        );
    }
}
