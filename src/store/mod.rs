//! Persistent storage: calls, their transcripts, and users.
//!
//! [`Store`] is the only entry point. Its methods are named after the server's operations, not after database
//! operations. Each kind of database has one backend, and `tests::store` runs the same scenarios against
//! every backend. The rules are in pure files: state of a call (`legs`), state of a recording
//! (`recording_state`), parsing of a search (`search`), end of a page (`cursor`).
//!
//! Every method accepts the SID of any leg of a call: the page of an incoming call knows only the SID of its
//! own leg. Returned records carry the SID of the call, which is its parent's.
//!
//! Every method that writes is one transaction: when it returns `Ok`, the change survives `kill -9`; when it
//! returns an error, nothing was changed. (A method that exceeded [`limits::STORE_WAIT_MAX`] may have
//! committed; all methods called from Twilio's webhooks are idempotent.) The top of `sqlite` describes the
//! guarantees for a power failure.

mod columns;
mod cursor;
mod error;
mod legs;
mod recording_state;
mod records;
mod search;
mod sqlite;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::Mutex;

use tracing::Instrument;

use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, RecordingSid, RegistrationId, StreamSid, UserId};
use crate::limits;
use crate::metrics::QueryDurations;
use crate::telemetry::SPAN_TARGET;
use crate::transcript::{EndReason, Segment};

use self::cursor::PageCursor;
use self::sqlite::SqliteStore;

pub use self::error::{StoreConflict, StoreError};
pub use self::records::*;
pub use self::sqlite::WriteLock;

/// A handle to the database. Clones share it.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    query_durations: QueryDurations,
    #[cfg(test)]
    fault: Arc<Mutex<Option<InjectedFault>>>,
}

/// A fault that a test injects into all operations.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// All reads and writes fail.
    Unavailable,
    /// All writes fail; reads work.
    DiskFull,
}

/// Operations that only read.
#[cfg(test)]
const READ_ONLY_VERBS: &[&str] = &[
    "api_token",
    "api_tokens",
    "call",
    "call_record",
    "calls",
    "calls_before",
    "calls_with",
    "check",
    "credentials",
    "disk_free_bytes",
    "find_parent",
    "has_passkeys",
    "has_users",
    "knows_browser",
    "passkey",
    "passkeys",
    "placed_since",
    "recording",
    "recording_of",
    "recovery_codes_left",
    "registrations",
    "rung",
    "segments",
    "search_log",
    "session",
    "sessions",
    "size_bytes",
    "totp",
    "unfinished",
    "user",
];

enum Backend {
    Sqlite(SqliteStore),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.backend {
            Backend::Sqlite(_) => f.write_str("Store(sqlite)"),
        }
    }
}

/// The location in a database URL.
#[derive(Debug, PartialEq, Eq)]
enum DatabaseLocation {
    File(PathBuf),
    Memory,
}

impl DatabaseLocation {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        let unusable = |problem: &str| StoreError::UnusableDatabase {
            // The scheme only: URLs of other databases contain a password.
            location: format!("at {scheme}:…"),
            problem: problem.to_owned(),
        };
        if scheme != "sqlite" {
            return Err(unusable("has an unsupported scheme: use sqlite://PATH"));
        }
        if rest == ":memory:" || rest == "//:memory:" {
            return Ok(Self::Memory);
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains('?') || path.ends_with('/') {
            return Err(unusable(
                "has no file name: use sqlite://PATH, without parameters",
            ));
        }
        Ok(Self::File(Path::new(path).to_owned()))
    }
}

fn file_path(url: &str) -> Result<PathBuf, StoreError> {
    match DatabaseLocation::parse(url)? {
        DatabaseLocation::File(file) => Ok(file),
        DatabaseLocation::Memory => Err(StoreError::UnusableDatabase {
            location: "in memory".to_owned(),
            problem: "is created at each start: it has no steps".to_owned(),
        }),
    }
}

/// The result of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationOutcome {
    /// Step before the migration.
    pub from: i64,
    /// Step after the migration.
    pub to: i64,
    /// Copy of the database from before a downgrade.
    pub copy: Option<PathBuf>,
}

