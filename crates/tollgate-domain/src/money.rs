//! Money is an integer (MONEY-1): [`NanoUsd`] in the ledger, [`Exact`] while a price is worked out.
//!
//! A rate is nano-dollars per million tokens, so tokens × rate is exact in 10⁻¹⁵ USD. The sum is
//! rounded once, at the end: half to even for what is charged, upwards for what is set aside.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 10⁻⁹ USD in 10⁻¹⁵ USD.
const FEMTO_PER_NANO: i128 = 1_000_000;
const NANO_PER_USD: u64 = 1_000_000_000;

/// An amount of money in nano-dollars (10⁻⁹ USD). Holds ±9.2 × 10⁹ USD; sums saturate there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(i64);

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be held.
    pub const MAX: Self = Self(i64::MAX);

    /// An amount of so many nano-dollars.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The sum, or `None` where it cannot be held.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, held at the ends of the range.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount in 10⁻¹⁵ USD.
    pub fn exact(self) -> Exact {
        Exact(i128::from(self.0) * FEMTO_PER_NANO)
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for NanoUsd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Neg for NanoUsd {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// USD with nine decimals, the form of every document that leaves the program.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanos / NANO_PER_USD, nanos % NANO_PER_USD)
    }
}

impl fmt::Debug for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} USD")
    }
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A decimal that is not an amount: not a number, or too large to hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: expected a decimal such as 5, 0.15 or 1e-6")]
pub struct InvalidAmount(String);

/// Reads a decimal as written, never through a binary float; beyond nine decimals half to even.
impl FromStr for NanoUsd {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_scaled(text, 9)
            .and_then(|n| i64::try_from(n).ok())
            .map(Self)
            .ok_or_else(|| InvalidAmount(text.to_owned()))
    }
}

/// Reads a decimal (`12`, `-0.5`, `1.5e-3`) as an integer count of 10^-`decimals`, half to even.
///
/// `None` where the text is no decimal, or its value cannot be held.
pub fn parse_scaled(text: &str, decimals: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()).filter(|b| *b != b'_') {
        let digit = byte.checked_sub(b'0').filter(|d| *d < 10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let fraction_digits = i32::try_from(fraction.bytes().filter(|b| *b != b'_').count()).ok()?;
    let shift =
        i32::try_from(decimals).ok()?.checked_sub(fraction_digits)?.checked_add(exponent)?;
    let scaled = if shift >= 0 {
        if value == 0 { 0 } else { value.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)? }
    } else {
        match 10i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => div_half_even(value, divisor),
            None => 0,
        }
    };
    Some(if negative { -scaled } else { scaled })
}

/// A price: nano-dollars per million units (tokens, mostly). Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

impl Rate {
    /// Free of charge, on purpose.
    pub const FREE: Self = Self(0);

    /// A rate of so many nano-dollars for a million units; below zero counts as free.
    pub const fn from_nanos_per_million(nanos: i64) -> Self {
        Self(if nanos < 0 { 0 } else { nanos })
    }

    /// Nano-dollars for a million units.
    pub const fn nanos_per_million(self) -> i64 {
        self.0
    }

    /// Reads a decimal of USD per million units.
    pub fn parse_usd_per_million(text: &str) -> Option<Self> {
        let nanos = i64::try_from(parse_scaled(text, 9)?).ok()?;
        (nanos >= 0).then_some(Self(nanos))
    }

    /// What `units` of this cost, exactly.
    pub fn of(self, units: u64) -> Exact {
        Exact(i128::from(self.0).saturating_mul(i128::from(units)))
    }
}

/// An exact amount in 10⁻¹⁵ USD: the form in which prices of parts are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(i128);

impl Exact {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// An amount of so many 10⁻¹⁵ USD.
    pub const fn from_femtos(femtos: i128) -> Self {
        Self(femtos)
    }

    /// So many times the amount.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(i128::from(count)))
    }

    /// The amount in 10⁻¹⁵ USD.
    pub const fn femtos(self) -> i128 {
        self.0
    }

    /// Rounds half to even: what a call is charged.
    pub fn charge(self) -> NanoUsd {
        NanoUsd(clamp_i64(div_half_even(self.0, FEMTO_PER_NANO)))
    }

    /// Rounds upwards: what is set aside before a call, never too little.
    pub fn hold(self) -> NanoUsd {
        NanoUsd(clamp_i64(
            self.0.div_euclid(FEMTO_PER_NANO) + i128::from(self.0.rem_euclid(FEMTO_PER_NANO) != 0),
        ))
    }
}

impl Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Exact {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Divides by a positive `divisor`, rounding half to even.
pub(crate) fn div_half_even(value: i128, divisor: i128) -> i128 {
    let quotient = value.div_euclid(divisor);
    let remainder = value.rem_euclid(divisor);
    match (remainder * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

fn clamp_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_as_written() {
        for (text, nanos) in [
            ("5", 5_000_000_000),
            ("5.00", 5_000_000_000),
            ("0.000000001", 1),
            ("0.0000000005", 0),
            ("0.0000000015", 2),
            ("0.0000000025", 2),
            ("1e-6", 1_000),
            ("1.5E+2", 150_000_000_000),
            (".5", 500_000_000),
            ("-0.1", -100_000_000),
        ] {
            assert_eq!(text.parse::<NanoUsd>().unwrap().nanos(), nanos, "{text}");
        }
        for bad in ["", ".", "abc", "1.2.3", "1e", "9300000000", "1e400", "NaN", "--1"] {
            assert!(bad.parse::<NanoUsd>().is_err(), "{bad}");
        }
        assert_eq!("0e400".parse::<NanoUsd>().unwrap(), NanoUsd::ZERO);
        assert_eq!("1e-400".parse::<NanoUsd>().unwrap(), NanoUsd::ZERO);
    }

    #[test]
    fn charges_round_half_to_even_and_holds_round_up() {
        for (femtos, charge, hold) in
            [(0, 0, 0), (500_000, 0, 1), (1_500_000, 2, 2), (1, 0, 1), (2_500_000, 2, 3)]
        {
            assert_eq!(Exact::from_femtos(femtos).charge().nanos(), charge, "{femtos}");
            assert_eq!(Exact::from_femtos(femtos).hold().nanos(), hold, "{femtos}");
        }
    }

    #[test]
    fn amounts_print_with_nine_decimals() {
        assert_eq!(NanoUsd::from_nanos(6_600).to_string(), "0.000006600");
        assert_eq!(NanoUsd::from_nanos(-1_500_000_000).to_string(), "-1.500000000");
        assert_eq!(NanoUsd::from_nanos(i64::MIN).to_string(), "-9223372036.854775808");
    }
}
