//! The origin of a request, by headers that pages cannot set. Pure: no I/O.
//!
//! A page of another origin can make a browser send requests to this server with their cookies
//! (CSRF), and an attacker's domain can resolve to this machine, which gives the attacker's page
//! the same host as this server (DNS rebinding). Neither may change anything, or listen to a call.

use core::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// Reports the relation of the page's origin to this server's
/// (<https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>).
const FETCH_SITE: &str = "sec-fetch-site";

/// Reports whether a request that changes something, or the upgrade of a WebSocket, comes from a
/// page of this server, or from no page: browsers always send `Origin` with those, and pages cannot
/// set it (<https://www.rfc-editor.org/rfc/rfc6455#section-10.2>). A name in `Host` is accepted
/// only if no other party's DNS can make it resolve to this machine: an IP address, `localhost`, or
/// `public_base_url`.
pub fn is_same_origin(headers: &HeaderMap, public_base_url: Option<&Uri>) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        let near = |site: &[u8]| site == b"same-origin" || site == b"none";
        return headers
            .get(FETCH_SITE)
            .is_none_or(|site| near(site.as_bytes()));
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let Some(origin) = origin.as_ref().and_then(WebOrigin::of) else {
        return false;
    };
    // `Host` has no scheme, and a proxy may have terminated TLS: the origin's scheme applies.
    host_origin(headers, &origin.scheme)
        .is_some_and(|host| host == origin && host.is_rebinding_safe())
        || public_base_url
            .and_then(WebOrigin::of)
            .is_some_and(|public| public == origin)
}

/// Reports whether the request's host cannot be made to resolve to this machine by another party's
/// DNS.
pub fn is_host_rebinding_safe(headers: &HeaderMap) -> bool {
    host_origin(headers, "http").is_some_and(|host| host.is_rebinding_safe())
}

fn host_origin(headers: &HeaderMap, scheme: &str) -> Option<WebOrigin> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    WebOrigin::of(&format!("{scheme}://{host}").parse().ok()?)
}

/// Scheme, host and port: URLs with the same three have the same origin.
#[derive(Debug, PartialEq, Eq)]
struct WebOrigin {
    scheme: String,
    host: String,
    port: u16,
}

impl WebOrigin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host()?.to_ascii_lowercase();
        Some(Self {
            scheme,
            host,
            port: uri.port_u16().unwrap_or(usual),
        })
    }

    /// Reports whether the host needs no DNS.
    fn is_rebinding_safe(&self) -> bool {
        let literal = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || literal.parse::<IpAddr>().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_strangers_name_that_points_here_is_no_page_of_ours() {
        let public: Uri = "https://calls.example.org".parse().unwrap();
        for (origin, host, ours) in [
            ("http://127.0.0.1:4000", "127.0.0.1:4000", true),
            ("http://[::1]:4000", "[::1]:4000", true),
            ("http://localhost:4000", "localhost:4000", true),
            ("http://localhost:3000", "localhost:4000", false),
            ("http://rebound.example:4000", "rebound.example:4000", false),
            ("https://calls.example.org", "calls.example.org", true),
            ("https://calls.example.org", "10.0.0.7:4000", true),
            ("http://calls.example.org", "calls.example.org", false),
            ("https://evil.example", "calls.example.org", false),
            ("null", "127.0.0.1:4000", false),
        ] {
            let headers = headers(&[("origin", origin), ("host", host)]);
            assert_eq!(is_same_origin(&headers, Some(&public)), ours, "{origin}");
        }
    }

    #[test]
    fn where_there_is_no_origin_the_browsers_word_counts() {
        let here = ("host", "127.0.0.1:4000");
        assert!(is_same_origin(&headers(&[here]), None), "no browser");
        for (site, ours) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
        ] {
            let headers = headers(&[here, (FETCH_SITE, site)]);
            assert_eq!(is_same_origin(&headers, None), ours, "{site}");
        }
    }

    #[test]
    fn a_host_beyond_dns_is_a_number_or_localhost() {
        for (host, beyond) in [
            ("127.0.0.1:4000", true),
            ("[::1]", true),
            ("LOCALHOST:5173", true),
            ("rebound.example:4000", false),
            ("localhost.rebound.example", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(
                is_host_rebinding_safe(&headers(&[("host", host)])),
                beyond,
                "{host}"
            );
        }
        assert!(!is_host_rebinding_safe(&HeaderMap::new()));
    }
}
