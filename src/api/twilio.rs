//! Twilio's webhooks: requests for TwiML (`/voice…`) and callbacks (`/api/…/status`). They accept
//! only requests that Twilio signed; without an account, only those of the simulator (see
//! [`simulator_key`]). A callback is stored before the response, within milliseconds; the work that
//! follows from it continues afterwards.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, FromRef, FromRequest, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::{ApiError, ApiState, simulator_key};
use crate::calls::CallService;
use crate::config::EndpointConfig;
use crate::limits;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::twilio::signature::{
    HEADER, Keyring, SETTINGS_HEADER, SignatureError, SignedPayload, VerifiedKey,
};
use crate::twilio::twiml::{CONTENT_TYPE, Say, TwimlVerb, VoiceResponse};
use crate::twilio::webhook::{
    self, CallStatusCallback, DialEnded, IDEMPOTENCY_HEADER, RecordingCallback, StreamCallback,
    TranscriptionCallback, VoiceRequest, WebhookError,
};

/// Returns the handlers of all webhooks, by path.
pub(crate) fn webhook_routes() -> [(&'static str, MethodRouter<ApiState>); 7] {
    [
        ("/voice", post(on_voice)),
        ("/voice/announcement", post(on_announcement)),
        ("/voice/ended", post(on_dial_ended)),
        ("/api/calls/status", post(on_call_status)),
        ("/api/recordings/status", post(on_recording_status)),
        ("/api/streams/status", post(on_stream_status)),
        (
            "/api/transcriptions/realtime",
            post(on_realtime_transcription),
        ),
    ]
}

/// Returns the router of all webhooks.
pub(super) fn routes() -> Router<ApiState> {
    let add = |routes: Router<ApiState>, (path, handler)| routes.route(path, handler);
    webhook_routes().into_iter().fold(Router::new(), add)
}

/// Counts webhooks by path and response status.
pub(super) async fn count_webhooks(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    metrics.count_webhook(&path, answer.status().as_u16());
    answer
}

/// A form with a valid signature.
struct SignedForm {
    form: Vec<(String, String)>,
    /// The idempotency token: a request with the same token is a repetition.
    token: Option<String>,
}

impl<S> FromRequest<S> for SignedForm
where
    S: Send + Sync,
    Arc<EndpointConfig>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let endpoint = Arc::<EndpointConfig>::from_ref(state);
        let (parts, body) = request.into_parts();
        if endpoint.keyring.is_none() {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map(|ConnectInfo(peer)| peer.ip());
            let key = simulator_key::simulator_key_of(&parts.headers);
            simulator_key::require_simulator_key(&endpoint, key, peer, &parts.headers)?;
        }
        let bytes = to_bytes(body, limits::WEBHOOK_BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| {
            let max = limits::WEBHOOK_BODY_BYTES_MAX;
            let message = format!("a webhook's body can have at most {max} bytes: send less");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        })?;
        let form =
            webhook::decode_form(&bytes).map_err(|error| unreadable_webhook(error.to_string()))?;
        let path = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |uri| &uri.0);
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        if let Some(keyring) = &endpoint.keyring {
            verify_signature(
                &endpoint,
                keyring,
                path,
                SignedPayload::Form(&form),
                &parts.headers,
            )?;
        }
        let token = header_text(&parts.headers, &HeaderName::from_static(IDEMPOTENCY_HEADER));
        Ok(Self {
            form,
            token: webhook::idempotency_token(token),
        })
    }
}

/// Rejects a request that Twilio did not sign. `path` includes the query as it was on the wire.
/// 403: `bad_signature`.
pub(super) fn verify_signature(
    endpoint: &EndpointConfig,
    keyring: &Keyring,
    path: &str,
    payload: SignedPayload<'_>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let is_socket = headers.contains_key(header::SEC_WEBSOCKET_KEY);
    let url = if is_socket {
        endpoint.public_url.wss_url(path)
    } else {
        endpoint.public_url.https_url(path)
    };
    let signature = header_text(headers, &HeaderName::from_static(HEADER));
    let settings = header_text(headers, &HeaderName::from_static(SETTINGS_HEADER));
    match keyring.verify(&url, payload, signature, settings) {
        Ok(VerifiedKey::Primary | VerifiedKey::Shared(_)) => Ok(()),
        Ok(VerifiedKey::Secondary) => {
            tracing::debug!("signed with the second auth token");
            Ok(())
        }
        Err(error) => {
            let message =
                "this request has no valid Twilio signature: see the server's log for the reason";
            let refused = ApiError::new(StatusCode::FORBIDDEN, "bad_signature", message);
            Err(refused.with_operator_hint(signature_hint(endpoint, error, is_socket)))
        }
    }
}

