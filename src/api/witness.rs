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
use crate::access::client;
use crate::ids::{CallSid, UserId};

/// Things whose absence is also the answer to whoever may not know of them.
const HIDDEN: [&str; 4] = [
    "no_such_call",
    "no_such_recording",
    "no_such_session",
    "no_such_user",
];

/// Serves a request in the name of its client, and notes a refusal.
pub(super) async fn witness(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let Some(ConnectInfo(peer)) = peer.copied() else {
        return next.run(request).await;
    };
    let address = state.gatehouse.client(peer.ip(), request.headers());
    client::serve(address, async {
        let asked = Asked::of(&request);
        let response = next.run(request).await;
        if let Some(code) = refusal(&response) {
            let user = client::user();
            let detail = asked.detail(code, user);
            state.desk.note_deed_later("refused", detail, user);
        }
        response
    })
    .await
}

/// What was asked for.
struct Asked {
    method: String,
    route: Option<MatchedPath>,
    call: Option<CallSid>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let mut parts = request.uri().path().split('/');
        Self {
            method: request.method().to_string(),
            route: request.extensions().get().cloned(),
            call: parts.find_map(|part| CallSid::parse(part).ok()),
        }
    }

    /// Of a user's request also the call: strangers may name any number of them.
    fn detail(&self, code: &str, user: Option<UserId>) -> String {
        let route = self.route.as_ref().map_or("nowhere", MatchedPath::as_str);
        let detail = format!("{code}: {} {route}", self.method);
        match self.call.as_ref().filter(|_| user.is_some()) {
            Some(call) => format!("{detail} {}", call.as_str()),
            None => detail,
        }
    }
}

/// The code of an answer by which somebody was kept from something.
fn refusal(response: &Response) -> Option<&'static str> {
    let error = response.extensions().get::<Arc<ApiError>>()?;
    let code = error.code();
    let is_refusal = match error.status() {
        // A wrong password has an entry of its own.
        StatusCode::UNAUTHORIZED => code == "sign_in_required",
        StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND => HIDDEN.contains(&code),
        _ => false,
    };
    is_refusal.then_some(code)
}
