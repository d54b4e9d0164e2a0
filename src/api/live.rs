//! `GET /ws/transcriptions`: the client channel, a WebSocket on which a browser receives the events
//! of any number of calls.
//!
//! ```text
//! browser → server                                              server → browser
//! {"type":"subscribe","callSid":"CA…","offset":17,"epoch":…}    a CallEvent in each text frame:
//! {"type":"unsubscribe","callSid":"CA…"}                        first a snapshot, or missed events
//! {"type":"ping"}                                               {"type":"pong"}
//! any other message                                             {"type":"error","error":{…}}
//! ```
//!
//! The SID may be that of a leg, by which the Voice SDK of a browser that rings knows the call. The
//! server then sends `{"type":"leg","callSid":"CA…","parentSid":"CA…"}`, followed by the call's
//! events under the call's SID. The server knows a leg after Twilio's first callback about it;
//! before, the browser finds the call's SID in the incoming call's parameter `callSid`.
//!
//! `offset` and `epoch` (of the last snapshot) resume an earlier subscription. The query
//! `?callSid=CA…&offset=…&epoch=…` is equivalent to a first `subscribe`. A second `subscribe` to
//! the same call restarts it at the given offset.
//!
//! Close codes: 1001 the server restarts, reconnect; 1008 signed out, or too many
//! requests, or too many malformed ones; 1009 message too long; 1011 client too slow, reconnect with
//! the offset. Text frames only.
#![expect(
    unused_qualifications,
    reason = "utoipa names a query's type by its path"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::SinkExt;
use futures_util::future::select_all;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite;
use utoipa::{IntoParams, ToSchema};

use super::error::ApiErrorBody;
use super::{ApiError, ApiState, Caller, ClientAddress, RequestId, calls};
use crate::access::client_context;
use crate::access::keyed_semaphore::KeyedPermit;
use crate::clock;
use crate::hub::{ResumePoint, SubscribeError, Subscription};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{Scope, StoreError};

/// Receive the events of calls: a WebSocket.
///
/// Text frames. Send `ListenerRequest`s; receive `CallEvent`s and `ListenerReply`s. The query is
/// equivalent to a first `subscribe`.
#[utoipa::path(get, path = "/ws/transcriptions", tag = "live", params(ListenQuery), responses(
    (status = 101, description = "the socket is open"),
    (status = 400, description = "`bad_request`: no WebSocket upgrade, or a malformed query"),
    (status = 403, description = "`origin_refused`: a page of another origin; `not_allowed`: the API token lacks the scope"),
    (status = 429, description = "`too_many_of_your_listeners`: close some of your pages or programs"),
    (status = 503, description = "`restarting`, `too_many_listeners`: try again in a moment"),
))]
pub(super) async fn listen(
    caller: Caller,
    ClientAddress(address): ClientAddress,
    State(state): State<ApiState>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    Query(first): Query<ListenQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    if caller.is_browser() {
        state.auth.check_origin(&headers)?;
    }
    caller.require_scope(Scope::CallsRead)?;
    if state.media_deps.tasks.is_stopping() {
        let message = "the server is restarting: try again in a moment";
        return Err(ApiError::unavailable("restarting", message));
    }
    let permits = acquire_listener_permits(&state, caller.user_id())?;
    let first = first.into_target();
    let tasks = state.media_deps.tasks.clone();
    let upgrade = upgrade
        .max_message_size(limits::LISTENER_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::LISTENER_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        let session = ListenerSession {
            socket,
            state,
            request_id,
            caller,
            subscriptions: BTreeMap::new(),
            rejected_messages: 0,
            message_count: 0,
            _permits: permits,
        };
        tasks.spawn(client_context::run_for(address, async move {
            if let Some(user) = session.caller.user_id() {
                client_context::set_user(user);
            }
            session.run(first).await;
        }));
    }))
}

/// The permits of a listener's socket: of all listeners, and of those of its user.
type ListenerPermits = (OwnedSemaphorePermit, Option<KeyedPermit<UserId>>);

