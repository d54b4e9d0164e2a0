//! Users that the latest incoming calls rang. A user whose browser rang may learn whether the call was
//! answered, even if the call belongs to another user. Pure: no I/O; takes `now`.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::{CallSid, UserId};
use crate::limits;

/// The latest incoming calls, each with the users that it rang.
#[derive(Debug, Default)]
pub(super) struct RingTargets {
    calls: BTreeMap<CallSid, (Instant, Vec<UserId>)>,
}

impl RingTargets {
    /// Remembers that a call rings browsers of these users.
    pub(super) fn record(&mut self, call: &CallSid, users: Vec<UserId>, now: Instant) {
        let is_recent =
            |at: Instant| now.saturating_duration_since(at) < limits::RING_TARGETS_LIFETIME;
        self.calls.retain(|_, (at, _)| is_recent(*at));
        if self.calls.len() >= limits::RING_TARGETS_MAX
            && let Some(first) = self.calls.iter().min_by_key(|(_, (at, _))| *at)
        {
            let first = first.0.clone();
            self.calls.remove(&first);
        }
        self.calls.insert(call.clone(), (now, users));
    }

    /// Whether a call recently rang this user.
    pub(super) fn has_rung(&self, call: &CallSid, user: UserId) -> bool {
        let targets = self.calls.get(call);
        targets.is_some_and(|(_, users)| users.contains(&user))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    #[test]
    fn whom_a_call_rang_is_known_for_a_while_and_of_the_latest_calls() {
        let (mut targets, began) = (RingTargets::default(), clock::now());
        targets.record(&call(0), vec![UserId(1), UserId(2)], began);
        assert!(targets.has_rung(&call(0), UserId(2)));
        assert!(!targets.has_rung(&call(0), UserId(3)) && !targets.has_rung(&call(1), UserId(1)));
        let later = began + limits::RING_TARGETS_LIFETIME;
        targets.record(&call(1), vec![UserId(1)], later);
        assert!(!targets.has_rung(&call(0), UserId(1)));
        for n in 0..=limits::RING_TARGETS_MAX {
            let now = later + Duration::from_millis(1 + n as u64);
            targets.record(&call(2 + n), vec![UserId(1)], now);
        }
        assert_eq!(targets.calls.len(), limits::RING_TARGETS_MAX);
        assert!(!targets.has_rung(&call(2), UserId(1)));
        assert!(targets.has_rung(&call(2 + limits::RING_TARGETS_MAX), UserId(1)));
    }
}
