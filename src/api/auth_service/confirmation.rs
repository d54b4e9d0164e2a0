//! Confirmation of the user's identity within a session. Sensitive requests require one that is not
//! older than [`limits::CONFIRMATION_AGE_MAX`](crate::limits::CONFIRMATION_AGE_MAX), so that an
//! unattended browser, or a stolen cookie, gives no lasting access.

use axum::http::StatusCode;

use super::AuthService;
use crate::access::password::{Password, PasswordMatch};
use crate::access::session_policy;
use crate::api::ApiError;
use crate::api::caller::{AuthMethod, Caller, not_allowed};
use crate::clock::UtcTime;
use crate::store::{StoreError, User};

impl AuthService {
    /// Rejects a caller without a recent confirmation of their identity. 403: `confirm_password`.
    /// On a server without sign-in there is nothing to confirm.
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
            "confirm your identity: send your password to POST /api/session/confirm, then try again",
        ))
    }

    /// Reports whether the caller has confirmed their identity recently. 403 (`not_allowed`) for an
    /// API token, which cannot.
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
                    return Err(not_allowed(
                        "API tokens are not allowed to do this: sign in",
                    ));
                }
            },
        };
        let session = self.0.store.session(hash).await?;
        Ok(session.is_some_and(|session| {
            session_policy::is_confirmation_recent(session.confirmed_at, now)
        }))
    }

    /// Records that the caller has confirmed their identity now.
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

    /// Reports whether this is the user's current password.
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
