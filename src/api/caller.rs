//! Authentication and authorization of requests: [`Caller`] is the first argument of every handler
//! for browsers, so that an unauthenticated client learns only that it has to sign in.
//!
//! ```text
//! Authorization: Bearer cb_…   API token: what its scopes allow, within its user's rights
//! Cookie: callburner=…         session: its user's rights
//! page key, as either          all rights, on a local-only server without users: for browsers that
//!                              opened the printed link
//! no credential                401
//! ```
//!
//! A user with a temporary password has to choose another first, and a user without a second factor
//! that the configuration requires has to set one up: such a user is an [`AuthenticatedCaller`],
//! which few handlers accept, and no [`Caller`].
//!
//! Browsers' requests that change something must come from a page of this server
//! ([`origin`](crate::access::origin)). API clients send their token deliberately; no browser
//! attaches it, so their requests need no such check.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::ApiError;
use super::auth_service::AuthService;
use crate::access::client_context;
use crate::access::secret::SecretHash;
use crate::clock;
use crate::ids::UserId;
use crate::store::{CallRecord, Role, Scope, User};

/// The authenticated client of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A signed-in user, or one of their API clients.
    User {
        /// The user with whose rights the request is made.
        user: User,
        /// How the request was authenticated.
        auth_method: AuthMethod,
    },
    /// The holder of the page key of a local-only server without users. Has all rights.
    PageKey,
}

/// How a request was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// A session of a browser.
    Session(SecretHash),
    /// An API token.
    ApiToken {
        /// The token's id.
        id: i64,
        /// The token's hash, by which the store finds it.
        hash: SecretHash,
        /// The token's scopes.
        scopes: Vec<Scope>,
    },
}

impl Caller {
    /// Rejects an API token without this scope. Only admins may read the operator's metrics, with a
    /// token or in a session.
    pub fn require_scope(&self, scope: Scope) -> Result<(), ApiError> {
        match self {
            Self::PageKey => Ok(()),
            Self::User { user, .. } if scope == Scope::Metrics && user.role != Role::Admin => {
                Err(not_allowed("only admins are allowed to read the metrics"))
            }
            Self::User { auth_method, .. } => match auth_method {
                AuthMethod::ApiToken { scopes, .. } if !scopes.contains(&scope) => Err(
                    not_allowed("this API token lacks the required scope: use one that has it"),
                ),
                AuthMethod::ApiToken { .. } | AuthMethod::Session(_) => Ok(()),
            },
        }
    }

    /// Rejects callers other than admins in a session. No scope covers an admin's actions, so that
    /// API tokens are rejected, too.
    pub fn require_admin(&self) -> Result<(), ApiError> {
        match self {
            Self::PageKey => Ok(()),
            Self::User {
                user,
                auth_method: AuthMethod::Session(_),
            } if user.role == Role::Admin => Ok(()),
            Self::User { .. } => Err(not_allowed("only signed-in admins are allowed to do this")),
        }
    }

    /// Returns the signed-in user. Rejects API tokens, and the page key, which belongs to no user.
    pub fn require_signed_in_user(&self) -> Result<&User, ApiError> {
        match self {
            Self::User {
                user,
                auth_method: AuthMethod::Session(_),
            } => Ok(user),
            Self::User { .. } => Err(not_allowed(
                "API tokens are not allowed to do this: sign in",
            )),
            Self::PageKey => Err(ApiError::new(
                StatusCode::CONFLICT,
                "no_users",
                "this server has no users: add one first",
            )),
        }
    }

    /// Rejects callers who may not see the call, as if it did not exist.
    pub fn require_call_access(&self, call: &CallRecord) -> Result<(), ApiError> {
        match self.visible_user_id() {
            Some(user) if call.user_id != Some(user) => Err(no_such_call()),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the user to whose calls this caller is restricted; `None`: the caller sees all
    /// calls.
    pub fn visible_user_id(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } if user.role != Role::Admin => Some(user.id),
            Self::User { .. } | Self::PageKey => None,
        }
    }

