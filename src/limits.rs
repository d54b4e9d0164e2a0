//! Every bound of the server. Each constant documents the quantity that it bounds, the unit (also in its
//! name) and the behaviour when it is reached ("Reached: …").
//!
//! Parameters of recognition *quality* (thresholds, paddings) are defined beside the code that they tune.
//! This file holds the bounds that limit memory, time and the load that clients can cause.

use std::num::NonZeroU32;
use std::time::Duration;

/// HTTP connections open at once, or half of the process's limit of open files if that is lower. WebSockets
/// have bounds of their own. Reached: the connection that has waited longest for its client is closed.
pub const CONNECTIONS_MAX: usize = 4_096;

/// HTTP connections of one address, or of one IPv6 /64; behind a trusted proxy, requests in progress of one
/// client. Reached: the connection of that address that has waited longest for its client is closed; if no
/// connection waits, the request is answered with 429 at once.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Connections out of [`CONNECTIONS_MAX`] that only webhooks and media sockets may use. Up to the same number
/// of idle connections that have carried requests from Twilio are closed after all others. Reached: a request
/// from any other client is answered with 503 at once.
pub const CONNECTIONS_RESERVED_FOR_TWILIO: usize = 512;

/// `Retry-After` of a response that refuses a request because the server is at its connection limit.
pub const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Time that a client may take to send the head of a request, and lifetime of an idle connection. Reached:
/// the connection is closed.
pub const REQUEST_HEAD_WAIT_MAX: Duration = Duration::from_secs(15);

/// Time from the head of a request to the end of its body; no body is longer than 128 KiB. Reached: 408, and
/// the connection is closed.
pub const REQUEST_BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Time that a client may stall a response. Reached: the connection is closed; an audio player that was
/// paused requests the remaining range.
pub const RESPONSE_STALL_MAX: Duration = Duration::from_secs(30);

/// Minimum rate, in bytes per second, at which a client must read a stalled response; playing a recording
/// needs four times that. Slower: the shortfall counts as stalled time.
pub const RESPONSE_BYTES_PER_SECOND_MIN: u32 = 1_024;

/// Kernel send buffer of each connection, in bytes. It is small so that a client that does not read is
/// noticed soon.
pub const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Connections that the kernel queues until the server accepts them. Reached: clients retry, or are refused.
pub const ACCEPT_QUEUE_MAX: u32 = 1_024;

/// Longest WebSocket message that the media socket reads, in bytes. A `media` message of 20 ms has about 400
/// bytes. Reached: the stream ends with a protocol error.
pub const MEDIA_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Time from the opening of a media socket to its `start` message. Reached: the stream ends.
pub const MEDIA_START_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time without a message on a media socket. Twilio sends 50 messages a second for each track, but some calls
/// skip silent ones. Reached: the stream ends; its transcript is kept.
pub const MEDIA_IDLE_MAX: Duration = Duration::from_mins(1);

/// Malformed messages of one media stream. Reached: the stream ends.
pub const MEDIA_FAULTS_MAX: u32 = 20;

/// Audio that one track may send ahead of the wall clock, in milliseconds; Twilio sends in real time, and a
/// stall is followed by a burst. Reached: the socket is not read until the clock has caught up, so that a
/// flood loses no audio and does not slow other calls.
pub const MEDIA_AHEAD_MS_MAX: u64 = 30_000;

/// Media sockets open at once. Reached: the upgrade is refused with 503.
pub const MEDIA_SOCKETS_MAX: usize = 256;

/// Longest gap between timestamps that is filled with silence sample by sample, in milliseconds. Reached: the
/// timeline advances its clock instead, which costs nothing.
pub const GAP_FILL_MS_MAX: u64 = 2_000;

/// Largest forward jump of a timestamp that is accepted without evidence, in milliseconds. A longer jump is
/// accepted if this machine's clock or the other track has advanced as far, within [`MEDIA_AHEAD_MS_MAX`].
/// Reached: the jump is ignored, and the frames are placed directly after the last one.
pub const TIMESTAMP_JUMP_MS_MAX: u64 = 10 * 60 * 1_000;

