//! Second factors at the gate: sign-ins that wait for one, authenticator apps and passkeys that are
//! being set up, and the checks of what comes. What waits is in memory: a restart asks for the password
//! again.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde_json::Value;

use super::Gatehouse;
use crate::access::code_tries::CodeTries;
use crate::access::passkeys::{
    Assertion, Challenge, NoPasskeys, PasskeyError, Passkeys, Registration,
};
use crate::access::recovery::{self, RecoveryCode};
use crate::access::secret::{Secret, SecretHash};
use crate::access::totp::{self, TotpSecret};
use crate::access::waiting::Waiting;
use crate::api::ApiError;
use crate::clock::{self, UtcTime};
use crate::config::Doors;
use crate::ids::UserId;
use crate::store::{NewPasskey, Passkey, User};

/// What waits at the gate.
pub(super) struct Factors {
    passkeys: Result<Passkeys, NoPasskeys>,
    sign_ins: Mutex<Waiting<UserId, PendingSignIn>>,
    totps: Mutex<Waiting<UserId, TotpSecret>>,
    registrations: Mutex<Waiting<UserId, Registration>>,
    /// To prove to be there.
    confirmations: Mutex<Waiting<UserId, Challenge>>,
    /// To sign in without a name; each is the client's at this address.
    discoveries: Mutex<Waiting<IpAddr, Challenge>>,
    code_tries: Mutex<CodeTries>,
}

/// A sign-in whose password was right, and that wants a second factor.
#[derive(Debug)]
struct PendingSignIn {
    user: UserId,
    /// The hash of the password that was right: another one in its place ends this.
    password_hash: String,
    challenge: Option<Challenge>,
}

/// What a second sign-in step is about.
pub(in crate::api) struct Pending {
    /// Names this sign-in.
    pub token: Secret,
    /// What a passkey is to sign, if the user has one.
    pub passkey_options: Option<Value>,
}

/// What a user proved to be there with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Factor {
    /// A code of an authenticator app.
    Code,
    /// A recovery code, which is used up.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

impl Factor {
    /// What the log says of it.
    pub(in crate::api) fn told(self) -> &'static str {
        match self {
            Self::Code => "with a code",
            Self::RecoveryCode => "with a recovery code",
            Self::Passkey => "with a passkey",
        }
    }
}

/// What comes as a second factor.
#[derive(Debug)]
pub(in crate::api) enum Offered {
    /// Of an authenticator app, or a recovery code.
    Code(String),
    /// A passkey's answer.
    Passkey(Value),
}

impl Factors {
    pub(super) fn new(doors: &Doors) -> Self {
        Self {
            passkeys: Passkeys::of(doors.public_base_url.as_ref(), doors.address),
            sign_ins: Mutex::default(),
            totps: Mutex::default(),
            registrations: Mutex::default(),
            confirmations: Mutex::default(),
            discoveries: Mutex::default(),
            code_tries: Mutex::default(),
        }
    }

