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
use crate::access::proxies::Proxies;
use crate::api::probe::{self, MEDIA, NOT_EXPECTED, SILENT, TOLD};
use crate::api::{self, ApiError};
use crate::clock;
use crate::limits::{DOCTOR_ANSWER_BYTES_MAX, DOCTOR_BODY_BYTES, DOCTOR_SILENCE, DOCTOR_WAIT_MAX};
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::rest::root_cause;
use crate::twilio::signature::{HEADER, Key, sign};

const PUBLIC: &str = "public address";
pub(super) const SOCKETS: &str = "sockets";
const PROXY: &str = "proxy";

/// Where a large body is sent, that says nothing.
const BODY: &str = "/api/streams/status";

/// The code of a media socket that was not signed, by the lights of whoever answered.
const BADLY_SIGNED: &str = "bad_signature";

/// The code of a media socket at a server without an account.
const NO_ACCOUNT: &str = "no_account";

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
pub(crate) async fn port(
    client: &Client,
    address: SocketAddr,
    proxies: &Proxies,
    tasks: &Tasks,
) -> (Finding, Behind) {
    const PART: &str = "port";
    let error = match TcpListener::bind(address).await {
        Ok(listener) => {
            let behind = stand_in(listener, proxies.clone(), tasks);
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
fn stand_in(listener: TcpListener, proxies: Proxies, tasks: &Tasks) -> Behind {
    let refusal = |status, headers: &HeaderMap| {
        let is_signed = headers.contains_key(HEADER);
        let code = if is_signed {
            NOT_EXPECTED
        } else {
            BADLY_SIGNED
        };
        ApiError::new(
            status,
            code,
            "callburner doctor stands in for the server here",
        )
    };
    let refuse = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>,
                             headers: HeaderMap,
                             _: WebSocketUpgrade| {
        let told = probe::word(proxies.told(peer.ip(), &headers));
        let refusal = refusal(StatusCode::FORBIDDEN, &headers);
        ([(TOLD, HeaderValue::from_static(told))], refusal)
    };
    let open = async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(probe::stay_silent);
    let take = async move |headers: HeaderMap, _: Bytes| refusal(StatusCode::BAD_REQUEST, &headers);
    let visited = Arc::new(AtomicBool::new(false));
    let seen = visited.clone();
    let alive = async move || {
        seen.store(true, Ordering::Relaxed);
        "ok"
    };
    let routes = Router::new()
        .route("/healthz", get(alive))
        .route(MEDIA, get(refuse))
        .route(SILENT, get(open))
        .route(BODY, post(take));
    let routes = api::with_errors(routes, Metrics::default());
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
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
            let (passed, told) = socket(client, url, key, behind).await;
            findings.push(passed);
            findings.extend(client_address(url, &told));
            // Without one the server refuses before it has read all.
            if let Some(key) = key {
                findings.push(bodies(client, url, key).await);
            }
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

/// A media socket that no call expects, signed as Twilio would.
fn upgrade(client: &Client, url: &PublicUrl, path: &str, key: Option<&Key>) -> RequestBuilder {
    let asked = client
        .get(url.https(path))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        // Any 16 bytes; nothing is sent in this socket.
        .header(header::SEC_WEBSOCKET_KEY, "Y2FsbGJ1cm5lcmRvY3Rvcg==");
    match key {
        Some(key) => asked.header(HEADER, sign(key, &url.wss(path), &[])),
        None => asked,
    }
}

/// Whether a media socket passes; and what the server was told of the client.
async fn socket(
    client: &Client,
    url: &PublicUrl,
    key: Option<&Key>,
    behind: &Behind,
) -> (Finding, String) {
    match ask(upgrade(client, url, MEDIA, key)).await {
        Ok(answer) => {
            let told = text(&answer.headers, TOLD.as_str()).to_owned();
            (judge_socket(&answer, key.is_some(), behind), told)
        }
        Err(reason) => {
            let advice = "check the proxy's time limits and rules for WebSockets";
            let found = format!("a WebSocket breaks on its way ({reason})");
            (Finding::failure(SOCKETS, found, advice), String::new())
        }
    }
}

fn judge_socket(answer: &Answer, has_key: bool, behind: &Behind) -> Finding {
    let failure = |found: String, advice: &str| Finding::failure(SOCKETS, found, advice);
    let code = code(&answer.body);
    match (answer.status.as_u16(), code.as_str()) {
        (403, NOT_EXPECTED) if matches!(behind, Behind::Server) => Finding::ok(
            SOCKETS,
            "WebSockets pass, and the server takes these settings' signature",
        ),
        (403, BADLY_SIGNED) if has_key && matches!(behind, Behind::StandIn(_)) => failure(
            "WebSockets pass, but without X-Twilio-Signature".to_owned(),
            "have the proxy pass that header",
        ),
        (403, BADLY_SIGNED) if has_key => failure(
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
            SOCKETS,
            "WebSockets pass; Twilio's are refused until an account is set",
        ),
        (101, _) => failure(
            "the running server takes media sockets without a signature".to_owned(),
            "restart it with these settings, and with this version of callburner",
        ),
        (403, NOT_EXPECTED | BADLY_SIGNED) => Finding::ok(SOCKETS, "WebSockets pass"),
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

/// Whether the server is told who the client is, where a proxy is in front of it: TLS ends there.
fn client_address(url: &PublicUrl, told: &str) -> Option<Finding> {
    if !url.https("").starts_with("https:") {
        return None;
    }
    let warning = |found: &str, advice: &str| Some(Finding::warning(PROXY, found, advice));
    match told {
        "client" => Some(Finding::ok(
            PROXY,
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
async fn bodies(client: &Client, url: &PublicUrl, key: &Key) -> Finding {
    let (address, kib) = (url.https(BODY), DOCTOR_BODY_BYTES / 1024);
    let form = [("doctor".to_owned(), "x".repeat(DOCTOR_BODY_BYTES))];
    let asked = client
        .post(&address)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(HEADER, sign(key, &address, &form))
        .body(format!("{}={}", form[0].0, form[0].1));
    let advice = "nginx: client_max_body_size 1m; Caddy: request_body { max_size 1MB }, or none";
    match ask(asked).await {
        Ok(answer) if !code(&answer.body).is_empty() => {
            Finding::ok(PROXY, format!("requests of {kib} KiB pass"))
        }
        Ok(answer) => {
            let (status, by) = (answer.status.as_u16(), by(&answer.headers));
            let found = format!("a request of {kib} KiB is answered {status}{by}");
            Finding::warning(PROXY, found, advice)
        }
        Err(reason) => {
            let found = format!("a request of {kib} KiB breaks on its way ({reason})");
            Finding::warning(PROXY, found, advice)
        }
    }
}

/// What became of a socket that the server opened, said nothing in for [`DOCTOR_SILENCE`], and closed.
enum Silence {
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
pub(crate) async fn silence(client: &Client, url: &PublicUrl, key: &Key) -> Option<Finding> {
    judge_silence(&keep_silent(client, url, key).await)
}

async fn keep_silent(client: &Client, url: &PublicUrl, key: &Key) -> Silence {
    let wait_max = DOCTOR_SILENCE + DOCTOR_WAIT_MAX;
    let asked = upgrade(client, url, SILENT, Some(key)).timeout(wait_max);
    let answer = match asked.send().await {
        Ok(answer) => answer,
        Err(error) => return Silence::NotOpened(format!("breaks ({})", root_cause(error))),
    };
    let (status, by) = (answer.status(), by(answer.headers()));
    if status == StatusCode::FORBIDDEN {
        return Silence::Refused;
    }
    let Ok(mut socket) = answer.upgrade().await else {
        return Silence::NotOpened(format!("is answered {}{by}", status.as_u16()));
    };
    let opened = clock::now();
    // The first byte is that of the server's close.
    let read = timeout(wait_max, socket.read_u8()).await;
    let open = clock::now() - opened;
    match read {
        Ok(Ok(_)) => Silence::Closed,
        Ok(Err(_)) | Err(_) => Silence::Lost(open),
    }
}

fn judge_silence(silence: &Silence) -> Option<Finding> {
    let seconds = DOCTOR_SILENCE.as_secs();
    match silence {
        Silence::Refused => None,
        Silence::NotOpened(instead) => Some(Finding::failure(
            SOCKETS,
            format!("the server opens a WebSocket, but it {instead}"),
            "have the proxy buffer no answers: Caddy: neither buffer_responses nor response_buffers; \
             nginx: proxy_buffering off",
        )),
        Silence::Lost(open) => Some(Finding::failure(
            PROXY,
            format!(
                "a socket that is silent for {seconds} s is ended (after {} s)",
                open.as_secs()
            ),
            "nginx: proxy_read_timeout 1h; proxy_send_timeout 1h. Caddy: no read_timeout in \
             transport http, and no stream_timeout",
        )),
        Silence::Closed => Some(Finding::ok(
            PROXY,
            format!("a silence of {seconds} s ends no socket"),
        )),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::findings::Verdict;

    #[test]
    fn a_proxy_that_opens_no_socket_or_ends_a_silent_one_is_told_what_to_change() {
        let well = judge_silence(&Silence::Closed).unwrap();
        assert_eq!(well.verdict, Verdict::Ok);
        assert_eq!(judge_silence(&Silence::Refused), None);
        for (silence, advice) in [
            (Silence::Lost(Duration::from_secs(5)), "proxy_read_timeout"),
            (
                Silence::NotOpened("is answered 200 (by Caddy)".to_owned()),
                "buffer_responses",
            ),
        ] {
            let told = judge_silence(&silence).unwrap();
            assert_eq!(told.verdict, Verdict::Failure);
            assert!(told.advice.unwrap().contains(advice), "{}", told.found);
        }
    }

    #[test]
    fn a_proxy_that_says_nothing_of_the_client_is_told_which_header() {
        let url: PublicUrl = "https://calls.example.org".parse().unwrap();
        for (told, verdict, words) in [
            ("client", Verdict::Ok, ""),
            ("unbelieved", Verdict::Warning, "TRUSTED_PROXIES"),
            ("nothing", Verdict::Warning, "X-Forwarded-For"),
        ] {
            let found = client_address(&url, told).unwrap();
            assert_eq!(found.verdict, verdict, "{told}");
            assert!(found.advice.unwrap_or_default().contains(words), "{told}");
        }
        assert_eq!(client_address(&url, ""), None, "an older server");
        let own: PublicUrl = "http://localhost:4000".parse().unwrap();
        assert_eq!(
            client_address(&own, "nothing"),
            None,
            "no proxy is in front"
        );
    }
}
