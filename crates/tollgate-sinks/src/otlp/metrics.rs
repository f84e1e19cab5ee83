//! What calls add up to, since the sink was started: metrics are cumulative, so that a request that
//! was sent twice changes nothing, and Prometheus takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::View;
use super::call::nanos;
use super::genai::{error_type, is_inference, operation, provider};
use super::message::{Attributes, Distribution, Metric, Points};
use super::series::{Labels, Series, labels};

/// Upper ends of durations, in seconds.
const SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Of times to the first token at a server.
const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Of times per token.
const PER_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
/// Of tokens.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// A histogram: name, unit, about, ends.
type Shape = (&'static str, &'static str, &'static str, &'static [f64]);
/// A counter: name, about.
type Count = (&'static str, &'static str);

const OLD_TOKENS: Shape =
    ("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used", TOKENS);
const OLD_DURATION: Shape =
    ("gen_ai.client.operation.duration", "s", "Duration of operations", SECONDS);
const OLD_FIRST_CHUNK: Shape = (
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time to the first chunk of a stream",
    SECONDS,
);
const DURATION: Shape =
    ("gen_ai.client.inference.duration", "s", "Duration of inferences", SECONDS);
const FIRST_CHUNK: Shape = (
    "gen_ai.client.inference.time_to_first_chunk",
    "s",
    "Time to the first chunk of a stream",
    SECONDS,
);
const INPUT_OF_ONE: Shape = (
    "gen_ai.client.inference.operation.input_tokens",
    "{token}",
    "Input tokens of an inference",
    TOKENS,
);
const OUTPUT_OF_ONE: Shape = (
    "gen_ai.client.inference.operation.output_tokens",
    "{token}",
    "Output tokens of an inference",
    TOKENS,
);
const EMBEDDING_DURATION: Shape =
    ("gen_ai.client.embeddings.duration", "s", "Duration of embeddings", SECONDS);
const EMBEDDING_INPUT: Shape = (
    "gen_ai.client.embeddings.operation.input_tokens",
    "{token}",
    "Input tokens of an embeddings operation",
    TOKENS,
);
const SERVER_DURATION: Shape =
    ("gen_ai.server.request.duration", "s", "Duration of requests at the gateway", SECONDS);
const SERVER_FIRST_TOKEN: Shape =
    ("gen_ai.server.time_to_first_token", "s", "Time to the first token", FIRST_TOKEN);
const SERVER_PER_TOKEN: Shape = (
    "gen_ai.server.time_per_output_token",
    "s",
    "Time per output token after the first",
    PER_TOKEN,
);
const INPUT: Count =
    ("gen_ai.client.inference.usage.input_tokens", "Input tokens, cached included");
const OUTPUT: Count =
    ("gen_ai.client.inference.usage.output_tokens", "Output tokens, reasoning included");
const CACHE_READ: Count =
    ("gen_ai.client.inference.usage.cache_read.input_tokens", "Input tokens read from a cache");
const CACHE_WRITE: Count =
    ("gen_ai.client.inference.usage.cache_write.input_tokens", "Input tokens written to a cache");
const REASONING: Count =
    ("gen_ai.client.inference.usage.reasoning.output_tokens", "Output tokens spent on reasoning");

/// Everything that was counted.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    /// When counting began, in nanoseconds since the epoch.
    start: u64,
    histograms: BTreeMap<Key, Series<Distribution>>,
    counts: BTreeMap<Count, Series<u64>>,
    cost: Series<NanoUsd>,
}

/// A shape without its ends, which cannot be compared.
#[derive(Clone, Copy, Debug)]
struct Key(Shape);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.0.cmp(other.0.0)
    }
}

impl Totals {
    /// Nothing counted yet.
    pub(super) fn new(start: Timestamp) -> Self {
        Self {
            start: nanos(start),
            histograms: BTreeMap::new(),
            counts: BTreeMap::new(),
            cost: Series::default(),
        }
    }

    /// From when to when these were counted.
    pub(super) fn stretch(&self, now: Timestamp) -> (u64, u64) {
        (self.start, nanos(now).max(self.start))
    }

    /// Counts a call; one that no provider was asked for counts nothing.
    pub(super) fn add(&mut self, view: &View<'_>, call: &CallRecord) {
        if call.outcome == Outcome::Refused || call.provider.is_empty() {
            return;
        }
        let operation = operation(&call.endpoint);
        let mut all: Attributes = vec![
            ("gen_ai.operation.name", operation.into()),
            ("gen_ai.request.model", (&*call.model_asked).into()),
            ("gen_ai.response.model", (&*call.model).into()),
        ];
        provider(view, call, &mut all);
        let base = labels(all);
        let mut with_error = base.clone();
        if let Some(error) = error_type(call) {
            with_error.extend(labels(vec![("error.type", error.into())]));
        }
        self.server(call, &base, &with_error);
        if view.conventions.old {
            self.old(call, &base, &with_error);
        }
        if view.conventions.latest {
            match operation {
                "embeddings" => self.embeddings(call, &base, &with_error),
                _ if is_inference(operation) => self.inference(call, &base, &with_error),
                _ => {}
            }
        }
        let cost = self.cost.point(&base, || NanoUsd::ZERO);
        *cost = cost.checked_add(call.cost).unwrap_or(*cost);
    }

