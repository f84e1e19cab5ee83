//! `POST /api/usage`: usage that happened elsewhere, as native JSON or as `CloudEvents` 1.0 in the
//! structured mode (one, or a batch). It is priced, becomes rows of the ledger and counts against
//! limits; nothing is refused for a limit, because it has happened.
//!
//! A request is taken as a whole or not at all. An event is known by key, source and id: taken up
//! once, it is not taken up again. The database remembers it first; from then on it counts, and the
//! rows follow, after a crash too.
//!
//! Source: `CloudEvents` specification 1.0.2, JSON event format and JSON batch format.

mod event;

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde_json::json;
use tollgate_admission::books::UsageEvent;
use tollgate_admission::ledger::Written;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::id::is_sane_request_id;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::{ModelPrice, Served};

use self::event::{Form, Stated, read};
use super::{Answer, Asked, json};
use crate::past::Past;
use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::standing::terms_of;
use crate::stop::Stop;

/// Stands for the version of a price where the event states its cost.
const STATED: &str = "stated";

/// Takes up events.
pub(super) async fn take(asked: &Asked<'_>) -> Result<Answer, Stop> {
    if !asked.principal.key.role.acts_for_others() {
        let message = "usage is reported with a key of role `service` or `admin`";
        return Err(Stop::new(Code::Forbidden, message));
    }
    if let Some(why) = asked.plane.obstacle.look() {
        let message = format!("usage cannot be recorded: {why}");
        return Err(Stop::new(Code::Degraded, message));
    }
    let form = form(asked)?;
    let now = asked.plane.clock.now();
    let mut events = Vec::new();
    for stated in read(form, &asked.body, now)? {
        events.push(event(asked, stated)?);
    }
    let given = events.len();
    let plane = Arc::clone(asked.plane);
    let taken = asked.plane.desk.ask(move |books| {
        // Limits that come into force meanwhile find these events in the database, or are in force
        // already when the events are counted; never both.
        let _settled = plane.gate.between_turns();
        let fresh = books.take_events(&events, now)?;
        let known = events.into_iter().zip(fresh);
        let fresh: Vec<_> = known.filter_map(|(event, new)| new.then_some(event)).collect();
        let written = enter(&plane, &fresh);
        Ok((fresh, written))
    });
    let (fresh, written) = taken.await?;
    let accepted = fresh.len();
    if durable(written).await {
        // Where this fails the rows are written once more; their ids are the same.
        drop(asked.plane.desk.ask(move |books| Ok(books.events_recorded(&fresh)?)).await);
    }
    let document = json!({ "accepted": accepted, "duplicates": given.saturating_sub(accepted) });
    json(StatusCode::OK, &document)
}

fn form(asked: &Asked<'_>) -> Result<Form, Stop> {
    let header = asked.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let kind = header.unwrap_or("application/json").split(';').next().unwrap_or_default();
    Form::of(kind.trim()).ok_or_else(|| {
        let message = "events are application/json, application/cloudevents+json or \
                       application/cloudevents-batch+json";
        Stop::field(message, Some("content-type".into()))
    })
}

/// Counts new events and hands their rows to the ledger.
fn enter(
    plane: &Plane,
    events: &[UsageEvent],
) -> Vec<Result<Written, tollgate_admission::ledger::LedgerError>> {
    let snapshot = &plane.snapshot.load_full();
    let past = Past::new(plane, snapshot);
    let enter = |event: &UsageEvent| {
        past.call(&event.record);
        if let Some(action) = event.action() {
            past.action(&action);
        }
        let (model, provider) = labels(snapshot, &event.record);
        plane.metrics.elsewhere(&model, provider, &event.record);
        plane.log.push(Arc::clone(&event.record));
        plane.gate.record(Arc::clone(&event.record))
    };
    events.iter().map(enter).collect()
}

/// Whether all rows are down.
async fn durable(rows: Vec<Result<Written, tollgate_admission::ledger::LedgerError>>) -> bool {
    let mut all = true;
    for row in rows {
        all &= match row {
            Ok(written) => written.durable().await.is_ok(),
            Err(_) => false,
        };
    }
    all
}

