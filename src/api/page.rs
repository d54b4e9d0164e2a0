//! The page: the built client, which `build.rs` put into the binary, at every path that is no
//! other door's.
//!
//! ```text
//! /assets/NAME-HASH.js      kept for a year: another content has another name
//! /theme.js, /icon.svg, …   asked for anew each time, answered with 304 while nothing changed
//! any other path            index.html for whoever wants HTML, since the client has the routes
//! /api/…, /assets/… that    404 as JSON
//! are not there
//! ```

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use super::error::nothing_here;

/// What the client never asks for as a page of its own.
const NO_PAGES: [&str; 5] = ["/api/", "/assets/", "/media/", "/voice/", "/ws/"];

/// The folder whose files have their content's hash in their names.
const HASHED: &str = "assets/";

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// Shown in place of a client that was not built.
const NOT_BUILT: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>CallBurner</title>
<h1>The page is not in this server yet</h1>
<p>Everything else works. To build the page, and a server that has it, run</p>
<pre>make client
cargo build</pre>
</html>
";

/// A file of the client.
#[derive(Debug)]
pub(crate) struct File {
    /// From the client's root on, without a `/` before it.
    pub(crate) path: &'static str,
    /// Its `Content-Type`.
    pub(crate) content_type: &'static str,
    /// Of its content: another content has another.
    pub(crate) tag: &'static str,
    /// As it is.
    pub(crate) plain: &'static [u8],
    /// As brotli, if that is shorter.
    pub(crate) brotli: Option<&'static [u8]>,
    /// As gzip, if that is shorter.
    pub(crate) gzip: Option<&'static [u8]>,
}

/// The client's files; none: it was not built.
#[derive(Debug, Clone, Copy)]
pub struct Page(&'static [File]);

impl Default for Page {
    /// The client in this binary.
    fn default() -> Self {
        Self(include!(concat!(env!("OUT_DIR"), "/page.rs")))
    }
}

/// The last door: the page, or 404.
pub(super) async fn answer(
    State(page): State<Page>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let found = page.find(path, request.headers()).filter(|_| reads);
    found.ok_or_else(nothing_here)
}

impl Page {
    /// A client of these files.
    #[cfg(test)]
    pub(crate) fn of(files: &'static [File]) -> Self {
        Self(files)
    }

    /// Its files.
    #[cfg(test)]
    pub(crate) fn files(self) -> &'static [File] {
        self.0
    }

    /// What is at a path, for whoever sends these headers.
    fn find(self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let name = path.strip_prefix('/').unwrap_or(path);
        if let Some(file) = self.file(name) {
            return Some(file.answer(headers));
        }
        let is_page = path == "/" || (wants_html(headers) && !is_reserved(path));
        is_page.then(|| match self.file("index.html") {
            Some(index) => index.answer(headers),
            None => not_built(),
        })
    }

    fn file(self, name: &str) -> Option<&'static File> {
        self.0.iter().find(|file| file.path == name)
    }
}

impl File {
    /// The form that the asker can read, or 304 if it has that one.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let (coding, bytes) = self.form(headers);
        let dash = if coding.is_some() { "-" } else { "" };
        let tag = format!("\"{}{dash}{}\"", self.tag, coding.unwrap_or_default());
        let caching = if self.path.starts_with(HASHED) {
            FOREVER
        } else {
            ASK_AGAIN
        };
        let known = has(headers, &tag);
        let tag = HeaderValue::try_from(tag).expect("a hash and a coding are ASCII");
        let always = [
            (header::CACHE_CONTROL, caching),
            (header::ETAG, tag),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            // With a 304 too: it says which policy holds, and browsers take it over.
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static(self.content_type),
            ),
        ];
        if known {
            return (StatusCode::NOT_MODIFIED, always).into_response();
        }
        let coding = coding.map(|coding| [(header::CONTENT_ENCODING, coding)]);
        match coding {
            Some(coding) => (always, coding, bytes).into_response(),
            None => (always, bytes).into_response(),
        }
    }

    /// The shortest form that the asker can read, and how that coding is called.
    fn form(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let forms = [("br", self.brotli), ("gzip", self.gzip)];
        let readable = forms
            .into_iter()
            .find_map(|(coding, bytes)| Some((coding, bytes.filter(|_| reads(headers, coding))?)));
        match readable {
            Some((coding, bytes)) => (Some(coding), bytes),
            None => (None, self.plain),
        }
    }
}

/// Whether `Accept-Encoding` names a coding, and does not refuse it
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>).
fn reads(headers: &HeaderMap, coding: &str) -> bool {
    items(headers, &header::ACCEPT_ENCODING).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=");
        let refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

/// Whether whoever asks has the form with this tag. Browsers send tags back as weak ones if a proxy
/// made them so (<https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2>).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, &header::IF_NONE_MATCH)
        .any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == tag)
}

