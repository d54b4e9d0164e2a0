//! Sessions of browsers: their lifetime, and their cookies. Pure: no I/O.
//!
//! A session ends at the earlier of [`limits::SESSION_IDLE_MAX`] after its last use and
//! [`limits::SESSION_AGE_MAX`] after its start. Signing in starts a new session and ends the
//! browser's previous one, so that a cookie that an attacker planted before the sign-in is
//! worthless afterwards (session fixation).

use axum::http::{HeaderMap, Uri};
use axum_extra::extract::CookieJar;

use super::secret::Secret;
use crate::clock::UtcTime;
use crate::limits;

/// Whether a session is valid at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionValidity {
    /// The session is valid.
    Valid,
    /// The session is valid, and its last use should be stored now. Storing every use would add a
    /// write to every read.
    ValidButStale,
    /// The session has ended.
    Expired,
}

/// Returns the validity `now` of a session that was created and last used at the given times.
pub fn session_validity(created_at: UtcTime, used_at: UtcTime, now: UtcTime) -> SessionValidity {
    let idle = now.since(used_at);
    if now.since(created_at) >= limits::SESSION_AGE_MAX || idle >= limits::SESSION_IDLE_MAX {
        SessionValidity::Expired
    } else if idle >= limits::SESSION_TOUCH_INTERVAL {
        SessionValidity::ValidButStale
    } else {
        SessionValidity::Valid
    }
}

/// Reports whether a confirmation of the user's identity at `confirmed_at` is recent enough `now`
/// for sensitive actions. Setting the clock back does not prolong it.
pub fn is_confirmation_recent(confirmed_at: UtcTime, now: UtcTime) -> bool {
    let age = now.since(confirmed_at).max(confirmed_at.since(now));
    age < limits::CONFIRMATION_AGE_MAX
}

/// The cookies that carry the secrets of a session and of a known browser.
///
/// Over https the session's cookie is `__Host-callburner; Secure`: browsers accept it only from
/// this host, not from a neighbour under the same domain
/// (<https://www.rfc-editor.org/rfc/rfc6265bis#section-4.1.3.2>). Over http, which is meant for
/// this machine only, they refuse that name, and it is a plain `callburner`; other servers on other
/// ports of this machine then receive it, because cookies do not distinguish ports.
///
/// `SameSite=Lax` rather than `Strict`, so that a user who follows a link from elsewhere is signed
/// in; [`origin`](super::origin) protects requests that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookiePolicy {
    is_secure: bool,
}

impl CookiePolicy {
    /// Creates the policy of a server at `public_base_url`; `None` for a local-only server.
    pub fn of(public_base_url: Option<&Uri>) -> Self {
        let is_secure = public_base_url.and_then(Uri::scheme_str) == Some("https");
        Self { is_secure }
    }

    /// Returns the name of the session's cookie.
    pub fn name(self) -> &'static str {
        if self.is_secure {
            "__Host-callburner"
        } else {
            "callburner"
        }
    }

    /// Formats the `Set-Cookie` value that starts a session.
    pub fn session_cookie(self, secret: &Secret) -> String {
        self.format_cookie(
            self.name(),
            secret.expose(),
            limits::SESSION_AGE_MAX.as_secs(),
        )
    }

    /// Formats the `Set-Cookie` value that clears the session's cookie.
    pub fn clearing_cookie(self) -> String {
        self.format_cookie(self.name(), "", 0)
    }

    /// Reads the session's secret from a request; `None` when it is missing or malformed.
    pub fn read_session_secret(self, headers: &HeaderMap) -> Option<Secret> {
        read_secret(headers, self.name())
    }

    /// Returns the name of the cookie that identifies a browser that has signed in before. It
    /// authenticates no one: see [`sign_in_rate_limit`](super::sign_in_rate_limit).
    pub fn browser_cookie_name(self) -> &'static str {
        if self.is_secure {
            "__Host-callburner-browser"
        } else {
            "callburner-browser"
        }
    }

    /// Formats the `Set-Cookie` value that identifies a known browser.
    pub fn browser_cookie(self, secret: &Secret) -> String {
        let seconds = limits::KNOWN_BROWSER_AGE_MAX.as_secs();
        self.format_cookie(self.browser_cookie_name(), secret.expose(), seconds)
    }

    /// Reads the browser's secret from a request; `None` when it is missing or malformed.
    pub fn read_browser_secret(self, headers: &HeaderMap) -> Option<Secret> {
        read_secret(headers, self.browser_cookie_name())
    }

    fn format_cookie(self, name: &str, value: &str, seconds: u64) -> String {
        let is_secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{is_secure}")
    }
}