/// Longest message that a listener's socket reads, in bytes. Reached: the socket is closed.
pub const LISTENER_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Calls that one listener's socket may subscribe to. Reached: an error event.
pub const SUBSCRIPTIONS_PER_LISTENER_MAX: usize = 32;

/// Listener sockets open at once. Reached: the upgrade is refused with 503.
pub const LISTENERS_MAX: usize = 1_024;

/// Listener sockets of one user; each open page has one. Reached: the upgrade is refused with 429.
pub const LISTENERS_PER_USER_MAX: usize = 16;

/// Time that one write to a listener's socket may take. Reached: the socket is closed; the browser reconnects
/// with its offset and misses nothing.
pub const LISTENER_WRITE_MAX: Duration = Duration::from_secs(20);

/// Call channels open at once. Reached: a subscription to an unknown call is refused; an actual call always
/// gets its channel.
pub const CHANNELS_MAX: usize = 4_096;

/// Channels of calls not in progress that one user's subscriptions keep open. Reached: a subscription to a
/// further such call is refused.
pub const CHANNELS_PER_USER_MAX: usize = 64;

/// Durable events (finals, states) that one call's channel keeps for late subscribers. An eight-hour call of
/// two fast talkers stays below it. Reached: the oldest events are dropped from the snapshot.
pub const CHANNEL_EVENTS_MAX: usize = 50_000;

/// Time that an ended call's channel stays open for listeners that were disconnected.
pub const CHANNEL_LINGER: Duration = Duration::from_mins(1);

/// Open utterances of one call; two tracks need two, four tracks need four. Reached: the partial of a further
/// utterance is refused; its final is not.
pub const CHANNEL_PARTIALS_MAX: usize = 64;

/// Events that a listener takes from a channel at a time, which bounds the memory of a slow listener.
/// Reached: the remaining events stay in the channel until these are written.
pub const LISTENER_BATCH_MAX: usize = 256;

/// Interval of WebSocket pings to a listener, and of the sweep that closes unused channels.
pub const LISTENER_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time without a message from a listener; its answer to a ping counts as a message. Reached: the socket is
/// closed.
pub const LISTENER_IDLE_MAX: Duration = Duration::from_secs(65);

/// Messages of any kind, including WebSocket pings, that a listener may send between two pings. Reached: the
/// socket is closed with 1008.
pub const LISTENER_REQUESTS_MAX: u32 = 600;

/// Invalid requests of one listener. Reached: the socket is closed with 1008.
pub const LISTENER_FAULTS_MAX: u32 = 20;

/// Time that a refused listener has to answer the closing handshake.
pub const LISTENER_CLOSE_MAX: Duration = Duration::from_secs(2);

/// Time that listeners stay connected at a soft stop to receive the last finals of their calls. Reached: the
/// socket is closed with 1001; the browser reconnects to the next server.
pub const LISTENER_DRAIN_MAX: Duration = Duration::from_secs(5);

/// Audio of finals that wait for a recognizer, in bytes: about two hours of speech. Finals are not dropped
/// for being late. Reached: the segment is published without text, marked as not transcribed.
pub const FINALS_WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Time that a partial may wait to start, counted from the end of its audio. Reached: it is dropped as stale;
/// the next one replaces it.
pub const PARTIAL_WAIT_MAX: Duration = Duration::from_millis(1_500);

/// Time that a final may wait to start, counted from the end of its speech. Reached: it counts as late and is
/// decoded with the fast settings instead of the accurate ones.
pub const FINAL_ACCURATE_WAIT_MAX: Duration = Duration::from_millis(600);

/// Results of the engine that wait for a call to take them. Reached: the worker waits; a call takes its
/// results at once, or has ended.
pub const RESULTS_QUEUED_MAX: usize = 64;

/// Consecutive failed requests of a model download. A request that transferred at least
/// [`MODEL_PROGRESS_BYTES_MIN`] resets the count. Reached: the package index is tried.
pub const MODEL_REQUESTS_MAX: u32 = 5;

/// Failed connection attempts to a model's server. Reached: the server counts as unreachable.
pub const MODEL_CONNECTIONS_MAX: u32 = 2;

/// Bytes that an interrupted download must have transferred to count as progress.
pub const MODEL_PROGRESS_BYTES_MIN: u64 = 1024 * 1024;

