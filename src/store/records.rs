//! Records of calls and users: plain data, the same for every backend, and the JSON of the API's responses.
//! Pure: no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::UtcTime;
use crate::ids::{CallSid, ClientIdentity, RecordingSid, RegistrationId, StreamSid, UserId};
use crate::transcript::{CallStatus, Direction, EndReason, RecordingStatus, Segment};

/// A call, identified by its parent leg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// SID of the parent leg; identifies the call everywhere.
    pub sid: CallSid,
    /// Incoming or outgoing.
    pub direction: Direction,
    /// Current status.
    pub status: CallStatus,
    /// The caller: a telephone number, or `client:` and a browser's identity, or a name.
    pub from: Party,
    /// The callee, in the same formats as `from`.
    pub to: Party,
    /// The owner; only they and admins can see the call.
    pub user_id: Option<UserId>,
    /// Time of the call's start.
    pub started_at: UtcTime,
    /// Time when the parties were connected.
    pub answered_at: Option<UtcTime>,
    /// Time of the call's end.
    pub ended_at: Option<UtcTime>,
    /// Duration of the conversation in seconds, as counted by Twilio.
    pub duration_seconds: Option<u32>,
    /// Cause of the end, if it adds to the status: `refused`, a SIP code, an error.
    pub end_cause: Option<String>,
    /// State of the transcript.
    pub transcript: TranscriptState,
    /// Status of the latest recording at Twilio.
    pub recording: Option<RecordingStatus>,
    /// Whether an announcement informed the parties that the call is recorded or transcribed.
    pub announced: bool,
    /// Whether this server kept the call's audio.
    pub has_audio: bool,
    /// The user's notes.
    pub notes: String,
    /// The user's labels, in order.
    pub labels: Vec<String>,
}

/// A telephone number or the name of a client, for users who may see the call. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Party(pub String);

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// State of a call's transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TranscriptState {
    /// The call is not transcribed.
    Off,
    /// No audio has arrived.
    Waiting,
    /// Audio is arriving; more segments follow.
    Live,
    /// All segments are stored.
    Complete,
    /// The audio or this server stopped early; the segments up to then are stored.
    Interrupted,
}

/// A call with its legs, recordings, segments and log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallDetail {
    /// The call's record.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The legs, parent first.
    pub legs: Vec<Leg>,
    /// The recordings at Twilio, oldest first.
    pub recordings: Vec<Recording>,
    /// The transcript, in order of time.
    pub segments: Vec<Segment>,
    /// The log, in order of time.
    pub events: Vec<CallLogEntry>,
}

/// A leg of a call. The parent is the leg for which Twilio requested TwiML; a child is a leg that the parent
/// dialled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// SID of the leg.
    pub sid: CallSid,
    /// Whether the parent dialled this leg.
    pub is_child: bool,
    /// Current status.
    pub status: CallStatus,
    /// Sequence number of the latest status callback that was applied; null before the first.
    pub sequence: Option<u32>,
    /// The SIP code of the leg's end.
    pub sip_code: Option<u16>,
}

/// A recording at Twilio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// SID of the recording.
    pub sid: RecordingSid,
    /// SID of the call.
    pub call_sid: CallSid,
    /// Current status.
    pub status: RecordingStatus,
    /// Number of channels: 2 if each party has its own.
    pub channels: Option<u8>,
    /// Length in seconds, once known.
    pub duration_seconds: Option<u32>,
    /// Time of the recording's start.
    pub started_at: Option<UtcTime>,
}

/// An event of a call, for its page and for the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallLogEntry {
    /// Time of the event.
    pub at: UtcTime,
    /// Kind of the event, in snake case: `refused`, `stream_restarted`, `recording_started`, ….
    pub kind: String,
    /// Details for people; contains no number, no transcript and no secret.
    pub detail: String,
    /// The user who caused the event.
    pub user_id: Option<UserId>,
}

/// A user's action on this server, for admins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerLogEntry {
    /// Time of the action; if it was repeated, the first time.
    pub at: UtcTime,
    /// Time of the last repetition.
    pub last_at: UtcTime,
    /// Number of times that it happened within the window of about an hour that the entry covers.
    pub count: u64,
    /// Kind of the action, in snake case: `signed_in`, `call_deleted`, ….
    pub kind: String,
    /// Details for people: a call's SID, `user 2`; contains no number, no transcript and no secret.
    pub detail: String,
    /// The user who acted; for a wrong password, the user with that name. The ID stays after the user is
    /// removed.
    pub user_id: Option<UserId>,
    /// The client's address, as reported by trusted proxies; for unauthenticated clients, the network's
    /// address. Null for actions on the command line and of the server itself.
    pub address: Option<String>,
}

/// A new entry for the server's log. Fields as in [`ServerLogEntry`].
#[derive(Debug, Clone)]
pub struct NewLogEntry {
    pub at: UtcTime,
    pub kind: String,
    pub detail: String,
    pub user_id: Option<UserId>,
    pub address: Option<String>,
}

