//! Publish/subscribe hub: one [`CallChannel`] for each call, and its listeners.
//!
//! ```text
//!   media_task ──publish──► Topic ─── wakes ─► Subscription (a cursor) ─read─► api::live ─► browser A
//!                           └─ CallChannel ◄── Subscription (a cursor) ─read─► api::live ─► browser B
//! ```
//!
//! Publishing appends to one log and wakes the listeners; it never waits, and costs the same for one
//! listener and for a thousand. Locks are held for map look-ups and copies of a few pointers, never over an
//! await, and always in the order topics, then channel.
//!
//! A topic is removed
//! * when its call has ended, its last listener has left, and [`limits::CHANNEL_LINGER`] has passed, so that
//!   a listener that dropped can reconnect; or
//! * when its last listener leaves, if no stream ever opened it.

mod channel;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use crate::clock;
use crate::ids::{CallSid, StreamSid, UserId};
use crate::limits;
use crate::tasks::Tasks;
use crate::transcript::{CallEvent, CallStatus, Event};

pub use self::channel::{
    CallChannel, ListenerCursor, PARTIALS_MISSED_UNREPORTED_MAX, PublishError, ResumePoint,
};

/// Handle to all calls' channels; clones share them.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<HubState>,
}

/// Reason for refusing a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The call has no channel, and [`limits::CHANNELS_MAX`] channels are open.
    #[error("too many channels are open: try again after some calls have ended")]
    TooManyChannels,
    /// The call is not live, and the user has [`limits::CHANNELS_PER_USER_MAX`] channels of such calls open.
    #[error("you are subscribed to too many calls that are not live: unsubscribe from some first")]
    TooManyOfUser,
}

#[derive(Debug)]
struct HubState {
    topics: RwLock<BTreeMap<CallSid, Arc<Topic>>>,
    /// Last epoch that was assigned.
    last_epoch: AtomicU64,
    refused: AtomicU64,
}

/// One channel and the sender that wakes its listeners.
#[derive(Debug)]
struct Topic {
    state: Mutex<TopicState>,
    change_sender: watch::Sender<()>,
}

#[derive(Debug)]
struct TopicState {
    channel: CallChannel,
    /// Number of the latest stream opened on the call; 0: no stream has opened it.
    stream_count: u32,
    /// Number of streams open now.
    open_stream_count: u32,
    listener_count: usize,
    /// User with the subscription that created the channel; `None` once a stream has opened the call.
    opened_by: Option<UserId>,
    /// Time at which [`Hub::sweep`] first found the call ended and without listeners.
    idle_since: Option<Instant>,
    /// Reference point of the call clock, set by the first stream.
    clock_anchor: Option<ClockAnchor>,
}

#[derive(Debug, Clone, Copy)]
struct ClockAnchor {
    at: Instant,
    /// `at` on the call clock.
    ms: u64,
    /// Start of the latest stream on the call clock.
    latest_ms: u64,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// Creates a hub without channels.
    ///
    /// Epochs count up from the time of the start in milliseconds, one for each channel, so that a restart
    /// never repeats one (short of a thousand new calls a second, or a clock set back).
    pub fn new() -> Self {
        let started_ms = clock::unix_now().as_millis() as u64;
        Self {
            shared: Arc::new(HubState {
                topics: RwLock::default(),
                last_epoch: AtomicU64::new(started_ms),
                refused: AtomicU64::new(0),
            }),
        }
    }

    /// Opens a stream of the call, for the publisher: creates the call's channel, takes over the one that
    /// listeners already wait on, or reopens it after the end. Always succeeds. Returns the stream's number
    /// within the call, from 1; never less than `number`, which the store counts over restarts of this
    /// server.
    pub fn open_stream(&self, call: &CallSid, number: u32) -> u32 {
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let topic = self.get_or_create_topic(&mut topics, call);
        let mut state = topic.lock_state();
        state.stream_count = (state.stream_count + 1).max(number);
        state.open_stream_count += 1;
        state.opened_by = None;
        state.idle_since = None;
        if state.channel.has_ended() {
            state.channel.reopen(self.shared.next_epoch());
            topic.change_sender.send_replace(());
        }
        state.stream_count
    }

    /// Returns the start of a stream that starts `now` on the clock of an open call, in milliseconds.
    /// `dated_ms` is its start according to the store's dates; `None`: unknown. From the second stream on, a
    /// date that is before the last stream's start, or more than [`limits::CLOCK_OFFSET_MAX`] off, is
    /// ignored: it means that this machine's clock was changed.
    pub fn resolve_stream_start(&self, call: &CallSid, dated_ms: Option<u64>, now: Instant) -> u64 {
        let Some(topic) = self.shared.find_topic(call) else {
            return dated_ms.unwrap_or(0);
        };
        let mut state = topic.lock_state();
        let start_ms = dated_ms.unwrap_or(0);
        let clock_anchor = state.clock_anchor.get_or_insert(ClockAnchor {
            at: now,
            ms: start_ms,
            latest_ms: start_ms,
        });
        let passed_ms =
            clock_anchor.ms + now.saturating_duration_since(clock_anchor.at).as_millis() as u64;
        let off_max_ms = limits::CLOCK_OFFSET_MAX.as_millis() as u64;
        let is_likely = |dated: &u64| {
            *dated >= clock_anchor.latest_ms && dated.abs_diff(passed_ms) <= off_max_ms
        };
        clock_anchor.latest_ms = dated_ms.filter(is_likely).unwrap_or(passed_ms);
        clock_anchor.latest_ms
    }