/// Time to open a connection to a model's server. Reached: the attempt fails.
pub const MODEL_CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time without data during a model download. Reached: the request is dropped and resumed.
pub const MODEL_STALL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Time that `pip` may take for one package, including unpacking. Reached: the process is terminated, an
/// error.
pub const PACKAGE_TIME_MAX: Duration = Duration::from_mins(15);

/// Longest name of a tensor in an imported model file, in bytes. Reached: the file is refused.
pub const TENSOR_NAME_BYTES_MAX: usize = 512;

/// Tensors in an imported model file (large-v3 has fewer than 1,300). Reached: the file is refused.
pub const TENSORS_MAX: u32 = 16_384;

/// Dimensions of one tensor. Reached: the file is refused.
pub const TENSOR_RANK_MAX: u8 = 4;

/// Layers of an imported encoder or decoder (large has 32). Reached: the folder is refused.
pub const MODEL_LAYERS_MAX: usize = 128;

/// Largest vocabulary or tokenizer file, in bytes (Whisper's have 0.4 and 2.5 MB). Reached: the folder is
/// refused.
pub const VOCABULARY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Longest notes of one call, in bytes. Reached: the edit is refused.
pub const NOTES_BYTES_MAX: usize = 64 * 1024;

/// Labels of one call. Reached: the edit is refused.
pub const LABELS_MAX: usize = 32;

/// Longest label, in bytes. Reached: the edit is refused.
pub const LABEL_BYTES_MAX: usize = 64;

/// Longest password, in bytes; a longer one would let unauthenticated clients cause more hashing work.
/// Reached: the password is refused.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Passwords hashed at once; each takes one core for about 30 ms and 19 MiB. Reached: the next one waits.
pub const PASSWORD_HASHES_CONCURRENT_MAX: usize = 1;

/// Passwords that wait to be hashed: about 8 seconds of work. Reached: the waiting password with the most
/// passwords of its own address ahead of it is answered with 503.
pub const PASSWORD_HASHES_QUEUED_MAX: usize = 256;

/// Passwords of one address, or of one IPv6 /64, in that queue. Reached: the sign-in is answered with 503.
pub const PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX: usize = 8;

/// `Retry-After` of a sign-in that was refused because that queue was full.
pub const PASSWORD_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Burst of sign-in attempts from one network; a whole office may share it. Reached: 429, and one further
/// attempt for each [`SIGN_IN_NETWORK_INTERVAL`].
pub const SIGN_INS_PER_NETWORK_MAX: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Time after which a network may make one further attempt.
pub const SIGN_IN_NETWORK_INTERVAL: Duration = Duration::from_secs(5);

/// Burst of sign-in attempts from one network under one name. Reached: 429, and one further attempt for each
/// [`SIGN_IN_NAME_INTERVAL`].
pub const SIGN_INS_PER_NETWORK_AND_NAME_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Burst of sign-in attempts under one name from all browsers that never signed in under it. Reached: 429,
/// and one further attempt for each [`SIGN_IN_NAME_INTERVAL`]; browsers that have signed in before are not
/// limited by it.
pub const SIGN_INS_PER_NAME_MAX: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Burst of sign-in attempts of one browser that has signed in under the name before. Reached: 429, and one
/// further attempt for each [`SIGN_IN_NAME_INTERVAL`].
pub const SIGN_INS_PER_KNOWN_BROWSER_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Time after which one further attempt under a name is allowed: fewer than 3,000 guesses a day.
pub const SIGN_IN_NAME_INTERVAL: Duration = Duration::from_secs(30);

/// Known browsers of one user: those that have signed in. Reached: the browser with the least recent sign-in
/// is forgotten and counts as unknown.
pub const KNOWN_BROWSERS_PER_USER_MAX: u32 = 32;

/// Time after its last sign-in for which a browser stays known; browsers keep no cookie for longer than 400
/// days.
pub const KNOWN_BROWSER_AGE_MAX: Duration = Duration::from_hours(400 * 24);

/// Burst of modifying requests of one user, from pages and API tokens together. Reached: 429, and one further
/// request for each [`CHANGE_INTERVAL`].
pub const CHANGE_BURST_MAX: u32 = 120;

