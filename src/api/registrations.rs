//! `/api/registrations`: which browsers calls ring. A page says so itself, once its browser has
//! registered at Twilio, and says when that ends.

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

/// `/api/registrations`.
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
    /// Names this registration: made at random, anew each time that the page goes online. 16 to 64
    /// letters, digits and hyphens, such as a UUID.
    id: RegistrationId,
    /// As it was given to `GET /api/token`.
    browser: Option<String>,
    /// When the pass ends that the browser registered with, as `GET /api/token` said.
    expires_at: UtcTime,
}

/// Incoming calls ring this browser from now on.
///
/// Until its pass ends, its session ends or the registration is taken back. A restart of the server
/// does not end it. With the same `id` it is prolonged. Of one user's browsers a call rings the three
/// that registered last.
#[utoipa::path(post, path = "/api/registrations", tag = "phone", request_body = RegistrationRequest, responses(
    (status = 204, description = "incoming calls ring this browser"),
    (status = 403, description = "`not_allowed`: for people; `origin_refused`: another server's page"),
    (status = 409, description = "`pass_over`: ask for the next token, register with it, then say so"),
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
        let message = "the pass that this browser registered with is over: ask for the next token, \
                       register with it at Twilio, then say so here";
        ApiError::new(StatusCode::CONFLICT, "pass_over", message)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// This registration is over: it rings its browser no more.
///
/// Another registration of the same browser stays, such as that of a tab that was duplicated.
#[utoipa::path(delete, path = "/api/registrations/{id}", tag = "phone",
    params(("id" = String, Path, description = "the registration")), responses(
    (status = 204, description = "over, or never there"),
    (status = 403, description = "`not_allowed`: for people; `origin_refused`: another server's page"),
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
