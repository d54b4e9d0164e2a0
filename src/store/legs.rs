//! Derives the state of a call from its legs. Pure: no I/O.
//!
//! Callbacks can arrive late, twice, in any order, or not at all. Therefore nothing here depends on their
//! order: each leg keeps the *best* value of each field (a maximum, a minimum, the first value), and the call
//! is a function of its legs and its opening. Repeated and late callbacks then change nothing, and every
//! order results in the same record.
//!
//! # A leg
//!
//! It moves through queued, initiated, ringing and in-progress, and then ends, permanently. Of two final
//! statuses, the one with the lower sequence number counts, because it was the first at Twilio. A leg that
//! was answered ends as completed, even if a later callback reports that it was not answered.
//!
//! # A call
//!
//! It is over when its parent is over. If there are children, they determine whether the parties talk: an
//! announcement may answer the parent while the other party's phone rings. A call with a completed parent and
//! without an answered child ends as its last child did.
//!
//! # Its owner
//!
//! The user of the browser that placed the call, or of the browser that answered it. Both are read from the
//! `client:` addresses of the legs, which Twilio signed. A call that only rings has no owner.

use std::cmp::Reverse;
use std::time::Duration;

use super::records::{LegUpdate, Party};
use crate::clock::UtcTime;
use crate::ids::{CallSid, ClientIdentity, UserId};
use crate::transcript::{CallStatus, Direction};

/// Prefix of a browser's identity in a party.
const CLIENT: &str = "client:";

/// The known state of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LegState {
    pub(super) sid: CallSid,
    pub(super) is_child: bool,
    pub(super) status: CallStatus,
    /// Sequence number of the callback that set the status.
    pub(super) sequence: Option<u32>,
    pub(super) began_at: Option<UtcTime>,
    pub(super) answered_at: Option<UtcTime>,
    pub(super) ended_at: Option<UtcTime>,
    pub(super) duration_seconds: Option<u32>,
    pub(super) sip_code: Option<u16>,
    pub(super) from: Party,
    pub(super) to: Party,
}

impl LegState {
    /// Returns a leg without any known state.
    pub(super) fn new(sid: CallSid, is_child: bool) -> Self {
        Self {
            sid,
            is_child,
            status: CallStatus::Queued,
            sequence: None,
            began_at: None,
            answered_at: None,
            ended_at: None,
            duration_seconds: None,
            sip_code: None,
            from: Party::default(),
            to: Party::default(),
        }
    }

    /// Applies a callback; `now` is the time of its arrival, used if it has no time of its own. An event is
    /// never later than its report, so the earliest report is the most accurate.
    pub(super) fn apply_update(&mut self, update: &LegUpdate, now: UtcTime) {
        let at = update.at.unwrap_or(now);
        self.is_child |= update.parent.is_some();
        self.apply_status(update.status, update.sequence, at);
        self.duration_seconds = self.duration_seconds.or(update.duration_seconds);
        self.sip_code = self.sip_code.or(update.sip_code);
        if let Some((from, to)) = &update.parties {
            fill_if_empty(&mut self.from, from);
            fill_if_empty(&mut self.to, to);
        }
    }

    /// Applies a status.
    pub(super) fn apply_status(&mut self, status: CallStatus, sequence: Option<u32>, at: UtcTime) {
        keep_earliest(&mut self.began_at, at);
        if status == CallStatus::InProgress {
            keep_earliest(&mut self.answered_at, at);
        }
        if is_final(status) {
            keep_earliest(&mut self.ended_at, at);
        }
        if status_precedence(status, sequence) > status_precedence(self.status, self.sequence) {
            (self.status, self.sequence) = (status, sequence);
        }
        // The leg was answered: it counts as completed, whatever the callback of its end reports.
        if self.answered_at.is_some() && is_final(self.status) {
            self.status = CallStatus::Completed;
        }
    }

    fn has_ended(&self) -> bool {
        is_final(self.status)
    }

    /// Whether the leg was answered.
    fn was_answered(&self) -> bool {
        self.answered_at.is_some() || self.status == CallStatus::Completed
    }

    /// Returns the time of the answer: as reported, or calculated from the end and the duration.
    fn answer_time(&self) -> Option<UtcTime> {
        self.answered_at.or_else(|| {
            let talk = self.duration_seconds.filter(|seconds| *seconds > 0)?;
            let talk = Duration::from_secs(talk.into());
            let completed = self.status == CallStatus::Completed;
            self.ended_at.filter(|_| completed).map(|at| at.minus(talk))
        })
    }

