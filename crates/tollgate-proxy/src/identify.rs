//! Step 2: who calls. A key or a token (JWT), in any of four places, becomes a [`Principal`], which
//! every later step asks for; so does a caller without any where guests are served.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Uri};
use tollgate_admission::identity::{GUEST_USER, KeyEntry, Principal, Rejected};
use tollgate_admission::network::counted_address;
use tollgate_admission::token::looks_like_token;
use tollgate_domain::call::Tags;
use tollgate_domain::fault::Code;

use crate::accept::{Arrival, kept};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const GOOGLE_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const USER: HeaderName = HeaderName::from_static("x-tollgate-user");
const SESSION: HeaderName = HeaderName::from_static("x-tollgate-session");
const FEATURE: HeaderName = HeaderName::from_static("x-tollgate-feature");
const TAGS: HeaderName = HeaderName::from_static("x-tollgate-tags");

/// Longest name of a user, session, feature or tag.
const MAX_NAME: usize = 128;
/// Most tags of one call.
const MAX_TAGS: usize = 16;

/// What the application says about a call.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// One run of an agent.
    pub session: Option<Arc<str>>,
    /// What the action is called.
    pub feature: Option<Arc<str>>,
    /// Further labels.
    pub tags: Tags,
}

/// Finds out who calls, and what the application says about the call.
pub fn identify(
    snapshot: &Snapshot,
    arrival: &Arrival,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(Principal, Labels), Stop> {
    let (key, guest) = match credential(headers, uri) {
        Some(credential) => (known(snapshot, arrival, credential)?, false),
        None => (unknown(snapshot, arrival, headers)?, true),
    };
    let user = match named(headers, &USER)? {
        Some(user) if key.role.acts_for_others() || user == key.user => user,
        Some(_) => {
            return Err(Stop::new(
                Code::Forbidden,
                "this key may not act for another user: `x-tollgate-user` needs a key of role \
                 `service`",
            ));
        }
        None => Arc::clone(&key.user),
    };
    // Labels choose counters, so only those who may act for others are believed.
    let labels = if key.role.acts_for_others() {
        Labels {
            session: named(headers, &SESSION)?,
            feature: named(headers, &FEATURE)?,
            tags: tags(headers)?,
        }
    } else {
        Labels::default()
    };
    Ok((Principal { user, key, ip: arrival.ip, guest }, labels))
}

/// The key behind a credential, or what stands in for it behind a token.
fn known(snapshot: &Snapshot, arrival: &Arrival, credential: &[u8]) -> Result<Arc<KeyEntry>, Stop> {
    if let Some(tokens) = &snapshot.tokens
        && looks_like_token(credential)
    {
        let claims = tokens
            .verifier
            .verify(credential, arrival.time)
            .map_err(|rejected| Stop::new(rejected.code(), rejected.to_string()))?;
        // A plan that is not known here is no plan: the default one holds.
        let plan = claims.plan.filter(|plan| snapshot.plans.contains_key(plan));
        let name = Arc::clone(&tokens.name);
        return Ok(Arc::new(KeyEntry::standing_in(name, claims.user, plan)));
    }
    snapshot
        .keys
        .find(&snapshot.hasher, credential, arrival.ip, arrival.time)
        .map(Arc::clone)
        .map_err(refuse)
}

/// What stands in for the key of a guest, who is known by the address alone (IPv6 by its /64).
fn unknown(
    snapshot: &Snapshot,
    arrival: &Arrival,
    headers: &HeaderMap,
) -> Result<Arc<KeyEntry>, Stop> {
    // A credential of a scheme that is not read here is a mistake, not the wish to be a guest.
    let guests = snapshot.guests.as_ref().filter(|_| !headers.contains_key(AUTHORIZATION));
    let guests = guests.ok_or_else(|| refuse(Rejected::Missing))?;
    let address = kept(snapshot, counted_address(arrival.ip));
    let user = Arc::from(format!("{GUEST_USER}{address}"));
    let (name, plan) = (Arc::clone(&guests.name), Some(Arc::clone(&guests.plan)));
    Ok(Arc::new(KeyEntry::standing_in(name, user, plan)))
}

fn refuse(rejected: Rejected) -> Stop {
    Stop::new(rejected.code(), rejected.to_string())
}

/// The first credential found: bearer token, `x-api-key`, `x-goog-api-key`, `?key=`.
pub(crate) fn credential<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a [u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii());
    }
    if let Some(value) = headers.get(API_KEY).or_else(|| headers.get(GOOGLE_API_KEY)) {
        return Some(value.as_bytes());
    }
    let pairs = uri.query()?.split('&');
    pairs.filter_map(|pair| pair.strip_prefix("key=")).map(str::as_bytes).next()
}

/// A query without the credential that [`credential`] reads from one.
pub(crate) fn without_credential(query: &str) -> String {
    let kept = query.split('&').filter(|pair| !pair.starts_with("key="));
    kept.collect::<Vec<_>>().join("&")
}

/// Appends a client's query to a path at a provider, without its credential.
pub(crate) fn push_query(path: &mut String, query: Option<&str>) {
    let kept = query.map(without_credential).unwrap_or_default();
    if !kept.is_empty() {
        path.push('?');
        path.push_str(&kept);
    }
}

/// A name that the application gave in a header; absent when empty.
fn named(headers: &HeaderMap, header: &HeaderName) -> Result<Option<Arc<str>>, Stop> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad_name(header))?.trim();
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(bad_name(header));
    }
    Ok((!text.is_empty()).then(|| Arc::from(text)))
}

fn bad_name(header: &HeaderName) -> Stop {
    Stop::field(
        format!("header `{header}` must be UTF-8 of at most {MAX_NAME} bytes, without controls"),
        Some(header.to_string().into()),
    )
}

/// The labels of `x-tollgate-tags: team=blue,stage=test`.
fn tags(headers: &HeaderMap) -> Result<Tags, Stop> {
    let Some(text) = named_long(headers)? else {
        return Ok(Vec::new());
    };
    let mut tags = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(bad_tags)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_NAME {
            return Err(bad_tags());
        }
        tags.push((Arc::from(name), Arc::from(value)));
    }
    if tags.len() > MAX_TAGS { Err(bad_tags()) } else { Ok(tags) }
}

fn named_long(headers: &HeaderMap) -> Result<Option<&str>, Stop> {
    let Some(value) = headers.get(TAGS) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad_tags())?;
    if text.chars().any(char::is_control) { Err(bad_tags()) } else { Ok(Some(text)) }
}

fn bad_tags() -> Stop {
    Stop::field(
        format!(
            "header `x-tollgate-tags` must be `name=value,name=value`, at most {MAX_TAGS} pairs, \
             each part at most {MAX_NAME} bytes"
        ),
        Some("x-tollgate-tags".into()),
    )
}
