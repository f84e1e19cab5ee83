//! What Anthropic charges above the price of a model for the way in which a call was served: one
//! factor on the price of every token (searches cost the same). The price book has no word for it.
//!
//! Source: Anthropic's price list. Fast mode costs twice the price, on Opus 4.6 six times; where a
//! model ran in the United States on request (`inference_geo`), models since Opus 4.6 and Sonnet
//! 4.6 cost a tenth more. Both together multiply.

use super::served::Served;
use crate::money::{Rate, div_half_even};

/// The provider whose models these are, as the book calls it.
const PROVIDER: &str = "anthropic";
/// How the ids of models begin that are sold in one way only.
const PLAIN: [&str; 10] = [
    "claude-v1",
    "claude-2",
    "claude-3",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "claude-instant",
];
/// The model whose fast mode costs more than twice.
const DEAREST: &str = "claude-opus-4-6";

/// The factors of a model, in tenths of its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uplifts {
    fast: i128,
    us: i128,
}

impl Uplifts {
    /// None: however it is served, the price is the same.
    pub(super) const NONE: Self = Self { fast: 10, us: 10 };

    /// Those of a model, by its id and that of its provider in the book.
    pub(super) fn of(provider: &str, model: &str) -> Self {
        if provider != PROVIDER || PLAIN.iter().any(|start| model.starts_with(start)) {
            return Self::NONE;
        }
        Self { fast: if model == DEAREST { 60 } else { 20 }, us: 11 }
    }

    /// The factor for a call that is served so.
    pub(super) fn factor(self, served: &Served<'_>) -> Factor {
        let is = |word: Option<&str>, wanted: &str| {
            word.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
        };
        let speed = if is(served.speed, "fast") { self.fast } else { 10 };
        let place = if is(served.geo, "us") { self.us } else { 10 };
        Factor(speed * place)
    }
}

/// A factor on a rate, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor(i128);

impl Default for Factor {
    fn default() -> Self {
        Self(100)
    }
}

impl Factor {
    /// The rate that it makes, rounded half to even to a nano-dollar for a million.
    pub(super) fn on(self, rate: Rate) -> Rate {
        if self == Self::default() {
            return rate;
        }
        let nanos = div_half_even(i128::from(rate.nanos_per_million()) * self.0, 100);
        Rate::from_nanos_per_million(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}
