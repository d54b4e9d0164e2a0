//! `GET /ws/transcriptions`: a browser's socket, on which it hears any number of calls.
//!
//! ```text
//! browser → server                                              server → browser
//! {"type":"subscribe","callSid":"CA…","offset":17,"epoch":…}    a CallEvent in each text frame:
//! {"type":"unsubscribe","callSid":"CA…"}                        first a snapshot, or what was missed
//! {"type":"ping"}                                               {"type":"pong"}
//! what is none of these                                         {"type":"error","error":{…}}
//! ```
//!
//! The SID may be that of a leg, as the Voice SDK of a browser that was rung knows it. What comes is
//! then its call's, under its call's SID, and `{"type":"leg","callSid":"CA…","parentSid":"CA…"}` says
//! so before. A leg is known when Twilio has first told of it; before, the browser finds its call's
//! SID in the incoming call's parameter `callSid`.
//!
//! `offset` and `epoch` (of the last snapshot) are for those who come back. The query
//! `?callSid=CA…&offset=…&epoch=…` is the same as a first `subscribe`. To subscribe again to a
//! call is to begin there again.
//!
//! Closing codes: 1001 the server restarts, come back; 1008 signed out, or too many or too wrong
//! requests; 1009 too long a message; 1011 too slow, come back with your offset. Text frames only.
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

/// Listen to calls: a WebSocket.
///
/// Text frames. Send `ListenerRequest`s; hear `CallEvent`s and `ListenerReply`s. The query is the
/// same as a first `subscribe`.
#[utoipa::path(get, path = "/ws/transcriptions", tag = "live", params(ListenQuery), responses(
    (status = 101, description = "the socket is open"),
    (status = 400, description = "`bad_request`: no WebSocket, or a query that cannot be read"),
    (status = 403, description = "`origin_refused`: another server's page; `not_allowed`: a token without the scope"),
    (status = 429, description = "`too_many_of_your_listeners`: close some of your pages"),
    (status = 503, description = "`restarting`, `too_many_listeners`: come back in a moment"),
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
        let message = "the server is restarting: come back in a moment";
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "restarting",
            message,
        ));
    }
    let user_permit = match caller.user_id() {
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
            let message = "too many pages are listening: close some, or try again later";
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_listeners",
                message,
            )
        })?;
    let first = first.call_sid.map(|call_sid| ListenerTarget {
        call_sid,
        offset: first.offset,
        epoch: first.epoch,
    });
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
            _permits: (permit, user_permit),
        };
        tasks.spawn(client_context::run_for(address, async move {
            if let Some(user) = session.caller.user_id() {
                client_context::set_user(user);
            }
            session.run(first).await;
        }));
    }))
}

fn too_many_listeners_of_user() -> ApiError {
    let max = limits::LISTENERS_PER_USER_MAX;
    let message = format!("you have {max} pages or programs that listen to calls: close some");
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_of_your_listeners",
        message,
    )
}

/// The query of the upgrade.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ListenQuery {
    /// The call to listen to from the start; a leg's SID stands for its call.
    #[param(value_type = Option<String>)]
    call_sid: Option<CallSid>,
    /// The last offset that was seen of it.
    offset: Option<u64>,
    /// The epoch of its last snapshot.
    epoch: Option<u64>,
}

/// What a browser asks.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListenerRequest)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ListenerRequest {
    /// Begin to listen to a call, or begin again.
    Subscribe(ListenerTarget),
    /// Listen to it no more.
    #[serde(rename_all = "camelCase")]
    Unsubscribe { call_sid: CallSid },
    /// Is answered with a pong.
    Ping,
}

/// A call, and where a listener that comes back stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListenerTarget)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenerTarget {
    /// The call; a leg's SID stands for its call, and is answered with a `leg`.
    call_sid: CallSid,
    /// The last offset that was seen of it.
    offset: Option<u64>,
    /// The epoch of its last snapshot.
    epoch: Option<u64>,
}

/// What a browser hears beside `CallEvent`s.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListenerReply)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ListenerReply<'a> {
    /// To a ping.
    Pong,
    /// The SID that was subscribed to is a leg's: events come under its call's SID.
    #[serde(rename_all = "camelCase")]
    Leg {
        /// As it was asked for.
        call_sid: &'a CallSid,
        /// The call that it belongs to.
        parent_sid: &'a CallSid,
    },
    /// A request was not met; the socket stays open.
    #[serde(rename_all = "camelCase")]
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        call_sid: Option<&'a CallSid>,
        error: ApiErrorBody<'a>,
    },
}

