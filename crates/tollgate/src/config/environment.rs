//! The configuration without a file: each provider key in the environment enables its provider.
//!
//! A configuration is written out as text and read like any other, with the variables still to be
//! expanded; so what holds for files holds here, and a key can add nothing but itself.

use std::ffi::OsString;

use tollgate_domain::price::EnvPrices;

use super::problem::ConfigErrors;
use super::reader::Reading;
use super::{Config, Kind};

/// A provider that a variable enables.
#[derive(Clone, Copy, Debug)]
pub struct KnownProvider {
    /// Its name, in the configuration and in the price book.
    pub name: &'static str,
    /// The variable with its key.
    pub key: &'static str,
    /// The variable that moves it to another address.
    pub base: &'static str,
    /// Its dialect.
    pub kind: Kind,
    /// Its own address.
    pub base_url: &'static str,
}

const fn provider(
    name: &'static str,
    (key, base): (&'static str, &'static str),
    kind: Kind,
    base_url: &'static str,
) -> KnownProvider {
    KnownProvider { name, key, base, kind, base_url }
}

/// The providers that a variable enables. Addresses are those of the providers' own documents.
pub const PROVIDERS: &[KnownProvider] = &[
    provider(
        "openai",
        ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        Kind::Openai,
        "https://api.openai.com/v1",
    ),
    provider(
        "anthropic",
        ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        Kind::Anthropic,
        "https://api.anthropic.com",
    ),
    provider(
        "gemini",
        ("GEMINI_API_KEY", "GEMINI_BASE_URL"),
        Kind::Gemini,
        "https://generativelanguage.googleapis.com",
    ),
    provider(
        "deepseek",
        ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL"),
        Kind::Openai,
        "https://api.deepseek.com/v1",
    ),
    provider(
        "mistral",
        ("MISTRAL_API_KEY", "MISTRAL_BASE_URL"),
        Kind::Openai,
        "https://api.mistral.ai/v1",
    ),
    provider("xai", ("XAI_API_KEY", "XAI_BASE_URL"), Kind::Openai, "https://api.x.ai/v1"),
    provider(
        "groq",
        ("GROQ_API_KEY", "GROQ_BASE_URL"),
        Kind::Openai,
        "https://api.groq.com/openai/v1",
    ),
    provider(
        "openrouter",
        ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"),
        Kind::Openai,
        "https://openrouter.ai/api/v1",
    ),
    provider(
        "together",
        ("TOGETHER_API_KEY", "TOGETHER_BASE_URL"),
        Kind::Openai,
        "https://api.together.xyz/v1",
    ),
    provider(
        "fireworks",
        ("FIREWORKS_API_KEY", "FIREWORKS_BASE_URL"),
        Kind::Openai,
        "https://api.fireworks.ai/inference/v1",
    ),
    provider(
        "cerebras",
        ("CEREBRAS_API_KEY", "CEREBRAS_BASE_URL"),
        Kind::Openai,
        "https://api.cerebras.ai/v1",
    ),
    provider(
        "perplexity",
        ("PERPLEXITY_API_KEY", "PERPLEXITY_BASE_URL"),
        Kind::Openai,
        "https://api.perplexity.ai",
    ),
    provider(
        "cohere",
        ("COHERE_API_KEY", "COHERE_BASE_URL"),
        Kind::Openai,
        "https://api.cohere.ai/compatibility/v1",
    ),
    provider(
        "holysheep",
        ("HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"),
        Kind::Openai,
        "https://api.holysheep.ai/v1",
    ),
];

/// Variables that turn every call off.
const KILL_SWITCHES: [&str; 2] = ["TOLLGATE_KILL_SWITCH", "FORCE_ANALYSIS_DISABLED"];

/// Where variables come from; a function of names is one, for tests.
pub trait Environment {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<String>;

    /// All variables whose name and value are text.
    fn all(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn all(&self) -> Vec<(String, String)> {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }
}

/// The prices that the environment states (SPEC §7).
pub(super) fn env_prices(reading: &Reading<'_>) -> EnvPrices {
    EnvPrices::from_vars(reading.environment.all()).unwrap_or_else(|error| {
        reading.report_outside(error.to_string(), Some("correct or unset it".to_owned()));
        EnvPrices::default()
    })
}

/// The variable that turns every call off, if one does. Whatever is not plainly "off" counts as
/// on: a switch that somebody reached for in an emergency must not fail on a spelling.
pub(super) fn kill_switch(environment: &dyn Environment) -> Option<&'static str> {
    KILL_SWITCHES.into_iter().find(|name| {
        environment.get(name).is_some_and(|value| {
            !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "false" | "off" | "no")
        })
    })
}

