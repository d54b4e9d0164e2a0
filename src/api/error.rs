//! The one error format, `{"error":{"code","message","requestId"}}`, for errors of handlers and of
//! the framework, and the one place that logs errors.

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

/// The longest request id that is accepted from a proxy; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The longest plain-text explanation of the framework that an error's message includes.
const EXPLANATION_BYTES_MAX: usize = 1_024;

/// A failed request. The client receives `message`; only the log receives `cause`.
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
    /// Creates an error. `code` is in snake case and stable; `message` reports the problem and
    /// the remedy.
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

    /// 500: an error of this server. The cause is logged, and not sent.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let message = "the server failed to handle this request: try again, and report the \
                       request id to the operator if it fails again";
        let cause = Some(cause.into());
        Self {
            cause,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        }
    }

    /// 503: the server accepts no such request at present.
    pub(super) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// Adds a hint for the operator's log: the probable cause and the remedy.
    #[must_use]
    pub fn with_operator_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Adds a `Retry-After` header, rounded up to a whole second.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the value of `"error"` in the JSON body.
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
    /// Reports the error to the party that can act on it: to the client, or to the operator in the
    /// log.
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::UnusableDatabase { .. } | StoreError::Corrupt(_) => {
                return Self::internal(error);
            }
            StoreError::Unavailable(_) | StoreError::DiskFull => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let message = "the database cannot be reached: try again in a moment";
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
    /// Maps an error of Twilio's, or a missing response, to 502, with the remedy.
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

/// The JSON body of every failure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorResponse<'a> {
    error: ApiErrorBody<'a>,
}

/// The error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ErrorBody)]
pub(super) struct ApiErrorBody<'a> {
    /// A stable identifier in snake case, for programs.
    #[schema(example = "no_such_call")]
    code: &'a str,
    /// The problem and the remedy, for people.
    message: &'a str,
    /// Identifies the request in the server's log.
    request_id: &'a str,
}

/// Identifies one request in responses and logs: a proxy's `x-request-id`, or a random one.
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
        "this path does not exist: check it for typos",
    )
}

/// The outermost layer: assigns each request its id, formats each failure, and logs it. A failure
/// with a body of its own (JSON, TwiML) keeps it.
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

/// The facts that the log reports of a request. The route replaces the path, which may name a call.
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

/// Reports whether a handler wrote the body; the framework sends plain text or nothing.
fn has_own_body(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| !kind.starts_with("text/plain"))
}

/// Converts the framework's response to a request that reached no handler into an error.
async fn error_from_framework(status: StatusCode, body: Body) -> ApiError {
    let text = to_bytes(body, EXPLANATION_BYTES_MAX)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let code = error_code_of(status);
    let message = match (status, text.trim()) {
        (StatusCode::METHOD_NOT_ALLOWED, "") => {
            "this path does not support that method: use one of the Allow header".to_owned()
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
    /// Counts the failure, and logs it, unless the rate limit of its code is exceeded.
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
                %method, route, status, code, request_id = %id, left_out, "request failed"
            ),
            (_, _, _) => tracing::debug!(
                %method, route, status, code, request_id = %id, "request refused"
            ),
        }
    }
}

fn random_request_id() -> Arc<str> {
    // The standard library's only source of randomness; sufficient for an id that is not secret.
    Arc::from(format!(
        "{:016x}",
        RandomState::new().build_hasher().finish()
    ))
}
