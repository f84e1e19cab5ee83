//! Reads a `usage` object of the Anthropic form onto our scale.
//!
//! `input_tokens` is what was neither read from nor written to the cache, so the parts are added.
//! In a stream it comes twice: what the later object states replaces what the earlier one stated,
//! field by field, since the figures are cumulative (and some move elsewhere: the greater of both
//! would be wrong as well). Where `iterations` are listed they are what is billed: the work of an
//! advisor or a compaction is in no other figure, and may be another model's.

use tollgate_domain::usage::Usage;

use crate::facts::{AnswerFacts, UsagePart};
use crate::figures;
use crate::json::lenient::Pull;

/// Tokens written to the cache for five minutes and for an hour.
type Split = (u64, u64);

/// The figures that both a whole answer and each of its iterations have.
#[derive(Clone, Debug, Default)]
struct Figures {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    split: Option<Split>,
    output: Option<u64>,
    odd: bool,
}

impl Figures {
    /// Reads a member if it is one of these.
    fn member(&mut self, key: &[u8], pull: &mut Pull<'_>) -> bool {
        let slot = match key {
            b"input_tokens" => &mut self.input,
            b"cache_read_input_tokens" => &mut self.cache_read,
            b"cache_creation_input_tokens" => &mut self.cache_write,
            b"output_tokens" => &mut self.output,
            b"cache_creation" => {
                self.split = split(pull, &mut self.odd).or(self.split);
                return true;
            }
            _ => return false,
        };
        *slot = figures::count(pull, &mut self.odd).or(*slot);
        true
    }

    /// Puts what `later` states in the place of what was stated before.
    fn overlay(&mut self, later: &Self) {
        self.input = later.input.or(self.input);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.split = later.split.or(self.split);
        self.output = later.output.or(self.output);
        self.odd |= later.odd;
    }

    /// On our scale, and whether the figures contradict each other.
    fn settle(&self) -> (Usage, bool) {
        let sum = |split: Split| split.0.saturating_add(split.1);
        let written = self.cache_write.or_else(|| self.split.map(sum)).unwrap_or(0);
        // A split of another total is that of an earlier figure, and is dropped.
        let (short, long) = self.split.filter(|split| sum(*split) == written).unwrap_or_default();
        let read = self.cache_read.unwrap_or(0);
        let input = self.input.unwrap_or(0).saturating_add(read).saturating_add(written);
        let mut usage = Usage {
            cache_read: read,
            cache_write: written,
            cache_write_5m: short,
            cache_write_1h: long,
            ..Usage::tokens(input, self.output.unwrap_or(0))
        };
        let clamped = usage.clamp_parts();
        (usage, clamped || self.odd)
    }
}

fn split(pull: &mut Pull<'_>, odd: &mut bool) -> Option<Split> {
    let mut split = None;
    pull.object(|pull, key| {
        let (short, long): &mut Split = split.get_or_insert_default();
        match key {
            b"ephemeral_5m_input_tokens" => *short = figures::count(pull, odd).unwrap_or(0),
            b"ephemeral_1h_input_tokens" => *long = figures::count(pull, odd).unwrap_or(0),
            _ => {
                pull.skip();
            }
        }
    });
    split
}

/// One pass of a model over the conversation.
#[derive(Clone, Debug, Default)]
struct Iteration {
    /// It belongs to the answer itself, and its figures are in the top level as well.
    message: bool,
    model: Option<Box<str>>,
    figures: Figures,
}

impl Iteration {
    fn read(pull: &mut Pull<'_>) -> Self {
        let mut read = Self::default();
        pull.object(|pull, key| match key {
            b"type" => {
                read.message = pull.string_or_skip().is_some_and(|kind| kind.raw == b"message");
            }
            b"model" => pull.keep(&mut read.model),
            _ if read.figures.member(key, pull) => {}
            _ => {
                pull.skip();
            }
        });
        read
    }
}

/// What the usage objects of one answer have stated so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    figures: Figures,
    thinking: Option<u64>,
    searches: Option<u64>,
    iterations: Vec<Iteration>,
}

