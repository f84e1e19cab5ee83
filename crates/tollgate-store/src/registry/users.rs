//! Users: who pays, on which plan, and what has been decided about them.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

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
    /// Until when every quota counts as zero.
    pub quota_zero_until: Option<Timestamp>,
    /// First seen or registered, to the microsecond.
    pub created_at: Timestamp,
}

impl Registry {
    /// Adds a user; the name must be new.
    pub fn insert_user(&self, user: &UserRecord) -> Result<(), StoreError> {
        self.change(|connection| {
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO users (name, plan, team, blocked, quota_zero_until, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params(user));
            unless_exists(inserted, "user", &user.name).map(drop)
        })
    }

    /// Replaces everything about a user but the name and the time of creation.
    pub fn update_user(&self, user: &UserRecord) -> Result<(), StoreError> {
        self.change(|connection| {
            let updated = connection
                .prepare_cached(
                    "UPDATE users SET plan = ?2, team = ?3, blocked = ?4, quota_zero_until = ?5
                     WHERE name = ?1",
                )?
                .execute(params![
                    user.name,
                    user.plan,
                    user.team,
                    user.blocked,
                    micros(user.quota_zero_until)
                ])?;
            if updated == 1 { Ok(()) } else { Err(unknown(&user.name)) }
        })
    }

    /// Removes a user. Rows and rollups of the ledger keep the name.
    pub fn delete_user(&self, name: &str) -> Result<(), StoreError> {
        self.change(|connection| {
            let deleted =
                connection.prepare_cached("DELETE FROM users WHERE name = ?1")?.execute([name])?;
            if deleted == 1 { Ok(()) } else { Err(unknown(name)) }
        })
    }

    /// One user.
    pub fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        self.connection
            .prepare_cached("SELECT * FROM users WHERE name = ?1")?
            .query_row([name], |row| Ok(read(row)))
            .optional()?
            .transpose()
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
}

type Values<'a> = (&'a str, Option<&'a str>, Option<&'a str>, bool, Option<i64>, i64);

fn params(user: &UserRecord) -> Values<'_> {
    (
        &user.name,
        user.plan.as_deref(),
        user.team.as_deref(),
        user.blocked,
        micros(user.quota_zero_until),
        user.created_at.as_microsecond(),
    )
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
        quota_zero_until: time(row, "quota_zero_until")?,
        created_at: time(row, "created_at")?.ok_or(StoreError::Malformed { what: "time" })?,
    })
}
