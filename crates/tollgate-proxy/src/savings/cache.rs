//! The prompt cache and coalescing: whether a call may use them, and how it is answered then.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tollgate_domain::call::CacheState;
use tollgate_wire::endpoint::Endpoint;

use super::book::{Found, Lead};
use super::flight::{End, Flight, Purpose};
use super::free::NotFree;
use super::key::{Digest, of_user};
use super::settings::StormSettings;
use super::storm::Verdict;
use super::{Directive, Saved, StormAction, Trip, replay};
use crate::admit::admit;
use crate::journey::{buy, send};
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// How a call may use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether a kept answer will do.
    read: bool,
    /// Whether calls of all users are one.
    shared: bool,
    /// Whether an answer that is on its way will do.
    coalesce: bool,
    ttl: Duration,
}

impl Plan {
    /// How a call may use the cache; `None` where it may not.
    pub(super) fn of(trip: &Trip, directive: Directive) -> Option<Self> {
        let settings = trip.snapshot.savings.cache?;
        if directive == Directive::Bypass || !repeats(trip, settings.shared) || !is_allowed(trip) {
            return None;
        }
        Some(Self {
            read: directive == Directive::Use,
            shared: settings.shared,
            coalesce: settings.coalesce && directive == Directive::Use,
            ttl: settings.ttl,
        })
    }

    /// The same in a duplicate storm whose calls get a kept answer: from the second call on answers
    /// are kept, so that there is one when it begins.
    pub(super) fn in_storm(
        plan: Option<Self>,
        (trip, storms): (&Trip, &StormSettings),
        verdict: &Verdict,
    ) -> Option<Self> {
        let storms_now = match verdict {
            Verdict::ServeCached => true,
            Verdict::Pass(calls) if *calls > 1 => false,
            Verdict::Pass(_) | Verdict::Wait(_) => return plan,
        };
        let serves = storms.action == StormAction::ServeCached;
        if !serves || !repeats(trip, false) {
            return plan;
        }
        let own = plan.unwrap_or(Self {
            read: false,
            shared: false,
            coalesce: false,
            ttl: storms.window,
        });
        Some(Self { read: own.read || storms_now, coalesce: own.coalesce || storms_now, ..own })
    }
}

/// Whether model, plan and key let a call use the cache.
fn is_allowed(trip: &Trip) -> bool {
    let Trip { snapshot, candidate, .. } = trip;
    let refused = |says: Option<bool>| says == Some(false);
    if refused(candidate.chosen.route.cache) || refused(candidate.caller.principal.key.cache) {
        return false;
    }
    let plans = &snapshot.savings.plans;
    if plans.is_empty() {
        return true;
    }
    !refused(plans.get(&candidate.standing.plan.name).copied())
}

/// Whether the same request may be answered by the same answer: it calls a model with text, changes
/// nothing at the provider, and depends on nothing there but the model.
fn repeats(trip: &Trip, shared: bool) -> bool {
    let candidate = &trip.candidate;
    let peek = &candidate.asked.peek;
    let fits = matches!(
        candidate.endpoint,
        Endpoint::ChatCompletions
            | Endpoint::Completions
            | Endpoint::Embeddings
            | Endpoint::Responses
            | Endpoint::Moderations
            | Endpoint::Messages
            | Endpoint::GenerateContent
            | Endpoint::StreamGenerateContent
            | Endpoint::EmbedContent
            | Endpoint::BatchEmbedContents
    );
    // An answer that its provider stores belongs to one user, who may go on from it.
    let stores = match peek.store {
        Some(store) => store,
        None => shared && candidate.endpoint == Endpoint::Responses,
    };
    fits && candidate.through.is_none()
        && !stores
        && !peek.background
        && peek.previous.is_none()
        && !peek.input.earlier_turns
        && !peek.input.stored_prompt
        && !peek.tools.hosted
        && !peek.tools.web_search
        && !peek.alternatives
}