/// Time after which a user may send one further modifying request.
pub const CHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// Trusted proxies that are followed in a forwarding header to find the client. Reached: the last one counts
/// as the client.
pub const PROXY_HOPS_MAX: usize = 16;

/// Time since its last use after which a session expires. Longer than a weekend.
pub const SESSION_IDLE_MAX: Duration = Duration::from_hours(3 * 24);

/// Time since its start after which a session expires, used or not.
pub const SESSION_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// Interval at which the last use of a session or an API token is stored.
pub const SESSION_TOUCH_INTERVAL: Duration = Duration::from_mins(5);

/// Longest `User-Agent` header stored with a session, in bytes. Reached: it is truncated.
pub const USER_AGENT_BYTES_MAX: usize = 256;

/// Time after a confirmation by password or second factor in which a session may perform sensitive
/// operations. Reached: 403 `confirm_password`; the user has to confirm again.
pub const CONFIRMATION_AGE_MAX: Duration = Duration::from_mins(10);

/// Time that a sign-in waits for its second factor, and a passkey challenge for its response. Reached: the
/// user has to start over.
pub const SECOND_FACTOR_WAIT_MAX: Duration = Duration::from_mins(5);

/// Codes that may be tried for one sign-in. Reached: the password is required again.
pub const SECOND_FACTOR_ATTEMPTS_MAX: u32 = 5;

/// Pending sign-ins and challenges of one user or one address. Reached: the oldest of that owner is dropped.
pub const CHALLENGES_PER_OWNER_MAX: usize = 8;

/// Pending sign-ins, and pending challenges of one kind. Reached: the oldest is dropped.
pub const CHALLENGES_MAX: usize = 1_024;

/// Burst of authenticator codes that may be tried for one user. Reached: 429, and one further code for each
/// [`TOTP_ATTEMPT_INTERVAL`].
pub const TOTP_ATTEMPTS_MAX: u32 = 10;

/// Time after which one further code may be tried for a user.
pub const TOTP_ATTEMPT_INTERVAL: Duration = Duration::from_mins(5);

/// Passkeys of one user. Reached: a further one is refused.
pub const PASSKEYS_PER_USER_MAX: u32 = 16;

/// Lifetime of an API token when the request gives no expiry.
pub const API_TOKEN_LIFE_DEFAULT: Duration = Duration::from_hours(90 * 24);

/// Interval of the sweep that deletes expired sessions.
pub const SESSION_SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// Ended sessions that the database could not record as ended. Reached: a further sign-out fails, with an
/// error to its user, until the database can write again.
pub const PENDING_SIGN_OUTS_MAX: usize = 4_096;

/// Interval at which recording those ends is retried.
pub const SIGN_OUT_RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// Lifetime of a first-run link. Reached: it is refused; a restart creates another.
pub const SETUP_LINK_AGE_MAX: Duration = Duration::from_mins(30);

/// Longest body of an API request, in bytes. Reached: 413.
pub const API_BODY_BYTES_MAX: usize = 128 * 1024;

/// Time from the TwiML that names a media socket to the opening of that socket; an announcement is played in
/// between. Reached: the socket is refused.
pub const STREAM_TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// Media sockets that are expected and not opened. Reached: the oldest is forgotten.
pub const STREAM_TOKENS_MAX: usize = 1_024;

/// Stored registrations of browsers at Twilio. Reached: the oldest is forgotten; no call rings its browser
/// until the page registers again.
pub const REGISTRATIONS_MAX: usize = 4_096;

/// Registrations of one user's browsers. Reached: the oldest of this user is forgotten.
pub const REGISTRATIONS_PER_USER_MAX: usize = 32;

/// Browsers that one incoming call rings; Twilio's `<Dial>` accepts no more. Reached: further browsers do not
/// ring.
pub const RINGING_BROWSERS_MAX: usize = 10;

/// Browsers of one user that one incoming call rings. Reached: only the latest to register ring.
pub const RINGING_BROWSERS_PER_USER_MAX: usize = 3;

/// Rounds in which browsers with an expired session are replaced before a call rings. Reached: the call rings
/// the browsers that were found to be signed in.
pub const RING_ROUNDS_MAX: usize = 4;

/// Incoming calls for which the browsers that they rang are remembered. Reached: the oldest is forgotten; its
/// pages report the call as missed.
pub const RING_TARGETS_MAX: usize = 1_024;

