//! Checks the port and the way from the public address to it. If no server is running, a stub server answers
//! in its place during the checks, so that proxies and tunnels have a target.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::{get, post};
use reqwest::{Client, RequestBuilder, Url, redirect};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::findings::Finding;
use crate::access::proxies::TrustedProxies;
use crate::api::doctor_endpoints::{
    self, FORWARDED_HEADER, MEDIA_PATH, NOT_EXPECTED_CODE, SILENT_MEDIA_PATH,
};
use crate::api::{self, ApiError};
use crate::clock;
use crate::limits::{
    DOCTOR_ANSWER_BYTES_MAX, DOCTOR_BODY_BYTES, DOCTOR_IDLE_SOCKET_TIME, DOCTOR_WAIT_MAX,
};
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::twilio::api::root_cause;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::{HEADER, SigningKey, sign};

const PUBLIC_ADDRESS_PART: &str = "public address";
pub(super) const WEBSOCKETS_PART: &str = "sockets";
const PROXY_PART: &str = "proxy";

/// Path of the request with a large body. The request changes nothing.
const BODY_PATH: &str = "/api/streams/status";

/// Error code for a media socket without a valid signature, in the view of the server that responds.
const BAD_SIGNATURE: &str = "bad_signature";

/// Error code for a media socket at a server without a Twilio account.
const NO_ACCOUNT: &str = "no_account";

/// Owner of the port.
#[derive(Debug, Clone)]
pub(crate) enum PortOwner {
    /// A running CallBurner server.
    Server,
    /// The stub server. The flag is set once the stub receives a request.
    Stub(Arc<AtomicBool>),
    /// Another program, or no program.
    Nobody,
}

/// The parts of a response that the checks use.
struct ProbeResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    elapsed_ms: u128,
}

/// Creates a client that follows no redirects, opens a new connection for each request, and uses HTTP/1.1,
/// which WebSocket upgrades need.
pub(crate) fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("callburner-doctor/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(DOCTOR_WAIT_MAX)
        .http1_only()
        .pool_max_idle_per_host(0)
        .build()
}

/// Checks whether the port is available, and returns its owner. Starts the stub server on a free port.
pub(crate) async fn check_port(
    client: &Client,
    address: SocketAddr,
    proxies: &TrustedProxies,
    tasks: &Tasks,
) -> (Finding, PortOwner) {
    const PART: &str = "port";
    let error = match TcpListener::bind(address).await {
        Ok(listener) => {
            let port_owner = spawn_stub_server(listener, proxies.clone(), tasks);
            return (Finding::ok(PART, format!("{address} is free")), port_owner);
        }
        Err(error) => error,
    };
    if is_callburner(client, address).await {
        let found = format!("a CallBurner server runs at {address}");
        return (Finding::ok(PART, found), PortOwner::Server);
    }
    let kind = error.kind();
    let (found, advice) = if kind == io::ErrorKind::AddrInUse {
        let found = format!("another program listens at {address}");
        (found, "stop it, or set PORT to another port")
    } else if kind == io::ErrorKind::PermissionDenied {
        let found = format!("this user has no permission to listen at {address}");
        (found, "set PORT to a port above 1023")
    } else {
        let found = format!("the server cannot listen at {address} ({error})");
        (found, "set HOST to an address of this machine")
    };
    (Finding::failure(PART, found, advice), PortOwner::Nobody)
}

/// Serves the endpoints that the doctor requests, with the server's own response format.
fn spawn_stub_server(listener: TcpListener, proxies: TrustedProxies, tasks: &Tasks) -> PortOwner {
    let refusal = |status, headers: &HeaderMap| {
        let is_signed = headers.contains_key(HEADER);
        let code = if is_signed {
            NOT_EXPECTED_CODE
        } else {
            BAD_SIGNATURE
        };
        ApiError::new(
            status,
            code,
            "callburner doctor answers in place of the server",
        )
    };
    let on_media = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>,
                               headers: HeaderMap,
                               _: WebSocketUpgrade| {
        let forwarded_claim =
            doctor_endpoints::forwarded_word(proxies.forwarded_claim(peer.ip(), &headers));
        let refusal = refusal(StatusCode::FORBIDDEN, &headers);
        (
            [(FORWARDED_HEADER, HeaderValue::from_static(forwarded_claim))],
            refusal,
        )
    };
    let on_idle_socket = async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(doctor_endpoints::hold_silent_socket)
    };
    let on_large_body =
        async move |headers: HeaderMap, _: Bytes| refusal(StatusCode::BAD_REQUEST, &headers);
    let visited = Arc::new(AtomicBool::new(false));
    let visited_by_request = visited.clone();
    let on_healthz = async move || {
        visited_by_request.store(true, Ordering::Relaxed);
        "ok"
    };
    let routes = Router::new()
        .route("/healthz", get(on_healthz))
        .route(MEDIA_PATH, get(on_media))
        .route(SILENT_MEDIA_PATH, get(on_idle_socket))
        .route(BODY_PATH, post(on_large_body));
    let routes = api::with_error_layer(routes, Metrics::default());
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let stop = tasks.clone();
    tasks.spawn(async move {
        let served = axum::serve(listener, routes);
        // Open connections are not waited for at the end.
        tokio::select! {
            _ = served.into_future() => {}
            () = stop.wait_for_stop() => {}
        }
    });
    PortOwner::Stub(visited)
}

