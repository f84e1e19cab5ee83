//! One decision: all limits that apply are weighed together, and either every counter takes the
//! reservation or none does (LIMIT-1, LIMIT-2).
//!
//! The order in which limits may refuse is that of the table: rates, what runs at once, quotas,
//! budgets. First the output is lowered to what every clamping limit affords; then each limit is
//! asked whether it covers the call with that output; only when all do, anything is written.

use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;
use tollgate_domain::decision as kept;
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Window};
use tollgate_domain::money::NanoUsd;

use super::answer::{Balance, Entry, Passed, Refusal, Warning};
use super::ask::{Demand, Terms};
use super::counter::{Standing, counts_admissions};
use super::floor::{Floor, Place, Places, Stripes};
use super::stripe::Name;
use super::table::{Rule, Table};
use super::weigh::max_of;
use super::window;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    /// A call to a model.
    Call(&'a Demand),
    /// An amount of one metric, for an action that is not a call. A forced one was granted before
    /// a restart and is only entered again.
    Action { metric: Metric, amount: i64, forced: bool },
}

/// A decision under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision<'a> {
    pub(super) table: &'a Table,
    pub(super) terms: &'a Terms<'a>,
    pub(super) ask: Ask<'a>,
    pub(super) now: Timestamp,
}

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) entries: Box<[Entry]>,
    pub(super) output_tokens: u64,
    pub(super) warnings: Vec<Warning>,
    pub(super) passed: Vec<Passed>,
    pub(super) decision: kept::Decision,
}

/// A limit that applies, and its counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) rule: &'a Rule,
    number: u16,
    stripe: u8,
    slot: u32,
    counter: u16,
    pub(super) standing: Standing,
    /// Until when the maximum is another than the limit's own.
    until: Option<Timestamp>,
}

pub(super) type Spots<'a> = SmallVec<[Spot<'a>; 8]>;

impl<'a> Decision<'a> {
    /// Decides and, where nothing refuses, takes.
    pub(super) fn run(&self, stripes: &Stripes) -> Result<Taken, Refusal> {
        let rules: SmallVec<[u16; 16]> = self.rules().collect();
        let mut wanted: SmallVec<[bool; 8]> = SmallVec::from_elem(false, self.table.groups.len());
        for rule in rules.iter().filter_map(|rule| self.table.rules.get(usize::from(*rule))) {
            if let Some(group) = wanted.get_mut(rule.group) {
                *group = true;
            }
        }
        let mut places = stripes.places(self.table, self.terms.subject, &wanted);
        let stripes_of = places.iter().flatten().map(|place| place.stripe);
        let mut floor = stripes.enter(stripes_of, self.now);
        let spots = self.spots(&mut floor, &mut places, &rules);
        let decided = self.decide(&mut floor, &spots);
        floor.tidy();
        decided
    }

    fn decide(&self, floor: &mut Floor<'_>, spots: &Spots<'a>) -> Result<Taken, Refusal> {
        let output = self.affordable_output(spots).max(self.least_output());
        let mut passed = Vec::new();
        for (place, spot) in spots.iter().enumerate() {
            let limit = &spot.rule.limit;
            let shadow = limit.mode == Mode::Shadow || limit.on_limit == OnLimit::Alert;
            let tried = if shadow && limit.on_limit == OnLimit::Clamp {
                self.least_output()
            } else {
                output
            };
            if !self.exceeds(spot, tried) {
                continue;
            }
            let asked = self.need(limit.metric, tried);
            if !shadow {
                let decision = self.kept(spots, tried, Some(place));
                return Err(self.refusal(floor, spot, (asked, decision)));
            }
            passed.push(Passed {
                limit: Arc::clone(limit),
                plan: spot.rule.plan.clone(),
                balance: balance(&spot.standing, asked),
            });
        }
        let mut warnings = Vec::new();
        let take = |spot| self.take(floor, spot, output, &mut warnings);
        let entries = spots.iter().map(take).collect();
        let decision = self.kept(spots, output, None);
        Ok(Taken { entries, output_tokens: output, warnings, passed, decision })
    }

    /// The decision as the row of the call keeps it.
    fn kept(&self, spots: &Spots<'_>, output: u64, refused_by: Option<usize>) -> kept::Decision {
        let (hold, asked) = match self.ask {
            Ask::Call(demand) => (demand.cost(output), demand.output_tokens),
            Ask::Action { .. } => (NanoUsd::ZERO, 0),
        };
        let terms = kept::Terms { hold, output_asked: asked, output_granted: output, refused_by };
        let weighed = spots.iter().map(|Spot { rule, standing, .. }| {
            let figures = kept::Figures {
                max: standing.ceiling,
                used: standing.used,
                reserved: standing.held,
                taken: self.need(rule.limit.metric, output),
            };
            (&rule.kept, figures)
        });
        kept::Decision::write(&terms, weighed)
    }

    /// The rules that apply, by number.
    fn rules(&self) -> impl Iterator<Item = u16> {
        let concerned = |(_, rule): &(u16, &Rule)| {
            self.counts(rule.limit.metric) && rule.concerns(self.terms.subject)
        };
        (0..u16::MAX).zip(&self.table.rules).filter(concerned).map(|(number, _)| number)
    }

    /// Whether what is asked is counted by this metric at all.
    fn counts(&self, metric: Metric) -> bool {
        match self.ask {
            Ask::Call(demand) => metric != Metric::Units || demand.units != 0,
            Ask::Action { metric: only, .. } => metric == only,
        }
    }

