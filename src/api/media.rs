//! `GET /media/…`: where Twilio's Media Streams come in.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::watch;
use tracing::Instrument;

use super::{ApiError, ApiState, twilio};
use crate::call::{self, Carried};
use crate::limits;
use crate::telemetry;
use crate::twilio::signature::Payload;
use crate::twilio::stream::session::Admission;

/// Whether this is the path of a media socket.
pub(super) fn is_media(path: &str) -> bool {
    path.strip_prefix("/media")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `GET /media/…`
pub(super) async fn stream(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let path = uri.path();
    twilio::check(&state.doors, path, Payload::None, &headers)?;
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
    let (admission, number) = admit(&state, path)?;
    let Ok(permit) = Arc::clone(&state.media_sockets).try_acquire_owned() else {
        if let Some(call) = &admission.call_sid {
            state.desk.goes_unheard(call).await;
        }
        return unavailable(
            "too_many_streams",
            "too many media streams are open: try again later",
        );
    };
    if let Some(call) = &admission.call_sid {
        state.desk.is_heard(call);
    }
    let frames = match (&admission.call_sid, number) {
        (Some(call), Some(number)) => state.desk.stream_opened(call, number),
        _ => watch::Sender::new(()),
    };
    let switchboard = state.switchboard.clone();
    let upgrade = upgrade
        .max_message_size(limits::MEDIA_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MEDIA_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        let tasks = switchboard.tasks.clone();
        let desk = state.desk;
        let on_end = move |carried: Carried| {
            let Carried {
                call_sid,
                stream_sid,
                reason,
            } = carried;
            desk.stream_ended(&call_sid, stream_sid, number, reason);
        };
        let span = tracing::trace_span!(target: telemetry::SPANS, "media stream");
        let carried = call::carry(socket, switchboard, admission, permit, frames, on_end);
        tasks.spawn_call(carried.instrument(span));
    }))
}

/// What a socket may carry, and the how manyth stream of its call it is: with an account, the
/// stream that its secret was made for, once. Without one (this machine only), whatever it says.
fn admit(state: &ApiState, path: &str) -> Result<(Admission, Option<u32>), ApiError> {
    let Some(account_sid) = &state.doors.account_sid else {
        return Ok((Admission::default(), None));
    };
    let secret = path
        .trim_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let Some(expected) = state.desk.admit_stream(secret) else {
        tracing::warn!(
            "a media socket came with a secret that was used, is too old, or was made up"
        );
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "not_expected",
            "no call expects this media stream: streams are started by the TwiML of /voice",
        ));
    };
    let admission = Admission {
        call_sid: Some(expected.call),
        account_sid: Some(account_sid.clone()),
    };
    Ok((admission, Some(expected.number)))
}
