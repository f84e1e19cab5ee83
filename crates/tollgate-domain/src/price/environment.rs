//! Prices that the environment states: `OPENAI_GPT4O_MINI_INPUT_PER_1K_USD = 0.00015`.
//!
//! Such a name holds provider, model, kind and measure. Names of environment variables have no
//! `-` and no `.`, so provider and model are compared by letters and digits alone. They are
//! compared whole: a price for `GPT4O` says nothing about `gpt-4o-mini`. This file is handed names
//! and values; it does not read the environment.

use super::unit::{Unit, checked_rate};
use crate::money::{Rate, parse_scaled};

/// The words for kinds; the longest that fits is meant.
const KINDS: [(&str, Unit); 20] = [
    ("INPUT", Unit::Input),
    ("OUTPUT", Unit::Output),
    ("CACHED_INPUT", Unit::Cached),
    ("CACHE_READ", Unit::Cached),
    ("CACHE_WRITE", Unit::CacheWrite),
    ("CACHE_WRITE_5M", Unit::CacheWrite5m),
    ("CACHE_WRITE_1H", Unit::CacheWrite1h),
    ("REASONING", Unit::Reasoning),
    ("INPUT_AUDIO", Unit::InputAudio),
    ("INPUT_IMAGE", Unit::InputImage),
    ("INPUT_VIDEO", Unit::InputVideo),
    ("CACHED_INPUT_AUDIO", Unit::CachedAudio),
    ("CACHED_INPUT_IMAGE", Unit::CachedImage),
    ("OUTPUT_AUDIO", Unit::OutputAudio),
    ("OUTPUT_IMAGE", Unit::OutputImage),
    ("OUTPUT_VIDEO", Unit::OutputVideo),
    ("CHARACTERS", Unit::Characters),
    ("WEB_SEARCH", Unit::WebSearches),
    ("FILE_SEARCH", Unit::FileSearches),
    ("REQUEST", Unit::Requests),
];

/// The prices that were found in an environment.
#[derive(Clone, Debug, Default)]
pub struct EnvPrices(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    model: Name,
    unit: Unit,
    rate: Rate,
}

/// Provider and model in letters and digits, and where a word of the name ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    letters: String,
    ends: Vec<usize>,
}

/// A variable that has the form of a price and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvPrice {
    /// The value cannot be read.
    #[error("{name}: `{value}` is not a price: expected USD as a decimal, such as 0.15, from 0 up")]
    NotAPrice {
        /// The name of the variable.
        name: String,
        /// Its value.
        value: String,
    },
    /// Two variables that state the same price.
    #[error("{first} and {second} state the same price")]
    Twice {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
}

impl EnvPrices {
    /// Takes the prices out of an environment; what has another form is passed over.
    pub fn from_vars<N: AsRef<str>, V: AsRef<str>>(
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidEnvPrice> {
        let mut entries: Vec<Entry> = Vec::new();
        for (name, value) in vars {
            let (name, value) = (name.as_ref(), value.as_ref());
            let Some((model, unit, decimals)) = take_apart(name) else {
                continue;
            };
            let rate = parse_scaled(value, decimals).and_then(|nanos| checked_rate(nanos, value));
            let rate = rate.ok_or_else(|| InvalidEnvPrice::NotAPrice {
                name: name.to_owned(),
                value: value.to_owned(),
            })?;
            let same = |other: &&Entry| other.unit == unit && other.model.letters == model.letters;
            if let Some(first) = entries.iter().find(same) {
                let (first, second) = (first.name.clone(), name.to_owned());
                return Err(InvalidEnvPrice::Twice { first, second });
            }
            entries.push(Entry { name: name.to_owned(), model, unit, rate });
        }
        Ok(Self(entries))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The prices of a model at a provider.
    pub(super) fn rates(&self, provider: &str, model: &str) -> Vec<(Unit, Rate)> {
        let entries = self.0.iter().filter(|entry| entry.model.is(provider, model));
        entries.map(|entry| (entry.unit, entry.rate)).collect()
    }

    /// The names of the variables whose model fits none of `known` (provider and model).
    pub(super) fn unknown<'a>(&self, known: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<&str> {
        let mut left: Vec<&Entry> = self.0.iter().collect();
        for (provider, model) in known {
            left.retain(|entry| !entry.model.is(provider, model));
        }
        left.into_iter().map(|entry| entry.name.as_str()).collect()
    }
}

impl Name {
    fn read(text: &str) -> Self {
        let (mut letters, mut ends) = (String::new(), Vec::new());
        for word in text.split('_') {
            letters.extend(squash(word));
            ends.push(letters.len());
        }
        Self { letters, ends }
    }

