//! What a call's legs say of the call. Pure: no I/O.
//!
//! Callbacks come late, twice, in any order, or not at all. So nothing here depends on the order:
//! each leg keeps the *best* of what was said of it (a maximum, a minimum, the first word), and the
//! call is a function of its legs and of its opening. A repetition and a latecomer then change
//! nothing, and any order ends in the same record.
//!
//! # A leg
//!
//! It moves on along queued, initiated, ringing, in-progress, and then ends, for good. Of two
//! endings the one of the lower sequence number counts, as the one that came first at Twilio.
//!
//! # A call
//!
//! It is over when its parent is over. Whether the parties talk is for the children to say, if
//! there are any: the parent may be answered by an announcement while the other end still rings.
//! A call whose parent completed although no child was ever answered ends as its last child did.

use std::cmp::Reverse;
use std::time::Duration;

use super::record::{LegUpdate, Party};
use crate::clock::UtcTime;
use crate::ids::CallSid;
use crate::transcript::{CallStatus, Direction};

/// What is known of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LegState {
    pub(super) sid: CallSid,
    pub(super) is_child: bool,
    pub(super) status: CallStatus,
    /// The number of the callback that brought the status.
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
    /// A leg of which nothing is known yet.
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

    /// Takes in what a callback says; `now` is when it was heard, for one without a time. No event
    /// is later than its report, so that the earliest report is the nearest to the truth.
    pub(super) fn hear(&mut self, update: &LegUpdate, now: UtcTime) {
        let at = update.at.unwrap_or(now);
        self.is_child |= update.parent.is_some();
        self.reach(update.status, update.sequence, at);
        self.duration_seconds = self.duration_seconds.or(update.duration_seconds);
        self.sip_code = self.sip_code.or(update.sip_code);
        if let Some((from, to)) = &update.parties {
            fill(&mut self.from, from);
            fill(&mut self.to, to);
        }
    }

    /// Takes in a status.
    pub(super) fn reach(&mut self, status: CallStatus, sequence: Option<u32>, at: UtcTime) {
        earlier(&mut self.began_at, at);
        if status == CallStatus::InProgress {
            earlier(&mut self.answered_at, at);
        }
        if is_over(status) {
            earlier(&mut self.ended_at, at);
        }
        if weight(status, sequence) > weight(self.status, self.sequence) {
            (self.status, self.sequence) = (status, sequence);
        }
    }

    fn is_over(&self) -> bool {
        is_over(self.status)
    }

    /// Whether somebody picked up.
    fn was_answered(&self) -> bool {
        self.answered_at.is_some() || self.status == CallStatus::Completed
    }

    /// When somebody picked up: as reported, or else reckoned back from the end.
    fn answer(&self) -> Option<UtcTime> {
        self.answered_at.or_else(|| {
            let talk = self.duration_seconds.filter(|seconds| *seconds > 0)?;
            let talk = Duration::from_secs(talk.into());
            let completed = self.status == CallStatus::Completed;
            self.ended_at.filter(|_| completed).map(|at| at.minus(talk))
        })
    }

    /// Why it ended without an answer.
    fn cause(&self) -> Option<String> {
        if !self.is_over() || self.was_answered() {
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

/// What was said when the call was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) at: UtcTime,
    pub(super) direction: Direction,
    pub(super) from: Party,
    pub(super) to: Party,
}

impl Opening {
    /// Fills in from a second opening what the first did not know.
    pub(super) fn adopt(&mut self, other: &Self) {
        self.at = self.at.min(other.at);
        fill(&mut self.from, &other.from);
        fill(&mut self.to, &other.to);
    }
}

/// What follows for the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
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

/// Draws the conclusion. `own_cause` is what this server itself knows of the end, and says more
/// than any leg.
pub(super) fn outcome(
    opening: Option<&Opening>,
    own_cause: Option<&str>,
    legs: &[LegState],
) -> Outcome {
    let parent = legs.iter().find(|leg| !leg.is_child);
    let mut children: Vec<&LegState> = legs.iter().filter(|leg| leg.is_child).collect();
    // Whatever the order in which they became known.
    children.sort_by_key(|leg| (leg.ended_at, leg.began_at, &leg.sid));
    let talked = match (&children[..], parent) {
        ([], parent) => parent.is_some_and(LegState::was_answered),
        (children, _) => children.iter().any(|leg| leg.was_answered()),
    };
    let status = status(parent, &children, talked);
    let legs_that_talk: Vec<&LegState> = match &children[..] {
        [] => parent.into_iter().collect(),
        children => children.to_vec(),
    };
    let durations = legs_that_talk.iter().filter_map(|leg| leg.duration_seconds);
    let parents_duration = parent.and_then(|leg| leg.duration_seconds);
    let parents_cause = || parent.and_then(LegState::cause);
    let last_child = children.iter().rfind(|leg| leg.is_over());
    let cause = || match last_child {
        Some(child) => child.cause(),
        None => parents_cause(),
    };
    let starts = legs.iter().filter_map(|leg| leg.began_at);
    Outcome {
        direction: opening.map_or_else(|| direction(parent, &children), |open| open.direction),
        status,
        from: party(
            opening,
            parent,
            &children,
            |open| &open.from,
            |leg| &leg.from,
        ),
        to: party(opening, parent, &children, |open| &open.to, |leg| &leg.to),
        started_at: opening.map_or_else(
            || starts.min().unwrap_or(UtcTime::from_millis(0)),
            |open| open.at,
        ),
        answered_at: legs_that_talk.iter().filter_map(|leg| leg.answer()).min(),
        ended_at: parent
            .filter(|_| is_over(status))
            .and_then(|leg| leg.ended_at),
        duration_seconds: durations.max().or(parents_duration.filter(|_| talked)),
        end_cause: own_cause
            .map(str::to_owned)
            .or_else(|| cause().filter(|_| !talked)),
    }
}

/// Where the call is; `children` are in the order in which they ended.
fn status(parent: Option<&LegState>, children: &[&LegState], talked: bool) -> CallStatus {
    let parent = parent.map_or(CallStatus::Queued, |leg| leg.status);
    if children.is_empty() {
        return parent;
    }
    if is_over(parent) {
        let all_over = children.iter().all(|leg| leg.is_over());
        return match children.last() {
            Some(last) if parent == CallStatus::Completed && !talked && all_over => last.status,
            Some(_) if talked => CallStatus::Completed,
            Some(_) | None => parent,
        };
    }
    if talked {
        return CallStatus::InProgress;
    }
    // Nobody has picked up. A child that is over was tried; another may follow.
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
        .max_by_key(|status| rank(*status))
        .unwrap_or(parent)
}

/// Who called whom, if nobody has said: a browser is a `client:`.
fn direction(parent: Option<&LegState>, children: &[&LegState]) -> Direction {
    let is_client = |party: &Party| party.0.starts_with("client:");
    let called_by_number =
        parent.is_some_and(|leg| !leg.from.0.is_empty() && !is_client(&leg.from));
    let rings_browser = children.iter().any(|leg| is_client(&leg.to));
    if called_by_number || rings_browser {
        Direction::Incoming
    } else {
        Direction::Outgoing
    }
}

/// The first that is known: as the opening has it, as the parent has it, as a child has it.
fn party(
    opening: Option<&Opening>,
    parent: Option<&LegState>,
    children: &[&LegState],
    of_opening: fn(&Opening) -> &Party,
    of_leg: fn(&LegState) -> &Party,
) -> Party {
    let known = opening.map(of_opening).into_iter();
    let known = known.chain(parent.map(of_leg));
    let mut known = known.chain(children.iter().map(|leg| of_leg(leg)));
    let found = known.find(|party| !party.0.is_empty());
    found.cloned().unwrap_or_default()
}

/// Whether nothing comes after it.
pub(super) fn is_over(status: CallStatus) -> bool {
    rank(status) == rank(CallStatus::Completed)
}

/// How far a leg is.
fn rank(status: CallStatus) -> u8 {
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

/// Of two statuses the heavier one counts. Among endings that is the one of the lower number; one
/// without a number is the lightest, and a talk outweighs what hides it.
fn weight(status: CallStatus, sequence: Option<u32>) -> (u8, Reverse<u32>, u8, Option<u32>) {
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
    let first = if is_over(status) {
        Reverse(sequence.unwrap_or(u32::MAX))
    } else {
        Reverse(0)
    };
    (rank(status), first, ending, sequence)
}

fn earlier(known: &mut Option<UtcTime>, at: UtcTime) {
    *known = Some(known.map_or(at, |known| known.min(at)));
}

fn fill(known: &mut Party, told: &Party) {
    if known.0.is_empty() {
        known.clone_from(told);
    }
}
