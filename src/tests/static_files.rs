//! The page as a browser receives it from the server: the client in this binary, and the headers of every
//! response.

use super::sign_in::{TestServer, assert_refused};
use super::{HttpResponse, RunningServer, request};
use crate::api::{StaticFile, StaticFiles};

const PAGE: &str = "Accept: text/html,*/*;q=0.8\r\n";

const FILES: &[StaticFile] = &[
    StaticFile {
        path: "assets/index-BBwoW30O.js",
        content_type: "text/javascript; charset=utf-8",
        content_hash: "2",
        identity: b"run()",
        brotli: None,
        gzip: None,
    },
    StaticFile {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        content_hash: "1",
        identity: b"<!doctype html>",
        brotli: None,
        gzip: None,
    },
];

async fn server() -> RunningServer {
    RunningServer::start_with(|state| state.static_files = StaticFiles::of(FILES)).await
}

#[track_caller]
fn assert_page(answer: &HttpResponse) {
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "<!doctype html>")
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn a_browser_gets_the_page_at_each_of_the_clients_routes() {
    let server = server().await;
    for path in ["/", "/?to=%2B14155550123", "/setup", "/calls/CA1?t=4"] {
        assert_page(&server.get(path, PAGE).await);
    }
    let head = request(server.addr, "HEAD", "/", PAGE, "").await;
    let told = (
        head.status,
        head.body.as_str(),
        head.header("content-length"),
    );
    assert_eq!(told, (200, "", Some("15")));
    let tag = "If-None-Match: \"1\"\r\n";
    let again = server.get("/", tag).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some("\"1\""));
    // A browser keeps the page, and applies the policy of the 304.
    let policy = "content-security-policy";
    assert_eq!(
        again.header(policy),
        server.get("/", PAGE).await.header(policy)
    );

    let script = server.get("/assets/index-BBwoW30O.js", "").await;
    let year = "public, max-age=31536000, immutable";
    assert_eq!(script.header("cache-control"), Some(year));
}

#[tokio::test]
async fn what_is_no_page_is_a_failure_of_the_one_shape() {
    let server = server().await;
    for path in ["/api/nothing", "/assets/gone-1.js", "/ws/other"] {
        let answer = server.get(path, PAGE).await;
        assert_refused(&answer, 404, "not_found");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_refused(&server.get("/setup", "").await, 404, "not_found");
    let posted = request(server.addr, "POST", "/setup", PAGE, "").await;
    assert_refused(&posted, 404, "not_found");
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_trust_nobody_else() {
    let app = TestServer::open().await;
    for path in [
        "/",
        "/healthz",
        "/api/session",
        "/api/nothing",
        "/api/calls",
    ] {
        let answer = app.server.get(path, "").await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let permissions = answer.header("permissions-policy").unwrap();
        assert!(permissions.contains("microphone=(self)"), "{permissions}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        let is_page = policy.contains("connect-src 'self' wss://calls.example.org wss://voice-js");
        assert_eq!(is_page, path == "/", "{policy}");
        let caching = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(caching), "{path}");
    }
    // Without TLS, there is no HSTS header.
    let local = RunningServer::start().await.get("/", "").await;
    assert_eq!(local.header("strict-transport-security"), None);
}

/// With any client in this binary, or without one.
#[test]
fn the_client_in_this_binary_keeps_to_the_policy() {
    let files = StaticFiles::default().files();
    let Some(index) = files.iter().find(|file| file.path == "index.html") else {
        assert!(files.is_empty(), "a client without an index: {files:?}");
        return;
    };
    let html = std::str::from_utf8(index.identity).unwrap();
    for script in html.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap();
        assert!(
            tag.contains("src=\"/"),
            "a script of another server, or none: {tag}"
        );
        assert!(
            rest.starts_with("</script>"),
            "a script in the page: {rest}"
        );
    }
    assert!(!html.contains("<style") && !html.contains("style=\""));
    for link in html.split([' ', '>']).filter_map(|word| {
        let (name, link) = word.split_once("=\"/")?;
        ["src", "href"].contains(&name).then_some(link)
    }) {
        let name = link.trim_end_matches('"');
        assert!(
            files.iter().any(|file| file.path == name),
            "{name} is not there"
        );
    }
    let is_large = |file: &&StaticFile| {
        file.content_type.starts_with("text/javascript") && file.identity.len() > 10_000
    };
    for script in files.iter().filter(is_large) {
        let packed = [script.brotli, script.gzip];
        let saves =
            |form: Option<&[u8]>| form.is_some_and(|form| form.len() * 2 < script.identity.len());
        assert!(packed.into_iter().all(saves), "{}", script.path);
    }
}
