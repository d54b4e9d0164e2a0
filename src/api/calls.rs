//! `/api/calls`: lists, shows, changes, ends, records and exports calls.
#![expect(
    unused_qualifications,
    reason = "utoipa names a query's type by its path"
)]

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, no_such_call};
use super::{ApiError, ApiState};
use crate::calls::{CallOwnership, CallService, RecordingCommand};
use crate::clock::{self, UtcTime};
use crate::export::{self, ExportFormat};
use crate::ids::CallSid;
use crate::limits;
use crate::store::{
    CallDetail, CallEdit, CallFilter, CallPage, CallRecord, NewCall, Party, Recording, Scope,
    StoreError, TranscriptState,
};
use crate::transcript::{CallStatus, Direction};

/// The default number of calls on a page.
const PAGE_SIZE_DEFAULT: u32 = 50;

/// Returns the routes of `/api/calls`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_calls, claim_call))
        .routes(routes!(read_call, edit_call, delete_call))
        .routes(routes!(hang_up_call))
        .routes(routes!(start_recording))
        .routes(routes!(stop_recording))
        .routes(routes!(pause_recording))
        .routes(routes!(resume_recording))
        .routes(routes!(export_transcript))
}

/// The filter and the page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Words that all occur in the transcript, notes, labels or parties.
    q: Option<String>,
    /// The direction of the call.
    #[param(inline)]
    direction: Option<Direction>,
    /// The status of the call.
    #[param(inline)]
    status: Option<CallStatus>,
    /// Part of a telephone number or name.
    number: Option<String>,
    /// Started at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<UtcTime>,
    /// Started before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<UtcTime>,
    /// Whether the call has audio or a recording.
    recorded: Option<bool>,
    /// A label of the call.
    label: Option<String>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// The number of calls on the page, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A call that the browser knows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KnownCall {
    /// The call's SID in the Voice SDK: the parent leg of an outgoing call, the child leg of an
    /// incoming one.
    sid: CallSid,
    /// The direction of the call.
    direction: Direction,
}

/// List the calls that you are allowed to see, the latest first.
#[utoipa::path(get, path = "/api/calls", tag = "calls", params(ListQuery), responses(
    (status = 200, body = CallPage),
    (status = 400, description = "`bad_cursor`: start again without it; `bad_limit`"),
))]
async fn list_calls(
    caller: Caller,
    State(calls): State<CallService>,
    Query(query): Query<ListQuery>,
) -> Result<Json<CallPage>, ApiError> {
    caller.require_scope(Scope::CallsRead)?;
    let filter = CallFilter {
        q: query.q,
        direction: query.direction,
        status: query.status,
        number: query.number,
        since: query.since,
        until: query.until,
        recorded: query.recorded,
        label: query.label,
    };
    let limit = parse_limit(query.limit, PAGE_SIZE_DEFAULT, limits::CALLS_PAGE_MAX)?;
    let (only, cursor) = (caller.visible_user_id(), query.cursor.as_deref());
    let page = calls.store().calls(&filter, only, cursor, limit).await?;
    if let Some(user) = caller
        .user_id()
        .filter(|_| caller.visible_user_id().is_none())
    {
        // The log does not record the search terms, which may be words of others. Empty results are
        // logged, too, since they reveal something as well.
        let is_search = filter.q.is_some() || filter.number.is_some() || filter.label.is_some();
        let shows_others = page.calls.iter().any(|hit| hit.call.user_id != Some(user));
        let kind = match (is_search, shows_others) {
            (true, _) => Some("searched_calls"),
            (false, true) => Some("listed_calls"),
            (false, false) => None,
        };
        if let Some(kind) = kind {
            calls
                .record_audit_event(kind, "of others", Some(user))
                .await;
        }
    }
    Ok(Json(page))
}

