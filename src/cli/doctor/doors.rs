//! Looks at the server's doors: the port, and the way from the public address to it. Where no server
//! runs, something stands in for it meanwhile, so that proxies and tunnels have what to lead to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use reqwest::{Client, RequestBuilder, Url, redirect};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::findings::Finding;
use crate::api::{self, ApiError};
use crate::clock;
use crate::limits::{DOCTOR_ANSWER_BYTES_MAX, DOCTOR_WAIT_MAX};
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::rest::root_cause;
use crate::twilio::signature::{HEADER, Key, sign};

const PUBLIC: &str = "public address";
const SOCKETS: &str = "sockets";

/// Where a media socket would be opened; no call expects this one.
const MEDIA: &str = "/media/doctor";

/// The code of a media socket that was signed, and that no call expects.
const EXPECTED_NO: &str = "not_expected";

/// The code of a media socket that was not signed, by the lights of whoever answered.
const BADLY_SIGNED: &str = "bad_signature";

/// Who listens at the port.
#[derive(Debug, Clone)]
pub(crate) enum Behind {
    /// A server that runs.
    Server,
    /// The stand-in, and whether anybody has been there.
    StandIn(Arc<AtomicBool>),
    /// Somebody else, or nobody.
    Nobody,
}

/// An answer, as far as it tells anything.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    took_ms: u128,
}

/// A client that looks at each answer itself, asks in a connection of its own each time, and speaks
/// HTTP/1.1, in which sockets are opened.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("callburner-doctor/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(DOCTOR_WAIT_MAX)
        .http1_only()
        .pool_max_idle_per_host(0)
        .build()
}

/// Whether the port can be had, and who listens there from now on.
pub(crate) async fn port(client: &Client, address: SocketAddr, tasks: &Tasks) -> (Finding, Behind) {
    const PART: &str = "port";
    let error = match TcpListener::bind(address).await {
        Ok(listener) => {
            let behind = stand_in(listener, tasks);
            return (Finding::ok(PART, format!("{address} is free")), behind);
        }
        Err(error) => error,
    };
    if is_server(client, address).await {
        let found = format!("a CallBurner server runs at {address}");
        return (Finding::ok(PART, found), Behind::Server);
    }
    let kind = error.kind();
    let (found, advice) = if kind == io::ErrorKind::AddrInUse {
        let found = format!("another program listens at {address}");
        (found, "end it, or set PORT to another")
    } else if kind == io::ErrorKind::PermissionDenied {
        let found = format!("this user may not listen at {address}");
        (found, "set PORT to one above 1023")
    } else {
        let found = format!("{address} cannot be listened at ({error})");
        (found, "set HOST to an address of this machine")
    };
    (Finding::failure(PART, found, advice), Behind::Nobody)
}

/// Serves what the doctor asks for, in the server's own shapes.
fn stand_in(listener: TcpListener, tasks: &Tasks) -> Behind {
    async fn refuse(headers: HeaderMap, _: WebSocketUpgrade) -> ApiError {
        let is_signed = headers.contains_key(HEADER);
        let code = if is_signed { EXPECTED_NO } else { BADLY_SIGNED };
        let message = "callburner doctor stands in for the server here";
        ApiError::new(StatusCode::FORBIDDEN, code, message)
    }
    let visited = Arc::new(AtomicBool::new(false));
    let seen = visited.clone();
    let alive = async move || {
        seen.store(true, Ordering::Relaxed);
        "ok"
    };
    let routes = Router::new()
        .route("/healthz", get(alive))
        .route(MEDIA, get(refuse));
    let routes = api::with_errors(routes, Metrics::default());
    let stop = tasks.clone();
    tasks.spawn(async move {
        let served = axum::serve(listener, routes);
        // Whoever is still there at the end is not waited for.
        tokio::select! {
            _ = served.into_future() => {}
            () = stop.stopping() => {}
        }
    });
    Behind::StandIn(visited)
}

