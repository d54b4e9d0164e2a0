//! The gatehouse: everything that sign-in needs, in one place that all doors share: the people in
//! the store, passwords, the throttle, the first-run link, the cookie, and a bell that rings when
//! someone's rights have changed. The desk is told of each session that ends here: no call rings its
//! browsers, and its passes to Twilio are worth nothing any more.

mod confirm;
mod factors;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::FromRef;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::AppendHeaders;
use tokio::sync::watch;

use super::auth::{Caller, Via, sign_in_required};
use super::{ApiError, ApiState};
use crate::access::ended::Ended;
use crate::access::local::{self, PageKey};
use crate::access::origin;
use crate::access::pace::{Pace, TooFast};
use crate::access::password::{self, HashError, Password, Passwords, Verdict, WeakPassword};
use crate::access::proxies::Proxies;
use crate::access::secret::{Secret, SecretHash};
use crate::access::session::{self, CookiePolicy, Life};
use crate::access::setup::{self, FirstRun};
use crate::access::throttle::{Attempt, Throttle, TooSoon};
use crate::clock::{self, UtcTime};
use crate::config::{Doors, SecondFactorFor};
use crate::desk::Desk;
use crate::ids::UserId;
use crate::limits;
use crate::store::{EndedSession, NewSession, Role, Store, StoreError, User};
use crate::tasks::Tasks;

use self::factors::Factors;
pub(super) use self::factors::{Factor, Offered};

/// How a request says that it comes with an API token
/// (<https://www.rfc-editor.org/rfc/rfc6750#section-2.1>).
const BEARER: &str = "bearer ";

/// Who may come in; clones are the same.
#[derive(Clone)]
pub struct Gatehouse(Arc<Gates>);

struct Gates {
    store: Store,
    desk: Desk,
    passwords: Passwords,
    throttle: Throttle,
    pace: Pace,
    first_run: FirstRun,
    /// Opens the page while there are no users, on a server that only this machine reaches.
    page_key: Option<PageKey>,
    factors: Factors,
    /// Who must have a second factor.
    second_factor_for: SecondFactorFor,
    cookies: CookiePolicy,
    proxies: Proxies,
    public_base_url: Option<Uri>,
    /// Where browsers reach the server, for the first-run link.
    base_url: String,
    /// Whether only this machine reaches the server.
    is_local: bool,
    /// Whether a user was ever seen; the last admin cannot go, so it stays true.
    has_users: AtomicBool,
    /// What ended and is not written down.
    ended: Mutex<Ended>,
    /// Rings when someone's rights have changed.
    revoked: watch::Sender<()>,
}

impl Gatehouse {
    /// For a server behind `doors`, whose proxies among `proxies` are believed.
    pub fn new(desk: Desk, doors: &Doors, proxies: Proxies, now: Instant) -> Self {
        let public_base_url = doors.public_base_url.clone();
        let base_url = public_base_url
            .as_ref()
            .map_or_else(|| format!("http://{}", doors.address), Uri::to_string);
        Self(Arc::new(Gates {
            store: desk.store().clone(),
            desk,
            passwords: Passwords::default(),
            throttle: Throttle::new(now),
            pace: Pace::default(),
            first_run: FirstRun::default(),
            page_key: doors.keys().map(|keys| PageKey::new(keys.page.clone())),
            factors: Factors::new(doors),
            second_factor_for: doors.second_factor_for,
            cookies: CookiePolicy::of(public_base_url.as_ref()),
            proxies,
            is_local: !doors.is_public(),
            public_base_url,
            base_url,
            has_users: AtomicBool::new(false),
            ended: Mutex::default(),
            revoked: watch::Sender::new(()),
        }))
    }

    /// The link that opens the page of a server without users that only this machine reaches, to be
    /// printed, never logged; `None` for other servers.
    pub async fn page_link(&self) -> Result<Option<String>, StoreError> {
        if !self.is_open().await? {
            return Ok(None);
        }
        let key = self.0.page_key.as_ref();
        Ok(key.map(|key| key.link(&self.0.base_url)))
    }

