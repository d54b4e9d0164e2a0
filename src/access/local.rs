//! A server that only its own machine reaches: the two secrets that open it, and which requests come
//! from this machine itself. Pure: no I/O.
//!
//! Without users, the page and the API open to the *page key*, which the link of the server's start
//! carries. Without a Twilio account, Twilio's routes open to the *simulator key*, which `callburner
//! replay` sends. Both count only in requests that come straight from this machine: a proxy on it,
//! however it is set up, lets nobody in.

use core::net::IpAddr;
use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName};
use axum_extra::extract::CookieJar;

use super::origin;
use super::secret::{Secret, SecretHash};
use crate::limits;

/// Where the page of the printed link is. The secret follows as the fragment, which browsers send to
/// no server.
const OPEN_PATH: &str = "/open#";

/// How the cookie's name begins; what follows tells this server's cookie from that of another one on
/// this machine, since cookies know no ports.
const COOKIE_PREFIX: &str = "callburner-open-";

/// Bytes of the key's hash that the cookie's name has: they tell servers apart, and tell nothing of
/// 256 bits.
const COOKIE_HASH_BYTES: usize = 4;

/// Headers of proxies, beside those that begin with [`PROXY_PREFIXES`].
const PROXY_HEADERS: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "true-client-ip",
    "fastly-client-ip",
];

/// How further headers of proxies begin.
const PROXY_PREFIXES: [&str; 4] = ["x-forwarded-", "cf-", "x-envoy-", "fly-"];

/// The secrets of a server that only its own machine reaches.
#[derive(Debug, Clone)]
pub struct LocalKeys {
    /// Opens the page and the API while there are no users.
    pub page: Secret,
    /// Opens Twilio's routes while there is no account.
    pub simulator: Secret,
}

impl LocalKeys {
    /// New ones, which nobody has yet.
    pub fn random() -> Self {
        Self {
            page: Secret::random(),
            simulator: Secret::random(),
        }
    }
}

/// The page key, and how it travels.
#[derive(Debug, Clone)]
pub struct PageKey {
    key: Secret,
    hash: SecretHash,
}

impl PageKey {
    /// Of this secret.
    pub fn new(key: Secret) -> Self {
        let hash = key.hash();
        Self { key, hash }
    }

    /// The link as it is printed, for a server that is reached at `base_url`.
    pub fn format_link(&self, base_url: &str) -> String {
        let base = base_url.trim_end_matches('/');
        format!("{base}{OPEN_PATH}{}", self.key.expose())
    }

    /// Whether `text` is the key.
    pub fn matches(&self, text: &str) -> bool {
        Secret::parse(text).is_some_and(|secret| secret.matches_hash(&self.hash))
    }

    /// Whether a request carries the key in its cookie.
    pub fn is_in_cookie(&self, headers: &HeaderMap) -> bool {
        let jar = CookieJar::from_headers(headers);
        jar.get(&self.cookie_name())
            .is_some_and(|cookie| self.matches(cookie.value()))
    }

    /// The value of `Set-Cookie` that opens a browser. It lasts as long as a session may.
    pub fn set_cookie_value(&self) -> String {
        format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax",
            self.cookie_name(),
            self.key.expose(),
            limits::SESSION_AGE_MAX.as_secs()
        )
    }

    /// The cookie's name.
    pub fn cookie_name(&self) -> String {
        let mut name = COOKIE_PREFIX.to_owned();
        for byte in &self.hash[..COOKIE_HASH_BYTES] {
            write!(name, "{byte:02x}").expect("a String takes any text");
        }
        name
    }
}

/// Whether a request came through a proxy, by what proxies write into it. A proxy that writes nothing
/// cannot be told.
pub fn has_proxy_headers(headers: &HeaderMap) -> bool {
    let of_proxy = |name: &HeaderName| {
        let name = name.as_str();
        PROXY_HEADERS.contains(&name) || PROXY_PREFIXES.iter().any(|p| name.starts_with(p))
    };
    headers.keys().any(of_proxy)
}

/// Whether a request comes from this machine itself, and from no page but this server's: from a
/// loopback address, to a host that needs no name server, through no proxy that says so.
pub fn is_local_request(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback()
        && origin::is_host_rebinding_safe(headers)
        && origin::is_same_origin(headers, None)
        && !has_proxy_headers(headers)
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
    fn only_a_request_straight_from_this_machine_counts() {
        let here = ("host", "127.0.0.1:4000");
        let local = IpAddr::from([127, 0, 0, 1]);
        assert!(is_local_request(local, &headers(&[here])));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(is_local_request(mapped, &headers(&[here])));
        let own = ("origin", "http://127.0.0.1:4000");
        assert!(is_local_request(local, &headers(&[here, own])));

        let far: IpAddr = "192.0.2.7".parse().unwrap();
        assert!(!is_local_request(far, &headers(&[here])));
        let rebound = headers(&[("host", "rebound.example:4000")]);
        assert!(!is_local_request(local, &rebound));
        for foreign in [
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert!(!is_local_request(local, &headers(&[here, foreign])));
        }
    }

    #[test]
    fn every_header_of_a_proxy_is_known() {
        let here = ("host", "127.0.0.1:4000");
        let local = IpAddr::from([127, 0, 0, 1]);
        for name in [
            "Forwarded",
            "Via",
            "X-Real-IP",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Server",
            "CF-Connecting-IP",
            "CF-Ray",
            "True-Client-IP",
        ] {
            let headers = headers(&[here, (name, "x")]);
            assert!(has_proxy_headers(&headers), "{name}");
            assert!(!is_local_request(local, &headers), "{name}");
        }
    }

    #[test]
    fn the_page_key_is_in_the_link_and_in_the_cookie_of_this_server_alone() {
        let key = PageKey::new(Secret::random());
        let link = key.format_link("http://127.0.0.1:4000/");
        let (page, secret) = link.split_once('#').unwrap();
        assert_eq!(page, "http://127.0.0.1:4000/open");
        assert!(key.matches(secret) && !key.matches("") && !key.matches(Secret::random().expose()));

        let told = key.set_cookie_value();
        let (cookie, attributes) = told.split_once("; ").unwrap();
        let attributes_wanted = "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax";
        assert_eq!(attributes, attributes_wanted);
        let sent = |cookie: &str| key.is_in_cookie(&headers(&[("cookie", cookie)]));
        assert!(sent(cookie) && sent(&format!("callburner=x; {cookie}")));
        let other = PageKey::new(Secret::random());
        assert_ne!(other.cookie_name(), key.cookie_name());
        assert!(!other.is_in_cookie(&headers(&[("cookie", cookie)])));
        assert!(!sent(&format!("{}=guess", key.cookie_name())));
    }
}
