//! Every bound in the machine: its unit in its name, and what happens when it is hit.
//!
//! Numbers that tune the *quality* of recognition (thresholds, paddings) live beside the code
//! they tune; this file holds what keeps memory, time and strangers in check.

use std::num::NonZeroU32;
use std::time::Duration;

/// HTTP connections that are open at once; half of the files that the process may open, if that is
/// fewer. WebSockets have bounds of their own. Hit: the connection that has waited longest for its client
/// is closed.
pub const CONNECTIONS_MAX: usize = 4_096;

/// HTTP connections of one address, or of one IPv6 /64; behind a trusted proxy, requests in progress of
/// one client. Hit: that one's connection that has waited longest for its client is closed; if none
/// waits, 429 at once.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Of [`CONNECTIONS_MAX`], those that only webhooks and media sockets may use; of idle connections that
/// Twilio's requests came on, as many are closed after all others. Hit: a request of anybody else is
/// answered with 503, at once.
pub const CONNECTIONS_RESERVED_FOR_TWILIO: usize = 512;

/// When whoever found no place for a request is told to come back.
pub const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Time that a client may take for the head of a request, and that an idle connection is kept. Hit: it
/// is closed.
pub const REQUEST_HEAD_WAIT_MAX: Duration = Duration::from_secs(15);

/// Time from the head of a request to the end of its body; no body is longer than 128 KiB. Hit: 408, and
/// the connection is closed.
pub const REQUEST_BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Time that an answer may be held up by its reader. Hit: the connection is closed; a player that was
/// paused asks for the rest.
pub const RESPONSE_STALL_MAX: Duration = Duration::from_secs(30);

/// Least rate at which an answer that is held up is read; a recording is played at four times that.
/// Slower: what is missing counts as time that it is held up.
pub const RESPONSE_BYTES_PER_SECOND_MIN: u32 = 1_024;

/// Bytes of answers that the system keeps for each connection, so that a client that does not read is
/// noticed soon.
pub const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Connections that the system keeps until they are accepted. Hit: clients try again, or are refused.
pub const ACCEPT_QUEUE_MAX: u32 = 1_024;

/// Longest WebSocket message that the media socket reads. A `media` message of 20 ms is about
/// 400 bytes; hit: the stream ends with a protocol error.
pub const MEDIA_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Time from the opening of a media socket to its `start` message. Hit: the stream ends.
pub const MEDIA_START_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest silence of a media socket. Twilio sends 50 messages a second for each track, but some
/// calls skip silent ones. Hit: the stream ends, and what was heard is kept.
pub const MEDIA_IDLE_MAX: Duration = Duration::from_mins(1);

/// Malformed messages that a media stream may send before it is ended.
pub const MEDIA_FAULTS_MAX: u32 = 20;

/// Audio that one track may send ahead of the wall clock; Twilio sends in real time, a stall makes
/// a burst. Hit: the socket is left unread until the clock has caught up, so a flood loses nothing
/// and costs nobody else anything.
pub const MEDIA_AHEAD_MS_MAX: u64 = 30_000;

/// Media sockets open at once. Hit: the upgrade is refused with 503.
pub const MEDIA_SOCKETS_MAX: usize = 256;

/// Silence that is written out sample by sample when timestamps leave a gap; a longer gap moves
/// the clock instead, which costs nothing.
pub const GAP_FILL_MS_MAX: u64 = 2_000;

/// Largest forward jump of a timestamp that is believed without evidence; a longer one is believed
/// where this machine's clock or the other track has gone on as far, but for
/// [`MEDIA_AHEAD_MS_MAX`]. Hit: the jump is ignored, and the frames are laid on right after the last
/// one.
pub const TIMESTAMP_JUMP_MS_MAX: u64 = 10 * 60 * 1_000;

/// Longest message that a client-channel socket reads. Hit: the socket is closed.
pub const LISTENER_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Calls that one client-channel socket may subscribe to. Hit: an error event.
pub const SUBSCRIPTIONS_PER_LISTENER_MAX: usize = 32;

