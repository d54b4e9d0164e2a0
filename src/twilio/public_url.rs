//! The public URL of this server, and the only place that builds URLs for Twilio. Pure: no I/O.
//!
//! Twilio signs the URL that it was given, so the URL for checking a signature must be byte-identical. Both
//! URLs are built here, and neither from a request's `Host` header.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Suffix of a webhook URL that makes Twilio retry up to three times if the connection, the response or the
/// server fails. By default Twilio retries once, and only if it could not connect. The suffix is neither sent
/// nor signed (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
pub const RETRIES: &str = "#rc=3&rp=5xx,ct,rt";

/// A validated `PUBLIC_BASE_URL`: a scheme, a host, optionally a port, and optionally a path that a proxy
/// strips before it forwards a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    is_secure: bool,
    /// Host and port as in a URL; without the port if it is the scheme's default.
    authority: String,
    /// Empty, or `/…` without a trailing `/`.
    base_path: String,
}

/// Error of [`PublicUrl::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// Not a URL, or a URL with another scheme.
    #[error("it must start with https:// or http:// and name a host")]
    NotHttp,
    /// The URL has a user, a password, a query or a fragment.
    #[error("it must have no user, password, query or fragment")]
    TooMuch,
    /// Twilio does not call hosts with an underscore.
    #[error("its host has an underscore, and Twilio does not call such hosts")]
    Underscore,
}

impl PublicUrl {
    /// Parses a URL such as `https://calls.example.org` or `https://example.org:8443/calls/`.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text.trim()).map_err(|_| PublicUrlError::NotHttp)?;
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(PublicUrlError::NotHttp),
        };
        let host = url.host_str().ok_or(PublicUrlError::NotHttp)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare {
            return Err(PublicUrlError::TooMuch);
        }
        if host.contains('_') {
            return Err(PublicUrlError::Underscore);
        }
        let port = url.port().map(|port| format!(":{port}"));
        Ok(Self {
            is_secure,
            authority: format!("{host}{}", port.unwrap_or_default()),
            base_path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the URL of a path on this server; the path and query are kept byte for byte. The scheme is
    /// `https`, or `http` if the public URL has it, which only tools on this machine can use.
    pub fn https_url(&self, path_and_query: &str) -> String {
        self.with_scheme(
            if self.is_secure { "https" } else { "http" },
            path_and_query,
        )
    }

    /// Returns [`Self::https_url`] with [`RETRIES`], for a webhook.
    pub fn https_url_with_retries(&self, path_and_query: &str) -> String {
        format!("{}{RETRIES}", self.https_url(path_and_query))
    }

    /// Returns the URL of a WebSocket on this server: `wss`, or `ws` if the public URL is `http`.
    pub fn wss_url(&self, path: &str) -> String {
        self.with_scheme(if self.is_secure { "wss" } else { "ws" }, path)
    }

    /// Returns the `Origin` that a browser sends from this server's own pages.
    pub fn origin(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    fn with_scheme(&self, scheme: &str, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!(
            "{scheme}://{}{}{slash}{path}",
            self.authority, self.base_path
        )
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_host_port_and_base_path() {
        for (base, https, wss) in [
            (
                "https://calls.example.org",
                "https://calls.example.org/voice?x=%2B1",
                "wss://calls.example.org/media/1",
            ),
            (
                " https://Calls.Example.org:443/ ",
                "https://calls.example.org/voice?x=%2B1",
                "wss://calls.example.org/media/1",
            ),
            (
                "https://example.org:8443/calls/",
                "https://example.org:8443/calls/voice?x=%2B1",
                "wss://example.org:8443/calls/media/1",
            ),
            (
                "http://localhost:4000",
                "http://localhost:4000/voice?x=%2B1",
                "ws://localhost:4000/media/1",
            ),
            (
                "https://[2001:DB8::1]:8443",
                "https://[2001:db8::1]:8443/voice?x=%2B1",
                "wss://[2001:db8::1]:8443/media/1",
            ),
            (
                "https://bücher.example",
                "https://xn--bcher-kva.example/voice?x=%2B1",
                "wss://xn--bcher-kva.example/media/1",
            ),
        ] {
            let url = PublicUrl::parse(base).unwrap();
            assert_eq!(url.https_url("/voice?x=%2B1"), https);
            assert_eq!(url.wss_url("/media/1"), wss);
        }
    }

    #[test]
    fn a_path_without_a_slash_gets_one() {
        let url = PublicUrl::parse("https://h/base").unwrap();
        assert_eq!(url.https_url("voice"), "https://h/base/voice");
        assert_eq!(url.https_url(""), "https://h/base/");
    }

    #[test]
    fn an_origin_has_no_path() {
        let url: PublicUrl = "https://h:8443/base/".parse().unwrap();
        assert_eq!(url.origin(), "https://h:8443");
        assert_eq!(url.to_string(), "https://h:8443/base");
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for (text, error) in [
            ("", PublicUrlError::NotHttp),
            ("calls.example.org", PublicUrlError::NotHttp),
            ("https://", PublicUrlError::NotHttp),
            ("wss://calls.example.org", PublicUrlError::NotHttp),
            ("https://me@calls.example.org", PublicUrlError::TooMuch),
            ("https://:pw@calls.example.org", PublicUrlError::TooMuch),
            ("https://calls.example.org?x=1", PublicUrlError::TooMuch),
            ("https://calls.example.org/#top", PublicUrlError::TooMuch),
            ("https://my_calls.example.org", PublicUrlError::Underscore),
        ] {
            assert_eq!(PublicUrl::parse(text), Err(error), "{text}");
        }
    }
}
