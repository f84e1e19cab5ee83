//! Step 5: the one decision. The most that the call can cost is worked out and set aside, the
//! intent is written; what comes back is the only thing that forwarding accepts.

use std::sync::Arc;

use tollgate_admission::engine::{Demand, Overlay, Subject, Terms};
use tollgate_admission::gate::NotAdmitted;
use tollgate_admission::identity::Principal;
use tollgate_admission::network::counted_address;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::Served;
use tollgate_domain::usage::Usage;
use tollgate_wire::count::upper_bound_input_tokens;
use tollgate_wire::openai::Endpoint;

use crate::accept::Arrival;
use crate::identify::Labels;
use crate::open_call::OpenCall;
use crate::plane::Plane;
use crate::read::Asked;
use crate::route::Chosen;
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// What the steps before made.
#[derive(Debug)]
pub struct Candidate {
    /// When and where it arrived.
    pub arrival: Arrival,
    /// What was called.
    pub endpoint: Endpoint,
    /// Who pays.
    pub principal: Principal,
    /// What the application says about it.
    pub labels: Labels,
    /// What was asked.
    pub asked: Asked,
    /// Who would serve it.
    pub chosen: Chosen,
}

/// Decides on a call.
pub fn admit(
    plane: &Arc<Plane>,
    snapshot: Arc<Snapshot>,
    candidate: Candidate,
) -> Result<Box<OpenCall>, Stop> {
    refuse_stopped(&snapshot, &candidate)?;
    let demand = demand(&snapshot, &candidate);
    let row = draft(&candidate, plane.names.of(candidate.endpoint));
    let Candidate { arrival, endpoint, principal, labels, asked, chosen } = candidate;
    let address = counted_address(arrival.ip).to_string();
    let subject = Subject {
        user: &principal.user,
        key: Some(&principal.key.name),
        team: principal.key.team.as_deref(),
        ip: Some(&address),
        session: labels.session.as_deref(),
        feature: labels.feature.as_deref(),
        provider: &chosen.target.provider.name,
        model: &chosen.route.name,
        free: chosen.price.is_free(&Served::at(arrival.time)),
    };
    let terms = Terms {
        subject: &subject,
        plan: snapshot.plan(principal.key.plan.as_ref()),
        overlay: &Overlay::default(),
    };
    let admitted = plane.gate.admit(row, &terms, &demand).map_err(|refused| match refused {
        NotAdmitted::Limit(refusal) => {
            plane.metrics.decided("refused", Arc::clone(&refusal.limit.name));
            Stop::limit(refusal)
        }
        NotAdmitted::Ledger(error) => {
            plane.metrics.decided("degraded", Arc::from(""));
            Stop::new(Code::Degraded, format!("calls cannot be recorded, so none is made: {error}"))
        }
    })?;
    plane.admitted.inc();
    plane.metrics.inflight().inc();
    plane.metrics.own_share(plane.micros_since(arrival.started));
    let name = plane.names.of(endpoint);
    let metrics = chosen.target.metrics(&plane.metrics, &chosen.route.name, &name);
    let on_disconnect = snapshot.on_disconnect(&principal.key, terms.plan);
    Ok(Box::new(OpenCall {
        plane: Arc::clone(plane),
        snapshot,
        admitted,
        chosen,
        metrics,
        endpoint,
        peek: asked.peek,
        body: asked.body,
        started: arrival.started,
        first_byte_us: None,
        on_disconnect,
    }))
}

/// What no limit needs to be asked about.
fn refuse_stopped(snapshot: &Snapshot, candidate: &Candidate) -> Result<(), Stop> {
    if let Some(why) = &snapshot.settings.kill_switch {
        return Err(Stop::new(Code::KillSwitch, format!("calls are switched off: {why}")));
    }
    if candidate.asked.peek.alternatives {
        let message = "`models` and `route` let the provider choose another model than the one \
                       that is priced here; name one model";
        return Err(Stop::field(message, Some("models".into())));
    }
    Ok(())
}

/// The most that a call can use and cost.
fn demand(snapshot: &Snapshot, candidate: &Candidate) -> Demand {
    let Candidate { endpoint, asked, chosen, .. } = candidate;
    let price = &chosen.price;
    let context = price.context_window();
    let bound = upper_bound_input_tokens(&asked.peek);
    let served = Served::at(candidate.arrival.time);
    // A provider refuses what does not fit the model's context, so that is a bound as well; it is
    // the only one where the body does not tell all.
    let input = match (bound.complete, context) {
        (true, Some(context)) => bound.tokens.min(context),
        (true, None) => bound.tokens,
        (false, Some(context)) => context,
        (false, None) => bound.tokens.max(snapshot.settings.assumed_context),
    };
    let output = if endpoint.generates() {
        let model = chosen.route.max_output.unwrap_or(snapshot.settings.assumed_output);
        asked.peek.output_bound(model)
    } else {
        0
    };
    let ceiling = price.ceiling(&served, input);
    Demand {
        input_tokens: input,
        output_tokens: output,
        input_cost: ceiling.input.of(input) + ceiling.per_call,
        output_rate: ceiling.output,
        min_output: 1,
        units: 0,
    }
}

/// The ledger row, as far as it is known before the call is sent.
fn draft(candidate: &Candidate, name: Arc<str>) -> CallRecord {
    let Candidate { arrival, principal, labels, asked, chosen, .. } = candidate;
    CallRecord {
        call_id: arrival.call_id,
        request_id: Arc::clone(&arrival.request_id),
        time: arrival.time,
        user: Arc::clone(&principal.user),
        key: Some(Arc::clone(&principal.key.name)),
        team: principal.key.team.clone(),
        ip: Some(Arc::clone(&arrival.ip_kept)),
        session: labels.session.clone(),
        feature: labels.feature.clone(),
        tags: labels.tags.clone(),
        dialect: Dialect::Openai,
        endpoint: name,
        provider: Arc::clone(&chosen.target.provider.name),
        model_asked: Arc::clone(&chosen.route.name),
        model: Arc::clone(&chosen.target.model),
        stream: asked.peek.stream,
        status: 0,
        outcome: Outcome::InDoubt,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        provider_cost: None,
        price_version: Arc::clone(chosen.price.version()),
        estimated: true,
        latency_us: 0,
        ttft_us: None,
    }
}
