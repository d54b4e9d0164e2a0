//! One shape of errors: `{"error":{"code","message","requestId"}}`, whoever made them, and the one
//! place that logs them.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{Instrument, field};
use utoipa::ToSchema;

use super::caller::no_such_call;
use crate::calls::CallError;
use crate::clock;
use crate::limits;
use crate::metrics::Metrics;
use crate::store::{StoreConflict, StoreError};
use crate::telemetry;
use crate::twilio::api::TwilioError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over from a proxy; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Longest plain-text explanation of the framework that is carried into an error's message.
const EXPLANATION_BYTES_MAX: usize = 1_024;

/// A request that was not met. `message` goes to whoever asked; `cause` to the log only.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    cause: Option<anyhow::Error>,
    hint: Option<String>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// `code` is in snake case and stable; `message` says what happened and what to do.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            cause: None,
            hint: None,
            retry_after: None,
        }
    }

    /// 500: our fault. The cause is logged, and not shown.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let message = "something went wrong on the server: try again, and name the request id \
                       to the operator if it stays so";
        let cause = Some(cause.into());
        Self {
            cause,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        }
    }

    /// Tells the operator, in the log, what may be wrong and what to do.
    #[must_use]
    pub fn with_operator_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Tells when it may be tried again, to the whole second after.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable word for it.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What stands under `"error"` in the JSON that whoever asked reads.
    pub(super) fn to_body<'a>(&'a self, request_id: &'a RequestId) -> ApiErrorBody<'a> {
        ApiErrorBody {
            code: self.code,
            message: &self.message,
            request_id: &request_id.0,
        }
    }
}