    /// Returns the caller's user, if any: the owner of new calls, and the author of audit entries.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } => Some(user.id),
            Self::PageKey => None,
        }
    }

    /// Reports whether `other` is the same user with the same rights and credential. Other fields
    /// of the user may differ.
    pub(super) fn has_same_rights(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::PageKey, Self::PageKey) => true,
            (
                Self::User { user, auth_method },
                Self::User {
                    user: other_user,
                    auth_method: other_method,
                },
            ) => {
                (user.id, user.role, auth_method) == (other_user.id, other_user.role, other_method)
            }
            (Self::PageKey, Self::User { .. }) | (Self::User { .. }, Self::PageKey) => false,
        }
    }

    /// Returns the session's hash; `None` for API tokens and the page key.
    pub(super) fn session_hash(&self) -> Option<&SecretHash> {
        match self {
            Self::User {
                auth_method: AuthMethod::Session(hash),
                ..
            } => Some(hash),
            Self::User { .. } | Self::PageKey => None,
        }
    }

    /// Rejects a user who has to choose a password or to set up a second factor first. API tokens
    /// are exempt from the second factor: they cannot set one up, and their user had one when
    /// creating the token.
    pub(super) fn require_no_pending_action(&self, auth: &AuthService) -> Result<(), ApiError> {
        match self {
            Self::User {
                user,
                auth_method: AuthMethod::Session(_),
            } if auth.requires_second_factor(user)
                && !user.has_second_factor
                && !user.password_is_temporary =>
            {
                Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "second_factor_required",
                    "this server requires a second factor: set one up first, with \
                     /api/second-factor or on the page",
                ))
            }
            Self::User { user, .. } if user.password_is_temporary => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "password_is_temporary",
                "your password is temporary: choose your own first, with PATCH \
                 /api/users/{id} or on the page",
            )),
            Self::User { .. } | Self::PageKey => Ok(()),
        }
    }

    /// Reports whether browsers attach the credential to requests of any page by themselves.
    pub(super) fn is_browser(&self) -> bool {
        match self {
            Self::PageKey => true,
            Self::User { auth_method, .. } => matches!(auth_method, AuthMethod::Session(_)),
        }
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    AuthService: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let AuthenticatedCaller(caller) =
            AuthenticatedCaller::from_request_parts(parts, state).await?;
        caller.require_no_pending_action(&AuthService::from_ref(state))?;
        Ok(caller)
    }
}

/// An authenticated [`Caller`] who may have to choose a password or to set up a second factor
/// first.
pub(super) struct AuthenticatedCaller(pub(super) Caller);

impl<S> FromRequestParts<S> for AuthenticatedCaller
where
    S: Send + Sync,
    AuthService: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let OptionalCaller(caller) = OptionalCaller::from_request_parts(parts, state).await?;
        let caller = caller.ok_or_else(sign_in_required)?;
        if !parts.method.is_safe() {
            AuthService::from_ref(state).check_change_rate(&caller)?;
        }
        Ok(Self(caller))
    }
}

/// A [`Caller`], or an unauthenticated client.
pub(super) struct OptionalCaller(pub(super) Option<Caller>);

impl<S> FromRequestParts<S> for OptionalCaller
where
    S: Send + Sync,
    AuthService: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let auth = AuthService::from_ref(state);
        let caller = auth.authenticate(&parts.headers, clock::utc_now()).await?;
        if let Some(user) = caller.as_ref().and_then(Caller::user_id) {
            client_context::set_user(user);
        }
        // An unauthenticated client may be signing in, which pages of other origins must not do for
        // the user either.
        let is_browser = caller.as_ref().is_none_or(Caller::is_browser);
        if is_browser && !parts.method.is_safe() {
            auth.check_origin(&parts.headers)?;
        }
        Ok(Self(caller))
    }
}

/// The client's address, taken from the headers of trusted proxies only.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Send + Sync,
    AuthService: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Err(ApiError::internal(anyhow::anyhow!(
                "the listener did not record the peer's address"
            )));
        };
        let auth = AuthService::from_ref(state);
        Ok(Self(auth.client_address(peer.ip(), &parts.headers)))
    }
}

/// 401: not authenticated.
pub(super) fn sign_in_required() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "sign_in_required",
        "sign in first (if the server has no users: open the link that it printed at its start), \
         or send a valid API token as Authorization: Bearer cb_…",
    )
}

/// 403: authenticated, but not authorised.
pub(super) fn not_allowed(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "not_allowed", message)
}

/// 404: the call does not exist, or the caller may not see it. Both have the same response, so that
/// it does not reveal which calls exist.
pub(super) fn no_such_call() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_call",
        "there is no such call, or you are not allowed to see it",
    )
}
