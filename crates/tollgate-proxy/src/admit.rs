//! Step 5: the one decision. The most that the call can cost is worked out and set aside, the
//! intent is written; what comes back is the only thing that forwarding accepts.

use std::sync::Arc;

use tollgate_admission::engine::{Demand, Grant, Refusal, Subject};
use tollgate_admission::gate::{Admitted, NotAdmitted};
use tollgate_admission::identity::Principal;
use tollgate_admission::switches::Traffic;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::decision::Downgrade;
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Metric, Mode, OnLimit};
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::Served;
use tollgate_domain::usage::Usage;
use tollgate_wire::endpoint::Endpoint;

use crate::accept::{Arrival, counted};
use crate::demand::{counted_demand, demand};
use crate::edge::Edge;
use crate::headroom::LimitHeaders;
use crate::identify::Labels;
use crate::media::Media;
use crate::open_call::OpenCall;
use crate::plane::Plane;
use crate::read::Asked;
use crate::route::{Chosen, Wish, route};
use crate::savings::Marks;
use crate::snapshot::Snapshot;
use crate::standing::{Standing, refuse_stopped, standing};
use crate::stop::Stop;
use crate::through::Through;

/// Most cheaper models that are tried for one call.
const MOST_DOWNGRADES: usize = 3;

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
    /// How it is asked, where the client calls the provider's own API.
    pub through: Option<Box<Through>>,
    /// What it takes, where it is about pictures or sound.
    pub media: Option<Media>,
    /// What saving has noted about it.
    pub marks: Marks,
}

/// Decides on a call. Where a limit says so, a cheaper model serves it.
pub fn admit(
    plane: &Arc<Plane>,
    snapshot: Arc<Snapshot>,
    mut candidate: Candidate,
) -> Result<Box<OpenCall>, Stop> {
    let standing = standing(plane, &snapshot, &candidate.principal)?;
    refuse_alternatives(&candidate)?;
    refuse_strange_answer(plane, &candidate)?;
    let mut downgrades = Vec::new();
    for _ in 0..=MOST_DOWNGRADES {
        refuse_stopped(plane, &snapshot, &traffic(&candidate, &standing))?;
        match decide(plane, &snapshot, &candidate, (&standing, &downgrades)) {
            Ok((admitted, asked_output)) => {
                return Ok(open(plane, snapshot, candidate, &standing, (admitted, asked_output)));
            }
            Err(NotAdmitted::Ledger(error)) => {
                plane.metrics.decided("degraded", Arc::from(""));
                let message = format!("calls cannot be recorded, so none is made: {error}");
                return Err(Stop::new(Code::Degraded, message));
            }
            Err(NotAdmitted::Limit(refusal)) => {
                let limit = Arc::clone(&refusal.limit.name);
                candidate.chosen = cheaper(plane, &snapshot, &candidate, refusal)?;
                let to = Arc::clone(&candidate.chosen.route.name);
                downgrades.push(Downgrade { limit, to });
            }
        }
    }
    Err(Stop::new(Code::BudgetExhausted, "no cheaper model is within its limits either"))
}

/// The cheaper model that a limit names, else its refusal.
fn cheaper(
    plane: &Plane,
    snapshot: &Snapshot,
    candidate: &Candidate,
    refusal: Box<Refusal>,
) -> Result<Chosen, Stop> {
    let refused = |refusal: Box<Refusal>| {
        plane.metrics.decided("refused", Arc::clone(&refusal.limit.name));
        Stop::limit(refusal, candidate.arrival.time)
    };
    let Some(model) = refusal.downgrade().cloned() else { return Err(refused(refusal)) };
    // The path of a provider's own API is that provider's, and may name the model: another model
    // cannot be put in its place.
    if *model == *candidate.chosen.route.name || candidate.through.is_some() {
        return Err(refused(refusal));
    }
    plane.metrics.decided("downgraded", Arc::clone(&refusal.limit.name));
    let wish = Wish { endpoint: candidate.endpoint, model: &model, asked: &candidate.asked };
    route(snapshot, &candidate.principal, &wish, plane.ids.draw())
}

/// Asks the gate: with the bound first, with a count where the bound would refuse or shorten.
fn decide(
    plane: &Arc<Plane>,
    snapshot: &Snapshot,
    candidate: &Candidate,
    (standing, downgrades): (&Standing, &[Downgrade]),
) -> Result<(Admitted, u64), NotAdmitted> {
    let Candidate { arrival, endpoint, .. } = candidate;
    let address = counted(snapshot, arrival);
    let subject = subject(candidate, standing, &address);
    let terms = standing.terms(&subject);
    let bound = demand(snapshot, candidate);
    let row = draft(candidate, standing, plane.names.of(*endpoint));
    if endpoint.is_uncounted() {
        return plane.gate.admit_uncounted(row).map(|admitted| (admitted, 0));
    }
    let refine = |demand: &Demand| counted_demand(snapshot, candidate, demand);
    let admitted = plane.gate.admit(row, &terms, (&bound, downgrades), refine)?;
    Ok((admitted, bound.output_tokens))
}

