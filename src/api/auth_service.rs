//! Authentication service shared by all endpoints: the users in the store, password hashing, the
//! sign-in rate limiter, the first-run link, the cookies, and a notification of each change of a
//! user's rights. When a session ends here, the call service is notified: it rings none of the
//! session's browsers any more, and its Twilio access tokens are rejected.

mod confirmation;
mod second_factors;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::FromRef;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::AppendHeaders;
use tokio::sync::watch;

use super::caller::{AuthMethod, Caller, sign_in_required};
use super::{ApiError, ApiState};
use crate::access::change_rate_limit::{ChangeRateExceeded, ChangeRateLimiter};
use crate::access::first_run::{self, FirstRunLink};
use crate::access::local::{self, PageKey};
use crate::access::origin;
use crate::access::password::{
    self, Password, PasswordHashError, PasswordHashPool, PasswordMatch, WeakPassword,
};
use crate::access::pending_revocations::PendingRevocations;
use crate::access::proxies::TrustedProxies;
use crate::access::secret::{Secret, SecretHash};
use crate::access::session_policy::{self, CookiePolicy, SessionValidity};
use crate::access::sign_in_rate_limit::{RateLimitExceeded, SignInAttempt, SignInRateLimiter};
use crate::calls::CallService;
use crate::clock::{self, UtcTime};
use crate::config::{EndpointConfig, SecondFactorPolicy};
use crate::ids::UserId;
use crate::limits;
use crate::store::{EndedSession, NewSession, Role, Store, StoreError, User};
use crate::tasks::Tasks;

use self::second_factors::SecondFactors;
pub(super) use self::second_factors::{FactorKind, FactorProof};

/// The scheme of an `Authorization` header that carries an API token
/// (<https://www.rfc-editor.org/rfc/rfc6750#section-2.1>), with the blank that follows it.
const BEARER: &str = "bearer ";

/// Authenticates requests. Clones share one state.
#[derive(Clone)]
pub struct AuthService(Arc<AuthServiceInner>);

struct AuthServiceInner {
    store: Store,
    calls: CallService,
    passwords: PasswordHashPool,
    sign_in_rate_limiter: SignInRateLimiter,
    change_rate_limiter: ChangeRateLimiter,
    first_run: FirstRunLink,
    /// Opens the page while there are no users, on a local-only server.
    page_key: Option<PageKey>,
    second_factors: SecondFactors,
    second_factor_for: SecondFactorPolicy,
    cookies: CookiePolicy,
    proxies: TrustedProxies,
    public_base_url: Option<Uri>,
    /// The base URL of the server, for the first-run link.
    base_url: String,
    /// Whether only clients on this machine can connect.
    is_local: bool,
    /// Caches that there are users. It never returns to `false`: the last admin cannot be removed.
    has_users: AtomicBool,
    /// Revocations that the database could not store.
    pending_revocations: Mutex<PendingRevocations>,
    /// Notifies subscribers after each change of a user's rights.
    revocation_sender: watch::Sender<()>,
}

impl AuthService {
    /// Creates the service for a server behind `endpoint` that trusts `proxies`.
    pub fn new(
        calls: CallService,
        endpoint: &EndpointConfig,
        proxies: TrustedProxies,
        now: Instant,
    ) -> Self {
        let public_base_url = endpoint.public_base_url.clone();
        let base_url = public_base_url
            .as_ref()
            .map_or_else(|| format!("http://{}", endpoint.address), Uri::to_string);
        Self(Arc::new(AuthServiceInner {
            store: calls.store().clone(),
            calls,
            passwords: PasswordHashPool::default(),
            sign_in_rate_limiter: SignInRateLimiter::new(now),
            change_rate_limiter: ChangeRateLimiter::default(),
            first_run: FirstRunLink::default(),
            page_key: endpoint.keys().map(|keys| PageKey::new(keys.page.clone())),
            second_factors: SecondFactors::new(endpoint),
            second_factor_for: endpoint.second_factor_for,
            cookies: CookiePolicy::of(public_base_url.as_ref()),
            proxies,
            is_local: !endpoint.is_public(),
            public_base_url,
            base_url,
            has_users: AtomicBool::new(false),
            pending_revocations: Mutex::default(),
            revocation_sender: watch::Sender::new(()),
        }))
    }

