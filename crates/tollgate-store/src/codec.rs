//! The compact form of a call record in the journal.
//!
//! Hand-written because it runs twice for each call: a presence bitmap, variable-length integers,
//! length-prefixed texts, no field names. The first byte names the format, so that a later
//! program can still read an older journal. Times are kept to the microsecond.
//!
//! Decoding takes any bytes: what does not fit is `None`, never a panic.

mod tries;

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::call::{CallRecord, Repetition};
use tollgate_domain::decision::Decision;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::packed::{Input, put_bytes, put_signed, put_text, put_varint};
use tollgate_domain::usage::Usage;

use crate::clip::MAX_TAGS;
use crate::codes;
pub(crate) use tries::{put_tries, tries};

/// The format that [`encode`] writes.
const FORMAT: u8 = 1;
/// How many counts a [`Usage`] has.
const COUNTS: usize = 28;

const KEY: u64 = 1;
const TEAM: u64 = 1 << 1;
const IP: u64 = 1 << 2;
const SESSION: u64 = 1 << 3;
const FEATURE: u64 = 1 << 4;
const ERROR_TYPE: u64 = 1 << 5;
const PROVIDER_COST: u64 = 1 << 6;
const TTFT: u64 = 1 << 7;
const STREAM: u64 = 1 << 8;
const ESTIMATED: u64 = 1 << 9;
const TAGS: u64 = 1 << 10;
const OWN_REQUEST_ID: u64 = 1 << 11;
const DECISION: u64 = 1 << 12;
const TRIES: u64 = 1 << 13;
const SAVED: u64 = 1 << 14;
const REPETITION: u64 = 1 << 15;

/// Appends `record` to `out`.
pub(crate) fn encode(record: &CallRecord, out: &mut Vec<u8>) {
    let mask = presence(record);
    out.push(FORMAT);
    out.extend_from_slice(record.call_id.as_bytes());
    put_varint(out, mask);
    put_signed(out, record.time.as_microsecond());
    out.extend_from_slice(&[
        codes::dialect(record.dialect),
        codes::outcome(record.outcome),
        codes::cache(record.cache),
    ]);
    put_varint(out, u64::from(record.status));
    put_varint(out, u64::from(record.attempts));
    put_signed(out, record.cost.nanos());
    put_varint(out, record.latency_us);
    if let Some(cost) = record.provider_cost {
        put_signed(out, cost.nanos());
    }
    if let Some(ttft) = record.ttft_us {
        put_varint(out, ttft);
    }
    if mask & OWN_REQUEST_ID == 0 {
        put_text(out, &record.request_id);
    }
    for text in
        [&record.user, &record.endpoint, &record.provider, &record.model_asked, &record.model]
    {
        put_text(out, text);
    }
    put_text(out, &record.price_version);
    for text in optional(record).into_iter().flatten() {
        put_text(out, text);
    }
    put_usage(out, &record.usage);
    if mask & TAGS != 0 {
        put_varint(out, wide(record.tags.len()));
        for (name, value) in &record.tags {
            put_text(out, name);
            put_text(out, value);
        }
    }
    if let Some(decision) = &record.decision {
        put_bytes(out, decision.as_bytes());
    }
    if mask & TRIES != 0 {
        put_tries(out, &record.tries);
    }
    if mask & SAVED != 0 {
        put_signed(out, record.saved.nanos());
    }
    if let Some(repetition) = record.repetition {
        out.extend_from_slice(&repetition.to_bytes());
    }
}

fn optional(record: &CallRecord) -> [Option<&Arc<str>>; 6] {
    [
        record.key.as_ref(),
        record.team.as_ref(),
        record.ip.as_ref(),
        record.session.as_ref(),
        record.feature.as_ref(),
        record.error_type.as_ref(),
    ]
}

