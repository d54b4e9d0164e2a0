//! What `callburner doctor` asks the running server for, through the proxies in front of it: media
//! sockets that no call expects. One is refused, and the refusal says what the proxies wrote of the client.
//! The other one opens and stays silent, so that a proxy shows whether sockets open, and how long it
//! keeps a silent one.

use std::net::IpAddr;

use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{ApiError, ApiState, simulator_key};
use crate::access::proxies::ForwardedClaim;
use crate::clock;
use crate::limits;

/// Refused at once.
pub(crate) const MEDIA_PATH: &str = "/media/doctor";

/// Opened if it was signed, and silent for [`limits::DOCTOR_IDLE_SOCKET_TIME`].
pub(crate) const SILENT_MEDIA_PATH: &str = "/media/doctor/silent";

/// The code of a media socket that was signed, and that no call expects.
pub(crate) const NOT_EXPECTED_CODE: &str = "not_expected";

/// Says what the request said of its client.
pub(crate) const FORWARDED_HEADER: HeaderName = HeaderName::from_static("x-callburner-told");

/// The refusal of [`MEDIA_PATH`], whose signature is good if there is an account; `None`: another path.
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
        // The doctor says nothing, so that it is gone.
        _ = socket.recv() => return,
    }
    // Whoever is gone by now needs no close.
    socket.send(Message::Close(None)).await.ok();
}

/// The word for it in the header.
pub(crate) fn forwarded_word(told: ForwardedClaim) -> &'static str {
    match told {
        ForwardedClaim::Absent => "nothing",
        ForwardedClaim::Untrusted => "unbelieved",
        ForwardedClaim::Trusted => "client",
    }
}

/// The refusal of a media socket that no call expects.
pub(crate) fn unexpected_stream_error() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        NOT_EXPECTED_CODE,
        "no call expects this media stream: streams are started by the TwiML of /voice",
    )
}
