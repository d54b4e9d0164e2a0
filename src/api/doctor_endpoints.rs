//! Endpoints for `callburner doctor`, which requests them from the running server through the
//! proxies in front of it: media sockets without a call. One is refused, and the response reports
//! the proxies' headers about the client. The other one opens and stays silent, to show whether the
//! proxy lets WebSockets through, and for how long it keeps a silent one open.

use std::net::IpAddr;

use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{ApiError, ApiState, simulator_key};
use crate::access::proxies::ForwardedClaim;
use crate::clock;
use crate::limits;

/// The media socket that is refused at once.
pub(crate) const MEDIA_PATH: &str = "/media/doctor";

/// The media socket that opens if it is signed, and stays silent for
/// [`limits::DOCTOR_IDLE_SOCKET_TIME`].
pub(crate) const SILENT_MEDIA_PATH: &str = "/media/doctor/silent";

/// The error code of a signed media socket that belongs to no call.
pub(crate) const NOT_EXPECTED_CODE: &str = "not_expected";

/// The header that reports the client address's source: none, an untrusted or a trusted header.
pub(crate) const FORWARDED_HEADER: HeaderName = HeaderName::from_static("x-callburner-told");

/// Returns the refusal of [`MEDIA_PATH`], after its signature was verified if there is an account;
/// `None` for another path.
pub(super) fn doctor_refusal(
    state: &ApiState,
    path: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Option<Response> {
    if path != MEDIA_PATH {
        return None;
    }
    let refusal = if state.endpoint.keyring.is_some() {
        unexpected_stream_error()
    } else {
        simulator_key::no_account_error()
    };
    let told = peer.map(|peer| state.auth.proxies().forwarded_claim(peer, headers));
    let told = told.map_or("", forwarded_word);
    Some(
        (
            [(FORWARDED_HEADER, HeaderValue::from_static(told))],
            refusal,
        )
            .into_response(),
    )
}

/// Keeps a socket open and silent for [`limits::DOCTOR_IDLE_SOCKET_TIME`], then closes it.
pub(crate) async fn hold_silent_socket(mut socket: WebSocket) {
    let end = clock::now() + limits::DOCTOR_IDLE_SOCKET_TIME;
    tokio::select! {
        () = clock::sleep_until(Some(end)) => {}
        // The doctor sends nothing, so that any result means that it has disconnected.
        _ = socket.recv() => return,
    }
    // The doctor may have disconnected by now.
    socket.send(Message::Close(None)).await.ok();
}

/// Returns the value of the header.
pub(crate) fn forwarded_word(told: ForwardedClaim) -> &'static str {
    match told {
        ForwardedClaim::Absent => "nothing",
        ForwardedClaim::Untrusted => "unbelieved",
        ForwardedClaim::Trusted => "client",
    }
}

/// 403: no call expects the media socket.
pub(crate) fn unexpected_stream_error() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        NOT_EXPECTED_CODE,
        "no call expects this media stream: start streams with the TwiML of /voice",
    )
}
