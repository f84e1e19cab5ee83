//! Step 5: the one decision. The most that the call can cost is worked out and set aside, the
//! intent is written; what comes back is the only thing that forwarding accepts.

use std::sync::Arc;

use tollgate_admission::engine::{Demand, Refusal, Subject};
use tollgate_admission::gate::{Admitted, NotAdmitted};
use tollgate_admission::identity::Principal;
use tollgate_admission::ledger::LedgerError;
use tollgate_admission::switches::Traffic;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::decision::Downgrade;
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::Served;
use tollgate_domain::usage::Usage;
use tollgate_wire::endpoint::Endpoint;

use crate::accept::{Arrival, counted};
use crate::attempts::Tries;
use crate::demand::{Sending, counted_demand, demand};
use crate::headroom::LimitHeaders;
use crate::identify::Labels;
use crate::media::Media;
use crate::open_call::OpenCall;
use crate::plane::Plane;
use crate::read::Asked;
use crate::route::{Chosen, Seek, Way, Wish, route};
use crate::savings::Marks;
use crate::snapshot::Snapshot;
use crate::standing::{Standing, refuse_stopped};
use crate::stop::Stop;
use crate::through::Through;

/// Most cheaper models that are tried for one call.
const MOST_DOWNGRADES: usize = 3;

/// Who calls, when, and what the application says about it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// When and where the call arrived.
    pub arrival: Arrival,
    /// Who pays.
    pub principal: Principal,
    /// What the application says about it.
    pub labels: Labels,
}

impl Caller {
    /// Who is counted for a call to this target, from this address as limits count it.
    pub(crate) fn subject<'a>(
        &'a self,
        standing: &'a Standing,
        address: &'a str,
        chosen: &'a Chosen,
    ) -> Subject<'a> {
        Subject {
            user: &self.principal.user,
            key: Some(&self.principal.key.name),
            team: standing.team.as_deref(),
            ip: Some(address),
            session: self.labels.session.as_deref(),
            feature: self.labels.feature.as_deref(),
            provider: &chosen.target.provider.name,
            model: &chosen.route.name,
            free: chosen.price.is_free(&Served::at(self.arrival.time)),
        }
    }
}

/// What the steps before made.
#[derive(Debug)]
pub struct Candidate {
    /// Who calls.
    pub caller: Caller,
    /// What was called.
    pub endpoint: Endpoint,
    /// What was asked.
    pub asked: Asked,
    /// On what terms its principal calls.
    pub standing: Standing,
    /// Who would serve it.
    pub chosen: Chosen,
    /// Who is asked after that, where there is somebody.
    pub way: Option<Box<Way>>,
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
    refuse_alternatives(&candidate)?;
    refuse_strange_answer(plane, &candidate)?;
    let mut downgrades = Vec::new();
    let mut wanted = Arc::clone(&candidate.chosen.route.name);
    if candidate.through.is_none() && *wanted != *candidate.asked.peek.model {
        wanted = Arc::from(&*candidate.asked.peek.model);
    }
    for _ in 0..=MOST_DOWNGRADES {
        pass_over_stopped(plane, &snapshot, &mut candidate)?;
        if candidate.chosen.route.name != wanted {
            downgrades.push(Downgrade::fallback(&candidate.chosen.route.name));
        }
        match decide(plane, &snapshot, &candidate, &downgrades) {
            Ok(admitted) => return Ok(open(plane, snapshot, candidate, admitted)),
            Err(NotAdmitted::Ledger(error)) => {
                plane.metrics.decided("degraded", "");
                return Err(unrecordable(&error));
            }
            Err(NotAdmitted::Limit(refusal)) => {
                let limit = Arc::clone(&refusal.limit.name);
                wanted = cheaper(plane, &snapshot, &mut candidate, refusal)?;
                downgrades.push(Downgrade { limit, to: Arc::clone(&wanted) });
            }
        }
    }
    Err(Stop::new(Code::BudgetExhausted, "no cheaper model is within its limits either"))
}

/// What is told where a call cannot be recorded.
pub(crate) fn unrecordable(error: &LedgerError) -> Stop {
    let message = format!("calls cannot be recorded, so none is made: {error}");
    Stop::new(Code::Degraded, message)
}

/// Refuses what an operator has stopped, unless somebody who is not stopped can serve it.
fn pass_over_stopped(
    plane: &Plane,
    snapshot: &Snapshot,
    candidate: &mut Candidate,
) -> Result<(), Stop> {
    while let Err(stop) = refuse_stopped(plane, snapshot, &candidate.traffic()) {
        let Some(mut way) = candidate.way.take() else { return Err(stop) };
        let next = way.next(&candidate.seek(plane, snapshot)).and_then(Result::ok);
        candidate.chosen = next.ok_or(stop)?;
        candidate.way = Some(way);
    }
    Ok(())
}

/// Turns to the cheaper model that a limit names, else gives its refusal.
fn cheaper(
    plane: &Plane,
    snapshot: &Snapshot,
    candidate: &mut Candidate,
    refusal: Box<Refusal>,
) -> Result<Arc<str>, Stop> {
    let refused = |refusal: Box<Refusal>| {
        plane.metrics.decided("refused", &refusal.limit.name);
        Stop::limit(refusal, candidate.caller.arrival.time)
    };
    let Some(model) = refusal.downgrade().cloned() else { return Err(refused(refusal)) };
    // The path of a provider's own API is that provider's, and may name the model: another model
    // cannot be put in its place.
    if *model == *candidate.chosen.route.name || candidate.through.is_some() {
        return Err(refused(refusal));
    }
    plane.metrics.decided("downgraded", &refusal.limit.name);
    let seek = candidate.seek(plane, snapshot);
    let wish = Wish { model: &model, ..seek.wish };
    let (chosen, way) = route(&Seek { wish, ..seek })?;
    (candidate.chosen, candidate.way) = (chosen, way);
    Ok(model)
}