/// Time for which the browsers that an incoming call rang are remembered.
pub const RING_TARGETS_LIFETIME: Duration = Duration::from_mins(10);

/// Ended sessions that are remembered until their access tokens expire, for the case that the database does
/// not answer. Reached: the session that ended first is forgotten.
pub const ENDED_SESSIONS_MAX: usize = 4_096;

/// Removed users that are remembered for the same reason. Reached: the user who was removed first is
/// forgotten.
pub const REMOVED_USERS_MAX: usize = 4_096;

/// Largest body of a webhook, in bytes; Twilio's are below 4 KiB, including those with a long transcript.
/// Reached: refused without being read.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 128 * 1024;

/// Form fields of a webhook; Twilio sends about 30, and a page may add its own. Reached: refused.
pub const WEBHOOK_FIELDS_MAX: usize = 256;

/// Longest name or message that is taken from a webhook, in bytes. Reached: it is truncated.
pub const WEBHOOK_TEXT_BYTES_MAX: usize = 1_024;

/// Longest number, identity or address of a party that is taken from a webhook, in bytes. Reached: it is
/// truncated and cannot be dialled.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Longest idempotency token of a webhook, in bytes; Twilio's are UUIDs. Reached: the webhook counts as one
/// without a token.
pub const IDEMPOTENCY_TOKEN_BYTES_MAX: usize = 128;

/// Longest TwiML document that is read, in bytes; Twilio reads 64 KiB. Reached: refused.
pub const TWIML_BYTES_MAX: usize = 64 * 1024;

/// Time to open a connection to Twilio's REST API. Reached: another attempt.
pub const REST_CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time from a REST request to the end of its response. Reached: the request counts as failed and is repeated
/// only where that is safe.
pub const REST_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Time without data before or during the download of a recording from Twilio. Reached: the download is
/// aborted.
pub const REST_MEDIA_IDLE_MAX: Duration = Duration::from_secs(30);

/// Attempts at one REST request. Reached: the last failure is returned.
pub const REST_ATTEMPTS_MAX: u32 = 3;

/// Delay before the second attempt at a REST request. It doubles with each further attempt, plus a random
/// jitter of up to half of it.
pub const REST_RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// Longest `Retry-After` that is waited for. Reached: the failure is returned at once, with that time.
pub const REST_RETRY_AFTER_MAX: Duration = Duration::from_secs(8);

/// Longest REST response that is read, in bytes; a page of a list has less than 100 kB. Reached: an error.
pub const REST_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest message of Twilio's that is quoted in an error, in characters. Reached: it is truncated.
pub const REST_MESSAGE_CHARS_MAX: usize = 300;

/// Pages that are read of one list. Reached: an error, because the item may be on the next page.
pub const REST_PAGES_MAX: usize = 20;

/// Redirects that are followed to download a recording. Reached: an error.
pub const REST_REDIRECTS_MAX: usize = 3;

/// Parameters of one Media Stream that Twilio accepts. Reached: the stream is refused.
pub const STREAM_PARAMETERS_MAX: usize = 99;

/// Calls in progress with a restarted stream. Reached: the stream of a further call is not restarted.
pub const STREAM_RESTARTS_MAX: usize = 1_024;

/// Time within which audio must arrive on an open stream that Twilio reports as failed. Reached: the stream
/// is stopped, and another one is started.
pub const STREAM_ALIVE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Calls that Twilio transcribes at once. Reached: events of the one that started first are no longer
/// accepted.
pub const TRANSCRIPTIONS_MAX: usize = 1_024;

/// Keys by which repeated finals of Twilio's transcriptions are recognised, two for each final; Twilio
/// repeats within seconds. Reached: the oldest are forgotten.
pub const TRANSCRIPTION_FINALS_MAX: usize = 20_000;

/// Transcriptions of one call that are distinguished. Reached: the oldest counts as a new one.
pub const TRANSCRIPTIONS_PER_CALL_MAX: usize = 16;

/// Difference between the system date and the elapsed monotonic time up to which dates are trusted. Reached:
/// the clock of this machine was set; streams of a call are placed by elapsed time, and no old calls are
/// deleted for [`RETENTION_PAUSE`].
pub const CLOCK_OFFSET_MAX: Duration = Duration::from_mins(1);

