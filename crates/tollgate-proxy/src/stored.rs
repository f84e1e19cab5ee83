//! Answers that a provider keeps (responses form): whose they are, and those that are made in the
//! background.
//!
//! An id is known to whoever made it here. A background answer comes by polling: the call stays
//! open, with what it holds, and is settled by a poll of our own when the provider has finished, so
//! it is charged once however often its client fetches it, and also if it never does.
//!
//! A background answer that was not made here is charged when it is first fetched, and never again;
//! that is noted with the usage that happened elsewhere, which survives a restart. Any other was
//! charged with the call that made it.
//!
//! What is remembered here is lost at a restart. Then only those who act for all users can fetch
//! older answers; nobody sees what is not theirs.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tollgate_admission::books::UsageEvent;
use tollgate_admission::identity::Principal;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::clock::Clock;
use tollgate_domain::fault::Code;
use tollgate_domain::price::ModelPrice;
use tollgate_wire::dialect::read_answer;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::{AnswerFacts, ResponseStatus};
use tollgate_wire::unknown::look;

pub use answers::Answers;
use answers::Arrived;

use crate::desk::Desk;
use crate::identify::push_query;
use crate::open_call::{End, OpenCall, Received, class_of};
use crate::outgoing::{address, authorize, finish};
use crate::provider::{Api, Backend, Provider, Remote, Serving};
use crate::read::Asked;
use crate::route::Chosen;
use crate::snapshot::{Route, Snapshot, Target};
use crate::stop::Stop;
use crate::through::{Passed, Through};
use crate::upstream::Broken;

/// The pause before the first poll; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between polls.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long an answer in the background may take.
const PATIENCE: Duration = Duration::from_hours(6);

/// Finds out whether a caller may ask for a kept answer, and of whom.
pub fn kept(
    snapshot: &Snapshot,
    answers: &Answers,
    principal: &Principal,
    head: &Parts,
    id: &str,
) -> Result<Passed, Stop> {
    let unknown = || Stop::new(Code::NotFound, "no answer of this id is kept for this caller");
    let acts_for_all = principal.key.role.acts_for_others();
    let owner = answers.owner(id);
    let provider = match &owner {
        Some((user, maker)) if acts_for_all || *user == principal.user => {
            snapshot.providers.iter().find(|provider| provider.name == *maker)
        }
        None if acts_for_all => snapshot.providers.iter().find(|provider| keeps_answers(provider)),
        _ => None,
    };
    let provider = provider
        .filter(|provider| principal.may_use_provider(&provider.name))
        .ok_or_else(unknown)?;
    let Backend::Remote(remote) = &provider.backend else { return Err(unknown()) };
    let mut path = kept_path(provider, remote, head.uri.path().trim_start_matches("/v1"));
    push_query(&mut path, head.uri.query());
    let through = Box::new(Through { method: head.method.clone(), path: path.into() });
    Ok(Passed { endpoint: Endpoint::Read, asked: nothing(), chosen: free(provider), through })
}

/// Where a provider keeps its answers: `below` begins with `/responses`.
fn kept_path(provider: &Provider, remote: &Remote, below: &str) -> String {
    let version = if matches!(provider.api, Api::Azure(_)) { "/openai/v1" } else { "" };
    format!("{}{version}{below}", remote.base_path)
}

/// Who is asked for what calls no model.
pub(crate) fn free(provider: &Arc<Provider>) -> Chosen {
    let price = Arc::new(ModelPrice::nothing());
    let target =
        Arc::new(Target::new(Arc::clone(provider), Arc::from(""), 1, Some(Arc::clone(&price))));
    let route = Route {
        name: Arc::from("other"),
        targets: vec![Arc::clone(&target)],
        max_output: None,
        cache: None,
    };
    Chosen {
        route: Arc::new(route),
        target,
        price,
        serving: Serving::Native(Endpoint::Read),
        translated: None,
    }
}

fn nothing() -> Asked {
    Asked { body: Bytes::new(), peek: look(None, b""), file: None, array: false }
}