    /// Returns the link that opens the page of a local-only server without users, to be printed,
    /// never logged; `None` for other servers.
    pub async fn page_link(&self) -> Result<Option<String>, StoreError> {
        if !self.accepts_page_key().await? {
            return Ok(None);
        }
        let key = self.0.page_key.as_ref();
        Ok(key.map(|key| key.format_link(&self.0.base_url)))
    }

    /// Returns the first-run link, to be printed, never logged; `None` when there are users, or
    /// when the server is local-only.
    pub async fn first_run_link(&self, now: UtcTime) -> Result<Option<String>, StoreError> {
        if self.0.is_local || self.has_users().await? {
            return Ok(None);
        }
        let secret = self.0.first_run.issue_token(now);
        Ok(Some(first_run::format_link(&self.0.base_url, &secret)))
    }

    /// Deletes expired sessions from the store every [`limits::SESSION_SWEEP_INTERVAL`], until the
    /// soft stop.
    pub fn spawn_session_sweeper(&self, tasks: &Tasks) {
        let store = self.0.store.clone();
        tasks.spawn_periodic(limits::SESSION_SWEEP_INTERVAL, move || {
            let store = store.clone();
            async move {
                let now = clock::utc_now();
                let created_before = now.minus(limits::SESSION_AGE_MAX);
                let used_before = now.minus(limits::SESSION_IDLE_MAX);
                if let Err(error) = store.sweep_sessions(created_before, used_before).await {
                    tracing::warn!(%error, "expired sessions were not deleted");
                }
            }
        });
    }

    /// Retries every [`limits::SIGN_OUT_RETRY_INTERVAL`] to store the revocations that failed,
    /// until the soft stop.
    pub fn spawn_revocation_retries(&self, tasks: &Tasks) {
        let auth = self.clone();
        tasks.spawn_periodic(limits::SIGN_OUT_RETRY_INTERVAL, move || {
            let auth = auth.clone();
            async move { auth.write_pending_revocations().await }
        });
    }

    pub(crate) async fn write_pending_revocations(&self) {
        let (sessions, users) = self.pending_revocations().list();
        for session in sessions {
            if self.0.store.close_session(&session).await.is_err() {
                return;
            }
            self.pending_revocations().mark_session_written(&session);
        }
        for user in users {
            match self.0.store.remove_user(user).await {
                Ok(()) | Err(StoreError::NoSuchUser) => {
                    self.pending_revocations().mark_user_written(user);
                }
                Err(_) => return,
            }
        }
    }

    fn pending_revocations(&self) -> MutexGuard<'_, PendingRevocations> {
        // Entries are inserted and removed whole, so a panic of another holder leaves the value
        // consistent.
        self.0
            .pending_revocations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn calls(&self) -> &CallService {
        &self.0.calls
    }

    /// Reports whether the page key suffices without a sign-in: there are no users, and the server
    /// is local-only.
    pub(super) async fn accepts_page_key(&self) -> Result<bool, StoreError> {
        Ok(self.0.is_local && !self.has_users().await?)
    }

    /// Reports whether the store has any user.
    pub(super) async fn has_users(&self) -> Result<bool, StoreError> {
        if self.0.has_users.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let has_users = self.0.store.has_users().await?;
        self.0.has_users.store(has_users, Ordering::Relaxed);
        Ok(has_users)
    }

