//! `/api/session`, `/api/session/open` and `/api/setup`: the current user, sign-in (in two steps
//! for users with a second factor, or with a passkey only), confirmation of the user's identity,
//! sign-out, opening the page of a server without users, and setup of the first admin.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth_service::{AuthService, FactorKind, FactorProof, SetCookie};
use super::caller::{AuthenticatedCaller, Caller, ClientAddress, OptionalCaller, not_allowed};
use super::second_factor::PasskeyOptions;
use super::{ApiError, ApiState, users};
use crate::access::password::Password;
use crate::clock::{self, UtcTime};
use crate::store::User;

/// Returns the routes of `/api/session`, `/api/session/open` and `/api/setup`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(read_session, sign_in, sign_out))
        .routes(routes!(open_page))
        .routes(routes!(finish_second_step))
        .routes(routes!(begin_passkey_sign_in))
        .routes(routes!(sign_in_with_passkey))
        .routes(routes!(confirm_identity))
        .routes(routes!(begin_passkey_confirmation))
        .routes(routes!(set_up_first_admin))
}

/// The sign-in state of this browser.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own in the JSON"
)]
#[schema(as = SessionState)]
pub(super) struct SignInState {
    /// The user who is signed in, if any.
    user: Option<User>,
    /// No sign-in is needed: the server has no users, accepts only clients on its own machine, and
    /// this browser has opened the link that the server printed.
    open: bool,
    /// The server has no users and accepts only clients on its own machine: this browser has to
    /// open the link that the server printed at its start.
    link_needed: bool,
    /// There are no users: the link that the server printed at its start creates the first.
    setup_needed: bool,
    /// The user must set up a second factor first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    second_factor_needed: bool,
    /// The host name that passkeys sign in under, sent to browsers that are not signed in. Absent
    /// when no user has a passkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    passkey_host: Option<String>,
}

impl SignInState {
    fn for_user(auth: &AuthService, user: User) -> Self {
        Self {
            second_factor_needed: auth.requires_second_factor(&user) && !user.has_second_factor,
            user: Some(user),
            ..Self::signed_out(false, false)
        }
    }

    fn with_page_key() -> Self {
        Self {
            open: true,
            ..Self::signed_out(false, false)
        }
    }

    fn signed_out(link_needed: bool, setup_needed: bool) -> Self {
        Self {
            user: None,
            open: false,
            link_needed,
            setup_needed,
            second_factor_needed: false,
            passkey_host: None,
        }
    }
}

/// The password is right, and a second factor is required. No `Debug`, because it holds a token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecondStep {
    /// Identifies this sign-in: send it with the second factor, within 5 minutes.
    #[schema(format = Password)]
    token: String,
    /// Whether a code of an authenticator app is accepted. A recovery code is always accepted.
    has_app: bool,
    /// Request options for `navigator.credentials.get`, in the form that
    /// `PublicKeyCredential.parseRequestOptionsFromJSON` reads. `null`: the user has no passkey.
    #[schema(value_type = Option<Object>)]
    passkey_options: Option<Value>,
}

/// A second factor: exactly one of `code` and `passkey`. No `Debug`, because it holds secrets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondFactorProof {
    #[schema(format = Password)]
    token: String,
    /// A code of an authenticator app, or a recovery code.
    code: Option<String>,
    /// The result of `PublicKeyCredential.toJSON`.
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
}

/// A passkey's assertion. No `Debug`, because it holds a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeyProof {
    #[schema(format = Password)]
    token: String,
    /// The result of `PublicKeyCredential.toJSON`.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A proof of identity within a session: exactly one of the three. No `Debug`, because it holds
/// secrets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Proof)]
pub(super) struct IdentityProof {
    password: Option<Password>,
    /// A code of an authenticator app, or a recovery code.
    code: Option<String>,
    passkey: Option<PasskeyProof>,
}

/// Name and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    name: String,
    password: Password,
}

/// The page key of a server without users.
// No `Debug`, because it holds a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenPage {
    /// From the link that the server printed: the part after `#`.
    #[schema(format = Password)]
    secret: String,
}

/// The first admin. No `Debug`, because it holds secrets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUp {
    /// From the link that the server printed: the part after `#`.
    #[schema(format = Password)]
    secret: String,
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    password: Password,
}

/// Get the current user, or the next step to sign in.
#[utoipa::path(get, path = "/api/session", tag = "people", security(()), responses(
    (status = 200, body = SignInState),
))]
async fn read_session(
    State(auth): State<AuthService>,
    OptionalCaller(caller): OptionalCaller,
) -> Result<Json<SignInState>, ApiError> {
    Ok(Json(match caller {
        Some(Caller::User { user, .. }) => SignInState::for_user(&auth, user),
        Some(Caller::PageKey) => SignInState::with_page_key(),
        None if auth.accepts_page_key().await? => SignInState::signed_out(true, false),
        None => SignInState {
            passkey_host: auth.passkey_host_in_use().await?,
            ..SignInState::signed_out(false, !auth.has_users().await?)
        },
    }))
}

