//! The simulated provider: answers from inside the program, as scripted, in the OpenAI form.
//!
//! It is pure: it says what is to be sent and after which wait; whoever serves it does the waiting.
//! The same script, seed and call number give the same answer, so that a demonstration and a test
//! can be repeated. Its usage is exact: a token is a piece of text that it sent.

mod completion;
mod content;
mod embedding;
mod responses;
mod schema;
mod script;

use std::time::Duration;

use bytes::Bytes;
use tollgate_domain::call::Dialect;
use tollgate_domain::fault::Code;
use tollgate_domain::usage::Usage;

use crate::endpoint::Endpoint;
use crate::error::{ErrorView, error_body, error_event};
use crate::peek::Peek;

use content::Content;
pub use script::{Failure, Script};

/// One call of the simulated provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// What was read of the body.
    pub peek: &'a Peek,
    /// The body.
    pub body: &'a [u8],
    /// Whether the usage chunk of a stream is wanted, by the client or by the gateway.
    pub include_usage: bool,
    /// A number that differs from call to call.
    pub call: u64,
    /// The time, in seconds since the epoch.
    pub created: u64,
}

/// How an answer ends after its last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Clean,
    /// The connection breaks.
    Reset,
}

/// An answer as it is to be sent.
#[derive(Debug)]
pub struct Plan {
    /// From the request to status and headers; [`Duration::MAX`] where they never come.
    pub latency: Duration,
    /// The HTTP status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body: each part after its wait.
    pub parts: Parts,
    /// What follows the last part.
    pub end: End,
}

/// The parts of a body, made as they are asked for.
#[derive(Debug)]
pub struct Parts {
    kind: Kind,
    step: usize,
    /// Parts in all.
    count: usize,
    first_token: Duration,
    interval: Duration,
}

#[derive(Debug)]
enum Kind {
    Whole(Bytes),
    Stream(Box<Answer>),
    /// A stream that breaks off with this event.
    Broken(Box<Answer>, Bytes),
}

impl Iterator for Parts {
    type Item = (Duration, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        if self.step >= self.count {
            return None;
        }
        let (step, last) = (self.step, self.step + 1 == self.count);
        self.step += 1;
        let wait = match step {
            0 => self.first_token,
            1 => Duration::ZERO,
            _ => self.interval,
        };
        match &self.kind {
            Kind::Whole(bytes) => Some((Duration::ZERO, bytes.clone())),
            Kind::Broken(_, event) if last => Some((wait, event.clone())),
            Kind::Stream(answer) | Kind::Broken(answer, _) => Some((wait, answer.part(step))),
        }
    }
}

/// Everything that an answer consists of.
#[derive(Debug)]
struct Answer {
    endpoint: Endpoint,
    id: String,
    created: u64,
    model: Box<str>,
    choices: u64,
    content: Content,
    /// Tokens of each choice.
    tokens: usize,
    /// Tokens in each chunk of a stream.
    per_chunk: usize,
    /// The caller's maximum ended it.
    short: bool,
    usage: Usage,
    include_usage: bool,
}

impl Answer {
    /// Parts of the stream: a head, the text, a tail.
    fn parts(&self) -> usize {
        self.tokens.div_ceil(self.per_chunk) + 2
    }

    fn part(&self, step: usize) -> Bytes {
        let last = self.parts() - 1;
        let mut out = Vec::with_capacity(512);
        let text = match step.checked_sub(1) {
            Some(chunk) if step < last => {
                let from = chunk * self.per_chunk;
                self.content.text(from, self.tokens.min(from + self.per_chunk))
            }
            _ => String::new(),
        };
        let responses = self.endpoint.is_responses();
        match (responses, step) {
            (false, 0) => completion::head(&mut out, self),
            (true, 0) => responses::head(&mut out, self),
            (false, step) if step < last => completion::delta(&mut out, self, &text),
            (true, step) if step < last => responses::delta(&mut out, self, step, &text),
            (false, _) => completion::tail(&mut out, self),
            (true, _) => responses::tail(&mut out, self, last - 1),
        }
        out.into()
    }

    /// All the text of a choice.
    fn text(&self) -> String {
        self.content.text(0, self.tokens)
    }
}