/// Whether HTML is asked for by name, as browsers do for pages, and for pages alone.
fn wants_html(headers: &HeaderMap) -> bool {
    items(headers, &header::ACCEPT).any(|item| {
        let kind = item.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/html")
    })
}

fn is_reserved(path: &str) -> bool {
    NO_PAGES
        .iter()
        .any(|prefix| path.starts_with(prefix) || path == prefix.trim_end_matches('/'))
}

/// The items of a header that is a list.
fn items<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn not_built() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (headers, NOT_BUILT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: File = File {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        tag: "1",
        plain: b"<html>",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };
    const SCRIPT: File = File {
        path: "assets/index-BBwoW30O.js",
        content_type: "text/javascript; charset=utf-8",
        tag: "2",
        plain: b"run()",
        brotli: None,
        gzip: Some(b"gz"),
    };
    const PAGE: Page = Page(&[INDEX, SCRIPT]);

    /// What is at a path for a browser that sends this header: status, then headers.
    fn found(path: &str, name: &'static str, value: &str) -> Option<(StatusCode, HeaderMap)> {
        let headers = [(name.parse().unwrap(), value.parse().unwrap())];
        let response = PAGE.find(path, &headers.into_iter().collect())?;
        Some((response.status(), response.headers().clone()))
    }

    fn coding_for(accepted: &str) -> String {
        let (_, headers) = found("/", "accept-encoding", accepted).unwrap();
        assert_eq!(headers["vary"], "accept-encoding");
        let coding = headers.get("content-encoding");
        coding
            .map_or("none", |coding| coding.to_str().unwrap())
            .to_owned()
    }

    #[test]
    fn each_browser_gets_the_shortest_form_that_it_reads() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("GZIP", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
            ("br; q=0.000, gzip;q=0", "none"),
            ("gzip;q=0.1,br;q=0.2", "br"),
            ("identity", "none"),
            ("brotli", "none"),
            ("", "none"),
        ] {
            assert_eq!(coding_for(accepted), coding, "{accepted:?}");
        }
        let (_, script) = found("/assets/index-BBwoW30O.js", "accept-encoding", "br").unwrap();
        assert_eq!(
            script.get("content-encoding"),
            None,
            "there is no such form"
        );
    }

    #[test]
    fn what_a_browser_has_already_is_not_sent_again() {
        let status = |tags: &str| found("/", "if-none-match", tags).unwrap().0;
        assert_eq!(found("/", "accept", "*/*").unwrap().1["etag"], "\"1\"");
        for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
            assert_eq!(status(known), StatusCode::NOT_MODIFIED, "{known}");
        }
        // Another content, another form, and no tag at all.
        for other in ["\"2\"", "\"1-br\"", "1", ""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
        let (_, brotli) = found("/", "accept-encoding", "br").unwrap();
        assert_eq!(brotli["etag"], "\"1-br\"");
    }

    #[test]
    fn only_names_with_a_hash_are_kept() {
        let caching = |path| found(path, "accept", "*/*").unwrap().1["cache-control"].clone();
        assert_eq!(caching("/assets/index-BBwoW30O.js"), FOREVER);
        assert_eq!(caching("/index.html"), ASK_AGAIN);
        assert_eq!(caching("/"), ASK_AGAIN);
    }

    #[test]
    fn the_clients_routes_are_the_page_for_browsers_alone() {
        let navigation = "text/html,application/xhtml+xml,*/*;q=0.8";
        for page in [
            "/setup",
            "/calls/CA1",
            "/calls/",
            "/index.htm",
            "/apis",
            "/",
        ] {
            let (status, headers) = found(page, "accept", navigation).expect(page);
            assert_eq!(
                (status, &headers["content-type"]),
                (
                    StatusCode::OK,
                    &HeaderValue::from_static(INDEX.content_type)
                )
            );
        }
        for none in [
            "/api",
            "/api/nothing",
            "/assets/gone-1.js",
            "/ws/other",
            "/voice/x",
        ] {
            assert!(found(none, "accept", navigation).is_none(), "{none}");
        }
        for accepted in ["*/*", "application/json", "image/webp,*/*", ""] {
            assert!(
                found("/setup", "accept", accepted).is_none(),
                "{accepted:?}"
            );
            assert!(found("/", "accept", accepted).is_some(), "{accepted:?}");
        }
    }

    #[test]
    fn without_a_client_the_page_says_how_to_build_it() {
        let headers = HeaderMap::new();
        let response = Page(&[]).find("/", &headers).unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=utf-8"
        );
        assert!(NOT_BUILT.contains("make client"));
        assert!(
            Page(&[])
                .find("/assets/index-BBwoW30O.js", &headers)
                .is_none()
        );
    }
}
