//! What lasts: calls, their words, and the people who may see them.
//!
//! [`Store`] is the only way in. Its verbs are what the server wants done, not what a database can
//! do; behind them is one backend for each kind of database, and `tests::store` holds every backend
//! to the same stories. What needs thought is decided in pure files beside it: how a call moves
//! (`legs`), how a recording moves (`recording_state`), what a search means (`search`), where a page ends
//! (`cursor`).
//!
//! A call may be named by any of its legs, in every verb: the page of an incoming call only knows
//! the SID of its own leg. What comes back carries the call's own name, its parent's.
//!
//! Every verb that writes is one transaction: when it returns, the work is done and survives
//! `kill -9`; when it fails, nothing was done. (A verb that ran into [`limits::STORE_WAIT_MAX`] may
//! still have been done; all that come from Twilio may be done twice.) What survives a power cut
//! is said at the top of `sqlite`.

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

/// The database; clones are the same one.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    query_durations: QueryDurations,
    #[cfg(test)]
    fault: Arc<Mutex<Option<InjectedFault>>>,
}

/// What a test lets go wrong with every verb from now on.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// Nothing can be read or written.
    Unavailable,
    /// The disk is full: what is there can be read.
    DiskFull,
}

/// Verbs that only read.
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

/// What a database's URL names.
#[derive(Debug, PartialEq, Eq)]
enum DatabaseLocation {
    File(PathBuf),
    Memory,
}

impl DatabaseLocation {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        let unusable = |problem: &str| StoreError::UnusableDatabase {
            // Not the whole URL: others than SQLite's carry a password.
            location: format!("at {scheme}:…"),
            problem: problem.to_owned(),
        };
        if scheme != "sqlite" {
            return Err(unusable(
                "is of a kind that this program does not know: write sqlite://PATH",
            ));
        }
        if rest == ":memory:" || rest == "//:memory:" {
            return Ok(Self::Memory);
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains('?') || path.ends_with('/') {
            return Err(unusable(
                "has no file name: write sqlite://PATH, without more",
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
            problem: "is made anew at each start: it has no steps".to_owned(),
        }),
    }
}

/// What came of a database's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationOutcome {
    /// The step that it was at.
    pub from: i64,
    /// The step that it is at.
    pub to: i64,
    /// How it was, if it went back.
    pub copy: Option<PathBuf>,
}

/// Does the work, in a time that is bounded.
async fn run_within_limit<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limits::STORE_WAIT_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Unavailable("it took too long".to_owned())),
    }
}