/// Acquires the permits of a socket. 429: the user has too many sockets; 503: all users together.
fn acquire_listener_permits(
    state: &ApiState,
    user: Option<UserId>,
) -> Result<ListenerPermits, ApiError> {
    let user_permit = match user {
        Some(user) => Some(
            state
                .listeners_per_user
                .try_acquire(&user)
                .ok_or_else(too_many_listeners_of_user)?,
        ),
        None => None,
    };
    let permit = Arc::clone(&state.listeners)
        .try_acquire_owned()
        .map_err(|_| {
            let message = "too many listeners are connected: close some pages, or try again later";
            ApiError::unavailable("too_many_listeners", message)
        })?;
    Ok((permit, user_permit))
}

fn too_many_listeners_of_user() -> ApiError {
    let max = limits::LISTENERS_PER_USER_MAX;
    let message = format!("you have {max} pages or programs connected for live events: close some");
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_of_your_listeners",
        message,
    )
}

/// The query of the WebSocket upgrade.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ListenQuery {
    /// The call to subscribe to first, or a leg of it.
    #[param(value_type = Option<String>)]
    call_sid: Option<CallSid>,
    /// The last received offset of the call.
    offset: Option<u64>,
    /// The epoch of the call's last snapshot.
    epoch: Option<u64>,
}

impl ListenQuery {
    /// Returns the call to subscribe to first.
    fn into_target(self) -> Option<ListenerTarget> {
        self.call_sid.map(|call_sid| ListenerTarget {
            call_sid,
            offset: self.offset,
            epoch: self.epoch,
        })
    }
}

/// A message from the client.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListenerRequest)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ListenerRequest {
    /// Subscribe to a call, or restart a subscription.
    Subscribe(ListenerTarget),
    /// End the subscription.
    #[serde(rename_all = "camelCase")]
    Unsubscribe { call_sid: CallSid },
    /// The server answers with a pong.
    Ping,
}

/// A call, and the point at which to resume.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListenerTarget)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenerTarget {
    /// The call, or a leg of it; for a leg, the server sends a `leg` first.
    call_sid: CallSid,
    /// The last received offset of the call.
    offset: Option<u64>,
    /// The epoch of the call's last snapshot.
    epoch: Option<u64>,
}

/// A message from the server, other than a `CallEvent`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListenerReply)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ListenerReply<'a> {
    /// The answer to a ping.
    Pong,
    /// The subscribed SID is a leg's: events arrive under its call's SID.
    #[serde(rename_all = "camelCase")]
    Leg {
        /// The SID in the request.
        call_sid: &'a CallSid,
        /// The call that the leg belongs to.
        parent_sid: &'a CallSid,
    },
    /// A request failed; the socket stays open.
    #[serde(rename_all = "camelCase")]
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        call_sid: Option<&'a CallSid>,
        error: ApiErrorBody<'a>,
    },
}

/// How a socket ends.
#[derive(Debug)]
enum SocketEnd {
    /// The browser closed the socket, or the connection broke.
    Disconnected,
    /// The server closes the socket.
    Close { code: u16, reason: &'static str },
}

enum ListenerTurn {
    Message(Option<Result<Message, axum::Error>>),
    EventsReady,
    Ping,
    Revoked,
    Stopping,
    DrainTimedOut,
}

/// A client's socket, and its subscriptions.
struct ListenerSession {
    socket: WebSocket,
    state: ApiState,
    request_id: RequestId,
    caller: Caller,
    subscriptions: BTreeMap<CallSid, Subscription>,
    rejected_messages: u32,
    /// The number of messages of any kind since the last ping.
    message_count: u32,
    _permits: ListenerPermits,
}

impl ListenerSession {
    async fn run(mut self, first: Option<ListenerTarget>) {
        let Err(end) = self.run_until_end(first).await;
        tracing::debug!(request_id = %self.request_id, ?end, "listener left");
        // Releases the channels before the closing handshake, which the browser could delay.
        self.subscriptions.clear();
        let SocketEnd::Close { code, reason } = end else {
            return;
        };
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        let closing_handshake = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // The socket closes when it is dropped, even after a timeout.
        let _ = tokio::time::timeout(limits::LISTENER_CLOSE_MAX, closing_handshake).await;
    }

