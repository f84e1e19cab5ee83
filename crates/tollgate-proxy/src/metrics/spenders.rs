//! Who spends the most lately, in bounded memory: a table of heavy hitters whose weights fall by half
//! every hour. Who is not in it takes the place of the lightest and inherits its weight, so that
//! whoever really spends much is never missed (space-saving, Metwally et al. 2005).
//!
//! It serves the gauges of the top users and nothing else; the ledger holds what everybody spent.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tollgate_domain::money::NanoUsd;

/// Users that are weighed at a time.
const WEIGHED: usize = 128;
/// What a call weighs beside its cost, in nano-dollars: those whose calls are free are seen too.
const CALL: i64 = 1_000;
/// Seconds after which a weight is half of what it was.
const HALF_LIFE: i64 = 3_600;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Spenders(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    period: i64,
    users: HashMap<Arc<str>, Spender>,
}

#[derive(Debug)]
struct Spender {
    key: Option<Arc<str>>,
    weight: i64,
}

impl Spenders {
    /// Weighs a call that has ended.
    pub(super) fn note(
        &self,
        user: &Arc<str>,
        key: Option<&Arc<str>>,
        (cost, time): (NanoUsd, Timestamp),
    ) {
        let weight = cost.nanos().max(0).saturating_add(CALL);
        let mut table = self.0.lock();
        table.fade(time.as_second().div_euclid(HALF_LIFE));
        if let Some(known) = table.users.get_mut(user) {
            known.weight = known.weight.saturating_add(weight);
            known.key = key.map(Arc::clone);
            return;
        }
        let inherited = if table.users.len() < WEIGHED { 0 } else { table.drop_lightest() };
        let key = key.map(Arc::clone);
        let spender = Spender { key, weight: inherited.saturating_add(weight) };
        table.users.insert(Arc::clone(user), spender);
    }

    /// The greatest first, with the key that each used last.
    pub(super) fn top(&self, most: usize) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        let table = self.0.lock();
        let mut users: Vec<_> = table.users.iter().collect();
        users.sort_by(|(a, one), (b, other)| other.weight.cmp(&one.weight).then(a.cmp(b)));
        let top = users.into_iter().take(most);
        top.map(|(user, spender)| (Arc::clone(user), spender.key.clone())).collect()
    }
}

impl Table {
    /// Takes half of every weight for each period that has passed.
    fn fade(&mut self, period: i64) {
        let passed = period.saturating_sub(self.period);
        if passed <= 0 {
            return;
        }
        self.period = period;
        let halvings = u32::try_from(passed).unwrap_or(u32::MAX).min(63);
        self.users.retain(|_, spender| {
            spender.weight >>= halvings;
            spender.weight > 0
        });
    }

    fn drop_lightest(&mut self) -> i64 {
        let lightest = self.users.iter().min_by_key(|(_, spender)| spender.weight);
        let Some((user, weight)) = lightest.map(|(user, one)| (Arc::clone(user), one.weight))
        else {
            return 0;
        };
        self.users.remove(&user);
        weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(spenders: &Spenders, user: &str, second: i64, nanos: i64) {
        let time = Timestamp::from_second(second).unwrap();
        let key = Arc::from("backend");
        spenders.note(&Arc::from(user), Some(&key), (NanoUsd::from_nanos(nanos), time));
    }

    fn names(spenders: &Spenders, most: usize) -> Vec<String> {
        spenders.top(most).iter().map(|(user, _)| user.to_string()).collect()
    }

    #[test]
    fn who_spends_much_is_found_among_any_number_of_users() {
        let spenders = Spenders::default();
        for n in 0..10_000 {
            note(&spenders, &format!("user {n}"), 0, 1_000);
            if n % 20 == 0 {
                note(&spenders, "heavy", 0, 1_000_000);
            }
            if n % 40 == 0 {
                note(&spenders, "less", 0, 1_000_000);
            }
        }
        assert_eq!(names(&spenders, 2), ["heavy", "less"]);
        assert_eq!(spenders.0.lock().users.len(), WEIGHED);
    }

    #[test]
    fn what_was_spent_hours_ago_weighs_less_and_is_forgotten_in_the_end() {
        let spenders = Spenders::default();
        note(&spenders, "once", 0, 1_000_000);
        note(&spenders, "now", 4 * HALF_LIFE, 100_000);
        assert_eq!(names(&spenders, 9), ["now", "once"]);
        note(&spenders, "later", 100 * HALF_LIFE, 0);
        assert_eq!(names(&spenders, 9), ["later"]);
    }

    #[test]
    fn a_call_of_the_past_takes_nothing_away() {
        let spenders = Spenders::default();
        note(&spenders, "now", 10 * HALF_LIFE, 5_000);
        note(&spenders, "late", 0, 1_000);
        assert_eq!(names(&spenders, 9), ["now", "late"]);
    }
}