/// Check whether a call that this browser answered belongs to you. Twilio reports who answered;
/// this changes nothing. A page asks when it answers, and the server waits some seconds for
/// Twilio's callback. On a server without users, an unknown call gets a record.
#[utoipa::path(post, path = "/api/calls", tag = "calls", request_body = KnownCall, responses(
    (status = 200, body = CallRecord, description = "the call is yours"),
    (status = 404, description = "`no_such_call`: Twilio has reported no such call, or it belongs to another user"),
    (status = 409, description = "`not_answered_yet`: it rings here, and Twilio has not reported who answered: try \
        again; `answered_by_another`: it rang here, and another user answered it"),
))]
async fn claim_call(
    caller: Caller,
    State(calls): State<CallService>,
    Json(known): Json<KnownCall>,
) -> Result<Json<CallRecord>, ApiError> {
    caller.require_scope(Scope::CallsWrite)?;
    let Some(user) = caller.user_id() else {
        return Ok(Json(open_unclaimed_call(&calls, known).await?));
    };
    let claim = calls.call_ownership(&known.sid, user).await?;
    calls.audit_ownership_check(&known.sid, &claim, user).await;
    let refused = |code, message| Err(ApiError::new(StatusCode::CONFLICT, code, message));
    match claim {
        CallOwnership::Own(record) => Ok(Json(*record)),
        CallOwnership::OtherUser => {
            refused("answered_by_another", "another user answered this call")
        }
        CallOwnership::Pending => {
            let message = "Twilio has not reported who answered this call: try again in a second";
            refused("not_answered_yet", message)
        }
        CallOwnership::Unknown => Err(no_such_call()),
    }
}

/// Returns the call's record, and creates it if it does not exist. On a server without users every
/// caller sees every call.
async fn open_unclaimed_call(
    calls: &CallService,
    known: KnownCall,
) -> Result<CallRecord, StoreError> {
    let call = NewCall {
        sid: known.sid,
        direction: known.direction,
        status: CallStatus::Initiated,
        from: Party::default(),
        to: Party::default(),
        user_id: None,
        started_at: clock::utc_now(),
        transcript: TranscriptState::Off,
        announced: false,
    };
    calls.store().open_call(&call).await
}

/// Get a call with its transcript, recordings and log.
#[utoipa::path(get, path = "/api/calls/{sid}", tag = "calls",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = CallDetail),
    (status = 404, description = "`no_such_call`"),
))]
async fn read_call(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<Json<CallDetail>, ApiError> {
    let record = find_visible_call(&calls, &caller, Scope::CallsRead, &sid).await?;
    let detail = calls.store().call_detail(&record.sid).await?;
    detail.map(Json).ok_or_else(no_such_call)
}

/// Change a call's notes or labels.
#[utoipa::path(patch, path = "/api/calls/{sid}", tag = "calls", request_body = CallEdit,
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = CallRecord),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`too_many`: labels"),
    (status = 422, description = "`too_long`"),
))]
async fn edit_call(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
    Json(edit): Json<CallEdit>,
) -> Result<Json<CallRecord>, ApiError> {
    let record = find_visible_call(&calls, &caller, Scope::CallsWrite, &sid).await?;
    let edited = calls.store().edit_call(&record.sid, &edit).await?;
    edited.map(Json).ok_or_else(no_such_call)
}

