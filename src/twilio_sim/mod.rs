//! Simulates Twilio: plays a recorded call, or a captured session, to a server's Media Streams socket. Used
//! by `demo`, `replay`, the benchmarks, simulated calls and whole-server tests. For a server with an account,
//! [`webhooks`] simulates the whole call.
//!
//! # Captured sessions
//!
//! A capture is JSON lines in chronological order; `atMs` is the time since the socket was opened:
//!
//! ```text
//! {"atMs":0,"text":"{\"event\":\"connected\",…}"}    a text message
//! {"atMs":7,"binary":"AAEC"}                          a binary message, in base64
//! {"atMs":6179,"close":true}                          the closing handshake
//! {"atMs":6179,"drop":true}                           the connection is gone, without a handshake
//! ```

pub mod webhooks;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::SinkExt;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::audio::LINE_HZ;
use crate::audio::mulaw;
use crate::audio::recording::RecordingError;
use crate::audio::recording::RecordingReader;
use crate::clock;
use crate::ids::CallSid;
use crate::ids::StreamSid;
use crate::ids::Track;
use crate::twilio::signature;
use crate::twilio::signature::SigningKey;
use crate::twilio::stream::message::MediaFrame;
use crate::twilio::stream::message::MessageBody;
use crate::twilio::stream::message::StreamMessage;
use crate::twilio::stream::message::StreamStart;

/// Length of a frame in milliseconds, as Twilio sends it.
const FRAME_MS: u64 = 20;

const FRAME_SAMPLES: usize = (LINE_HZ as u64 * FRAME_MS / 1_000) as usize;

/// A μ-law sample of silence: fills the last frame, and the shorter of two tracks.
const SILENCE: u8 = 0xff;

/// Longest time that a server may leave its socket unread. A server that throttles a call played faster than
/// real time does so for less. Reached: [`PlaybackError::Stuck`], or at the end of the call the connection is
/// dropped.
const UNREAD_MAX: Duration = Duration::from_mins(2);

/// Error of playing a call.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The URL is not a WebSocket URL.
    #[error("{url} is not the URL of a WebSocket: {source}")]
    Url {
        /// The URL.
        url: String,
        /// The cause.
        source: Box<tungstenite::Error>,
    },
    /// The server does not respond, or not as a WebSocket.
    #[error("cannot open a WebSocket to {url}: {source}")]
    Connect {
        /// The URL.
        url: String,
        /// The cause.
        source: Box<tungstenite::Error>,
    },
    /// The server closed the socket before the end of the call.
    #[error("the server closed the socket after {sent} messages, before the end of the call")]
    ClosedEarly {
        /// Number of messages that were sent.
        sent: u64,
    },
    /// The server does not read the socket.
    #[error("the server has not read its socket for {} s", UNREAD_MAX.as_secs())]
    Stuck,
    /// A line of a capture is malformed.
    #[error("line {line} of the capture is malformed: {cause}")]
    Capture {
        /// The line's number, from 1.
        line: usize,
        /// The problem.
        cause: String,
    },
}

/// A recorded call: one or two tracks, μ-law at 8 kHz, with a common start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedCall {
    /// Audio that Twilio receives from the leg that starts the stream. Empty: no such track.
    pub inbound: Vec<u8>,
    /// Audio that Twilio sends to that leg. Empty: no such track.
    pub outbound: Vec<u8>,
}

impl RecordedCall {
    /// Reads the first channel of each of two recordings.
    pub fn read_tracks(inbound: &Path, outbound: &Path) -> Result<Self, RecordingError> {
        let channel = |path| -> Result<Vec<u8>, RecordingError> {
            let channels = RecordingReader::read_all(path, LINE_HZ)?;
            Ok(channels
                .first()
                .map(|channel| encode_mulaw(channel))
                .unwrap_or_default())
        };
        Ok(Self {
            inbound: channel(inbound)?,
            outbound: channel(outbound)?,
        })
    }

    /// Reads one recording: the first channel is the inbound track, the second, if any, the outbound track.
    pub fn read_recording(path: &Path) -> Result<Self, RecordingError> {
        let channels = RecordingReader::read_all(path, LINE_HZ)?;
        let mut tracks = channels.iter().map(|channel| encode_mulaw(channel));
        let inbound = tracks.next().unwrap_or_default();
        Ok(Self {
            inbound,
            outbound: tracks.next().unwrap_or_default(),
        })
    }