/// Runs an operation with the timeout [`limits::STORE_WAIT_MAX`].
async fn run_within_limit<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limits::STORE_WAIT_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Unavailable("it took too long".to_owned())),
    }
}

/// Runs an operation on the backend, with a timeout, a span and a metric.
macro_rules! timed_query {
    ($store:expr, $verb:ident($($argument:expr),*)) => {
        timed_query!($store, stringify!($verb) => $verb($($argument),*))
    };
    // The label in metrics and traces is the operation's original name.
    ($store:expr, $label:expr => $verb:ident($($argument:expr),*)) => {
        {
            let (verb, began) = ($label, clock::now());
            #[cfg(test)]
            $store.fail_if_injected(verb)?;
            let done = match &*$store.backend {
                Backend::Sqlite(sqlite) => {
                    let span = tracing::trace_span!(target: SPAN_TARGET, "store", otel.name = verb);
                    run_within_limit(sqlite.$verb($($argument),*)).instrument(span).await
                }
            };
            $store.query_durations.observe(verb, clock::now() - began, done.is_ok());
            done
        }
    };
}

mod second_factors;
mod sessions;

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), StoreError> {
    if text.len() > max {
        return Err(StoreError::TooLong { what, max });
    }
    Ok(())
}

/// Opening, closing and maintenance.
impl Store {
    /// Opens `sqlite://PATH` or `sqlite::memory:`. Creates the file (with access for this system user only),
    /// its folder and its tables if they are missing, and migrates older tables. A database written by a
    /// newer program is left unchanged and returns [`StoreError::UnusableDatabase`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let backend = match DatabaseLocation::parse(url)? {
            DatabaseLocation::File(file) => Backend::Sqlite(SqliteStore::open(Some(&file)).await?),
            DatabaseLocation::Memory => Backend::Sqlite(SqliteStore::open(None).await?),
        };
        Ok(Self {
            backend: Arc::new(backend),
            query_durations: QueryDurations::default(),
            #[cfg(test)]
            fault: Arc::default(),
        })
    }

    /// Injects a fault into all clones; `None` removes it.
    #[cfg(test)]
    pub(crate) fn inject_fault(&self, fault: Option<InjectedFault>) {
        *self.fault.lock().unwrap() = fault;
    }

    #[cfg(test)]
    fn fail_if_injected(&self, verb: &str) -> Result<(), StoreError> {
        match *self.fault.lock().unwrap() {
            Some(InjectedFault::Unavailable) => {
                Err(StoreError::Unavailable("disk I/O error".to_owned()))
            }
            Some(InjectedFault::DiskFull) if !READ_ONLY_VERBS.contains(&verb) => {
                Err(StoreError::DiskFull)
            }
            Some(InjectedFault::DiskFull) | None => Ok(()),
        }
    }

    /// Returns the migration step of the file's tables; 0 means that there are no tables.
    pub async fn migration_version(url: &str) -> Result<i64, StoreError> {
        SqliteStore::migration_version(&file_path(url)?).await
    }

    /// Returns the newest migration step that this program knows.
    pub fn latest_migration_version() -> i64 {
        SqliteStore::latest_migration_version()
    }

    /// Migrates the tables of a file that is not in use to the given step. Before a downgrade, the file is
    /// copied. Returns [`StoreError::UnusableDatabase`] if the file is in use or there is no such step.
    pub async fn migrate_to(url: &str, version: i64) -> Result<MigrationOutcome, StoreError> {
        SqliteStore::migrate_to(&file_path(url)?, version).await
    }

    /// Blocks all other writers of the file, as another program could: for `bench soak`.
    pub async fn hold_write_lock(url: &str) -> Result<WriteLock, StoreError> {
        SqliteStore::hold_write_lock(&file_path(url)?).await
    }

    /// Returns the histogram of operation durations.
    pub fn query_durations(&self) -> &QueryDurations {
        &self.query_durations
    }

    /// Checks that the database answers, by a read of negligible cost.
    pub async fn ping(&self) -> Result<(), StoreError> {
        timed_query!(self, "check" => ping())
    }

    /// Returns the size of the database in bytes, including its journal.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        timed_query!(self, size_bytes())
    }

    /// Returns the free space on the database's disk, in bytes; `None` if the database is in memory.
    pub async fn disk_free_bytes(&self) -> Result<Option<u64>, StoreError> {
        timed_query!(self, disk_free_bytes())
    }

    /// Waits for operations in progress, then closes the database. Every later operation fails.
    pub async fn close(&self) {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

/// Calls.
impl Store {
    /// Stores a new call, or merges `new` into the call if it exists, because a callback was faster or
    /// because `new` names a child of a known parent. Merging fills in only missing values (`transcript`
    /// counts as missing while it is `Off`; `announced` is never reset). Returns [`StoreError::NoSuchCall`]
    /// if the call was deleted.
    pub async fn open_call(&self, new: &NewCall) -> Result<CallRecord, StoreError> {
        timed_query!(self, open_call(new))
    }

    /// Stores why the call ended or could not start, for causes that this server knows better than Twilio:
    /// `refused`, …. The first cause is kept. Longer causes are truncated to [`limits::END_CAUSE_BYTES_MAX`].
    pub async fn set_end_cause(&self, call: &CallSid, cause: &str) -> Result<(), StoreError> {
        let cause = columns::truncate(cause, limits::END_CAUSE_BYTES_MAX);
        timed_query!(self, set_end_cause(call, cause))
    }

    /// Returns the call with its legs, recordings, segments and log, as a consistent snapshot.
    pub async fn call_detail(&self, call: &CallSid) -> Result<Option<CallDetail>, StoreError> {
        timed_query!(self, "call" => call_detail(call))
    }

    /// Returns the call's record without its details.
    pub async fn call_record(&self, call: &CallSid) -> Result<Option<CallRecord>, StoreError> {
        timed_query!(self, call_record(call))
    }

    /// Returns the SID of the call that a leg belongs to; for a parent leg, its own.
    pub async fn find_parent(&self, leg: &CallSid) -> Result<Option<CallSid>, StoreError> {
        timed_query!(self, find_parent(leg))
    }

    /// Returns the users with a browser that Twilio reported as rung for the call; see `legs` for the call's
    /// owner.
    pub async fn rung_users(&self, call: &CallSid) -> Result<Vec<UserId>, StoreError> {
        timed_query!(self, "rung" => rung_users(call))
    }

    /// Returns a page of the matching calls, latest first. With `only_user`, only calls of that user match.
    /// Pages have no gaps and no repetitions, even when calls are added or deleted in between. `limit` is
    /// clamped to 1..=[`limits::CALLS_PAGE_MAX`].
    pub async fn calls(
        &self,
        filter: &CallFilter,
        only_user: Option<UserId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<CallPage, StoreError> {
        let cursor = cursor.map(PageCursor::parse).transpose()?;
        let limit = limit.clamp(1, limits::CALLS_PAGE_MAX);
        timed_query!(self, calls(filter, only_user, cursor, limit))
    }

    /// Applies a user's edit; `None` if there is no such call.
    pub async fn edit_call(
        &self,
        call: &CallSid,
        edit: &CallEdit,
    ) -> Result<Option<CallRecord>, StoreError> {
        if let Some(notes) = &edit.notes {
            check_length("the note", notes, limits::NOTES_BYTES_MAX)?;
        }
        for label in edit.labels.iter().flatten() {
            check_length("a label", label, limits::LABEL_BYTES_MAX)?;
        }
        let max = limits::LABELS_MAX;
        if edit
            .labels
            .as_ref()
            .is_some_and(|labels| labels.len() > max)
        {
            let what = "labels";
            return Err(StoreError::TooMany { what, max });
        }
        timed_query!(self, edit_call(call, edit))
    }

    /// Stores whether this server has kept the call's audio. Returns `false` if there is no such call.
    pub async fn set_has_audio(&self, call: &CallSid, has_audio: bool) -> Result<bool, StoreError> {
        timed_query!(self, "set_audio" => set_has_audio(call, has_audio))
    }

    /// Deletes the call and everything that belongs to it, so that no file of the database contains its
    /// transcript. Returns the recordings that are left to delete: the caller deletes the audio here and at
    /// Twilio. The SIDs of its legs are kept for [`limits::DELETED_LEG_AGE_MAX`], so that a late callback
    /// does not recreate it. Returns `None` if there is no such call.
    pub async fn delete_call(
        &self,
        call: &CallSid,
        now: UtcTime,
    ) -> Result<Option<DeletedCall>, StoreError> {
        timed_query!(self, delete_call(call, now))
    }

    /// Stores a permitted call to a number, once. Deletes those older than [`limits::PLACED_CALL_AGE_MAX`].
    pub async fn add_placed_call(&self, placed: &PlacedCall) -> Result<(), StoreError> {
        timed_query!(self, "place_call" => add_placed_call(placed))
    }

    /// Stores the end of such a call. The first end is kept.
    pub async fn end_placed_call(&self, call: &CallSid, at: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, "end_placed" => end_placed_call(call, at))
    }

    /// Returns the calls to numbers since `since`, latest first, including those with a deleted record.
    pub async fn placed_calls_since(&self, since: UtcTime) -> Result<Vec<PlacedCall>, StoreError> {
        timed_query!(self, "placed_since" => placed_calls_since(since))
    }

    /// Returns calls that started before `time`, oldest first: for retention.
    pub async fn calls_before(
        &self,
        time: UtcTime,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, calls_before(time, limit))
    }

    /// Returns calls with exactly this number or name on any of their legs, oldest first: for erasure.
    pub async fn calls_with_party(
        &self,
        number: &str,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, "calls_with" => calls_with_party(number, limit))
    }

    /// Returns calls that are not over, latest first, and unfinished recordings of calls that are over.
    /// Recordings that may be running are always included; stopped ones only if their call ended after
    /// `since`. At most `limit` of each.
    pub async fn unfinished_items(
        &self,
        since: UtcTime,
        limit: u32,
    ) -> Result<UnfinishedItems, StoreError> {
        timed_query!(self, "unfinished" => unfinished_items(since, limit))
    }

    /// Appends an entry to the log of a call, or to the server's log if `call` is `None`. `kind` is in snake
    /// case, `detail` is for people; both are truncated to [`limits::LOG_DETAIL_BYTES_MAX`]. Returns `false`,
    /// without writing, if there is no such call.
    pub async fn log(
        &self,
        call: Option<&CallSid>,
        kind: &str,
        detail: &str,
        user_id: Option<UserId>,
        at: UtcTime,
    ) -> Result<bool, StoreError> {
        let max = limits::LOG_DETAIL_BYTES_MAX;
        let (kind, detail) = (
            columns::truncate(kind, max).to_owned(),
            columns::truncate(detail, max).to_owned(),
        );
        let Some(call) = call else {
            let address = None;
            let entry = NewLogEntry {
                at,
                kind,
                detail,
                user_id,
                address,
            };
            return self.log_server(&entry).await.map(|_| true);
        };
        let entry = CallLogEntry {
            at,
            kind,
            detail,
            user_id,
        };
        timed_query!(self, log(call, &entry))
    }

    /// Appends an entry to the server's log and returns its ID. Beyond
    /// [`limits::SERVER_LOG_ENTRIES_PER_DAY_MAX`] entries of one user and kind, the entry is counted in a
    /// shared one.
    pub async fn log_server(&self, entry: &NewLogEntry) -> Result<i64, StoreError> {
        timed_query!(self, log_server(entry))
    }

    /// Adds `times` repetitions, the last one at `at`, to an entry of the server's log. Returns `false` if
    /// the entry was deleted.
    pub async fn add_to_log_count(
        &self,
        id: i64,
        times: u32,
        at: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "count_log" => add_to_log_count(id, times, at))
    }

    /// Deletes entries of the server's log from before `before`. Returns the number of entries.
    pub async fn sweep_log(&self, before: UtcTime) -> Result<u64, StoreError> {
        timed_query!(self, sweep_log(before))
    }

    /// Returns the latest entries of the server's log, in order of time.
    pub async fn server_log(&self, limit: u32) -> Result<Vec<ServerLogEntry>, StoreError> {
        self.search_log(&LogFilter::default(), limit).await
    }

    /// Returns the latest matching entries of the server's log, in order of time.
    pub async fn search_log(
        &self,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<Vec<ServerLogEntry>, StoreError> {
        timed_query!(self, search_log(filter, limit))
    }
}

