//! Handles Twilio's status callbacks during and after a call. Any callback may arrive twice, late, or out of
//! order; the store decides which ones apply.

use super::reconcile::ReconcileSubject;
use super::twilio_transcription::{LiveTranscriptions, TranscriptionText};
use super::{CallService, lock};
use crate::clock::{self, UtcTime};
use crate::ids::CallSid;
use crate::store::StoreError;
use crate::store::{LegUpdate, Party, Recording, RecordingUpdate, StatusChange, TranscriptState};
use crate::transcript::{CallStatus, Direction, EndReason, Event};
use crate::twilio::webhook::{
    CallAddress, CallStatusCallback, RecordingCallback, StreamCallback, StreamEvent,
    TranscriptionCallback, TranscriptionEvent,
};

impl CallService {
    /// Handles `/api/calls/status`: the status of a leg. `token` identifies the callback.
    pub async fn on_call_status(
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
            parties: parties.map(|(from, to)| (party_of(from), party_of(to))),
            token,
        };
        self.apply_leg_update(&update).await?;
        if let Some(parent) = &update.parent
            && update.status.is_over()
        {
            self.schedule_end_check(parent);
        }
        Ok(())
    }

    /// Applies an update of a leg, and publishes the call's status if it changed.
    pub(super) async fn apply_leg_update(&self, update: &LegUpdate) -> Result<(), StoreError> {
        if update.parent.is_none() && update.status.is_over() {
            // Released even without a record: the call may be deleted, or the database unavailable.
            self.release_call(&update.leg);
        }
        let change = self
            .store()
            .apply_leg_update(update, clock::utc_now())
            .await?;
        // The update may determine the call's owner.
        self.0.leg_changed.send_replace(());
        let Some(StatusChange { from, to }) = change else {
            return Ok(());
        };
        let parent = match &update.parent {
            Some(parent) => parent.clone(),
            None => self.parent_call(&update.leg).await?,
        };
        tracing::info!(call = ?parent, ?from, ?to, "call status changed");
        let status = to;
        self.publish(
            &parent,
            Event::Call {
                status,
                stream_sid: None,
            },
        );
        if status == CallStatus::InProgress {
            lock(&self.0.schedule).on_answered(&parent, clock::now());
            self.on_call_answered(&parent);
        }
        if status.is_over() {
            lock(&self.0.schedule).remove(&ReconcileSubject::Call(parent.clone()));
            self.release_call(&parent);
            lock(&self.0.stream_restarts).remove_call(&parent);
            self.close_transcription(&parent, EndReason::Stopped);
            self.interrupt_waiting_transcript(&parent).await?;
            self.stop_call_recording(&parent).await?;
        }
        Ok(())
    }

    /// Marks a call as completed when Twilio reports its end in a response and not in a callback.
    pub(super) async fn mark_call_over(&self, call: &CallSid) -> Result<(), StoreError> {
        let update = LegUpdate::new(call, CallStatus::Completed);
        self.apply_leg_update(&update).await
    }

    /// Marks the transcript of an ended call as interrupted if it has not started.
    async fn interrupt_waiting_transcript(&self, call: &CallSid) -> Result<(), StoreError> {
        let record = self.store().call_record(call).await?;
        if record.is_some_and(|record| record.transcript == TranscriptState::Waiting) {
            let interrupted = TranscriptState::Interrupted;
            self.store().set_transcript_state(call, interrupted).await?;
        }
        Ok(())
    }

    /// Returns the parent leg's SID, or the leg's own if it has no known parent.
    async fn parent_call(&self, leg: &CallSid) -> Result<CallSid, StoreError> {
        let parent = self.store().find_parent(leg).await?;
        Ok(parent.unwrap_or_else(|| leg.clone()))
    }

    /// Handles `/api/recordings/status`: the status of a recording.
    pub async fn on_recording_status(
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
        self.apply_recording_update(&update).await
    }

    /// Applies an update of a recording, and publishes its status if it changed.
    pub(super) async fn apply_recording_update(
        &self,
        update: &RecordingUpdate,
    ) -> Result<(), StoreError> {
        let has_changed = self
            .store()
            .apply_recording_update(update, clock::utc_now())
            .await?;
        if has_changed && let Some(now) = self.store().recording(&update.recording.sid).await? {
            let call = self.parent_call(&now.call_sid).await?;
            tracing::info!(?call, status = ?now.status, "recording status changed");
            self.publish(&call, Event::Recording { status: now.status });
        }
        Ok(())
    }

    /// Handles `/api/streams/status`: a stream started, stopped or failed. The failure may be the only report
    /// of a stream, if its socket never reached this server.
    pub async fn on_stream_status(&self, callback: &StreamCallback) -> Result<(), StoreError> {
        let call = self.parent_call(&callback.call_sid).await?;
        match callback.event {
            StreamEvent::Started | StreamEvent::Stopped => {
                tracing::debug!(?call, stream = ?callback.stream_sid, event = ?callback.event, "stream");
            }
            StreamEvent::Failed => {
                let error = callback.error.as_deref().unwrap_or("no reason given");
                tracing::warn!(?call, stream = ?callback.stream_sid, error, "Twilio could not stream");
                self.log_call_event(&call, "stream_failed", error, None)
                    .await;
                self.on_stream_failed(&call, callback.name.as_deref());
            }
        }
        Ok(())
    }

    /// Handles `/api/transcriptions/realtime`: events of Twilio's own transcription. `token` identifies the
    /// callback: a repeated callback has the same token.
    pub async fn on_transcription(
        &self,
        callback: &TranscriptionCallback,
        token: Option<String>,
    ) -> Result<(), StoreError> {
        let call = self.parent_call(&callback.call_sid).await?;
        let at = callback.at.unwrap_or_else(clock::utc_now);
        match &callback.event {
            TranscriptionEvent::Started { .. } => {
                if let Some(start) = self.prepare_transcription(&call, at).await?
                    && !start.is_late
                {
                    self.open_transcription(&mut lock(&self.0.transcriptions), &call, &start);
                }
            }
            TranscriptionEvent::Content(content) => {
                let content = TranscriptionText {
                    transcription: callback.transcription_sid.clone(),
                    sequence: callback.sequence,
                    token,
                    track: content.track,
                    text: content.text.clone(),
                    confidence: content.confidence,
                    is_final: content.is_final,
                    language: content.language.clone().unwrap_or_default(),
                    at,
                };
                self.on_transcription_text(&call, &content).await?;
            }
            // Text may arrive after this event; the call's end closes the transcription.
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
                self.log_call_event(&call, "transcription_failed", detail.trim(), None)
                    .await;
                self.close_transcription(&call, EndReason::Dropped);
                self.interrupt_waiting_transcript(&call).await?;
            }
        }
        Ok(())
    }

    /// Publishes transcribed text. It may arrive in any order: before the start event, and after the call's
    /// end.
    async fn on_transcription_text(
        &self,
        call: &CallSid,
        content: &TranscriptionText,
    ) -> Result<(), StoreError> {
        if lock(&self.0.transcriptions).is_duplicate(content) {
            return Ok(());
        }
        let start = self.prepare_transcription(call, content.at).await?;
        let is_late = start.as_ref().is_some_and(|start| start.is_late);
        // Published under the lock, to keep the order.
        let mut transcriptions = lock(&self.0.transcriptions);
        match &start {
            Some(start) => self.open_transcription(&mut transcriptions, call, start),
            None if transcriptions.contains(call) => {}
            None => {
                let why = "the call has just ended: send the callback again".to_owned();
                return Err(StoreError::Unavailable(why));
            }
        }
        if let Some(event) = transcriptions.on_text(call, content) {
            self.publish(call, event);
        }
        drop(transcriptions);
        if is_late {
            self.close_transcription(call, EndReason::Stopped);
        }
        Ok(())
    }

    /// Collects the data to open a transcription; `None` if it is open.
    async fn prepare_transcription(
        &self,
        call: &CallSid,
        at: UtcTime,
    ) -> Result<Option<TranscriptionStart>, StoreError> {
        if lock(&self.0.transcriptions).contains(call) {
            return Ok(None);
        }
        let record = self.store().call_record(call).await?;
        let segments = self.store().segments(call).await?;
        let numbers = segments.iter().map(|segment| segment.id.stream_number());
        let is_late = record
            .as_ref()
            .is_some_and(|record| record.status.is_over());
        if !is_late {
            let live = TranscriptState::Live;
            self.store().set_transcript_state(call, live).await?;
        }
        self.0.deps.transcript_writer.restore_call(call).await?;
        Ok(Some(TranscriptionStart {
            number: 1 + numbers.max().unwrap_or_default(),
            direction: record
                .as_ref()
                .map_or(Direction::Outgoing, |record| record.direction),
            at: record.map_or(at, |record| record.started_at.min(at)),
            is_late,
        }))
    }

    /// Opens the call's channel for Twilio's transcription, unless another callback has just opened it.
    fn open_transcription(
        &self,
        transcriptions: &mut LiveTranscriptions,
        call: &CallSid,
        start: &TranscriptionStart,
    ) {
        if !transcriptions.contains(call) {
            let number = self.0.deps.hub.open_stream(call, start.number);
            transcriptions.start(call.clone(), number, start.direction, start.at);
            self.0.deps.transcript_writer.attach(call);
        }
    }

    fn close_transcription(&self, call: &CallSid, reason: EndReason) {
        if lock(&self.0.transcriptions).stop(call) {
            self.0
                .deps
                .hub
                .close_stream(call, [Event::Ended { reason }]);
        }
    }
}

/// Data to open a call's transcription.
struct TranscriptionStart {
    /// Stream number, greater than that of any stored segment.
    number: u32,
    direction: Direction,
    /// Zero of the call clock.
    at: UtcTime,
    /// Whether the call is over: this text is published, but no more is expected.
    is_late: bool,
}

/// Converts an address to the stored form; a browser's starts with `client:`.
pub(super) fn party_of(address: &CallAddress) -> Party {
    Party(address.to_text())
}
