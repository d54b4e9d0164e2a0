//! Audit of refusals: requests without sign-in or without the required rights, and requests for
//! calls that do not exist or belong to another user. One layer around all routes, so that no route
//! can omit it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::{ApiError, ApiState};
use crate::access::client_context;
use crate::ids::{CallSid, UserId};

/// Codes that are also the response to clients that may not know whether the resource exists.
const HIDDEN_RESOURCE_CODES: [&str; 4] = [
    "no_such_call",
    "no_such_recording",
    "no_such_session",
    "no_such_user",
];

/// Handles a request in the context of its client, and audits a refusal.
pub(super) async fn log_refusals(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let Some(ConnectInfo(peer)) = peer.copied() else {
        return next.run(request).await;
    };
    let address = state.auth.client_address(peer.ip(), request.headers());
    client_context::run_for(address, async {
        let summary = RequestSummary::of(&request);
        let response = next.run(request).await;
        if let Some(code) = refusal_code(&response) {
            let user = client_context::current_user();
            let audit_detail = summary.audit_detail(code, user);
            state.calls.spawn_audit_event("refused", audit_detail, user);
        }
        response
    })
    .await
}

/// The facts of a request that an audit entry contains.
struct RequestSummary {
    method: String,
    route: Option<MatchedPath>,
    call: Option<CallSid>,
}

impl RequestSummary {
    fn of(request: &Request) -> Self {
        let mut parts = request.uri().path().split('/');
        Self {
            method: request.method().to_string(),
            route: request.extensions().get().cloned(),
            call: parts.find_map(|part| CallSid::parse(part).ok()),
        }
    }

    /// Formats the detail of the audit entry. It includes the call only for users: strangers could
    /// name any number of calls.
    fn audit_detail(&self, code: &str, user: Option<UserId>) -> String {
        let route = self.route.as_ref().map_or("nowhere", MatchedPath::as_str);
        let audit_detail = format!("{code}: {} {route}", self.method);
        match self.call.as_ref().filter(|_| user.is_some()) {
            Some(call) => format!("{audit_detail} {}", call.as_str()),
            None => audit_detail,
        }
    }
}

/// Returns the error code of a response that refuses access.
fn refusal_code(response: &Response) -> Option<&'static str> {
    let error = response.extensions().get::<Arc<ApiError>>()?;
    let code = error.code();
    let is_refusal = match error.status() {
        // A wrong password has an entry of its own.
        StatusCode::UNAUTHORIZED => code == "sign_in_required",
        StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND => HIDDEN_RESOURCE_CODES.contains(&code),
        _ => false,
    };
    is_refusal.then_some(code)
}