    fn server(&mut self, call: &CallRecord, base: &Labels, with_error: &Labels) {
        self.observe(SERVER_DURATION, with_error, seconds(call.latency_us));
        let Some(first) = call.ttft_us.filter(|_| call.outcome == Outcome::Success) else { return };
        self.observe(SERVER_FIRST_TOKEN, base, seconds(first));
        let after = call.usage.output.saturating_sub(1);
        if after > 0 && call.stream {
            let rest = seconds(call.latency_us.saturating_sub(first));
            self.observe(SERVER_PER_TOKEN, base, rest / number(after));
        }
    }

    fn old(&mut self, call: &CallRecord, base: &Labels, with_error: &Labels) {
        self.observe(OLD_DURATION, with_error, seconds(call.latency_us));
        if let Some(first) = call.ttft_us.filter(|_| call.stream) {
            self.observe(OLD_FIRST_CHUNK, base, seconds(first));
        }
        for (kind, tokens) in [("input", call.usage.input), ("output", call.usage.output)] {
            if tokens > 0 {
                let labels = and(base, "gen_ai.token.type", kind);
                self.observe(OLD_TOKENS, &labels, number(tokens));
            }
        }
    }

    fn inference(&mut self, call: &CallRecord, base: &Labels, with_error: &Labels) {
        self.observe(DURATION, with_error, seconds(call.latency_us));
        if let Some(first) = call.ttft_us.filter(|_| call.stream) {
            self.observe(FIRST_CHUNK, base, seconds(first));
        }
        let Usage { input, output, cache_read, cache_write, reasoning, .. } = call.usage;
        self.observe(INPUT_OF_ONE, base, number(input));
        self.observe(OUTPUT_OF_ONE, base, number(output));
        for (modality, tokens) in inputs(&call.usage) {
            self.count(INPUT, &and(base, "gen_ai.token.modality", modality), tokens);
        }
        for (modality, tokens) in outputs(&call.usage) {
            self.count(OUTPUT, &and(base, "gen_ai.token.modality", modality), tokens);
        }
        for (count, tokens) in
            [(CACHE_READ, cache_read), (CACHE_WRITE, cache_write), (REASONING, reasoning)]
        {
            if tokens > 0 {
                self.count(count, &and(base, "gen_ai.token.modality", "unknown"), tokens);
            }
        }
    }

    fn embeddings(&mut self, call: &CallRecord, base: &Labels, with_error: &Labels) {
        self.observe(EMBEDDING_DURATION, with_error, seconds(call.latency_us));
        self.observe(EMBEDDING_INPUT, base, number(call.usage.input));
    }

    fn observe(&mut self, shape: Shape, labels: &Labels, value: f64) {
        let (_, _, _, bounds) = shape;
        let series = self.histograms.entry(Key(shape)).or_default();
        series.point(labels, || Distribution::new(bounds)).observe(bounds, value);
    }

    fn count(&mut self, count: Count, labels: &Labels, tokens: u64) {
        *self.counts.entry(count).or_default().point(labels, || 0) += tokens;
    }

    /// All metrics, as they stand.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let whole = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
        let counts = self.counts.iter().map(|((name, about), series)| Metric {
            name,
            unit: "{token}",
            about,
            points: Points::Counts(series.points(whole)),
        });
        let histograms =
            self.histograms.iter().map(|(Key((name, unit, about, ends)), series)| Metric {
                name,
                unit,
                about,
                points: Points::Histograms(ends, series.points(Clone::clone)),
            });
        let cost = Metric {
            name: "tollgate.cost",
            unit: "USD",
            about: "What calls cost",
            points: Points::Sums(self.cost.points(|cost| usd(*cost))),
        };
        counts.chain(histograms).chain([cost]).collect()
    }
}

/// Parts of a whole by modality; what is left over is of an unknown one. A call that used nothing
/// counts zero of that.
fn parts(whole: u64, known: [(&'static str, u64); 3]) -> Vec<(&'static str, u64)> {
    let stated: u64 = known.iter().map(|(_, tokens)| *tokens).sum();
    let mut all: Vec<_> = known.into_iter().filter(|(_, tokens)| *tokens > 0).collect();
    let rest = whole.saturating_sub(stated);
    if rest > 0 || all.is_empty() {
        all.push(("unknown", rest));
    }
    all
}

fn inputs(usage: &Usage) -> Vec<(&'static str, u64)> {
    let known =
        [("text", usage.input_text), ("image", usage.input_image), ("audio", usage.input_audio)];
    parts(usage.input, known)
}

fn outputs(usage: &Usage) -> Vec<(&'static str, u64)> {
    let known =
        [("text", usage.output_text), ("image", usage.output_image), ("audio", usage.output_audio)];
    parts(usage.output, known)
}

fn and(base: &Labels, name: &'static str, value: &str) -> Labels {
    let mut all = base.clone();
    all.extend(labels(vec![(name, value.into())]));
    all
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "histograms are of floats; counters are exact")]
fn number(tokens: u64) -> f64 {
    tokens as f64
}

#[expect(clippy::cast_precision_loss, reason = "the ledger holds the exact sum")]
fn usd(cost: NanoUsd) -> f64 {
    cost.nanos() as f64 / 1e9
}
