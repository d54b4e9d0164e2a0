//! Browsers that an incoming call rings. A browser rings from the time its page reports that it is registered
//! at Twilio until the page reports the opposite, the access token expires, or the session ends. Ended
//! sessions are remembered for as long as an access token of theirs may be valid.
//!
//! Two tabs may share an identity (a duplicated tab copies its identity): each has its own registration, and
//! the identity rings while one of them lasts.
//!
//! Uses the monotonic clock: a change of the system clock neither hides a browser nor restores one. Pure: no
//! I/O; takes `now`.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::{ClientIdentity, RegistrationId, UserId};
use crate::limits;
use crate::twilio::token::{self, SessionTag};

/// Registered browsers and ended sessions.
#[derive(Debug, Default)]
pub(super) struct BrowserPresence {
    registrations: BTreeMap<RegistrationId, BrowserRegistration>,
    /// Counts registrations: a later one has a greater number.
    registration_count: u64,
    /// Ended sessions, with the latest time at which an access token of theirs may be valid.
    ended: BTreeMap<(UserId, SessionTag), Instant>,
    /// Deleted users, likewise.
    removed: BTreeMap<UserId, Instant>,
}

#[derive(Debug)]
struct BrowserRegistration {
    identity: ClientIdentity,
    user: UserId,
    session: SessionTag,
    sequence: u64,
    expires_at: Instant,
}

impl BrowserPresence {
    /// Registers a browser until `expires_at`, when its access token expires. A repeated registration keeps
    /// its position. Does nothing if the session has ended, or if the identity was not made by this server.
    pub(super) fn register(
        &mut self,
        id: RegistrationId,
        identity: ClientIdentity,
        expires_at: Instant,
        now: Instant,
    ) {
        self.registrations
            .retain(|_, registration| registration.expires_at > now);
        let Some((user, session)) = token::session_of_identity(&identity) else {
            return;
        };
        if self.has_ended(user, session, now) {
            return;
        }
        self.registration_count += 1;
        let registration = self.registrations.remove(&id);
        let sequence = registration.map_or(self.registration_count, |registration| {
            registration.sequence
        });
        self.evict_for(user);
        let registration = BrowserRegistration {
            identity,
            user,
            session,
            sequence,
            expires_at,
        };
        self.registrations.insert(id, registration);
    }

    /// Makes room for another registration of this user.
    fn evict_for(&mut self, user: UserId) {
        let own = |registration: &BrowserRegistration| registration.user == user;
        if self.registrations.values().filter(|r| own(r)).count()
            >= limits::REGISTRATIONS_PER_USER_MAX
        {
            self.remove_oldest(own);
        }
        if self.registrations.len() >= limits::REGISTRATIONS_MAX {
            self.remove_oldest(|_| true);
        }
    }

