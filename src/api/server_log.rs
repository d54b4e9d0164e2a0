//! `GET /api/log`: the audit log, for admins: sign-ins and wrong passwords, users, API tokens,
//! deletions, exports, views and searches of other users' calls, and refusals.
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

/// Returns the route of `/api/log`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_server_log))
}

/// Audit entries in order of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerLog {
    entries: Vec<ServerLogEntry>,
}

/// The filter of entries, and their maximum number.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// The maximum number of entries, of which the latest are returned; 20,000 by default, and at
    /// most.
    #[param(minimum = 1, maximum = 20_000)]
    limit: Option<u32>,
    /// Only entries of this kind, such as `wrong_password`.
    kind: Option<String>,
    /// Only actions of this user.
    #[param(value_type = Option<i64>)]
    user_id: Option<UserId>,
    /// Only actions that happened first before this time: for the previous page, the `at` of the
    /// first entry.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<UtcTime>,
}

/// Get the audit log: the actions of users, and refusals, each with the client's address.
/// Repetitions within an hour are counted in one entry. Entries are kept for a year.
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
