//! Deletion of calls, here and at Twilio, and the lock that deletions and recording commands share.

use super::error::CallError;
use super::{CallService, lock};
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::CallRecord;

/// Exclusive right to command a call's recording or to delete the call; released on drop.
pub(super) struct CallLock<'a>(&'a CallService, CallSid);

impl Drop for CallLock<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.locked_calls).remove(&self.1);
    }
}

impl CallService {
    /// Locks a call, so that two concurrent starts cannot make two recordings; [`CallError::Busy`] if it is
    /// locked.
    pub(super) fn lock_call(&self, call: &CallSid) -> Result<CallLock<'_>, CallError> {
        let taken = lock(&self.0.locked_calls).insert(call.clone());
        taken
            .then(|| CallLock(self, call.clone()))
            .ok_or(CallError::Busy)
    }

    /// Deletes a call that is over, with its transcript and archive here and its recordings at Twilio.
    /// Twilio's recordings are deleted first and the record last, because without the record, a failed
    /// deletion could not be retried. Of concurrent deletions one proceeds: the others return
    /// [`CallError::Busy`].
    pub async fn delete_call(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        self.delete_call_with(call, user, false).await
    }

    /// As [`Self::delete_call`], and also deletes the call's legs from Twilio's call log, if an account is
    /// configured.
    pub async fn erase_call(&self, call: &CallSid) -> Result<(), CallError> {
        let has_account = self.0.deps.twilio.is_some();
        self.delete_call_with(call, None, has_account).await
    }

    async fn delete_call_with(
        &self,
        call: &CallSid,
        user: Option<UserId>,
        with_legs: bool,
    ) -> Result<(), CallError> {
        let detail = self.store().call_detail(call).await?;
        let call = &detail.ok_or(CallError::NoSuchCall)?.call.sid;
        let _call_lock = self.lock_call(call)?;
        // Read again under the lock, which excludes other deletions.
        let detail = self.store().call_detail(call).await?;
        let detail = detail.ok_or(CallError::NoSuchCall)?;
        if self.may_be_active(&detail.call) {
            return Err(CallError::CallInProgress);
        }
        for recording in &detail.recordings {
            match self.twilio()?.delete_recording(&recording.sid).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        for leg in detail.legs.iter().filter(|_| with_legs) {
            self.twilio()?.delete_call(&leg.sid).await?;
        }
        self.delete_audio(call).await?;
        let deleted = self.store().delete_call(call, clock::utc_now()).await?;
        deleted.ok_or(CallError::NoSuchCall)?;
        // Repeated for a stream that opened in between; none can open now.
        self.delete_audio(call).await?;
        self.0.deps.hub.remove_call(call);
        self.audit_call_event("call_deleted", call, user).await;
        Ok(())
    }

    /// Whether the call may be in progress; a deleted call would continue unseen. A call without a reported
    /// end counts as over after the longest possible call or, without an account, when it has no events.
    fn may_be_active(&self, call: &CallRecord) -> bool {
        let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
        let may_last = self.0.deps.twilio.is_some() && call.started_at > oldest;
        self.0.call_limiter.is_active(&call.sid, clock::now())
            || !call.status.is_over() && (may_last || self.0.deps.hub.has_events(&call.sid))
    }

    /// Deletes calls that started before `time`, and older audio without a call; returns the number of
    /// deleted calls. A call that cannot be deleted now is left for the next run.
    pub async fn delete_calls_before(&self, time: UtcTime) -> usize {
        let calls = self.store().calls_before(time, limits::RETENTION_CALLS_MAX);
        let calls = calls.await.unwrap_or_else(|error| {
            tracing::error!(%error, "could not list old calls");
            Vec::new()
        });
        let mut deleted = 0;
        for call in calls {
            match self.delete_call(&call, None).await {
                Ok(()) => deleted += 1,
                Err(error) => tracing::warn!(?call, %error, "could not delete an old call"),
            }
        }
        if let Err(error) = self.sweep_audio(time).await {
            tracing::error!(%error, "could not delete old audio");
        }
        deleted
    }
}
