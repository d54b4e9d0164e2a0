//! What the store promises, told once and held against every backend.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::UtcTime;
use crate::ids::{CallSid, RecordingSid, SegmentId, StreamSid, Track, UserId};
use crate::limits;
use crate::store::{
    CallEdit, CallFilter, CallRecord, Conflict, LegUpdate, NewCall, Party, Recording,
    RecordingUpdate, Role, Scope, StatusChange, Store, StoreError, TranscriptState,
};
use crate::transcript::{
    CallStatus, Direction, EndReason, RecordingStatus, Segment, Speaker, Word,
};

/// Tells the story to an empty store of each kind.
async fn everywhere(tell: impl AsyncFn(Store)) {
    let folder = TempDir::new().unwrap();
    for url in [
        "sqlite::memory:".to_owned(),
        format!("sqlite://{}", folder.path().join("calls.db").display()),
    ] {
        let store = Store::open(&url).await.unwrap();
        tell(store.clone()).await;
        store.close().await;
    }
}

/// The time of the tests, this many seconds on.
fn at(seconds: u64) -> UtcTime {
    UtcTime::from_millis(1_795_341_600_000).plus(Duration::from_secs(seconds))
}

fn call(n: u32) -> CallSid {
    CallSid::parse(&format!("CA{n:032x}")).unwrap()
}

fn user_hash(n: u8) -> [u8; 32] {
    [n; 32]
}

#[tokio::test]
async fn users_have_names_of_their_own_and_there_is_always_an_admin() {
    everywhere(async |store| {
        assert!(!store.has_users().await.unwrap());
        let ada = store.first_user("Ada", "hash-a", at(0)).await.unwrap();
        assert_eq!(ada.role, Role::Admin);
        assert!(store.has_users().await.unwrap());
        let again = store.first_user("Eve", "hash-e", at(1)).await;
        assert!(matches!(
            again,
            Err(StoreError::Conflict(Conflict::HasUsers))
        ));
        let same = store.add_user("aDA", "x", Role::User, at(1)).await;
        assert!(matches!(
            same,
            Err(StoreError::Conflict(Conflict::NameTaken))
        ));
        let bob = store
            .add_user("Bob", "hash-b", Role::User, at(2))
            .await
            .unwrap();
        let names: Vec<String> = store
            .users()
            .await
            .unwrap()
            .into_iter()
            .map(|u| u.name)
            .collect();
        assert_eq!(names, ["Ada", "Bob"]);
        let (found, hash) = store.credentials("BOB").await.unwrap().unwrap();
        assert_eq!((found, hash.as_str()), (bob.clone(), "hash-b"));
        store.set_password(bob.id, "new").await.unwrap();
        assert_eq!(store.credentials("bob").await.unwrap().unwrap().1, "new");

        let is_last = |done: Result<(), StoreError>| {
            matches!(done, Err(StoreError::Conflict(Conflict::LastAdmin)))
        };
        assert!(is_last(store.set_role(ada.id, Role::User).await));
        assert!(is_last(store.remove_user(ada.id).await));
        store.set_role(bob.id, Role::Admin).await.unwrap();
        store.remove_user(ada.id).await.unwrap();
        assert_eq!(store.user(ada.id).await.unwrap(), None);
        let gone = store.set_password(ada.id, "x").await;
        assert!(matches!(gone, Err(StoreError::NoSuchUser)));
        let next = store.add_user("Cyd", "x", Role::User, at(3)).await.unwrap();
        assert!(next.id > bob.id, "an id was given out twice");
    })
    .await;
}

#[tokio::test]
async fn a_session_lasts_until_it_is_closed_or_swept() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        for n in 1..=3 {
            store
                .open_session(&user_hash(n), ada.id, at(n.into()))
                .await
                .unwrap();
        }
        store.touch_session(&user_hash(1), at(50)).await.unwrap();
        store.touch_session(&user_hash(1), at(40)).await.unwrap();
        let session = store.session(&user_hash(1)).await.unwrap().unwrap();
        assert_eq!((session.created_at, session.used_at), (at(1), at(50)));
        assert_eq!(session.user, ada);
        assert_eq!(store.session(&user_hash(9)).await.unwrap(), None);
        assert!(store.close_session(&user_hash(2)).await.unwrap());
        assert!(!store.close_session(&user_hash(2)).await.unwrap());
        // Began too long ago, though used since; not used for too long.
        assert_eq!(store.sweep_sessions(at(2), at(0)).await.unwrap(), 1);
        assert_eq!(store.sweep_sessions(at(0), at(4)).await.unwrap(), 1);
        let nobody = store.open_session(&user_hash(4), UserId(99), at(0)).await;
        assert!(matches!(nobody, Err(StoreError::NoSuchUser)));
    })
    .await;
}

