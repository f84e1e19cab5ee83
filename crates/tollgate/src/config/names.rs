//! The names that a configuration declares, so that a mention of one can be checked on the spot.

use std::collections::BTreeSet;

use super::problem::suggest;
use super::reader::{Fields, Item};
use super::scalar::Name;

/// Names of one kind of thing.
#[derive(Debug, Default)]
pub(super) struct Names {
    kind: &'static str,
    header: &'static str,
    known: BTreeSet<String>,
    /// Whether any name will do.
    any: bool,
}

impl Names {
    /// These names.
    pub(super) fn known<'a>(
        kind: &'static str,
        header: &'static str,
        names: impl Iterator<Item = &'a std::sync::Arc<str>>,
    ) -> Self {
        Self { kind, header, known: names.map(ToString::to_string).collect(), any: false }
    }

    /// Whatever is mentioned.
    pub(super) fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// The names that stand below a key of the root, and those that `more` brings.
    pub(super) fn declared(
        root: &Fields<'_>,
        (table, kind, header): (&'static str, &'static str, &'static str),
        more: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut known: BTreeSet<String> = more.into_iter().collect();
        if root.item(table).is_some_and(|item| item.is_table()) {
            let entries = root.item(table).map(|item| item.entries()).unwrap_or_default();
            known.extend(entries.into_iter().map(|(name, _)| name.to_owned()));
        }
        Self { kind, header, known, any: false }
    }

    /// Whether one is declared.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.any || self.known.contains(name)
    }

    /// Whether none is declared.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The names, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.known.iter().map(String::as_str)
    }

    /// Reads a mention, and reports it where nothing of this name is declared.
    pub(super) fn mention(&self, item: &Item<'_>) -> Option<std::sync::Arc<str>> {
        let Name(name) = item.scalar()?;
        self.check(item, &name).then_some(name)
    }

    /// Reads a list of mentions.
    pub(super) fn mentions(
        &self,
        fields: &Fields<'_>,
        key: &'static str,
    ) -> Vec<std::sync::Arc<str>> {
        let items = fields.item(key).map(|item| item.items()).unwrap_or_default();
        items.iter().filter_map(|item| self.mention(item)).collect()
    }

    /// Whether a name is declared; reported at the item where it is not.
    pub(super) fn check(&self, item: &Item<'_>, name: &str) -> bool {
        if self.contains(name) {
            return true;
        }
        let message = format!("`{}`: there is no {} `{name}`", item.path, self.kind);
        item.fail(message, Some(self.remedy(name)));
        false
    }

    /// What to do about a name that is not declared.
    pub(super) fn remedy(&self, name: &str) -> String {
        let add = format!("add a section {}", self.header);
        match suggest(name, self.iter()) {
            Some(suggestion) if suggestion.ends_with('?') => suggestion,
            Some(known) => format!("{known}; or {add}"),
            None => add,
        }
    }
}
