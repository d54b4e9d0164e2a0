//! `/api/simulation`: a recorded call through the real engine, where there is no account for real
//! ones.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::calls::find_visible_call;
use super::{ApiError, ApiState};
use crate::calls::CallService;
use crate::ids::CallSid;
use crate::store::Scope;
use crate::twilio_sim::StreamOptions;

/// `/api/simulation`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_simulation, start_simulation))
}

/// Whether calls can be simulated.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Simulation)]
struct SimulationState {
    /// Whether one may be asked for here at all.
    available: bool,
    /// The one that goes on, if the caller may see it; in lists it is a call as any other.
    call_sid: Option<CallSid>,
}

/// A simulated call that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Simulated)]
struct StartedSimulation {
    /// Subscribe to it on the client channel.
    call_sid: CallSid,
}

/// Whether calls can be simulated, and which one goes on.
#[utoipa::path(get, path = "/api/simulation", tag = "calls", responses(
    (status = 200, body = SimulationState),
))]
async fn read_simulation(
    caller: Caller,
    State(calls): State<CallService>,
) -> Result<Json<SimulationState>, ApiError> {
    caller.require_scope(Scope::CallsRead)?;
    let mut call_sid = calls.simulated_call();
    if let Some(sid) = &call_sid
        && find_visible_call(&calls, &caller, Scope::CallsRead, sid)
            .await
            .is_err()
    {
        call_sid = None;
    }
    let available = calls.can_simulate();
    Ok(Json(SimulationState {
        available,
        call_sid,
    }))
}

/// Begin a simulated call: a recorded one, in real time, through the real engine.
#[utoipa::path(post, path = "/api/simulation", tag = "calls", responses(
    (status = 201, body = StartedSimulation, description = "it has begun"),
    (status = 409, description = "`simulation_off`: calls are real here; `simulation_running`: one at a time"),
))]
async fn start_simulation(
    caller: Caller,
    State(calls): State<CallService>,
) -> Result<(StatusCode, Json<StartedSimulation>), ApiError> {
    caller.require_scope(Scope::CallsWrite)?;
    let call_sid = calls
        .simulate_call(caller.user_id(), StreamOptions::fresh())
        .await?;
    Ok((StatusCode::CREATED, Json(StartedSimulation { call_sid })))
}
