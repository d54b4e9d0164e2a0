//! Media streams: which sockets are let in, and what happens when one breaks off in mid-call. Twilio
//! does not connect again by itself; so a new stream is asked for under a new name, and its words
//! join the same transcript.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Desk, lock};
use crate::access::secret::Secret;
use crate::clock::{self, UtcTime};
use crate::config::TranscriptionSource;
use crate::ids::CallSid;
use crate::limits;
use crate::store::LegUpdate;
use crate::transcript::{CallStatus, EndReason};
use crate::twilio::rest::calls::{NewStream, Tracks};

/// Time before each further try to start a call's stream again; after the last it is given up.
const RESTART_AFTER: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

/// The name of a stream that is asked for at this time: unique within its call, over restarts of
/// this server too.
pub(super) fn name(now: UtcTime) -> String {
    format!("callburner-{}", now.millis())
}

/// Which calls' streams were started again, and how often. Pure.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    tries: BTreeMap<CallSid, Tries>,
}

#[derive(Debug, Default)]
struct Tries {
    count: usize,
    under_way: bool,
}

impl Restarts {
    /// How long to wait before the call's stream is started again; `None`: it is being done, or was
    /// tried often enough.
    fn next(&mut self, call: &CallSid) -> Option<Duration> {
        if self.tries.len() >= limits::RESTARTS_MAX && !self.tries.contains_key(call) {
            return None;
        }
        let tries = self.tries.entry(call.clone()).or_default();
        let after = *RESTART_AFTER.get(tries.count)?;
        if std::mem::replace(&mut tries.under_way, true) {
            return None;
        }
        tries.count += 1;
        Some(after)
    }

    /// The try is over, whatever came of it.
    fn done(&mut self, call: &CallSid) {
        if let Some(tries) = self.tries.get_mut(call) {
            tries.under_way = false;
        }
    }

    /// The call is over.
    pub(super) fn forget(&mut self, call: &CallSid) {
        self.tries.remove(call);
    }
}

impl Desk {
    /// The call that a media socket with this secret may carry; the secret is good once.
    pub fn admit_stream(&self, secret: &str) -> Option<CallSid> {
        let hash = Secret::parse(secret)?.hash();
        lock(&self.0.admissions).redeem(&hash, clock::now())
    }

    /// A stream's audio has ended.
    pub fn stream_ended(&self, call: &CallSid, reason: EndReason) {
        match reason {
            EndReason::Dropped | EndReason::Idle => self.stream_lost(call),
            // Twilio stopped it, or it is not to come again: this server is leaving, or what came
            // was not Twilio's protocol.
            EndReason::Stopped
            | EndReason::NeverStarted
            | EndReason::ProtocolError
            | EndReason::ShuttingDown => {}
        }
    }

    /// At the start: calls that were not over when this server last ended may still go on, without
    /// a stream. Only as many as may go on at once are asked for, the latest first.
    pub fn take_up(&self, calls: &[CallSid]) {
        for call in calls.iter().take(self.0.config.limits.at_once_max) {
            self.stream_lost(call);
        }
    }

    /// A call that may still go on has lost its stream: starts another, if there is an account to
    /// ask.
    pub(super) fn stream_lost(&self, call: &CallSid) {
        let is_ours = self.0.config.source == TranscriptionSource::Whisper;
        let Some(rest) = self.0.tools.rest.clone().filter(|_| is_ours) else {
            return;
        };
        let Some(after) = lock(&self.0.restarts).next(call) else {
            tracing::warn!(?call, "the call's stream is not started again");
            return;
        };
        let (desk, call) = (self.clone(), call.clone());
        self.0.tools.tasks.spawn(async move {
            clock::until(Some(clock::now() + after)).await;
            let is_over = match desk.store().call_record(&call).await {
                Ok(record) => record.is_some_and(|record| record.status.is_over()),
                Err(_) => false, // Twilio knows whether it is.
            };
            if is_over || desk.0.tools.tasks.is_stopping() {
                lock(&desk.0.restarts).done(&call);
                return;
            }
            let stream = NewStream {
                url: desk.expect_stream(&call),
                name: name(clock::utc_now()),
                tracks: Tracks::Both,
                status_callback: Some(desk.callback("/api/streams/status")),
                parameters: vec![],
            };
            let started = rest.start_stream(&call, &stream).await;
            lock(&desk.0.restarts).done(&call);
            match started {
                Ok(stream) => {
                    tracing::info!(?call, ?stream, "stream started again");
                    desk.note(&call, "stream_restarted", "", None).await;
                }
                Err(error) if error.is_already_over() || error.is_gone() => {
                    tracing::info!(?call, "the call is over, and its stream with it");
                    let over = LegUpdate::new(&call, CallStatus::Completed);
                    if let Err(error) = desk.follow_leg(&over).await {
                        tracing::warn!(?call, %error, "the end of a call was not kept");
                    }
                }
                Err(error) => {
                    tracing::warn!(?call, %error, "the call's stream could not be started again");
                    desk.stream_lost(&call);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    #[test]
    fn a_stream_is_started_again_one_try_at_a_time_and_not_for_ever() {
        let mut restarts = Restarts::default();
        for after in RESTART_AFTER {
            assert_eq!(restarts.next(&call(1)), Some(after));
            assert_eq!(restarts.next(&call(1)), None, "one is under way");
            restarts.done(&call(1));
        }
        assert_eq!(restarts.next(&call(1)), None, "often enough");
        assert!(restarts.next(&call(2)).is_some());
        restarts.forget(&call(1));
        assert!(restarts.next(&call(1)).is_some());
    }

    #[test]
    fn calls_whose_streams_break_are_bounded() {
        let mut restarts = Restarts::default();
        for n in 0..limits::RESTARTS_MAX {
            assert!(restarts.next(&call(n)).is_some());
        }
        assert!(restarts.next(&call(limits::RESTARTS_MAX)).is_none());
    }
}
