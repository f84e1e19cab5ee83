//! Users: who pays, on which plan, and what has been decided about them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::change::Change;
use super::{Registry, micros, time, unless_exists};
use crate::error::StoreError;

/// A user as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The name, which is unique.
    pub name: String,
    /// The plan; `None` for the default one.
    pub plan: Option<String>,
    /// The team.
    pub team: Option<String>,
    /// Whether every call is refused.
    pub blocked: bool,
    /// Why.
    pub blocked_reason: Option<String>,
    /// Until when every quota counts as zero.
    pub quota_zero_until: Option<Timestamp>,
    /// First seen or registered, to the microsecond.
    pub created_at: Timestamp,
}

impl Change<'_> {
    /// One user.
    pub fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        one(self.connection, name)
    }

    /// Adds a user; the name must be new.
    pub fn insert_user(&self, user: &UserRecord) -> Result<(), StoreError> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO users
                     (name, plan, team, blocked, blocked_reason, quota_zero_until, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                user.name,
                user.plan,
                user.team,
                user.blocked,
                user.blocked_reason,
                micros(user.quota_zero_until),
                user.created_at.as_microsecond(),
            ]);
        unless_exists(inserted, "user", &user.name).map(drop)
    }

    /// Replaces everything about a user but the name and the time of creation.
    pub fn update_user(&self, user: &UserRecord) -> Result<(), StoreError> {
        let updated = self
            .connection
            .prepare_cached(
                "UPDATE users SET plan = ?2, team = ?3, blocked = ?4, blocked_reason = ?5,
                     quota_zero_until = ?6
                 WHERE name = ?1",
            )?
            .execute(params![
                user.name,
                user.plan,
                user.team,
                user.blocked,
                user.blocked_reason,
                micros(user.quota_zero_until)
            ])?;
        if updated == 1 { Ok(()) } else { Err(unknown(&user.name)) }
    }

    /// Removes a user and its overrides. Rows and rollups of the ledger keep the name; payments
    /// stay.
    pub fn delete_user(&self, name: &str) -> Result<(), StoreError> {
        let connection = self.connection;
        connection.prepare_cached("DELETE FROM overrides WHERE user = ?1")?.execute([name])?;
        let deleted =
            connection.prepare_cached("DELETE FROM users WHERE name = ?1")?.execute([name])?;
        if deleted == 1 { Ok(()) } else { Err(unknown(name)) }
    }
}

impl Registry {
    /// One user.
    pub fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        one(&self.connection, name)
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM users ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut users = Vec::new();
        while let Some(row) = rows.next()? {
            users.push(read(row)?);
        }
        Ok(users)
    }

    /// Names of users behind `after`, in order, at most `limit`: those that are registered, have
    /// called, or have a stored key. Only those that begin with `prefix`.
    pub fn user_names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        // Names that begin so stand together; U+10FFFF is behind every other character.
        let (from, to) = (prefix, format!("{prefix}\u{10ffff}"));
        let mut statement = self.connection.prepare_cached(
            "SELECT name FROM users WHERE name >= ?1 AND name <= ?2 AND name > ?3
             UNION SELECT name FROM seen_users WHERE name >= ?1 AND name <= ?2 AND name > ?3
             UNION SELECT coalesce(user, name) AS name FROM keys
                   WHERE revoked_at IS NULL AND coalesce(user, name) >= ?1
                     AND coalesce(user, name) <= ?2 AND coalesce(user, name) > ?3
             ORDER BY name LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let names =
            statement.query_map((from, to, after.unwrap_or(""), limit), |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Whether this user has ever called.
    pub fn user_is_seen(&self, name: &str) -> Result<bool, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM seen_users WHERE name = ?1")?;
        Ok(statement.exists([name])?)
    }
}

fn one(connection: &Connection, name: &str) -> Result<Option<UserRecord>, StoreError> {
    connection
        .prepare_cached("SELECT * FROM users WHERE name = ?1")?
        .query_row([name], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

fn unknown(name: &str) -> StoreError {
    StoreError::Unknown { what: "user", name: name.to_owned() }
}

fn read(row: &Row<'_>) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        name: row.get("name")?,
        plan: row.get("plan")?,
        team: row.get("team")?,
        blocked: row.get("blocked")?,
        blocked_reason: row.get("blocked_reason")?,
        quota_zero_until: time(row, "quota_zero_until")?,
        created_at: time(row, "created_at")?.ok_or(StoreError::Malformed { what: "time" })?,
    })
}