/// Formats the operator's hint. A media socket's path contains its secret, so the hint shows no
/// path.
fn signature_hint(endpoint: &EndpointConfig, error: SignatureError, is_socket: bool) -> String {
    let what = if is_socket { "media socket" } else { "webhook" };
    let url = &endpoint.public_url;
    format!(
        "a {what} was not signed by Twilio ({error}); if Twilio sent it, PUBLIC_BASE_URL ({url}) \
         is not the address that Twilio requests (check scheme, host, port and path behind your \
         proxy), or TWILIO_AUTH_TOKEN is not the account's primary one"
    )
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unreadable_webhook(why: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_webhook", why)
}

fn unreadable_callback(error: WebhookError) -> ApiError {
    unreadable_webhook(error.to_string())
}

/// Converts an error of the store into 503, so that Twilio retries (`rp=5xx` in the callback's
/// URL).
fn store_failure_of(error: StoreError) -> ApiError {
    ApiError::from(error)
}

fn twiml_response(twiml: &VoiceResponse) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], twiml.to_xml()).into_response()
}

/// Marks the response to a request without a verified signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnverifiedAnswer;

/// Returns the TwiML for a call with an unreadable voice request.
fn apology_response() -> Response {
    let sorry = Say::text("Sorry, this call could not be understood.");
    let said = VoiceResponse::new(vec![TwimlVerb::Say(sorry), TwimlVerb::Hangup]);
    twiml_response(&said.expect("a short text, no URL"))
}

/// Responds to an unreadable request for TwiML. Requests without Twilio's signature, and aborted
/// ones, receive the error. Twilio plays its own "application error" for a response that is no
/// TwiML, so that a body that is too long, or has too many fields, is answered with `spoken`.
fn answer_unreadable_request(
    error: ApiError,
    headers: &HeaderMap,
    spoken: impl FnOnce() -> Response,
) -> Response {
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
    tracing::error!(%error, "a request for TwiML could not be parsed");
    let mut answer = spoken();
    answer.extensions_mut().insert(UnverifiedAnswer);
    answer
}

/// `POST /voice`: a call starts. Errors are spoken, and never a bare 500.
async fn on_voice(
    State(calls): State<CallService>,
    State(endpoint): State<Arc<EndpointConfig>>,
    headers: HeaderMap,
    signed: Result<SignedForm, ApiError>,
) -> Response {
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) => return answer_unreadable_request(error, &headers, apology_response),
    };
    match VoiceRequest::from_form(&signed.form) {
        Ok(request) => {
            let ours = endpoint.account_sid.as_ref();
            let is_ours = ours.is_none_or(|ours| *ours == request.account_sid);
            twiml_response(&calls.on_voice_request(&request, is_ours).await)
        }
        Err(error) => {
            tracing::error!(%error, "a voice request could not be parsed");
            apology_response()
        }
    }
}

/// `POST /voice/announcement`: the announcement that is played to the called party first.
async fn on_announcement(
    State(calls): State<CallService>,
    headers: HeaderMap,
    signed: Result<SignedForm, ApiError>,
) -> Response {
    match signed {
        Ok(_) => twiml_response(&calls.on_announcement_request()),
        // The announcement does not depend on the request.
        Err(error) => answer_unreadable_request(error, &headers, || {
            twiml_response(&calls.on_announcement_request())
        }),
    }
}

/// `POST /voice/ended`: the dialled leg ended, or was never established.
async fn on_dial_ended(
    State(calls): State<CallService>,
    headers: HeaderMap,
    signed: Result<SignedForm, ApiError>,
) -> Response {
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) => {
            return answer_unreadable_request(error, &headers, || {
                twiml_response(&VoiceResponse::empty())
            });
        }
    };
    match DialEnded::from_form(&signed.form) {
        Ok(ended) => twiml_response(&calls.on_dial_ended(&ended).await),
        Err(error) => {
            tracing::error!(%error, "the end of a dialled leg could not be parsed");
            twiml_response(&VoiceResponse::empty())
        }
    }
}

/// `POST /api/calls/status`
async fn on_call_status(
    State(calls): State<CallService>,
    signed: SignedForm,
) -> Result<StatusCode, ApiError> {
    let callback = CallStatusCallback::from_form(&signed.form).map_err(unreadable_callback)?;
    calls
        .on_call_status(&callback, signed.token)
        .await
        .map_err(store_failure_of)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/recordings/status`
async fn on_recording_status(
    State(calls): State<CallService>,
    signed: SignedForm,
) -> Result<StatusCode, ApiError> {
    let callback = RecordingCallback::from_form(&signed.form).map_err(unreadable_callback)?;
    calls
        .on_recording_status(&callback, signed.token)
        .await
        .map_err(store_failure_of)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/streams/status`
async fn on_stream_status(
    State(calls): State<CallService>,
    signed: SignedForm,
) -> Result<StatusCode, ApiError> {
    let callback = StreamCallback::from_form(&signed.form).map_err(unreadable_callback)?;
    calls
        .on_stream_status(&callback)
        .await
        .map_err(store_failure_of)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/transcriptions/realtime`
async fn on_realtime_transcription(
    State(calls): State<CallService>,
    signed: SignedForm,
) -> Result<StatusCode, ApiError> {
    let callback = TranscriptionCallback::from_form(&signed.form).map_err(unreadable_callback)?;
    calls
        .on_transcription(&callback, signed.token)
        .await
        .map_err(store_failure_of)?;
    Ok(StatusCode::NO_CONTENT)
}
