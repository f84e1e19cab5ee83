//! Brings the events of a reader into the order that writers rely on.
//!
//! Providers leave out beginnings, ends and empty arguments; here they are put in once for all
//! forms. Proofs are marked with their origin, and those of calls go into the calls' ids.

use super::Form;
use super::proof::{marked, with_signature};
use super::reply::{Block, Event, Reason, Stop};

/// The events of one answer on their way from its reader to its writer.
#[derive(Debug)]
pub(super) struct Flow {
    provider: Form,
    client: Form,
    phase: Phase,
    open: Vec<Opened>,
    /// A call that has been opened and may get a proof.
    held: Option<(u32, String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Silent,
    Begun,
    Stopped,
    Ended,
}

#[derive(Debug)]
struct Opened {
    number: u32,
    kind: Kind,
    /// Something came: a proof for a thought, arguments for a call.
    filled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thought,
    Call,
    Other,
}

impl Flow {
    pub(super) fn new(provider: Form, client: Form) -> Self {
        Self { provider, client, phase: Phase::Silent, open: Vec::new(), held: None }
    }

    /// Whether the last event has passed.
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Takes an event of the reader and appends those for the writer.
    pub(super) fn push(&mut self, event: Event, out: &mut Vec<Event>) {
        if self.phase == Phase::Ended {
            return;
        }
        let Some(event) = self.merged(event, out) else { return };
        if self.phase == Phase::Silent {
            self.phase = Phase::Begun;
            if !matches!(event, Event::Begin { .. }) {
                out.push(Event::Begin { id: None, model: None, created: None });
            }
        } else if matches!(event, Event::Begin { .. }) {
            return;
        }
        match event {
            Event::Open(number, block) => self.opened(number, block, out),
            Event::Delta(number, text) => self.delta(number, text, out),
            Event::Proof(number, proof) => self.proof(number, &proof, out),
            Event::Close(number) => self.close(number, out),
            Event::Stop(stop) => self.stop(stop, out),
            Event::Error(error) => {
                self.phase = Phase::Ended;
                out.extend([Event::Error(error), Event::End]);
            }
            Event::End => self.end(out),
            event @ (Event::Begin { .. } | Event::Usage(_)) => out.push(event),
        }
    }

    /// The provider's stream has ended: an answer that said why it stopped is whole.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>) {
        self.release(out);
        if self.phase == Phase::Stopped {
            self.end(out);
        }
    }

    /// Ends the answer as if it had come to its bound.
    pub(super) fn cut(&mut self, out: &mut Vec<Event>) {
        let stop = Stop { reason: Reason::Length, native: "length".to_owned(), sequence: None };
        self.push(Event::Stop(stop), out);
        self.push(Event::End, out);
    }

    /// Joins a call with its proof; any other event lets the call go.
    fn merged(&mut self, event: Event, out: &mut Vec<Event>) -> Option<Event> {
        match (&mut self.held, event) {
            (Some((held, id, _)), Event::Proof(number, proof)) if *held == number => {
                *id = with_signature(id, &proof);
                None
            }
            (_, event) => {
                self.release(out);
                Some(event)
            }
        }
    }

    fn release(&mut self, out: &mut Vec<Event>) {
        if let Some((number, id, name)) = self.held.take() {
            out.push(Event::Open(number, Block::Call { id, name }));
        }
    }

    fn opened(&mut self, number: u32, block: Block, out: &mut Vec<Event>) {
        let kind = match &block {
            Block::Thought | Block::SealedThought => Kind::Thought,
            Block::Call { .. } => Kind::Call,
            Block::Text | Block::Refusal => Kind::Other,
        };
        self.open.push(Opened { number, kind, filled: false });
        match block {
            Block::Call { id, name } => self.held = Some((number, id, name)),
            block => out.push(Event::Open(number, block)),
        }
    }

    fn delta(&mut self, number: u32, text: String, out: &mut Vec<Event>) {
        let Some(opened) = self.open.iter_mut().find(|opened| opened.number == number) else {
            return;
        };
        if !text.is_empty() {
            opened.filled |= opened.kind == Kind::Call;
            out.push(Event::Delta(number, text));
        }
    }

