//! History: use that has happened, taken into the counters from outside.
//!
//! At a start it goes into the engine itself. While calls are served, what a changed set of limits
//! must know is gathered in a second engine beside ([`Engine::beside`]) and taken over in one go
//! ([`Engine::adopt`]); so nothing is counted twice if it fails half-way, and no limit refuses by
//! half of its history. Calls that were admitted before and end after are entered by
//! [`Engine::absorb_uncovered`]: what their grant does not cover yet.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::limit::{Limit, Scope};

use super::action::{ActionDemand, Actions};
use super::answer::Grant;
use super::ask::{Amounts, Terms};
use super::counter::counts_admissions;
use super::table::{Rule, Source};
use super::weigh::max_of;
use super::{Engine, Shape};

impl Engine {
    /// Adds settled history: of a call that was admitted at `at`, or of many in one window. The
    /// order does not matter.
    pub fn absorb(&self, terms: &Terms<'_>, at: Timestamp, amounts: &Amounts) {
        self.absorb_where(terms, at, amounts, |_, _| true);
    }

    /// The same for some limits only: those that `wanted` names by the limit and where it stands.
    pub fn absorb_where(
        &self,
        terms: &Terms<'_>,
        at: Timestamp,
        amounts: &Amounts,
        wanted: impl Fn(&Limit, Source<'_>) -> bool,
    ) {
        self.absorb_rules(terms, at, amounts, |rule| wanted(&rule.limit, rule.source()));
    }

    /// The same for the limits that a grant did not cover and that count for its caller since: a
    /// call that was under way when they came into force ends. Limits of another plan that count
    /// for more than one user leave it alone, as it was made on the plan before.
    pub fn absorb_uncovered(
        &self,
        grant: &Grant,
        terms: &Terms<'_>,
        at: Timestamp,
        amounts: &Amounts,
    ) {
        let covered =
            |rule: &Rule| grant.table.rules.iter().any(|known| known.identity == rule.identity);
        let same_plan =
            |plan: &str| grant.table.rules.iter().any(|known| known.plan.as_deref() == Some(plan));
        self.absorb_rules(terms, at, amounts, |rule| {
            let personal = match rule.source() {
                Source::Plan(plan) => rule.limit.scope.contains(&Scope::User) || same_plan(plan),
                Source::Key | Source::Outside => true,
            };
            personal && !covered(rule)
        });
    }

    fn absorb_rules(
        &self,
        terms: &Terms<'_>,
        at: Timestamp,
        amounts: &Amounts,
        wanted: impl Fn(&Rule) -> bool,
    ) {
        let table = self.tables.of(terms.plan, terms.own);
        let subject = terms.subject;
        let counted = |rule: &Rule| amounts.of(rule.limit.metric, counts_admissions(&rule.limit));
        let concerned = |rule: &&Rule| counted(rule) != 0 && rule.concerns(subject) && wanted(rule);
        for rule in table.rules.iter().filter(concerned) {
            let Some((place, name)) = self.place_of(&table, rule, subject) else {
                continue;
            };
            let mut floor = self.stripes.enter_past([place.stripe].into_iter(), at);
            if let Some(locked) = floor.at(place.stripe) {
                let moment = locked.at;
                let slot = locked.stripe.find_or_make(place.hash, &name, &moment);
                let index = locked.stripe.counter_index(slot, rule.identity, &rule.limit);
                let (max, _) = max_of(rule, terms.overlay, at);
                if let Some(counter) = locked.stripe.counter(slot, index) {
                    counter.absorb(&rule.limit, max, &moment, counted(rule));
                }
            }
            floor.tidy();
        }
    }

    /// An engine beside this one, to gather history for it: it has counted nothing, knows these
    /// limits outside plans, and tells counters apart as this one does.
    #[must_use]
    pub fn beside(&self, limits: Arc<[Arc<Limit>]>) -> Self {
        let tables = self.tables.beside();
        tables.set_outside(limits);
        Self {
            stripes: self.stripes.beside(),
            tables,
            actions: Actions::new(),
            zero: Arc::clone(&self.zero),
        }
    }

    /// Takes over what was gathered beside, which is empty then: the history of each counter there
    /// stands in the place of what was used here. What is set aside here stays.
    pub fn adopt(&self, gathered: &Self) {
        self.stripes.adopt(&gathered.stripes);
    }

    /// Holds an action that stands in the limits that count for it now, in the place of those in
    /// which it was held. No limit is asked.
    pub fn move_action(
        &self,
        id: tollgate_domain::id::CallId,
        terms: &Terms<'_>,
        demand: &ActionDemand,
        at: Timestamp,
    ) {
        if let Some(held) = self.actions.take(id) {
            self.settle_as(&held.grant, Shape::One(0), at);
            // Forced, so nothing refuses.
            drop(self.restore_action(id, terms, demand, at));
        }
    }
}
