//! What Twilio tells of a call while it goes on and after. Every callback may come twice, late, or
//! in the wrong order; the store decides what counts.

use super::realtime::Content;
use super::{Desk, lock};
use crate::clock::{self, UtcTime};
use crate::ids::CallSid;
use crate::store::StoreError;
use crate::store::{LegUpdate, Party, Recording, RecordingUpdate, StatusChange, TranscriptState};
use crate::transcript::{Direction, EndReason, Event};
use crate::twilio::webhook::{
    Address, CallStatusCallback, RecordingCallback, StreamCallback, StreamEvent,
    TranscriptionCallback, TranscriptionEvent,
};

impl Desk {
    /// `/api/calls/status`: a leg moved. `token` names the callback.
    pub async fn call_moved(
        &self,
        callback: &CallStatusCallback,
        token: Option<String>,
    ) -> Result<(), StoreError> {
        let parties = callback.from.as_ref().zip(callback.to.as_ref());
        let update = LegUpdate {
            leg: callback.call_sid.clone(),
            parent: callback.parent.clone(),
            status: callback.status,
            sequence: callback.sequence,
            at: callback.at,
            duration_seconds: callback.duration_seconds,
            sip_code: callback.sip_code,
            parties: parties.map(|(from, to)| {
                // The store tells a browser by its `client:`.
                let party = |address: &Address| Party(address.to_text());
                (party(from), party(to))
            }),
            token,
        };
        self.follow_leg(&update).await
    }

    /// Takes in news of a leg, and tells the page if its call moved.
    pub(super) async fn follow_leg(&self, update: &LegUpdate) -> Result<(), StoreError> {
        let change = self.store().apply_leg(update, clock::utc_now()).await?;
        let Some(StatusChange { from, to }) = change else {
            return Ok(());
        };
        let parent = match &update.parent {
            Some(parent) => parent.clone(),
            None => self.parent(&update.leg).await?,
        };
        tracing::info!(call = ?parent, ?from, ?to, "call moved");
        let status = to;
        self.tell(
            &parent,
            Event::Call {
                status,
                stream_sid: None,
            },
        );
        if status.is_over() {
            self.0.gate.release(&parent, clock::now());
            lock(&self.0.restarts).forget(&parent);
            self.end_transcription(&parent, EndReason::Stopped);
        }
        Ok(())
    }

    /// The call that a leg belongs to.
    async fn parent(&self, leg: &CallSid) -> Result<CallSid, StoreError> {
        let parent = self.store().find_parent(leg).await?;
        Ok(parent.unwrap_or_else(|| leg.clone()))
    }

    /// `/api/recordings/status`: a recording moved.
    pub async fn recording_moved(
        &self,
        callback: &RecordingCallback,
        token: Option<String>,
    ) -> Result<(), StoreError> {
        let update = RecordingUpdate {
            recording: Recording {
                sid: callback.recording_sid.clone(),
                call_sid: callback.call_sid.clone(),
                status: callback.status,
                channels: callback.channels,
                duration_seconds: callback.duration_seconds,
                started_at: callback.started_at,
            },
            token,
        };
        self.follow_recording(&update).await
    }

    /// Takes in news of a recording, and tells the page.
    pub(super) async fn follow_recording(
        &self,
        update: &RecordingUpdate,
    ) -> Result<(), StoreError> {
        let moved = self
            .store()
            .apply_recording(update, clock::utc_now())
            .await?;
        if moved && let Some(now) = self.store().recording(&update.recording.sid).await? {
            let call = self.parent(&now.call_sid).await?;
            tracing::info!(?call, status = ?now.status, "recording moved");
            self.tell(&call, Event::Recording { status: now.status });
        }
        Ok(())
    }

    /// `/api/streams/status`: a stream began, ended or failed. That it failed may be all there is
    /// to know of it, if its socket never reached this server.
    pub async fn stream_moved(&self, callback: &StreamCallback) -> Result<(), StoreError> {
        let call = self.parent(&callback.call_sid).await?;
        match callback.event {
            StreamEvent::Started | StreamEvent::Stopped => {
                tracing::debug!(?call, stream = ?callback.stream_sid, event = ?callback.event, "stream");
            }
            StreamEvent::Failed => {
                let error = callback.error.as_deref().unwrap_or("no reason given");
                tracing::warn!(?call, stream = ?callback.stream_sid, error, "Twilio could not stream");
                self.note(&call, "stream_failed", error, None).await;
                self.stream_lost(&call);
            }
        }
        Ok(())
    }

    /// `/api/transcriptions/realtime`: Twilio's own words for the call.
    pub async fn words_came(&self, callback: &TranscriptionCallback) -> Result<(), StoreError> {
        let call = self.parent(&callback.call_sid).await?;
        let at = callback.at.unwrap_or_else(clock::utc_now);
        match &callback.event {
            TranscriptionEvent::Started { .. } => self.begin_transcription(&call, at).await?,
            TranscriptionEvent::Content(content) => {
                // The order of callbacks is not the order of events.
                self.begin_transcription(&call, at).await?;
                let content = Content {
                    sequence: u64::from(callback.sequence.unwrap_or_default()),
                    track: content.track,
                    text: content.text.clone(),
                    confidence: content.confidence,
                    is_final: content.is_final,
                    language: content.language.clone().unwrap_or_default(),
                    at,
                };
                let heard = lock(&self.0.transcriptions).hear(&call, &content);
                match heard {
                    // Nobody listens any more, and the scribe has left.
                    Some((Event::Segment { segment }, true)) => {
                        self.store().keep_segments(&call, &[segment]).await?;
                    }
                    Some((event, false)) => self.tell(&call, event),
                    Some((_, true)) | None => {}
                }
            }
            // Words may still come after it; the call's own end ends them.
            TranscriptionEvent::Stopped => {
                tracing::debug!(?call, "Twilio's transcription stopped");
            }
            TranscriptionEvent::Failed { code, message } => {
                let (code, why) = (
                    code.unwrap_or_default(),
                    message.as_deref().unwrap_or_default(),
                );
                tracing::warn!(?call, code, why, "Twilio's transcription failed");
                let detail = format!("{code} {why}");
                self.note(&call, "transcription_failed", detail.trim(), None)
                    .await;
                self.end_transcription(&call, EndReason::Dropped);
            }
        }
        Ok(())
    }

    /// Opens the call's channel for Twilio's words, if that has not been done.
    async fn begin_transcription(&self, call: &CallSid, at: UtcTime) -> Result<(), StoreError> {
        if lock(&self.0.transcriptions).knows(call) {
            return Ok(());
        }
        self.0.tools.scribe.recall(call).await?;
        self.store()
            .set_transcript(call, TranscriptState::Live)
            .await?;
        let record = self.store().call_record(call).await?;
        let direction = record
            .as_ref()
            .map_or(Direction::Outgoing, |record| record.direction);
        let begun = record.map_or(at, |record| record.answered_at.unwrap_or(record.started_at));
        {
            let mut transcriptions = lock(&self.0.transcriptions);
            if transcriptions.knows(call) {
                return Ok(()); // Two callbacks at once.
            }
            let number = self.0.tools.hub.open(call, 1);
            transcriptions.begin(call.clone(), number, direction, begun.min(at));
        }
        self.0.tools.scribe.follow(call);
        Ok(())
    }

    fn end_transcription(&self, call: &CallSid, reason: EndReason) {
        if lock(&self.0.transcriptions).end(call) {
            self.0.tools.hub.close(call, [Event::Ended { reason }]);
        }
    }
}
