//! The gate: the only way to an upstream provider.
//!
//! [`Gate::admit`] weighs all limits, sets aside what the call can cost and writes its intent; what
//! it returns, [`Admitted`], is what forwarding asks for, so a request that was not admitted cannot
//! be sent (the types say so). [`Admitted::settle`] ends a call, exactly once: it takes the value.
//! A value that is dropped unsettled (a panic, a task that was cut off) is handed to whoever
//! watches the strays, who settles it as in doubt at its reservation.

mod turn;
mod warned;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use jiff::Timestamp;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::decision::Downgrade;
use tollgate_domain::id::CallId;
use tollgate_domain::usage::Usage;

use crate::engine::{Actual, Demand, Engine, Grant, Refusal, Terms};
use crate::ledger::{Ledger, LedgerError, Written};
use turn::Turns;
pub use turn::{Late, Turn};
use warned::Listener;
pub use warned::{Warned, subject_of};

/// Decides on calls and settles them, over an engine of limits and a durable ledger.
pub struct Gate {
    engine: Engine,
    ledger: Arc<dyn Ledger>,
    strays: Sender<Stray>,
    turns: Turns,
    listener: Listener,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Why a call is not admitted.
#[derive(Debug)]
pub enum NotAdmitted {
    /// A limit does not cover it.
    Limit(Box<Refusal>),
    /// It cannot be recorded, so it must not be made.
    Ledger(LedgerError),
}

impl Gate {
    /// A gate over these limits and this ledger; strays go to `strays`.
    pub fn new(engine: Engine, ledger: Arc<dyn Ledger>, strays: Sender<Stray>) -> Self {
        Self { engine, ledger, strays, turns: Turns::default(), listener: Listener::default() }
    }

    /// The limits and their counters.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Decides on a call: reserves what it can cost in every counter and writes its intent, or
    /// changes nothing at all.
    ///
    /// `draft` is the row as far as it is known; its outcome, usage and cost are filled in here with
    /// what a crash would have to charge. `refine` works out a smaller demand at some cost; it is
    /// asked only where the bound decides. `downgrades` is why this model is asked for.
    pub fn admit(
        self: &Arc<Self>,
        mut draft: CallRecord,
        terms: &Terms<'_>,
        (demand, downgrades): (&Demand, &[Downgrade]),
        refine: impl FnOnce(&Demand) -> Option<Demand>,
    ) -> Result<Admitted, NotAdmitted> {
        // Read first: what comes into force after this may be missing in the grant.
        let turn = self.turns.number();
        let weighed = self.weigh(draft.call_id, terms, (*demand, refine), draft.time);
        let (grant, demand) = weighed.map_err(|mut refusal| {
            self.listener.tell(&subject_of(&draft), &refusal.warnings);
            refusal.decision = refusal.decision.clone().after(downgrades);
            NotAdmitted::Limit(Box::new(refusal))
        })?;
        self.listener.tell(&subject_of(&draft), grant.warnings());
        draft.decision = Some(grant.decision().clone().after(downgrades));
        draft.outcome = Outcome::InDoubt;
        draft.usage = Usage::tokens(demand.input_tokens, grant.output_tokens());
        draft.cost = grant.cost();
        draft.estimated = true;
        self.open(draft, Some((grant, turn)))
    }

    /// Admits what calls no model (lists, counts of tokens): no limit counts it and it holds
    /// nothing. Its intent is written like any other's.
    pub fn admit_uncounted(
        self: &Arc<Self>,
        mut draft: CallRecord,
    ) -> Result<Admitted, NotAdmitted> {
        draft.outcome = Outcome::InDoubt;
        draft.estimated = false;
        self.open(draft, None)
    }

    fn open(
        self: &Arc<Self>,
        draft: CallRecord,
        granted: Option<(Grant, u64)>,
    ) -> Result<Admitted, NotAdmitted> {
        match self.ledger.open(&draft) {
            Ok(written) => {
                let record = Arc::new(draft);
                let held = Some(Held { record: Arc::clone(&record), granted });
                let ticket = Ticket { gate: Arc::clone(self), held };
                Ok(Admitted { record, ticket, written: Some(written) })
            }
            Err(error) => {
                if let Some((grant, _)) = granted {
                    self.engine.settle(grant, &Actual::nothing(), draft.time);
                }
                Err(NotAdmitted::Ledger(error))
            }
        }
    }

