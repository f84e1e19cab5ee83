//! Why a call was allowed or refused, and how its price comes about: the ledger row, the price that
//! is in force, the limits as they stood when it was decided, and as they stand now. What is not
//! known any more is said to be so.

use std::net::IpAddr;
use std::sync::Arc;

use tollgate_admission::control::{
    Amount, Call, ControlError, DecisionFacts, Explanation, LimitRow, PriceFacts, PriceLine,
};
use tollgate_admission::engine::{LimitState, Subject};
use tollgate_domain::call::{CacheState, CallRecord, Outcome};
use tollgate_domain::decision::{Decided, Decision, Downgrade, Terms};
use tollgate_domain::fault::Code;
use tollgate_domain::id::CallId;
use tollgate_domain::money::{Exact, NanoUsd};
use tollgate_domain::price::{ModelPrice, PriceTable, Served};

use super::balances::applies;
use super::{Controls, failed};
use crate::compose;
use crate::config::Config;
use crate::price_book;

impl Controls {
    pub(super) fn explain_call(&self, id: CallId) -> Result<Explanation, ControlError> {
        let Call(call) = self.show_call(id)?;
        let (user, facts) = self.user_now(&self.registry.lock(), &call.user)?;
        let model = call.model_counted();
        let subject = subject(&call, &model);
        let states = self.states(&subject, &user.plan, &facts.overlay())?;
        let states: Vec<LimitState> =
            states.into_iter().filter(|state| applies(&state.limit, &subject)).collect();
        let refused = call.outcome == Outcome::Refused;
        let decided = call.decision.as_ref().and_then(Decision::read);
        let hold = decided.as_ref().filter(|_| !refused).map(|decided| decided.terms.hold);
        let in_doubt = || (call.outcome == Outcome::InDoubt).then_some(call.cost);
        let price = if refused { None } else { self.price_of(&call)? };
        Ok(Explanation {
            decision: if refused { "refused" } else { "allowed" }.to_owned(),
            why: why(&call, decided.as_ref(), &states),
            plan: user.plan,
            hold_usd: hold.or_else(in_doubt),
            decided: decided.as_ref().map(DecisionFacts::of),
            price,
            limits: states.iter().map(LimitRow::of).collect(),
            call: Call(call),
        })
    }

    fn price_of(&self, call: &CallRecord) -> Result<Option<PriceFacts>, ControlError> {
        let prices = self.prices()?;
        let config = self.config.lock();
        Ok(price(&config, &prices, call).map(|price| explained(call, &price)))
    }

    /// The prices in force.
    pub(super) fn prices(&self) -> Result<Arc<PriceTable>, ControlError> {
        if let Some(live) = &self.live {
            return Ok(Arc::clone(&live.handle.plane.snapshot.load().prices));
        }
        let book = Arc::new(price_book::first(&self.config.lock()).map_err(failed)?);
        let table = compose::prices(&self.config.lock(), &book);
        Ok(Arc::new(table.map_err(|error| ControlError::Failed(error.into()))?))
    }
}

/// Who was counted. An address that is kept as a hash has no counter that could be found.
fn subject<'a>(call: &'a CallRecord, model: &'a str) -> Subject<'a> {
    Subject {
        user: &call.user,
        key: call.key.as_deref(),
        team: call.team.as_deref(),
        ip: call.ip.as_deref().filter(|ip| ip.parse::<IpAddr>().is_ok()),
        session: call.session.as_deref(),
        feature: call.feature.as_deref(),
        provider: &call.provider,
        model,
        free: false,
    }
}

fn why(call: &CallRecord, decided: Option<&Decided<'_>>, limits: &[LimitState]) -> String {
    let error = call.error_type.as_deref().unwrap_or_default();
    let ended = match call.outcome {
        Outcome::Refused => return why_refused(error, decided, limits),
        Outcome::Success => "and answered whole".to_owned(),
        Outcome::Failed => format!("and failed ({error}); what it cost until then is charged"),
        Outcome::Cancelled => {
            "and its client went away; what was counted until then is charged".to_owned()
        }
        Outcome::InDoubt => "and a crash cut it off; nobody knows what it used, so what was set \
                             aside is charged"
            .to_owned(),
    };
    let changed = decided.map(changes).unwrap_or_default();
    let provider = &call.provider;
    let from = match call.cache {
        CacheState::Hit => Some("it was given an answer that was kept"),
        CacheState::Coalesced => {
            Some("it was given the answer of a call like it that was under way")
        }
        CacheState::Miss | CacheState::Bypass => None,
    };
    if let Some(from) = from {
        let saved = call.saved;
        let ended = match call.outcome {
            Outcome::Success => format!("which saved {saved} USD"),
            Outcome::Cancelled => "and its client went away before it was whole".to_owned(),
            _ => format!("which was an error ({error})"),
        };
        return format!("every limit that applied covered it; nothing was sent: {from}, {ended}");
    }
    let attempts = match call.attempts {
        0 | 1 => String::new(),
        attempts => format!(" in {attempts} attempts, the last one"),
    };
    format!(
        "every limit that applied covered it{changed}; it was sent{attempts} to `{provider}` \
         {ended}"
    )
}