/// Callbacks from Twilio.
impl Store {
    /// Applies a status callback. Callbacks may be repeated and arrive in any order. A callback for an
    /// unknown leg creates its call; a leg that was taken for a call is moved to its parent. Returns the
    /// change of the *call's* status; `None` if it did not change (a repetition, a late callback, or news of
    /// another kind). `legs` defines how the legs determine the call.
    pub async fn apply_leg_update(
        &self,
        update: &LegUpdate,
        now: UtcTime,
    ) -> Result<Option<StatusChange>, StoreError> {
        timed_query!(self, "apply_leg" => apply_leg_update(update, now))
    }

    /// Applies a recording callback, or Twilio's answer to a query. The status of a recording never moves
    /// backwards, and a paused recording stays paused until [`Self::resume_recording`]. A recording of an
    /// unknown call creates the call. Returns whether anything changed.
    pub async fn apply_recording_update(
        &self,
        update: &RecordingUpdate,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "apply_recording" => apply_recording_update(update, now))
    }

    /// Marks a paused recording as running, after Twilio has confirmed it. Returns whether it was paused.
    pub async fn resume_recording(&self, recording: &RecordingSid) -> Result<bool, StoreError> {
        timed_query!(self, resume_recording(recording))
    }

    /// Returns the recording with this SID.
    pub async fn recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<Option<Recording>, StoreError> {
        timed_query!(self, recording(recording))
    }

    /// Returns the call's latest recording.
    pub async fn latest_recording(&self, call: &CallSid) -> Result<Option<Recording>, StoreError> {
        timed_query!(self, "recording_of" => latest_recording(call))
    }
}

