//! How the simulated provider is to behave.

use std::time::Duration;

/// How the simulated provider behaves.
#[derive(Clone, Debug)]
pub struct Script {
    /// From the request to the first byte of the answer.
    pub latency: Duration,
    /// From there to the first token of a stream.
    pub first_token: Duration,
    /// Between the chunks of a stream.
    pub interval: Duration,
    /// How many chunks a stream's text comes in; `None` sends token by token.
    pub chunks: Option<u32>,
    /// The input tokens that it states; `None` states a quarter of the body's bytes.
    pub input_tokens: Option<u64>,
    /// How many tokens it generates, as far as the caller's maximum allows.
    pub output_tokens: Option<u64>,
    /// How many calls of a million fail.
    pub failures_per_million: u32,
    /// How they fail.
    pub failure: Failure,
    /// What the choice of texts and failures is drawn from.
    pub seed: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(200),
            first_token: Duration::ZERO,
            interval: Duration::from_millis(10),
            chunks: None,
            input_tokens: None,
            output_tokens: None,
            failures_per_million: 0,
            failure: Failure::ServerError,
            seed: 0,
        }
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// 500 at once.
    #[default]
    ServerError,
    /// 429 with `retry-after`.
    RateLimited,
    /// 503.
    Overloaded,
    /// No answer ever comes.
    Silent,
    /// The connection breaks in the middle of the answer.
    CutOff,
    /// An error inside a stream of status 200; 500 where no stream was asked for.
    Inband,
}