    fn remove_oldest(&mut self, among: impl Fn(&BrowserRegistration) -> bool) {
        let those = self.registrations.iter().filter(|(_, r)| among(r));
        let oldest = those.min_by_key(|(_, r)| r.sequence);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.registrations.remove(&id);
        }
    }

    /// Removes this registration of the user, and no other. Returns `false` if the user has no such
    /// registration.
    pub(super) fn unregister(&mut self, id: &RegistrationId, user: UserId) -> bool {
        let is_own = self.registrations.get(id).is_some_and(|r| r.user == user);
        is_own && self.registrations.remove(id).is_some()
    }

    /// Ends a session: its browsers, one for each tab, can neither be called nor call.
    pub(super) fn end_session(&mut self, user: UserId, session: SessionTag, now: Instant) {
        self.remove_session(user, session);
        let max = limits::ENDED_SESSIONS_MAX;
        insert_bounded(&mut self.ended, (user, session), now, max);
    }

    /// Removes the registrations of a session's browsers.
    pub(super) fn remove_session(&mut self, user: UserId, session: SessionTag) {
        self.registrations
            .retain(|_, registration| (registration.user, registration.session) != (user, session));
    }

    /// Removes a deleted user: their browsers can neither be called nor call.
    pub(super) fn remove_user(&mut self, user: UserId, now: Instant) {
        self.registrations
            .retain(|_, registration| registration.user != user);
        insert_bounded(&mut self.removed, user, now, limits::REMOVED_USERS_MAX);
    }

    /// Whether this session is known to have ended, or its user to be deleted.
    pub(super) fn has_ended(&self, user: UserId, session: SessionTag, now: Instant) -> bool {
        let lasts =
            |expires_at: Option<&Instant>| expires_at.is_some_and(|expires_at| *expires_at > now);
        lasts(self.ended.get(&(user, session))) || lasts(self.removed.get(&user))
    }

    /// Returns the browsers that an incoming call rings, up to [`limits::RINGING_BROWSERS_MAX`]: one browser
    /// of each user in turn, starting with the user who registered last; of each user the latest browsers, up
    /// to [`limits::RINGING_BROWSERS_PER_USER_MAX`].
    pub(super) fn ringable_browsers(&self, now: Instant) -> Vec<ClientIdentity> {
        let mut latest: BTreeMap<(UserId, &ClientIdentity), u64> = BTreeMap::new();
        for registration in self.registrations.values().filter(|r| r.expires_at > now) {
            let sequence = latest
                .entry((registration.user, &registration.identity))
                .or_default();
            *sequence = registration.sequence.max(*sequence);
        }
        let mut users: BTreeMap<UserId, Vec<(u64, &ClientIdentity)>> = BTreeMap::new();
        for ((user, identity), sequence) in latest {
            users.entry(user).or_default().push((sequence, identity));
        }
        let mut users: Vec<_> = users.into_values().collect();
        for browsers in &mut users {
            browsers.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        }
        users.sort_by_key(|browsers| std::cmp::Reverse(browsers.first().map(|b| b.0)));
        let turn = |nth: usize| users.iter().filter_map(move |browsers| browsers.get(nth));
        let turns = (0..limits::RINGING_BROWSERS_PER_USER_MAX).flat_map(turn);
        let rung = turns.take(limits::RINGING_BROWSERS_MAX);
        rung.map(|(_, identity)| (*identity).clone()).collect()
    }
}

