//! Step 1: what arrived, from whom, and under which ids it goes on.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use tollgate_admission::network::counted_address;
use tollgate_domain::id::{CallId, is_sane_request_id};
use tollgate_domain::trace::TraceParent;

use crate::metrics::Tally;
use crate::plane::Plane;
use crate::snapshot::Snapshot;

/// The header that carries the request id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that says to which trace a call belongs, both ways.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most entries of a chain of proxies that are looked at.
const MOST_PROXIES: usize = 32;

/// What is known of a call as soon as its head has been read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub call_id: CallId,
    /// Its request id, the client's own where that is sane.
    pub request_id: Arc<str>,
    /// The trace that its client began, and the client's span in it.
    pub trace: Option<TraceParent>,
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
    let ip = client_address(|address| snapshot.trusts(address), headers, peer);
    let ip_kept = kept(snapshot, ip);
    let (trace, started) = (trace(headers), plane.clock.monotonic());
    Arrival { call_id, request_id, trace, time, started, ip, ip_kept }
}

/// The trace that a client names. One that is malformed or named twice is none, and the call begins
/// its own (W3C Trace Context, "Processing Model for Working with Trace Context").
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let mut named = headers.get_all(TRACEPARENT).iter();
    let first = named.next()?;
    TraceParent::parse(first.as_bytes()).filter(|_| named.next().is_none())
}

/// An address as it is kept: where so configured, eight bytes of a keyed digest. The digest is of
/// the address as limits count it, so that they can be counted again from what is kept.
pub(crate) fn kept(snapshot: &Snapshot, ip: IpAddr) -> Arc<str> {
    if !snapshot.settings.hash_addresses {
        return Arc::from(ip.to_string());
    }
    let text = counted_address(ip).to_string();
    let digest = snapshot.hasher.digest(text.as_bytes());
    let bytes = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    Arc::from(bytes.collect::<String>())
}

/// The address of a caller as limits count it.
pub(crate) fn counted<'a>(snapshot: &Snapshot, arrival: &'a Arrival) -> Cow<'a, str> {
    if snapshot.settings.hash_addresses {
        Cow::Borrowed(&arrival.ip_kept)
    } else {
        Cow::Owned(counted_address(arrival.ip).to_string())
    }
}

/// The address of the client: the nearest one, from the right, that no trusted proxy has.
///
/// A header from an untrusted peer says nothing; the first entries of a chain are the client's own
/// words and are never reached unless everything after them is trusted. A proxy extends one of the
/// two headers and may hand on the other as the client wrote it, so where both are there and do not
/// agree, neither is believed.
fn client_address(trusts: impl Fn(IpAddr) -> bool, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusts(peer) {
        return peer;
    }
    let walk = |header: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
        let lines: Vec<_> = headers.get_all(header).iter().collect();
        let texts = lines.iter().rev().map(|line| line.to_str().unwrap_or_default());
        let entries = texts.flat_map(|line| line.rsplit(',')).map(|entry| read(entry.trim()));
        (!lines.is_empty()).then(|| nearest(&trusts, entries, peer))
    };
    match (walk(&FORWARDED_FOR, parse_address), walk(&FORWARDED, parse_forwarded)) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    }
}

/// The first address of a chain that is not trusted; the last good one where it breaks off.
fn nearest(
    trusts: impl Fn(IpAddr) -> bool,
    entries: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
) -> IpAddr {
    let mut nearest = peer;
    for entry in entries.take(MOST_PROXIES) {
        let Some(address) = entry else {
            return nearest;
        };
        nearest = address.to_canonical();
        if !trusts(nearest) {
            return nearest;
        }
    }
    nearest
}

/// The address in one element of `Forwarded` (RFC 7239 §4): `for="[2001:db8::1]:4711";proto=https`.
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    parse_address(node.trim().trim_matches('"'))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as it was sent.
    type Line<'a> = (&'a HeaderName, &'a str);

    #[test]
    fn a_trace_is_named_once_or_not_at_all() {
        const FIRST: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        const SECOND: &str = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";
        let table: &[(&[&str], bool)] = &[
            (&[], false),
            (&[FIRST], true),
            (&[FIRST, FIRST], false),
            (&[FIRST, SECOND], false),
            (&["00-aa-bb-01"], false),
            (&["", FIRST], false),
        ];
        for (values, found) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(TRACEPARENT, value.parse().unwrap());
            }
            assert_eq!(trace(&headers), found.then(|| FIRST.parse().unwrap()), "{values:?}");
        }
    }

    #[test]
    fn the_client_is_the_nearest_address_that_no_trusted_proxy_has() {
        let trusts = |address: IpAddr| address.is_loopback() || address.to_string() == "10.0.0.9";
        let xff = FORWARDED_FOR;
        // The peer, the headers, whom it is counted as.
        let table: &[(&str, &[Line<'_>], &str)] = &[
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &[(&xff, "1.2.3.4")], "1.2.3.4"),
            ("::ffff:127.0.0.1", &[(&xff, "1.2.3.4")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "6.6.6.6, 1.2.3.4")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "6.6.6.6, 1.2.3.4, 10.0.0.9")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "6.6.6.6"), (&xff, "1.2.3.4")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "1.2.3.4:5678")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "[2001:db8::1]:443")], "2001:db8::1"),
            ("127.0.0.1", &[(&xff, "1.2.3.4, unknown")], "127.0.0.1"),
            ("127.0.0.1", &[(&xff, "")], "127.0.0.1"),
            ("9.9.9.9", &[(&xff, "1.2.3.4")], "9.9.9.9"),
            ("9.9.9.9", &[(&FORWARDED, "for=1.2.3.4")], "9.9.9.9"),
            ("127.0.0.1", &[(&FORWARDED, "for=1.2.3.4;proto=https")], "1.2.3.4"),
            ("127.0.0.1", &[(&FORWARDED, "proto=http;For=\"1.2.3.4:80\"")], "1.2.3.4"),
            ("127.0.0.1", &[(&FORWARDED, "for=6.6.6.6, for=\"[2001:db8::1]:80\"")], "2001:db8::1"),
            ("127.0.0.1", &[(&FORWARDED, "for=1.2.3.4, for=_hidden")], "127.0.0.1"),
            ("127.0.0.1", &[(&FORWARDED, "by=1.2.3.4")], "127.0.0.1"),
            ("127.0.0.1", &[(&xff, "1.2.3.4"), (&FORWARDED, "for=1.2.3.4")], "1.2.3.4"),
            ("127.0.0.1", &[(&xff, "1.2.3.4"), (&FORWARDED, "for=6.6.6.6")], "127.0.0.1"),
            ("127.0.0.1", &[(&xff, "6.6.6.6"), (&FORWARDED, "for=1.2.3.4")], "127.0.0.1"),
        ];
        for (peer, lines, counted) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *lines {
                headers.append(*name, value.parse().unwrap());
            }
            let found = client_address(trusts, &headers, peer.parse().unwrap());
            assert_eq!(found.to_string(), *counted, "{peer} {lines:?}");
        }
    }
}
