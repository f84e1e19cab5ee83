//! The attempts of a call: how many there were, what each cost, how much time and how many are left.
//! An attempt is charged once: when the call leaves it for another, or when the call ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_domain::attempt::{Attempt, Billing};
use tollgate_domain::call::Outcome;
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::verdict::Verdict;
use super::{Got, WholeAnswer};
use crate::forward::Ended;
use crate::health::Pass;
use crate::open_call::{Charged, End, OpenCall, Received};
use crate::provider::Backend;
use crate::route::Chosen;

/// The attempts of a call.
#[derive(Debug, Default)]
pub struct Tries {
    /// Those that are over, in order.
    over: Vec<Attempt>,
    /// What they cost.
    spent: NanoUsd,
    /// What was set aside of that when the call was last decided.
    held: NanoUsd,
    /// Attempts so far.
    count: u16,
    /// Attempts at the present target.
    here: u32,
    /// Most attempts of the call.
    most: u16,
    /// When the call must have its answer, from its first attempt on.
    deadline: Option<Instant>,
    /// The attempt that is under way.
    now: Option<UnderWay>,
    /// Who was asked last, where the call has gone on from there and asked nobody yet.
    left: Option<Chosen>,
    /// What the last one used that is over, and whether that is an estimate.
    used: (Usage, bool),
    /// Whether a part of what was spent is an estimate.
    guessed: bool,
}

#[derive(Debug)]
struct UnderWay {
    pass: Pass,
    status: Option<u16>,
}

impl Tries {
    /// The first attempt is about to be made, at this target.
    pub(super) fn begin(&mut self, first: &Chosen) {
        self.most = first.route.attempts;
        self.deadline = match &first.target.provider.backend {
            Backend::Remote(remote) => Some(Instant::now() + remote.total),
            Backend::Simulated(_) => None,
        };
    }

    /// What says how the attempt goes that is under way.
    pub(crate) fn pass(&mut self) -> Option<&mut Pass> {
        self.now.as_mut().map(|now| &mut now.pass)
    }

    /// The head of an answer has come.
    pub(crate) fn head_came(&mut self, status: u16) {
        if let Some(now) = &mut self.now {
            now.status = Some(status);
        }
    }

    /// When the call must have its answer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Attempts so far.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Whether a part of what those cost that are over is an estimate.
    pub(crate) fn guessed(&self) -> bool {
        self.guessed
    }

    /// Attempts at the present target.
    pub(super) fn here(&self) -> u32 {
        self.here
    }

    /// Those that are over.
    pub(super) fn over(&self) -> &[Attempt] {
        &self.over
    }

    /// What those cost that are over.
    pub(crate) fn spent(&self) -> NanoUsd {
        self.spent
    }

    /// Whether more was spent than was set aside for it.
    pub(super) fn owes(&self) -> bool {
        self.spent > self.held
    }

    /// What was spent is set aside from now on.
    pub(super) fn held(&mut self) {
        self.held = self.spent;
    }

    /// The call has gone on from there to another target, where it has made no attempt.
    pub(super) fn went_on(&mut self, from: Chosen) {
        if self.here > 0 {
            self.left = Some(from);
        }
        self.here = 0;
    }

    /// Whether another attempt may be made at all.
    pub(super) fn has_more(&self) -> bool {
        self.count < self.most && self.has_time_for(Duration::ZERO)
    }

    /// Whether there is time for so long a pause and something after it.
    pub(super) fn has_time_for(&self, pause: Duration) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() + pause < deadline)
    }

    /// Whether an attempt is under way whose cost is not charged yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.now.is_some()
    }

    /// What the last attempt used that is over, and whether that is an estimate.
    pub(crate) fn used(&self) -> (Usage, bool) {
        self.used
    }
}

impl OpenCall {
    /// Begins an attempt at the present target, or says for how long it is left alone.
    pub(super) fn enter(&mut self) -> Result<(), Duration> {
        let provider = &self.chosen.target.provider;
        let health = self.chosen.target.health(&self.plane.healths);
        let mut pass = health.enter(&provider.breaker)?;
        if self.tries.here == 0 {
            health.called();
        }
        if self.peek.stream {
            pass.awaits_stream();
        }
        self.tries.now = Some(UnderWay { pass, status: None });
        self.tries.left = None;
        self.tries.count = self.tries.count.saturating_add(1);
        self.tries.here = self.tries.here.saturating_add(1);
        Ok(())
    }

    /// Nobody else could be asked in the end: the call is again where it was asked last.
    pub(super) fn go_back(&mut self) {
        if let Some(left) = self.tries.left.take() {
            self.serve_by(left);
        }
    }

