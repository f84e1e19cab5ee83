//! The attempts of a call, as the journal and the database keep them: their number, then each with a
//! byte that says what it has.

use tollgate_domain::attempt::Attempt;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::packed::{Input, put_signed, put_text, put_varint};

use super::{text, wide};
use crate::codes;

/// Most attempts that are kept of one call: what a configuration can ask for stays far below.
const MOST: usize = 255;
const STATUS: u8 = 1;
const ERROR_TYPE: u8 = 1 << 1;

/// Appends attempts.
pub(crate) fn put_tries(out: &mut Vec<u8>, tries: &[Attempt]) {
    let tries = tries.get(..MOST).unwrap_or(tries);
    put_varint(out, wide(tries.len()));
    for attempt in tries {
        let has = |some: bool, bit| if some { bit } else { 0 };
        let mask =
            has(attempt.status.is_some(), STATUS) | has(attempt.error_type.is_some(), ERROR_TYPE);
        out.extend_from_slice(&[mask, codes::billing(attempt.billing)]);
        put_text(out, &attempt.provider);
        put_text(out, &attempt.model);
        if let Some(status) = attempt.status {
            put_varint(out, u64::from(status));
        }
        if let Some(class) = &attempt.error_type {
            put_text(out, class);
        }
        put_signed(out, attempt.cost.nanos());
        put_varint(out, attempt.latency_us);
    }
}

/// Reads what [`put_tries`] wrote and nothing else.
pub(crate) fn tries(bytes: &[u8]) -> Option<Vec<Attempt>> {
    let mut input = Input::new(bytes);
    let tries = take(&mut input)?;
    input.is_empty().then_some(tries)
}

pub(super) fn take(input: &mut Input<'_>) -> Option<Vec<Attempt>> {
    let count = usize::try_from(input.varint()?).ok().filter(|count| *count <= MOST)?;
    (0..count).map(|_| take_one(input)).collect()
}

fn take_one(input: &mut Input<'_>) -> Option<Attempt> {
    let mask = input.byte()?;
    let billing = codes::billing_from(input.byte()?)?;
    let provider = text(input)?;
    let model = text(input)?;
    let status = input.when(mask & STATUS != 0, |i| u16::try_from(i.varint()?).ok())?;
    let error_type = input.when(mask & ERROR_TYPE != 0, text)?;
    let cost = NanoUsd::from_nanos(input.signed()?);
    let latency_us = input.varint()?;
    Some(Attempt { provider, model, status, error_type, billing, cost, latency_us })
}
