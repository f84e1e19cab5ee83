//! What an attempt used and what that costs: the provider's own figures at the price of the model
//! that served, else a count that is marked as such (PRICE-1).

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::attempt::Billing;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::money::{Exact, NanoUsd};
use tollgate_domain::price::{ModelPrice, Served};
use tollgate_domain::usage::Usage;
use tollgate_wire::count;
use tollgate_wire::dialect::answer_text;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::remains::remaining_text;

use super::{OpenCall, Received};
use crate::pump::Ending;

/// How an answer was served, as it says itself.
fn served(facts: Option<&AnswerFacts>, at: Timestamp) -> Served<'_> {
    Served {
        service_tier: facts.and_then(|facts| facts.service_tier.as_deref()),
        speed: facts.and_then(|facts| facts.speed.as_deref()),
        geo: facts.and_then(|facts| facts.geo.as_deref()),
        ..Served::at(at)
    }
}

/// What a call turned out to have used.
struct Metered {
    usage: Usage,
    estimated: bool,
}

/// What an attempt used, and what that costs.
#[derive(Debug)]
pub(crate) struct Charged {
    pub(crate) usage: Usage,
    pub(crate) estimated: bool,
    pub(crate) cost: NanoUsd,
    price: Arc<ModelPrice>,
    /// Whether its provider stated it.
    stated: bool,
}

impl Charged {
    /// Nothing more than what was used and charged before.
    pub(super) fn before((usage, estimated): (Usage, bool), price: &Arc<ModelPrice>) -> Self {
        let (price, cost) = (Arc::clone(price), NanoUsd::ZERO);
        Self { usage, estimated, cost, price, stated: !estimated }
    }

    /// Enters it in a row, with what the answer says about itself.
    pub(super) fn enter(&self, facts: Option<&AnswerFacts>, row: &mut CallRecord) {
        if let Some(model) = facts.and_then(|facts| facts.model.as_deref())
            && *row.model != *model
        {
            row.model = Arc::from(model);
        }
        row.usage = self.usage;
        row.estimated = self.estimated;
        row.cost = self.cost;
        row.provider_cost = facts.and_then(|facts| facts.provider_cost);
        row.price_version = Arc::clone(self.price.version());
    }

    /// Whether the provider charges for it; `otherwise` where nothing of an answer was seen.
    pub(crate) fn billing(&self, otherwise: Billing) -> Billing {
        match (self.stated, self.estimated) {
            (true, _) => Billing::Billed,
            (false, true) => Billing::Unknown,
            (false, false) => otherwise,
        }
    }
}

impl OpenCall {
    /// What an attempt used of which this was received, and what that costs.
    pub(crate) fn charge(&self, received: Received<'_>) -> Charged {
        let facts = received.facts();
        let metered = self.meter(received);
        let price = self.price_served(facts.and_then(|facts| facts.model.as_deref()));
        let served = served(facts, self.admitted.record().time);
        let cost = self.cost(facts, &metered, (&price, &served));
        let stated = facts.is_some_and(|facts| facts.usage.is_some()) && !metered.estimated;
        let Metered { usage, estimated } = metered;
        Charged { usage, estimated, cost, price, stated }
    }

    /// What a stream has used that is ended at the edge of its reservation: counted here.
    pub fn usage_of_cut(&self, ending: &Ending) -> Usage {
        self.meter(Received::Stream(ending)).usage
    }

    /// Charges a row for an answer that its provider kept.
    pub fn charge_kept(&self, facts: &AnswerFacts, row: &mut CallRecord) {
        self.charge(Received::Kept(facts)).enter(Some(facts), row);
        row.endpoint = self.plane.names.of(Endpoint::Responses);
        (row.status, row.outcome) = (200, Outcome::Success);
    }

    /// What it cost: where several models worked on an answer, each part at its own price.
    fn cost(
        &self,
        facts: Option<&AnswerFacts>,
        metered: &Metered,
        (price, served): (&ModelPrice, &Served<'_>),
    ) -> NanoUsd {
        let parts = facts.map(|facts| &*facts.parts).unwrap_or_default();
        if metered.estimated || parts.is_empty() {
            return price.charge(&metered.usage, served).total.charge();
        }
        let each = parts.iter().map(|part| {
            let own = part.model.as_deref().map(|model| self.price_served(Some(model)));
            own.as_deref().unwrap_or(price).charge(&part.usage, served).total
        });
        each.fold(Exact::ZERO, |sum, part| sum + part).charge()
    }

    /// What was used: the provider's own figure, else a count that is marked as such.
    fn meter(&self, received: Received<'_>) -> Metered {
        let stated = |usage| Metered { usage, estimated: false };
        let estimated = |facts: &AnswerFacts, visible| Metered {
            usage: match &self.media {
                Some(media) => media.likely,
                None => facts.estimate(visible, || self.count_prompt()),
            },
            estimated: true,
        };
        let count = |text: &str| count::count_tokens(self.model(), text);
        match received {
            Received::Kept(facts) => stated(facts.usage.unwrap_or_default()),
            _ if !self.operation().is_billed() => stated(Usage::default()),
            Received::Nothing => stated(Usage::default()),
            Received::Unanswered => estimated(&AnswerFacts::default(), 0),
            Received::Whole(facts, body) => match facts.usage {
                Some(usage) => stated(usage),
                None => estimated(facts, answer_text(self.operation(), body, count)),
            },
            Received::Part(facts, body) => match facts.usage {
                Some(usage) => stated(usage),
                None => estimated(facts, remaining_text(self.operation(), body, count)),
            },
            Received::Stream(ending) => match ending.facts.answer.usage {
                Some(usage) => stated(usage),
                None => estimated(&ending.facts.answer, ending.counted_output),
            },
        }
    }

    fn model(&self) -> &str {
        &self.chosen.target.model
    }

    fn count_prompt(&self) -> u64 {
        count::estimate_prompt(self.endpoint, &self.peek, &self.body)
    }

    /// The price of the model that the answer names, else of the one that was asked.
    fn price_served(&self, served: Option<&str>) -> Arc<ModelPrice> {
        match served {
            Some(served) if *served != *self.chosen.target.model => {
                self.snapshot.price(&self.chosen.target.provider, served)
            }
            _ => None,
        }
        .unwrap_or_else(|| Arc::clone(&self.chosen.price))
    }
}
