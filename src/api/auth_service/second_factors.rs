//! Second factors in the authentication service: sign-ins that wait for one, authenticator apps and
//! passkeys that are being set up, and the verification of codes and assertions. Pending flows are
//! kept in memory: after a restart the user enters the password again.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde_json::Value;

use super::AuthService;
use crate::access::passkeys::{
    PasskeyAssertion, PasskeyChallenge, PasskeyError, PasskeyVerifier, PasskeysUnavailable,
    RegistrationChallenge,
};
use crate::access::pending_flows::PendingFlows;
use crate::access::recovery_codes::{self, RecoveryCode};
use crate::access::secret::{Secret, SecretHash};
use crate::access::totp::{self, TotpSecret};
use crate::access::totp_rate_limit::TotpRateLimiter;
use crate::api::ApiError;
use crate::clock::{self, UtcTime};
use crate::config::EndpointConfig;
use crate::ids::UserId;
use crate::store::{NewPasskey, Passkey, User};

/// Pending flows, and the verifiers of second factors.
pub(super) struct SecondFactors {
    passkeys: Result<PasskeyVerifier, PasskeysUnavailable>,
    sign_ins: Mutex<PendingFlows<UserId, PendingSignIn>>,
    totps: Mutex<PendingFlows<UserId, TotpSecret>>,
    registrations: Mutex<PendingFlows<UserId, RegistrationChallenge>>,
    /// Passkey challenges that confirm the user's identity.
    confirmations: Mutex<PendingFlows<UserId, PasskeyChallenge>>,
    /// Challenges of sign-ins without a name, owned by the client's address.
    discoveries: Mutex<PendingFlows<IpAddr, PasskeyChallenge>>,
    totp_rate_limiter: Mutex<TotpRateLimiter>,
}

/// A sign-in with a correct password that waits for a second factor.
#[derive(Debug)]
struct PendingSignIn {
    user: UserId,
    /// The hash of the password that was verified. A changed password ends the sign-in.
    password_hash: String,
    challenge: Option<PasskeyChallenge>,
}

/// The second step of a sign-in.
pub(in crate::api) struct SecondFactorPrompt {
    /// Identifies this sign-in.
    pub token: Secret,
    /// The request options for a passkey, if the user has one.
    pub passkey_options: Option<Value>,
}

/// The kind of proof that identified a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum FactorKind {
    /// A code of an authenticator app.
    Code,
    /// A recovery code, which is consumed.
    RecoveryCode,
    Passkey,
}

impl FactorKind {
    /// Returns the detail for the audit log.
    pub(in crate::api) fn log_text(self) -> &'static str {
        match self {
            Self::Code => "with a code",
            Self::RecoveryCode => "with a recovery code",
            Self::Passkey => "with a passkey",
        }
    }
}

/// A second factor that a client sent.
#[derive(Debug)]
pub(in crate::api) enum FactorProof {
    /// A code of an authenticator app, or a recovery code.
    Code(String),
    /// A passkey's assertion.
    Passkey(Value),
}

impl SecondFactors {
    pub(super) fn new(endpoint: &EndpointConfig) -> Self {
        Self {
            passkeys: PasskeyVerifier::of(endpoint.public_base_url.as_ref(), endpoint.address),
            sign_ins: Mutex::default(),
            totps: Mutex::default(),
            registrations: Mutex::default(),
            confirmations: Mutex::default(),
            discoveries: Mutex::default(),
            totp_rate_limiter: Mutex::default(),
        }
    }

