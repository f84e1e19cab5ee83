//! A stream on its way: bytes from the provider through the meter. The same pump serves a client
//! that listens and, when it has gone, the task that drains the rest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tollgate_domain::usage::Usage;
use tollgate_wire::count::count_tokens;
use tollgate_wire::dialect::{cut_events, error_events};
use tollgate_wire::error::ErrorView;
use tollgate_wire::facts::{AnswerFacts, InbandError, StreamFacts};
use tollgate_wire::framing::Framing;
use tollgate_wire::meter::{Flow, Meter};
use tollgate_wire::translate::Translator;

use crate::answer::Source;
use crate::stop::Stop;
use crate::upstream::{Broken, Phase};

/// How often a waiting stream looks whether it may go on.
const TICK: Duration = Duration::from_millis(500);

/// What the pump brings next.
#[derive(Debug)]
pub enum Step {
    /// Bytes for the client.
    Bytes(Bytes),
    /// The last bytes of the answer. They leave when the call is settled.
    Last(Vec<Bytes>),
    /// The provider has ended the stream.
    Ended,
    /// Nothing has come for a while; time to look whether the call may go on.
    Tick,
    /// The stream broke off.
    Broken(Broken),
}

/// What the beginning of a stream brings.
#[derive(Debug)]
pub enum Beginning {
    /// It speaks, or has said why it will not.
    Speaks,
    /// Nothing has come for a while; time to look whether the call may go on.
    Quiet,
    /// It ended and had said nothing.
    Empty,
    /// It broke off.
    Broken(Broken),
}

/// What was received of a stream.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What it said about itself.
    pub facts: StreamFacts,
    /// Tokens of the generated text, where the provider states no usage.
    pub counted_output: u64,
    /// Whether it was ended from our side.
    pub cut: bool,
    /// The beginning of the generated text, where bodies are kept.
    pub text: Option<Text>,
}

/// Generated text. It is shown nowhere.
#[derive(Clone)]
pub struct Text(pub Box<str>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// How patient a pump is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest pause between two parts.
    pub idle: Duration,
    /// Longest time for the whole.
    pub total: Duration,
}

/// A stream on its way.
#[derive(Debug)]
pub struct Pump {
    source: Source,
    meter: Meter,
    /// Turns what passed the meter into the client's form, where that is another.
    translator: Option<Box<Translator>>,
    ready: VecDeque<Bytes>,
    passed: Vec<Bytes>,
    ended: bool,
    /// The source has said that it is at its end.
    drained: bool,
    /// Whether the generated text is wanted at the end.
    keeps_text: bool,
    patience: Patience,
    quiet_since: Instant,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pump {
    /// A pump from `source` through `meter`.
    pub fn new(source: Source, meter: Meter, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            source,
            meter,
            translator: None,
            ready: VecDeque::new(),
            passed: Vec::new(),
            ended: false,
            drained: false,
            keeps_text: false,
            patience,
            quiet_since: now,
            deadline: now + patience.total,
            alarm: None,
        }
    }

    /// The same, with what passes the meter translated into the client's form.
    #[must_use]
    pub fn translated(self, translator: Option<Box<Translator>>) -> Self {
        Self { translator, ..self }
    }

    /// The same, with the generated text in its ending where it is `wanted`.
    #[must_use]
    pub fn keeping_text(self, wanted: bool) -> Self {
        Self { keeps_text: wanted, ..self }
    }

    /// The beginning of the generated text, where it is wanted.
    fn text(&self) -> Option<Text> {
        let mut found = None;
        if self.keeps_text {
            let copy = |text: &str| {
                found = Some(Text(text.into()));
                0
            };
            self.meter.estimate_output(copy);
        }
        found
    }

