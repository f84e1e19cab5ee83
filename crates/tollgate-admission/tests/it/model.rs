//! Random interleavings of admissions, settlements, crashes, reloads and time against a naive model:
//! the list of all admissions, summed up anew for each question.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tollgate_admission::engine::{Actual, Amounts, Demand, Engine, Grant, Overlay, Subject, Terms};
use tollgate_domain::call::Outcome;
use tollgate_domain::invariant::{every_call_settles, within_limit};
use tollgate_domain::limit::{Limit, Metric, OnLimit, Plan, Scope, Window};
use tollgate_domain::money::NanoUsd;

use crate::kit::{call, demand, limit, sliding, time};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const MODELS: [&str; 2] = ["small", "large"];
const ZONE: &str = "Europe/Berlin";

#[derive(Clone, Debug)]
enum Step {
    Admit {
        user: usize,
        model: usize,
        input: u64,
        output: u64,
        least: u64,
    },
    /// Which open call, how it ends, and what it used in per cent of what was set aside.
    Settle {
        which: usize,
        outcome: Outcome,
        percent: u64,
    },
    /// Which open call goes on to another model, and what it asks for there.
    Exchange {
        which: usize,
        model: usize,
        input: u64,
        output: u64,
        least: u64,
    },
    Pass {
        millis: u64,
    },
    /// All maxima in per cent of their first.
    Reload {
        percent: i64,
    },
    /// Everything in memory is lost; what was open is in doubt.
    Crash,
}

/// Steps, each read from one number: cheaper than a strategy for each part, and a smaller number is
/// still a simpler step.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<u64>().prop_map(step_from), 1..50)
}

fn step_from(number: u64) -> Step {
    let mut left = number;
    let mut below = |bound: u64| {
        let digit = left % bound;
        left /= bound;
        digit
    };
    let place = |digit: u64| usize::try_from(digit).unwrap();
    match below(22) {
        0..=7 => Step::Admit {
            user: place(below(3)),
            model: place(below(2)),
            input: below(150),
            output: below(80),
            least: below(20),
        },
        8..=13 => Step::Settle {
            outcome: [Outcome::Success, Outcome::Success, Outcome::Failed, Outcome::Cancelled]
                [place(below(4))],
            percent: [0, 100, 130, 1 + below(99)][place(below(4))],
            which: place(below(1_000)),
        },
        14 | 15 => Step::Pass { millis: below(30_000) },
        16 => Step::Pass { millis: below(200_000_000) },
        17 => Step::Reload { percent: signed(50 + below(150)) },
        18..=20 => Step::Exchange {
            model: place(below(2)),
            input: below(150),
            output: below(80),
            least: below(20),
            which: place(below(1_000)),
        },
        _ => Step::Crash,
    }
}

/// The limits of the plan, then those outside plans, with maxima in per cent.
fn limits(percent: i64, zone: &TimeZone) -> (Vec<Limit>, Vec<Limit>) {
    let make = |name, metric, window, max: i64, scope: &[Scope]| Limit {
        scope: scope.to_vec(),
        zone: zone.clone(),
        ..limit(name, metric, window, max * percent / 100)
    };
    let clamp = |limit| Limit { on_limit: OnLimit::Clamp, ..limit };
    let user = &[Scope::User];
    let own = vec![
        clamp(make("spend", Metric::CostUsd, Window::Rolling { days: 3 }, 2_000, user)),
        make("burst", Metric::Requests, sliding(60), 6, user),
        make("tokens", Metric::Tokens, sliding(600), 900, user),
        make("parallel", Metric::Concurrency, Window::Now, 4, user),
        make("daily", Metric::Successes, Window::Day, 8, user),
        clamp(make("month", Metric::Tokens, Window::Month, 3_000, user)),
    ];
    let outside = vec![
        make("ip", Metric::Requests, sliding(300), 12, &[Scope::Ip]),
        make("pair", Metric::OutputTokens, Window::Week, 400, &[Scope::User, Scope::Model]),
        clamp(make("company", Metric::CostUsd, Window::Day, 3_000, &[Scope::Global])),
        make("total", Metric::Requests, Window::Total, 30, &[Scope::Model]),
    ];
    (own, outside)
}

/// One admission, as the model remembers it.
struct Admission {
    at: Timestamp,
    date: Date,
    user: usize,
    model: usize,
    input: u64,
    output: u64,
    /// When its amounts were set aside for the target that it is at now: sliding windows count them
    /// from then.
    moved: Timestamp,
    /// What it used, once it has settled.
    settled: Option<Amounts>,
}

#[derive(Default)]
struct Model {
    admissions: Vec<Admission>,
}

