//! What a prompt would cost. Nothing is sent: tokens are counted here, prices are those in force.

use std::sync::Arc;

use tollgate_admission::control::{
    ControlError, Costs, Estimate, EstimateAsk, EstimateDifference, EstimateRow,
};
use tollgate_domain::money::{Exact, NanoUsd, parse_scaled};
use tollgate_domain::price::{ModelPrice, PriceTable, Served};
use tollgate_domain::usage::Usage;
use tollgate_wire::count::count_tokens;

use super::Controls;
use crate::config::{Config, Display};

/// Tokens of an answer where nobody says.
const USUAL_OUTPUT: u64 = 500;
/// Calls of a month where nobody says.
const USUAL_CALLS: u64 = 1_000;
/// Most models of one estimate.
const MOST_MODELS: usize = 50;
/// Most tokens of a prompt or an answer, and most calls of a month, that can be meant.
const MOST: u64 = 1_000_000_000;

/// A version of the prompt: its text, or the number of its tokens.
enum Prompt<'a> {
    Text(&'a str),
    Tokens(u64),
}

/// A model that was named, and what it costs where.
struct Priced {
    name: String,
    provider: Arc<str>,
    /// The provider's own name for it.
    model: Arc<str>,
    price: Arc<ModelPrice>,
}

impl Controls {
    pub(super) fn estimate_prompt(&self, ask: &EstimateAsk) -> Result<Estimate, ControlError> {
        let (output, calls) = (
            bounded("output_tokens", ask.output_tokens.unwrap_or(USUAL_OUTPUT))?,
            bounded("calls_per_month", ask.calls_per_month.unwrap_or(USUAL_CALLS))?,
        );
        let first = prompt("prompt", ask.prompt.as_deref(), ask.input_tokens)?
            .ok_or_else(|| invalid("say `prompt` or `input_tokens`"))?;
        let other = prompt("other_prompt", ask.other_prompt.as_deref(), ask.other_input_tokens)?;
        let prices = self.prices()?;
        let config = self.config.lock();
        let models = models(&config, &prices, &ask.models)?;
        let display = config.display.clone();
        drop(config);
        let served = Served::at(self.clock.now());
        let rows = |version: &'static str, prompt: &Prompt<'_>| -> Vec<EstimateRow> {
            let row = |model: &Priced| {
                let input = match prompt {
                    Prompt::Text(text) => count_tokens(&model.model, text),
                    Prompt::Tokens(tokens) => *tokens,
                };
                let charge = model.price.charge(&Usage::tokens(input, output), &served);
                EstimateRow {
                    version: version.to_owned(),
                    model: model.name.clone(),
                    provider: model.provider.to_string(),
                    input_tokens: input,
                    output_tokens: output,
                    costs: costs(&display, charge.total.charge().nanos().into(), calls),
                    price_version: model.price.version().to_string(),
                }
            };
            models.iter().map(row).collect()
        };
        let first = rows("prompt", &first);
        let other = other.map(|other| rows("other", &other)).unwrap_or_default();
        let differences = first.iter().zip(&other);
        let differences = differences.map(|(one, other)| difference(&display, calls, one, other));
        Ok(Estimate {
            calls_per_month: calls,
            currency: display.currency.to_string(),
            usd_rate: display.usd_rate.to_string(),
            differences: differences.collect(),
            rows: first.into_iter().chain(other).collect(),
        })
    }
}

fn invalid(message: &str) -> ControlError {
    ControlError::Invalid(message.to_owned())
}

fn bounded(name: &str, value: u64) -> Result<u64, ControlError> {
    if value <= MOST {
        return Ok(value);
    }
    Err(ControlError::Invalid(format!("`{name}` is at most {MOST}, not {value}")))
}

