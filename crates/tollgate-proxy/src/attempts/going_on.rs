//! Going on to another target. It may have another price and stand under other limits, so what the
//! call holds is exchanged for what it needs there, with what its attempts have cost so far on top:
//! in one decision of the gate. Where that is refused the call does not go there.

use std::sync::Arc;

use tollgate_admission::engine::Demand;
use tollgate_admission::gate::NotAdmitted;
use tollgate_domain::call::CallRecord;
use tollgate_domain::decision::{Decision, Downgrade};
use tollgate_domain::money::NanoUsd;

use crate::accept::counted;
use crate::demand::{Sending, counted_demand, demand};
use crate::open_call::OpenCall;
use crate::route::{Chosen, Seek, Way, Wish};
use crate::standing::{Standing, standing};
use crate::stop::Stop;

/// Whom a way names next.
type Pick = fn(&mut Way, &Seek<'_>) -> Option<Result<Chosen, Stop>>;

/// Goes on to another target of the same route; `false` where there is none that would do.
pub(super) fn to_sibling(call: &mut OpenCall) -> bool {
    go_on(call, Way::sibling)
}

/// Goes on to whoever comes next: on the same route, else on a fallback.
pub(super) fn to_next(call: &mut OpenCall) -> bool {
    go_on(call, Way::next)
}

/// Sets aside what the attempts so far have cost, before the same target is asked again; `false`
/// where a limit does not cover it.
pub(super) fn hold_what_was_spent(call: &mut OpenCall) -> bool {
    if !call.tries.owes() {
        return true;
    }
    let standing = standing(&call.plane, &call.snapshot, &call.caller.principal);
    standing.is_ok_and(|standing| hold(call, call.chosen.clone(), &standing))
}

fn go_on(call: &mut OpenCall, pick: Pick) -> bool {
    let Ok(standing) = standing(&call.plane, &call.snapshot, &call.caller.principal) else {
        return false;
    };
    let Some(mut way) = call.way.take() else { return false };
    let mut gone = false;
    while let Some(chosen) = pick(&mut way, &seek(call, &standing)) {
        // What this target cannot express, what is stopped or is not covered may be otherwise at
        // the next.
        if let Ok(chosen) = chosen
            && hold(call, chosen, &standing)
        {
            gone = true;
            break;
        }
    }
    call.way = Some(way);
    gone
}

fn seek<'a>(call: &'a OpenCall, standing: &'a Standing) -> Seek<'a> {
    let OpenCall { plane, snapshot, caller, endpoint, peek, body, array, .. } = call;
    let wish = Wish { endpoint: *endpoint, model: &peek.model, peek, body, array: *array };
    Seek { plane, snapshot, principal: &caller.principal, standing, wish }
}

/// Holds what the call needs at this target in the place of what it holds. If so, the call is at
/// this target from now on.
fn hold(call: &mut OpenCall, chosen: Chosen, standing: &Standing) -> bool {
    let (plane, snapshot) = (Arc::clone(&call.plane), Arc::clone(&call.snapshot));
    let caller = &call.caller;
    let address = counted(&snapshot, &caller.arrival);
    let subject = caller.subject(standing, &address, &chosen);
    let terms = standing.terms(&subject);
    let spent = call.tries.spent();
    let sending = Sending {
        endpoint: call.endpoint,
        peek: &call.peek,
        body: &call.body,
        chosen: &chosen,
        media: call.media.as_ref(),
        time: caller.arrival.time,
    };
    let bound = with(spent, demand(&snapshot, &sending));
    let refine = |bound: &Demand| Some(with(spent, counted_demand(&snapshot, &sending, bound)?));
    let downgrades = downgrades(call, &chosen);
    let draft = draft(call, &chosen);
    let asked = (&bound, &*downgrades);
    match call.admitted.exchange(draft, &terms, asked, (refine, plane.clock.now())) {
        Ok(()) => {}
        Err(NotAdmitted::Limit(_) | NotAdmitted::Ledger(_)) => return false,
    }
    if !Arc::ptr_eq(&call.chosen.target, &chosen.target) {
        let left = call.serve_by(chosen);
        call.tries.went_on(left);
    }
    call.tries.held();
    call.heed_grant(bound.output_tokens);
    true
}

/// A demand with what was spent already.
fn with(spent: NanoUsd, demand: Demand) -> Demand {
    Demand { input_cost: demand.input_cost + spent.exact(), ..demand }
}

/// The row as it stands if the program dies at this target.
fn draft(call: &OpenCall, chosen: &Chosen) -> CallRecord {
    CallRecord {
        provider: Arc::clone(&chosen.target.provider.name),
        model: Arc::clone(&chosen.target.model),
        price_version: Arc::clone(chosen.price.version()),
        attempts: call.tries.count().saturating_add(1),
        tries: call.tries.over().to_vec(),
        ..call.admitted.record().clone()
    }
}

/// Why another model serves the call than the one that was asked for: what was so before, and this
/// fallback.
fn downgrades(call: &OpenCall, chosen: &Chosen) -> Vec<Downgrade> {
    let decided = call.admitted.record().decision.as_ref().and_then(Decision::read);
    let mut downgrades = decided.map(|decided| decided.downgrades).unwrap_or_default();
    if chosen.route.name != call.chosen.route.name {
        downgrades.push(Downgrade::fallback(&chosen.route.name));
    }
    downgrades
}
