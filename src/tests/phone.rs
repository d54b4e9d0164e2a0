//! The other end of the line: a media socket that a test controls by hand, its audio, and a recognizer that a
//! test can block.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::scenarios::call;
use super::{TEST_TIMEOUT, keys};
use crate::api::ApiState;
use crate::engine::recognizer::{
    Effort, Hypothesis, RecognizeError, RecognizeRequest, Recognizer, ScriptedRecognizer,
};
use crate::engine::track::TrackConfig;
use crate::ids::{StreamSid, Track};
use crate::twilio::signature::{SigningKey, sign};
use crate::twilio::stream::message::{MediaFrame, MessageBody, StreamMessage, StreamStart};
use crate::twilio_sim::RecordedCall;

/// Utterances end only where the audio ends them, however slowly the test runs.
pub(crate) fn without_stalls(state: &mut ApiState) {
    state.media_deps.track_config = stall_free_config();
}

pub(crate) fn stall_free_config() -> TrackConfig {
    TrackConfig {
        stall: Duration::from_hours(1),
        stall_endpoint: Duration::from_hours(1),
        ..TrackConfig::default()
    }
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path)
}

/// Returns "Weasels have eaten our phone system", 3 s, as μ-law.
pub(crate) fn speech() -> Vec<u8> {
    let read = RecordedCall::read_recording(&fixture("prompts/weasels.wav"));
    read.unwrap().inbound
}

pub(crate) fn stream_sid(n: u32) -> StreamSid {
    StreamSid::parse(&format!("MZ{n:032x}")).unwrap()
}

/// A media socket that a test controls by hand.
pub(crate) struct MediaClient {
    socket: WebSocketStream<TcpStream>,
    sid: StreamSid,
    sequence: u64,
    /// Number of samples sent of each track.
    sent: BTreeMap<Track, u64>,
    /// The parameters of its `start` message.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl MediaClient {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let path = format!("/media/{}", keys().simulator.expose());
        let opened = Self::upgrade(addr, &path, None).await;
        opened.expect("the upgrade was refused")
    }

    /// Opens the socket at the URL of a `<Stream>`, signed with `key` as Twilio does; an error with the HTTP
    /// status if the upgrade is refused.
    pub(crate) async fn dial(
        addr: SocketAddr,
        url: &str,
        key: Option<&SigningKey>,
    ) -> Result<Self, u16> {
        let signature = key.map(|key| sign(key, url, &[]));
        let path = url
            .strip_prefix("wss://")
            .and_then(|url| url.find('/').map(|at| &url[at..]));
        Self::upgrade(addr, path.expect("a wss URL"), signature.as_deref()).await
    }

    async fn upgrade(addr: SocketAddr, path: &str, signature: Option<&str>) -> Result<Self, u16> {
        let stream = with_timeout("a connection", TcpStream::connect(addr)).await;
        let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
        if let Some(signature) = signature {
            let signature = HeaderValue::from_str(signature).unwrap();
            request
                .headers_mut()
                .insert("X-Twilio-Signature", signature);
        }
        match with_timeout("the upgrade", client_async(request, stream.unwrap())).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                sid: stream_sid(0),
                sequence: 0,
                sent: BTreeMap::new(),
                parameters: BTreeMap::new(),
            }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Starts a stream of the `n`th call, with only its inbound track.
    pub(crate) async fn start(addr: SocketAddr, n: u32) -> Self {
        let mut stream = Self::open(addr).await;
        stream.begin(n, n).await;
        stream
    }

    /// Sends `start` for the `stream`th stream, of the `n`th call.
    pub(crate) async fn begin(&mut self, stream: u32, n: u32) {
        self.sid = stream_sid(stream);
        let start = self.start_message(n);
        self.text(&start).await.unwrap();
    }

    pub(crate) fn start_message(&mut self, n: u32) -> String {
        let start = StreamStart {
            stream_sid: self.sid.clone(),
            call_sid: call(n),
            account_sid: None,
            tracks: vec![Track::Inbound],
            parameters: self.parameters.clone(),
        };
        self.message(MessageBody::Start(start))
    }

    fn message(&mut self, body: MessageBody) -> String {
        self.sequence += 1;
        let message = StreamMessage {
            sequence: Some(self.sequence),
            stream_sid: Some(self.sid.as_str().to_owned()),
            body,
        };
        message.to_json()
    }

    pub(crate) fn media(&mut self, mulaw: &[u8]) -> String {
        self.media_on(Track::Inbound, mulaw)
    }

    fn media_on(&mut self, track: Track, mulaw: &[u8]) -> String {
        let sent = self.sent.entry(track).or_default();
        let timestamp_ms = *sent / 8;
        *sent += mulaw.len() as u64;
        self.message(MessageBody::Media(MediaFrame {
            track,
            chunk: None,
            timestamp_ms,
            mulaw: mulaw.to_vec(),
        }))
    }

    pub(crate) async fn text(&mut self, text: &str) -> Result<(), tungstenite::Error> {
        self.frame(Message::text(text)).await
    }

    pub(crate) async fn frame(&mut self, frame: Message) -> Result<(), tungstenite::Error> {
        with_timeout("a write", self.socket.send(frame)).await
    }

    /// Sends audio, 20 ms a message, and waits until the server has handled it.
    pub(crate) async fn send_audio(&mut self, mulaw: &[u8]) {
        self.send_audio_on(Track::Inbound, mulaw).await;
    }

    pub(crate) async fn send_audio_on(&mut self, track: Track, mulaw: &[u8]) {
        for frame in mulaw.chunks(160) {
            let media = self.media_on(track, frame);
            self.text(&media).await.unwrap();
        }
        self.settle().await;
    }

    pub(crate) async fn stop(&mut self) {
        let stop = self.message(MessageBody::Stop {
            account_sid: None,
            call_sid: None,
        });
        self.text(&stop).await.unwrap();
    }

    /// Waits until the server has read everything that has been sent.
    pub(crate) async fn settle(&mut self) {
        self.frame(Message::Ping(vec![].into())).await.unwrap();
        loop {
            match with_timeout("a pong", self.socket.next()).await {
                Some(Ok(Message::Pong(_))) => return,
                Some(Ok(_)) => {}
                gone => panic!("the server hung up: {gone:?}"),
            }
        }
    }

    /// Sends without a timeout: a long backpressure is not a failure.
    pub(crate) async fn send_without_timeout(
        &mut self,
        text: String,
    ) -> Result<(), tungstenite::Error> {
        self.socket.send(Message::text(text)).await
    }

    /// Waits until the server has closed the socket.
    pub(crate) async fn closed(mut self) {
        while let Some(Ok(_)) = with_timeout("the end", self.socket.next()).await {}
    }

    /// Drops the connection without a close, as a machine does that loses its power.
    pub(crate) fn reset(self) {
        self.socket.get_ref().set_zero_linger().unwrap();
    }
}

