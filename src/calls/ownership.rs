//! Determines a call's owner. Only requests that Twilio signed decide it: the browser that placed the call
//! (`From` of `/voice`), or the browser with the answered leg (`To` of its status callbacks); the store
//! derives the owner from the legs. A page can ask whether a call belongs to its user, but changes nothing.

use super::CallService;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{CallRecord, StoreError};

/// Relation of a call to a user.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOwnership {
    /// The call belongs to the user.
    Own(Box<CallRecord>),
    /// The call rang the user's browsers, and belongs to another user.
    OtherUser,
    /// The call rings the user's browsers, and Twilio has not reported the answer.
    Pending,
    /// The call does not exist, or is not related to the user.
    Unknown,
}

impl CallService {
    /// Determines whether the call of this leg belongs to the user. A page asks at the moment it answers the
    /// call, and Twilio reports the answer slightly later, so this waits for the report up to
    /// [`limits::OWNERSHIP_WAIT_MAX`].
    pub async fn call_ownership(
        &self,
        leg: &CallSid,
        user: UserId,
    ) -> Result<CallOwnership, StoreError> {
        let mut leg_changes = self.0.leg_changed.subscribe();
        let until = clock::now() + limits::OWNERSHIP_WAIT_MAX;
        loop {
            leg_changes.mark_unchanged();
            let ownership = self.current_ownership(leg, user).await?;
            if ownership != CallOwnership::Pending {
                return Ok(ownership);
            }
            tokio::select! {
                Ok(()) = leg_changes.changed() => {}
                () = clock::sleep_until(Some(until)) => return Ok(ownership),
                () = self.0.deps.tasks.wait_for_stop() => return Ok(ownership),
            }
        }
    }

    async fn current_ownership(
        &self,
        leg: &CallSid,
        user: UserId,
    ) -> Result<CallOwnership, StoreError> {
        let Some(record) = self.store().call_record(leg).await? else {
            // The write of its record may be pending.
            let rang_user =
                self.has_rung(leg, user) && self.0.call_limiter.is_active(leg, clock::now());
            return Ok(if rang_user {
                CallOwnership::Pending
            } else {
                CallOwnership::Unknown
            });
        };
        if record.user_id == Some(user) {
            return Ok(CallOwnership::Own(Box::new(record)));
        }
        if !self.was_rung(&record.sid, user).await? {
            return Ok(CallOwnership::Unknown);
        }
        Ok(match record.user_id {
            Some(_) => CallOwnership::OtherUser,
            None if record.status.is_over() => CallOwnership::Unknown,
            None => CallOwnership::Pending,
        })
    }

    /// Whether the call rang a browser of this user, according to the answer to `/voice` or to Twilio's
    /// callbacks.
    async fn was_rung(&self, call: &CallSid, user: UserId) -> Result<bool, StoreError> {
        Ok(self.has_rung(call, user) || self.store().rung_users(call).await?.contains(&user))
    }
}
