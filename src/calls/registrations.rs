//! Browsers that can be called or may call: their registrations at Twilio as their pages report them, and
//! whether the session that a browser's access token belongs to is valid.
//!
//! Memory is authoritative, and the database supplements it: the database keeps registrations over a restart,
//! and contains the sessions that another process ended (`callburner user passwd`). While it does not
//! respond, browsers registered with this server ring, and sessions that this server ended stay ended.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::{CallService, NO_USER, lock};
use crate::access::session_policy::{self, SessionValidity};
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, ClientIdentity, RegistrationId, UserId};
use crate::limits;
use crate::store::{EndedSession, RegistrationRecord};
use crate::twilio::token::{self, SessionTag};

/// The access token that a browser registered with has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenExpired;

impl CallService {
    /// Registers a browser whose page reports that it is registered at Twilio. Incoming calls ring it until
    /// its access token expires at `expires_at`, also after a restart.
    pub async fn register(
        &self,
        id: RegistrationId,
        identity: ClientIdentity,
        expires_at: UtcTime,
    ) -> Result<(), TokenExpired> {
        let since = clock::utc_now();
        if expires_at <= since {
            return Err(TokenExpired);
        }
        let registration = RegistrationRecord {
            id,
            identity,
            since,
            expires_at: expires_at.min(since.plus(token::LIFETIME)),
        };
        self.add_registration(&registration, since);
        let kept = self.store().save_registration(&registration, since).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "could not save a registration: after a restart its browser does not \
                                    ring until its page registers it again");
        }
        Ok(())
    }

    fn add_registration(&self, registration: &RegistrationRecord, at: UtcTime) {
        let lifetime = registration.expires_at.since(at).min(token::LIFETIME);
        let now = clock::now();
        let RegistrationRecord { id, identity, .. } = registration.clone();
        lock(&self.0.presence).register(id, identity, now + lifetime, now);
    }

    /// Removes a browser's registration, and no other of the same identity.
    pub async fn unregister(&self, id: &RegistrationId, user: UserId) {
        if !lock(&self.0.presence).unregister(id, user) {
            return;
        }
        if let Err(error) = self.store().remove_registration(id).await {
            tracing::warn!(%error, "could not delete a registration: it is kept until its access token expires");
        }
    }

    /// Restores at the start the browsers that were registered at Twilio when the last server ended; they are
    /// still registered.
    pub async fn restore_registrations(&self) {
        let now = clock::utc_now();
        self.has_users().await;
        match self.store().registrations(now).await {
            Ok(kept) => {
                for registration in &kept {
                    self.add_registration(registration, now);
                }
            }
            Err(error) => tracing::warn!(%error, "could not load the registrations"),
        }
    }

    /// Ends sessions: no call rings their browsers, and their browsers cannot call.
    pub fn end_sessions(&self, ended: &[EndedSession]) {
        let now = clock::now();
        let mut presence = lock(&self.0.presence);
        for session in ended {
            presence.end_session(session.user, SessionTag(session.phone_tag), now);
        }
    }

    /// Removes a deleted user: no call rings their browsers, their browsers cannot call, and calls that they
    /// placed are hung up.
    pub fn remove_user(&self, user: UserId) {
        let now = clock::now();
        lock(&self.0.presence).remove_user(user, now);
        for call in self.0.call_limiter.calls_of_user(user, now) {
            let service = self.clone();
            self.0.deps.tasks.spawn(async move {
                if let Err(error) = service.hang_up(&call, None).await {
                    tracing::warn!(?call, %error, "could not hang up a call of a deleted user");
                }
            });
        }
    }

    /// Returns the browsers that an incoming call rings. A browser with a session that another process ended
    /// is found here, and makes room for the next one.
    pub(super) async fn browsers_to_ring(&self) -> Vec<ClientIdentity> {
        let mut signed_in = Vec::new();
        for _ in 0..limits::RING_ROUNDS_MAX {
            let ready = lock(&self.0.presence).ringable_browsers(clock::now());
            let checked = join_all(ready.iter().map(|identity| self.is_signed_in(identity))).await;
            let (signed_in_checks, over): (Vec<_>, Vec<_>) = ready
                .into_iter()
                .zip(checked)
                .partition(|(_, is_in)| *is_in);
            signed_in = signed_in_checks
                .into_iter()
                .map(|(identity, _)| identity)
                .collect();
            if over.is_empty() {
                break;
            }
            let mut presence = lock(&self.0.presence);
            for (user, session) in over
                .iter()
                .filter_map(|(id, _)| token::session_of_identity(id))
            {
                presence.remove_session(user, session);
            }
        }
        signed_in
    }

    /// Remembers the users that an incoming call rings.
    pub(super) fn record_ring_targets(&self, call: &CallSid, browsers: &[ClientIdentity]) {
        let users = browsers
            .iter()
            .filter_map(token::user_of_identity)
            .collect();
        lock(&self.0.ring_targets).record(call, users, clock::now());
    }

    /// Whether an incoming call recently rang a browser of this user.
    pub fn has_rung(&self, call: &CallSid, user: UserId) -> bool {
        lock(&self.0.ring_targets).has_rung(call, user)
    }

    /// Whether the session that the browser's access token belongs to is valid. If the database does not
    /// respond, this server's own knowledge decides. On a server with users, an identity without a user is
    /// not signed in; on a server without users, every identity is.
    pub(super) async fn is_signed_in(&self, identity: &ClientIdentity) -> bool {
        let Some((user, session)) =
            token::session_of_identity(identity).filter(|(user, _)| *user != NO_USER)
        else {
            return !self.has_users().await;
        };
        if lock(&self.0.presence).has_ended(user, session, clock::now()) {
            return false;
        }
        let looked_up =
            tokio::time::timeout(limits::WEBHOOK_STORE_WAIT_MAX, self.store().sessions(user));
        let Ok(Ok(sessions)) = looked_up.await else {
            return true;
        };
        let now = clock::utc_now();
        sessions.iter().any(|known| {
            known.phone_tag == session.0
                && session_policy::session_validity(known.created_at, known.used_at, now)
                    != SessionValidity::Expired
        })
    }

    /// Whether the server has users, so that sign-in is required; if the database does not respond, the last
    /// known value. The value never reverts to false, because the last admin cannot be deleted.
    async fn has_users(&self) -> bool {
        if self.0.has_users.load(Ordering::Relaxed) {
            return true;
        }
        let looked_up =
            tokio::time::timeout(limits::WEBHOOK_STORE_WAIT_MAX, self.store().has_users());
        let has_users = matches!(looked_up.await, Ok(Ok(true)));
        self.0.has_users.fetch_or(has_users, Ordering::Relaxed);
        has_users
    }
}
