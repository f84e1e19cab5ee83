//! Actions: amounts that are set aside for what is not a call, and how each ended.
//!
//! Ending one is a conditional change of a row that stands (SETTLE-2); whoever comes second learns
//! how it ended.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use tollgate_admission::books::{Action, ActionEnd, ActionState, EndedAction};
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Metric;

use super::{Registry, micros, time};
use crate::error::StoreError;

/// Every metric, to find one by its word.
const METRICS: [Metric; 8] = [
    Metric::Requests,
    Metric::Successes,
    Metric::InputTokens,
    Metric::OutputTokens,
    Metric::Tokens,
    Metric::CostUsd,
    Metric::Concurrency,
    Metric::Units,
];

impl Registry {
    /// Keeps an action; one whose id is there stays as it is.
    pub fn put_action(&self, action: &Action) -> Result<(), StoreError> {
        self.write(|connection| Ok(insert(connection, action)?))
    }

    /// An action.
    pub fn action(&self, id: CallId) -> Result<Option<Action>, StoreError> {
        find(&self.connection, id)
    }

    /// Ends an action that stands; one that has run out by `now` ends as that, and one that has
    /// ended is left alone. `None` where there is no such action.
    pub fn end_action(
        &self,
        id: CallId,
        how: ActionEnd,
        now: Timestamp,
    ) -> Result<Option<EndedAction>, StoreError> {
        self.write(|connection| {
            let Some(mut action) = find(connection, id)? else { return Ok(None) };
            if action.state != ActionState::Standing {
                return Ok(Some(EndedAction { action, now: false }));
            }
            let run_out = action.expires_at.is_some_and(|end| end <= now);
            (action.state, action.used) = match how {
                _ if run_out => (ActionState::Expired, 0),
                ActionEnd::Commit(used) => (ActionState::Committed, used.unwrap_or(action.amount)),
                ActionEnd::Release => (ActionState::Released, 0),
            };
            end(connection, &action, now)?;
            Ok(Some(EndedAction { action, now: !run_out }))
        })
    }

    /// Notes that these actions have run out; those that have ended otherwise are left alone.
    pub fn expire_actions(&self, ids: &[CallId], now: Timestamp) -> Result<(), StoreError> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE actions SET state = 3, ended_us = ?2 WHERE id = ?1 AND state = 0",
            )?;
            for id in ids {
                statement.execute((id.as_bytes(), now.as_microsecond()))?;
            }
            Ok(())
        })
    }

    /// The actions that stand, oldest first.
    pub fn standing_actions(&self) -> Result<Vec<Action>, StoreError> {
        self.actions("state = 0 ORDER BY created_us, id", [])
    }

    /// The actions that were made at `since` or later and have ended, oldest first.
    pub fn ended_actions(&self, since: Timestamp) -> Result<Vec<Action>, StoreError> {
        let since = since.as_microsecond();
        self.actions("state <> 0 AND created_us >= ?1 ORDER BY created_us, id", [since])
    }

    /// Forgets actions that ended before `before` without having used anything.
    pub fn forget_actions(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "DELETE FROM actions WHERE state <> 0 AND used = 0 AND ended_us < ?1",
                )?
                .execute([before.as_microsecond()])?;
            Ok(())
        })
    }

    fn actions(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Action>, StoreError> {
        let sql = format!("SELECT * FROM actions WHERE {which}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        let mut actions = Vec::new();
        while let Some(row) = rows.next()? {
            actions.push(read(row)?);
        }
        Ok(actions)
    }
}

/// Adds an action unless its id is there.
pub(super) fn insert(connection: &Connection, action: &Action) -> Result<(), rusqlite::Error> {
    let ended = (action.state != ActionState::Standing).then_some(action.created_at);
    connection
        .prepare_cached(
            "INSERT INTO actions (id, user, key, team, ip, feature, plan, metric, amount,
                 created_us, expires_us, state, used, ended_us)
             VALUES (:id, :user, :key, :team, :ip, :feature, :plan, :metric, :amount,
                 :created_us, :expires_us, :state, :used, :ended_us)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":id": action.id.as_bytes(),
            ":user": action.user,
            ":key": action.key,
            ":team": action.team,
            ":ip": action.ip,
            ":feature": action.feature,
            ":plan": action.plan,
            ":metric": action.metric.as_str(),
            ":amount": action.amount,
            ":created_us": action.created_at.as_microsecond(),
            ":expires_us": micros(action.expires_at),
            ":state": number(action.state),
            ":used": action.used,
            ":ended_us": micros(ended),
        })
        .map(drop)
}

fn find(connection: &Connection, id: CallId) -> Result<Option<Action>, StoreError> {
    connection
        .prepare_cached("SELECT * FROM actions WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

fn end(connection: &Connection, action: &Action, now: Timestamp) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "UPDATE actions SET state = ?2, used = ?3, ended_us = ?4 WHERE id = ?1 AND state = 0",
        )?
        .execute((action.id.as_bytes(), number(action.state), action.used, now.as_microsecond()))
        .map(drop)
}

const fn number(state: ActionState) -> i64 {
    match state {
        ActionState::Standing => 0,
        ActionState::Committed => 1,
        ActionState::Released => 2,
        ActionState::Expired => 3,
    }
}

fn read(row: &Row<'_>) -> Result<Action, StoreError> {
    let malformed = |what| StoreError::Malformed { what };
    let metric: Arc<str> = row.get("metric")?;
    Ok(Action {
        id: CallId::from_bytes(row.get("id")?),
        user: row.get("user")?,
        key: row.get("key")?,
        team: row.get("team")?,
        ip: row.get("ip")?,
        feature: row.get("feature")?,
        plan: row.get("plan")?,
        metric: METRICS
            .into_iter()
            .find(|each| each.as_str() == &*metric)
            .ok_or_else(|| malformed("metric of an action"))?,
        amount: row.get("amount")?,
        created_at: time(row, "created_us")?.ok_or_else(|| malformed("time"))?,
        expires_at: time(row, "expires_us")?,
        state: match row.get::<_, i64>("state")? {
            0 => ActionState::Standing,
            1 => ActionState::Committed,
            2 => ActionState::Released,
            3 => ActionState::Expired,
            _ => return Err(malformed("state of an action")),
        },
        used: row.get("used")?,
    })
}