/// Sign in. For a user with a second factor this is the first of two steps.
#[utoipa::path(post, path = "/api/session", tag = "people", security(()), request_body = SignIn, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 202, body = SecondStep, description = "the password is right: send a second factor to \
                                                     POST /api/session/factor"),
    (status = 401, description = "`wrong_credentials`"),
    (status = 429, description = "`too_many_attempts`: Retry-After says how long to wait"),
))]
async fn sign_in(
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    _: OptionalCaller,
    headers: HeaderMap,
    Json(SignIn { name, password }): Json<SignIn>,
) -> Result<Response, ApiError> {
    auth.check_sign_in_rate(address, &name, &headers, None)
        .await?;
    let Some(user) = auth.verify_password(&name, password, address).await? else {
        tracing::warn!(%address, "sign-in refused: wrong name or password");
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "the name or the password is wrong",
        ));
    };
    if user.has_second_factor {
        let pending = auth.begin_second_factor(&user).await?;
        let step = SecondStep {
            token: pending.token.expose().to_owned(),
            has_app: auth.store().totp(user.id).await?.is_some(),
            passkey_options: pending.passkey_options,
        };
        return Ok((StatusCode::ACCEPTED, Json(step)).into_response());
    }
    let verified = VerifiedUser { user, factor: None };
    verified
        .begin_session(&auth, address, &headers, clock::utc_now())
        .await
}

/// A user who has proved their identity.
struct VerifiedUser {
    user: User,
    factor: Option<FactorKind>,
}

impl VerifiedUser {
    /// Starts the session.
    async fn begin_session(
        self,
        auth: &AuthService,
        address: IpAddr,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<Response, ApiError> {
        let begun = auth.begin_session(&self.user, address, headers, now);
        let SetCookie(cookie) = begun.await?;
        let detail = self.factor.map_or("", FactorKind::log_text).to_owned();
        users::record_audit_entry(auth, "signed_in", detail, self.user.id, now).await?;
        let state = SignInState::for_user(auth, self.user);
        Ok((cookie, Json(state)).into_response())
    }
}

/// Complete a sign-in: its second step, with the token of the first.
#[utoipa::path(post, path = "/api/session/factor", tag = "people", security(()),
    request_body = SecondFactorProof, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 401, description = "`sign_in_again`: it took too long, or there were too many attempts"),
    (status = 403, description = "`wrong_code`"),
    (status = 422, description = "`bad_proof`: send a code or a passkey's answer"),
    (status = 429, description = "`too_many_attempts`: Retry-After says how long to wait"),
))]
async fn finish_second_step(
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    _: OptionalCaller,
    headers: HeaderMap,
    Json(proof): Json<SecondFactorProof>,
) -> Result<Response, ApiError> {
    let factor_proof = match (proof.code, proof.passkey) {
        (Some(code), None) => FactorProof::Code(code),
        (None, Some(passkey)) => FactorProof::Passkey(passkey),
        (None, None) | (Some(_), Some(_)) => return Err(bad_proof()),
    };
    let now = clock::utc_now();
    let finished = auth.finish_sign_in(&proof.token, factor_proof, now).await;
    let (user, factor) = finished.inspect_err(|error| {
        tracing::warn!(%address, "sign-in refused at its second step: {error}");
    })?;
    let factor = Some(factor);
    VerifiedUser { user, factor }
        .begin_session(&auth, address, &headers, now)
        .await
}

/// Start to sign in with a passkey only.
#[utoipa::path(post, path = "/api/session/passkey/options", tag = "people", security(()), responses(
    (status = 200, body = PasskeyOptions),
    (status = 409, description = "`passkeys_not_offered`"),
))]
async fn begin_passkey_sign_in(
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    _: OptionalCaller,
) -> Result<Json<PasskeyOptions>, ApiError> {
    Ok(Json(auth.begin_passkey_sign_in(address)?.into()))
}

/// Sign in with a passkey only: the device has verified its user.
#[utoipa::path(post, path = "/api/session/passkey", tag = "people", security(()),
    request_body = PasskeyProof, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 401, description = "`sign_in_again`: it took too long"),
    (status = 403, description = "`wrong_code`: no user of this server has this passkey"),
))]
async fn sign_in_with_passkey(
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    _: OptionalCaller,
    headers: HeaderMap,
    Json(proof): Json<PasskeyProof>,
) -> Result<Response, ApiError> {
    let now = clock::utc_now();
    let found = auth
        .finish_passkey_sign_in(&proof.token, proof.credential, now)
        .await;
    let user = found.inspect_err(|error| {
        tracing::warn!(%address, "sign-in with a passkey refused: {error}");
    })?;
    let factor = Some(FactorKind::Passkey);
    VerifiedUser { user, factor }
        .begin_session(&auth, address, &headers, now)
        .await
}

