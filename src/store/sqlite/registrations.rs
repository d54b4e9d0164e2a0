//! Browsers registered at Twilio.

use super::SqliteStore;
use crate::clock::UtcTime;
use crate::ids::{ClientIdentity, RegistrationId};
use crate::limits;
use crate::store::RegistrationRecord;
use crate::store::error::StoreError;

#[derive(sqlx::FromRow)]
struct RegistrationRow {
    id: String,
    identity: String,
    since: i64,
    expires_at: i64,
}

impl RegistrationRow {
    fn into_registration(self) -> Result<RegistrationRecord, StoreError> {
        let damaged = |what: &str| StoreError::Corrupt(format!("a registration's {what}"));
        Ok(RegistrationRecord {
            id: RegistrationId::parse(&self.id).map_err(|_| damaged("name"))?,
            identity: ClientIdentity::parse(&self.identity).map_err(|_| damaged("identity"))?,
            since: UtcTime::from_millis(self.since),
            expires_at: UtcTime::from_millis(self.expires_at),
        })
    }
}

impl SqliteStore {
    pub(in crate::store) async fn save_registration(
        &self,
        registration: &RegistrationRecord,
        now: UtcTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM registrations WHERE expires_at <= ?")
            .bind(now.millis())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO registrations (id, identity, since, expires_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET identity = excluded.identity, \
             expires_at = excluded.expires_at",
        )
        .bind(registration.id.as_str())
        .bind(registration.identity.as_str())
        .bind(registration.since.millis())
        .bind(registration.expires_at.millis())
        .execute(&mut *transaction)
        .await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM registrations")
            .fetch_one(&mut *transaction)
            .await?;
        let beyond = count - limits::REGISTRATIONS_MAX as i64;
        if beyond > 0 {
            sqlx::query(
                "DELETE FROM registrations WHERE id IN \
                 (SELECT id FROM registrations ORDER BY since, id LIMIT ?)",
            )
            .bind(beyond)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn remove_registration(
        &self,
        id: &RegistrationId,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM registrations WHERE id = ?")
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn registrations(
        &self,
        now: UtcTime,
    ) -> Result<Vec<RegistrationRecord>, StoreError> {
        let rows: Vec<RegistrationRow> = sqlx::query_as(
            "SELECT id, identity, since, expires_at FROM registrations WHERE expires_at > ? \
             ORDER BY since, id",
        )
        .bind(now.millis())
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(RegistrationRow::into_registration)
            .collect()
    }
}