impl IntoResponse for ApiError {
    /// Leaves the body to `format_errors`, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<StoreError> for ApiError {
    /// Who can do something about it hears about it: the caller, or the operator in the log.
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::UnusableDatabase { .. } | StoreError::Corrupt(_) => {
                return Self::internal(error);
            }
            StoreError::Unavailable(_) | StoreError::DiskFull => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let message = "what lasts cannot be reached: try again in a moment";
                let cause = Some(error.into());
                return Self {
                    cause,
                    ..Self::new(status, "store_unavailable", message)
                };
            }
            StoreError::Conflict(StoreConflict::NameTaken) => (StatusCode::CONFLICT, "name_taken"),
            StoreError::Conflict(StoreConflict::PasskeyExists) => {
                (StatusCode::CONFLICT, "passkey_known")
            }
            StoreError::Conflict(StoreConflict::LastAdmin) => (StatusCode::CONFLICT, "last_admin"),
            StoreError::Conflict(StoreConflict::UsersExist) => {
                (StatusCode::CONFLICT, "already_set_up")
            }
            StoreError::TooLong { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "too_long"),
            StoreError::TooMany { .. } => (StatusCode::CONFLICT, "too_many"),
            StoreError::InvalidCursor => (StatusCode::BAD_REQUEST, "bad_cursor"),
            StoreError::NoSuchCall => return no_such_call(),
            StoreError::NoSuchUser => (StatusCode::NOT_FOUND, "no_such_user"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<CallError> for ApiError {
    /// What Twilio refuses is 502, with what to do; its silence too.
    fn from(error: CallError) -> Self {
        let (status, code) = match error {
            CallError::Store(error) => return error.into(),
            CallError::Twilio(error) => return error.into(),
            CallError::Archive(error) => return Self::internal(error),
            CallError::NoSuchCall => return no_such_call(),
            CallError::NoAccount => (StatusCode::SERVICE_UNAVAILABLE, "twilio_not_set_up"),
            CallError::CallIsOver => (StatusCode::CONFLICT, "call_over"),
            CallError::NotAnswered => (StatusCode::CONFLICT, "call_not_answered"),
            CallError::CallInProgress => (StatusCode::CONFLICT, "call_in_progress"),
            CallError::Busy => (StatusCode::CONFLICT, "busy"),
            CallError::SimulationDisabled => (StatusCode::CONFLICT, "simulation_off"),
            CallError::SimulationRunning => (StatusCode::CONFLICT, "simulation_running"),
            CallError::NotRecording => (StatusCode::CONFLICT, "not_recording"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<TwilioError> for ApiError {
    fn from(error: TwilioError) -> Self {
        let code = match &error {
            _ if error.is_unauthorized() => "twilio_denied",
            _ if error.is_rate_limited() => "twilio_busy",
            _ if error.is_not_found() => "twilio_gone",
            TwilioError::Refused(_) => "twilio_refused",
            TwilioError::InvalidRequest { .. } => "twilio_unusable",
            TwilioError::Unreachable { .. } => "twilio_unreachable",
            TwilioError::Lost { .. } => "twilio_lost",
            TwilioError::Unreadable { .. } => "twilio_unreadable",
            TwilioError::ForeignHost => "recording_elsewhere",
        };
        let message = error.to_string();
        Self {
            cause: Some(error.into()),
            ..Self::new(StatusCode::BAD_GATEWAY, code, message)
        }
    }
}

/// The one shape of failures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorResponse<'a> {
    error: ApiErrorBody<'a>,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ErrorBody)]
pub(super) struct ApiErrorBody<'a> {
    /// Stable, in snake case: for programs.
    #[schema(example = "no_such_call")]
    code: &'a str,
    /// What happened and what to do: for people.
    message: &'a str,
    /// Finds the failure in the server's log.
    request_id: &'a str,
}

/// Names one request in answers and logs: a proxy's `x-request-id`, or a random one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok());
        let sane = |text: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        Self(given.filter(sane).map_or_else(random_request_id, Arc::from))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 404: no such path.
pub(super) fn path_not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "nothing is here: check the path",
    )
}

/// The outermost layer: gives each request its id, and each failure its shape and its log line.
/// A failure that has a body of its own (JSON, TwiML) keeps it.
pub(super) async fn format_errors(
    State(metrics): State<Metrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::trace_span!(
        target: telemetry::SPAN_TARGET, "request", otel.kind = "server", %id,
        otel.name = route.as_ref().map_or("nowhere", MatchedPath::as_str),
        http.request.method = %method, http.response.status_code = field::Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    let mut response = if status.is_client_error() || status.is_server_error() {
        let context = RequestContext {
            id: &id,
            method: &method,
            route: route.as_ref(),
            metrics: &metrics,
        };
        format_failure(response, &context).await
    } else {
        response
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What the log says of a request. Its path may name a call, so that its route stands for it.
struct RequestContext<'a> {
    id: &'a RequestId,
    method: &'a Method,
    route: Option<&'a MatchedPath>,
    metrics: &'a Metrics,
}

async fn format_failure(response: Response, context: &RequestContext<'_>) -> Response {
    let known = response.extensions().get::<Arc<ApiError>>().cloned();
    if known.is_none() && has_own_body(&response) {
        let error = ApiError::new(response.status(), "own_body", "");
        context.log_failure(response.status(), &error);
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let error = match known {
        Some(error) => error,
        None => Arc::new(error_from_framework(parts.status, body).await),
    };
    context.log_failure(parts.status, &error);

    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let json = Json(ErrorResponse {
        error: error.to_body(context.id),
    });
    (parts, json).into_response()
}

/// Whether a handler has written its own answer; the framework writes plain text or nothing.
fn has_own_body(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| !kind.starts_with("text/plain"))
}

/// Makes an error of what the framework says about a request that no handler has seen.
async fn error_from_framework(status: StatusCode, body: Body) -> ApiError {
    let text = to_bytes(body, EXPLANATION_BYTES_MAX)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let code = error_code_of(status);
    let message = match (status, text.trim()) {
        (StatusCode::METHOD_NOT_ALLOWED, "") => {
            "this path does not take that method: see the Allow header".to_owned()
        }
        (_, "") => format!("the request was refused with status {}", status.as_u16()),
        (_, text) => text.to_owned(),
    };
    ApiError::new(status, code, message)
}

fn error_code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        StatusCode::UPGRADE_REQUIRED => "upgrade_required",
        _ if status.is_server_error() => "internal",
        _ => "refused",
    }
}

impl RequestContext<'_> {
    /// Counts the failure, and logs it, as often as one of its kind may be.
    fn log_failure(&self, status: StatusCode, error: &ApiError) {
        let &Self { id, method, .. } = self;
        let route = self.route.map_or("none", MatchedPath::as_str);
        let (code, status) = (error.code, status.as_u16());
        let lines_max = if error.cause.is_some() {
            limits::LOG_FAILURES_MAX
        } else {
            limits::LOG_REFUSALS_MAX
        };
        let line = self.metrics.count_refusal(code, lines_max, clock::now());
        match (line, &error.cause, &error.hint) {
            (Some(left_out), Some(cause), _) => tracing::error!(
                %method, route, status, code, request_id = %id, left_out, "request failed: {cause:#}"
            ),
            (Some(left_out), None, Some(hint)) => tracing::warn!(
                %method, route, status, code, request_id = %id, left_out, "request refused: {hint}"
            ),
            (Some(left_out), None, None) if status >= 500 => tracing::warn!(
                %method, route, status, code, request_id = %id, left_out, "request not met"
            ),
            (_, _, _) => tracing::debug!(
                %method, route, status, code, request_id = %id, "request refused"
            ),
        }
    }
}

fn random_request_id() -> Arc<str> {
    // The standard library's only source of randomness; enough for a name that need not be secret.
    Arc::from(format!(
        "{:016x}",
        RandomState::new().build_hasher().finish()
    ))
}
