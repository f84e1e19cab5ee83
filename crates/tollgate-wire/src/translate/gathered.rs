//! A whole answer, gathered from its events.

use tollgate_domain::usage::Usage;

use crate::facts::InbandError;

use super::reply::{Block, Event, Stop};

/// What the events of an answer came to.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    /// Blocks in the order in which they began.
    pub(crate) content: Vec<Content>,
    pub(crate) stop: Option<Stop>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<InbandError>,
}

/// A block.
#[derive(Debug)]
pub(crate) struct Content {
    number: u32,
    pub(crate) kind: Block,
    pub(crate) text: String,
    pub(crate) proof: String,
}

impl Gathered {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut gathered = Self::default();
        for event in events {
            gathered.take(event);
        }
        gathered
    }

    /// Whether the model refused in words.
    pub(crate) fn refused(&self) -> bool {
        self.content.iter().any(|content| content.kind == Block::Refusal)
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Begin { id, model, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::Open(number, kind) => {
                let (text, proof) = (String::new(), String::new());
                self.content.push(Content { number: *number, kind: kind.clone(), text, proof });
            }
            Event::Delta(number, text) => {
                if let Some(content) = self.block(*number) {
                    content.text.push_str(text);
                }
            }
            Event::Proof(number, proof) => {
                if let Some(content) = self.block(*number) {
                    content.proof.clone_from(proof);
                }
            }
            Event::Stop(stop) => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => self.error = Some(error.clone()),
            Event::Close(_) | Event::End => {}
        }
    }

    fn block(&mut self, number: u32) -> Option<&mut Content> {
        self.content.iter_mut().rfind(|content| content.number == number)
    }
}