/// How a session ends.
#[derive(Debug)]
enum SocketEnd {
    /// The browser left, or its network did.
    Disconnected,
    /// We close.
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

/// One socket.
struct ListenerSession {
    socket: WebSocket,
    state: ApiState,
    request_id: RequestId,
    caller: Caller,
    subscriptions: BTreeMap<CallSid, Subscription>,
    rejected_messages: u32,
    /// Messages of any kind since the last ping.
    message_count: u32,
    _permits: (OwnedSemaphorePermit, Option<KeyedPermit<UserId>>),
}

impl ListenerSession {
    async fn run(mut self, first: Option<ListenerTarget>) {
        let Err(end) = self.run_until_end(first).await;
        tracing::debug!(request_id = %self.request_id, ?end, "listener left");
        // Calls are let go before the closing handshake, which the browser may drag out.
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
        // Late or not, the socket closes when it is dropped.
        let _ = tokio::time::timeout(limits::LISTENER_CLOSE_MAX, closing_handshake).await;
    }

    async fn run_until_end(
        &mut self,
        first: Option<ListenerTarget>,
    ) -> Result<std::convert::Infallible, SocketEnd> {
        let stop = self.state.media_deps.tasks.clone();
        let mut revocations = self.state.auth.subscribe_revocations();
        // What happened between the upgrade and the line above.
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
                // Calls may still have last words; their listeners stay for those.
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
        // A ping is work too: it is answered.
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
                let known = "known types are subscribe, unsubscribe and ping";
                self.reject_message("bad_request", format!("not a request ({error}); {known}"))
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
                let detail = format!("{}: to listen {}", error.code(), asked.as_str());
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
        // The old subscription ends first, so that one call cannot count twice.
        self.subscriptions.remove(&call_sid);
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_LISTENER_MAX {
            let error = ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_subscriptions",
                "this socket hears too many calls: unsubscribe from one first",
            );
            return self.send_error(Some(&call_sid), &error).await;
        }
        let resume = offset.map(|offset| ResumePoint { offset, epoch });
        let (hub, user) = (&self.state.media_deps.hub, self.caller.user_id());
        match hub.subscribe_as(user, &call_sid, resume) {
            Ok(subscription) => {
                // A call from before this server's time, or one that is over.
                if let Err(error) = self
                    .state
                    .media_deps
                    .transcript_writer
                    .restore_call(&call_sid)
                    .await
                    && !self.is_own_live_call(&call_sid)
                {
                    return self.send_error(Some(&call_sid), &error.into()).await;
                }
                self.subscriptions.insert(call_sid, subscription);
                Ok(())
            }
            Err(full) => {
                let status = match full {
                    SubscribeError::TooManyChannels => StatusCode::SERVICE_UNAVAILABLE,
                    SubscribeError::TooManyOfUser => StatusCode::TOO_MANY_REQUESTS,
                };
                let error = ApiError::new(status, "too_many_channels", full.to_string());
                self.send_error(Some(&call_sid), &error).await
            }
        }
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

    /// The call of a leg, if the caller may hear it; asked for every subscription.
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

    /// Whether the caller may hear a call that has no record: one that goes on, if he sees all calls. Calls
    /// that do not go on are waited for only where nobody needs to sign in, so that no user opens channels
    /// for calls that there are not.
    fn may_await_call(&self, call: &CallSid) -> bool {
        let needs_no_sign_in = self.caller.user_id().is_none();
        let goes_on = self.state.media_deps.hub.has_events(call);
        needs_no_sign_in || goes_on && self.caller.visible_user_id().is_none()
    }

    /// Whether it is the caller's own call, which goes on: heard even without the database.
    fn is_own_live_call(&self, call: &CallSid) -> bool {
        let user = self.caller.user_id();
        user.is_some_and(|user| self.state.calls.is_placed_by(call, user))
    }

    /// Ends the socket of someone who has signed out, or whose rights are not what they were: at
    /// once when it happened in this server, at the next ping when it happened elsewhere.
    async fn check_rights(&mut self) -> Result<(), SocketEnd> {
        let checked = self
            .state
            .auth
            .is_caller_still_valid(&self.caller, clock::utc_now());
        match checked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SIGNED_OUT),
            Err(error) => {
                // Nobody can have signed out while the store cannot be reached.
                tracing::warn!(request_id = %self.request_id, %error, "rights were not checked");
                Ok(())
            }
        }
    }

    /// One batch of each call in turn, so that a busy one starves no other.
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
                reason: "too many wrong requests",
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

/// Resolves when any of them has news; never when there are none.
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
