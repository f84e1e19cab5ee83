//! A set of prices, one for each unit that has one, and the arithmetic on it: parts are taken out
//! of their wholes, context tiers are chosen, and what is left is multiplied by its rate.

use super::unit::{Unit, Units};
use super::uplift::Factor;
use crate::money::Rate;
use crate::usage::Usage;

/// The price of a unit: a rate, and the rates of longer contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Price {
    pub(super) base: Rate,
    /// Ascending by `over`.
    pub(super) tiers: Box<[Tier]>,
}

/// A rate for calls whose whole input is over a number of tokens. It is a cliff: it applies to
/// every token of such a call, not only to those over the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    pub(super) over: u64,
    pub(super) rate: Rate,
}

impl Price {
    pub(super) fn flat(base: Rate) -> Self {
        Self { base, tiers: Box::default() }
    }

    fn rate(&self, input: u64) -> Rate {
        self.tiers.iter().rev().find(|tier| input > tier.over).map_or(self.base, |tier| tier.rate)
    }

    /// The dearest rate that a call of at most `input` tokens can meet.
    pub(super) fn dearest(&self, input: u64) -> Rate {
        let reachable = self.tiers.iter().filter(|tier| input > tier.over);
        reachable.map(|tier| tier.rate).fold(self.base, Rate::max)
    }
}

/// Prices by unit, as they are kept.
pub(super) type PriceSet = Box<[(Unit, Price)]>;

/// The prices that apply to one call, put together on the stack.
#[derive(Debug, Default)]
pub(super) struct View<'a> {
    units: Units,
    prices: [Option<&'a Price>; Unit::COUNT],
    /// What is charged above the price of tokens.
    factor: Factor,
    /// The units whose price is meant as it is.
    as_is: Units,
}

impl<'a> View<'a> {
    /// Lays `set` over what is there.
    pub(super) fn lay(&mut self, set: &'a PriceSet) {
        for (unit, price) in set {
            self.put(*unit, price);
        }
    }

    /// Lays `set` over what is there, except for the units in `taken`, to which it adds its own.
    pub(super) fn lay_below(&mut self, set: &'a PriceSet, taken: &mut Units) {
        for (unit, price) in set {
            if !taken.contains(*unit) {
                taken.insert(*unit);
                self.put(*unit, price);
            }
        }
    }

    /// Charges so much above what is there for tokens.
    pub(super) fn lift(&mut self, factor: Factor) {
        self.factor = factor;
    }

    /// Lays `set` over what is there, as prices that nothing is charged above.
    pub(super) fn lay_as_is(&mut self, set: &'a PriceSet) {
        for (unit, price) in set {
            self.as_is.insert(*unit);
            self.put(*unit, price);
        }
    }

    /// The rate of a unit with what is charged above it.
    pub(super) fn lifted(&self, unit: Unit, rate: Rate) -> Rate {
        let plain = !unit.is_token() || self.as_is.contains(unit);
        if plain { rate } else { self.factor.on(rate) }
    }

    /// Takes a unit away, so that what was counted of it falls to its whole.
    pub(super) fn remove(&mut self, unit: Unit) {
        self.units.remove(unit);
    }

    fn put(&mut self, unit: Unit, price: &'a Price) {
        self.units.insert(unit);
        if let Some(slot) = self.prices.get_mut(unit as usize) {
            *slot = Some(price);
        }
    }

    pub(super) fn get(&self, unit: Unit) -> Option<&'a Price> {
        let price = self.prices.get(unit as usize).copied().flatten();
        price.filter(|_| self.units.contains(unit))
    }

    /// The units that have a price, parts before their wholes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Unit, &'a Price)> + '_ {
        Unit::ALL.into_iter().filter_map(|unit| Some((unit, self.get(unit)?)))
    }

    /// Tells `line` what is paid for: each unit with a price, how many of it, at which rate.
    ///
    /// A part that exceeds its whole leaves nothing of the whole; no amount turns negative.
    pub(super) fn decompose(
        &self,
        usage: &Usage,
        audio_minimum: u64,
        mut line: impl FnMut(Unit, u64, Rate),
    ) {
        let mut left = [0_u64; Unit::COUNT];
        for (unit, price) in self.iter() {
            let taken: u64 = self.sum(unit.parts(), &left);
            let count = self.count(unit, usage, audio_minimum).saturating_sub(taken);
            if let Some(slot) = left.get_mut(unit as usize) {
                *slot = count;
            }
            line(unit, count, self.lifted(unit, price.rate(usage.input)));
        }
    }

    fn sum(&self, parts: Units, left: &[u64; Unit::COUNT]) -> u64 {
        if self.units.and(parts).is_empty() {
            return 0;
        }
        let parts = Unit::ALL.iter().zip(left).filter(|(unit, _)| parts.contains(**unit));
        parts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn count(&self, unit: Unit, usage: &Usage, audio_minimum: u64) -> u64 {
        let count = unit.count(usage);
        match unit {
            Unit::InputAudioTime | Unit::AudioTime if count > 0 => count.max(audio_minimum),
            // Cached audio is both cached and audio. Where only those two have prices, it goes by
            // the price of the cache and must not be counted as audio as well.
            Unit::InputText | Unit::InputAudio | Unit::InputImage | Unit::InputVideo
                if self.units.contains(Unit::Cached) && self.units.and(unit.parts()).is_empty() =>
            {
                let cached = match unit {
                    Unit::InputText => usage.cache_read_text,
                    Unit::InputAudio => usage.cache_read_audio,
                    Unit::InputImage => usage.cache_read_image,
                    _ => usage.cache_read_video,
                };
                count.saturating_sub(cached)
            }
            _ => count,
        }
    }
}
