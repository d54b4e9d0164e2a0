//! `/api/registrations`: the browsers that incoming calls ring. A page reports its registration at
//! Twilio, and the end of it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::token::identity_of;
use super::{ApiError, ApiState};
use crate::calls::{CallService, NO_USER, TokenExpired};
use crate::clock::UtcTime;
use crate::ids::RegistrationId;

/// Returns the routes of `/api/registrations`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(register_browser))
        .routes(routes!(unregister_browser))
}

/// A browser that has registered at Twilio.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Registration)]
pub(super) struct RegistrationRequest {
    /// Identifies this registration: random, and different each time the page goes online. 16 to 64
    /// letters, digits and hyphens, such as a UUID.
    id: RegistrationId,
    /// The text that the page sent to `GET /api/token`.
    browser: Option<String>,
    /// When the access token of the registration expires, from `GET /api/token`.
    expires_at: UtcTime,
}

/// Register this browser for incoming calls.
///
/// The registration lasts until its access token expires, its session ends or it is removed, even
/// if the server restarts. The same `id` prolongs it. An incoming call rings the three browsers of
/// a user that registered last.
#[utoipa::path(post, path = "/api/registrations", tag = "phone", request_body = RegistrationRequest, responses(
    (status = 204, description = "incoming calls ring this browser"),
    (status = 403, description = "`not_allowed`: not for API tokens; `origin_refused`: a page of another origin"),
    (status = 409, description = "`pass_over`: the access token has expired: get another, register at Twilio with it, then try again"),
))]
async fn register_browser(
    caller: Caller,
    State(calls): State<CallService>,
    Json(registration): Json<RegistrationRequest>,
) -> Result<StatusCode, ApiError> {
    let RegistrationRequest {
        id,
        browser,
        expires_at,
    } = registration;
    let (_, identity) = identity_of(&caller, &calls, browser.as_deref()).await?;
    let registered = calls.register(id, identity, expires_at).await;
    registered.map_err(|TokenExpired| {
        let message = "the access token of this registration has expired: get another from \
                       /api/token, register at Twilio with it, then try again";
        ApiError::new(StatusCode::CONFLICT, "pass_over", message)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a registration: it no longer rings its browser.
///
/// Other registrations of the same browser stay, such as that of a duplicated tab.
#[utoipa::path(delete, path = "/api/registrations/{id}", tag = "phone",
    params(("id" = String, Path, description = "the registration")), responses(
    (status = 204, description = "the registration is removed, or never existed"),
    (status = 403, description = "`not_allowed`: not for API tokens; `origin_refused`: a page of another origin"),
))]
async fn unregister_browser(
    caller: Caller,
    State(calls): State<CallService>,
    Path(id): Path<RegistrationId>,
) -> Result<StatusCode, ApiError> {
    let user = match &caller {
        Caller::PageKey => NO_USER,
        Caller::User { .. } => caller.require_signed_in_user()?.id,
    };
    calls.unregister(&id, user).await;
    Ok(StatusCode::NO_CONTENT)
}
