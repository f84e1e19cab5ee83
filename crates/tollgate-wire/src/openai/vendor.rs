//! Who speaks the OpenAI form, and where each departs from it: a table, not code.
//!
//! Sources: recorded exchanges of each vendor, and the vendors' SDK types.

/// How to bring a vendor's usage to our scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsageRules {
    /// Reasoning tokens are billed as output but not counted in the completion.
    pub reasoning_outside: bool,
    /// The same for cited and reasoning tokens, and the total leaves them out as well.
    pub citations_outside: bool,
    /// Thinking shows only as what `total_tokens` has beyond prompt and completion.
    pub thinking_in_total: bool,
    /// The usage states what the vendor charged.
    pub states_cost: bool,
}

/// One vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// The usual name of the provider.
    pub name: &'static str,
    /// The end of its host name.
    pub host: &'static str,
    /// How to read its usage.
    pub usage: UsageRules,
    /// It bounds output by `max_tokens` and may not know `max_completion_tokens`.
    pub legacy_max_tokens: bool,
    /// It serves the responses form, or nobody knows that it does not.
    pub responses: bool,
}

const PLAIN: UsageRules = UsageRules {
    reasoning_outside: false,
    citations_outside: false,
    thinking_in_total: false,
    states_cost: false,
};
const COST: UsageRules = UsageRules { states_cost: true, ..PLAIN };
const OUTSIDE: UsageRules = UsageRules { reasoning_outside: true, states_cost: true, ..PLAIN };
const CITING: UsageRules = UsageRules { citations_outside: true, states_cost: true, ..PLAIN };
const HIDDEN: UsageRules = UsageRules { thinking_in_total: true, ..PLAIN };

const fn new(name: &'static str, host: &'static str, usage: UsageRules) -> Vendor {
    Vendor { name, host, usage, legacy_max_tokens: false, responses: true }
}

const fn old(name: &'static str, host: &'static str, usage: UsageRules) -> Vendor {
    Vendor { name, host, usage, legacy_max_tokens: true, responses: true }
}

const fn chat_only(vendor: Vendor) -> Vendor {
    Vendor { responses: false, ..vendor }
}

/// The vendors with known habits.
pub const VENDORS: &[Vendor] = &[
    new("openai", "api.openai.com", PLAIN),
    new("azure", "openai.azure.com", PLAIN),
    new("bedrock-mantle", "api.aws", PLAIN),
    new("groq", "api.groq.com", PLAIN),
    new("xai", "api.x.ai", OUTSIDE),
    new("openrouter", "openrouter.ai", COST),
    chat_only(new("gemini", "generativelanguage.googleapis.com", HIDDEN)),
    chat_only(new("google", "googleapis.com", HIDDEN)),
    chat_only(new("cerebras", "api.cerebras.ai", PLAIN)),
    chat_only(old("cohere", "api.cohere.ai", PLAIN)),
    chat_only(old("perplexity", "api.perplexity.ai", CITING)),
    old("deepseek", "api.deepseek.com", PLAIN),
    chat_only(old("mistral", "api.mistral.ai", PLAIN)),
    chat_only(old("together", "api.together.xyz", PLAIN)),
    old("fireworks", "api.fireworks.ai", PLAIN),
    chat_only(old("zai", "api.z.ai", PLAIN)),
    chat_only(old("moonshot", "api.moonshot.ai", PLAIN)),
    old("holysheep", "api.holysheep.ai", PLAIN),
    old("huggingface", "router.huggingface.co", PLAIN),
];

/// A service that is not in the table: the plain form, and the older name of the output maximum,
/// which servers of this form know without exception.
pub const UNKNOWN: Vendor = old("", "", PLAIN);

/// The vendor behind a base URL's host; where the host is not known, by the provider's name (a
/// relay of that vendor).
pub fn vendor(name: &str, host: &str) -> &'static Vendor {
    let by_host = |vendor: &&Vendor| {
        host.strip_suffix(vendor.host).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    };
    VENDORS
        .iter()
        .find(by_host)
        .or_else(|| VENDORS.iter().find(|vendor| vendor.name.eq_ignore_ascii_case(name)))
        .unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_decides_and_the_name_helps_where_it_is_unknown() {
        assert_eq!(vendor("main", "api.x.ai").name, "xai");
        assert_eq!(vendor("main", "myres.openai.azure.com").name, "azure");
        assert_eq!(vendor("openrouter", "127.0.0.1").name, "openrouter");
        assert_eq!(vendor("xai", "api.openai.com").name, "openai");
        assert_eq!(vendor("main", "evilapi.x.ai").name, "");
        assert!(vendor("ollama", "localhost").legacy_max_tokens);
    }
}
