//! `/healthz`: the process is alive. `/readyz`: it can accept a call, or why not.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use crate::limits;

/// The reasons why no call can be accepted, by part.
type ReasonsByPart = BTreeMap<&'static str, String>;

/// The reasons that parts reported, and the result of the last probe. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<ReasonsByPart>>,
    /// The parts with reasons at the last probe.
    last_blocked: Arc<Mutex<Vec<&'static str>>>,
}

impl Readiness {
    /// Records that `part` cannot work because of `reason`, a sentence that includes a remedy.
    /// Replaces an earlier reason of the same part.
    pub fn block(&self, part: &'static str, reason: impl Into<String>) {
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, reason.into());
    }

    /// Records that `part` works.
    pub fn clear(&self, part: &'static str) {
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(part);
    }

    fn reasons(&self) -> ReasonsByPart {
        let reasons = self.reasons.lock();
        reasons.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reports whether the parts with reasons differ from those at the last probe: probes arrive
    /// every few seconds, and only changes are logged.
    fn has_changed(&self, reasons: &ReasonsByPart) -> bool {
        let last_blocked: Vec<&str> = reasons.keys().copied().collect();
        let mut last = self
            .last_blocked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *last, last_blocked) != *last
    }
}

/// Whether a call can be accepted now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ready)]
struct ReadyResponse {
    ready: bool,
    /// The reasons if not, each with a remedy.
    reasons: Vec<String>,
    headroom: ReadyHeadroom,
}

/// The free capacity.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Headroom)]
struct ReadyHeadroom {
    /// The number of media streams that can be opened. Each call has one.
    media_streams: usize,
    /// The number of client-channel sockets that can be opened.
    listeners: usize,
    /// How far the oldest waiting final is behind its speech, in milliseconds.
    engine_lag_ms: u64,
    /// Free bytes on the database's disk; `null`: the database is in memory, or the disk does not
    /// report it.
    disk_free_bytes: Option<u64>,
}

/// Check that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operators", security(()), responses(
    (status = 200, content_type = "text/plain", body = String, description = "`ok`"),
))]
pub(super) async fn read_liveness() -> &'static str {
    "ok"
}

/// Check whether the server can accept a call.
#[utoipa::path(get, path = "/readyz", tag = "operators", security(()), responses(
    (status = 200, body = ReadyResponse, description = "it can"),
    (status = 503, body = ReadyResponse, description = "it cannot"),
))]
pub(super) async fn read_readiness(State(state): State<ApiState>) -> Response {
    let mut reasons = state.readiness.reasons();
    let store_fault = check_store(&state).await;
    if store_fault.is_some() {
        // Anyone can send this request, so that only the log contains the cause.
        let reason = "the database cannot be used: see the log, and run `callburner doctor`";
        reasons.insert("store", reason.to_owned());
    }
    reasons.extend(archive_reason(&state));
    let headroom = measure_headroom(&state).await;
    reasons.extend(headroom_reasons(&headroom));
    if state.media_deps.tasks.is_draining() {
        let reason = "the server is stopping: send calls to another, or wait";
        reasons.insert("stop", reason.to_owned());
    }
    let ready = reasons.is_empty();
    if state.readiness.has_changed(&reasons) {
        if ready {
            tracing::info!("ready again");
        } else {
            tracing::warn!(?reasons, store_fault, "not ready");
        }
    }
    let reasons = reasons.into_values().collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(ReadyResponse {
            ready,
            reasons,
            headroom,
        }),
    )
        .into_response()
}

/// Returns why the database cannot be used.
async fn check_store(state: &ApiState) -> Option<String> {
    let checked = tokio::time::timeout(limits::READY_WAIT_MAX, state.calls.store().ping()).await;
    match checked {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it did not respond in time".to_owned()),
    }
}

async fn measure_headroom(state: &ApiState) -> ReadyHeadroom {
    let free = state.calls.store().disk_free_bytes();
    let free = tokio::time::timeout(limits::READY_WAIT_MAX, free).await;
    ReadyHeadroom {
        media_streams: state.media_sockets_left(),
        listeners: state.listeners_left(),
        engine_lag_ms: state.media_deps.engine.health().1.as_millis() as u64,
        disk_free_bytes: free.ok().and_then(Result::ok).flatten(),
    }
}

/// Returns why there is no capacity for another call.
fn headroom_reasons(headroom: &ReadyHeadroom) -> ReasonsByPart {
    let mut reasons = ReasonsByPart::new();
    if headroom.media_streams == 0 {
        let reason =
            "every media stream is in use: further calls are connected, but not transcribed";
        reasons.insert("media", reason.to_owned());
    }
    if let Some(free) = headroom.disk_free_bytes
        && free < limits::DISK_FREE_BYTES_MIN
    {
        let free = free / (1024 * 1024);
        let reason =
            format!("the disk of DATA_DIR has {free} MB left: free space, or set RETENTION_DAYS");
        reasons.insert("disk", reason);
    }
    reasons
}

/// Returns why audio cannot be archived.
fn archive_reason(state: &ApiState) -> Option<(&'static str, String)> {
    let audio_archive = state.media_deps.audio_archive.as_ref()?;
    let reason = "calls' audio cannot be written: check whether the disk of DATA_DIR is full";
    let is_failing = audio_archive.health().is_failing;
    is_failing.then(|| ("archive", reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_a_change_and_not_of_every_probe() {
        let readiness = Readiness::default();
        let reasons = |parts: &[(&'static str, &str)]| {
            let parts = parts
                .iter()
                .map(|&(part, reason)| (part, reason.to_owned()));
            parts.collect::<ReasonsByPart>()
        };
        for (last_blocked, has_changed) in [
            (reasons(&[]), false),
            (reasons(&[("disk", "63 MB left")]), true),
            (reasons(&[("disk", "62 MB left")]), false),
            (
                reasons(&[("disk", "62 MB left"), ("store", "locked")]),
                true,
            ),
            (reasons(&[("store", "locked")]), true),
            (reasons(&[("store", "locked")]), false),
            (reasons(&[]), true),
            (reasons(&[]), false),
        ] {
            assert_eq!(
                readiness.has_changed(&last_blocked),
                has_changed,
                "{last_blocked:?}"
            );
        }
    }
}
