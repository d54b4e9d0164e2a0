//! Users: sessions, registrations at Twilio, API tokens.

use super::*;
use crate::ids::{ClientIdentity, RegistrationId};
use crate::limits;
use crate::store::{EndedSession, NewSession, RegistrationRecord, Role, Scope, StoreConflict};

fn user_hash(n: u8) -> [u8; 32] {
    [n; 32]
}

#[tokio::test]
async fn users_have_names_of_their_own_and_there_is_always_an_admin() {
    for_each_backend(async |store| {
        assert!(!store.has_users().await.unwrap());
        let ada = store.add_first_user("Ada", "hash-a", at(0)).await.unwrap();
        assert_eq!(ada.role, Role::Admin);
        assert!(store.has_users().await.unwrap());
        let again = store.add_first_user("Eve", "hash-e", at(1)).await;
        assert!(matches!(
            again,
            Err(StoreError::Conflict(StoreConflict::UsersExist))
        ));
        let same = store.add_user("aDA", "x", Role::User, at(1)).await;
        assert!(matches!(
            same,
            Err(StoreError::Conflict(StoreConflict::NameTaken))
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
            matches!(done, Err(StoreError::Conflict(StoreConflict::LastAdmin)))
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
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
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
        let ended = store.close_session(&user_hash(2)).await.unwrap().unwrap();
        assert_eq!(ended.user, ada.id);
        assert_eq!(store.close_session(&user_hash(2)).await.unwrap(), None);
        // Too old, though used recently; and idle for too long.
        assert_eq!(store.sweep_sessions(at(2), at(0)).await.unwrap(), 1);
        assert_eq!(store.sweep_sessions(at(0), at(4)).await.unwrap(), 1);
        let nobody = store.open_session(&user_hash(4), UserId(99), at(0)).await;
        assert!(matches!(nobody, Err(StoreError::NoSuchUser)));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_renewed_keeps_its_name_at_twilio_and_ends_the_others() {
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
        let bob = store.add_user("Bob", "h", Role::User, at(0)).await.unwrap();
        for (n, user) in [(1, &ada), (2, &ada), (3, &bob)] {
            let hash = user_hash(n);
            let opened = store.open_session(&hash, user.id, at(n.into()));
            opened.await.unwrap();
        }
        let tag = async |n| {
            let session = store.session(&user_hash(n)).await.unwrap();
            session.map(|session| session.phone_tag)
        };
        let (own, other) = (tag(1).await.unwrap(), tag(2).await.unwrap());
        assert_ne!(own, other);
        let renew = async |own: Option<u8>, next: u8, user: UserId| {
            let (own, next) = (own.map(user_hash), user_hash(next));
            let new = NewSession {
                hash: &next,
                user,
                address: "",
                user_agent: "",
            };
            store.renew_session(own.as_ref(), &new, at(5)).await
        };
        let expected = EndedSession {
            user: ada.id,
            phone_tag: other,
        };
        assert_eq!(renew(Some(1), 4, ada.id).await.unwrap(), [expected]);
        // Once more.
        assert_eq!(renew(Some(4), 5, ada.id).await.unwrap(), []);
        let tags = [tag(1).await, tag(2).await, tag(4).await, tag(5).await];
        assert_eq!(tags, [None, None, None, Some(own)]);
        // A session of another user does not provide its name.
        assert_eq!(renew(Some(3), 6, ada.id).await.unwrap().len(), 1);
        assert_ne!(tag(6).await, tag(3).await);
        assert!(tag(3).await.is_some(), "bob's");
        let nobody = renew(None, 7, UserId(99)).await;
        assert!(matches!(nobody, Err(StoreError::NoSuchUser)));
    })
    .await;
}

#[tokio::test]
async fn registrations_are_kept_until_they_end_and_are_bounded() {
    for_each_backend(async |store| {
        let registration = |n: usize, since, expires_at| RegistrationRecord {
            id: RegistrationId::parse(&format!("registration-{n:08}")).unwrap(),
            identity: ClientIdentity::parse(&format!("browser_{n}")).unwrap(),
            since: at(since),
            expires_at: at(expires_at),
        };
        let all = [registration(1, 0, 100), registration(2, 1, 50)];
        for one in &all {
            store.save_registration(one, one.since).await.unwrap();
        }
        assert_eq!(store.registrations(at(10)).await.unwrap(), all);
        assert_eq!(store.registrations(at(50)).await.unwrap(), all[..1]);
        // A repeated registration prolongs it, and keeps its start.
        let again = registration(2, 20, 120);
        store.save_registration(&again, at(20)).await.unwrap();
        let kept = store.registrations(at(50)).await.unwrap();
        assert_eq!(kept[1], registration(2, 1, 120));
        store.remove_registration(&all[0].id).await.unwrap();
        store.remove_registration(&all[0].id).await.unwrap();
        assert_eq!(store.registrations(at(50)).await.unwrap().len(), 1);
        for n in 3..limits::REGISTRATIONS_MAX + 4 {
            let one = registration(n, 60, 200);
            store.save_registration(&one, at(60)).await.unwrap();
        }
        let kept = store.registrations(at(60)).await.unwrap();
        assert_eq!(kept.len(), limits::REGISTRATIONS_MAX);
        assert!(kept.iter().all(|one| one.since == at(60)), "the oldest");
        assert_eq!(store.registrations(at(200)).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_user_who_leaves_takes_his_keys_and_leaves_his_calls() {
    for_each_backend(async |store| {
        store.add_first_user("Ada", "h", at(0)).await.unwrap();
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
        let left = store.call_detail(&call(1)).await.unwrap().unwrap();
        assert_eq!((left.call.user_id, left.events[0].user_id), (None, None));
        // The user was removed while signing in: the call is stored nevertheless.
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
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
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
            store.close_sessions(ada.id).await.unwrap().len(),
            usize::from(sessions)
        );
        let tokens = limits::API_TOKENS_PER_USER_MAX as u8;
        for n in 0..=tokens {
            let made = store
                .add_api_token(&user_hash(n), ada.id, "t", &[], None, at(0))
                .await;
            assert_eq!(made.is_ok(), n < tokens, "{n}");
        }
        let long = "n".repeat(limits::NAME_BYTES_MAX + 1);
        let assert_refused = store.add_user(&long, "h", Role::User, at(0)).await;
        assert!(matches!(assert_refused, Err(StoreError::TooLong { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_token_opens_until_it_is_taken_back_by_its_user() {
    for_each_backend(async |store| {
        let ada = store.add_first_user("Ada", "h", at(0)).await.unwrap();
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
