//! Notes for the server's log who is refused what: whoever is not signed in or may not, and whoever asks
//! for a call that is not his or is not there. In one place around all routes, so that no route forgets
//! it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::{ApiError, ApiState};
use crate::access::client_context;
use crate::ids::{CallSid, UserId};

/// Things whose absence is also the answer to whoever may not know of them.
const HIDDEN_RESOURCE_CODES: [&str; 4] = [
    "no_such_call",
    "no_such_recording",
    "no_such_session",
    "no_such_user",
];

/// Serves a request in the name of its client, and notes a refusal.
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

/// What was asked for.
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

    /// Of a user's request also the call: strangers may name any number of them.
    fn audit_detail(&self, code: &str, user: Option<UserId>) -> String {
        let route = self.route.as_ref().map_or("nowhere", MatchedPath::as_str);
        let audit_detail = format!("{code}: {} {route}", self.method);
        match self.call.as_ref().filter(|_| user.is_some()) {
            Some(call) => format!("{audit_detail} {}", call.as_str()),
            None => audit_detail,
        }
    }
}

/// The code of an answer by which somebody was kept from something.
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
