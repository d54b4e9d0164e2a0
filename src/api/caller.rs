//! Who asks, and what they may: [`Caller`], which every route for browsers takes as its first
//! argument, so that whoever is not known learns nothing else of the route.
//!
//! ```text
//! Authorization: Bearer cb_…   a machine: what its scopes allow, of what its user may
//! Cookie: callburner=…         a browser: what its user may
//! page key, as either          everything, on a server that only this machine reaches and that has
//!                              no users: for whoever opened the link that it printed
//! none of them                 401
//! ```
//!
//! A user whose password somebody else chose has to choose another before anything else, and one whom
//! the host wants to have a second factor has to set it up: that one is an [`AuthenticatedCaller`], which few routes
//! take, and no [`Caller`].
//!
//! Requests of browsers that change something must come from a page of this server
//! ([`origin`](crate::access::origin)); machines send their token by themselves, never a browser
//! for them, so that they need no such check.

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

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Someone who has signed in, or a machine of theirs.
    User {
        /// Whose rights count.
        user: User,
        /// How they came in.
        auth_method: AuthMethod,
    },
    /// Whoever has the page key of a server that only this machine reaches and that has no users: may
    /// everything.
    PageKey,
}

/// What someone came in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// A session: a browser.
    Session(SecretHash),
    /// An API token: a machine.
    ApiToken {
        /// Names the token.
        id: i64,
        /// Finds it.
        hash: SecretHash,
        /// What it may.
        scopes: Vec<Scope>,
    },
}

impl Caller {
    /// Refuses a machine whose token has no such scope. The operator's figures are for admins
    /// only, machines or not.
    pub fn require_scope(&self, scope: Scope) -> Result<(), ApiError> {
        match self {
            Self::PageKey => Ok(()),
            Self::User { user, .. } if scope == Scope::Metrics && user.role != Role::Admin => {
                Err(not_allowed("only admins may read these figures"))
            }
            Self::User { auth_method, .. } => match auth_method {
                AuthMethod::ApiToken { scopes, .. } if !scopes.contains(&scope) => {
                    Err(not_allowed("this API token has not the scope for that"))
                }
                AuthMethod::ApiToken { .. } | AuthMethod::Session(_) => Ok(()),
            },
        }
    }

    /// Refuses everyone but admins; machines too, since no scope is for what only people do.
    pub fn require_admin(&self) -> Result<(), ApiError> {
        match self {
            Self::PageKey => Ok(()),
            Self::User {
                user,
                auth_method: AuthMethod::Session(_),
            } if user.role == Role::Admin => Ok(()),
            Self::User { .. } => Err(not_allowed("only an admin who has signed in may do that")),
        }
    }

    /// The user who has signed in; refuses machines.
    pub fn require_signed_in_user(&self) -> Result<&User, ApiError> {
        match self {
            Self::User {
                user,
                auth_method: AuthMethod::Session(_),
            } => Ok(user),
            Self::User { .. } => Err(not_allowed("an API token may not do that: sign in")),
            Self::PageKey => Err(ApiError::new(
                StatusCode::CONFLICT,
                "no_users",
                "there are no users yet: add one first",
            )),
        }
    }

    /// Refuses whom the call is not for, as if there were no such call.
    pub fn require_call_access(&self, call: &CallRecord) -> Result<(), ApiError> {
        match self.visible_user_id() {
            Some(user) if call.user_id != Some(user) => Err(no_such_call()),
            Some(_) | None => Ok(()),
        }
    }

    /// The user whose calls alone this caller sees; `None`: all calls.
    pub fn visible_user_id(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } if user.role != Role::Admin => Some(user.id),
            Self::User { .. } | Self::PageKey => None,
        }
    }

    /// The user, if there is one: whose call it will be, and who did it.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } => Some(user.id),
            Self::PageKey => None,
        }
    }

    /// Whether this is the same user, with the same rights, by the same way. What else is known of a
    /// user may change meanwhile.
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

    /// The session that the caller signed in with; none: a machine, or nobody needs to sign in.
    pub(super) fn session_hash(&self) -> Option<&SecretHash> {
        match self {
            Self::User {
                auth_method: AuthMethod::Session(hash),
                ..
            } => Some(hash),
            Self::User { .. } | Self::PageKey => None,
        }
    }

    /// Refuses a user who has something to do before anything else. A machine goes on: it has nobody
    /// to do it, and its token was made by somebody who had done it.
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
                    "this server wants you to have a second factor: set one up first, with \
                     /api/second-factor or on the page",
                ))
            }
            Self::User { user, .. } if user.password_is_temporary => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "password_is_temporary",
                "somebody else set your password: choose your own first, with PATCH \
                 /api/users/{id} or on the page",
            )),
            Self::User { .. } | Self::PageKey => Ok(()),
        }
    }

    /// Whether a browser sends the credentials, or none, by itself, whatever page made it.
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

/// A [`Caller`] who may have something to do before anything else, and comes to do it.
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

/// A [`Caller`], or someone who is not known.
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
        // Someone who is not known may be about to sign in, which a strange page must not do
        // for him either.
        let is_browser = caller.as_ref().is_none_or(Caller::is_browser);
        if is_browser && !parts.method.is_safe() {
            auth.check_origin(&parts.headers)?;
        }
        Ok(Self(caller))
    }
}

/// The address of whoever asks, as far as proxies are believed.
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
                "the listener does not say who connects"
            )));
        };
        let auth = AuthService::from_ref(state);
        Ok(Self(auth.client_address(peer.ip(), &parts.headers)))
    }
}

/// 401: nobody that is known.
pub(super) fn sign_in_required() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "sign_in_required",
        "sign in first (where there are no users: open the link that the server printed at its start), \
         or send a good API token as Authorization: Bearer cb_…",
    )
}

/// 403: known, but not for this.
pub(super) fn not_allowed(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "not_allowed", message)
}

/// 404: no such call, or none that this caller may know of. One answer for both, so that nobody
/// learns which calls there are.
pub(super) fn no_such_call() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_call",
        "there is no such call among those that you may see",
    )
}