fn keeps_answers(provider: &Provider) -> bool {
    let speaks = matches!(provider.api, Api::Openai | Api::Azure(_));
    speaks && provider.responses && matches!(provider.backend, Backend::Remote(_))
}

/// Whether an answer is only a promise of one.
pub(crate) fn is_promise(operation: Endpoint, facts: &AnswerFacts) -> bool {
    operation.is_responses() && facts.status.is_some_and(ResponseStatus::is_pending)
}

/// Waits for an answer in the background until it is there, by polling and by listening whether its
/// client has fetched it, then settles its call. When the program ends first, or the answer is gone
/// before it was seen here (its client may have read it as a stream and deleted it), the call is in
/// doubt at what it holds.
pub(crate) async fn await_answer(
    call: Box<OpenCall>,
    id: Box<str>,
    mut finish: watch::Receiver<bool>,
) {
    let Some(question) = Question::of(&call, &id) else { return };
    let record = call.admitted.record();
    let told = call.plane.answers.expect(&id, &record.user, &record.provider);
    // From here on this call is charged for the answer, settled or in doubt, also where somebody
    // fetches it after a restart.
    let charge = charge_of(&call, &id, record.clone());
    let (desk, now) = (call.plane.desk.clone(), call.plane.clock.now());
    let noted = desk.ask(move |books| {
        books.take_events(std::slice::from_ref(&charge), now)?;
        Ok(books.events_recorded(&[charge])?)
    });
    drop(noted.await);
    let (mut told, mut deaf) = (told, false);
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    while Instant::now() < deadline {
        let arrived = tokio::select! {
            _ = finish.wait_for(|finish| *finish) => return,
            heard = &mut told, if !deaf => {
                // The same id was promised once more: this call hears no more and goes on asking.
                deaf = true;
                heard.ok()
            }
            // A poll that fails tells nothing about the answer: the next one may.
            asked = async {
                tokio::time::sleep(pause).await;
                question.ask().await
            } => match asked {
                Ok(Heard::Come(arrived)) => Some(*arrived),
                Ok(Heard::Gone) => break,
                Ok(Heard::Pending) | Err(_) => None,
            },
        };
        pause = (pause * 2).min(LONGEST_PAUSE);
        if let Some((facts, body)) = arrived {
            settle(call, &facts, &body);
            return;
        }
    }
    call.give_up();
}

fn settle(call: Box<OpenCall>, facts: &AnswerFacts, body: &[u8]) {
    let failed = facts.error.is_some() || facts.status == Some(ResponseStatus::Failed);
    let class = || facts.error.as_ref().map_or(Code::UpstreamError.as_str(), class_of);
    let end = End {
        status: 200,
        outcome: if failed { Outcome::Failed } else { Outcome::Success },
        error_type: failed.then(|| Arc::from(class())),
        received: if failed && facts.usage.is_none() {
            Received::Nothing
        } else {
            Received::Whole(facts, body)
        },
    };
    // A row that could not be written comes back as a leftover of its own.
    drop(call.end(&end));
}

/// A kept answer that was fetched and that nobody here remembers to have charged.
pub(crate) struct Due {
    facts: AnswerFacts,
    event: UsageEvent,
    desk: Desk,
    now: Timestamp,
}

/// Whether an answer that has been fetched is still to be charged.
pub(crate) fn due(call: &OpenCall, ok: bool, body: &Bytes) -> Option<Due> {
    let through = call.through.as_deref().filter(|it| ok && it.method == Method::GET)?;
    let id = kept_id(&through.path)?;
    let target = &call.chosen.target;
    let facts = read_answer(Endpoint::Responses, target.provider.vendor.usage, body);
    // Any other answer was charged where it was made, here before a restart, or elsewhere.
    let made_later = facts.background && !is_promise(Endpoint::Responses, &facts);
    if facts.usage.is_none() || facts.cut || !made_later {
        return None;
    }
    if call.plane.answers.fetched(id, || (facts.clone(), body.clone())) {
        return None;
    }
    let mut row = call.admitted.record().clone();
    call.charge_kept(&facts, &mut row);
    let event = charge_of(call, id, row);
    Some(Due { facts, event, desk: call.plane.desk.clone(), now: call.plane.clock.now() })
}

