//! Writes down what is published: one listener on each live call that takes its words, as they
//! settle, from the hub to the store. And reads them back for a call from before this server's time.
//!
//! ```text
//!   media_task ──publish──► hub ──► browsers
//!                            └────► transcript_writer ──► store
//! ```
//!
//! The writer is a listener like any other, so the engine never waits for the disk, and a disk that
//! is slow or full loses nothing: finals stay in the channel until they are written, up to
//! [`CHANNEL_EVENTS_MAX`](crate::limits::CHANNEL_EVENTS_MAX) of them for each call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::hub::{Hub, Subscription};
use crate::ids::CallSid;
use crate::store::{LegUpdate, NewCall, Party, TranscriptState};
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::transcript::{CallStatus, Direction, EndReason, Event, LanguageDoubt, Segment, Speaker};

/// Time before a write that failed is tried again; doubles from the first to the second.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Kind of the entry in a call's log that doubts the language.
const OTHER_LANGUAGE_KIND: &str = "other_language";

/// Writes calls down; clones are the same.
#[derive(Debug, Clone)]
pub struct TranscriptWriter {
    store: Store,
    hub: Hub,
    tasks: Tasks,
    /// Calls that are being written down.
    active_calls: Arc<Mutex<BTreeSet<CallSid>>>,
}

impl TranscriptWriter {
    /// One that writes from `hub` to `store`.
    pub fn new(store: Store, hub: Hub, tasks: Tasks) -> Self {
        Self {
            store,
            hub,
            tasks,
            active_calls: Arc::default(),
        }
    }

    /// Where it writes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Fills the call's channel with what the store has of it, if nothing was published there yet.
    /// `false`: nobody knows the call.
    pub async fn restore_call(&self, call: &CallSid) -> Result<bool, StoreError> {
        if self.hub.has_events(call) {
            return Ok(true);
        }
        let Some(detail) = self.store.call_detail(call).await? else {
            return Ok(false);
        };
        let words = detail.segments.into_iter();
        let status = Event::Call {
            status: detail.call.status,
            stream_sid: None,
        };
        let recording = detail.call.recording;
        let ended = match detail.call.transcript {
            TranscriptState::Complete => Some(EndReason::Stopped),
            TranscriptState::Interrupted => Some(EndReason::Dropped),
            TranscriptState::Off | TranscriptState::Waiting | TranscriptState::Live => None,
        };
        let events = std::iter::once(status)
            .chain(words.map(|segment| Event::Segment { segment }))
            .chain(recording.map(|status| Event::Recording { status }))
            .chain(ended.map(|reason| Event::Ended { reason }));
        self.hub.restore_call(call, events);
        Ok(true)
    }

    /// Writes down a call whose channel is open, until its words have ended.
    pub fn attach(&self, call: &CallSid) {
        if !self.lock_active_calls().insert(call.clone()) {
            return; // One is at it, and looks for news once more before it leaves.
        }
        let (writer, call) = (self.clone(), call.clone());
        self.tasks.spawn(async move {
            let call_writer = writer.call_writer(call.clone());
            match writer.hub.subscribe(&call, None) {
                Ok(channel) => call_writer.run(channel).await,
                Err(error) => tracing::error!(?call, %error, "a call is not written down"),
            }
        });
    }

    /// Notes that the call's audio is kept, as soon as it is known to be.
    pub fn mark_audio_kept(
        &self,
        call: &CallSid,
        kept: impl Future<Output = bool> + Send + 'static,
    ) {
        let (writer, call) = (self.clone(), call.clone());
        self.tasks.spawn(async move {
            if kept.await {
                writer.write_with_retry(&call, TranscriptEntry::Audio).await;
            }
        });
    }

    /// How many calls are being written down.
    pub fn active_call_count(&self) -> usize {
        self.lock_active_calls().len()
    }

    /// Tries until it is done: nothing is given up for a disk that is full or locked. Only a call
    /// that was deleted meanwhile is.
    async fn write_with_retry(&self, call: &CallSid, entry: TranscriptEntry<'_>) {
        let [mut pause, pause_max] = RETRY_DELAYS;
        loop {
            let error = match self.write_entry(call, &entry).await {
                Ok(()) | Err(StoreError::NoSuchCall) => return,
                Err(error @ (StoreError::TooMany { .. } | StoreError::TooLong { .. })) => {
                    tracing::error!(?call, %error, "what happened in a call is not kept");
                    return;
                }
                Err(error) => error,
            };
            tracing::error!(
                ?call, %error, retry_ms = pause.as_millis() as u64,
                "what happened in a call could not be kept; it waits in memory"
            );
            clock::sleep_until(Some(clock::now() + pause)).await;
            pause = (pause * 2).min(pause_max);
        }
    }

    /// Opens a call of which there is nothing but its words.
    async fn open_missing_call(
        &self,
        call: &CallSid,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let matches_direction = |direction: &Direction| {
            let mut words = segments.iter();
            words.all(|segment| direction.speaker(segment.track) == segment.speaker)
        };
        let directions = [Direction::Outgoing, Direction::Incoming];
        let new = NewCall {
            sid: call.clone(),
            direction: directions
                .into_iter()
                .find(matches_direction)
                .unwrap_or_default(),
            status: CallStatus::InProgress,
            from: Party::default(),
            to: Party::default(),
            user_id: None,
            started_at: clock::utc_now(),
            transcript: TranscriptState::Live,
            announced: false,
        };
        self.store.open_call(&new).await.map(|_| ())
    }

