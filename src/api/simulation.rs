//! `/api/simulation`: a recorded call through the real engine, where there is no account for real
//! ones.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::calls::find;
use super::{ApiError, ApiState};
use crate::desk::Desk;
use crate::ids::CallSid;
use crate::player::Options;
use crate::store::Scope;

/// `/api/simulation`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read, start))
}

/// Whether calls can be simulated.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Simulation {
    /// Whether one may be asked for here at all.
    available: bool,
    /// The one that goes on, if the caller may see it; in lists it is a call as any other.
    call_sid: Option<CallSid>,
}

/// A simulated call that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Simulated {
    /// Subscribe to it on the client channel.
    call_sid: CallSid,
}

/// Whether calls can be simulated, and which one goes on.
#[utoipa::path(get, path = "/api/simulation", tag = "calls", responses(
    (status = 200, body = Simulation),
))]
async fn read(caller: Caller, State(desk): State<Desk>) -> Result<Json<Simulation>, ApiError> {
    caller.require(Scope::CallsRead)?;
    let mut call_sid = desk.simulated();
    if let Some(sid) = &call_sid
        && find(&desk, &caller, Scope::CallsRead, sid).await.is_err()
    {
        call_sid = None;
    }
    let available = desk.simulates();
    Ok(Json(Simulation {
        available,
        call_sid,
    }))
}

/// Begin a simulated call: a recorded one, in real time, through the real engine.
#[utoipa::path(post, path = "/api/simulation", tag = "calls", responses(
    (status = 201, body = Simulated, description = "it has begun"),
    (status = 409, description = "`simulation_off`: calls are real here; `simulation_running`: one at a time"),
))]
async fn start(
    caller: Caller,
    State(desk): State<Desk>,
) -> Result<(StatusCode, Json<Simulated>), ApiError> {
    caller.require(Scope::CallsWrite)?;
    let call_sid = desk.simulate(caller.user_id(), Options::fresh()).await?;
    Ok((StatusCode::CREATED, Json(Simulated { call_sid })))
}