    /// The first-run link, to be printed, never logged; `None` when there are users, or when
    /// only this machine reaches the server.
    pub async fn first_run_link(&self, now: UtcTime) -> Result<Option<String>, StoreError> {
        if self.0.is_local || self.has_users().await? {
            return Ok(None);
        }
        let secret = self.0.first_run.invite(now);
        Ok(Some(setup::link(&self.0.base_url, &secret)))
    }

    /// Forgets sessions that are over, now and then, until the soft stop.
    pub fn keep_swept(&self, tasks: &Tasks) {
        let store = self.0.store.clone();
        tasks.every(limits::SESSION_SWEEP_EVERY, move || {
            let store = store.clone();
            async move {
                let now = clock::utc_now();
                let created_before = now.minus(limits::SESSION_AGE_MAX);
                let used_before = now.minus(limits::SESSION_IDLE_MAX);
                if let Err(error) = store.sweep_sessions(created_before, used_before).await {
                    tracing::warn!(%error, "sessions that are over were not forgotten");
                }
            }
        });
    }

    /// Writes down, now and then until the soft stop, what could not be written when it ended.
    pub fn keep_retrying(&self, tasks: &Tasks) {
        let gates = self.clone();
        tasks.every(limits::ENDED_RETRY_EVERY, move || {
            let gates = gates.clone();
            async move { gates.write_ended().await }
        });
    }

    pub(crate) async fn write_ended(&self) {
        let (sessions, users) = self.ended().all();
        for session in sessions {
            if self.0.store.close_session(&session).await.is_err() {
                return;
            }
            self.ended().forget_session(&session);
        }
        for user in users {
            match self.0.store.remove_user(user).await {
                Ok(()) | Err(StoreError::NoSuchUser) => self.ended().forget_user(user),
                Err(_) => return,
            }
        }
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        // A panic in here leaves whole entries behind.
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The people, and their calls.
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// What happens to calls, and writes the server's log.
    pub(super) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    /// Whether the page key is enough, without a sign-in: there are no users, and only this machine
    /// reaches the server.
    pub(super) async fn is_open(&self) -> Result<bool, StoreError> {
        Ok(self.0.is_local && !self.has_users().await?)
    }

    /// Whether anyone may sign in.
    pub(super) async fn has_users(&self) -> Result<bool, StoreError> {
        if self.0.has_users.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let has_users = self.0.store.has_users().await?;
        self.0.has_users.store(has_users, Ordering::Relaxed);
        Ok(has_users)
    }

    /// Who sends a request with these headers; `None`: nobody that is known. An API token that is
    /// not good is an error, whatever else the request carries.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<Option<Caller>, ApiError> {
        if let Some(token) = bearer(headers) {
            if self.is_page_key(token) && self.is_open().await? {
                check_straight(headers)?;
                return Ok(Some(Caller::Open));
            }
            let hash = Secret::parse_api_token(token).map(|secret| secret.hash());
            let caller = match hash {
                Some(hash) => self.token_caller(hash, now).await?,
                None => None,
            };
            return caller.map(Some).ok_or_else(sign_in_required);
        }
        if let Some(secret) = self.0.cookies.read(headers)
            && let Some(caller) = self.session_caller(secret.hash(), now).await?
        {
            return Ok(Some(caller));
        }
        if !self.is_open().await? {
            return Ok(None);
        }
        check_straight(headers)?;
        let key = self.0.page_key.as_ref();
        let is_carried = key.is_some_and(|key| key.is_carried(headers));
        Ok(is_carried.then_some(Caller::Open))
    }

    /// Opens the browser that brings the page key while that is enough; the answer carries the cookie.
    pub(super) async fn open_page(&self, key: &str) -> Result<Option<SetCookie>, ApiError> {
        if !self.is_page_key(key) || !self.is_open().await? {
            return Ok(None);
        }
        let key = self.0.page_key.as_ref();
        key.map(|key| SetCookie::new(&[key.cookie()])).transpose()
    }

    fn is_page_key(&self, text: &str) -> bool {
        self.0.page_key.as_ref().is_some_and(|key| key.is(text))
    }

