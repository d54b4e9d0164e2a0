//! `/api/users`: the users. Admins add, change and remove them; all users change their own
//! password, with the old one. A password that an admin sets is temporary: its user has to choose
//! another first.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth_service::{AuthService, SetCookie};
use super::caller::{AuthenticatedCaller, Caller, ClientAddress};
use super::{ApiError, ApiState};
use crate::access::password::Password;
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::ids::user_name;
use crate::store::{Role, StoreError, User};

/// Returns the routes of `/api/users`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_users, add_user))
        .routes(routes!(edit_user, remove_user))
}

/// Every user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserList {
    users: Vec<User>,
}

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Temporary: the user has to choose another at the first sign-in. The first user's password is
    /// not temporary.
    password: Password,
    /// Ignored for the first user, who is always an admin.
    role: Role,
}

/// The fields to change; absent ones keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UserEdit {
    /// Only admins can set it.
    role: Option<Role>,
    /// The new password. All sessions of the user end. A password that an admin sets is temporary,
    /// and also ends the user's API tokens.
    password: Option<Password>,
    /// The current password. Required for one's own, except right after signing in with a temporary
    /// password.
    old_password: Option<Password>,
}

/// List all users.
#[utoipa::path(get, path = "/api/users", tag = "people", responses(
    (status = 200, body = UserList),
    (status = 403, description = "`not_allowed`: for admins"),
))]
async fn list_users(
    caller: Caller,
    State(auth): State<AuthService>,
) -> Result<Json<UserList>, ApiError> {
    caller.require_admin()?;
    let users = auth.store().users().await?;
    Ok(Json(UserList { users }))
}

/// Add a user.
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = NewUser, responses(
    (status = 201, body = User),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 409, description = "`name_taken`, `too_many`"),
    (status = 422, description = "`bad_name`, `weak_password`"),
))]
async fn add_user(
    caller: Caller,
    State(auth): State<AuthService>,
    Json(NewUser {
        name,
        password,
        role,
    }): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    caller.require_admin()?;
    let now = clock::utc_now();
    let Some(admin) = caller.user_id() else {
        let user = add_first_admin(&auth, &name, password, now).await?;
        return Ok((StatusCode::CREATED, Json(user)));
    };
    auth.require_recent_confirmation(&caller, now).await?;
    let name = parse_name(&name)?;
    let hash = auth.hash_new_password(password, &name).await?;
    let user = auth
        .store()
        .add_user_with_temporary_password(&name, &hash, role, now)
        .await?;
    record_audit_entry(&auth, "user_added", user_label(user.id), admin, now).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Change a user's role or password, or your own password.
#[utoipa::path(patch, path = "/api/users/{id}", tag = "people", request_body = UserEdit,
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 200, body = User),
    (status = 403, description = "`not_allowed`, `wrong_password`, `confirm_password`"),
    (status = 404, description = "`no_such_user`"),
    (status = 409, description = "`last_admin`"),
    (status = 422, description = "`weak_password`"),
    (status = 429, description = "`too_many_attempts`"),
))]
async fn edit_user(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    Path(id): Path<UserId>,
    headers: HeaderMap,
    Json(edit): Json<UserEdit>,
) -> Result<Response, ApiError> {
    let me = caller.require_signed_in_user()?;
    let now = clock::utc_now();
    let user = if me.id == id {
        me.clone()
    } else {
        find_user_as_admin(&auth, &caller, id).await?
    };
    if me.id != id || edit.role.is_some() {
        caller.require_no_pending_action(&auth)?;
        caller.require_admin()?;
        auth.require_recent_confirmation(&caller, now).await?;
    }
    let mut hash = None;
    if let Some(password) = edit.password {
        if me.id == id {
            let session = caller.session_hash().copied();
            auth.check_sign_in_rate(address, &user.name, &headers, session)
                .await?;
            check_old_password(&auth, &caller, &user, edit.old_password, &password, now).await?;
        }
        hash = Some(auth.hash_new_password(password, &user.name).await?);
    }
    if let Some(role) = edit.role {
        auth.store().set_role(id, role).await?;
        auth.notify_revocation();
        record_audit_entry(&auth, "role_changed", user_label(id), me.id, now).await?;
    }
    let mut cookie = None;
    if let Some(hash) = hash {
        if me.id == id {
            let changed = auth.change_password(id, &hash, address, &headers, now);
            let SetCookie(header) = changed.await?;
            cookie = Some(header);
        } else {
            auth.reset_password(id, &hash).await?;
        }
        record_audit_entry(&auth, "password_changed", user_label(id), me.id, now).await?;
    }
    let user = auth.store().user(id).await?.ok_or(StoreError::NoSuchUser)?;
    Ok(match cookie {
        Some(cookie) => (cookie, Json(user)).into_response(),
        None => Json(user).into_response(),
    })
}

