//! Writes transcripts to the store: one listener on each live call reads its finals from the hub and stores
//! them. Also fills a call's channel from the store after a restart of the server.
//!
//! ```text
//!   media_task ──publish──► hub ──► browsers
//!                            └────► transcript_writer ──► store
//! ```
//!
//! The writer is a listener like any other, so the engine never waits for the disk, and a slow or full disk
//! loses nothing: finals stay in the channel until they are written, up to
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

/// First and longest delay before a failed write is retried; the delay doubles in between.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Kind of the log entry that reports a language doubt.
const OTHER_LANGUAGE_KIND: &str = "other_language";

/// Writes the transcripts of live calls; clones share their state.
#[derive(Debug, Clone)]
pub struct TranscriptWriter {
    store: Store,
    hub: Hub,
    tasks: Tasks,
    /// Calls with a running writer.
    active_calls: Arc<Mutex<BTreeSet<CallSid>>>,
}

impl TranscriptWriter {
    /// Creates a writer from `hub` to `store`.
    pub fn new(store: Store, hub: Hub, tasks: Tasks) -> Self {
        Self {
            store,
            hub,
            tasks,
            active_calls: Arc::default(),
        }
    }

    /// Returns the store that it writes to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Fills the call's channel from the store, if nothing has been published there. Returns `false` if the
    /// call is unknown; an error when the store cannot be read.
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

    /// Starts a writer for a call with an open channel; it runs until the end of the transcript. Does nothing
    /// if one is running.
    pub fn attach(&self, call: &CallSid) {
        if !self.lock_active_calls().insert(call.clone()) {
            return; // A writer is running, and reads the channel once more before it ends.
        }
        let (writer, call) = (self.clone(), call.clone());
        self.tasks.spawn(async move {
            let call_writer = writer.call_writer(call.clone());
            match writer.hub.subscribe(&call, None) {
                Ok(channel) => call_writer.run(channel).await,
                Err(error) => tracing::error!(?call, %error, "could not write a call's transcript"),
            }
        });
    }

    /// Sets the call's audio flag as soon as `kept` resolves to `true`.
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

    /// Returns the number of calls with a running writer.
    pub fn active_call_count(&self) -> usize {
        self.lock_active_calls().len()
    }

    /// Retries until the entry is written: a full or locked disk loses nothing. Gives up only for a call that
    /// was deleted in the meantime, and for an entry that the store refuses.
    async fn write_with_retry(&self, call: &CallSid, entry: TranscriptEntry<'_>) {
        let [mut pause, pause_max] = RETRY_DELAYS;
        loop {
            let error = match self.write_entry(call, &entry).await {
                Ok(()) | Err(StoreError::NoSuchCall) => return,
                Err(error @ (StoreError::TooMany { .. } | StoreError::TooLong { .. })) => {
                    tracing::error!(?call, %error, "discarded an entry that the store refuses");
                    return;
                }
                Err(error) => error,
            };
            tracing::error!(
                ?call, %error, retry_ms = pause.as_millis() as u64,
                "could not store an entry of a call; it is kept in memory and retried"
            );
            clock::sleep_until(Some(clock::now() + pause)).await;
            pause = (pause * 2).min(pause_max);
        }
    }

    /// Opens a call that has segments and no record.
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
                    // The call started during an outage of the database; a deleted call stays deleted.
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
                    "{speaker_name} seems to speak another language than {expected}: the transcript may be wrong"
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

/// The writer of one call; leaves the running writers when dropped, also after a panic.
struct CallWriter {
    writer: TranscriptWriter,
    call: CallSid,
    /// Parties with a language doubt in the call's log.
    doubted_speakers: BTreeSet<Speaker>,
    /// Whether it has left the running writers by itself.
    has_finished: bool,
}

/// An entry to write.
#[derive(Debug)]
enum TranscriptEntry<'a> {
    Segments(&'a [Segment]),
    /// The end of a call that only its stream reports; of other calls the store already has it.
    Status(CallStatus),
    /// The call's audio is archived.
    Audio,
    /// A party seems to speak another language than the engine transcribes.
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
            // Under the lock that `attach` takes, so that a stream that starts now is not missed: either this
            // writer reads its events, or `attach` finds no running writer.
            let mut active_calls = self.writer.lock_active_calls();
            if channel.is_finished() {
                active_calls.remove(&self.call);
                self.has_finished = true;
                return;
            }
        }
    }

    /// Writes one entry for each party.
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
                "the end of this call's transcript is lost: the server stopped before the database \
                 stored it; the call's audio, if it is archived, has it"
            );
        }
    }
}
