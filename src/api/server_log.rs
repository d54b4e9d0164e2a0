//! `GET /api/log`: what people did, for admins: sign-ins and wrong passwords, users, tokens, deletions,
//! exports, who looked into and searched whose calls, and who was refused what.
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

use super::auth_service::AuthService;
use super::calls::parse_limit;
use super::{ApiError, ApiState, Caller};
use crate::clock::UtcTime;
use crate::ids::UserId;
use crate::limits;
use crate::store::{LogFilter, ServerLogEntry};

/// `/api/log`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_server_log))
}

/// What happened, in order of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerLog {
    entries: Vec<ServerLogEntry>,
}

/// Which entries, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// The latest entries that fit; 20,000 by default, and at most.
    #[param(minimum = 1, maximum = 20_000)]
    limit: Option<u32>,
    /// Of this kind: `wrong_password`.
    kind: Option<String>,
    /// Done by this user.
    #[param(value_type = Option<i64>)]
    user_id: Option<UserId>,
    /// Done, for the first time, before: the `at` of the first entry of the answer before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<UtcTime>,
}

/// What people did on this server, and who was refused what, each with the client's address. What is
/// done again within the hour is counted in one entry. Entries are kept for a year.
#[utoipa::path(get, path = "/api/log", tag = "operators", params(LogQuery), responses(
    (status = 200, body = ServerLog),
    (status = 400, description = "`bad_limit`"),
    (status = 403, description = "`not_allowed`: for admins"),
))]
async fn read_server_log(
    caller: Caller,
    State(auth): State<AuthService>,
    Query(query): Query<LogQuery>,
) -> Result<Json<ServerLog>, ApiError> {
    caller.require_admin()?;
    auth.calls().flush_audit_log().await;
    let filter = LogFilter {
        kind: query.kind,
        user_id: query.user_id,
        until: query.until,
    };
    let max = limits::SERVER_LOG_PAGE_MAX;
    let limit = parse_limit(query.limit, max, max)?;
    let entries = auth.store().search_log(&filter, limit).await?;
    Ok(Json(ServerLog { entries }))
}