/// Rejects a new password without the old one, except right after signing in with a temporary
/// password, and a new password that equals the temporary one.
async fn check_old_password(
    auth: &AuthService,
    caller: &Caller,
    user: &User,
    old: Option<Password>,
    new: &Password,
    now: UtcTime,
) -> Result<(), ApiError> {
    let is_known = user.password_is_temporary && auth.is_recently_confirmed(caller, now).await?;
    if !(is_known && old.is_none()) {
        let old = old.unwrap_or_else(|| String::new().into());
        if !auth.is_current_password(user, old).await? {
            let message = "the old password is wrong: enter your current password";
            let status = StatusCode::FORBIDDEN;
            return Err(ApiError::new(status, "wrong_password", message));
        }
    }
    if user.password_is_temporary && auth.is_current_password(user, new.clone()).await? {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "weak_password",
            "this is the temporary password, which the admin knows: choose another",
        ));
    }
    Ok(())
}

/// Returns the user `id` to an admin in a session. 404: `no_such_user`.
pub(super) async fn find_user_as_admin(
    auth: &AuthService,
    caller: &Caller,
    id: UserId,
) -> Result<User, ApiError> {
    caller.require_signed_in_user()?;
    caller.require_admin()?;
    let user = auth.store().user(id).await?;
    Ok(user.ok_or(StoreError::NoSuchUser)?)
}

/// Returns the user `id` to an admin in a session who has confirmed their identity recently, for
/// sensitive actions.
pub(super) async fn find_user_as_confirmed_admin(
    auth: &AuthService,
    caller: &Caller,
    id: UserId,
    now: UtcTime,
) -> Result<User, ApiError> {
    let user = find_user_as_admin(auth, caller, id).await?;
    auth.require_recent_confirmation(caller, now).await?;
    Ok(user)
}

/// Remove a user. Calls that they placed are hung up; past calls stay, visible to admins only.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "the user, their sessions and API tokens are removed"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`"),
    (status = 409, description = "`last_admin`"),
))]
async fn remove_user(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    caller.require_admin()?;
    let admin = caller.require_signed_in_user()?.id;
    auth.require_recent_confirmation(&caller, clock::utc_now())
        .await?;
    let removed = auth.remove_user(id, admin).await;
    auth.notify_revocation();
    removed?;
    // An admin who removed their own account no longer exists.
    let by = (id != admin).then_some(admin);
    record_audit_entry(&auth, "user_removed", user_label(id), by, clock::utc_now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds the first user, an admin, if there are no users.
pub(super) async fn add_first_admin(
    auth: &AuthService,
    name: &str,
    password: Password,
    now: UtcTime,
) -> Result<User, ApiError> {
    let name = parse_name(name)?;
    let hash = auth.hash_new_password(password, &name).await?;
    let user = auth.store().add_first_user(&name, &hash, now).await?;
    auth.complete_first_run();
    record_audit_entry(auth, "user_added", user_label(user.id), user.id, now).await?;
    Ok(user)
}

/// Writes an audit entry about users, sessions or credentials; `by` is the author.
pub(super) async fn record_audit_entry(
    auth: &AuthService,
    kind: &'static str,
    detail: String,
    by: impl Into<Option<UserId>>,
    now: UtcTime,
) -> Result<(), ApiError> {
    let noted = auth
        .calls()
        .write_audit_event(kind, &detail, by.into(), now);
    Ok(noted.await?)
}

fn user_label(user: UserId) -> String {
    format!("user {}", user.0)
}

/// Parses and normalises a user name. 422: `bad_name`.
pub(super) fn parse_name(text: &str) -> Result<String, ApiError> {
    user_name::parse(text).map_err(|bad| {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_name",
            bad.to_string(),
        )
    })
}
