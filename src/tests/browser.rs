//! A browser: its socket on the client channel, and a view of each call, which folds the events and fails the
//! test if the server breaks a guarantee.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{TEST_TIMEOUT, page_cookie};
use crate::hub::ResumePoint;
use crate::ids::{CallSid, SegmentId};
use crate::transcript::{
    CallEvent, CallStatus, EndReason, EngineHealth, Event, LanguageDoubt, Partial, RecordingStatus,
    Segment,
};

/// The state that a browser shows of one call: the events, folded as the client folds them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CallView {
    pub(crate) epoch: Option<u64>,
    pub(crate) offset: u64,
    pub(crate) status: Option<CallStatus>,
    pub(crate) recording: Option<RecordingStatus>,
    pub(crate) engine: EngineHealth,
    pub(crate) segments: Vec<Segment>,
    pub(crate) partials: BTreeMap<SegmentId, Partial>,
    pub(crate) doubts: Vec<LanguageDoubt>,
    pub(crate) ended: Option<EndReason>,
    pub(crate) partials_missed: u64,
}

impl Default for CallView {
    fn default() -> Self {
        Self {
            epoch: None,
            offset: 0,
            status: None,
            recording: None,
            engine: EngineHealth::Ok,
            segments: Vec::new(),
            partials: BTreeMap::new(),
            doubts: Vec::new(),
            ended: None,
            partials_missed: 0,
        }
    }
}

impl CallView {
    /// Folds a whole log.
    pub(crate) fn of<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Self {
        let mut page = Self::default();
        for event in events {
            page.apply(event);
        }
        page
    }

    /// Folds an event; panics on one that the server guarantees never to send.
    pub(crate) fn apply(&mut self, heard: &CallEvent) {
        let notice = matches!(
            heard.event,
            Event::Engine {
                partials_missed: 1..,
                ..
            }
        );
        let snapshot = matches!(heard.event, Event::Snapshot { .. });
        assert!(
            self.epoch.is_some() || snapshot,
            "the first event was no snapshot: {heard:?}"
        );
        assert!(
            snapshot || heard.offset > self.offset || notice && heard.offset == self.offset,
            "offset {} after {}: {heard:?}",
            heard.offset,
            self.offset
        );
        match heard.event.clone() {
            Event::Snapshot {
                epoch,
                status,
                recording,
                engine,
                segments,
                partials,
                doubts,
                ended,
            } => {
                self.epoch = Some(epoch);
                (self.status, self.recording, self.engine) = (status, recording, engine);
                self.segments = segments;
                self.partials = partials
                    .into_iter()
                    .map(|p| (p.segment_id.clone(), p))
                    .collect();
                self.doubts = doubts;
                self.ended = ended;
            }
            Event::Partial { partial } => self.hear_partial(partial),
            Event::Segment { segment } => {
                assert_eq!(self.ended, None, "words after the end");
                assert!(
                    !self.has_final(&segment.id),
                    "a second final of {:?}",
                    segment.id
                );
                self.partials.remove(&segment.id);
                self.segments.push(segment);
            }
            Event::Call { status, .. } => self.status = Some(status),
            Event::Recording { status } => self.recording = Some(status),
            Event::Engine {
                health,
                partials_missed,
                ..
            } => {
                self.engine = health;
                self.partials_missed += partials_missed;
            }
            Event::Language { doubts } => self.doubts = doubts,
            Event::Ended { reason } => {
                self.ended = Some(reason);
                self.partials.clear();
            }
        }
        self.offset = heard.offset;
    }

    /// Returns the point to resume from after a disconnection.
    pub(crate) fn resume(&self) -> ResumePoint {
        ResumePoint {
            offset: self.offset,
            epoch: self.epoch,
        }
    }

