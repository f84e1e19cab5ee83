//! The price book: which provider sells which model, under which names, at which prices.
//!
//! It is kept as the text that it was read from, with an index of its lines. Reading it checks
//! every line, so that a bad file is refused whole, with the line; a model is taken apart only
//! when it is looked for. The text is made by `cargo xtask prices`; its notation is described in
//! its head and in `notation.rs` and `rule.rs`.

mod index;
mod names;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use index::{Entry, Facts, Index, Provider, Span, head};
use names::{dashed_dates, host_and_path, under};

use super::model::ModelPrice;
use super::notation;
use super::rule;
use super::uplift::Uplifts;

const BUNDLED: &str = include_str!("../../data/prices.txt");
/// The first line: name and number of the form.
const HEAD: &str = "tollgate-price-book 1";

/// The prices of providers and models.
#[derive(Debug)]
pub struct PriceBook {
    text: Cow<'static, str>,
    version: Arc<str>,
    released: Arc<str>,
    providers: Vec<Provider>,
}

/// A price book that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BookError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a line of a price book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The file is not a price book, or of a form that this version does not read.
    #[error("not a price book: expected `{HEAD}`")]
    Head,
    /// A line that begins with none of the known words, or lacks its fields.
    #[error("malformed line `{0}`")]
    Line(String),
    /// A rule about names that cannot be read.
    #[error("malformed rule at `{0}`")]
    Rule(String),
    /// A price, time or condition that cannot be read.
    #[error("malformed price `{0}`")]
    Term(String),
    /// A model that states neither prices nor that it is free, or none that is always in force.
    #[error("no price that is always in force")]
    NoPrices,
    /// A provider, or a model of one provider, that is there twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// A provider that is named but not there.
    #[error("unknown provider `{0}`")]
    UnknownProvider(String),
    /// A book without version or without a single model.
    #[error("the book is not complete")]
    Incomplete,
}

impl PriceBook {
    /// The book that comes with the program.
    pub fn bundled() -> Result<Self, BookError> {
        Self::parse(BUNDLED)
    }

