//! The thread of the engine: looks at what has happened, takes a turn, does what it asks for, and
//! writes it down.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tollgate_admission::engine::LimitState;
use tollgate_alerts::engine::{Came, Engine, Happened, Signal, Turn};
use tollgate_alerts::measure::Metric;
use tollgate_alerts::notice::Notice;
use tollgate_domain::id::CallId;
use tollgate_store::Registry;

use super::addresses::Addresses;
use super::feed::{News, Step};
use super::past::Past;
use super::readings::Openings;
use super::settings::settings;
use super::{Link, book, deeds, readings, steps};
use crate::config::Config;
use crate::control::Controls;
use crate::out;
use crate::serve::Handle;

/// The pause between two rounds: an alert is at most this late, and the time it takes.
const PAUSE: Duration = Duration::from_secs(2);
/// Calls that were counted from the ledger may come from the feed for so long.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// How often limits on everybody together are asked which steps they have passed: usage that
/// happened elsewhere reaches one without a call.
const ASK_PASSED: SignedDuration = SignedDuration::from_secs(10);
/// How often what is long over is forgotten.
const TIDY: SignedDuration = SignedDuration::from_hours(1);
/// How long history and delivered messages are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 400);

/// The engine and what it is fed from.
pub(super) struct Watch {
    link: Arc<Link>,
    handle: Handle,
    controls: Arc<Controls>,
    config: Arc<Mutex<Config>>,
    registry: Registry,
    past: Past,
    engine: Engine,
    addresses: Addresses,
    openings: Openings,
    /// Whether the windows know what was before the start.
    recalled: bool,
    /// Calls that were counted from the ledger, until they can no longer come again.
    counted: HashSet<CallId>,
    started: Timestamp,
    /// When limits were asked which steps they have passed.
    asked_passed: Option<Timestamp>,
    tidied: Option<Timestamp>,
    /// A turn that could not be written down.
    unwritten: Option<Turn>,
    troubled: bool,
}

impl Watch {
    pub(super) fn new(handle: &Handle, controls: Arc<Controls>) -> anyhow::Result<Self> {
        let registry = Registry::open(&handle.database)?;
        let (settings, zone) = {
            let config = handle.config.lock();
            (settings(&config), config.server.timezone.clone())
        };
        Ok(Self {
            link: Arc::clone(&handle.alerts),
            controls,
            config: Arc::clone(&handle.config),
            past: Past::open(&handle.database, zone)?,
            engine: Engine::new(settings, book::open(&registry)?),
            registry,
            addresses: Addresses::default(),
            openings: Openings::default(),
            recalled: false,
            counted: HashSet::new(),
            started: handle.ground.clock.now(),
            asked_passed: None,
            tidied: None,
            unwritten: None,
            troubled: false,
            handle: handle.clone(),
        })
    }

    /// Takes rounds until the program ends, and a last one then.
    pub(super) fn run(mut self) {
        loop {
            let ending = self.link.is_ending();
            let now = self.handle.ground.clock.now();
            match self.round(now) {
                Ok(()) => self.troubled = false,
                Err(error) => self.trouble(&error),
            }
            if ending {
                self.addresses.end_hour();
                // The next start counts from less; nothing else depends on it.
                drop(self.write_addresses());
                return;
            }
            thread::park_timeout(PAUSE);
        }
    }

    /// Says what went wrong, once until it goes well again.
    fn trouble(&mut self, error: &anyhow::Error) {
        if !self.troubled {
            out::note(format_args!("alerts cannot be looked at: {error:#}"));
        }
        self.troubled = true;
    }

    fn round(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if self.link.changed.swap(false, Ordering::AcqRel) {
            self.engine.change(settings(&self.config.lock()));
        }
        let global = readings::global(self.handle.plane.gate.engine(), now);
        if !self.recalled {
            let recalled =
                self.past.recall(&mut self.engine, &self.handle.ledger, (self.started, now));
            // Half of it, and then all of it again, would be too much.
            self.counted = recalled.inspect_err(|_| self.engine.forget_counts())?;
            self.recalled = true;
        }
        let passed = self.passed(&global, now);
        let News { calls, steps, storms } = self.link.feed.take();
        for (subject, at) in storms {
            self.engine.signal(&Signal { metric: Metric::DuplicateStorms, subject, at });
        }
        for call in calls.iter().filter(|call| !self.counted.remove(&call.call_id)) {
            self.engine.observe(call);
            self.addresses.observe(call, now);
        }
        if now.duration_since(self.started) > OVERLAP {
            self.counted = HashSet::new();
        }
        let targets = self.handle.plane.healths.states();
        for signal in self.openings.since(&targets, now) {
            self.engine.signal(&signal);
        }
        self.engine.read(readings::read(&self.handle.ledger, &targets, &global));
        self.reach(steps.into_iter().chain(passed), now);
        // What was taken from the feed comes no second time: nothing before keeps it from a turn.
        let turned = self.turn(now);
        self.write_addresses()?;
        turned?;
        self.tidy(now)
    }

    fn write_addresses(&mut self) -> anyhow::Result<()> {
        Ok(self.addresses.write(|records| self.registry.put_addresses(records))?)
    }

    /// The steps that limits on everybody together have passed, now and then.
    fn passed(&mut self, global: &[LimitState], now: Timestamp) -> Vec<Step> {
        if self.asked_passed.is_some_and(|at| now.duration_since(at).abs() < ASK_PASSED) {
            return Vec::new();
        }
        self.asked_passed = Some(now);
        readings::passed(global)
    }

