//! Step 6: the call is made, as often as it takes and as its budget allows: a target, the same once
//! more after a pause, another, a fallback. What comes out is the answer that the client gets, or the
//! last failure where nobody could help.
//!
//! The rules, in this order:
//!
//! 1. What was passed on is never tried again. A stream is held back until it speaks
//!    (`opening`), so that one which fails at once is tried elsewhere and never mixed with another.
//! 2. What another target of the same route can do is asked of it at once.
//! 3. Else the same target is asked again after a pause, as its provider allows (`backoff`):
//!    `retry.attempts` of it in all, and only while retries are few among its calls.
//! 4. Else the fallbacks come, in their order.
//! 5. A call has so many attempts in all, and so much time (`timeout.total` of its first provider).
//!
//! Going on is decided anew by the limits (`going_on`): another target has another price. Whatever
//! becomes of the call, each attempt stands in its row with what it cost (`tries`).

mod backoff;
mod going_on;
mod opening;
mod pause;
mod tries;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, response};
use tollgate_domain::attempt::Billing;
use tollgate_domain::fault::Code;
use tollgate_wire::dialect::{read_answer, read_error, read_headers};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::error::meant;
use tollgate_wire::facts::{AnswerFacts, InbandError};
use tollgate_wire::waiting;

use crate::answer::{Answer, AnswerBody};
use crate::forward::{Ended, forward};
use crate::open_call::{OpenCall, class_of};
use crate::provider::RetryPolicy;
use crate::pump::{Ending, Pump};
use crate::relay::stream_pump;
use crate::stop::Stop;
use backoff::pause_before;
use opening::Opening;
use pause::Pause;
pub use tries::Tries;
use verdict::{Again, Blame, Seen, Verdict};

/// What generating one token may take, where a whole answer is awaited: its first byte comes when the
/// last token is there.
const PER_TOKEN: Duration = Duration::from_millis(50);
/// Bytes of an answer that make a token, where it does not say how many it has.
const BYTES_PER_TOKEN: usize = 4;

/// What an attempt has brought.
#[derive(Debug)]
pub enum Got {
    /// All of an answer.
    Whole(Box<WholeAnswer>),
    /// A stream that has spoken, or that nobody waits for to speak.
    Stream(Box<response::Parts>, Box<Pump>),
    /// No answer, and what was seen of one.
    Nothing(Ended, Option<Box<Ending>>),
}

/// An answer that is all there, and what it says.
#[derive(Debug)]
pub struct WholeAnswer {
    /// Status and headers.
    pub head: response::Parts,
    /// The body.
    pub body: Bytes,
    /// What it says about itself.
    pub facts: AnswerFacts,
    /// The error that it is or holds.
    pub error: Option<InbandError>,
    /// Whether it is not the JSON that it should be.
    pub garbage: bool,
}

impl WholeAnswer {
    fn read(call: &OpenCall, head: response::Parts, body: Bytes) -> Self {
        let (rules, operation) = (call.chosen.target.provider.vendor.usage, call.operation());
        let mut facts = read_answer(operation, rules, &body);
        read_headers(operation, &|name| head.headers.get(name)?.to_str().ok(), &mut facts);
        let ok = head.status.is_success();
        // What is asked for in an unknown form may be anything: a file, a picture, nothing at all.
        let cut = facts.cut && !matches!(operation, Endpoint::Other | Endpoint::Read);
        let garbage = ok && (cut || !operation.answers_with(&body));
        let error = if ok { None } else { read_error(&body) }.or_else(|| facts.error.clone());
        Self { head, body, facts, error, garbage }
    }
}

/// Where a failed call goes on.
enum Next {
    /// To the same target, after so long.
    Same(Duration),
    /// To another one, which the call holds enough for.
    Other,
    /// Nowhere.
    Nobody,
}

