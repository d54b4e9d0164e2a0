//! Operations on second factors.

use tracing::Instrument;

use super::{
    Backend, NewPasskey, Passkey, Store, StoreError, TotpRecord, check_length, run_within_limit,
};
use crate::clock::{self, UtcTime};
use crate::ids::UserId;
use crate::limits;
use crate::telemetry::SPAN_TARGET;

/// Second factors; hashes are SHA-256 of recovery codes. A user gets recovery codes with the first factor,
/// and loses them with the last.
impl Store {
    /// Returns the user's authenticator app.
    pub async fn totp(&self, user: UserId) -> Result<Option<TotpRecord>, StoreError> {
        timed_query!(self, totp(user))
    }

    /// Sets the user's authenticator app, replacing an existing one; its code of `step` counts as used.
    /// Returns whether `codes` were stored, which happens if the user had no recovery codes. Returns
    /// [`StoreError::NoSuchUser`].
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

    /// Marks the codes up to `step` as used. Returns `false` if the code of `step` was used before.
    pub async fn use_totp_step(&self, user: UserId, step: u64) -> Result<bool, StoreError> {
        timed_query!(self, use_totp_step(user, step))
    }

    /// Removes the user's authenticator app. Returns `false` if there was none.
    pub async fn remove_totp(&self, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_totp(user))
    }

    /// Stores a passkey. Returns it, and whether `codes` were stored, which happens if the user had no
    /// recovery codes. Returns [`PasskeyExists`](super::StoreConflict::PasskeyExists) if the passkey is
    /// registered to any user.
    pub async fn add_passkey(
        &self,
        new: &NewPasskey<'_>,
        codes: &[[u8; 32]],
        now: UtcTime,
    ) -> Result<(Passkey, bool), StoreError> {
        check_length("the name", new.name, limits::NAME_BYTES_MAX)?;
        timed_query!(self, add_passkey(new, codes, now))
    }

    /// Whether any user has a passkey.
    pub async fn has_passkeys(&self) -> Result<bool, StoreError> {
        timed_query!(self, has_passkeys())
    }

    /// Returns the user's passkeys, oldest first.
    pub async fn passkeys(&self, user: UserId) -> Result<Vec<Passkey>, StoreError> {
        timed_query!(self, passkeys(user))
    }

    /// Returns the passkey with this credential ID.
    pub async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        timed_query!(self, passkey(credential_id))
    }

    /// Stores the use of a passkey: replaces its credential `was` by `is`. Returns `false` if the credential
    /// is no longer `was`, because the passkey was used or removed in the meantime.
    pub async fn use_passkey(
        &self,
        id: i64,
        was: &str,
        is: &str,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        timed_query!(self, use_passkey(id, was, is, now))
    }

    /// Removes a passkey. Returns `false` if this user has no such passkey.
    pub async fn remove_passkey(&self, id: i64, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, remove_passkey(id, user))
    }

    /// Returns the number of the user's unused recovery codes.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<u32, StoreError> {
        timed_query!(self, recovery_codes_left(user))
    }

    /// Replaces all recovery codes of the user.
    pub async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        timed_query!(self, replace_recovery_codes(user, codes))
    }

    /// Consumes a recovery code. Returns `false` if this user has no such code.
    pub async fn use_recovery_code(
        &self,
        user: UserId,
        code: &[u8; 32],
    ) -> Result<bool, StoreError> {
        timed_query!(self, use_recovery_code(user, code))
    }

    /// Removes all second factors and recovery codes of the user. Returns `false` if there was no factor.
    pub async fn reset_second_factors(&self, user: UserId) -> Result<bool, StoreError> {
        timed_query!(self, "reset_factors" => reset_second_factors(user))
    }
}