/// Streams and transcripts.
impl Store {
    /// Stores that a stream carries the call, and sets the call's transcript to live. Streams of a call are
    /// numbered from 1, across restarts of this server; a known stream keeps its number. An unknown call is
    /// created with the status in-progress. Returns [`StoreError::NoSuchCall`] if the call was deleted.
    pub async fn open_stream(
        &self,
        call: &CallSid,
        stream: &StreamSid,
        now: UtcTime,
    ) -> Result<StreamRecord, StoreError> {
        timed_query!(self, open_stream(call, stream, now))
    }

    /// Stores the end of a stream. Returns `false` if it had ended before, or is unknown.
    pub async fn end_stream(
        &self,
        stream: &StreamSid,
        reason: EndReason,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, end_stream(stream, reason, now))
    }

    /// Stores segments of the call durably: when this returns, they survive the end of the process. Segments
    /// that are already stored stay unchanged.
    pub async fn add_segments(
        &self,
        call: &CallSid,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        timed_query!(self, "keep_segments" => add_segments(call, segments))
    }

    /// Returns the call's segments in order of time; empty if the call is unknown.
    pub async fn segments(&self, call: &CallSid) -> Result<Vec<Segment>, StoreError> {
        timed_query!(self, segments(call))
    }

    /// Stores the state of the call's transcript. Returns `false` if there is no such call.
    pub async fn set_transcript_state(
        &self,
        call: &CallSid,
        state: TranscriptState,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "set_transcript" => set_transcript_state(call, state))
    }

    /// Cleans up after a previous process, at the start of the server: live transcripts become `Interrupted`,
    /// with an entry in their logs, and open streams end as `Dropped`. Returns the calls that had not ended,
    /// those with a stream first, then latest first, at most [`limits::OPEN_CALLS_MAX`]; only Twilio knows
    /// their current status. A record without a stream and without parties is not a call that Twilio
    /// reported, and is left out.
    pub async fn interrupt_open_calls(&self, now: UtcTime) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, interrupt_open_calls(now))
    }
}