/// Answers a call from the cache, from an identical call in flight, or by buying the answer.
pub(super) async fn answer(
    mut trip: Trip,
    plan: Option<(Plan, Digest)>,
) -> Result<Response<RelayBody>, Stop> {
    let Some((plan, prompt)) = plan else {
        trip.plane.savings.metrics().from(CacheState::Bypass);
        return buy(trip).await;
    };
    let plane = Arc::clone(&trip.plane);
    let key =
        if plan.shared { prompt } else { of_user(&prompt, &trip.candidate.caller.principal.user) };
    let audience = Arc::clone(trip.candidate.marks.audience.get_or_insert_default());
    let purpose = Purpose::Cache { ttl: plan.ttl };
    loop {
        let served = |trip: &Trip| {
            let target = &trip.candidate.chosen.target;
            (Arc::clone(&target.provider.name), replay::metrics_of(trip))
        };
        let flight = || Flight::new((&plane, key, purpose), Arc::clone(&audience), served(&trip));
        let found = match (plan.read, plan.coalesce) {
            (true, true) => plane.savings.cache().look(&key, trip.now(), flight),
            (true, false) => match plane.savings.cache().kept(&key, trip.now()) {
                Some(kept) => Found::Kept(kept),
                None => Found::Nothing(Lead::alone(flight())),
            },
            (false, _) => Found::Nothing(Lead::alone(flight())),
        };
        let may_use = |provider: &str| trip.candidate.caller.principal.may_use_provider(provider);
        match found {
            Found::Kept(kept) if may_use(&kept.provider) => {
                let whose = (CacheState::Hit, Saved::Cache);
                let given = replay::give(&trip, &kept, whose).await;
                return or_buy(given, trip).await;
            }
            Found::Flight(flight) if may_use(&flight.provider) => {
                let Some(listener) = flight.join() else {
                    plane.savings.cache().leave(&flight);
                    continue;
                };
                match listener.started().await {
                    Ok(()) => {}
                    Err(End::Failed(failure)) => return Err(failure.stop()),
                    Err(End::Undecided | End::Done) => continue,
                }
                let whose = (CacheState::Coalesced, Saved::Coalesced);
                let given = replay::follow(&trip, listener, whose).await;
                return or_buy(given, trip).await;
            }
            Found::Nothing(lead) => return lead_on(trip, lead).await,
            Found::Kept(_) | Found::Flight(_) => {
                trip.plane.savings.metrics().from(CacheState::Bypass);
                return buy(trip).await;
            }
        }
    }
}

/// What a call was given; where it has to be served otherwise, that is bought.
async fn or_buy(
    given: Result<Response<RelayBody>, NotFree>,
    trip: Trip,
) -> Result<Response<RelayBody>, Stop> {
    match given {
        Ok(response) => Ok(response),
        Err(NotFree::Refused(stop)) => Err(stop),
        Err(NotFree::Otherwise(_)) => {
            trip.plane.savings.metrics().from(CacheState::Bypass);
            buy(trip).await
        }
    }
}

/// Buys an answer that others may listen to and that may be kept.
async fn lead_on(mut trip: Trip, lead: Lead) -> Result<Response<RelayBody>, Stop> {
    trip.candidate.marks.cache = CacheState::Miss;
    trip.plane.savings.metrics().from(CacheState::Miss);
    let asked = Arc::clone(&trip.candidate.chosen.route.name);
    let Trip { plane, snapshot, candidate, head } = trip;
    let missed = |stop: Stop| stop.instead_of(CacheState::Miss);
    let call = admit(&plane, snapshot, candidate).map_err(missed)?;
    // What a limit has changed about a call is not what others asked for.
    if call.clamped_output.is_some() || call.chosen.route.name != asked {
        drop(lead);
        return send(call, head).await.map_err(missed);
    }
    replay::pay(lead.start(Box::pin(send(call, head)))).await.map_err(missed)
}
