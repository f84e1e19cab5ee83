//! The circuit breaker of one target: closed while it answers, open while it fails too often, and
//! half open for one probe at a time once it has been left alone for a while.
//!
//! ```text
//!            errors ≥ rate, calls ≥ least              open_for is over
//!   closed ───────────────────────────────▶ open ───────────────────────▶ half open
//!      ▲                                      ▲                               │
//!      │              the probe succeeds      │      the probe fails          │
//!      └──────────────────────────────────────┴───────────────────────────────┘
//! ```
//!
//! It is a pure state machine: the time is an argument, and it asks nobody. Whoever enters gets a
//! [`Token`] and says with it how it went, or takes it back; what was begun before the state last
//! changed tells nothing about the target as it is now and is passed over. What counts as a success
//! or an error is decided elsewhere ([`crate::attempts`]).

use std::time::Duration;

use crate::ring::Ring;

/// How long somebody waits who finds a probe under way and nobody else to go to.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The share of errors that opens it, in parts per million.
    pub errors_per_million: u32,
    /// Over which time.
    pub window: Duration,
    /// The fewest calls in that time.
    pub min_calls: u32,
    /// How long it stays open before a probe.
    pub open_for: Duration,
    /// A first byte later than this counts as an error.
    pub slow_first_byte: Duration,
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// One probe at a time.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    /// The number that metrics use.
    pub const fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Who was let through, and in which state of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    turn: u64,
    probe: bool,
}

impl Token {
    /// Whether it is a probe of a target that was left alone.
    pub const fn is_probe(self) -> bool {
        self.probe
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { probing: bool },
}

/// The breaker of one target.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// Calls and errors.
    ring: Ring,
    /// How often the state has changed.
    turn: u64,
    /// How often it has opened.
    openings: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, ring: Ring::default(), turn: 0, openings: 0 }
    }
}

impl Breaker {
    /// How long nobody would be let through; `None` where somebody would.
    pub fn shut_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed | State::HalfOpen { probing: false } => None,
            State::Open { until } => until.checked_sub(now).filter(|left| !left.is_zero()),
            State::HalfOpen { probing: true } => Some(PROBE_WAIT),
        }
    }

    /// Lets a call through, or says for how long not.
    pub fn enter(&mut self, now: Duration) -> Result<Token, Duration> {
        if let Some(shut) = self.shut_for(now) {
            return Err(shut);
        }
        let probe = self.state != State::Closed;
        if let State::Open { .. } = self.state {
            self.turn += 1;
        }
        if probe {
            self.state = State::HalfOpen { probing: true };
        }
        Ok(Token { turn: self.turn, probe })
    }

    /// Takes in how a call went that was let through.
    pub fn report(&mut self, policy: &BreakerPolicy, token: Token, now: Duration, ok: bool) {
        if token.turn != self.turn {
            return;
        }
        match self.state {
            State::HalfOpen { .. } if token.probe && ok => self.turn_to(State::Closed),
            State::HalfOpen { .. } if token.probe => self.open(policy, now),
            State::Closed => {
                self.ring.add(policy.window, now, [1, u32::from(!ok)]);
                if !ok && self.fails(policy, now) {
                    self.open(policy, now);
                }
            }
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// A call that was let through tells nothing: it was not made, its caller was to blame or went
    /// away. Another may be the probe.
    pub fn take_back(&mut self, token: Token) {
        if token.probe && token.turn == self.turn {
            self.state = State::HalfOpen { probing: false };
        }
    }

    /// The state, as somebody who asks now would find it.
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened since it was made; a probe that failed counts as well.
    pub const fn openings(&self) -> u64 {
        self.openings
    }

    /// Calls and errors in the window.
    pub fn counts(&self, policy: &BreakerPolicy, now: Duration) -> [u64; 2] {
        self.ring.sums(policy.window, now)
    }

    fn fails(&self, policy: &BreakerPolicy, now: Duration) -> bool {
        let [calls, errors] = self.counts(policy, now);
        let share = u64::from(policy.errors_per_million);
        calls >= u64::from(policy.min_calls)
            && errors.saturating_mul(1_000_000) >= calls.saturating_mul(share)
    }

    fn open(&mut self, policy: &BreakerPolicy, now: Duration) {
        self.turn_to(State::Open { until: now.saturating_add(policy.open_for) });
        self.openings = self.openings.saturating_add(1);
    }

    /// What was counted before is about a target that was another.
    fn turn_to(&mut self, state: State) {
        self.state = state;
        self.turn += 1;
        self.ring = Ring::default();
    }
}

#[cfg(test)]
mod tests;
