//! Security headers of every response: they limit the capabilities of this server's pages, and keep
//! other origins' pages from embedding them.
//!
//! The page loads scripts, styles and fonts only from this server. Other connections are limited to
//! those that the Voice SDK needs: Twilio's signalling, insights and sounds
//! (<https://www.twilio.com/docs/voice/sdks/javascript/best-practices#content-security-policy-csp>).

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::Response;

use crate::config::EndpointConfig;

/// The origins that the SDK connects to: signalling at the nearest edge, and again at the edge that
/// carries a call (<https://www.twilio.com/docs/global-infrastructure/edge-locations>); insights in
/// the account's home region. The sounds are served by this server.
const SDK_CONNECTS: &str = "\
    wss://voice-js.roaming.twilio.com wss://voice-js.ashburn.twilio.com \
    wss://voice-js.dublin.twilio.com wss://voice-js.frankfurt.twilio.com \
    wss://voice-js.sao-paulo.twilio.com wss://voice-js.singapore.twilio.com \
    wss://voice-js.sydney.twilio.com wss://voice-js.tokyo.twilio.com \
    wss://voice-js.umatilla.twilio.com wss://voice-js.ashburn-ix.twilio.com \
    wss://voice-js.frankfurt-ix.twilio.com wss://voice-js.london-ix.twilio.com \
    wss://voice-js.san-jose-ix.twilio.com wss://voice-js.singapore-ix.twilio.com \
    wss://voice-js.sydney-ix.twilio.com wss://voice-js.tokyo-ix.twilio.com \
    https://eventgw.twilio.com https://eventgw.us1.twilio.com https://eventgw.ie1.twilio.com \
    https://eventgw.au1.twilio.com";

/// The policy of every response except the page's: it is not a document, and must not be framed.
const NON_PAGE_CSP: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The browser features that the page may use. Browsers deny all others, or ask the user.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "microphone=(self), camera=(), display-capture=(), geolocation=(), payment=(), usb=()",
);

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Adds the security headers to every response of `routes`.
pub(super) fn add_security_headers(routes: Router, endpoint: &EndpointConfig) -> Router {
    let security_headers = SecurityHeaders::of(endpoint);
    routes.layer(middleware::map_response(move |response| {
        let security_headers = security_headers.clone();
        async move { security_headers.apply_to(response) }
    }))
}

/// The security headers that depend on the configuration.
#[derive(Debug, Clone)]
struct SecurityHeaders {
    /// The content security policy of the page.
    page_csp: HeaderValue,
    /// `Strict-Transport-Security`, if the server has TLS.
    hsts: Option<HeaderValue>,
}

impl SecurityHeaders {
    fn of(endpoint: &EndpointConfig) -> Self {
        let policy = HeaderValue::try_from(content_security_policy(&websocket_origins(endpoint)));
        Self {
            page_csp: policy.expect("a checked URL is ASCII"),
            hsts: hsts(endpoint),
        }
    }

    fn apply_to(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let kind = headers.get(header::CONTENT_TYPE);
        let is_html = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let policy = if is_html {
            self.page_csp.clone()
        } else {
            NON_PAGE_CSP
        };
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        headers.insert(COOP, SAME_ORIGIN);
        headers.insert(CORP, SAME_ORIGIN);
        headers.insert(PERMISSIONS_POLICY, PERMISSIONS);
        if let Some(hsts) = &self.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        response
    }
}

/// Returns `Strict-Transport-Security` for a year, if the server has TLS. Subdomains are included
/// only if the host sets `HSTS_INCLUDE_SUBDOMAINS`: they may be other machines without TLS.
fn hsts(endpoint: &EndpointConfig) -> Option<HeaderValue> {
    let is_secure = endpoint.public_url.https_url("").starts_with("https:");
    let value = if endpoint.hsts_include_subdomains {
        "max-age=31536000; includeSubDomains"
    } else {
        "max-age=31536000"
    };
    is_secure.then(|| HeaderValue::from_static(value))
}

/// Formats the policy of the page. `blob:` lets the microphone test play its recording.
fn content_security_policy(websocket_origins: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self' {websocket_origins} {SDK_CONNECTS}; \
         media-src 'self' blob:; manifest-src 'self'; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// Returns the origins of this server's WebSockets, under the page's address: not every browser
/// includes them in `'self'` (<https://github.com/w3c/webappsec-csp/issues/7>).
fn websocket_origins(endpoint: &EndpointConfig) -> String {
    if endpoint.public_base_url.is_some() {
        let origin = endpoint.public_url.origin();
        return origin.replacen("http", "ws", 1);
    }
    let port = endpoint.address.port();
    format!("ws://{} ws://localhost:{port}", endpoint.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(public: &str) -> EndpointConfig {
        EndpointConfig {
            public_base_url: Some(public.parse().unwrap()),
            public_url: public.parse().unwrap(),
            ..EndpointConfig::local(([127, 0, 0, 1], 4000).into())
        }
    }

    #[test]
    fn the_page_reaches_its_own_sockets_by_each_name_that_it_has() {
        let local = EndpointConfig::local(([127, 0, 0, 1], 4000).into());
        let six = EndpointConfig::local("[::1]:80".parse().unwrap());
        for (endpoint, sockets) in [
            (local, "ws://127.0.0.1:4000 ws://localhost:4000"),
            (six, "ws://[::1]:80 ws://localhost:80"),
            (at("https://example.org/calls/"), "wss://example.org"),
            (at("http://localhost:8080"), "ws://localhost:8080"),
        ] {
            assert_eq!(websocket_origins(&endpoint), sockets);
        }
    }

    #[test]
    fn browsers_are_told_of_tls_where_there_is_tls_and_of_other_names_if_the_host_says_so() {
        let value = |endpoint: &EndpointConfig| {
            hsts(endpoint).map(|value| value.to_str().unwrap().to_owned())
        };
        let mut secure = at("https://calls.example.org");
        assert_eq!(value(&secure).as_deref(), Some("max-age=31536000"));
        secure.hsts_include_subdomains = true;
        let all = "max-age=31536000; includeSubDomains";
        assert_eq!(value(&secure).as_deref(), Some(all));
        assert_eq!(value(&at("http://localhost:4000")), None);
    }

    #[test]
    fn the_policy_names_each_kind_once_and_no_host_for_scripts() {
        let content_security_policy = content_security_policy("wss://calls.example.org");
        let kinds: Vec<(&str, &str)> = content_security_policy
            .split("; ")
            .map(|kind| kind.split_once(' ').unwrap())
            .collect();
        let allowed = |name| {
            let all = kinds.iter().filter(|(kind, _)| *kind == name);
            let [(_, sources)] = all.collect::<Vec<_>>()[..] else {
                panic!("{name} is not there once: {content_security_policy}");
            };
            *sources
        };
        assert_eq!(allowed("default-src"), "'none'");
        for own in ["script-src", "style-src", "font-src", "manifest-src"] {
            assert_eq!(allowed(own), "'self'", "{own}");
        }
        for nothing in ["object-src", "base-uri", "frame-ancestors"] {
            assert_eq!(allowed(nothing), "'none'", "{nothing}");
        }
        let connects: Vec<&str> = allowed("connect-src").split(' ').collect();
        assert_eq!(connects[..2], ["'self'", "wss://calls.example.org"]);
        assert!(
            !content_security_policy.contains("unsafe") && !content_security_policy.contains('*'),
            "{content_security_policy}"
        );
    }
}
