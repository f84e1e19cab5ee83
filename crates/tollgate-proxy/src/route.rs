//! Step 4: which provider's model serves this call. What a key may not use is refused here, and a
//! model without a price is not called at all (PRICE-1).

use std::sync::Arc;

use tollgate_admission::identity::Principal;
use tollgate_domain::fault::Code;
use tollgate_domain::price::ModelPrice;

use crate::snapshot::{Route, Snapshot, Target};
use crate::stop::Stop;

/// A target that may serve a call, and its price.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The route that was taken.
    pub route: Arc<Route>,
    /// The target.
    pub target: Arc<Target>,
    /// Its price.
    pub price: Arc<ModelPrice>,
}

/// Chooses a target for `model`; `draw` is a random number that spreads calls over targets.
pub fn route(
    snapshot: &Snapshot,
    principal: &Principal,
    model: &str,
    draw: u64,
) -> Result<Chosen, Stop> {
    if !principal.may_use_model(model) {
        return Err(Stop::new(
            Code::ModelNotAllowed,
            format!("this key may not use the model `{}`", shown(model)),
        ));
    }
    let route = snapshot.route(model).ok_or_else(|| {
        let message = format!(
            "no configured provider serves the model `{}`; `GET /v1/models` lists those that are \
             served",
            shown(model)
        );
        Stop { param: Some("model".into()), ..Stop::new(Code::UnknownModel, message) }
    })?;
    let allowed: Vec<_> = route
        .targets
        .iter()
        .filter(|target| principal.may_use_provider(&target.provider.name))
        .collect();
    if allowed.is_empty() {
        let message = format!("this key may not use a provider of the model `{}`", route.name);
        return Err(Stop::new(Code::ModelNotAllowed, message));
    }
    let priced: Vec<_> = allowed.into_iter().filter(|target| target.price.is_some()).collect();
    let target = weighted(&priced, draw).ok_or_else(|| unpriced(&route))?;
    let target = Arc::clone(target);
    let price = target.price.clone().ok_or_else(|| unpriced(&route))?;
    Ok(Chosen { route, target, price })
}

/// One of the targets, each as often as its weight says.
fn weighted<'a>(targets: &[&'a Arc<Target>], draw: u64) -> Option<&'a Arc<Target>> {
    let total: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    let mut left = draw.checked_rem(total).unwrap_or_default();
    for target in targets {
        let weight = u64::from(target.weight);
        if left < weight {
            return Some(target);
        }
        left -= weight;
    }
    targets.first().copied()
}

fn unpriced(route: &Route) -> Stop {
    let target = route.targets.first();
    let name = target
        .map(|target| format!("{}/{}", target.provider.name, target.model))
        .unwrap_or_default();
    let message = format!(
        "the model `{}` has no price, so it is not called; set [prices.\"{name}\"] or a default \
         rate",
        route.name
    );
    Stop { param: Some("model".into()), ..Stop::new(Code::UnpricedModel, message) }
}

/// A model name as it may stand in a message: short.
fn shown(model: &str) -> String {
    model.chars().take(100).collect()
}
