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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use CallStatus::{
        Busy, Canceled, Completed, Failed, InProgress, Initiated, NoAnswer, Queued, Ringing,
    };

    const STATUSES: [CallStatus; 9] = [
        Queued, Initiated, Ringing, InProgress, Completed, Busy, NoAnswer, Canceled, Failed,
    ];

    fn sid(n: u8) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    fn at(seconds: u32) -> UtcTime {
        UtcTime::from_millis(1_795_341_600_000).plus(Duration::from_secs(seconds.into()))
    }

    /// Returns a callback for leg `n`; leg 0 is the parent.
    fn leg_update(n: u8, status: CallStatus, sequence: u32) -> LegUpdate {
        LegUpdate {
            leg: sid(n),
            parent: (n > 0).then(|| sid(0)),
            status,
            sequence: Some(sequence),
            at: Some(at(10 * sequence)),
            duration_seconds: (status == Completed).then_some(7),
            sip_code: None,
            parties: None,
            token: None,
        }
    }

    /// Applies the updates in this order.
    fn apply_all(updates: &[LegUpdate]) -> Vec<LegState> {
        let mut legs: Vec<LegState> = Vec::new();
        for update in updates {
            let known = legs.iter().position(|leg| leg.sid == update.leg);
            let index = known.unwrap_or_else(|| {
                let is_child = update.parent.is_some();
                legs.push(LegState::new(update.leg.clone(), is_child));
                legs.len() - 1
            });
            legs[index].apply_update(update, at(1_000));
        }
        legs
    }

    fn derive(updates: &[LegUpdate]) -> CallOutcome {
        derive_outcome(None, None, &apply_all(updates))
    }

    fn status_of(story: &[(u8, CallStatus)]) -> (CallStatus, Option<String>) {
        let leg_update =
            |(n, (leg, status)): (usize, &(u8, CallStatus))| leg_update(*leg, *status, n as u32);
        let updates: Vec<LegUpdate> = story.iter().enumerate().map(leg_update).collect();
        let call = derive(&updates);
        (call.status, call.end_cause)
    }

    #[test]
    fn a_call_follows_its_legs() {
        let cause = |word: &str| Some(word.to_owned());
        for (story, status, end_cause) in [
            (&[(0, Ringing)][..], Ringing, None),
            (&[(0, InProgress), (0, Completed)], Completed, None),
            (&[(0, Failed)], Failed, cause("failed")),
            // The announcement answers the parent while the other party's phone rings.
            (
                &[(1, Initiated), (0, InProgress), (1, Ringing)],
                Ringing,
                None,
            ),
            (
                &[(0, Ringing), (1, Ringing), (1, InProgress)],
                InProgress,
                None,
            ),
            // The call is over when its parent is.
            (&[(1, InProgress), (1, Completed)], InProgress, None),
            (
                &[(1, InProgress), (1, Completed), (0, Completed)],
                Completed,
                None,
            ),
            (&[(1, Ringing), (1, Busy)], Ringing, cause("busy")),
            (
                &[(1, Ringing), (1, Busy), (0, Completed)],
                Busy,
                cause("busy"),
            ),
            (
                &[(0, Completed), (1, NoAnswer)],
                NoAnswer,
                cause("no_answer"),
            ),
            (
                &[(1, Ringing), (0, Canceled), (1, NoAnswer)],
                Canceled,
                cause("no_answer"),
            ),
            // Two browsers ring, one answers.
            (
                &[
                    (1, Canceled),
                    (2, InProgress),
                    (2, Completed),
                    (0, Completed),
                ],
                Completed,
                None,
            ),
            // Two numbers are tried in turn.
            (
                &[(1, NoAnswer), (2, Busy), (0, Completed)],
                Busy,
                cause("busy"),
            ),
            // The callback for the child's end was lost.
            (&[(1, Ringing), (0, Completed)], Completed, None),
        ] {
            assert_eq!(status_of(story), (status, end_cause), "{story:?}");
        }
    }

    #[test]
    fn a_latecomer_changes_nothing() {
        let whole = [
            leg_update(0, Ringing, 0),
            leg_update(0, InProgress, 1),
            leg_update(0, Completed, 2),
        ];
        let late = [whole[2].clone(), whole[0].clone(), whole[1].clone()];
        assert_eq!(derive(&late), derive(&whole));
        assert_eq!(apply_all(&late)[0].sequence, Some(2));
    }

    #[test]
    fn of_two_endings_the_first_counts() {
        let endings = [leg_update(0, Busy, 3), leg_update(0, Completed, 2)];
        assert_eq!(derive(&endings).status, Completed);
        let mut nameless = leg_update(0, Canceled, 0);
        nameless.sequence = None;
        assert_eq!(
            derive(&[nameless, leg_update(0, NoAnswer, 9)]).status,
            NoAnswer
        );
    }

    #[test]
    fn a_leg_that_was_answered_is_completed_whatever_its_end_is_called() {
        for story in [
            &[
                (1, InProgress),
                (1, Completed),
                (1, NoAnswer),
                (0, Completed),
            ][..],
            &[(1, NoAnswer), (0, Completed), (1, InProgress)],
            &[(0, Completed), (1, Busy), (1, InProgress)],
        ] {
            assert_eq!(status_of(story), (Completed, None), "{story:?}");
        }
    }

    #[test]
    fn times_are_the_childs_and_the_end_is_the_parents() {
        let call = derive(&[
            leg_update(0, InProgress, 1),
            leg_update(1, Initiated, 2),
            leg_update(1, InProgress, 3),
            leg_update(1, Completed, 5),
            leg_update(0, Completed, 6),
        ]);
        assert_eq!(call.started_at, at(10));
        assert_eq!(call.answered_at, Some(at(30)));
        assert_eq!(call.ended_at, Some(at(60)));
        assert_eq!(call.duration_seconds, Some(7));
        // The callback for the answer was lost: its time is calculated from the end.
        let call = derive(&[leg_update(1, Completed, 5), leg_update(0, Completed, 6)]);
        assert_eq!(call.answered_at, Some(at(43)));
    }

    #[test]
    fn a_sip_code_says_more_than_a_word_and_our_own_word_most() {
        let mut busy = leg_update(1, Busy, 1);
        busy.sip_code = Some(486);
        let legs = apply_all(&[busy, leg_update(0, Completed, 2)]);
        let cause = |own| derive_outcome(None, own, &legs).end_cause;
        assert_eq!(cause(None).as_deref(), Some("sip_486"));
        assert_eq!(cause(Some("refused")).as_deref(), Some("refused"));
    }

    #[test]
    fn parties_and_direction_are_known_from_the_legs_until_someone_says() {
        let party = |text: &str| Party(text.to_owned());
        let with = |n, from: &str, to: &str| LegUpdate {
            parties: Some((party(from), party(to))),
            ..leg_update(n, Ringing, 0)
        };
        let placed = derive(&[
            with(1, "+14155550100", "+14155550123"),
            with(0, "client:ada", ""),
        ]);
        assert_eq!(placed.direction, Direction::Outgoing);
        assert_eq!(
            (placed.from, placed.to),
            (party("client:ada"), party("+14155550123"))
        );
        let taken = [
            with(0, "+14155550123", "+14155550100"),
            with(1, "+14155550123", "client:ada"),
        ];
        for legs in [&taken[..], &taken[..1], &taken[1..]] {
            assert_eq!(derive(legs).direction, Direction::Incoming);
        }
        let opening = CallOpening {
            at: at(0),
            direction: Direction::Outgoing,
            from: party("ada"),
            to: party(""),
        };
        let call = derive_outcome(Some(&opening), None, &apply_all(&taken));
        assert_eq!(call.direction, Direction::Outgoing);
        assert_eq!((call.from, call.to), (party("ada"), party("+14155550100")));
        assert_eq!(call.started_at, at(0));
    }

    #[test]
    fn a_call_belongs_to_the_user_who_placed_it_or_whose_leg_was_answered() {
        let client = |user: u32| Party(format!("client:u{user}_00c0ffee00c0ffee_ada"));
        let number = || Party("+14155550123".to_owned());
        let to = |n, status, sequence, to: Party| LegUpdate {
            parties: Some((number(), to)),
            ..leg_update(n, status, sequence)
        };
        let of = |updates: &[LegUpdate]| find_owner(&apply_all(updates));
        let placed = LegUpdate {
            parties: Some((client(7), number())),
            ..leg_update(0, Ringing, 0)
        };
        assert_eq!(of(&[placed]), Some(UserId(7)));
        let rung = [
            to(0, Ringing, 0, number()),
            to(1, Ringing, 1, client(1)),
            to(2, Ringing, 1, client(2)),
        ];
        assert_eq!(of(&rung), None, "it only rings");
        let answered = to(2, InProgress, 2, client(2));
        let ended = to(2, Completed, 3, client(2));
        let lost = to(1, Canceled, 2, client(1));
        for more in [
            vec![answered.clone()],
            vec![ended.clone()],
            vec![lost.clone(), ended.clone(), answered.clone()],
            vec![answered, lost, ended],
        ] {
            for order in [[&rung[..], &more[..]], [&more[..], &rung[..]]] {
                assert_eq!(of(&order.concat()), Some(UserId(2)), "{more:?}");
            }
        }
        // Neither a dialled number nor an unknown identity is a user.
        let strange = Party("client:desk".to_owned());
        for party in [number(), strange] {
            assert_eq!(
                of(&[to(0, Ringing, 0, number()), to(1, InProgress, 2, party)]),
                None
            );
        }
    }

    /// Generates callbacks, both possible and impossible ones.
    fn anything() -> impl Strategy<Value = Vec<LegUpdate>> {
        let update = (0..3_u8, 0..STATUSES.len(), 0..6_u32, any::<bool>());
        let update = update.prop_map(|(leg, status, sequence, is_numbered)| {
            let mut update = leg_update(leg, STATUSES[status], sequence);
            let to = format!("client:u{leg}_00c0ffee00c0ffee");
            update.parties = Some((Party("+14155550123".to_owned()), Party(to)));
            update.sequence = update.sequence.filter(|_| is_numbered);
            update
        });
        prop::collection::vec(update, 1..12)
    }

    /// Generates the statuses of one child, in Twilio's order.
    fn way() -> impl Strategy<Value = Vec<CallStatus>> {
        let tried = prop::sample::select(vec![Busy, NoAnswer, Canceled, Failed]);
        prop_oneof![
            Just(vec![Initiated, Ringing, InProgress, Completed]),
            tried.prop_map(|end| vec![Initiated, Ringing, end]),
        ]
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_in_the_same_record(
            (updates, shuffled) in anything().prop_flat_map(|updates| {
                let twice = [updates.clone(), updates.clone()].concat();
                (Just(updates), Just(twice).prop_shuffle())
            })
        ) {
            prop_assert_eq!(derive(&shuffled), derive(&updates));
            prop_assert_eq!(find_owner(&apply_all(&shuffled)), find_owner(&apply_all(&updates)));
        }

        #[test]
        fn what_gets_lost_on_the_way_does_not_change_the_end(
            ways in prop::collection::vec(way(), 1..3),
            lost in prop::collection::vec(any::<bool>(), 16),
        ) {
            let mut whole = vec![leg_update(0, Ringing, 0)];
            for (n, way) in ways.iter().enumerate() {
                let steps = way.iter().enumerate();
                whole.extend(steps.map(|(step, status)| leg_update(n as u8 + 1, *status, step as u32)));
            }
            whole.push(leg_update(0, Completed, 9));
            let mut lost = lost.into_iter();
            let rest: Vec<LegUpdate> = whole
                .iter()
                .filter(|update| is_final(update.status) || !lost.next().unwrap_or_default())
                .cloned()
                .collect();
            let (whole, rest) = (derive(&whole), derive(&rest));
            prop_assert_eq!(rest.status, whole.status);
            prop_assert_eq!(rest.ended_at, whole.ended_at);
            prop_assert_eq!(rest.duration_seconds, whole.duration_seconds);
            prop_assert_eq!(rest.end_cause, whole.end_cause);
            prop_assert_eq!(rest.answered_at.is_some(), whole.answered_at.is_some());
        }

        #[test]
        fn a_leg_that_is_over_stays_over(updates in anything(), late in anything()) {
            let before = apply_all(&updates);
            let after = apply_all(&[updates, late].concat());
            for leg in before.iter().filter(|leg| leg.has_ended()) {
                prop_assert!(after.iter().any(|now| now.sid == leg.sid && now.has_ended()));
            }
        }
    }
}