/// The same verb on whichever backend there is.
macro_rules! timed_query {
    ($store:expr, $verb:ident($($argument:expr),*)) => {
        timed_query!($store, stringify!($verb) => $verb($($argument),*))
    };
    // Metrics and traces keep a verb's older name.
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

/// Opening, closing, looking after.
impl Store {
    /// Opens `sqlite://PATH` or `sqlite::memory:`; makes the file (for this user alone), its folder
    /// and its tables if they are missing, and brings older tables up to date. A database that a
    /// newer program wrote is left alone: [`StoreError::UnusableDatabase`].
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

    /// From now on this goes wrong, on every clone; `None`: nothing any more.
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

    /// The step that the tables of the file are at; 0: there are none.
    pub async fn migration_version(url: &str) -> Result<i64, StoreError> {
        SqliteStore::migration_version(&file_path(url)?).await
    }

    /// The newest step that this program knows.
    pub fn latest_migration_version() -> i64 {
        SqliteStore::latest_migration_version()
    }

    /// Brings the tables of a file that nobody has open to a step; on the way back to an older one, the
    /// file is copied first. [`StoreError::UnusableDatabase`]: it is in use, or there is no such step.
    pub async fn migrate_to(url: &str, version: i64) -> Result<MigrationOutcome, StoreError> {
        SqliteStore::migrate_to(&file_path(url)?, version).await
    }

    /// Keeps everybody else from writing to the file, as another program may: for `bench soak`.
    pub async fn hold_write_lock(url: &str) -> Result<WriteLock, StoreError> {
        SqliteStore::hold_write_lock(&file_path(url)?).await
    }

    /// How long its verbs took.
    pub fn query_durations(&self) -> &QueryDurations {
        &self.query_durations
    }

    /// Whether it answers: a read that costs nothing.
    pub async fn ping(&self) -> Result<(), StoreError> {
        timed_query!(self, "check" => ping())
    }

    /// Bytes that it takes up, its journal included.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        timed_query!(self, size_bytes())
    }

    /// Free space of the disk that it is on; `None`: it is in memory.
    pub async fn disk_free_bytes(&self) -> Result<Option<u64>, StoreError> {
        timed_query!(self, disk_free_bytes())
    }

    /// Waits for what is being done, and closes; every verb fails from now on.
    pub async fn close(&self) {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

/// Calls.
impl Store {
    /// Writes down a call, or adopts one that is there already, perhaps because a callback was
    /// faster, perhaps under its parent's name if `new` names a child: then only what is not known
    /// yet is filled in (`transcript` counts as unknown while it is `Off`; `announced` once is
    /// announced). [`StoreError::NoSuchCall`]: it was deleted.
    pub async fn open_call(&self, new: &NewCall) -> Result<CallRecord, StoreError> {
        timed_query!(self, open_call(new))
    }

    /// Says why the call ended, or could not begin, when this server knows better than Twilio:
    /// `refused`, …. The first word counts; cut at [`limits::END_CAUSE_BYTES_MAX`].
    pub async fn set_end_cause(&self, call: &CallSid, cause: &str) -> Result<(), StoreError> {
        let cause = columns::truncate(cause, limits::END_CAUSE_BYTES_MAX);
        timed_query!(self, set_end_cause(call, cause))
    }

    /// The call with all that belongs to it, as of one moment.
    pub async fn call_detail(&self, call: &CallSid) -> Result<Option<CallDetail>, StoreError> {
        timed_query!(self, "call" => call_detail(call))
    }

    /// The call alone.
    pub async fn call_record(&self, call: &CallSid) -> Result<Option<CallRecord>, StoreError> {
        timed_query!(self, call_record(call))
    }

    /// The name of the call that a leg belongs to: its own, if it is a parent.
    pub async fn find_parent(&self, leg: &CallSid) -> Result<Option<CallSid>, StoreError> {
        timed_query!(self, find_parent(leg))
    }

    /// The users whose browsers Twilio said that it rang for the call; see `legs` for whose it is.
    pub async fn rung_users(&self, call: &CallSid) -> Result<Vec<UserId>, StoreError> {
        timed_query!(self, "rung" => rung_users(call))
    }

    /// A page of the calls that fit, the latest first; `only_user` leaves out everybody else's.
    /// Pages follow each other without gap or repetition, whatever comes or goes meanwhile. `limit`
    /// is between 1 and [`limits::CALLS_PAGE_MAX`], or brought there.
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

    /// Changes what a user may change; `None` when there is no such call.
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

    /// Whether this server has kept the call's audio. `false`: there is no such call.
    pub async fn set_has_audio(&self, call: &CallSid, has_audio: bool) -> Result<bool, StoreError> {
        timed_query!(self, "set_audio" => set_has_audio(call, has_audio))
    }

    /// Deletes the call with all that belongs to it, so that its words are not in any file of the
    /// database any more; says what else is to be deleted. Its audio here and at Twilio is the
    /// caller's to delete. Its legs' SIDs are remembered for [`limits::DELETED_LEG_AGE_MAX`], so that
    /// a late callback does not bring it back. `None` when there is no such call.
    pub async fn delete_call(
        &self,
        call: &CallSid,
        now: UtcTime,
    ) -> Result<Option<DeletedCall>, StoreError> {
        timed_query!(self, delete_call(call, now))
    }

    /// Notes that a call to a number was let through, once; forgets those of longer than
    /// [`limits::PLACED_CALL_AGE_MAX`] ago.
    pub async fn add_placed_call(&self, placed: &PlacedCall) -> Result<(), StoreError> {
        timed_query!(self, "place_call" => add_placed_call(placed))
    }

    /// Notes that such a call ended; the first word counts.
    pub async fn end_placed_call(&self, call: &CallSid, at: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, "end_placed" => end_placed_call(call, at))
    }

    /// Such calls since a time, the latest first, whether or not their records were deleted.
    pub async fn placed_calls_since(&self, since: UtcTime) -> Result<Vec<PlacedCall>, StoreError> {
        timed_query!(self, "placed_since" => placed_calls_since(since))
    }

    /// Calls that began before `time`, the oldest first: for retention.
    pub async fn calls_before(
        &self,
        time: UtcTime,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, calls_before(time, limit))
    }

    /// Calls with exactly this number or name on any of their legs, the oldest first: for erasure.
    pub async fn calls_with_party(
        &self,
        number: &str,
        limit: u32,
    ) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, "calls_with" => calls_with_party(number, limit))
    }

    /// Calls that are not over, the latest first, and recordings that are not settled of calls that
    /// are: those that may still run, and of the others those whose call ended `since` then. At most
    /// `limit` of each.
    pub async fn unfinished_items(
        &self,
        since: UtcTime,
        limit: u32,
    ) -> Result<UnfinishedItems, StoreError> {
        timed_query!(self, "unfinished" => unfinished_items(since, limit))
    }

    /// Adds to the log of a call, or without one to the server's own: what happened, in snake case,
    /// and more for people; both cut at [`limits::LOG_DETAIL_BYTES_MAX`]. `false`: there is no such
    /// call, and nothing was written.
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

    /// Adds to the server's own log; returns the entry's number there. Beyond
    /// [`limits::SERVER_LOG_ENTRIES_PER_DAY_MAX`] of one user and kind, it is counted in one entry.
    pub async fn log_server(&self, entry: &NewLogEntry) -> Result<i64, StoreError> {
        timed_query!(self, log_server(entry))
    }

    /// What an entry of the server's log says was done so many times more, the last time at `at`.
    /// `false`: the entry is gone.
    pub async fn add_to_log_count(
        &self,
        id: i64,
        times: u32,
        at: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "count_log" => add_to_log_count(id, times, at))
    }

    /// Forgets what was done before a time; returns how many entries.
    pub async fn sweep_log(&self, before: UtcTime) -> Result<u64, StoreError> {
        timed_query!(self, sweep_log(before))
    }

    /// The latest entries of the server's own log, in order of time.
    pub async fn server_log(&self, limit: u32) -> Result<Vec<ServerLogEntry>, StoreError> {
        self.search_log(&LogFilter::default(), limit).await
    }

    /// The latest entries that fit, in order of time.
    pub async fn search_log(
        &self,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<Vec<ServerLogEntry>, StoreError> {
        timed_query!(self, search_log(filter, limit))
    }
}

