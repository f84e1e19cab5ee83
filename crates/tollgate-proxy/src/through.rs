//! A provider's own API under `/providers/{name}/…`: the path and the body are the client's, and
//! the call is identified, limited, metered and recorded like any other.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use tollgate_admission::identity::Principal;
use tollgate_domain::fault::Code;
use tollgate_domain::price::ModelPrice;
use tollgate_wire::endpoint::{Endpoint, Route as Path, unescaped};
use tollgate_wire::passthrough::{self, Purpose};
use tollgate_wire::unknown::look;

use crate::identify::push_query;
use crate::provider::{Backend, Provider, Serving, Unmetered};
use crate::read::{Asked, peek};
use crate::route::Chosen;
use crate::snapshot::{Route, Snapshot, Target};
use crate::stop::Stop;
use crate::stored;

/// How a provider is asked in its own API.
#[derive(Clone, Debug)]
pub struct Through {
    /// The client's method.
    pub method: Method,
    /// Path and query at the provider.
    pub path: Box<str>,
}

/// A call that may pass through.
#[derive(Debug)]
pub struct Passed {
    /// The form that it has.
    pub endpoint: Endpoint,
    /// What it asks for.
    pub asked: Asked,
    /// Who serves it.
    pub chosen: Chosen,
    /// How it is asked.
    pub through: Box<Through>,
}

/// Finds out what a call of a provider's own API asks for, and whether it may be made.
pub fn pass(
    snapshot: &Snapshot,
    principal: &Principal,
    head: &Parts,
    body: Bytes,
) -> Result<Passed, Stop> {
    let Some(Path::PassThrough(name, below)) = Path::from_path(head.uri.path()) else {
        return Err(Stop::new(Code::NotFound, "paths are /providers/{name}/…"));
    };
    let provider = snapshot.providers.iter().find(|provider| &*provider.name == name);
    let provider = provider.ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        Stop::new(Code::NotFound, format!("no provider is configured as `{shown}`"))
    })?;
    if !principal.may_use_provider(&provider.name) {
        let message = format!("this key may not use the provider `{}`", provider.name);
        return Err(Stop::new(Code::Forbidden, message));
    }
    let (endpoint, model) = endpoint(provider, &head.method, below)?;
    let content_type = head.headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let peek = match endpoint {
        Endpoint::Other | Endpoint::Read => Ok((look(model.as_deref(), &body), None)),
        _ => peek(endpoint, model.as_deref(), content_type, &body),
    };
    let (mut peek, file) =
        peek.map_err(|error| Stop::field(error.message, error.param.map(Cow::from)))?;
    // A provider goes by the path where that names a model (deployments at Azure), whatever the
    // body says.
    if let Some(model) =
        model.filter(|model| !endpoint.names_model_in_path() && **model != *peek.model)
    {
        peek.model = Box::from(&*model);
    }
    let asked = Asked { body, peek, file, array: false };
    let chosen = chosen(snapshot, principal, provider, (endpoint, &asked))?;
    let path = path(provider, below, head.uri.query())?;
    let through = Box::new(Through { method: head.method.clone(), path });
    Ok(Passed { endpoint, asked, chosen, through })
}

/// The form of the call, and the model where the path names it. What cannot be metered is refused
/// where the configuration says so.
fn endpoint<'a>(
    provider: &Provider,
    method: &Method,
    below: &'a str,
) -> Result<(Endpoint, Option<Cow<'a, str>>), Stop> {
    let (endpoint, model) = passthrough::endpoint(below);
    let refuse = |what: &str, least: &str| {
        let message = format!(
            "{what}; where that is wanted, set `providers.{}.unmetered = \"{least}\"`",
            provider.name
        );
        Err(Stop::new(Code::InvalidRequest, message))
    };
    match passthrough::purpose(method.as_str(), below) {
        Purpose::Read if endpoint.is_billed() || endpoint == Endpoint::Other => {
            Ok((Endpoint::Read, None))
        }
        Purpose::Later if provider.unmetered < Unmetered::Allow => {
            refuse("this path orders work that is billed later, which nobody meters", "allow")
        }
        Purpose::Call if endpoint == Endpoint::Other && provider.unmetered == Unmetered::Refuse => {
            refuse("nobody can read what this path uses", "estimate")
        }
        _ => Ok((endpoint, model)),
    }
}

