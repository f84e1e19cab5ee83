//! The journey of a call, one line per step, in order:
//!
//! ```text
//! accept → identify → read → route → admit → attempt → relay → settle → record
//! ```
//!
//! Each step is a module of its name and returns what the next one needs, so a step cannot be
//! skipped. Settling and recording happen where the answer ends ([`crate::open_call`]), before its
//! last bytes leave.
//!
//! The steps from `admit` on buy an answer. Around them stands what spares buying the same one twice
//! ([`crate::savings`]).

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use tollgate_domain::fault::Code;
use tollgate_wire::endpoint::Endpoint;

use crate::accept::{Arrival, REQUEST_ID, accept};
use crate::admit::{Caller, Candidate, admit};
use crate::answer_headers::CACHE;
use crate::api::Visit;
use crate::attempts::attempt;
use crate::captcha::vouch;
use crate::identify::identify;
use crate::media::Media;
use crate::open_call::OpenCall;
use crate::plane::Plane;
use crate::provider::Serving;
use crate::read::{Called, collect, read};
use crate::record::{Known, refused};
use crate::relay::relay;
use crate::route::{Seek, Wish, refuse_shut, route};
use crate::savings::{self, Marks, Trip};
use crate::server::HeadWatch;
use crate::snapshot::Snapshot;
use crate::standing::standing;
use crate::stop::Stop;
use crate::stored;
use crate::streaming::RelayBody;
use crate::surface::{Place, counted, dialect_of, find, side_door};
use crate::through::{Passed, pass};

/// The longest body, in bytes, that is received of a call for which there is no room.
const SHORT_BODY: u64 = 64 * 1024;

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its other end.
    pub peer: IpAddr,
    /// Watches the heads of its requests.
    pub watch: Arc<HeadWatch>,
}

/// Serves one request of a client.
pub async fn serve(
    plane: Arc<Plane>,
    request: Request<Incoming>,
    from: Connection,
) -> Response<RelayBody> {
    let snapshot = plane.snapshot.load_full();
    let arrival = accept(&plane, &snapshot, request.headers(), from.peer);
    // What follows a chunked request on the same connection is never taken for a request: another
    // reader on the way may have seen its end elsewhere.
    let mut last = request.headers().contains_key(TRANSFER_ENCODING);
    let place = place(&request, &from);
    let (dialect, endpoint) = match &place {
        Ok(Place::Call(endpoint, _)) => (endpoint.dialect(), plane.names.of(*endpoint)),
        _ => (dialect_of(request.uri().path()), Arc::default()),
    };
    let mut known = Known { dialect, endpoint, ..Known::default() };
    let served = match place {
        Ok(Place::Call(..) | Place::Through | Place::Kept(..)) if !plane.has_room(&snapshot) => {
            let received = discard(&snapshot, request, &from).await;
            last |= !received;
            Err(no_room(&plane))
        }
        Ok(Place::Call(endpoint, model)) => {
            known.is_call = true;
            let model = model.map(|model| Box::from(&*model));
            let (plane, arrival, from) = (&plane, &arrival, &from);
            let call = Travel { plane, snapshot, arrival, endpoint, model, from };
            call.run(request, &mut known).await
        }
        Ok(place @ (Place::Through | Place::Kept(..))) => {
            let kept = match place {
                Place::Kept(id, _) => Some(Box::from(id)),
                _ => None,
            };
            let (endpoint, model) = (Endpoint::Other, None);
            let (plane, arrival, from) = (&plane, &arrival, &from);
            let call = Travel { plane, snapshot, arrival, endpoint, model, from };
            call.run_through(request, kept, &mut known).await
        }
        Ok(Place::Api(api)) => {
            let visit = Visit { plane: &plane, snapshot, arrival: &arrival, from: &from };
            visit.serve(api, request, &mut known).await
        }
        Ok(Place::Side(door)) => {
            from.watch.expect_head();
            let asked = (request.headers(), request.uri());
            side_door(&plane, &snapshot, &arrival, door, asked).await
        }
        Err(stop) => Err(stop),
    };
    let mut response = served.unwrap_or_else(|stop| refuse(&plane, &arrival, known, &stop));
    if last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A call on its journey.
struct Travel<'a> {
    plane: &'a Arc<Plane>,
    snapshot: Arc<Snapshot>,
    arrival: &'a Arrival,
    endpoint: Endpoint,
    /// The model, where the path names it.
    model: Option<Box<str>>,
    from: &'a Connection,
}

