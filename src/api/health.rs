//! `/healthz`: the process is alive. `/readyz`: it could take a call now, or why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use crate::limits;

/// Reasons why no call can be taken now, by the part that has them; clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<BTreeMap<&'static str, String>>>,
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

    /// Every reason, in the order of the parts' names; empty when calls can be taken.
    pub fn reasons(&self) -> Vec<String> {
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
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
    reasons.extend(of_store(&state).await);
    reasons.extend(of_archive(&state));
    let headroom = headroom(&state).await;
    reasons.extend(of_headroom(&headroom));
    if state.switchboard.tasks.is_draining() {
        reasons.push("the server is stopping: send calls to another, or wait".to_owned());
    }
    let ready = reasons.is_empty();
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

/// Why nothing could be written down now. Whoever asks may be anyone, so that the cause goes to the
/// log only.
async fn of_store(state: &ApiState) -> Option<String> {
    let checked = tokio::time::timeout(limits::READY_WAIT_MAX, state.desk.store().check()).await;
    let cause = match checked {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it did not answer in time".to_owned(),
    };
    tracing::warn!(cause, "not ready: the database cannot be used");
    Some("the database cannot be used: see the log, and run `callburner doctor`".to_owned())
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
fn of_headroom(headroom: &Headroom) -> Vec<String> {
    let mut reasons = Vec::new();
    if headroom.media_streams == 0 {
        reasons.push(
            "every media stream is taken: further calls are connected, and not transcribed"
                .to_owned(),
        );
    }
    if let Some(free) = headroom.disk_free_bytes
        && free < limits::DISK_FREE_NEEDED
    {
        let free = free / (1024 * 1024);
        reasons.push(format!(
            "the disk of DATA_DIR has {free} MB left: make room, or set RETENTION_DAYS"
        ));
    }
    reasons
}

/// Why audio could not be kept now.
fn of_archive(state: &ApiState) -> Option<String> {
    let shelf = state.switchboard.shelf.as_ref()?;
    shelf.health().is_failing.then(|| {
        "calls' audio cannot be written: see whether the disk of DATA_DIR is full".to_owned()
    })
}