    /// Reports steps that were not reported in their window. Where the database cannot say, they
    /// are: better twice than never.
    fn reach(&mut self, steps: impl Iterator<Item = Step>, now: Timestamp) {
        for step in steps {
            let reached = steps::reached(step, now);
            let known = self.registry.is_step_reported(&reached.key, now);
            if !known.unwrap_or(false) {
                self.engine.reach([reached]);
            }
        }
    }

    fn turn(&mut self, now: Timestamp) -> anyhow::Result<()> {
        for ask in self.engine.look(now) {
            match self.past.answer(&self.registry, &ask) {
                Ok(history) => self.engine.learn(&ask, history, now),
                Err(error) => self.trouble(&error),
            }
        }
        let silences = book::silences(&self.registry, now).unwrap_or_default();
        let mut turn = self.engine.turn(now, &silences);
        if self.intend(&turn, now) {
            self.carry_out(&mut turn);
        }
        self.name_models(&mut turn, now);
        self.show();
        self.write_down(turn, now)
    }

    /// Writes down what is about to be done, so that a crash leaves no deed without its end. Where
    /// that cannot be written nothing is done: the next turn asks for it again.
    fn intend(&mut self, turn: &Turn, now: Timestamp) -> bool {
        if turn.act.is_empty() {
            return true;
        }
        let written = self.catch_up(now).and_then(|()| {
            let intent = book::intent(turn, now);
            Ok(self.registry.commit_alerts(&intent)?)
        });
        match written {
            Ok(()) => true,
            Err(error) => {
                self.trouble(&error);
                false
            }
        }
    }

    /// Does what a turn asks for.
    fn carry_out(&mut self, turn: &mut Turn) {
        let throttle = self.config.lock().alerts.throttle;
        for act in std::mem::take(&mut turn.act) {
            let came = deeds::act(&self.controls, &act, throttle).unwrap_or_else(|error| {
                out::note(format_args!("alert {}: {}: {error}", act.rule, act.deed.as_str()));
                Came::Failed
            });
            self.engine.acted(turn, &act.key, came);
        }
        for act in std::mem::take(&mut turn.lift) {
            match deeds::lift(&self.controls, &act) {
                Ok(()) => self.engine.lifted(turn, &act.key),
                Err(error) => {
                    out::note(format_args!("alert {}: cannot be undone: {error}", act.rule));
                }
            }
        }
    }

    /// Names models in what a turn tells.
    fn name_models(&mut self, turn: &mut Turn, now: Timestamp) {
        let fired = turn.events.iter().filter(|event| event.happened == Happened::Fired);
        // Many at once are told together; their models would say nothing and take long.
        let fired: Vec<_> = fired.take(20).map(|event| event.incident.clone()).collect();
        for incident in fired {
            if let Ok(models) = self.past.models(&incident, &self.handle.ledger, now)
                && !models.is_empty()
            {
                self.engine.name_models(turn, &incident.key, &models);
            }
        }
    }

    /// Shows how all stands: to `/metrics`, and to channels that mirror.
    fn show(&self) {
        self.link.metrics.show(self.engine.firing());
        let config = self.config.lock();
        let channels = config.alerts.channels.iter().map(|own| &own.channel);
        for channel in channels.filter(|channel| channel.mirrors()) {
            let shown = self.engine.mirrored(&channel.name).cloned().collect();
            self.link.shelf.mirror(&channel.name, shown);
        }
    }

    /// Writes a turn down, after one that could not be. Where the database refuses, its messages are
    /// handed over in memory.
    fn write_down(&mut self, turn: Turn, now: Timestamp) -> anyhow::Result<()> {
        if let Err(error) = self.catch_up(now) {
            let turn = self.loose(turn, now);
            self.unwritten = Some(match self.unwritten.take() {
                Some(before) => merged(before, turn),
                None => turn,
            });
            return Err(error);
        }
        if turn.is_nothing() {
            return Ok(());
        }
        if let Err(error) = self.registry.commit_alerts(&book::work(&turn, now)) {
            self.unwritten = Some(self.loose(turn, now));
            return Err(error.into());
        }
        Ok(())
    }

    /// Writes down a turn that could not be before.
    fn catch_up(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if let Some(before) = &self.unwritten {
            self.registry.commit_alerts(&book::work(before, now))?;
            self.unwritten = None;
        }
        Ok(())
    }

    /// A turn whose messages were handed over in memory.
    fn loose(&self, mut turn: Turn, now: Timestamp) -> Turn {
        for telling in std::mem::take(&mut turn.tellings) {
            self.link.shelf.put(Arc::clone(&telling.channel), Notice::of(&telling, now));
        }
        turn
    }

    fn tidy(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if self.tidied.is_some_and(|at| now.duration_since(at).abs() < TIDY) {
            return Ok(());
        }
        self.tidied = Some(now);
        self.registry.forget_alerts(now.checked_sub(KEPT_FOR).unwrap_or(Timestamp::MIN))?;
        Ok(())
    }
}

/// Two turns as one: what was changed last holds.
fn merged(mut before: Turn, after: Turn) -> Turn {
    let gone = |turn: &Turn, key: &str| turn.gone.iter().any(|it| it == key);
    before.changed.retain(|it| {
        !gone(&after, &it.key) && !after.changed.iter().any(|other| other.key == it.key)
    });
    before.gone.retain(|key| !after.changed.iter().any(|it| it.key == *key));
    before.changed.extend(after.changed);
    before.gone.extend(after.gone);
    before.steps.extend(after.steps);
    before.events.extend(after.events);
    before
}
