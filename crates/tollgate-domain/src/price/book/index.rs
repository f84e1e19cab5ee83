//! Reads a price book line by line and notes where everything is. What it lets pass can be read
//! again later without an error.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;

use super::{HEAD, Reason};
use crate::price::{notation, rule};

/// A part of the text.
pub(super) type Span = Range<usize>;

#[derive(Debug, Default)]
pub(super) struct Provider {
    pub(super) id: Span,
    pub(super) urls: Span,
    pub(super) names: Option<Span>,
    pub(super) sells: Option<Span>,
    pub(super) fallback: Span,
    pub(super) models: Vec<Span>,
}

/// A line of a model, taken apart.
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    pub(super) facts: &'a str,
    pub(super) rule: &'a str,
    pub(super) prices: &'a str,
}

/// What has been read so far.
#[derive(Default)]
pub(super) struct Index {
    pub(super) version: Option<(Arc<str>, Arc<str>)>,
    pub(super) providers: Vec<Provider>,
    /// Ids of the providers, and of the models of the provider that is being read.
    seen: (HashSet<String>, HashSet<String>),
}

impl Index {
    pub(super) fn line(&mut self, text: &str, line: &str) -> Result<(), Reason> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let bad = || Reason::Line(line.chars().take(60).collect());
        let (word, rest) = line.split_once('\t').ok_or_else(bad)?;
        let span = span(text, rest);
        match (word, self.providers.last_mut()) {
            ("version", _) => {
                let (version, released) = rest.split_once(' ').ok_or_else(bad)?;
                released.parse::<Date>().map_err(|_| bad())?;
                self.version = Some((version.into(), released.into()));
            }
            ("provider", _) => {
                once(&mut self.seen.0, rest)?;
                self.seen.1.clear();
                self.providers.push(Provider { id: span, ..Provider::default() });
            }
            ("url", Some(provider)) => provider.urls = span,
            ("fallback", Some(provider)) => provider.fallback = span,
            ("names", Some(provider)) => {
                rule::matches(rest, "", "")?;
                provider.names = Some(span);
            }
            ("sells", Some(provider)) => {
                rule::matches(rest, "", "")?;
                provider.sells = Some(span);
            }
            ("model", Some(provider)) => {
                let entry = Entry::read(rest).ok_or_else(bad)?;
                once(&mut self.seen.1, entry.id)?;
                rule::matches(entry.rule, entry.id, "")?;
                notation::groups(entry.prices.split('\t'))?;
                Facts::read(entry.facts)?;
                provider.models.push(span);
            }
            _ => return Err(bad()),
        }
        Ok(())
    }
}

impl<'a> Entry<'a> {
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(4, '\t');
        let (id, facts) = (fields.next().filter(|id| !id.is_empty())?, fields.next()?);
        Some(Self { id, facts, rule: fields.next()?, prices: fields.next()? })
    }
}

/// What a line says of a model beside names and prices.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) context: Option<u64>,
    pub(super) audio_minimum: u64,
}

impl Facts {
    pub(super) fn read(text: &str) -> Result<Self, Reason> {
        let mut facts = Self::default();
        for term in text.split(' ').filter(|term| *term != "-") {
            let bad = || Reason::Term(term.to_owned());
            let (key, value) = term.split_once('=').ok_or_else(bad)?;
            let value: u64 = value.parse().map_err(|_| bad())?;
            match key {
                "context" => facts.context = Some(value),
                "audio_minimum" => facts.audio_minimum = value,
                _ => return Err(bad()),
            }
        }
        Ok(facts)
    }
}

pub(super) fn head(line: &str) -> Result<(), Reason> {
    if line == HEAD { Ok(()) } else { Err(Reason::Head) }
}

fn once(seen: &mut HashSet<String>, id: &str) -> Result<(), Reason> {
    if seen.insert(id.to_owned()) { Ok(()) } else { Err(Reason::Twice(id.to_owned())) }
}

/// Where `part` lies in `text`, of which it is a slice.
fn span(text: &str, part: &str) -> Span {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}
