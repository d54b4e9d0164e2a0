//! Calls: creation, status callbacks, edits, deletion.

use super::*;
use crate::limits;
use crate::store::Role;

#[tokio::test]
async fn a_call_is_adopted_without_losing_what_is_known() {
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
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
    for_each_backend(async |store| {
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

/// Returns the numbers of the calls on all pages of the list.

#[tokio::test]
async fn a_call_moves_with_its_legs_and_says_when() {
    for_each_backend(async |store| {
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
                store.apply_leg_update(&update, at(2_000)).await.unwrap(),
                change,
                "{update:?}"
            );
        }
        assert_eq!(store.find_parent(&call(2)).await.unwrap(), Some(call(1)));
        assert_eq!(store.find_parent(&call(1)).await.unwrap(), Some(call(1)));
        assert_eq!(store.find_parent(&call(3)).await.unwrap(), None);
        let detail = store.call_detail(&call(1)).await.unwrap().unwrap();
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
    for_each_backend(async |store| {
        let first = leg_update(1, None, CallStatus::Ringing, 1);
        store.apply_leg_update(&first, at(0)).await.unwrap();
        let repeated = LegUpdate {
            status: CallStatus::Completed,
            ..first.clone()
        };
        assert_eq!(
            store.apply_leg_update(&repeated, at(1)).await.unwrap(),
            None
        );
        assert_eq!(call_record(&store, 1).await.status, CallStatus::Ringing);
        // An idempotency token is stored for a day, and one that is too long not at all.
        let later = at(0)
            .plus(limits::CALLBACK_TOKEN_AGE_MAX)
            .plus(Duration::from_secs(1));
        let other = leg_update(2, None, CallStatus::Ringing, 1);
        store.apply_leg_update(&other, later).await.unwrap();
        assert!(
            store
                .apply_leg_update(&repeated, later)
                .await
                .unwrap()
                .is_some()
        );
        let long = Some("t".repeat(limits::CALLBACK_TOKEN_BYTES_MAX + 1));
        for status in [CallStatus::InProgress, CallStatus::Completed] {
            let update = LegUpdate {
                status,
                token: long.clone(),
                ..other.clone()
            };
            assert!(
                store
                    .apply_leg_update(&update, later)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_child_that_was_taken_for_a_call_goes_over_to_its_parent() {
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
        // The browser reports its own leg before Twilio has reported its parent.
        let mut new = new_call(2);
        new.user_id = Some(ada.id);
        new.direction = Direction::Incoming;
        store.open_call(&new).await.unwrap();
        set_notes(&store, 2, "urgent").await;
        assert_eq!(stream_number(&store, 2, 1).await, 1);
        add_segments(&store, 2, &[segment(1, 0, "hello")]).await;
        store
            .log(Some(&call(2)), "noted", "", None, at(1))
            .await
            .unwrap();
        let recording = recording_update(2, RecordingStatus::InProgress);
        store
            .apply_recording_update(&recording, at(1))
            .await
            .unwrap();
        apply_leg(&store, leg_update(1, None, CallStatus::Ringing, 0)).await;
        apply_leg(&store, leg_update(2, Some(1), CallStatus::InProgress, 1)).await;

        assert_eq!(store.find_parent(&call(2)).await.unwrap(), Some(call(1)));
        let whole = store.call_detail(&call(1)).await.unwrap().unwrap();
        assert_eq!(whole.call.user_id, Some(ada.id));
        assert_eq!(whole.call.notes, "urgent");
        assert_eq!(whole.call.direction, Direction::Incoming);
        assert_eq!(whole.call.status, CallStatus::InProgress);
        let parts = (
            whole.segments.len(),
            whole.recordings.len(),
            whole.events.len(),
        );
        assert_eq!(parts, (1, 1, 1));
        let found = list_calls(&store, &search_filter("hello urgent"), None, 5).await;
        assert_eq!(found, [1]);
        // The call is also found by the child's SID.
        assert_eq!(
            store.call_detail(&call(2)).await.unwrap(),
            store.call_detail(&call(1)).await.unwrap()
        );
        assert_eq!(call_record(&store, 2).await.sid, call(1));
        let held = store.latest_recording(&call(2)).await.unwrap().unwrap();
        assert_eq!((held.sid, held.call_sid), (recording_sid(2), call(1)));
        set_notes(&store, 2, "very urgent").await;
        assert!(store.set_has_audio(&call(2), true).await.unwrap());
        let complete = TranscriptState::Complete;
        assert!(
            store
                .set_transcript_state(&call(2), complete)
                .await
                .unwrap()
        );
        assert_eq!(call_record(&store, 1).await.transcript, complete);
        add_segments(&store, 2, &[segment(2, 9, "there")]).await;
        assert_eq!(store.segments(&call(1)).await.unwrap().len(), 2);
        assert_eq!(stream_number(&store, 2, 2).await, 2);
        assert_eq!(store.open_call(&new).await.unwrap().sid, call(1));
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
    // A repetition without the idempotency header is recognised by its content.
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
            store.apply_leg_update(update, at(5_000)).await.unwrap();
        }
        let detail = store.call_detail(&call(1)).await.unwrap().unwrap();
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

#[tokio::test]
async fn recordings_belong_to_their_call() {
    for_each_backend(async |store| {
        let update = recording_update(1, RecordingStatus::InProgress);
        assert!(store.apply_recording_update(&update, at(1)).await.unwrap());
        assert!(!store.apply_recording_update(&update, at(1)).await.unwrap());
        let paused = recording_update(1, RecordingStatus::Paused);
        assert!(store.apply_recording_update(&paused, at(2)).await.unwrap());
        assert!(!store.apply_recording_update(&update, at(3)).await.unwrap());
        assert!(store.resume_recording(&recording_sid(1)).await.unwrap());
        assert!(!store.resume_recording(&recording_sid(1)).await.unwrap());
        assert!(!store.resume_recording(&recording_sid(9)).await.unwrap());
        assert_eq!(
            call_record(&store, 1).await.recording,
            Some(RecordingStatus::InProgress)
        );
        let mut second = recording_update(2, RecordingStatus::Completed);
        second.recording.call_sid = call(1);
        second.recording.started_at = Some(at(50));
        second.token = Some("once".into());
        assert!(store.apply_recording_update(&second, at(60)).await.unwrap());
        assert_eq!(
            store.latest_recording(&call(1)).await.unwrap(),
            Some(second.recording.clone())
        );
        assert_eq!(
            store.recording(&recording_sid(2)).await.unwrap(),
            Some(second.recording)
        );
        assert_eq!(
            call_record(&store, 1).await.recording,
            Some(RecordingStatus::Completed)
        );
        let detail = store.call_detail(&call(1)).await.unwrap().unwrap();
        let sids: Vec<RecordingSid> = detail.recordings.into_iter().map(|r| r.sid).collect();
        assert_eq!(sids, [recording_sid(1), recording_sid(2)]);
        assert_eq!(store.recording(&recording_sid(9)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_log_keeps_the_latest() {
    for_each_backend(async |store| {
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
        let log = store.call_detail(&call(1)).await.unwrap().unwrap().events;
        assert_eq!(log.len(), limits::LOG_ENTRIES_MAX as usize);
        assert_eq!(log[0].detail, "1");
    })
    .await;
}

#[tokio::test]
async fn what_one_user_does_too_often_pushes_nothing_out_of_a_log() {
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
        let bob = store.add_user("Bob", "h", Role::User, at(0)).await.unwrap();
        store.open_call(&new_call(1)).await.unwrap();
        let calls = [None, Some(call(1))];
        for call in &calls {
            for (kind, user) in [
                ("role_changed", ada.id),
                ("exported", ada.id),
                ("signed_in", bob.id),
            ] {
                store
                    .log(call.as_ref(), kind, "rare", Some(user), at(1))
                    .await
                    .unwrap();
            }
        }
        let day = limits::SERVER_LOG_ENTRIES_PER_DAY_MAX;
        for n in 0..day + 50 {
            let n = n.to_string();
            for call in &calls {
                let logged = store.log(call.as_ref(), "exported", &n, Some(bob.id), at(2));
                logged.await.unwrap();
            }
        }
        let whole = store.server_log(10_000).await.unwrap();
        let of_bob: Vec<_> = whole
            .iter()
            .filter(|e| e.kind == "exported" && e.user_id == Some(bob.id))
            .collect();
        assert_eq!(of_bob.len(), day as usize + 1);
        assert_eq!(
            of_bob.iter().map(|e| e.count).sum::<u64>(),
            u64::from(day) + 50
        );
        assert_eq!(whole.iter().filter(|e| e.detail == "rare").count(), 3);
        let of_call = store.call_detail(&call(1)).await.unwrap().unwrap().events;
        assert_eq!(of_call.len(), limits::LOG_ENTRIES_MAX as usize);
        assert_eq!(of_call.iter().filter(|e| e.detail == "rare").count(), 3);
        // On the next day bob has a day's entries again; after a year they are deleted.
        let tomorrow = at(3).plus(limits::SERVER_LOG_DAY);
        store
            .log(None, "exported", "tomorrow", Some(bob.id), tomorrow)
            .await
            .unwrap();
        // Entries of a removed user keep the name.
        store.remove_user(bob.id).await.unwrap();
        let filter = LogFilter {
            user_id: Some(bob.id),
            ..LogFilter::default()
        };
        let latest = store.search_log(&filter, 1).await.unwrap();
        assert_eq!(latest[0].detail, "tomorrow");
        let swept = store.sweep_log(tomorrow).await.unwrap();
        assert_eq!(swept, u64::from(day) + 4);
        assert_eq!(store.server_log(10).await.unwrap(), latest);
    })
    .await;
}

#[tokio::test]
async fn a_cause_of_our_own_is_kept() {
    for_each_backend(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store.set_end_cause(&call(1), "refused").await.unwrap();
        store.set_end_cause(&call(1), "other").await.unwrap();
        store
            .apply_leg_update(&leg_update(1, None, CallStatus::Failed, 1), at(2))
            .await
            .unwrap();
        assert_eq!(
            call_record(&store, 1).await.end_cause.as_deref(),
            Some("refused")
        );
        let unknown = store.set_end_cause(&call(2), "refused").await;
        assert!(matches!(unknown, Err(StoreError::NoSuchCall)));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_call_stays_deleted() {
    for_each_backend(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store
            .apply_leg_update(&leg_update(2, Some(1), CallStatus::Ringing, 0), at(1))
            .await
            .unwrap();
        store
            .add_segments(&call(1), &[segment(1, 0, "gone")])
            .await
            .unwrap();
        store
            .apply_recording_update(&recording_update(1, RecordingStatus::InProgress), at(1))
            .await
            .unwrap();
        let deleted = store.delete_call(&call(1), at(9)).await.unwrap().unwrap();
        assert_eq!(deleted.recordings, [recording_sid(1)]);
        assert_eq!(store.delete_call(&call(1), at(9)).await.unwrap(), None);
        assert_eq!(store.call_detail(&call(1)).await.unwrap(), None);
        assert_eq!(store.recording(&recording_sid(1)).await.unwrap(), None);
        assert!(
            list_calls(&store, &search_filter("gone"), None, 5)
                .await
                .is_empty()
        );
        // Late updates restore nothing.
        for late in [
            leg_update(1, None, CallStatus::Completed, 4),
            leg_update(2, Some(1), CallStatus::Completed, 5),
            leg_update(2, None, CallStatus::Completed, 6),
        ] {
            assert_eq!(store.apply_leg_update(&late, at(10)).await.unwrap(), None);
        }
        let done = recording_update(1, RecordingStatus::Completed);
        assert!(!store.apply_recording_update(&done, at(10)).await.unwrap());
        assert!(matches!(
            store.open_call(&new_call(1)).await,
            Err(StoreError::NoSuchCall)
        ));
        let reopened = store.open_stream(&call(1), &stream(1), at(10)).await;
        assert!(matches!(reopened, Err(StoreError::NoSuchCall)));
        assert!(
            list_calls(&store, &CallFilter::default(), None, 5)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn retention_and_erasure_find_their_calls() {
    for_each_backend(async |store| {
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
        store.apply_leg_update(&child, at(1_000)).await.unwrap();
        assert_eq!(
            store.calls_with_party(number, 9).await.unwrap(),
            [call(2), call(4)]
        );
        assert_eq!(store.calls_with_party("+1415555000", 9).await.unwrap(), []);
    })
    .await;
}
