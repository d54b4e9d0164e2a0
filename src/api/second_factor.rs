//! `/api/second-factor`: the second factors of a user, set up and removed by the user; and
//! `/api/users/{id}/second-factor`, where an admin resets those of a user who lost them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth_service::AuthService;
use super::caller::{AuthenticatedCaller, Caller};
use super::{ApiError, ApiState, users};
use crate::access::secret::Secret;
use crate::access::totp::QrPath;
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::store::{Passkey, User};

/// Returns the routes of `/api/second-factor`, and the one by which an admin resets them.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(read_second_factor))
        .routes(routes!(begin_totp_setup, finish_totp_setup, remove_totp))
        .routes(routes!(begin_passkey_registration))
        .routes(routes!(finish_passkey_registration))
        .routes(routes!(remove_passkey))
        .routes(routes!(renew_recovery_codes))
        .routes(routes!(reset_second_factor))
}

/// The second factors of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecondFactor {
    /// When the authenticator app was set up; `null`: no app.
    totp_since: Option<UtcTime>,
    /// The user's passkeys, the oldest first.
    passkeys: Vec<PasskeyInfo>,
    /// The number of unused recovery codes.
    recovery_codes_left: u32,
    /// The host name that passkeys are bound to: the page has to be open under it. `null`: this
    /// server offers no passkeys.
    passkey_host: Option<String>,
    /// Why this server offers no passkeys.
    no_passkeys: Option<String>,
    /// Whether the server's configuration requires a second factor of this user.
    required: bool,
}

/// A passkey, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PasskeyInfo {
    /// The passkey's id, which never changes.
    id: i64,
    /// The name that its user chose.
    name: String,
    /// When it was created.
    created_at: UtcTime,
    /// When it was last used.
    used_at: Option<UtcTime>,
}

impl From<Passkey> for PasskeyInfo {
    fn from(passkey: Passkey) -> Self {
        Self {
            id: passkey.id,
            name: passkey.name,
            created_at: passkey.created_at,
            used_at: passkey.used_at,
        }
    }
}

/// An authenticator app that is being set up. No `Debug`, because it holds secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct TotpSetup {
    /// Identifies this setup: send it with the first code.
    #[schema(format = Password)]
    token: String,
    /// The secret to type into an app that cannot scan the QR code.
    #[schema(format = Password)]
    secret: String,
    /// The content of the QR code: an `otpauth` URI.
    #[schema(format = Password)]
    uri: String,
    /// The QR code.
    qr: QrPath,
}

/// The first code of an authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TotpProof {
    #[schema(format = Password)]
    token: String,
    code: String,
}

/// A second factor was added. No `Debug`, because it holds recovery codes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FactorAdded {
    /// New recovery codes; `null` if the user has some. The server keeps only their hashes: write
    /// them down now.
    recovery_codes: Option<Vec<String>>,
}

/// Options for the browser to create, or to use, a passkey.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PasskeyOptions {
    /// Identifies this challenge: send it with the passkey's answer.
    #[schema(format = Password)]
    token: String,
    /// Options for `navigator.credentials`, in the form that `PublicKeyCredential.parse…FromJSON`
    /// reads.
    #[schema(value_type = Object)]
    options: Value,
}

impl From<(Secret, Value)> for PasskeyOptions {
    fn from((token, options): (Secret, Value)) -> Self {
        let token = token.expose().to_owned();
        Self { token, options }
    }
}

/// A passkey that the browser has created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPasskey)]
pub(super) struct PasskeySetup {
    #[schema(format = Password)]
    token: String,
    /// The name that its user chooses.
    name: String,
    /// The result of `PublicKeyCredential.toJSON`.
    #[schema(value_type = Object)]
    credential: Value,
}

/// Recovery codes. No `Debug`, because they are secrets.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecoveryCodes {
    /// Each is valid once. The server keeps only hashes: write them down now.
    recovery_codes: Vec<String>,
}

