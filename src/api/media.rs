//! `GET /media/…`: where Twilio's Media Streams come in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::watch;
use tracing::Instrument;

use super::{ApiError, ApiState, probe, simulator, twilio};
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
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let path = uri.path();
    if let Some(keyring) = &state.doors.keyring {
        twilio::check(&state.doors, keyring, path, Payload::None, &headers)?;
    }
    let peer = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    if let Some(refusal) = probe::refusal(&state, path, peer, &headers) {
        return Ok(refusal);
    }
    if path == probe::SILENT && state.doors.keyring.is_some() {
        return Ok(upgrade.on_upgrade(probe::stay_silent));
    }
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
    let (admission, number) = if state.doors.keyring.is_some() {
        admit(&state, path)?
    } else {
        admit_simulated(&state, path, peer, &headers)?
    };
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

/// What a socket without an account may carry: the simulated call that its secret was made for, once;
/// with the simulator key, whatever it says.
fn admit_simulated(
    state: &ApiState,
    path: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(Admission, Option<u32>), ApiError> {
    let (doors, secret) = (&state.doors, secret_of(path));
    if state.desk.simulates() {
        simulator::check_near(peer, headers)?;
        if let Some(expected) = state.desk.admit_stream(secret) {
            let admission = Admission {
                call_sid: Some(expected.call),
                account_sid: None,
            };
            return Ok((admission, Some(expected.number)));
        }
    }
    simulator::check(doors, secret, peer, headers)?;
    Ok((Admission::default(), None))
}

/// The secret at the end of a media socket's path.
fn secret_of(path: &str) -> &str {
    path.trim_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// What a socket that Twilio signed may carry, and the how manyth stream of its call it is: the stream
/// that its secret was made for, once.
fn admit(state: &ApiState, path: &str) -> Result<(Admission, Option<u32>), ApiError> {
    let Some(account_sid) = &state.doors.account_sid else {
        return Ok((Admission::default(), None));
    };
    let Some(expected) = state.desk.admit_stream(secret_of(path)) else {
        tracing::warn!(
            "a media socket came with a secret that was used, is too old, or was made up"
        );
        return Err(probe::not_expected());
    };
    let admission = Admission {
        call_sid: Some(expected.call),
        account_sid: Some(account_sid.clone()),
    };
    Ok((admission, Some(expected.number)))
}
