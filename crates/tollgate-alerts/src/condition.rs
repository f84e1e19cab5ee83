//! The language of `when`: `cost_usd{by=user,window=1h} > 15 * baseline for 2m`.
//!
//! ```text
//! condition := measure comparison bound [ "for" DURATION ]
//! measure   := METRIC [ "{" argument { "," argument } "}" ]
//! argument  := "by" "=" DIMENSION | "window" "=" WINDOW | "min_calls" "=" NUMBER | DIMENSION "=" VALUE
//! bound     := AMOUNT | NUMBER "*" "baseline" | "baseline"
//! ```
//!
//! A condition is read once, when the configuration is loaded; what is wrong is told with its place
//! and with the names that would be right there.

mod parse;

use std::fmt;
use std::time::Duration;

use crate::measure::{Measure, Unit, span_text};

pub use parse::{WrongCondition, amount as read_amount, form as form_of, span as span_of};

/// On which side of its bound a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Above it.
    Above,
    /// Above it or equal.
    AtLeast,
    /// Below it.
    Below,
    /// Below it or equal.
    AtMost,
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether it holds.
    pub(crate) fn holds(self, value: i128, bound: i128) -> bool {
        match self {
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
        }
    }

    /// Whether more is worse.
    pub const fn is_upwards(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// This, in the unit of the metric.
    Fixed(i64),
    /// So many thousandths of what is usual for this hour.
    Usual {
        /// The factor, in thousandths.
        thousandths: i64,
    },
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is measured.
    pub measure: Measure,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub bound: Bound,
    /// For how long it must hold before anybody is told.
    pub hold: Duration,
}

impl std::str::FromStr for Condition {
    type Err = WrongCondition;

    fn from_str(text: &str) -> Result<Self, WrongCondition> {
        parse::condition(text)
    }
}

/// As rules write it.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.measure, self.comparison.as_str())?;
        match self.bound {
            Bound::Fixed(value) => f.write_str(&amount(self.measure.metric.unit(), value))?,
            Bound::Usual { thousandths } => {
                write!(f, "{} * baseline", decimal(i128::from(thousandths), 3))?;
            }
        }
        if self.hold.is_zero() { Ok(()) } else { write!(f, " for {}", span_text(self.hold)) }
    }
}

/// An amount in the form in which rules write it.
pub(crate) fn amount(unit: Unit, value: i64) -> String {
    match unit {
        Unit::Usd => decimal(i128::from(value), 9),
        Unit::Count => value.to_string(),
        Unit::Ratio => format!("{}%", decimal(i128::from(value), 4)),
        Unit::Duration => {
            span_text(Duration::from_micros(u64::try_from(value).unwrap_or_default()))
        }
    }
}

/// A count of 10^-`places` as a decimal, without zeros at its end.
pub(crate) fn decimal(value: i128, places: u32) -> String {
    let scale = 10_i128.pow(places);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.abs() / scale, value.abs() % scale);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let width = usize::try_from(places).unwrap_or_default();
    let fraction = format!("{rest:0width$}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
