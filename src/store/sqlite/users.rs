//! Users, their sessions and their API tokens.

use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::clock::UtcTime;
use crate::ids::UserId;
use crate::ids::user_name::are_confusable;
use crate::limits;
use crate::store::columns::{decode_enum, decode_json, encode_enum, encode_json};
use crate::store::error::{StoreConflict, StoreError};
use crate::store::{ApiToken, EndedSession, NewSession, Role, Scope, SessionRecord, User};

/// A query for users, as `u`, with additional columns `$more` and the tables and conditions `$rest`.
macro_rules! select_users {
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT u.id AS user_id, u.name AS user_name, u.role, \
             u.created_at AS user_created_at, u.password_is_temporary, \
             EXISTS (SELECT 1 FROM totp WHERE totp.user_id = u.id) \
             OR EXISTS (SELECT 1 FROM passkeys WHERE passkeys.user_id = u.id) \
             AS has_second_factor",
            $more,
            " FROM ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct UserRow {
    user_id: i64,
    user_name: String,
    role: String,
    user_created_at: i64,
    password_is_temporary: bool,
    has_second_factor: bool,
}

impl UserRow {
    fn into_user(self) -> Result<User, StoreError> {
        Ok(User {
            id: UserId(self.user_id),
            name: self.user_name,
            role: decode_enum(&self.role)?,
            created_at: UtcTime::from_millis(self.user_created_at),
            password_is_temporary: self.password_is_temporary,
            has_second_factor: self.has_second_factor,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ApiTokenRow {
    id: i64,
    user_id: i64,
    name: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    used_at: Option<i64>,
}

impl ApiTokenRow {
    fn into_token(self) -> Result<ApiToken, StoreError> {
        Ok(ApiToken {
            id: self.id,
            user_id: UserId(self.user_id),
            name: self.name,
            scopes: decode_json(&self.scopes)?,
            created_at: UtcTime::from_millis(self.created_at),
            expires_at: self.expires_at.map(UtcTime::from_millis),
            used_at: self.used_at.map(UtcTime::from_millis),
        })
    }
}

/// Returns the key by which names are unique: case is ignored.
fn name_key(name: &str) -> String {
    name.to_lowercase()
}

async fn has_users(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM users LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

async fn insert_user(
    transaction: &mut SqliteConnection,
    name: &str,
    password_hash: &str,
    role: Role,
    password_is_temporary: bool,
    now: UtcTime,
) -> Result<User, StoreError> {
    let users: u32 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(&mut *transaction)
        .await?;
    if users >= limits::USERS_MAX {
        let (what, max) = ("users", limits::USERS_MAX as usize);
        return Err(StoreError::TooMany { what, max });
    }
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM users")
        .fetch_all(&mut *transaction)
        .await?;
    if names.iter().any(|taken| are_confusable(taken, name)) {
        return Err(StoreConflict::NameTaken.into());
    }
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO users (name, name_key, password_hash, role, created_at, password_is_temporary) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name_key) DO NOTHING RETURNING id",
    )
    .bind(name)
    .bind(name_key(name))
    .bind(password_hash)
    .bind(encode_enum(&role))
    .bind(now.millis())
    .bind(password_is_temporary)
    .fetch_optional(transaction)
    .await?;
    Ok(User {
        id: UserId(id.ok_or(StoreConflict::NameTaken)?),
        name: name.to_owned(),
        role,
        created_at: now,
        password_is_temporary,
        has_second_factor: false,
    })
}

/// Stores a password's hash, and whether another user chose the password.
async fn set_password(
    transaction: &mut SqliteConnection,
    user: UserId,
    password_hash: &str,
    is_temporary: bool,
) -> Result<(), StoreError> {
    let set =
        sqlx::query("UPDATE users SET password_hash = ?, password_is_temporary = ? WHERE id = ?")
            .bind(password_hash)
            .bind(is_temporary)
            .bind(user.0)
            .execute(transaction)
            .await?;
    match set.rows_affected() {
        0 => Err(StoreError::NoSuchUser),
        _ => Ok(()),
    }
}

/// Deletes a user's sessions, and returns their rows.
async fn delete_sessions(
    transaction: &mut SqliteConnection,
    user: UserId,
) -> Result<Vec<EndedSessionRow>, StoreError> {
    let rows =
        sqlx::query_as("DELETE FROM sessions WHERE user_id = ? RETURNING hash, user_id, phone_tag");
    Ok(rows.bind(user.0).fetch_all(transaction).await?)
}

async fn remove_api_tokens(
    transaction: &mut SqliteConnection,
    user: UserId,
) -> Result<u64, StoreError> {
    let removed = sqlx::query("DELETE FROM api_tokens WHERE user_id = ?")
        .bind(user.0)
        .execute(transaction)
        .await?;
    Ok(removed.rows_affected())
}

/// Returns [`StoreConflict::LastAdmin`] if `user` is the only admin.
async fn require_other_admin(
    transaction: &mut SqliteConnection,
    user: UserId,
) -> Result<(), StoreError> {
    let role: Option<String> = sqlx::query_scalar("SELECT role FROM users WHERE id = ?")
        .bind(user.0)
        .fetch_optional(&mut *transaction)
        .await?;
    let role: Role = decode_enum(&role.ok_or(StoreError::NoSuchUser)?)?;
    if role != Role::Admin {
        return Ok(());
    }
    let others: u32 = sqlx::query_scalar("SELECT count(*) FROM users WHERE role = ? AND id <> ?")
        .bind(encode_enum(&Role::Admin))
        .bind(user.0)
        .fetch_one(transaction)
        .await?;
    if others == 0 {
        return Err(StoreConflict::LastAdmin.into());
    }
    Ok(())
}

impl SqliteStore {
    pub(in crate::store) async fn has_users(&self) -> Result<bool, StoreError> {
        has_users(&mut *self.readers.acquire().await?).await
    }

    pub(in crate::store) async fn add_user(
        &self,
        name: &str,
        password_hash: &str,
        role: Role,
        password_is_temporary: bool,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        let mut transaction = self.begin_write().await?;
        let temporary = password_is_temporary;
        let user = insert_user(&mut transaction, name, password_hash, role, temporary, now).await?;
        transaction.commit().await?;
        Ok(user)
    }

    pub(in crate::store) async fn add_first_user(
        &self,
        name: &str,
        password_hash: &str,
        now: UtcTime,
    ) -> Result<User, StoreError> {
        let mut transaction = self.begin_write().await?;
        if has_users(&mut transaction).await? {
            return Err(StoreConflict::UsersExist.into());
        }
        let user = insert_user(
            &mut transaction,
            name,
            password_hash,
            Role::Admin,
            false,
            now,
        )
        .await?;
        transaction.commit().await?;
        Ok(user)
    }

    pub(in crate::store) async fn user(&self, user: UserId) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = sqlx::query_as(select_users!("", "users u WHERE u.id = ?"))
            .bind(user.0)
            .fetch_optional(&self.readers)
            .await?;
        row.map(UserRow::into_user).transpose()
    }

    pub(in crate::store) async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(select_users!("", "users u ORDER BY u.name_key"))
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(UserRow::into_user).collect()
    }

    pub(in crate::store) async fn credentials(
        &self,
        name: &str,
    ) -> Result<Option<(User, String)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct CredentialsRow {
            #[sqlx(flatten)]
            user: UserRow,
            password_hash: String,
        }
        let row: Option<CredentialsRow> = sqlx::query_as(select_users!(
            ", u.password_hash",
            "users u WHERE u.name_key = ?"
        ))
        .bind(name_key(name))
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| Ok((row.user.into_user()?, row.password_hash)))
            .transpose()
    }

    pub(in crate::store) async fn set_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let set = sqlx::query("UPDATE users SET password_hash = ? WHERE id = ?")
            .bind(password_hash)
            .bind(user.0)
            .execute(&self.writer)
            .await?;
        match set.rows_affected() {
            0 => Err(StoreError::NoSuchUser),
            _ => Ok(()),
        }
    }

    pub(in crate::store) async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        set_password(&mut transaction, user, password_hash, false).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn reset_password(
        &self,
        user: UserId,
        password_hash: &str,
        is_temporary: bool,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut transaction = self.begin_write().await?;
        set_password(&mut transaction, user, password_hash, is_temporary).await?;
        let ended = delete_sessions(&mut transaction, user).await?;
        remove_api_tokens(&mut transaction, user).await?;
        transaction.commit().await?;
        ended.into_iter().map(EndedSessionRow::into_ended).collect()
    }

    pub(in crate::store) async fn set_role(
        &self,
        user: UserId,
        role: Role,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        match role {
            Role::User => require_other_admin(&mut transaction, user).await?,
            Role::Admin => {}
        }
        let set = sqlx::query("UPDATE users SET role = ? WHERE id = ?")
            .bind(encode_enum(&role))
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        if set.rows_affected() == 0 {
            return Err(StoreError::NoSuchUser);
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn remove_user(&self, user: UserId) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        require_other_admin(&mut transaction, user).await?;
        sqlx::query("DELETE FROM users WHERE id = ?")
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    #[sqlx(flatten)]
    user: UserRow,
    hash: Vec<u8>,
    created_at: i64,
    used_at: i64,
    phone_tag: Option<i64>,
    confirmed_at: i64,
    address: String,
    user_agent: String,
}

impl SessionRow {
    fn into_session(self) -> Result<SessionRecord, StoreError> {
        let hash = parse_hash(self.hash)?;
        Ok(SessionRecord {
            hash,
            user: self.user.into_user()?,
            created_at: UtcTime::from_millis(self.created_at),
            used_at: UtcTime::from_millis(self.used_at),
            phone_tag: phone_tag(&hash, self.phone_tag),
            confirmed_at: UtcTime::from_millis(self.confirmed_at),
            address: self.address,
            user_agent: self.user_agent,
        })
    }
}

fn parse_hash(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    let hash = bytes.try_into();
    hash.map_err(|_| StoreError::Corrupt("a session's hash".to_owned()))
}

/// Returns a session's tag at Twilio: the stored one, or the start of its hash, which does not authenticate.
fn phone_tag(hash: &[u8; 32], kept: Option<i64>) -> u64 {
    let (beginning, _) = hash.split_first_chunk().expect("a hash has 32 bytes");
    kept.map_or(u64::from_be_bytes(*beginning), i64::cast_unsigned)
}

/// The row of a deleted session.
#[derive(sqlx::FromRow)]
struct EndedSessionRow {
    hash: Vec<u8>,
    user_id: i64,
    phone_tag: Option<i64>,
}

impl EndedSessionRow {
    fn into_ended(self) -> Result<EndedSession, StoreError> {
        let hash = parse_hash(self.hash)?;
        Ok(EndedSession {
            user: UserId(self.user_id),
            phone_tag: phone_tag(&hash, self.phone_tag),
        })
    }
}

/// Stores a session, with a new tag, or with an existing one.
async fn insert_session(
    transaction: &mut SqliteConnection,
    new: &NewSession<'_>,
    phone_tag: Option<u64>,
    now: UtcTime,
) -> Result<(), StoreError> {
    let opened = sqlx::query(
        "INSERT INTO sessions \
         (hash, user_id, created_at, used_at, confirmed_at, address, user_agent, phone_tag) \
         SELECT ?1, id, ?2, ?2, ?2, ?4, ?5, ?6 FROM users WHERE id = ?3",
    )
    .bind(&new.hash[..])
    .bind(now.millis())
    .bind(new.user.0)
    .bind(new.address)
    .bind(new.user_agent)
    .bind(phone_tag.map(u64::cast_signed))
    .execute(transaction)
    .await?;
    match opened.rows_affected() {
        0 => Err(StoreError::NoSuchUser),
        _ => Ok(()),
    }
}

impl SqliteStore {
    pub(in crate::store) async fn begin_session(
        &self,
        new: &NewSession<'_>,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let (hash, user) = (new.hash, new.user);
        let mut transaction = self.begin_write().await?;
        insert_session(&mut transaction, new, None, now).await?;
        sqlx::query(
            "DELETE FROM sessions WHERE user_id = ?1 AND hash NOT IN (SELECT hash FROM sessions \
             WHERE user_id = ?1 ORDER BY used_at DESC, hash LIMIT ?2) AND hash <> ?3",
        )
        .bind(user.0)
        .bind(limits::SESSIONS_PER_USER_MAX)
        .bind(&hash[..])
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<SessionRecord>, StoreError> {
        let row: Option<SessionRow> = sqlx::query_as(select_users!(
            ", s.hash, s.created_at, s.used_at, s.confirmed_at, s.address, s.user_agent, \
             s.phone_tag",
            "sessions s JOIN users u ON u.id = s.user_id WHERE s.hash = ?"
        ))
        .bind(&hash[..])
        .fetch_optional(&self.readers)
        .await?;
        row.map(SessionRow::into_session).transpose()
    }

    pub(in crate::store) async fn sessions(
        &self,
        user: UserId,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let rows: Vec<SessionRow> = sqlx::query_as(select_users!(
            ", s.hash, s.created_at, s.used_at, s.confirmed_at, s.address, s.user_agent, \
             s.phone_tag",
            "sessions s JOIN users u ON u.id = s.user_id WHERE u.id = ? \
                 ORDER BY s.used_at DESC, s.hash"
        ))
        .bind(user.0)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(SessionRow::into_session).collect()
    }

    pub(in crate::store) async fn touch_session(
        &self,
        hash: &[u8; 32],
        now: UtcTime,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET used_at = max(used_at, ?) WHERE hash = ?")
            .bind(now.millis())
            .bind(&hash[..])
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn confirm_session(
        &self,
        hash: &[u8; 32],
        now: UtcTime,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET confirmed_at = ? WHERE hash = ?")
            .bind(now.millis())
            .bind(&hash[..])
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn renew_session(
        &self,
        own: Option<&[u8; 32]>,
        new: &NewSession<'_>,
        now: UtcTime,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let rows = delete_sessions(&mut transaction, new.user).await?;
        let mut ended = Vec::with_capacity(rows.len());
        let mut kept = None;
        for row in rows {
            let is_own = own.is_some_and(|own| row.hash == own);
            let session = row.into_ended()?;
            if is_own {
                kept = Some(session.phone_tag);
            } else {
                ended.push(session);
            }
        }
        insert_session(&mut transaction, new, kept, now).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    pub(in crate::store) async fn close_session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<EndedSession>, StoreError> {
        let closed: Option<EndedSessionRow> = sqlx::query_as(
            "DELETE FROM sessions WHERE hash = ? RETURNING hash, user_id, phone_tag",
        )
        .bind(&hash[..])
        .fetch_optional(&self.writer)
        .await?;
        closed.map(EndedSessionRow::into_ended).transpose()
    }

    pub(in crate::store) async fn close_sessions(
        &self,
        user: UserId,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let closed = delete_sessions(&mut *self.writer.acquire().await?, user).await?;
        closed
            .into_iter()
            .map(EndedSessionRow::into_ended)
            .collect()
    }

    pub(in crate::store) async fn remember_browser(
        &self,
        hash: &[u8; 32],
        user: UserId,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        sqlx::query(
            "INSERT INTO known_browsers (hash, user_id, signed_in_at) \
             SELECT ?1, id, ?2 FROM users WHERE id = ?3 \
             ON CONFLICT (hash, user_id) DO UPDATE SET signed_in_at = ?2",
        )
        .bind(&hash[..])
        .bind(now.millis())
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM known_browsers WHERE user_id = ?1 AND hash NOT IN (SELECT hash \
             FROM known_browsers WHERE user_id = ?1 ORDER BY signed_in_at DESC, hash LIMIT ?2)",
        )
        .bind(user.0)
        .bind(limits::KNOWN_BROWSERS_PER_USER_MAX)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn is_known_browser(
        &self,
        hash: &[u8; 32],
        name: &str,
        signed_in_after: UtcTime,
    ) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM known_browsers b JOIN users u ON u.id = b.user_id \
             WHERE b.hash = ? AND u.name_key = ? AND b.signed_in_at >= ?",
        )
        .bind(&hash[..])
        .bind(name_key(name))
        .bind(signed_in_after.millis())
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.is_some())
    }

    pub(in crate::store) async fn sweep_sessions(
        &self,
        created_before: UtcTime,
        used_before: UtcTime,
    ) -> Result<u64, StoreError> {
        let swept = sqlx::query("DELETE FROM sessions WHERE created_at < ? OR used_at < ?")
            .bind(created_before.millis())
            .bind(used_before.millis())
            .execute(&self.writer)
            .await?;
        Ok(swept.rows_affected())
    }
}

impl SqliteStore {
    pub(in crate::store) async fn add_api_token(
        &self,
        hash: &[u8; 32],
        user: UserId,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<UtcTime>,
        now: UtcTime,
    ) -> Result<ApiToken, StoreError> {
        let mut transaction = self.begin_write().await?;
        let tokens: u32 = sqlx::query_scalar("SELECT count(*) FROM api_tokens WHERE user_id = ?")
            .bind(user.0)
            .fetch_one(&mut *transaction)
            .await?;
        if tokens >= limits::API_TOKENS_PER_USER_MAX {
            let what = "API tokens of one user";
            let max = limits::API_TOKENS_PER_USER_MAX as usize;
            return Err(StoreError::TooMany { what, max });
        }
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO api_tokens (hash, user_id, name, scopes, created_at, expires_at) \
             SELECT ?, id, ?, ?, ?, ? FROM users WHERE id = ? RETURNING id",
        )
        .bind(&hash[..])
        .bind(name)
        .bind(encode_json(&scopes))
        .bind(now.millis())
        .bind(expires_at.map(UtcTime::millis))
        .bind(user.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let id = id.ok_or(StoreError::NoSuchUser)?;
        transaction.commit().await?;
        Ok(ApiToken {
            id,
            user_id: user,
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            created_at: now,
            expires_at,
            used_at: None,
        })
    }

    pub(in crate::store) async fn api_token(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(ApiToken, User)>, StoreError> {
        let token: Option<ApiTokenRow> = sqlx::query_as(
            "SELECT id, user_id, name, scopes, created_at, expires_at, used_at \
             FROM api_tokens WHERE hash = ?",
        )
        .bind(&hash[..])
        .fetch_optional(&self.readers)
        .await?;
        let Some(token) = token.map(ApiTokenRow::into_token).transpose()? else {
            return Ok(None);
        };
        let user = self.user(token.user_id).await?;
        Ok(user.map(|user| (token, user)))
    }

    pub(in crate::store) async fn api_tokens(
        &self,
        user: UserId,
    ) -> Result<Vec<ApiToken>, StoreError> {
        let rows: Vec<ApiTokenRow> = sqlx::query_as(
            "SELECT id, user_id, name, scopes, created_at, expires_at, used_at \
             FROM api_tokens WHERE user_id = ? ORDER BY id",
        )
        .bind(user.0)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(ApiTokenRow::into_token).collect()
    }

    pub(in crate::store) async fn remove_api_token(
        &self,
        id: i64,
        user: UserId,
    ) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM api_tokens WHERE id = ? AND user_id = ?")
            .bind(id)
            .bind(user.0)
            .execute(&self.writer)
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    pub(in crate::store) async fn remove_api_tokens(
        &self,
        user: UserId,
    ) -> Result<u64, StoreError> {
        remove_api_tokens(&mut *self.writer.acquire().await?, user).await
    }

    pub(in crate::store) async fn touch_api_token(
        &self,
        id: i64,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE api_tokens SET used_at = max(coalesce(used_at, 0), ?) WHERE id = ?")
            .bind(now.millis())
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
