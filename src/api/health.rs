//! `/healthz`: the process is alive. `/readyz`: it could take a call now, or why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::ApiState;

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

/// The answer of `/readyz`: 200 when ready, else 503.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<String>,
}

/// `GET /healthz`
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// `GET /readyz`
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let mut reasons = state.readiness.reasons();
    if state.switchboard.tasks.is_stopping() {
        reasons.push("the server is stopping: send calls to another, or wait".to_owned());
    }
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Ready { ready, reasons })).into_response()
}
