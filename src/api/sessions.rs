//! `/api/sessions` and `/api/users/{id}/sessions`: lists and ends the sessions of the current user,
//! or, for admins, of any user.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth_service::AuthService;
use super::caller::Caller;
use super::{ApiError, ApiState, users};
use crate::access::secret::SecretHash;
use crate::access::session_policy::{self, SessionValidity};
use crate::access::user_agent;
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::store::{SessionRecord, StoreError};

/// Returns the routes of `/api/sessions` and `/api/users/{id}/sessions`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_own_sessions, end_other_sessions))
        .routes(routes!(end_own_session))
        .routes(routes!(list_user_sessions, end_user_sessions))
        .routes(routes!(end_user_session))
}

/// The sessions of one user, the most recently used first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// A session of a browser.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionInfo {
    /// The session's id, which does not authenticate.
    id: String,
    /// When the session started.
    created_at: UtcTime,
    /// When the session was last used, accurate to a few minutes.
    used_at: UtcTime,
    /// Whether this request uses the session.
    is_current: bool,
    /// The browser, by its `User-Agent` header at sign-in.
    #[schema(example = "Firefox on Linux")]
    browser: String,
    /// The client's address at sign-in; `null`: unknown.
    #[schema(example = "203.0.113.7")]
    address: Option<String>,
}

impl SessionInfo {
    fn of(session: SessionRecord, caller: &Caller) -> Self {
        Self {
            id: session_id(&session.hash),
            created_at: session.created_at,
            used_at: session.used_at,
            is_current: caller.session_hash() == Some(&session.hash),
            browser: user_agent::describe(&session.user_agent),
            address: Some(session.address).filter(|address| !address.is_empty()),
        }
    }
}

/// List your sessions.
#[utoipa::path(get, path = "/api/sessions", tag = "people", responses(
    (status = 200, body = SessionList),
    (status = 403, description = "`not_allowed`: not for API tokens"),
))]
async fn list_own_sessions(
    caller: Caller,
    State(auth): State<AuthService>,
) -> Result<Json<SessionList>, ApiError> {
    let me = caller.require_signed_in_user()?.id;
    Ok(Json(build_session_list(&auth, &caller, me).await?))
}

/// End all your sessions except this one.
#[utoipa::path(delete, path = "/api/sessions", tag = "people", responses(
    (status = 204, description = "only the session of this request is left"),
    (status = 403, description = "`not_allowed`: not for API tokens"),
))]
async fn end_other_sessions(
    caller: Caller,
    State(auth): State<AuthService>,
) -> Result<StatusCode, ApiError> {
    let me = caller.require_signed_in_user()?.id;
    end_matching_sessions(&auth, &caller, me, |hash| {
        caller.session_hash() != Some(hash)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of your sessions.
#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "people",
    params(("id" = String, Path, description = "the session")), responses(
    (status = 204, description = "the session has ended"),
    (status = 403, description = "`not_allowed`: not for API tokens"),
    (status = 404, description = "`no_such_session`"),
))]
async fn end_own_session(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let me = caller.require_signed_in_user()?.id;
    if end_matching_sessions(&auth, &caller, me, |hash| session_id(hash) == id).await? == 0 {
        return Err(no_such_session("you have no such session: reload the list"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// List a user's sessions.
#[utoipa::path(get, path = "/api/users/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 200, body = SessionList),
    (status = 403, description = "`not_allowed`: for admins"),
    (status = 404, description = "`no_such_user`"),
))]
async fn list_user_sessions(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<Json<SessionList>, ApiError> {
    let user = users::find_user_as_admin(&auth, &caller, id).await?;
    Ok(Json(build_session_list(&auth, &caller, user.id).await?))
}

/// End all sessions of a user, except the session of this request.
#[utoipa::path(delete, path = "/api/users/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "the sessions have ended"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`"),
))]
async fn end_user_sessions(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    let user = users::find_user_as_confirmed_admin(&auth, &caller, id, clock::utc_now()).await?;
    end_matching_sessions(&auth, &caller, user.id, |hash| {
        caller.session_hash() != Some(hash)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one session of a user.
#[utoipa::path(delete, path = "/api/users/{id}/sessions/{session}", tag = "people", params(
    ("id" = i64, Path, description = "the user"),
    ("session" = String, Path, description = "the session"),
), responses(
    (status = 204, description = "the session has ended"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`, `no_such_session`"),
))]
async fn end_user_session(
    caller: Caller,
    State(auth): State<AuthService>,
    Path((id, session)): Path<(UserId, String)>,
) -> Result<StatusCode, ApiError> {
    let user = users::find_user_as_confirmed_admin(&auth, &caller, id, clock::utc_now()).await?;
    if end_matching_sessions(&auth, &caller, user.id, |hash| session_id(hash) == session).await?
        == 0
    {
        return Err(no_such_session(
            "this user has no such session: reload the list",
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn build_session_list(
    auth: &AuthService,
    caller: &Caller,
    user: UserId,
) -> Result<SessionList, StoreError> {
    let sessions = valid_sessions(auth, user).await?.into_iter();
    let sessions = sessions.map(|session| SessionInfo::of(session, caller));
    Ok(SessionList {
        sessions: sessions.collect(),
    })
}

/// Returns the user's valid sessions.
async fn valid_sessions(
    auth: &AuthService,
    user: UserId,
) -> Result<Vec<SessionRecord>, StoreError> {
    let now = clock::utc_now();
    let mut all = auth.store().sessions(user).await?;
    all.retain(|s| {
        session_policy::session_validity(s.created_at, s.used_at, now) != SessionValidity::Expired
    });
    Ok(all)
}

/// Ends the user's sessions that match, and returns their number.
async fn end_matching_sessions(
    auth: &AuthService,
    caller: &Caller,
    user: UserId,
    is_meant: impl Fn(&SecretHash) -> bool,
) -> Result<usize, ApiError> {
    let all = valid_sessions(auth, user).await?;
    let meant = all.into_iter().map(|session| session.hash);
    let meant: Vec<SecretHash> = meant.filter(is_meant).collect();
    if !meant.is_empty() {
        auth.end_sessions(&meant).await?;
        let (detail, now) = (format!("{} sessions", meant.len()), clock::utc_now());
        let by = caller.user_id();
        let detail = if by == Some(user) {
            detail
        } else {
            format!("{detail} of user {}", user.0)
        };
        users::record_audit_entry(auth, "sessions_ended", detail, by, now).await?;
    }
    Ok(meant.len())
}

fn no_such_session(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_session", message)
}

/// Returns the session's id: the first 8 bytes of the hash of its secret, which distinguish the
/// sessions of one user, and give no access.
fn session_id(hash: &SecretHash) -> String {
    let first = hash.first_chunk().expect("a hash is longer");
    format!("{:016x}", u64::from_be_bytes(*first))
}