async fn is_callburner(client: &Client, address: SocketAddr) -> bool {
    let request = client.get(format!("http://{address}/healthz"));
    send_request(request)
        .await
        .is_ok_and(|response| is_healthz(&response))
}

/// Whether this is the `/healthz` response of this program: the body `ok`, and a request ID.
fn is_healthz(response: &ProbeResponse) -> bool {
    response.status == StatusCode::OK
        && response.body == "ok"
        && response.headers.contains_key("x-request-id")
}

/// Checks that the public address leads to this server, and that WebSockets pass.
pub(crate) async fn check_public_address(
    client: &Client,
    url: &PublicUrl,
    key: Option<&SigningKey>,
    port_owner: &PortOwner,
) -> Vec<Finding> {
    let (resolved, is_there) = resolve_host(url).await;
    let mut findings = vec![resolved];
    if is_there {
        let (reached, is_reached) = check_reachable(client, url, port_owner).await;
        findings.push(reached);
        if is_reached {
            let (passed, forwarded_claim) = check_websocket(client, url, key, port_owner).await;
            findings.push(passed);
            findings.extend(check_client_address(url, &forwarded_claim));
            // Without a key, the server refuses the request before it has read the whole body.
            if let Some(key) = key {
                findings.push(check_body_limit(client, url, key).await);
            }
        }
    }
    findings
}

/// Checks that the host name resolves, and that it resolves to an address that Twilio can call.
async fn resolve_host(url: &PublicUrl) -> (Finding, bool) {
    let parsed = Url::parse(&url.to_string()).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = parsed
        .as_ref()
        .and_then(Url::port_or_known_default)
        .unwrap_or_default();
    let advice = "check the host name in PUBLIC_BASE_URL and its DNS record";
    let found = match timeout(DOCTOR_WAIT_MAX, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<IpAddr>>(),
        Ok(Err(error)) => {
            let found = format!("{host} does not resolve ({error})");
            return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
        }
        Err(_) => {
            let found = format!("DNS did not resolve {host} in time");
            return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
        }
    };
    let shown: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    let shown = format!("{host} resolves to {}", shown.join(", "));
    if found.iter().all(|address| is_private(*address)) {
        let advice = "Twilio cannot reach a private address; ignore this if the name resolves to a \
                      public address outside this network";
        return (Finding::warning(PUBLIC_ADDRESS_PART, shown, advice), true);
    }
    (Finding::ok(PUBLIC_ADDRESS_PART, shown), true)
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Checks that `/healthz` is reachable at the public address, and that this server answers it.
async fn check_reachable(
    client: &Client,
    url: &PublicUrl,
    port_owner: &PortOwner,
) -> (Finding, bool) {
    let address = url.https_url("/healthz");
    match send_request(client.get(&address)).await {
        Ok(response) => judge_healthz(&address, &response, port_owner),
        Err(reason) => {
            let advice = "check the proxy or tunnel, its certificate, and the firewall";
            let found = format!("{address} cannot be reached ({reason})");
            (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false)
        }
    }
}

/// Judges the response from `address`, that of `/healthz`. Also returns whether this server sent it.
fn judge_healthz(
    address: &str,
    response: &ProbeResponse,
    port_owner: &PortOwner,
) -> (Finding, bool) {
    let status = response.status.as_u16();
    if response.status.is_redirection() {
        let to = header_text(&response.headers, header::LOCATION.as_str());
        let found = format!("{address} redirects to {to}");
        let advice = "set PUBLIC_BASE_URL to the final address: Twilio signs the address that it \
                      calls, before any redirect";
        return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
    }
    let wrong =
        |found: String, advice: &str| (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
    match port_owner {
        _ if (502..=504).contains(&status) => wrong(
            format!(
                "{address} answers {status}{}",
                server_suffix(&response.headers)
            ),
            "the proxy cannot reach this server: check the address and port that it forwards to",
        ),
        _ if !is_healthz(response) => wrong(
            format!(
                "{address} answers {status}{}, and is not a CallBurner server",
                server_suffix(&response.headers)
            ),
            "configure the proxy to forward every path below PUBLIC_BASE_URL to this server, and \
             to remove the path of PUBLIC_BASE_URL itself",
        ),
        PortOwner::Stub(visited) if !visited.load(Ordering::Relaxed) => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel to this machine and PORT",
        ),
        PortOwner::Nobody => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel to this machine and PORT",
        ),
        PortOwner::Stub(_) | PortOwner::Server => {
            let found = format!(
                "{address} reaches this server in {} ms",
                response.elapsed_ms
            );
            (Finding::ok(PUBLIC_ADDRESS_PART, found), true)
        }
    }
}