    /// Asks the limits with the bound, and once more with the refined demand where the bound would
    /// refuse the call or shorten its answer.
    fn weigh(
        &self,
        call: CallId,
        terms: &Terms<'_>,
        (bound, refine): (Demand, impl FnOnce(&Demand) -> Option<Demand>),
        now: Timestamp,
    ) -> Result<(Grant, Demand), Refusal> {
        let refined = match self.engine.admit(call, terms, &bound, now) {
            Ok(grant) if grant.output_tokens() >= bound.output_tokens => return Ok((grant, bound)),
            Err(refusal) if !refusal.decided_by_bound => return Err(refusal),
            outcome => match (refine(&bound), outcome) {
                (None, outcome) => return outcome.map(|grant| (grant, bound)),
                (Some(refined), Ok(shortened)) => {
                    self.engine.settle(shortened, &Actual::nothing(), now);
                    refined
                }
                (Some(refined), Err(_)) => refined,
            },
        };
        self.engine.admit(call, terms, &refined, now).map(|grant| (grant, refined))
    }

    /// The same for a call that holds something already; gives the demand that is held then.
    fn weigh_again(
        &self,
        grant: &mut Grant,
        terms: &Terms<'_>,
        (bound, refine): (Demand, impl FnOnce(&Demand) -> Option<Demand>),
        times: (Timestamp, Timestamp),
    ) -> Result<Demand, Refusal> {
        let first = self.engine.exchange(grant, terms, &bound, times);
        match &first {
            Ok(()) if grant.output_tokens() >= bound.output_tokens => return Ok(bound),
            Err(refusal) if !refusal.decided_by_bound => {}
            _ => {
                if let Some(refined) = refine(&bound) {
                    match self.engine.exchange(grant, terms, &refined, times) {
                        Ok(()) => return Ok(refined),
                        Err(refusal) if first.is_err() => return Err(refusal),
                        // What the bound was granted stands.
                        Err(_) => {}
                    }
                }
            }
        }
        first.map(|()| bound)
    }

    /// Records a call that was never admitted, such as an answer from a cache: it holds nothing.
    pub fn record(&self, record: Arc<CallRecord>) -> Result<Written, LedgerError> {
        self.ledger.close(record)
    }

    /// Settles what was dropped unsettled, as in doubt at its reservation.
    pub fn settle_stray(&self, stray: Stray, now: Timestamp) -> Result<Settled, Unwritten> {
        let Held { record, granted } = stray.0;
        match self.close(&record, granted, (now, |_| {})) {
            Ok(written) => Ok(Settled { record, written }),
            Err(error) => Err(Unwritten { record, error }),
        }
    }

    /// Ends a call in counters and ledger. Both, what `count` enters besides, and whether limits
    /// that came into force meanwhile have to learn of it, are one step for a turn of the limits.
    fn close(
        &self,
        record: &Arc<CallRecord>,
        held: Option<(Grant, u64)>,
        (now, count): (Timestamp, impl FnOnce(&CallRecord)),
    ) -> Result<Written, LedgerError> {
        self.turns.ending(record, |number, late| {
            count(record);
            if let Some((grant, turn)) = held {
                if let Some(late) = late.filter(|_| turn != number) {
                    late(record, &grant);
                }
                let settled = self.engine.settle(grant, &Actual::of(record), now);
                self.listener.tell(&subject_of(record), &settled.warnings);
            }
            self.ledger.close(Arc::clone(record))
        })
    }
}

struct Held {
    record: Arc<CallRecord>,
    /// What limits hold for it, and the turn of the limits under which it was decided; `None` where
    /// none counts it.
    granted: Option<(Grant, u64)>,
}

/// An admitted call that nobody settled.
pub struct Stray(Held);

impl fmt::Debug for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stray").field(&self.0.record.call_id).finish()
    }
}

/// What an admitted call holds; whoever drops it unredeemed makes a stray of it.
struct Ticket {
    gate: Arc<Gate>,
    held: Option<Held>,
}

impl Ticket {
    fn redeem(mut self) -> Option<(Grant, u64)> {
        self.held.take().and_then(|held| held.granted)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            // Nobody listens only when the program has ended; then the intent on disk speaks.
            drop(self.gate.strays.send(Stray(held)));
        }
    }
}