/// Confirm your identity within this session. Sensitive requests require it again after 10 minutes
/// (`confirm_password`).
#[utoipa::path(post, path = "/api/session/confirm", tag = "people", request_body = IdentityProof, responses(
    (status = 204, description = "confirmed, for 10 minutes"),
    (status = 403, description = "`not_allowed`: not for API tokens; `wrong_password`, `wrong_code`"),
    (status = 422, description = "`bad_proof`: send one proof"),
    (status = 429, description = "`too_many_attempts`: Retry-After says how long to wait"),
))]
async fn confirm_identity(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(proof): Json<IdentityProof>,
) -> Result<StatusCode, ApiError> {
    let user = caller.require_signed_in_user()?;
    let now = clock::utc_now();
    let proven = match (proof.password, proof.code, proof.passkey) {
        (Some(password), None, None) => {
            let session = caller.session_hash().copied();
            auth.check_sign_in_rate(address, &user.name, &headers, session)
                .await?;
            if auth.is_current_password(user, password).await? {
                Ok(())
            } else {
                let status = StatusCode::FORBIDDEN;
                Err(ApiError::new(
                    status,
                    "wrong_password",
                    "the password is wrong",
                ))
            }
        }
        (None, Some(code), None) => auth.consume_code(user.id, &code, now).await.map(drop),
        (None, None, Some(PasskeyProof { token, credential })) => {
            let confirmed = auth.confirm_with_passkey(user.id, &token, credential, now);
            confirmed.await
        }
        _ => return Err(bad_proof()),
    };
    proven.inspect_err(|error| {
        tracing::warn!(%address, user = user.id.0, "confirmation refused: {error}");
    })?;
    auth.record_confirmation(&caller, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start to confirm your identity with a passkey.
#[utoipa::path(post, path = "/api/session/confirm/options", tag = "people", responses(
    (status = 200, body = PasskeyOptions),
    (status = 403, description = "`not_allowed`: not for API tokens"),
    (status = 409, description = "`passkeys_not_offered`, `no_passkeys`"),
))]
async fn begin_passkey_confirmation(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<PasskeyOptions>, ApiError> {
    let user = caller.require_signed_in_user()?;
    Ok(Json(auth.begin_passkey_confirmation(user.id).await?.into()))
}

/// 422: no proof, or more than one.
fn bad_proof() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_proof",
        "send exactly one proof: a code, a passkey's answer or, to confirm your identity, a password",
    )
}

/// Sign out.
#[utoipa::path(delete, path = "/api/session", tag = "people", security(()), responses(
    (status = 204, description = "signed out, or never signed in: the cookie is cleared"),
))]
async fn sign_out(
    State(auth): State<AuthService>,
    OptionalCaller(caller): OptionalCaller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let SetCookie(cookie) = auth.sign_out(&headers).await?;
    if let Some(user) = caller.as_ref().and_then(Caller::user_id) {
        let now = clock::utc_now();
        let logged = users::record_audit_entry(&auth, "signed_out", String::new(), user, now).await;
        // The sign-out succeeds, even if it cannot be logged.
        if logged.is_err() {
            tracing::warn!("a sign-out is missing from the log: the database cannot be written");
        }
    }
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Open the page in this browser on a server without users that accepts only clients on its own
/// machine, with the link that the server printed at its start.
#[utoipa::path(post, path = "/api/session/open", tag = "people", security(()), request_body = OpenPage, responses(
    (status = 200, body = SignInState, description = "the page is open in this browser: the cookie is set"),
    (status = 403, description = "`not_allowed`: the link is not of this server's last start, or there are users; `host_refused`: the request was sent through a proxy, or to a host name"),
))]
async fn open_page(
    State(auth): State<AuthService>,
    _: OptionalCaller,
    Json(OpenPage { secret }): Json<OpenPage>,
) -> Result<Response, ApiError> {
    let Some(SetCookie(cookie)) = auth.redeem_page_key(&secret).await? else {
        return Err(not_allowed(
            "this link does not open this server: use the link that its last start printed, or sign in",
        ));
    };
    Ok((cookie, Json(SignInState::with_page_key())).into_response())
}

/// Create the first admin, with the link that the server printed at its start.
#[utoipa::path(post, path = "/api/setup", tag = "people", security(()), request_body = SetUp, responses(
    (status = 201, body = SignInState, description = "the admin is created and signed in"),
    (status = 403, description = "`not_allowed`: the link is wrong, too old, or used"),
    (status = 422, description = "`bad_name`, `weak_password`"),
))]
async fn set_up_first_admin(
    State(auth): State<AuthService>,
    ClientAddress(address): ClientAddress,
    _: OptionalCaller,
    headers: HeaderMap,
    Json(body): Json<SetUp>,
) -> Result<Response, ApiError> {
    let now = clock::utc_now();
    if !auth.is_setup_token(&body.secret, now) {
        return Err(not_allowed(
            "this link is no longer valid: restart the server to get a new one",
        ));
    }
    let user = users::add_first_admin(&auth, &body.name, body.password, now).await?;
    let SetCookie(cookie) = auth.begin_session(&user, address, &headers, now).await?;
    let state = Json(SignInState::for_user(&auth, user));
    Ok((StatusCode::CREATED, cookie, state).into_response())
}
