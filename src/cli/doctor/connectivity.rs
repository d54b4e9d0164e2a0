//! Looks at the server's doors: the port, and the way from the public address to it. Where no server
//! runs, something stands in for it meanwhile, so that proxies and tunnels have what to lead to.

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

/// Where a large body is sent, that says nothing.
const BODY_PATH: &str = "/api/streams/status";

/// The code of a media socket that was not signed, by the lights of whoever answered.
const BAD_SIGNATURE: &str = "bad_signature";

/// The code of a media socket at a server without an account.
const NO_ACCOUNT: &str = "no_account";

/// Who listens at the port.
#[derive(Debug, Clone)]
pub(crate) enum PortOwner {
    /// A server that runs.
    Server,
    /// The stand-in, and whether anybody has been there.
    Stub(Arc<AtomicBool>),
    /// Somebody else, or nobody.
    Nobody,
}

/// An answer, as far as it tells anything.
struct ProbeResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    elapsed_ms: u128,
}

/// A client that looks at each answer itself, asks in a connection of its own each time, and speaks
/// HTTP/1.1, in which sockets are opened.
pub(crate) fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("callburner-doctor/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(DOCTOR_WAIT_MAX)
        .http1_only()
        .pool_max_idle_per_host(0)
        .build()
}

/// Whether the port can be had, and who listens there from now on.
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
        (found, "end it, or set PORT to another")
    } else if kind == io::ErrorKind::PermissionDenied {
        let found = format!("this user may not listen at {address}");
        (found, "set PORT to one above 1023")
    } else {
        let found = format!("{address} cannot be listened at ({error})");
        (found, "set HOST to an address of this machine")
    };
    (Finding::failure(PART, found, advice), PortOwner::Nobody)
}

/// Serves what the doctor asks for, in the server's own shapes.
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
            "callburner doctor stands in for the server here",
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
        // Whoever is still there at the end is not waited for.
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

/// `/healthz` of this program: its word, and a request id.
fn is_healthz(response: &ProbeResponse) -> bool {
    response.status == StatusCode::OK
        && response.body == "ok"
        && response.headers.contains_key("x-request-id")
}

/// Whether the world's way leads here, and whether sockets pass.
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
            // Without one the server refuses before it has read all.
            if let Some(key) = key {
                findings.push(check_body_limit(client, url, key).await);
            }
        }
    }
    findings
}

/// Whether the name leads to an address, and to one that Twilio can call.
async fn resolve_host(url: &PublicUrl) -> (Finding, bool) {
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
            return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
        }
        Err(_) => {
            let found = format!("nobody says in time what address {host} has");
            return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
        }
    };
    let shown: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    let shown = format!("{host} is at {}", shown.join(", "));
    if found.iter().all(|address| is_private(*address)) {
        let advice = "Twilio cannot call a private address: if it resolves to another one outside, \
                      all is well";
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

/// Whether `/healthz` is reached by the public address.
async fn check_reachable(
    client: &Client,
    url: &PublicUrl,
    port_owner: &PortOwner,
) -> (Finding, bool) {
    let address = url.https_url("/healthz");
    let response = match send_request(client.get(&address)).await {
        Ok(response) => response,
        Err(reason) => {
            let advice = "check that the proxy or tunnel runs, its certificate, and the firewall";
            let found = format!("{address} cannot be reached ({reason})");
            return (Finding::failure(PUBLIC_ADDRESS_PART, found, advice), false);
        }
    };
    let status = response.status.as_u16();
    if response.status.is_redirection() {
        let to = header_text(&response.headers, header::LOCATION.as_str());
        let found = format!("{address} redirects to {to}");
        let advice = "set PUBLIC_BASE_URL to where it leads in the end: Twilio signs the address \
                      that it was told";
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
            "the proxy does not reach this server: check the address and PORT that it passes to",
        ),
        _ if !is_healthz(&response) => wrong(
            format!(
                "{address} answers {status}{}, and is no CallBurner server",
                server_suffix(&response.headers)
            ),
            "have the proxy pass everything below PUBLIC_BASE_URL to this server, without the path \
             of PUBLIC_BASE_URL itself",
        ),
        PortOwner::Stub(visited) if !visited.load(Ordering::Relaxed) => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel at this machine and PORT",
        ),
        PortOwner::Nobody => wrong(
            format!("{address} leads to another CallBurner server"),
            "point the proxy or tunnel at this machine and PORT",
        ),
        PortOwner::Stub(_) | PortOwner::Server => {
            let found = format!("{address} leads here, in {} ms", response.elapsed_ms);
            (Finding::ok(PUBLIC_ADDRESS_PART, found), true)
        }
    }
}

/// A media socket that no call expects, signed as Twilio would.
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

