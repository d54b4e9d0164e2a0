//! Lists of calls: pages, filters, search.

use super::*;

#[tokio::test]
async fn pages_follow_each_other_while_calls_come_and_go() {
    for_each_backend(async |store| {
        for n in 1..=5 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        // Two calls that started at the same moment.
        let twin = NewCall {
            started_at: at(300),
            ..new_call(8)
        };
        store.open_call(&twin).await.unwrap();
        let all = CallFilter::default();
        assert_eq!(list_calls(&store, &all, None, 2).await, [5, 4, 8, 3, 2, 1]);
        let first = store.calls(&all, None, None, 3).await.unwrap();
        let next = first.next.unwrap();
        store.open_call(&new_call(6)).await.unwrap();
        store.delete_call(&call(8), at(900)).await.unwrap();
        let second = store.calls(&all, None, Some(&next), 3).await.unwrap();
        let sids: Vec<CallSid> = second.calls.into_iter().map(|hit| hit.call.sid).collect();
        assert_eq!(sids, [call(3), call(2), call(1)]);
        assert_eq!(second.next, None);
        let strange = store.calls(&all, None, Some("strange"), 3).await;
        assert!(matches!(strange, Err(StoreError::InvalidCursor)));
        // A page is bounded, and never empty while there are further calls.
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
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
        for n in 1..=3 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        let mut incoming = new_call(4);
        incoming.direction = Direction::Incoming;
        incoming.user_id = Some(ada.id);
        store.open_call(&incoming).await.unwrap();
        apply_leg(&store, leg_update(3, None, CallStatus::Completed, 1)).await;
        let labels = Some(vec!["vip".to_owned()]);
        let edit = CallEdit {
            labels,
            ..CallEdit::default()
        };
        store.edit_call(&call(2), &edit).await.unwrap();
        let check = async |found: &[u32], choose: fn(&mut CallFilter)| {
            let mut filter = CallFilter::default();
            choose(&mut filter);
            assert_eq!(
                list_calls(&store, &filter, None, 50).await,
                found,
                "{filter:?}"
            );
        };
        check(&[4, 3, 2, 1], |_| {}).await;
        check(&[4], |filter| filter.direction = Some(Direction::Incoming)).await;
        check(&[3], |filter| filter.status = Some(CallStatus::Completed)).await;
        check(&[3], |filter| filter.number = Some("(415) 555-0003".into())).await;
        check(&[4, 3, 2, 1], |filter| filter.number = Some("ADA".into())).await;
        check(&[], |filter| filter.number = Some("%".into())).await;
        check(&[4, 3, 2], |filter| filter.since = Some(at(200))).await;
        check(&[2, 1], |filter| filter.until = Some(at(300))).await;
        check(&[2], |filter| filter.label = Some("vip".into())).await;
        check(&[], |filter| filter.label = Some("vi".into())).await;
        let all = CallFilter::default();
        assert_eq!(list_calls(&store, &all, Some(ada.id), 50).await, [4]);
        assert!(
            list_calls(&store, &all, Some(UserId(99)), 50)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_knows_what_can_be_listened_to() {
    for_each_backend(async |store| {
        for n in 1..=4 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        assert!(store.set_has_audio(&call(1), true).await.unwrap());
        assert!(!store.set_has_audio(&call(9), true).await.unwrap());
        for (n, status) in [
            (2, RecordingStatus::Completed),
            (3, RecordingStatus::Absent),
        ] {
            let update = recording_update(n, status);
            assert!(store.apply_recording_update(&update, at(1)).await.unwrap());
        }
        for (recorded, found) in [(true, [2, 1]), (false, [4, 3])] {
            let recorded = Some(recorded);
            let filter = CallFilter {
                recorded,
                ..CallFilter::default()
            };
            assert_eq!(list_calls(&store, &filter, None, 50).await, found);
        }
    })
    .await;
}

#[tokio::test]
async fn a_search_finds_words_wherever_they_stand() {
    for_each_backend(async |store| {
        for n in 1..=3 {
            store.open_call(&new_call(n)).await.unwrap();
        }
        let said = [
            segment(1, 1_000, "Good morning, the café is closed."),
            segment(2, 5_000, "Your invoice is on its way."),
        ];
        store.add_segments(&call(1), &said).await.unwrap();
        store
            .add_segments(&call(2), &[segment(1, 0, "No invoice here.")])
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
            // Each word anywhere in the call.
            ("invoice morning", &[2, 1]),
            ("invoice paid refund", &[2]),
            ("morning paid cafe", &[]),
            // A prefix is only allowed for the last word.
            ("inv", &[2, 1]),
            ("inv morning", &[]),
            ("0003", &[]),
            ("+14155550003", &[3]),
            ("1415", &[3, 2, 1]),
            ("  ", &[3, 2, 1]),
            ("—", &[]),
        ] {
            assert_eq!(
                list_calls(&store, &search_filter(text), None, 50).await,
                found,
                "{text:?}"
            );
        }
        let page = store
            .calls(&search_filter("cafe inv"), None, None, 50)
            .await
            .unwrap();
        let hits = &page.calls[0].hits;
        assert_eq!((hits[0].start_ms, hits[1].start_ms), (1_000, 5_000));
        assert_eq!(
            hits[0].pieces,
            ["Good morning, the ", "café", " is closed."]
        );
        assert_eq!(hits[1].pieces[1], "invoice");
        // Deleted words are not found.
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
        assert!(
            list_calls(&store, &search_filter("paid"), None, 50)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_looked_for_is_never_syntax() {
    for_each_backend(async |store| {
        store.open_call(&new_call(1)).await.unwrap();
        store
            .add_segments(&call(1), &[segment(1, 0, "near or not")])
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
                .calls(&search_filter(text), None, None, 5)
                .await
                .unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        assert_eq!(
            list_calls(&store, &search_filter("NOT near"), None, 5).await,
            [1]
        );
        assert!(
            list_calls(&store, &search_filter("near AND"), None, 5)
                .await
                .is_empty()
        );
    })
    .await;
}