/// What limits changed about a call before it was admitted.
fn changes(decided: &Decided<'_>) -> String {
    let downgrades = decided.downgrades.iter();
    let mut changes: Vec<String> = downgrades
        .map(|downgrade| match downgrade {
            Downgrade { to, .. } if downgrade.is_fallback() => {
                format!(", with `{to}` as a fallback")
            }
            Downgrade { limit, to } => format!(", after `{limit}` had it served from `{to}`"),
        })
        .collect();
    let Terms { output_asked: asked, output_granted: granted, .. } = decided.terms;
    if granted < asked {
        changes.push(format!(", with {granted} of the {asked} tokens out that it asked for"));
    }
    changes.concat()
}

fn why_refused(error: &str, decided: Option<&Decided<'_>>, limits: &[LimitState]) -> String {
    let code = Code::ALL.iter().find(|code| code.as_str() == error);
    let meaning = code.map_or("Nothing was sent.", |code| code.meaning());
    if let Some(limit) = decided.and_then(Decided::refused_by) {
        let amount = |value| Amount::of(limit.metric, value);
        let max = Amount::maximum(limit.metric, limit.max);
        return format!(
            "{error}: {meaning} Limit `{}` allowed {max} {} ({}): {} were used, {} reserved, {} \
             asked.",
            limit.name,
            limit.metric.as_str(),
            limit.window,
            amount(limit.used),
            amount(limit.reserved),
            amount(limit.taken),
        );
    }
    let empty: Vec<String> = limits
        .iter()
        .filter(|state| state.remaining == Some(0))
        .map(|state| format!("`{}`", state.limit.name))
        .collect();
    if empty.is_empty() {
        format!("{error}: {meaning}")
    } else {
        format!("{error}: {meaning} Nothing is left now of {}.", empty.join(", "))
    }
}

/// The price of the model that served: the one whose version the row names, else the first found.
fn price(config: &Config, prices: &PriceTable, call: &CallRecord) -> Option<Arc<ModelPrice>> {
    let provider = &*call.provider;
    let counted = call.model_counted();
    let route = config.models.get(&counted);
    let targets = route.into_iter().flat_map(|model| &model.targets);
    let own = targets.filter(|target| *target.provider == *provider).map(|target| &*target.model);
    let plain = counted.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
    let names = own.chain(plain).chain([&*counted, &*call.model]);
    let mut found: Vec<_> = names.filter_map(|name| prices.resolve(provider, name)).collect();
    let used = found.iter().position(|price| *price.version() == call.price_version);
    (!found.is_empty()).then(|| found.swap_remove(used.unwrap_or(0)))
}

fn explained(call: &CallRecord, price: &ModelPrice) -> PriceFacts {
    let lines = price.explain(&call.usage, &Served::at(call.time));
    let sum = lines.iter().map(|line| line.amount).sum::<Exact>().charge();
    PriceFacts {
        version: call.price_version.to_string(),
        lines_version: price.version().to_string(),
        lines: lines
            .iter()
            .map(|line| PriceLine {
                unit: line.unit.key().to_owned(),
                count: line.count,
                usd_per_million: NanoUsd::from_nanos(line.rate.nanos_per_million()).to_string(),
                amount_usd: decimal(line.amount),
            })
            .collect(),
        sum_usd: sum,
        cost_usd: call.cost,
        note: note(call, price, sum),
    }
}

/// Why the lines do not add up to what the ledger says, where they do not.
fn note(call: &CallRecord, price: &ModelPrice, sum: NanoUsd) -> Option<String> {
    if sum == call.cost {
        return None;
    }
    Some(if matches!(call.cache, CacheState::Hit | CacheState::Coalesced) {
        "the answer was not bought for this call".to_owned()
    } else if call.outcome == Outcome::InDoubt {
        "the call is charged at what was set aside for it".to_owned()
    } else if *price.version() != call.price_version {
        "the price has changed since; the ledger is not priced again".to_owned()
    } else if is_charged_before(call) {
        "attempts before the last one were charged as well".to_owned()
    } else {
        "the call was served in a way that has a price of its own, such as another service tier"
            .to_owned()
    })
}

/// Whether an attempt before the last one cost something.
fn is_charged_before(call: &CallRecord) -> bool {
    let before = call.tries.split_last().map(|(_, before)| before).unwrap_or_default();
    before.iter().any(|attempt| attempt.cost != NanoUsd::ZERO)
}

/// USD with fifteen decimals: nothing is rounded.
fn decimal(amount: Exact) -> String {
    const ONE: u128 = 1_000_000_000_000_000;
    let femtos = amount.femtos();
    let sign = if femtos < 0 { "-" } else { "" };
    let femtos = femtos.unsigned_abs();
    format!("{sign}{}.{:015}", femtos / ONE, femtos % ONE)
}
