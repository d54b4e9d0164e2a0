//! Tests of `store/legs.rs`.

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
