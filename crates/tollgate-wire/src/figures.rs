//! Figures as providers write them: a number, a number in quotes, a float that is meant as a count.

use tollgate_domain::money::{NanoUsd, parse_scaled};

use crate::json::lenient::Pull;

/// Above this a figure is nonsense.
const PLAUSIBLE: u64 = 1_000_000_000_000;

/// Reads a count. What is no count (negative, not a number) is not stated, and sets `odd`.
pub(crate) fn count(pull: &mut Pull<'_>, odd: &mut bool) -> Option<u64> {
    let raw = pull.skip()?;
    if raw == b"null" {
        return None;
    }
    let float = |text| parse_scaled(text, 0).and_then(|n| u64::try_from(n).ok());
    let stated = number(raw)
        .and_then(|text| text.parse().ok().or_else(|| float(text)))
        .filter(|n| *n <= PLAUSIBLE);
    *odd |= stated.is_none();
    stated
}

/// The text of a number, also where it stands in quotes.
pub(crate) fn number(raw: &[u8]) -> Option<&str> {
    let bare = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")).unwrap_or(raw);
    str::from_utf8(bare).ok()
}

/// An amount of money that is not negative.
pub(crate) fn money(raw: &[u8]) -> Option<NanoUsd> {
    number(raw)?.parse().ok().filter(|amount| *amount >= NanoUsd::ZERO)
}