    async fn run_until_end(
        &mut self,
        first: Option<ListenerTarget>,
    ) -> Result<std::convert::Infallible, SocketEnd> {
        let stop = self.state.media_deps.tasks.clone();
        let mut revocations = self.state.auth.subscribe_revocations();
        // Catches revocations between the upgrade and the line above.
        self.check_rights().await?;
        if let Some(target) = first {
            self.subscribe(target).await?;
        }
        let mut last_message_at = clock::now();
        let mut ping_at = last_message_at + limits::LISTENER_PING_INTERVAL;
        let mut drain_deadline: Option<Instant> = None;
        loop {
            if drain_deadline.is_some()
                && self.subscriptions.values().all(Subscription::is_finished)
            {
                return Err(RESTARTING);
            }
            let turn = tokio::select! {
                message = self.socket.recv() => ListenerTurn::Message(message),
                () = any_subscription_ready(&mut self.subscriptions) => ListenerTurn::EventsReady,
                () = clock::sleep_until(Some(ping_at)) => ListenerTurn::Ping,
                Ok(()) = revocations.changed() => ListenerTurn::Revoked,
                () = stop.wait_for_stop(), if drain_deadline.is_none() => ListenerTurn::Stopping,
                () = clock::sleep_until(drain_deadline) => ListenerTurn::DrainTimedOut,
            };
            match turn {
                ListenerTurn::Message(message) => {
                    last_message_at = clock::now();
                    self.handle_message(message).await?;
                }
                ListenerTurn::EventsReady => self.send_events().await?,
                ListenerTurn::Ping => {
                    let now = clock::now();
                    if now.saturating_duration_since(last_message_at) > limits::LISTENER_IDLE_MAX {
                        return Err(SocketEnd::Disconnected);
                    }
                    self.check_rights().await?;
                    self.message_count = 0;
                    ping_at = now + limits::LISTENER_PING_INTERVAL;
                    self.send_frames([Message::Ping(Bytes::new())]).await?;
                }
                ListenerTurn::Revoked => self.check_rights().await?,
                // Calls may publish their last events; their listeners stay connected for those.
                ListenerTurn::Stopping => {
                    drain_deadline = Some(clock::now() + limits::LISTENER_DRAIN_MAX);
                }
                ListenerTurn::DrainTimedOut => return Err(RESTARTING),
            }
        }
    }