/// Time that no call is deleted for its age after the clock was set forwards, so that an operator can see the
/// warning and correct the clock.
pub const RETENTION_PAUSE: Duration = Duration::from_hours(24);

/// Calls and recordings that are reconciled with Twilio, in case a callback was missed. Reached: a further
/// one is added when another one is finished, at the next sweep for unfinished ones.
pub const RECONCILE_SUBJECTS_MAX: usize = 16_384;

/// Time from a hint that a call has ended, such as the end of its media stream, to the request that checks
/// it; Twilio's status callback may be on its way.
pub const RECONCILE_AFTER_END_HINT: Duration = Duration::from_secs(5);

/// Time beyond the ring timeout after which Twilio is queried about an unanswered call, and time after a
/// call's end after which Twilio is queried about its recording.
pub const RECONCILE_RINGING_SLACK: Duration = Duration::from_secs(30);

/// Time without news after which Twilio is queried about a call, the longest interval between two such
/// queries, and the interval of the sweep for calls that are not watched.
pub const RECONCILE_SILENCE_MAX: Duration = Duration::from_mins(5);

/// Time between two queries to Twilio about any calls and recordings.
pub const RECONCILE_REQUEST_GAP: Duration = Duration::from_millis(200);

/// Time after a call's end for which Twilio is queried about its recording. Reached: the recording stays
/// stopped.
pub const RECORDING_WAIT_MAX: Duration = Duration::from_hours(24);

/// Interval of the sweep that deletes calls older than the retention period.
pub const RETENTION_INTERVAL: Duration = Duration::from_hours(1);

/// Time that calls in progress get at a stop, during which no new calls are accepted. Reached: their streams
/// end, the transcript so far is published, and the next start resumes them. `TimeoutStopSec` of the systemd
/// unit and `stop_grace_period` of the containers are longer.
pub const DRAIN_MAX: Duration = Duration::from_mins(5);

/// Calls that one such sweep deletes. Reached: the next sweep deletes the remaining ones.
pub const RETENTION_CALLS_MAX: u32 = 1_000;

/// Time that a webhook waits for the database; Twilio waits for 15 s, and a caller is on the line. Reached:
/// the webhook is answered, and its contents are stored afterwards.
pub const WEBHOOK_STORE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Time that a page that has answered a call waits for Twilio's callback to confirm it. Reached: 409, and the
/// page retries.
pub const OWNERSHIP_WAIT_MAX: Duration = Duration::from_secs(3);

/// Longest call that Twilio carries. A call that started earlier has ended, with or without a callback.
pub const CALL_TIME_MAX: Duration = Duration::from_hours(24);

/// Time that one operation of the store may take, including queueing. Reached: it is abandoned, an error.
pub const STORE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time that the store waits for a database that another process has locked. Reached: an error.
pub const STORE_LOCK_WAIT_MAX: Duration = Duration::from_secs(3);

/// Connections that read the database at once. Reached: a further reader waits.
pub const STORE_READERS_MAX: u32 = 4;

/// Calls in one page of a list. Reached: a request for more is refused with 400.
pub const CALLS_PAGE_MAX: u32 = 200;

/// Transcript hits that a list shows for each call. Reached: later ones are left out.
pub const HITS_PER_CALL_MAX: u32 = 3;

/// Longest search text, in bytes. Reached: the search is refused.
pub const SEARCH_BYTES_MAX: usize = 256;

/// Terms of one search. Reached: the remaining terms are ignored.
pub const SEARCH_TERMS_MAX: usize = 12;

/// Stored segments of one call: as many as its channel shows. Reached: further ones are refused.
pub const SEGMENTS_PER_CALL_MAX: usize = CHANNEL_EVENTS_MAX;

/// Unfinished calls that are reported at a restart. Reached: older ones are left unchanged.
pub const OPEN_CALLS_MAX: u32 = 10_000;

/// Entries of one call's log. Reached: the oldest entry of the user and kind with the most entries is
/// deleted.
pub const LOG_ENTRIES_MAX: u32 = 1_000;

/// Entries of the server's log of user actions; about 100 MB. Reached: the oldest entries of the user and
/// kind with the most entries are deleted.
pub const SERVER_LOG_ENTRIES_MAX: u32 = 500_000;

