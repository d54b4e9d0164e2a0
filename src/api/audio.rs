//! `/api/calls/{sid}/audio`: a call's archived audio, with byte ranges.
//!
//! The file of an active call grows, and its last page may be rewritten. The response contains the
//! file at its length when it was requested; it has no `ETag`, since the content can change, and
//! must not be stored. The file of an ended call has one; browsers may cache it privately, if they
//! revalidate it with every use, which also checks the user's rights.

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

use super::byte_range::{ByteRange, parse_range};
use super::caller::Caller;
use super::calls::find_visible_call;
use super::{ApiError, ApiState};
use crate::archive::ArchivedAudio;
use crate::calls::CallService;
use crate::ids::CallSid;
use crate::limits;
use crate::store::{CallRecord, Scope};

/// Opus in Ogg (RFC 7845, 9).
const CONTENT_TYPE: &str = "audio/ogg; codecs=opus";

/// Returns the route of `/api/calls/{sid}/audio`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_call_audio))
}

/// Download the call's audio, also while the call is active: Opus in Ogg, on the left channel the
/// track that Twilio received, on the right the one that it sent. Millisecond 0 is that of the
/// transcript.
#[utoipa::path(get, path = "/api/calls/{sid}/audio", tag = "calls",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, content_type = "audio/ogg", body = Vec<u8>),
    (status = 206, content_type = "audio/ogg", body = Vec<u8>),
    (status = 304, description = "the browser's copy is current"),
    (status = 404, description = "`no_such_call`; `no_audio`: none was archived"),
    (status = 416, description = "`no_such_range`"),
))]
async fn read_call_audio(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let record = find_visible_call(&calls, &caller, Scope::CallsRead, &sid).await?;
    let Some(audio) = calls.read_audio(&record.sid).await? else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_audio",
            "no audio of this call was archived: set ARCHIVE to archive the audio of new calls",
        ));
    };
    let etag = etag_of(&audio);
    let response_headers = audio_headers(&record, etag.as_deref());
    let is_etag_match = |name| {
        etag.as_deref()
            .is_some_and(|etag| matches_etag(&headers, name, etag))
    };
    if is_etag_match(&header::IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, response_headers).into_response());
    }
    // A range of a newer file would corrupt the browser's copy.
    let is_range_valid =
        !headers.contains_key(header::IF_RANGE) || is_etag_match(&header::IF_RANGE);
    let range = headers
        .get(header::RANGE)
        .filter(|_| is_range_valid && method == Method::GET);
    let range = range.and_then(|range| range.to_str().ok());
    match range.map_or(ByteRange::Whole, |range| parse_range(range, audio.bytes)) {
        ByteRange::Whole => stream_audio(audio, response_headers, None).await,
        ByteRange::Part { first, last } => {
            stream_audio(audio, response_headers, Some((first, last))).await
        }
        ByteRange::Unsatisfiable => {
            let length = [(header::CONTENT_RANGE, format!("bytes */{}", audio.bytes))];
            let error = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "no_such_range",
                "the requested range starts after the end of the audio",
            );
            Ok((length, error).into_response())
        }
    }
}

/// Returns the `ETag` of the file; `None` while the file is open, and may change.
fn etag_of(audio: &ArchivedAudio) -> Option<String> {
    let etag = || format!("\"{:x}-{:x}\"", audio.written_at.millis(), audio.bytes);
    (!audio.is_open).then(etag)
}

/// Returns the headers that every response about the file has.
fn audio_headers(record: &CallRecord, etag: Option<&str>) -> HeaderMap {
    // The date, not the number: file names are shared more widely than contents.
    let date = record.started_at.to_string();
    let name = format!(
        "inline; filename=\"call-{}.ogg\"",
        date[..19].replace(':', "-")
    );
    let cache_control = if etag.is_some() {
        "private, no-cache"
    } else {
        "private, no-store"
    };
    let mut response_headers = HeaderMap::new();
    for (header, text) in [
        (header::CONTENT_DISPOSITION, Some(name.as_str())),
        (header::CACHE_CONTROL, Some(cache_control)),
        (header::ACCEPT_RANGES, Some("bytes")),
        (header::ETAG, etag),
    ] {
        let value = text.map(|text| HeaderValue::from_str(text).expect("visible ASCII"));
        response_headers.extend(value.map(|value| (header, value)));
    }
    response_headers
}

/// Reports whether a conditional header names this tag. A proxy that compresses the response makes
/// the tag weak, which matches in `If-None-Match`, and not in `If-Range` (RFC 9110, 8.8.3.2).
fn matches_etag(headers: &HeaderMap, condition: &HeaderName, etag: &str) -> bool {
    let values = headers.get_all(condition).into_iter();
    let mut named = values.filter_map(|value| value.to_str().ok());
    let is_question = *condition == header::IF_NONE_MATCH;
    named.any(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|named| named == etag || is_question && named.strip_prefix("W/") == Some(etag))
    })
}

/// Streams the file, or the bytes of a part, first to last.
async fn stream_audio(
    audio: ArchivedAudio,
    response_headers: HeaderMap,
    part: Option<(u64, u64)>,
) -> Result<Response, ApiError> {
    let (first, length) = match part {
        Some((first, last)) => (first, last - first + 1),
        None => (0, audio.bytes),
    };
    let mut file = File::from_std(audio.file);
    let sought = file.seek(SeekFrom::Start(first)).await;
    sought.map_err(ApiError::internal)?;
    let bytes = ReaderStream::with_capacity(file.take(length), limits::AUDIO_CHUNK_BYTES);
    let kind = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let mut answer = (response_headers, kind, Body::from_stream(bytes)).into_response();
    if let Some((first, last)) = part {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {first}-{last}/{}", audio.bytes);
        let content_range = HeaderValue::from_str(&content_range).expect("visible ASCII");
        answer
            .headers_mut()
            .insert(header::CONTENT_RANGE, content_range);
    }
    Ok(answer)
}