/// Builds the request for a media socket that no call expects; signs it as Twilio does if there is a key.
fn upgrade_request(
    client: &Client,
    url: &PublicUrl,
    path: &str,
    key: Option<&SigningKey>,
) -> RequestBuilder {
    let request = client
        .get(url.https_url(path))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        // Any 16 bytes; nothing is sent in this socket.
        .header(header::SEC_WEBSOCKET_KEY, "Y2FsbGJ1cm5lcmRvY3Rvcg==");
    match key {
        Some(key) => request.header(HEADER, sign(key, &url.wss_url(path), &[])),
        None => request,
    }
}

/// Checks whether a WebSocket passes. Also returns the server's report about the forwarded client address;
/// empty if there is no report.
async fn check_websocket(
    client: &Client,
    url: &PublicUrl,
    key: Option<&SigningKey>,
    port_owner: &PortOwner,
) -> (Finding, String) {
    match send_request(upgrade_request(client, url, MEDIA_PATH, key)).await {
        Ok(response) => {
            let forwarded_claim =
                header_text(&response.headers, FORWARDED_HEADER.as_str()).to_owned();
            (
                judge_websocket(&response, key.is_some(), port_owner),
                forwarded_claim,
            )
        }
        Err(reason) => {
            let advice = "check the proxy's timeouts and rules for WebSockets";
            let found = format!("a WebSocket connection fails ({reason})");
            (
                Finding::failure(WEBSOCKETS_PART, found, advice),
                String::new(),
            )
        }
    }
}

fn judge_websocket(response: &ProbeResponse, has_key: bool, port_owner: &PortOwner) -> Finding {
    let failure = |found: String, advice: &str| Finding::failure(WEBSOCKETS_PART, found, advice);
    let code = error_code(&response.body);
    match (response.status.as_u16(), code.as_str()) {
        (403, NOT_EXPECTED_CODE) if matches!(port_owner, PortOwner::Server) => Finding::ok(
            WEBSOCKETS_PART,
            "WebSockets pass, and the server accepts signatures made with these settings",
        ),
        (403, BAD_SIGNATURE) if has_key && matches!(port_owner, PortOwner::Stub(_)) => failure(
            "WebSockets pass, but without X-Twilio-Signature".to_owned(),
            "configure the proxy to pass that header",
        ),
        (403, BAD_SIGNATURE) if has_key => failure(
            "WebSockets pass, but the server does not accept signatures made with these settings"
                .to_owned(),
            "restart the server with these settings; if it has them, the proxy removes \
             X-Twilio-Signature",
        ),
        (403, NO_ACCOUNT) if has_key => failure(
            "WebSockets pass, but the running server has no Twilio account".to_owned(),
            "restart the server with these settings",
        ),
        (403, NO_ACCOUNT) => Finding::ok(
            WEBSOCKETS_PART,
            "WebSockets pass; media streams are refused until a Twilio account is set",
        ),
        (101, _) => failure(
            "the running server accepts media streams without a signature".to_owned(),
            "restart the server with these settings, and with this version of callburner",
        ),
        (403, NOT_EXPECTED_CODE | BAD_SIGNATURE) => Finding::ok(WEBSOCKETS_PART, "WebSockets pass"),
        (400 | 426, _) => failure(
            format!(
                "WebSockets do not pass{}: the Upgrade header is removed",
                server_suffix(&response.headers)
            ),
            upgrade_advice(&response.headers),
        ),
        (status, _) => failure(
            format!(
                "a WebSocket is answered {status}{}",
                server_suffix(&response.headers)
            ),
            upgrade_advice(&response.headers),
        ),
    }
}

