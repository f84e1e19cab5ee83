//! Moving a hold: a call that was admitted for one target goes to another, at another price and maybe
//! in other scopes.
//!
//! It is one decision. What the call holds is lifted, the limits are weighed with the new demand, and
//! either every counter takes the new amounts or each is put back as it was (LIMIT-1, LIMIT-2); all
//! that under the locks of both sides. What counts the call as such (requests, successes, what runs
//! at once) and stands in the same counter is not asked for again: the call is admitted already, and
//! counts once.
//!
//! The new amounts go into the calendar and rolling windows of the admission, as in the ledger, whose
//! row has one time. In a sliding window they count from now: there they must not be older than what
//! was decided since.

use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;
use tollgate_domain::limit::Metric;

use super::Engine;
use super::answer::{Entry, Grant, Refusal};
use super::ask::{Demand, Terms};
use super::counter::{Counter, counts_admissions};
use super::decide::{Ask, Decision, Spot, Taken};
use super::floor::{Floor, Stripes};
use super::table::Table;

/// What a call holds, and when it was admitted.
struct Held<'a> {
    table: &'a Table,
    entries: &'a [Entry],
    at: Timestamp,
}

/// A counter as it was before a hold was lifted from it.
struct Before {
    stripe: u8,
    slot: u32,
    place: u16,
    counter: Counter,
}

impl Engine {
    /// Puts another demand in the place of what a call holds, on these terms. The call was admitted
    /// at `at`. Where a limit refuses, nothing changes and the call goes on holding what it held.
    pub fn exchange(
        &self,
        grant: &mut Grant,
        terms: &Terms<'_>,
        demand: &Demand,
        (at, now): (Timestamp, Timestamp),
    ) -> Result<(), Refusal> {
        self.check_zero(terms, 1, now)?;
        self.expire_some(now);
        let table = self.tables.of(terms.plan, terms.own);
        // Slots of another engine mean nothing here.
        let known = grant.table.engine == self.tables.engine();
        let entries = if known { &*grant.entries } else { &[] };
        let held = Held { table: &grant.table, entries, at };
        let decision = Decision { table: &table, terms, ask: Ask::Call(demand), now };
        let taken = decision.run_again(&self.stripes, &held)?;
        let Taken { entries, output_tokens, warnings, passed, decision } = taken;
        grant.cost = demand.cost(output_tokens);
        grant.entries = entries;
        grant.output_tokens = output_tokens;
        grant.warnings.extend(warnings);
        grant.passed.extend(passed);
        grant.decision = decision;
        grant.table = Arc::clone(&table);
        Ok(())
    }
}

impl<'a> Decision<'a> {
    /// Decides again for a call that holds something.
    fn run_again(&self, stripes: &Stripes, held: &Held<'a>) -> Result<Taken, Refusal> {
        let (rules, mut places) = self.places(stripes);
        let new = places.iter().flatten().map(|place| place.stripe);
        let old = held.entries.iter().map(|entry| entry.stripe);
        let mut floor = stripes.enter_again(new.chain(old), (held.at, self.now));
        let found = self.spots(&mut floor, &mut places, &rules);
        let stays = |entry: &Entry| found.iter().any(|spot| keeps(spot, entry));
        let lifted: SmallVec<[&Entry; 8]> =
            held.entries.iter().filter(|entry| !stays(entry)).collect();
        let before = lift(&mut floor, &lifted);
        let mut spots = self.spots(&mut floor, &mut places, &rules);
        for spot in &mut spots {
            spot.kept = held.entries.iter().find(|entry| keeps(spot, entry));
            if let Some(kept) = spot.kept {
                without(spot, kept.amount);
            }
        }
        let decided = self.decide(&mut floor, &spots);
        match &decided {
            Ok(_) => unpin(&mut floor, held.table, &lifted),
            Err(_) => put_back(&mut floor, before),
        }
        floor.tidy();
        decided
    }
}

/// Whether what is held there already is what this limit asks for.
fn keeps(spot: &Spot<'_>, entry: &Entry) -> bool {
    let counts_calls = matches!(
        spot.rule.limit.metric,
        Metric::Requests | Metric::Successes | Metric::Concurrency
    );
    counts_calls
        && (spot.stripe, spot.slot, spot.counter) == (entry.stripe, entry.slot, entry.counter)
}

/// Leaves the call itself out of how a counter stands.
fn without(spot: &mut Spot<'_>, amount: i64) {
    let standing = &mut spot.standing;
    if counts_admissions(&spot.rule.limit) {
        standing.used = standing.used.saturating_sub(amount).max(0);
    } else {
        standing.held = standing.held.saturating_sub(amount).max(0);
    }
}

/// Takes these amounts out of their counters; gives the counters as they were.
fn lift(floor: &mut Floor<'_>, entries: &[&Entry]) -> Vec<Before> {
    let mut before = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(locked) = floor.at(entry.stripe) else { continue };
        let at = locked.at;
        let Some(counter) = locked.stripe.counter(entry.slot, entry.counter) else { continue };
        before.push(Before {
            stripe: entry.stripe,
            slot: entry.slot,
            place: entry.counter,
            counter: counter.clone(),
        });
        counter.settle(entry.key, entry.amount, 0, &at);
    }
    before
}

/// Puts the counters back, the last first: two amounts may have been lifted from one.
fn put_back(floor: &mut Floor<'_>, before: Vec<Before>) {
    for Before { stripe, slot, place, counter } in before.into_iter().rev() {
        let found = floor.at(stripe).and_then(|locked| locked.stripe.counter(slot, place));
        if let Some(found) = found {
            *found = counter;
        }
    }
}

/// What was lifted holds its accounts no longer.
fn unpin(floor: &mut Floor<'_>, table: &Table, lifted: &[&Entry]) {
    for entry in lifted {
        let rule = table.rules.get(usize::from(entry.rule));
        let pinned = rule.is_some_and(|rule| !counts_admissions(&rule.limit));
        if let Some(locked) = floor.at(entry.stripe).filter(|_| pinned) {
            locked.stripe.unpin(entry.slot);
        }
    }
}
