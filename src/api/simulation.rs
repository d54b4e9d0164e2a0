//! `/api/simulation`: sends a recorded call through the real engine, on servers without a Twilio
//! account.

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

/// Returns the routes of `/api/simulation`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_simulation, start_simulation))
}

/// Whether calls can be simulated.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Simulation)]
struct SimulationState {
    /// Whether this server can simulate calls.
    available: bool,
    /// The active simulated call, if the caller may see it; lists show it like any other call.
    call_sid: Option<CallSid>,
}

/// A simulated call that has started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Simulated)]
struct StartedSimulation {
    /// The call's SID: subscribe to it on the client channel.
    call_sid: CallSid,
}

/// Get whether calls can be simulated, and the active simulated call.
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

/// Start a simulated call: a recorded one, in real time, through the real engine.
#[utoipa::path(post, path = "/api/simulation", tag = "calls", responses(
    (status = 201, body = StartedSimulation, description = "the call has started"),
    (status = 409, description = "`simulation_off`: this server has real calls; `simulation_running`: one at a time"),
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
