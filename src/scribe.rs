//! Writes down what is published: one listener on each live call that takes its words, as they
//! settle, from the hub to the store. And reads them back for a call from before this server's time.
//!
//! ```text
//!   call ──publish──► hub ──► browsers
//!                      └────► scribe ──► store
//! ```
//!
//! The scribe is a listener like any other, so the engine never waits for the disk, and a disk that
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
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Kind of the entry in a call's log that doubts the language.
const OTHER_LANGUAGE: &str = "other_language";

/// Writes calls down; clones are the same.
#[derive(Debug, Clone)]
pub struct Scribe {
    store: Store,
    hub: Hub,
    tasks: Tasks,
    /// Calls that are being written down.
    at_work: Arc<Mutex<BTreeSet<CallSid>>>,
}

impl Scribe {
    /// One that writes from `hub` to `store`.
    pub fn new(store: Store, hub: Hub, tasks: Tasks) -> Self {
        Self {
            store,
            hub,
            tasks,
            at_work: Arc::default(),
        }
    }

    /// Where it writes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Fills the call's channel with what the store has of it, if nothing was published there yet.
    /// `false`: nobody knows the call.
    pub async fn recall(&self, call: &CallSid) -> Result<bool, StoreError> {
        if self.hub.knows(call) {
            return Ok(true);
        }
        let Some(detail) = self.store.call(call).await? else {
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
        self.hub.recall(call, events);
        Ok(true)
    }

    /// Writes down a call whose channel is open, until its words have ended.
    pub fn follow(&self, call: &CallSid) {
        if !self.at_work().insert(call.clone()) {
            return; // One is at it, and looks for news once more before it leaves.
        }
        let (scribe, call) = (self.clone(), call.clone());
        self.tasks.spawn(async move {
            let desk = scribe.at_desk(call.clone());
            match scribe.hub.subscribe(&call, None) {
                Ok(channel) => desk.write(channel).await,
                Err(error) => tracing::error!(?call, %error, "a call is not written down"),
            }
        });
    }

    /// Notes that the call's audio is kept, as soon as it is known to be.
    pub fn note_audio(&self, call: &CallSid, kept: impl Future<Output = bool> + Send + 'static) {
        let (scribe, call) = (self.clone(), call.clone());
        self.tasks.spawn(async move {
            if kept.await {
                scribe.insist(&call, Entry::Audio).await;
            }
        });
    }

    /// How many calls are being written down.
    pub fn calls(&self) -> usize {
        self.at_work().len()
    }

    /// Tries until it is done: nothing is given up for a disk that is full or locked. Only a call
    /// that was deleted meanwhile is.
    async fn insist(&self, call: &CallSid, entry: Entry<'_>) {
        let [mut pause, longest] = RETRY;
        loop {
            let error = match self.enter(call, &entry).await {
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
            clock::until(Some(clock::now() + pause)).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Opens a call of which there is nothing but its words.
    async fn make_up(&self, call: &CallSid, segments: &[Segment]) -> Result<(), StoreError> {
        let says = |direction: &Direction| {
            let mut words = segments.iter();
            words.all(|segment| direction.speaker(segment.track) == segment.speaker)
        };
        let directions = [Direction::Outgoing, Direction::Incoming];
        let new = NewCall {
            sid: call.clone(),
            direction: directions.into_iter().find(says).unwrap_or_default(),
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

    async fn enter(&self, call: &CallSid, entry: &Entry<'_>) -> Result<(), StoreError> {
        let store = &self.store;
        match entry {
            Entry::Words(segments) => match store.keep_segments(call, segments).await {
                Err(StoreError::NoSuchCall) => {
                    // It began while the database was not there; or was deleted, and stays so.
                    self.make_up(call, segments).await?;
                    store.keep_segments(call, segments).await
                }
                kept => kept,
            },
            Entry::Status(status) => {
                let now = clock::utc_now();
                let update = LegUpdate {
                    at: Some(now),
                    ..LegUpdate::new(call, *status)
                };
                store.apply_leg(&update, now).await.map(|_| ())
            }
            Entry::Audio => store.set_audio(call, true).await.map(|_| ()),
            Entry::Doubt(LanguageDoubt { speaker, expected }) => {
                let who = match speaker {
                    Speaker::Agent => "the agent",
                    Speaker::Customer => "the customer",
                };
                let detail = format!(
                    "{who} seems to speak another language than {expected}: the words may be wrong"
                );
                let now = clock::utc_now();
                let noted = store.log(Some(call), OTHER_LANGUAGE, &detail, None, now);
                noted.await.map(|_| ())
            }
            Entry::End(reason) => {
                let state = match reason {
                    EndReason::Stopped => TranscriptState::Complete,
                    EndReason::Dropped
                    | EndReason::Idle
                    | EndReason::NeverStarted
                    | EndReason::ProtocolError
                    | EndReason::ShuttingDown => TranscriptState::Interrupted,
                };
                store.set_transcript(call, state).await.map(|_| ())
            }
        }
    }

    fn at_desk(&self, call: CallSid) -> AtWork {
        AtWork {
            scribe: self.clone(),
            call,
            noted: BTreeSet::new(),
            has_left: false,
        }
    }

    fn at_work(&self) -> MutexGuard<'_, BTreeSet<CallSid>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing of one call; dropped at its end, however it ends.
struct AtWork {
    scribe: Scribe,
    call: CallSid,
    /// Whose language the call's log has doubted.
    noted: BTreeSet<Speaker>,
    /// Whether it has left by itself.
    has_left: bool,
}

/// Something that is written down.
#[derive(Debug)]
enum Entry<'a> {
    Words(&'a [Segment]),
    /// The end of a call of which nobody tells but its stream; of others the store knows already.
    Status(CallStatus),
    /// Its audio is kept.
    Audio,
    /// Somebody seems to speak another language than the engine writes down.
    Doubt(&'a LanguageDoubt),
    End(EndReason),
}

impl AtWork {
    async fn write(mut self, mut channel: Subscription) {
        loop {
            channel.ready().await;
            for event in channel.read() {
                self.take(&event.event).await;
            }
            // Under the lock that `follow` takes, so that a stream that takes over now is not
            // overlooked: either its news is seen here, or it finds nobody at work.
            let mut at_work = self.scribe.at_work();
            if channel.is_over() {
                at_work.remove(&self.call);
                self.has_left = true;
                return;
            }
        }
    }

    /// Notes each party once.
    async fn note(&mut self, doubts: &[LanguageDoubt]) {
        for doubt in doubts {
            if self.noted.insert(doubt.speaker) {
                self.scribe.insist(&self.call, Entry::Doubt(doubt)).await;
            }
        }
    }

    async fn take(&mut self, event: &Event) {
        match event {
            Event::Segment { segment } => {
                let segment = std::slice::from_ref(segment);
                self.scribe.insist(&self.call, Entry::Words(segment)).await;
            }
            Event::Snapshot {
                segments,
                doubts,
                ended,
                ..
            } => {
                if !segments.is_empty() {
                    self.scribe.insist(&self.call, Entry::Words(segments)).await;
                }
                self.note(doubts).await;
                if let Some(reason) = ended {
                    self.scribe.insist(&self.call, Entry::End(*reason)).await;
                }
            }
            Event::Call { status, .. } if status.is_over() => {
                self.scribe.insist(&self.call, Entry::Status(*status)).await;
            }
            Event::Ended { reason } => self.scribe.insist(&self.call, Entry::End(*reason)).await,
            Event::Language { doubts } => self.note(doubts).await,
            Event::Partial { .. }
            | Event::Call { .. }
            | Event::Recording { .. }
            | Event::Engine { .. } => {}
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.has_left {
            self.scribe.at_work().remove(&self.call);
            tracing::error!(
                call = ?self.call,
                "the last words of this call are lost: the server stopped before the database took \
                 them; its audio, where it is kept, has them"
            );
        }
    }
}