async fn is_server(client: &Client, address: SocketAddr) -> bool {
    let asked = client.get(format!("http://{address}/healthz"));
    ask(asked).await.is_ok_and(|answer| is_alive(&answer))
}

/// `/healthz` of this program: its word, and a request id.
fn is_alive(answer: &Answer) -> bool {
    answer.status == StatusCode::OK
        && answer.body == "ok"
        && answer.headers.contains_key("x-request-id")
}

/// Whether the world's way leads here, and whether sockets pass.
pub(crate) async fn public(
    client: &Client,
    url: &PublicUrl,
    key: Option<&Key>,
    behind: &Behind,
) -> Vec<Finding> {
    let (resolved, is_there) = resolve(url).await;
    let mut findings = vec![resolved];
    if is_there {
        let (reached, is_reached) = reach(client, url, behind).await;
        findings.push(reached);
        if is_reached {
            findings.push(socket(client, url, key, behind).await);
        }
    }
    findings
}

/// Whether the name leads to an address, and to one that Twilio can call.
async fn resolve(url: &PublicUrl) -> (Finding, bool) {
    let parsed = Url::parse(&url.to_string()).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = parsed
        .as_ref()
        .and_then(Url::port_or_known_default)
        .unwrap_or_default();
    let advice = "check the name in PUBLIC_BASE_URL, and its entry in DNS";
    let found = match timeout(DOCTOR_WAIT_MAX, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<IpAddr>>(),
        Ok(Err(error)) => {
            let found = format!("{host} has no address ({error})");
            return (Finding::failure(PUBLIC, found, advice), false);
        }
        Err(_) => {
            let found = format!("nobody says in time what address {host} has");
            return (Finding::failure(PUBLIC, found, advice), false);
        }
    };
    let shown: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    let shown = format!("{host} is at {}", shown.join(", "));
    if found.iter().all(|address| is_private(*address)) {
        let advice = "Twilio cannot call a private address: if it resolves to another one outside, \
                      all is well";
        return (Finding::warning(PUBLIC, shown, advice), true);
    }
    (Finding::ok(PUBLIC, shown), true)
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether `/healthz` is reached by the public address.
async fn reach(client: &Client, url: &PublicUrl, behind: &Behind) -> (Finding, bool) {
    let address = url.https("/healthz");
    let answer = match ask(client.get(&address)).await {
        Ok(answer) => answer,
        Err(reason) => {
            let advice = "check that the proxy or tunnel runs, its certificate, and the firewall";
            let found = format!("{address} cannot be reached ({reason})");
            return (Finding::failure(PUBLIC, found, advice), false);
        }
    };
    let status = answer.status.as_u16();
    if answer.status.is_redirection() {
        let to = text(&answer.headers, header::LOCATION.as_str());
        let found = format!("{address} redirects to {to}");
        let advice = "set PUBLIC_BASE_URL to where it leads in the end: Twilio signs the address \
                      that it was told";
        return (Finding::failure(PUBLIC, found, advice), false);
    }
    let wrong = |found: String, advice: &str| (Finding::failure(PUBLIC, found, advice), false);
    match behind {
        _ if (502..=504).contains(&status) => wrong(
            format!("{address} answers {status}{}", by(&answer.headers)),
            "the proxy does not reach this server: check the address and PORT that it passes to",
        ),
        _ if !is_alive(&answer) => wrong(
            format!(
                "{address} answers {status}{}, and is no CallBurner server",
                by(&answer.headers)
            ),
            "have the proxy pass everything below PUBLIC_BASE_URL to this server, without the path \
             of PUBLIC_BASE_URL itself",
        ),
        Behind::StandIn(visited) if !visited.load(Ordering::Relaxed) => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel at this machine and PORT",
        ),
        Behind::Nobody => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel at this machine and PORT",
        ),
        Behind::StandIn(_) | Behind::Server => {
            let found = format!("{address} leads here, in {} ms", answer.took_ms);
            (Finding::ok(PUBLIC, found), true)
        }
    }
}