/// Whether a media socket passes; and what the server was told of the client.
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
            let advice = "check the proxy's time limits and rules for WebSockets";
            let found = format!("a WebSocket breaks on its way ({reason})");
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
            "WebSockets pass, and the server takes these settings' signature",
        ),
        (403, BAD_SIGNATURE) if has_key && matches!(port_owner, PortOwner::Stub(_)) => failure(
            "WebSockets pass, but without X-Twilio-Signature".to_owned(),
            "have the proxy pass that header",
        ),
        (403, BAD_SIGNATURE) if has_key => failure(
            "WebSockets pass, but the running server does not take these settings' signature"
                .to_owned(),
            "restart the server with these settings; if it has them, the proxy takes \
             X-Twilio-Signature away",
        ),
        (403, NO_ACCOUNT) if has_key => failure(
            "WebSockets pass, but the running server has no Twilio account".to_owned(),
            "restart it with these settings",
        ),
        (403, NO_ACCOUNT) => Finding::ok(
            WEBSOCKETS_PART,
            "WebSockets pass; Twilio's are refused until an account is set",
        ),
        (101, _) => failure(
            "the running server takes media sockets without a signature".to_owned(),
            "restart it with these settings, and with this version of callburner",
        ),
        (403, NOT_EXPECTED_CODE | BAD_SIGNATURE) => Finding::ok(WEBSOCKETS_PART, "WebSockets pass"),
        (400 | 426, _) => failure(
            format!(
                "WebSockets do not pass{}: Upgrade is taken away",
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

/// Whether the server is told who the client is, where a proxy is in front of it: TLS ends there.
fn check_client_address(url: &PublicUrl, forwarded_claim: &str) -> Option<Finding> {
    if !url.https_url("").starts_with("https:") {
        return None;
    }
    let warning = |found: &str, advice: &str| Some(Finding::warning(PROXY_PART, found, advice));
    match forwarded_claim {
        "client" => Some(Finding::ok(
            PROXY_PART,
            "it says who the client is, and is believed",
        )),
        "unbelieved" => warning(
            "it says who the client is, but is not among TRUSTED_PROXIES: everyone's sign-ins are \
             counted as the proxy's",
            "set TRUSTED_PROXIES to the address that the proxy reaches this server from, such as \
             127.0.0.1",
        ),
        "nothing" => warning(
            "it does not say who the client is: everyone's sign-ins are counted as the proxy's",
            "nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; Caddy says so by \
             itself, unless header_up takes X-Forwarded-For away",
        ),
        // A server that does not say.
        _ => None,
    }
}

/// Whether a body passes that is as long as a page may send.
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
            let found = format!("a request of {kib} KiB breaks on its way ({reason})");
            Finding::warning(PROXY_PART, found, advice)
        }
    }
}

/// What became of a socket that the server opened, said nothing in for [`DOCTOR_IDLE_SOCKET_TIME`], and closed.
enum IdleOutcome {
    /// It did not open; who answered what instead, or why nothing was answered.
    NotOpened(String),
    /// It stayed open until the server closed it.
    Closed,
    /// It was open this long, and then gone.
    Lost(Duration),
    /// The server refuses it: one of an older version, or the signature is wrong, which is said elsewhere.
    Refused,
}

/// Whether a socket opens, and stays open for as long as a listener's is silent. Takes that long.
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
        Err(error) => return IdleOutcome::NotOpened(format!("breaks ({})", root_cause(error))),
    };
    let (status, by) = (response.status(), server_suffix(response.headers()));
    if status == StatusCode::FORBIDDEN {
        return IdleOutcome::Refused;
    }
    let Ok(mut socket) = response.upgrade().await else {
        return IdleOutcome::NotOpened(format!("is answered {}{by}", status.as_u16()));
    };
    let opened = clock::now();
    // The first byte is that of the server's close.
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
            format!("the server opens a WebSocket, but it {instead}"),
            "have the proxy buffer no answers: Caddy: neither buffer_responses nor response_buffers; \
             nginx: proxy_buffering off",
        )),
        IdleOutcome::Lost(open_for) => Some(Finding::failure(
            PROXY_PART,
            format!(
                "a socket that is silent for {seconds} s is ended (after {} s)",
                open_for.as_secs()
            ),
            "nginx: proxy_read_timeout 1h; proxy_send_timeout 1h. Caddy: no read_timeout in \
             transport http, and no stream_timeout",
        )),
        IdleOutcome::Closed => Some(Finding::ok(
            PROXY_PART,
            format!("a silence of {seconds} s ends no socket"),
        )),
    }
}

/// What to tell the proxy.
fn upgrade_advice(headers: &HeaderMap) -> &'static str {
    let server = header_text(headers, "server").to_lowercase();
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

/// The code of an error in this program's shape; else empty.
fn error_code(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Asks, and reads as much of the answer as tells anything; or why there is none.
async fn send_request(request: RequestBuilder) -> Result<ProbeResponse, String> {
    let began = clock::now();
    let mut response = request.send().await.map_err(root_cause)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    // A socket that was opened says no more.
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