    /// Returns the duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.inbound.len().max(self.outbound.len()) as f64 / f64::from(LINE_HZ)
    }

    /// Returns the number of frames of each track; the last may be filled with silence.
    fn frame_count(&self) -> u64 {
        self.inbound
            .len()
            .max(self.outbound.len())
            .div_ceil(FRAME_SAMPLES) as u64
    }

    /// Returns the end of the last frame, since the start of the recording.
    fn end_ms(&self) -> u64 {
        self.frame_count() * FRAME_MS
    }

    fn track(&self, track: Track) -> &[u8] {
        match track {
            Track::Inbound => &self.inbound,
            Track::Outbound => &self.outbound,
        }
    }
}

/// Signs the WebSocket upgrade as Twilio does.
#[derive(Debug, Clone)]
pub struct RequestSigner {
    /// The key that the server also has.
    pub key: SigningKey,
    /// The server's public `wss://…` URL, which is signed; `None`: the URL of the connection.
    pub public_url: Option<String>,
}

/// Options of playing a call.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The leg of the stream.
    pub call_sid: CallSid,
    /// The stream that the call is played as.
    pub stream_sid: StreamSid,
    /// The account SID, `AC…`.
    pub account_sid: String,
    /// The `<Parameter>` values of the `<Stream>`.
    pub parameters: BTreeMap<String, String>,
    /// Timestamp of the first frame. In real calls 90 to 160.
    pub first_timestamp_ms: u64,
    /// Largest deviation of a timestamp from the 20 ms grid; below 10 in real calls.
    pub jitter_ms_max: u64,
    /// Seed of the jitter.
    pub seed: u64,
    /// Speed as a multiple of real time; infinite, or zero or less: as fast as the server reads.
    pub speed: f64,
    /// Signs the upgrade; `None`: unsigned.
    pub signer: Option<RequestSigner>,
}

impl StreamOptions {
    /// Returns options for real time, unsigned, with new SIDs.
    pub fn fresh() -> Self {
        let stream_sid = StreamSid::parse(&format!("MZ{}", fresh_digits()));
        let stream_sid = stream_sid.expect("32 hexadecimal digits");
        Self::new(fresh_call_sid(), stream_sid)
    }

    /// Returns options for real time, unsigned, with timestamps like those of real calls.
    pub fn new(call_sid: CallSid, stream_sid: StreamSid) -> Self {
        Self {
            call_sid,
            stream_sid,
            account_sid: format!("AC{:032}", 0),
            parameters: BTreeMap::new(),
            first_timestamp_ms: 100,
            jitter_ms_max: 3,
            seed: 1,
            speed: 1.0,
            signer: None,
        }
    }
}

/// Returns a new SID.
fn fresh_call_sid() -> CallSid {
    CallSid::parse(&format!("CA{}", fresh_digits())).expect("32 hexadecimal digits")
}

fn fresh_digits() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// The timing of a played call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaybackReport {
    /// The start of the recording. Its millisecond `t` was spoken at `started + t / speed`, and was sent with
    /// its frame when the frame was complete, at most 20 ms later.
    pub started: Instant,
    /// The start of the recording on the call's clock: the first frame's timestamp.
    pub first_timestamp_ms: u64,
    /// Speed as a multiple of real time.
    pub speed: f64,
    /// Number of messages that were sent.
    pub sent: u64,
    /// Whether all messages were sent before the server closed the socket.
    pub is_whole: bool,
}

impl PlaybackReport {
    /// Returns the time at which the recording's millisecond `t_ms` was spoken.
    pub fn spoken_at(&self, t_ms: u64) -> Instant {
        self.started + scale_time(t_ms, self.speed)
    }
}

/// A step of a session at the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketStep {
    /// Time since the socket was opened.
    pub at_ms: u64,
    /// What happens then.
    pub action: SocketAction,
}

/// An action at the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAction {
    /// Sends a text message.
    Text(String),
    /// Sends a binary message.
    Binary(Vec<u8>),
    /// Closes the socket with the closing handshake. The last step.
    Close,
    /// Drops the connection. The last step.
    Drop,
}

/// Plays a call to the Media Streams socket at `url`, `ws://…` or `wss://…`, and waits for the end of the
/// call.
pub async fn play_call(
    url: &str,
    call: &RecordedCall,
    options: &StreamOptions,
) -> Result<PlaybackReport, PlaybackError> {
    let steps = socket_steps(call, options);
    let mut played = send_steps(url, options.signer.as_ref(), options.speed, steps).await?;
    if !played.is_whole {
        return Err(PlaybackError::ClosedEarly { sent: played.sent });
    }
    played.first_timestamp_ms = options.first_timestamp_ms;
    Ok(played)
}

/// Replays a captured session to the socket at `url`, each step at its time divided by `speed`. It is not an
/// error if the server closes the socket: see [`PlaybackReport::is_whole`].
pub async fn replay_capture(
    url: &str,
    steps: &[SocketStep],
    speed: f64,
    signer: Option<&RequestSigner>,
) -> Result<PlaybackReport, PlaybackError> {
    send_steps(url, signer, speed, steps.iter().cloned()).await
}