fn presence(record: &CallRecord) -> u64 {
    let bits = [
        (record.key.is_some(), KEY),
        (record.team.is_some(), TEAM),
        (record.ip.is_some(), IP),
        (record.session.is_some(), SESSION),
        (record.feature.is_some(), FEATURE),
        (record.error_type.is_some(), ERROR_TYPE),
        (record.provider_cost.is_some(), PROVIDER_COST),
        (record.ttft_us.is_some(), TTFT),
        (record.stream, STREAM),
        (record.estimated, ESTIMATED),
        (!record.tags.is_empty(), TAGS),
        (is_own_request_id(record), OWN_REQUEST_ID),
        (record.decision.is_some(), DECISION),
        (!record.tries.is_empty(), TRIES),
        (record.saved != NanoUsd::ZERO, SAVED),
        (record.repetition.is_some(), REPETITION),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(0, |mask, (_, bit)| mask | bit)
}

/// Whether the request id is merely the call id, as it is where the client sent none of its own.
pub(crate) fn is_own_request_id(record: &CallRecord) -> bool {
    record.request_id.len() == 36 && *record.call_id.encode(&mut [0; 36]) == *record.request_id
}

/// Reads a record; `None` where `bytes` are not exactly one.
pub(crate) fn decode(bytes: &[u8]) -> Option<CallRecord> {
    let mut input = Input::new(bytes);
    if input.byte()? != FORMAT {
        return None;
    }
    let call_id = CallId::from_bytes(*input.array::<16>()?);
    let mask = input.varint()?;
    let has = |bit: u64| mask & bit != 0;
    let time = Timestamp::from_microsecond(input.signed()?).ok()?;
    let dialect = codes::dialect_from(input.byte()?)?;
    let outcome = codes::outcome_from(input.byte()?)?;
    let cache = codes::cache_from(input.byte()?)?;
    let status = u16::try_from(input.varint()?).ok()?;
    let attempts = u16::try_from(input.varint()?).ok()?;
    let cost = NanoUsd::from_nanos(input.signed()?);
    let latency_us = input.varint()?;
    let provider_cost = input.when(has(PROVIDER_COST), |i| i.signed().map(NanoUsd::from_nanos))?;
    let ttft_us = input.when(has(TTFT), Input::varint)?;
    let request_id =
        if has(OWN_REQUEST_ID) { Arc::from(call_id.to_string()) } else { text(&mut input)? };
    let record = CallRecord {
        call_id,
        request_id,
        time,
        user: text(&mut input)?,
        endpoint: text(&mut input)?,
        provider: text(&mut input)?,
        model_asked: text(&mut input)?,
        model: text(&mut input)?,
        price_version: text(&mut input)?,
        key: input.when(has(KEY), text)?,
        team: input.when(has(TEAM), text)?,
        ip: input.when(has(IP), text)?,
        session: input.when(has(SESSION), text)?,
        feature: input.when(has(FEATURE), text)?,
        error_type: input.when(has(ERROR_TYPE), text)?,
        usage: take_usage(&mut input)?,
        tags: if has(TAGS) { take_tags(&mut input)? } else { Vec::new() },
        trace: None,
        decision: input.when(has(DECISION), |input| input.bytes().map(Decision::from_bytes))?,
        tries: if has(TRIES) { tries::take(&mut input)? } else { Vec::new() },
        saved: input
            .when(has(SAVED), |input| input.signed().map(NanoUsd::from_nanos))?
            .unwrap_or(NanoUsd::ZERO),
        repetition: input
            .when(has(REPETITION), |input| Repetition::from_bytes(input.array::<32>()?))?,
        dialect,
        outcome,
        cache,
        status,
        attempts,
        cost,
        provider_cost,
        latency_us,
        ttft_us,
        stream: has(STREAM),
        estimated: has(ESTIMATED),
    };
    input.is_empty().then_some(record)
}

/// The id of the record that `payload` holds, without reading the rest.
pub(crate) fn call_id(payload: &[u8]) -> Option<CallId> {
    let mut input = Input::new(payload);
    (input.byte()? == FORMAT).then_some(())?;
    input.array::<16>().map(|bytes| CallId::from_bytes(*bytes))
}

fn text(input: &mut Input<'_>) -> Option<Arc<str>> {
    input.text().map(Arc::from)
}

fn take_tags(input: &mut Input<'_>) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let count = usize::try_from(input.varint()?).ok().filter(|count| *count <= MAX_TAGS)?;
    (0..count).map(|_| Some((text(input)?, text(input)?))).collect()
}

/// Appends the counts that are not zero, after a bitmap that says which they are.
pub(crate) fn put_usage(out: &mut Vec<u8>, usage: &Usage) {
    let counts = counts(usage);
    let mask = counts.iter().rev().fold(0, |mask, count| mask << 1 | u64::from(*count != 0));
    put_varint(out, mask);
    for count in counts.into_iter().filter(|count| *count != 0) {
        put_varint(out, count);
    }
}

/// Reads what [`put_usage`] wrote and nothing else.
pub(crate) fn usage(bytes: &[u8]) -> Option<Usage> {
    let mut input = Input::new(bytes);
    let usage = take_usage(&mut input)?;
    input.is_empty().then_some(usage)
}

fn take_usage(input: &mut Input<'_>) -> Option<Usage> {
    let mask = input.varint()?;
    if mask >> COUNTS != 0 {
        return None;
    }
    let mut counts = [0; COUNTS];
    for (bit, count) in counts.iter_mut().enumerate() {
        if mask >> bit & 1 == 1 {
            *count = input.varint()?;
        }
    }
    Some(from_counts(counts))
}

/// The order of the counts is part of the format.
fn counts(usage: &Usage) -> [u64; COUNTS] {
    [
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.tool_input,
        usage.input_text,
        usage.input_audio,
        usage.input_image,
        usage.input_video,
        usage.cache_read_text,
        usage.cache_read_audio,
        usage.cache_read_image,
        usage.cache_read_video,
        usage.output_text,
        usage.output_audio,
        usage.output_image,
        usage.output_citation,
        usage.web_searches,
        usage.file_searches,
        usage.audio_seconds,
        usage.characters,
        usage.output_video,
        usage.pages,
        usage.annotated_pages,
        usage.messages,
    ]
}

fn from_counts(counts: [u64; COUNTS]) -> Usage {
    let [
        input,
        output,
        cache_read,
        cache_write,
        reasoning,
        cache_write_5m,
        cache_write_1h,
        tool_input,
        input_text,
        input_audio,
        input_image,
        input_video,
        cache_read_text,
        cache_read_audio,
        cache_read_image,
        cache_read_video,
        output_text,
        output_audio,
        output_image,
        output_citation,
        web_searches,
        file_searches,
        audio_seconds,
        characters,
        output_video,
        pages,
        annotated_pages,
        messages,
    ] = counts;
    Usage {
        input,
        cache_read,
        cache_write,
        cache_write_5m,
        cache_write_1h,
        tool_input,
        input_text,
        input_audio,
        input_image,
        input_video,
        cache_read_text,
        cache_read_audio,
        cache_read_image,
        cache_read_video,
        output,
        reasoning,
        output_text,
        output_audio,
        output_image,
        output_citation,
        web_searches,
        file_searches,
        audio_seconds,
        characters,
        output_video,
        pages,
        annotated_pages,
        messages,
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
