//! Operations on sessions of browsers and API tokens of programs.

use tracing::Instrument;

use super::{
    ApiToken, Backend, EndedSession, NewSession, Scope, SessionRecord, Store, StoreError, User,
    check_length, columns, run_within_limit,
};
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::limits;
use crate::telemetry::SPAN_TARGET;

/// Sessions of browsers; hashes are SHA-256 of their secrets.
impl Store {
    /// Starts a session. Beyond [`limits::SESSIONS_PER_USER_MAX`], the user's least recently used one ends.
    /// Returns [`StoreError::NoSuchUser`].
    pub async fn begin_session(
        &self,
        new: &NewSession<'_>,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let user_agent = columns::truncate(new.user_agent, limits::USER_AGENT_BYTES_MAX);
        let new = NewSession { user_agent, ..*new };
        timed_query!(self, begin_session(&new, now))
    }

    /// [`begin_session`](Self::begin_session) without address and `User-Agent`, for tests.
    #[cfg(test)]
    pub(crate) async fn open_session(
        &self,
        hash: &[u8; 32],
        user: UserId,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let (address, user_agent) = ("", "");
        let new = NewSession {
            hash,
            user,
            address,
            user_agent,
        };
        self.begin_session(&new, now).await
    }

    /// Returns the session, whether or not it has expired.
    pub async fn session(&self, hash: &[u8; 32]) -> Result<Option<SessionRecord>, StoreError> {
        timed_query!(self, session(hash))
    }

    /// Returns the user's sessions, whether or not they have expired, the most recently used first.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        timed_query!(self, sessions(user))
    }

    /// Stores the time of the session's last use.
    pub async fn touch_session(&self, hash: &[u8; 32], now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, touch_session(hash, now))
    }

    /// Stores that the session's user has just confirmed their identity.
    pub async fn confirm_session(&self, hash: &[u8; 32], now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, confirm_session(hash, now))
    }

    /// Ends all sessions of a user and starts a new one, which keeps the `phone_tag` of the session `own`.
    /// Returns the other ended sessions. Returns [`StoreError::NoSuchUser`].
    pub async fn renew_session(
        &self,
        own: Option<&[u8; 32]>,
        new: &NewSession<'_>,
        now: UtcTime,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let user_agent = columns::truncate(new.user_agent, limits::USER_AGENT_BYTES_MAX);
        let new = NewSession { user_agent, ..*new };
        timed_query!(self, renew_session(own, &new, now))
    }

    /// Ends a session. Returns `None` if there was no such session.
    pub async fn close_session(&self, hash: &[u8; 32]) -> Result<Option<EndedSession>, StoreError> {
        timed_query!(self, close_session(hash))
    }

    /// Ends all sessions of a user, and returns them.
    pub async fn close_sessions(&self, user: UserId) -> Result<Vec<EndedSession>, StoreError> {
        timed_query!(self, close_sessions(user))
    }

    /// Stores that a browser has signed in as a user, by the hash of its secret. Beyond
    /// [`limits::KNOWN_BROWSERS_PER_USER_MAX`], the browser with the least recent sign-in is deleted.
    pub async fn remember_browser(
        &self,
        hash: &[u8; 32],
        user: UserId,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        timed_query!(self, remember_browser(hash, user, now))
    }

    /// Whether a browser has signed in under this name, and not before `signed_in_after`.
    pub async fn is_known_browser(
        &self,
        hash: &[u8; 32],
        name: &str,
        signed_in_after: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, "knows_browser" => is_known_browser(hash, name, signed_in_after))
    }

    /// Deletes sessions that started before `created_before` or were last used before `used_before`. Returns
    /// their number.
    pub async fn sweep_sessions(
        &self,
        created_before: UtcTime,
        used_before: UtcTime,
    ) -> Result<u64, StoreError> {
        timed_query!(self, sweep_sessions(created_before, used_before))
    }
}

/// API tokens; hashes are SHA-256 of the tokens.
impl Store {
    /// Creates a token. Returns [`StoreError::NoSuchUser`].
    pub async fn add_api_token(
        &self,
        hash: &[u8; 32],
        user: UserId,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<UtcTime>,
        now: UtcTime,
    ) -> Result<ApiToken, StoreError> {
        check_length("the name", name, limits::NAME_BYTES_MAX)?;
        timed_query!(
            self,
            add_api_token(hash, user, name, scopes, expires_at, now)
        )
    }

    /// Returns the token and its user, whether or not it has expired.
    pub async fn api_token(&self, hash: &[u8; 32]) -> Result<Option<(ApiToken, User)>, StoreError> {
        timed_query!(self, api_token(hash))
    }

    /// Returns the user's tokens, oldest first.
    pub async fn api_tokens(&self, user: UserId) -> Result<Vec<ApiToken>, StoreError> {
        timed_query!(self, api_tokens(user))
    }

    /// Revokes a token. Returns `false` if this user has no such token.
    pub async fn remove_api_token(&self, id: i64, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_api_token(id, user))
    }

    /// Revokes all tokens of a user. Returns their number.
    pub async fn remove_api_tokens(&self, user: UserId) -> Result<u64, StoreError> {
        timed_query!(self, remove_api_tokens(user))
    }

    /// Stores the time of the token's last use.
    pub async fn touch_api_token(&self, id: i64, now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, touch_api_token(id, now))
    }
}
