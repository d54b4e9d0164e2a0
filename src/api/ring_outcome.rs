//! `/api/rung/{sid}`: the outcome of a call that rang in one of the user's browsers. The owner of
//! the call is known once it is answered. Until then, and if another user answers, this outcome is
//! all that the user can see of the call.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, no_such_call};
use super::{ApiError, ApiState};
use crate::calls::{CallService, NO_USER};
use crate::ids::CallSid;

/// Returns the route of `/api/rung/{sid}`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_ring_outcome))
}

/// The outcome of a call that rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum RungOutcome {
    /// It is ringing, as far as the server knows.
    Ringing,
    /// A user answered it.
    Answered,
    /// It has ended without an answer.
    Missed,
}

/// A call that rang.
#[derive(Debug, Serialize, ToSchema)]
struct RungCall {
    outcome: RungOutcome,
}

/// Get the outcome of a call that rang in one of your browsers within the last ten minutes.
///
/// Twilio notifies browsers that a call has stopped ringing before it notifies the server why: ask
/// again while the outcome is `ringing`.
#[utoipa::path(get, path = "/api/rung/{sid}", tag = "phone",
    params(("sid" = String, Path, description = "the call, as the incoming call's parameter `callSid` names it")),
    responses(
    (status = 200, body = RungCall),
    (status = 403, description = "`not_allowed`: not for API tokens"),
    (status = 404, description = "`no_such_call`: it did not ring in your browsers, or more than ten minutes ago"),
))]
async fn read_ring_outcome(
    caller: Caller,
    State(calls): State<CallService>,
    Path(call): Path<CallSid>,
) -> Result<Json<RungCall>, ApiError> {
    let user = match &caller {
        Caller::PageKey => NO_USER,
        Caller::User { .. } => caller.require_signed_in_user()?.id,
    };
    if !calls.has_rung(&call, user) {
        return Err(no_such_call());
    }
    let record = calls.store().call_record(&call).await?;
    let outcome = match record {
        Some(record) if record.answered_at.is_some() => RungOutcome::Answered,
        Some(record) if record.status.is_over() => RungOutcome::Missed,
        Some(_) | None => RungOutcome::Ringing,
    };
    Ok(Json(RungCall { outcome }))
}