/// A filter for the server's log. All fields are optional; an entry must match all that are set.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    pub kind: Option<String>,
    pub user_id: Option<UserId>,
    /// Matches actions with a first time before this one.
    pub until: Option<UtcTime>,
}

/// A call to create, or to merge into an existing call: then only missing values are filled in.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// SID of the parent leg.
    pub sid: CallSid,
    pub direction: Direction,
    /// Initial status.
    pub status: CallStatus,
    pub from: Party,
    pub to: Party,
    /// The owner.
    pub user_id: Option<UserId>,
    pub started_at: UtcTime,
    /// `Waiting` if the call will be transcribed, otherwise `Off`.
    pub transcript: TranscriptState,
    /// Whether the announcement is played.
    pub announced: bool,
}

/// The contents of a status callback for one leg. A callback for an unknown leg creates its call.
#[derive(Debug, Clone)]
pub struct LegUpdate {
    /// SID of the leg.
    pub leg: CallSid,
    /// SID of its parent; `None` if the leg is the parent.
    pub parent: Option<CallSid>,
    /// New status.
    pub status: CallStatus,
    /// Sequence number among the callbacks of this leg; they can arrive in any order.
    pub sequence: Option<u32>,
    /// Time of the event, by Twilio's clock.
    pub at: Option<UtcTime>,
    /// Duration of the conversation in seconds, in the last callback.
    pub duration_seconds: Option<u32>,
    /// The SIP code of the leg's end.
    pub sip_code: Option<u16>,
    /// Caller and callee.
    pub parties: Option<(Party, Party)>,
    /// Identifies the callback; a second callback with the same token is a repetition.
    pub token: Option<String>,
}

impl LegUpdate {
    /// Returns an update of this server's own, without a callback.
    pub fn new(leg: &CallSid, status: CallStatus) -> Self {
        Self {
            leg: leg.clone(),
            parent: None,
            status,
            sequence: None,
            at: None,
            duration_seconds: None,
            sip_code: None,
            parties: None,
            token: None,
        }
    }
}

/// The contents of a recording callback, or of Twilio's answer to a command.
#[derive(Debug, Clone)]
pub struct RecordingUpdate {
    /// The recording's new state.
    pub recording: Recording,
    /// Identifies the callback.
    pub token: Option<String>,
}

/// Calls and recordings for which Twilio has not reported the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnfinishedItems {
    /// Calls that are not over, with their start.
    pub calls: Vec<(CallSid, UtcTime)>,
    /// Recordings without a final status, with the end of their call.
    pub recordings: Vec<(RecordingSid, UtcTime)>,
}

/// A call to a number, as counted for the daily limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCall {
    pub call: CallSid,
    /// The user who placed the call.
    pub user_id: Option<UserId>,
    /// Time when the call was permitted.
    pub at: UtcTime,
    pub ended_at: Option<UtcTime>,
}

/// A change of a call's status. Methods return `None` instead if nothing changed (a repetition or a late
/// callback).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// Status before.
    pub from: CallStatus,
    /// Status now.
    pub to: CallStatus,
}

/// A user's edit of a call. Absent fields stay unchanged.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallEdit {
    /// Replaces the notes; up to 64 KiB.
    pub notes: Option<String>,
    /// Replaces the labels; up to 32, each of up to 64 bytes.
    pub labels: Option<Vec<String>>,
}

/// A filter for the list of calls. All fields are optional; a call must match all that are set.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallFilter {
    /// Search terms; each must occur in the transcript, notes, labels or parties.
    pub q: Option<String>,
    /// Incoming or outgoing.
    pub direction: Option<Direction>,
    /// Current status.
    pub status: Option<CallStatus>,
    /// Part of a telephone number or name.
    pub number: Option<String>,
    /// Matches calls that started at this time or later.
    pub since: Option<UtcTime>,
    /// Matches calls that started before this time.
    pub until: Option<UtcTime>,
    /// Whether there is audio: a recording at Twilio or this server's own archive.
    pub recorded: Option<bool>,
    /// Matches calls with this label.
    pub label: Option<String>,
}

/// A page of the list of calls, latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallPage {
    /// The calls of this page.
    pub calls: Vec<CallHit>,
    /// Cursor of the next page; null on the last page.
    pub next: Option<String>,
}

/// A call in a list, with the places in its transcript that match the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallHit {
    /// The call's record.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The first matching places.
    pub hits: Vec<SearchHit>,
}

/// A matching place in a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Hit)]
pub struct SearchHit {
    /// Start of the segment on the call's clock, in milliseconds.
    pub start_ms: u64,
    /// The surrounding text, in pieces; every second piece, starting with the second, is a match.
    pub pieces: Vec<String>,
}

/// A stream of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    pub sid: StreamSid,
    /// The stream's index within the call, from 1.
    pub number: u32,
    /// Time from the start of the call's first stream to the start of this one, in milliseconds: the offset
    /// of the stream's clock on the call's clock.
    pub start_offset_ms: u64,
    /// Why the stream ended; `None` while it is open.
    pub ended: Option<EndReason>,
}