fn open(
    plane: &Arc<Plane>,
    snapshot: Arc<Snapshot>,
    candidate: Candidate,
    standing: &Standing,
    (admitted, asked_output): (Admitted, u64),
) -> Box<OpenCall> {
    let Candidate { arrival, endpoint, principal, asked, chosen, through, media, marks, .. } =
        candidate;
    if let Some(audience) = &marks.audience {
        audience.admit();
    }
    plane.admitted.inc();
    plane.metrics.inflight().inc();
    plane.metrics.own_share(plane.micros_since(arrival.started));
    let name = plane.names.of(endpoint);
    let metrics = chosen.target.metrics(&plane.metrics, &chosen.route.name, &name);
    let on_disconnect = snapshot.on_disconnect(&principal.key, &standing.plan);
    let grant = admitted.grant();
    let choices = asked.peek.choices.max(1);
    Box::new(OpenCall {
        plane: Arc::clone(plane),
        snapshot,
        clamped_output: grant
            .map(Grant::output_tokens)
            .filter(|granted| *granted < asked_output)
            .map(|granted| (granted / choices).max(1)),
        edge: grant.filter(|grant| is_bounded(grant)).map(|grant| Edge::at(grant.output_tokens())),
        limits: grant.map(LimitHeaders::of).unwrap_or_default(),
        plan: Arc::clone(&standing.plan.name),
        admitted,
        chosen,
        through,
        media,
        metrics,
        endpoint,
        peek: asked.peek,
        body: asked.body,
        started: arrival.started,
        first_byte_us: None,
        on_disconnect,
        audience: marks.audience,
    })
}

/// Whether a hard limit on money or output stands behind a grant, so that the answer must not go
/// beyond what was set aside.
fn is_bounded(grant: &Grant) -> bool {
    grant.headroom().any(|room| {
        let counts =
            matches!(room.limit.metric, Metric::CostUsd | Metric::OutputTokens | Metric::Tokens);
        counts
            && room.max.is_some()
            && room.limit.mode == Mode::Enforce
            && room.limit.on_limit != OnLimit::Alert
    })
}

/// Who is counted for a call.
pub(crate) fn subject<'a>(
    candidate: &'a Candidate,
    standing: &'a Standing,
    address: &'a str,
) -> Subject<'a> {
    let Candidate { arrival, principal, labels, chosen, .. } = candidate;
    Subject {
        user: &principal.user,
        key: Some(&principal.key.name),
        team: standing.team.as_deref(),
        ip: Some(address),
        session: labels.session.as_deref(),
        feature: labels.feature.as_deref(),
        provider: &chosen.target.provider.name,
        model: &chosen.route.name,
        free: chosen.price.is_free(&Served::at(arrival.time)),
    }
}

/// What a call is, as far as the kill switch asks.
pub(crate) fn traffic<'a>(candidate: &'a Candidate, standing: &'a Standing) -> Traffic<'a> {
    Traffic {
        provider: &candidate.chosen.target.provider.name,
        model: &candidate.chosen.route.name,
        plan: &standing.plan.name,
        user: &candidate.principal.user,
    }
}

fn refuse_alternatives(candidate: &Candidate) -> Result<(), Stop> {
    if candidate.asked.peek.alternatives {
        let message = "`models` and `route` let the provider choose another model than the one \
                       that is priced here; name one model";
        return Err(Stop::field(message, Some("models".into())));
    }
    Ok(())
}

/// Refuses to go on from an answer that is another user's.
fn refuse_strange_answer(plane: &Plane, candidate: &Candidate) -> Result<(), Stop> {
    let Candidate { principal, asked, .. } = candidate;
    let Some(id) = asked.peek.previous.as_deref() else { return Ok(()) };
    if principal.key.role.acts_for_others() || !plane.answers.is_of_another(id, &principal.user) {
        return Ok(());
    }
    let message = "no answer of this id is kept for this caller";
    Err(Stop { param: Some("previous_response_id".into()), ..Stop::new(Code::NotFound, message) })
}

/// The ledger row, as far as it is known before the call is sent.
pub(crate) fn draft(candidate: &Candidate, standing: &Standing, name: Arc<str>) -> CallRecord {
    let Candidate { arrival, principal, labels, asked, chosen, marks, .. } = candidate;
    CallRecord {
        call_id: arrival.call_id,
        request_id: Arc::clone(&arrival.request_id),
        time: arrival.time,
        user: Arc::clone(&principal.user),
        key: Some(Arc::clone(&principal.key.name)),
        team: standing.team.clone(),
        ip: Some(Arc::clone(&arrival.ip_kept)),
        session: labels.session.clone(),
        feature: labels.feature.clone(),
        tags: labels.tags.clone(),
        dialect: candidate.endpoint.dialect(),
        endpoint: name,
        provider: Arc::clone(&chosen.target.provider.name),
        model_asked: Arc::from(&*asked.peek.model),
        model: Arc::clone(&chosen.target.model),
        stream: asked.peek.stream,
        status: 0,
        outcome: Outcome::InDoubt,
        error_type: None,
        attempts: 1,
        cache: marks.cache,
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: marks.repetition,
        price_version: Arc::clone(chosen.price.version()),
        estimated: true,
        latency_us: 0,
        ttft_us: None,
        decision: None,
    }
}
