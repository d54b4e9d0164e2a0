//! What is live: every call's [`Channel`], and those who listen to it.
//!
//! ```text
//!   call ──publish──► Line ─ wakes ─► Subscription (a cursor) ──read──► api::live ──► browser A
//!                     └─ Channel ◄─── Subscription (a cursor) ──read──► api::live ──► browser B
//! ```
//!
//! Publishing appends to one log and wakes; it never waits, and costs the same for one listener
//! and for a thousand. Locks are held for map look-ups and copies of a few pointers, never over an
//! await, and always in the order lines, then channel.
//!
//! A line goes away
//! * when its call has ended, its last listener has left, and [`limits::CHANNEL_LINGER`] has passed,
//!   so that one that dropped can come back; or
//! * when its last listener leaves, if no call ever opened it.

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

pub use self::channel::{Channel, Cursor, PARTIALS_MISSED_UNTOLD_MAX, Refusal, Resume};

/// All calls' channels; clones are the same hub.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// Why a subscription was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// Nobody knows the call, and [`limits::CHANNELS_MAX`] channels are open.
    #[error("too many calls are being listened to: try again when some have ended")]
    TooManyChannels,
    /// The call does not go on, and [`limits::CHANNELS_PER_USER_MAX`] channels of such calls are open
    /// for this user.
    #[error("you are listening to too many calls that are over: unsubscribe from some first")]
    TooManyOfUser,
}

#[derive(Debug)]
struct Shared {
    lines: RwLock<BTreeMap<CallSid, Arc<Line>>>,
    /// The last epoch that was given out.
    epoch: AtomicU64,
    refused: AtomicU64,
}

/// One channel and the bell that wakes its listeners.
#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    bell: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    channel: Channel,
    /// Streams that have carried the call; none: nobody opened it yet.
    streams: u32,
    /// Streams that carry it now.
    streams_open: u32,
    listeners: usize,
    /// Whose subscription made the channel, as long as no stream has carried the call here.
    opened_by: Option<UserId>,
    /// When [`Hub::sweep`] first found the call ended and nobody listening.
    quiet_since: Option<Instant>,
    /// When the first stream here began.
    began: Option<Began>,
}

#[derive(Debug, Clone, Copy)]
struct Began {
    at: Instant,
    /// Where that is on the call's clock.
    ms: u64,
    /// Where the latest stream began.
    latest_ms: u64,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub without channels.
    ///
    /// Epochs count up from the time of the start in milliseconds, one for each channel, so that a
    /// restart never repeats one (short of a thousand new calls a second, or a clock set back).
    pub fn new() -> Self {
        let started_ms = clock::unix_now().as_millis() as u64;
        Self {
            shared: Arc::new(Shared {
                lines: RwLock::default(),
                epoch: AtomicU64::new(started_ms),
                refused: AtomicU64::new(0),
            }),
        }
    }

    /// For the side that publishes: makes the call's channel, takes over the one that listeners
    /// already wait on, or lets words come again after the end. Always succeeds. Returns the how
    /// manyth stream of the call this is, from 1; never less than `number`, which the store counts
    /// over restarts of this server.
    pub fn open(&self, call: &CallSid, number: u32) -> u32 {
        let mut lines = self
            .shared
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let line = self.line(&mut lines, call);
        let mut state = line.state();
        state.streams = (state.streams + 1).max(number);
        state.streams_open += 1;
        state.opened_by = None;
        state.quiet_since = None;
        if state.channel.has_ended() {
            state.channel.reopen(self.shared.next_epoch());
            line.bell.send_replace(());
        }
        state.streams
    }