/// Get your second factors.
#[utoipa::path(get, path = "/api/second-factor", tag = "people", responses(
    (status = 200, body = SecondFactor),
    (status = 403, description = "`not_allowed`: not for API tokens"),
))]
async fn read_second_factor(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<SecondFactor>, ApiError> {
    let user = caller.require_signed_in_user()?;
    let host = auth.passkey_host();
    let passkeys = auth.store().passkeys(user.id).await?;
    Ok(Json(SecondFactor {
        totp_since: auth
            .store()
            .totp(user.id)
            .await?
            .map(|totp| totp.created_at),
        passkeys: passkeys.into_iter().map(PasskeyInfo::from).collect(),
        recovery_codes_left: auth.store().recovery_codes_left(user.id).await?,
        passkey_host: host.ok().map(str::to_owned),
        no_passkeys: host.err().map(|why| why.to_string()),
        required: auth.requires_second_factor(user),
    }))
}

/// Start to set up an authenticator app. It takes effect after its first code.
#[utoipa::path(post, path = "/api/second-factor/totp", tag = "people", responses(
    (status = 200, body = TotpSetup),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`"),
))]
async fn begin_totp_setup(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<TotpSetup>, ApiError> {
    let user = require_confirmed_user(&auth, &caller, clock::utc_now()).await?;
    let (token, secret) = auth.begin_totp_setup(user.id);
    Ok(Json(TotpSetup {
        token: token.expose().to_owned(),
        secret: secret.to_base32(),
        uri: secret.otpauth_uri(&user.name),
        qr: secret.qr_path(&user.name),
    }))
}

/// Set up the authenticator app with its first code. It replaces the previous one.
#[utoipa::path(put, path = "/api/second-factor/totp", tag = "people", request_body = TotpProof, responses(
    (status = 200, body = FactorAdded),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`, `wrong_code`"),
    (status = 409, description = "`begin_again`"),
))]
async fn finish_totp_setup(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
    Json(proof): Json<TotpProof>,
) -> Result<Json<FactorAdded>, ApiError> {
    let now = clock::utc_now();
    let user = require_confirmed_user(&auth, &caller, now).await?;
    let finished = auth.finish_totp_setup(user.id, &proof.token, &proof.code, now);
    let recovery_codes = finished.await?;
    record_audit_entry(&auth, "second_factor_added", "authenticator app", user, now).await?;
    Ok(Json(FactorAdded { recovery_codes }))
}