    /// Returns the texts of the finals.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.segments
            .iter()
            .map(|segment| segment.text.as_str())
            .collect()
    }

    /// Returns the ids of the finals.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.segments
            .iter()
            .map(|segment| segment.id.as_str())
            .collect()
    }

    /// Returns the view without the parts that differ between listeners of the same call.
    pub(crate) fn same_for_all(&self) -> Self {
        Self {
            partials_missed: 0,
            ..self.clone()
        }
    }

    fn hear_partial(&mut self, partial: Partial) {
        assert_eq!(self.ended, None, "words after the end");
        assert!(
            !self.has_final(&partial.segment_id),
            "a partial after the final: {partial:?}"
        );
        if let Some(old) = self.partials.get(&partial.segment_id) {
            assert!(partial.revision > old.revision, "{partial:?} after {old:?}");
            assert!(
                partial.stable.starts_with(&old.stable),
                "{partial:?} takes back {old:?}"
            );
        }
        self.partials.insert(partial.segment_id.clone(), partial);
    }

    fn has_final(&self, id: &SegmentId) -> bool {
        self.segments.iter().any(|segment| segment.id == *id)
    }
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ServerFrame {
    Event(Box<CallEvent>),
    Pong,
    /// The requested SID is a leg of this call.
    Leg {
        parent: CallSid,
    },
    Error {
        code: String,
        message: String,
    },
    /// The close code; `None` if the connection ended without one.
    Closed(Option<u16>),
}

/// A browser's socket on `/ws/transcriptions`, with a view of each call.
pub(crate) struct LiveClient {
    socket: WebSocketStream<TcpStream>,
    pages: BTreeMap<CallSid, CallView>,
    /// Every event, in order.
    pub(crate) heard: Vec<CallEvent>,
}

