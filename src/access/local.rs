//! Local-only servers: the two secrets that authenticate their clients, and the check that a
//! request comes from this machine. Pure: no I/O.
//!
//! Without users, the page and the API accept the *page key*, which the link that the server prints
//! at its start contains. Without a Twilio account, Twilio's routes accept the *simulator key*,
//! which `callburner replay` sends. Both count only in requests that come directly from this
//! machine: a proxy on it gives no access, however it is configured.

use core::net::IpAddr;
use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName};
use axum_extra::extract::CookieJar;

use super::origin;
use super::secret::{Secret, SecretHash};
use crate::limits;

/// The path of the page that the printed link opens. The secret follows as the fragment, which
/// browsers send to no server.
const OPEN_PATH: &str = "/open#";

/// The prefix of the cookie's name. The rest distinguishes this server's cookie from those of other
/// servers on this machine, because cookies do not distinguish ports.
const COOKIE_PREFIX: &str = "callburner-open-";

/// The number of bytes of the key's hash in the cookie's name: enough to distinguish servers, and
/// too few to reveal anything of 256 bits.
const COOKIE_HASH_BYTES: usize = 4;

/// Headers that proxies add, beside those that start with [`PROXY_PREFIXES`].
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

/// Prefixes of further headers that proxies add.
const PROXY_PREFIXES: [&str; 4] = ["x-forwarded-", "cf-", "x-envoy-", "fly-"];

/// The secrets of a local-only server.
#[derive(Debug, Clone)]
pub struct LocalKeys {
    /// Authenticates for the page and the API while there are no users.
    pub page: Secret,
    /// Authenticates for Twilio's routes while there is no account.
    pub simulator: Secret,
}

impl LocalKeys {
    /// Generates new keys.
    pub fn random() -> Self {
        Self {
            page: Secret::random(),
            simulator: Secret::random(),
        }
    }
}

/// The page key, its link and its cookie.
#[derive(Debug, Clone)]
pub struct PageKey {
    key: Secret,
    hash: SecretHash,
}

impl PageKey {
    /// Creates the page key from its secret.
    pub fn new(key: Secret) -> Self {
        let hash = key.hash();
        Self { key, hash }
    }

    /// Formats the link to print, for a server at `base_url`.
    pub fn format_link(&self, base_url: &str) -> String {
        let base = base_url.trim_end_matches('/');
        format!("{base}{OPEN_PATH}{}", self.key.expose())
    }

    /// Reports whether `text` is the key.
    pub fn matches(&self, text: &str) -> bool {
        Secret::parse(text).is_some_and(|secret| secret.matches_hash(&self.hash))
    }

    /// Reports whether a request has the key in its cookie.
    pub fn is_in_cookie(&self, headers: &HeaderMap) -> bool {
        let jar = CookieJar::from_headers(headers);
        jar.get(&self.cookie_name())
            .is_some_and(|cookie| self.matches(cookie.value()))
    }

    /// Formats the `Set-Cookie` value that stores the key in a browser, for as long as the longest
    /// session.
    pub fn set_cookie_value(&self) -> String {
        format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax",
            self.cookie_name(),
            self.key.expose(),
            limits::SESSION_AGE_MAX.as_secs()
        )
    }

    /// Returns the cookie's name.
    pub fn cookie_name(&self) -> String {
        let mut name = COOKIE_PREFIX.to_owned();
        for byte in &self.hash[..COOKIE_HASH_BYTES] {
            write!(name, "{byte:02x}").expect("writing to a String cannot fail");
        }
        name
    }
}

/// Reports whether a request has a header that proxies add. Proxies that add no header are not detected.
pub fn has_proxy_headers(headers: &HeaderMap) -> bool {
    let of_proxy = |name: &HeaderName| {
        let name = name.as_str();
        PROXY_HEADERS.contains(&name) || PROXY_PREFIXES.iter().any(|p| name.starts_with(p))
    };
    headers.keys().any(of_proxy)
}

/// Reports whether a request comes from this machine, and not from another server's page: from a
/// loopback address, to a host name that needs no DNS, without the headers of a proxy.
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