/// A recognizer that waits for its gate to open. Dropping the gate opens it, so that a failing test ends.
pub(crate) struct RecognizerGate {
    shared: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    is_open: Mutex<bool>,
    opened: Condvar,
    partials: AtomicUsize,
}

impl RecognizerGate {
    pub(crate) fn closed() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    pub(crate) fn recognizer(&self) -> Box<dyn Recognizer> {
        Box::new(GatedRecognizer {
            shared: self.shared.clone(),
            inner: ScriptedRecognizer::default(),
        })
    }

    pub(crate) fn open(&self) {
        *self.shared.is_open.lock().unwrap() = true;
        self.shared.opened.notify_all();
    }

    /// Number of partials that were started.
    pub(crate) fn partials(&self) -> usize {
        self.shared.partials.load(Ordering::SeqCst)
    }
}

impl Drop for RecognizerGate {
    fn drop(&mut self) {
        self.open();
    }
}

struct GatedRecognizer {
    shared: Arc<GateState>,
    inner: ScriptedRecognizer,
}

impl Recognizer for GatedRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        if request.effort == Effort::Partial {
            self.shared.partials.fetch_add(1, Ordering::SeqCst);
        }
        let is_open = self.shared.is_open.lock().unwrap();
        let opened = &self.shared.opened;
        drop(opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        self.inner.recognize(request)
    }
}

/// Polls until the condition holds; panics after [`TEST_TIMEOUT`].
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    with_timeout(what, asking).await;
}

pub(crate) async fn with_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(TEST_TIMEOUT, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} did not come within {TEST_TIMEOUT:?}"))
}
