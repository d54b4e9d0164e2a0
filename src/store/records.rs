//! What is kept of calls and people: plain data, the same for every backend; the JSON that the
//! API answers with. Pure: no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::UtcTime;
use crate::ids::{CallSid, ClientIdentity, RecordingSid, RegistrationId, StreamSid, UserId};
use crate::transcript::{CallStatus, Direction, EndReason, RecordingStatus, Segment};

/// One call, named by its parent leg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// The parent leg's SID, which names the call everywhere.
    pub sid: CallSid,
    /// Who called whom.
    pub direction: Direction,
    /// Where it is.
    pub status: CallStatus,
    /// Who calls: a telephone number, or `client:` and a browser's identity, or a name.
    pub from: Party,
    /// Who is called, as in `from`.
    pub to: Party,
    /// The user whose call it is; only he and admins see it.
    pub user_id: Option<UserId>,
    /// When it began.
    pub started_at: UtcTime,
    /// When the parties began to talk.
    pub answered_at: Option<UtcTime>,
    /// When it ended.
    pub ended_at: Option<UtcTime>,
    /// Seconds of talk, as Twilio counts them.
    pub duration_seconds: Option<u32>,
    /// Why it ended, if there is more to say than its status: `refused`, a SIP code, an error.
    pub end_cause: Option<String>,
    /// Where its words come from, and whether more will come.
    pub transcript: TranscriptState,
    /// Where its latest recording at Twilio is.
    pub recording: Option<RecordingStatus>,
    /// Whether the parties were told that they are recorded or written down.
    pub announced: bool,
    /// Whether this server kept the call's audio.
    pub has_audio: bool,
    /// What the user wrote about it.
    pub notes: String,
    /// The user's labels, in order.
    pub labels: Vec<String>,
}

/// A telephone number or the name of a client, as shown to those who may see the call. `Debug`
/// shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Party(pub String);

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// Whether a call's words are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TranscriptState {
    /// The call is not written down.
    Off,
    /// No audio has come yet.
    Waiting,
    /// Words are still coming.
    Live,
    /// All words are there.
    Complete,
    /// The audio, or this server, broke off; what was heard until then is there.
    Interrupted,
}

/// A call with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallDetail {
    /// The call itself.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Its legs, the parent first.
    pub legs: Vec<Leg>,
    /// Its recordings at Twilio, oldest first.
    pub recordings: Vec<Recording>,
    /// What was said, in order of time.
    pub segments: Vec<Segment>,
    /// What happened, in order of time.
    pub events: Vec<CallLogEntry>,
}

/// One leg of a call: the parent is the leg that asked for TwiML, a child one that it dialled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// Its SID.
    pub sid: CallSid,
    /// Whether it was dialled by the parent.
    pub is_child: bool,
    /// Where it is.
    pub status: CallStatus,
    /// The number of the latest status callback that counted; none yet.
    pub sequence: Option<u32>,
    /// The SIP code it ended with.
    pub sip_code: Option<u16>,
}

/// A recording at Twilio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Its SID.
    pub sid: RecordingSid,
    /// The call.
    pub call_sid: CallSid,
    /// Where it is.
    pub status: RecordingStatus,
    /// Channels: 2 when each party has its own.
    pub channels: Option<u8>,
    /// Its length, once known.
    pub duration_seconds: Option<u32>,
    /// When it began.
    pub started_at: Option<UtcTime>,
}

/// Something that happened to a call, for its page and for the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallLogEntry {
    /// When.
    pub at: UtcTime,
    /// What, in snake case: `refused`, `stream_restarted`, `recording_started`, ….
    pub kind: String,
    /// More about it, for people; no number, no words, no secret.
    pub detail: String,
    /// Who did it, if a user.
    pub user_id: Option<UserId>,
}

/// Something that people did on this server, for admins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerLogEntry {
    /// When; the first time, if it was done again.
    pub at: UtcTime,
    /// When it was last done.
    pub last_at: UtcTime,
    /// How often it was done within the hour or so that the entry stands for.
    pub count: u64,
    /// What, in snake case: `signed_in`, `call_deleted`, ….
    pub kind: String,
    /// More about it, for people: a call's SID, `user 2`; no number, no words, no secret.
    pub detail: String,
    /// Who did it, if a user; of a wrong password, the user whose name it was. Users that are gone stay
    /// named.
    pub user_id: Option<UserId>,
    /// The client's address, as far as proxies are believed; of a stranger, the network's. None: it was
    /// done on the command line, or by the server itself.
    pub address: Option<String>,
}

