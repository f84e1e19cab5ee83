//! Measures the limits engine: how long admitting and settling take with six limits on four scopes,
//! and how much memory a known user needs.
//!
//! `cargo run --release -p tollgate-admission --example admission_bench [calls]`. Plain loops; the
//! figures are medians over batches, so that a pause of the machine does not show. Time passes as if
//! ten thousand calls came in a second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tollgate_admission::engine::{Actual, Demand, Engine, Overlay, Subject, Terms};
use tollgate_domain::call::Outcome;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Plan, Scope, Window};
use tollgate_domain::money::{Exact, NanoUsd, Rate};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USERS: usize = 1_000_000;
const BATCH: usize = 1_000;

fn limit(name: &str, scope: &[Scope], metric: Metric, window: Window) -> Arc<Limit> {
    Arc::new(Limit {
        name: name.into(),
        scope: scope.to_vec(),
        metric,
        window,
        max: Some(1_000_000_000_000_000),
        on_limit: if metric == Metric::CostUsd { OnLimit::Clamp } else { OnLimit::Deny },
        mode: Mode::Enforce,
        warn_at: vec![800],
        rollover: 0,
        zone: TimeZone::get("Asia/Seoul").unwrap_or(TimeZone::UTC),
        feature: None,
        models: Vec::new(),
        providers: Vec::new(),
    })
}

/// Four limits by user, one by address, one by model: with those outside plans, six on four scopes.
fn engine_and_plan() -> (Engine, Plan) {
    let minute = Window::Sliding { millis: 60_000 };
    let engine = Engine::new();
    engine.set_limits(Arc::from([
        limit("per_ip", &[Scope::Ip], Metric::Requests, minute),
        limit("company", &[Scope::Global], Metric::CostUsd, Window::Day),
        limit("per_model", &[Scope::Model], Metric::Tokens, Window::Day),
    ]));
    let limits = vec![
        limit("burst", &[Scope::User], Metric::Requests, minute),
        limit("daily", &[Scope::User], Metric::Successes, Window::Day),
        limit("spend", &[Scope::User], Metric::CostUsd, Window::Rolling { days: 30 }),
    ];
    (engine, Plan { name: "premium".into(), limits })
}

fn demand() -> Demand {
    Demand {
        input_tokens: 1_000,
        output_tokens: 4_096,
        input_cost: Exact::from_femtos(150_000_000_000),
        output_rate: Rate::from_nanos_per_million(600_000_000),
        min_output: 16,
        units: 0,
    }
}

fn actual() -> Actual {
    Actual {
        outcome: Outcome::Success,
        input_tokens: 900,
        output_tokens: 300,
        cost: NanoUsd::from_nanos(315_000),
        units: 0,
    }
}

/// A cheap sequence of numbers without a pattern.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap_or(0)
}

struct Names {
    users: Vec<String>,
    ips: Vec<String>,
}

impl Names {
    /// The names of a user and of its address.
    fn of(&self, user: usize) -> (String, String) {
        let name = |names: &[String], at| names.get(at).cloned().unwrap_or_default();
        (name(&self.users, user), name(&self.ips, user % self.ips.len()))
    }
}

struct Round {
    admit: Vec<u128>,
    settle: Vec<u128>,
    refused: usize,
}

#[expect(clippy::disallowed_methods, reason = "this measures time")]
fn run(engine: &Engine, plan: &Plan, names: &Names, order: impl Iterator<Item = usize>) -> Round {
    let overlay = Overlay::default();
    let (demand, actual) = (demand(), actual());
    let mut now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap_or_default();
    let mut round = Round { admit: Vec::new(), settle: Vec::new(), refused: 0 };
    let order: Vec<usize> = order.collect();
    let mut grants = Vec::with_capacity(BATCH);
    for batch in order.chunks(BATCH) {
        now = now.saturating_add(SignedDuration::from_millis(100)).unwrap_or(now);
        let call = CallId::from_bytes([7; 16]);
        // A call brings its names along: they have just been read when it is decided.
        let arriving: Vec<_> = batch.iter().map(|user| names.of(*user)).collect();
        let started = Instant::now();
        for (user, ip) in &arriving {
            let subject = Subject {
                user,
                ip: Some(ip),
                provider: "openai",
                model: "gpt-4o-mini",
                ..Subject::default()
            };
            let terms = Terms { subject: &subject, plan, overlay: &overlay, own: None };
            match engine.admit(call, black_box(&terms), &demand, now) {
                Ok(grant) => grants.push(grant),
                Err(_) => round.refused += 1,
            }
        }
        let admitted = Instant::now();
        for grant in grants.drain(..) {
            black_box(engine.settle(grant, &actual, now));
        }
        round.admit.push((admitted - started).as_nanos());
        round.settle.push(admitted.elapsed().as_nanos());
    }
    round
}

fn median_per_call(mut batches: Vec<u128>) -> u128 {
    batches.sort_unstable();
    let calls = u128::try_from(BATCH).unwrap_or(1);
    batches.get(batches.len() / 2).map_or(0, |nanos| nanos / calls)
}

/// Resident memory in bytes; zero where the system does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4_096
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn report(label: &str, round: Round) {
    let (admit, settle) = (median_per_call(round.admit), median_per_call(round.settle));
    println!("{label:<34} admit {admit:>5} ns   settle {settle:>5} ns   refused {}", round.refused);
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() {
    let calls = std::env::args().nth(1).and_then(|calls| calls.parse().ok()).unwrap_or(10_000_000);
    let names = Names {
        users: (0..USERS).map(|n| format!("user-{n}@example.com")).collect(),
        ips: (0..USERS / 4)
            .map(|n| format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255))
            .collect(),
    };
    let (engine, plan) = engine_and_plan();
    report("one user (warm)", run(&engine, &plan, &names, (0..1_000_000).map(|_| 1)));
    report("10 000 users", run(&engine, &plan, &names, (0..1_000_000).map(|n| n % 10_000)));
    let (engine, plan) = engine_and_plan();
    let before = resident();
    report("1 000 000 users, first call each", run(&engine, &plan, &names, 0..USERS));
    let after = resident();
    println!("memory per known user {:>20} bytes", after.saturating_sub(before) / USERS);
    let mut seed = 42;
    let random = (0..calls).map(|_| next(&mut seed) % USERS);
    report("1 000 000 users at random", run(&engine, &plan, &names, random));
    println!(
        "memory per known user {:>20} bytes after {calls} more calls; {:?}",
        resident().saturating_sub(before) / USERS,
        engine.census()
    );
}
