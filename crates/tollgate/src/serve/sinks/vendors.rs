//! Who stands behind the names of providers, in the words of the OpenTelemetry conventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Uri;
use tollgate_sinks::settings::Vendor;

use crate::config::{Kind, Provider};

/// Vendors that speak the dialect of OpenAI, by what their provider is called here: the latest
/// word (`gen_ai.provider.name`) and the old one (`gen_ai.system`).
const COMPATIBLE: &[(&str, &str, &str)] = &[
    ("mistral", "mistral_ai", "mistral_ai"),
    ("xai", "x_ai", "xai"),
    ("x-ai", "x_ai", "xai"),
    ("moonshot", "moonshot_ai", "moonshot_ai"),
    ("moonshotai", "moonshot_ai", "moonshot_ai"),
    ("deepseek", "deepseek", "deepseek"),
    ("groq", "groq", "groq"),
    ("perplexity", "perplexity", "perplexity"),
    ("cohere", "cohere", "cohere"),
];

/// All providers of a configuration.
pub(super) fn vendors(providers: &BTreeMap<Arc<str>, Provider>) -> BTreeMap<String, Vendor> {
    providers.values().map(|provider| (provider.name.to_string(), vendor(provider))).collect()
}

fn vendor(provider: &Provider) -> Vendor {
    let (name, system) = words(provider);
    let uri: Option<Uri> = provider.base_url.as_deref().and_then(|url| url.parse().ok());
    let host = uri.as_ref().and_then(Uri::host).map(str::to_owned);
    let port = uri.as_ref().and_then(|uri| {
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        uri.host().map(|_| uri.port_u16().unwrap_or(usual))
    });
    Vendor { name: name.to_owned(), system: system.to_owned(), host, port }
}

fn words(provider: &Provider) -> (&str, &str) {
    match provider.kind {
        Kind::Anthropic => ("anthropic", "anthropic"),
        Kind::Gemini => ("gcp.gemini", "gcp.gemini"),
        Kind::Azure => ("azure.ai.openai", "az.ai.openai"),
        Kind::Vertex => ("gcp.vertex_ai", "gcp.vertex_ai"),
        Kind::Bedrock => ("aws.bedrock", "aws.bedrock"),
        Kind::Simulated => (&provider.name, &provider.name),
        Kind::Openai => {
            let called = provider.price_book.as_deref().unwrap_or(&provider.name);
            let known = COMPATIBLE.iter().find(|(name, ..)| *name == called);
            known.map_or((called, called), |(_, name, system)| (*name, *system))
        }
    }
}
