//! Prices that the configuration states: `[prices."provider/model"]`.
//!
//! Values arrive as text, as they were written, so that no decimal passes a binary float. What is
//! wrong is named with the keys that would be right.

use jiff::Timestamp;

use super::notation::midnight;
use super::served::Window;
use super::set::{Price, PriceSet};
use super::unit::{Unit, checked_rate};
use crate::money::{Rate, parse_scaled};

const FROM: &str = "effective_from";
const TO: &str = "effective_to";
/// The call itself in USD, where the unit's own key would be USD for a thousand calls.
const PER_REQUEST: &str = "per_request";

/// The prices of one entry of the configuration.
#[derive(Clone, Debug)]
pub struct Override {
    pub(super) window: Window,
    pub(super) rates: Vec<(Unit, Rate)>,
}

/// An entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// A key that does not exist.
    #[error("unknown key `{key}`; did you mean `{nearest}`? Valid keys: {valid}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The valid key that is most like it.
        nearest: &'static str,
        /// All valid keys.
        valid: String,
    },
    /// A price that is no decimal, is negative, or is too small or too large to hold.
    #[error("`{key} = {value}` is not a price: expected USD as a decimal, such as 0.15, from 0 up")]
    NotAPrice {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
    },
    /// A point in time that cannot be read.
    #[error("`{key} = {value}` is not a time: expected 2026-12-01 or 2026-12-01T00:00:00Z")]
    NotATime {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
    },
    /// A key that is there twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// No price at all.
    #[error("the entry states no price")]
    Empty,
    /// A price that ends before it begins.
    #[error("`effective_to` is not after `effective_from`")]
    EmptyWindow,
}

impl Override {
    /// Reads the keys and values of an entry. Prices are USD: for a million tokens, or for what
    /// the end of the key says.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OverrideError> {
        let mut entry = Self { window: Window::ALWAYS, rates: Vec::new() };
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in pairs {
            if seen.contains(&key) {
                return Err(OverrideError::Twice(key.to_owned()));
            }
            seen.push(key);
            entry.take(key, value)?;
        }
        if entry.rates.is_empty() {
            return Err(OverrideError::Empty);
        }
        if entry.window.from >= entry.window.until {
            return Err(OverrideError::EmptyWindow);
        }
        Ok(entry)
    }

    /// Every key that an entry may have.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        Unit::ALL.into_iter().map(Unit::key).chain([PER_REQUEST, FROM, TO])
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), OverrideError> {
        if key == FROM || key == TO {
            let not_a_time =
                || OverrideError::NotATime { key: key.to_owned(), value: value.to_owned() };
            let second = instant(value).ok_or_else(not_a_time)?;
            let edge = if key == FROM { &mut self.window.from } else { &mut self.window.until };
            *edge = second;
            return Ok(());
        }
        let (unit, rate) = if key == PER_REQUEST {
            let nanos = parse_scaled(value, 15);
            (Unit::Requests, nanos.and_then(|nanos| checked_rate(nanos, value)))
        } else {
            let unit = Unit::from_key(key).ok_or_else(|| unknown(key))?;
            (unit, unit.parse_rate(value))
        };
        if self.rates.iter().any(|(other, _)| *other == unit) {
            return Err(OverrideError::Twice(key.to_owned()));
        }
        let not_a_price =
            || OverrideError::NotAPrice { key: key.to_owned(), value: value.to_owned() };
        self.rates.push((unit, rate.ok_or_else(not_a_price)?));
        Ok(())
    }
}

/// Rates as a set of prices without tiers.
pub(super) fn flat(rates: &[(Unit, Rate)]) -> PriceSet {
    rates.iter().map(|(unit, rate)| (*unit, Price::flat(*rate))).collect()
}

/// Which key is missing before these rates can stand alone. Tokens need a price in both
/// directions (an embedding model says `output = 0`); a price for something else may stand by
/// itself.
pub(super) fn missing(rates: &[(Unit, Rate)]) -> Option<&'static str> {
    let has = |wanted: Unit| rates.iter().any(|(unit, _)| *unit == wanted);
    if !rates.is_empty() && !rates.iter().any(|(unit, _)| unit.is_token()) {
        return None;
    }
    [Unit::Input, Unit::Output].into_iter().find(|unit| !has(*unit)).map(Unit::key)
}

fn instant(text: &str) -> Option<i64> {
    midnight(text).or_else(|| text.parse().ok().map(|at: Timestamp| at.as_second()))
}

fn unknown(key: &str) -> OverrideError {
    let likeness = |valid: &&'static str| strsim::damerau_levenshtein(valid, key);
    let nearest = Override::keys().min_by_key(likeness).unwrap_or_default();
    let valid = Override::keys().collect::<Vec<_>>().join(", ");
    OverrideError::UnknownKey { key: key.to_owned(), nearest, valid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_entry_is_named() {
        let error = |pairs: &[(&'static str, &'static str)]| {
            Override::from_pairs(pairs.iter().copied()).unwrap_err().to_string()
        };
        assert!(error(&[("ouput", "1")]).contains("did you mean `output`? Valid keys: "));
        assert!(error(&[("cache_input", "1")]).contains("`cached_input`"));
        assert!(error(&[("input", "1,5")]).contains("`input = 1,5` is not a price"));
        assert!(error(&[("input", "-1")]).contains("not a price"));
        assert!(error(&[("input", "NaN")]).contains("not a price"));
        assert!(error(&[("input", "0.0000000001")]).contains("not a price"));
        assert!(error(&[("input", "1"), ("input", "1")]).contains("twice"));
        assert!(error(&[("per_request", "1"), ("requests_per_1k", "1")]).contains("twice"));
        assert!(error(&[("effective_from", "2026-01-01")]).contains("no price"));
        assert!(error(&[("input", "1"), ("effective_to", "soon")]).contains("not a time"));
        let backwards =
            [("input", "1"), ("effective_from", "2026-01-02"), ("effective_to", "2026-01-01")];
        assert!(error(&backwards).contains("not after"));
    }

    #[test]
    fn tokens_need_a_price_in_both_directions_and_other_things_stand_alone() {
        for (pairs, missing_key) in [
            (vec![("input", "1")], Some("output")),
            (vec![("output", "1")], Some("input")),
            (vec![("input", "1"), ("output", "0")], None),
            (vec![("cached_input", "1"), ("per_request", "1")], Some("input")),
            (vec![("per_request", "0.01")], None),
            (vec![("characters_per_1m", "15")], None),
        ] {
            let entry = Override::from_pairs(pairs.clone()).unwrap();
            assert_eq!(missing(&entry.rates), missing_key, "{pairs:?}");
        }
    }
}