/// What Twilio says of calls.
impl Store {
    /// Takes in a status callback, in whatever order and however often it comes; a leg that nobody
    /// knows makes its call, and a leg that was taken for a call goes over to its parent. Returns
    /// how the *call's* status moved; `None` when it did not: a repetition, something late, or news
    /// of another kind. What a call's legs say of the call is written down in `legs`.
    pub async fn apply_leg_update(
        &self,
        update: &LegUpdate,
        now: UtcTime,
    ) -> Result<Option<StatusChange>, StoreError> {
        timed_query!(self, "apply_leg" => apply_leg_update(update, now))
    }

    /// Takes in a callback, or what Twilio answered when asked. A recording never goes back, and
    /// one that is held stays so until [`Self::resume_recording`]. Returns whether anything
    /// changed. A recording of a call that nobody knows makes the call.
    pub async fn apply_recording_update(
        &self,
        update: &RecordingUpdate,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "apply_recording" => apply_recording_update(update, now))
    }

    /// Twilio has answered that a held recording goes on. Returns whether it was held.
    pub async fn resume_recording(&self, recording: &RecordingSid) -> Result<bool, StoreError> {
        timed_query!(self, resume_recording(recording))
    }

    /// A recording.
    pub async fn recording(
        &self,
        recording: &RecordingSid,
    ) -> Result<Option<Recording>, StoreError> {
        timed_query!(self, recording(recording))
    }

    /// The call's latest recording.
    pub async fn latest_recording(&self, call: &CallSid) -> Result<Option<Recording>, StoreError> {
        timed_query!(self, "recording_of" => latest_recording(call))
    }
}

/// Words.
impl Store {
    /// A stream has begun to carry the call, whose transcript is live from now on. Streams of a
    /// call are counted from 1, over restarts of this server; a stream that is known keeps its
    /// number. A call that nobody knows is made, in progress. [`StoreError::NoSuchCall`]: it was
    /// deleted.
    pub async fn open_stream(
        &self,
        call: &CallSid,
        stream: &StreamSid,
        now: UtcTime,
    ) -> Result<StreamRecord, StoreError> {
        timed_query!(self, open_stream(call, stream, now))
    }