impl LiveClient {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::open(addr, "", &[])
            .await
            .expect("the upgrade was refused")
    }

    /// Opens the socket; `query` includes its question mark. An error with the HTTP status if the upgrade is
    /// refused.
    pub(crate) async fn open(
        addr: SocketAddr,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("ws://{addr}/ws/transcriptions{query}");
        let mut request = url.into_client_request().unwrap();
        // For a server that only this machine reaches; other servers ignore it.
        let cookie = HeaderValue::from_str(&page_cookie()).unwrap();
        request.headers_mut().insert("cookie", cookie);
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that the server soon notices a browser that does not read.
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = with_timeout("a connection", socket.connect(addr))
            .await
            .unwrap();
        match with_timeout("the upgrade", client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                pages: BTreeMap::new(),
                heard: Vec::new(),
            }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.send_frame(Message::Text(text.into().into()))
            .await
            .expect("the socket is gone");
    }

    /// Sends a frame; an error if the server has closed the socket.
    pub(crate) async fn send_frame(&mut self, frame: Message) -> Result<(), tungstenite::Error> {
        with_timeout("a write", self.socket.send(frame)).await
    }

    /// Subscribes to a call: from the view's resume point if it has one, otherwise from the start.
    pub(crate) async fn subscribe(&mut self, call: &CallSid) {
        let place = self.pages.get(call).map(CallView::resume);
        self.send(subscription(call, place)).await;
    }

    pub(crate) async fn unsubscribe(&mut self, call: &CallSid) {
        let json = serde_json::json!({ "type": "unsubscribe", "callSid": call });
        self.send(json.to_string()).await;
    }

    /// Waits until the server has handled everything that has been sent.
    pub(crate) async fn settle(&mut self) {
        self.send(r#"{"type":"ping"}"#).await;
        while self.next_frame().await != ServerFrame::Pong {}
    }

    pub(crate) fn page(&self, call: &CallSid) -> &CallView {
        self.pages
            .get(call)
            .expect("nothing was heard of that call")
    }

    /// Returns the next frame; an event has already been folded into its view.
    pub(crate) async fn next_frame(&mut self) -> ServerFrame {
        loop {
            let message = with_timeout("a frame", self.socket.next()).await;
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    return ServerFrame::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return ServerFrame::Closed(None),
            };
            return self.take(&text);
        }
    }

    /// Returns the next event; panics on any other frame.
    pub(crate) async fn next_event(&mut self) -> CallEvent {
        match self.next_frame().await {
            ServerFrame::Event(event) => *event,
            other @ (ServerFrame::Pong
            | ServerFrame::Leg { .. }
            | ServerFrame::Error { .. }
            | ServerFrame::Closed(_)) => {
                panic!("expected an event, got {other:?}")
            }
        }
    }

    /// Returns the next frame's error code; panics on any other frame.
    pub(crate) async fn next_error(&mut self) -> String {
        match self.next_frame().await {
            ServerFrame::Error { code, .. } => code,
            other @ (ServerFrame::Pong
            | ServerFrame::Leg { .. }
            | ServerFrame::Event(_)
            | ServerFrame::Closed(_)) => {
                panic!("expected an error, got {other:?}")
            }
        }
    }

    /// Reads events until the call's view meets a condition.
    pub(crate) async fn until(
        &mut self,
        call: &CallSid,
        wanted: impl Fn(&CallView) -> bool,
    ) -> &CallView {
        while !self.pages.get(call).is_some_and(&wanted) {
            self.next_event().await;
        }
        self.page(call)
    }

    /// Reads to the end of the connection; returns the close code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let ServerFrame::Closed(code) = self.next_frame().await {
                return code;
            }
        }
    }

    /// Drops the connection without a close; returns the views for [`Self::reconnect`].
    pub(crate) fn drop_connection(self) -> BTreeMap<CallSid, CallView> {
        self.pages
    }

    /// Reconnects with the views of an earlier connection.
    pub(crate) async fn reconnect(addr: SocketAddr, pages: BTreeMap<CallSid, CallView>) -> Self {
        let mut browser = Self::connect(addr).await;
        browser.restore_views(pages);
        browser
    }

    /// Adopts the views of an earlier connection.
    pub(crate) fn restore_views(&mut self, pages: BTreeMap<CallSid, CallView>) {
        self.pages = pages;
    }

    /// Closes the connection, and waits until the server has released it.
    pub(crate) async fn leave(mut self) {
        let _ = self.send_frame(Message::Close(None)).await;
        while with_timeout("the end", self.socket.next())
            .await
            .is_some_and(|message| message.is_ok())
        {}
    }

    fn take(&mut self, text: &str) -> ServerFrame {
        #[derive(Deserialize)]
        #[serde(tag = "type", rename_all = "camelCase")]
        enum Reply {
            Pong,
            #[serde(rename_all = "camelCase")]
            Leg {
                parent_sid: CallSid,
            },
            Error {
                error: Reason,
            },
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Reason {
            code: String,
            message: String,
            request_id: String,
        }
        match serde_json::from_str::<Reply>(text) {
            Ok(Reply::Pong) => return ServerFrame::Pong,
            Ok(Reply::Leg { parent_sid }) => return ServerFrame::Leg { parent: parent_sid },
            Ok(Reply::Error { error }) => {
                assert!(!error.request_id.is_empty());
                return ServerFrame::Error {
                    code: error.code,
                    message: error.message,
                };
            }
            Err(_) => {}
        }
        let event: CallEvent =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in the frame {text}"));
        self.pages
            .entry(event.call_sid.clone())
            .or_default()
            .apply(&event);
        self.heard.push(event.clone());
        ServerFrame::Event(Box::new(event))
    }
}

/// Returns a `subscribe` request.
pub(crate) fn subscription(call: &CallSid, place: Option<ResumePoint>) -> String {
    let mut json = serde_json::json!({ "type": "subscribe", "callSid": call });
    if let Some(place) = place {
        json["offset"] = place.offset.into();
        json["epoch"] = place.epoch.into();
    }
    json.to_string()
}

async fn with_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(TEST_TIMEOUT, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} did not come within {TEST_TIMEOUT:?}"))
}
