//! The most that a call can use and cost (SPEC §6.2). The bound that needs no tokenizer is tried
//! first; a count is made only where that bound would refuse or shorten the call.

use jiff::Timestamp;
use tollgate_admission::engine::Demand;
use tollgate_domain::money::{Exact, Rate};
use tollgate_domain::price::{Ceiling, Served};
use tollgate_domain::usage::Usage;
use tollgate_wire::count::{estimate_prompt, upper_bound_input_tokens};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::peek::Peek;

use crate::media::Media;
use crate::route::Chosen;
use crate::snapshot::Snapshot;

/// Bodies above this many bytes are counted where blocking is allowed.
const LONG_COUNT: usize = 32 * 1024;

/// A request as it is about to be sent, as far as it bears on what it can cost.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// What was called.
    pub endpoint: Endpoint,
    /// What was asked.
    pub peek: &'a Peek,
    /// The request as the client sent it.
    pub body: &'a [u8],
    /// Who is to serve it.
    pub chosen: &'a Chosen,
    /// What it takes, where it is about pictures or sound.
    pub media: Option<&'a Media>,
    /// When the call arrived.
    pub time: Timestamp,
}

/// What to set aside for a call, by the bound that needs no tokenizer.
pub fn demand(snapshot: &Snapshot, sending: &Sending<'_>) -> Demand {
    if let Some(media) = sending.media {
        return of_media(sending, &media.most);
    }
    let bound = upper_bound_input_tokens(sending.sent().1);
    let context = sending.chosen.price.context_window();
    // A provider refuses what does not fit the model's context, so that is a bound as well; it is
    // the only one where the body does not tell all.
    let input = match (bound.complete, context) {
        (true, Some(context)) => bound.tokens.min(context),
        (true, None) => bound.tokens,
        (false, Some(context)) => context,
        (false, None) => bound.tokens.max(snapshot.settings.assumed_context),
    };
    with_input(snapshot, sending, input)
}

/// The same by counting the prompt; `None` where that would tell no more. An eighth is added for
/// what templates and unknown tokenizers may make of it.
pub fn counted_demand(
    snapshot: &Snapshot,
    sending: &Sending<'_>,
    bound: &Demand,
) -> Option<Demand> {
    let (endpoint, peek, body) = sending.sent();
    if sending.media.is_some() || !upper_bound_input_tokens(peek).complete {
        return None;
    }
    let counted = count_prompt(endpoint, peek, body);
    let hidden = peek.input.hidden_tokens.saturating_add(64);
    let input = counted.saturating_add(counted / 8).saturating_add(hidden);
    (input < bound.input_tokens).then(|| with_input(snapshot, sending, input))
}

/// Counts the tokens of a prompt; a long one where blocking is allowed.
pub(crate) fn count_prompt(endpoint: Endpoint, peek: &Peek, body: &[u8]) -> u64 {
    let count = || estimate_prompt(endpoint, peek, body);
    if body.len() > LONG_COUNT { tokio::task::block_in_place(count) } else { count() }
}

impl<'a> Sending<'a> {
    /// What the provider is sent: a translation may be longer than what the client wrote, or bring
    /// along what its provider adds to a prompt.
    fn sent(&self) -> (Endpoint, &'a Peek, &'a [u8]) {
        match self.chosen.translated.as_deref() {
            Some(sent) => (self.chosen.operation(self.endpoint), &sent.peek, &sent.body),
            None => (self.endpoint, self.peek, self.body),
        }
    }
}

/// What pictures or sound take at most. Nothing of it can be shortened.
fn of_media(sending: &Sending<'_>, most: &Usage) -> Demand {
    let served =
        Served { service_tier: sending.peek.service_tier.as_deref(), ..Served::at(sending.time) };
    Demand {
        input_tokens: most.input,
        output_tokens: most.output,
        input_cost: sending.chosen.price.charge(most, &served).total,
        output_rate: Rate::FREE,
        min_output: most.output,
        units: 0,
    }
}

fn with_input(snapshot: &Snapshot, sending: &Sending<'_>, input: u64) -> Demand {
    let Sending { chosen, time, .. } = *sending;
    let (endpoint, peek, _) = sending.sent();
    let output = if endpoint.generates() {
        let model = chosen.route.max_output.unwrap_or(snapshot.settings.assumed_output);
        peek.output_bound(model)
    } else {
        0
    };
    let served = Served {
        service_tier: peek.service_tier.as_deref(),
        speed: peek.speed.as_deref(),
        geo: peek.geo.as_deref(),
        ..Served::at(time)
    };
    let ceiling = chosen.price.ceiling(&served, input);
    Demand {
        input_tokens: input,
        output_tokens: output,
        input_cost: ceiling.input.of(input) + ceiling.per_call + searches(snapshot, peek, &ceiling),
        output_rate: ceiling.output,
        min_output: 1,
        units: 0,
    }
}

/// The most that the searches cost which the provider may make.
fn searches(snapshot: &Snapshot, peek: &Peek, ceiling: &Ceiling) -> Exact {
    let assumed = snapshot.settings.assumed_searches;
    let web =
        if peek.tools.web_search { peek.tools.max_web_searches.unwrap_or(assumed) } else { 0 };
    let files = if peek.tools.file_search { assumed } else { 0 };
    let each = peek.choices.max(1);
    ceiling.per_web_search.times(web.saturating_mul(each)) + ceiling.per_file_search.times(files)
}
