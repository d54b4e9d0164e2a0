//! What Twilio tells of a call while it goes on and after. Every callback may come twice, late, or
//! in the wrong order; the store decides what counts.

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
    /// `/api/calls/status`: a leg moved. `token` names the callback.
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

    /// Takes in news of a leg, and tells the page if its call moved.
    pub(super) async fn apply_leg_update(&self, update: &LegUpdate) -> Result<(), StoreError> {
        if update.parent.is_none() && update.status.is_over() {
            // Whatever is known of the call: it may have been deleted, or the database be away.
            self.release_call(&update.leg);
        }
        let change = self
            .store()
            .apply_leg_update(update, clock::utc_now())
            .await?;
        // Whose call it is may be known now.
        self.0.leg_changed.send_replace(());
        let Some(StatusChange { from, to }) = change else {
            return Ok(());
        };
        let parent = match &update.parent {
            Some(parent) => parent.clone(),
            None => self.parent_call(&update.leg).await?,
        };
        tracing::info!(call = ?parent, ?from, ?to, "call moved");
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

    /// Twilio has said that the call is over, without having told of its end.
    pub(super) async fn mark_call_over(&self, call: &CallSid) -> Result<(), StoreError> {
        let update = LegUpdate::new(call, CallStatus::Completed);
        self.apply_leg_update(&update).await
    }

    /// Words that have not begun to come by the call's end will not come.
    async fn interrupt_waiting_transcript(&self, call: &CallSid) -> Result<(), StoreError> {
        let record = self.store().call_record(call).await?;
        if record.is_some_and(|record| record.transcript == TranscriptState::Waiting) {
            let interrupted = TranscriptState::Interrupted;
            self.store().set_transcript_state(call, interrupted).await?;
        }
        Ok(())
    }

    /// The call that a leg belongs to.
    async fn parent_call(&self, leg: &CallSid) -> Result<CallSid, StoreError> {
        let parent = self.store().find_parent(leg).await?;
        Ok(parent.unwrap_or_else(|| leg.clone()))
    }

    /// `/api/recordings/status`: a recording moved.
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

    /// Takes in news of a recording, and tells the page.
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
            tracing::info!(?call, status = ?now.status, "recording moved");
            self.publish(&call, Event::Recording { status: now.status });
        }
        Ok(())
    }

    /// `/api/streams/status`: a stream began, ended or failed. That it failed may be all there is
    /// to know of it, if its socket never reached this server.
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

    /// `/api/transcriptions/realtime`: Twilio's own words for the call.
    /// `token` names the callback: a repetition has the same.
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
                self.log_call_event(&call, "transcription_failed", detail.trim(), None)
                    .await;
                self.close_transcription(&call, EndReason::Dropped);
                self.interrupt_waiting_transcript(&call).await?;
            }
        }
        Ok(())
    }

    /// Words. They come in any order: before the start is told, and after the call's end.
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
        // What is heard is told under the lock, so that it is told in that order.
        let mut transcriptions = lock(&self.0.transcriptions);
        match &start {
            Some(start) => self.open_transcription(&mut transcriptions, call, start),
            None if transcriptions.contains(call) => {}
            None => {
                let why = "the call has just ended: tell it again".to_owned();
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

    /// What must be known to listen to a call that is not listened to; `None`: it is.
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

    /// Opens the call's channel for Twilio's words, if another callback has not just done that.
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

/// What must be known to listen to Twilio's words for a call.
struct TranscriptionStart {
    /// More than that of any words that are there.
    number: u32,
    direction: Direction,
    /// When the call's clock began.
    at: UtcTime,
    /// Whether the call is over: words come now, but no more are to be waited for.
    is_late: bool,
}

/// A party as it is kept: a browser is a `client:`.
pub(super) fn party_of(address: &CallAddress) -> Party {
    Party(address.to_text())
}