/// Client-channel sockets open at once. Hit: the upgrade is refused with 503.
pub const LISTENERS_MAX: usize = 1_024;

/// Client-channel sockets of one user: a page has one. Hit: the upgrade is refused with 429.
pub const LISTENERS_PER_USER_MAX: usize = 16;

/// Time that one write to a client-channel socket may take. Hit: the socket is closed; the browser
/// comes back with its offset and misses nothing.
pub const LISTENER_WRITE_MAX: Duration = Duration::from_secs(20);

/// Call channels that are open at once. Hit: a subscription to a call that nobody knows is refused;
/// calls themselves always get their channel.
pub const CHANNELS_MAX: usize = 4_096;

/// Channels of calls that do not go on which one user's subscriptions keep open. Hit: a subscription to
/// a further such call is refused.
pub const CHANNELS_PER_USER_MAX: usize = 64;

/// Durable events (finals, states) that one call's channel keeps for those who come late. An
/// eight-hour call of two fast talkers stays below it. Hit: the oldest leave the snapshot.
pub const CHANNEL_EVENTS_MAX: usize = 50_000;

/// How long an ended call's channel waits for a listener that dropped to come back.
pub const CHANNEL_LINGER: Duration = Duration::from_mins(1);

/// Utterances of one call that may be open at once; two tracks need two, four tracks four. Hit:
/// the partial of a further one is refused; its final is not.
pub const CHANNEL_PARTIALS_MAX: usize = 64;

/// Events that a listener takes from a channel at a time, which bounds what a slow one holds. Hit:
/// the rest stays in the channel until these are written.
pub const LISTENER_BATCH_MAX: usize = 256;

/// Time between two WebSocket pings to a listener, and between two looks at channels to let go.
pub const LISTENER_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Longest time that a listener's socket may be mute; its answer to a ping counts as a sound. Hit:
/// the socket is closed.
pub const LISTENER_IDLE_MAX: Duration = Duration::from_secs(65);

/// Messages of any kind, WebSocket pings too, that a listener may send between two pings. Hit: the socket is closed with 1008.
pub const LISTENER_REQUESTS_MAX: u32 = 600;

/// Requests that one listener may get wrong. Hit: the socket is closed with 1008.
pub const LISTENER_FAULTS_MAX: u32 = 20;

/// Time that a refused listener gets to answer the closing handshake.
pub const LISTENER_CLOSE_MAX: Duration = Duration::from_secs(2);

/// How long listeners stay at a soft stop for the last words of their calls. Hit: the socket is
/// closed with 1001; the browser comes back to the next server.
pub const LISTENER_DRAIN_MAX: Duration = Duration::from_secs(5);

/// Audio of finals that wait for a recogniser: about two hours of speech. Finals are not dropped
/// for being late; hit: the segment is published without words, marked as not transcribed.
pub const FINALS_WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A partial that could not start within this time after its audio is not worth its work any
/// more. Hit: it is dropped; the next one replaces it.
pub const PARTIAL_WAIT_MAX: Duration = Duration::from_millis(1_500);

/// A final that begins to run later than this after its speech was heard is late. Hit: it is made
/// quickly rather than carefully.
pub const FINAL_ACCURATE_WAIT_MAX: Duration = Duration::from_millis(600);

/// Answers of the engine that wait for a call to take them. Hit: the worker waits; calls take them
/// at once, or are gone.
pub const RESULTS_QUEUED_MAX: usize = 64;

/// Failed requests in a row after which a model download gives up; a request that brought at
/// least [`MODEL_PROGRESS_BYTES_MIN`] starts the count again. Hit: the package index is tried.
pub const MODEL_REQUESTS_MAX: u32 = 5;

/// Connections that may fail to open before a model's server counts as out of reach.
pub const MODEL_CONNECTIONS_MAX: u32 = 2;

/// What a broken download must have brought to count as progress.
pub const MODEL_PROGRESS_BYTES_MIN: u64 = 1024 * 1024;

