//! Keys: who may call, as whom, and with what. Of the key itself only a hash is stored.
//!
//! A key that is rotated keeps its name, and with it its place in reports: the old one stays valid
//! for a while under the same name, marked as replaced.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::change::Change;
use super::{Registry, micros, time, unless_exists};
use crate::error::StoreError;

/// A key as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The id, which is unique.
    pub id: String,
    /// The name; unique but for keys that were replaced.
    pub name: String,
    /// The hash by which it is found.
    pub hash: Vec<u8>,
    /// The first characters, which may be shown.
    pub prefix: String,
    /// `user`, `service` or `admin`.
    pub role: String,
    /// The user it acts for.
    pub user: Option<String>,
    /// The team it belongs to.
    pub team: Option<String>,
    /// The plan it is on, where it is not the user's.
    pub plan: Option<String>,
    /// When it was made, to the microsecond.
    pub created_at: Timestamp,
    /// From when it is no longer valid.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Models it may use; `None` for all.
    pub allowed_models: Option<Vec<String>>,
    /// Providers it may use; `None` for all.
    pub allowed_providers: Option<Vec<String>>,
    /// Addresses and networks it may come from; `None` for all.
    pub allowed_ips: Option<Vec<String>>,
    /// Its own limits, as JSON in the form of the configuration.
    pub limits: Option<String>,
    /// What happens when its client goes away: `abort` or `drain`.
    pub on_disconnect: Option<String>,
    /// Id of the key that this one replaces.
    pub rotated_from: Option<String>,
    /// Whether another key has taken this one's place.
    pub replaced: bool,
}

/// The new half of a rotation.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Id of the new key.
    pub id: String,
    /// Hash of the new key.
    pub hash: Vec<u8>,
    /// What may be shown of the new key.
    pub prefix: String,
    /// When the new key is made.
    pub now: Timestamp,
    /// Until when the old key stays valid.
    pub old_until: Timestamp,
}

impl Change<'_> {
    /// Adds a key; its name must be new.
    pub fn insert_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        unless_exists(insert(self.connection, key), "key", &key.name)
    }

    /// Revokes every key of this name, those that were replaced included.
    pub fn revoke_key(&self, name: &str, now: Timestamp) -> Result<(), StoreError> {
        let revoked = self
            .connection
            .prepare_cached(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE name = ?1",
            )?
            .execute((name, now.as_microsecond()))?;
        if revoked == 0 { Err(unknown(name)) } else { Ok(()) }
    }

    /// Gives the keys of this name, those that were replaced included, these limits of their own.
    pub fn set_key_limits(&self, name: &str, limits: Option<&str>) -> Result<(), StoreError> {
        let changed = self
            .connection
            .prepare_cached("UPDATE keys SET limits = ?2 WHERE name = ?1")?
            .execute((name, limits))?;
        if changed == 0 { Err(unknown(name)) } else { Ok(()) }
    }

    /// Puts a new key in the place of the one of this name, with the same rights; gives the new one.
    pub fn rotate_key(&self, name: &str, rotation: Rotation) -> Result<KeyRecord, StoreError> {
        let connection = self.connection;
        let old = current(connection, name)?.ok_or_else(|| unknown(name))?;
        let until = old.expires_at.map_or(rotation.old_until, |t| t.min(rotation.old_until));
        connection
            .prepare_cached("UPDATE keys SET replaced = 1, expires_at = ?2 WHERE id = ?1")?
            .execute((&old.id, until.as_microsecond()))?;
        let new = KeyRecord {
            rotated_from: Some(old.id.clone()),
            id: rotation.id,
            hash: rotation.hash,
            prefix: rotation.prefix,
            created_at: rotation.now,
            ..old
        };
        unless_exists(insert(connection, &new), "key", &new.id)?;
        Ok(new)
    }

    /// The key of this name that has not been replaced.
    pub fn key(&self, name: &str) -> Result<Option<KeyRecord>, StoreError> {
        current(self.connection, name)
    }
}

impl Registry {
    /// The key of this name that has not been replaced.
    pub fn key(&self, name: &str) -> Result<Option<KeyRecord>, StoreError> {
        current(&self.connection, name)
    }

    /// All keys, revoked and replaced ones included, by name and time.
    pub fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT * FROM keys ORDER BY name, created_at, id")?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(read(row)?);
        }
        Ok(keys)
    }
}

fn current(connection: &Connection, name: &str) -> Result<Option<KeyRecord>, StoreError> {
    connection
        .prepare_cached("SELECT * FROM keys WHERE name = ?1 AND replaced = 0")?
        .query_row([name], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

fn insert(connection: &Connection, key: &KeyRecord) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO keys VALUES (:id, :name, :hash, :prefix, :role, :user, :team, :plan,
                 :created_at, :expires_at, :revoked_at, :allowed_models, :allowed_providers,
                 :allowed_ips, :limits, :on_disconnect, :rotated_from, :replaced)",
        )?
        .execute(named_params! {
            ":id": key.id,
            ":name": key.name,
            ":hash": key.hash,
            ":prefix": key.prefix,
            ":role": key.role,
            ":user": key.user,
            ":team": key.team,
            ":plan": key.plan,
            ":created_at": key.created_at.as_microsecond(),
            ":expires_at": micros(key.expires_at),
            ":revoked_at": micros(key.revoked_at),
            ":allowed_models": list_to_json(key.allowed_models.as_ref()),
            ":allowed_providers": list_to_json(key.allowed_providers.as_ref()),
            ":allowed_ips": list_to_json(key.allowed_ips.as_ref()),
            ":limits": key.limits,
            ":on_disconnect": key.on_disconnect,
            ":rotated_from": key.rotated_from,
            ":replaced": key.replaced,
        })
        .map(drop)
}

fn list_to_json(list: Option<&Vec<String>>) -> Option<String> {
    list.map(|list| serde_json::Value::from(list.as_slice()).to_string())
}

fn list(row: &Row<'_>, column: &str) -> Result<Option<Vec<String>>, StoreError> {
    let json: Option<String> = row.get(column)?;
    json.map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|_| StoreError::Malformed { what: "list of a key" })
}

fn read(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id: row.get("id")?,
        name: row.get("name")?,
        hash: row.get("hash")?,
        prefix: row.get("prefix")?,
        role: row.get("role")?,
        user: row.get("user")?,
        team: row.get("team")?,
        plan: row.get("plan")?,
        created_at: time(row, "created_at")?.ok_or(StoreError::Malformed { what: "time" })?,
        expires_at: time(row, "expires_at")?,
        revoked_at: time(row, "revoked_at")?,
        allowed_models: list(row, "allowed_models")?,
        allowed_providers: list(row, "allowed_providers")?,
        allowed_ips: list(row, "allowed_ips")?,
        limits: row.get("limits")?,
        on_disconnect: row.get("on_disconnect")?,
        rotated_from: row.get("rotated_from")?,
        replaced: row.get("replaced")?,
    })
}

fn unknown(name: &str) -> StoreError {
    StoreError::Unknown { what: "key", name: name.to_owned() }
}
