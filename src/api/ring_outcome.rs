//! `/api/rung/{sid}`: what became of a call that rang at one's browser. Whose call it is, is
//! known once it is answered; until then, and when somebody else answers, whoever was rung learns no
//! more of it than this.

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

/// `/api/rung/{sid}`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_ring_outcome))
}

/// What became of a call that rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum RungOutcome {
    /// It still rings, as far as the server knows.
    Ringing,
    /// Somebody answered it.
    Answered,
    /// It is over, and nobody answered it.
    Missed,
}

/// A call that rang.
#[derive(Debug, Serialize, ToSchema)]
struct RungCall {
    outcome: RungOutcome,
}

/// What became of a call that rang at one of the caller's browsers within the last ten minutes.
///
/// Twilio tells browsers that a call rings no more before it tells the server why: ask again while it
/// is `ringing`.
#[utoipa::path(get, path = "/api/rung/{sid}", tag = "phone",
    params(("sid" = String, Path, description = "the call, as the incoming call's parameter `callSid` names it")),
    responses(
    (status = 200, body = RungCall),
    (status = 403, description = "`not_allowed`: for people"),
    (status = 404, description = "`no_such_call`: it did not ring here, or too long ago"),
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