impl Config {
    /// The configuration where there is no file: each provider whose key is set, the preset
    /// `monitor`, and the admin key of `TOLLGATE_ADMIN_KEY`.
    ///
    /// An error where no key of a provider is set that this version serves; it says what to do.
    pub fn from_env(environment: &dyn Environment) -> Result<Self, ConfigErrors> {
        let is_set =
            |name: &str| environment.get(name).is_some_and(|value| !value.trim().is_empty());
        let found: Vec<&KnownProvider> = PROVIDERS.iter().filter(|it| is_set(it.key)).collect();
        if found.is_empty() {
            return Err(nothing_to_serve());
        }
        let mut text =
            "preset = \"monitor\"\n[server]\nadmin_key = \"${TOLLGATE_ADMIN_KEY:-}\"\n".to_owned();
        for provider in found {
            text.push_str(&section(provider));
        }
        let config = Self::parse("environment", &text, environment)?;
        Ok(Self { lines: std::collections::BTreeMap::new(), ..config })
    }
}

/// The section of a provider, its variables still to be expanded.
fn section(provider: &KnownProvider) -> String {
    let KnownProvider { name, key, base, kind, base_url } = provider;
    let kind = kind.as_str();
    format!(
        "[providers.{name}]\nkind = \"{kind}\"\napi_key = \"${{{key}}}\"\n\
         base_url = \"${{{base}:-{base_url}}}\"\n"
    )
}

fn nothing_to_serve() -> ConfigErrors {
    let keys: Vec<&str> = PROVIDERS.iter().map(|provider| provider.key).collect();
    let message = "there is no configuration file and no provider's key in the environment";
    let remedy = format!(
        "set one of {}; or write a configuration with `tollgate init`; or look around with \
         `tollgate demo`, which needs no key",
        keys.join(", ")
    );
    ConfigErrors::whole("environment", message.to_owned(), Some(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn with<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn every_key_that_is_set_enables_its_provider() {
        let set = [
            ("OPENAI_API_KEY", "sk-a\"\n[x]"),
            ("DEEPSEEK_API_KEY", "sk-b"),
            ("DEEPSEEK_BASE_URL", "http://127.0.0.1:9/v1/"),
            ("GROQ_API_KEY", ""),
            ("ANTHROPIC_API_KEY", "sk-c"),
            ("TOLLGATE_ADMIN_KEY", "the-admin-key-of-the-test"),
        ];
        let errors = Config::from_env(&with(&set)).unwrap_err().to_string();
        assert!(errors.contains("expected a secret without line breaks"), "{errors}");
        assert!(!errors.contains("sk-a"), "{errors}");
        let set: Vec<_> = set
            .into_iter()
            .map(|(k, v)| (k, if v.contains('\n') { "sk-a\"]" } else { v }))
            .collect();
        let config = Config::from_env(&with(&set)).unwrap();
        let names: Vec<_> = config.providers.keys().map(|name| &**name).collect();
        assert_eq!(names, ["anthropic", "deepseek", "openai"]);
        let openai = &config.providers["openai"];
        assert_eq!(openai.api_key.as_ref().unwrap().expose_secret(), "sk-a\"]");
        assert_eq!(openai.base_url.as_deref(), Some("https://api.openai.com/v1"));
        let deepseek = &config.providers["deepseek"];
        assert_eq!(deepseek.base_url.as_deref(), Some("http://127.0.0.1:9/v1"));
        assert_eq!(&*config.auth.default_plan, "monitor");
        assert!(config.server.admin_key.is_some());
        assert!(config.unserved().is_empty(), "{:?}", config.unserved());
    }

    #[test]
    fn without_a_key_the_message_says_what_to_do() {
        let message = Config::from_env(&with(&[])).unwrap_err().to_string();
        for word in ["OPENAI_API_KEY", "DEEPSEEK_API_KEY", "tollgate init", "tollgate demo"] {
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_kill_switch_counts_as_on_unless_it_is_plainly_off() {
        for (value, on) in [
            ("true", true),
            ("1", true),
            ("yes!", true),
            ("false", false),
            ("", false),
            ("OFF", false),
        ] {
            let set = [("FORCE_ANALYSIS_DISABLED", value)];
            assert_eq!(kill_switch(&with(&set)).is_some(), on, "{value}");
        }
    }
}
