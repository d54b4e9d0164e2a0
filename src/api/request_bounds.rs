//! The bounds of every request: it names one host, it holds a connection slot, and its body arrives
//! in time. A request without a slot is answered at once, without its body being read.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::{ApiError, media, twilio};
use crate::access::connection_table::{NoCapacity, RequestOrigin};
use crate::access::connections::{ConnectionHandle, RequestGuard};
use crate::access::proxies::TrustedProxies;
use crate::access::sign_in_rate_limit::client_network;
use crate::clock;
use crate::limits;

/// The bounds of requests, and the facts that they depend on.
#[derive(Debug, Clone)]
pub(crate) struct RequestBounds {
    proxies: TrustedProxies,
    twilio_paths: Arc<[&'static str]>,
    body_time_max: Duration,
}

impl RequestBounds {
    /// Creates the bounds of a server that trusts `proxies`.
    pub(crate) fn new(proxies: TrustedProxies) -> Self {
        Self {
            proxies,
            twilio_paths: twilio::webhook_routes().map(|(path, _)| path).into(),
            body_time_max: limits::REQUEST_BODY_TIME_MAX,
        }
    }

    /// Replaces the time limit of bodies.
    #[cfg(test)]
    pub(crate) fn with_body_time(self, body_time_max: Duration) -> Self {
        Self {
            body_time_max,
            ..self
        }
    }

    /// Classifies a request by its endpoint.
    fn request_origin(&self, request: &Request) -> RequestOrigin {
        let path = request.uri().path();
        let is_webhook = request.method() == Method::POST && self.twilio_paths.contains(&path);
        let is_media = request.method() == Method::GET && media::is_media_path(path);
        if is_webhook || is_media {
            RequestOrigin::Twilio
        } else {
            RequestOrigin::Other
        }
    }

    /// Acquires the request's slot; `Ok(None)` if the listener does not count connections.
    fn begin_request(
        &self,
        request: &Request,
        has_body: bool,
    ) -> Result<Option<RequestGuard>, NoCapacity> {
        let extensions = request.extensions();
        let Some(connection) = extensions.get::<ConnectionHandle>() else {
            return Ok(None);
        };
        let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Ok(None);
        };
        let client = self.proxies.client_address(peer.ip(), request.headers());
        let client = client_network(client);
        let begun = connection.begin_request(client, self.request_origin(request), has_body)?;
        Ok(Some(begun))
    }
}

/// Adds the bounds to `routes`.
pub(crate) fn apply_request_bounds(routes: Router, bounds: RequestBounds) -> Router {
    routes.layer(middleware::from_fn_with_state(
        bounds,
        enforce_request_bounds,
    ))
}

async fn enforce_request_bounds(
    State(bounds): State<RequestBounds>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = check_host(&request) {
        return close_after(error.into_response());
    }
    let has_body = !request.body().is_end_stream();
    let mut request_guard = match bounds.begin_request(&request, has_body) {
        Ok(request_guard) => request_guard,
        Err(full) => return close_after(capacity_error(full).into_response()),
    };
    let is_twilio_path = bounds.request_origin(&request) == RequestOrigin::Twilio;
    let is_timed_out = Arc::new(AtomicBool::new(false));
    let request = if has_body {
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let deadline = clock::now() + bounds.body_time_max;
        request.map(|body| {
            Body::new(TimedBody {
                body,
                deadline_sleep: Box::pin(clock::sleep_until(Some(deadline))),
                is_timed_out: Arc::clone(&is_timed_out),
                connection,
            })
        })
    } else {
        request
    };
    let mut response = next.run(request).await;
    if is_timed_out.load(Ordering::Relaxed) {
        response = close_after(body_timeout_error(bounds.body_time_max).into_response());
    }
    let is_signed = response
        .extensions()
        .get::<twilio::UnverifiedAnswer>()
        .is_none();
    if is_twilio_path && (response.status() == StatusCode::FORBIDDEN || !is_signed) {
        // Connections reserved for Twilio must not go to other clients.
        response = close_after(response);
    }
    if is_twilio_path && is_signed && response.status().is_success() {
        request_guard.iter_mut().for_each(RequestGuard::mark_signed);
    }
    response.map(|body| {
        Body::new(TrackedBody {
            body,
            _request_guard: request_guard,
        })
    })
}