/// Makes a call until it is answered, or nobody is left to ask.
pub async fn attempt(mut call: Box<OpenCall>, head: &Parts) -> (Box<OpenCall>, Got) {
    call.tries.begin(&call.chosen);
    let mut last = None;
    loop {
        if let Err(shut) = call.enter() {
            // Its breaker has opened since it was chosen.
            if going_on::to_next(&mut call) {
                continue;
            }
            call.go_back();
            let got = last.unwrap_or_else(|| Got::Nothing(Ended::Stopped(left_alone(shut)), None));
            return (call, got);
        }
        let (back, got) = once(call, head).await;
        call = back;
        let verdict = judge(&call, &got);
        heed(&mut call, &got, &verdict);
        if verdict.again == Again::Never {
            return (call, got);
        }
        call.leave(&got, &verdict);
        match next(&mut call, &verdict) {
            Next::Nobody => return (call, got),
            Next::Other => {}
            Next::Same(pause) => {
                let (back, stopped) = Pause::new(call, pause).await;
                call = back;
                if let Some(stop) = stopped {
                    return (call, Got::Nothing(Ended::Stopped(stop), None));
                }
            }
        }
        last = Some(got);
    }
}

/// One attempt, up to what decides whether there is another.
async fn once(call: Box<OpenCall>, head: &Parts) -> (Box<OpenCall>, Got) {
    let (mut call, answered) = forward(call, head).await;
    let Answer { head, body } = match answered {
        Ok(answer) => answer,
        Err(ended) => return (call, Got::Nothing(ended, None)),
    };
    call.first_byte();
    match body {
        AnswerBody::Whole(body) => {
            let answer = WholeAnswer::read(&call, head, body);
            (call, Got::Whole(Box::new(answer)))
        }
        AnswerBody::Stream(source) => {
            let pump = Box::new(stream_pump(&call, &head, source));
            if !head.status.is_success() || !call.may_go_on() {
                return (call, Got::Stream(Box::new(head), pump));
            }
            let (call, opened) = Opening::new(call, pump).await;
            let got = match opened {
                Ok(pump) => Got::Stream(Box::new(head), pump),
                Err((ended, seen)) => Got::Nothing(ended, Some(seen)),
            };
            (call, got)
        }
    }
}

/// Says what an attempt has shown.
fn judge(call: &OpenCall, got: &Got) -> Verdict {
    match got {
        Got::Nothing(Ended::Stopped(_), _) => Verdict::of(Seen::Stopped),
        Got::Nothing(Ended::Broken(broken), _) => {
            Verdict::of(Seen::Broken(broken.phase, broken.timed_out))
        }
        Got::Whole(answer) => {
            let (status, ok) = (answer.head.status.as_u16(), answer.head.status.is_success());
            let seen = match &answer.error {
                _ if !ok => Seen::Status(status),
                _ if answer.garbage => Seen::Garbage,
                Some(error) => Seen::ErrorInside(meant(error)),
                None => Seen::Answer,
            };
            let class = answer.error.as_ref().map(|error| Arc::from(class_of(error)));
            let verdict = Verdict { class, ..Verdict::of(seen) };
            verdict.told_to_wait(|| wait(call, &answer.head.headers, &answer.body))
        }
        Got::Stream(head, pump) => {
            let error = pump.facts().error.as_ref();
            let seen = match error {
                _ if !head.status.is_success() => Seen::Status(head.status.as_u16()),
                Some(error) => Seen::ErrorInside(meant(error)),
                None => Seen::Answer,
            };
            let class = error.map(|error| Arc::from(class_of(error)));
            let verdict = Verdict { class, ..Verdict::of(seen) };
            verdict.told_to_wait(|| wait(call, &head.headers, &[]))
        }
    }
    .within(call)
}

/// How long the provider asks to wait, and whether it asks not to be tried again.
fn wait(call: &OpenCall, headers: &HeaderMap, body: &[u8]) -> (Option<Duration>, bool) {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let told = waiting::retry_after(header, call.plane.clock.now());
    let never = header("x-should-retry").is_some_and(|value| value == "false");
    (told.or_else(|| tollgate_wire::dialect::retry_after(body)), never)
}

