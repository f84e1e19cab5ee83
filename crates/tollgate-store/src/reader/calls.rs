//! Finding calls: one by id, a page of them newest first, all of them oldest first.
//!
//! There is no index but the id, which is one by time. A page of one user's calls would mean
//! reading everybody's; `windows` uses the rollups to skip the quarters of an hour in which that
//! user made none.

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, params_from_iter};
use tollgate_admission::books::Repeated;
use tollgate_domain::call::{CallRecord, Outcome, Repetition};
use tollgate_domain::id::CallId;

use super::Reader;
use crate::codes;
use crate::error::StoreError;
use crate::fold::row::{self, COLUMNS};
use crate::fold::strings;

/// How far the time in a call's id may differ from its time of arrival, in microseconds: both are
/// taken when it arrives.
const SLACK_US: i64 = 600_000_000;

/// Which calls are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Who pays.
    pub user: Option<Arc<str>>,
    /// Team of the user.
    pub team: Option<Arc<str>>,
    /// Name of the key.
    pub key: Option<Arc<str>>,
    /// The model that was asked for or that served.
    pub model: Option<Arc<str>>,
    /// The provider that served.
    pub provider: Option<Arc<str>>,
    /// The application's name for the action.
    pub feature: Option<Arc<str>>,
    /// One run of an agent.
    pub session: Option<Arc<str>>,
    /// The request id.
    pub request_id: Option<Arc<str>>,
    /// How the call ended.
    pub outcome: Option<Outcome>,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// Arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Arrived before this time.
    pub until: Option<Timestamp>,
    /// Only calls before this one: the last of the page before.
    pub before: Option<CallId>,
}

/// Conditions of a query and the values of their parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` in it takes one of `values`.
    pub(super) fn add(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.to_owned());
        self.values.extend(values);
    }

    pub(super) fn sql(&self) -> String {
        if self.sql.is_empty() { "1".to_owned() } else { self.sql.join(" AND ") }
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Bounds the time of arrival, in microseconds: exactly by its column, and by the id, which is
    /// what makes the query fast.
    pub(super) fn between(&mut self, from_us: Option<i64>, to_us: Option<i64>) {
        if let Some(from) = from_us {
            let id = id_at(from.saturating_sub(SLACK_US), 0);
            self.add("call_id >= ? AND time_us >= ?", [id, Value::Integer(from)]);
        }
        if let Some(to) = to_us {
            let id = id_at(to.saturating_add(SLACK_US), 0xff);
            self.add("call_id <= ? AND time_us < ?", [id, Value::Integer(to)]);
        }
    }
}

fn id_at(time_us: i64, fill: u8) -> Value {
    Value::Blob(id_bytes(time_us, fill).to_vec())
}

/// The first (`fill` 0) or last (`fill` 255) id of the millisecond of a time in microseconds.
pub(super) fn id_bytes(time_us: i64, fill: u8) -> [u8; 16] {
    let millis = u64::try_from(time_us.div_euclid(1_000)).unwrap_or(0).min((1 << 48) - 1);
    let mut id = [fill; 16];
    let [_, _, time @ ..] = millis.to_be_bytes();
    for (byte, from) in id.iter_mut().zip(time) {
        *byte = from;
    }
    id
}

