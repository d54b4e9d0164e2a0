//! `/healthz`: the process is alive. `/readyz`: it could take a call now, or why not.

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

/// Reasons why no call can be taken now, by the part that has them.
type Reasons = BTreeMap<&'static str, String>;

/// The reasons of parts that say so themselves, and what was last found; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<Reasons>>,
    /// The parts with reasons when somebody last asked.
    found: Arc<Mutex<Vec<&'static str>>>,
}

impl Readiness {
    /// `part` cannot work because of `reason`, a sentence that says what to do; replaces an
    /// earlier reason of the same part.
    pub fn block(&self, part: &'static str, reason: impl Into<String>) {
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, reason.into());
    }

    /// `part` works.
    pub fn clear(&self, part: &'static str) {
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(part);
    }

    fn reasons(&self) -> Reasons {
        let reasons = self.reasons.lock();
        reasons.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether other parts have reasons than when somebody last asked: probes ask every few seconds,
    /// and the log is to have what is new.
    fn is_news(&self, reasons: &Reasons) -> bool {
        let found: Vec<&str> = reasons.keys().copied().collect();
        let mut last = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *last, found) != *last
    }
}

/// Whether a call could be taken now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ready)]
struct Verdict {
    ready: bool,
    /// Why not, each with what to do.
    reasons: Vec<String>,
    headroom: Headroom,
}

/// How much more could be taken now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Headroom {
    /// Media streams: each call has one.
    media_streams: usize,
    /// Pages that listen.
    listeners: usize,
    /// How far the oldest waiting words are behind their speech.
    engine_lag_ms: u64,
    /// Free space of the database's disk; none: it is in memory, or the disk does not say.
    disk_free_bytes: Option<u64>,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", tag = "operators", security(()), responses(
    (status = 200, content_type = "text/plain", body = String, description = "`ok`"),
))]
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// Could it take a call now, or why not?
#[utoipa::path(get, path = "/readyz", tag = "operators", security(()), responses(
    (status = 200, body = Verdict, description = "it could"),
    (status = 503, body = Verdict, description = "it could not"),
))]
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let mut reasons = state.readiness.reasons();
    let store_fault = store_fault(&state).await;
    if store_fault.is_some() {
        // Whoever asks may be anyone, so that the cause goes to the log only.
        let reason = "the database cannot be used: see the log, and run `callburner doctor`";
        reasons.insert("store", reason.to_owned());
    }
    reasons.extend(of_archive(&state));
    let headroom = headroom(&state).await;
    reasons.extend(of_headroom(&headroom));
    if state.switchboard.tasks.is_draining() {
        let reason = "the server is stopping: send calls to another, or wait";
        reasons.insert("stop", reason.to_owned());
    }
    let ready = reasons.is_empty();
    if state.readiness.is_news(&reasons) {
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
        Json(Verdict {
            ready,
            reasons,
            headroom,
        }),
    )
        .into_response()
}

/// Why nothing could be written down now.
async fn store_fault(state: &ApiState) -> Option<String> {
    let checked = tokio::time::timeout(limits::READY_WAIT_MAX, state.desk.store().check()).await;
    match checked {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it did not answer in time".to_owned()),
    }
}

async fn headroom(state: &ApiState) -> Headroom {
    let free = state.desk.store().disk_free_bytes();
    let free = tokio::time::timeout(limits::READY_WAIT_MAX, free).await;
    Headroom {
        media_streams: state.media_sockets_left(),
        listeners: state.listeners_left(),
        engine_lag_ms: state.switchboard.engine.health().1.as_millis() as u64,
        disk_free_bytes: free.ok().and_then(Result::ok).flatten(),
    }
}

/// Why there is no room for one more call.
fn of_headroom(headroom: &Headroom) -> Reasons {
    let mut reasons = Reasons::new();
    if headroom.media_streams == 0 {
        let reason =
            "every media stream is taken: further calls are connected, and not transcribed";
        reasons.insert("media", reason.to_owned());
    }
    if let Some(free) = headroom.disk_free_bytes
        && free < limits::DISK_FREE_NEEDED
    {
        let free = free / (1024 * 1024);
        let reason =
            format!("the disk of DATA_DIR has {free} MB left: make room, or set RETENTION_DAYS");
        reasons.insert("disk", reason);
    }
    reasons
}

/// Why audio could not be kept now.
fn of_archive(state: &ApiState) -> Option<(&'static str, String)> {
    let shelf = state.switchboard.shelf.as_ref()?;
    let reason = "calls' audio cannot be written: see whether the disk of DATA_DIR is full";
    let is_failing = shelf.health().is_failing;
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
            parts.collect::<Reasons>()
        };
        for (found, is_news) in [
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
            assert_eq!(readiness.is_news(&found), is_news, "{found:?}");
        }
    }
}