    /// Whether the caller of a while ago is still who he was, with the same rights.
    pub(super) async fn is_still(&self, caller: &Caller, now: UtcTime) -> Result<bool, StoreError> {
        let again = match caller {
            Caller::Open => return self.is_open().await,
            Caller::User { via, .. } => match via {
                Via::Session(hash) => self.session_caller(*hash, now).await?,
                Via::Token { hash, .. } => self.token_caller(*hash, now).await?,
            },
        };
        Ok(again.is_some_and(|again| {
            again.has_rights_of(caller) && again.require_settled(self).is_ok()
        }))
    }

    /// Rings when someone's rights have changed: whoever holds a socket open looks
    /// [whether he still may](Self::is_still).
    pub(super) fn revocations(&self) -> watch::Receiver<()> {
        self.0.revoked.subscribe()
    }

    /// Someone's rights have changed.
    pub(super) fn revoke(&self) {
        self.0.revoked.send_replace(());
    }

    /// Refuses a request that a page of another origin made a browser send.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if origin::from_our_page(headers, self.0.public_base_url.as_ref()) {
            return Ok(());
        }
        let message = "a page of another origin may not do this: open the page from this server, \
                       or set PUBLIC_BASE_URL to its address";
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "origin_refused",
            message,
        ))
    }

    /// The proxies that are believed.
    pub(super) fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// The address of a client, as far as proxies are believed.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.0.proxies.client(peer, headers)
    }

    /// Counts an attempt to sign in as `name`. `session`: the attempt is made by a signed-in user, to
    /// prove the password again.
    pub(super) async fn check_rate_limit(
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
        let attempt = Attempt {
            address,
            name,
            known_browser,
        };
        let checked = self.0.throttle.check(&attempt, clock::now());
        checked.map_err(|too_soon| {
            let hint = format!("a sign-in attempt from {address}: {too_soon}");
            ApiError::from(too_soon).for_operator(hint)
        })
    }

    /// The browser, if it has signed in under this name before. Without a database every browser is
    /// unknown.
    async fn known_browser(&self, name: &str, headers: &HeaderMap) -> Option<SecretHash> {
        let hash = self.0.cookies.read_browser(headers)?.hash();
        let after = clock::utc_now().minus(limits::KNOWN_BROWSER_AGE_MAX);
        let known = self.0.store.knows_browser(&hash, name.trim(), after).await;
        known.unwrap_or(false).then_some(hash)
    }

    /// Counts a change that a user asks for. Whoever reaches an open server may as many as he likes.
    pub(super) fn pace(&self, caller: &Caller) -> Result<(), ApiError> {
        match caller.user_id() {
            Some(user) => Ok(self.0.pace.step(user, clock::now())?),
            None => Ok(()),
        }
    }

    /// The user with this name and password, if there is one; takes the same time if not. A wrong one is
    /// for the server's log; a name that nobody has is not, for it may be a password in the wrong field.
    pub(super) async fn recognise(
        &self,
        name: &str,
        password: Password,
        from: IpAddr,
    ) -> Result<Option<User>, ApiError> {
        let (user, kept) = self.0.store.credentials(name.trim()).await?.unzip();
        let user = user.filter(|user: &User| !self.ended().is_barred(user.id));
        let verdict = self.0.passwords.verify(password.clone(), kept, Some(from));
        let verdict = verdict.await?;
        if verdict == Verdict::Wrong {
            let (whose, what) = match &user {
                Some(user) => (Some(user.id), "of a user"),
                None => (None, "for a name that nobody has"),
            };
            self.0.desk.note_deed("wrong_password", what, whose).await;
        }
        let user = user.filter(|_| verdict != Verdict::Wrong);
        if let (Some(user), Verdict::RightButOld) = (&user, verdict) {
            let hash = self.0.passwords.hash(password).await?;
            self.0.store.set_password(user.id, &hash).await?;
        }
        Ok(user)
    }

    /// What to keep of a new password of the user `name`, if it is good enough.
    pub(super) async fn hash(&self, password: Password, name: &str) -> Result<String, ApiError> {
        password::check(&password, name)?;
        Ok(self.0.passwords.hash(password).await?)
    }

    /// Begins a session in place of the one that the browser had; the answer carries its cookie.
    pub(super) async fn begin_session(
        &self,
        user: &User,
        from: IpAddr,
        headers: &HeaderMap,
        now: UtcTime,
    ) -> Result<SetCookie, ApiError> {
        self.close_session(headers).await?;
        let secret = Secret::random();
        let hash = secret.hash();
        let client = Client::of(from, headers);
        let new = client.session(&hash, user.id);
        self.0.store.begin_session(&new, now).await?;
        let browser = self.0.cookies.read_browser(headers);
        let browser = browser.unwrap_or_else(Secret::random);
        let known = browser.hash();
        let remembered = self.0.store.remember_browser(&known, user.id, now).await;
        if let Err(error) = remembered {
            tracing::warn!(%error, "a browser that signed in is not remembered");
        }
        let cookies = [
            self.0.cookies.set(&secret),
            self.0.cookies.set_browser(&browser),
        ];
        SetCookie::new(&cookies)
    }

    /// Gives a user who comes from this browser the password that they chose: every session of theirs
    /// ends, and goes on here with a new one, which keeps the browser's name at Twilio.
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
        let own = self.0.cookies.read(headers).map(|own| own.hash());
        let client = Client::of(from, headers);
        let new = client.session(&hash, user);
        let renewed = self.0.store.renew_session(own.as_ref(), &new, now);
        self.0.desk.end_sessions(&renewed.await?);
        self.revoke();
        SetCookie::new(&[self.0.cookies.set(&secret)])
    }

    /// Gives somebody a password that an admin chose: their sessions and API tokens end, and they
    /// have to choose another at their next sign-in.
    pub(super) async fn reset_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let store = &self.0.store;
        let ended = store.reset_password(user, password_hash, true).await?;
        self.0.factors.forget(user);
        self.0.desk.end_sessions(&ended);
        self.revoke();
        Ok(())
    }

    /// Ends every session of a user.
    pub(super) async fn close_sessions(&self, user: UserId) -> Result<(), StoreError> {
        let ended = self.0.store.close_sessions(user).await?;
        self.0.desk.end_sessions(&ended);
        self.revoke();
        Ok(())
    }

    /// Whether the host wants this user to have a second factor.
    pub(super) fn wants_factor(&self, user: &User) -> bool {
        match self.0.second_factor_for {
            SecondFactorFor::Off => false,
            SecondFactorFor::Admins => user.role == Role::Admin,
            SecondFactorFor::All => true,
        }
    }

    /// Ends sessions.
    pub(super) async fn close(&self, sessions: &[SecretHash]) -> Result<(), StoreError> {
        for session in sessions {
            let ended = match self.0.store.close_session(session).await {
                Ok(ended) => ended,
                Err(error) => {
                    if !self.ended().end_session(*session) {
                        return Err(error);
                    }
                    tracing::warn!(%error, "a session ended, and the database does not know it yet");
                    // What cannot be written may still be read.
                    let known = self.0.store.session(session).await;
                    known.ok().flatten().map(|known| EndedSession::of(&known))
                }
            };
            self.0.desk.end_sessions(ended.as_slice());
            self.revoke();
        }
        Ok(())
    }

    /// Removes a user, who may do nothing any more even if the database cannot write it: it is tried
    /// again until it is written. Whoever removes himself may be the last admin, which the database
    /// has to say first.
    pub(super) async fn remove_user(&self, user: UserId, by: UserId) -> Result<(), StoreError> {
        let removed = self.0.store.remove_user(user).await;
        match &removed {
            Ok(()) => {
                self.ended().forget_user(user);
                self.0.desk.leave(user);
            }
            Err(StoreError::Full | StoreError::Unavailable(_)) if user != by => {
                self.ended().bar(user);
                self.0.desk.leave(user);
            }
            Err(_) => {}
        }
        removed
    }

    /// Ends the browser's session, if it has one; the answer takes its cookie away.
    pub(super) async fn end_session(&self, headers: &HeaderMap) -> Result<SetCookie, ApiError> {
        self.close_session(headers).await?;
        SetCookie::new(&[self.0.cookies.clear()])
    }

    /// Whether `text` is the secret of the first-run link.
    pub(super) fn admits(&self, text: &str, now: UtcTime) -> bool {
        self.0.first_run.admits(text, now)
    }

    /// The first user is there.
    pub(super) fn close_first_run(&self) {
        self.0.first_run.close();
        self.0.has_users.store(true, Ordering::Relaxed);
        // Sockets that were open to everyone are so no more.
        self.revoke();
    }

    async fn close_session(&self, headers: &HeaderMap) -> Result<(), StoreError> {
        match self.0.cookies.read(headers) {
            Some(secret) => self.close(&[secret.hash()]).await,
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
        if self.ended().is_over(&hash, session.user.id) {
            return Ok(None);
        }
        match session::life(session.created_at, session.used_at, now) {
            Life::Good => {}
            Life::GoodTouchIt => self.0.store.touch_session(&hash, now).await?,
            Life::Over => return Ok(None),
        }
        let (user, via) = (session.user, Via::Session(hash));
        Ok(Some(Caller::User { user, via }))
    }

    async fn token_caller(
        &self,
        hash: SecretHash,
        now: UtcTime,
    ) -> Result<Option<Caller>, StoreError> {
        let Some((token, user)) = self.0.store.api_token(&hash).await? else {
            return Ok(None);
        };
        if self.ended().is_barred(user.id) {
            return Ok(None);
        }
        if token.expires_at.is_some_and(|end| now >= end) {
            return Ok(None);
        }
        let is_due = |used: UtcTime| now.since(used) >= limits::SESSION_TOUCH_EVERY;
        if token.used_at.is_none_or(is_due) {
            self.0.store.touch_api_token(token.id, now).await?;
        }
        let (id, scopes) = (token.id, token.scopes);
        let via = Via::Token { id, hash, scopes };
        Ok(Some(Caller::User { user, via }))
    }
}