/// Time that a connection to a model's server may take to open.
pub const MODEL_CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Silence in the middle of a model download. Hit: the request is dropped and resumed.
pub const MODEL_STALL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Time that `pip` may take for one package, unpacking included. Hit: it is ended, an error.
pub const PACKAGE_TIME_MAX: Duration = Duration::from_mins(15);

/// Longest name of a tensor in a model file that is imported. Hit: the file is refused.
pub const TENSOR_NAME_BYTES_MAX: usize = 512;

/// Tensors in a model file that is imported (large-v3 has fewer than 1,300). Hit: refused.
pub const TENSORS_MAX: u32 = 16_384;

/// Dimensions of one tensor. Hit: the file is refused.
pub const TENSOR_RANK_MAX: u8 = 4;

/// Layers of an encoder or decoder that is imported (large has 32). Hit: the folder is refused.
pub const MODEL_LAYERS_MAX: usize = 128;

/// Largest vocabulary or tokenizer file that is read (Whisper's are 0.4 and 2.5 MB). Hit: the
/// folder is refused.
pub const VOCABULARY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Longest notes of one call. Hit: the edit is refused.
pub const NOTES_BYTES_MAX: usize = 64 * 1024;

/// Labels of one call. Hit: the edit is refused.
pub const LABELS_MAX: usize = 32;

/// Longest label. Hit: the edit is refused.
pub const LABEL_BYTES_MAX: usize = 64;

/// Longest password. Hit: it is refused; hashing more would be work for strangers to give.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Passwords that are hashed at once, of which each takes a core for about 30 ms and 19 MiB. Hit:
/// the next one waits.
pub const PASSWORD_HASHES_CONCURRENT_MAX: usize = 1;

/// Passwords that may wait to be hashed: about 8 seconds of work. Hit: the one that has the most of its
/// own address before it is answered with 503.
pub const PASSWORD_HASHES_QUEUED_MAX: usize = 256;

/// Those of one address, or of one IPv6 /64, among them. Hit: the sign-in is answered with 503.
pub const PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX: usize = 8;

/// When whoever found no place among them is told to come back.
pub const PASSWORD_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Attempts to sign in that one network may make in a row; a whole office may be behind it. Hit:
/// 429, and one more for each [`SIGN_IN_NETWORK_INTERVAL`].
pub const SIGN_INS_PER_NETWORK_MAX: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Time after which a network may try once more.
pub const SIGN_IN_NETWORK_INTERVAL: Duration = Duration::from_secs(5);

/// Attempts of one network to sign in under one name in a row. Hit: 429, and one more for each
/// [`SIGN_IN_NAME_INTERVAL`].
pub const SIGN_INS_PER_NETWORK_AND_NAME_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Attempts to sign in under one name in a row, from all browsers that never signed in under it. Hit:
/// 429, and one more for each [`SIGN_IN_NAME_INTERVAL`]; browsers that did sign in are not held back.
pub const SIGN_INS_PER_NAME_MAX: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Attempts in a row of one browser that has signed in under the name before. Hit: 429, and one more
/// for each [`SIGN_IN_NAME_INTERVAL`].
pub const SIGN_INS_PER_KNOWN_BROWSER_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Time after which a name may be tried once more: fewer than 3,000 guesses a day.
pub const SIGN_IN_NAME_INTERVAL: Duration = Duration::from_secs(30);

/// Browsers of one user that are remembered to have signed in. Hit: the one that signed in least
/// recently is forgotten, and counts as unknown.
pub const KNOWN_BROWSERS_PER_USER_MAX: u32 = 32;

/// Time after its last sign-in for which a browser is remembered; browsers keep no cookie for longer
/// than 400 days.
pub const KNOWN_BROWSER_AGE_MAX: Duration = Duration::from_hours(400 * 24);

/// Changes that one user may ask for in a row, by page and API tokens together. Hit: 429, and one more
/// for each [`CHANGE_INTERVAL`].
pub const CHANGE_BURST_MAX: u32 = 120;

/// Time after which a user may ask for one more change.
pub const CHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// Proxies whose words about the client are followed. Hit: the last one counts as the client.
pub const PROXY_HOPS_MAX: usize = 16;

