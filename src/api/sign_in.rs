//! `/api/session`, `/api/session/open` and `/api/setup`: who am I, sign in (in two steps where there is
//! a second factor, or with a passkey alone), prove to be there, sign out, open the page of a server
//! without users, and the first admin.

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

/// `/api/session`, `/api/session/open` and `/api/setup`.
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

/// Who uses this browser.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own in the JSON"
)]
#[schema(as = SessionState)]
pub(super) struct SignInState {
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
    /// The user must set a second factor up before anything else.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    second_factor_needed: bool,
    /// The host name that passkeys sign in under, for who has not signed in; none: nobody has one.
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

/// The password was right, and a second factor is wanted. No `Debug`, for the token's sake.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecondStep {
    /// Comes back with the second factor, within 5 minutes.
    #[schema(format = Password)]
    token: String,
    /// Whether a code of an authenticator app will do. A recovery code always does.
    has_app: bool,
    /// What a passkey is to sign: for `navigator.credentials.get`, as
    /// `PublicKeyCredential.parseRequestOptionsFromJSON` reads it. None: the user has no passkey.
    #[schema(value_type = Option<Object>)]
    passkey_options: Option<Value>,
}

/// A second factor: one of both. No `Debug`, for its sake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondFactorProof {
    #[schema(format = Password)]
    token: String,
    /// Of an authenticator app, or a recovery code.
    code: Option<String>,
    /// What `PublicKeyCredential.toJSON` made.
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
}

/// A passkey's answer. No `Debug`, for the token's sake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeyProof {
    #[schema(format = Password)]
    token: String,
    /// What `PublicKeyCredential.toJSON` made.
    #[schema(value_type = Object)]
    credential: Value,
}

/// What proves that whoever uses a session is its user: one of the three. No `Debug`, for its sake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Proof)]
pub(super) struct IdentityProof {
    password: Option<Password>,
    /// Of an authenticator app, or a recovery code.
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

/// Sign in; where the user has a second factor, the first step of it.
#[utoipa::path(post, path = "/api/session", tag = "people", security(()), request_body = SignIn, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 202, body = SecondStep, description = "the password is right: send a second factor to \
                                                     POST /api/session/factor"),
    (status = 401, description = "`wrong_credentials`"),
    (status = 429, description = "`too_many_attempts`: Retry-After says when to come back"),
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
            "name or password is wrong",
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

/// Somebody who has proved who they are.
struct VerifiedUser {
    user: User,
    factor: Option<FactorKind>,
}

impl VerifiedUser {
    /// Begins the session.
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

/// Sign in: the second step, with what the first one answered.
#[utoipa::path(post, path = "/api/session/factor", tag = "people", security(()),
    request_body = SecondFactorProof, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 401, description = "`sign_in_again`: it took too long, or too many tries"),
    (status = 403, description = "`wrong_code`"),
    (status = 422, description = "`bad_proof`: send a code or a passkey's answer"),
    (status = 429, description = "`too_many_attempts`: Retry-After says when to come back"),
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

/// Begin to sign in with a passkey alone.
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

/// Sign in with a passkey alone: the device has verified its user.
#[utoipa::path(post, path = "/api/session/passkey", tag = "people", security(()),
    request_body = PasskeyProof, responses(
    (status = 200, body = SignInState, description = "signed in: the cookie is set"),
    (status = 401, description = "`sign_in_again`: it took too long"),
    (status = 403, description = "`wrong_code`: nobody here has this passkey"),
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

/// Prove that it is still you who uses this session: what is sensitive asks for it again after 10
/// minutes (`confirm_password`).
#[utoipa::path(post, path = "/api/session/confirm", tag = "people", request_body = IdentityProof, responses(
    (status = 204, description = "it is you, for 10 minutes"),
    (status = 403, description = "`not_allowed`: for people; `wrong_password`, `wrong_code`"),
    (status = 422, description = "`bad_proof`: send one proof"),
    (status = 429, description = "`too_many_attempts`: Retry-After says when to come back"),
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

/// Begin to prove with a passkey that it is you.
#[utoipa::path(post, path = "/api/session/confirm/options", tag = "people", responses(
    (status = 200, body = PasskeyOptions),
    (status = 403, description = "`not_allowed`: for people"),
    (status = 409, description = "`passkeys_not_offered`, `no_passkeys`"),
))]
async fn begin_passkey_confirmation(
    AuthenticatedCaller(caller): AuthenticatedCaller,
    State(auth): State<AuthService>,
) -> Result<Json<PasskeyOptions>, ApiError> {
    let user = caller.require_signed_in_user()?;
    Ok(Json(auth.begin_passkey_confirmation(user.id).await?.into()))
}

/// 422: none of the proofs, or more than one.
fn bad_proof() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_proof",
        "send exactly one proof: a password (to confirm), a code, or a passkey's answer",
    )
}

/// Sign out.
#[utoipa::path(delete, path = "/api/session", tag = "people", security(()), responses(
    (status = 204, description = "signed out, or never signed in: the cookie is gone"),
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
        // Whoever signs out is out, also where nothing can be written.
        if logged.is_err() {
            tracing::warn!("a sign-out is missing in the log: the database cannot be written");
        }
    }
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Open this browser to a server without users that only its own machine reaches, with the link that
/// the server printed at its start.
#[utoipa::path(post, path = "/api/session/open", tag = "people", security(()), request_body = OpenPage, responses(
    (status = 200, body = SignInState, description = "the browser is open: the cookie is set"),
    (status = 403, description = "`not_allowed`: the link is not this server's, or there are users; `host_refused`: the request came through a proxy, or by a name"),
))]
async fn open_page(
    State(auth): State<AuthService>,
    _: OptionalCaller,
    Json(OpenPage { secret }): Json<OpenPage>,
) -> Result<Response, ApiError> {
    let Some(SetCookie(cookie)) = auth.redeem_page_key(&secret).await? else {
        return Err(not_allowed(
            "this link does not open this server: look for the link of its last start, or sign in",
        ));
    };
    Ok((cookie, Json(SignInState::with_page_key())).into_response())
}

/// Make the first admin, with the link that the server printed at its start.
#[utoipa::path(post, path = "/api/setup", tag = "people", security(()), request_body = SetUp, responses(
    (status = 201, body = SignInState, description = "the admin is there, and signed in"),
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
            "this link is not good any more: restart the server for a new one",
        ));
    }
    let user = users::add_first_admin(&auth, &body.name, body.password, now).await?;
    let SetCookie(cookie) = auth.begin_session(&user, address, &headers, now).await?;
    let state = Json(SignInState::for_user(&auth, user));
    Ok((StatusCode::CREATED, cookie, state).into_response())
}
