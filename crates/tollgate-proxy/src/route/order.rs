//! Which of several targets is asked first.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tollgate_domain::money::Exact;
use tollgate_domain::price::{ModelPrice, Served};
use tollgate_domain::usage::Usage;

use super::Seek;
use crate::provider::Serving;
use crate::snapshot::{Route, RouteKind, Target};

/// Bytes of a request that make a token, where only prices are compared.
const BYTES_PER_TOKEN: u64 = 4;

/// A target that can serve a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Able<'a> {
    pub(super) target: &'a Arc<Target>,
    pub(super) serving: Serving,
}

type Ables<'a> = SmallVec<[Able<'a>; 4]>;

/// The target of a route that is asked next, but for those that were asked. `shut` is told for how
/// long a target is left alone that is passed over.
pub(super) fn first<'a>(
    seek: &Seek<'_>,
    route: &'a Route,
    asked: &[Arc<Target>],
    mut shut: impl FnMut(Duration),
) -> Option<Able<'a>> {
    let mut fresh = Ables::new();
    let mut resting: Option<(Duration, Able<'a>)> = None;
    for target in &route.targets {
        let same = |other: &Arc<Target>| {
            other.provider.name == target.provider.name && other.model == target.model
        };
        if asked.iter().any(same) {
            continue;
        }
        let Some(able) = able(seek, target) else { continue };
        let health = target.health(&seek.plane.healths);
        if let Some(time) = health.shut_for() {
            shut(time);
        } else if let Some(rest) = health.rests_for() {
            if resting.is_none_or(|(shortest, _)| rest < shortest) {
                resting = Some((rest, able));
            }
        } else {
            fresh.push(able);
        }
    }
    in_order(seek, route, &fresh).or_else(|| resting.map(|(_, able)| able))
}

fn able<'a>(seek: &Seek<'_>, target: &'a Arc<Target>) -> Option<Able<'a>> {
    let provider = &target.provider;
    let bound = seek.wish.peek.previous.as_deref();
    let maker = bound.and_then(|id| seek.plane.answers.owner(id)).map(|(_, maker)| maker);
    let usable = seek.principal.may_use_provider(&provider.name)
        && target.price.is_some()
        && maker.is_none_or(|maker| maker == provider.name);
    let serving = provider.serving(seek.wish.endpoint, &target.model, seek.wish.peek.stream)?;
    usable.then_some(Able { target, serving })
}

/// The first of these in the order of the route.
fn in_order<'a>(seek: &Seek<'_>, route: &Route, ables: &[Able<'a>]) -> Option<Able<'a>> {
    match (ables, route.kind) {
        ([] | [_], _) | (_, RouteKind::Priority) => ables.first().copied(),
        (_, RouteKind::Weighted) => weighted(ables, seek.plane.ids.draw()),
        (_, RouteKind::LeastLatency) => less_laden(seek, ables),
        (_, RouteKind::Cheapest) => {
            let cost = |able: &&Able<'_>| expected_cost(seek, route, able.target);
            let fits = |able: &&Able<'_>| fits(seek, able.target);
            let cheapest = ables.iter().filter(fits).min_by_key(cost);
            cheapest.or_else(|| ables.iter().min_by_key(cost)).copied()
        }
    }
}

/// One of the targets, each as often as its weight says.
fn weighted<'a>(ables: &[Able<'a>], draw: u64) -> Option<Able<'a>> {
    let total: u64 = ables.iter().map(|able| u64::from(able.target.weight)).sum();
    let mut left = draw.checked_rem(total).unwrap_or_default();
    for able in ables {
        let weight = u64::from(able.target.weight);
        if left < weight {
            return Some(*able);
        }
        left -= weight;
    }
    ables.first().copied()
}

/// The less laden of two that are drawn. Asking two instead of all keeps calls that are decided at
/// the same time from all running to the same target (Mitzenmacher, the power of two choices).
fn less_laden<'a>(seek: &Seek<'_>, ables: &[Able<'a>]) -> Option<Able<'a>> {
    let draw = seek.plane.ids.draw();
    let count = u64::try_from(ables.len()).ok().filter(|count| *count > 1)?;
    let at = |place: u64| ables.get(usize::try_from(place).unwrap_or(0)).copied();
    let one = draw % count;
    let other = (one + 1 + (draw / count) % (count - 1)) % count;
    let (one, other) = (at(one)?, at(other)?);
    let load = |able: &Able<'_>| able.target.health(&seek.plane.healths).load();
    Some(if load(&other) < load(&one) { other } else { one })
}

/// Tokens in and out that a call may use, where only prices are compared.
fn expected_usage(seek: &Seek<'_>, route: &Route) -> Usage {
    let bytes = u64::try_from(seek.wish.body.len()).unwrap_or(u64::MAX);
    let assumed = route.max_output.unwrap_or(seek.snapshot.settings.assumed_output);
    let output =
        if seek.wish.endpoint.generates() { seek.wish.peek.output_bound(assumed) } else { 0 };
    Usage::tokens(bytes / BYTES_PER_TOKEN, output)
}

/// What a call may cost at a target.
fn expected_cost(seek: &Seek<'_>, route: &Route, target: &Target) -> Option<Exact> {
    let served = Served::at(seek.plane.clock.now());
    Some(target.price.as_deref()?.charge(&expected_usage(seek, route), &served).total)
}

/// Whether a request fits the context of a model, as far as its length tells.
fn fits(seek: &Seek<'_>, target: &Target) -> bool {
    let bytes = u64::try_from(seek.wish.body.len()).unwrap_or(u64::MAX);
    let context = target.price.as_deref().and_then(ModelPrice::context_window);
    context.is_none_or(|context| bytes / BYTES_PER_TOKEN <= context)
}
