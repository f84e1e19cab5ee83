//! The limits that a key brings along, beside those of its user's plan and those outside plans.
//!
//! They are kept with the key, and so are the tables made of them: an engine that remembered a
//! table for each key would grow with the keys, or make them again and again. What is counted is
//! found by the key's name, so a key that replaces another goes on where that one stands.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tollgate_domain::limit::{Limit, Plan};

use super::table::Table;

/// The limits of one key.
#[derive(Debug)]
pub struct OwnLimits {
    limits: Box<[Arc<Limit>]>,
    /// The table for each plan with which the key was used.
    tables: ArcSwap<HashMap<Arc<str>, Arc<Table>>>,
}

impl OwnLimits {
    /// These limits, where there are any. The scope of each names the key.
    pub fn of(limits: Vec<Arc<Limit>>) -> Option<Arc<Self>> {
        let limits = Some(limits).filter(|limits| !limits.is_empty())?;
        Some(Arc::new(Self { limits: limits.into(), tables: ArcSwap::default() }))
    }

    /// The limits, in the order in which they were given.
    pub fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    /// The table for a plan that `fits`, made by `make` where there is none.
    pub(super) fn table(
        &self,
        plan: &Plan,
        fits: impl Fn(&Table) -> bool,
        make: impl FnOnce() -> Table,
    ) -> Arc<Table> {
        let tables = self.tables.load();
        if let Some(table) = tables.get(&plan.name).filter(|table| fits(table)) {
            return Arc::clone(table);
        }
        let table = Arc::new(make());
        // Two that make it at once make equal ones: identities are given once.
        let mut others = HashMap::clone(&tables);
        others.insert(Arc::clone(&plan.name), Arc::clone(&table));
        self.tables.store(Arc::new(others));
        table
    }
}
