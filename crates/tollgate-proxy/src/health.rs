//! How each target does: its breaker, whether it rests, how fast it is, what runs at it; and per
//! provider how many retries it may still bear.
//!
//! This outlives a reload of the configuration: a target is known by its provider and model, and
//! what was learned of it stays. A call enters with a [`Pass`], says with it how it went, and leaves
//! by dropping it; a pass that is dropped without a word tells nothing, so no probe is ever lost.
//! Policies are arguments, because they belong to the configuration.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use tollgate_domain::clock::Clock;

use crate::breaker::{Breaker, BreakerPolicy, BreakerState, Token};
use crate::metrics::Metrics;
use crate::ring::Ring;

/// Most targets that are known by name; what is beyond them shares one entry per provider.
const MOST: usize = 4_096;
/// The name of that entry.
const OTHER: &str = "other";
/// Time in which a peak of latency falls to a third.
const DECAY: Duration = Duration::from_secs(10);
/// The window of the retry budget.
const RETRY_WINDOW: Duration = Duration::from_secs(10);
/// Retries in that window that a provider bears however few calls it gets.
const FEWEST_RETRIES: u64 = 10;
/// Of so many calls one may be a retry.
const CALLS_PER_RETRY: u64 = 5;
/// The longest rest that is believed.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// How all targets do.
pub struct Healths {
    clock: Clock,
    metrics: Arc<Metrics>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// By provider, then by model.
    targets: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Health>>>,
    budgets: HashMap<Arc<str>, Arc<Budget>>,
    count: usize,
}

impl std::fmt::Debug for Healths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Healths(..)")
    }
}

/// How one target does.
pub struct Health {
    provider: Arc<str>,
    model: Arc<str>,
    clock: Clock,
    now: Mutex<Now>,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
    answered: OnceLock<Counter>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Health({}/{})", self.provider, self.model)
    }
}

#[derive(Default)]
struct Now {
    breaker: Breaker,
    rests_until: Duration,
    latency: Latency,
    running: u32,
}

/// A target as operators see it.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// The provider.
    pub provider: Arc<str>,
    /// Its model.
    pub model: Arc<str>,
    /// What the breaker lets through.
    pub breaker: BreakerState,
    /// How long until a probe is let through, where it is open.
    pub opens_in: Option<Duration>,
    /// How long it still rests, as its provider asked.
    pub rests_for: Option<Duration>,
    /// The recent peak of the time to the first byte; `None` where none was seen.
    pub latency: Option<Duration>,
    /// Calls that run at it.
    pub running: u32,
}

impl Healths {
    /// Nothing is known yet.
    pub fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, known: RwLock::default() }
    }

    /// How a target does.
    pub fn of(&self, provider: &Arc<str>, model: &Arc<str>) -> Arc<Health> {
        let find = |known: &Known| known.targets.get(provider)?.get(model).map(Arc::clone);
        if let Some(found) = find(&self.known.read()) {
            return found;
        }
        let mut known = self.known.write();
        let full = known.count >= MOST;
        let model = if full { Arc::from(OTHER) } else { Arc::clone(model) };
        let found = known.targets.get(provider).and_then(|models| models.get(&model));
        if let Some(found) = found {
            return Arc::clone(found);
        }
        let budget = Arc::clone(known.budgets.entry(Arc::clone(provider)).or_default());
        let health = Arc::new(Health {
            provider: Arc::clone(provider),
            model: Arc::clone(&model),
            clock: self.clock.clone(),
            now: Mutex::default(),
            budget,
            metrics: Arc::clone(&self.metrics),
            answered: OnceLock::new(),
        });
        known.count += 1;
        let models = known.targets.entry(Arc::clone(provider)).or_default();
        models.insert(model, Arc::clone(&health));
        health
    }

    /// Every target that was asked since the start, by name.
    pub fn states(&self) -> Vec<TargetState> {
        let known = self.known.read();
        let all = known.targets.values().flat_map(HashMap::values);
        let mut states: Vec<TargetState> = all.map(|health| health.state()).collect();
        states.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
        states
    }
}

impl Health {
    /// Lets a call through, or says for how long none is.
    pub fn enter(self: &Arc<Self>, policy: &BreakerPolicy) -> Result<Pass, Duration> {
        let entered = self.clock.monotonic();
        let mut now = self.now.lock();
        let token = now.breaker.enter(entered)?;
        now.running = now.running.saturating_add(1);
        drop(now);
        let health = Arc::clone(self);
        Ok(Pass { health, token, policy: *policy, entered, told: Told::Nothing, streams: false })
    }

    /// For how long no call is let through; `None` where one would be.
    pub fn shut_for(&self) -> Option<Duration> {
        self.now.lock().breaker.shut_for(self.clock.monotonic())
    }

    /// How long it rests, as its provider asked.
    pub fn rests_for(&self) -> Option<Duration> {
        let left = self.now.lock().rests_until.checked_sub(self.clock.monotonic());
        left.filter(|left| !left.is_zero())
    }