/// Delete a call permanently: its transcript, its audio, and its recordings at Twilio.
#[utoipa::path(delete, path = "/api/calls/{sid}", tag = "calls",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 204, description = "the call is deleted"),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`call_in_progress`: end the call first; `busy`: it is being deleted"),
    (status = 502, description = "`twilio_…`: Twilio did not delete the recordings; nothing was deleted here"),
))]
async fn delete_call(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<StatusCode, ApiError> {
    let record = find_visible_call(&calls, &caller, Scope::CallsWrite, &sid).await?;
    calls.delete_call(&record.sid, caller.user_id()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hang up a call.
#[utoipa::path(post, path = "/api/calls/{sid}/hangup", tag = "calls",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 204, description = "the call ends, or had ended"),
    (status = 404, description = "`no_such_call`"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn hang_up_call(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<StatusCode, ApiError> {
    let record = find_visible_call(&calls, &caller, Scope::CallsWrite, &sid).await?;
    calls.hang_up(&record.sid, caller.user_id()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start a recording at Twilio, with each party on its own channel.
#[utoipa::path(post, path = "/api/calls/{sid}/recording/start", tag = "recording",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = Recording, description = "the recording at Twilio"),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`call_over`; `call_not_answered`: start it after the answer; `busy`: try again"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn start_recording(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<Json<Recording>, ApiError> {
    command_recording(&calls, &caller, &sid, RecordingCommand::Start).await
}

/// Stop the recording.
#[utoipa::path(post, path = "/api/calls/{sid}/recording/stop", tag = "recording",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = Recording, description = "the recording at Twilio"),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`call_over`, `not_recording`, `busy`: try again"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn stop_recording(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<Json<Recording>, ApiError> {
    command_recording(&calls, &caller, &sid, RecordingCommand::Stop).await
}

/// Pause the recording: it contains silence until it is resumed.
#[utoipa::path(post, path = "/api/calls/{sid}/recording/pause", tag = "recording",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = Recording, description = "the recording at Twilio"),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`call_over`, `not_recording`, `busy`: try again"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn pause_recording(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<Json<Recording>, ApiError> {
    command_recording(&calls, &caller, &sid, RecordingCommand::Pause).await
}

/// Resume the recording.
#[utoipa::path(post, path = "/api/calls/{sid}/recording/resume", tag = "recording",
    params(("sid" = String, Path, description = "any leg of the call")), responses(
    (status = 200, body = Recording, description = "the recording at Twilio"),
    (status = 404, description = "`no_such_call`"),
    (status = 409, description = "`call_over`, `not_recording`, `busy`: try again"),
    (status = 502, description = "`twilio_…`: Twilio's error, and what to do"),
))]
async fn resume_recording(
    caller: Caller,
    State(calls): State<CallService>,
    Path(sid): Path<CallSid>,
) -> Result<Json<Recording>, ApiError> {
    command_recording(&calls, &caller, &sid, RecordingCommand::Resume).await
}

/// Download the transcript as a file: `txt`, `srt`, `vtt` or `json`.
#[utoipa::path(get, path = "/api/calls/{sid}/{file}", tag = "calls",
    params(
        ("sid" = String, Path, description = "any leg of the call"),
        ("file" = String, Path, description = "`transcript.txt`, `.srt`, `.vtt` or `.json`"),
    ), responses(
    (status = 200, content_type = "text/plain", body = String),
    (status = 404, description = "`no_such_call`, `not_found`"),
))]
async fn export_transcript(
    caller: Caller,
    State(calls): State<CallService>,
    Path((sid, file)): Path<(CallSid, String)>,
) -> Result<Response, ApiError> {
    let formats = [
        (
            "transcript.txt",
            ExportFormat::Txt,
            "text/plain; charset=utf-8",
        ),
        (
            "transcript.srt",
            ExportFormat::Srt,
            "application/x-subrip; charset=utf-8",
        ),
        (
            "transcript.vtt",
            ExportFormat::Vtt,
            "text/vtt; charset=utf-8",
        ),
        ("transcript.json", ExportFormat::Json, "application/json"),
    ];
    let format = formats.into_iter().find(|(name, ..)| *name == file);
    let (_, format, content_type) = format.ok_or_else(super::error::path_not_found)?;
    let record = find_visible_call(&calls, &caller, Scope::CallsRead, &sid).await?;
    let segments = calls.store().segments(&record.sid).await?;
    calls
        .audit_transcript_export(&record.sid, caller.user_id())
        .await;
    // The date, not the number: file names are shared more widely than contents.
    let date = record.started_at.to_string();
    let name = format!(
        "call-{}.{}",
        date[..19].replace(':', "-"),
        format.extension()
    );
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, export::write(&segments, format, true)).into_response())
}

/// Parses the number of entries that a list request asks for. 400: `bad_limit`.
pub(super) fn parse_limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(default);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("the limit is out of range: send a number from 1 to {max}");
    Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_limit", message))
}

async fn command_recording(
    calls: &CallService,
    caller: &Caller,
    sid: &CallSid,
    command: RecordingCommand,
) -> Result<Json<Recording>, ApiError> {
    let record = find_visible_call(calls, caller, Scope::CallsWrite, sid).await?;
    Ok(Json(
        calls
            .command_recording(&record.sid, command, caller.user_id())
            .await?,
    ))
}

/// Returns the call of a leg, if the caller may see it; otherwise the error is the same as for a
/// call that does not exist.
pub(super) async fn find_visible_call(
    calls: &CallService,
    caller: &Caller,
    scope: Scope,
    sid: &CallSid,
) -> Result<CallRecord, ApiError> {
    caller.require_scope(scope)?;
    let parent = calls.store().find_parent(sid).await?;
    let record = match parent {
        Some(parent) => calls.store().call_record(&parent).await?,
        None => None,
    };
    let record = record.ok_or_else(no_such_call)?;
    check_call_access(calls, caller, &record).await?;
    Ok(record)
}

/// Rejects a caller who may not see the call. Audits that an admin views another user's call.
pub(super) async fn check_call_access(
    calls: &CallService,
    caller: &Caller,
    record: &CallRecord,
) -> Result<(), ApiError> {
    caller.require_call_access(record)?;
    if let Some(user) = caller.user_id()
        && record.user_id != Some(user)
    {
        calls.audit_call_viewed(&record.sid, user).await;
    }
    Ok(())
}
