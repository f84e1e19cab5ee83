//! The source data, written down as a price book.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::value::RawValue;
use tollgate_domain::money::parse_scaled;

use super::pattern;
use super::source::{Conditional, Constraint, Model, Prices, Provider, Rule, Tiered, Variant};

/// Keys of the source and what the book calls them, in the order in which they are written.
const KEYS: [(&str, &str); 29] = [
    ("input_mtok", "input"),
    ("output_mtok", "output"),
    ("cache_read_mtok", "cached_input"),
    ("cache_write_mtok", "cache_write"),
    ("cache_write_5m_mtok", "cache_write_5m"),
    ("cache_write_1h_mtok", "cache_write_1h"),
    ("cache_text_read_mtok", "cached_input_text"),
    ("cache_audio_read_mtok", "cached_input_audio"),
    ("cache_image_read_mtok", "cached_input_image"),
    ("cache_video_read_mtok", "cached_input_video"),
    ("input_text_mtok", "input_text"),
    ("input_audio_mtok", "input_audio"),
    ("input_image_mtok", "input_image"),
    ("input_video_mtok", "input_video"),
    ("output_reasoning_mtok", "reasoning"),
    ("output_citation_mtok", "citation"),
    ("output_text_mtok", "output_text"),
    ("output_audio_mtok", "output_audio"),
    ("output_image_mtok", "output_image"),
    ("output_video_mtok", "output_video"),
    ("input_mchars", "characters_per_1m"),
    ("input_audio_hours", "input_audio_per_hour"),
    ("audio_hours", "audio_per_hour"),
    ("input_annotated_document_kpages", "annotated_pages_per_1k"),
    ("input_document_kpages", "pages_per_1k"),
    ("input_text_messages_kcount", "messages_per_1k"),
    ("web_searches_kcount", "web_search_per_1k"),
    ("storage_searches_kcount", "file_search_per_1k"),
    ("requests_kcount", "requests_per_1k"),
];

/// Models of which the provider bills at least ten seconds of audio. The source keeps this rule in
/// its code, not in its data.
const AUDIO_MINIMUM: [(&str, &str); 2] =
    [("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")];

/// The book for the source data.
pub(super) fn book(data: &str, version: &str, released: &str) -> Result<String> {
    let providers: Vec<Provider<'_>> = serde_json::from_str(data).context("the source data")?;
    let mut out = format!(
        "tollgate-price-book 1\n\
         # Made by `cargo xtask prices`; not to be edited. Overrides belong in the configuration.\n\
         # Facts (ids, rules about names, prices in USD) from the data of genai-prices, a work\n\
         # under the MIT licence, copyright Pydantic Services Inc. and its contributors.\n\
         # model: id, facts, rule about its names, prices; see crates/tollgate-domain/src/price.\n\
         version\t{version} {released}\n"
    );
    for provider in &providers {
        write_provider(&mut out, provider).with_context(|| provider.id.clone())?;
    }
    Ok(out)
}

fn write_provider(out: &mut String, provider: &Provider<'_>) -> Result<()> {
    writeln!(out, "provider\t{}", provider.id)?;
    writeln!(out, "url\t{}", pattern::urls(&provider.api_pattern)?.join(" "))?;
    for (word, rule) in [("names", &provider.names), ("sells", &provider.sells)] {
        if let Some(rule) = rule {
            writeln!(out, "{word}\t{}", write_rule(rule, "")?)?;
        }
    }
    if !provider.fallback_model_providers.is_empty() {
        writeln!(out, "fallback\t{}", provider.fallback_model_providers.join(" "))?;
    }
    for model in &provider.models {
        let fields = fields(&provider.id, model).with_context(|| model.id.clone())?;
        writeln!(out, "model\t{}", fields.join("\t"))?;
    }
    Ok(())
}

fn fields(provider: &str, model: &Model<'_>) -> Result<Vec<String>> {
    let context = model.context_window.map(|tokens| format!("context={tokens}"));
    let minimum = AUDIO_MINIMUM.contains(&(provider, &model.id));
    let facts: Vec<String> =
        context.into_iter().chain(minimum.then(|| "audio_minimum=10".to_owned())).collect();
    let facts = if facts.is_empty() { "-".to_owned() } else { facts.join(" ") };
    let mut fields = vec![model.id.clone(), facts, write_rule(&model.rule, &model.id)?];
    if model.prices.get().starts_with('[') {
        let periods: Vec<Conditional<'_>> = serde_json::from_str(model.prices.get())?;
        for period in &periods {
            fields.push(group(period.constraint.as_ref(), &period.prices)?);
        }
    } else {
        fields.push(group(None, &serde_json::from_str(model.prices.get())?)?);
    }
    for variant in &model.price_variants {
        fields.push(special(variant)?);
    }
    Ok(fields)
}

