//! `GET /api/log`: what people did, for admins: sign-ins, users, tokens, deletions, exports, and who
//! looked into whose calls.
#![expect(
    unused_qualifications,
    reason = "utoipa names a query's type by its path"
)]

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::calls::limit_of;
use super::gatehouse::Gatehouse;
use super::{ApiError, ApiState, Caller};
use crate::limits;
use crate::store::CallLogEntry;

/// `/api/log`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// What happened, in order of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerLog {
    entries: Vec<CallLogEntry>,
}

/// How much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// The latest entries; all that are kept by default.
    #[param(minimum = 1, maximum = 20_000)]
    limit: Option<u32>,
}

/// What people did on this server.
#[utoipa::path(get, path = "/api/log", tag = "operators", params(LogQuery), responses(
    (status = 200, body = ServerLog),
    (status = 400, description = "`bad_limit`"),
    (status = 403, description = "`not_allowed`: for admins"),
))]
async fn read(
    caller: Caller,
    State(gates): State<Gatehouse>,
    Query(query): Query<LogQuery>,
) -> Result<Json<ServerLog>, ApiError> {
    caller.require_admin()?;
    let max = limits::SERVER_LOG_ENTRIES_MAX;
    let limit = limit_of(query.limit, max, max)?;
    let entries = gates.store().server_log(limit).await?;
    Ok(Json(ServerLog { entries }))
}
