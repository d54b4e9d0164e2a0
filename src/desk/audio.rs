//! Calls' audio on this machine, beside its writing: read, deleted, and brought in line with the
//! store. Whether calls are archived now makes no difference: what was kept is there.

use std::io;

use super::{Desk, DeskError};
use crate::archive::{Kept, Shelf};
use crate::clock::UtcTime;
use crate::ids::CallSid;

impl Desk {
    /// The call's audio as far as it is written; `None`: none was kept.
    pub async fn audio(&self, call: &CallSid) -> Result<Option<Kept>, DeskError> {
        let call = call.clone();
        let kept = self.on_shelf(move |shelf| shelf.read(&call)).await?;
        Ok(kept.flatten())
    }

    /// Deletes the call's audio, also while it is written.
    pub(super) async fn delete_audio(&self, call: &CallSid) -> Result<(), DeskError> {
        let call = call.clone();
        self.on_shelf(move |shelf| shelf.delete(&call)).await?;
        Ok(())
    }

    /// Deletes audio that was last written before `time`: that of calls that are gone, and of those
    /// that will go as soon as Twilio lets them.
    pub(super) async fn sweep_audio(&self, time: UtcTime) -> Result<(), DeskError> {
        let swept = self.on_shelf(move |shelf| shelf.sweep(time)).await?;
        for call in swept.into_iter().flatten() {
            tracing::info!(?call, "audio was deleted: it was old enough");
            self.store().set_audio(&call, false).await?;
        }
        Ok(())
    }

    /// At the start: notes calls' audio of which a server that broke off could not tell.
    pub async fn find_audio(&self) -> Result<(), DeskError> {
        let calls = self.on_shelf(Shelf::calls).await?;
        for call in calls.into_iter().flatten() {
            let record = self.store().call_record(&call).await?;
            if record.is_some_and(|record| !record.has_audio) {
                self.store().set_audio(&call, true).await?;
            }
        }
        Ok(())
    }

    /// Does something on the disk, where that may take its time; `None`: there is no shelf.
    async fn on_shelf<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shelf) -> io::Result<T> + Send + 'static,
    ) -> Result<Option<T>, DeskError> {
        let Some(archives) = self.0.tools.shelf.clone() else {
            return Ok(None);
        };
        let done = tokio::task::spawn_blocking(move || act(&archives)).await;
        let done = done.unwrap_or_else(|broken| Err(io::Error::other(broken)));
        done.map(Some).map_err(DeskError::Archive)
    }
}
