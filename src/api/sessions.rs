//! `/api/sessions`: the browsers that one is signed in with, and their end.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Caller, Via};
use super::gatehouse::Gatehouse;
use super::{ApiError, ApiState, users};
use crate::access::secret::SecretHash;
use crate::access::session::{self, Life};
use crate::clock::{self, UtcTime};
use crate::store::SessionRecord;

/// `/api/sessions`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, end_others))
        .routes(routes!(end))
}

/// One's sessions, the latest used first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// A browser that is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionInfo {
    /// Names it; opens nothing.
    id: String,
    /// When it was signed in.
    created_at: UtcTime,
    /// When it was last used, to some minutes.
    used_at: UtcTime,
    /// Whether it is the one that asks.
    is_current: bool,
}

/// The browsers that one is signed in with.
#[utoipa::path(get, path = "/api/sessions", tag = "people", responses(
    (status = 200, body = SessionList),
    (status = 403, description = "`not_allowed`: for people"),
))]
async fn list(
    caller: Caller,
    State(gates): State<Gatehouse>,
) -> Result<Json<SessionList>, ApiError> {
    let current = current(&caller);
    let info = |session: SessionRecord| SessionInfo {
        id: name(&session.hash),
        created_at: session.created_at,
        used_at: session.used_at,
        is_current: current == Some(session.hash),
    };
    let sessions = of(&gates, &caller).await?.into_iter().map(info).collect();
    Ok(Json(SessionList { sessions }))
}

/// Sign out everywhere but here.
#[utoipa::path(delete, path = "/api/sessions", tag = "people", responses(
    (status = 204, description = "only the session that asks is left"),
    (status = 403, description = "`not_allowed`: for people"),
))]
async fn end_others(
    caller: Caller,
    State(gates): State<Gatehouse>,
) -> Result<StatusCode, ApiError> {
    let current = current(&caller);
    let all = of(&gates, &caller).await?;
    close(&gates, &caller, all, |hash| current != Some(*hash)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign one browser out.
#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "people",
    params(("id" = String, Path, description = "the session")), responses(
    (status = 204, description = "it is signed out"),
    (status = 403, description = "`not_allowed`: for people"),
    (status = 404, description = "`no_such_session`: you have no such session"),
))]
async fn end(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let all = of(&gates, &caller).await?;
    if close(&gates, &caller, all, |hash| name(hash) == id).await? == 0 {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_session",
            "you have no such session",
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's sessions that are good.
async fn of(gates: &Gatehouse, caller: &Caller) -> Result<Vec<SessionRecord>, ApiError> {
    let now = clock::utc_now();
    let mut all = gates.store().sessions(caller.require_person()?.id).await?;
    all.retain(|s| session::life(s.created_at, s.used_at, now) != Life::Over);
    Ok(all)
}

/// Ends those of the sessions that are meant; how many.
async fn close(
    gates: &Gatehouse,
    caller: &Caller,
    all: Vec<SessionRecord>,
    is_meant: impl Fn(&SecretHash) -> bool,
) -> Result<usize, ApiError> {
    let meant = all.into_iter().map(|session| session.hash);
    let meant: Vec<SecretHash> = meant.filter(is_meant).collect();
    if !meant.is_empty() {
        gates.close(&meant).await?;
        let (detail, now) = (format!("{} sessions", meant.len()), clock::utc_now());
        users::log(gates, "sessions_ended", detail, caller.user_id(), now).await?;
    }
    Ok(meant.len())
}

fn current(caller: &Caller) -> Option<SecretHash> {
    match caller {
        Caller::User {
            via: Via::Session(hash),
            ..
        } => Some(*hash),
        Caller::User { .. } | Caller::Open => None,
    }
}

/// The beginning of the hash of the session's secret: enough to tell sessions of one user apart, and
/// worth nothing to whoever reads it.
fn name(hash: &SecretHash) -> String {
    let first = hash.first_chunk().expect("a hash is longer");
    format!("{:016x}", u64::from_be_bytes(*first))
}
