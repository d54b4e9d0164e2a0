//! The page: the built client, which `build.rs` embeds in the binary, at every path without another
//! route.
//!
//! ```text
//! /assets/NAME-HASH.js      cached for a year: changed content gets another name
//! /theme.js, /icon.svg, …   revalidated with each use; 304 while unchanged
//! any other path            index.html for requests that accept HTML: the client has the routes
//! missing files below       404 as JSON
//! /api/, /assets/, …
//! ```

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use super::error::path_not_found;

/// Paths that are never pages of the client.
const NON_PAGE_PREFIXES: [&str; 5] = ["/api/", "/assets/", "/media/", "/voice/", "/ws/"];

/// The folder in which file names contain a hash of the content.
const HASHED_FOLDER: &str = "assets/";

const CACHE_IMMUTABLE: HeaderValue =
    HeaderValue::from_static("public, max-age=31536000, immutable");
const CACHE_REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Served in place of a client that was not built.
const NOT_BUILT_HTML: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>CallBurner</title>
<h1>This server was built without the page</h1>
<p>Everything except the page works. To build the page, and a server that includes it, run</p>
<pre>make client
cargo build</pre>
</html>
";

/// A file of the client, in each of its encodings.
#[derive(Debug)]
pub(crate) struct StaticFile {
    /// The path from the client's root, without a leading `/`.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// A hash of the content.
    pub(crate) content_hash: &'static str,
    /// The content without encoding.
    pub(crate) identity: &'static [u8],
    /// The content in brotli, if that is shorter.
    pub(crate) brotli: Option<&'static [u8]>,
    /// The content in gzip, if that is shorter.
    pub(crate) gzip: Option<&'static [u8]>,
}

/// The client's files; empty if the client was not built.
#[derive(Debug, Clone, Copy)]
pub struct StaticFiles(&'static [StaticFile]);

impl Default for StaticFiles {
    /// Returns the client that is embedded in this binary.
    fn default() -> Self {
        Self(include!(concat!(env!("OUT_DIR"), "/static_files.rs")))
    }
}

/// Serves the page, or 404; the router's fallback.
pub(super) async fn serve_static_file(
    State(files): State<StaticFiles>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let is_read_method = [Method::GET, Method::HEAD].contains(request.method());
    let found = files
        .find_response(path, request.headers())
        .filter(|_| is_read_method);
    found.ok_or_else(path_not_found)
}

impl StaticFiles {
    /// Creates a client from these files.
    #[cfg(test)]
    pub(crate) fn of(files: &'static [StaticFile]) -> Self {
        Self(files)
    }

    /// Returns the client's files.
    #[cfg(test)]
    pub(crate) fn files(self) -> &'static [StaticFile] {
        self.0
    }

    /// Returns the response for a path and the request's headers; `None` when there is no such
    /// file.
    fn find_response(self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let name = path.strip_prefix('/').unwrap_or(path);
        if let Some(file) = self.find_file(name) {
            return Some(file.to_response(headers));
        }
        let is_page = path == "/" || (wants_html(headers) && !is_reserved(path));
        is_page.then(|| match self.find_file("index.html") {
            Some(index) => index.to_response(headers),
            None => client_not_built_response(),
        })
    }

    fn find_file(self, name: &str) -> Option<&'static StaticFile> {
        self.0.iter().find(|file| file.path == name)
    }
}

