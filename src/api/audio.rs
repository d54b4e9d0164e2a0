//! `/api/calls/{sid}/audio`: what this server kept of a call's sound, with byte ranges.
//!
//! A call that goes on has a file that grows, and whose last page may be written anew. What is sent
//! is the file as long as it was when it was asked for; it has no `ETag`, for nothing vouches for
//! it, and is not to be stored. The file of a call that is over has one, and a browser may keep it
//! for itself as long as it asks each time whether it is still good, and still allowed.

use std::io::SeekFrom;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::calls::find;
use super::ranges::{Wanted, wanted};
use super::{ApiError, ApiState};
use crate::archive::Kept;
use crate::desk::Desk;
use crate::ids::CallSid;
use crate::limits;
use crate::store::{CallRecord, Scope};

/// Opus in Ogg (RFC 7845, 9).
const CONTENT_TYPE: &str = "audio/ogg; codecs=opus";

/// `/api/calls/{sid}/audio`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(audio))
}

/// The call's sound, also while it goes on: Opus in Ogg, left what Twilio received, right what it
/// sent. Millisecond 0 is that of the transcript.
#[utoipa::path(get, path = "/api/calls/{sid}/audio", tag = "calls",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, content_type = "audio/ogg", body = Vec<u8>),
    (status = 206, content_type = "audio/ogg", body = Vec<u8>),
    (status = 304, description = "the browser has it"),
    (status = 404, description = "`no_such_call`, `no_audio`: none was kept"),
    (status = 416, description = "`no_such_range`"),
))]
async fn audio(
    caller: Caller,
    State(desk): State<Desk>,
    Path(sid): Path<CallSid>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record = find(&desk, &caller, Scope::CallsRead, &sid).await?;
    let Some(kept) = desk.audio(&record.sid).await? else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_audio",
            "no audio of this call was kept: calls are archived while ARCHIVE is on",
        ));
    };
    let tag = tag(&kept);
    let about = about(&record, tag.as_deref());
    let is_known = |name| tag.as_deref().is_some_and(|tag| names(&headers, name, tag));
    if is_known(&header::IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    // A part of something else than the browser has would spoil it.
    let is_same = !headers.contains_key(header::IF_RANGE) || is_known(&header::IF_RANGE);
    let range = headers
        .get(header::RANGE)
        .filter(|_| is_same && method == Method::GET);
    let range = range.and_then(|range| range.to_str().ok());
    match range.map_or(Wanted::Whole, |range| wanted(range, kept.bytes)) {
        Wanted::Whole => send(kept, about, None).await,
        Wanted::Part { first, last } => send(kept, about, Some((first, last))).await,
        Wanted::Beyond => {
            let length = [(header::CONTENT_RANGE, format!("bytes */{}", kept.bytes))];
            let error = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "no_such_range",
                "the audio is shorter than that",
            );
            Ok((length, error).into_response())
        }
    }
}

/// Names what the file holds: not while it still changes.
fn tag(kept: &Kept) -> Option<String> {
    let tag = || format!("\"{:x}-{:x}\"", kept.written_at.millis(), kept.bytes);
    (!kept.is_open).then(tag)
}

/// What every answer says of the file.
fn about(record: &CallRecord, tag: Option<&str>) -> HeaderMap {
    // The date, not the number: a file's name travels further than its sound.
    let date = record.started_at.to_string();
    let name = format!(
        "inline; filename=\"call-{}.ogg\"",
        date[..19].replace(':', "-")
    );
    let keep = if tag.is_some() {
        "private, no-cache"
    } else {
        "private, no-store"
    };
    let mut about = HeaderMap::new();
    for (header, text) in [
        (header::CONTENT_DISPOSITION, Some(name.as_str())),
        (header::CACHE_CONTROL, Some(keep)),
        (header::ACCEPT_RANGES, Some("bytes")),
        (header::ETAG, tag),
    ] {
        let value = text.map(|text| HeaderValue::from_str(text).expect("visible ASCII"));
        about.extend(value.map(|value| (header, value)));
    }
    about
}

/// Whether a condition names this tag. A proxy that packs what it hands on makes a tag a weak one,
/// which is as good for a question, and none for a range (RFC 9110, 8.8.3.2).
fn names(headers: &HeaderMap, condition: &HeaderName, tag: &str) -> bool {
    let values = headers.get_all(condition).into_iter();
    let mut named = values.filter_map(|value| value.to_str().ok());
    let is_question = *condition == header::IF_NONE_MATCH;
    named.any(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|named| named == tag || is_question && named.strip_prefix("W/") == Some(tag))
    })
}

/// Sends the file, or its bytes from one to another.
async fn send(
    kept: Kept,
    about: HeaderMap,
    part: Option<(u64, u64)>,
) -> Result<Response, ApiError> {
    let (first, length) = match part {
        Some((first, last)) => (first, last - first + 1),
        None => (0, kept.bytes),
    };
    let mut file = File::from_std(kept.file);
    let moved = file.seek(SeekFrom::Start(first)).await;
    moved.map_err(ApiError::internal)?;
    let bytes = ReaderStream::with_capacity(file.take(length), limits::AUDIO_CHUNK_BYTES);
    let kind = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let mut answer = (about, kind, Body::from_stream(bytes)).into_response();
    if let Some((first, last)) = part {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let place = format!("bytes {first}-{last}/{}", kept.bytes);
        let place = HeaderValue::from_str(&place).expect("visible ASCII");
        answer.headers_mut().insert(header::CONTENT_RANGE, place);
    }
    Ok(answer)
}
