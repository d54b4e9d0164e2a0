//! The verbs for what signing in takes beside the password.

use tracing::Instrument;

use super::{
    Backend, NewPasskey, Passkey, Store, StoreError, TotpRecord, check_length, run_within_limit,
};
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::limits;
use crate::telemetry::SPAN_TARGET;

/// Second factors; hashes are SHA-256 of recovery codes. A user who has none gets recovery codes with
/// the first factor, and loses them with the last.
impl Store {
    /// The user's authenticator app.
    pub async fn totp(&self, user: UserId) -> Result<Option<TotpRecord>, StoreError> {
        timed_query!(self, totp(user))
    }

    /// Sets an authenticator app up, in place of one that was; its code of `step` is used. Whether the
    /// user gets these recovery codes: there were none. [`StoreError::NoSuchUser`].
    pub async fn set_totp(
        &self,
        user: UserId,
        secret: &[u8],
        step: u64,
        codes: &[[u8; 32]],
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, set_totp(user, secret, step, codes, now))
    }

    /// Uses the code of a step up, and those of earlier ones. `false`: it was used already.
    pub async fn use_totp_step(&self, user: UserId, step: u64) -> Result<bool, StoreError> {
        timed_query!(self, use_totp_step(user, step))
    }

    /// Takes the user's authenticator app away. `false`: there was none.
    pub async fn remove_totp(&self, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_totp(user))
    }

    /// Keeps a passkey, and whether the user gets these recovery codes: there were none. A passkey
    /// that somebody has already is [`PasskeyExists`](super::StoreConflict::PasskeyExists).
    pub async fn add_passkey(
        &self,
        new: &NewPasskey<'_>,
        codes: &[[u8; 32]],
        now: UtcTime,
    ) -> Result<(Passkey, bool), StoreError> {
        check_length("the name", new.name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, add_passkey(new, codes, now))
    }

    /// Whether anybody has a passkey.
    pub async fn has_passkeys(&self) -> Result<bool, StoreError> {
        timed_query!(self, has_passkeys())
    }

    /// The user's passkeys, the oldest first.
    pub async fn passkeys(&self, user: UserId) -> Result<Vec<Passkey>, StoreError> {
        timed_query!(self, passkeys(user))
    }

    /// The passkey that a device calls so.
    pub async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        timed_query!(self, passkey(credential_id))
    }

    /// A passkey was used: what is kept of it becomes `is`. `false`: it is not `was` any more, for it
    /// was used or taken away meanwhile.
    pub async fn use_passkey(
        &self,
        id: i64,
        was: &str,
        is: &str,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, use_passkey(id, was, is, now))
    }

    /// Takes a passkey away. `false`: this user has no such passkey.
    pub async fn remove_passkey(&self, id: i64, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_passkey(id, user))
    }

    /// How many recovery codes of the user are good.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<u32, StoreError> {
        timed_query!(self, recovery_codes_left(user))
    }

    /// Gives the user these recovery codes in place of all others.
    pub async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        timed_query!(self, replace_recovery_codes(user, codes))
    }

    /// Uses a recovery code up. `false`: this user has no such code.
    pub async fn use_recovery_code(
        &self,
        user: UserId,
        code: &[u8; 32],
    ) -> Result<bool, StoreError> {
        timed_query!(self, use_recovery_code(user, code))
    }

    /// Takes every second factor of the user away, and the recovery codes. `false`: there was none.
    pub async fn reset_second_factors(&self, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, "reset_factors" => reset_second_factors(user))
    }
}