    /// Nothing that this user began goes on.
    pub(super) fn forget(&self, user: UserId) {
        lock(&self.sign_ins).forget(&user);
        lock(&self.totps).forget(&user);
        lock(&self.registrations).forget(&user);
        lock(&self.confirmations).forget(&user);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signing in.
impl Gatehouse {
    /// Lets a sign-in whose password was right wait for its second factor.
    pub(in crate::api) async fn ask_for_factor(&self, user: &User) -> Result<Pending, ApiError> {
        let (_, password_hash) = self.credentials_of(user).await?;
        let (passkey_options, challenge) = self.challenge_to(user.id).await?.unzip();
        let pending = PendingSignIn {
            user: user.id,
            password_hash,
            challenge,
        };
        let token = lock(&self.0.factors.sign_ins).put(user.id, pending, clock::now());
        Ok(Pending {
            token,
            passkey_options,
        })
    }

    /// Ends a sign-in that waited, with the second factor; who it is, and what the factor was.
    pub(in crate::api) async fn finish_sign_in(
        &self,
        token: &str,
        offered: Offered,
        now: UtcTime,
    ) -> Result<(User, Factor), ApiError> {
        let user = {
            let mut sign_ins = lock(&self.0.factors.sign_ins);
            let pending = sign_ins.attempt(token, clock::now());
            pending
                .map(|pending| pending.user)
                .ok_or_else(sign_in_again)?
        };
        // What a passkey was to sign is good for one answer.
        let factor = match offered {
            Offered::Code(code) => self.use_code(user, &code, now).await?,
            Offered::Passkey(answer) => {
                let found = lock(&self.0.factors.sign_ins).take(token, clock::now());
                let pending = found.ok_or_else(sign_in_again)?;
                let challenge = pending.challenge.ok_or_else(wrong_factor)?;
                let answer = Assertion::read(answer).map_err(wrong_answer)?;
                self.check_passkey(&answer, challenge, Some(user), now)
                    .await?;
                let user = self.still_the_same(user, &pending.password_hash).await?;
                return Ok((user, Factor::Passkey));
            }
        };
        let found = lock(&self.0.factors.sign_ins).take(token, clock::now());
        let pending = found.ok_or_else(sign_in_again)?;
        let user = self.still_the_same(user, &pending.password_hash).await?;
        Ok((user, factor))
    }

    /// What a passkey is to sign so that its user is signed in without a password: the token that
    /// comes back with it, and the options for the browser.
    pub(in crate::api) fn discover(&self, from: IpAddr) -> Result<(Secret, Value), ApiError> {
        let (options, challenge) = self.passkeys()?.challenge_any().map_err(unusable)?;
        let token = lock(&self.0.factors.discoveries).put(from, challenge, clock::now());
        Ok((token, options))
    }

    /// Who signs in with a passkey alone.
    pub(in crate::api) async fn discovered(
        &self,
        token: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<User, ApiError> {
        let found = lock(&self.0.factors.discoveries).take(token, clock::now());
        let challenge = found.ok_or_else(sign_in_again)?;
        let answer = Assertion::read(answer).map_err(wrong_answer)?;
        let user = self.check_passkey(&answer, challenge, None, now).await?;
        let user = self.0.store.user(user).await?;
        user.ok_or_else(wrong_factor)
    }

    /// Whether the user is still there, with the password that began the sign-in.
    async fn still_the_same(&self, user: UserId, password_hash: &str) -> Result<User, ApiError> {
        let user = self.0.store.user(user).await?.ok_or_else(sign_in_again)?;
        let (user, kept) = self.credentials_of(&user).await?;
        if kept == password_hash {
            Ok(user)
        } else {
            Err(sign_in_again())
        }
    }

    async fn credentials_of(&self, user: &User) -> Result<(User, String), ApiError> {
        let found = self.0.store.credentials(&user.name).await?;
        found.ok_or_else(sign_in_again)
    }
}

/// Checking.
impl Gatehouse {
    /// Checks a code of the user's authenticator app, or a recovery code, and uses it up.
    pub(in crate::api) async fn use_code(
        &self,
        user: UserId,
        text: &str,
        now: UtcTime,
    ) -> Result<Factor, ApiError> {
        let text = text.trim();
        let digits: String = text.chars().filter(|c| *c != ' ').take(7).collect();
        if totp::is_code(&digits) {
            lock(&self.0.factors.code_tries).knock(user, clock::now())?;
            let kept = self.0.store.totp(user).await?;
            let secret = kept.and_then(|kept| TotpSecret::from_bytes(&kept.secret));
            let step = secret.and_then(|secret| secret.step_of(&digits, now));
            if let Some(step) = step
                && self.0.store.use_totp_step(user, step).await?
            {
                return Ok(Factor::Code);
            }
        } else if let Some(code) = RecoveryCode::parse(text)
            && self.0.store.use_recovery_code(user, &code.hash()).await?
        {
            return Ok(Factor::RecoveryCode);
        }
        Err(wrong_factor())
    }

    /// What one of the user's passkeys is to sign, if there are any.
    async fn challenge_to(&self, user: UserId) -> Result<Option<(Value, Challenge)>, ApiError> {
        let Ok(passkeys) = &self.0.factors.passkeys else {
            return Ok(None);
        };
        let kept = self.0.store.passkeys(user).await?;
        if kept.is_empty() {
            return Ok(None);
        }
        let kept: Vec<&str> = kept.iter().map(|one| one.credential.as_str()).collect();
        Ok(Some(passkeys.challenge(&kept).map_err(unusable)?))
    }

    /// Checks a passkey's answer; whose it is. `of` is whose it has to be, if that is known.
    async fn check_passkey(
        &self,
        answer: &Assertion,
        challenge: Challenge,
        of: Option<UserId>,
        now: UtcTime,
    ) -> Result<UserId, ApiError> {
        let kept = self.0.store.passkey(answer.credential_id()).await?;
        let kept = kept.ok_or_else(wrong_factor)?;
        let handle = answer.user_handle();
        let is_right_user = match of {
            Some(user) => kept.user_id == user && handle.is_none_or(|h| h == kept.user_handle),
            // Who it is must be signed for.
            None => handle == Some(&kept.user_handle[..]),
        };
        if !is_right_user {
            return Err(wrong_factor());
        }
        let verified = self.passkeys()?.verify(answer, challenge, &kept.credential);
        let is = verified.map_err(wrong_answer)?;
        let used = self
            .0
            .store
            .use_passkey(kept.id, &kept.credential, &is, now);
        if used.await? {
            Ok(kept.user_id)
        } else {
            Err(wrong_factor())
        }
    }

    /// What one of the user's passkeys is to sign to prove that the user is there.
    pub(in crate::api) async fn ask_to_confirm(
        &self,
        user: UserId,
    ) -> Result<(Secret, Value), ApiError> {
        self.passkeys()?;
        let begun = self.challenge_to(user).await?;
        let (options, challenge) = begun.ok_or_else(|| {
            let message = "you have no passkey: confirm with your password";
            ApiError::new(StatusCode::CONFLICT, "no_passkeys", message)
        })?;
        let token = lock(&self.0.factors.confirmations).put(user, challenge, clock::now());
        Ok((token, options))
    }

    /// Whether a passkey of the user signed what [`ask_to_confirm`](Self::ask_to_confirm) gave.
    pub(in crate::api) async fn confirm_with_passkey(
        &self,
        user: UserId,
        token: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<(), ApiError> {
        let found = lock(&self.0.factors.confirmations).take(token, clock::now());
        let challenge = found.ok_or_else(wrong_factor)?;
        let answer = Assertion::read(answer).map_err(wrong_answer)?;
        self.check_passkey(&answer, challenge, Some(user), now)
            .await?;
        Ok(())
    }
}

/// Setting up.
impl Gatehouse {
    /// The host name that passkeys are good for, or why there are none.
    pub(in crate::api) fn passkey_host(&self) -> Result<&str, NoPasskeys> {
        let passkeys = self.0.factors.passkeys.as_ref();
        passkeys.map(Passkeys::host).map_err(|why| *why)
    }

    /// The same, if anybody has one.
    pub(in crate::api) async fn host_of_passkeys(&self) -> Result<Option<String>, ApiError> {
        match self.passkey_host() {
            Ok(host) if self.0.store.has_passkeys().await? => Ok(Some(host.to_owned())),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn passkeys(&self) -> Result<&Passkeys, ApiError> {
        self.0.factors.passkeys.as_ref().map_err(|why| {
            ApiError::new(
                StatusCode::CONFLICT,
                "passkeys_not_offered",
                why.to_string(),
            )
        })
    }

    /// Begins to set an authenticator app up; the token finds the secret again.
    pub(in crate::api) fn begin_totp(&self, user: UserId) -> (Secret, TotpSecret) {
        let secret = TotpSecret::random();
        let token = lock(&self.0.factors.totps).put(user, secret.clone(), clock::now());
        (token, secret)
    }

    /// Keeps the secret of an authenticator app that gave a right code; the recovery codes, if the
    /// user had none.
    pub(in crate::api) async fn finish_totp(
        &self,
        user: UserId,
        token: &str,
        code: &str,
        now: UtcTime,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let code: String = code
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(7)
            .collect();
        let over = || {
            let message = "this was begun too long ago, or tried too often: begin again";
            ApiError::new(StatusCode::CONFLICT, "begin_again", message)
        };
        let secret = {
            let mut totps = lock(&self.0.factors.totps);
            totps
                .attempt(token, clock::now())
                .cloned()
                .ok_or_else(over)?
        };
        let step = secret.step_of(&code, now).ok_or_else(wrong_factor)?;
        // Who takes it is the one who keeps it.
        lock(&self.0.factors.totps)
            .take(token, clock::now())
            .ok_or_else(over)?;
        let (codes, hashes) = recovery_codes();
        let given = self
            .0
            .store
            .set_totp(user, secret.bytes(), step, &hashes, now);
        let given = given.await?;
        Ok(given.then_some(codes))
    }

    /// Begins to make a passkey: the token that comes back with it, and the options for the browser.
    pub(in crate::api) async fn begin_passkey(
        &self,
        user: &User,
    ) -> Result<(Secret, Value), ApiError> {
        let passkeys = self.passkeys()?;
        let kept = self.0.store.passkeys(user.id).await?;
        let handle = kept
            .first()
            .and_then(|first| first.user_handle[..].try_into().ok());
        let known: Vec<&str> = kept.iter().map(|one| one.credential.as_str()).collect();
        let begun = passkeys.register(&user.name, handle, &known);
        let (options, registration) = begun.map_err(unusable)?;
        let token = lock(&self.0.factors.registrations).put(user.id, registration, clock::now());
        Ok((token, options))
    }

    /// Keeps a passkey that the browser has made; the recovery codes, if the user had none.
    pub(in crate::api) async fn finish_passkey(
        &self,
        user: UserId,
        token: &str,
        name: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<(Passkey, Option<Vec<String>>), ApiError> {
        let found = lock(&self.0.factors.registrations).take(token, clock::now());
        let registration = found.ok_or_else(|| {
            let message = "this was begun too long ago, or is done: begin again";
            ApiError::new(StatusCode::CONFLICT, "begin_again", message)
        })?;
        let made = self.passkeys()?.registered(answer, &registration);
        let made = made.map_err(wrong_answer)?;
        let (codes, hashes) = recovery_codes();
        let new = NewPasskey {
            user,
            credential_id: &made.id,
            user_handle: &registration.user_handle,
            name,
            credential: &made.json,
        };
        let (passkey, given) = self.0.store.add_passkey(&new, &hashes, now).await?;
        Ok((passkey, given.then_some(codes)))
    }

    /// New recovery codes in place of the user's old ones.
    pub(in crate::api) async fn renew_recovery_codes(
        &self,
        user: UserId,
    ) -> Result<Vec<String>, ApiError> {
        let (codes, hashes) = recovery_codes();
        self.0.store.replace_recovery_codes(user, &hashes).await?;
        Ok(codes)
    }

    /// Takes every second factor of a user away. `false`: there was none.
    pub(in crate::api) async fn reset_factors(&self, user: UserId) -> Result<bool, ApiError> {
        let reset = self.0.store.reset_factors(user).await?;
        self.0.factors.forget(user);
        self.revoke();
        Ok(reset)
    }
}

/// Recovery codes as they are shown, and as they are kept.
fn recovery_codes() -> (Vec<String>, Vec<SecretHash>) {
    let codes = (0..recovery::CODES).map(|_| RecoveryCode::random());
    codes.map(|code| (code.expose(), code.hash())).unzip()
}

/// 401: the first step is worth nothing any more.
fn sign_in_again() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "sign_in_again",
        "this sign-in took too long, or was tried too often: begin again",
    )
}

/// 403: the second factor is not right.
fn wrong_factor() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "wrong_code",
        "the code or passkey is not right; a code is good once, and for a minute: try the next one",
    )
}

/// 403: the same, of a passkey's answer; the log says why.
fn wrong_answer(error: PasskeyError) -> ApiError {
    match error {
        PasskeyError::Damaged(_) => ApiError::internal(error),
        PasskeyError::Unreadable(_) | PasskeyError::Refused(_) => {
            tracing::warn!("passkey refused: {error}");
            wrong_factor()
        }
    }
}

fn unusable(error: PasskeyError) -> ApiError {
    ApiError::internal(error)
}