    async fn handle_message(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), SocketEnd> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(socket_end_of(error)),
            None => return Err(SocketEnd::Disconnected),
        };
        // Pings count, too: each needs an answer.
        self.message_count += 1;
        if self.message_count > limits::LISTENER_REQUESTS_MAX {
            return Err(SocketEnd::Close {
                code: close_code::POLICY,
                reason: "too many requests",
            });
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => {
                return self
                    .reject_message("not_text", "send JSON in text frames")
                    .await;
            }
            Message::Close(_) => return Err(SocketEnd::Disconnected),
        };
        match serde_json::from_str(&text) {
            Ok(ListenerRequest::Subscribe(target)) => self.subscribe(target).await,
            Ok(ListenerRequest::Unsubscribe { call_sid }) => self.unsubscribe(&call_sid).await,
            Ok(ListenerRequest::Ping) => self.send_reply(&ListenerReply::Pong).await,
            Err(error) => {
                let known = "send a subscribe, an unsubscribe or a ping";
                self.reject_message("bad_request", format!("unknown request ({error}): {known}"))
                    .await
            }
        }
    }

    async fn subscribe(&mut self, target: ListenerTarget) -> Result<(), SocketEnd> {
        let ListenerTarget {
            call_sid: asked,
            offset,
            epoch,
        } = target;
        let call_sid = match self.resolve_call(&asked).await {
            Ok(call_sid) => call_sid,
            Err(error) => {
                let detail = format!("{}: subscribe {}", error.code(), asked.as_str());
                let user = self.caller.user_id();
                self.state.calls.spawn_audit_event("refused", detail, user);
                return self.send_error(Some(&asked), &error).await;
            }
        };
        if call_sid != asked {
            let (call_sid, parent_sid) = (&asked, &call_sid);
            self.send_reply(&ListenerReply::Leg {
                call_sid,
                parent_sid,
            })
            .await?;
        }
        // Ends the old subscription first, so that one call is not counted twice.
        self.subscriptions.remove(&call_sid);
        let resume = offset.map(|offset| ResumePoint { offset, epoch });
        match self.open_subscription(&call_sid, resume).await {
            Ok(subscription) => {
                self.subscriptions.insert(call_sid, subscription);
                Ok(())
            }
            Err(error) => self.send_error(Some(&call_sid), &error).await,
        }
    }

    /// Subscribes to a call that the caller may listen to, and restores its events.
    async fn open_subscription(
        &mut self,
        call_sid: &CallSid,
        resume: Option<ResumePoint>,
    ) -> Result<Subscription, ApiError> {
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_LISTENER_MAX {
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_subscriptions",
                "this socket has too many subscriptions: unsubscribe from one first",
            ));
        }
        let (hub, user) = (&self.state.media_deps.hub, self.caller.user_id());
        let subscription = hub
            .subscribe_as(user, call_sid, resume)
            .map_err(too_many_channels)?;
        // Restores a call from before the server's start, or one that has ended.
        let writer = &self.state.media_deps.transcript_writer;
        if let Err(error) = writer.restore_call(call_sid).await
            && !self.is_own_live_call(call_sid)
        {
            return Err(error.into());
        }
        Ok(subscription)
    }

    async fn unsubscribe(&mut self, leg: &CallSid) -> Result<(), SocketEnd> {
        if self.subscriptions.remove(leg).is_none() {
            match self.state.auth.store().find_parent(leg).await {
                Ok(call) => drop(call.and_then(|call| self.subscriptions.remove(&call))),
                Err(error) => return self.send_error(Some(leg), &error.into()).await,
            }
        }
        Ok(())
    }

    /// Returns the call of a leg, if the caller may listen to it. Called for every subscription.
    async fn resolve_call(&mut self, leg: &CallSid) -> Result<CallSid, ApiError> {
        if self.is_own_live_call(leg) {
            return Ok(leg.clone());
        }
        let store = self.state.auth.store();
        let call = store.find_parent(leg).await?;
        let record = match &call {
            Some(call) if self.caller.user_id().is_some() => store.call_record(call).await?,
            Some(_) | None => None,
        };
        match &record {
            Some(record) => {
                calls::check_call_access(&self.state.calls, &self.caller, record).await?;
            }
            None if self.may_await_call(leg) => {}
            None => return Err(StoreError::NoSuchCall.into()),
        }
        Ok(call.unwrap_or_else(|| leg.clone()))
    }

    /// Reports whether the caller may subscribe to a call without a record: admins to active calls,
    /// and callers with the page key to any call, so that no user opens channels for calls that do
    /// not exist.
    fn may_await_call(&self, call: &CallSid) -> bool {
        let needs_no_sign_in = self.caller.user_id().is_none();
        let goes_on = self.state.media_deps.hub.has_events(call);
        needs_no_sign_in || goes_on && self.caller.visible_user_id().is_none()
    }

    /// Reports whether it is an active call that the caller placed, which they may subscribe to
    /// even without the database.
    fn is_own_live_call(&self, call: &CallSid) -> bool {
        let user = self.caller.user_id();
        user.is_some_and(|user| self.state.calls.is_placed_by(call, user))
    }

    /// Ends the socket of a caller who has signed out, or lost rights: at once if this server ended
    /// the session, otherwise at the next ping.
    async fn check_rights(&mut self) -> Result<(), SocketEnd> {
        let checked = self
            .state
            .auth
            .is_caller_still_valid(&self.caller, clock::utc_now());
        match checked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SIGNED_OUT),
            Err(error) => {
                // No session can have ended while the store cannot be reached.
                tracing::warn!(request_id = %self.request_id, %error, "rights could not be checked");
                Ok(())
            }
        }
    }

    /// Sends one batch of events of each call in turn, so that a busy call does not starve others.
    async fn send_events(&mut self) -> Result<(), SocketEnd> {
        let news = self.subscriptions.values_mut().flat_map(Subscription::read);
        let frames: Vec<Message> = news.map(|event| text_frame(&*event)).collect();
        self.send_frames(frames).await
    }

    async fn reject_message(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
    ) -> Result<(), SocketEnd> {
        self.rejected_messages += 1;
        if self.rejected_messages > limits::LISTENER_FAULTS_MAX {
            return Err(SocketEnd::Close {
                code: close_code::POLICY,
                reason: "too many malformed requests",
            });
        }
        self.send_error(None, &ApiError::new(StatusCode::BAD_REQUEST, code, message))
            .await
    }

    async fn send_error(
        &mut self,
        call_sid: Option<&CallSid>,
        error: &ApiError,
    ) -> Result<(), SocketEnd> {
        let request_id = self.request_id.clone();
        self.send_reply(&ListenerReply::Error {
            call_sid,
            error: error.to_body(&request_id),
        })
        .await
    }

    async fn send_reply(&mut self, reply: &ListenerReply<'_>) -> Result<(), SocketEnd> {
        self.send_frames([text_frame(reply)]).await
    }

    async fn send_frames(
        &mut self,
        frames: impl IntoIterator<Item = Message>,
    ) -> Result<(), SocketEnd> {
        let writing = async {
            for frame in frames {
                self.socket.feed(frame).await?;
            }
            self.socket.flush().await
        };
        match tokio::time::timeout(limits::LISTENER_WRITE_MAX, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SocketEnd::Disconnected),
            Err(_) => Err(SocketEnd::Close {
                code: close_code::ERROR,
                reason: "too slow",
            }),
        }
    }
}

