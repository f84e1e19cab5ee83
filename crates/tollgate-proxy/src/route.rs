//! Step 4: which provider's model serves this call, and by which of its operations. What a key may
//! not use is refused here, a model without a price is not called at all (PRICE-1), and a request
//! that the provider's own form cannot express is refused before anything is set aside.
//!
//! Translating is work, so it comes last, and only for a caller who may call and a call that nobody
//! has stopped. Who is asked after a failure is a [`Way`], walked only as far as it is needed.

mod order;
mod way;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

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
use crate::standing::Standing;
use crate::stop::Stop;
pub use way::Way;

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
    /// What was asked.
    pub peek: &'a Peek,
    /// The request as the client sent it.
    pub body: &'a Bytes,
    /// Whether a client of Gemini wants its stream as one JSON array.
    pub array: bool,
}

impl<'a> Wish<'a> {
    /// What a request asks for that was read.
    pub fn of(endpoint: Endpoint, asked: &'a Asked) -> Self {
        let Asked { peek, body, array, .. } = asked;
        Self { endpoint, model: &peek.model, peek, body, array: *array }
    }
}

/// Who looks for a target, for what, and where.
#[derive(Clone, Copy, Debug)]
pub struct Seek<'a> {
    /// What all calls share.
    pub plane: &'a Plane,
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Who calls.
    pub principal: &'a Principal,
    /// On what terms.
    pub standing: &'a Standing,
    /// What is asked for.
    pub wish: Wish<'a>,
}

/// Chooses who is asked first, and says how it goes on from there; `None` where there is nobody to
/// go on to.
pub fn route(seek: &Seek<'_>) -> Result<(Chosen, Option<Box<Way>>), Stop> {
    let Seek { snapshot, principal, wish, .. } = seek;
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
    check(seek, &route)?;
    let mut way = Way::along(Arc::clone(&route));
    let mut first: Option<Stop> = None;
    while let Some(chosen) = way.next(seek) {
        match chosen {
            Ok(chosen) => return Ok((chosen, way.rest(wish))),
            Err(stop) => drop(first.get_or_insert(stop)),
        }
    }
    Err(first.unwrap_or_else(|| circuit_open(&route, way.opens_in)))
}

/// Refuses a call that one target alone can serve while that is left alone.
pub fn refuse_shut(plane: &Plane, chosen: &Chosen) -> Result<(), Stop> {
    match chosen.target.health(&plane.healths).shut_for() {
        None => Ok(()),
        shut => Err(circuit_open(&chosen.route, shut)),
    }
}

/// Refuses what nobody on a route could serve, whatever the hour.
fn check(seek: &Seek<'_>, route: &Route) -> Result<(), Stop> {
    let Seek { principal, wish, .. } = seek;
    let allowed = |target: &&Arc<Target>| principal.may_use_provider(&target.provider.name);
    if !route.targets.iter().any(|target| allowed(&target)) {
        let message = format!("this key may not use a provider of the model `{}`", route.name);
        return Err(Stop::new(Code::ModelNotAllowed, message));
    }
    let stream = wish.peek.stream;
    let able = |target: &&Arc<Target>| {
        target.provider.serving(wish.endpoint, &target.model, stream).is_some()
    };
    let mut able = route.targets.iter().filter(allowed).filter(able).peekable();
    if able.peek().is_none() {
        return Err(unable(route, wish.endpoint));
    }
    if !able.any(|target| target.price.is_some()) {
        return Err(unpriced(route));
    }
    Ok(())
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
    let asked_output = wish.peek.max_output.unwrap_or_default();
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
    let named = Some(&*wish.peek.model);
    let (prompt, written) =
        translate_request(wish.endpoint, operation, named, wish.body, &wanted).map_err(refuse)?;
    let look = peek(operation, Some(&target.model), &written.body).map_err(refuse)?;
    let view = View::of(&prompt, 0, String::new(), vendor.usage);
    let view = View { array: wish.array, ..view };
    let Written { body, left_out } = written;
    Ok(Some(Arc::new(Translated { body, peek: look, left_out, view })))
}

/// What is told where every target is left alone.
fn circuit_open(route: &Route, opens_in: Option<Duration>) -> Stop {
    let message = format!(
        "whoever serves the model `{}` has failed too often and is left alone for a while",
        route.name
    );
    let retry_after = opens_in.or(Some(Duration::from_secs(1)));
    Stop { retry_after, ..Stop::new(Code::CircuitOpen, message) }
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
