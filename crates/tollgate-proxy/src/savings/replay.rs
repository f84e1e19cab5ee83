//! Giving an answer to those who do not buy it: one that is kept, or one that is on its way.

use std::sync::Arc;

use http::{Response, StatusCode};
use tollgate_admission::ledger::Written;
use tollgate_domain::call::{CacheState, CallRecord};
use tollgate_domain::fault::Code;

use super::flight::{End, Heading, Listener};
use super::free::{FreeCall, FreeEnd, NotFree};
use super::hearing::{Hearing, Unheard, head};
use super::kept::{Content, Ending, Head, Kept};
use super::{Saved, Trip};
use crate::answer_headers::given_headers;
use crate::headroom::LimitHeaders;
use crate::metrics::TargetMetrics;
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// Handles of the metrics of a call, by whom it would be served.
pub(super) fn metrics_of(trip: &Trip) -> Arc<TargetMetrics> {
    let Trip { plane, snapshot, candidate, .. } = trip;
    let name = plane.names.of(candidate.endpoint);
    let chosen = &candidate.chosen;
    chosen.target.metrics(&plane.metrics, || snapshot.label(&chosen.route), &name)
}

/// Gives a kept answer.
pub(super) async fn give(
    trip: &Trip,
    kept: &Kept,
    whose: (CacheState, Saved),
) -> Result<Response<RelayBody>, NotFree> {
    given(trip, kept, whose).await.map_err(|not| not.instead_of(whose.0))
}

async fn given(
    trip: &Trip,
    kept: &Kept,
    (state, saved): (CacheState, Saved),
) -> Result<Response<RelayBody>, NotFree> {
    let mut free = FreeCall::admit(trip, (&kept.provider, &kept.metrics), (state, saved))?;
    trip.plane.savings.metrics().from(state);
    free.recorded().await?;
    free.first_byte();
    let given = Given::of(&free, saved);
    if let Content::Failure(failure) = &kept.content {
        let stop = failure.stop();
        down(free.fail(stop.code)).await;
        return Err(NotFree::Refused(stop));
    }
    down(free.end(&FreeEnd { status: kept.head.status, ending: &kept.ending })).await;
    let body = match &kept.content {
        Content::Stream(..) => RelayBody::pieces(kept.pieces()),
        Content::Whole(bytes) => RelayBody::whole(bytes.clone()),
        Content::Failure(_) => RelayBody::whole(bytes::Bytes::new()),
    };
    Ok(given.response(&kept.head, &kept.ending.model, body))
}

/// Listens to an answer that another call buys.
pub(super) async fn follow(
    trip: &Trip,
    listener: Listener,
    whose: (CacheState, Saved),
) -> Result<Response<RelayBody>, NotFree> {
    followed(trip, listener, whose).await.map_err(|not| not.instead_of(whose.0))
}

async fn followed(
    trip: &Trip,
    listener: Listener,
    (state, saved): (CacheState, Saved),
) -> Result<Response<RelayBody>, NotFree> {
    let flight = Arc::clone(listener.flight());
    let mut free = FreeCall::admit(trip, (&flight.provider, &flight.metrics), (state, saved))?;
    free.recorded().await?;
    let given = Given::of(&free, saved);
    let mut held = Some(free);
    let heading = head(&listener, &mut held).await;
    let Some(mut free) = held else { return Err(lost().into()) };
    let heading = match heading {
        Ok(heading) => heading,
        Err(Unheard::Ended(End::Failed(failure))) => {
            let stop = failure.stop();
            down(free.fail(stop.code)).await;
            return Err(stop.into());
        }
        Err(Unheard::Stopped(stop)) => {
            down(free.fail(stop.code)).await;
            return Err(stop.into());
        }
        Err(Unheard::Ended(End::Undecided | End::Done)) => {
            let stop = lost();
            down(free.fail(stop.code)).await;
            return Err(stop.into());
        }
    };
    trip.plane.savings.metrics().from(state);
    free.first_byte();
    let Heading { shared, whole, .. } = &*heading;
    let body = match whole {
        Some(bytes) => {
            let told = flight.audience.told();
            let ending = told.map(|told| Ending::of(&told.record, told.outcome));
            let ending = ending.unwrap_or_else(Ending::promised);
            down(free.end(&FreeEnd { status: shared.status, ending: &ending })).await;
            RelayBody::whole(bytes.clone())
        }
        None => RelayBody::heard(Hearing::new(listener, Some(free), shared.status)),
    };
    Ok(given.response(shared, &Arc::default(), body))
}

/// Listens to an answer on behalf of the client that pays for it.
pub(super) async fn pay(listener: Listener) -> Result<Response<RelayBody>, Stop> {
    let Ok(heading) = head(&listener, &mut None).await else {
        return Err(listener.take_stop().unwrap_or_else(lost));
    };
    let body = match &heading.whole {
        Some(bytes) => RelayBody::whole(bytes.clone()),
        None => RelayBody::heard(Hearing::new(listener, None, heading.shared.status)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status(heading.shared.status);
    response.headers_mut().clone_from(&heading.own);
    Ok(response)
}

/// The answer on its way was let go: the program is ending.
fn lost() -> Stop {
    Stop::new(Code::UpstreamError, "the call that was to bring this answer was ended")
}

/// Waits until a row is down. One that cannot be written is tried again elsewhere; the intent is
/// down.
async fn down(written: Written) {
    drop(written.durable().await);
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// What the head of a given answer says about the call that got it.
struct Given {
    record: Option<CallRecord>,
    limits: LimitHeaders,
    repeated: bool,
}

impl Given {
    /// What is known of the call before its answer is.
    fn of(free: &FreeCall, saved: Saved) -> Self {
        let record = free.record().cloned();
        Self { record, limits: free.limits(), repeated: saved == Saved::Idempotency }
    }

    fn response(self, head: &Head, model: &Arc<str>, body: RelayBody) -> Response<RelayBody> {
        let mut response = Response::new(body);
        *response.status_mut() = status(head.status);
        let headers = response.headers_mut();
        headers.extend(head.headers.iter().cloned());
        self.limits.put_on(headers);
        if let Some(record) = &self.record {
            given_headers(headers, record, (model, self.repeated));
        }
        response
    }
}