    /// Finds or makes the counters of these rules and counts them.
    fn spots(&self, floor: &mut Floor<'_>, places: &mut Places, rules: &[u16]) -> Spots<'a> {
        self.find(floor, places);
        let mut spots = Spots::new();
        for number in rules {
            let Some(rule) = self.table.rules.get(usize::from(*number)) else {
                continue;
            };
            let Some(Some(place)) = places.get_mut(rule.group) else {
                continue;
            };
            let Some(locked) = floor.at(place.stripe) else {
                continue;
            };
            let at = locked.at;
            let slot = match place.slot {
                Some(slot) => slot,
                None => {
                    let group = self.table.groups.get(rule.group);
                    let name = group.and_then(|group| Name::of(group, self.terms.subject));
                    let Some(name) = name else { continue };
                    *place.slot.insert(locked.stripe.find_or_make(place.hash, &name, &at))
                }
            };
            let counter = locked.stripe.counter_index(slot, rule.identity, &rule.limit);
            let (max, until) = max_of(rule, self.terms.overlay, self.now);
            let Some(found) = locked.stripe.counter(slot, counter) else {
                continue;
            };
            let standing = found.count(&rule.limit, max, &at);
            let stripe = place.stripe;
            spots.push(Spot { rule, number: *number, stripe, slot, counter, standing, until });
        }
        spots
    }

    /// Finds the accounts that are there, all of them before any is worked on. Among a million users
    /// nearly each step from index to account to counter to log waits for memory; side by side the
    /// accounts wait together instead of one after the other.
    fn find(&self, floor: &mut Floor<'_>, places: &mut Places) {
        for (group, place) in self.table.groups.iter().zip(places.iter_mut()) {
            let Some(place) = place else { continue };
            let Some(name) = Name::of(group, self.terms.subject) else { continue };
            if let Some(locked) = floor.at(place.stripe) {
                let at = locked.at;
                place.slot = locked.stripe.find_used(place.hash, &name, &at);
            }
        }
        let mut newest = 0_i64;
        for Place { stripe, slot, .. } in places.iter().flatten() {
            if let Some((locked, slot)) = floor.at(*stripe).zip(*slot) {
                newest ^= locked.stripe.newest(slot);
            }
        }
        std::hint::black_box(newest);
    }

    fn refusal(
        &self,
        floor: &mut Floor<'_>,
        spot: &Spot<'_>,
        (asked, decision): (i64, kept::Decision),
    ) -> Refusal {
        let Spot { rule, standing, .. } = spot;
        let limit = &rule.limit;
        let excess = standing.room().map_or(0, |room| asked.saturating_sub(room));
        let mut frees_at = None;
        let mut warnings = Vec::new();
        if let Some(locked) = floor.at(spot.stripe) {
            let at = locked.at;
            if let Some(counter) = locked.stripe.counter(spot.slot, spot.counter) {
                frees_at = counter.frees_at(limit, standing, (asked, excess), &at);
                let fired = counter.refused(limit, standing, &at);
                let max = standing.ceiling.unwrap_or(i64::MAX);
                warnings
                    .extend(fired.into_iter().map(|step| warning(rule, step, standing.used, max)));
            }
        }
        // When an override ends, the limit's own maximum holds again.
        let returns = spot.until.filter(|_| limit.max.is_none_or(|max| standing.max < Some(max)));
        let frees_at = frees_at.and_then(window::timestamp);
        Refusal {
            code: rule.code(),
            limit: Arc::clone(limit),
            plan: rule.plan.clone(),
            balance: balance(standing, asked),
            frees_at: frees_at.into_iter().chain(returns).min(),
            decided_by_bound: self.hangs_on_input(spot),
            warnings: warnings.into(),
            decision,
        }
    }

    fn take(
        &self,
        floor: &mut Floor<'_>,
        spot: &Spot<'_>,
        output: u64,
        warnings: &mut Vec<Warning>,
    ) -> Entry {
        let Spot { rule, standing, .. } = spot;
        let limit: &Limit = &rule.limit;
        let amount = self.need(limit.metric, output);
        let ceiling = standing.ceiling.unwrap_or(i64::MAX);
        let mut entry = Entry {
            key: standing.key,
            amount,
            remaining: ceiling
                .saturating_sub(standing.used)
                .saturating_sub(standing.held)
                .saturating_sub(amount),
            ceiling,
            slot: spot.slot,
            turns_in: u32::MAX,
            rule: spot.number,
            counter: spot.counter,
            stripe: spot.stripe,
        };
        let Some(locked) = floor.at(spot.stripe) else {
            return entry;
        };
        let at = locked.at;
        if let Some(end) = standing.turns_at {
            let seconds = (end.saturating_sub(at.wall).max(0) + 999) / 1_000;
            entry.turns_in = u32::try_from(seconds).unwrap_or(u32::MAX);
        }
        if !counts_admissions(limit) {
            locked.stripe.pin(spot.slot);
        }
        if let Some(counter) = locked.stripe.counter(spot.slot, spot.counter) {
            entry.key = counter.reserve(limit, standing.key, amount);
            let before = match limit.window {
                Window::Now => standing.held,
                _ if counts_admissions(limit) => standing.used,
                _ => return entry,
            };
            let after = before.saturating_add(amount);
            let fired = counter.crossed(limit, ceiling, (before, after), &at);
            warnings.extend(fired.into_iter().map(|step| warning(rule, step, after, ceiling)));
        }
        entry
    }
}

/// A warning of a rule.
pub(super) fn warning(rule: &Rule, step: u16, used: i64, max: i64) -> Warning {
    Warning { limit: Arc::clone(&rule.limit), plan: rule.plan.clone(), step, used, max }
}

fn balance(standing: &Standing, asked: i64) -> Balance {
    Balance {
        used: standing.used,
        reserved: standing.held,
        max: standing.ceiling.unwrap_or(i64::MAX),
        asked,
    }
}