/// Remove the authenticator app.
#[utoipa::path(delete, path = "/api/second-factor/totp", tag = "people", responses(
    (status = 204, description = "the app's codes are no longer accepted"),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`"),
    (status = 404, description = "`no_such_factor`"),
))]
async fn remove_totp(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<StatusCode, ApiError> {
    let now = clock::utc_now();
    let user = require_confirmed_user(&auth, &caller, now).await?;
    if !auth.store().remove_totp(user.id).await? {
        return Err(no_such_factor());
    }
    auth.notify_revocation();
    record_audit_entry(
        &auth,
        "second_factor_removed",
        "authenticator app",
        user,
        now,
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start to create a passkey.
#[utoipa::path(post, path = "/api/second-factor/passkeys/options", tag = "people", responses(
    (status = 200, body = PasskeyOptions),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`"),
    (status = 409, description = "`passkeys_not_offered`"),
))]
async fn begin_passkey_registration(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<PasskeyOptions>, ApiError> {
    let user = require_confirmed_user(&auth, &caller, clock::utc_now()).await?;
    Ok(Json(auth.begin_passkey_registration(user).await?.into()))
}

/// Store a passkey that the browser has created.
#[utoipa::path(post, path = "/api/second-factor/passkeys", tag = "people", request_body = PasskeySetup, responses(
    (status = 201, body = FactorAdded),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`, `wrong_code`"),
    (status = 409, description = "`begin_again`, `passkey_known`, `too_many`, `passkeys_not_offered`"),
    (status = 422, description = "`bad_name`"),
))]
async fn finish_passkey_registration(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
    Json(new): Json<PasskeySetup>,
) -> Result<(StatusCode, Json<FactorAdded>), ApiError> {
    let now = clock::utc_now();
    let user = require_confirmed_user(&auth, &caller, now).await?;
    let name = users::parse_name(&new.name)?;
    let finished =
        auth.finish_passkey_registration(user.id, &new.token, &name, new.credential, now);
    let (passkey, recovery_codes) = finished.await?;
    let detail = format!("passkey {}", passkey.id);
    record_audit_entry(&auth, "second_factor_added", &detail, user, now).await?;
    Ok((StatusCode::CREATED, Json(FactorAdded { recovery_codes })))
}

/// Remove a passkey.
#[utoipa::path(delete, path = "/api/second-factor/passkeys/{id}", tag = "people",
    params(("id" = i64, Path, description = "the passkey")), responses(
    (status = 204, description = "the passkey is no longer accepted"),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`"),
    (status = 404, description = "`no_such_factor`"),
))]
async fn remove_passkey(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let now = clock::utc_now();
    let user = require_confirmed_user(&auth, &caller, now).await?;
    if !auth.store().remove_passkey(id, user.id).await? {
        return Err(no_such_factor());
    }
    auth.notify_revocation();
    let detail = format!("passkey {id}");
    record_audit_entry(&auth, "second_factor_removed", &detail, user, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace your recovery codes. The old ones are no longer accepted.
#[utoipa::path(post, path = "/api/second-factor/recovery-codes", tag = "people", responses(
    (status = 200, body = RecoveryCodes),
    (status = 403, description = "`not_allowed`: not for API tokens; `confirm_password`"),
    (status = 404, description = "`no_such_factor`: recovery codes need a second factor that they replace"),
))]
async fn renew_recovery_codes(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    let now = clock::utc_now();
    let user = require_confirmed_user(&auth, &caller, now).await?;
    if !user.has_second_factor {
        return Err(no_such_factor());
    }
    let recovery_codes = auth.renew_recovery_codes(user.id).await?;
    record_audit_entry(&auth, "recovery_codes_renewed", "", user, now).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Remove the second factors of a user who lost them: the password is enough to sign in, until they
/// set up another. Their sessions end.
#[utoipa::path(delete, path = "/api/users/{id}/second-factor", tag = "people",
    params(("id" = i64, Path, description = "the user")), responses(
    (status = 204, description = "the user has no second factor"),
    (status = 403, description = "`not_allowed`: for admins; `confirm_password`"),
    (status = 404, description = "`no_such_user`, `no_such_factor`"),
))]
async fn reset_second_factor(
    caller: Caller,
    State(auth): State<AuthService>,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    let now = clock::utc_now();
    let user = users::find_user_as_confirmed_admin(&auth, &caller, id, now).await?;
    if !auth.reset_second_factors(user.id).await? {
        return Err(no_such_factor());
    }
    if caller.user_id() != Some(id) {
        auth.end_user_sessions(id).await?;
    }
    let detail = format!("user {}", id.0);
    let by = caller.user_id();
    users::record_audit_entry(&auth, "second_factor_reset", detail, by, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the signed-in user, if they have confirmed their identity recently.
async fn require_confirmed_user<'a>(
    auth: &AuthService,
    caller: &'a Caller,
    now: UtcTime,
) -> Result<&'a User, ApiError> {
    let user = caller.require_signed_in_user()?;
    auth.require_recent_confirmation(caller, now).await?;
    Ok(user)
}

async fn record_audit_entry(
    auth: &AuthService,
    kind: &'static str,
    detail: &str,
    user: &User,
    now: UtcTime,
) -> Result<(), ApiError> {
    users::record_audit_entry(auth, kind, detail.to_owned(), user.id, now).await
}

fn no_such_factor() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_factor",
        "there is no such second factor: reload the list",
    )
}