/// Whether a media socket passes: signed as Twilio would, and expected by no call.
async fn socket(client: &Client, url: &PublicUrl, key: Option<&Key>, behind: &Behind) -> Finding {
    let mut asked = client
        .get(url.https(MEDIA))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        // Any 16 bytes; nothing is sent in this socket.
        .header(header::SEC_WEBSOCKET_KEY, "Y2FsbGJ1cm5lcmRvY3Rvcg==");
    if let Some(key) = key {
        asked = asked.header(HEADER, sign(key, &url.wss(MEDIA), &[]));
    }
    let failure = |found: String, advice: &str| Finding::failure(SOCKETS, found, advice);
    let answer = match ask(asked).await {
        Ok(answer) => answer,
        Err(reason) => {
            let advice = "check the proxy's time limits and rules for WebSockets";
            return failure(format!("a WebSocket breaks on its way ({reason})"), advice);
        }
    };
    let code = code(&answer.body);
    match (answer.status.as_u16(), code.as_str()) {
        (403, EXPECTED_NO) if matches!(behind, Behind::Server) => Finding::ok(
            SOCKETS,
            "WebSockets pass, and the server takes these settings' signature",
        ),
        (403, BADLY_SIGNED) if key.is_some() && matches!(behind, Behind::StandIn(_)) => failure(
            "WebSockets pass, but without X-Twilio-Signature".to_owned(),
            "have the proxy pass that header",
        ),
        (403, BADLY_SIGNED) if key.is_some() => failure(
            "WebSockets pass, but the running server does not take these settings' signature"
                .to_owned(),
            "restart the server with these settings; if it has them, the proxy takes \
             X-Twilio-Signature away",
        ),
        (101, _) if key.is_some() => failure(
            "the running server takes media sockets without a signature".to_owned(),
            "restart it with these settings",
        ),
        (403, EXPECTED_NO | BADLY_SIGNED) | (101, _) => Finding::ok(SOCKETS, "WebSockets pass"),
        (400 | 426, _) => failure(
            format!(
                "WebSockets do not pass{}: Upgrade is taken away",
                by(&answer.headers)
            ),
            pass_upgrades(&answer.headers),
        ),
        (status, _) => failure(
            format!("a WebSocket is answered {status}{}", by(&answer.headers)),
            pass_upgrades(&answer.headers),
        ),
    }
}

/// What to tell the proxy.
fn pass_upgrades(headers: &HeaderMap) -> &'static str {
    let server = text(headers, "server").to_lowercase();
    if server.contains("nginx") || server.contains("openresty") {
        "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header \
         Connection \"upgrade\"; proxy_read_timeout 1h"
    } else if server.contains("apache") {
        "Apache: a2enmod proxy_wstunnel, and upgrade=websocket at the end of ProxyPass"
    } else if server.contains("cloudflare") {
        "Cloudflare: turn WebSockets on under Network"
    } else {
        "have the proxy pass the headers Upgrade and Connection: nginx needs proxy_http_version 1.1 \
         and two proxy_set_header, Apache upgrade=websocket; Caddy, Traefik and HAProxy pass them \
         by themselves"
    }
}

/// Who answered, if it says so.
fn by(headers: &HeaderMap) -> String {
    match text(headers, "server") {
        "" => String::new(),
        server => format!(" (by {})", server.chars().take(40).collect::<String>()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// The code of an error in this program's shape; else empty.
fn code(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Asks, and reads as much of the answer as tells anything; or why there is none.
async fn ask(request: RequestBuilder) -> Result<Answer, String> {
    let began = clock::now();
    let mut answer = request.send().await.map_err(root_cause)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    // A socket that was opened says no more.
    while status != StatusCode::SWITCHING_PROTOCOLS
        && body.len() < DOCTOR_ANSWER_BYTES_MAX
        && let Some(piece) = answer.chunk().await.map_err(root_cause)?
    {
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        took_ms: (clock::now() - began).as_millis(),
    })
}