    /// Where a stream of an open call that begins `now` is on the call's clock, in milliseconds.
    /// `dated_ms` is where it would be by its date; `None`: nobody knows. From the second stream on,
    /// a date before the last one's, or more than [`limits::CLOCK_OFF_MAX`] off, is not believed:
    /// somebody has set this machine's clock.
    pub fn begin(&self, call: &CallSid, dated_ms: Option<u64>, now: Instant) -> u64 {
        let Some(line) = self.shared.find(call) else {
            return dated_ms.unwrap_or(0);
        };
        let mut state = line.state();
        let first_ms = dated_ms.unwrap_or(0);
        let began = state.began.get_or_insert(Began {
            at: now,
            ms: first_ms,
            latest_ms: first_ms,
        });
        let passed_ms = began.ms + now.saturating_duration_since(began.at).as_millis() as u64;
        let off_max_ms = limits::CLOCK_OFF_MAX.as_millis() as u64;
        let is_likely =
            |dated: &u64| *dated >= began.latest_ms && dated.abs_diff(passed_ms) <= off_max_ms;
        began.latest_ms = dated_ms.filter(is_likely).unwrap_or(passed_ms);
        began.latest_ms
    }

    /// What happened of a call before this channel's time: its durable events, in order. Fills the
    /// call's channel, or makes it; does nothing if anything was published there already.
    pub fn recall(&self, call: &CallSid, past: impl IntoIterator<Item = Event>) {
        let mut lines = self
            .shared
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let line = self.line(&mut lines, call);
        let mut state = line.state();
        if state.streams > 0 || state.channel.head() > 0 {
            return;
        }
        self.shared.append(&mut state, call, past);
        line.bell.send_replace(());
    }

    /// Whether the call has a channel on which something was published.
    pub fn knows(&self, call: &CallSid) -> bool {
        self.shared.find(call).is_some_and(|line| {
            let state = line.state();
            state.streams > 0 || state.channel.head() > 0
        })
    }

    /// Whether something publishes the call's words now.
    pub fn is_carried(&self, call: &CallSid) -> bool {
        let line = self.shared.find(call);
        line.is_some_and(|line| line.state().streams_open > 0)
    }

    /// For the side that publishes: one stream of the call is over. `farewell` is published if it
    /// was the only one: a stream that came in place of one that broke carries the call on, however
    /// late the end of the broken one is noticed.
    pub fn close(&self, call: &CallSid, farewell: impl IntoIterator<Item = Event>) {
        let Some(line) = self.shared.find(call) else {
            return;
        };
        {
            let mut state = line.state();
            state.streams_open = state.streams_open.saturating_sub(1);
            if state.streams_open > 0 {
                return;
            }
            // Under one lock, so that no stream opens the channel before its end is told.
            self.shared.append(&mut state, call, farewell);
        }
        line.bell.send_replace(());
    }

