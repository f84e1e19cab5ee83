//! A call as a row of the table `calls`, both ways.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, Statement};
use serde::de::{Deserializer as _, MapAccess, Visitor};
use tollgate_domain::attempt::Attempt;
use tollgate_domain::call::{CallRecord, Repetition};
use tollgate_domain::decision::Decision;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::rollup::Subject;
use super::strings::{Numbers, Texts};
use super::sums::{cost, count};
use crate::codec;
use crate::codes;
use crate::error::StoreError;

/// The application's labels, names and values.
pub(crate) type Tags = Vec<(Arc<str>, Arc<str>)>;

const STREAM: i64 = 1;
const ESTIMATED: i64 = 2;
const DIALECT_SHIFT: i64 = 2;
const CACHE_SHIFT: i64 = 4;
const UNCOUNTED: i64 = 64;

/// The columns of a call, in the order in which they are bound and read.
pub(crate) const COLUMNS: &str = "call_id, time_us, batch, user, key, team, feature, endpoint, \
     provider, model_asked, model, price_version, error_type, request_id, ip, session, tags, \
     flags, status, outcome, attempts, input_tokens, cached_tokens, cache_write_tokens, \
     output_tokens, reasoning_tokens, other_usage, cost_nanos, provider_cost, latency_us, ttft_us, \
     decision, tries, saved_nanos, repetition";

/// Inserts a call unless its id is there.
pub(crate) fn insert_sql() -> String {
    let places = vec!["?"; COLUMNS.split(',').count()].join(", ");
    format!("INSERT INTO calls ({COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING")
}

/// Binds a call to the parameters of [`insert_sql`]; gives who and what it counts for.
pub(crate) fn bind(
    insert: &mut Statement<'_>,
    connection: &Connection,
    numbers: &mut Numbers,
    call: &CallRecord,
    batch: i64,
) -> Result<Subject, rusqlite::Error> {
    let user = numbers.number(connection, &call.user)?;
    let key = numbers.optional(connection, call.key.as_ref())?;
    let team = numbers.optional(connection, call.team.as_ref())?;
    let feature = numbers.optional(connection, call.feature.as_ref())?;
    let provider = numbers.number(connection, &call.provider)?;
    let model = numbers.number(connection, &call.model)?;
    insert.raw_bind_parameter(1, call.call_id.as_bytes().as_slice())?;
    let integers = [
        (2, call.time.as_microsecond()),
        (3, batch),
        (4, user),
        (5, key),
        (6, team),
        (7, feature),
        (8, numbers.number(connection, &call.endpoint)?),
        (9, provider),
        (10, numbers.number(connection, &call.model_asked)?),
        (11, model),
        (12, numbers.number(connection, &call.price_version)?),
        (13, numbers.optional(connection, call.error_type.as_ref())?),
        (18, flags(call)),
        (19, i64::from(call.status)),
        (20, i64::from(codes::outcome(call.outcome))),
        (21, i64::from(call.attempts)),
        (22, count(call.usage.input)),
        (23, count(call.usage.cache_read)),
        (24, count(call.usage.cache_write)),
        (25, count(call.usage.output)),
        (26, count(call.usage.reasoning)),
        (28, cost(call.cost)),
        (30, count(call.latency_us)),
        (34, cost(call.saved)),
    ];
    for (column, value) in integers {
        insert.raw_bind_parameter(column, value)?;
    }
    bind_rare(insert, call)?;
    Ok([user, team, key, feature, provider, model])
}

/// What most calls do not have.
fn bind_rare(insert: &mut Statement<'_>, call: &CallRecord) -> Result<(), rusqlite::Error> {
    let request_id = (!codec::is_own_request_id(call)).then_some(&*call.request_id);
    insert.raw_bind_parameter(14, request_id)?;
    insert.raw_bind_parameter(15, call.ip.as_deref())?;
    insert.raw_bind_parameter(16, call.session.as_deref())?;
    insert.raw_bind_parameter(17, tags_to_json(&call.tags))?;
    insert.raw_bind_parameter(27, other_usage(&call.usage))?;
    insert.raw_bind_parameter(29, call.provider_cost.map(NanoUsd::nanos))?;
    insert.raw_bind_parameter(31, call.ttft_us.map(count))?;
    insert.raw_bind_parameter(32, call.decision.as_ref().map(Decision::as_bytes))?;
    insert.raw_bind_parameter(33, tries(&call.tries))?;
    insert.raw_bind_parameter(35, call.repetition.map(Repetition::to_bytes))
}

fn flags(call: &CallRecord) -> i64 {
    let stream = if call.stream { STREAM } else { 0 };
    let estimated = if call.estimated { ESTIMATED } else { 0 };
    let uncounted = if call.is_uncounted() { UNCOUNTED } else { 0 };
    stream
        | estimated
        | uncounted
        | i64::from(codes::dialect(call.dialect)) << DIALECT_SHIFT
        | i64::from(codes::cache(call.cache)) << CACHE_SHIFT
}

