//! The bounds of every request: it names one host, it has a place, and its body comes in time. A request
//! for which there is no place is answered at once, without its body being read.

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
use crate::access::connection_table::{Full, Kind};
use crate::access::connections::{ConnectionHandle, InProgress};
use crate::access::proxies::Proxies;
use crate::access::throttle::network;
use crate::clock;
use crate::limits;

/// What a request is measured by.
#[derive(Debug, Clone)]
pub(crate) struct RequestBounds {
    proxies: Proxies,
    twilio_paths: Arc<[&'static str]>,
    body_time_max: Duration,
}

impl RequestBounds {
    /// Those of a server that believes `proxies`.
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self {
            proxies,
            twilio_paths: twilio::doors().map(|(path, _)| path).into(),
            body_time_max: limits::REQUEST_BODY_TIME_MAX,
        }
    }

    /// The same, with another time for a body.
    #[cfg(test)]
    pub(crate) fn with_body_time(self, body_time_max: Duration) -> Self {
        Self {
            body_time_max,
            ..self
        }
    }

    /// Whose door a request comes to.
    fn kind(&self, request: &Request) -> Kind {
        let path = request.uri().path();
        let is_webhook = request.method() == Method::POST && self.twilio_paths.contains(&path);
        let is_media = request.method() == Method::GET && media::is_media(path);
        if is_webhook || is_media {
            Kind::Twilio
        } else {
            Kind::Other
        }
    }

    /// Takes the request's place; none where the listener does not count connections.
    fn begin(&self, request: &Request, has_body: bool) -> Result<Option<InProgress>, Full> {
        let extensions = request.extensions();
        let Some(connection) = extensions.get::<ConnectionHandle>() else {
            return Ok(None);
        };
        let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Ok(None);
        };
        let client = self.proxies.client(peer.ip(), request.headers());
        let client = network(client);
        let begun = connection.begin(client, self.kind(request), has_body)?;
        Ok(Some(begun))
    }
}

/// Holds `routes` to the bounds.
pub(crate) fn bound(routes: Router, bounds: RequestBounds) -> Router {
    routes.layer(middleware::from_fn_with_state(bounds, admit))
}

async fn admit(State(bounds): State<RequestBounds>, request: Request, next: Next) -> Response {
    if let Err(error) = check_host(&request) {
        return last(error.into_response());
    }
    let has_body = !request.body().is_end_stream();
    let mut in_progress = match bounds.begin(&request, has_body) {
        Ok(in_progress) => in_progress,
        Err(full) => return last(no_place(full).into_response()),
    };
    let is_twilios = bounds.kind(&request) == Kind::Twilio;
    let is_late = Arc::new(AtomicBool::new(false));
    let request = if has_body {
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let deadline = clock::now() + bounds.body_time_max;
        request.map(|body| {
            Body::new(TimedBody {
                body,
                late: Box::pin(clock::until(Some(deadline))),
                is_late: Arc::clone(&is_late),
                connection,
            })
        })
    } else {
        request
    };
    let mut response = next.run(request).await;
    if is_late.load(Ordering::Relaxed) {
        response = last(too_slow(bounds.body_time_max).into_response());
    }
    let is_signed = response.extensions().get::<twilio::Unsigned>().is_none();
    if is_twilios && (response.status() == StatusCode::FORBIDDEN || !is_signed) {
        // Who is not Twilio has no business on a connection that may be kept for it.
        response = last(response);
    }
    if is_twilios && is_signed && response.status().is_success() {
        in_progress.iter_mut().for_each(InProgress::mark_signed);
    }
    response.map(|body| {
        Body::new(AnswerBody {
            body,
            _in_progress: in_progress,
        })
    })
}

/// A request names one host, and HTTP/1.1 requires that it names one
/// (<https://www.rfc-editor.org/rfc/rfc9112#section-3.2>).
fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let message = match host {
        None if request.version() == Version::HTTP_11 => "an HTTP/1.1 request needs a Host header",
        None => return Ok(()),
        Some(_) if second.is_some() => "a request has one Host header: send only one",
        Some(host) if is_host(host) => return Ok(()),
        Some(_) => "the Host header is not a host, or a host and a port",
    };
    let status = StatusCode::BAD_REQUEST;
    Err(ApiError::new(status, "bad_host", message))
}

/// A host, with or without its port, or nothing.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.is_empty()
        || Authority::try_from(bytes).is_ok_and(|authority| !authority.as_str().contains('@'))
}

fn no_place(full: Full) -> ApiError {
    let (status, code, message) = match full {
        Full::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "your address has too many requests in progress: wait for some of them to end",
        ),
        Full::All => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_full",
            "the server has too many requests in progress: try again in a moment",
        ),
    };
    ApiError::new(status, code, message).retry_after(limits::FULL_RETRY_AFTER)
}

fn too_slow(max: Duration) -> ApiError {
    let seconds = max.as_secs();
    let message =
        format!("the request's body did not come within {seconds} seconds: send it again");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
}

/// No further request is read on this connection.
fn last(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The body of a request, which fails at its deadline.
struct TimedBody {
    body: Body,
    late: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_late: Arc<AtomicBool>,
    connection: Option<ConnectionHandle>,
}

impl TimedBody {
    /// Nothing of it is waited for any more.
    fn has_come(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.work();
        }
    }
}

/// A body that did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
struct Late;

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
                this.has_come();
            }
            return Poll::Ready(frame);
        }
        ready!(this.late.as_mut().poll(context));
        this.is_late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new(Late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    /// Nobody reads the rest.
    fn drop(&mut self) {
        self.has_come();
    }
}

/// The body of an answer, with the place of its request.
struct AnswerBody {
    body: Body,
    _in_progress: Option<InProgress>,
}

impl HttpBody for AnswerBody {
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
