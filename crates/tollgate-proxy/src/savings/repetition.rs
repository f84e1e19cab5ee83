//! Repeated idempotency keys: the same key with the same request gets the answer that its first use
//! got, and is charged once, also while the first is still running and when its client has gone.
//! With another request it is refused (draft-ietf-httpapi-idempotency-key-header).
//!
//! A key belongs to whoever sent it: the key of the API and the user it acts for. What is repeated is
//! any answer, errors of the request among them, and any failure that has cost something. A refusal,
//! and a failure that cost nothing and may pass (429, 5xx), are not: the key may be used again.
//!
//! Answers are kept in memory. Where one is lost, by a restart or for want of room, the ledger still
//! knows the key: its repetition is refused and never charged a second time.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Response};
use jiff::{SignedDuration, Timestamp};
use tollgate_domain::call::{CacheState, Outcome, Repetition};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;

use super::audience::Told;
use super::book::{Found, Lead};
use super::flight::{End, Flight, Purpose};
use super::free::NotFree;
use super::key::{Digest, of_repetition};
use super::settings::RepetitionSettings;
use super::{Audience, Saved, Trip, cache, replay};
use crate::stop::Stop;
use crate::streaming::RelayBody;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const LONGEST: usize = 255;
/// How long it may take a row to reach the database.
const FOLDED_WITHIN: Duration = Duration::from_secs(10);

/// The idempotency key of a request, where it has one.
pub(super) fn key(trip: &Trip) -> Result<Option<Box<str>>, Stop> {
    let Some(value) = trip.head.headers.get(&KEY) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim);
    match text.filter(|text| !text.is_empty() && text.len() <= LONGEST) {
        Some(text) => Ok(Some(text.into())),
        None => Err(Stop::field(
            format!("header `idempotency-key` must be at most {LONGEST} visible characters"),
            Some("idempotency-key".into()),
        )),
    }
}

/// Answers a call that came with an idempotency key.
pub(super) async fn answer(
    mut trip: Trip,
    (settings, key, prompt): (RepetitionSettings, Box<str>, Digest),
    plan: Option<(cache::Plan, Digest)>,
) -> Result<Response<RelayBody>, Stop> {
    let plane = Arc::clone(&trip.plane);
    let digest = of_repetition(&trip.candidate, &key);
    let hasher = &trip.snapshot.hasher;
    let mark =
        Repetition { key: half(hasher.digest(&digest)), request: half(hasher.digest(&prompt)) };
    trip.candidate.marks.repetition = Some(mark);
    let purpose = Purpose::Repetition { ttl: settings.ttl, request: mark.request };
    loop {
        let audience = Arc::<Audience>::default();
        let flight = || {
            let target = &trip.candidate.chosen.target;
            let served = (Arc::clone(&target.provider.name), replay::metrics_of(&trip));
            Flight::new((&plane, digest, purpose), Arc::clone(&audience), served)
        };
        match plane.savings.repetitions().look(&digest, trip.now(), flight) {
            Found::Kept(kept) => {
                same(kept.request == mark.request)?;
                let whose = (CacheState::Hit, Saved::Idempotency);
                return given(replay::give(&trip, &kept, whose).await);
            }
            Found::Flight(flight) => {
                same(flight.repeats(mark.request))?;
                let Some(listener) = flight.join() else {
                    plane.savings.repetitions().leave(&flight);
                    continue;
                };
                match listener.started().await {
                    Ok(()) => {}
                    Err(End::Failed(failure)) => return Err(failure.stop()),
                    Err(End::Undecided | End::Done) => continue,
                }
                let whose = (CacheState::Coalesced, Saved::Idempotency);
                return given(replay::follow(&trip, listener, whose).await);
            }
            Found::Nothing(lead) => {
                trip.candidate.marks.audience = Some(audience);
                return first(trip, lead, (settings, mark), plan).await;
            }
        }
    }
}

/// The first use of a key.
async fn first(
    trip: Trip,
    lead: Lead,
    (settings, mark): (RepetitionSettings, Repetition),
    plan: Option<(cache::Plan, Digest)>,
) -> Result<Response<RelayBody>, Stop> {
    let bringer = async move {
        ask_ledger(&trip, &settings, mark).await?;
        cache::answer(trip, plan).await
    };
    replay::pay(lead.start(Box::pin(bringer))).await
}

/// Whether what came of a call is what a repetition of it gets as well: any answer, and any error
/// that may have cost something. A refusal, and a failure that cost nothing and may pass, are not.
pub(super) fn is_final(status: Option<u16>, told: Option<&Told>) -> bool {
    let Some(told) = told else {
        // The promise of an answer that comes later.
        return status.is_some_and(|status| (200..300).contains(&status));
    };
    let spent = told.record.cost > NanoUsd::ZERO;
    // Credentials towards the provider and its moods are no matter of the request.
    let passing = |status| matches!(status, 401..=403 | 408 | 409 | 425 | 429 | 500..);
    let passes = status.is_none_or(passing);
    let broken = told.outcome != Outcome::Success;
    spent || !(broken && passes)
}

/// Refuses a key that the ledger knows and whose answer is lost. It is asked only where memory does
/// not reach as far back as keys are known.
async fn ask_ledger(
    trip: &Trip,
    settings: &RepetitionSettings,
    mark: Repetition,
) -> Result<(), Stop> {
    let Trip { plane, candidate, .. } = trip;
    let since_lost = trip.now().saturating_sub(plane.savings.repetitions().forgot());
    if since_lost >= settings.ttl {
        return Ok(());
    }
    let known_for = SignedDuration::try_from(settings.ttl).unwrap_or(SignedDuration::MAX);
    let since = candidate.caller.arrival.time.checked_sub(known_for).unwrap_or(Timestamp::MIN);
    let newest = since_lost < FOLDED_WITHIN;
    let asked = plane.desk.ask(move |books| Ok(books.repeated(mark.key, since, newest)?));
    let Some(known) = asked.await? else { return Ok(()) };
    same(known.request == mark.request)?;
    let message = format!(
        "this idempotency key was used before, by the call {}, whose answer is no longer kept; it \
         is not made again under the same key",
        known.call_id
    );
    Err(Stop::new(Code::Conflict, message))
}

fn same(same: bool) -> Result<(), Stop> {
    if same {
        return Ok(());
    }
    let message = "this idempotency key was used before, with another request; use a new key for \
                   a new request";
    let stop = Stop::new(Code::IdempotencyConflict, message);
    Err(Stop { param: Some("idempotency-key".into()), ..stop })
}

fn given(given: Result<Response<RelayBody>, NotFree>) -> Result<Response<RelayBody>, Stop> {
    given.map_err(|not_free| match not_free {
        NotFree::Refused(stop) | NotFree::Otherwise(stop) => stop,
    })
}

/// Sixteen bytes of a digest: enough to tell requests apart.
fn half(digest: [u8; 32]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}
