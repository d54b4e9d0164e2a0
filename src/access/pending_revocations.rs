//! Revocations that the database could not store, so that a full disk keeps no user signed in. They
//! are kept in memory until they are stored, or until the server stops. Pure: no I/O.

use std::collections::BTreeSet;

use super::secret::SecretHash;
use crate::ids::UserId;
use crate::limits;

/// Sessions that ended and users who were removed while the database could not be written.
#[derive(Debug, Default)]
pub struct PendingRevocations {
    sessions: BTreeSet<SecretHash>,
    users: BTreeSet<UserId>,
}

impl PendingRevocations {
    /// Adds an ended session. `false`: [`limits::PENDING_SIGN_OUTS_MAX`] are pending already.
    pub fn add_session(&mut self, session: SecretHash) -> bool {
        let room = self.sessions.len() < limits::PENDING_SIGN_OUTS_MAX;
        self.sessions.contains(&session) || (room && self.sessions.insert(session))
    }

    /// Adds a removed user. There are at most [`limits::USERS_MAX`].
    pub fn add_user(&mut self, user: UserId) {
        self.users.insert(user);
    }

    /// Reports whether a session of this user is revoked, regardless of the database.
    pub fn is_session_revoked(&self, session: &SecretHash, user: UserId) -> bool {
        self.sessions.contains(session) || self.is_user_removed(user)
    }

    /// Reports whether the user was removed, regardless of the database.
    pub fn is_user_removed(&self, user: UserId) -> bool {
        self.users.contains(&user)
    }

    /// Returns the sessions and users that are not stored.
    pub fn list(&self) -> (Vec<SecretHash>, Vec<UserId>) {
        let sessions = self.sessions.iter().copied().collect();
        (sessions, self.users.iter().copied().collect())
    }

    /// Removes a session, after its end was stored.
    pub fn mark_session_written(&mut self, session: &SecretHash) {
        self.sessions.remove(session);
    }

    /// Removes a user, after the removal was stored.
    pub fn mark_user_written(&mut self, user: UserId) {
        self.users.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_over_until_it_is_written() {
        let mut revocations = PendingRevocations::default();
        assert!(revocations.add_session([1; 32]) && revocations.add_session([1; 32]));
        revocations.add_user(UserId(2));
        assert!(
            revocations.is_session_revoked(&[1; 32], UserId(1))
                && revocations.is_session_revoked(&[9; 32], UserId(2))
        );
        assert!(
            !revocations.is_session_revoked(&[9; 32], UserId(1))
                && !revocations.is_user_removed(UserId(1))
        );
        assert_eq!(revocations.list(), (vec![[1; 32]], vec![UserId(2)]));
        revocations.mark_session_written(&[1; 32]);
        revocations.mark_user_written(UserId(2));
        assert!(!revocations.is_session_revoked(&[1; 32], UserId(2)));
    }

    #[test]
    fn ended_sessions_have_a_bound() {
        let mut revocations = PendingRevocations::default();
        let session = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            hash
        };
        assert!((0..limits::PENDING_SIGN_OUTS_MAX).all(|n| revocations.add_session(session(n))));
        assert!(!revocations.add_session(session(limits::PENDING_SIGN_OUTS_MAX)));
        assert!(
            revocations.add_session(session(0)),
            "it is remembered already"
        );
    }
}