impl Candidate {
    /// Looks for who can serve it.
    fn seek<'a>(&'a self, plane: &'a Plane, snapshot: &'a Snapshot) -> Seek<'a> {
        let wish = Wish::of(self.endpoint, &self.asked);
        let (principal, standing) = (&self.caller.principal, &self.standing);
        Seek { plane, snapshot, principal, standing, wish }
    }

    /// As it is about to be sent.
    fn sending(&self) -> Sending<'_> {
        Sending {
            endpoint: self.endpoint,
            peek: &self.asked.peek,
            body: &self.asked.body,
            chosen: &self.chosen,
            media: self.media.as_ref(),
            time: self.caller.arrival.time,
        }
    }
}

/// Asks the gate: with the bound first, with a count where the bound would refuse or shorten.
fn decide(
    plane: &Arc<Plane>,
    snapshot: &Snapshot,
    candidate: &Candidate,
    downgrades: &[Downgrade],
) -> Result<(Admitted, u64), NotAdmitted> {
    let Candidate { caller, standing, chosen, endpoint, .. } = candidate;
    let address = counted(snapshot, &caller.arrival);
    let subject = caller.subject(standing, &address, chosen);
    let terms = standing.terms(&subject);
    let sending = candidate.sending();
    let bound = demand(snapshot, &sending);
    let row = draft(candidate, plane.names.of(*endpoint));
    if endpoint.is_uncounted() {
        return plane.gate.admit_uncounted(row).map(|admitted| (admitted, 0));
    }
    let refine = |demand: &Demand| counted_demand(snapshot, &sending, demand);
    let admitted = plane.gate.admit(row, &terms, (&bound, downgrades), refine)?;
    Ok((admitted, bound.output_tokens))
}

fn open(
    plane: &Arc<Plane>,
    snapshot: Arc<Snapshot>,
    candidate: Candidate,
    (admitted, asked_output): (Admitted, u64),
) -> Box<OpenCall> {
    let Candidate { caller, endpoint, asked, standing, chosen, way, through, media, marks } =
        candidate;
    if let Some(audience) = &marks.audience {
        audience.admit();
    }
    plane.admitted.inc();
    plane.metrics.inflight().inc();
    plane.metrics.own_share(plane.micros_since(caller.arrival.started));
    let name = plane.names.of(endpoint);
    let label = || snapshot.label(&chosen.route);
    let metrics = chosen.target.metrics(&plane.metrics, label, &name);
    let on_disconnect = snapshot.on_disconnect(&caller.principal.key, &standing.plan);
    let mut call = Box::new(OpenCall {
        plane: Arc::clone(plane),
        snapshot,
        clamped_output: None,
        edge: None,
        limits: LimitHeaders::default(),
        plan: Arc::clone(&standing.plan.name),
        admitted,
        chosen,
        way,
        tries: Tries::default(),
        through,
        media,
        metrics,
        endpoint,
        peek: asked.peek,
        body: asked.body,
        array: asked.array,
        started: caller.arrival.started,
        caller,
        first_byte_us: None,
        on_disconnect,
        audience: marks.audience,
    });
    call.heed_grant(asked_output);
    if let Some(grant) = call.admitted.grant() {
        plane.metrics.granted(grant, call.clamped_output.is_some());
    }
    call
}

impl Candidate {
    /// What it is, as far as the kill switch asks.
    pub(crate) fn traffic(&self) -> Traffic<'_> {
        self.standing.traffic(&self.chosen.target.provider.name, &self.chosen.route.name)
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

/// Refuses to go on from what a provider keeps unless it is known to be the caller's: all callers
/// share the account there. Those who act for all users answer for it themselves.
fn refuse_strange_answer(plane: &Plane, candidate: &Candidate) -> Result<(), Stop> {
    let Candidate { caller: Caller { principal, .. }, asked, chosen, .. } = candidate;
    if principal.key.role.acts_for_others() {
        return Ok(());
    }
    let provider = &chosen.target.provider.name;
    let strange = |id: &str| !plane.answers.is_of(provider, id, &principal.user);
    if asked.peek.previous.as_deref().is_some_and(strange) {
        let message = "no answer of this id is kept for this caller";
        let param = Some("previous_response_id".into());
        return Err(Stop { param, ..Stop::new(Code::NotFound, message) });
    }
    if let Some(field) = asked.peek.kept {
        let message = format!(
            "`{field}` names by id what the provider keeps, and nobody knows here whose it is: \
             that needs a key of role `service`"
        );
        return Err(Stop { param: Some(field.into()), ..Stop::new(Code::Forbidden, message) });
    }
    Ok(())
}

/// The ledger row, as far as it is known before the call is sent.
pub(crate) fn draft(candidate: &Candidate, name: Arc<str>) -> CallRecord {
    let Candidate {
        caller: Caller { arrival, principal, labels },
        standing,
        asked,
        chosen,
        marks,
        ..
    } = candidate;
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
        trace: arrival.trace,
        decision: None,
        tries: Vec::new(),
    }
}