    /// From now on it rests for so long: a limit that the provider has on us is used up.
    pub fn rest(&self, time: Duration) {
        let until = self.clock.monotonic().saturating_add(time.min(LONGEST_REST));
        let mut now = self.now.lock();
        now.rests_until = now.rests_until.max(until);
    }

    /// What a call would find: the recent peak of latency, for each call that runs.
    pub fn load(&self) -> f64 {
        let now = self.now.lock();
        now.latency.peak(self.clock.monotonic()) * (f64::from(now.running) + 1.0)
    }

    /// Counts a call at the provider; its retries are measured by that.
    pub(crate) fn called(&self) {
        self.budget.0.lock().add(RETRY_WINDOW, self.clock.monotonic(), [1, 0]);
    }

    /// Whether the provider bears one more retry; if so it is taken.
    pub(crate) fn may_retry(&self) -> bool {
        self.budget.take(self.clock.monotonic())
    }

    /// Counts an attempt by what became of it.
    pub(crate) fn attempted(&self, outcome: &'static str) {
        if outcome == "answered" {
            let make = || self.metrics.attempts(&self.provider, &self.model, outcome);
            self.answered.get_or_init(make).inc();
        } else {
            self.metrics.attempts(&self.provider, &self.model, outcome).inc();
        }
    }

    fn state(&self) -> TargetState {
        let at = self.clock.monotonic();
        let now = self.now.lock();
        let breaker = now.breaker.state(at);
        TargetState {
            provider: Arc::clone(&self.provider),
            model: Arc::clone(&self.model),
            breaker,
            opens_in: now.breaker.shut_for(at).filter(|_| breaker == BreakerState::Open),
            rests_for: now.rests_until.checked_sub(at).filter(|left| !left.is_zero()),
            latency: now.latency.shown(at),
            running: now.running,
        }
    }
}

/// A call that was let through to a target. Dropping it ends its stay there.
#[derive(Debug)]
pub struct Pass {
    health: Arc<Health>,
    token: Token,
    policy: BreakerPolicy,
    entered: Duration,
    told: Told,
    /// Whether the first byte is that of a stream, and so can be late.
    streams: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Success,
    Error,
}

impl Pass {
    /// Whose it is.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// When it was given, on the clock that measures latency.
    pub fn entered(&self) -> Duration {
        self.entered
    }

    /// The first byte of a stream is awaited: if it is late, that is an error of the target, also
    /// where the client does not wait for it.
    pub fn awaits_stream(&mut self) {
        self.streams = true;
    }

    /// The first byte of a stream is there.
    pub fn spoke(&mut self) {
        self.answered(Duration::ZERO);
    }

    /// A whole answer is there. It was generated before its first byte, and `allowed` is the time
    /// that this takes.
    pub fn answered(&mut self, allowed: Duration) {
        if self.told != Told::Nothing {
            return;
        }
        let took = self.health.clock.monotonic().saturating_sub(self.entered);
        let late = took >= self.policy.slow_first_byte.saturating_add(allowed);
        let mut now = self.health.now.lock();
        now.latency.see(took, self.entered.saturating_add(took));
        drop(now);
        self.tell(!late);
    }

    /// The target failed, before its answer or in the middle of it.
    pub fn failed(&mut self) {
        match self.told {
            Told::Nothing => self.tell(false),
            // What was taken for a success is another call to the breaker, and an error.
            Told::Success => {
                let mut now = self.health.now.lock();
                let at = self.health.clock.monotonic();
                if let Ok(token) = now.breaker.enter(at) {
                    now.breaker.report(&self.policy, token, at, false);
                }
                self.told = Told::Error;
            }
            Told::Error => {}
        }
    }

    fn tell(&mut self, ok: bool) {
        let at = self.health.clock.monotonic();
        self.health.now.lock().breaker.report(&self.policy, self.token, at, ok);
        self.told = if ok { Told::Success } else { Told::Error };
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let waited = self.health.clock.monotonic().saturating_sub(self.entered);
        if self.told == Told::Nothing && self.streams && waited >= self.policy.slow_first_byte {
            self.tell(false);
        }
        let mut now = self.health.now.lock();
        if self.told == Told::Nothing {
            now.breaker.take_back(self.token);
        }
        now.running = now.running.saturating_sub(1);
    }
}

/// The recent peak of latency: it rises at once and falls slowly, so that a target that has just
/// been slow is left alone for a while (peak EWMA, as in Finagle and Linkerd).
#[derive(Clone, Copy, Debug, Default)]
struct Latency {
    /// In seconds.
    peak: f64,
    at: Duration,
}

impl Latency {
    fn see(&mut self, took: Duration, now: Duration) {
        let (took, old) = (took.as_secs_f64(), self.peak(now));
        let since = now.saturating_sub(self.at).as_secs_f64();
        let share = (-since / DECAY.as_secs_f64()).exp();
        self.peak = if took > old { took } else { self.peak * share + took * (1.0 - share) };
        self.at = now;
    }

