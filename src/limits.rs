//! Every bound in the machine: its unit in its name, and what happens when it is hit.
//!
//! Numbers that tune the *quality* of recognition (thresholds, paddings) live beside the code
//! they tune; this file holds what keeps memory, time and strangers in check.

use std::time::Duration;

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

/// Largest forward jump of a timestamp that is believed. Hit: the jump is ignored, and the frames
/// are laid on right after the last one.
pub const JUMP_MS_MAX: u64 = 10 * 60 * 1_000;

/// Longest message that a client-channel socket reads. Hit: the socket is closed.
pub const LISTENER_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Calls that one client-channel socket may subscribe to. Hit: an error event.
pub const SUBSCRIPTIONS_PER_LISTENER_MAX: usize = 32;

/// Client-channel sockets open at once. Hit: the upgrade is refused with 503.
pub const LISTENERS_MAX: usize = 1_024;

/// Time that one write to a client-channel socket may take. Hit: the socket is closed; the browser
/// comes back with its offset and misses nothing.
pub const LISTENER_WRITE_MAX: Duration = Duration::from_secs(20);

/// Call channels that are open at once. Hit: a subscription to a call that nobody knows is refused;
/// calls themselves always get their channel.
pub const CHANNELS_MAX: usize = 4_096;

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
pub const LISTENER_PING_EVERY: Duration = Duration::from_secs(20);

/// Longest time that a listener's socket may be mute; its answer to a ping counts as a sound. Hit:
/// the socket is closed.
pub const LISTENER_MUTE_MAX: Duration = Duration::from_secs(65);

/// Requests that a listener may send between two pings. Hit: the socket is closed with 1008.
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

/// Answers of the engine that wait for a call to take them. Hit: the worker waits; calls take them
/// at once, or are gone.
pub const ANSWERS_WAITING_MAX: usize = 64;

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
