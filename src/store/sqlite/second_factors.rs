//! Second factors: authenticator apps, passkeys, recovery codes.

use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::clock::UtcTime;
use crate::ids::UserId;
use crate::limits;
use crate::store::error::StoreError;
use crate::store::{NewPasskey, Passkey, TotpRecord};

#[derive(sqlx::FromRow)]
struct PasskeyRow {
    id: i64,
    user_id: i64,
    user_handle: Vec<u8>,
    name: String,
    credential: String,
    created_at: i64,
    used_at: Option<i64>,
}

impl PasskeyRow {
    fn into_passkey(self) -> Passkey {
        Passkey {
            id: self.id,
            user_id: UserId(self.user_id),
            user_handle: self.user_handle,
            name: self.name,
            credential: self.credential,
            created_at: UtcTime::from_millis(self.created_at),
            used_at: self.used_at.map(UtcTime::from_millis),
        }
    }
}

async fn delete_recovery_codes(
    transaction: &mut SqliteConnection,
    user: UserId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM recovery_codes WHERE user_id = ?")
        .bind(user.0)
        .execute(transaction)
        .await?;
    Ok(())
}

async fn insert_recovery_codes(
    transaction: &mut SqliteConnection,
    user: UserId,
    codes: &[[u8; 32]],
) -> Result<(), StoreError> {
    for code in codes {
        sqlx::query("INSERT INTO recovery_codes (user_id, hash) VALUES (?, ?)")
            .bind(user.0)
            .bind(&code[..])
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

async fn count_recovery_codes(
    connection: &mut SqliteConnection,
    user: UserId,
) -> Result<u32, StoreError> {
    let left = sqlx::query_scalar("SELECT count(*) FROM recovery_codes WHERE user_id = ?");
    Ok(left.bind(user.0).fetch_one(connection).await?)
}

/// Stores recovery codes for a user who has none. Returns whether they were stored.
async fn insert_codes_if_none(
    transaction: &mut SqliteConnection,
    user: UserId,
    codes: &[[u8; 32]],
) -> Result<bool, StoreError> {
    if count_recovery_codes(transaction, user).await? > 0 {
        return Ok(false);
    }
    insert_recovery_codes(transaction, user, codes).await?;
    Ok(true)
}

/// Deletes the recovery codes of a user without a second factor: they only replace one.
async fn delete_orphaned_codes(
    transaction: &mut SqliteConnection,
    user: UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM recovery_codes WHERE user_id = ?1 \
         AND NOT EXISTS (SELECT 1 FROM totp WHERE user_id = ?1) \
         AND NOT EXISTS (SELECT 1 FROM passkeys WHERE user_id = ?1)",
    )
    .bind(user.0)
    .execute(transaction)
    .await?;
    Ok(())
}

impl SqliteStore {
    pub(in crate::store) async fn totp(
        &self,
        user: UserId,
    ) -> Result<Option<TotpRecord>, StoreError> {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT secret, created_at FROM totp WHERE user_id = ?")
                .bind(user.0)
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.map(|(secret, created_at)| TotpRecord {
            secret,
            created_at: UtcTime::from_millis(created_at),
        }))
    }

    pub(in crate::store) async fn set_totp(
        &self,
        user: UserId,
        secret: &[u8],
        step: u64,
        codes: &[[u8; 32]],
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let set = sqlx::query(
            "INSERT INTO totp (user_id, secret, last_step, created_at) \
             SELECT id, ?2, ?3, ?4 FROM users WHERE id = ?1 \
             ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, \
             last_step = excluded.last_step, created_at = excluded.created_at",
        )
        .bind(user.0)
        .bind(secret)
        .bind(step as i64)
        .bind(now.millis())
        .execute(&mut *transaction)
        .await?;
        if set.rows_affected() == 0 {
            return Err(StoreError::NoSuchUser);
        }
        let given = insert_codes_if_none(&mut transaction, user, codes).await?;
        transaction.commit().await?;
        Ok(given)
    }

    pub(in crate::store) async fn use_totp_step(
        &self,
        user: UserId,
        step: u64,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE totp SET last_step = ?2 WHERE user_id = ?1 AND last_step < ?2")
                .bind(user.0)
                .bind(step as i64)
                .execute(&self.writer)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn remove_totp(&self, user: UserId) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let removed = sqlx::query("DELETE FROM totp WHERE user_id = ?")
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        delete_orphaned_codes(&mut transaction, user).await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    pub(in crate::store) async fn recovery_codes_left(
        &self,
        user: UserId,
    ) -> Result<u32, StoreError> {
        count_recovery_codes(&mut *self.readers.acquire().await?, user).await
    }

    pub(in crate::store) async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        delete_recovery_codes(&mut transaction, user).await?;
        insert_recovery_codes(&mut transaction, user, codes).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn use_recovery_code(
        &self,
        user: UserId,
        code: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?")
            .bind(user.0)
            .bind(&code[..])
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn reset_second_factors(
        &self,
        user: UserId,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let mut removed = 0;
        for table in [
            "DELETE FROM totp WHERE user_id = ?",
            "DELETE FROM passkeys WHERE user_id = ?",
        ] {
            let done = sqlx::query(table)
                .bind(user.0)
                .execute(&mut *transaction)
                .await?;
            removed += done.rows_affected();
        }
        delete_recovery_codes(&mut transaction, user).await?;
        transaction.commit().await?;
        Ok(removed > 0)
    }
}

impl SqliteStore {
    pub(in crate::store) async fn add_passkey(
        &self,
        new: &NewPasskey<'_>,
        codes: &[[u8; 32]],
        now: UtcTime,
    ) -> Result<(Passkey, bool), StoreError> {
        let mut transaction = self.begin_write().await?;
        let passkeys: u32 = sqlx::query_scalar("SELECT count(*) FROM passkeys WHERE user_id = ?")
            .bind(new.user.0)
            .fetch_one(&mut *transaction)
            .await?;
        if passkeys >= limits::PASSKEYS_PER_USER_MAX {
            let (what, max) = (
                "passkeys of one user",
                limits::PASSKEYS_PER_USER_MAX as usize,
            );
            return Err(StoreError::TooMany { what, max });
        }
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO passkeys (user_id, credential_id, user_handle, name, credential, created_at) \
             SELECT id, ?, ?, ?, ?, ? FROM users WHERE id = ? \
             ON CONFLICT (credential_id) DO NOTHING RETURNING id",
        )
        .bind(new.credential_id)
        .bind(new.user_handle)
        .bind(new.name)
        .bind(new.credential)
        .bind(now.millis())
        .bind(new.user.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let id = id.ok_or(crate::store::StoreConflict::PasskeyExists)?;
        let given = insert_codes_if_none(&mut transaction, new.user, codes).await?;
        transaction.commit().await?;
        let passkey = Passkey {
            id,
            user_id: new.user,
            user_handle: new.user_handle.to_vec(),
            name: new.name.to_owned(),
            credential: new.credential.to_owned(),
            created_at: now,
            used_at: None,
        };
        Ok((passkey, given))
    }

    pub(in crate::store) async fn has_passkeys(&self) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM passkeys LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        Ok(found.is_some())
    }

    pub(in crate::store) async fn passkeys(
        &self,
        user: UserId,
    ) -> Result<Vec<Passkey>, StoreError> {
        let rows: Vec<PasskeyRow> = sqlx::query_as(
            "SELECT id, user_id, user_handle, name, credential, created_at, used_at \
             FROM passkeys WHERE user_id = ? ORDER BY id",
        )
        .bind(user.0)
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(PasskeyRow::into_passkey).collect())
    }

    pub(in crate::store) async fn passkey(
        &self,
        credential_id: &[u8],
    ) -> Result<Option<Passkey>, StoreError> {
        let row: Option<PasskeyRow> = sqlx::query_as(
            "SELECT id, user_id, user_handle, name, credential, created_at, used_at \
             FROM passkeys WHERE credential_id = ?",
        )
        .bind(credential_id)
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(PasskeyRow::into_passkey))
    }

    pub(in crate::store) async fn use_passkey(
        &self,
        id: i64,
        was: &str,
        is: &str,
        now: UtcTime,
    ) -> Result<bool, StoreError> {
        let used = sqlx::query(
            "UPDATE passkeys SET credential = ?, used_at = ? WHERE id = ? AND credential = ?",
        )
        .bind(is)
        .bind(now.millis())
        .bind(id)
        .bind(was)
        .execute(&self.writer)
        .await?;
        Ok(used.rows_affected() > 0)
    }

    pub(in crate::store) async fn remove_passkey(
        &self,
        id: i64,
        user: UserId,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let removed = sqlx::query("DELETE FROM passkeys WHERE id = ? AND user_id = ?")
            .bind(id)
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        delete_orphaned_codes(&mut transaction, user).await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}