    fn proof(&mut self, number: u32, proof: &str, out: &mut Vec<Event>) {
        let opened = self.open.iter_mut().find(|opened| opened.number == number);
        if let Some(opened) = opened.filter(|opened| opened.kind == Kind::Thought) {
            opened.filled = true;
            out.push(Event::Proof(number, marked(proof, self.provider, self.client)));
        }
    }

    fn close(&mut self, number: u32, out: &mut Vec<Event>) {
        let Some(place) = self.open.iter().position(|opened| opened.number == number) else {
            return;
        };
        let opened = self.open.remove(place);
        if !opened.filled {
            match opened.kind {
                Kind::Call => out.push(Event::Delta(number, "{}".to_owned())),
                Kind::Thought => {
                    out.push(Event::Proof(number, marked("", self.provider, self.client)));
                }
                Kind::Other => {}
            }
        }
        out.push(Event::Close(number));
    }

    fn stop(&mut self, stop: Stop, out: &mut Vec<Event>) {
        while let Some(opened) = self.open.first() {
            let number = opened.number;
            self.close(number, out);
        }
        if self.phase < Phase::Stopped {
            self.phase = Phase::Stopped;
            out.push(Event::Stop(stop));
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if self.phase < Phase::Stopped {
            let native = String::new();
            self.stop(Stop { reason: Reason::End, native, sequence: None }, out);
        }
        self.phase = Phase::Ended;
        out.push(Event::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(events: Vec<Event>) -> Vec<Event> {
        let (mut flow, mut out) = (Flow::new(Form::Gemini, Form::Chat), Vec::new());
        for event in events {
            flow.push(event, &mut out);
        }
        flow.finish(&mut out);
        out
    }

    fn call(id: &str) -> Block {
        Block::Call { id: id.to_owned(), name: "f".to_owned() }
    }

    fn stop() -> Event {
        Event::Stop(Stop { reason: Reason::Calls, native: "STOP".to_owned(), sequence: None })
    }

    #[test]
    fn what_a_provider_leaves_out_is_put_in() {
        let out = ordered(vec![Event::Open(0, call("a")), Event::Delta(0, String::new()), stop()]);
        let expected = [
            Event::Begin { id: None, model: None, created: None },
            Event::Open(0, call("a")),
            Event::Delta(0, "{}".to_owned()),
            Event::Close(0),
            stop(),
            Event::End,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn the_proof_of_a_call_goes_into_its_id() {
        let out = ordered(vec![
            Event::Open(0, call("a")),
            Event::Proof(0, "sig+/=".to_owned()),
            Event::Delta(0, "{}".to_owned()),
            Event::Close(0),
        ]);
        assert_eq!(out.get(1), Some(&Event::Open(0, call("a__thought__c2lnKy89"))));
        assert!(!out.iter().any(|event| matches!(event, Event::Proof(..))));
        assert!(!out.contains(&Event::End), "the answer did not say that it was over");
    }

    #[test]
    fn a_thought_says_where_it_comes_from() {
        let thought = |proof: Option<&str>| {
            let proof = proof.map(|proof| Event::Proof(0, proof.to_owned()));
            let mut events = vec![Event::Open(0, Block::Thought)];
            events.extend(proof);
            events.push(Event::Close(0));
            ordered(events)
        };
        for (proof, expected) in [(Some("s"), "tollgate/gemini/s"), (None, "tollgate/gemini/")] {
            let out = thought(proof);
            assert_eq!(out.get(2), Some(&Event::Proof(0, expected.to_owned())), "{out:?}");
        }
    }

    #[test]
    fn nothing_follows_an_error_or_the_end() {
        let error = crate::facts::InbandError::default();
        let out = ordered(vec![
            Event::Open(0, Block::Text),
            Event::Error(error.clone()),
            Event::Delta(0, "late".to_owned()),
            stop(),
        ]);
        assert_eq!(out.get(2..), Some(&[Event::Error(error), Event::End][..]));
        assert_eq!(ordered(vec![Event::End, stop(), Event::End]).len(), 3);
    }
}