impl Stated {
    /// Reads a usage object over what was stated before; says whether there was one. Tier, speed
    /// and place, which stand in it too, go to `facts`.
    pub(super) fn read(&mut self, pull: &mut Pull<'_>, facts: &mut AnswerFacts) -> bool {
        if pull.next_byte() != Some(b'{') {
            pull.skip();
            return false;
        }
        let mut later = Figures::default();
        pull.object(|pull, key| match key {
            b"output_tokens_details" => self.details(pull, &mut later.odd),
            b"server_tool_use" => self.tools(pull, &mut later.odd),
            b"iterations" if pull.next_byte() == Some(b'[') => {
                self.iterations.clear();
                pull.array(|pull| self.iterations.push(Iteration::read(pull)));
            }
            b"service_tier" => pull.keep(&mut facts.service_tier),
            b"speed" => pull.keep(&mut facts.speed),
            b"inference_geo" => {
                pull.keep(&mut facts.geo);
                facts.geo.take_if(|geo| **geo == *"not_available");
            }
            _ if later.member(key, pull) => {}
            _ => {
                pull.skip();
            }
        });
        self.figures.overlay(&later);
        true
    }

    fn details(&mut self, pull: &mut Pull<'_>, odd: &mut bool) {
        pull.object(|pull, key| match key {
            b"thinking_tokens" => self.thinking = figures::count(pull, odd).or(self.thinking),
            _ => {
                pull.skip();
            }
        });
    }

    fn tools(&mut self, pull: &mut Pull<'_>, odd: &mut bool) {
        pull.object(|pull, key| match key {
            b"web_search_requests" => self.searches = figures::count(pull, odd).or(self.searches),
            _ => {
                pull.skip();
            }
        });
    }

    /// Puts what was stated into `facts`: nothing where input or output are not stated.
    pub(super) fn settle(&self, facts: &mut AnswerFacts) {
        if !self.iterations.is_empty() {
            return self.settle_iterations(facts);
        }
        if self.figures.input.is_none() || self.figures.output.is_none() {
            return;
        }
        let (mut usage, odd) = self.figures.settle();
        usage.reasoning = self.thinking.unwrap_or(0);
        usage.web_searches = self.searches.unwrap_or(0);
        facts.anomaly = usage.clamp_parts() || odd;
        facts.parts.clear();
        facts.usage = Some(usage);
    }

    fn settle_iterations(&self, facts: &mut AnswerFacts) {
        let mut odd = self.figures.odd || self.contradicts_iterations();
        let mut parts = Vec::with_capacity(self.iterations.len());
        // The thinking that the top level states is that of the answer's own iterations.
        let mut thinking = self.thinking.unwrap_or(0);
        let mut searches = self.searches.unwrap_or(0);
        for Iteration { message, model, figures } in &self.iterations {
            let (mut usage, contradicts) = figures.settle();
            odd |= contradicts;
            if *message {
                usage.reasoning = thinking.min(usage.output);
                thinking -= usage.reasoning;
                usage.web_searches = std::mem::take(&mut searches);
            }
            parts.push(UsagePart { model: model.clone(), usage });
        }
        if let Some(first) = parts.first_mut() {
            first.usage.web_searches += searches;
        }
        facts.anomaly = odd || thinking > 0;
        facts.usage = Some(parts.iter().fold(Usage::default(), |all, part| sum(&all, &part.usage)));
        // One part of the answer's own model tells nothing that the sum does not.
        let single = parts.len() == 1 && parts.iter().all(|part| part.model.is_none());
        facts.parts = if single { Vec::new() } else { parts };
    }

    /// The top level is the sum of the answer's own iterations, wherever it has been recorded.
    fn contradicts_iterations(&self) -> bool {
        let own = || self.iterations.iter().filter(|iteration| iteration.message);
        let of = |slot: fn(&Figures) -> Option<u64>| {
            own().filter_map(|each| slot(&each.figures)).fold(0, u64::saturating_add)
        };
        let differs = |stated: Option<u64>, sum| stated.is_some_and(|stated| stated != sum);
        own().next().is_some()
            && (differs(self.figures.input, of(|figures| figures.input))
                || differs(self.figures.output, of(|figures| figures.output)))
    }

    /// The input side alone, for a stream whose last figures never came.
    pub(super) fn input_side(&self) -> Option<Usage> {
        self.figures.input?;
        let (usage, _) = self.figures.settle();
        Some(Usage { output: 0, ..usage })
    }
}

/// The figures that this form states, of both.
fn sum(a: &Usage, b: &Usage) -> Usage {
    let plus = |field: fn(&Usage) -> u64| field(a).saturating_add(field(b));
    Usage {
        cache_read: plus(|usage| usage.cache_read),
        cache_write: plus(|usage| usage.cache_write),
        cache_write_5m: plus(|usage| usage.cache_write_5m),
        cache_write_1h: plus(|usage| usage.cache_write_1h),
        reasoning: plus(|usage| usage.reasoning),
        web_searches: plus(|usage| usage.web_searches),
        ..Usage::tokens(plus(|usage| usage.input), plus(|usage| usage.output))
    }
}