/// What the simulated provider answers to a call.
pub fn answer(script: &Script, ask: &Ask<'_>) -> Plan {
    let mut random = Random(script.seed ^ ask.call.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let fails = random.next() % 1_000_000 < u64::from(script.failures_per_million);
    let stream = ask.peek.stream;
    match script.failure {
        Failure::ServerError if fails => error(script, Code::Internal, 500),
        Failure::RateLimited if fails => error(script, Code::RateLimited, 429),
        Failure::Overloaded if fails => error(script, Code::Overloaded, 503),
        Failure::Inband if fails && !stream => error(script, Code::Internal, 500),
        Failure::Silent if fails => {
            Plan { latency: Duration::MAX, ..error(script, Code::Internal, 500) }
        }
        failure => generate(script, ask, &mut random, fails.then_some(failure)),
    }
}

fn generate(script: &Script, ask: &Ask<'_>, random: &mut Random, fails: Option<Failure>) -> Plan {
    match ask.endpoint {
        Endpoint::Embeddings => return whole(script, embedding::vectors(script, ask), fails),
        Endpoint::Moderations => return whole(script, embedding::moderation(ask), fails),
        Endpoint::ResponsesInputTokens => {
            let tokens = input_tokens(script, ask);
            let body =
                format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}");
            return whole(script, body.into(), fails);
        }
        _ => {}
    }
    let answer = compose(script, ask, random);
    if !ask.peek.stream {
        let body = if ask.endpoint.is_responses() {
            responses::whole(&answer)
        } else {
            completion::whole(&answer)
        };
        return whole(script, body, fails);
    }
    let parts = answer.parts();
    let (kind, count, end) = match fails {
        Some(Failure::Inband) => {
            let view = ErrorView::new(Code::Internal, "the simulated provider fails on request");
            let sequence = ask.endpoint.is_responses().then_some(4);
            let event = error_event(Dialect::Openai, &view, sequence);
            (Kind::Broken(Box::new(answer), event), parts / 2 + 1, End::Clean)
        }
        Some(_) => (Kind::Stream(Box::new(answer)), parts / 2, End::Reset),
        None => (Kind::Stream(Box::new(answer)), parts, End::Clean),
    };
    let (first_token, interval) = (script.first_token, script.interval);
    Plan {
        latency: script.latency,
        status: 200,
        content_type: "text/event-stream; charset=utf-8",
        headers: Vec::new(),
        parts: Parts { kind, step: 0, count, first_token, interval },
        end,
    }
}

/// Chooses what is said, and counts it.
fn compose(script: &Script, ask: &Ask<'_>, random: &mut Random) -> Answer {
    let content = Content::choose(ask, random);
    let wanted = match &content {
        Content::Prose { .. } => script.output_tokens.unwrap_or_else(|| 16 + random.next() % 48),
        Content::Exact { .. } => u64::MAX,
    };
    let max = ask.peek.max_output.unwrap_or(u64::MAX);
    let most = usize::try_from(wanted.min(max)).unwrap_or(usize::MAX);
    let tokens = most.min(content.pieces().unwrap_or(1 << 20));
    let short = match content.pieces() {
        Some(pieces) => tokens < pieces,
        None => max < wanted,
    };
    let chunks = usize::try_from(script.chunks.unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
    let choices = ask.peek.choices.max(1);
    let output = u64::try_from(tokens).unwrap_or(u64::MAX).saturating_mul(choices);
    let prefix = match ask.endpoint {
        Endpoint::ChatCompletions => "chatcmpl",
        Endpoint::Completions => "cmpl",
        _ => "resp",
    };
    Answer {
        endpoint: ask.endpoint,
        id: format!("{prefix}-sim{:016x}", random.next()),
        created: ask.created,
        model: ask.peek.model.clone(),
        choices,
        content,
        tokens,
        per_chunk: tokens.div_ceil(chunks.max(1)).max(1),
        short,
        usage: Usage::tokens(input_tokens(script, ask), output),
        include_usage: ask.include_usage,
    }
}

fn whole(script: &Script, body: Bytes, fails: Option<Failure>) -> Plan {
    let end = if fails.is_some() { End::Reset } else { End::Clean };
    let body = if end == End::Reset { body.slice(..body.len() / 2) } else { body };
    Plan {
        latency: script.latency,
        status: 200,
        content_type: "application/json",
        headers: Vec::new(),
        parts: single(body),
        end,
    }
}

fn error(script: &Script, code: Code, status: u16) -> Plan {
    let view =
        ErrorView { status, ..ErrorView::new(code, "the simulated provider fails on request") };
    let headers = match status {
        429 => vec![("retry-after", "1".to_owned())],
        _ => Vec::new(),
    };
    Plan {
        latency: script.latency,
        status,
        content_type: "application/json",
        headers,
        parts: single(error_body(Dialect::Openai, &view)),
        end: End::Clean,
    }
}

fn single(body: Bytes) -> Parts {
    let (first_token, interval) = (Duration::ZERO, Duration::ZERO);
    Parts { kind: Kind::Whole(body), step: 0, count: 1, first_token, interval }
}

fn input_tokens(script: &Script, ask: &Ask<'_>) -> u64 {
    script.input_tokens.unwrap_or_else(|| ask.peek.input.bytes.div_ceil(4).max(1))
}

/// A small generator of random numbers (`SplitMix64`), because answers must be repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