    fn is(&self, provider: &str, model: &str) -> bool {
        let provider_len: usize = squash(provider).map(char::len_utf8).sum();
        provider_len < self.letters.len()
            && self.ends.contains(&provider_len)
            && squash(provider).chain(squash(model)).eq(self.letters.chars())
    }
}

/// Letters and digits alone, in lower case.
fn squash(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Provider and model, kind, and the decimals that bring the value to nano-dollars for a million.
fn take_apart(name: &str) -> Option<(Name, Unit, u32)> {
    let upper = name.to_ascii_uppercase();
    let rest = upper.strip_suffix("_USD")?;
    let (rest, decimals) = match rest.strip_suffix("_PER_1K") {
        Some(rest) => (rest, 12),
        None => (rest.strip_suffix("_PER_1M")?, 9),
    };
    let kinds = KINDS.into_iter().filter_map(|(kind, unit)| {
        let model = rest.strip_suffix(kind)?.strip_suffix('_')?;
        Some((model, unit))
    });
    let (model, unit) = kinds.min_by_key(|(model, _)| model.len())?;
    Some((Name::read(model), unit, decimals)).filter(|_| model.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_letters_and_digits_and_whole() {
        let name = "OPENAI_GPT4O_MINI_INPUT_PER_1K_USD";
        for (name, provider, model, is) in [
            (name, "openai", "gpt-4o-mini", true),
            (name, "OpenAI", "GPT-4o-Mini", true),
            (name, "openai", "gpt-4o", false),
            (name, "openai", "gpt-4o-mini-2024", false),
            (name, "open", "ai-gpt-4o-mini", false),
            (name, "azure", "gpt-4o-mini", false),
            ("OPENAI_GPT4O_INPUT_PER_1K_USD", "openai", "gpt-4o", true),
            ("OPENAI_GPT4O_INPUT_PER_1K_USD", "openai", "gpt-4o-mini", false),
            ("OPENAI_GPT_4_1_INPUT_PER_1M_USD", "openai", "gpt-4.1", true),
            ("OPENAI_GPT41_INPUT_PER_1M_USD", "openai", "gpt-4.1", true),
            ("X_AI_GROK_4_INPUT_PER_1M_USD", "x-ai", "grok-4", true),
            ("XAI_GROK4_INPUT_PER_1M_USD", "x-ai", "grok-4", true),
            ("XA_IGROK4_INPUT_PER_1M_USD", "x-ai", "grok-4", false),
            ("GROQ_META_LLAMA_LLAMA_4_INPUT_PER_1M_USD", "groq", "meta-llama/llama-4", true),
            ("openai_gpt4o_input_per_1k_usd", "openai", "gpt-4o", true),
        ] {
            let prices = EnvPrices::from_vars([(name, "1")]).unwrap();
            assert_eq!(!prices.rates(provider, model).is_empty(), is, "{name} {provider} {model}");
        }
    }

    #[test]
    fn kind_and_measure_are_read_from_the_end_of_the_name() {
        for (name, value, unit, nanos_per_million) in [
            ("OPENAI_GPT4O_INPUT_PER_1K_USD", "0.0025", Unit::Input, 2_500_000_000),
            ("OPENAI_GPT4O_OUTPUT_PER_1K_USD", "0.01", Unit::Output, 10_000_000_000),
            ("OPENAI_GPT4O_CACHED_INPUT_PER_1M_USD", "1.25", Unit::Cached, 1_250_000_000),
            ("A_B_CACHE_WRITE_1H_PER_1M_USD", "6", Unit::CacheWrite1h, 6_000_000_000),
            ("A_B_INPUT_AUDIO_PER_1M_USD", "40", Unit::InputAudio, 40_000_000_000),
            ("A_B_WEB_SEARCH_PER_1K_USD", "10", Unit::WebSearches, 10_000_000_000_000),
            ("A_B_INPUT_PER_1M_USD", "0", Unit::Input, 0),
        ] {
            let prices = EnvPrices::from_vars([(name, value)]).unwrap();
            let entry = &prices.0[0];
            assert_eq!(entry.unit, unit, "{name}");
            assert_eq!(entry.rate.nanos_per_million(), nanos_per_million, "{name}");
        }
    }

    #[test]
    fn other_variables_are_passed_over_and_bad_prices_are_not() {
        let others = [
            ("PATH", "/bin"),
            ("OPENAI_API_KEY", "sk"),
            ("BUDGET_USD", "x"),
            ("POWER_PER_1K_USD", "x"),
            ("GPT4O_INPUT_PER_1K_USD", "x"),
            ("OPENAI_GPT4O_MOOD_PER_1K_USD", "x"),
            ("OPENAI_GPT4O_INPUT_PER_1K", "x"),
            ("_USD", ""),
        ];
        assert!(EnvPrices::from_vars(others).unwrap().is_empty());
        for value in ["", "x", "-1", "1,5", "1e-30"] {
            let vars = [("OPENAI_GPT4O_INPUT_PER_1K_USD", value)];
            assert!(EnvPrices::from_vars(vars).is_err(), "{value}");
        }
        let twice = [("A_B_C_INPUT_PER_1K_USD", "1"), ("A_BC_INPUT_PER_1M_USD", "1")];
        assert!(matches!(EnvPrices::from_vars(twice), Err(InvalidEnvPrice::Twice { .. })));
    }
}