/// Checks that a request names at most one host, and, as HTTP/1.1 requires, that it names one
/// (<https://www.rfc-editor.org/rfc/rfc9112#section-3.2>).
fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let message = match host {
        None if request.version() == Version::HTTP_11 => "an HTTP/1.1 request needs a Host header",
        None => return Ok(()),
        Some(_) if second.is_some() => "the request has more than one Host header: send only one",
        Some(host) if is_host(host) => return Ok(()),
        Some(_) => "the Host header is malformed: send a host, or a host and a port",
    };
    let status = StatusCode::BAD_REQUEST;
    Err(ApiError::new(status, "bad_host", message))
}

/// Reports whether `value` is a host, with or without a port, or empty.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.is_empty()
        || Authority::try_from(bytes).is_ok_and(|authority| !authority.as_str().contains('@'))
}

fn capacity_error(full: NoCapacity) -> ApiError {
    let (status, code, message) = match full {
        NoCapacity::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "your address has too many requests in progress: wait for some of them to end",
        ),
        NoCapacity::All => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_full",
            "the server has too many requests in progress: try again in a moment",
        ),
    };
    ApiError::new(status, code, message).with_retry_after(limits::OVERLOAD_RETRY_AFTER)
}

fn body_timeout_error(max: Duration) -> ApiError {
    let seconds = max.as_secs();
    let message =
        format!("the request's body did not arrive within {seconds} seconds: send it again");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
}

/// Closes the connection after this response.
fn close_after(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The body of a request, which fails at its deadline.
struct TimedBody {
    body: Body,
    deadline_sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_timed_out: Arc<AtomicBool>,
    connection: Option<ConnectionHandle>,
}

impl TimedBody {
    /// Reports to the connection that the rest of the body is no longer awaited.
    fn mark_body_received(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.mark_active();
        }
    }
}

/// The body did not arrive before its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
struct BodyTimeout;

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if frame.is_none() || this.body.is_end_stream() {
                this.mark_body_received();
            }
            return Poll::Ready(frame);
        }
        ready!(this.deadline_sleep.as_mut().poll(context));
        this.is_timed_out.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new(BodyTimeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    /// The rest is not read.
    fn drop(&mut self) {
        self.mark_body_received();
    }
}

/// The body of a response, which holds the slot of its request.
struct TrackedBody {
    body: Body,
    _request_guard: Option<RequestGuard>,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, hosts: &[&[u8]]) -> Option<StatusCode> {
        let mut request = Request::new(Body::empty());
        *request.version_mut() = version;
        for host in hosts {
            let value = HeaderValue::from_bytes(host).unwrap();
            request.headers_mut().append(header::HOST, value);
        }
        check_host(&request).err().map(|error| error.status())
    }

    #[test]
    fn a_request_names_one_host() {
        let bad = Some(StatusCode::BAD_REQUEST);
        for (hosts, answer) in [
            (&[&b"calls.example.org"[..]][..], None),
            (&[b"127.0.0.1:4000"], None),
            (&[b"[::1]:4000"], None),
            (&[b""], None),
            (&[], bad),
            (&[b"calls.example.org", b"evil.example"], bad),
            (&[b"calls.example.org", b"calls.example.org"], bad),
            (&[b"calls.example.org, evil.example"], bad),
            (&[b"ada@calls.example.org"], bad),
            (&[b"calls.example.org/path"], bad),
            (&[b"\xe9"], bad),
        ] {
            assert_eq!(status(Version::HTTP_11, hosts), answer, "{hosts:?}");
        }
        assert_eq!(status(Version::HTTP_10, &[]), None);
        assert_eq!(status(Version::HTTP_10, &[b"a", b"b"]), bad);
    }
}