    /// In seconds.
    fn peak(&self, now: Duration) -> f64 {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.peak * (-since / DECAY.as_secs_f64()).exp()
    }

    fn shown(&self, now: Duration) -> Option<Duration> {
        let peak = Duration::try_from_secs_f64(self.peak(now)).ok();
        peak.filter(|_| self.peak > 0.0)
    }
}

/// Retries of one provider, so that they do not multiply an outage: no more than a share of its
/// calls over a window, but always a few.
#[derive(Default)]
struct Budget(Mutex<Ring>);

impl Budget {
    fn take(&self, now: Duration) -> bool {
        let mut ring = self.0.lock();
        let [calls, retries] = ring.sums(RETRY_WINDOW, now);
        let allowed = retries < FEWEST_RETRIES.max(calls / CALLS_PER_RETRY);
        if allowed {
            ring.add(RETRY_WINDOW, now, [0, 1]);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    const POLICY: BreakerPolicy = BreakerPolicy {
        errors_per_million: 500_000,
        window: Duration::from_secs(30),
        min_calls: 2,
        open_for: Duration::from_secs(15),
        slow_first_byte: Duration::from_secs(5),
    };

    fn healths() -> (Clock, Healths) {
        let clock = Clock::manual("2026-11-21T00:00:00Z".parse().unwrap());
        (clock.clone(), Healths::new(clock, Metrics::register(&mut Registry::default())))
    }

    fn target(healths: &Healths, model: &str) -> Arc<Health> {
        healths.of(&Arc::from("up"), &Arc::from(model))
    }

    #[test]
    fn a_late_first_byte_counts_as_an_error_whether_somebody_waits_for_it_or_not() {
        let (clock, healths) = healths();
        let health = target(&healths, "m");
        for waits in [true, false] {
            let mut pass = health.enter(&POLICY).unwrap();
            pass.awaits_stream();
            clock.advance(Duration::from_secs(5));
            if waits {
                pass.spoke();
            }
        }
        assert_eq!(health.state().breaker, BreakerState::Open);
        assert_eq!(health.state().running, 0);
        assert!(health.enter(&POLICY).is_err());
    }

    #[test]
    fn a_whole_answer_may_take_the_time_that_generating_it_takes() {
        let (clock, healths) = healths();
        let health = target(&healths, "m");
        for _ in 0..4 {
            let mut pass = health.enter(&POLICY).unwrap();
            clock.advance(Duration::from_secs(20));
            pass.answered(Duration::from_secs(16));
        }
        assert_eq!(health.state().breaker, BreakerState::Closed);
    }

    #[test]
    fn a_pass_that_tells_nothing_gives_the_probe_back() {
        let (clock, healths) = healths();
        let health = target(&healths, "m");
        for _ in 0..2 {
            health.enter(&POLICY).unwrap().failed();
        }
        clock.advance(Duration::from_secs(15));
        drop(health.enter(&POLICY).unwrap());
        let mut probe = health.enter(&POLICY).unwrap();
        assert!(health.enter(&POLICY).is_err());
        probe.spoke();
        assert_eq!(health.state().breaker, BreakerState::Closed);
        probe.failed();
        drop(probe);
        assert_eq!(health.state().breaker, BreakerState::Closed, "one of one, of at least two");
        health.enter(&POLICY).unwrap().failed();
        assert_eq!(health.state().breaker, BreakerState::Open);
    }

    #[test]
    fn retries_are_a_fifth_of_the_calls_and_never_fewer_than_a_few() {
        let (clock, healths) = healths();
        let health = target(&healths, "m");
        assert_eq!((0..100).filter(|_| health.may_retry()).count(), 10);
        (0..200).for_each(|_| health.called());
        assert_eq!((0..100).filter(|_| target(&healths, "n").may_retry()).count(), 30);
        clock.advance(RETRY_WINDOW);
        assert_eq!((0..100).filter(|_| health.may_retry()).count(), 10);
    }

    #[test]
    fn the_peak_of_latency_rises_at_once_and_falls_slowly() {
        let mut latency = Latency::default();
        let at = Duration::from_secs;
        latency.see(Duration::from_millis(100), at(100));
        latency.see(Duration::from_secs(4), at(101));
        assert!(latency.peak(at(101)) > 3.99);
        latency.see(Duration::from_millis(100), at(102));
        assert!(latency.peak(at(102)) > 3.0, "{latency:?}");
        assert!(latency.peak(at(160)) < 0.1, "{latency:?}");
    }

    #[test]
    fn names_beyond_the_bound_share_an_entry() {
        let (_, healths) = healths();
        for n in 0..MOST + 10 {
            drop(target(&healths, &n.to_string()));
        }
        assert_eq!(healths.states().len(), MOST + 1);
    }
}
