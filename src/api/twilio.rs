//! Twilio's doors: what it asks (`/voice…`) and what it tells (`/api/…/status`). Only what Twilio
//! signed comes in; without an account, only what the [`simulator`] sends. What it tells is kept before
//! it is answered, in milliseconds; what follows from it goes on after.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, FromRef, FromRequest, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::{ApiError, ApiState, simulator};
use crate::config::Doors;
use crate::desk::Desk;
use crate::limits;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::twilio::signature::{
    HEADER, Keyring, Payload, SETTINGS_HEADER, SignatureError, WhichKey,
};
use crate::twilio::twiml::{CONTENT_TYPE, Response as Twiml, Say, Verb};
use crate::twilio::webhook::{
    self, CallStatusCallback, DialEnded, IDEMPOTENCY_HEADER, RecordingCallback, StreamCallback,
    TranscriptionCallback, VoiceRequest, WebhookError,
};

/// Every door that Twilio posts to, by its path.
pub(crate) fn doors() -> [(&'static str, MethodRouter<ApiState>); 7] {
    [
        ("/voice", post(voice)),
        ("/voice/announcement", post(announcement)),
        ("/voice/ended", post(ended)),
        ("/api/calls/status", post(call_status)),
        ("/api/recordings/status", post(recording_status)),
        ("/api/streams/status", post(stream_status)),
        ("/api/transcriptions/realtime", post(realtime)),
    ]
}

/// The same, as routes.
pub(super) fn routes() -> Router<ApiState> {
    let add = |routes: Router<ApiState>, (path, door)| routes.route(path, door);
    doors().into_iter().fold(Router::new(), add)
}

/// Counts what Twilio posts, by the answer.
pub(super) async fn count(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    metrics.webhook(&path, answer.status().as_u16());
    answer
}

/// A form that Twilio signed.
struct Signed {
    form: Vec<(String, String)>,
    /// Names this request: one with the same name is a repetition.
    token: Option<String>,
}

impl<S> FromRequest<S> for Signed
where
    S: Send + Sync,
    Arc<Doors>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let doors = Arc::<Doors>::from_ref(state);
        let (parts, body) = request.into_parts();
        if doors.keyring.is_none() {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map(|ConnectInfo(peer)| peer.ip());
            let key = simulator::key_of(&parts.headers);
            simulator::check(&doors, key, peer, &parts.headers)?;
        }
        let bytes = to_bytes(body, limits::WEBHOOK_BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| {
            let max = limits::WEBHOOK_BODY_BYTES_MAX;
            let message = format!("a webhook's body has at most {max} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        })?;
        let form = webhook::form(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let path = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |uri| &uri.0);
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        if let Some(keyring) = &doors.keyring {
            check(&doors, keyring, path, Payload::Form(&form), &parts.headers)?;
        }
        let token = text(&parts.headers, &HeaderName::from_static(IDEMPOTENCY_HEADER));
        Ok(Self {
            form,
            token: webhook::idempotency_token(token),
        })
    }
}

/// Refuses what Twilio did not sign. `path` has the query as it was on the wire.
pub(super) fn check(
    doors: &Doors,
    keyring: &Keyring,
    path: &str,
    payload: Payload<'_>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let is_socket = headers.contains_key(header::SEC_WEBSOCKET_KEY);
    let url = if is_socket {
        doors.public_url.wss(path)
    } else {
        doors.public_url.https(path)
    };
    let signature = text(headers, &HeaderName::from_static(HEADER));
    let settings = text(headers, &HeaderName::from_static(SETTINGS_HEADER));
    match keyring.verify(&url, payload, signature, settings) {
        Ok(WhichKey::Primary | WhichKey::Shared(_)) => Ok(()),
        Ok(WhichKey::Second) => {
            tracing::debug!("signed with the second auth token");
            Ok(())
        }
        Err(error) => {
            let message = "this request was not signed by Twilio";
            let refused = ApiError::new(StatusCode::FORBIDDEN, "bad_signature", message);
            Err(refused.for_operator(hint(doors, error, is_socket)))
        }
    }
}

/// For the operator: what to look at. A media socket's path holds its secret, so no path is shown.
fn hint(doors: &Doors, error: SignatureError, is_socket: bool) -> String {
    let what = if is_socket { "media socket" } else { "webhook" };
    let url = &doors.public_url;
    format!(
        "a {what} was not signed by Twilio ({error}); if it was Twilio's, then PUBLIC_BASE_URL ({url}) \
         is not the address that Twilio calls (check scheme, host, port and path behind your proxy), \
         or TWILIO_AUTH_TOKEN is not the account's primary one"
    )
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unreadable(why: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_webhook", why)
}

fn untold(error: WebhookError) -> ApiError {
    unreadable(error.to_string())
}

/// 503, so that Twilio asks again (`rp=5xx` in the callback's address).
fn unkept(error: StoreError) -> ApiError {
    ApiError::from(error)
}

fn xml(twiml: &Twiml) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], twiml.to_xml()).into_response()
}