/// Checks that the server receives the client's address from the proxy in front of it, which ends TLS.
fn check_client_address(url: &PublicUrl, forwarded_claim: &str) -> Option<Finding> {
    if !url.https_url("").starts_with("https:") {
        return None;
    }
    let warning = |found: &str, advice: &str| Some(Finding::warning(PROXY_PART, found, advice));
    match forwarded_claim {
        "client" => Some(Finding::ok(
            PROXY_PART,
            "it forwards the client's address, and is trusted",
        )),
        "unbelieved" => warning(
            "it forwards the client's address, but is not in TRUSTED_PROXIES: all clients share \
             one limit of sign-in attempts",
            "set TRUSTED_PROXIES to the address from which the proxy connects to this server, such \
             as 127.0.0.1",
        ),
        "nothing" => warning(
            "it does not forward the client's address: all clients share one limit of sign-in \
             attempts",
            "nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; Caddy forwards \
             it by default, unless header_up removes X-Forwarded-For",
        ),
        // A server that does not report it.
        _ => None,
    }
}

/// Checks that the proxy passes the longest request body that the page sends.
async fn check_body_limit(client: &Client, url: &PublicUrl, key: &SigningKey) -> Finding {
    let (address, kib) = (url.https_url(BODY_PATH), DOCTOR_BODY_BYTES / 1024);
    let form = [("doctor".to_owned(), "x".repeat(DOCTOR_BODY_BYTES))];
    let request = client
        .post(&address)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(HEADER, sign(key, &address, &form))
        .body(format!("{}={}", form[0].0, form[0].1));
    let advice = "nginx: client_max_body_size 1m; Caddy: request_body { max_size 1MB }, or none";
    match send_request(request).await {
        Ok(response) if !error_code(&response.body).is_empty() => {
            Finding::ok(PROXY_PART, format!("requests of {kib} KiB pass"))
        }
        Ok(response) => {
            let (status, by) = (response.status.as_u16(), server_suffix(&response.headers));
            let found = format!("a request of {kib} KiB is answered {status}{by}");
            Finding::warning(PROXY_PART, found, advice)
        }
        Err(reason) => {
            let found = format!("a request of {kib} KiB fails ({reason})");
            Finding::warning(PROXY_PART, found, advice)
        }
    }
}

/// Outcome of a WebSocket on which the server is silent for [`DOCTOR_IDLE_SOCKET_TIME`] and which it then
/// closes.
enum IdleOutcome {
    /// It did not open. The text completes "the request …": with the response, or with the reason why there
    /// was no response.
    NotOpened(String),
    /// It stayed open until the server closed it.
    Closed,
    /// It was lost after this time, before the server closed it.
    Lost(Duration),
    /// The server refused it: it has an older version, or the signature is wrong, which another check
    /// reports.
    Refused,
}

/// Checks that a WebSocket opens, and stays open while it is as silent as a listener's can be. Takes
/// [`DOCTOR_IDLE_SOCKET_TIME`].
pub(crate) async fn check_idle_socket(
    client: &Client,
    url: &PublicUrl,
    key: &SigningKey,
) -> Option<Finding> {
    judge_idle_socket(&hold_idle_socket(client, url, key).await)
}

async fn hold_idle_socket(client: &Client, url: &PublicUrl, key: &SigningKey) -> IdleOutcome {
    let wait_max = DOCTOR_IDLE_SOCKET_TIME + DOCTOR_WAIT_MAX;
    let request = upgrade_request(client, url, SILENT_MEDIA_PATH, Some(key)).timeout(wait_max);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return IdleOutcome::NotOpened(format!("fails ({})", root_cause(error))),
    };
    let (status, by) = (response.status(), server_suffix(response.headers()));
    if status == StatusCode::FORBIDDEN {
        return IdleOutcome::Refused;
    }
    let Ok(mut socket) = response.upgrade().await else {
        return IdleOutcome::NotOpened(format!("is answered {}{by}", status.as_u16()));
    };
    let opened = clock::now();
    // The first byte belongs to the server's close frame.
    let read = timeout(wait_max, socket.read_u8()).await;
    let open_for = clock::now() - opened;
    match read {
        Ok(Ok(_)) => IdleOutcome::Closed,
        Ok(Err(_)) | Err(_) => IdleOutcome::Lost(open_for),
    }
}