/// Where a session is begun.
struct Client {
    address: String,
    user_agent: String,
}

impl Client {
    fn of(from: IpAddr, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(header::USER_AGENT);
        let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self {
            address: from.to_string(),
            user_agent: user_agent.unwrap_or_default().into_owned(),
        }
    }

    fn session<'a>(&'a self, hash: &'a SecretHash, user: UserId) -> NewSession<'a> {
        NewSession {
            hash,
            user,
            address: &self.address,
            user_agent: &self.user_agent,
        }
    }
}

impl fmt::Debug for Gatehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gatehouse")
    }
}

impl FromRef<ApiState> for Gatehouse {
    fn from_ref(state: &ApiState) -> Self {
        state.gatehouse.clone()
    }
}

/// The cookies that an answer sets or takes away. `Debug` does not show them.
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

/// Refuses what came by a stranger's name that points here, or through a proxy, which lets the world in.
fn check_straight(headers: &HeaderMap) -> Result<(), ApiError> {
    if origin::host_is_beyond_dns(headers) && !local::came_through_a_proxy(headers) {
        return Ok(());
    }
    let message = "this server has no users, so that only this machine is served, by its address and \
                   through no proxy: for others, set PUBLIC_BASE_URL and add a user";
    let status = StatusCode::FORBIDDEN;
    Err(ApiError::new(status, "host_refused", message))
}

/// The token of `Authorization: Bearer …`; the word may be written in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
}

impl From<TooSoon> for ApiError {
    fn from(too_soon: TooSoon) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too_many_attempts", too_soon.to_string()).retry_after(too_soon.wait)
    }
}

impl From<TooFast> for ApiError {
    fn from(too_fast: TooFast) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too_many_requests", too_fast.to_string()).retry_after(too_fast.wait)
    }
}

impl From<WeakPassword> for ApiError {
    fn from(weak: WeakPassword) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "weak_password", weak.to_string())
    }
}

impl From<HashError> for ApiError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let wait = limits::PASSWORDS_RETRY_AFTER;
                Self::new(status, "busy", error.to_string()).retry_after(wait)
            }
            HashError::Broken(_) | HashError::Lost => Self::internal(error),
        }
    }
}
