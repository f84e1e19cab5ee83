//! Never the same answer twice for money: what stands around the buying of an answer
//! (`admit → forward → relay`).
//!
//! ```text
//! storm → repetition → cache → shared flight → buy
//! ```
//!
//! * A **duplicate storm** (`storm`) is noticed by its prompt and its subject, and stopped as
//!   configured.
//! * A repeated **idempotency key** (`repetition`) gets the answer that its first use got.
//! * The **cache** (`cache`) gives an answer again that was bought before; **coalescing** lets
//!   identical calls in flight share one that is being bought (`flight`).
//!
//! What comes out of each is an answer like any other, so they stand within each other like the
//! layers of an onion: the first use of an idempotency key may itself be answered by the cache. Who
//! gets an answer without buying it has a call of its own (`free`): admitted, recorded, costing
//! nothing, its savings in the ledger.
//!
//! What is not configured costs nothing: no key is made, nothing is looked up.

mod audience;
mod book;
mod budget;
mod cache;
mod flight;
mod free;
mod hearing;
mod kept;
mod key;
mod repetition;
mod replay;
mod settings;
mod shelf;
mod storm;
mod tally;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response};
use tokio::sync::broadcast;
use tollgate_domain::clock::Clock;

pub use audience::{Audience, Marks};
use book::Book;
use budget::Room;
pub use flight::Flight;
pub use free::FreeCall;
pub(crate) use hearing::Hearing;
pub use settings::{
    CacheSettings, RepetitionSettings, SavingsSettings, StormAction, StormSettings,
};
pub use storm::Storm;
use storm::{Storms, Verdict};
pub use tally::{Saved, SavingsMetrics};
pub(crate) use whole::is_whole;

use crate::admit::Candidate;
use crate::answer_headers::CACHE;
use crate::journey::buy;
use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// What is kept and watched for.
#[derive(Debug)]
pub struct Savings {
    cache: Book,
    repetitions: Book,
    room: Arc<Room>,
    storms: Storms,
    metrics: SavingsMetrics,
}

impl Savings {
    /// Nothing kept yet, and room for nothing: see [`Savings::configure`].
    pub fn new(metrics: SavingsMetrics) -> Self {
        Self {
            cache: Book::new(),
            repetitions: Book::new(),
            room: Arc::default(),
            storms: Storms::new(),
            metrics,
        }
    }

    /// Takes as much room as is configured. What was kept stays where that has not changed.
    pub fn configure(&self, settings: &SavingsSettings, clock: &Clock) {
        self.cache.resize(settings.cache_bytes(), clock);
        self.repetitions.resize(settings.repetition_bytes(), clock);
        let largest = self.cache.largest().max(self.repetitions.largest());
        self.room.set(settings.flight_bytes().max(settings.repetition_bytes() / 4), largest);
    }

    /// Bytes and number of answers in the prompt cache.
    pub fn cached(&self) -> (usize, usize) {
        self.cache.held()
    }

    /// Bytes and number of answers under an idempotency key.
    pub fn repeatable(&self) -> (usize, usize) {
        self.repetitions.held()
    }

    /// Bytes of answers on their way that may be shared or kept.
    pub fn in_flight(&self) -> usize {
        self.room.taken()
    }

    /// The duplicate storms that come from now on.
    pub fn storms(&self) -> broadcast::Receiver<Storm> {
        self.storms.listen()
    }

    /// The last duplicate storms, the newest first, and whether the subject of each is blocked now.
    pub fn recent_storms(&self, clock: &Clock) -> Vec<(Storm, bool)> {
        let now = clock.monotonic();
        let blocked = |storm: Storm| {
            let blocked = self.storms.is_blocked(storm.id, now);
            (storm, blocked)
        };
        self.storms.recent().into_iter().map(blocked).collect()
    }

    /// Lifts the block that a storm has brought; `false` where there is none.
    pub fn lift_block(&self, storm: u64) -> bool {
        self.storms.lift(storm)
    }

    fn cache(&self) -> &Book {
        &self.cache
    }

    fn repetitions(&self) -> &Book {
        &self.repetitions
    }

    fn metrics(&self) -> &SavingsMetrics {
        &self.metrics
    }
}

/// A call that is about to be answered, and all that this takes.
#[derive(Debug)]
pub(crate) struct Trip {
    /// What all calls share.
    pub(crate) plane: Arc<Plane>,
    /// The configuration under which it is served.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the steps before made.
    pub(crate) candidate: Candidate,
    /// The head of the request.
    pub(crate) head: Parts,
}

impl Trip {
    fn now(&self) -> Duration {
        self.plane.clock.monotonic()
    }
}

/// What a client says about the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Directive {
    /// Nothing.
    #[default]
    Use,
    /// `no-cache`: the answer is to be made anew, and may be kept.
    Renew,
    /// `no-store`: the answer is neither looked for nor kept.
    Bypass,
}

impl Directive {
    fn of(headers: &HeaderMap) -> Result<Self, Stop> {
        let Some(value) = headers.get(&CACHE) else { return Ok(Self::Use) };
        match value.as_bytes() {
            b"no-cache" => Ok(Self::Renew),
            b"no-store" => Ok(Self::Bypass),
            _ => Err(Stop::field(
                "header `x-tollgate-cache` must be `no-store` or `no-cache`",
                Some("x-tollgate-cache".into()),
            )),
        }
    }
}

/// Answers a call, without buying the answer where it need not be bought.
pub(crate) async fn answer(trip: Trip) -> Result<Response<RelayBody>, Stop> {
    let settings = &trip.snapshot.savings;
    let directive = Directive::of(&trip.head.headers)?;
    let calls_model = !trip.candidate.endpoint.is_uncounted();
    let repetition = match settings.repetitions.filter(|_| calls_model) {
        Some(settings) => repetition::key(&trip)?.map(|key| (settings, key)),
        None => None,
    };
    let storms = settings.storms.filter(|_| calls_model);
    let mut plan = cache::Plan::of(&trip, directive);
    if repetition.is_none() && storms.is_none() && plan.is_none() {
        trip.plane.savings.metrics.bypassed();
        return buy(trip).await;
    }
    let prompt = key::prompt(&trip.candidate, &trip.head);
    if let Some(storms) = storms {
        let verdict = weather(&trip, &storms, &prompt.digest)?;
        plan = cache::Plan::in_storm(plan, (&trip, &storms), &verdict);
        if let Verdict::Wait(wait) = verdict {
            tokio::time::sleep(wait).await;
        }
    }
    let plan = plan.filter(|_| prompt.canonical).map(|plan| (plan, prompt.digest));
    match repetition {
        Some((settings, key)) => {
            Box::pin(repetition::answer(trip, (settings, key, prompt.digest), plan)).await
        }
        None => Box::pin(cache::answer(trip, plan)).await,
    }
}

/// Looks whether the call is part of a duplicate storm.
fn weather(trip: &Trip, storms: &StormSettings, prompt: &key::Digest) -> Result<Verdict, Stop> {
    let savings = &trip.plane.savings;
    let noted = savings.storms.note(storms, (&trip.candidate, prompt), trip.now());
    if let Some(storm) = noted.began {
        savings.metrics.stormed(storm.action);
    }
    noted.verdict
}