#[tokio::test]
async fn a_user_who_leaves_takes_his_keys_and_leaves_his_calls() {
    everywhere(async |store| {
        store.first_user("Ada", "h", at(0)).await.unwrap();
        let bob = store.add_user("Bob", "h", Role::User, at(0)).await.unwrap();
        let new = NewCall {
            user_id: Some(bob.id),
            ..new_call(1)
        };
        assert_eq!(store.open_call(&new).await.unwrap().user_id, Some(bob.id));
        store
            .log(Some(&call(1)), "refused", "", Some(bob.id), at(1))
            .await
            .unwrap();
        store
            .open_session(&user_hash(1), bob.id, at(0))
            .await
            .unwrap();
        let scopes = [Scope::CallsRead];
        let token = store
            .add_api_token(&user_hash(2), bob.id, "cron", &scopes, None, at(0))
            .await;
        token.unwrap();
        store.remove_user(bob.id).await.unwrap();
        assert_eq!(store.session(&user_hash(1)).await.unwrap(), None);
        assert_eq!(store.api_token(&user_hash(2)).await.unwrap(), None);
        let left = store.call(&call(1)).await.unwrap().unwrap();
        assert_eq!((left.call.user_id, left.events[0].user_id), (None, None));
        // Someone signed in when he was removed: the call is kept all the same.
        let late = NewCall {
            user_id: Some(bob.id),
            ..new_call(2)
        };
        assert_eq!(store.open_call(&late).await.unwrap().user_id, None);
    })
    .await;
}