    /// What was received, where the stream is ended from our side. A usage that the provider has
    /// stated so far is not the last word, so the text is counted.
    pub fn cut(&self, model: &str) -> Ending {
        let mut answer = self.meter.facts().clone();
        answer.break_off();
        answer.finish_reason = Some("length".into());
        let facts = StreamFacts {
            answer,
            done: true,
            text_bytes: self.meter.text_bytes(),
            first_token_seen: self.meter.first_token_seen(),
        };
        let counted_output = self.meter.estimate_output(|text| count_tokens(model, text));
        Ending { facts, counted_output, cut: true, text: self.text() }
    }

    /// What was received, at the end of the stream. The generated text is counted only where the
    /// provider states no usage.
    pub fn ending(&mut self, model: &str) -> Ending {
        let facts = self.meter.finish();
        let counted_output = match facts.answer.usage {
            Some(_) => 0,
            None => self.meter.estimate_output(|text| count_tokens(model, text)),
        };
        Ending { facts, counted_output, cut: false, text: self.text() }
    }

    /// Bytes of generated text so far: no fewer than its tokens.
    pub fn text_bytes(&self) -> u64 {
        self.meter.text_bytes()
    }

    /// Tokens of the generated text so far.
    pub fn count_output(&self, count: impl FnOnce(&str) -> u64) -> u64 {
        self.meter.estimate_output(count)
    }

    /// The events that end the stream from our side.
    pub fn cut_events(&mut self, model: &str, usage: Option<&Usage>) -> Bytes {
        match &mut self.translator {
            Some(translator) => {
                let mut out = Vec::new();
                translator.cut(usage, &mut out);
                out.concat().into()
            }
            None => cut_events(&self.meter.cut(), model, usage),
        }
    }

    /// Whether the provider has said under which id it keeps the answer.
    pub fn is_named(&self) -> bool {
        self.meter.facts().id.is_some()
    }

