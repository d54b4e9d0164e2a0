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
pub const MEDIA_IDLE_MAX: Duration = Duration::from_secs(60);

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
pub const CHANNEL_LINGER: Duration = Duration::from_secs(60);
