//! Whose call it is. Only what Twilio signed decides it: the browser that placed the call (`From` of
//! `/voice`), or the browser whose leg was answered (`To` of its status callbacks); the store draws
//! that conclusion from the legs. A page can ask whether a call is its user's, and changes nothing.

use super::Desk;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::{CallRecord, StoreError};

/// What is known when a user asks whether a call is his.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// It is.
    Own(Box<CallRecord>),
    /// It rang the user's browsers, and another user has it.
    Another,
    /// It rings the user's browsers, and Twilio has not said who answered.
    NotTold,
    /// There is no such call, or it has nothing to do with the user.
    Unknown,
}

impl Desk {
    /// Whether the call of this leg is the user's. A page asks in the moment in which it answers, and
    /// Twilio tells of that a moment later, so that this waits up to
    /// [`limits::ANSWER_TOLD_WAIT_MAX`] for it.
    pub async fn claim(&self, leg: &CallSid, user: UserId) -> Result<Claim, StoreError> {
        let mut moved = self.0.moved.subscribe();
        let until = clock::now() + limits::ANSWER_TOLD_WAIT_MAX;
        loop {
            moved.mark_unchanged();
            let claim = self.claim_now(leg, user).await?;
            if claim != Claim::NotTold {
                return Ok(claim);
            }
            tokio::select! {
                Ok(()) = moved.changed() => {}
                () = clock::until(Some(until)) => return Ok(claim),
                () = self.0.tools.tasks.stopping() => return Ok(claim),
            }
        }
    }

    async fn claim_now(&self, leg: &CallSid, user: UserId) -> Result<Claim, StoreError> {
        let Some(record) = self.store().call_record(leg).await? else {
            // Its record may still wait for the database.
            let is_rung = self.has_rung(leg, user) && self.0.gate.has(leg, clock::now());
            return Ok(if is_rung {
                Claim::NotTold
            } else {
                Claim::Unknown
            });
        };
        if record.user_id == Some(user) {
            return Ok(Claim::Own(Box::new(record)));
        }
        if !self.was_rung(&record.sid, user).await? {
            return Ok(Claim::Unknown);
        }
        Ok(match record.user_id {
            Some(_) => Claim::Another,
            None if record.status.is_over() => Claim::Unknown,
            None => Claim::NotTold,
        })
    }

    /// Whether the call rang a browser of this user's: as `/voice` was answered, or as Twilio told.
    async fn was_rung(&self, call: &CallSid, user: UserId) -> Result<bool, StoreError> {
        Ok(self.has_rung(call, user) || self.store().rung(call).await?.contains(&user))
    }
}