#[tokio::test]
async fn sessions_and_tokens_of_one_user_are_bounded() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        let sessions = limits::SESSIONS_PER_USER_MAX as u8;
        for n in 0..=sessions {
            store
                .open_session(&user_hash(n), ada.id, at(n.into()))
                .await
                .unwrap();
        }
        assert_eq!(
            store.session(&user_hash(0)).await.unwrap(),
            None,
            "the oldest stays"
        );
        assert!(store.session(&user_hash(sessions)).await.unwrap().is_some());
        assert_eq!(
            store.close_sessions(ada.id).await.unwrap(),
            u64::from(sessions)
        );
        let tokens = limits::API_TOKENS_PER_USER_MAX as u8;
        for n in 0..=tokens {
            let made = store
                .add_api_token(&user_hash(n), ada.id, "t", &[], None, at(0))
                .await;
            assert_eq!(made.is_ok(), n < tokens, "{n}");
        }
        let long = "n".repeat(limits::NAME_BYTES_MAX + 1);
        let refused = store.add_user(&long, "h", Role::User, at(0)).await;
        assert!(matches!(refused, Err(StoreError::TooLong { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_token_opens_until_it_is_taken_back_by_its_user() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        let bob = store.add_user("Bob", "h", Role::User, at(0)).await.unwrap();
        let scopes = [Scope::CallsRead, Scope::Metrics];
        let until = Some(at(9));
        let mut made = store
            .add_api_token(&user_hash(1), ada.id, "cron", &scopes, until, at(0))
            .await
            .unwrap();
        store.touch_api_token(made.id, at(5)).await.unwrap();
        made.used_at = Some(at(5));
        assert_eq!(
            store.api_token(&user_hash(1)).await.unwrap(),
            Some((made.clone(), ada.clone()))
        );
        assert_eq!(
            store.api_tokens(ada.id).await.unwrap(),
            std::slice::from_ref(&made)
        );
        assert!(store.api_tokens(bob.id).await.unwrap().is_empty());
        assert!(!store.remove_api_token(made.id, bob.id).await.unwrap());
        assert!(store.remove_api_token(made.id, ada.id).await.unwrap());
        assert_eq!(store.api_token(&user_hash(1)).await.unwrap(), None);
    })
    .await;
}

fn new_call(n: u32) -> NewCall {
    NewCall {
        sid: call(n),
        direction: Direction::Outgoing,
        status: CallStatus::Queued,
        from: Party("client:ada".into()),
        to: Party(format!("+1415555{n:04}")),
        user_id: None,
        started_at: at(u64::from(n) * 100),
        transcript: TranscriptState::Waiting,
        announced: false,
    }
}

fn leg_update(leg: u32, parent: Option<u32>, status: CallStatus, sequence: u32) -> LegUpdate {
    LegUpdate {
        leg: call(leg),
        parent: parent.map(call),
        status,
        sequence: Some(sequence),
        at: Some(at(1_000 + u64::from(sequence))),
        duration_seconds: None,
        sip_code: None,
        parties: None,
        token: Some(format!("{leg}-{sequence}")),
    }
}

fn segment(number: u32, start_ms: u64, text: &str) -> Segment {
    let word = |(n, text): (usize, &str)| Word {
        text: text.to_owned(),
        start_ms: start_ms + 100 * n as u64,
        end_ms: start_ms + 100 * n as u64 + 90,
        confidence: 1.0 / (n as f32 + 3.0),
    };
    Segment {
        id: SegmentId::new(1, Track::Outbound, number),
        track: Track::Outbound,
        speaker: Speaker::Customer,
        start_ms,
        end_ms: start_ms + 1_000,
        text: text.to_owned(),
        words: text.split(' ').enumerate().map(word).collect(),
        language: "en".into(),
        latency_ms: 420,
        transcribed: true,
    }
}

#[tokio::test]
async fn a_call_is_adopted_without_losing_what_is_known() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        let first = NewCall {
            to: Party::default(),
            transcript: TranscriptState::Off,
            ..new_call(1)
        };
        let opened = store.open_call(&first).await.unwrap();
        assert_eq!((opened.user_id, opened.announced), (None, false));
        let second = NewCall {
            from: Party("someone else".into()),
            user_id: Some(ada.id),
            announced: true,
            started_at: at(200),
            ..new_call(1)
        };
        let adopted = store.open_call(&second).await.unwrap();
        let expected = CallRecord {
            to: second.to.clone(),
            user_id: Some(ada.id),
            announced: true,
            transcript: TranscriptState::Waiting,
            ..opened
        };
        assert_eq!(adopted, expected);
        assert_eq!(store.open_call(&first).await.unwrap(), expected);
        assert_eq!(store.call_record(&call(1)).await.unwrap(), Some(expected));
        assert_eq!(store.call_record(&call(2)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn notes_and_labels_are_the_users_within_their_bounds() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        let edit = |notes: Option<&str>, labels: Option<&[&str]>| CallEdit {
            notes: notes.map(str::to_owned),
            labels: labels.map(|labels| labels.iter().map(|&l| l.to_owned()).collect()),
        };
        let both = edit(Some("call back"), Some(&["vip", "b\"q"]));
        store.edit_call(&call(1), &both).await.unwrap().unwrap();
        let one = store
            .edit_call(&call(1), &edit(Some(""), None))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((one.notes.as_str(), one.labels.len()), ("", 2));
        assert_eq!(store.edit_call(&call(9), &both).await.unwrap(), None);
        let long = "x".repeat(limits::NOTES_BYTES_MAX + 1);
        let many = vec!["l"; limits::LABELS_MAX + 1];
        for (wrong, is_long) in [
            (edit(Some(&long), None), true),
            (edit(None, Some(&many)), false),
        ] {
            match store.edit_call(&call(1), &wrong).await {
                Err(StoreError::TooLong { .. }) => assert!(is_long),
                Err(StoreError::TooMany { .. }) => assert!(!is_long),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

/// The numbers of the calls on all pages of the list.
async fn listed(store: &Store, filter: &CallFilter, user: Option<UserId>, limit: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .calls(filter, user, cursor.as_deref(), limit)
            .await
            .unwrap();
        assert!(page.calls.len() <= limit as usize);
        for hit in &page.calls {
            found.push(u32::from_str_radix(&hit.call.sid.as_str()[2..], 16).unwrap());
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_while_calls_come_and_go() {
    everywhere(async |store| {
        for n in 1..=5 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        // Two that began at the same moment.
        let twin = NewCall {
            started_at: at(300),
            ..new_call(8)
        };
        store.open_call(&twin).await.unwrap();
        let all = CallFilter::default();
        assert_eq!(listed(&store, &all, None, 2).await, [5, 4, 8, 3, 2, 1]);
        let first = store.calls(&all, None, None, 3).await.unwrap();
        let next = first.next.unwrap();
        store.open_call(&new_call(6)).await.unwrap();
        store.delete_call(&call(8), at(900)).await.unwrap();
        let second = store.calls(&all, None, Some(&next), 3).await.unwrap();
        let sids: Vec<CallSid> = second.calls.into_iter().map(|hit| hit.call.sid).collect();
        assert_eq!(sids, [call(3), call(2), call(1)]);
        assert_eq!(second.next, None);
        let strange = store.calls(&all, None, Some("strange"), 3).await;
        assert!(matches!(strange, Err(StoreError::BadCursor)));
        // A page is bounded, and never empty while there is more.
        assert_eq!(
            store
                .calls(&all, None, None, u32::MAX)
                .await
                .unwrap()
                .calls
                .len(),
            6
        );
        assert_eq!(
            store.calls(&all, None, None, 0).await.unwrap().calls.len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_shows_what_fits_every_filter() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        for n in 1..=4 {
            let direction = if n == 4 {
                Direction::Incoming
            } else {
                Direction::Outgoing
            };
            let user_id = (n == 2).then_some(ada.id);
            store
                .open_call(&NewCall {
                    direction,
                    user_id,
                    ..new_call(n)
                })
                .await
                .unwrap();
        }
        let over = leg_update(3, None, CallStatus::Completed, 1);
        store.apply_leg(&over, at(2_000)).await.unwrap();
        store.set_audio(&call(1), true).await.unwrap();
        store
            .apply_recording(&recording_update(2, RecordingStatus::Completed), at(0))
            .await
            .unwrap();
        store
            .apply_recording(&recording_update(3, RecordingStatus::Absent), at(0))
            .await
            .unwrap();
        let labels = Some(vec!["vip".to_owned()]);
        let edit = CallEdit {
            notes: None,
            labels,
        };
        store.edit_call(&call(2), &edit).await.unwrap();
        let all = CallFilter::default;
        for (filter, user, found) in [
            (all(), None, &[4, 3, 2, 1][..]),
            (all(), Some(ada.id), &[2]),
            (
                CallFilter {
                    direction: Some(Direction::Incoming),
                    ..all()
                },
                None,
                &[4],
            ),
            (
                CallFilter {
                    status: Some(CallStatus::Completed),
                    ..all()
                },
                None,
                &[3],
            ),
            (
                CallFilter {
                    number: Some("(415) 555-0003".into()),
                    ..all()
                },
                None,
                &[3],
            ),
            (
                CallFilter {
                    number: Some("ADA".into()),
                    ..all()
                },
                None,
                &[4, 3, 2, 1],
            ),
            (
                CallFilter {
                    number: Some("%".into()),
                    ..all()
                },
                None,
                &[],
            ),
            (
                CallFilter {
                    since: Some(at(200)),
                    until: Some(at(400)),
                    ..all()
                },
                None,
                &[3, 2],
            ),
            (
                CallFilter {
                    recorded: Some(true),
                    ..all()
                },
                None,
                &[2, 1],
            ),
            (
                CallFilter {
                    recorded: Some(false),
                    ..all()
                },
                None,
                &[4, 3],
            ),
            (
                CallFilter {
                    label: Some("vip".into()),
                    ..all()
                },
                None,
                &[2],
            ),
            (
                CallFilter {
                    label: Some("vi".into()),
                    ..all()
                },
                None,
                &[],
            ),
        ] {
            assert_eq!(listed(&store, &filter, user, 50).await, found, "{filter:?}");
        }
    })
    .await;
}

fn searched(text: &str) -> CallFilter {
    CallFilter {
        q: Some(text.to_owned()),
        ..CallFilter::default()
    }
}

#[tokio::test]
async fn a_search_finds_words_wherever_they_stand() {
    everywhere(async |store| {
        for n in 1..=3 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        let said = [
            segment(1, 1_000, "Good morning, the café is closed."),
            segment(2, 5_000, "Your invoice is on its way."),
        ];
        store.keep_segments(&call(1), &said).await.unwrap();
        store
            .keep_segments(&call(2), &[segment(1, 0, "No invoice here.")])
            .await
            .unwrap();
        let edit = CallEdit {
            notes: Some("Paid morning after".into()),
            labels: Some(vec!["Refund".into()]),
        };
        store.edit_call(&call(2), &edit).await.unwrap();
        for (text, found) in [
            ("invoice", &[2, 1][..]),
            ("INVOICE", &[2, 1]),
            ("CAFE", &[1]),
            // Each somewhere in the call.
            ("invoice morning", &[2, 1]),
            ("invoice paid refund", &[2]),
            ("morning paid cafe", &[]),
            // The beginning of the last word only.
            ("inv", &[2, 1]),
            ("inv morning", &[]),
            ("0003", &[]),
            ("+14155550003", &[3]),
            ("1415", &[3, 2, 1]),
            ("  ", &[3, 2, 1]),
            ("—", &[]),
        ] {
            assert_eq!(
                listed(&store, &searched(text), None, 50).await,
                found,
                "{text:?}"
            );
        }
        let page = store
            .calls(&searched("cafe inv"), None, None, 50)
            .await
            .unwrap();
        let hits = &page.calls[0].hits;
        assert_eq!((hits[0].start_ms, hits[1].start_ms), (1_000, 5_000));
        assert_eq!(
            hits[0].pieces,
            ["Good morning, the ", "café", " is closed."]
        );
        assert_eq!(hits[1].pieces[1], "invoice");
        // Words that are gone are not found.
        store
            .edit_call(
                &call(2),
                &CallEdit {
                    notes: Some("Open".into()),
                    labels: None,
                },
            )
            .await
            .unwrap();
        assert!(listed(&store, &searched("paid"), None, 50).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_looked_for_is_never_syntax() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store
            .keep_segments(&call(1), &[segment(1, 0, "near or not")])
            .await
            .unwrap();
        for text in [
            "\"",
            "\"\"\"",
            "*",
            "text:near",
            "near AND",
            "NOT near",
            "near OR x",
            "NEAR(near not)",
            "(near",
            "^near",
            "-near",
            "{near}",
            "a\0b",
            "near*not",
            "'; DROP TABLE calls; --",
            "\\",
            "?1",
        ] {
            store
                .calls(&searched(text), None, None, 5)
                .await
                .unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        assert_eq!(listed(&store, &searched("NOT near"), None, 5).await, [1]);
        assert!(
            listed(&store, &searched("near AND"), None, 5)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_call_moves_with_its_legs_and_says_when() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        let moved = |from, to| Some(StatusChange { from, to });
        let (queued, ringing) = (CallStatus::Queued, CallStatus::Ringing);
        let steps = [
            (
                leg_update(2, Some(1), CallStatus::Ringing, 1),
                moved(queued, ringing),
            ),
            (leg_update(2, Some(1), CallStatus::Initiated, 0), None),
            (
                leg_update(2, Some(1), CallStatus::InProgress, 2),
                moved(ringing, CallStatus::InProgress),
            ),
            (leg_update(2, Some(1), CallStatus::InProgress, 2), None),
            (leg_update(2, Some(1), CallStatus::Completed, 3), None),
            (
                leg_update(1, None, CallStatus::Completed, 0),
                moved(CallStatus::InProgress, CallStatus::Completed),
            ),
        ];
        for (update, change) in steps {
            assert_eq!(
                store.apply_leg(&update, at(2_000)).await.unwrap(),
                change,
                "{update:?}"
            );
        }
        assert_eq!(store.find_parent(&call(2)).await.unwrap(), Some(call(1)));
        assert_eq!(store.find_parent(&call(1)).await.unwrap(), Some(call(1)));
        assert_eq!(store.find_parent(&call(3)).await.unwrap(), None);
        let detail = store.call(&call(1)).await.unwrap().unwrap();
        let legs: Vec<(CallSid, bool)> = detail
            .legs
            .into_iter()
            .map(|l| (l.sid, l.is_child))
            .collect();
        assert_eq!(legs, [(call(1), false), (call(2), true)]);
        assert_eq!(detail.call.answered_at, Some(at(1_002)));
        assert_eq!(detail.call.ended_at, Some(at(1_000)));
    })
    .await;
}

#[tokio::test]
async fn a_callback_counts_once_even_if_it_says_something_new() {
    everywhere(async |store| {
        let first = leg_update(1, None, CallStatus::Ringing, 1);
        store.apply_leg(&first, at(0)).await.unwrap();
        let repeated = LegUpdate {
            status: CallStatus::Completed,
            ..first.clone()
        };
        assert_eq!(store.apply_leg(&repeated, at(1)).await.unwrap(), None);
        assert_eq!(record(&store, 1).await.status, CallStatus::Ringing);
        // A token is remembered for a day, and one that is too long not at all.
        let later = at(0)
            .plus(limits::CALLBACK_TOKEN_AGE_MAX)
            .plus(Duration::from_secs(1));
        let other = leg_update(2, None, CallStatus::Ringing, 1);
        store.apply_leg(&other, later).await.unwrap();
        assert!(store.apply_leg(&repeated, later).await.unwrap().is_some());
        let long = Some("t".repeat(limits::CALLBACK_TOKEN_BYTES_MAX + 1));
        for status in [CallStatus::InProgress, CallStatus::Completed] {
            let update = LegUpdate {
                status,
                token: long.clone(),
                ..other.clone()
            };
            assert!(store.apply_leg(&update, later).await.unwrap().is_some());
        }
    })
    .await;
}

async fn record(store: &Store, n: u32) -> CallRecord {
    store.call_record(&call(n)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_child_that_was_taken_for_a_call_goes_over_to_its_parent() {
    everywhere(async |store| {
        let ada = store.first_user("Ada", "h", at(0)).await.unwrap();
        // The browser tells of its own leg, before Twilio has said whose child it is.
        let new = NewCall {
            user_id: Some(ada.id),
            direction: Direction::Incoming,
            ..new_call(2)
        };
        store.open_call(&new).await.unwrap();
        let edit = CallEdit {
            notes: Some("urgent".into()),
            labels: None,
        };
        store.edit_call(&call(2), &edit).await.unwrap();
        store
            .open_stream(&call(2), &stream(1), at(1))
            .await
            .unwrap();
        store
            .keep_segments(&call(2), &[segment(1, 0, "hello")])
            .await
            .unwrap();
        store
            .log(Some(&call(2)), "noted", "", None, at(1))
            .await
            .unwrap();
        store
            .apply_recording(&recording_update(2, RecordingStatus::InProgress), at(1))
            .await
            .unwrap();
        store
            .apply_leg(&leg_update(1, None, CallStatus::Ringing, 0), at(2))
            .await
            .unwrap();
        store
            .apply_leg(&leg_update(2, Some(1), CallStatus::InProgress, 1), at(3))
            .await
            .unwrap();

        assert_eq!(store.call_record(&call(2)).await.unwrap(), None);
        assert_eq!(store.find_parent(&call(2)).await.unwrap(), Some(call(1)));
        let whole = store.call(&call(1)).await.unwrap().unwrap();
        assert_eq!(
            (whole.call.user_id, whole.call.notes.as_str()),
            (Some(ada.id), "urgent")
        );
        assert_eq!(whole.call.direction, Direction::Incoming);
        assert_eq!(whole.call.status, CallStatus::InProgress);
        assert_eq!(
            (
                whole.segments.len(),
                whole.recordings.len(),
                whole.events.len()
            ),
            (1, 1, 1)
        );
        assert_eq!(
            listed(&store, &searched("hello urgent"), None, 5).await,
            [1]
        );
        // Whoever still calls it by the child's name finds the call.
        store
            .keep_segments(&call(2), &[segment(2, 9, "there")])
            .await
            .unwrap();
        assert_eq!(store.segments(&call(1)).await.unwrap().len(), 2);
        assert_eq!(
            store
                .open_stream(&call(2), &stream(2), at(4))
                .await
                .unwrap()
                .number,
            2
        );
        assert_eq!(store.open_call(&new).await.unwrap().sid, call(1));
    })
    .await;
}

fn stream(n: u32) -> StreamSid {
    StreamSid::parse(&format!("MZ{n:032x}")).unwrap()
}

fn recording_sid(n: u32) -> RecordingSid {
    RecordingSid::parse(&format!("RE{n:032x}")).unwrap()
}

fn recording_update(n: u32, status: RecordingStatus) -> RecordingUpdate {
    let recording = Recording {
        sid: recording_sid(n),
        call_sid: call(n),
        status,
        channels: Some(2),
        duration_seconds: None,
        started_at: Some(at(1)),
    };
    RecordingUpdate {
        recording,
        token: None,
    }
}

#[tokio::test]
async fn recordings_belong_to_their_call() {
    everywhere(async |store| {
        let update = recording_update(1, RecordingStatus::InProgress);
        assert!(store.apply_recording(&update, at(1)).await.unwrap());
        assert!(!store.apply_recording(&update, at(1)).await.unwrap());
        let paused = recording_update(1, RecordingStatus::Paused);
        assert!(store.apply_recording(&paused, at(2)).await.unwrap());
        assert!(!store.apply_recording(&update, at(3)).await.unwrap());
        assert!(store.resume_recording(&recording_sid(1)).await.unwrap());
        assert!(!store.resume_recording(&recording_sid(1)).await.unwrap());
        assert!(!store.resume_recording(&recording_sid(9)).await.unwrap());
        assert_eq!(
            record(&store, 1).await.recording,
            Some(RecordingStatus::InProgress)
        );
        let mut second = recording_update(2, RecordingStatus::Completed);
        second.recording.call_sid = call(1);
        second.recording.started_at = Some(at(50));
        second.token = Some("once".into());
        assert!(store.apply_recording(&second, at(60)).await.unwrap());
        assert_eq!(
            store.recording_of(&call(1)).await.unwrap(),
            Some(second.recording.clone())
        );
        assert_eq!(
            store.recording(&recording_sid(2)).await.unwrap(),
            Some(second.recording)
        );
        assert_eq!(
            record(&store, 1).await.recording,
            Some(RecordingStatus::Completed)
        );
        let detail = store.call(&call(1)).await.unwrap().unwrap();
        let sids: Vec<RecordingSid> = detail.recordings.into_iter().map(|r| r.sid).collect();
        assert_eq!(sids, [recording_sid(1), recording_sid(2)]);
        assert_eq!(store.recording(&recording_sid(9)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn words_come_back_as_they_were_kept() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        let said = [
            segment(2, 2_000, "second — “naïve”"),
            segment(1, 1_000, "first"),
        ];
        store.keep_segments(&call(1), &said).await.unwrap();
        let changed = segment(1, 1_000, "something else");
        store
            .keep_segments(&call(1), &[changed, segment(3, 3_000, "")])
            .await
            .unwrap();
        let kept = store.segments(&call(1)).await.unwrap();
        assert_eq!(
            kept,
            [said[1].clone(), said[0].clone(), segment(3, 3_000, "")]
        );
        let detail = store.call(&call(1)).await.unwrap().unwrap();
        assert_eq!(detail.segments, kept);
        let unknown = store.keep_segments(&call(2), &said).await;
        assert!(matches!(unknown, Err(StoreError::NoSuchCall)));
        assert!(store.segments(&call(2)).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn streams_are_counted_and_a_restart_says_what_it_interrupted() {
    everywhere(async |store| {
        let first = store
            .open_stream(&call(1), &stream(1), at(1))
            .await
            .unwrap();
        assert_eq!((first.number, first.ended), (1, None));
        // Nobody had told of the call.
        let made = record(&store, 1).await;
        assert_eq!(
            (made.status, made.transcript),
            (CallStatus::InProgress, TranscriptState::Live)
        );
        assert!(
            store
                .end_stream(&stream(1), EndReason::Dropped, at(2))
                .await
                .unwrap()
        );
        assert!(
            !store
                .end_stream(&stream(1), EndReason::Stopped, at(3))
                .await
                .unwrap()
        );
        assert_eq!(
            store
                .open_stream(&call(1), &stream(2), at(3))
                .await
                .unwrap()
                .number,
            2
        );
        let again = store
            .open_stream(&call(1), &stream(1), at(4))
            .await
            .unwrap();
        assert_eq!((again.number, again.ended), (1, Some(EndReason::Dropped)));

        store
            .open_stream(&call(2), &stream(3), at(5))
            .await
            .unwrap();
        store
            .apply_leg(&leg_update(2, None, CallStatus::Completed, 1), at(6))
            .await
            .unwrap();
        store
            .open_stream(&call(3), &stream(4), at(7))
            .await
            .unwrap();
        assert!(
            store
                .set_transcript(&call(3), TranscriptState::Complete)
                .await
                .unwrap()
        );
        assert!(
            !store
                .set_transcript(&call(9), TranscriptState::Complete)
                .await
                .unwrap()
        );
        assert_eq!(
            store.interrupt_open_calls(at(8)).await.unwrap(),
            [call(3), call(1)]
        );
        for (n, state) in [
            (1, TranscriptState::Interrupted),
            (2, TranscriptState::Interrupted),
            (3, TranscriptState::Complete),
        ] {
            assert_eq!(record(&store, n).await.transcript, state, "call {n}");
        }
        let log = store.call(&call(1)).await.unwrap().unwrap().events;
        assert_eq!((log[0].kind.as_str(), log[0].at), ("interrupted", at(8)));
        assert!(
            !store
                .end_stream(&stream(2), EndReason::Stopped, at(9))
                .await
                .unwrap()
        );
        assert_eq!(
            store
                .open_stream(&call(1), &stream(5), at(9))
                .await
                .unwrap()
                .number,
            3
        );
        assert_eq!(record(&store, 1).await.transcript, TranscriptState::Live);
    })
    .await;
}

#[tokio::test]
async fn a_log_keeps_the_latest() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        assert!(
            !store
                .log(Some(&call(2)), "x", "", None, at(0))
                .await
                .unwrap()
        );
        assert!(
            store
                .log(None, "started", "é".repeat(999).as_str(), None, at(0))
                .await
                .unwrap()
        );
        let own = store.server_log(5).await.unwrap();
        assert_eq!((own.len(), own[0].kind.as_str()), (1, "started"));
        assert!(own[0].detail.len() <= limits::LOG_DETAIL_BYTES_MAX);
        for n in 0..=limits::LOG_ENTRIES_MAX {
            store
                .log(Some(&call(1)), "step", &n.to_string(), None, at(n.into()))
                .await
                .unwrap();
        }
        let log = store.call(&call(1)).await.unwrap().unwrap().events;
        assert_eq!(log.len(), limits::LOG_ENTRIES_MAX as usize);
        assert_eq!(log[0].detail, "1");
    })
    .await;
}

#[tokio::test]
async fn a_cause_of_our_own_is_kept() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store.set_end_cause(&call(1), "refused").await.unwrap();
        store.set_end_cause(&call(1), "other").await.unwrap();
        store
            .apply_leg(&leg_update(1, None, CallStatus::Failed, 1), at(2))
            .await
            .unwrap();
        assert_eq!(
            record(&store, 1).await.end_cause.as_deref(),
            Some("refused")
        );
        let unknown = store.set_end_cause(&call(2), "refused").await;
        assert!(matches!(unknown, Err(StoreError::NoSuchCall)));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_call_stays_deleted() {
    everywhere(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store
            .apply_leg(&leg_update(2, Some(1), CallStatus::Ringing, 0), at(1))
            .await
            .unwrap();
        store
            .keep_segments(&call(1), &[segment(1, 0, "gone")])
            .await
            .unwrap();
        store
            .apply_recording(&recording_update(1, RecordingStatus::InProgress), at(1))
            .await
            .unwrap();
        let deleted = store.delete_call(&call(1), at(9)).await.unwrap().unwrap();
        assert_eq!(deleted.recordings, [recording_sid(1)]);
        assert_eq!(store.delete_call(&call(1), at(9)).await.unwrap(), None);
        assert_eq!(store.call(&call(1)).await.unwrap(), None);
        assert_eq!(store.recording(&recording_sid(1)).await.unwrap(), None);
        assert!(listed(&store, &searched("gone"), None, 5).await.is_empty());
        // What comes late brings nothing back.
        for late in [
            leg_update(1, None, CallStatus::Completed, 4),
            leg_update(2, Some(1), CallStatus::Completed, 5),
            leg_update(2, None, CallStatus::Completed, 6),
        ] {
            assert_eq!(store.apply_leg(&late, at(10)).await.unwrap(), None);
        }
        let done = recording_update(1, RecordingStatus::Completed);
        assert!(!store.apply_recording(&done, at(10)).await.unwrap());
        assert!(matches!(
            store.open_call(&new_call(1)).await,
            Err(StoreError::NoSuchCall)
        ));
        let reopened = store.open_stream(&call(1), &stream(1), at(10)).await;
        assert!(matches!(reopened, Err(StoreError::NoSuchCall)));
        assert!(
            listed(&store, &CallFilter::default(), None, 5)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn retention_and_erasure_find_their_calls() {
    everywhere(async |store| {
        for n in 1..=4 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        assert_eq!(
            store.calls_before(at(300), 9).await.unwrap(),
            [call(1), call(2)]
        );
        assert_eq!(store.calls_before(at(999), 1).await.unwrap(), [call(1)]);
        let number = "+14155550002";
        let child = LegUpdate {
            parties: Some((Party("+14155550100".into()), Party(number.into()))),
            ..leg_update(7, Some(4), CallStatus::Ringing, 0)
        };
        store.apply_leg(&child, at(1_000)).await.unwrap();
        assert_eq!(
            store.calls_with(number, 9).await.unwrap(),
            [call(2), call(4)]
        );
        assert_eq!(store.calls_with("+1415555000", 9).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_store_says_how_it_is() {
    everywhere(async |store| {
        store.check().await.unwrap();
        let empty = store.size_bytes().await.unwrap();
        store.open_call(&new_call(1)).await.unwrap();
        let said: Vec<Segment> = (0..200)
            .map(|n| segment(n, 0, &"many words ".repeat(20)))
            .collect();
        store.keep_segments(&call(1), &said).await.unwrap();
        assert!(store.size_bytes().await.unwrap() > empty + 100_000);
        store.close().await;
        assert!(matches!(
            store.check().await,
            Err(StoreError::Unavailable(_))
        ));
    })
    .await;
}

#[test]
fn any_order_and_any_repetition_of_callbacks_end_in_the_same_record() {
    use proptest::prelude::*;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut whole = vec![
        leg_update(1, None, CallStatus::Ringing, 0),
        leg_update(2, Some(1), CallStatus::Initiated, 0),
        leg_update(2, Some(1), CallStatus::Ringing, 1),
        leg_update(2, Some(1), CallStatus::Busy, 2),
        leg_update(3, Some(1), CallStatus::InProgress, 3),
        leg_update(3, Some(1), CallStatus::Completed, 4),
        leg_update(1, None, CallStatus::Completed, 5),
    ];
    // A retry without the header that names it is known by its content.
    let nameless = whole.iter().map(|update| LegUpdate {
        token: None,
        ..update.clone()
    });
    whole.extend(nameless.collect::<Vec<_>>());
    whole[5].duration_seconds = Some(2);
    whole[12].duration_seconds = Some(2);
    let story = async |updates: &[LegUpdate]| {
        let store = Store::open("sqlite::memory:").await.unwrap();
        for update in updates {
            store.apply_leg(update, at(5_000)).await.unwrap();
        }
        let detail = store.call(&call(1)).await.unwrap().unwrap();
        store.close().await;
        detail
    };
    let expected = runtime.block_on(story(&whole));
    assert_eq!(expected.call.status, CallStatus::Completed);
    assert_eq!(expected.call.answered_at, Some(at(1_003)));
    proptest!(ProptestConfig::with_cases(24), |(order in Just(whole).prop_shuffle())| {
        prop_assert_eq!(runtime.block_on(story(&order)), expected.clone());
    });
}

/// Where the process that is killed keeps its words.
const DOOMED: &str = "CALLBURNER_TEST_DOOMED_STORE";

#[test]
#[ignore = "is the process that the next test kills"]
fn a_process_that_keeps_words_until_it_is_killed() {
    let Ok(url) = std::env::var(DOOMED) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&url).await.unwrap();
        store
            .open_stream(&call(1), &stream(1), at(1))
            .await
            .unwrap();
        store
            .keep_segments(&call(1), &[segment(1, 0, "to the last word")])
            .await
            .unwrap();
    });
    println!("\nkept");
    // Until the other end is gone, which comes after the kill.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test]
async fn words_outlive_a_process_that_is_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("calls.db").display());
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("tests::store::a_process_that_keeps_words_until_it_is_killed")
        .env(DOOMED, &url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(doomed.stdout.take().unwrap());
    assert!(
        said.lines().any(|line| line.unwrap() == "kept"),
        "it ended before it kept anything"
    );
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert!(wal_is_there(folder.path()), "it was closed in good order");

    let store = Store::open(&url).await.unwrap();
    assert_eq!(
        store.segments(&call(1)).await.unwrap()[0].text,
        "to the last word"
    );
    assert_eq!(store.interrupt_open_calls(at(9)).await.unwrap(), [call(1)]);
    assert_eq!(
        record(&store, 1).await.transcript,
        TranscriptState::Interrupted
    );
}

/// SQLite removes its journal when the last connection closes in good order.
fn wal_is_there(folder: &Path) -> bool {
    folder
        .join("calls.db-wal")
        .metadata()
        .is_ok_and(|file| file.len() > 0)
}