const RESTARTING: SocketEnd = SocketEnd::Close {
    code: close_code::AWAY,
    reason: "restarting",
};

const SIGNED_OUT: SocketEnd = SocketEnd::Close {
    code: close_code::POLICY,
    reason: "signed out",
};

fn too_many_channels(full: SubscribeError) -> ApiError {
    let status = match full {
        SubscribeError::TooManyChannels => StatusCode::SERVICE_UNAVAILABLE,
        SubscribeError::TooManyOfUser => StatusCode::TOO_MANY_REQUESTS,
    };
    ApiError::new(status, "too_many_channels", full.to_string())
}

/// Resolves when any subscription has events; never if there are no subscriptions.
async fn any_subscription_ready(subscriptions: &mut BTreeMap<CallSid, Subscription>) {
    if subscriptions.is_empty() {
        return std::future::pending().await;
    }
    select_all(
        subscriptions
            .values_mut()
            .map(|subscription| Box::pin(subscription.ready())),
    )
    .await;
}

fn text_frame(content: &impl Serialize) -> Message {
    let json = serde_json::to_string(content).expect("plain data with text keys is always JSON");
    Message::Text(json.into())
}

fn socket_end_of(error: axum::Error) -> SocketEnd {
    match error.into_inner().downcast_ref() {
        Some(tungstenite::Error::Capacity(_)) => SocketEnd::Close {
            code: close_code::SIZE,
            reason: "message too long",
        },
        Some(tungstenite::Error::Utf8(_)) => SocketEnd::Close {
            code: close_code::INVALID,
            reason: "not UTF-8",
        },
        _ => SocketEnd::Disconnected,
    }
}
