//! `GET /media/…`: where Twilio's Media Streams come in.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{ApiError, ApiState};
use crate::call;
use crate::limits;
use crate::twilio::signature::{self, Payload};
use crate::twilio::stream::session::Admission;

/// The header that Twilio signs requests with.
const SIGNATURE: &str = "x-twilio-signature";

/// `GET /media/…`
pub(super) async fn stream(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    check_signature(&state, uri.path(), &headers)?;
    let unavailable = |code, message| {
        Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            message,
        ))
    };
    if state.switchboard.tasks.is_stopping() {
        return unavailable(
            "restarting",
            "the server is restarting: come back in a moment",
        );
    }
    let Ok(permit) = Arc::clone(&state.media_sockets).try_acquire_owned() else {
        return unavailable(
            "too_many_streams",
            "too many media streams are open: try again later",
        );
    };
    let switchboard = state.switchboard.clone();
    let upgrade = upgrade
        .max_message_size(limits::MEDIA_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MEDIA_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        let tasks = switchboard.tasks.clone();
        let admission = Admission::default();
        tasks.spawn(call::carry(socket, switchboard, admission, permit, |_| {}));
    }))
}

/// Refuses an upgrade that Twilio did not sign. Without a key (this machine only) nothing is
/// checked. Media Streams URLs have no query: Twilio strips it.
fn check_signature(state: &ApiState, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let (Some(key), Some(base)) = (&state.doors.twilio_key, &state.doors.public_base_url) else {
        return Ok(());
    };
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let prefix = base.path().trim_end_matches('/');
    let url = format!("wss://{authority}{prefix}{path}");
    let given = headers
        .get(SIGNATURE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    signature::verify(key, &url, Payload::None, given).map_err(|error| {
        // The path holds the call's secret, so it stays out of the log.
        tracing::warn!(
            %error, signed_for = format!("wss://{authority}{prefix}/media/…"),
            "a media stream was not signed by Twilio; if it was Twilio, PUBLIC_BASE_URL or \
             TWILIO_AUTH_TOKEN is not what Twilio knows"
        );
        ApiError::new(
            StatusCode::FORBIDDEN,
            "bad_signature",
            "this request was not signed by Twilio",
        )
    })
}