/// The charge for a kept answer, as it is noted beside usage that happened elsewhere: one for an
/// answer of a provider, whoever fetches it.
fn charge_of(call: &OpenCall, id: &str, row: CallRecord) -> UsageEvent {
    UsageEvent {
        source: Arc::from(format!("answers of {}", row.provider)),
        id: Arc::from(id),
        // Notes are told apart by key as well, and an answer has none.
        record: Arc::new(CallRecord { key: None, ..row }),
        plan: Arc::clone(&call.plan),
        units: 0,
    }
}

impl Due {
    /// Takes the charge on, once for all time: what it charges, or nothing where it was charged
    /// before. Where that cannot be noted, the answer must not be given out.
    pub(crate) async fn claim(self) -> Result<Option<Claimed>, Stop> {
        let Self { facts, event, desk, now } = self;
        let taken = event.clone();
        let fresh = desk.ask(move |books| Ok(books.take_events(&[taken], now)?)).await?;
        Ok((fresh == [true]).then_some(Claimed { facts, event, desk }))
    }
}

/// A charge that was taken on and is to be written.
pub(crate) struct Claimed {
    /// What the answer says of itself.
    pub(crate) facts: AnswerFacts,
    event: UsageEvent,
    desk: Desk,
}

impl Claimed {
    /// The row is down. Where this cannot be noted, a later look finds the row and notes it.
    pub(crate) async fn written(self) {
        let Self { event, desk, .. } = self;
        drop(desk.ask(move |books| Ok(books.events_recorded(&[event])?)).await);
    }
}

/// The id in a path that ends with `/responses/{id}`.
fn kept_id(path: &str) -> Option<&str> {
    let path = path.split('?').next()?;
    let (_, id) = path.rsplit_once("/responses/")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// What a poll tells.
enum Heard {
    /// Nothing yet: the answer is being made.
    Pending,
    /// The answer.
    Come(Box<Arrived>),
    /// There is no such answer any more.
    Gone,
}

/// What is asked about an answer in the background.
struct Question {
    provider: Arc<Provider>,
    path: String,
    max_answer: usize,
    clock: Clock,
}

impl Question {
    fn of(call: &OpenCall, id: &str) -> Option<Self> {
        let provider = Arc::clone(&call.chosen.target.provider);
        let Backend::Remote(remote) = &provider.backend else { return None };
        let path = kept_path(&provider, remote, &format!("/responses/{id}"));
        let max_answer = call.snapshot.settings.max_answer;
        Some(Self { provider, path, max_answer, clock: call.plane.clock.clone() })
    }

    /// Asks once.
    async fn ask(&self) -> Result<Heard, Broken> {
        let Backend::Remote(remote) = &self.provider.backend else { return Ok(Heard::Pending) };
        let request = self.request(remote)?;
        let asked = async {
            let (head, mut body) = Arc::clone(&remote.pool).send(request).await?.into_parts();
            Ok::<_, Broken>((head, body.collect(self.max_answer).await?.unwrap_or_default()))
        };
        let Ok(answered) = tokio::time::timeout(remote.first_byte, asked).await else {
            return Ok(Heard::Pending);
        };
        let (head, body) = answered?;
        if head.status == StatusCode::NOT_FOUND {
            return Ok(Heard::Gone);
        }
        let facts = read_answer(Endpoint::Responses, self.provider.vendor.usage, &body);
        let there = head.status.is_success() && !facts.cut;
        let there = there && !is_promise(Endpoint::Responses, &facts);
        Ok(if there { Heard::Come(Box::new((facts, body))) } else { Heard::Pending })
    }

    fn request(&self, remote: &Remote) -> Result<Request<Full<Bytes>>, Broken> {
        let uri = address(remote, &self.path)?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::GET;
        finish(&mut request, remote, uri);
        authorize(&self.provider.api, &mut request, (&Bytes::new(), self.clock.now()))?;
        Ok(request)
    }
}