impl StaticFile {
    /// Returns the file in the best encoding that the client accepts, or 304 if the client has it.
    fn to_response(&self, headers: &HeaderMap) -> Response {
        let (coding, bytes) = self.negotiate_encoding(headers);
        let dash = if coding.is_some() { "-" } else { "" };
        let etag = format!(
            "\"{}{dash}{}\"",
            self.content_hash,
            coding.unwrap_or_default()
        );
        let caching = if self.path.starts_with(HASHED_FOLDER) {
            CACHE_IMMUTABLE
        } else {
            CACHE_REVALIDATE
        };
        let is_cached = matches_etag(headers, &etag);
        let etag = HeaderValue::try_from(etag).expect("a hash and a coding are ASCII");
        let common_headers = [
            (header::CACHE_CONTROL, caching),
            (header::ETAG, etag),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            // Also with a 304, which sets the policy by the content type, and browsers apply its
            // headers.
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static(self.content_type),
            ),
        ];
        if is_cached {
            return (StatusCode::NOT_MODIFIED, common_headers).into_response();
        }
        let coding = coding.map(|coding| [(header::CONTENT_ENCODING, coding)]);
        match coding {
            Some(coding) => (common_headers, coding, bytes).into_response(),
            None => (common_headers, bytes).into_response(),
        }
    }

    /// Returns the name and the bytes of the shortest encoding that the client accepts.
    fn negotiate_encoding(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let forms = [("br", self.brotli), ("gzip", self.gzip)];
        let readable = forms.into_iter().find_map(|(coding, bytes)| {
            Some((coding, bytes.filter(|_| accepts_encoding(headers, coding))?))
        });
        match readable {
            Some((coding, bytes)) => (Some(coding), bytes),
            None => (None, self.identity),
        }
    }
}

/// Reports whether `Accept-Encoding` names a coding with a weight above 0
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>).
fn accepts_encoding(headers: &HeaderMap, coding: &str) -> bool {
    list_items(headers, &header::ACCEPT_ENCODING).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=");
        let refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

/// Reports whether the client has the encoding with this tag. Tags may return as weak ones, if a
/// proxy weakened them (<https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2>).
fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    list_items(headers, &header::IF_NONE_MATCH)
        .any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

/// Reports whether `Accept` names HTML, as browsers do only for pages.
fn wants_html(headers: &HeaderMap) -> bool {
    list_items(headers, &header::ACCEPT).any(|item| {
        let kind = item.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/html")
    })
}

fn is_reserved(path: &str) -> bool {
    NON_PAGE_PREFIXES
        .iter()
        .any(|prefix| path.starts_with(prefix) || path == prefix.trim_end_matches('/'))
}

/// Returns the items of a list header.
fn list_items<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn client_not_built_response() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, CACHE_REVALIDATE),
    ];
    (headers, NOT_BUILT_HTML).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: StaticFile = StaticFile {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        content_hash: "1",
        identity: b"<html>",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };
    const SCRIPT: StaticFile = StaticFile {
        path: "assets/index-BBwoW30O.js",
        content_type: "text/javascript; charset=utf-8",
        content_hash: "2",
        identity: b"run()",
        brotli: None,
        gzip: Some(b"gz"),
    };
    const PAGE: StaticFiles = StaticFiles(&[INDEX, SCRIPT]);

    /// Returns status and headers of the response to a browser that sends this header.
    fn found(path: &str, name: &'static str, value: &str) -> Option<(StatusCode, HeaderMap)> {
        let headers = [(name.parse().unwrap(), value.parse().unwrap())];
        let response = PAGE.find_response(path, &headers.into_iter().collect())?;
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
        for is_cached in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
            assert_eq!(status(is_cached), StatusCode::NOT_MODIFIED, "{is_cached}");
        }
        // Other content, another encoding, and no tag.
        for other in ["\"2\"", "\"1-br\"", "1", ""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
        let (_, brotli) = found("/", "accept-encoding", "br").unwrap();
        assert_eq!(brotli["etag"], "\"1-br\"");
    }

    #[test]
    fn only_names_with_a_hash_are_kept() {
        let caching = |path| found(path, "accept", "*/*").unwrap().1["cache-control"].clone();
        assert_eq!(caching("/assets/index-BBwoW30O.js"), CACHE_IMMUTABLE);
        assert_eq!(caching("/index.html"), CACHE_REVALIDATE);
        assert_eq!(caching("/"), CACHE_REVALIDATE);
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
        let response = StaticFiles(&[]).find_response("/", &headers).unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=utf-8"
        );
        assert!(NOT_BUILT_HTML.contains("make client"));
        assert!(
            StaticFiles(&[])
                .find_response("/assets/index-BBwoW30O.js", &headers)
                .is_none()
        );
    }
}