    /// Restores a call's durable events from before this channel existed, in order. Fills the call's channel,
    /// or creates it; does nothing if anything was published there already.
    pub fn restore_call(&self, call: &CallSid, past: impl IntoIterator<Item = Event>) {
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let topic = self.get_or_create_topic(&mut topics, call);
        let mut state = topic.lock_state();
        if state.stream_count > 0 || state.channel.head() > 0 {
            return;
        }
        self.shared.append_events(&mut state, call, past);
        topic.change_sender.send_replace(());
    }

    /// Whether the call has a channel with published events or an opened stream.
    pub fn has_events(&self, call: &CallSid) -> bool {
        self.shared.find_topic(call).is_some_and(|topic| {
            let state = topic.lock_state();
            state.stream_count > 0 || state.channel.head() > 0
        })
    }

    /// Whether a stream of the call is open.
    pub fn has_open_stream(&self, call: &CallSid) -> bool {
        let topic = self.shared.find_topic(call);
        topic.is_some_and(|topic| topic.lock_state().open_stream_count > 0)
    }

    /// Closes one stream of the call, for the publisher. `final_events` are published if it was the only open
    /// stream: a stream that replaced a broken one continues the call, however late the end of the broken one
    /// is detected.
    pub fn close_stream(&self, call: &CallSid, final_events: impl IntoIterator<Item = Event>) {
        let Some(topic) = self.shared.find_topic(call) else {
            return;
        };
        {
            let mut state = topic.lock_state();
            state.open_stream_count = state.open_stream_count.saturating_sub(1);
            if state.open_stream_count > 0 {
                return;
            }
            // Under one lock, so that no stream opens the channel before its end is published.
            self.shared.append_events(&mut state, call, final_events);
        }
        topic.change_sender.send_replace(());
    }

    /// Appends `event` to the call's channel and wakes its listeners; never waits. Returns its offset, or
    /// `None` if the call has no channel or the channel refused the event.
    pub fn publish(&self, call: &CallSid, event: Event) -> Option<u64> {
        let topic = self.shared.find_topic(call)?;
        let taken = topic.lock_state().channel.append(event);
        match taken {
            Ok(offset) => {
                topic.change_sender.send_replace(());
                Some(offset)
            }
            Err(refusal) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(?call, ?refusal, "event refused: {refusal}");
                None
            }
        }
    }

    /// Publishes that a stream of the call is open. Keeps the last published status, which may be newer than
    /// `status`, the one that the publisher read earlier; `status` applies if none was published.
    pub fn publish_stream_started(
        &self,
        call: &CallSid,
        stream_sid: StreamSid,
        status: CallStatus,
    ) {
        let Some(topic) = self.shared.find_topic(call) else {
            return;
        };
        {
            let mut state = topic.lock_state();
            let event = Event::Call {
                status: state.channel.status().unwrap_or(status),
                stream_sid: Some(stream_sid),
            };
            self.shared.append_events(&mut state, call, [event]);
        }
        topic.change_sender.send_replace(());
    }

    /// Subscribes to a call, which may not have started; `resume` is the point at which a reconnecting
    /// listener continues.
    pub fn subscribe(
        &self,
        call: &CallSid,
        resume: Option<ResumePoint>,
    ) -> Result<Subscription, SubscribeError> {
        self.subscribe_as(None, call, resume)
    }

    /// As [`Self::subscribe`], for a user, who may keep at most [`limits::CHANNELS_PER_USER_MAX`] channels of
    /// calls open that are not live.
    pub fn subscribe_as(
        &self,
        user: Option<UserId>,
        call: &CallSid,
        resume: Option<ResumePoint>,
    ) -> Result<Subscription, SubscribeError> {
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_new = !topics.contains_key(call);
        if is_new && user.is_some() {
            let opened = topics
                .values()
                .filter(|topic| topic.lock_state().opened_by == user);
            if opened.count() >= limits::CHANNELS_PER_USER_MAX {
                return Err(SubscribeError::TooManyOfUser);
            }
        }
        if is_new && topics.len() >= limits::CHANNELS_MAX {
            return Err(SubscribeError::TooManyChannels);
        }
        let topic = self.get_or_create_topic(&mut topics, call);
        let change_receiver = topic.change_sender.subscribe();
        {
            let mut state = topic.lock_state();
            if is_new {
                state.opened_by = user;
            }
            state.listener_count += 1;
            state.idle_since = None;
        }
        let cursor = resume.map_or_else(ListenerCursor::default, ListenerCursor::resume);
        Ok(Subscription {
            hub: Arc::clone(&self.shared),
            call: call.clone(),
            topic,
            change_receiver,
            cursor,
        })
    }

    /// Removes channels of ended calls without a listener for [`limits::CHANNEL_LINGER`], counted from the
    /// first sweep that finds them so.
    pub fn sweep(&self, now: Instant) {
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, topic| {
            let mut state = topic.lock_state();
            if state.listener_count > 0 || !state.channel.has_ended() {
                return true;
            }
            let since = *state.idle_since.get_or_insert(now);
            now.saturating_duration_since(since) < limits::CHANNEL_LINGER
        });
    }

    /// Removes the channel of a deleted call, so that new listeners receive none of its events.
    pub fn remove_call(&self, call: &CallSid) {
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        topics.remove(call);
    }

    /// Runs [`Self::sweep`] every [`limits::LISTENER_PING_INTERVAL`], until the soft stop.
    pub fn spawn_sweeper(&self, tasks: &Tasks) {
        let hub = self.clone();
        tasks.spawn_periodic(limits::LISTENER_PING_INTERVAL, move || {
            hub.sweep(clock::now());
            std::future::ready(())
        });
    }

    /// Returns the number of open channels.
    pub fn channel_count(&self) -> usize {
        self.shared
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Returns the number of events that channels have refused since the start; a healthy engine causes few.
    pub fn refused_count(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    fn get_or_create_topic(
        &self,
        topics: &mut BTreeMap<CallSid, Arc<Topic>>,
        call: &CallSid,
    ) -> Arc<Topic> {
        let topic = topics.entry(call.clone()).or_insert_with(|| {
            let channel = CallChannel::new(call.clone(), self.shared.next_epoch());
            let state = TopicState {
                channel,
                stream_count: 0,
                open_stream_count: 0,
                listener_count: 0,
                opened_by: None,
                idle_since: None,
                clock_anchor: None,
            };
            Arc::new(Topic {
                state: Mutex::new(state),
                change_sender: watch::Sender::new(()),
            })
        });
        Arc::clone(topic)
    }
}

/// One listener's subscription to one call; dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<HubState>,
    call: CallSid,
    topic: Arc<Topic>,
    change_receiver: watch::Receiver<()>,
    cursor: ListenerCursor,
}