/// The version of a prompt that is meant, where one is.
fn prompt<'a>(
    name: &str,
    text: Option<&'a str>,
    tokens: Option<u64>,
) -> Result<Option<Prompt<'a>>, ControlError> {
    match (text, tokens) {
        (Some(_), Some(_)) => Err(ControlError::Invalid(format!(
            "`{name}` is a text or a number of tokens, not both"
        ))),
        (Some(text), None) => Ok(Some(Prompt::Text(text))),
        (None, Some(tokens)) => bounded("input_tokens", tokens).map(Prompt::Tokens).map(Some),
        (None, None) => Ok(None),
    }
}

/// The models that are named. One without a price is refused: unknown is never zero.
fn models(config: &Config, prices: &PriceTable, names: &str) -> Result<Vec<Priced>, ControlError> {
    let names: Vec<&str> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > MOST_MODELS {
        let message =
            format!("name 1 to {MOST_MODELS} models in `models`, with commas between them");
        return Err(ControlError::Invalid(message));
    }
    let price = |name: &&str| {
        priced(config, prices, name).ok_or_else(|| {
            ControlError::Invalid(format!("`{name}` has no price; `tollgate prices` lists models"))
        })
    };
    names.iter().map(price).collect()
}

/// Who serves a public name first: as configured, else a configured provider that prices it, else
/// whoever the price book knows, also under `provider/model`.
fn priced(config: &Config, prices: &PriceTable, name: &str) -> Option<Priced> {
    let at = |provider: &str, model: &str| {
        let price = prices.resolve(provider, model)?;
        let (provider, model) = (provider.into(), model.into());
        Some(Priced { name: name.to_owned(), provider, model, price })
    };
    if let Some(model) = config.models.get(name) {
        return at(&model.targets.first()?.provider, &model.targets.first()?.model);
    }
    let configured = || config.providers.keys().find_map(|provider| at(provider, name));
    let spelt = || name.split_once('/').and_then(|(provider, model)| at(provider, model));
    let known = || at(prices.book().provider_for_model(name)?, name);
    configured().or_else(spelt).or_else(known)
}

/// An amount of one call, in nano-dollars, in every form.
fn costs(display: &Display, nanos: i128, calls: u64) -> Costs {
    let month = nanos.saturating_mul(calls.into());
    let usd = |nanos: i128| exact(nanos).charge();
    Costs {
        per_call_usd: usd(nanos),
        per_month_usd: usd(month),
        per_call: in_currency(display, exact(nanos)).to_string(),
        per_month: in_currency(display, exact(month)).to_string(),
    }
}

fn exact(nanos: i128) -> Exact {
    Exact::from_femtos(nanos.saturating_mul(1_000_000))
}

/// An amount in the currency that is shown, in 10⁻⁹ of its unit.
pub(crate) fn in_currency(display: &Display, usd: Exact) -> NanoUsd {
    let millionths = parse_scaled(&display.usd_rate, 6).unwrap_or(1_000_000);
    Exact::from_femtos(usd.femtos().saturating_mul(millionths) / 1_000_000).charge()
}

fn difference(
    display: &Display,
    calls: u64,
    one: &EstimateRow,
    other: &EstimateRow,
) -> EstimateDifference {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let nanos = |row: &EstimateRow| i128::from(row.costs.per_call_usd.nanos());
    EstimateDifference {
        model: one.model.clone(),
        input_tokens: count(other.input_tokens) - count(one.input_tokens),
        costs: costs(display, nanos(other) - nanos(one), calls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_in_won_without_a_binary_float() {
        let won = Display { currency: "KRW".into(), usd_rate: "1470.5".into() };
        for (nanos, calls, per_month) in [
            (6_600, 1, "0.009705300"),
            (6_600, 1_000, "9.705300000"),
            (-6_600, 1_000, "-9.705300000"),
            (0, 1_000, "0.000000000"),
        ] {
            assert_eq!(costs(&won, nanos, calls).per_month, per_month);
        }
        let costs = costs(&won, i64::MAX.into(), MOST);
        assert_eq!(costs.per_month_usd.nanos(), i64::MAX, "held at the end of the range");
    }
}