/// A call that may be sent: its limits are reserved and its intent is written (or being written).
#[must_use = "an admitted call must be settled"]
pub struct Admitted {
    record: Arc<CallRecord>,
    ticket: Ticket,
    written: Option<Written>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("call", &self.record.call_id).finish_non_exhaustive()
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Settled {
    /// Its final row.
    pub record: Arc<CallRecord>,
    /// Whether that row is down; the last bytes of the answer wait for it.
    pub written: Written,
}

/// A call that has ended and whose row could not be written. Its intent is down.
#[derive(Debug, thiserror::Error)]
#[error("the row of call {} could not be written", record.call_id)]
pub struct Unwritten {
    /// Its final row.
    pub record: Arc<CallRecord>,
    /// Why.
    #[source]
    pub error: LedgerError,
}

impl Admitted {
    /// The row as a crash would leave it.
    pub fn record(&self) -> &CallRecord {
        &self.record
    }

    /// What was granted; `None` where no limit counts the call.
    pub fn grant(&self) -> Option<&Grant> {
        self.ticket.held.as_ref()?.granted.as_ref().map(|(grant, _)| grant)
    }

    /// Puts another hold in the place of the one that the call has, because it goes on to another
    /// target: in one decision, so that no counter holds both or neither. `draft` is the row as far
    /// as it is known now; it is written as the intent from here on.
    ///
    /// Where a limit refuses, the call goes on holding what it held. Where the intent cannot be
    /// written, it must not be sent; it holds the new amounts until it is settled.
    pub fn exchange(
        &mut self,
        mut draft: CallRecord,
        terms: &Terms<'_>,
        (demand, downgrades): (&Demand, &[Downgrade]),
        (refine, now): (impl FnOnce(&Demand) -> Option<Demand>, Timestamp),
    ) -> Result<(), NotAdmitted> {
        let gate = Arc::clone(&self.ticket.gate);
        let Some(held) = &mut self.ticket.held else { return Ok(()) };
        draft.outcome = Outcome::InDoubt;
        if let Some((grant, turn)) = &mut held.granted {
            // Read first, as at an admission.
            let number = gate.turns.number();
            let demand = gate
                .weigh_again(grant, terms, (*demand, refine), (draft.time, now))
                .map_err(|refusal| NotAdmitted::Limit(Box::new(refusal)))?;
            *turn = number;
            draft.decision = Some(grant.decision().clone().after(downgrades));
            draft.usage = Usage::tokens(demand.input_tokens, grant.output_tokens());
            draft.cost = grant.cost();
            draft.estimated = true;
        }
        let written = gate.ledger.open(&draft);
        self.record = Arc::new(draft);
        held.record = Arc::clone(&self.record);
        self.written = Some(written.map_err(NotAdmitted::Ledger)?);
        Ok(())
    }

    /// Whether the intent is down; no byte of an answer leaves before it is. Taken once.
    pub fn intent(&mut self) -> Written {
        self.written.take().unwrap_or(Written::Durable)
    }

    /// Ends the call: `finish` completes the row with how it ended, the counters take what was used
    /// and give back the rest, and the row is written.
    pub fn settle(
        self,
        now: Timestamp,
        finish: impl FnOnce(&mut CallRecord),
    ) -> Result<Settled, Unwritten> {
        self.settle_and(now, finish, |_| {})
    }

    /// The same of a call that turned out to have used what no limit was asked for: `count` enters
    /// it in the limits that are in force, in one step with the end of the call, so that a turn of
    /// the limits counts it as it counts every other. It must not wait for anything.
    pub fn settle_and(
        self,
        now: Timestamp,
        finish: impl FnOnce(&mut CallRecord),
        count: impl FnOnce(&CallRecord),
    ) -> Result<Settled, Unwritten> {
        let Self { mut record, ticket, .. } = self;
        let gate = Arc::clone(&ticket.gate);
        let held = ticket.redeem();
        // Redeeming the ticket has left this the only owner, so nothing is copied.
        let row = Arc::make_mut(&mut record);
        row.estimated = false;
        finish(row);
        match gate.close(&record, held, (now, count)) {
            Ok(written) => Ok(Settled { record, written }),
            Err(error) => Err(Unwritten { record, error }),
        }
    }
}