    /// Cancels every pending flow of this user.
    pub(super) fn cancel_all(&self, user: UserId) {
        lock(&self.sign_ins).remove_owner(&user);
        lock(&self.totps).remove_owner(&user);
        lock(&self.registrations).remove_owner(&user);
        lock(&self.confirmations).remove_owner(&user);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sign-in.
impl AuthService {
    /// Stores a sign-in with a correct password until its second factor arrives.
    pub(in crate::api) async fn begin_second_factor(
        &self,
        user: &User,
    ) -> Result<SecondFactorPrompt, ApiError> {
        let (_, password_hash) = self.credentials_of(user).await?;
        let (passkey_options, challenge) = self.challenge_user_passkeys(user.id).await?.unzip();
        let pending = PendingSignIn {
            user: user.id,
            password_hash,
            challenge,
        };
        let token = lock(&self.0.second_factors.sign_ins).insert(user.id, pending, clock::now());
        Ok(SecondFactorPrompt {
            token,
            passkey_options,
        })
    }

    /// Completes a pending sign-in with a second factor. Returns the user and the kind of the
    /// factor. 401 (`sign_in_again`) when the sign-in has expired; 403 (`wrong_code`) when the
    /// factor is wrong.
    pub(in crate::api) async fn finish_sign_in(
        &self,
        token: &str,
        factor_proof: FactorProof,
        now: UtcTime,
    ) -> Result<(User, FactorKind), ApiError> {
        let user = {
            let mut sign_ins = lock(&self.0.second_factors.sign_ins);
            let pending = sign_ins.try_access(token, clock::now());
            pending
                .map(|pending| pending.user)
                .ok_or_else(sign_in_expired)?
        };
        // A passkey challenge accepts one answer.
        let factor = match factor_proof {
            FactorProof::Code(code) => self.consume_code(user, &code, now).await?,
            FactorProof::Passkey(answer) => {
                let found = lock(&self.0.second_factors.sign_ins).take(token, clock::now());
                let pending = found.ok_or_else(sign_in_expired)?;
                let challenge = pending.challenge.ok_or_else(wrong_factor_error)?;
                let answer = PasskeyAssertion::parse(answer).map_err(rejected_passkey)?;
                self.check_passkey(&answer, challenge, Some(user), now)
                    .await?;
                let user = self
                    .require_unchanged_password(user, &pending.password_hash)
                    .await?;
                return Ok((user, FactorKind::Passkey));
            }
        };
        let found = lock(&self.0.second_factors.sign_ins).take(token, clock::now());
        let pending = found.ok_or_else(sign_in_expired)?;
        let user = self
            .require_unchanged_password(user, &pending.password_hash)
            .await?;
        Ok((user, factor))
    }

    /// Starts a sign-in without name and password. Returns the token that the client sends back
    /// with the passkey's assertion, and the request options for the browser.
    pub(in crate::api) fn begin_passkey_sign_in(
        &self,
        from: IpAddr,
    ) -> Result<(Secret, Value), ApiError> {
        let (options, challenge) = self
            .passkeys()?
            .begin_discoverable_authentication()
            .map_err(passkeys_unusable)?;
        let token = lock(&self.0.second_factors.discoveries).insert(from, challenge, clock::now());
        Ok((token, options))
    }

    /// Completes a sign-in with a passkey only. Returns its user.
    pub(in crate::api) async fn finish_passkey_sign_in(
        &self,
        token: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<User, ApiError> {
        let found = lock(&self.0.second_factors.discoveries).take(token, clock::now());
        let challenge = found.ok_or_else(sign_in_expired)?;
        let answer = PasskeyAssertion::parse(answer).map_err(rejected_passkey)?;
        let user = self.check_passkey(&answer, challenge, None, now).await?;
        let user = self.0.store.user(user).await?;
        user.ok_or_else(wrong_factor_error)
    }

    /// Returns the user, if they still exist with the password that started the sign-in.
    async fn require_unchanged_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<User, ApiError> {
        let user = self.0.store.user(user).await?.ok_or_else(sign_in_expired)?;
        let (user, stored) = self.credentials_of(&user).await?;
        if stored == password_hash {
            Ok(user)
        } else {
            Err(sign_in_expired())
        }
    }

    async fn credentials_of(&self, user: &User) -> Result<(User, String), ApiError> {
        let found = self.0.store.credentials(&user.name).await?;
        found.ok_or_else(sign_in_expired)
    }
}

/// Verification.
impl AuthService {
    /// Verifies a code of the user's authenticator app, or a recovery code, and consumes it.
    pub(in crate::api) async fn consume_code(
        &self,
        user: UserId,
        text: &str,
        now: UtcTime,
    ) -> Result<FactorKind, ApiError> {
        let text = text.trim();
        let digits: String = text.chars().filter(|c| *c != ' ').take(7).collect();
        if totp::is_code(&digits) {
            lock(&self.0.second_factors.totp_rate_limiter).check_rate_limit(user, clock::now())?;
            let stored = self.0.store.totp(user).await?;
            let secret = stored.and_then(|stored| TotpSecret::from_bytes(&stored.secret));
            let step = secret.and_then(|secret| secret.matching_step(&digits, now));
            if let Some(step) = step
                && self.0.store.use_totp_step(user, step).await?
            {
                return Ok(FactorKind::Code);
            }
        } else if let Some(code) = RecoveryCode::parse(text)
            && self.0.store.use_recovery_code(user, &code.hash()).await?
        {
            return Ok(FactorKind::RecoveryCode);
        }
        Err(wrong_factor_error())
    }

    /// Creates a challenge for the user's passkeys; `None` when the user has none.
    async fn challenge_user_passkeys(
        &self,
        user: UserId,
    ) -> Result<Option<(Value, PasskeyChallenge)>, ApiError> {
        let Ok(passkeys) = &self.0.second_factors.passkeys else {
            return Ok(None);
        };
        let stored = self.0.store.passkeys(user).await?;
        if stored.is_empty() {
            return Ok(None);
        }
        let stored: Vec<&str> = stored.iter().map(|one| one.credential.as_str()).collect();
        Ok(Some(
            passkeys
                .begin_authentication(&stored)
                .map_err(passkeys_unusable)?,
        ))
    }

    /// Verifies a passkey's assertion, and returns the passkey's user. `of` is the expected user,
    /// if known.
    async fn check_passkey(
        &self,
        answer: &PasskeyAssertion,
        challenge: PasskeyChallenge,
        of: Option<UserId>,
        now: UtcTime,
    ) -> Result<UserId, ApiError> {
        let stored = self.0.store.passkey(answer.credential_id()).await?;
        let stored = stored.ok_or_else(wrong_factor_error)?;
        let handle = answer.user_handle();
        let is_right_user = match of {
            Some(user) => stored.user_id == user && handle.is_none_or(|h| h == stored.user_handle),
            // Without an expected user, the assertion has to include a signed user handle.
            None => handle == Some(&stored.user_handle[..]),
        };
        if !is_right_user {
            return Err(wrong_factor_error());
        }
        let verified =
            self.passkeys()?
                .finish_authentication(answer, challenge, &stored.credential);
        let updated_credential = verified.map_err(rejected_passkey)?;
        let used =
            self.0
                .store
                .use_passkey(stored.id, &stored.credential, &updated_credential, now);
        if used.await? {
            Ok(stored.user_id)
        } else {
            Err(wrong_factor_error())
        }
    }

    /// Creates a challenge for the user's passkeys that confirms the user's identity. 409
    /// (`no_passkeys`) when there are none.
    pub(in crate::api) async fn begin_passkey_confirmation(
        &self,
        user: UserId,
    ) -> Result<(Secret, Value), ApiError> {
        self.passkeys()?;
        let begun = self.challenge_user_passkeys(user).await?;
        let (options, challenge) = begun.ok_or_else(|| {
            let message = "you have no passkey: confirm your identity with your password";
            ApiError::new(StatusCode::CONFLICT, "no_passkeys", message)
        })?;
        let token =
            lock(&self.0.second_factors.confirmations).insert(user, challenge, clock::now());
        Ok((token, options))
    }

    /// Verifies a passkey's answer to the challenge of
    /// [`begin_passkey_confirmation`](Self::begin_passkey_confirmation).
    pub(in crate::api) async fn confirm_with_passkey(
        &self,
        user: UserId,
        token: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<(), ApiError> {
        let found = lock(&self.0.second_factors.confirmations).take(token, clock::now());
        let challenge = found.ok_or_else(wrong_factor_error)?;
        let answer = PasskeyAssertion::parse(answer).map_err(rejected_passkey)?;
        self.check_passkey(&answer, challenge, Some(user), now)
            .await?;
        Ok(())
    }
}

/// Setup.
impl AuthService {
    /// Returns the host name that passkeys are bound to (the relying party), or why there are none.
    pub(in crate::api) fn passkey_host(&self) -> Result<&str, PasskeysUnavailable> {
        let passkeys = self.0.second_factors.passkeys.as_ref();
        passkeys.map(PasskeyVerifier::host).map_err(|why| *why)
    }

    /// Returns [`passkey_host`](Self::passkey_host), if any user has a passkey.
    pub(in crate::api) async fn passkey_host_in_use(&self) -> Result<Option<String>, ApiError> {
        match self.passkey_host() {
            Ok(host) if self.0.store.has_passkeys().await? => Ok(Some(host.to_owned())),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn passkeys(&self) -> Result<&PasskeyVerifier, ApiError> {
        self.0.second_factors.passkeys.as_ref().map_err(|why| {
            ApiError::new(
                StatusCode::CONFLICT,
                "passkeys_not_offered",
                why.to_string(),
            )
        })
    }

    /// Starts the setup of an authenticator app. The token identifies the setup in the second
    /// request.
    pub(in crate::api) fn begin_totp_setup(&self, user: UserId) -> (Secret, TotpSecret) {
        let secret = TotpSecret::random();
        let token = lock(&self.0.second_factors.totps).insert(user, secret.clone(), clock::now());
        (token, secret)
    }

    /// Stores the secret of an authenticator app after its first correct code. Returns new recovery
    /// codes, if the user had none.
    pub(in crate::api) async fn finish_totp_setup(
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
            let message = "this setup was started too long ago, or tried too often: start again";
            ApiError::new(StatusCode::CONFLICT, "begin_again", message)
        };
        let secret = {
            let mut totps = lock(&self.0.second_factors.totps);
            totps
                .try_access(token, clock::now())
                .cloned()
                .ok_or_else(over)?
        };
        let step = secret
            .matching_step(&code, now)
            .ok_or_else(wrong_factor_error)?;
        // Of concurrent requests with a correct code, only the one that takes the flow stores the
        // secret.
        lock(&self.0.second_factors.totps)
            .take(token, clock::now())
            .ok_or_else(over)?;
        let (codes, hashes) = generate_recovery_codes();
        let given = self
            .0
            .store
            .set_totp(user, secret.bytes(), step, &hashes, now);
        let given = given.await?;
        Ok(given.then_some(codes))
    }

    /// Starts the registration of a passkey. Returns the token that the client sends back with the
    /// credential, and the creation options for the browser.
    pub(in crate::api) async fn begin_passkey_registration(
        &self,
        user: &User,
    ) -> Result<(Secret, Value), ApiError> {
        let passkeys = self.passkeys()?;
        let stored = self.0.store.passkeys(user.id).await?;
        let handle = stored
            .first()
            .and_then(|first| first.user_handle[..].try_into().ok());
        let known: Vec<&str> = stored.iter().map(|one| one.credential.as_str()).collect();
        let begun = passkeys.begin_registration(&user.name, handle, &known);
        let (options, registration) = begun.map_err(passkeys_unusable)?;
        let token =
            lock(&self.0.second_factors.registrations).insert(user.id, registration, clock::now());
        Ok((token, options))
    }

    /// Stores a passkey that the browser has created. Returns new recovery codes, if the user had
    /// none.
    pub(in crate::api) async fn finish_passkey_registration(
        &self,
        user: UserId,
        token: &str,
        name: &str,
        answer: Value,
        now: UtcTime,
    ) -> Result<(Passkey, Option<Vec<String>>), ApiError> {
        let found = lock(&self.0.second_factors.registrations).take(token, clock::now());
        let registration = found.ok_or_else(|| {
            let message =
                "this setup was started too long ago, or is already complete: start again";
            ApiError::new(StatusCode::CONFLICT, "begin_again", message)
        })?;
        let made = self.passkeys()?.finish_registration(answer, &registration);
        let made = made.map_err(rejected_passkey)?;
        let (codes, hashes) = generate_recovery_codes();
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

    /// Replaces the user's recovery codes, and returns the new ones.
    pub(in crate::api) async fn renew_recovery_codes(
        &self,
        user: UserId,
    ) -> Result<Vec<String>, ApiError> {
        let (codes, hashes) = generate_recovery_codes();
        self.0.store.replace_recovery_codes(user, &hashes).await?;
        Ok(codes)
    }

    /// Removes every second factor of a user. `false`: there was none.
    pub(in crate::api) async fn reset_second_factors(
        &self,
        user: UserId,
    ) -> Result<bool, ApiError> {
        let reset = self.0.store.reset_second_factors(user).await?;
        self.0.second_factors.cancel_all(user);
        self.notify_revocation();
        Ok(reset)
    }
}

/// Generates recovery codes. Returns them as shown to the user, and their hashes as stored.
fn generate_recovery_codes() -> (Vec<String>, Vec<SecretHash>) {
    let codes = (0..recovery_codes::CODES).map(|_| RecoveryCode::random());
    codes.map(|code| (code.expose(), code.hash())).unzip()
}

/// 401: the first step of the sign-in has expired.
fn sign_in_expired() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "sign_in_again",
        "this sign-in took too long, or was tried too often: start again",
    )
}

/// 403: the second factor is wrong.
fn wrong_factor_error() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "wrong_code",
        "the code or passkey is wrong; each code is valid once, for a minute: try the next one",
    )
}

/// The same for a passkey's assertion; the log reports the reason.
fn rejected_passkey(error: PasskeyError) -> ApiError {
    match error {
        PasskeyError::Damaged(_) => ApiError::internal(error),
        PasskeyError::Unreadable(_) | PasskeyError::Refused(_) => {
            tracing::warn!("passkey refused: {error}");
            wrong_factor_error()
        }
    }
}

fn passkeys_unusable(error: PasskeyError) -> ApiError {
    ApiError::internal(error)
}