    /// A stream has ended. `false`: it had already, or nobody knows it.
    pub async fn end_stream(
        &self,
        stream: &StreamSid,
        reason: EndReason,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, end_stream(stream, reason, now))
    }

    /// Keeps words of the call for good: when it returns, they survive the end of this process. A
    /// segment that is there already stays as it is.
    pub async fn add_segments(
        &self,
        call: &CallSid,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        timed_query!(self, "keep_segments" => add_segments(call, segments))
    }

    /// What was said, in order of time; nothing for a call that nobody knows.
    pub async fn segments(&self, call: &CallSid) -> Result<Vec<Segment>, StoreError> {
        timed_query!(self, segments(call))
    }

    /// Whether the call's words are there. `false`: there is no such call.
    pub async fn set_transcript_state(
        &self,
        call: &CallSid,
        state: TranscriptState,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "set_transcript" => set_transcript_state(call, state))
    }

    /// For the start of the server: transcripts that are live are of a server that is no more; they
    /// become `Interrupted`, which their logs say, and streams that are open end as `Dropped`.
    /// Returns the calls that were not over when last heard of, those that had a stream first, then
    /// the latest first, at most [`limits::OPEN_CALLS_MAX`]; what became of them only Twilio knows.
    /// A record without a stream and without parties is of no call that Twilio told of, and is left
    /// out.
    pub async fn interrupt_open_calls(&self, now: UtcTime) -> Result<Vec<CallSid>, StoreError> {
        timed_query!(self, interrupt_open_calls(now))
    }
}

/// Users.
impl Store {
    /// Whether there is anybody.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        timed_query!(self, has_users())
    }

    /// Makes a user. [`StoreConflict::NameTaken`].
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

    /// Makes a user whose password is another's choice, and has to be changed at the first sign-in.
    /// [`StoreConflict::NameTaken`].
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

    /// Makes the first user, an admin; of two who try at once only one is. [`StoreConflict::UsersExist`].
    pub async fn add_first_user(
        &self,
        name: &str,
        password_hash: &str,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        check_length("the name", name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, "first_user" => add_first_user(name, password_hash, now))
    }

    /// A user.
    pub async fn user(&self, user: UserId) -> Result<Option<User>, StoreError> {
        timed_query!(self, user(user))
    }

    /// All users, by name.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        timed_query!(self, users())
    }

    /// The user of this name, whatever the case, and the hash of his password.
    pub async fn credentials(&self, name: &str) -> Result<Option<(User, String)>, StoreError> {
        timed_query!(self, credentials(name))
    }

    /// Keeps the same password under another hash; all else stays. [`StoreError::NoSuchUser`].
    pub async fn set_password(&self, user: UserId, password_hash: &str) -> Result<(), StoreError> {
        timed_query!(self, set_password(user, password_hash))
    }

    /// Gives a user the password that they chose themselves; sessions stay.
    /// [`StoreError::NoSuchUser`].
    pub async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        timed_query!(self, change_password(user, password_hash))
    }

    /// Gives a user a password on somebody else's behalf: ends their sessions, which it returns, and
    /// their API tokens. A temporary one has to be changed at the next sign-in.
    /// [`StoreError::NoSuchUser`].
    pub async fn reset_password(
        &self,
        user: UserId,
        password_hash: &str,
        is_temporary: bool,
    ) -> Result<Vec<EndedSession>, StoreError> {
        timed_query!(self, reset_password(user, password_hash, is_temporary))
    }

    /// Changes what a user may do. [`StoreConflict::LastAdmin`], [`StoreError::NoSuchUser`].
    pub async fn set_role(&self, user: UserId, role: Role) -> Result<(), StoreError> {
        timed_query!(self, set_role(user, role))
    }

    /// Removes a user with his sessions and API tokens; his calls stay, nobody's, for admins.
    /// [`StoreConflict::LastAdmin`], [`StoreError::NoSuchUser`].
    pub async fn remove_user(&self, user: UserId) -> Result<(), StoreError> {
        timed_query!(self, remove_user(user))
    }
}

/// Browsers that have registered at Twilio.
impl Store {
    /// Keeps a registration, or its later end; forgets those that ended before `now`, and the oldest
    /// beyond [`limits::REGISTRATIONS_MAX`].
    pub async fn save_registration(
        &self,
        registration: &RegistrationRecord,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        timed_query!(self, "keep_registration" => save_registration(registration, now))
    }

    /// Forgets a registration.
    pub async fn remove_registration(&self, id: &RegistrationId) -> Result<(), StoreError> {
        timed_query!(self, "forget_registration" => remove_registration(id))
    }

    /// The registrations that last at `now`, the oldest first.
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
