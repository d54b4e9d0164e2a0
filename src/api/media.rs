//! `GET /media/…`: the WebSocket of Twilio's Media Streams.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::Instrument;

use super::{ApiError, ApiState, doctor_endpoints, simulator_key, twilio};
use crate::limits;
use crate::media_task::{self, EndedStream};
use crate::telemetry;
use crate::twilio::signature::SignedPayload;
use crate::twilio::stream::session::StreamBinding;

/// Reports whether `path` is that of a media socket.
pub(super) fn is_media_path(path: &str) -> bool {
    path.strip_prefix("/media")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `GET /media/…`
pub(super) async fn accept_media_stream(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let path = uri.path();
    if let Some(keyring) = &state.endpoint.keyring {
        twilio::verify_signature(
            &state.endpoint,
            keyring,
            path,
            SignedPayload::None,
            &headers,
        )?;
    }
    let peer = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    if let Some(refusal) = doctor_endpoints::doctor_refusal(&state, path, peer, &headers) {
        return Ok(refusal);
    }
    if path == doctor_endpoints::SILENT_MEDIA_PATH && state.endpoint.keyring.is_some() {
        return Ok(upgrade.on_upgrade(doctor_endpoints::hold_silent_socket));
    }
    if state.media_deps.tasks.is_stopping() {
        return Err(ApiError::unavailable(
            "restarting",
            "the server is restarting: try again in a moment",
        ));
    }
    let (binding, number) = if state.endpoint.keyring.is_some() {
        redeem_stream_token(&state, path)?
    } else {
        redeem_simulated_stream_token(&state, path, peer, &headers)?
    };
    let permit = acquire_stream_permit(&state, &binding).await?;
    Ok(start_media_stream(upgrade, state, binding, number, permit))
}

/// Acquires the permit of a media socket, and marks its call as transcribed, or as not transcribed.
/// 503: too many sockets are open.
async fn acquire_stream_permit(
    state: &ApiState,
    binding: &StreamBinding,
) -> Result<OwnedSemaphorePermit, ApiError> {
    let Ok(permit) = Arc::clone(&state.media_sockets).try_acquire_owned() else {
        if let Some(call) = &binding.call_sid {
            state.calls.mark_not_transcribed(call).await;
        }
        return Err(ApiError::unavailable(
            "too_many_streams",
            "too many media streams are open: try again later",
        ));
    };
    if let Some(call) = &binding.call_sid {
        state.calls.mark_transcribed(call);
    }
    Ok(permit)
}

/// Answers with the upgrade to a WebSocket, and runs the media stream on it. `number` is the
/// stream's index within the call.
fn start_media_stream(
    upgrade: WebSocketUpgrade,
    state: ApiState,
    binding: StreamBinding,
    number: Option<u32>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let frames = match (&binding.call_sid, number) {
        (Some(call), Some(number)) => state.calls.on_stream_opened(call, number),
        _ => watch::Sender::new(()),
    };
    let media_deps = state.media_deps.clone();
    let upgrade = upgrade
        .max_message_size(limits::MEDIA_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MEDIA_MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(async move |socket| {
        let tasks = media_deps.tasks.clone();
        let calls = state.calls;
        let on_end = move |ended: EndedStream| {
            calls.on_stream_ended(&ended.call_sid, ended.stream_sid, number, ended.reason);
        };
        let span = tracing::trace_span!(target: telemetry::SPAN_TARGET, "media stream");
        let ended =
            media_task::run_media_stream(socket, media_deps, binding, permit, frames, on_end);
        tasks.spawn_call(ended.instrument(span));
    })
}

/// Returns the call that a socket of a server without an account may carry: the simulated call for
/// which its secret was issued, once; with the simulator key, any call.
fn redeem_simulated_stream_token(
    state: &ApiState,
    path: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(StreamBinding, Option<u32>), ApiError> {
    let (endpoint, secret) = (&state.endpoint, stream_secret_of(path));
    if state.calls.can_simulate() {
        simulator_key::require_local_peer(peer, headers)?;
        if let Some(expected) = state.calls.redeem_stream_token(secret) {
            let binding = StreamBinding {
                call_sid: Some(expected.call),
                account_sid: None,
            };
            return Ok((binding, Some(expected.number)));
        }
    }
    simulator_key::require_simulator_key(endpoint, secret, peer, headers)?;
    Ok((StreamBinding::default(), None))
}

/// Returns the secret at the end of a media socket's path.
fn stream_secret_of(path: &str) -> &str {
    path.trim_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// Redeems the secret of a socket that Twilio signed. Returns the call and the stream's index
/// within the call, from 1. 403: the secret is unknown, used or expired.
fn redeem_stream_token(
    state: &ApiState,
    path: &str,
) -> Result<(StreamBinding, Option<u32>), ApiError> {
    let Some(account_sid) = &state.endpoint.account_sid else {
        return Ok((StreamBinding::default(), None));
    };
    let Some(expected) = state.calls.redeem_stream_token(stream_secret_of(path)) else {
        tracing::warn!("a media socket was refused: its secret is unknown, used or expired");
        return Err(doctor_endpoints::unexpected_stream_error());
    };
    let binding = StreamBinding {
        call_sid: Some(expected.call),
        account_sid: Some(account_sid.clone()),
    };
    Ok((binding, Some(expected.number)))
}