/// Time after its last use at which a session is over. Longer than a weekend.
pub const SESSION_IDLE_MAX: Duration = Duration::from_hours(3 * 24);

/// Time after its beginning at which a session is over, used or not.
pub const SESSION_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// Time between two notes that a session, or an API token, is in use.
pub const SESSION_TOUCH_INTERVAL: Duration = Duration::from_mins(5);

/// Longest `User-Agent` header that is kept of a session. Hit: the rest is cut off.
pub const USER_AGENT_BYTES_MAX: usize = 256;

/// Time after a proof by password or second factor in which a session may do what is sensitive. Hit:
/// 403 `confirm_password`, and the user has to prove to be there once more.
pub const CONFIRMATION_AGE_MAX: Duration = Duration::from_mins(10);

/// Time that a sign-in waits for its second factor, and a passkey's challenge for its answer. Hit: it
/// begins again.
pub const SECOND_FACTOR_WAIT_MAX: Duration = Duration::from_mins(5);

/// Codes that one sign-in may be tried with. Hit: the password is asked for again.
pub const SECOND_FACTOR_ATTEMPTS_MAX: u32 = 5;

/// Sign-ins and challenges of one user, or one address, that wait. Hit: the owner's oldest is forgotten.
pub const CHALLENGES_PER_OWNER_MAX: usize = 8;

/// Sign-ins, and challenges of one kind, that wait. Hit: the oldest is forgotten.
pub const CHALLENGES_MAX: usize = 1_024;

/// Codes of authenticator apps that may be tried for one user in a row. Hit: 429, and one more for each
/// [`TOTP_ATTEMPT_INTERVAL`].
pub const TOTP_ATTEMPTS_MAX: u32 = 10;

/// Time after which one more code may be tried for a user.
pub const TOTP_ATTEMPT_INTERVAL: Duration = Duration::from_mins(5);

/// Passkeys of one user. Hit: no further one is made.
pub const PASSKEYS_PER_USER_MAX: u32 = 16;

/// Time that an API token is good for when nothing is said of its end.
pub const API_TOKEN_LIFE_DEFAULT: Duration = Duration::from_hours(90 * 24);

/// Time between two looks for sessions to forget.
pub const SESSION_SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// Sessions that ended while the database could not write it. Hit: a further one does not end until
/// the database writes again, and its user is told so.
pub const PENDING_SIGN_OUTS_MAX: usize = 4_096;

/// Time between two tries to write down what ended.
pub const SIGN_OUT_RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// Time that a first-run link is good for. Hit: it is refused, and a restart makes another.
pub const SETUP_LINK_AGE_MAX: Duration = Duration::from_mins(30);

/// Longest body of a request about people. Hit: 413.
pub const API_BODY_BYTES_MAX: usize = 128 * 1024;

/// Time from the TwiML that names a media socket to the opening of that socket: an announcement is
/// spoken in between. Hit: the socket is refused.
pub const STREAM_TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// Media sockets that are expected and not open yet. Hit: the oldest is forgotten.
pub const STREAM_TOKENS_MAX: usize = 1_024;

/// Registrations of browsers at Twilio that are remembered. Hit: the oldest is forgotten; no call
/// rings its browser until the page registers again.
pub const REGISTRATIONS_MAX: usize = 4_096;

/// Registrations of one user's browsers. Hit: this user's oldest is forgotten.
pub const REGISTRATIONS_PER_USER_MAX: usize = 32;

/// Browsers that one incoming call rings; Twilio's `<Dial>` takes no more. Hit: the others are not
/// rung.
pub const RINGING_BROWSERS_MAX: usize = 10;

/// Browsers of one user that one incoming call rings. Hit: the latest to register are rung.
pub const RINGING_BROWSERS_PER_USER_MAX: usize = 3;

/// Rounds in which browsers whose session is over are replaced before a call rings. Hit: the call
/// rings those that were found to be signed in.
pub const RING_ROUNDS_MAX: usize = 4;

/// Incoming calls of which is known whom they rang. Hit: the oldest is forgotten; its pages say that it
/// was missed.
pub const RING_TARGETS_MAX: usize = 1_024;

