//! Who can be called and who may call: what pages say of their registration at Twilio, and whether
//! the session that a browser's pass was given in still lasts.
//!
//! Memory decides, and the database helps: it keeps registrations for the next start, and it knows of
//! sessions that another process ended (`callburner user passwd`). While it does not answer, browsers
//! that registered with this server ring, and sessions that this server ended stay ended.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::{CallService, NO_USER, lock};
use crate::access::session_policy::{self, SessionValidity};
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, ClientIdentity, RegistrationId, UserId};
use crate::limits;
use crate::store::{EndedSession, RegistrationRecord};
use crate::twilio::token::{self, SessionTag};

/// The pass that a browser registered with is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenExpired;

impl CallService {
    /// A page says that its browser is registered at Twilio with a pass that ends then: incoming
    /// calls ring it until then, also after a restart.
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
            tracing::warn!(%error, "a registration is not kept: after a restart its browser does not \
                                    ring until its page says so again");
        }
        Ok(())
    }

    fn add_registration(&self, registration: &RegistrationRecord, at: UtcTime) {
        let lifetime = registration.expires_at.since(at).min(token::LIFETIME);
        let now = clock::now();
        let RegistrationRecord { id, identity, .. } = registration.clone();
        lock(&self.0.presence).register(id, identity, now + lifetime, now);
    }

    /// A page says that its browser is not registered any more: this registration ends, and no other
    /// of the same identity.
    pub async fn unregister(&self, id: &RegistrationId, user: UserId) {
        if !lock(&self.0.presence).unregister(id, user) {
            return;
        }
        if let Err(error) = self.store().remove_registration(id).await {
            tracing::warn!(%error, "a registration that ended is still kept until its pass ends");
        }
    }

    /// At the start: the browsers that were registered at Twilio when the last server ended still are.
    pub async fn restore_registrations(&self) {
        let now = clock::utc_now();
        self.has_users().await;
        match self.store().registrations(now).await {
            Ok(kept) => {
                for registration in &kept {
                    self.add_registration(registration, now);
                }
            }
            Err(error) => tracing::warn!(%error, "registrations of before are not known"),
        }
    }

    /// Sessions are over: no call rings their browsers, and none of them calls.
    pub fn end_sessions(&self, ended: &[EndedSession]) {
        let now = clock::now();
        let mut presence = lock(&self.0.presence);
        for session in ended {
            presence.end_session(session.user, SessionTag(session.phone_tag), now);
        }
    }

    /// A user is gone: no call rings the user's browsers, none of them calls, and calls that they
    /// placed are hung up.
    pub fn remove_user(&self, user: UserId) {
        let now = clock::now();
        lock(&self.0.presence).remove_user(user, now);
        for call in self.0.call_limiter.calls_of_user(user, now) {
            let service = self.clone();
            self.0.deps.tasks.spawn(async move {
                if let Err(error) = service.hang_up(&call, None).await {
                    tracing::warn!(?call, %error, "a call of a user who was removed goes on");
                }
            });
        }
    }

    /// The browsers that an incoming call rings. One whose session was ended by another process is
    /// found here, and makes room for the next.
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

    /// An incoming call rings these browsers.
    pub(super) fn record_ring_targets(&self, call: &CallSid, browsers: &[ClientIdentity]) {
        let users = browsers
            .iter()
            .filter_map(token::user_of_identity)
            .collect();
        lock(&self.0.ring_targets).record(call, users, clock::now());
    }

    /// Whether an incoming call rang at a browser of this user's a while ago.
    pub fn has_rung(&self, call: &CallSid, user: UserId) -> bool {
        lock(&self.0.ring_targets).has_rung(call, user)
    }

    /// Whether the session in which the browser got its pass lasts: as far as this server knows, if
    /// the database does not say. Where there are users, an identity that is of none of them is not
    /// signed in; where there are none, nobody needs to be.
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

    /// Whether anybody has to sign in; as was known last, if the database does not say. Users are
    /// never all gone again: the last admin stays.
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