fn judge_idle_socket(silence: &IdleOutcome) -> Option<Finding> {
    let seconds = DOCTOR_IDLE_SOCKET_TIME.as_secs();
    match silence {
        IdleOutcome::Refused => None,
        IdleOutcome::NotOpened(instead) => Some(Finding::failure(
            WEBSOCKETS_PART,
            format!("the server accepts a WebSocket, but the request {instead}"),
            "turn off response buffering in the proxy. Caddy: remove buffer_responses and \
             response_buffers; nginx: proxy_buffering off",
        )),
        IdleOutcome::Lost(open_for) => Some(Finding::failure(
            PROXY_PART,
            format!(
                "a WebSocket that is silent for {seconds} s is closed (after {} s)",
                open_for.as_secs()
            ),
            "nginx: proxy_read_timeout 1h; proxy_send_timeout 1h. Caddy: remove \
             read_timeout from transport http, and stream_timeout",
        )),
        IdleOutcome::Closed => Some(Finding::ok(
            PROXY_PART,
            format!("a WebSocket stays open through {seconds} s of silence"),
        )),
    }
}

/// Returns how to configure the proxy that sent these headers to pass WebSocket upgrades.
fn upgrade_advice(headers: &HeaderMap) -> &'static str {
    let server = header_text(headers, "server").to_lowercase();
    if server.contains("nginx") || server.contains("openresty") {
        "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header \
         Connection \"upgrade\"; proxy_read_timeout 1h"
    } else if server.contains("apache") {
        "Apache: run a2enmod proxy_wstunnel, and add upgrade=websocket at the end of ProxyPass"
    } else if server.contains("cloudflare") {
        "Cloudflare: turn WebSockets on under Network"
    } else {
        "configure the proxy to pass the headers Upgrade and Connection: nginx needs \
         proxy_http_version 1.1 and two proxy_set_header lines, Apache needs upgrade=websocket; \
         Caddy, Traefik and HAProxy pass them by default"
    }
}

/// Returns ` (by SERVER)` if the response names its server, otherwise an empty string.
fn server_suffix(headers: &HeaderMap) -> String {
    match header_text(headers, "server") {
        "" => String::new(),
        server => format!(" (by {})", server.chars().take(40).collect::<String>()),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Returns the code of an error in this program's format; otherwise an empty string.
fn error_code(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Sends a request and reads the response, about [`DOCTOR_ANSWER_BYTES_MAX`] of its body at most; the root
/// cause as text if there is no response.
async fn send_request(request: RequestBuilder) -> Result<ProbeResponse, String> {
    let began = clock::now();
    let mut response = request.send().await.map_err(root_cause)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    // An opened WebSocket has no body.
    while status != StatusCode::SWITCHING_PROTOCOLS
        && body.len() < DOCTOR_ANSWER_BYTES_MAX
        && let Some(piece) = response.chunk().await.map_err(root_cause)?
    {
        body.extend_from_slice(&piece);
    }
    Ok(ProbeResponse {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        elapsed_ms: (clock::now() - began).as_millis(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::findings::CheckVerdict;

    #[test]
    fn a_proxy_that_breaks_websockets_gets_advice_for_its_configuration() {
        let well = judge_idle_socket(&IdleOutcome::Closed).unwrap();
        assert_eq!(well.verdict, CheckVerdict::Ok);
        assert_eq!(judge_idle_socket(&IdleOutcome::Refused), None);
        for (silence, advice) in [
            (
                IdleOutcome::Lost(Duration::from_secs(5)),
                "proxy_read_timeout",
            ),
            (
                IdleOutcome::NotOpened("is answered 200 (by Caddy)".to_owned()),
                "buffer_responses",
            ),
        ] {
            let finding = judge_idle_socket(&silence).unwrap();
            assert_eq!(finding.verdict, CheckVerdict::Failure);
            assert!(
                finding.advice.unwrap().contains(advice),
                "{}",
                finding.found
            );
        }
    }

    #[test]
    fn a_proxy_that_forwards_no_client_address_gets_advice_which_header() {
        let url: PublicUrl = "https://calls.example.org".parse().unwrap();
        for (forwarded_claim, verdict, words) in [
            ("client", CheckVerdict::Ok, ""),
            ("unbelieved", CheckVerdict::Warning, "TRUSTED_PROXIES"),
            ("nothing", CheckVerdict::Warning, "X-Forwarded-For"),
        ] {
            let found = check_client_address(&url, forwarded_claim).unwrap();
            assert_eq!(found.verdict, verdict, "{forwarded_claim}");
            assert!(
                found.advice.unwrap_or_default().contains(words),
                "{forwarded_claim}"
            );
        }
        assert_eq!(check_client_address(&url, ""), None, "an older server");
        let own: PublicUrl = "http://localhost:4000".parse().unwrap();
        assert_eq!(
            check_client_address(&own, "nothing"),
            None,
            "no proxy is in front"
        );
    }
}
