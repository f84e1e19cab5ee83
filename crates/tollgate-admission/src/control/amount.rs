//! Amounts in documents: counts as integers, money as decimals in USD, and "unlimited". They are
//! read as written, never through a binary float.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tollgate_domain::limit::Metric;
use tollgate_domain::money::{NanoUsd, parse_scaled};

/// The word for no maximum.
const UNLIMITED: &str = "unlimited";

/// An amount as documents show it: a count as an integer, money as a decimal string in USD with
/// nine decimals, or `unlimited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Amount {
    /// Calls, tokens, units.
    Count(i64),
    /// Money, or `unlimited`.
    Text(String),
}

impl Amount {
    /// So much of a metric, in its integer.
    pub fn of(metric: Metric, value: i64) -> Self {
        match metric {
            Metric::CostUsd => Self::Text(NanoUsd::from_nanos(value).to_string()),
            Metric::Requests
            | Metric::Successes
            | Metric::InputTokens
            | Metric::OutputTokens
            | Metric::Tokens
            | Metric::Concurrency
            | Metric::Units => Self::Count(value),
        }
    }

    /// A maximum; `None` is unlimited.
    pub fn maximum(metric: Metric, max: Option<i64>) -> Self {
        max.map_or_else(|| Self::Text(UNLIMITED.to_owned()), |max| Self::of(metric, max))
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// An amount as somebody wrote it: a JSON number or a string, kept as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written(String);

impl Written {
    /// An amount that was written so.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// It as a maximum of this metric; `None` is unlimited.
    pub fn maximum(&self, metric: Metric) -> Result<Option<i64>, WrongAmount> {
        if self.0 == UNLIMITED { Ok(None) } else { self.count(metric).map(Some) }
    }

    /// It as so much of this metric, in its integer.
    pub fn count(&self, metric: Metric) -> Result<i64, WrongAmount> {
        let wrong = || WrongAmount { written: self.0.clone(), metric: metric.as_str() };
        let value = match metric {
            Metric::CostUsd => parse_scaled(&self.0, 9),
            // What is not whole is refused, not rounded.
            _ => parse_scaled(&self.0, 6)
                .filter(|millionths| millionths % 1_000_000 == 0)
                .map(|millionths| millionths / 1_000_000),
        };
        value
            .and_then(|value| i64::try_from(value).ok())
            .filter(|value| *value >= 0)
            .ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Ok(Self::new(text));
        }
        serde_json::from_str::<String>(text).map(|text| Self::new(&text)).map_err(|_| {
            serde::de::Error::custom(
                "an amount must be a number, a decimal string or \"unlimited\"",
            )
        })
    }
}

/// What is no amount of a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{written}` is no amount of {metric}: expected {} that is not negative",
    if *metric == "cost_usd" { "a decimal" } else { "a whole number" }
)]
pub struct WrongAmount {
    written: String,
    metric: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_written_in_the_integer_of_their_metric() {
        let read = |json: &str, metric| {
            serde_json::from_str::<Written>(json).unwrap().maximum(metric).map_err(|_| ())
        };
        for (json, metric, is) in [
            ("10", Metric::Requests, Ok(Some(10))),
            ("\"10\"", Metric::Tokens, Ok(Some(10))),
            ("1e3", Metric::Tokens, Ok(Some(1_000))),
            ("1.5", Metric::Requests, Err(())),
            ("0.0001", Metric::Requests, Err(())),
            ("-1", Metric::Requests, Err(())),
            ("\"ten\"", Metric::Requests, Err(())),
            ("\"unlimited\"", Metric::Requests, Ok(None)),
            ("0.1", Metric::CostUsd, Ok(Some(100_000_000))),
            ("\"5.00\"", Metric::CostUsd, Ok(Some(5_000_000_000))),
            ("9300000000", Metric::CostUsd, Err(())),
        ] {
            assert_eq!(read(json, metric), is, "{json}");
        }
        for json in ["true", "null", "[1]", "{}"] {
            assert!(serde_json::from_str::<Written>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn amounts_are_shown_as_counts_or_decimals() {
        for (amount, json) in [
            (Amount::of(Metric::Requests, 10), "10"),
            (Amount::of(Metric::CostUsd, 5_000_000_000), "\"5.000000000\""),
            (Amount::maximum(Metric::CostUsd, None), "\"unlimited\""),
        ] {
            assert_eq!(serde_json::to_string(&amount).unwrap(), json);
        }
    }
}
