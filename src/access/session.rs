//! Signed-in browsers: how long a session lasts, and the cookie that carries it. Pure: no I/O.
//!
//! A session ends a while after its last use ([`limits::SESSION_IDLE_MAX`]) and a longer while
//! after its beginning ([`limits::SESSION_AGE_MAX`]), whatever comes first. To sign in is to begin
//! a new one, and to end the one that the browser had: a cookie that someone planted before is
//! worth nothing after.

use axum::http::{HeaderMap, Uri};
use axum_extra::extract::CookieJar;

use super::secret::Secret;
use crate::clock::UtcTime;
use crate::limits;

/// What a session is worth at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is good.
    Good,
    /// It is good, and its use should be written down now. Not every request is, which would be
    /// a write for every read.
    GoodTouchIt,
    /// It is over.
    Over,
}

/// What a session that began and was last used at these times is worth `now`.
pub fn life(created_at: UtcTime, used_at: UtcTime, now: UtcTime) -> Life {
    let idle = now.since(used_at);
    if now.since(created_at) >= limits::SESSION_AGE_MAX || idle >= limits::SESSION_IDLE_MAX {
        Life::Over
    } else if idle >= limits::SESSION_TOUCH_EVERY {
        Life::GoodTouchIt
    } else {
        Life::Good
    }
}

/// Whether a proof that the user is there, made at `confirmed_at`, is recent enough `now` for what
/// is sensitive. A clock that was set back makes no proof last longer.
pub fn is_confirmed(confirmed_at: UtcTime, now: UtcTime) -> bool {
    let age = now.since(confirmed_at).max(confirmed_at.since(now));
    age < limits::CONFIRMATION_AGE_MAX
}

/// How the session's secret travels.
///
/// Over https the cookie is `__Host-callburner; Secure`: browsers then take it from this very host
/// alone, not from a neighbour under the same domain
/// (<https://www.rfc-editor.org/rfc/rfc6265bis#section-4.1.3.2>). Over http, which is for this
/// machine, they refuse that name, and it is a plain `callburner`; other servers on other ports of
/// this machine see it then, as cookies know no ports.
///
/// `SameSite=Lax` rather than `Strict`, so that a link from elsewhere finds one signed in; requests
/// that change something are guarded by [`origin`](super::origin).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookiePolicy {
    secure: bool,
}

impl CookiePolicy {
    /// For a server that the world reaches at `public_base_url`.
    pub fn of(public_base_url: Option<&Uri>) -> Self {
        let secure = public_base_url.and_then(Uri::scheme_str) == Some("https");
        Self { secure }
    }

    /// The cookie's name.
    pub fn name(self) -> &'static str {
        if self.secure {
            "__Host-callburner"
        } else {
            "callburner"
        }
    }

    /// The value of `Set-Cookie` that begins a session.
    pub fn set(self, secret: &Secret) -> String {
        self.text(
            self.name(),
            secret.expose(),
            limits::SESSION_AGE_MAX.as_secs(),
        )
    }

    /// The value of `Set-Cookie` that ends one.
    pub fn clear(self) -> String {
        self.text(self.name(), "", 0)
    }

    /// The session's secret that a request carries, if it could be one.
    pub fn read(self, headers: &HeaderMap) -> Option<Secret> {
        read(headers, self.name())
    }

    /// The name of the cookie by which a browser that has signed in before is known again. It lets
    /// nobody in: see [`throttle`](super::throttle).
    pub fn browser_name(self) -> &'static str {
        if self.secure {
            "__Host-callburner-browser"
        } else {
            "callburner-browser"
        }
    }

    /// The value of `Set-Cookie` that makes a browser known.
    pub fn set_browser(self, secret: &Secret) -> String {
        let seconds = limits::KNOWN_BROWSER_AGE_MAX.as_secs();
        self.text(self.browser_name(), secret.expose(), seconds)
    }

    /// The browser's secret that a request carries, if it could be one.
    pub fn read_browser(self, headers: &HeaderMap) -> Option<Secret> {
        read(headers, self.browser_name())
    }

    fn text(self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

fn read(headers: &HeaderMap, name: &str) -> Option<Secret> {
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
        let life = |used, now| life(start, used, now);
        let touch = limits::SESSION_TOUCH_EVERY;
        assert_eq!(life(start, start), Life::Good);
        assert_eq!(life(start, before(touch)), Life::Good);
        assert_eq!(life(start, at(touch)), Life::GoodTouchIt);
        let idle = limits::SESSION_IDLE_MAX;
        assert_eq!(life(at(touch), before(touch + idle)), Life::GoodTouchIt);
        assert_eq!(life(at(touch), at(touch + idle)), Life::Over);
        let age = limits::SESSION_AGE_MAX;
        assert_eq!(life(before(age), before(age)), Life::Good);
        assert_eq!(life(before(age), at(age)), Life::Over);
    }

    #[test]
    fn a_clock_that_was_set_back_ends_no_session() {
        let start = UtcTime::from_millis(1_800_000_000_000);
        let before = start.minus(Duration::from_hours(1));
        assert_eq!(life(start, start, before), Life::Good);
    }

    #[test]
    fn a_proof_is_good_for_minutes_whichever_way_the_clock_was_set() {
        let start = UtcTime::from_millis(1_800_000_000_000);
        let max = limits::CONFIRMATION_AGE_MAX;
        let almost = max.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(is_confirmed(start, start));
        assert!(is_confirmed(start, start.plus(almost)));
        assert!(!is_confirmed(start, start.plus(max)));
        assert!(is_confirmed(start, start.minus(almost)));
        assert!(!is_confirmed(start, start.minus(max)));
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let secret = Secret::random();
        let text = secret.expose();
        let public: Uri = "https://calls.example.org".parse().unwrap();
        let age = limits::SESSION_AGE_MAX.as_secs();
        assert_eq!(
            CookiePolicy::of(Some(&public)).set(&secret),
            format!(
                "__Host-callburner={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax; Secure"
            )
        );
        let plain = format!("callburner={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax");
        let public: Uri = "http://calls.example.org".parse().unwrap();
        assert_eq!(CookiePolicy::of(Some(&public)).set(&secret), plain);
        assert_eq!(CookiePolicy::of(None).set(&secret), plain);
        let age = limits::KNOWN_BROWSER_AGE_MAX.as_secs();
        assert_eq!(
            CookiePolicy::of(None).set_browser(&secret),
            format!("callburner-browser={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax")
        );
        assert_eq!(
            CookiePolicy::of(None).clear(),
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
            policy.read(&headers).map(|secret| secret.hash())
        };
        let text = secret.expose();
        let found = Some(secret.hash());
        assert_eq!(read(&format!("a=1; callburner={text}; b=2")), found);
        assert_eq!(read(&format!("__Host-callburner={text}")), None);
        assert_eq!(read("callburner=guess"), None);
        assert_eq!(policy.read(&HeaderMap::new()).map(|s| s.hash()), None);
    }
}
