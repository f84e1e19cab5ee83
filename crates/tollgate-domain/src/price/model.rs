//! The price of one model: what a call costs, line by line where somebody asks, and the most that
//! a call can cost, for the reservation.

use std::sync::Arc;

use super::served::{Condition, Served, Window};
use super::set::{Price, PriceSet, View};
use super::unit::{Side, Unit, Units};
use super::uplift::Uplifts;
use crate::money::{Exact, NanoUsd, Rate};
use crate::usage::Usage;

/// The price of a model at a provider, resolved: standard prices over time, special prices for
/// tiers and batches, and what the configuration lays over them.
#[derive(Clone, Debug)]
pub struct ModelPrice {
    pub(super) version: Arc<str>,
    pub(super) id: Arc<str>,
    pub(super) context_window: Option<u64>,
    /// Audio is billed for at least so many seconds.
    pub(super) audio_minimum: u64,
    /// The last one in force applies, or else the first.
    pub(super) periods: Box<[Period]>,
    /// For each unit the first that applies wins.
    pub(super) variants: Box<[Variant]>,
    /// What is charged above these for the way of serving.
    pub(super) uplifts: Uplifts,
    /// Overrides, the strongest last.
    pub(super) overlays: Vec<Period>,
}

/// Prices for a time.
#[derive(Clone, Debug)]
pub(super) struct Period {
    pub(super) window: Window,
    pub(super) prices: PriceSet,
}

/// Prices for a way of serving; they replace the standard ones of the same units.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) conditions: Box<[Condition]>,
    pub(super) period: Period,
}

/// What a call costs, exactly; [`Exact::charge`] of the total is what goes to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// For what went in.
    pub input: Exact,
    /// For what came out.
    pub output: Exact,
    /// For searches, time of audio and the call itself.
    pub other: Exact,
    /// The sum.
    pub total: Exact,
}

/// One line of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was paid for.
    pub unit: Unit,
    /// How many: tokens, characters, seconds, pages, searches. Counts are apart from each other;
    /// cached input is not in `input` again where it has a price of its own.
    pub count: u64,
    /// The price of a million.
    pub rate: Rate,
    /// The product.
    pub amount: Exact,
}

/// The dearest that a call can be, for its reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// For an input token of any kind, written to a cache or not.
    pub input: Rate,
    /// For an output token of any kind.
    pub output: Rate,
    /// For an input token of text that is neither read from a cache nor written to one.
    pub plain_input: Rate,
    /// For an output token of text.
    pub plain_output: Rate,
    /// For the call itself.
    pub per_call: Exact,
    /// For each search of the web.
    pub per_web_search: Exact,
    /// For each search of files.
    pub per_file_search: Exact,
    /// For a second of audio, where time is billed.
    pub audio_second: Rate,
    /// For a character that is spoken.
    pub character: Rate,
    /// For a page that is read.
    pub page: Rate,
}

impl Ceiling {
    /// What to set aside for so many tokens in and out, rounded upwards. Searches, audio, spoken
    /// characters and pages come on top.
    pub fn hold(&self, input: u64, output: u64) -> NanoUsd {
        (self.input.of(input) + self.output.of(output) + self.per_call).hold()
    }
}

impl ModelPrice {
    /// A price of so much for tokens in and out, and nothing else.
    pub(super) fn alone(version: Arc<str>, id: Arc<str>, prices: PriceSet) -> Self {
        Self {
            version,
            id,
            context_window: None,
            audio_minimum: 0,
            periods: Box::new([Period { window: Window::ALWAYS, prices }]),
            variants: Box::default(),
            uplifts: Uplifts::NONE,
            overlays: Vec::new(),
        }
    }

    /// Which price this is, for the ledger row: source, version, provider and model.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The plain id of the model, as the book or the override names it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How many tokens the model can hold, where the book says so.
    pub fn context_window(&self) -> Option<u64> {
        self.context_window
    }