impl Travel<'_> {
    /// The steps of a call.
    async fn run(
        self,
        request: Request<Incoming>,
        known: &mut Known,
    ) -> Result<Response<RelayBody>, Stop> {
        let Self { plane, snapshot, arrival, endpoint, model, from } = self;
        let (head, body) = request.into_parts();
        let (principal, labels) = identify(&snapshot, arrival, &head.headers, &head.uri)?;
        let principal = vouch(&snapshot, arrival, principal, &head.headers).await?;
        known.caller(&principal);
        known.labels = labels.clone();
        let called = Called { endpoint, model };
        let asked = read(&snapshot.settings, &called, &head, body).await?;
        from.watch.expect_head();
        let named = || snapshot.name_of(&asked.peek.model);
        let standing =
            standing(plane, &snapshot, &principal).inspect_err(|_| known.model = named())?;
        let seek = Seek {
            plane,
            snapshot: &snapshot,
            principal: &principal,
            standing: &standing,
            wish: Wish::of(endpoint, &asked),
        };
        let (chosen, way) = route(&seek).inspect_err(|_| known.model = named())?;
        known.model = Arc::clone(&chosen.route.name);
        if chosen.serving == Serving::Counted {
            return Ok(counted(endpoint, &asked, arrival));
        }
        let caller = Caller { arrival: arrival.clone(), principal, labels };
        let (through, media) = (None, Media::of(endpoint, &asked));
        let marks = Marks::default();
        let candidate =
            Candidate { caller, endpoint, asked, standing, chosen, way, through, media, marks };
        savings::answer(Trip { plane: Arc::clone(plane), snapshot, candidate, head }).await
    }
}

impl Travel<'_> {
    /// The steps of a call to a provider's own API, where the path says who serves it, and of a
    /// question for an answer that a provider keeps.
    async fn run_through(
        self,
        request: Request<Incoming>,
        kept: Option<Box<str>>,
        known: &mut Known,
    ) -> Result<Response<RelayBody>, Stop> {
        let Self { plane, snapshot, arrival, from, .. } = self;
        let (head, body) = request.into_parts();
        let (principal, labels) = identify(&snapshot, arrival, &head.headers, &head.uri)?;
        let principal = vouch(&snapshot, arrival, principal, &head.headers).await?;
        known.caller(&principal);
        known.labels = labels.clone();
        let body = collect(&snapshot.settings, &head.headers, body).await?;
        from.watch.expect_head();
        let passed = match kept {
            Some(id) => stored::kept(&snapshot, &plane.answers, &principal, &head, &id)?,
            None => pass(&snapshot, &principal, &head, body)?,
        };
        let Passed { endpoint, asked, chosen, through } = passed;
        (known.endpoint, known.is_call) = (plane.names.of(endpoint), endpoint.is_billed());
        known.model = Arc::clone(&chosen.route.name);
        let standing = standing(plane, &snapshot, &principal)?;
        refuse_shut(plane, &chosen)?;
        let caller = Caller { arrival: arrival.clone(), principal, labels };
        let (way, through) = (None, Some(through));
        let media = Media::of(endpoint, &asked);
        let marks = Marks::default();
        let candidate =
            Candidate { caller, endpoint, asked, standing, chosen, way, through, media, marks };
        savings::answer(Trip { plane: Arc::clone(plane), snapshot, candidate, head }).await
    }
}

/// Buys an answer: the call is admitted, and sent.
pub(crate) async fn buy(trip: Trip) -> Result<Response<RelayBody>, Stop> {
    let Trip { plane, snapshot, candidate, head } = trip;
    let call = admit(&plane, snapshot, candidate)?;
    send(call, head).await
}

/// Sends an admitted call on its way, and its answer to whoever waits for it.
pub(crate) async fn send(call: Box<OpenCall>, head: Parts) -> Result<Response<RelayBody>, Stop> {
    let (call, got) = attempt(call, &head).await;
    relay(call, got).await
}

/// Why a call is not taken up now.
fn no_room(plane: &Plane) -> Stop {
    plane.metrics.decided("shed", "");
    Stop::new(Code::Overloaded, "there is no room for another call; try again shortly")
}

/// Receives the body of a call that is refused unread, where it is short, so that the connection can
/// serve another call: to open one costs more than to refuse. Says whether it did.
async fn discard(snapshot: &Snapshot, request: Request<Incoming>, from: &Connection) -> bool {
    let (head, body) = request.into_parts();
    let short = body.size_hint().upper().is_some_and(|length| length <= SHORT_BODY);
    if !short || collect(&snapshot.settings, &head.headers, body).await.is_err() {
        return false;
    }
    from.watch.expect_head();
    true
}

/// What stands at the path of a request whose head means one thing only.
fn place<'a>(request: &'a Request<Incoming>, from: &Connection) -> Result<Place<'a>, Stop> {
    if from.watch.is_ambiguous() {
        return Err(Stop::new(
            Code::InvalidRequest,
            "the request states its length twice (content-length and transfer-encoding); send one",
        ));
    }
    find(request.method(), request.uri().path())
}

/// Tells a client why its call ends here, in its own dialect. The connection ends with it where the
/// rest of the request was not read.
fn refuse(plane: &Plane, arrival: &Arrival, known: Known, stop: &Stop) -> Response<RelayBody> {
    let mut response = stop.answer(known.dialect, &arrival.request_id).map(RelayBody::whole);
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if known.is_call {
        let cache = HeaderValue::from_static(stop.cache.as_str());
        response.headers_mut().insert(CACHE, cache);
    }
    let unread = matches!(
        stop.code,
        Code::BodyTooLarge | Code::RequestTimeout | Code::Unauthenticated | Code::InvalidRequest
    );
    if unread && known.model.is_empty() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    match &stop.settled {
        Some(ids) => ids.put_on(response.headers_mut(), None),
        None => refused(plane, arrival, known, stop),
    }
    response
}