    /// Reads and checks a book.
    pub fn parse(text: impl Into<Cow<'static, str>>) -> Result<Self, BookError> {
        let text = text.into();
        let mut index = Index::default();
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            last = number;
            let result = if number == 1 { head(line) } else { index.line(&text, line) };
            result.map_err(|reason| BookError { line: number, reason })?;
        }
        let Index { version, providers, .. } = index;
        let models: usize = providers.iter().map(|provider| provider.models.len()).sum();
        let (Some((version, released)), true) = (version, models > 0) else {
            return Err(BookError { line: last, reason: Reason::Incomplete });
        };
        let book = Self { text, version, released, providers };
        book.check_fallbacks().map_err(|reason| BookError { line: last, reason })?;
        Ok(book)
    }

    /// The version of the data.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The day on which the data was released, as `YYYY-MM-DD`.
    pub fn released(&self) -> &Arc<str> {
        &self.released
    }

    /// The ids of all providers.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| self.part(&provider.id))
    }

    /// The ids of a provider's models, in the order in which they are tried. Empty where the
    /// provider is not known.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = &str> {
        let models = self.provider(provider).into_iter().flat_map(|provider| &provider.models);
        models.filter_map(|line| Some(Entry::read(self.part(line))?.id))
    }

    /// The price of a model at a provider. Names are compared in lower case; the provider's rules
    /// are tried in order, then those of the providers whose models it sells on, then both again
    /// with a date like `-20260101` written `-2026-01-01`. `None` where no rule knows it.
    pub fn find(&self, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
        let model = model.to_lowercase();
        let (provider, model) = self.behind_litellm(provider, &model);
        let selected = self.provider(provider)?;
        let found = self.search(selected, model).or_else(|| {
            let dashed = dashed_dates(model)?;
            self.search(selected, &dashed)
        });
        let (owner, entry) = found?;
        self.price(owner, &entry, std::ptr::eq(owner, selected)).map(Arc::new)
    }

    /// The ids of the providers that price a model themselves, in the order of the book.
    pub fn sellers(&self, model: &str) -> Vec<&str> {
        let model = model.to_lowercase();
        let dashed = dashed_dates(&model);
        let sells = |provider: &&Provider| {
            self.entry(provider, &model).is_some()
                || dashed.as_ref().is_some_and(|dashed| self.entry(provider, dashed).is_some())
        };
        self.providers.iter().filter(sells).map(|provider| self.part(&provider.id)).collect()
    }

    /// The provider that a model's name alone points to (`gpt-…` is OpenAI's), where one does.
    pub fn provider_for_model(&self, model: &str) -> Option<&str> {
        let model = model.to_lowercase();
        let sells = |provider: &&Provider| self.holds(provider.sells.as_ref(), &model);
        self.providers.iter().find(sells).map(|provider| self.part(&provider.id))
    }

    /// The provider that is reached under a URL, where the book knows its host.
    pub fn provider_for_url(&self, url: &str) -> Option<&str> {
        let (host, path) = host_and_path(url)?;
        let reached = |provider: &&Provider| {
            let mut urls = self.part(&provider.urls).split(' ');
            urls.any(|known| {
                let (known_host, known_path) = known.split_once('/').unwrap_or((known, ""));
                rule::pattern(known_host, &host)
                    && (known_path.is_empty() || under(known_path, path))
            })
        };
        self.providers.iter().find(reached).map(|provider| self.part(&provider.id))
    }

    /// A provider by its id, else by another name that it goes by.
    fn provider(&self, name: &str) -> Option<&Provider> {
        let name = name.trim().to_lowercase();
        let mut providers = self.providers.iter();
        providers
            .clone()
            .find(|provider| self.part(&provider.id) == name)
            .or_else(|| providers.find(|provider| self.holds(provider.names.as_ref(), &name)))
    }

    /// `LiteLLM` puts the real provider in front of the model: `anthropic/claude-…`.
    fn behind_litellm<'a>(&self, provider: &'a str, model: &'a str) -> (&'a str, &'a str) {
        let real = model.split_once('/').filter(|(real, _)| {
            provider.eq_ignore_ascii_case("litellm")
                && !real.is_empty()
                && self.provider(real).is_some()
        });
        real.unwrap_or((provider, model))
    }

    fn search(&self, selected: &Provider, model: &str) -> Option<(&Provider, Entry<'_>)> {
        let own = self.providers.iter().filter(|provider| std::ptr::eq(*provider, selected));
        let ids = self.part(&selected.fallback).split(' ');
        let others = ids
            .filter_map(|id| self.providers.iter().find(|provider| self.part(&provider.id) == id));
        own.chain(others).find_map(|provider| Some((provider, self.entry(provider, model)?)))
    }

    fn entry(&self, provider: &Provider, model: &str) -> Option<Entry<'_>> {
        let entries = provider.models.iter().filter_map(|line| Entry::read(self.part(line)));
        let fits = |entry: &Entry<'_>| rule::matches(entry.rule, entry.id, model).unwrap_or(false);
        entries.into_iter().find(fits)
    }

    /// Special prices belong to the provider that states them; who sells its models on sells them
    /// at the standard price.
    fn price(&self, owner: &Provider, entry: &Entry<'_>, own: bool) -> Option<ModelPrice> {
        let (periods, variants) = notation::groups(entry.prices.split('\t')).ok()?;
        let facts = Facts::read(entry.facts).ok()?;
        let version = format!("book {} {}/{}", self.version, self.part(&owner.id), entry.id);
        Some(ModelPrice {
            version: version.into(),
            id: entry.id.into(),
            context_window: facts.context,
            audio_minimum: facts.audio_minimum,
            periods: periods.into(),
            variants: if own { variants.into() } else { Box::default() },
            uplifts: if own { Uplifts::of(self.part(&owner.id), entry.id) } else { Uplifts::NONE },
            overlays: Vec::new(),
        })
    }

    fn holds(&self, rule: Option<&Span>, subject: &str) -> bool {
        rule.is_some_and(|rule| rule::matches(self.part(rule), "", subject).unwrap_or(false))
    }

    fn part(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn check_fallbacks(&self) -> Result<(), Reason> {
        let ids: HashSet<&str> = self.providers().collect();
        let named = self.providers.iter().flat_map(|one| self.part(&one.fallback).split(' '));
        match named.into_iter().find(|id| !id.is_empty() && !ids.contains(id)) {
            Some(id) => Err(Reason::UnknownProvider(id.to_owned())),
            None => Ok(()),
        }
    }
}