    /// What `usage` costs.
    pub fn charge(&self, usage: &Usage, served: &Served<'_>) -> Charge {
        let mut charge = Charge::default();
        self.view(served).decompose(usage, self.audio_minimum, |unit, count, rate| {
            let amount = rate.of(count);
            match unit.side() {
                Side::Input => charge.input += amount,
                Side::Output => charge.output += amount,
                Side::Other => charge.other += amount,
            }
        });
        charge.total = charge.input + charge.output + charge.other;
        charge
    }

    /// What `usage` costs, line by line; the lines add up to [`ModelPrice::charge`]. Nothing that
    /// was not used is listed.
    pub fn explain(&self, usage: &Usage, served: &Served<'_>) -> Vec<Line> {
        let mut lines = Vec::new();
        self.view(served).decompose(usage, self.audio_minimum, |unit, count, rate| {
            if count > 0 {
                lines.push(Line { unit, count, rate, amount: rate.of(count) });
            }
        });
        lines
    }

    /// The dearest that a call can be which is served so and has at most `input` tokens in.
    /// `u64::MAX` where the number is not known: then the longest context's rates count.
    pub fn ceiling(&self, served: &Served<'_>, input: u64) -> Ceiling {
        let view = self.view(served);
        let dearest = |unit, price: &Price| view.lifted(unit, price.dearest(input));
        let rate = |unit| view.get(unit).map_or(Rate::FREE, |price| dearest(unit, price));
        let side = |side| {
            let units = view.iter().filter(|(unit, _)| unit.is_token() && unit.side() == side);
            units.map(|(unit, price)| dearest(unit, price)).max().unwrap_or(Rate::FREE)
        };
        Ceiling {
            input: side(Side::Input),
            output: side(Side::Output),
            plain_input: rate(Unit::Input).max(rate(Unit::InputText)),
            plain_output: rate(Unit::Output)
                .max(rate(Unit::OutputText))
                .max(rate(Unit::Reasoning))
                .max(rate(Unit::Citation)),
            per_call: rate(Unit::Requests).of(1),
            per_web_search: rate(Unit::WebSearches).of(1),
            per_file_search: rate(Unit::FileSearches).of(1),
            audio_second: rate(Unit::AudioTime).max(rate(Unit::InputAudioTime)),
            character: rate(Unit::Characters),
            page: rate(Unit::Pages).max(rate(Unit::AnnotatedPages)),
        }
    }

    /// The price of what calls no model: nothing, on purpose.
    pub fn nothing() -> Self {
        Self::alone(Arc::from("free"), Arc::from(""), PriceSet::default())
    }

    /// Whether a call that is served so costs nothing, on purpose.
    pub fn is_free(&self, served: &Served<'_>) -> bool {
        self.view(served).iter().all(|(_, price)| price.dearest(u64::MAX) == Rate::FREE)
    }

    /// Lays prices over these; they win over every price that is there.
    pub(super) fn overlay(&mut self, window: Window, prices: PriceSet) {
        self.overlays.push(Period { window, prices });
    }

    fn view(&self, served: &Served<'_>) -> View<'_> {
        let mut view = View::default();
        let now = self.periods.iter().rev().find(|period| period.window.holds(served.at));
        if let Some(period) = now.or_else(|| self.periods.first()) {
            view.lay(&period.prices);
        }
        let mut taken = Units::default();
        for variant in &self.variants {
            let applies = variant.conditions.iter().all(|condition| condition.holds(served))
                && variant.period.window.holds(served.at);
            if applies {
                view.lay_below(&variant.period.prices, &mut taken);
            }
        }
        view.lift(self.uplifts.factor(served));
        for overlay in self.overlays.iter().filter(|overlay| overlay.window.holds(served.at)) {
            // One price for writing to the cache replaces the book's price for the short kind.
            if overlay.prices.iter().any(|(unit, _)| *unit == Unit::CacheWrite) {
                view.remove(Unit::CacheWrite5m);
            }
            view.lay_as_is(&overlay.prices);
        }
        view
    }
}