impl Subscription {
    /// Returns the call's SID.
    pub fn call(&self) -> &CallSid {
        &self.call
    }

    /// Waits for events and reads them: first a snapshot or the missed events, then up to
    /// [`limits::LISTENER_BATCH_MAX`] events at a time. Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Vec<Arc<CallEvent>> {
        loop {
            self.ready().await;
            let events = self.read();
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// Waits until [`read`](Self::read) would return something. Cancel-safe.
    pub async fn ready(&mut self) {
        loop {
            self.change_receiver.mark_unchanged();
            if self.topic.lock_state().channel.has_unread(&self.cursor) {
                return;
            }
            if self.change_receiver.changed().await.is_err() {
                // Cannot happen while `topic` holds the sender; if it ever does, waiting is correct.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether no further events are expected: all are read, and the transcript has ended or no stream ever
    /// opened the call.
    pub fn is_finished(&self) -> bool {
        let state = self.topic.lock_state();
        (state.channel.has_ended() || state.stream_count == 0)
            && !state.channel.has_unread(&self.cursor)
    }

    /// Reads the unread events, up to [`limits::LISTENER_BATCH_MAX`]; empty if there are none.
    pub fn read(&mut self) -> Vec<Arc<CallEvent>> {
        self.topic
            .lock_state()
            .channel
            .read(&mut self.cursor, limits::LISTENER_BATCH_MAX)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut topics = self
            .hub
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_unused = {
            let mut state = self.topic.lock_state();
            state.listener_count -= 1;
            state.listener_count == 0 && state.stream_count == 0
        };
        // The call may have been deleted, and its SID may have a new topic.
        let is_same_topic = |topic: &Arc<Topic>| Arc::ptr_eq(topic, &self.topic);
        if is_unused && topics.get(&self.call).is_some_and(is_same_topic) {
            topics.remove(&self.call);
        }
    }
}

impl HubState {
    fn find_topic(&self, call: &CallSid) -> Option<Arc<Topic>> {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(call)
            .cloned()
    }

    fn append_events(
        &self,
        state: &mut TopicState,
        call: &CallSid,
        events: impl IntoIterator<Item = Event>,
    ) {
        for event in events {
            if let Err(refusal) = state.channel.append(event) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(?call, ?refusal, "event refused: {refusal}");
            }
        }
    }

    fn next_epoch(&self) -> u64 {
        self.last_epoch.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Topic {
    fn lock_state(&self) -> MutexGuard<'_, TopicState> {
        // A panic elsewhere must not lose a call's transcript: the channel is never left half changed, since
        // everything that can fail is checked before the first change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