    /// Authenticates a request by its headers. `None` when it carries no valid credential. An
    /// invalid API token is an error, whatever other credentials the request carries.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<Option<Caller>, ApiError> {
        if let Some(token) = bearer_token(headers) {
            if self.is_page_key(token) && self.accepts_page_key().await? {
                require_direct_local_request(headers)?;
                return Ok(Some(Caller::PageKey));
            }
            let hash = Secret::parse_api_token(token).map(|secret| secret.hash());
            let caller = match hash {
                Some(hash) => self.token_caller(hash, now).await?,
                None => None,
            };
            return caller.map(Some).ok_or_else(sign_in_required);
        }
        if let Some(secret) = self.0.cookies.read_session_secret(headers)
            && let Some(caller) = self.session_caller(secret.hash(), now).await?
        {
            return Ok(Some(caller));
        }
        if !self.accepts_page_key().await? {
            return Ok(None);
        }
        require_direct_local_request(headers)?;
        let key = self.0.page_key.as_ref();
        let is_in_cookie = key.is_some_and(|key| key.is_in_cookie(headers));
        Ok(is_in_cookie.then_some(Caller::PageKey))
    }

    /// Opens this browser with the page key, while the key suffices; the response sets its cookie.
    /// `None` when the key is wrong or no longer suffices.
    pub(super) async fn redeem_page_key(&self, key: &str) -> Result<Option<SetCookie>, ApiError> {
        if !self.is_page_key(key) || !self.accepts_page_key().await? {
            return Ok(None);
        }
        let key = self.0.page_key.as_ref();
        key.map(|key| SetCookie::new(&[key.set_cookie_value()]))
            .transpose()
    }

    fn is_page_key(&self, text: &str) -> bool {
        self.0
            .page_key
            .as_ref()
            .is_some_and(|key| key.matches(text))
    }

    /// Re-validates a caller: same identity, same permissions.
    pub(super) async fn is_caller_still_valid(
        &self,
        caller: &Caller,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let again = match caller {
            Caller::PageKey => return self.accepts_page_key().await,
            Caller::User { auth_method, .. } => match auth_method {
                AuthMethod::Session(hash) => self.session_caller(*hash, now).await?,
                AuthMethod::ApiToken { hash, .. } => self.token_caller(*hash, now).await?,
            },
        };
        Ok(again.is_some_and(|again| {
            again.has_same_rights(caller) && again.require_no_pending_action(self).is_ok()
        }))
    }

    /// Returns a receiver that is notified of each change of a user's rights. The holder of an
    /// open socket then [re-validates its caller](Self::is_caller_still_valid).
    pub(super) fn subscribe_revocations(&self) -> watch::Receiver<()> {
        self.0.revocation_sender.subscribe()
    }

    /// Notifies the subscribers that a user's rights have changed.
    pub(super) fn notify_revocation(&self) {
        self.0.revocation_sender.send_replace(());
    }

    /// Rejects a request that a page of another origin made the browser send. 403:
    /// `origin_refused`.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if origin::is_same_origin(headers, self.0.public_base_url.as_ref()) {
            return Ok(());
        }
        let message = "pages of another origin are not allowed to do this: open the page from this \
                       server, or set PUBLIC_BASE_URL to its address";
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "origin_refused",
            message,
        ))
    }

    pub(super) fn proxies(&self) -> &TrustedProxies {
        &self.0.proxies
    }

    /// Returns a client's address, taken from the headers of trusted proxies only.
    pub(super) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.0.proxies.client_address(peer, headers)
    }

    /// Counts an attempt to sign in as `name`; an error when the rate limit is exceeded. `session`
    /// is set when a signed-in user confirms their password.
    pub(super) async fn check_sign_in_rate(
        &self,
        address: IpAddr,
        name: &str,
        headers: &HeaderMap,
        session: Option<SecretHash>,
    ) -> Result<(), ApiError> {
        let known_browser = match session {
            Some(session) => Some(session),
            None => self.known_browser(name, headers).await,
        };
        let attempt = SignInAttempt {
            address,
            name,
            known_browser,
        };
        let checked = self
            .0
            .sign_in_rate_limiter
            .check_rate_limit(&attempt, clock::now());
        checked.map_err(|rate_limit_exceeded| {
            let hint = format!("sign-in attempt from {address}: {rate_limit_exceeded}");
            ApiError::from(rate_limit_exceeded).with_operator_hint(hint)
        })
    }

    /// Returns the hash that identifies the browser, if it has signed in under this name before;
    /// `None` also while the database is unavailable.
    async fn known_browser(&self, name: &str, headers: &HeaderMap) -> Option<SecretHash> {
        let hash = self.0.cookies.read_browser_secret(headers)?.hash();
        let after = clock::utc_now().minus(limits::KNOWN_BROWSER_AGE_MAX);
        let known = self
            .0
            .store
            .is_known_browser(&hash, name.trim(), after)
            .await;
        known.unwrap_or(false).then_some(hash)
    }

    /// Counts a change that a user requests; an error when the rate limit is exceeded. Callers with
    /// the page key are not limited.
    pub(super) fn check_change_rate(&self, caller: &Caller) -> Result<(), ApiError> {
        match caller.user_id() {
            Some(user) => Ok(self
                .0
                .change_rate_limiter
                .check_rate_limit(user, clock::now())?),
            None => Ok(()),
        }
    }

    /// Returns the user with this name and password, or `None`, in the same time. A wrong password
    /// is audited, with the user if the name is known. An unknown name is not recorded, since it
    /// may be a password typed into the wrong field.
    pub(super) async fn verify_password(
        &self,
        name: &str,
        password: Password,
        from: IpAddr,
    ) -> Result<Option<User>, ApiError> {
        let (user, stored_hash) = self.0.store.credentials(name.trim()).await?.unzip();
        let user = user.filter(|user: &User| !self.pending_revocations().is_user_removed(user.id));
        let verdict = self
            .0
            .passwords
            .verify(password.clone(), stored_hash, Some(from));
        let verdict = verdict.await?;
        if verdict == PasswordMatch::Wrong {
            let (whose, what) = match &user {
                Some(user) => (Some(user.id), "for an existing user"),
                None => (None, "for an unknown name"),
            };
            self.0
                .calls
                .record_audit_event("wrong_password", what, whose)
                .await;
        }
        let user = user.filter(|_| verdict != PasswordMatch::Wrong);
        if let (Some(user), PasswordMatch::RightButOutdated) = (&user, verdict) {
            let hash = self.0.passwords.hash(password).await?;
            self.0.store.set_password(user.id, &hash).await?;
        }
        Ok(user)
    }

    /// Hashes a new password of the user `name`; an error when it is too weak.
    pub(super) async fn hash_new_password(
        &self,
        password: Password,
        name: &str,
    ) -> Result<String, ApiError> {
        password::check_strength(&password, name)?;
        Ok(self.0.passwords.hash(password).await?)
    }

    /// Starts a session that replaces the browser's current one; the response sets its cookie.
    pub(super) async fn begin_session(
        &self,
        user: &User,
        from: IpAddr,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<SetCookie, ApiError> {
        self.end_current_session(headers).await?;
        let secret = Secret::random();
        let hash = secret.hash();
        let client = SessionClient::of(from, headers);
        let new = client.new_session(&hash, user.id);
        self.0.store.begin_session(&new, now).await?;
        let browser = self.0.cookies.read_browser_secret(headers);
        let browser = browser.unwrap_or_else(Secret::random);
        let known = browser.hash();
        let remembered = self.0.store.remember_browser(&known, user.id, now).await;
        if let Err(error) = remembered {
            tracing::warn!(%error, "a known browser was not stored");
        }
        let cookies = [
            self.0.cookies.session_cookie(&secret),
            self.0.cookies.browser_cookie(&browser),
        ];
        SetCookie::new(&cookies)
    }

    /// Stores the new password of a user and ends all their sessions. The current one continues
    /// here under a new secret, and keeps the browser's client identity at Twilio.
    pub(super) async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        from: IpAddr,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<SetCookie, ApiError> {
        let secret = Secret::random();
        let hash = secret.hash();
        self.0.store.change_password(user, password_hash).await?;
        let current_session = self
            .0
            .cookies
            .read_session_secret(headers)
            .map(|current_session| current_session.hash());
        let client = SessionClient::of(from, headers);
        let new = client.new_session(&hash, user);
        let renewed = self
            .0
            .store
            .renew_session(current_session.as_ref(), &new, now);
        self.0.calls.end_sessions(&renewed.await?);
        self.notify_revocation();
        SetCookie::new(&[self.0.cookies.session_cookie(&secret)])
    }

    /// Stores a password that an admin chose for a user: their sessions and API tokens end, and
    /// they have to choose another at their next sign-in.
    pub(super) async fn reset_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let store = &self.0.store;
        let ended_sessions = store.reset_password(user, password_hash, true).await?;
        self.0.second_factors.cancel_all(user);
        self.0.calls.end_sessions(&ended_sessions);
        self.notify_revocation();
        Ok(())
    }

    /// Ends every session of a user.
    pub(super) async fn end_user_sessions(&self, user: UserId) -> Result<(), StoreError> {
        let ended_sessions = self.0.store.close_sessions(user).await?;
        self.0.calls.end_sessions(&ended_sessions);
        self.notify_revocation();
        Ok(())
    }

    /// Reports whether the configuration requires a second factor of this user.
    pub(super) fn requires_second_factor(&self, user: &User) -> bool {
        match self.0.second_factor_for {
            SecondFactorPolicy::Off => false,
            SecondFactorPolicy::Admins => user.role == Role::Admin,
            SecondFactorPolicy::All => true,
        }
    }

    /// Ends sessions. A session that the database cannot close is refused from memory until a retry
    /// stores it.
    pub(super) async fn end_sessions(&self, sessions: &[SecretHash]) -> Result<(), StoreError> {
        for session in sessions {
            let ended_sessions = match self.0.store.close_session(session).await {
                Ok(ended_sessions) => ended_sessions,
                Err(error) => {
                    if !self.pending_revocations().add_session(*session) {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the end of a session was not stored: it is retried");
                    // Reading may work while writing fails.
                    let known = self.0.store.session(session).await;
                    known
                        .ok()
                        .flatten()
                        .map(|known| EndedSession::from_session(&known))
                }
            };
            self.0.calls.end_sessions(ended_sessions.as_slice());
            self.notify_revocation();
        }
        Ok(())
    }

    /// Removes a user. If the database cannot store the removal, the user is refused from memory,
    /// and the removal is retried until it is stored. Users who remove themselves may be the last
    /// admin, which only the database can rule out: then its error is returned.
    pub(super) async fn remove_user(&self, user: UserId, by: UserId) -> Result<(), StoreError> {
        let removed = self.0.store.remove_user(user).await;
        match &removed {
            Ok(()) => {
                self.pending_revocations().mark_user_written(user);
                self.0.calls.remove_user(user);
            }
            Err(StoreError::DiskFull | StoreError::Unavailable(_)) if user != by => {
                self.pending_revocations().add_user(user);
                self.0.calls.remove_user(user);
            }
            Err(_) => {}
        }
        removed
    }

    /// Ends the browser's session, if it has one; the response clears its cookie.
    pub(super) async fn sign_out(&self, headers: &HeaderMap) -> Result<SetCookie, ApiError> {
        self.end_current_session(headers).await?;
        SetCookie::new(&[self.0.cookies.clearing_cookie()])
    }

    /// Reports whether `text` is the valid secret of the first-run link.
    pub(super) fn is_setup_token(&self, text: &str, now: UtcTime) -> bool {
        self.0.first_run.is_valid_token(text, now)
    }

    /// Invalidates the first-run link after the first user was added.
    pub(super) fn complete_first_run(&self) {
        self.0.first_run.invalidate();
        self.0.has_users.store(true, Ordering::Relaxed);
        // Closes the sockets that the page key opened.
        self.notify_revocation();
    }

    async fn end_current_session(&self, headers: &HeaderMap) -> Result<(), StoreError> {
        match self.0.cookies.read_session_secret(headers) {
            Some(secret) => self.end_sessions(&[secret.hash()]).await,
            None => Ok(()),
        }
    }

    async fn session_caller(
        &self,
        hash: SecretHash,
        now: UtcTime,
    ) -> Result<Option<Caller>, StoreError> {
        let Some(session) = self.0.store.session(&hash).await? else {
            return Ok(None);
        };
        if self
            .pending_revocations()
            .is_session_revoked(&hash, session.user.id)
        {
            return Ok(None);
        }
        match session_policy::session_validity(session.created_at, session.used_at, now) {
            SessionValidity::Valid => {}
            SessionValidity::ValidButStale => self.0.store.touch_session(&hash, now).await?,
            SessionValidity::Expired => return Ok(None),
        }
        let (user, auth_method) = (session.user, AuthMethod::Session(hash));
        Ok(Some(Caller::User { user, auth_method }))
    }

    async fn token_caller(
        &self,
        hash: SecretHash,
        now: UtcTime,
    ) -> Result<Option<Caller>, StoreError> {
        let Some((token, user)) = self.0.store.api_token(&hash).await? else {
            return Ok(None);
        };
        if self.pending_revocations().is_user_removed(user.id) {
            return Ok(None);
        }
        if token.expires_at.is_some_and(|end| now >= end) {
            return Ok(None);
        }
        let is_due = |used: UtcTime| now.since(used) >= limits::SESSION_TOUCH_INTERVAL;
        if token.used_at.is_none_or(is_due) {
            self.0.store.touch_api_token(token.id, now).await?;
        }
        let (id, scopes) = (token.id, token.scopes);
        let auth_method = AuthMethod::ApiToken { id, hash, scopes };
        Ok(Some(Caller::User { user, auth_method }))
    }
}