const fn rank(limit: &Limit) -> u8 {
    match (limit.metric, limit.window) {
        (Metric::CostUsd, _) => 3,
        (Metric::Concurrency, _) => 1,
        (_, Window::Sliding { .. }) => 0,
        _ => 2,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap()
}

/// What a call needs of a metric; a token in costs one nano-dollar, one out two.
fn need(metric: Metric, input: u64, output: u64) -> i64 {
    match metric {
        Metric::Requests | Metric::Successes | Metric::Concurrency => 1,
        Metric::InputTokens => signed(input),
        Metric::OutputTokens => signed(output),
        Metric::Tokens => signed(input + output),
        Metric::CostUsd => signed(input + 2 * output),
        Metric::Units => 0,
    }
}

fn used(limit: &Limit, amounts: &Amounts) -> i64 {
    match (limit.metric, limit.window) {
        (Metric::Requests, Window::Sliding { .. }) => amounts.admitted,
        (Metric::Requests, _) => amounts.requests,
        (Metric::Successes, _) => amounts.successes,
        (Metric::InputTokens, _) => amounts.input_tokens,
        (Metric::OutputTokens, _) => amounts.output_tokens,
        (Metric::Tokens, _) => amounts.input_tokens + amounts.output_tokens,
        (Metric::CostUsd, _) => amounts.cost.nanos(),
        (Metric::Concurrency | Metric::Units, _) => 0,
    }
}

fn date_in(at: Timestamp, zone: &TimeZone) -> Date {
    at.to_zoned(zone.clone()).date()
}

impl Model {
    /// Used and reserved of a limit, for this user and model, now.
    fn count(&self, limit: &Limit, who: (usize, usize), now: Timestamp) -> (i64, i64) {
        self.count_but(None, limit, who, (now, now))
    }

    /// The same without one of the calls, in the calendar windows of the first time and the sliding
    /// ones of the second.
    fn count_but(
        &self,
        but: Option<usize>,
        limit: &Limit,
        (user, model): (usize, usize),
        (at, now): (Timestamp, Timestamp),
    ) -> (i64, i64) {
        let today = date_in(at, &limit.zone);
        let mine = |one: &&Admission| {
            limit.scope.iter().all(|scope| match scope {
                Scope::User => one.user == user,
                Scope::Model => one.model == model,
                _ => true,
            })
        };
        let inside = |one: &&Admission| match limit.window {
            Window::Sliding { millis } => {
                let counted = if limit.metric == Metric::Requests { one.at } else { one.moved };
                now.as_millisecond() - counted.as_millisecond() < signed(millis)
            }
            Window::Day => one.date == today,
            Window::Week => {
                one.date.iso_week_date().week() == today.iso_week_date().week()
                    && one.date.iso_week_date().year() == today.iso_week_date().year()
            }
            Window::Month => one.date.first_of_month() == today.first_of_month(),
            Window::Rolling { days } => (today - one.date).get_days() < i32::from(days),
            Window::Total | Window::Balance => true,
            Window::Now => one.settled.is_none(),
        };
        let mut sums = (0, 0);
        let others = self.admissions.iter().enumerate().filter(|(at, _)| but != Some(*at));
        for one in others.map(|(_, one)| one).filter(mine).filter(inside) {
            let admission = limit.metric == Metric::Requests && rank(limit) == 0;
            match &one.settled {
                Some(amounts) => sums.0 += used(limit, amounts),
                None if admission => sums.0 += 1,
                None => sums.1 += need(limit.metric, one.input, one.output),
            }
        }
        sums
    }

    /// What a decision has to be: the output that is granted, or the limit that refuses.
    fn decide(
        &self,
        limits: &[&Limit],
        (user, model): (usize, usize),
        demand: &Demand,
        now: Timestamp,
    ) -> Result<u64, String> {
        self.decide_but((None, limits), (user, model), demand, (now, now))
    }

    /// The same for one of the calls, which goes on to another model: it is left out of the counts,
    /// and what counts calls in the same place does not ask again.
    fn decide_but(
        &self,
        (but, limits): (Option<usize>, &[&Limit]),
        (user, model): (usize, usize),
        demand: &Demand,
        (at, now): (Timestamp, Timestamp),
    ) -> Result<u64, String> {
        let stays = |limit: &Limit| {
            let counts_calls =
                matches!(limit.metric, Metric::Requests | Metric::Successes | Metric::Concurrency);
            but.is_some_and(|but| {
                let same_model = self.admissions[but].model == model;
                counts_calls && (same_model || !limit.scope.contains(&Scope::Model))
            })
        };
        let fits = |limit: &Limit, output| {
            let (used, held) = self.count_but(but, limit, (user, model), (at, now));
            let need = need(limit.metric, demand.input_tokens, output);
            let max = limit.max.unwrap();
            stays(limit) || max > 0 && (need == 0 || used + held + need <= max)
        };
        let least = demand.min_output.max(1).min(demand.output_tokens);
        let clamps = || limits.iter().filter(|limit| limit.on_limit == OnLimit::Clamp);
        let output = (least..=demand.output_tokens)
            .rev()
            .find(|output| clamps().all(|limit| fits(limit, *output)))
            .unwrap_or(least);
        match limits.iter().find(|limit| !fits(limit, output)) {
            Some(limit) => Err(limit.name.to_string()),
            None => Ok(output),
        }
    }
}

/// The engine and the model side by side.
struct Run {
    engine: Engine,
    plan: Plan,
    outside: Vec<Arc<Limit>>,
    zone: TimeZone,
    now: Timestamp,
    model: Model,
    /// Grants of open calls, with their place in the model.
    open: Vec<(Grant, usize)>,
    admitted: u64,
    settled: u64,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            engine: Engine::new(),
            plan: Plan { name: "pro".into(), limits: Vec::new() },
            outside: Vec::new(),
            zone: TimeZone::get(ZONE).unwrap(),
            // Two days before clocks change.
            now: time("2026-03-27T20:00:00Z"),
            model: Model::default(),
            open: Vec::new(),
            admitted: 0,
            settled: 0,
        };
        run.reload(100);
        run
    }

    fn reload(&mut self, percent: i64) {
        let (own, outside) = limits(percent, &self.zone);
        self.plan.limits = own.into_iter().map(Arc::new).collect();
        self.outside = outside.into_iter().map(Arc::new).collect();
        self.engine.set_limits(self.outside.clone().into());
    }

    fn subject(user: usize, model: usize) -> Subject<'static> {
        Subject {
            user: USERS[user],
            ip: Some("10.0.0.1"),
            provider: "openai",
            model: MODELS[model],
            ..Subject::default()
        }
    }

    /// Used and reserved of each limit for these, by name.
    fn usage(&self, (user, model): (usize, usize)) -> Vec<(String, i64, i64)> {
        let (subject, overlay) = (Self::subject(user, model), Overlay::default());
        let terms = Terms { subject: &subject, plan: &self.plan, overlay: &overlay, own: None };
        let states = self.engine.usage(&terms, self.now);
        states.iter().map(|one| (one.limit.name.to_string(), one.used, one.reserved)).collect()
    }

    fn all_limits(&self) -> Vec<&Limit> {
        let mut all: Vec<&Limit> =
            self.plan.limits.iter().chain(&self.outside).map(|limit| &**limit).collect();
        all.sort_by_key(|limit| rank(limit));
        all
    }

    fn admit(&mut self, who: (usize, usize), asked: &Demand) -> Result<(), TestCaseError> {
        let expected = self.model.decide(&self.all_limits(), who, asked, self.now);
        let before = self.usage(who);
        let (subject, overlay) = (Self::subject(who.0, who.1), Overlay::default());
        let terms = Terms { subject: &subject, plan: &self.plan, overlay: &overlay, own: None };
        let answer = self.engine.admit(call(self.admitted), &terms, asked, self.now);
        let made =
            answer.as_ref().map(Grant::output_tokens).map_err(|no| no.limit.name.to_string());
        prop_assert_eq!(&made, &expected, "{:?} at {}", asked, self.now);
        let after = self.usage(who);
        let Ok(grant) = answer else {
            // LIMIT-2.
            prop_assert_eq!(before, after);
            return Ok(());
        };
        // LIMIT-1.
        let limits = self.all_limits();
        for (name, used, held) in after {
            let limit = limits.iter().find(|limit| *limit.name == *name).unwrap();
            if need(limit.metric, asked.input_tokens, grant.output_tokens()) > 0 {
                prop_assert!(within_limit(used, held, limit.max), "{name}: {used} + {held}");
                prop_assert!(used + held <= limit.max.unwrap(), "{name}: {used} + {held}");
            }
        }
        self.model.admissions.push(Admission {
            at: self.now,
            date: date_in(self.now, &self.zone),
            user: who.0,
            model: who.1,
            input: asked.input_tokens,
            output: grant.output_tokens(),
            moved: self.now,
            settled: None,
        });
        self.open.push((grant, self.model.admissions.len() - 1));
        self.admitted += 1;
        Ok(())
    }

    fn exchange(
        &mut self,
        which: usize,
        model: usize,
        asked: &Demand,
    ) -> Result<(), TestCaseError> {
        // A call lasts for minutes. Calendar windows are remembered one turn back.
        let young = |at: Timestamp| self.now.as_second() - at.as_second() < 43_200;
        if self.open.is_empty() {
            return Ok(());
        }
        let which = which % self.open.len();
        let index = self.open[which].1;
        let (at, user) = (self.model.admissions[index].at, self.model.admissions[index].user);
        if !young(at) {
            return Ok(());
        }
        let (who, times) = ((user, model), (at, self.now));
        let limits = self.all_limits();
        let expected = self.model.decide_but((Some(index), &limits), who, asked, times);
        let before: Vec<_> = (0..MODELS.len()).map(|model| self.usage((user, model))).collect();
        let (subject, overlay) = (Self::subject(user, model), Overlay::default());
        let terms = Terms { subject: &subject, plan: &self.plan, overlay: &overlay, own: None };
        let mut grant = self.open.swap_remove(which).0;
        let answer = self.engine.exchange(&mut grant, &terms, asked, times);
        let made = answer.map(|()| grant.output_tokens()).map_err(|no| no.limit.name.to_string());
        prop_assert_eq!(&made, &expected, "{:?} from {} at {}", asked, at, self.now);
        if made.is_ok() {
            let one = &mut self.model.admissions[index];
            (one.model, one.input, one.output) = (model, asked.input_tokens, grant.output_tokens());
            one.moved = self.now;
        } else {
            // LIMIT-2.
            let after: Vec<_> = (0..MODELS.len()).map(|model| self.usage((user, model))).collect();
            prop_assert_eq!(before, after);
        }
        self.open.push((grant, index));
        Ok(())
    }

    fn settle(&mut self, which: usize, outcome: Outcome, percent: u64) {
        if self.open.is_empty() {
            return;
        }
        let (grant, index) = self.open.swap_remove(which % self.open.len());
        let one = &mut self.model.admissions[index];
        let (input, output) = (one.input * percent / 100, one.output * percent / 100);
        let cost = NanoUsd::from_nanos(signed(input + 2 * output));
        let actual = Actual { outcome, input_tokens: input, output_tokens: output, cost, units: 0 };
        one.settled = Some(actual.amounts());
        self.engine.settle(grant, &actual, self.now);
        self.settled += 1;
    }

    /// Loses the engine; fills a new one from the settled rows, open ones in doubt.
    fn crash(&mut self) {
        self.engine = Engine::new();
        self.engine.set_limits(self.outside.clone().into());
        self.settled += u64::try_from(self.open.len()).unwrap();
        self.open.clear();
        let overlay = Overlay::default();
        for one in &mut self.model.admissions {
            let in_doubt = Actual {
                outcome: Outcome::InDoubt,
                input_tokens: one.input,
                output_tokens: one.output,
                cost: NanoUsd::from_nanos(signed(one.input + 2 * one.output)),
                units: 0,
            };
            one.moved = one.at;
            let amounts = one.settled.get_or_insert_with(|| in_doubt.amounts());
            let subject = Self::subject(one.user, one.model);
            let terms = Terms { subject: &subject, plan: &self.plan, overlay: &overlay, own: None };
            self.engine.absorb(&terms, one.at, amounts);
        }
    }

    /// The engine counts what the model counts, and holds what is open.
    fn compare(&self) -> Result<(), TestCaseError> {
        let limits = self.all_limits();
        for user in 0..USERS.len() {
            let who = (user, user % MODELS.len());
            for (name, used, held) in self.usage(who) {
                let limit = limits.iter().find(|limit| *limit.name == *name).unwrap();
                let counted = self.model.count(limit, who, self.now);
                if matches!(limit.window, Window::Sliding { .. } | Window::Rolling { .. }) {
                    // Here a reservation that has left the window may still be told as reserved.
                    prop_assert_eq!(used + held, counted.0 + counted.1, "{}", name);
                } else {
                    prop_assert_eq!((used, held), counted, "{}", name);
                }
            }
        }
        let in_flight = u64::try_from(self.open.len()).unwrap();
        prop_assert!(every_call_settles(self.admitted, in_flight, self.settled));
        // Ten limits, of which two count admissions and hold nothing.
        prop_assert_eq!(self.engine.census().held, in_flight * 8);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_engine_decides_and_counts_as_a_list_of_all_admissions_would(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            match step {
                Step::Admit { user, model, input, output, least } => {
                    let asked = Demand { min_output: least, ..demand(input, output) };
                    run.admit((user, model), &asked)?;
                }
                Step::Settle { which, outcome, percent } => run.settle(which, outcome, percent),
                Step::Exchange { which, model, input, output, least } => {
                    let asked = Demand { min_output: least, ..demand(input, output) };
                    run.exchange(which, model, &asked)?;
                }
                Step::Pass { millis } => run.now += Duration::from_millis(millis),
                Step::Reload { percent } => run.reload(percent),
                Step::Crash => run.crash(),
            }
        }
        run.compare()?;
    }
}
