//! How each target does: its breaker, whether it rests, how fast it is, what runs at it; and per
//! provider how many retries it may still bear.
//!
//! This outlives a reload of the configuration: a target is known by its provider and model, and
//! what was learned of it stays. A call enters with a [`Pass`], says with it how it went, and leaves
//! by dropping it; a pass that is dropped without a word tells nothing, so no probe is ever lost.
//! Policies are arguments, because they belong to the configuration.

mod budget;
mod latency;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use tollgate_domain::clock::Clock;

use crate::breaker::{Breaker, BreakerPolicy, BreakerState, Token};
use crate::metrics::Metrics;
use budget::Budget;
use latency::Latency;

/// Most targets that are known by name; what is beyond them shares one entry per provider.
const MOST: usize = 4_096;
/// The name of that entry.
const OTHER: &str = "other";
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
    /// How often the breaker has opened since the start.
    pub openings: u64,
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
        self.budget.called(self.clock.monotonic());
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
            openings: now.breaker.openings(),
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

    /// It tells nothing about the target, however long it took.
    pub fn tells_nothing(&mut self) {
        self.streams = false;
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

#[cfg(test)]
mod tests;