    /// Returns the cause of an end without an answer.
    fn failure_cause(&self) -> Option<String> {
        if !self.has_ended() || self.was_answered() {
            return None;
        }
        let word = match self.status {
            CallStatus::Busy => "busy",
            CallStatus::NoAnswer => "no_answer",
            CallStatus::Canceled => "canceled",
            CallStatus::Failed => "failed",
            CallStatus::Queued
            | CallStatus::Initiated
            | CallStatus::Ringing
            | CallStatus::InProgress
            | CallStatus::Completed => return None,
        };
        let sip = self.sip_code.map(|code| format!("sip_{code}"));
        Some(sip.unwrap_or_else(|| word.to_owned()))
    }
}

/// The values with which a call was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallOpening {
    pub(super) at: UtcTime,
    pub(super) direction: Direction,
    pub(super) from: Party,
    pub(super) to: Party,
}

impl CallOpening {
    /// Fills in missing values from a second opening.
    pub(super) fn merge(&mut self, other: &Self) {
        self.at = self.at.min(other.at);
        fill_if_empty(&mut self.from, &other.from);
        fill_if_empty(&mut self.to, &other.to);
    }
}

/// The derived state of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallOutcome {
    pub(super) direction: Direction,
    pub(super) status: CallStatus,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) started_at: UtcTime,
    pub(super) answered_at: Option<UtcTime>,
    pub(super) ended_at: Option<UtcTime>,
    pub(super) duration_seconds: Option<u32>,
    pub(super) end_cause: Option<String>,
}

/// Returns the user of a browser's party.
pub(super) fn user_of_party(party: &Party) -> Option<UserId> {
    let identity = party.0.strip_prefix(CLIENT)?;
    ClientIdentity::parse(identity).ok()?.user()
}

/// Returns the call's owner according to its legs: the user of the browser that placed it, otherwise of the
/// browser that answered it. Twilio connects one leg of a `<Dial>`; if several were reported as answered, the
/// earliest answer counts.
pub(super) fn find_owner(legs: &[LegState]) -> Option<UserId> {
    let parent = legs.iter().find(|leg| !leg.is_child);
    if let Some(user) = parent.and_then(|leg| user_of_party(&leg.from)) {
        return Some(user);
    }
    let answered = legs.iter().filter(|leg| leg.is_child && leg.was_answered());
    let first = answered.min_by_key(|leg| {
        let answer = leg.answer_time().or(leg.ended_at);
        (answer.is_none(), answer, &leg.sid)
    });
    first.and_then(|leg| user_of_party(&leg.to))
}

/// Derives the state of a call. `own_cause` is the cause of the end that this server knows; it takes
/// precedence over the legs.
pub(super) fn derive_outcome(
    opening: Option<&CallOpening>,
    own_cause: Option<&str>,
    legs: &[LegState],
) -> CallOutcome {
    let parent = legs.iter().find(|leg| !leg.is_child);
    let mut children: Vec<&LegState> = legs.iter().filter(|leg| leg.is_child).collect();
    // In the order of their ends, regardless of lost callbacks and the order of arrival.
    children.sort_by_key(|leg| (leg.ended_at, &leg.sid));
    let talked = match (&children[..], parent) {
        ([], parent) => parent.is_some_and(LegState::was_answered),
        (children, _) => children.iter().any(|leg| leg.was_answered()),
    };
    let status = call_status(parent, &children, talked);
    let legs_that_talk: Vec<&LegState> = match &children[..] {
        [] => parent.into_iter().collect(),
        children => children.to_vec(),
    };
    let durations = legs_that_talk.iter().filter_map(|leg| leg.duration_seconds);
    let parents_duration = parent.and_then(|leg| leg.duration_seconds);
    let parents_cause = || parent.and_then(LegState::failure_cause);
    let last_child = children.iter().rfind(|leg| leg.has_ended());
    let cause = || match last_child {
        Some(child) => child.failure_cause(),
        None => parents_cause(),
    };
    let starts = legs.iter().filter_map(|leg| leg.began_at);
    CallOutcome {
        direction: opening
            .map_or_else(|| infer_direction(parent, &children), |open| open.direction),
        status,
        from: first_known_party(
            opening,
            parent,
            &children,
            |open| &open.from,
            |leg| &leg.from,
        ),
        to: first_known_party(opening, parent, &children, |open| &open.to, |leg| &leg.to),
        started_at: opening.map_or_else(
            || starts.min().unwrap_or(UtcTime::from_millis(0)),
            |open| open.at,
        ),
        answered_at: legs_that_talk
            .iter()
            .filter_map(|leg| leg.answer_time())
            .min(),
        ended_at: parent
            .filter(|_| is_final(status))
            .and_then(|leg| leg.ended_at),
        duration_seconds: durations.max().or(parents_duration.filter(|_| talked)),
        end_cause: own_cause
            .map(str::to_owned)
            .or_else(|| cause().filter(|_| !talked)),
    }
}