/// The attempts, where they are kept.
fn tries(tries: &[Attempt]) -> Option<Vec<u8>> {
    (!tries.is_empty()).then(|| {
        let mut bytes = Vec::new();
        codec::put_tries(&mut bytes, tries);
        bytes
    })
}

fn read_tries(row: &Row<'_>, column: usize) -> Result<Vec<Attempt>, StoreError> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(column)? else { return Ok(Vec::new()) };
    codec::tries(&bytes).ok_or(StoreError::Malformed { what: "list of attempts" })
}

/// The counts that have no column of their own, where there are any.
fn other_usage(usage: &Usage) -> Option<Vec<u8>> {
    let other =
        Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0, ..*usage };
    (other != Usage::default()).then(|| {
        let mut bytes = Vec::new();
        codec::put_usage(&mut bytes, &other);
        bytes
    })
}

/// Reads a call from a row that selects [`COLUMNS`].
pub(crate) fn read(
    row: &Row<'_>,
    connection: &Connection,
    texts: &Texts,
) -> Result<CallRecord, StoreError> {
    let optional = |column: usize| -> Result<Option<Arc<str>>, StoreError> {
        Ok(texts.text(connection, row.get(column)?)?)
    };
    let text = |column: usize| optional(column).map(Option::unwrap_or_default);
    let call_id = CallId::from_bytes(row.get(0)?);
    let flags: i64 = row.get(17)?;
    let bits = |shift: i64| u8::try_from(flags >> shift & 3).unwrap_or_default();
    let malformed = |what| StoreError::Malformed { what };
    Ok(CallRecord {
        call_id,
        request_id: match row.get::<_, Option<Arc<str>>>(13)? {
            Some(id) => id,
            None => Arc::from(call_id.encode(&mut [0; 36]) as &str),
        },
        time: Timestamp::from_microsecond(row.get(1)?).map_err(|_| malformed("time"))?,
        user: text(3)?,
        key: optional(4)?,
        team: optional(5)?,
        ip: row.get(14)?,
        session: row.get(15)?,
        feature: optional(6)?,
        tags: read_tags(row, 16)?,
        dialect: codes::dialect_from(bits(DIALECT_SHIFT)).ok_or_else(|| malformed("dialect"))?,
        endpoint: text(7)?,
        provider: text(8)?,
        model_asked: text(9)?,
        model: text(10)?,
        stream: flags & STREAM != 0,
        status: row.get(18)?,
        outcome: codes::outcome_from(row.get(19)?).ok_or_else(|| malformed("outcome"))?,
        error_type: optional(12)?,
        attempts: row.get(20)?,
        cache: codes::cache_from(bits(CACHE_SHIFT)).ok_or_else(|| malformed("cache state"))?,
        usage: read_usage(row)?,
        cost: NanoUsd::from_nanos(row.get(27)?),
        provider_cost: row.get::<_, Option<i64>>(28)?.map(NanoUsd::from_nanos),
        saved: NanoUsd::from_nanos(row.get(33)?),
        repetition: read_repetition(row, 34)?,
        price_version: text(11)?,
        estimated: flags & ESTIMATED != 0,
        latency_us: read_count(row, 29)?,
        ttft_us: row.get::<_, Option<i64>>(30)?.map(|us| u64::try_from(us).unwrap_or(0)),
        trace: None,
        decision: row.get::<_, Option<Vec<u8>>>(31)?.map(|bytes| Decision::from_bytes(&bytes)),
        tries: read_tries(row, 32)?,
    })
}

fn read_count(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn read_repetition(row: &Row<'_>, column: usize) -> Result<Option<Repetition>, StoreError> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(column)? else { return Ok(None) };
    let malformed = || StoreError::Malformed { what: "idempotency key" };
    Repetition::from_bytes(&bytes).ok_or_else(malformed).map(Some)
}

fn read_usage(row: &Row<'_>) -> Result<Usage, StoreError> {
    let other: Option<Vec<u8>> = row.get(26)?;
    let other = match other {
        Some(bytes) => {
            codec::usage(&bytes).ok_or(StoreError::Malformed { what: "count of usage" })?
        }
        None => Usage::default(),
    };
    Ok(Usage {
        input: read_count(row, 21)?,
        cache_read: read_count(row, 22)?,
        cache_write: read_count(row, 23)?,
        output: read_count(row, 24)?,
        reasoning: read_count(row, 25)?,
        ..other
    })
}

/// Tags as a JSON object, in their order; `None` where there are none.
fn tags_to_json(tags: &[(Arc<str>, Arc<str>)]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let members: Vec<_> =
        tags.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
    Some(format!("{{{}}}", members.join(",")))
}

/// Reads the tags in a column, as [`tags_to_json`] wrote them: order and repeated names included.
pub(crate) fn read_tags(row: &Row<'_>, column: usize) -> Result<Tags, StoreError> {
    row.get::<_, Option<String>>(column)?.map_or(Ok(Tags::new()), |json| tags_from_json(&json))
}

fn tags_from_json(json: &str) -> Result<Tags, StoreError> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Tags;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    serde_json::Deserializer::from_str(json)
        .deserialize_map(Pairs)
        .map_err(|_| StoreError::Malformed { what: "list of tags" })
}