/// The client that starts a session.
struct SessionClient {
    address: String,
    user_agent: String,
}

impl SessionClient {
    fn of(from: IpAddr, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(header::USER_AGENT);
        let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self {
            address: from.to_string(),
            user_agent: user_agent.unwrap_or_default().into_owned(),
        }
    }

    fn new_session<'a>(&'a self, hash: &'a SecretHash, user: UserId) -> NewSession<'a> {
        NewSession {
            hash,
            user,
            address: &self.address,
            user_agent: &self.user_agent,
        }
    }
}

impl fmt::Debug for AuthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthService")
    }
}

impl FromRef<ApiState> for AuthService {
    fn from_ref(state: &ApiState) -> Self {
        state.auth.clone()
    }
}

/// The cookies that a response sets or clears. `Debug` does not show them.
pub(super) struct SetCookie(pub(super) AppendHeaders<Vec<(HeaderName, HeaderValue)>>);

impl SetCookie {
    fn new(cookies: &[String]) -> Result<Self, ApiError> {
        let header = |text: &String| {
            let mut value = HeaderValue::from_str(text).map_err(ApiError::internal)?;
            value.set_sensitive(true);
            Ok((header::SET_COOKIE, value))
        };
        let headers: Result<_, ApiError> = cookies.iter().map(header).collect();
        Ok(Self(AppendHeaders(headers?)))
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetCookie(…)")
    }
}

