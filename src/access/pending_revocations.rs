//! What has ended and could not be written down: a full disk must not keep anybody signed in. Kept in
//! memory until it is written, or until the server's end. Pure: no I/O.

use std::collections::BTreeSet;

use super::secret::SecretHash;
use crate::ids::UserId;
use crate::limits;

/// Sessions that ended, and users who were removed, while the database could not say so.
#[derive(Debug, Default)]
pub struct PendingRevocations {
    sessions: BTreeSet<SecretHash>,
    users: BTreeSet<UserId>,
}

impl PendingRevocations {
    /// Ends a session. `false`: [`limits::PENDING_SIGN_OUTS_MAX`] are remembered already.
    pub fn add_session(&mut self, session: SecretHash) -> bool {
        let room = self.sessions.len() < limits::PENDING_SIGN_OUTS_MAX;
        self.sessions.contains(&session) || (room && self.sessions.insert(session))
    }

    /// Bars a user. There are no more of them than users ([`limits::USERS_MAX`]).
    pub fn add_user(&mut self, user: UserId) {
        self.users.insert(user);
    }

    /// Whether a session of this user is over, whatever the database says.
    pub fn is_session_revoked(&self, session: &SecretHash, user: UserId) -> bool {
        self.sessions.contains(session) || self.is_user_removed(user)
    }

    /// Whether the user was removed, whatever the database says.
    pub fn is_user_removed(&self, user: UserId) -> bool {
        self.users.contains(&user)
    }

    /// The sessions and users whose end is still to be written.
    pub fn list(&self) -> (Vec<SecretHash>, Vec<UserId>) {
        let sessions = self.sessions.iter().copied().collect();
        (sessions, self.users.iter().copied().collect())
    }

    /// The end of a session is written.
    pub fn mark_session_written(&mut self, session: &SecretHash) {
        self.sessions.remove(session);
    }

    /// The removal of a user is written.
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