    /// Takes `event` into the call's channel and wakes its listeners; never waits. Returns its
    /// offset, or `None` when the call has no channel or the channel refused the event.
    pub fn publish(&self, call: &CallSid, event: Event) -> Option<u64> {
        let line = self.shared.find(call)?;
        let taken = line.state().channel.append(event);
        match taken {
            Ok(offset) => {
                line.bell.send_replace(());
                Some(offset)
            }
            Err(refusal) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(?call, ?refusal, "event refused: {refusal}");
                None
            }
        }
    }

    /// Tells that a stream carries the call now. Where the call is stays as was told last, for whoever
    /// opened the stream may have looked earlier; `status` if nothing was told.
    pub fn carried(&self, call: &CallSid, stream_sid: StreamSid, status: CallStatus) {
        let Some(line) = self.shared.find(call) else {
            return;
        };
        {
            let mut state = line.state();
            let event = Event::Call {
                status: state.channel.status().unwrap_or(status),
                stream_sid: Some(stream_sid),
            };
            self.shared.append(&mut state, call, [event]);
        }
        line.bell.send_replace(());
    }

    /// Listens to a call that may not have begun yet; `resume` is where a listener that was here
    /// before stopped.
    pub fn subscribe(
        &self,
        call: &CallSid,
        resume: Option<Resume>,
    ) -> Result<Subscription, HubError> {
        self.subscribe_for(None, call, resume)
    }

    /// The same for a user, who keeps only so many channels open.
    pub fn subscribe_for(
        &self,
        user: Option<UserId>,
        call: &CallSid,
        resume: Option<Resume>,
    ) -> Result<Subscription, HubError> {
        let mut lines = self
            .shared
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_new = !lines.contains_key(call);
        if is_new && user.is_some() {
            let opened = lines.values().filter(|line| line.state().opened_by == user);
            if opened.count() >= limits::CHANNELS_PER_USER_MAX {
                return Err(HubError::TooManyOfUser);
            }
        }
        if is_new && lines.len() >= limits::CHANNELS_MAX {
            return Err(HubError::TooManyChannels);
        }
        let line = self.line(&mut lines, call);
        let rung = line.bell.subscribe();
        {
            let mut state = line.state();
            if is_new {
                state.opened_by = user;
            }
            state.listeners += 1;
            state.quiet_since = None;
        }
        let cursor = resume.map_or_else(Cursor::default, Cursor::resume);
        Ok(Subscription {
            hub: Arc::clone(&self.shared),
            call: call.clone(),
            line,
            rung,
            cursor,
        })
    }

    /// Lets go of channels whose call has ended, and that nobody has listened to for
    /// [`limits::CHANNEL_LINGER`]; counted from the first sweep that finds them so.
    pub fn sweep(&self, now: Instant) {
        let mut lines = self
            .shared
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| {
            let mut state = line.state();
            if state.listeners > 0 || !state.channel.has_ended() {
                return true;
            }
            let since = *state.quiet_since.get_or_insert(now);
            now.saturating_duration_since(since) < limits::CHANNEL_LINGER
        });
    }

    /// The call is deleted: what its channel has is told to nobody who comes from now on.
    pub fn forget(&self, call: &CallSid) {
        let mut lines = self
            .shared
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        lines.remove(call);
    }

    /// Sweeps now and then, until the soft stop.
    pub fn keep_swept(&self, tasks: &Tasks) {
        let hub = self.clone();
        tasks.every(limits::LISTENER_PING_EVERY, move || {
            hub.sweep(clock::now());
            std::future::ready(())
        });
    }

    /// Channels that are open.
    pub fn channels(&self) -> usize {
        self.shared
            .lines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Events that channels have refused since the start; a healthy engine publishes few of them.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    fn line(&self, lines: &mut BTreeMap<CallSid, Arc<Line>>, call: &CallSid) -> Arc<Line> {
        let line = lines.entry(call.clone()).or_insert_with(|| {
            let channel = Channel::new(call.clone(), self.shared.next_epoch());
            let state = State {
                channel,
                streams: 0,
                streams_open: 0,
                listeners: 0,
                opened_by: None,
                quiet_since: None,
                began: None,
            };
            Arc::new(Line {
                state: Mutex::new(state),
                bell: watch::Sender::new(()),
            })
        });
        Arc::clone(line)
    }
}

/// One listener's view of one call. Dropping it is leaving.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Shared>,
    call: CallSid,
    line: Arc<Line>,
    rung: watch::Receiver<()>,
    cursor: Cursor,
}

impl Subscription {
    /// The call.
    pub fn call(&self) -> &CallSid {
        &self.call
    }

