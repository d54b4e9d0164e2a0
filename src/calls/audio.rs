//! Archived call audio: reads it, deletes it, and reconciles it with the store. Works whether or not the
//! archive is enabled at present: audio kept earlier is available.

use std::io;

use super::{CallError, CallService};
use crate::archive::{ArchivedAudio, AudioArchive};
use crate::clock::UtcTime;
use crate::ids::CallSid;

impl CallService {
    /// Returns the call's archived audio so far; `None` if none was kept.
    pub async fn read_audio(&self, call: &CallSid) -> Result<Option<ArchivedAudio>, CallError> {
        let call = call.clone();
        let kept = self
            .with_audio_archive(move |audio_archive| audio_archive.read(&call))
            .await?;
        Ok(kept.flatten())
    }

    /// Deletes the call's archived audio, even while it is being written.
    pub(super) async fn delete_audio(&self, call: &CallSid) -> Result<(), CallError> {
        let call = call.clone();
        self.with_audio_archive(move |audio_archive| audio_archive.delete(&call))
            .await?;
        Ok(())
    }

    /// Deletes audio that was last written before `time`: that of deleted calls, and that of calls that are
    /// deleted as soon as Twilio permits it.
    pub(super) async fn sweep_audio(&self, time: UtcTime) -> Result<(), CallError> {
        let swept = self
            .with_audio_archive(move |audio_archive| audio_archive.sweep(time))
            .await?;
        for call in swept.into_iter().flatten() {
            tracing::info!(?call, "deleted old audio");
            self.store().set_has_audio(&call, false).await?;
        }
        Ok(())
    }

    /// Marks at the start the calls with archived audio that a crashed server could not mark.
    pub async fn restore_audio_flags(&self) -> Result<(), CallError> {
        let calls = self.with_audio_archive(AudioArchive::list_calls).await?;
        for call in calls.into_iter().flatten() {
            let record = self.store().call_record(&call).await?;
            if record.is_some_and(|record| !record.has_audio) {
                self.store().set_has_audio(&call, true).await?;
            }
        }
        Ok(())
    }

    /// Runs an archive operation on a blocking thread; `None` if there is no archive.
    async fn with_audio_archive<T: Send + 'static>(
        &self,
        act: impl FnOnce(&AudioArchive) -> io::Result<T> + Send + 'static,
    ) -> Result<Option<T>, CallError> {
        let Some(archives) = self.0.deps.audio_archive.clone() else {
            return Ok(None);
        };
        let done = tokio::task::spawn_blocking(move || act(&archives)).await;
        let done = done.unwrap_or_else(|broken| Err(io::Error::other(broken)));
        done.map(Some).map_err(CallError::Archive)
    }
}