/// Entries of the server's log for each user and kind within [`SERVER_LOG_DAY`]; all unauthenticated clients
/// count as one user. Reached: further ones are counted in one entry.
pub const SERVER_LOG_ENTRIES_PER_DAY_MAX: u32 = 1_000;

/// Window over which those entries are counted.
pub const SERVER_LOG_DAY: Duration = Duration::from_hours(24);

/// Age of an entry of the server's log. Reached: it is deleted.
pub const SERVER_LOG_AGE_MAX: Duration = Duration::from_hours(366 * 24);

/// Entries of the server's log in one response. Reached: earlier ones are left out; a client requests those
/// before a given time.
pub const SERVER_LOG_PAGE_MAX: u32 = 20_000;

/// Window within which repetitions by the same client are counted in one log entry.
pub const AUDIT_REPEAT_WINDOW: Duration = Duration::from_hours(1);

/// Interval at which such a count is written. Until then, repetitions are counted in memory.
pub const AUDIT_COUNT_INTERVAL: Duration = Duration::from_mins(1);

/// Distinct events of one user, or of all unauthenticated clients, that are remembered to count repetitions.
/// Reached: the detail of a user's events, or the address of unauthenticated clients, is left out, so that
/// all count as one.
pub const AUDIT_EVENTS_PER_USER_MAX: usize = 1_024;

/// Distinct events of all users together that are remembered; about 15 MB. Reached: as for
/// [`AUDIT_EVENTS_PER_USER_MAX`].
pub const AUDIT_EVENTS_MAX: usize = 65_536;

/// Longest kind or detail of a log entry, in bytes. Reached: it is truncated.
pub const LOG_DETAIL_BYTES_MAX: usize = 512;

/// Window of the quotas for log lines that any client can cause. The first line after the window gives the
/// number of lines that were suppressed.
pub const LOG_QUOTA_WINDOW: Duration = Duration::from_mins(1);

/// Log lines about refusals of one kind in that window. Reached: further lines are suppressed and counted.
pub const LOG_REFUSALS_MAX: u32 = 1;

/// Log lines about failures of one kind in that window; each has its own cause. Reached: further lines are
/// suppressed and counted.
pub const LOG_FAILURES_MAX: u32 = 30;

/// Time that the token of a callback is kept; Twilio repeats within seconds. Reached: it is deleted, and a
/// repetition is recognised by its content.
pub const CALLBACK_TOKEN_AGE_MAX: Duration = Duration::from_hours(24);

/// Stored tokens of callbacks. Reached: the oldest are deleted.
pub const CALLBACK_TOKENS_MAX: u32 = 1_000_000;

/// Longest token of a callback, in bytes. Reached: the callback counts as one without a token.
pub const CALLBACK_TOKEN_BYTES_MAX: usize = 128;

/// Time that the SIDs of a deleted call are kept, so that a late callback does not recreate the call; Twilio
/// is done with a call and its recordings within hours.
pub const DELETED_LEG_AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// Longest cause of a call's end, in bytes. Reached: it is truncated.
pub const END_CAUSE_BYTES_MAX: usize = 64;

/// Users of this server. Reached: a further one is refused.
pub const USERS_MAX: u32 = 10_000;

/// Longest name of a user or an API token, in bytes. Reached: it is refused.
pub const NAME_BYTES_MAX: usize = 128;

/// Sessions of one user. Reached: the least recently used one ends.
pub const SESSIONS_PER_USER_MAX: u32 = 32;

/// API tokens of one user. Reached: a further one is refused.
pub const API_TOKENS_PER_USER_MAX: u32 = 64;

/// Legs of one call. Reached: callbacks of further legs are ignored.
pub const LEGS_PER_CALL_MAX: usize = 64;

/// Longest archive of a call, in milliseconds; a call lasts 24 hours at most. Reached: later audio is not
/// kept.
pub const ARCHIVE_MS_MAX: u64 = 25 * 60 * 60 * 1_000;

/// Time that one track of an archive waits for the other, in milliseconds. Reached: silence is written for
/// the other track.
pub const ARCHIVE_WAIT_MS_MAX: u64 = 1_000;

