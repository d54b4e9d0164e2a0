//! What `callburner doctor` asks the running server for, through the proxies in front of it: media
//! sockets that no call expects. The refusal says what the proxies wrote of the client, and comes late
//! if that is wanted, so that a proxy shows how long it bears silence.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{ApiError, ApiState, simulator};
use crate::access::proxies::Told;
use crate::clock;
use crate::limits;

/// Refused at once.
pub(crate) const MEDIA: &str = "/media/doctor";

/// Refused after [`limits::DOCTOR_SILENCE`], if it was signed.
pub(crate) const SILENT: &str = "/media/doctor/silent";

/// The code of a media socket that was signed, and that no call expects.
pub(crate) const NOT_EXPECTED: &str = "not_expected";

/// Says what the request said of its client.
pub(crate) const TOLD: HeaderName = HeaderName::from_static("x-callburner-told");

/// The refusal of one of the doctor's sockets, whose signature is good if there is an account; `None`:
/// the path is none of the doctor's.
pub(super) async fn answer(
    state: &ApiState,
    path: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Option<Response> {
    let has_account = state.doors.keyring.is_some();
    match path {
        MEDIA => {}
        SILENT if has_account => clock::until(Some(clock::now() + limits::DOCTOR_SILENCE)).await,
        _ => return None,
    }
    let refusal = if has_account {
        not_expected()
    } else {
        simulator::shut()
    };
    let told = peer.map(|peer| state.gatehouse.proxies().told(peer, headers));
    let told = told.map_or("", word);
    Some(([(TOLD, HeaderValue::from_static(told))], refusal).into_response())
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
