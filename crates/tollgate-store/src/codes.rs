//! The small integers that stand for enumerations in the journal and in the database.
//!
//! They are part of both file formats: a code is never given a second meaning.

use tollgate_domain::attempt::Billing;
use tollgate_domain::call::{CacheState, Dialect, Outcome};

pub(crate) const fn dialect(value: Dialect) -> u8 {
    match value {
        Dialect::Openai => 0,
        Dialect::Anthropic => 1,
        Dialect::Gemini => 2,
    }
}

pub(crate) const fn dialect_from(code: u8) -> Option<Dialect> {
    match code {
        0 => Some(Dialect::Openai),
        1 => Some(Dialect::Anthropic),
        2 => Some(Dialect::Gemini),
        _ => None,
    }
}

pub(crate) const fn outcome(value: Outcome) -> u8 {
    match value {
        Outcome::Success => 0,
        Outcome::Failed => 1,
        Outcome::Cancelled => 2,
        Outcome::InDoubt => 3,
        Outcome::Refused => 4,
    }
}

pub(crate) const fn outcome_from(code: u8) -> Option<Outcome> {
    match code {
        0 => Some(Outcome::Success),
        1 => Some(Outcome::Failed),
        2 => Some(Outcome::Cancelled),
        3 => Some(Outcome::InDoubt),
        4 => Some(Outcome::Refused),
        _ => None,
    }
}

pub(crate) const fn billing(value: Billing) -> u8 {
    match value {
        Billing::Billed => 0,
        Billing::Unbilled => 1,
        Billing::Unknown => 2,
    }
}

pub(crate) const fn billing_from(code: u8) -> Option<Billing> {
    match code {
        0 => Some(Billing::Billed),
        1 => Some(Billing::Unbilled),
        2 => Some(Billing::Unknown),
        _ => None,
    }
}

pub(crate) const fn cache(value: CacheState) -> u8 {
    match value {
        CacheState::Miss => 0,
        CacheState::Hit => 1,
        CacheState::Coalesced => 2,
        CacheState::Bypass => 3,
    }
}

pub(crate) const fn cache_from(code: u8) -> Option<CacheState> {
    match code {
        0 => Some(CacheState::Miss),
        1 => Some(CacheState::Hit),
        2 => Some(CacheState::Coalesced),
        3 => Some(CacheState::Bypass),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_the_value_it_stands_for() {
        for code in 0..=u8::MAX {
            assert_eq!(dialect_from(code).map_or(code, dialect), code);
            assert_eq!(outcome_from(code).map_or(code, outcome), code);
            assert_eq!(cache_from(code).map_or(code, cache), code);
        }
        for value in [CacheState::Miss, CacheState::Hit, CacheState::Coalesced, CacheState::Bypass]
        {
            assert_eq!(cache_from(cache(value)), Some(value));
        }
    }
}