/// Rejects a request under a foreign host name (DNS rebinding), or through a proxy, which would
/// open the server to the world. 403: `host_refused`.
fn require_direct_local_request(headers: &HeaderMap) -> Result<(), ApiError> {
    if origin::is_host_rebinding_safe(headers) && !local::has_proxy_headers(headers) {
        return Ok(());
    }
    let message = "this server has no users, so it serves only this machine, under its IP address \
                   and without a proxy: to serve others, set PUBLIC_BASE_URL and add a user";
    let status = StatusCode::FORBIDDEN;
    Err(ApiError::new(status, "host_refused", message))
}

/// Returns the token of `Authorization: Bearer …`. The scheme is case-insensitive.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
}

impl From<RateLimitExceeded> for ApiError {
    fn from(rate_limit_exceeded: RateLimitExceeded) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too_many_attempts", rate_limit_exceeded.to_string())
            .with_retry_after(rate_limit_exceeded.wait)
    }
}

impl From<ChangeRateExceeded> for ApiError {
    fn from(change_rate_exceeded: ChangeRateExceeded) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(
            status,
            "too_many_requests",
            change_rate_exceeded.to_string(),
        )
        .with_retry_after(change_rate_exceeded.wait)
    }
}

impl From<WeakPassword> for ApiError {
    fn from(weak: WeakPassword) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "weak_password", weak.to_string())
    }
}

impl From<PasswordHashError> for ApiError {
    fn from(error: PasswordHashError) -> Self {
        match error {
            PasswordHashError::Busy => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let wait = limits::PASSWORD_RETRY_AFTER;
                Self::new(status, "busy", error.to_string()).with_retry_after(wait)
            }
            PasswordHashError::Broken(_) | PasswordHashError::Lost => Self::internal(error),
        }
    }
}
