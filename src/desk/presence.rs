//! Which browsers can be called: each is ready from its token's minting to the token's end, or until
//! it goes offline. On the monotonic clock: a date that is set neither hides a browser nor brings one
//! back. Pure: no I/O; takes `now`.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::access::secret::SecretHash;
use crate::ids::{ClientIdentity, UserId};
use crate::limits;

/// The browsers that are ready.
#[derive(Debug, Default)]
pub(super) struct Presence {
    browsers: BTreeMap<ClientIdentity, Browser>,
}

#[derive(Debug)]
struct Browser {
    user: Option<UserId>,
    session: Option<SecretHash>,
    since: Instant,
    until: Instant,
}

impl Presence {
    /// A browser got a token that is good until then.
    pub(super) fn arrive(
        &mut self,
        identity: ClientIdentity,
        user: Option<UserId>,
        session: Option<SecretHash>,
        until: Instant,
        now: Instant,
    ) {
        self.browsers.retain(|_, browser| browser.until > now);
        if self.browsers.len() >= limits::BROWSERS_MAX && !self.browsers.contains_key(&identity) {
            let first = self.browsers.iter().min_by_key(|(_, b)| b.since);
            if let Some(first) = first.map(|(identity, _)| identity.clone()) {
                self.browsers.remove(&first);
            }
        }
        let browser = Browser {
            user,
            session,
            since: now,
            until,
        };
        self.browsers.insert(identity, browser);
    }

    /// A browser went offline: it is not called until it gets its next token.
    pub(super) fn go_offline(&mut self, identity: &ClientIdentity) {
        self.browsers.remove(identity);
    }

    /// A session is over: none of its browsers, one for each tab, is called any more.
    pub(super) fn end(&mut self, session: &SecretHash) {
        self.browsers
            .retain(|_, browser| browser.session.as_ref() != Some(session));
    }

    /// A session goes on under another name: its browsers are called as before.
    pub(super) fn renew(&mut self, session: &SecretHash, next: SecretHash) {
        let browsers = self.browsers.values_mut();
        for browser in browsers.filter(|browser| browser.session.as_ref() == Some(session)) {
            browser.session = Some(next);
        }
    }

    /// All sessions of a user but this one are over.
    pub(super) fn end_all(&mut self, user: UserId, but: Option<&SecretHash>) {
        let is_over = |browser: &Browser| {
            let session = browser.session.as_ref();
            browser.user == Some(user) && session.is_some() && session != but
        };
        self.browsers.retain(|_, browser| !is_over(browser));
    }

    /// A user is gone: none of that user's browsers is called any more.
    pub(super) fn leave(&mut self, user: UserId) {
        self.browsers
            .retain(|_, browser| browser.user != Some(user));
    }

    /// Those that an incoming call rings: up to [`limits::RINGING_MAX`], the latest to arrive first.
    pub(super) fn ring(&self, now: Instant) -> Vec<ClientIdentity> {
        let ready = self.browsers.iter().filter(|(_, b)| b.until > now);
        let mut ready: Vec<_> = ready.collect();
        ready.sort_by_key(|(_, browser)| std::cmp::Reverse(browser.since));
        let latest = ready.into_iter().take(limits::RINGING_MAX);
        latest.map(|(identity, _)| identity.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::*;
    use crate::clock;

    const HOUR: Duration = Duration::from_hours(1);

    fn browser(n: usize) -> ClientIdentity {
        ClientIdentity::parse(&format!("browser_{n}")).unwrap()
    }

    /// So many minutes into the test.
    fn at(minute: u64) -> Instant {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        *BEGAN.get_or_init(clock::now) + Duration::from_mins(minute)
    }

    #[test]
    fn a_call_rings_those_whose_token_is_good_the_latest_first() {
        let mut presence = Presence::default();
        for (n, minute) in [(1, 0), (2, 10), (3, 20)] {
            let now = at(minute);
            presence.arrive(browser(n), Some(UserId(n as i64)), None, now + HOUR, now);
        }
        presence.arrive(browser(1), Some(UserId(1)), None, at(90), at(30));
        assert_eq!(presence.ring(at(31)), [browser(1), browser(3), browser(2)]);
        assert_eq!(presence.ring(at(70)), [browser(1), browser(3)]);
        presence.leave(UserId(1));
        assert_eq!(presence.ring(at(79)), [browser(3)]);
        assert!(presence.ring(at(80)).is_empty());
    }

    #[test]
    fn nobody_rings_a_browser_that_went_offline_or_whose_session_is_over() {
        let mut presence = Presence::default();
        for (n, session) in [(1, [1; 32]), (2, [1; 32]), (3, [2; 32])] {
            let user = Some(UserId(1));
            presence.arrive(browser(n), user, Some(session), at(60), at(n as u64));
        }
        presence.go_offline(&browser(2));
        assert_eq!(presence.ring(at(5)), [browser(3), browser(1)]);
        presence.arrive(browser(2), Some(UserId(1)), Some([1; 32]), at(60), at(6));
        assert_eq!(presence.ring(at(7)), [browser(2), browser(3), browser(1)]);
        presence.end(&[1; 32]);
        assert_eq!(presence.ring(at(8)), [browser(3)]);
    }

    #[test]
    fn a_session_that_goes_on_keeps_its_browsers_when_the_users_others_end() {
        let mut presence = Presence::default();
        for (n, user, session) in [(1, 1, [1; 32]), (2, 1, [2; 32]), (3, 2, [3; 32])] {
            let user = Some(UserId(user));
            presence.arrive(browser(n), user, Some(session), at(60), at(n as u64));
        }
        presence.renew(&[1; 32], [4; 32]);
        presence.end_all(UserId(1), Some(&[4; 32]));
        assert_eq!(presence.ring(at(5)), [browser(3), browser(1)]);
        presence.end_all(UserId(1), None);
        assert_eq!(presence.ring(at(5)), [browser(3)]);
    }

    #[test]
    fn neither_the_ringing_nor_the_ready_grow_without_bound() {
        let mut presence = Presence::default();
        for n in 0..=limits::BROWSERS_MAX {
            let now = at(0) + Duration::from_millis(n as u64);
            presence.arrive(browser(n), None, None, now + HOUR, now);
        }
        assert_eq!(presence.browsers.len(), limits::BROWSERS_MAX);
        assert!(!presence.browsers.contains_key(&browser(0)), "the first");
        assert_eq!(presence.ring(at(1)).len(), limits::RINGING_MAX);
    }
}