/// A rule; `own` is the id of the model that it belongs to.
fn write_rule(rule: &Rule, own: &str) -> Result<String> {
    let leaf = |sign: char, text: &str| {
        let text = text.to_lowercase();
        if text.is_empty() || text.contains([' ', '\t', '\n']) {
            bail!("`{text}` cannot be written in a rule");
        }
        Ok(format!("{sign}{text}"))
    };
    match rule {
        Rule::Equals(text) if text.to_lowercase() == own.to_lowercase() => Ok("=".to_owned()),
        Rule::Equals(text) => leaf('=', text),
        Rule::StartsWith(text) => leaf('^', text),
        Rule::EndsWith(text) => leaf('$', text),
        Rule::Contains(text) => leaf('~', text),
        Rule::Regex(regex) => pattern::name_rule(regex),
        Rule::Or(rules) => all_of('|', rules, own),
        Rule::And(rules) => all_of('&', rules, own),
    }
}

fn all_of(sign: char, rules: &[Rule], own: &str) -> Result<String> {
    let written: Result<Vec<String>> = rules.iter().map(|rule| write_rule(rule, own)).collect();
    Ok(format!("{sign}{} {}", rules.len(), written?.join(" ")))
}

fn special(variant: &Variant<'_>) -> Result<String> {
    let conditions: Vec<String> =
        variant.when.iter().map(|(key, value)| format!("?{key}={value}")).collect();
    Ok(format!("{} {}", conditions.join(" "), group(variant.constraint.as_ref(), &variant.prices)?))
}

fn group(constraint: Option<&Constraint>, prices: &Prices<'_>) -> Result<String> {
    let mut terms = Vec::new();
    if let Some(constraint) = constraint {
        terms.push(time(constraint)?);
    }
    if let Some(unknown) = prices.keys().find(|key| !KEYS.iter().any(|(known, _)| known == key)) {
        bail!("the price key `{unknown}` has no unit in tollgate_domain::price");
    }
    for (key, word) in KEYS {
        if let Some(value) = prices.get(key) {
            terms.push(format!("{word}={}", price(value)?));
        }
    }
    if prices.is_empty() {
        terms.push("free".to_owned());
    }
    Ok(terms.join(" "))
}

fn time(constraint: &Constraint) -> Result<String> {
    let Constraint { start_date, start_time, end_time, .. } = constraint;
    match (start_date, start_time, end_time) {
        (Some(date), None, None) => Ok(format!("@{date}")),
        (None, Some(from), Some(until)) => Ok(format!("@{}-{}", minute(from)?, minute(until)?)),
        _ => bail!("a constraint that is not understood"),
    }
}

/// `HH:MM` of `HH:MM:00Z`; the book knows whole minutes in UTC.
fn minute(time: &str) -> Result<&str> {
    time.strip_suffix(":00Z").ok_or_else(|| anyhow!("`{time}` is no whole minute in UTC"))
}

fn price(value: &RawValue) -> Result<String> {
    if !value.get().starts_with('{') {
        return decimal(value.get());
    }
    let tiered: Tiered<'_> = serde_json::from_str(value.get())?;
    let mut tiers: Vec<_> = tiered.tiers.iter().map(|tier| (tier.start, tier.price)).collect();
    tiers.sort_by_key(|(start, _)| *start);
    let mut text = decimal(tiered.base.get())?;
    for (start, price) in tiers {
        write!(text, ">{start}:{}", decimal(price.get())?)?;
    }
    Ok(text)
}

/// A decimal with at most nine places, half to even; the source has some that were worked out in
/// binary and end in a row of nines.
fn decimal(text: &str) -> Result<String> {
    let nanos = parse_scaled(text, 9).filter(|nanos| *nanos >= 0);
    let nanos = nanos.with_context(|| format!("`{text}` is not a price"))?;
    if nanos == 0 && text.parse::<f64>()? > 0.0 {
        bail!("`{text}` is too small a price to be told from nothing");
    }
    let written = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    Ok(written.trim_end_matches('0').trim_end_matches('.').to_owned())
}
