//! What Twilio tells of a call while it goes on and after. Every callback may come twice, late, or
//! in the wrong order; the store decides what counts.

use super::realtime::{Content, Transcriptions};
use super::reconcile::Subject;
use super::{Desk, lock};
use crate::clock::{self, UtcTime};
use crate::ids::CallSid;
use crate::store::StoreError;
use crate::store::{LegUpdate, Party, Recording, RecordingUpdate, StatusChange, TranscriptState};
use crate::transcript::{CallStatus, Direction, EndReason, Event};
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
            parties: parties.map(|(from, to)| (party(from), party(to))),
            token,
        };
        self.follow_leg(&update).await?;
        if let Some(parent) = &update.parent
            && update.status.is_over()
        {
            self.may_be_over(parent);
        }
        Ok(())
    }

    /// Takes in news of a leg, and tells the page if its call moved.
    pub(super) async fn follow_leg(&self, update: &LegUpdate) -> Result<(), StoreError> {
        if update.parent.is_none() && update.status.is_over() {
            // Whatever is known of the call: it may have been deleted, or the database be away.
            self.release(&update.leg);
        }
        let change = self.store().apply_leg(update, clock::utc_now()).await?;
        // Whose call it is may be known now.
        self.0.moved.send_replace(());
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
        if status == CallStatus::InProgress {
            lock(&self.0.schedule).talks(&parent, clock::now());
            self.stream_answered(&parent);
        }
        if status.is_over() {
            lock(&self.0.schedule).remove(&Subject::Call(parent.clone()));
            self.release(&parent);
            lock(&self.0.restarts).forget(&parent);
            self.end_transcription(&parent, EndReason::Stopped);
            self.stop_waiting(&parent).await?;
            self.end_recording(&parent).await?;
        }
        Ok(())
    }

    /// Twilio has said that the call is over, without having told of its end.
    pub(super) async fn call_over(&self, call: &CallSid) -> Result<(), StoreError> {
        let update = LegUpdate::new(call, CallStatus::Completed);
        self.follow_leg(&update).await
    }

    /// Words that have not begun to come by the call's end will not come.
    async fn stop_waiting(&self, call: &CallSid) -> Result<(), StoreError> {
        let record = self.store().call_record(call).await?;
        if record.is_some_and(|record| record.transcript == TranscriptState::Waiting) {
            let interrupted = TranscriptState::Interrupted;
            self.store().set_transcript(call, interrupted).await?;
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
                self.stream_failed(&call, callback.name.as_deref());
            }
        }
        Ok(())
    }

    /// `/api/transcriptions/realtime`: Twilio's own words for the call.
    /// `token` names the callback: a repetition has the same.
    pub async fn words_came(
        &self,
        callback: &TranscriptionCallback,
        token: Option<String>,
    ) -> Result<(), StoreError> {
        let call = self.parent(&callback.call_sid).await?;
        let at = callback.at.unwrap_or_else(clock::utc_now);
        match &callback.event {
            TranscriptionEvent::Started { .. } => {
                if let Some(begin) = self.prepare(&call, at).await?
                    && !begin.is_late
                {
                    self.listen_in(&mut lock(&self.0.transcriptions), &call, &begin);
                }
            }
            TranscriptionEvent::Content(content) => {
                let content = Content {
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
                self.hear_content(&call, &content).await?;
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
                self.stop_waiting(&call).await?;
            }
        }
        Ok(())
    }

    /// Words. They come in any order: before the start is told, and after the call's end.
    async fn hear_content(&self, call: &CallSid, content: &Content) -> Result<(), StoreError> {
        if lock(&self.0.transcriptions).is_repetition(content) {
            return Ok(());
        }
        let begin = self.prepare(call, content.at).await?;
        let is_late = begin.as_ref().is_some_and(|begin| begin.is_late);
        // What is heard is told under the lock, so that it is told in that order.
        let mut transcriptions = lock(&self.0.transcriptions);
        match &begin {
            Some(begin) => self.listen_in(&mut transcriptions, call, begin),
            None if transcriptions.knows(call) => {}
            None => {
                let why = "the call has just ended: tell it again".to_owned();
                return Err(StoreError::Unavailable(why));
            }
        }
        if let Some(event) = transcriptions.hear(call, content) {
            self.tell(call, event);
        }
        drop(transcriptions);
        if is_late {
            self.end_transcription(call, EndReason::Stopped);
        }
        Ok(())
    }

    /// What must be known to listen to a call that is not listened to; `None`: it is.
    async fn prepare(&self, call: &CallSid, at: UtcTime) -> Result<Option<Begin>, StoreError> {
        if lock(&self.0.transcriptions).knows(call) {
            return Ok(None);
        }
        let record = self.store().call_record(call).await?;
        let segments = self.store().segments(call).await?;
        let numbers = segments.iter().map(|segment| segment.id.stream());
        let is_late = record
            .as_ref()
            .is_some_and(|record| record.status.is_over());
        if !is_late {
            let live = TranscriptState::Live;
            self.store().set_transcript(call, live).await?;
        }
        self.0.tools.scribe.recall(call).await?;
        Ok(Some(Begin {
            number: 1 + numbers.max().unwrap_or_default(),
            direction: record
                .as_ref()
                .map_or(Direction::Outgoing, |record| record.direction),
            at: record.map_or(at, |record| record.started_at.min(at)),
            is_late,
        }))
    }

    /// Opens the call's channel for Twilio's words, if another callback has not just done that.
    fn listen_in(&self, transcriptions: &mut Transcriptions, call: &CallSid, begin: &Begin) {
        if !transcriptions.knows(call) {
            let number = self.0.tools.hub.open(call, begin.number);
            transcriptions.begin(call.clone(), number, begin.direction, begin.at);
            self.0.tools.scribe.follow(call);
        }
    }

    fn end_transcription(&self, call: &CallSid, reason: EndReason) {
        if lock(&self.0.transcriptions).end(call) {
            self.0.tools.hub.close(call, [Event::Ended { reason }]);
        }
    }
}

/// What must be known to listen to Twilio's words for a call.
struct Begin {
    /// More than that of any words that are there.
    number: u32,
    direction: Direction,
    /// When the call's clock began.
    at: UtcTime,
    /// Whether the call is over: words come now, but no more are to be waited for.
    is_late: bool,
}

/// A party as it is kept: a browser is a `client:`.
pub(super) fn party(address: &Address) -> Party {
    Party(address.to_text())
}