/// Time for which is known whom an incoming call rang.
pub const RING_TARGETS_LIFETIME: Duration = Duration::from_mins(10);

/// Sessions whose end is remembered until their passes to Twilio expire, for the time when the
/// database does not answer. Hit: the end that was first is forgotten.
pub const ENDED_SESSIONS_MAX: usize = 4_096;

/// Removed users who are remembered, likewise. Hit: the one who was removed first is forgotten.
pub const REMOVED_USERS_MAX: usize = 4_096;

/// Largest body of a webhook; Twilio's are below 4 KiB, those with a long transcript included.
/// Hit: refused unread.
/// Largest body of a webhook; Twilio's are some KiB. Hit: refused unread.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 128 * 1024;

/// Fields of a webhook; Twilio sends about 30, and a page may add its own. Hit: refused.
pub const WEBHOOK_FIELDS_MAX: usize = 256;

/// Longest name or message that is kept of a webhook. Hit: the rest is cut off.
pub const WEBHOOK_TEXT_BYTES_MAX: usize = 1_024;

/// Longest number, identity or address of a party that is kept of a webhook. Hit: the rest is cut
/// off, and what is left can't be dialled.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Longest idempotency token of a webhook; Twilio's are UUIDs. Hit: the webhook counts as one
/// without a token.
pub const IDEMPOTENCY_TOKEN_BYTES_MAX: usize = 128;

/// Longest TwiML document that is read; Twilio reads 64 KiB. Hit: refused.
pub const TWIML_BYTES_MAX: usize = 64 * 1024;
/// Time that a connection to Twilio's REST API may take to open. Hit: another attempt.
pub const REST_CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time from a REST request to the end of its answer. Hit: the request counts as lost, and is
/// repeated only where that is safe.
pub const REST_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Silence before or within a recording that Twilio sends. Hit: the download breaks off.
pub const REST_MEDIA_IDLE_MAX: Duration = Duration::from_secs(30);

/// Attempts at one REST request. Hit: the last failure is told.
pub const REST_ATTEMPTS_MAX: u32 = 3;

/// Wait before the second attempt at a REST request; it doubles with each further one, and up to
/// half as much again is added by chance.
pub const REST_RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// Longest `Retry-After` that is waited for. Hit: the failure is told at once, and the time with it.
pub const REST_RETRY_AFTER_MAX: Duration = Duration::from_secs(8);

/// Longest REST answer that is read; a page of a list is below 100 kB. Hit: an error.
pub const REST_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest answer of Twilio's that is quoted in an error. Hit: the rest is cut off.
pub const REST_MESSAGE_CHARS_MAX: usize = 300;

/// Pages of one list that are read. Hit: an error, for what is looked for may be on the next.
pub const REST_PAGES_MAX: usize = 20;

/// Redirects that the way to a recording may have. Hit: an error.
pub const REST_REDIRECTS_MAX: usize = 3;

/// Parameters of one Media Stream that Twilio takes. Hit: the stream is refused.
pub const STREAM_PARAMETERS_MAX: usize = 99;

/// Calls whose stream broke and was started again, until they end. Hit: a further call's stream is
/// not started again.
pub const STREAM_RESTARTS_MAX: usize = 1_024;

/// Time within which audio must arrive of an open stream that Twilio calls failed. Hit: it is stopped,
/// and another is started.
pub const STREAM_ALIVE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Calls that Twilio transcribes at once. Hit: the one that began first is not listened to any more.
pub const TRANSCRIPTIONS_MAX: usize = 1_024;

/// Names of finals of Twilio's transcriptions, two of each, by which a repetition is known; Twilio
/// repeats within seconds. Hit: the oldest are forgotten.
pub const TRANSCRIPTION_FINALS_MAX: usize = 20_000;

/// Transcriptions of one call that are told apart. Hit: the oldest counts as a new one.
pub const TRANSCRIPTIONS_PER_CALL_MAX: usize = 16;