    /// Waits for news and reads it: first a snapshot or the events that were missed, then up to
    /// [`limits::LISTENER_BATCH_MAX`] events at a time. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Vec<Arc<CallEvent>> {
        loop {
            self.ready().await;
            let events = self.read();
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// Waits until [`read`](Self::read) would return something. Dropping the future loses nothing.
    pub async fn ready(&mut self) {
        loop {
            self.rung.mark_unchanged();
            if self.line.state().channel.has_news(&self.cursor) {
                return;
            }
            if self.rung.changed().await.is_err() {
                // Cannot happen while `line` holds the sender; waiting is right if it ever does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether nothing more is to be expected: all is read, and the call's words have ended, or
    /// nobody ever published any.
    pub fn is_over(&self) -> bool {
        let state = self.line.state();
        (state.channel.has_ended() || state.streams == 0) && !state.channel.has_news(&self.cursor)
    }

    /// Reads what is new, perhaps nothing.
    pub fn read(&mut self) -> Vec<Arc<CallEvent>> {
        self.line
            .state()
            .channel
            .read(&mut self.cursor, limits::LISTENER_BATCH_MAX)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut lines = self
            .hub
            .lines
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let forgotten = {
            let mut state = self.line.state();
            state.listeners -= 1;
            state.listeners == 0 && state.streams == 0
        };
        // Since the call was deleted, another may have its name.
        let ours = |line: &Arc<Line>| Arc::ptr_eq(line, &self.line);
        if forgotten && lines.get(&self.call).is_some_and(ours) {
            lines.remove(&self.call);
        }
    }
}

impl Shared {
    fn find(&self, call: &CallSid) -> Option<Arc<Line>> {
        self.lines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(call)
            .cloned()
    }

    fn append(&self, state: &mut State, call: &CallSid, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if let Err(refusal) = state.channel.append(event) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(?call, ?refusal, "event refused: {refusal}");
            }
        }
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take a call's words with it: the channel is never left half
        // changed, since everything that can fail is checked before the first change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transcript::{CallStatus, EndReason};

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn status() -> Event {
        Event::Call {
            status: CallStatus::Ringing,
            stream_sid: None,
        }
    }

    fn ended() -> Event {
        Event::Ended {
            reason: EndReason::Stopped,
        }
    }

    fn epoch(events: &[Arc<CallEvent>]) -> u64 {
        let [Event::Snapshot { epoch, .. }] =
            events.iter().map(|e| &e.event).collect::<Vec<_>>()[..]
        else {
            panic!("expected one snapshot, got {events:?}");
        };
        *epoch
    }

    #[test]
    fn an_ended_call_waits_for_its_listeners_to_come_back_and_then_goes() {
        let hub = Hub::new();
        let start = clock::now();
        hub.open(&call(1), 1);
        let listener = hub.subscribe(&call(1), None).unwrap();
        hub.sweep(start);
        hub.publish(&call(1), ended());
        hub.sweep(start + limits::CHANNEL_LINGER * 9);
        assert_eq!(hub.channels(), 1, "someone listens");

        drop(listener);
        let left = start + limits::CHANNEL_LINGER * 10;
        hub.sweep(left);
        hub.sweep(left + limits::CHANNEL_LINGER / 2);
        let back = hub.subscribe(&call(1), None).unwrap();
        drop(back);
        hub.sweep(left + limits::CHANNEL_LINGER);
        assert_eq!(hub.channels(), 1, "the wait began anew");
        hub.sweep(left + limits::CHANNEL_LINGER * 2);
        assert_eq!(hub.channels(), 0);
        assert_eq!(hub.publish(&call(1), status()), None);
    }

    #[test]
    fn of_a_deleted_call_nothing_is_told_to_whoever_comes() {
        let hub = Hub::new();
        hub.open(&call(1), 1);
        hub.publish(&call(1), status());
        hub.publish(&call(1), ended());
        let mut old = hub.subscribe(&call(1), None).unwrap();
        let told = epoch(&old.read());
        hub.forget(&call(1));
        assert!(!hub.knows(&call(1)));
        let mut new = hub.subscribe(&call(1), None).unwrap();
        drop(old);
        assert_eq!(hub.channels(), 1, "who comes later is let go of");
        let heard = new.read();
        assert_ne!(epoch(&heard), told);
        let Event::Snapshot { status, ended, .. } = &heard[0].event else {
            panic!("{heard:?}");
        };
        assert_eq!((status, ended), (&None, &None));
    }

    #[test]
    fn a_stream_that_comes_late_does_not_take_the_call_back() {
        let hub = Hub::new();
        let stream = || StreamSid::parse(&format!("MZ{:032x}", 1)).unwrap();
        let mut listener = hub.subscribe(&call(1), None).unwrap();
        hub.open(&call(1), 1);
        hub.carried(&call(1), stream(), CallStatus::Initiated);
        hub.publish(&call(1), status());
        hub.carried(&call(1), stream(), CallStatus::Initiated);
        hub.carried(&call(2), stream(), CallStatus::Initiated);
        let heard = listener.read();
        let [Event::Snapshot { status, .. }] =
            heard.iter().map(|e| &e.event).collect::<Vec<_>>()[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!(*status, Some(CallStatus::Ringing));
        assert_eq!((heard[0].offset, hub.channels()), (3, 1));
    }

    #[test]
    fn a_call_from_before_goes_on_where_it_was() {
        let hub = Hub::new();
        let early = hub.subscribe(&call(1), None).unwrap();
        assert!(!hub.knows(&call(1)));
        hub.recall(&call(1), [status()]);
        hub.recall(&call(1), [status()]);
        assert!(hub.knows(&call(1)));
        assert_eq!(hub.open(&call(1), 3), 3, "its third stream");
        assert_eq!(hub.open(&call(1), 1), 4);
        let mut late = hub.subscribe(&call(1), None).unwrap();
        let heard = late.read();
        let [Event::Snapshot { status, .. }] =
            heard.iter().map(|event| &event.event).collect::<Vec<_>>()[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!(*status, Some(CallStatus::Ringing));
        assert_eq!(heard[0].offset, 1, "recalled once");
        drop(early);

        // One that is only looked at is let go with its last listener.
        let reader = hub.subscribe(&call(2), None).unwrap();
        hub.recall(&call(2), [ended()]);
        assert!(hub.knows(&call(2)));
        drop(reader);
        assert!(!hub.knows(&call(2)));
    }

    #[test]
    fn a_call_that_goes_on_keeps_its_channel_without_listeners() {
        let hub = Hub::new();
        hub.open(&call(1), 1);
        drop(hub.subscribe(&call(1), None).unwrap());
        let now = clock::now();
        hub.sweep(now);
        hub.sweep(now + limits::CHANNEL_LINGER * 100);
        assert_eq!(hub.publish(&call(1), status()), Some(1));
    }

    #[test]
    fn a_call_that_nobody_opened_goes_with_its_last_listener() {
        let hub = Hub::new();
        let listeners = [hub.subscribe(&call(1), None), hub.subscribe(&call(1), None)];
        let [first, second] = listeners.map(Result::unwrap);
        drop(first);
        assert_eq!(hub.channels(), 1);
        drop(second);
        assert_eq!(hub.channels(), 0);
    }

    #[test]
    fn listeners_that_came_first_hear_the_call_that_comes() {
        let hub = Hub::new();
        let mut early = hub.subscribe(&call(1), None).unwrap();
        let first = epoch(&early.read());
        hub.open(&call(1), 1);
        assert!(early.read().is_empty(), "opening is no news");
        assert_eq!(hub.publish(&call(1), status()), Some(1));
        assert_eq!(early.read()[0].event, status());
        assert_eq!(epoch(&hub.subscribe(&call(1), None).unwrap().read()), first);
    }

    #[test]
    fn no_two_lives_of_a_channel_share_an_epoch() {
        let hub = Hub::new();
        let first = epoch(&hub.subscribe(&call(1), None).unwrap().read());
        let mut listener = hub.subscribe(&call(1), None).unwrap();
        let second = epoch(&listener.read());
        hub.open(&call(1), 1);
        hub.publish(&call(1), ended());
        listener.read();
        hub.open(&call(1), 1);
        let third = epoch(&listener.read());
        assert!(first < second && second < third, "{first} {second} {third}");
        assert!(third < 1 << 53);
    }

    #[test]
    fn a_stream_that_ends_late_does_not_end_the_one_that_took_over() {
        let hub = Hub::new();
        let mut listener = hub.subscribe(&call(1), None).unwrap();
        assert_eq!((hub.open(&call(1), 1), hub.open(&call(1), 1)), (1, 2));
        listener.read();
        hub.close(&call(1), [ended()]);
        assert!(listener.read().is_empty() && !listener.is_over());
        hub.close(&call(1), [status(), ended()]);
        let events: Vec<Event> = listener.read().iter().map(|e| e.event.clone()).collect();
        assert_eq!(events, [status(), ended()]);
        hub.close(&call(2), [ended()]);
        assert_eq!(hub.channels(), 1, "a call that nobody opened was made");
    }

    #[test]
    fn strangers_cannot_use_up_the_channels_of_calls() {
        let hub = Hub::new();
        let hold: Vec<_> = (0..limits::CHANNELS_MAX)
            .map(|n| hub.subscribe(&call(n), None).unwrap())
            .collect();
        let refused = hub.subscribe(&call(limits::CHANNELS_MAX), None);
        assert_eq!(refused.unwrap_err(), HubError::TooManyChannels);
        assert!(
            hub.subscribe(&call(0), None).is_ok(),
            "a known call takes more listeners"
        );
        hub.open(&call(limits::CHANNELS_MAX), 1);
        assert_eq!(hub.publish(&call(limits::CHANNELS_MAX), status()), Some(1));
        drop(hold);
        assert_eq!(hub.channels(), 1);
    }

    #[test]
    fn one_user_cannot_use_up_the_channels_of_others() {
        let hub = Hub::new();
        let (eve, bob) = (Some(UserId(1)), Some(UserId(2)));
        let max = limits::CHANNELS_PER_USER_MAX;
        let mut hold: Vec<_> = (0..max)
            .map(|n| hub.subscribe_for(eve, &call(n), None).unwrap())
            .collect();
        let refused = hub.subscribe_for(eve, &call(max), None);
        assert_eq!(refused.unwrap_err(), HubError::TooManyOfUser);
        assert!(hub.subscribe_for(bob, &call(max + 1), None).is_ok());
        // What goes on is heard, and counts no more.
        hub.open(&call(max), 1);
        assert!(hub.subscribe_for(eve, &call(max), None).is_ok());
        hub.open(&call(0), 1);
        hold.push(hub.subscribe_for(eve, &call(max + 2), None).unwrap());
        // Whoever leaves has room again.
        drop(hold);
        assert!(hub.subscribe_for(eve, &call(max + 3), None).is_ok());
    }

    #[tokio::test]
    async fn news_wakes_a_listener_and_a_dropped_wait_loses_none() {
        let hub = Hub::new();
        hub.open(&call(1), 1);
        let mut listener = hub.subscribe(&call(1), None).unwrap();
        assert_eq!(listener.next().await.len(), 1);
        for n in 1..=50_u64 {
            let waits = tokio::select! {
                biased;
                _ = listener.next() => false,
                () = std::future::ready(()) => true,
            };
            assert!(waits, "there is nothing to hear");
            let wait = tokio::time::timeout(Duration::from_secs(20), listener.next());
            let publish = async {
                // The listener is polled first, and so sleeps when the news comes.
                tokio::task::yield_now().await;
                hub.publish(&call(1), status())
            };
            let (heard, offset) = tokio::join!(wait, publish);
            assert_eq!(offset, Some(n));
            let heard = heard.expect("the listener slept through it");
            assert_eq!(heard[0].offset, n);
        }
    }

    #[test]
    fn many_threads_publish_and_every_listener_hears_all_in_one_order() {
        let hub = Hub::new();
        hub.open(&call(1), 1);
        let mut before: Vec<_> = (0..4)
            .map(|_| hub.subscribe(&call(1), None).unwrap())
            .collect();
        for listener in &mut before {
            listener.read();
        }
        let published = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        hub.publish(&call(1), status()).unwrap();
                        published.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for listener in &mut before {
                let published = &published;
                scope.spawn(move || {
                    let mut last = 0;
                    loop {
                        let all = published.load(Ordering::SeqCst) == 400;
                        for event in listener.read() {
                            assert_eq!(event.offset, last + 1);
                            last = event.offset;
                        }
                        if all && !listener.line.state().channel.has_news(&listener.cursor) {
                            break;
                        }
                        std::thread::yield_now();
                    }
                    assert_eq!(last, 400);
                });
            }
        });
    }
}
