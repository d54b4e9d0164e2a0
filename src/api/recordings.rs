//! `/api/recordings`: proxies Twilio's recordings. A browser receives neither a recording's URL at
//! Twilio nor the credentials for it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::calls::find_visible_call;
use super::{ApiError, ApiState};
use crate::calls::CallService;
use crate::ids::RecordingSid;
use crate::store::Scope;
use crate::twilio::api::media::MediaFormat;

/// Returns the routes of `/api/recordings`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_recording_media))
}

/// Download a recording from Twilio, with byte ranges: WAV, each party on its own channel.
#[utoipa::path(get, path = "/api/recordings/{sid}/media", tag = "recording",
    params(("sid" = String, Path, description = "the recording")), responses(
    (status = 200, content_type = "audio/wav", body = Vec<u8>),
    (status = 206, content_type = "audio/wav", body = Vec<u8>),
    (status = 404, description = "`no_such_recording`"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn read_recording_media(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<RecordingSid>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require_scope(Scope::CallsRead)?;
    let recording = calls.store().recording(&sid).await?;
    let recording = recording.ok_or_else(no_such_recording)?;
    let found = find_visible_call(&calls, &caller, Scope::CallsRead, &recording.call_sid).await;
    found.map_err(|error| match error.status() {
        StatusCode::NOT_FOUND => no_such_recording(),
        _ => error,
    })?;
    let range = headers.get(header::RANGE);
    let media = calls
        .twilio()?
        .recording_media(&sid, MediaFormat::Wav, range);
    let media = media.await?;
    let mut answer = (media.status, media.headers, Body::from_stream(media.bytes)).into_response();
    let private = HeaderValue::from_static("private, no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, private);
    Ok(answer)
}

/// 404: the recording does not exist, or the caller may not know of it.
fn no_such_recording() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_recording",
        "there is no such recording, or you are not allowed to hear it",
    )
}
