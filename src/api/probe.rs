//! What `callburner doctor` asks the running server for, through the proxies in front of it: media
//! sockets that no call expects. One is refused, and the refusal says what the proxies wrote of the client.
//! The other one opens and stays silent, so that a proxy shows whether sockets open, and how long it
//! keeps a silent one.

use std::net::IpAddr;

use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{ApiError, ApiState, simulator};
use crate::access::proxies::Told;
use crate::clock;
use crate::limits;

/// Refused at once.
pub(crate) const MEDIA: &str = "/media/doctor";

/// Opened if it was signed, and silent for [`limits::DOCTOR_SILENCE`].
pub(crate) const SILENT: &str = "/media/doctor/silent";

/// The code of a media socket that was signed, and that no call expects.
pub(crate) const NOT_EXPECTED: &str = "not_expected";

/// Says what the request said of its client.
pub(crate) const TOLD: HeaderName = HeaderName::from_static("x-callburner-told");

/// The refusal of [`MEDIA`], whose signature is good if there is an account; `None`: another path.
pub(super) fn refusal(
    state: &ApiState,
    path: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Option<Response> {
    if path != MEDIA {
        return None;
    }
    let refusal = if state.doors.keyring.is_some() {
        not_expected()
    } else {
        simulator::shut()
    };
    let told = peer.map(|peer| state.gatehouse.proxies().told(peer, headers));
    let told = told.map_or("", word);
    Some(([(TOLD, HeaderValue::from_static(told))], refusal).into_response())
}

/// Keeps a socket open and silent for [`limits::DOCTOR_SILENCE`], then closes it.
pub(crate) async fn stay_silent(mut socket: WebSocket) {
    let end = clock::now() + limits::DOCTOR_SILENCE;
    tokio::select! {
        () = clock::until(Some(end)) => {}
        // The doctor says nothing, so that it is gone.
        _ = socket.recv() => return,
    }
    // Whoever is gone by now needs no close.
    socket.send(Message::Close(None)).await.ok();
}

/// The word for it in the header.
pub(crate) fn word(told: Told) -> &'static str {
    match told {
        Told::Nothing => "nothing",
        Told::Unbelieved => "unbelieved",
        Told::Client => "client",
    }
}

/// The refusal of a media socket that no call expects.
pub(crate) fn not_expected() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        NOT_EXPECTED,
        "no call expects this media stream: streams are started by the TwiML of /voice",
    )
}