/// Samples of one track that wait to be encoded: two minutes. Reached: the archive loses audio.
pub const ARCHIVE_WAITING_SAMPLES_MAX: usize = 120 * 8_000;

/// Bytes at the end of an archive that are certain to contain its last complete Ogg page.
pub const ARCHIVE_TAIL_BYTES: usize = 128 * 1_024;

/// Longest text that is parsed as a telephone number, in bytes; the longest number has 15 digits. Reached: it
/// is refused as not a number.
pub const DIALED_NUMBER_BYTES_MAX: usize = 64;

/// Calls in progress, regardless of the settings. Reached: the call is refused, with an announcement to the
/// caller.
pub const ACTIVE_CALLS_MAX: usize = 4_096;

/// Calls that all users together may start within a minute. Reached: the call is refused, with an
/// announcement to the caller.
pub const CALL_STARTS_MAX: usize = 4_096;

/// Calls to numbers within a day, regardless of the settings. Reached: the call is refused, with an
/// announcement to the caller.
pub const DAILY_CALLS_MAX: usize = 100_000;

/// Time that calls to numbers are kept to count them; the count covers one day. Reached: they are deleted.
pub const PLACED_CALL_AGE_MAX: Duration = Duration::from_hours(25);

/// Time beyond the longest allowed call for which a call without a reported end counts as active; an
/// announcement and the ringing precede it, and Twilio's callbacks may be late. Reached: it no longer counts.
pub const ACTIVE_CALL_SLACK: Duration = Duration::from_mins(15);

/// Samples of one call's tracks, plus a small overhead for each chunk, that wait for the archive's thread:
/// one minute of both tracks, enough for the burst after a stall. Reached: the archive loses audio, logs it
/// once and is marked as incomplete; the call continues.
pub const ARCHIVE_QUEUE_SAMPLES_MAX: usize = 2 * 60 * 8_000;

/// Time that `/readyz` waits for the database. Reached: the server is not ready.
pub const READY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Time that one network check of `callburner doctor` may take. Reached: the check fails, and the next one
/// runs.
pub const DOCTOR_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time for which the server sends nothing on a socket that `callburner doctor` opened. It is longer than the
/// interval between two pings to a listener, so that a proxy that passes this check closes no listener's
/// socket.
pub const DOCTOR_IDLE_SOCKET_TIME: Duration =
    Duration::from_secs(LISTENER_PING_INTERVAL.as_secs() + 2);

/// Body that `callburner doctor` sends to check whether a proxy forwards it, in bytes: the size of a request
/// with the longest notes.
pub const DOCTOR_BODY_BYTES: usize = 100 * 1024;

/// Longest response that `callburner doctor` reads, in bytes. Reached: the remainder is ignored.
pub const DOCTOR_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Difference between the clocks of this machine and Twilio from which `callburner doctor` warns.
pub const CLOCK_SKEW_WARN_MIN: Duration = Duration::from_secs(30);

/// The same difference from which `callburner doctor` fails: Twilio refuses access tokens of another time.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// Free space on the data folder's disk below which `callburner doctor` warns, in bytes: some hundred hours
/// of calls with their audio.
pub const DISK_FREE_WARN_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The same free space below which `callburner doctor` fails: `SQLite` needs space to work.
pub const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Bytes of an archive that are read at a time for playback: half a minute of a call. The next chunk is read
/// when the client has taken the previous one.
pub const AUDIO_CHUNK_BYTES: usize = 64 * 1_024;

/// Samples of one channel in a packet of a recording; FLAC's largest block has 65,535. Reached: the recording
/// counts as damaged from there on.
pub const RECORDING_BLOCK_FRAMES_MAX: usize = 256 * 1_024;

/// Segments that wait until no earlier segment of the other channel can follow; half a minute of speech has a
/// few dozen. Reached: the earliest is written.
pub const REORDER_SEGMENTS_MAX: usize = 1_024;

/// Hotwords that the engine can be given; a few dozen names help, thousands would bias noise towards them.
/// Reached: the setting is refused.
pub const HOTWORDS_MAX: usize = 500;

/// Longest hotword, including spaces, in bytes. Reached: the setting is refused.
pub const HOTWORD_BYTES_MAX: usize = 64;
