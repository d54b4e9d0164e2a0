//! Proofs that whoever uses a session is still its user: what is sensitive asks for one that is no
//! older than [`limits::CONFIRMATION_AGE_MAX`](crate::limits::CONFIRMATION_AGE_MAX), so that a browser
//! that was left alone, or a stolen cookie, gives away no lasting access.

use axum::http::StatusCode;

use super::AuthService;
use crate::access::password::{Password, PasswordMatch};
use crate::access::session_policy;
use crate::api::ApiError;
use crate::api::caller::{AuthMethod, Caller, not_allowed};
use crate::clock::UtcTime;
use crate::store::{StoreError, User};

impl AuthService {
    /// Refuses a caller who has not proved to be there for a while. On a server that nobody needs to
    /// sign in to there is nothing to prove.
    pub(in crate::api) async fn require_recent_confirmation(
        &self,
        caller: &Caller,
        now: UtcTime,
    ) -> Result<(), ApiError> {
        if self.is_recently_confirmed(caller, now).await? {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "confirm_password",
            "prove that it is you: send your password to POST /api/session/confirm, then try again",
        ))
    }

    /// Whether the caller has proved to be there recently. A machine cannot.
    pub(in crate::api) async fn is_recently_confirmed(
        &self,
        caller: &Caller,
        now: UtcTime,
    ) -> Result<bool, ApiError> {
        let hash = match caller {
            Caller::PageKey => return Ok(true),
            Caller::User { auth_method, .. } => match auth_method {
                AuthMethod::Session(hash) => hash,
                AuthMethod::ApiToken { .. } => {
                    return Err(not_allowed("an API token may not do that: sign in"));
                }
            },
        };
        let session = self.0.store.session(hash).await?;
        Ok(session.is_some_and(|session| {
            session_policy::is_confirmation_recent(session.confirmed_at, now)
        }))
    }

    /// The caller has just proved to be there.
    pub(in crate::api) async fn record_confirmation(
        &self,
        caller: &Caller,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        match caller {
            Caller::User {
                auth_method: AuthMethod::Session(hash),
                ..
            } => self.0.store.confirm_session(hash, now).await,
            Caller::User { .. } | Caller::PageKey => Ok(()),
        }
    }

    /// Whether this is the password that the user has now.
    pub(in crate::api) async fn is_current_password(
        &self,
        user: &User,
        password: Password,
    ) -> Result<bool, ApiError> {
        let kept = self.0.store.credentials(&user.name).await?;
        let kept = kept.map(|(_, kept)| kept);
        Ok(self.0.passwords.verify(password, kept, None).await? != PasswordMatch::Wrong)
    }
}