/// Users.
impl Store {
    /// Whether there is at least one user.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        timed_query!(self, has_users())
    }

    /// Creates a user. Returns [`StoreConflict::NameTaken`] if the name is in use.
    pub async fn add_user(
        &self,
        name: &str,
        password_hash: &str,
        role: Role,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        check_length("the name", name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, add_user(name, password_hash, role, false, now))
    }

    /// Creates a user with a password chosen by another user, which has to be changed at the first sign-in.
    /// Returns [`StoreConflict::NameTaken`] if the name is in use.
    pub async fn add_user_with_temporary_password(
        &self,
        name: &str,
        password_hash: &str,
        role: Role,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        check_length("the name", name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, add_user(name, password_hash, role, true, now))
    }

    /// Creates the first user, an admin. Of two concurrent requests, one succeeds; the other returns
    /// [`StoreConflict::UsersExist`].
    pub async fn add_first_user(
        &self,
        name: &str,
        password_hash: &str,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        check_length("the name", name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, "first_user" => add_first_user(name, password_hash, now))
    }

    /// Returns the user with this ID.
    pub async fn user(&self, user: UserId) -> Result<Option<User>, StoreError> {
        timed_query!(self, user(user))
    }

    /// Returns all users, ordered by name.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        timed_query!(self, users())
    }

    /// Returns the user with this name, ignoring case, and the hash of their password.
    pub async fn credentials(&self, name: &str) -> Result<Option<(User, String)>, StoreError> {
        timed_query!(self, credentials(name))
    }

    /// Stores a new hash of the same password; nothing else changes. Returns [`StoreError::NoSuchUser`].
    pub async fn set_password(&self, user: UserId, password_hash: &str) -> Result<(), StoreError> {
        timed_query!(self, set_password(user, password_hash))
    }

    /// Sets a password that the user chose; their sessions continue. Returns [`StoreError::NoSuchUser`].
    pub async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        timed_query!(self, change_password(user, password_hash))
    }

    /// Sets a user's password on behalf of an admin or the operator. Deletes the user's sessions, which it
    /// returns, and their API tokens. A temporary password has to be changed at the next sign-in. Returns
    /// [`StoreError::NoSuchUser`].
    pub async fn reset_password(
        &self,
        user: UserId,
        password_hash: &str,
        is_temporary: bool,
    ) -> Result<Vec<EndedSession>, StoreError> {
        timed_query!(self, reset_password(user, password_hash, is_temporary))
    }

    /// Changes a user's role. Returns [`StoreConflict::LastAdmin`] or [`StoreError::NoSuchUser`].
    pub async fn set_role(&self, user: UserId, role: Role) -> Result<(), StoreError> {
        timed_query!(self, set_role(user, role))
    }

    /// Deletes a user with their sessions and API tokens. Their calls stay, without an owner, visible to
    /// admins. Returns [`StoreConflict::LastAdmin`] or [`StoreError::NoSuchUser`].
    pub async fn remove_user(&self, user: UserId) -> Result<(), StoreError> {
        timed_query!(self, remove_user(user))
    }
}

