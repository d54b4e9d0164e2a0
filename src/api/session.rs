//! `/api/session`, `/api/session/open` and `/api/setup`: who am I, sign in, sign out, open the page of
//! a server without users, and the first admin.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Caller, ClientAddress, Visitor, not_allowed};
use super::gatehouse::{Gatehouse, SetCookie};
use super::{ApiError, ApiState, users};
use crate::access::password::Password;
use crate::clock;
use crate::store::User;

/// `/api/session`, `/api/session/open` and `/api/setup`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(who_am_i, sign_in, sign_out))
        .routes(routes!(open))
        .routes(routes!(set_up))
}

/// Who uses this browser.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionState {
    /// Who has signed in; none: nobody.
    user: Option<User>,
    /// Nobody needs to sign in: the server has no users, only its own machine reaches it, and this
    /// browser has opened the link that the server printed.
    open: bool,
    /// There are no users, and only its own machine reaches the server: this browser has to open the
    /// link that the server printed at its start.
    link_needed: bool,
    /// There are no users yet: the link that the server printed at its start makes the first.
    setup_needed: bool,
}

impl SessionState {
    fn signed_in(user: User) -> Self {
        Self {
            user: Some(user),
            ..Self::of_nobody(false, false)
        }
    }

    fn opened() -> Self {
        Self {
            open: true,
            ..Self::of_nobody(false, false)
        }
    }

    fn of_nobody(link_needed: bool, setup_needed: bool) -> Self {
        Self {
            user: None,
            open: false,
            link_needed,
            setup_needed,
        }
    }
}

/// Name and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    name: String,
    password: Password,
}

/// The key of a server without users.
// No `Debug`, for the secret's sake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenPage {
    /// From the link that the server printed: what follows the `#`.
    #[schema(format = Password)]
    secret: String,
}

/// The first admin. No `Debug`, for the secret's sake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUp {
    /// From the link that the server printed: what follows the `#`.
    #[schema(format = Password)]
    secret: String,
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    password: Password,
}

/// Who am I.
#[utoipa::path(get, path = "/api/session", tag = "people", security(()), responses(
    (status = 200, body = SessionState),
))]
async fn who_am_i(
    State(gates): State<Gatehouse>,
    Visitor(caller): Visitor,
) -> Result<Json<SessionState>, ApiError> {
    Ok(Json(match caller {
        Some(Caller::User { user, .. }) => SessionState::signed_in(user),
        Some(Caller::Open) => SessionState::opened(),
        None if gates.is_open().await? => SessionState::of_nobody(true, false),
        None => SessionState::of_nobody(false, !gates.has_users().await?),
    }))
}

/// Sign in.
#[utoipa::path(post, path = "/api/session", tag = "people", security(()), request_body = SignIn, responses(
    (status = 200, body = SessionState, description = "signed in: the cookie is set"),
    (status = 401, description = "`wrong_credentials`"),
    (status = 429, description = "`too_many_attempts`: Retry-After says when to come back"),
))]
async fn sign_in(
    State(gates): State<Gatehouse>,
    ClientAddress(address): ClientAddress,
    _: Visitor,
    headers: HeaderMap,
    Json(SignIn { name, password }): Json<SignIn>,
) -> Result<Response, ApiError> {
    gates
        .check_rate_limit(address, &name, &headers, None)
        .await?;
    let Some(user) = gates.recognise(&name, password, address).await? else {
        tracing::warn!(%address, "sign-in refused: wrong name or password");
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "name or password is wrong",
        ));
    };
    let now = clock::utc_now();
    let SetCookie(cookie) = gates.begin_session(&user, &headers, now).await?;
    users::log(&gates, "signed_in", String::new(), user.id, now).await?;
    Ok((cookie, Json(SessionState::signed_in(user))).into_response())
}

/// Sign out.
#[utoipa::path(delete, path = "/api/session", tag = "people", security(()), responses(
    (status = 204, description = "signed out, or never signed in: the cookie is gone"),
))]
async fn sign_out(
    State(gates): State<Gatehouse>,
    Visitor(caller): Visitor,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let SetCookie(cookie) = gates.end_session(&headers).await?;
    if let Some(user) = caller.as_ref().and_then(Caller::user_id) {
        users::log(&gates, "signed_out", String::new(), user, clock::utc_now()).await?;
    }
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Open this browser to a server without users that only its own machine reaches, with the link that
/// the server printed at its start.
#[utoipa::path(post, path = "/api/session/open", tag = "people", security(()), request_body = OpenPage, responses(
    (status = 200, body = SessionState, description = "the browser is open: the cookie is set"),
    (status = 403, description = "`not_allowed`: the link is not this server's, or there are users; `host_refused`: the request came through a proxy, or by a name"),
))]
async fn open(
    State(gates): State<Gatehouse>,
    _: Visitor,
    Json(OpenPage { secret }): Json<OpenPage>,
) -> Result<Response, ApiError> {
    let Some(SetCookie(cookie)) = gates.open_page(&secret).await? else {
        return Err(not_allowed(
            "this link does not open this server: look for the link of its last start, or sign in",
        ));
    };
    Ok((cookie, Json(SessionState::opened())).into_response())
}

/// Make the first admin, with the link that the server printed at its start.
#[utoipa::path(post, path = "/api/setup", tag = "people", security(()), request_body = SetUp, responses(
    (status = 201, body = SessionState, description = "the admin is there, and signed in"),
    (status = 403, description = "`not_allowed`: the link is wrong, too old, or used"),
    (status = 422, description = "`bad_name`, `weak_password`"),
))]
async fn set_up(
    State(gates): State<Gatehouse>,
    _: Visitor,
    headers: HeaderMap,
    Json(body): Json<SetUp>,
) -> Result<Response, ApiError> {
    let now = clock::utc_now();
    if !gates.admits(&body.secret, now) {
        return Err(not_allowed(
            "this link is not good any more: restart the server for a new one",
        ));
    }
    let user = users::add_first(&gates, &body.name, body.password, now).await?;
    let SetCookie(cookie) = gates.begin_session(&user, &headers, now).await?;
    let state = Json(SessionState::signed_in(user));
    Ok((StatusCode::CREATED, cookie, state).into_response())
}
