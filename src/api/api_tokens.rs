//! `/api/tokens` and `/api/users/{id}/tokens`: ways in for one's own machines, and for somebody's. A
//! token may what its scopes allow of what its user may; it is shown once, when it is made.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth_service::AuthService;
use super::caller::Caller;
use super::{ApiError, ApiState, users};
use crate::access::secret::Secret;
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::limits;
use crate::store::{ApiToken, Scope};

/// `/api/tokens` and `/api/users/{id}/tokens`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_own_tokens, add_token))
        .routes(routes!(remove_own_token))
        .routes(routes!(list_user_tokens, remove_user_tokens))
        .routes(routes!(remove_user_token))
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
#[schema(as = AddedToken)]
pub(super) struct CreatedApiToken {
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
async fn list_own_tokens(
    caller: Caller,
    State(auth): State<AuthService>,
) -> Result<Json<TokenList>, ApiError> {
    let tokens = auth.store().api_tokens(caller.require_signed_in_user()?.id);
    let tokens = tokens.await?;
    Ok(Json(TokenList { tokens }))
}

/// Let a machine in.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = NewToken, responses(
    (status = 201, body = CreatedApiToken, description = "the only answer that holds the secret"),
    (status = 403, description = "`not_allowed`: for people; `metrics` for admins; `confirm_password`"),
    (status = 409, description = "`too_many`"),
    (status = 422, description = "`bad_name`, `no_scopes`, `bad_expiry`"),
))]
async fn add_token(
    caller: Caller,
    State(auth): State<AuthService>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedApiToken>), ApiError> {
    let user = caller.require_signed_in_user()?.id;
    let now = clock::utc_now();
    let name = users::parse_name(&new.name)?;
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
        caller.require_scope(*scope)?;
    }
    auth.require_recent_confirmation(&caller, now).await?;
    let secret = Secret::api_token();
    let hash = secret.hash();
    let added = auth
        .store()
        .add_api_token(&hash, user, &name, &scopes, expires_at, now);
    let token = added.await?;
    users::record_audit_entry(&auth, "api_token_added", token_label(token.id), user, now).await?;
    let secret = secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(CreatedApiToken { token, secret })))
}

/// Take a token back.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people",
    params(("id" = i64, Path, description = "the token")), responses(
    (status = 204, description = "the token is worth nothing any more"),
    (status = 403, description = "`not_allowed`: for people"),
    (status = 404, description = "`no_such_token`: you have no such token"),
))]
async fn remove_own_token(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let user = caller.require_signed_in_user()?.id;
    revoke_token(&auth, &caller, user, id).await
}

/// Somebody's API tokens.
#[utoipa::path(get, path = "/api/users/{id}/tokens", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 200, body = TokenList),
    (status = 403, description = "`not_allowed`: for admins"),
    (status = 404, description = "`no_such_user`"),
))]
async fn list_user_tokens(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<Json<TokenList>, ApiError> {
    let user = users::find_user_as_admin(&auth, &caller, id).await?;
    let tokens = auth.store().api_tokens(user.id).await?;
    Ok(Json(TokenList { tokens }))
}

/// Take all of somebody's tokens back.
#[utoipa::path(delete, path = "/api/users/{id}/tokens", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "none of the tokens is worth anything any more"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`"),
))]
async fn remove_user_tokens(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    let now = clock::utc_now();
    let user = users::find_user_as_confirmed_admin(&auth, &caller, id, now).await?;
    let removed = auth.store().remove_api_tokens(user.id).await?;
    if removed > 0 {
        auth.notify_revocation();
        let detail = format!("{removed} API tokens of user {}", id.0);
        users::record_audit_entry(&auth, "api_token_removed", detail, caller.user_id(), now)
            .await?;
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
async fn remove_user_token(
    caller: Caller,
    State(auth): State<AuthService>,
    Path((id, token)): Path<(UserId, i64)>,
) -> Result<StatusCode, ApiError> {
    let user = users::find_user_as_confirmed_admin(&auth, &caller, id, clock::utc_now()).await?;
    revoke_token(&auth, &caller, user.id, token).await
}

/// Takes a token of this user back.
async fn revoke_token(
    auth: &AuthService,
    caller: &Caller,
    user: UserId,
    token: i64,
) -> Result<StatusCode, ApiError> {
    if !auth.store().remove_api_token(token, user).await? {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_token",
            "this user has no such API token",
        ));
    }
    auth.notify_revocation();
    let by = caller.user_id();
    let detail = if by == Some(user) {
        token_label(token)
    } else {
        format!("{} of user {}", token_label(token), user.0)
    };
    users::record_audit_entry(auth, "api_token_removed", detail, by, clock::utc_now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn token_label(token: i64) -> String {
    format!("API token {token}")
}
