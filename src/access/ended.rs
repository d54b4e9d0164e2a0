//! What has ended and could not be written down: a full disk must not keep anybody signed in. Kept in
//! memory until it is written, or until the server's end. Pure: no I/O.

use std::collections::BTreeSet;

use super::secret::SecretHash;
use crate::ids::UserId;
use crate::limits;

/// Sessions that ended, and users who were removed, while the database could not say so.
#[derive(Debug, Default)]
pub struct Ended {
    sessions: BTreeSet<SecretHash>,
    users: BTreeSet<UserId>,
}

impl Ended {
    /// Ends a session. `false`: [`limits::SESSIONS_ENDED_MAX`] are remembered already.
    pub fn end_session(&mut self, session: SecretHash) -> bool {
        let room = self.sessions.len() < limits::SESSIONS_ENDED_MAX;
        self.sessions.contains(&session) || (room && self.sessions.insert(session))
    }

    /// Bars a user. There are no more of them than users ([`limits::USERS_MAX`]).
    pub fn bar(&mut self, user: UserId) {
        self.users.insert(user);
    }

    /// Whether a session of this user is over, whatever the database says.
    pub fn is_over(&self, session: &SecretHash, user: UserId) -> bool {
        self.sessions.contains(session) || self.is_barred(user)
    }

    /// Whether the user was removed, whatever the database says.
    pub fn is_barred(&self, user: UserId) -> bool {
        self.users.contains(&user)
    }

    /// The sessions and users whose end is still to be written.
    pub fn all(&self) -> (Vec<SecretHash>, Vec<UserId>) {
        let sessions = self.sessions.iter().copied().collect();
        (sessions, self.users.iter().copied().collect())
    }

    /// The end of a session is written.
    pub fn forget_session(&mut self, session: &SecretHash) {
        self.sessions.remove(session);
    }

    /// The removal of a user is written.
    pub fn forget_user(&mut self, user: UserId) {
        self.users.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_over_until_it_is_written() {
        let mut ended = Ended::default();
        assert!(ended.end_session([1; 32]) && ended.end_session([1; 32]));
        ended.bar(UserId(2));
        assert!(ended.is_over(&[1; 32], UserId(1)) && ended.is_over(&[9; 32], UserId(2)));
        assert!(!ended.is_over(&[9; 32], UserId(1)) && !ended.is_barred(UserId(1)));
        assert_eq!(ended.all(), (vec![[1; 32]], vec![UserId(2)]));
        ended.forget_session(&[1; 32]);
        ended.forget_user(UserId(2));
        assert!(!ended.is_over(&[1; 32], UserId(2)));
    }

    #[test]
    fn ended_sessions_have_a_bound() {
        let mut ended = Ended::default();
        let session = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            hash
        };
        assert!((0..limits::SESSIONS_ENDED_MAX).all(|n| ended.end_session(session(n))));
        assert!(!ended.end_session(session(limits::SESSIONS_ENDED_MAX)));
        assert!(ended.end_session(session(0)), "it is remembered already");
    }
}
