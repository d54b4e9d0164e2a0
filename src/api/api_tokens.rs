//! `/api/tokens` and `/api/users/{id}/tokens`: ways in for one's own machines, and for somebody's. A
//! token may what its scopes allow of what its user may; it is shown once, when it is made.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::gatehouse::Gatehouse;
use super::{ApiError, ApiState, users};
use crate::access::secret::Secret;
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::limits;
use crate::store::{ApiToken, Scope};

/// `/api/tokens` and `/api/users/{id}/tokens`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(list_of, remove_all_of))
        .routes(routes!(remove_of))
}

/// API tokens of one user, without their secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<ApiToken>,
}

/// What a machine is to be let in for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for, in your words.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// What it may do; at least one thing.
    scopes: Vec<Scope>,
    /// Until when; none: for 90 days, unless it is to have no end.
    expires_at: Option<UtcTime>,
    /// The token is to be good until it is taken back.
    #[serde(default)]
    never_expires: bool,
}

/// A new token. No `Debug`, for the secret's sake.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedToken {
    token: ApiToken,
    /// For `Authorization: Bearer …`. It is kept nowhere: write it down now.
    #[schema(format = Password)]
    secret: String,
}

/// One's API tokens.
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses(
    (status = 200, body = TokenList),
    (status = 403, description = "`not_allowed`: for people"),
))]
async fn list(caller: Caller, State(gates): State<Gatehouse>) -> Result<Json<TokenList>, ApiError> {
    let tokens = gates.store().api_tokens(caller.require_person()?.id);
    let tokens = tokens.await?;
    Ok(Json(TokenList { tokens }))
}

/// Let a machine in.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = NewToken, responses(
    (status = 201, body = AddedToken, description = "the only answer that holds the secret"),
    (status = 403, description = "`not_allowed`: for people; `metrics` for admins; `confirm_password`"),
    (status = 409, description = "`too_many`"),
    (status = 422, description = "`bad_name`, `no_scopes`, `bad_expiry`"),
))]
async fn add(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<AddedToken>), ApiError> {
    let user = caller.require_person()?.id;
    let now = clock::utc_now();
    let name = users::tidy_name(&new.name)?;
    let mut scopes = new.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let unusable = |code, message| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    if scopes.is_empty() {
        return Err(unusable("no_scopes", "say what the token may do"));
    }
    let expires_at = match (new.expires_at, new.never_expires) {
        (Some(end), false) if end <= now => {
            return Err(unusable("bad_expiry", "the token would be over already"));
        }
        (Some(_), true) => {
            let message =
                "give an end (expiresAt) or say that there is none (neverExpires), not both";
            return Err(unusable("bad_expiry", message));
        }
        (Some(end), false) => Some(end),
        (None, true) => None,
        (None, false) => Some(now.plus(limits::API_TOKEN_LIFE_DEFAULT)),
    };
    for scope in &scopes {
        caller.require(*scope)?;
    }
    gates.require_confirmed(&caller, now).await?;
    let secret = Secret::api_token();
    let hash = secret.hash();
    let added = gates
        .store()
        .add_api_token(&hash, user, &name, &scopes, expires_at, now);
    let token = added.await?;
    users::log(&gates, "api_token_added", about(token.id), user, now).await?;
    let secret = secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(AddedToken { token, secret })))
}

/// Take a token back.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people",
    params(("id" = i64, Path, description = "the token")), responses(
    (status = 204, description = "the token is worth nothing any more"),
    (status = 403, description = "`not_allowed`: for people"),
    (status = 404, description = "`no_such_token`: you have no such token"),
))]
async fn remove(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let user = caller.require_person()?.id;
    take_back(&gates, &caller, user, id).await
}

/// Somebody's API tokens.
#[utoipa::path(get, path = "/api/users/{id}/tokens", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 200, body = TokenList),
    (status = 403, description = "`not_allowed`: for admins"),
    (status = 404, description = "`no_such_user`"),
))]
async fn list_of(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Path(id): Path<UserId>,
) -> Result<Json<TokenList>, ApiError> {
    let user = users::for_admin(&gates, &caller, id).await?;
    let tokens = gates.store().api_tokens(user.id).await?;
    Ok(Json(TokenList { tokens }))
}

/// Take all of somebody's tokens back.
#[utoipa::path(delete, path = "/api/users/{id}/tokens", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "none of the tokens is worth anything any more"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`"),
))]
async fn remove_all_of(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    let now = clock::utc_now();
    let user = users::for_confirmed_admin(&gates, &caller, id, now).await?;
    let removed = gates.store().remove_api_tokens(user.id).await?;
    if removed > 0 {
        gates.revoke();
        let detail = format!("{removed} API tokens of user {}", id.0);
        users::log(&gates, "api_token_removed", detail, caller.user_id(), now).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Take one of somebody's tokens back.
#[utoipa::path(delete, path = "/api/users/{id}/tokens/{token}", tag = "people", params(
    ("id" = i64, Path, description = "the user"),
    ("token" = i64, Path, description = "the token"),
), responses(
    (status = 204, description = "the token is worth nothing any more"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`, `no_such_token`"),
))]
async fn remove_of(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Path((id, token)): Path<(UserId, i64)>,
) -> Result<StatusCode, ApiError> {
    let user = users::for_confirmed_admin(&gates, &caller, id, clock::utc_now()).await?;
    take_back(&gates, &caller, user.id, token).await
}

/// Takes a token of this user back.
async fn take_back(
    gates: &Gatehouse,
    caller: &Caller,
    user: UserId,
    token: i64,
) -> Result<StatusCode, ApiError> {
    if !gates.store().remove_api_token(token, user).await? {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_token",
            "this user has no such API token",
        ));
    }
    gates.revoke();
    let by = caller.user_id();
    let detail = if by == Some(user) {
        about(token)
    } else {
        format!("{} of user {}", about(token), user.0)
    };
    users::log(gates, "api_token_removed", detail, by, clock::utc_now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn about(token: i64) -> String {
    format!("API token {token}")
}