/// Marks an answer to a request whose signature could not be checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned;

/// What a call hears that Twilio's question could not be read of.
fn not_understood() -> Response {
    let sorry = Say::text("Sorry, this call could not be understood.");
    let said = Twiml::new(vec![Verb::Say(sorry), Verb::Hangup]);
    xml(&said.expect("a short text, no URL"))
}

/// An answer to a question that could not be read. Whoever is no Twilio is told so, and so is whoever
/// broke off; Twilio plays what is no TwiML as its own "application error", so that what is too long, or
/// has too many fields, is answered with `spoken`.
fn unheard(error: ApiError, headers: &HeaderMap, spoken: impl FnOnce() -> Response) -> Response {
    let length = headers.get(header::CONTENT_LENGTH);
    let length: Option<usize> = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let is_spoken = match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            length.is_some_and(|length| length > limits::WEBHOOK_BODY_BYTES_MAX)
        }
        status => status == StatusCode::BAD_REQUEST,
    };
    if !is_spoken {
        return error.into_response();
    }
    tracing::error!(%error, "a question of a call's that could not be read");
    let mut answer = spoken();
    answer.extensions_mut().insert(Unsigned);
    answer
}

/// `POST /voice`: a call begins. Errors are spoken, never a bare 500.
async fn voice(
    State(desk): State<Desk>,
    State(doors): State<Arc<Doors>>,
    headers: HeaderMap,
    signed: Result<Signed, ApiError>,
) -> Response {
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) => return unheard(error, &headers, not_understood),
    };
    match VoiceRequest::read(&signed.form) {
        Ok(request) => {
            let ours = doors.account_sid.as_ref();
            let is_ours = ours.is_none_or(|ours| *ours == request.account_sid);
            xml(&desk.answer(&request, is_ours).await)
        }
        Err(error) => {
            tracing::error!(%error, "a voice request that could not be read");
            not_understood()
        }
    }
}

/// `POST /voice/announcement`: what the called person hears first.
async fn announcement(
    State(desk): State<Desk>,
    headers: HeaderMap,
    signed: Result<Signed, ApiError>,
) -> Response {
    match signed {
        Ok(_) => xml(&desk.announce()),
        // It needs nothing of the question.
        Err(error) => unheard(error, &headers, || xml(&desk.announce())),
    }
}

/// `POST /voice/ended`: the dialled leg is over, or never came about.
async fn ended(
    State(desk): State<Desk>,
    headers: HeaderMap,
    signed: Result<Signed, ApiError>,
) -> Response {
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) => return unheard(error, &headers, || xml(&Twiml::empty())),
    };
    match DialEnded::read(&signed.form) {
        Ok(ended) => xml(&desk.ended(&ended).await),
        Err(error) => {
            tracing::error!(%error, "an end of a dialled leg that could not be read");
            xml(&Twiml::empty())
        }
    }
}

/// `POST /api/calls/status`
async fn call_status(State(desk): State<Desk>, signed: Signed) -> Result<StatusCode, ApiError> {
    let callback = CallStatusCallback::read(&signed.form).map_err(untold)?;
    desk.call_moved(&callback, signed.token)
        .await
        .map_err(unkept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/recordings/status`
async fn recording_status(
    State(desk): State<Desk>,
    signed: Signed,
) -> Result<StatusCode, ApiError> {
    let callback = RecordingCallback::read(&signed.form).map_err(untold)?;
    desk.recording_moved(&callback, signed.token)
        .await
        .map_err(unkept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/streams/status`
async fn stream_status(State(desk): State<Desk>, signed: Signed) -> Result<StatusCode, ApiError> {
    let callback = StreamCallback::read(&signed.form).map_err(untold)?;
    desk.stream_moved(&callback).await.map_err(unkept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/transcriptions/realtime`
async fn realtime(State(desk): State<Desk>, signed: Signed) -> Result<StatusCode, ApiError> {
    let callback = TranscriptionCallback::read(&signed.form).map_err(untold)?;
    desk.words_came(&callback, signed.token)
        .await
        .map_err(unkept)?;
    Ok(StatusCode::NO_CONTENT)
}