/// An entry for the server's log.
#[derive(Debug, Clone)]
pub struct NewLogEntry {
    /// When.
    pub at: UtcTime,
    /// What, in snake case.
    pub kind: String,
    /// More about it, for people.
    pub detail: String,
    /// Who did it.
    pub user_id: Option<UserId>,
    /// The client's address.
    pub address: Option<String>,
}

/// Which entries of the server's log are wanted. Everything is optional, and all of it must fit.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Done by this user.
    pub user_id: Option<UserId>,
    /// Done, for the first time, before.
    pub until: Option<UtcTime>,
}

/// A call that is to be opened, or adopted if it is there already: then only what is not known yet
/// is filled in.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// The parent leg's SID.
    pub sid: CallSid,
    /// Who called whom.
    pub direction: Direction,
    /// The status to begin with.
    pub status: CallStatus,
    /// Who calls.
    pub from: Party,
    /// Who is called.
    pub to: Party,
    /// Whose call it is.
    pub user_id: Option<UserId>,
    /// When.
    pub started_at: UtcTime,
    /// Whether it will be written down.
    pub transcript: TranscriptState,
    /// Whether the parties are told.
    pub announced: bool,
}

/// What a status callback says of one leg. A leg that nobody knows makes its call.
#[derive(Debug, Clone)]
pub struct LegUpdate {
    /// The leg.
    pub leg: CallSid,
    /// Its parent; none: it is the parent.
    pub parent: Option<CallSid>,
    /// Where it is now.
    pub status: CallStatus,
    /// Counts the callbacks of this leg; arrival order is not guaranteed.
    pub sequence: Option<u32>,
    /// When it happened, by Twilio's clock.
    pub at: Option<UtcTime>,
    /// Seconds of talk, at the end.
    pub duration_seconds: Option<u32>,
    /// The SIP code it ended with.
    pub sip_code: Option<u16>,
    /// Who calls, and who is called.
    pub parties: Option<(Party, Party)>,
    /// Names this callback: a second with the same one is a repetition.
    pub token: Option<String>,
}

impl LegUpdate {
    /// What this server knows of a leg by itself.
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

/// What a recording callback, or Twilio's answer to a command, says of a recording.
#[derive(Debug, Clone)]
pub struct RecordingUpdate {
    /// The recording as it is now.
    pub recording: Recording,
    /// Names this callback.
    pub token: Option<String>,
}

/// What Twilio has yet to say the end of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnfinishedItems {
    /// Calls that are not over, and when they began.
    pub calls: Vec<(CallSid, UtcTime)>,
    /// Recordings that are not settled, and when their call ended.
    pub recordings: Vec<(RecordingSid, UtcTime)>,
}

/// A call to a number, as it counts for the bounds of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCall {
    /// The call.
    pub call: CallSid,
    /// Who called.
    pub user_id: Option<UserId>,
    /// When it was let through.
    pub at: UtcTime,
    /// When it ended.
    pub ended_at: Option<UtcTime>,
}

/// What changed by an update; `None` instead of it when nothing did (a repetition, something late).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// The call's status before.
    pub from: CallStatus,
    /// The call's status now.
    pub to: CallStatus,
}

/// What a user may change of a call; `None` leaves it.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallEdit {
    /// In place of the notes that are there; up to 64 KiB.
    pub notes: Option<String>,
    /// In place of the labels that are there; up to 32, of up to 64 bytes each.
    pub labels: Option<Vec<String>>,
}

/// Which calls a list shows. Everything is optional, and all of it must fit.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallFilter {
    /// Words, all of which were said, or stand in the notes, labels or parties.
    pub q: Option<String>,
    /// Who called whom.
    pub direction: Option<Direction>,
    /// Where it is.
    pub status: Option<CallStatus>,
    /// Part of a telephone number or name.
    pub number: Option<String>,
    /// Began then or later.
    pub since: Option<UtcTime>,
    /// Began before.
    pub until: Option<UtcTime>,
    /// Whether there is anything to listen to: a recording at Twilio or our own audio.
    pub recorded: Option<bool>,
    /// Carries this label.
    pub label: Option<String>,
}

/// A page of a list of calls, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallPage {
    /// The calls.
    pub calls: Vec<CallHit>,
    /// Give this to get the next page; none: this is the last.
    pub next: Option<String>,
}

/// A call in a list, with where it fits the words that were looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallHit {
    /// The call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The first places where the words were said.
    pub hits: Vec<SearchHit>,
}

/// A place in a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Hit)]
pub struct SearchHit {
    /// Where it was said, on the call's clock.
    pub start_ms: u64,
    /// The words around it, in pieces; every second piece, from the second on, is what was looked
    /// for.
    pub pieces: Vec<String>,
}

