//! Whose call it is. Only what Twilio signed decides it: the browser that placed the call (`From` of
//! `/voice`), or the browser whose leg was answered (`To` of its status callbacks); the store draws
//! that conclusion from the legs. A page can ask whether a call is its user's, and changes nothing.

use super::CallService;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{CallRecord, StoreError};

/// What is known when a user asks whether a call is his.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOwnership {
    /// It is.
    Own(Box<CallRecord>),
    /// It rang the user's browsers, and another user has it.
    OtherUser,
    /// It rings the user's browsers, and Twilio has not said who answered.
    Pending,
    /// There is no such call, or it has nothing to do with the user.
    Unknown,
}

impl CallService {
    /// Whether the call of this leg is the user's. A page asks in the moment in which it answers, and
    /// Twilio tells of that a moment later, so that this waits up to
    /// [`limits::OWNERSHIP_WAIT_MAX`] for it.
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
            // Its record may still wait for the database.
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

    /// Whether the call rang a browser of this user's: as `/voice` was answered, or as Twilio told.
    async fn was_rung(&self, call: &CallSid, user: UserId) -> Result<bool, StoreError> {
        Ok(self.has_rung(call, user) || self.store().rung_users(call).await?.contains(&user))
    }
}