/// Who serves the call, and at which price.
fn chosen(
    snapshot: &Snapshot,
    principal: &Principal,
    provider: &Arc<Provider>,
    (endpoint, asked): (Endpoint, &Asked),
) -> Result<Chosen, Stop> {
    let model = &*asked.peek.model;
    let free = !endpoint.is_billed();
    let names_none = free && model.is_empty();
    if !names_none && !principal.may_use_model(model) {
        let shown: String = model.chars().take(100).collect();
        let message = format!("this key may not use the model `{shown}`");
        return Err(Stop::new(Code::ModelNotAllowed, message));
    }
    // Files, stored answers and settings at a provider belong to whoever holds the provider's key,
    // so what is no call of a model is for those who act for all users.
    let opaque = matches!(endpoint, Endpoint::Other | Endpoint::Read);
    if opaque && !principal.key.role.acts_for_others() {
        let message = "this path is no call of a model: it needs a key of role `service`";
        return Err(Stop::new(Code::Forbidden, message));
    }
    if names_none {
        return Ok(stored::free(provider));
    }
    let price = match snapshot.price(provider, model) {
        _ if free => Arc::new(ModelPrice::nothing()),
        Some(price) => price,
        None => {
            let message = format!(
                "`{}/{model}` has no price, so it is not called; set [prices.\"{}/{model}\"] or a \
                 default rate",
                provider.name, provider.name
            );
            return Err(Stop {
                param: Some("model".into()),
                ..Stop::new(Code::UnpricedModel, message)
            });
        }
    };
    let name: Arc<str> = if model.is_empty() { Arc::from("other") } else { Arc::from(model) };
    let target = Target::new(Arc::clone(provider), Arc::from(model), 1, Some(Arc::clone(&price)));
    let target = Arc::new(target);
    let route = Route { name, targets: vec![Arc::clone(&target)], max_output: None, cache: None };
    Ok(Chosen {
        route: Arc::new(route),
        target,
        price,
        serving: Serving::Native(endpoint),
        translated: None,
    })
}

/// The path at the provider. People write it with and without what the configured address ends
/// with; both mean the same.
fn path(provider: &Provider, below: &str, query: Option<&str>) -> Result<Box<str>, Stop> {
    let Backend::Remote(remote) = &provider.backend else {
        let message = "the simulated provider has no API of its own; call its models by name";
        return Err(Stop::new(Code::NotFound, message));
    };
    if leads_upwards(below) {
        return Err(Stop::new(Code::InvalidRequest, "a path may not lead upwards"));
    }
    let base = &*remote.base_path;
    let has_base = below.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    let mut path = if has_base { below.to_owned() } else { format!("{base}{below}") };
    push_query(&mut path, query);
    Ok(path.into())
}

/// Whether a part of a path stands for a folder above or for the same one, as it is written or as a
/// server may read it: with its escapes resolved (twice, where one proxy follows another), or with
/// the other slash.
fn leads_upwards(path: &str) -> bool {
    let once = unescaped(path);
    let twice = unescaped(&once);
    [path, &once, &twice]
        .into_iter()
        .any(|path| path.split(['/', '\\']).any(|part| part == ".." || part == "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_configured_address_however_it_is_written() {
        for path in [
            "/v1/../admin",
            "/v1/./files",
            "/%2e%2e/admin",
            "/.%2E/v1/messages",
            "/%252e%252e/admin",
            "/v1/..%2fadmin",
            "/v1/..%5Cadmin",
            "/v1\\..\\admin",
        ] {
            assert!(leads_upwards(path), "{path}");
        }
        for path in ["/v1/messages", "/model/us.m-v1%3A0/converse", "/v1/files/a..b", "/v1/x%2Fy"] {
            assert!(!leads_upwards(path), "{path}");
        }
    }
}