/// Parses a captured session.
pub fn parse_capture(text: &str) -> Result<Vec<SocketStep>, PlaybackError> {
    let mut steps: Vec<SocketStep> = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |cause: &str| PlaybackError::Capture {
            line: index + 1,
            cause: cause.to_owned(),
        };
        let wire: CaptureLine =
            serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let action = match (wire.text, wire.binary, wire.close, wire.drop) {
            (Some(text), None, false, false) => SocketAction::Text(text),
            (None, Some(base64), false, false) => SocketAction::Binary(
                BASE64
                    .decode(base64)
                    .map_err(|error| wrong(&error.to_string()))?,
            ),
            (None, None, true, false) => SocketAction::Close,
            (None, None, false, true) => SocketAction::Drop,
            _ => return Err(wrong("it needs one of text, binary, close and drop")),
        };
        if steps.last().is_some_and(|last| last.at_ms > wire.at_ms) {
            return Err(wrong("it is earlier than the line before"));
        }
        steps.push(SocketStep {
            at_ms: wire.at_ms,
            action,
        });
    }
    Ok(steps)
}

/// Returns the call SID in the `start` message of a captured session, if there is one.
pub fn captured_call_sid(steps: &[SocketStep]) -> Option<CallSid> {
    steps.iter().find_map(|step| {
        let SocketAction::Text(text) = &step.action else {
            return None;
        };
        let message = StreamMessage::parse(text).ok()?;
        if let MessageBody::Start(start) = message.body {
            return Some(start.call_sid);
        }
        None
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaptureLine {
    at_ms: u64,
    text: Option<String>,
    binary: Option<String>,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    drop: bool,
}

/// Returns the steps by which Twilio would send this call.
pub fn socket_steps<'a>(
    call: &'a RecordedCall,
    options: &'a StreamOptions,
) -> impl Iterator<Item = SocketStep> + 'a {
    let connected = StreamMessage {
        sequence: None,
        stream_sid: None,
        body: MessageBody::Connected,
    };
    let numbered = timed_messages(call, options)
        .zip(1..)
        .map(|((at_ms, body), sequence)| {
            let stream_sid = Some(options.stream_sid.as_str().to_owned());
            let message = StreamMessage {
                sequence: Some(sequence),
                stream_sid,
                body,
            };
            text_step(at_ms, &message)
        });
    std::iter::once(text_step(0, &connected))
        .chain(numbered)
        .chain(std::iter::once(SocketStep {
            at_ms: call.end_ms(),
            action: SocketAction::Close,
        }))
}

fn text_step(at_ms: u64, message: &StreamMessage) -> SocketStep {
    SocketStep {
        at_ms,
        action: SocketAction::Text(message.to_json()),
    }
}

/// Returns the messages that have a sequence number, in order: `start`, the frames and `stop`, each with its
/// time since the socket was opened.
fn timed_messages<'a>(
    call: &'a RecordedCall,
    options: &'a StreamOptions,
) -> impl Iterator<Item = (u64, MessageBody)> + 'a {
    let tracks: Vec<Track> = Track::ALL
        .into_iter()
        .filter(|&track| !call.track(track).is_empty())
        .collect();
    let start = MessageBody::Start(StreamStart {
        stream_sid: options.stream_sid.clone(),
        call_sid: options.call_sid.clone(),
        account_sid: Some(options.account_sid.clone()),
        tracks: tracks.clone(),
        parameters: options.parameters.clone(),
    });
    let stop = MessageBody::Stop {
        account_sid: Some(options.account_sid.clone()),
        call_sid: Some(options.call_sid.clone()),
    };
    std::iter::once((0, start))
        .chain(media_messages(call, options, tracks))
        .chain(std::iter::once((call.end_ms(), stop)))
}

/// Returns the frames of the tracks, each at the time when its audio is complete.
fn media_messages<'a>(
    call: &'a RecordedCall,
    options: &'a StreamOptions,
    tracks: Vec<Track>,
) -> impl Iterator<Item = (u64, MessageBody)> + 'a {
    let mut random = options.seed;
    let frames = call.frame_count();
    let media = (0..frames).flat_map(move |n| tracks.clone().into_iter().map(move |t| (n, t)));
    media.map(move |(n, track)| {
        let jitter_ms = jitter_ms(&mut random, options);
        let timestamp_ms = options.first_timestamp_ms + n * FRAME_MS;
        let body = MessageBody::Media(MediaFrame {
            track,
            chunk: Some(n + 1),
            timestamp_ms: timestamp_ms.saturating_add_signed(jitter_ms),
            mulaw: mulaw_frame(call.track(track), n as usize),
        });
        ((n + 1) * FRAME_MS, body)
    })
}

type MediaSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn send_steps(
    url: &str,
    signer: Option<&RequestSigner>,
    speed: f64,
    steps: impl Iterator<Item = SocketStep>,
) -> Result<PlaybackReport, PlaybackError> {
    let mut socket = open_media_socket(url, signer).await?;
    let started = clock::now();
    let mut played = PlaybackReport {
        started,
        first_timestamp_ms: 0,
        speed,
        sent: 0,
        is_whole: true,
    };
    for step in steps {
        let at = started + scale_time(step.at_ms, speed);
        let message = match step.action {
            SocketAction::Text(text) => tungstenite::Message::text(text),
            SocketAction::Binary(bytes) => tungstenite::Message::binary(bytes),
            SocketAction::Close => {
                played.is_whole = wait_until(&mut socket, at).await;
                close_socket(socket).await;
                return Ok(played);
            }
            SocketAction::Drop => {
                played.is_whole = wait_until(&mut socket, at).await;
                return Ok(played);
            }
        };
        if !wait_until(&mut socket, at).await {
            played.is_whole = false;
            return Ok(played);
        }
        match tokio::time::timeout(UNREAD_MAX, socket.send(message)).await {
            Ok(Ok(())) => played.sent += 1,
            Ok(Err(_)) => {
                played.is_whole = false;
                return Ok(played);
            }
            Err(_) => return Err(PlaybackError::Stuck),
        }
    }
    Ok(played)
}

async fn open_media_socket(
    url: &str,
    signer: Option<&RequestSigner>,
) -> Result<MediaSocket, PlaybackError> {
    let wrong_url = |source| PlaybackError::Url {
        url: strip_url_path(url).to_owned(),
        source: Box::new(source),
    };
    let mut request = url.into_client_request().map_err(wrong_url)?;
    if let Some(RequestSigner { key, public_url }) = signer {
        let signature = signature::sign(key, public_url.as_deref().unwrap_or(url), &[]);
        let signature = HeaderValue::from_str(&signature).expect("base64 is ASCII");
        request
            .headers_mut()
            .insert("X-Twilio-Signature", signature);
    }
    let (socket, _) = tokio_tungstenite::connect_async_with_config(request, None, true)
        .await
        .map_err(|source| PlaybackError::Connect {
            url: strip_url_path(url).to_owned(),
            source: Box::new(source),
        })?;
    Ok(socket)
}

/// Returns the scheme, host and port of a URL: the path of a media socket contains its secret.
fn strip_url_path(url: &str) -> &str {
    let host_at = url.find("://").map_or(0, |at| at + 3);
    let path_at = url[host_at..].find(['/', '?', '#']);
    path_at.map_or(url, |at| &url[..host_at + at])
}

/// Waits until `at` and answers pings; `false` if the server closed the socket.
async fn wait_until(socket: &mut MediaSocket, at: Instant) -> bool {
    if at <= clock::now() {
        return true;
    }
    loop {
        tokio::select! {
            () = clock::sleep_until(Some(at)) => return true,
            message = socket.next() => match message {
                Some(Ok(tungstenite::Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Closes the socket with the closing handshake, and waits until the server has read everything and confirms
/// it.
async fn close_socket(mut socket: MediaSocket) {
    let handshake = async {
        // An error from here on has the same effect: the socket is closed.
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(UNREAD_MAX, handshake).await;
}

/// Converts `at_ms` of the recording to real time. Each step is computed from the start, so that errors do
/// not accumulate.
fn scale_time(at_ms: u64, speed: f64) -> Duration {
    Duration::try_from_secs_f64(at_ms as f64 / 1_000.0 / speed).unwrap_or_default()
}

fn mulaw_frame(track: &[u8], number: usize) -> Vec<u8> {
    let from = (number * FRAME_SAMPLES).min(track.len());
    let to = (from + FRAME_SAMPLES).min(track.len());
    let mut frame = track[from..to].to_vec();
    frame.resize(FRAME_SAMPLES, SILENCE);
    frame
}

/// Returns the next pseudorandom number (`SplitMix64`, <https://doi.org/10.1145/2660193.2660195>).
fn jitter_ms(state: &mut u64, options: &StreamOptions) -> i64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let range_ms = 2 * options.jitter_ms_max + 1;
    (z % range_ms).cast_signed() - options.jitter_ms_max.cast_signed()
}

fn encode_mulaw(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .map(|&sample| mulaw::encode((sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16))
        .collect()
}

#[cfg(test)]
mod tests;