impl Reader {
    /// One call.
    pub fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM calls WHERE call_id = ?1"))?;
        statement
            .query_row([id.as_bytes()], |row| Ok(row::read(row, &self.connection, &self.texts)))
            .optional()?
            .transpose()
    }

    /// The call that has used an idempotency key since then: one that was answered or that may have
    /// cost something, the dearest first. What was refused or failed for nothing has not used it.
    pub fn repeated(
        &self,
        key: [u8; 16],
        since: Timestamp,
    ) -> Result<Option<Repeated>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT call_id, repetition FROM calls
             WHERE repetition >= ?1 AND repetition <= ?2 AND time_us >= ?3
               AND (cost_nanos > 0 OR outcome IN (?4, ?5))
             ORDER BY cost_nanos DESC, call_id LIMIT 1",
        )?;
        let mark = |request| Repetition { key, request }.to_bytes();
        let outcome = |outcome| i64::from(codes::outcome(outcome));
        let row = statement
            .query_row(
                (
                    mark([0; 16]),
                    mark([0xff; 16]),
                    since.as_microsecond(),
                    outcome(Outcome::Success),
                    outcome(Outcome::InDoubt),
                ),
                |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?)),
            )
            .optional()?;
        let Some((call, repetition)) = row else { return Ok(None) };
        let malformed = || StoreError::Malformed { what: "idempotency key" };
        let Repetition { request, .. } =
            Repetition::from_bytes(&repetition).ok_or_else(malformed)?;
        Ok(Some(Repeated { call_id: CallId::from_bytes(call), request }))
    }

    /// The newest calls that `filter` lets through, newest first, at most `limit`.
    pub fn calls(&self, filter: &Filter, limit: usize) -> Result<Vec<CallRecord>, StoreError> {
        let mut found = Vec::new();
        let Some(conditions) = self.conditions(filter)? else { return Ok(found) };
        for window in self.windows(filter)? {
            let (from, to) = window?;
            let mut conditions = conditions.clone();
            conditions.between(from, to);
            let left = limit.saturating_sub(found.len());
            let order = format!("ORDER BY call_id DESC LIMIT {left}");
            self.each(&conditions, &order, |call| {
                found.push(call);
                ControlFlow::Continue(())
            })?;
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Hands every call that `filter` lets through to `each`, oldest first, until it breaks off.
    pub fn export(
        &self,
        filter: &Filter,
        each: impl FnMut(CallRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(mut conditions) = self.conditions(filter)? else { return Ok(()) };
        let bound = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
        conditions.between(bound(filter.since), bound(filter.until));
        self.each(&conditions, "ORDER BY call_id", each)
    }

    /// Hands every call that arrived at `time` or later to `each`, oldest first: what counters are
    /// made of again at a start.
    pub fn for_each_since(
        &self,
        time: Timestamp,
        mut each: impl FnMut(CallRecord),
    ) -> Result<(), StoreError> {
        let filter = Filter { since: Some(time), ..Filter::default() };
        self.export(&filter, |call| {
            each(call);
            ControlFlow::Continue(())
        })
    }

    /// Everything of `filter` but its times; `None` where it names what no call has.
    pub(super) fn conditions(&self, filter: &Filter) -> Result<Option<Conditions>, StoreError> {
        let mut conditions = Conditions::default();
        let names = [
            ("user = ?", &filter.user),
            ("team = ?", &filter.team),
            ("key = ?", &filter.key),
            ("? IN (model, model_asked)", &filter.model),
            ("provider = ?", &filter.provider),
            ("feature = ?", &filter.feature),
        ];
        for (sql, name) in names {
            let Some(name) = name else { continue };
            let Some(number) = strings::find(&self.connection, name)? else { return Ok(None) };
            conditions.add(sql, [Value::Integer(number)]);
        }
        if let Some(session) = &filter.session {
            conditions.add("session = ?", [Value::Text(session.to_string())]);
        }
        if let Some(id) = &filter.request_id {
            request_id(&mut conditions, id);
        }
        if let Some(outcome) = filter.outcome {
            conditions.add("outcome = ?", [Value::Integer(codes::outcome(outcome).into())]);
        }
        if let Some(status) = filter.status {
            conditions.add("status = ?", [Value::Integer(status.into())]);
        }
        if let Some(before) = filter.before {
            conditions.add("call_id < ?", [Value::Blob(before.as_bytes().to_vec())]);
        }
        Ok(Some(conditions))
    }

    /// Runs a query over calls.
    pub(super) fn each(
        &self,
        conditions: &Conditions,
        order: &str,
        mut each: impl FnMut(CallRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE {} {order}", conditions.sql());
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.values()))?;
        while let Some(row) = rows.next()? {
            let call = row::read(row, &self.connection, &self.texts)?;
            if each(call).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A request id that is the call id is not stored a second time.
fn request_id(conditions: &mut Conditions, id: &str) {
    match id.parse::<CallId>() {
        Ok(call) => conditions.add(
            "(request_id = ? OR (request_id IS NULL AND call_id = ?))",
            [Value::Text(id.to_owned()), Value::Blob(call.as_bytes().to_vec())],
        ),
        Err(_) => conditions.add("request_id = ?", [Value::Text(id.to_owned())]),
    }
}

/// The last id that a call before this time, in microseconds, can have.
pub(crate) fn last_id_before(time_us: i64) -> [u8; 16] {
    id_bytes(time_us.saturating_add(SLACK_US), 0xff)
}