/// Difference between the date and the time that has passed up to which dates are believed. Hit: this
/// machine's clock was set; streams of a call are laid out by the time that has passed, and no old
/// calls are deleted for [`RETENTION_PAUSE`].
pub const CLOCK_OFFSET_MAX: Duration = Duration::from_mins(1);

/// Time that nothing is deleted for its age after the clock was set forwards, so that somebody can see
/// the warning and set it right.
pub const RETENTION_PAUSE: Duration = Duration::from_hours(24);

/// Calls and recordings of which Twilio is asked what it did not tell. Hit: a further one is entered
/// when one of them is finished, at the next look for what is not.
pub const RECONCILE_SUBJECTS_MAX: usize = 16_384;

/// Time from a sign that a call is over, such as the end of its media stream, to the question whether
/// it is: Twilio's own word may be on its way.
pub const RECONCILE_AFTER_END_HINT: Duration = Duration::from_secs(5);

/// Time beyond the ringing after which Twilio is asked about a call that nobody answered, and time after
/// a call's end after which it is asked whether the recording is ready.
pub const RECONCILE_RINGING_SLACK: Duration = Duration::from_secs(30);

/// Time without news after which Twilio is asked whether a call is still on, the longest pause between
/// two such questions, and the time between two looks for calls that nobody watches.
pub const RECONCILE_SILENCE_MAX: Duration = Duration::from_mins(5);

/// Time between two questions to Twilio about calls and recordings, whatever they are about.
pub const RECONCILE_REQUEST_GAP: Duration = Duration::from_millis(200);

/// Time after a call's end for which Twilio is asked whether its recording is ready. Hit: it stays
/// stopped.
pub const RECORDING_WAIT_MAX: Duration = Duration::from_hours(24);

/// Time between two looks for calls that are old enough to be deleted.
pub const RETENTION_INTERVAL: Duration = Duration::from_hours(1);

/// Time that calls which go on get at a stop, while no new ones are taken. Hit: their streams end, what
/// was heard is published, and the next start goes on with them. `TimeoutStopSec` of the systemd unit
/// and `stop_grace_period` of the containers are longer.
pub const DRAIN_MAX: Duration = Duration::from_mins(5);

/// Calls that one such look deletes at most; the rest is for the next.
pub const RETENTION_CALLS_MAX: u32 = 1_000;

/// Time that a question of Twilio's waits for the database; Twilio itself waits for 15 s, and
/// somebody listens to it. Hit: it is answered, and what it says is written down afterwards.
pub const WEBHOOK_STORE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Time that a page which has answered a call waits for Twilio to say so. Hit: 409, and the page asks
/// again.
pub const OWNERSHIP_WAIT_MAX: Duration = Duration::from_secs(3);

/// The longest call that Twilio carries. What began earlier is over, told or not.
pub const CALL_TIME_MAX: Duration = Duration::from_hours(24);

/// Time that one verb of the store may take, queueing included. Hit: it is given up, an error.
pub const STORE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time that the store waits for a database that another process has locked. Hit: an error.
pub const STORE_LOCK_WAIT_MAX: Duration = Duration::from_secs(3);

/// Connections that read the database at once. Hit: a further reader waits.
pub const STORE_READERS_MAX: u32 = 4;

/// Calls in one page of a list. Hit: what asks for more is refused with 400.
pub const CALLS_PAGE_MAX: u32 = 200;

/// Places in a transcript that a list shows of each call. Hit: later ones are left out.
pub const HITS_PER_CALL_MAX: u32 = 3;

/// Longest text to look for. Hit: the search is refused.
pub const SEARCH_BYTES_MAX: usize = 256;

/// Words to look for at once. Hit: the rest is not looked for.
pub const SEARCH_TERMS_MAX: usize = 12;

/// Segments of one call that are kept: as many as its channel shows. Hit: further ones are refused.
pub const SEGMENTS_PER_CALL_MAX: usize = CHANNEL_EVENTS_MAX;

/// Calls that a restart reports as not over. Hit: older ones are left as they are.
pub const OPEN_CALLS_MAX: u32 = 10_000;