/// Inserts a name for the lifetime of an access token; at `max` names, the oldest is removed.
fn insert_bounded<T: Ord + Clone>(
    names: &mut BTreeMap<T, Instant>,
    name: T,
    now: Instant,
    max: usize,
) {
    names.retain(|_, expires_at| *expires_at > now);
    if names.len() >= max
        && let Some(first) = names.iter().min_by_key(|(_, expires_at)| **expires_at)
    {
        let first = first.0.clone();
        names.remove(&first);
    }
    names.insert(name, now + token::LIFETIME);
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::twilio::token::TabTag;

    const HOUR: Duration = Duration::from_hours(1);

    fn browser(user: i64, session: u64, tab: u64) -> ClientIdentity {
        let tab = Some(TabTag(tab));
        token::identity_for(UserId(user), "", SessionTag(session), tab)
    }

    fn id(n: usize) -> RegistrationId {
        RegistrationId::parse(&format!("registration-{n:08}")).unwrap()
    }

    /// Returns the time this many minutes after the test's start.
    fn at(minute: u64) -> Instant {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        *BEGAN.get_or_init(clock::now) + Duration::from_mins(minute)
    }

    /// Registers these browsers, one minute apart.
    fn present(browsers: &[ClientIdentity]) -> BrowserPresence {
        let mut presence = BrowserPresence::default();
        for (n, browser) in browsers.iter().enumerate() {
            let now = at(n as u64);
            presence.register(id(n), browser.clone(), now + HOUR, now);
        }
        presence
    }

    #[test]
    fn a_call_rings_those_whose_pass_is_good_the_latest_first() {
        let [a, b, c] = [1, 2, 3].map(|user| browser(user, 1, 1));
        let mut presence = present(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(
            presence.ringable_browsers(at(3)),
            [c.clone(), b.clone(), a.clone()]
        );
        // A renewed access token does not change the position.
        presence.register(id(0), a.clone(), at(90), at(30));
        assert_eq!(
            presence.ringable_browsers(at(31)),
            [c.clone(), b.clone(), a.clone()]
        );
        assert_eq!(presence.ringable_browsers(at(61)), [c, a.clone()]);
        assert_eq!(presence.ringable_browsers(at(89)), [a]);
        assert!(presence.ringable_browsers(at(90)).is_empty());
    }

    #[test]
    fn of_two_registrations_with_one_identity_each_ends_alone() {
        let (tab, other) = (browser(1, 1, 1), browser(2, 2, 1));
        let mut presence = present(&[tab.clone(), tab.clone(), other.clone()]);
        assert_eq!(
            presence.ringable_browsers(at(5)),
            [other.clone(), tab.clone()],
            "once"
        );
        assert!(presence.unregister(&id(1), UserId(1)));
        assert_eq!(
            presence.ringable_browsers(at(5)),
            [other.clone(), tab.clone()]
        );
        assert!(!presence.unregister(&id(0), UserId(2)));
        assert_eq!(
            presence.ringable_browsers(at(5)),
            [other.clone(), tab],
            "another user's registration"
        );
        assert!(presence.unregister(&id(0), UserId(1)));
        assert_eq!(presence.ringable_browsers(at(5)), [other]);
    }

    #[test]
    fn users_are_rung_in_turn_and_three_browsers_of_each_at_most() {
        let hog = (0..20).map(|tab| browser(9, 1, tab));
        let mut browsers: Vec<_> = (1..=4).map(|user| browser(user, 1, 0)).collect();
        browsers.extend(hog);
        let presence = present(&browsers);
        let expected = [
            browser(9, 1, 19),
            browser(4, 1, 0),
            browser(3, 1, 0),
            browser(2, 1, 0),
            browser(1, 1, 0),
            browser(9, 1, 18),
            browser(9, 1, 17),
        ];
        assert_eq!(presence.ringable_browsers(at(24)), expected);
        let many: Vec<_> = (1..=12).map(|user| browser(user, 1, 0)).collect();
        let rung = present(&many).ringable_browsers(at(13));
        assert_eq!(rung.len(), limits::RINGING_BROWSERS_MAX);
        assert_eq!(rung[0], browser(12, 1, 0));
    }

    #[test]
    fn what_a_session_or_a_user_registered_ends_with_it_and_comes_back_with_no_pass_of_it() {
        let [here, there, far, other] = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
            .map(|(user, session, tab)| browser(user, session, tab));
        let mut presence = present(&[here.clone(), there, far.clone(), other.clone()]);
        presence.end_session(UserId(1), SessionTag(1), at(5));
        assert_eq!(
            presence.ringable_browsers(at(5)),
            [other.clone(), far.clone()]
        );
        presence.register(id(0), here.clone(), at(60), at(6));
        assert_eq!(
            presence.ringable_browsers(at(6)),
            [other.clone(), far.clone()]
        );
        assert!(presence.has_ended(UserId(1), SessionTag(1), at(64)));
        assert!(!presence.has_ended(UserId(1), SessionTag(1), at(65)));
        assert!(!presence.has_ended(UserId(2), SessionTag(1), at(5)));
        presence.remove_user(UserId(1), at(7));
        assert_eq!(
            presence.ringable_browsers(at(7)),
            std::slice::from_ref(&other)
        );
        assert!(presence.has_ended(UserId(1), SessionTag(3), at(7)));
        // An identity that this server did not make is ignored.
        let alice = ClientIdentity::parse("alice").unwrap();
        presence.register(id(8), alice, at(60), at(7));
        assert_eq!(presence.ringable_browsers(at(7)), [other]);
    }

    #[test]
    fn nothing_grows_without_bound_and_no_user_drives_out_another() {
        let mut presence = present(&[browser(1, 1, 1)]);
        for n in 1..100 {
            presence.register(id(n), browser(2, 1, n as u64), at(60), at(1));
        }
        assert_eq!(
            presence.registrations.len(),
            1 + limits::REGISTRATIONS_PER_USER_MAX
        );
        let rung = presence.ringable_browsers(at(1));
        assert_eq!(rung[..2], [browser(2, 1, 99), browser(1, 1, 1)]);
        for n in 0..=limits::REGISTRATIONS_MAX {
            presence.register(id(n), browser(n as i64 + 1, 1, 1), at(60), at(1));
        }
        assert_eq!(presence.registrations.len(), limits::REGISTRATIONS_MAX);
        for n in 0..=limits::ENDED_SESSIONS_MAX {
            let now = at(1) + Duration::from_millis(n as u64);
            presence.end_session(UserId(1), SessionTag(n as u64), now);
        }
        assert_eq!(presence.ended.len(), limits::ENDED_SESSIONS_MAX);
        assert!(!presence.has_ended(UserId(1), SessionTag(0), at(2)));
        for n in 0..=limits::REMOVED_USERS_MAX {
            let now = at(1) + Duration::from_millis(n as u64);
            presence.remove_user(UserId(n as i64), now);
        }
        assert_eq!(presence.removed.len(), limits::REMOVED_USERS_MAX);
    }
}
