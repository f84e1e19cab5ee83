//! Reads a parsed TOML tree section by section against the schema, and collects what is wrong.
//!
//! The raw stage of the configuration: the tree of the `toml` crate with its spans, not serde
//! types, because serde stops at the first mistake, loses the place of the second and turns
//! decimals into binary floats. What serde's `deny_unknown_fields` would refuse is refused here for
//! every section, with the line and the nearest name. This file knows nothing of what keys mean.

mod item;

use std::cell::RefCell;
use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::problem::{Problem, Source, suggest};
use super::scalar::{Blank, Scalar};
use super::schema::{Given, Section};
pub(super) use item::Item;

/// One file that is being read.
pub(super) struct Reading<'a> {
    pub(super) source: Source<'a>,
    /// Where variables come from.
    pub(super) environment: &'a dyn Environment,
    problems: RefCell<Vec<Problem>>,
    lines: RefCell<BTreeMap<String, u32>>,
    #[cfg(test)]
    asked: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a str, text: &'a str, environment: &'a dyn Environment) -> Self {
        Self {
            source: Source { file, text },
            environment,
            problems: RefCell::default(),
            lines: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Notes that something is wrong at a byte offset.
    pub(super) fn report(&self, key: &str, at: usize, message: String, remedy: Option<String>) {
        let (line, column) = self.source.position(at);
        let (file, key) = (self.source.file.to_owned(), key.to_owned());
        self.problems.borrow_mut().push(Problem { file, line, column, key, message, remedy });
    }

    /// Notes that something outside the file is wrong.
    pub(super) fn report_outside(&self, message: String, remedy: Option<String>) {
        let (file, key) = ("environment".to_owned(), String::new());
        let problem = Problem { file, line: 0, column: 0, key, message, remedy };
        self.problems.borrow_mut().push(problem);
    }

    /// Section and name of each key that the file holds and somebody asked for.
    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<(&'static str, &'static str)> {
        self.asked.borrow().clone()
    }

    /// All that was reported, and the line of each key that the file holds.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeMap<String, u32>) {
        (self.problems.into_inner(), self.lines.into_inner())
    }
}

/// The keys of one section.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    reading: &'a Reading<'a>,
    section: &'static Section,
    /// The path of the section, such as `providers.openai`.
    pub(super) path: String,
    at: usize,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Fields<'a> {
    /// The fields of a table; keys that the section does not know are reported.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        section: &'static Section,
        path: String,
        place: (usize, Option<&'a DeTable<'a>>),
    ) -> Self {
        let (at, table) = place;
        let fields = Self { reading, section, path, at, table };
        for (name, _) in table.into_iter().flatten() {
            fields.check_known(name.get_ref(), &name.span());
        }
        fields
    }

    fn check_known(&self, name: &str, span: &Range<usize>) {
        let key = join(&self.path, name);
        if self.section.key(name).is_some() {
            let (line, _) = self.reading.source.position(span.start);
            self.reading.lines.borrow_mut().insert(key, line);
            return;
        }
        let place = match self.path.as_str() {
            "" => "at the top level".to_owned(),
            path => format!("in [{path}]"),
        };
        let remedy = suggest(name, self.section.keys.iter().map(|key| key.name));
        self.reading.report(&key, span.start, format!("unknown key `{name}` {place}"), remedy);
    }

    /// The value of a key, if the file holds it.
    pub(super) fn item(&self, name: &'static str) -> Option<Item<'a>> {
        debug_assert!(self.section.key(name).is_some(), "{name} is not in the schema");
        let value = self.table?.get(name)?;
        #[cfg(test)]
        self.reading.asked.borrow_mut().insert((self.section.header, name));
        Some(Item::new(self.reading, join(&self.path, name), value))
    }

    /// The value of a key, or its default.
    pub(super) fn get<T: Blank>(&self, name: &'static str) -> T {
        match self.item(name) {
            Some(item) => item.scalar(),
            None => self.default_text(name).and_then(|text| T::read(unquote(text)).ok()),
        }
        .unwrap_or_else(T::blank)
    }

    /// The value of a key that has no default, if the file holds it.
    pub(super) fn maybe<T: Scalar>(&self, name: &'static str) -> Option<T> {
        self.item(name)?.scalar()
    }

    /// The elements of a list, or of its default.
    pub(super) fn list<T: Scalar>(&self, name: &'static str) -> Vec<T> {
        match self.item(name) {
            Some(item) => item.items().iter().filter_map(Item::scalar).collect(),
            None => self
                .default_text(name)
                .unwrap_or_default()
                .trim_matches(['[', ']'])
                .split(',')
                .map(|text| unquote(text.trim()))
                .filter(|text| !text.is_empty())
                .filter_map(|text| T::read(text).ok())
                .collect(),
        }
    }

    /// The default of a key. Reports a required one as missing.
    fn default_text(&self, name: &'static str) -> Option<&'static str> {
        match self.section.key(name)?.given {
            Given::Default(text) => Some(text),
            Given::Required => {
                self.fail(format!("{} needs `{name}`", self.title()), None);
                None
            }
            Given::Optional | Given::Table(_) => None,
        }
    }

    /// A section below this one; where the file has none, one whose defaults hold.
    pub(super) fn section(&self, name: &'static str, section: &'static Section) -> Self {
        self.maybe_section(name, section).unwrap_or_else(|| Self {
            reading: self.reading,
            section,
            path: join(&self.path, name),
            at: self.at,
            table: None,
        })
    }

    /// A section below this one, if the file has it.
    pub(super) fn maybe_section(
        &self,
        name: &'static str,
        section: &'static Section,
    ) -> Option<Self> {
        self.item(name)?.fields(section)
    }

    /// The sections of a list of tables below this one.
    pub(super) fn sections(&self, name: &'static str, section: &'static Section) -> Vec<Self> {
        let items = self.item(name).map(|item| item.items()).unwrap_or_default();
        items.iter().filter_map(|item| item.fields(section)).collect()
    }

    /// The named sections of a table of tables below this one, in the order of the file.
    pub(super) fn named(
        &self,
        name: &'static str,
        section: &'static Section,
    ) -> Vec<(&'a str, Self)> {
        let Some(item) = self.item(name) else {
            return Vec::new();
        };
        let mut sections: Vec<_> = item
            .entries()
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry.fields(section)?)))
            .collect();
        sections.sort_by_key(|(_, fields)| fields.at);
        sections
    }

    /// Whether the file holds the key.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.item(name).is_some()
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.reading.environment.get(name)
    }

    /// The line of the section.
    pub(super) fn line(&self) -> u32 {
        self.reading.source.position(self.at).0
    }

    /// How the section is called in a message.
    pub(super) fn title(&self) -> String {
        format!("[{}]", self.path)
    }

    /// Reports that something is wrong with the section as a whole.
    pub(super) fn fail(&self, message: String, remedy: Option<String>) {
        self.reading.report(&self.path, self.at, message, remedy);
    }

    /// Reports that something is wrong with a key, at its place if the file holds it.
    pub(super) fn fail_at(&self, name: &'static str, message: String, remedy: Option<String>) {
        match self.item(name) {
            Some(item) => item.fail(message, remedy),
            None => self.fail(message, remedy),
        }
    }
}

/// A path with one more name, quoted where TOML would quote it.
pub(super) fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// What stands between the quotes of a default.
fn unquote(text: &str) -> &str {
    text.trim_matches('"')
}

/// The word for a kind of TOML value.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