    /// From now on this target serves the call; gives the one before.
    pub(super) fn serve_by(&mut self, chosen: Chosen) -> Chosen {
        let name = self.plane.names.of(self.endpoint);
        let label = || self.snapshot.label(&chosen.route);
        self.metrics = chosen.target.metrics(&self.plane.metrics, label, &name);
        std::mem::replace(&mut self.chosen, chosen)
    }

    /// Whether another attempt could follow if this one fails.
    pub(super) fn may_go_on(&self) -> bool {
        let retries = self.tries.here < self.chosen.target.provider.retry.attempts;
        self.tries.has_more() && (retries || self.way.is_some())
    }

    /// The answer speaks: the target does well, as far as one can see.
    pub(crate) fn spoke(&mut self) {
        if let Some(pass) = self.tries.pass() {
            pass.spoke();
        }
    }

    /// The answer broke off: the target does not do well.
    pub(crate) fn broke_off(&mut self) {
        if let Some(pass) = self.tries.pass() {
            pass.failed();
        }
    }

    /// Leaves an attempt that has failed: it is charged with what was seen of its answer. One that
    /// broke off, or is not what it should be, is charged as far as it came: its provider has made
    /// that much of it.
    pub(super) fn leave(&mut self, got: &Got, verdict: &Verdict) {
        let Some(now) = self.tries.now.take() else { return };
        let seen = match got {
            Got::Stream(_, pump) => Some(pump.so_far(&self.chosen.target.model)),
            Got::Whole(_) | Got::Nothing(..) => None,
        };
        let part = match got {
            Got::Whole(answer) if answer.garbage => Some(&answer.body),
            Got::Nothing(Ended::Broken(broken), _) => broken.generated(),
            _ => None,
        };
        let part = part.map(|body| (self.remains(body), body));
        let received = match (got, &seen, &part) {
            (_, _, Some((facts, body))) => Received::Part(facts, body),
            (Got::Whole(answer), ..) => received(answer),
            (Got::Stream(..), Some(ending), _) => said_something(ending),
            (Got::Nothing(_, Some(ending)), ..) => said_something(ending),
            _ => Received::Nothing,
        };
        let charged = self.charge(received);
        let class = verdict.class.clone().unwrap_or_else(|| Arc::from(code_of(got).as_str()));
        let attempt = Attempt {
            provider: Arc::clone(&self.chosen.target.provider.name),
            model: Arc::clone(&self.chosen.target.model),
            status: now.status,
            error_type: Some(class),
            billing: charged.billing(verdict.billing),
            cost: charged.cost,
            latency_us: self.plane.micros_since(now.pass.entered()),
        };
        self.tries.used = (charged.usage, charged.estimated);
        self.tries.guessed |= charged.estimated;
        self.tries.spent += attempt.cost;
        self.tries.over.push(attempt);
        self.first_byte_us = None;
    }

    /// Takes the attempts for the row of a call that ends: where there were several, or the call has
    /// failed.
    pub(crate) fn tries_at(&mut self, end: &End<'_>, charged: &Charged) -> Vec<Attempt> {
        let mut tries = std::mem::take(&mut self.tries.over);
        let kept = !tries.is_empty() || end.outcome == Outcome::Failed;
        if let Some(now) = self.tries.now.as_ref().filter(|_| kept) {
            tries.push(Attempt {
                provider: Arc::clone(&self.chosen.target.provider.name),
                model: Arc::clone(&self.chosen.target.model),
                status: now.status,
                error_type: end.error_type.clone(),
                billing: charged.billing(match now.status {
                    Some(400..) => Billing::Unbilled,
                    _ => Billing::Unknown,
                }),
                cost: charged.cost,
                latency_us: self.plane.micros_since(now.pass.entered()),
            });
        }
        tries
    }
}

/// What of a failed whole answer is charged: what it says that it used.
fn received(answer: &WholeAnswer) -> Received<'_> {
    match answer.facts.usage {
        Some(_) => Received::Whole(&answer.facts, &answer.body),
        None => Received::Nothing,
    }
}

/// What of a failed stream is charged: nothing where it said nothing.
fn said_something(ending: &crate::pump::Ending) -> Received<'_> {
    let silent = ending.facts.text_bytes == 0 && ending.facts.answer.usage.is_none();
    if silent { Received::Nothing } else { Received::Stream(ending) }
}

/// The code of a failure that the provider has no word for.
fn code_of(got: &Got) -> Code {
    match got {
        Got::Nothing(Ended::Broken(broken), _) if broken.timed_out => Code::UpstreamTimeout,
        Got::Nothing(Ended::Stopped(stop), _) => stop.code,
        _ => Code::UpstreamError,
    }
}
