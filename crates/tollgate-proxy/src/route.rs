//! Step 4: which provider's model serves this call, and by which of its operations. What a key may
//! not use is refused here, a model without a price is not called at all (PRICE-1), and a request
//! that the provider's own form cannot express is refused before anything is set aside.
//!
//! It has two halves, because translating is work: a target is picked by looking things up, and
//! only for a caller who may call, and a call that nobody has stopped, is anything made for it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use tollgate_admission::identity::Principal;
use tollgate_domain::fault::Code;
use tollgate_domain::price::ModelPrice;
use tollgate_wire::dialect::peek;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::peek::{BodyError, Peek};
use tollgate_wire::translate::{self, View, Written, translate_request};

use crate::plane::Plane;
use crate::provider::Serving;
use crate::read::Asked;
use crate::snapshot::{Route, Snapshot, Target};
use crate::standing::{Standing, refuse_stopped};
use crate::stop::Stop;

/// A target that may serve a call. Nothing has been made for it yet.
#[derive(Clone, Debug)]
pub struct Picked {
    /// The route that was taken.
    pub route: Arc<Route>,
    target: Arc<Target>,
    price: Arc<ModelPrice>,
    serving: Serving,
}

/// A target that may serve a call, its price, and what is sent to it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The route that was taken.
    pub route: Arc<Route>,
    /// The target.
    pub target: Arc<Target>,
    /// Its price.
    pub price: Arc<ModelPrice>,
    /// By which of its operations it serves.
    pub serving: Serving,
    /// The request in the provider's form, where that is not the client's.
    pub translated: Option<Arc<Translated>>,
}

/// A request in another form than the client's.
#[derive(Debug)]
pub struct Translated {
    /// Its body.
    pub body: Bytes,
    /// Where in it stands what may be changed.
    pub peek: Peek,
    /// Hints of the client for which that form has no word.
    pub left_out: Vec<&'static str>,
    /// How the answer is shown to the client.
    pub view: View,
}

/// What a call asks for, as far as it bears on who serves it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What was called.
    pub endpoint: Endpoint,
    /// The public name of the model.
    pub model: &'a str,
    /// The request.
    pub asked: &'a Asked,
}

/// Picks a target for a call; `draw` is a random number that spreads calls over targets.
pub fn route(
    snapshot: &Snapshot,
    principal: &Principal,
    wish: &Wish<'_>,
    draw: u64,
) -> Result<Picked, Stop> {
    let model = wish.model;
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
    let allowed = |target: &&Arc<Target>| principal.may_use_provider(&target.provider.name);
    if !route.targets.iter().any(|target| allowed(&target)) {
        let message = format!("this key may not use a provider of the model `{}`", route.name);
        return Err(Stop::new(Code::ModelNotAllowed, message));
    }
    let stream = wish.asked.peek.stream;
    let mut able: Vec<_> = route
        .targets
        .iter()
        .filter(allowed)
        .filter_map(|target| {
            let serving = target.provider.serving(wish.endpoint, &target.model, stream)?;
            Some((target, serving))
        })
        .collect();
    if able.is_empty() {
        return Err(unable(&route, wish.endpoint));
    }
    able.retain(|(target, _)| target.price.is_some());
    let (target, serving) = weighted(&able, draw).ok_or_else(|| unpriced(&route))?;
    let target = Arc::clone(target);
    let price = target.price.clone().ok_or_else(|| unpriced(&route))?;
    Ok(Picked { route, target, price, serving })
}

impl Picked {
    /// Makes what is sent to the target, for a caller whose standing is known, unless an operator
    /// has stopped calls like this one.
    pub fn prepared(
        self,
        plane: &Plane,
        snapshot: &Snapshot,
        standing: &Standing,
        wish: &Wish<'_>,
    ) -> Result<Chosen, Stop> {
        let Self { route, target, price, serving } = self;
        let traffic = standing.traffic(&target.provider.name, &route.name);
        refuse_stopped(plane, snapshot, &traffic)?;
        let translated = translated(snapshot, wish, (&route, &target), serving)?;
        Ok(Chosen { route, target, price, serving, translated })
    }
}

impl Chosen {
    /// The operation of the provider that serves; metering goes by its form.
    pub fn operation(&self, asked: Endpoint) -> Endpoint {
        match self.serving {
            Serving::Native(endpoint) | Serving::Translated(endpoint) => endpoint,
            Serving::Counted => asked,
        }
    }
}

/// The request in the form of the provider, where that is not the client's.
fn translated(
    snapshot: &Snapshot,
    wish: &Wish<'_>,
    (route, target): (&Route, &Target),
    serving: Serving,
) -> Result<Option<Arc<Translated>>, Stop> {
    let Serving::Translated(operation) = serving else { return Ok(None) };
    let refuse = |error: BodyError| Stop::field(error.message, error.param.map(Cow::from));
    // What is assumed where nobody says anything is no reason to give a client less than it asks.
    let asked_output = wish.asked.peek.max_output.unwrap_or_default();
    let assumed = snapshot.settings.assumed_output.max(asked_output);
    let most = route.max_output.unwrap_or(assumed);
    let vendor = target.provider.vendor;
    let wanted = translate::Target {
        model: &target.model,
        max_output: Some(most),
        clamp: None,
        include_usage: true,
        legacy_max_tokens: vendor.legacy_max_tokens,
        thinks: None,
    };
    let asked = wish.asked;
    let named = Some(&*asked.peek.model);
    let (prompt, written) =
        translate_request(wish.endpoint, operation, named, &asked.body, &wanted).map_err(refuse)?;
    let look = peek(operation, Some(&target.model), &written.body).map_err(refuse)?;
    let view = View::of(&prompt, 0, String::new(), vendor.usage);
    let view = View { array: asked.array, ..view };
    let Written { body, left_out } = written;
    Ok(Some(Arc::new(Translated { body, peek: look, left_out, view })))
}

/// One of the targets, each as often as its weight says.
fn weighted<'a>(
    targets: &[(&'a Arc<Target>, Serving)],
    draw: u64,
) -> Option<(&'a Arc<Target>, Serving)> {
    let total: u64 = targets.iter().map(|(target, _)| u64::from(target.weight)).sum();
    let mut left = draw.checked_rem(total).unwrap_or_default();
    for (target, serving) in targets {
        let weight = u64::from(target.weight);
        if left < weight {
            return Some((target, *serving));
        }
        left -= weight;
    }
    targets.first().copied()
}

fn unable(route: &Route, endpoint: Endpoint) -> Stop {
    let provider = route.targets.first().map_or("", |target| &*target.provider.name);
    let message = format!(
        "the model `{}` is served by `{provider}`, which has nothing like {}; call it in a form \
         that its provider offers",
        route.name,
        endpoint.path()
    );
    Stop { param: Some("model".into()), ..Stop::new(Code::InvalidRequest, message) }
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
