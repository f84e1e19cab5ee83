//! What has come of an answer on its way, how far each listener has read it, and how it ended.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::savings::budget::Budget;
use crate::savings::kept::{Failure, Head};
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// The listener that pays.
pub(super) const PAYER: u64 = 0;

/// What brings an answer.
pub(in crate::savings) type Bringer =
    Pin<Box<dyn Future<Output = Result<Response<RelayBody>, Stop>> + Send + 'static>>;

/// Where more comes from.
pub(super) enum Source {
    /// Nowhere yet: its call has yet to be admitted.
    Waiting,
    /// The head of the answer is awaited.
    Awaited(Bringer),
    /// Its body.
    Body(Box<RelayBody>),
    /// Nowhere any more.
    Over,
}

/// An answer, as far as it has come.
pub(super) struct State {
    pub(super) source: Source,
    pub(super) head: Option<Arc<Heading>>,
    pub(super) chunks: VecDeque<Bytes>,
    /// Number of the first chunk that is still here.
    pub(super) first: usize,
    /// From which chunk on the call was settled before.
    pub(super) last_from: Option<usize>,
    /// Whether every chunk is still here.
    pub(super) recording: bool,
    /// What the chunks take of the room for all answers on their way.
    pub(super) room: Budget,
    pub(super) end: Option<End>,
    /// Why there is no answer, for the one who pays.
    pub(super) stop: Option<Stop>,
    /// Which chunk each listener reads next.
    pub(super) listeners: HashMap<u64, usize>,
    pub(super) next_listener: u64,
}

/// The head of an answer, for the one who pays and for the others, and its body where that is no
/// stream.
#[derive(Debug)]
pub(in crate::savings) struct Heading {
    pub(in crate::savings) own: HeaderMap,
    pub(in crate::savings) shared: Head,
    pub(in crate::savings) whole: Option<Bytes>,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(in crate::savings) enum End {
    /// Whoever was to pay was refused, or has left before anything was sent: nothing was decided.
    Undecided,
    /// There is no answer.
    Failed(Failure),
    /// The answer has ended.
    Done,
}

/// What a listener hears next.
#[derive(Debug)]
pub(in crate::savings) enum Next {
    /// A part of the body, and whether the call was settled before it came.
    Part(Bytes, bool),
    /// The body has ended.
    End,
    /// The listener has fallen too far behind.
    Lost,
}

impl State {
    /// Nothing has come, and the one who pays listens.
    pub(super) fn new(room: Budget) -> Self {
        Self {
            source: Source::Waiting,
            head: None,
            chunks: VecDeque::new(),
            first: 0,
            last_from: None,
            recording: true,
            room,
            end: None,
            stop: None,
            listeners: HashMap::from([(PAYER, 0)]),
            next_listener: PAYER + 1,
        }
    }

    /// Takes one more listener up, at the beginning.
    pub(super) fn join(&mut self) -> u64 {
        let id = self.next_listener;
        self.next_listener += 1;
        self.listeners.insert(id, 0);
        id
    }

    /// Takes a part of the body; `settled` says that the call was settled before it came.
    pub(super) fn push(&mut self, bytes: Bytes, settled: bool) {
        let number = self.first + self.chunks.len();
        if settled && self.last_from.is_none() {
            self.last_from = Some(number);
        }
        self.room.add(bytes.len());
        self.chunks.push_back(bytes);
        self.trim();
    }

    /// From now on chunks go when all have read them.
    pub(super) fn record_no_more(&mut self) {
        self.recording = false;
        self.trim();
    }

    /// Lets go what all have read.
    pub(super) fn trim(&mut self) {
        if !self.recording {
            let read = self.listeners.values().copied().min().unwrap_or(self.first);
            self.drop_until(read);
        }
    }

    /// Makes room at the cost of listeners that fall behind, never of the one who pays; whether there
    /// is any now.
    pub(super) fn make_room(&mut self) -> bool {
        let pace = self.listeners.get(&PAYER).copied();
        let fastest = || self.listeners.values().copied().max();
        // Where nobody listens, all may go.
        let pace = pace.or_else(fastest).unwrap_or(self.first + self.chunks.len());
        while !self.room.has_room(false) && self.first < pace {
            self.drop_until(self.first + 1);
        }
        self.room.has_room(false) || self.chunks.is_empty()
    }

    pub(super) fn drop_until(&mut self, number: usize) {
        while self.first < number {
            let Some(gone) = self.chunks.pop_front() else { break };
            self.room.give_back(gone.len());
            self.first += 1;
        }
    }

    pub(super) fn drop_chunks(&mut self) {
        self.drop_until(self.first + self.chunks.len());
    }

    /// What listener `id` reads next, if it is here.
    pub(super) fn next_for(&mut self, id: u64) -> Option<Next> {
        let at = self.listeners.get_mut(&id)?;
        if *at < self.first {
            return Some(Next::Lost);
        }
        match self.chunks.get(*at - self.first) {
            Some(chunk) => {
                let last = self.last_from.is_some_and(|from| *at >= from);
                let part = Next::Part(chunk.clone(), last);
                *at += 1;
                self.trim();
                Some(part)
            }
            None => self.end.is_some().then_some(Next::End),
        }
    }

    /// All chunks as one, and where each ends.
    pub(super) fn joined(&self) -> (Bytes, Box<[u32]>) {
        let length = self.chunks.iter().map(Bytes::len).sum();
        let mut all = Vec::with_capacity(length);
        let mut ends = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            all.extend_from_slice(chunk);
            ends.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
        }
        (all.into(), ends.into())
    }
}