/// Derives the call's status; `children` are ordered by their ends.
fn call_status(parent: Option<&LegState>, children: &[&LegState], talked: bool) -> CallStatus {
    let parent = parent.map_or(CallStatus::Queued, |leg| leg.status);
    if children.is_empty() {
        return parent;
    }
    if is_final(parent) {
        let all_over = children.iter().all(|leg| leg.has_ended());
        return match children.last() {
            Some(last) if parent == CallStatus::Completed && !talked && all_over => last.status,
            Some(_) if talked => CallStatus::Completed,
            Some(_) | None => parent,
        };
    }
    if talked {
        return CallStatus::InProgress;
    }
    // No leg was answered. A child that is over was tried; another one may follow.
    let tried = |status: CallStatus| match status {
        CallStatus::Queued | CallStatus::Initiated => status,
        CallStatus::Ringing
        | CallStatus::InProgress
        | CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::NoAnswer
        | CallStatus::Canceled
        | CallStatus::Failed => CallStatus::Ringing,
    };
    let reached = children.iter().map(|leg| tried(leg.status));
    reached
        .chain([tried(parent)])
        .max_by_key(|status| progress(*status))
        .unwrap_or(parent)
}

/// Infers the direction of a call without an opening; a party with `client:` is a browser.
fn infer_direction(parent: Option<&LegState>, children: &[&LegState]) -> Direction {
    let is_client = |party: &Party| party.0.starts_with(CLIENT);
    let called_by_number =
        parent.is_some_and(|leg| !leg.from.0.is_empty() && !is_client(&leg.from));
    let rings_browser = children.iter().any(|leg| is_client(&leg.to));
    if called_by_number || rings_browser {
        Direction::Incoming
    } else {
        Direction::Outgoing
    }
}

/// Returns the first non-empty party: of the opening, the parent, or a child.
fn first_known_party(
    opening: Option<&CallOpening>,
    parent: Option<&LegState>,
    children: &[&LegState],
    of_opening: fn(&CallOpening) -> &Party,
    of_leg: fn(&LegState) -> &Party,
) -> Party {
    let known = opening.map(of_opening).into_iter();
    let known = known.chain(parent.map(of_leg));
    let mut known = known.chain(children.iter().map(|leg| of_leg(leg)));
    let found = known.find(|party| !party.0.is_empty());
    found.cloned().unwrap_or_default()
}

/// Whether no other status follows.
pub(super) fn is_final(status: CallStatus) -> bool {
    progress(status) == progress(CallStatus::Completed)
}

/// Orders the statuses of a leg.
fn progress(status: CallStatus) -> u8 {
    match status {
        CallStatus::Queued => 0,
        CallStatus::Initiated => 1,
        CallStatus::Ringing => 2,
        CallStatus::InProgress => 3,
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::NoAnswer
        | CallStatus::Canceled
        | CallStatus::Failed => 4,
    }
}

/// Sort key of a status; the greater one counts. Among final statuses, that is the one with the lower
/// sequence number; one without a number has the lowest precedence. With equal numbers, completed takes
/// precedence.
fn status_precedence(
    status: CallStatus,
    sequence: Option<u32>,
) -> (u8, Reverse<u32>, u8, Option<u32>) {
    let ending = match status {
        CallStatus::Completed => 4,
        CallStatus::Busy => 3,
        CallStatus::Failed => 2,
        CallStatus::NoAnswer => 1,
        CallStatus::Canceled
        | CallStatus::Queued
        | CallStatus::Initiated
        | CallStatus::Ringing
        | CallStatus::InProgress => 0,
    };
    let first = if is_final(status) {
        Reverse(sequence.unwrap_or(u32::MAX))
    } else {
        Reverse(0)
    };
    (progress(status), first, ending, sequence)
}

fn keep_earliest(known: &mut Option<UtcTime>, at: UtcTime) {
    *known = Some(known.map_or(at, |known| known.min(at)));
}

fn fill_if_empty(known: &mut Party, update: &Party) {
    if known.0.is_empty() {
        known.clone_from(update);
    }
}

#[cfg(test)]
mod tests;
