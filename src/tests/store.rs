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
async fn everywhere(story: impl AsyncFn(Store)) {
    let folder = TempDir::new().unwrap();
    for url in [
        "sqlite::memory:".to_owned(),
        format!("sqlite://{}", folder.path().join("calls.db").display()),
    ] {
        let store = Store::open(&url).await.unwrap();
        story(store.clone()).await;
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

        let last = Err(Conflict::LastAdmin);
        let conflict = |done: Result<(), StoreError>| match done {
            Err(StoreError::Conflict(conflict)) => Err(conflict),
            other => Ok(other.unwrap()),
        };
        assert_eq!(conflict(store.set_role(ada.id, Role::User).await), last);
        assert_eq!(conflict(store.remove_user(ada.id).await), last);
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