/// A stream of a call that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream.
    pub sid: StreamSid,
    /// The how manyth of its call, from 1.
    pub number: u32,
    /// How long after the call's first stream it began: where its own clock is on the call's.
    pub start_offset_ms: u64,
    /// Why it ended, if it has.
    pub ended: Option<EndReason>,
}

/// What someone may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Call, and see own calls.
    User,
}

/// Someone who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Names this user for good.
    pub id: UserId,
    /// What is typed to sign in: unique, whatever the case.
    pub name: String,
    /// What this user may do.
    pub role: Role,
    /// Since when.
    pub created_at: UtcTime,
    /// Whether somebody else set the password: the user must choose another before anything else.
    pub password_is_temporary: bool,
    /// Whether signing in takes more than the password: an authenticator app, or a passkey.
    pub has_second_factor: bool,
}

/// An authenticator app. `Debug` does not show its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpRecord {
    /// What the app and this server share.
    pub secret: Vec<u8>,
    /// Since when.
    pub created_at: UtcTime,
}

impl fmt::Debug for TotpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TotpRecord({})", self.created_at)
    }
}

/// A passkey that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewPasskey<'a> {
    /// Whose.
    pub user: UserId,
    /// What the user's device calls it.
    pub credential_id: &'a [u8],
    /// How the user's devices name the user.
    pub user_handle: &'a [u8],
    /// What its user calls it.
    pub name: &'a str,
    /// JSON: its public key, and what else verifies an answer.
    pub credential: &'a str,
}

/// A passkey that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Names it for good.
    pub id: i64,
    /// Whose.
    pub user_id: UserId,
    /// How the user's devices name the user.
    pub user_handle: Vec<u8>,
    /// What its user calls it.
    pub name: String,
    /// JSON: its public key, and what else verifies an answer.
    pub credential: String,
    /// Since when.
    pub created_at: UtcTime,
    /// When it was last used.
    pub used_at: Option<UtcTime>,
}

/// A session that begins; its user has just proved to be there.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// SHA-256 of the cookie's secret.
    pub hash: &'a [u8; 32],
    /// Who.
    pub user: UserId,
    /// The address of the client; empty: not known.
    pub address: &'a str,
    /// What the browser calls itself; cut at [`limits::USER_AGENT_BYTES_MAX`](crate::limits::USER_AGENT_BYTES_MAX).
    pub user_agent: &'a str,
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the cookie's secret.
    pub hash: [u8; 32],
    /// Who.
    pub user: User,
    /// When it began; it ends for good some time after, used or not.
    pub created_at: UtcTime,
    /// When it was last used; it ends some time after.
    pub used_at: UtcTime,
    /// When its user last proved to be there, by a password or a second factor.
    pub confirmed_at: UtcTime,
    /// The address that it was begun from; empty: not known.
    pub address: String,
    /// What the browser called itself then.
    pub user_agent: String,
    /// Names the session in the identities of its browser at Twilio. Stays when the session is
    /// renewed under another hash.
    pub phone_tag: u64,
}

/// A session that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedSession {
    /// Whose it was.
    pub user: UserId,
    /// What named it at Twilio.
    pub phone_tag: u64,
}

impl EndedSession {
    /// What is left of a session.
    pub fn from_session(session: &SessionRecord) -> Self {
        Self {
            user: session.user.id,
            phone_tag: session.phone_tag,
        }
    }
}

/// A browser that has registered at Twilio, so that incoming calls ring it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRecord {
    /// Names the registration.
    pub id: RegistrationId,
    /// What the browser is called at Twilio.
    pub identity: ClientIdentity,
    /// When the registration was first told.
    pub since: UtcTime,
    /// When its pass to Twilio ends, and the registration with it.
    pub expires_at: UtcTime,
}

/// A machine's way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken {
    /// Names it for good.
    pub id: i64,
    /// Whose rights it has.
    pub user_id: UserId,
    /// What it is for, in the user's words.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Since when.
    pub created_at: UtcTime,
    /// Until when; none: until it is taken back.
    pub expires_at: Option<UtcTime>,
    /// When it was last used, to the minute.
    pub used_at: Option<UtcTime>,
}

/// Something that an API token may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Scope {
    /// Read calls, transcripts and audio, and listen to live ones.
    #[serde(rename = "calls:read")]
    CallsRead,
    /// Change, end, record and delete calls.
    #[serde(rename = "calls:write")]
    CallsWrite,
    /// Read the operator's figures.
    #[serde(rename = "metrics")]
    Metrics,
}

/// What a deleted call leaves to be deleted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedCall {
    /// Its recordings at Twilio.
    pub recordings: Vec<RecordingSid>,
}