/// Browsers registered at Twilio.
impl Store {
    /// Stores a registration, or extends its expiry. Deletes those that expired before `now`, and the oldest
    /// beyond [`limits::REGISTRATIONS_MAX`].
    pub async fn save_registration(
        &self,
        registration: &RegistrationRecord,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        timed_query!(self, "keep_registration" => save_registration(registration, now))
    }

    /// Deletes a registration.
    pub async fn remove_registration(&self, id: &RegistrationId) -> Result<(), StoreError> {
        timed_query!(self, "forget_registration" => remove_registration(id))
    }

    /// Returns the registrations that are valid at `now`, oldest first.
    pub async fn registrations(&self, now: UtcTime) -> Result<Vec<RegistrationRecord>, StoreError> {
        timed_query!(self, registrations(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_memory() {
        let file = |path: &str| DatabaseLocation::File(PathBuf::from(path));
        for (url, location) in [
            ("sqlite://calls.db", file("calls.db")),
            ("sqlite:data/calls.db", file("data/calls.db")),
            (
                "sqlite:///var/lib/callburner/calls.db",
                file("/var/lib/callburner/calls.db"),
            ),
            ("sqlite::memory:", DatabaseLocation::Memory),
        ] {
            assert_eq!(DatabaseLocation::parse(url).unwrap(), location, "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_without_showing_their_password() {
        for url in [
            "",
            "calls.db",
            "sqlite:",
            "sqlite://",
            "sqlite://a.db?mode=ro",
            "sqlite://a/",
        ] {
            assert!(DatabaseLocation::parse(url).is_err(), "{url}");
        }
        let told = DatabaseLocation::parse("postgres://ada:secret@db/calls")
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("postgres") && !told.contains("secret"),
            "{told}"
        );
    }
}