    async fn write_entry(
        &self,
        call: &CallSid,
        entry: &TranscriptEntry<'_>,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        match entry {
            TranscriptEntry::Segments(segments) => match store.add_segments(call, segments).await {
                Err(StoreError::NoSuchCall) => {
                    // It began while the database was not there; or was deleted, and stays so.
                    self.open_missing_call(call, segments).await?;
                    store.add_segments(call, segments).await
                }
                kept => kept,
            },
            TranscriptEntry::Status(status) => {
                let now = clock::utc_now();
                let update = LegUpdate {
                    at: Some(now),
                    ..LegUpdate::new(call, *status)
                };
                store.apply_leg_update(&update, now).await.map(|_| ())
            }
            TranscriptEntry::Audio => store.set_has_audio(call, true).await.map(|_| ()),
            TranscriptEntry::Doubt(LanguageDoubt { speaker, expected }) => {
                let speaker_name = match speaker {
                    Speaker::Agent => "the agent",
                    Speaker::Customer => "the customer",
                };
                let detail = format!(
                    "{speaker_name} seems to speak another language than {expected}: the words may be wrong"
                );
                let now = clock::utc_now();
                let logged = store.log(Some(call), OTHER_LANGUAGE_KIND, &detail, None, now);
                logged.await.map(|_| ())
            }
            TranscriptEntry::End(reason) => {
                let state = match reason {
                    EndReason::Stopped => TranscriptState::Complete,
                    EndReason::Dropped
                    | EndReason::Idle
                    | EndReason::NeverStarted
                    | EndReason::ProtocolError
                    | EndReason::ShuttingDown => TranscriptState::Interrupted,
                };
                store.set_transcript_state(call, state).await.map(|_| ())
            }
        }
    }

    fn call_writer(&self, call: CallSid) -> CallWriter {
        CallWriter {
            writer: self.clone(),
            call,
            doubted_speakers: BTreeSet::new(),
            has_finished: false,
        }
    }

    fn lock_active_calls(&self) -> MutexGuard<'_, BTreeSet<CallSid>> {
        self.active_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing of one call; dropped at its end, however it ends.
struct CallWriter {
    writer: TranscriptWriter,
    call: CallSid,
    /// Whose language the call's log has doubted.
    doubted_speakers: BTreeSet<Speaker>,
    /// Whether it has left by itself.
    has_finished: bool,
}

/// Something that is written down.
#[derive(Debug)]
enum TranscriptEntry<'a> {
    Segments(&'a [Segment]),
    /// The end of a call of which nobody tells but its stream; of others the store knows already.
    Status(CallStatus),
    /// Its audio is kept.
    Audio,
    /// Somebody seems to speak another language than the engine writes down.
    Doubt(&'a LanguageDoubt),
    End(EndReason),
}

impl CallWriter {
    async fn run(mut self, mut channel: Subscription) {
        loop {
            channel.ready().await;
            for event in channel.read() {
                self.on_event(&event.event).await;
            }
            // Under the lock that `attach` takes, so that a stream that takes over now is not
            // overlooked: either its news is seen here, or it finds nobody at work.
            let mut active_calls = self.writer.lock_active_calls();
            if channel.is_finished() {
                active_calls.remove(&self.call);
                self.has_finished = true;
                return;
            }
        }
    }

    /// Notes each party once.
    async fn write_language_doubts(&mut self, doubts: &[LanguageDoubt]) {
        for doubt in doubts {
            if self.doubted_speakers.insert(doubt.speaker) {
                self.writer
                    .write_with_retry(&self.call, TranscriptEntry::Doubt(doubt))
                    .await;
            }
        }
    }

    async fn on_event(&mut self, event: &Event) {
        match event {
            Event::Segment { segment } => {
                let segment = std::slice::from_ref(segment);
                self.writer
                    .write_with_retry(&self.call, TranscriptEntry::Segments(segment))
                    .await;
            }
            Event::Snapshot {
                segments,
                doubts,
                ended,
                ..
            } => {
                if !segments.is_empty() {
                    self.writer
                        .write_with_retry(&self.call, TranscriptEntry::Segments(segments))
                        .await;
                }
                self.write_language_doubts(doubts).await;
                if let Some(reason) = ended {
                    self.writer
                        .write_with_retry(&self.call, TranscriptEntry::End(*reason))
                        .await;
                }
            }
            Event::Call { status, .. } if status.is_over() => {
                self.writer
                    .write_with_retry(&self.call, TranscriptEntry::Status(*status))
                    .await;
            }
            Event::Ended { reason } => {
                self.writer
                    .write_with_retry(&self.call, TranscriptEntry::End(*reason))
                    .await;
            }
            Event::Language { doubts } => self.write_language_doubts(doubts).await,
            Event::Partial { .. }
            | Event::Call { .. }
            | Event::Recording { .. }
            | Event::Engine { .. } => {}
        }
    }
}

impl Drop for CallWriter {
    fn drop(&mut self) {
        if !self.has_finished {
            self.writer.lock_active_calls().remove(&self.call);
            tracing::error!(
                call = ?self.call,
                "the last words of this call are lost: the server stopped before the database took \
                 them; its audio, where it is kept, has them"
            );
        }
    }
}
