//! Measures: lengths of time, sizes, decimals, shares. All exact: no binary float is involved.

use std::time::Duration;

use tollgate_domain::money::parse_scaled;

use super::{Blank, Form, Scalar, Wrong};

/// A length of time such as `250ms`, `30s`, `10m`, `1h30m` or `2d`.
impl Scalar for Duration {
    fn read(text: &str) -> Result<Self, Wrong> {
        read_duration(text).ok_or_else(|| Wrong {
            expected: "a duration".to_owned(),
            remedy: Some("write it like \"250ms\", \"30s\", \"10m\", \"1h\" or \"2d\"".to_owned()),
        })
    }
}

impl Blank for Duration {
    fn blank() -> Self {
        Self::ZERO
    }
}

/// A length of time that is not zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Span(pub(in crate::config) Duration);

impl Scalar for Span {
    fn read(text: &str) -> Result<Self, Wrong> {
        match Duration::read(text)? {
            Duration::ZERO => Err(Wrong::expected("a duration longer than zero")),
            span => Ok(Self(span)),
        }
    }
}

impl Blank for Span {
    fn blank() -> Self {
        Self(Duration::ZERO)
    }
}

/// Reads `1h30m`: whole numbers with units, one after the other.
pub(crate) fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// A number of bytes, written as `20MiB`, `64KiB`, `1GB`, `512B` or a plain number.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Scalar for Size {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        read_size(text).map(Self).ok_or_else(|| Wrong {
            expected: "a size".to_owned(),
            remedy: Some("write it like \"64KiB\", \"20MiB\" or \"1GB\"".to_owned()),
        })
    }
}

impl Blank for Size {
    fn blank() -> Self {
        Self(0)
    }
}

fn read_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A decimal, kept as the text that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Decimal(pub(in crate::config) String);

impl Scalar for Decimal {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        match parse_scaled(text, 9) {
            Some(value) if value >= 0 => Ok(Self(text.trim().to_owned())),
            _ => Err(Wrong::expected("a decimal such as 0.15, not negative")),
        }
    }
}

impl Blank for Decimal {
    fn blank() -> Self {
        Self("0".to_owned())
    }
}

/// A share from 0 to 1, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Parts per million, 0 to 1 000 000.
    pub const fn per_million(self) -> u32 {
        self.0
    }

    /// Parts per thousand, where it has no finer ones.
    pub fn per_mille(self) -> Option<u16> {
        if self.0.is_multiple_of(1_000) { u16::try_from(self.0 / 1_000).ok() } else { None }
    }
}

/// As a decimal: `0.5`.
impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        let short = text.trim_end_matches('0');
        write!(f, "{short}{}", if short.ends_with('.') { "0" } else { "" })
    }
}

impl Scalar for Share {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        let exact = parse_scaled(text, 12).filter(|fine| fine % 1_000_000 == 0);
        exact
            .and_then(|fine| u32::try_from(fine / 1_000_000).ok())
            .filter(|parts| *parts <= 1_000_000)
            .map(Self)
            .ok_or_else(|| Wrong::expected("a share from 0 to 1 with at most six decimals"))
    }
}

impl Blank for Share {
    fn blank() -> Self {
        Self(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(read_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "30", "s", "1.5s", "-1s", "30 s", "30sec", "1h30", "99999999999999999999d"]
        {
            assert_eq!(read_duration(bad), None, "{bad}");
        }
        assert!(Span::read("0ms").is_err());
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        for (text, bytes) in [
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("20MiB", 20_971_520),
            ("20 MiB", 20_971_520),
            ("1GB", 1_000_000_000),
            ("1GiB", 1_073_741_824),
        ] {
            assert_eq!(read_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "20mib", "1TB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert_eq!(read_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn shares_are_exact_and_print_short() {
        for (text, parts, shown) in [
            ("0", 0, "0.0"),
            ("0.0", 0, "0.0"),
            ("0.5", 500_000, "0.5"),
            ("1", 1_000_000, "1.0"),
            ("0.000001", 1, "0.000001"),
        ] {
            let share = Share::read(text).unwrap();
            assert_eq!((share.per_million(), share.to_string().as_str()), (parts, shown), "{text}");
        }
        for bad in ["", "-0.1", "1.000001", "2", "0.0000001", "half", "nan"] {
            assert!(Share::read(bad).is_err(), "{bad}");
        }
        assert_eq!(Share::read("0.855").unwrap().per_mille(), Some(855));
        assert_eq!(Share::read("0.8555").unwrap().per_mille(), None);
    }

    #[test]
    fn decimals_keep_the_text_that_was_written() {
        assert_eq!(Decimal::read("5.00").unwrap().0, "5.00");
        for bad in ["", "-1", "inf", "nan", "1,5"] {
            assert!(Decimal::read(bad).is_err(), "{bad}");
        }
    }
}