fn read_secret(headers: &HeaderMap, name: &str) -> Option<Secret> {
    Secret::parse(CookieJar::from_headers(headers).get(name)?.value())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header;

    use super::*;

    #[test]
    fn a_session_ends_when_it_is_left_and_when_it_is_old() {
        let start = UtcTime::from_millis(1_800_000_000_000);
        let at = |time: Duration| start.plus(time);
        let before = |time: Duration| at(time).minus(Duration::from_millis(1));
        let validity = |used, now| session_validity(start, used, now);
        let touch = limits::SESSION_TOUCH_INTERVAL;
        assert_eq!(validity(start, start), SessionValidity::Valid);
        assert_eq!(validity(start, before(touch)), SessionValidity::Valid);
        assert_eq!(validity(start, at(touch)), SessionValidity::ValidButStale);
        let idle = limits::SESSION_IDLE_MAX;
        assert_eq!(
            validity(at(touch), before(touch + idle)),
            SessionValidity::ValidButStale
        );
        assert_eq!(
            validity(at(touch), at(touch + idle)),
            SessionValidity::Expired
        );
        let age = limits::SESSION_AGE_MAX;
        assert_eq!(validity(before(age), before(age)), SessionValidity::Valid);
        assert_eq!(validity(before(age), at(age)), SessionValidity::Expired);
    }

    #[test]
    fn a_clock_that_was_set_back_ends_no_session() {
        let start = UtcTime::from_millis(1_800_000_000_000);
        let before = start.minus(Duration::from_hours(1));
        assert_eq!(
            session_validity(start, start, before),
            SessionValidity::Valid
        );
    }

    #[test]
    fn a_proof_is_good_for_minutes_whichever_way_the_clock_was_set() {
        let start = UtcTime::from_millis(1_800_000_000_000);
        let max = limits::CONFIRMATION_AGE_MAX;
        let almost = max.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(is_confirmation_recent(start, start));
        assert!(is_confirmation_recent(start, start.plus(almost)));
        assert!(!is_confirmation_recent(start, start.plus(max)));
        assert!(is_confirmation_recent(start, start.minus(almost)));
        assert!(!is_confirmation_recent(start, start.minus(max)));
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let secret = Secret::random();
        let text = secret.expose();
        let public: Uri = "https://calls.example.org".parse().unwrap();
        let age = limits::SESSION_AGE_MAX.as_secs();
        assert_eq!(
            CookiePolicy::of(Some(&public)).session_cookie(&secret),
            format!(
                "__Host-callburner={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax; Secure"
            )
        );
        let plain = format!("callburner={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax");
        let public: Uri = "http://calls.example.org".parse().unwrap();
        assert_eq!(
            CookiePolicy::of(Some(&public)).session_cookie(&secret),
            plain
        );
        assert_eq!(CookiePolicy::of(None).session_cookie(&secret), plain);
        let age = limits::KNOWN_BROWSER_AGE_MAX.as_secs();
        assert_eq!(
            CookiePolicy::of(None).browser_cookie(&secret),
            format!("callburner-browser={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax")
        );
        assert_eq!(
            CookiePolicy::of(None).clearing_cookie(),
            "callburner=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let secret = Secret::random();
        let policy = CookiePolicy::of(None);
        let read = |cookies: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookies.parse().unwrap());
            policy
                .read_session_secret(&headers)
                .map(|secret| secret.hash())
        };
        let text = secret.expose();
        let found = Some(secret.hash());
        assert_eq!(read(&format!("a=1; callburner={text}; b=2")), found);
        assert_eq!(read(&format!("__Host-callburner={text}")), None);
        assert_eq!(read("callburner=guess"), None);
        assert_eq!(
            policy
                .read_session_secret(&HeaderMap::new())
                .map(|s| s.hash()),
            None
        );
    }
}
