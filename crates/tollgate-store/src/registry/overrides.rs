//! What is different for one user: other maxima, and payments on prepaid balances. Amounts are in
//! the integer of the limit's metric.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::change::Change;
use super::{Registry, micros, time};
use crate::error::StoreError;

/// Another maximum as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideRecord {
    /// The user.
    pub user: String,
    /// The name of the limit.
    pub limit: String,
    /// The maximum instead; `None` is unlimited.
    pub max: Option<i64>,
    /// Until when; `None` for good.
    pub until: Option<Timestamp>,
    /// When it was set.
    pub created_at: Timestamp,
    /// Who set it.
    pub created_by: String,
}

/// A payment to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUpRecord {
    /// The user.
    pub user: String,
    /// The name of the limit.
    pub limit: String,
    /// How much.
    pub amount: i64,
    /// The payer's name of the payment, which is unique.
    pub reference: Option<String>,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub by: String,
}

/// What was paid in on a balance so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceRecord {
    /// The user.
    pub user: String,
    /// The name of the limit.
    pub limit: String,
    /// The sum.
    pub paid_in: i64,
}

impl Change<'_> {
    /// Sets another maximum, in the place of an earlier one for the same limit.
    pub fn set_override(&self, new: &OverrideRecord) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO overrides VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                new.user,
                new.limit,
                new.max,
                micros(new.until),
                new.created_at.as_microsecond(),
                new.created_by,
            ])?;
        Ok(())
    }

    /// Takes an override back.
    pub fn remove_override(&self, user: &str, limit: &str) -> Result<(), StoreError> {
        let removed = self
            .connection
            .prepare_cached("DELETE FROM overrides WHERE user = ?1 AND limit_name = ?2")?
            .execute((user, limit))?;
        if removed == 1 {
            Ok(())
        } else {
            Err(StoreError::Unknown { what: "override", name: limit.to_owned() })
        }
    }

    /// Overrides of one user, by limit.
    pub fn overrides_of(&self, user: &str) -> Result<Vec<OverrideRecord>, StoreError> {
        overrides(self.connection, Some(user))
    }

    /// Keeps a payment; `false` where the same payment is kept already. Another payment with the
    /// same reference is an error.
    pub fn top_up(&self, payment: &TopUpRecord) -> Result<bool, StoreError> {
        if let Some(reference) = &payment.reference
            && let Some(kept) = payment_of(self.connection, reference)?
        {
            let same = (payment.user.clone(), payment.limit.clone(), payment.amount);
            return if kept == same {
                Ok(false)
            } else {
                Err(StoreError::Exists { what: "payment", name: reference.clone() })
            };
        }
        self.connection
            .prepare_cached(
                "INSERT INTO top_ups (user, limit_name, amount, reference, time_us, created_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                payment.user,
                payment.limit,
                payment.amount,
                payment.reference,
                payment.time.as_microsecond(),
                payment.by,
            ])?;
        Ok(true)
    }

    /// Balances of one user, by limit.
    pub fn balances_of(&self, user: &str) -> Result<Vec<BalanceRecord>, StoreError> {
        balances(self.connection, Some(user))
    }
}

impl Registry {
    /// All overrides, by user and limit; those that have ended too.
    pub fn overrides(&self) -> Result<Vec<OverrideRecord>, StoreError> {
        overrides(&self.connection, None)
    }

    /// Overrides of one user, by limit.
    pub fn overrides_of(&self, user: &str) -> Result<Vec<OverrideRecord>, StoreError> {
        overrides(&self.connection, Some(user))
    }

    /// All balances, by user and limit.
    pub fn balances(&self) -> Result<Vec<BalanceRecord>, StoreError> {
        balances(&self.connection, None)
    }

    /// Balances of one user, by limit.
    pub fn balances_of(&self, user: &str) -> Result<Vec<BalanceRecord>, StoreError> {
        balances(&self.connection, Some(user))
    }
}

/// User, limit and amount of a payment.
type Payment = (String, String, i64);

fn payment_of(connection: &Connection, reference: &str) -> Result<Option<Payment>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT user, limit_name, amount FROM top_ups WHERE reference = ?1")?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(statement.query_row([reference], read).optional()?)
}

fn overrides(
    connection: &Connection,
    user: Option<&str>,
) -> Result<Vec<OverrideRecord>, StoreError> {
    let sql = match user {
        Some(_) => "SELECT * FROM overrides WHERE user = ?1 ORDER BY limit_name",
        None => "SELECT * FROM overrides WHERE ?1 IS NULL ORDER BY user, limit_name",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([user])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(OverrideRecord {
            user: row.get("user")?,
            limit: row.get("limit_name")?,
            max: row.get("max")?,
            until: time(row, "until_us")?,
            created_at: time(row, "created_us")?.ok_or(StoreError::Malformed { what: "time" })?,
            created_by: row.get("created_by")?,
        });
    }
    Ok(found)
}

fn balances(connection: &Connection, user: Option<&str>) -> Result<Vec<BalanceRecord>, StoreError> {
    let sql = match user {
        Some(_) => {
            "SELECT user, limit_name, sum(amount) FROM top_ups WHERE user = ?1
             GROUP BY user, limit_name ORDER BY limit_name"
        }
        None => {
            "SELECT user, limit_name, sum(amount) FROM top_ups WHERE ?1 IS NULL
             GROUP BY user, limit_name ORDER BY user, limit_name"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([user], |row| {
        Ok(BalanceRecord { user: row.get(0)?, limit: row.get(1)?, paid_in: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