/// Entries of one call's log. Hit: the oldest leave.
pub const LOG_ENTRIES_MAX: u32 = 1_000;

/// Entries of the server's own log: what people did. Some 100 MB. Hit: the oldest of the user and kind
/// that have the most leave.
pub const SERVER_LOG_ENTRIES_MAX: u32 = 500_000;

/// Entries of the server's own log for each user and kind within [`SERVER_LOG_DAY`]; strangers count as
/// one user. Hit: further ones are counted in one entry.
pub const SERVER_LOG_ENTRIES_PER_DAY_MAX: u32 = 1_000;

/// The time that they are counted over.
pub const SERVER_LOG_DAY: Duration = Duration::from_hours(24);

/// How long an entry of the server's own log is kept. Hit: it is forgotten.
pub const SERVER_LOG_AGE_MAX: Duration = Duration::from_hours(366 * 24);

/// Entries of it in one answer. Hit: earlier ones are left out; ask for those before a time.
pub const SERVER_LOG_PAGE_MAX: u32 = 20_000;

/// Time within which what the same client does again is counted, not written once more.
pub const AUDIT_REPEAT_WINDOW: Duration = Duration::from_hours(1);

/// Time between two writes of such a count. Hit: what is done meanwhile is counted in memory.
pub const AUDIT_COUNT_INTERVAL: Duration = Duration::from_mins(1);

/// Things that one user did, or strangers together, that are remembered for it. Hit: of a user's, what
/// they are about is left out, of strangers', their address, so that all count as one.
pub const AUDIT_EVENTS_PER_USER_MAX: usize = 1_024;

/// Things that are remembered for it, of everyone together; some 15 MB. Hit: as above.
pub const AUDIT_EVENTS_MAX: usize = 65_536;

/// Longest kind or detail of a log entry. Hit: it is cut.
pub const LOG_DETAIL_BYTES_MAX: usize = 512;

/// Time in which only so many lines of the log are about the same thing that anybody can cause. Hit: the
/// next line says how many were left out.
pub const LOG_QUOTA_WINDOW: Duration = Duration::from_mins(1);

/// Lines about refusals of one kind in that time.
pub const LOG_REFUSALS_MAX: u32 = 1;

/// Lines about failures of one kind in that time: each has its own cause.
pub const LOG_FAILURES_MAX: u32 = 30;

/// How long the token of a callback is remembered; Twilio repeats within seconds. Hit: it is
/// forgotten, and a repetition is known by its content.
pub const CALLBACK_TOKEN_AGE_MAX: Duration = Duration::from_hours(24);

/// Tokens of callbacks that are remembered. Hit: the oldest are forgotten.
pub const CALLBACK_TOKENS_MAX: u32 = 1_000_000;

/// Longest token of a callback. Hit: the callback counts as one without.
pub const CALLBACK_TOKEN_BYTES_MAX: usize = 128;

/// How long a deleted call is remembered by its SIDs, so that a late callback does not bring it
/// back; Twilio is done with a call and its recordings within hours.
pub const DELETED_LEG_AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// Longest cause of a call's end. Hit: it is cut.
pub const END_CAUSE_BYTES_MAX: usize = 64;

/// Users of this server. Hit: no further one is made.
pub const USERS_MAX: u32 = 10_000;

/// Longest name of a user or an API token. Hit: it is refused.
pub const NAME_BYTES_MAX: usize = 128;

/// Browsers that one user is signed in with. Hit: the one that was used least recently is signed
/// out.
pub const SESSIONS_PER_USER_MAX: u32 = 32;

/// API tokens of one user. Hit: no further one is made.
pub const API_TOKENS_PER_USER_MAX: u32 = 64;

/// Legs of one call. Hit: callbacks of further ones are ignored.
pub const LEGS_PER_CALL_MAX: usize = 64;
/// Longest archive of a call: a call lasts 24 hours at most. Hit: what is later is not kept.
pub const ARCHIVE_MS_MAX: u64 = 25 * 60 * 60 * 1_000;

/// Time that one track of an archive waits for the other. Hit: the other is silent there.
pub const ARCHIVE_WAIT_MS_MAX: u64 = 1_000;

