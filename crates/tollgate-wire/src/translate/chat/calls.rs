//! The calls of a chat completion, one after the other.
//!
//! Pieces of several calls may come mixed. The call that is open goes on until its arguments are
//! complete; what comes for others meanwhile waits, so that every block is whole before the next.

use crate::json::lenient::Pull;
use crate::translate::reply::{Block, Event};

use super::answer::decoded;
use super::scan::Scan;

/// What one chunk, or the whole answer, says of a call.
#[derive(Debug)]
pub(super) struct Piece {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The one that is open, by its place in `calls`.
    open: Option<usize>,
}

#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    name: String,
    /// Arguments that have not been passed on.
    waiting: String,
    scan: Scan,
    number: Option<u32>,
    done: bool,
}

impl Piece {
    /// Reads an item of `tool_calls`; `place` is its index where it states none.
    pub(super) fn read(item: &[u8], place: u64) -> Self {
        let (id, name, arguments) = (String::new(), String::new(), String::new());
        let mut piece = Self { index: place, id, name, arguments };
        let mut pull = Pull::new(item);
        if !pull.enter_object() {
            return piece;
        }
        while let Some(key) = pull.next_key() {
            let value = pull.skip().unwrap_or_default();
            match key {
                b"index" => {
                    let stated = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    piece.index = stated.unwrap_or(place);
                }
                b"id" => piece.id = decoded(value),
                b"function" => piece.inner(value),
                _ => {}
            }
        }
        piece
    }

    fn inner(&mut self, raw: &[u8]) {
        let mut pull = Pull::new(raw);
        if !pull.enter_object() {
            return;
        }
        while let Some(key) = pull.next_key() {
            let value = pull.skip().unwrap_or_default();
            match key {
                b"name" => self.name = decoded(value),
                b"arguments" if value.starts_with(b"{") => {
                    self.arguments = String::from_utf8_lossy(value).into_owned();
                }
                b"arguments" => self.arguments = decoded(value),
                _ => {}
            }
        }
    }
}

impl Call {
    fn new(piece: Piece, answer: &str, place: usize) -> Self {
        let Piece { index, id, name, arguments } = piece;
        let id = if id.is_empty() { format!("call_{answer}_{place}") } else { id };
        let scan = Scan::default();
        Self { index, id, name, waiting: arguments, scan, number: None, done: false }
    }

    /// Whether a piece of the same index belongs to this call. Some vendors give every call the
    /// same index, so that only the ids or the ends of the arguments tell them apart.
    fn takes(&self, piece: &Piece) -> bool {
        let another =
            if piece.id.is_empty() { self.scan.is_complete() } else { self.id != piece.id };
        piece.name.is_empty() || !another
    }
}

impl Calls {
    /// Whether any call was made.
    pub(super) fn any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Takes a piece in. An id is made of `answer`, the answer's id, where the provider gives none.
    pub(super) fn piece(
        &mut self,
        piece: Piece,
        answer: &str,
        next: &mut u32,
        out: &mut Vec<Event>,
    ) {
        let known = self.calls.iter().rposition(|call| call.index == piece.index);
        let same = |place: &usize| self.calls.get(*place).is_some_and(|call| call.takes(&piece));
        let place = known.filter(same).unwrap_or(self.calls.len());
        match self.calls.get_mut(place) {
            Some(call) => call.waiting.push_str(&piece.arguments),
            None => self.calls.push(Call::new(piece, answer, place)),
        }
        self.advance(place, next, out);
    }

    /// Closes what is open and passes on what waits.
    pub(super) fn finish(&mut self, next: &mut u32, out: &mut Vec<Event>) {
        self.close(out);
        for place in 0..self.calls.len() {
            self.say(place, next, out);
            self.close(out);
        }
    }

    fn advance(&mut self, place: usize, next: &mut u32, out: &mut Vec<Event>) {
        let blocked = self.open.filter(|open| *open != place);
        if let Some(call) = blocked.and_then(|open| self.calls.get(open)) {
            if !call.scan.is_complete() {
                return;
            }
            self.close(out);
        }
        self.say(place, next, out);
    }

    fn say(&mut self, place: usize, next: &mut u32, out: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(place).filter(|call| !call.done) else { return };
        let number = *call.number.get_or_insert_with(|| {
            let number = *next;
            *next += 1;
            let (id, name) = (call.id.clone(), call.name.clone());
            out.push(Event::Open(number, Block::Call { id, name }));
            number
        });
        self.open = Some(place);
        if !call.waiting.is_empty() {
            call.scan.push(&call.waiting);
            out.push(Event::Delta(number, std::mem::take(&mut call.waiting)));
        }
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        let open = self.open.take().and_then(|place| self.calls.get_mut(place));
        if let Some(call) = open {
            call.done = true;
            out.extend(call.number.map(Event::Close));
        }
    }
}
