//! Counts as providers state them: whole numbers, floats, numbers in quotes; and nonsense.
//!
//! A figure that is no count (negative, not a number, absurdly large) is as good as not stated and
//! is remembered as odd, so that whoever reads the ledger row sees that its provider erred.

use tollgate_domain::money::parse_scaled;

use crate::json::lenient::Pull;

/// Above this a figure is nonsense.
const PLAUSIBLE: u64 = 1_000_000_000_000;

/// Reads figures and remembers whether one was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) odd: bool,
}

impl Figures {
    /// The count that comes next; `None` for `null` and for what is no count.
    pub(crate) fn count(&mut self, pull: &mut Pull<'_>) -> Option<u64> {
        let raw = pull.skip()?;
        if raw == b"null" {
            return None;
        }
        let stated = count(raw);
        self.odd |= stated.is_none();
        stated
    }

    /// The same, where not stated is zero: the parts of a whole.
    pub(crate) fn part(&mut self, pull: &mut Pull<'_>) -> u64 {
        self.count(pull).unwrap_or(0)
    }
}

/// A count as it stands in a document or in a header. A fraction is rounded up, so that what is
/// billed is never more than what is counted.
pub(crate) fn count(raw: &[u8]) -> Option<u64> {
    let bare = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")).unwrap_or(raw);
    let text = str::from_utf8(bare).ok()?;
    let whole = text.parse().ok().or_else(|| {
        let milli = parse_scaled(text, 3).and_then(|n| u64::try_from(n).ok())?;
        Some(milli.div_ceil(1_000))
    });
    whole.filter(|n| *n <= PLAUSIBLE)
}

/// Reads an object and hands each member to `each`, which must read its value. What is no object is
/// passed over; `false` then.
pub(crate) fn object<'a>(
    pull: &mut Pull<'a>,
    mut each: impl FnMut(&'a [u8], &mut Pull<'a>),
) -> bool {
    if !pull.enter_object() {
        pull.skip();
        return false;
    }
    while let Some(key) = pull.next_key() {
        each(key, pull);
    }
    true
}

/// Reads an array and hands each item to `each`, which must read it. What is no array is passed
/// over.
pub(crate) fn array<'a>(pull: &mut Pull<'a>, mut each: impl FnMut(&mut Pull<'a>)) {
    if !pull.enter_array() {
        pull.skip();
        return;
    }
    while pull.next_item() {
        each(pull);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_any_spelling_are_read_and_nonsense_is_odd() {
        for (text, read, odd) in [
            ("25", Some(25), false),
            ("25.0", Some(25), false),
            ("24.1", Some(25), false),
            ("\"25\"", Some(25), false),
            ("2.5e1", Some(25), false),
            ("null", None, false),
            ("-25", None, true),
            ("\"many\"", None, true),
            ("true", None, true),
            ("{}", None, true),
            ("1e30", None, true),
            ("99999999999999999999999999", None, true),
        ] {
            let mut figures = Figures::default();
            assert_eq!(figures.count(&mut Pull::new(text.as_bytes())), read, "{text}");
            assert_eq!(figures.odd, odd, "{text}");
        }
    }
}