/// Model and provider as labels of metrics: only names that configuration or price book know.
fn labels(snapshot: &Snapshot, record: &CallRecord) -> (Arc<str>, Arc<str>) {
    let book = snapshot.prices.book();
    let configured = snapshot.providers.iter().find(|each| each.name == record.provider);
    let book_id = configured.map_or(Some(&*record.provider), |each| each.book_id.as_deref());
    let provider = configured.is_some() || book.providers().any(|id| *id == *record.provider);
    let provider = if provider { Arc::clone(&record.provider) } else { Arc::from("other") };
    if snapshot.models.contains_key(&*record.model) {
        return (Arc::clone(&record.model), provider);
    }
    let price = book_id.and_then(|id| book.find(id, &record.model));
    (price.map(|price| Arc::clone(price.id())).unwrap_or_default(), provider)
}

/// The event with its price and its row.
fn event(asked: &Asked<'_>, stated: Stated) -> Result<UsageEvent, Stop> {
    let snapshot = &asked.snapshot;
    let (provider, price) = price(snapshot, &stated);
    let cost = cost(&stated, price.as_deref())?;
    let mut principal = asked.principal.clone();
    principal.user = Arc::clone(&stated.user);
    let terms = terms_of(asked.plane, snapshot, &principal);
    let version = match (&stated.cost, &price) {
        (Some(_), _) => Arc::from(STATED),
        (None, Some(price)) => Arc::clone(price.version()),
        (None, None) => Arc::default(),
    };
    let call_id = asked.plane.ids.next(stated.time);
    let own_id = is_sane_request_id(stated.id.as_bytes());
    let record = CallRecord {
        call_id,
        request_id: if own_id { Arc::clone(&stated.id) } else { call_id.to_string().into() },
        time: stated.time,
        user: stated.user,
        key: Some(Arc::clone(&principal.key.name)),
        team: terms.team.clone(),
        ip: None,
        session: stated.session,
        feature: stated.feature,
        tags: stated.tags,
        dialect: Dialect::Openai,
        endpoint: Arc::from(super::Api::Usage.name()),
        provider,
        model_asked: stated.model.clone().unwrap_or_default(),
        model: stated.model.unwrap_or_default(),
        stream: false,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 0,
        cache: CacheState::Bypass,
        usage: stated.usage,
        cost,
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: version,
        estimated: false,
        latency_us: 0,
        ttft_us: None,
        trace: None,
        decision: None,
        tries: Vec::new(),
    };
    Ok(UsageEvent {
        source: stated.source,
        id: stated.id,
        record: Arc::new(record),
        plan: Arc::clone(&terms.plan.name),
        units: stated.units,
    })
}

/// The provider that served, as stated or as it would be chosen here, and its price for the model.
fn price(snapshot: &Snapshot, stated: &Stated) -> (Arc<str>, Option<Arc<ModelPrice>>) {
    let named = stated.provider.clone();
    let Some(model) = stated.model.as_deref() else {
        return (named.unwrap_or_default(), None);
    };
    if let Some(provider) = named {
        let price = snapshot.prices.resolve(&provider, model);
        return (provider, price);
    }
    if let Some(target) = snapshot.route(model).and_then(|route| route.targets.first().cloned()) {
        return (Arc::clone(&target.provider.name), target.price.clone());
    }
    match snapshot.prices.book().provider_for_model(model) {
        Some(provider) => (Arc::from(provider), snapshot.prices.resolve(provider, model)),
        None => (Arc::default(), snapshot.prices.resolve("", model)),
    }
}

/// What the event costs: as it states, else by its price. What has no price is refused (PRICE-1).
fn cost(stated: &Stated, price: Option<&ModelPrice>) -> Result<NanoUsd, Stop> {
    if let Some(cost) = stated.cost {
        return Ok(cost);
    }
    if let Some(price) = price {
        return Ok(price.charge(&stated.usage, &Served::at(stated.time)).total.charge());
    }
    let id = &stated.id;
    let why = match &stated.model {
        Some(model) => format!("event `{id}`: `{model}` has no price; state `cost_usd`"),
        None if stated.usage.total() > 0 => {
            format!("event `{id}`: tokens without `model` have no price; state `cost_usd`")
        }
        None => return Ok(NanoUsd::ZERO),
    };
    Err(Stop::new(Code::UnpricedModel, why))
}

/// The earliest time of an event that is taken: for as long as events are remembered, so that an
/// old one cannot be taken up a second time.
pub(crate) fn earliest(now: Timestamp) -> Timestamp {
    now.checked_sub(jiff::SignedDuration::from_hours(event::MOST_HOURS)).unwrap_or(Timestamp::MIN)
}
