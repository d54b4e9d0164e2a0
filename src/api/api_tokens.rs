//! `/api/tokens` and `/api/users/{id}/tokens`: API tokens of the current user, or, for admins, of
//! any user. A token has the rights of its user, limited to its scopes. Its secret is shown once,
//! when it is created.

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

/// Returns the routes of `/api/tokens` and `/api/users/{id}/tokens`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_own_tokens, add_token))
        .routes(routes!(remove_own_token))
        .routes(routes!(list_user_tokens, remove_user_tokens))
        .routes(routes!(remove_user_token))
}

/// The API tokens of one user, without their secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<ApiToken>,
}

/// A new API token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewToken {
    /// A name that describes its use.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// The allowed actions; at least one.
    scopes: Vec<Scope>,
    /// When it expires; absent: after 90 days, unless `neverExpires` is set.
    expires_at: Option<UtcTime>,
    /// The token is valid until it is revoked.
    #[serde(default)]
    never_expires: bool,
}

/// A new token. No `Debug`, because it holds the secret.
#[derive(Serialize, ToSchema)]
#[schema(as = AddedToken)]
pub(super) struct CreatedApiToken {
    token: ApiToken,
    /// For `Authorization: Bearer …`. The server keeps only its hash: write it down now.
    #[schema(format = Password)]
    secret: String,
}

/// List your API tokens.
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses(
    (status = 200, body = TokenList),
    (status = 403, description = "`not_allowed`: not for API tokens"),
))]
async fn list_own_tokens(
    caller: Caller,
    State(auth): State<AuthService>,
) -> Result<Json<TokenList>, ApiError> {
    let tokens = auth.store().api_tokens(caller.require_signed_in_user()?.id);
    let tokens = tokens.await?;
    Ok(Json(TokenList { tokens }))
}

/// Create an API token.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = NewToken, responses(
    (status = 201, body = CreatedApiToken, description = "the only response that contains the secret"),
    (status = 403, description = "`not_allowed`: not for API tokens, and the scope `metrics` only for admins; `confirm_password`"),
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
        return Err(unusable(
            "no_scopes",
            "the token has no scopes: name at least one in `scopes`",
        ));
    }
    let expires_at = match (new.expires_at, new.never_expires) {
        (Some(end), false) if end <= now => {
            return Err(unusable(
                "bad_expiry",
                "expiresAt is in the past: choose a later time",
            ));
        }
        (Some(_), true) => {
            let message = "expiresAt and neverExpires exclude each other: send only one of them";
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

/// Revoke one of your API tokens.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people",
    params(("id" = i64, Path, description = "the token")), responses(
    (status = 204, description = "the token is no longer accepted"),
    (status = 403, description = "`not_allowed`: not for API tokens"),
    (status = 404, description = "`no_such_token`"),
))]
async fn remove_own_token(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let user = caller.require_signed_in_user()?.id;
    revoke_token(&auth, &caller, user, id).await
}

/// List a user's API tokens.
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

/// Revoke all API tokens of a user.
#[utoipa::path(delete, path = "/api/users/{id}/tokens", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "the tokens are no longer accepted"),
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

/// Revoke one API token of a user.
#[utoipa::path(delete, path = "/api/users/{id}/tokens/{token}", tag = "people", params(
    ("id" = i64, Path, description = "the user"),
    ("token" = i64, Path, description = "the token"),
), responses(
    (status = 204, description = "the token is no longer accepted"),
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

/// Revokes an API token of this user. 404: `no_such_token`.
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
            "this user has no such API token: reload the list",
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