/// A user's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// All permissions.
    Admin,
    /// May place calls, and see their own.
    User,
}

/// A user who can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Identifies the user permanently.
    pub id: UserId,
    /// The name for signing in: unique, ignoring case.
    pub name: String,
    /// The user's permissions.
    pub role: Role,
    /// Time when the user was created.
    pub created_at: UtcTime,
    /// Whether another user set the password: the user must change it before they can use the server.
    pub password_is_temporary: bool,
    /// Whether signing in requires a second factor: an authenticator app or a passkey.
    pub has_second_factor: bool,
}

/// A user's authenticator app. `Debug` does not show its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpRecord {
    /// The secret shared by the app and this server.
    pub secret: Vec<u8>,
    pub created_at: UtcTime,
}

impl fmt::Debug for TotpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TotpRecord({})", self.created_at)
    }
}

/// A passkey to store. Fields as in [`Passkey`].
#[derive(Debug, Clone, Copy)]
pub struct NewPasskey<'a> {
    pub user: UserId,
    /// The credential ID, chosen by the user's device.
    pub credential_id: &'a [u8],
    pub user_handle: &'a [u8],
    pub name: &'a str,
    pub credential: &'a str,
}

/// A stored passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Identifies the passkey permanently.
    pub id: i64,
    pub user_id: UserId,
    /// The `WebAuthn` user handle: the user's name on their devices.
    pub user_handle: Vec<u8>,
    /// The name that the user gave it.
    pub name: String,
    /// JSON: the public key, and the other data that verifies an assertion.
    pub credential: String,
    pub created_at: UtcTime,
    /// Time of the last use.
    pub used_at: Option<UtcTime>,
}

/// A session to start. Its user has just confirmed their identity.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// SHA-256 of the cookie's secret.
    pub hash: &'a [u8; 32],
    pub user: UserId,
    /// The client's address; empty if unknown.
    pub address: &'a str,
    /// The browser's `User-Agent`, truncated to
    /// [`limits::USER_AGENT_BYTES_MAX`](crate::limits::USER_AGENT_BYTES_MAX).
    pub user_agent: &'a str,
}

/// A session of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the cookie's secret.
    pub hash: [u8; 32],
    pub user: User,
    /// Time of its start; it expires [`limits::SESSION_AGE_MAX`](crate::limits::SESSION_AGE_MAX) later, used
    /// or not.
    pub created_at: UtcTime,
    /// Time of its last use; it expires [`limits::SESSION_IDLE_MAX`](crate::limits::SESSION_IDLE_MAX) later.
    pub used_at: UtcTime,
    /// Time when its user last confirmed their identity, by a password or a second factor.
    pub confirmed_at: UtcTime,
    /// The client's address at the sign-in; empty if unknown.
    pub address: String,
    /// The browser's `User-Agent` at the sign-in.
    pub user_agent: String,
    /// Identifies the session in its browser's identities at Twilio. It stays when the session is renewed
    /// under another hash.
    pub phone_tag: u64,
}

/// A session that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedSession {
    pub user: UserId,
    /// As in [`SessionRecord::phone_tag`].
    pub phone_tag: u64,
}

impl EndedSession {
    /// Returns the fields of `session` that are needed after its end.
    pub fn from_session(session: &SessionRecord) -> Self {
        Self {
            user: session.user.id,
            phone_tag: session.phone_tag,
        }
    }
}

/// A browser registered at Twilio, which incoming calls ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRecord {
    pub id: RegistrationId,
    /// The browser's client identity at Twilio.
    pub identity: ClientIdentity,
    /// Time when the registration was first reported.
    pub since: UtcTime,
    /// Expiry of its access token, and of the registration with it.
    pub expires_at: UtcTime,
}

/// An API token, for access by programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken {
    /// Identifies the token permanently.
    pub id: i64,
    /// The owner; the token has at most their permissions.
    pub user_id: UserId,
    /// Its purpose, as described by the user.
    pub name: String,
    /// The permitted operations.
    pub scopes: Vec<Scope>,
    /// Time when it was created.
    pub created_at: UtcTime,
    /// Time when it expires; null if it is valid until it is revoked.
    pub expires_at: Option<UtcTime>,
    /// Time of the last use, to the minute.
    pub used_at: Option<UtcTime>,
}

/// A permission of an API token.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Scope {
    /// Read calls, transcripts and audio, and subscribe to live calls.
    #[serde(rename = "calls:read")]
    CallsRead,
    /// Edit, end, record and delete calls.
    #[serde(rename = "calls:write")]
    CallsWrite,
    /// Read the operator's metrics.
    #[serde(rename = "metrics")]
    Metrics,
}

/// What remains to be deleted elsewhere after a call was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedCall {
    /// Its recordings at Twilio.
    pub recordings: Vec<RecordingSid>,
}
