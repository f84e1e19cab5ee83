//! Step 1: what arrived, from whom, and under which ids it goes on.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use tollgate_domain::id::{CallId, is_sane_request_id};

use crate::metrics::Tally;
use crate::plane::Plane;
use crate::snapshot::Snapshot;

/// The header that carries the request id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is known of a call as soon as its head has been read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub call_id: CallId,
    /// Its request id, the client's own where that is sane.
    pub request_id: Arc<str>,
    /// When it arrived.
    pub time: Timestamp,
    /// The same, on the clock that measures latency.
    pub started: Duration,
    /// Who sent it, seen through the proxies that are trusted.
    pub ip: IpAddr,
    /// The same as it is kept: as text, or as a digest of it.
    pub ip_kept: Arc<str>,
}

/// Makes the ids of calls: time first, then bits that no other process draws.
#[derive(Debug)]
pub struct Ids {
    seed: RandomState,
    count: Tally,
}

impl Default for Ids {
    fn default() -> Self {
        Self { seed: RandomState::new(), count: Tally::default() }
    }
}

impl Ids {
    /// A number that spreads calls over targets.
    pub fn draw(&self) -> u64 {
        self.seed.hash_one((self.count.next(), 2u8))
    }

    /// A new id at this time.
    pub fn next(&self, now: Timestamp) -> CallId {
        let count = self.count.next();
        let mut random = [0; 10];
        let first = self.seed.hash_one(count).to_be_bytes();
        let second = self.seed.hash_one((count, 1u8)).to_be_bytes();
        for (to, from) in random.iter_mut().zip(first.into_iter().chain(second)) {
            *to = from;
        }
        CallId::new(u64::try_from(now.as_millisecond()).unwrap_or_default(), random)
    }
}

/// Notes the arrival of a call.
pub fn accept(plane: &Plane, snapshot: &Snapshot, headers: &HeaderMap, peer: IpAddr) -> Arrival {
    let time = plane.clock.now();
    let call_id = plane.ids.next(time);
    let own = headers.get(REQUEST_ID).filter(|value| is_sane_request_id(value.as_bytes()));
    let request_id = match own.and_then(|value| value.to_str().ok()) {
        Some(text) => Arc::from(text),
        None => Arc::from(call_id.encode(&mut [0; 36])),
    };
    let ip = client_address(snapshot, headers, peer);
    let ip_kept = kept(snapshot, ip);
    Arrival { call_id, request_id, time, started: plane.clock.monotonic(), ip, ip_kept }
}

/// An address as it is kept: where so configured, eight bytes of a keyed digest.
fn kept(snapshot: &Snapshot, ip: IpAddr) -> Arc<str> {
    let text = ip.to_string();
    if !snapshot.settings.hash_addresses {
        return Arc::from(text);
    }
    let digest = snapshot.hasher.digest(text.as_bytes());
    let bytes = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    Arc::from(bytes.collect::<String>())
}

/// The address of the client: the nearest one, from the right, that no trusted proxy has.
///
/// A header from an untrusted peer says nothing; the first entries of a chain are the client's own
/// words and are never reached unless everything after them is trusted.
fn client_address(snapshot: &Snapshot, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let mut nearest = peer.to_canonical();
    if !snapshot.trusts(nearest) {
        return nearest;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let entries = lines.iter().rev().filter_map(|line| line.to_str().ok());
    for entry in entries.flat_map(|line| line.rsplit(',')) {
        let Some(address) = parse_address(entry.trim()) else {
            return nearest;
        };
        nearest = address.to_canonical();
        if !snapshot.trusts(nearest) {
            return nearest;
        }
    }
    nearest
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.rsplit_once(':')?.0.parse().ok()
}