/// Samples of one track that wait to be encoded: two minutes. Hit: the archive loses audio.
pub const ARCHIVE_WAITING_SAMPLES_MAX: usize = 120 * 8_000;

/// End of an archive that holds its last whole page for certain.
pub const ARCHIVE_TAIL_BYTES: usize = 128 * 1_024;

/// Longest text that is read as a telephone number; the longest number has 15 digits. Hit: it is
/// refused as no number.
pub const DIALED_NUMBER_BYTES_MAX: usize = 64;

/// Calls at once, whatever the settings say. Hit: the call is refused, and the caller is told.
pub const ACTIVE_CALLS_MAX: usize = 4_096;

/// Calls that all users together may begin within a minute. Hit: the call is refused, and the
/// caller is told.
pub const CALL_STARTS_MAX: usize = 4_096;

/// Calls to numbers within a day, whatever the settings say. Hit: the call is refused, and the caller is
/// told.
pub const DAILY_CALLS_MAX: usize = 100_000;

/// How long they are remembered; a day counts. Hit: they are forgotten.
pub const PLACED_CALL_AGE_MAX: Duration = Duration::from_hours(25);

/// Time beyond the longest call for which a call counts whose end nobody told: an announcement and
/// the ringing come before, and Twilio's callbacks may be late. Hit: its place is free again.
pub const ACTIVE_CALL_SLACK: Duration = Duration::from_mins(15);

/// Samples of one call's tracks, and a little for each chunk, that wait for the archive's thread:
/// a minute of both, so that the burst after a stall has room. Hit: the archive loses audio, says
/// so once in the log, and is marked as holed; the call goes on.
pub const ARCHIVE_QUEUE_SAMPLES_MAX: usize = 2 * 60 * 8_000;

/// Time that `/readyz` gives the database to answer. Hit: the server is not ready.
pub const READY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Time that one of `callburner doctor`'s questions to the network may take. Hit: a failure, and the
/// next question.
pub const DOCTOR_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time for which the server is silent in a socket that `callburner doctor` opened: longer than that between
/// two pings to a listener, so that a proxy which keeps such a socket ends no listener's.
pub const DOCTOR_IDLE_SOCKET_TIME: Duration =
    Duration::from_secs(LISTENER_PING_INTERVAL.as_secs() + 2);

/// Body that `callburner doctor` sends, to see whether a proxy lets it pass: what a page's longest note
/// takes.
pub const DOCTOR_BODY_BYTES: usize = 100 * 1024;

/// Longest answer that `callburner doctor` reads. Hit: the rest is not looked at.
pub const DOCTOR_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Difference between this machine's clock and Twilio's above which `callburner doctor` warns.
pub const CLOCK_SKEW_WARN_MIN: Duration = Duration::from_secs(30);

/// The same above which it is a failure: Twilio refuses tokens of another time.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// Free space of the data folder's disk below which `callburner doctor` warns: some hundred hours of
/// calls with their audio.
pub const DISK_FREE_WARN_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The same below which it is a failure: `SQLite` needs room to work.
pub const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Bytes of an archive that are read at a time for whoever listens: half a minute of a call. What a
/// slow listener has not taken yet is not read.
pub const AUDIO_CHUNK_BYTES: usize = 64 * 1_024;

/// Samples of one channel that a packet of a recording may hold; FLAC's largest block has 65,535.
/// Hit: the recording counts as damaged from there on.
pub const RECORDING_BLOCK_FRAMES_MAX: usize = 256 * 1_024;

/// Segments that wait to be written until no earlier one of the other channel can come; half a
/// minute of talk has a few dozen. Hit: the earliest is written.
pub const REORDER_SEGMENTS_MAX: usize = 1_024;

/// Words that the engine may be told to expect; a few dozen names help, thousands would help any
/// noise. Hit: the setting is refused.
pub const HOTWORDS_MAX: usize = 500;

/// Longest of them, spaces included. Hit: the setting is refused.
pub const HOTWORD_BYTES_MAX: usize = 64;