/// Tells the target's health what an attempt has shown.
fn heed(call: &mut OpenCall, got: &Got, verdict: &Verdict) {
    let Some(pass) = call.tries.pass() else { return };
    let health = Arc::clone(pass.health());
    health.attempted(verdict.outcome);
    match verdict.blame {
        Blame::Nobody => pass.tells_nothing(),
        Blame::Target => pass.failed(),
        Blame::Rest => {
            pass.tells_nothing();
            health.rest(verdict.wait.unwrap_or(Duration::from_secs(1)));
        }
        Blame::Good => {
            if let Got::Whole(answer) = got {
                let allowed = allowed(call.operation(), answer);
                if let Some(pass) = call.tries.pass() {
                    pass.answered(allowed);
                }
            }
            let head = match got {
                Got::Whole(answer) => &answer.head,
                Got::Stream(head, _) => head,
                Got::Nothing(..) => return,
            };
            let header = |name: &str| head.headers.get(name)?.to_str().ok();
            let now = call.plane.clock.now();
            if let Some(rest) = waiting::used_up(call.operation(), header, now) {
                health.rest(rest);
            }
        }
    }
}

/// What generating a whole answer may take on top of the time to the first byte of a stream.
fn allowed(operation: Endpoint, answer: &WholeAnswer) -> Duration {
    if !operation.converses() && operation != Endpoint::Completions {
        return Duration::MAX;
    }
    let guessed = || u64::try_from(answer.body.len() / BYTES_PER_TOKEN).unwrap_or(u64::MAX);
    let tokens = answer.facts.usage.map_or_else(guessed, |usage| usage.output);
    PER_TOKEN.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
}

/// Where a call goes on that has failed.
fn next(call: &mut OpenCall, verdict: &Verdict) -> Next {
    if !call.tries.has_more() {
        return Next::Nobody;
    }
    if going_on::to_sibling(call) {
        return Next::Other;
    }
    if verdict.again == Again::Same
        && let Some(pause) = same_again(call, verdict)
    {
        return Next::Same(pause);
    }
    if going_on::to_next(call) { Next::Other } else { Next::Nobody }
}

/// How long to wait before the same target is asked again; `None` where it is not.
fn same_again(call: &mut OpenCall, verdict: &Verdict) -> Option<Duration> {
    let target = Arc::clone(&call.chosen.target);
    let RetryPolicy { attempts, .. } = target.provider.retry;
    if call.tries.here() >= attempts {
        return None;
    }
    let failed = call.tries.here();
    let pause = pause_before(&target.provider.retry, failed, verdict.wait, call.plane.ids.draw())?;
    let health = target.health(&call.plane.healths);
    let stays_shut = health.shut_for().is_some_and(|shut| shut > pause);
    if stays_shut || !call.tries.has_time_for(pause) || !health.may_retry() {
        return None;
    }
    going_on::hold_what_was_spent(call).then_some(pause)
}

/// What is told where the one target of a call is left alone.
fn left_alone(shut: Duration) -> Stop {
    let message = "the provider has failed too often and is left alone for a while";
    Stop { retry_after: Some(shut), ..Stop::new(Code::CircuitOpen, message) }
}

impl Verdict {
    /// The same as far as this call may go on. What nobody knows the effects of is tried again only
    /// where nothing was done, and so is an answer in the background, which would go on being made.
    fn within(self, call: &OpenCall) -> Self {
        let opaque = matches!(call.operation(), Endpoint::Other | Endpoint::Read);
        let reads = call.through.as_ref().is_some_and(|it| it.method == http::Method::GET);
        let harmful = match (opaque, call.peek.background) {
            (true, _) => !reads && !self.is_untouched(),
            (false, true) => self.billing == Billing::Unknown,
            (false, false) => false,
        };
        if harmful { Self { again: Again::Never, ..self } } else { self }
    }
}