    /// What is ready to leave. It came before the end, and the events that end the stream build on
    /// it.
    pub fn take_ready(&mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.ready)
    }

    /// Whether the client's stream may hold comments.
    pub fn takes_remarks(&self) -> bool {
        self.meter.framing() == Framing::Events && self.translator.is_none()
    }

    /// The event that tells the client why its stream ends before its end.
    pub fn error_event(&mut self, stop: &Stop) -> Bytes {
        let Some(translator) = &mut self.translator else {
            let view = ErrorView::new(stop.code, &stop.message);
            return error_events(&self.meter.cut(), &view);
        };
        let mut out = Vec::new();
        let error = InbandError {
            code: Some(stop.code.as_str().into()),
            kind: None,
            message: (&*stop.message).into(),
            status: Some(stop.code.status()),
        };
        translator.fail(error, &mut out);
        out.concat().into()
    }

    /// What the meter held back and the end of the stream has brought out.
    pub fn take_rest(&mut self) -> Vec<Bytes> {
        let held = self.meter.take_final();
        let Some(translator) = &mut self.translator else { return held };
        let mut out = Vec::new();
        for bytes in &held {
            translator.push(bytes, &mut out);
        }
        translator.finish(&mut out);
        out
    }

    /// From now on the rest must come within `total`.
    pub fn hurry(&mut self, total: Duration) {
        self.deadline = self.deadline.min(Instant::now() + total);
        self.alarm = None;
    }

    /// What the stream has said about itself so far.
    pub fn facts(&self) -> &AnswerFacts {
        self.meter.facts()
    }

    /// What was received so far of a stream that goes on.
    pub fn so_far(&self, model: &str) -> Ending {
        let answer = self.meter.facts().clone();
        let counted_output = match answer.usage {
            Some(_) => 0,
            None => self.meter.estimate_output(|text| count_tokens(model, text)),
        };
        let (text_bytes, first_token_seen) =
            (self.meter.text_bytes(), self.meter.first_token_seen());
        let facts = StreamFacts { answer, done: false, text_bytes, first_token_seen };
        Ending { facts, counted_output, cut: false, text: None }
    }

    /// Brings the beginning of the stream without passing it on: until there is text, the end or an
    /// error, or until half a second after its first bytes. What came is passed on by
    /// [`Self::poll_step`].
    pub fn poll_beginning(&mut self, cx: &mut Context<'_>) -> Poll<Beginning> {
        loop {
            let silent = |facts: &AnswerFacts| {
                facts.finish_reason.is_none() && facts.usage.is_none() && facts.error.is_none()
            };
            match self.source.poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => match self.take(&chunk) {
                    Err(broken) => return Poll::Ready(Beginning::Broken(broken)),
                    Ok(()) if self.ended && !self.meter.first_token_seen() => {
                        let empty = silent(self.meter.facts());
                        let beginning = if empty { Beginning::Empty } else { Beginning::Speaks };
                        return Poll::Ready(beginning);
                    }
                    Ok(()) if self.speaks() => return Poll::Ready(Beginning::Speaks),
                    Ok(()) => {}
                },
                Poll::Ready(Some(Err(broken))) => {
                    return Poll::Ready(Beginning::Broken(broken));
                }
                Poll::Ready(None) => {
                    self.drained = true;
                    let empty = !self.speaks() && silent(self.meter.facts());
                    let beginning = if empty { Beginning::Empty } else { Beginning::Speaks };
                    return Poll::Ready(beginning);
                }
                Poll::Pending => {
                    return match ready!(self.poll_alarm(cx)) {
                        Step::Broken(broken) => Poll::Ready(Beginning::Broken(broken)),
                        _ if self.ready.is_empty() => Poll::Ready(Beginning::Quiet),
                        _ => Poll::Ready(Beginning::Speaks),
                    };
                }
            }
        }
    }

    /// Whether something has come that somebody would hear.
    fn speaks(&self) -> bool {
        let sounds = self.meter.framing() == Framing::Opaque && !self.ready.is_empty();
        self.meter.first_token_seen() || self.meter.facts().error.is_some() || sounds
    }

    /// Takes bytes of the provider through the meter.
    fn take(&mut self, chunk: &Bytes) -> Result<(), Broken> {
        self.quiet_since = Instant::now();
        let flow = self.meter.push(chunk, &mut self.passed);
        let flow = flow.map_err(|error| Broken::new(Phase::Body, error))?;
        self.ended = flow == Flow::Ended;
        self.pass();
        Ok(())
    }

    /// Brings the next step.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Step::Bytes(bytes));
            }
            if self.ended {
                self.ended = false;
                return Poll::Ready(Step::Last(self.take_rest()));
            }
            if self.drained {
                return Poll::Ready(Step::Ended);
            }
            match self.source.poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    if let Err(broken) = self.take(&chunk) {
                        return Poll::Ready(Step::Broken(broken));
                    }
                }
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Step::Broken(broken)),
                Poll::Ready(None) => return Poll::Ready(Step::Ended),
                Poll::Pending => return self.poll_alarm(cx),
            }
        }
    }

    /// What has passed the meter may leave, in the client's form.
    fn pass(&mut self) {
        let Some(translator) = &mut self.translator else {
            self.ready.extend(self.passed.drain(..));
            return;
        };
        let mut out = Vec::new();
        for bytes in self.passed.drain(..) {
            translator.push(&bytes, &mut out);
        }
        self.ready.extend(out);
    }

    /// Rings when the provider has been quiet for too long. The alarm is set once and looked at
    /// again when it rings, so that a busy stream does not move a timer for each part.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let next = Instant::now() + TICK;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        ready!(alarm.as_mut().poll(cx));
        let now = Instant::now();
        let due = (self.quiet_since + self.patience.idle).min(self.deadline);
        if now >= due {
            let what = "the provider paused for too long";
            return Poll::Ready(Step::Broken(Broken::timed_out(Phase::Body, what)));
        }
        alarm.as_mut().reset(due.min(now + TICK));
        Poll::Ready(Step::Tick)
    }
}
