//! The verbs for sessions of browsers and API tokens of machines.

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
    /// Signs a browser in; beyond [`limits::SESSIONS_PER_USER_MAX`] another of the user's is signed
    /// out. [`StoreError::NoSuchUser`].
    pub async fn begin_session(
        &self,
        new: &NewSession<'_>,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let user_agent = columns::truncate(new.user_agent, limits::USER_AGENT_BYTES_MAX);
        let new = NewSession { user_agent, ..*new };
        timed_query!(self, begin_session(&new, now))
    }

    /// [`begin_session`](Self::begin_session) for a browser that a test does not describe.
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

    /// The session, however old it is.
    pub async fn session(&self, hash: &[u8; 32]) -> Result<Option<SessionRecord>, StoreError> {
        timed_query!(self, session(hash))
    }

    /// The user's sessions, however old they are, the latest used first.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        timed_query!(self, sessions(user))
    }

    /// The session was used.
    pub async fn touch_session(&self, hash: &[u8; 32], now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, touch_session(hash, now))
    }

    /// The session's user has just proved to be there.
    pub async fn confirm_session(&self, hash: &[u8; 32], now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, confirm_session(hash, now))
    }

    /// Signs a user out everywhere, and goes on with one new session, which keeps the `phone_tag` of
    /// the session `own`; returns the sessions that were ended. [`StoreError::NoSuchUser`].
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

    /// Signs a browser out. `None`: it was not signed in.
    pub async fn close_session(&self, hash: &[u8; 32]) -> Result<Option<EndedSession>, StoreError> {
        timed_query!(self, close_session(hash))
    }

    /// Signs a user out everywhere; returns the sessions that were ended.
    pub async fn close_sessions(&self, user: UserId) -> Result<Vec<EndedSession>, StoreError> {
        timed_query!(self, close_sessions(user))
    }

    /// Remembers that a browser has signed in as a user, by the hash of its secret. Forgets the browser
    /// that signed in least recently beyond [`limits::KNOWN_BROWSERS_PER_USER_MAX`].
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

    /// Forgets sessions that began before one time, or were last used before the other; returns
    /// how many.
    pub async fn sweep_sessions(
        &self,
        created_before: UtcTime,
        used_before: UtcTime,
    ) -> Result<u64, StoreError> {
        timed_query!(self, sweep_sessions(created_before, used_before))
    }
}

/// API tokens of machines; hashes are SHA-256 of the tokens.
impl Store {
    /// Makes a token. [`StoreError::NoSuchUser`].
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

    /// The token and its user, whether or not it has expired.
    pub async fn api_token(&self, hash: &[u8; 32]) -> Result<Option<(ApiToken, User)>, StoreError> {
        timed_query!(self, api_token(hash))
    }

    /// The user's tokens, the oldest first.
    pub async fn api_tokens(&self, user: UserId) -> Result<Vec<ApiToken>, StoreError> {
        timed_query!(self, api_tokens(user))
    }

    /// Takes a token back. `false`: this user has no such token.
    pub async fn remove_api_token(&self, id: i64, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_api_token(id, user))
    }

    /// Takes back all tokens of a user; returns how many.
    pub async fn remove_api_tokens(&self, user: UserId) -> Result<u64, StoreError> {
        timed_query!(self, remove_api_tokens(user))
    }

    /// The token was used.
    pub async fn touch_api_token(&self, id: i64, now: UtcTime) -> Result<(), StoreError> {
        timed_query!(self, touch_api_token(id, now))
    }
}
