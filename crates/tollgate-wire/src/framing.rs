//! How a stream is divided into events: where one ends, and what of it is to be read.
//!
//! Each form has a scanner of its own with the same steps, so that what relays streams
//! ([`crate::meter`]) need not know which it is. A scanner leaves the bytes alone, looks at each of
//! them once and gives the same events however they are cut into chunks (WIRE-1). An event that is
//! cut is kept until its end comes, up to [`MAX_EVENT`].

pub(crate) mod lines;
pub(crate) mod values;

use std::borrow::Cow;

use crate::bedrock::frame::{self, FrameError, Frames};
use crate::endpoint::Endpoint;
use crate::sse;

/// The largest event. An event with a picture in it can have megabytes.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;

/// An event has more bytes than [`MAX_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than 16 MiB")]
pub struct TooLarge;

/// Why bytes are no stream of the form that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It does not consist of events of a sane size.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It does not consist of sound frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What a scanner found in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An event ends before `end`. Its bytes are `kept` of the scanner, if any, and those of the
    /// chunk from where the scan began.
    Event {
        /// The byte of the chunk behind the event.
        end: usize,
    },
    /// The bytes before `end` belong to the event that has ended before: the line feed of a line
    /// end that was cut, or what follows the end of a document.
    Tail {
        /// The byte of the chunk behind them.
        end: usize,
    },
    /// The chunk ends within an event; what there is of it has been kept.
    More,
}

/// What an event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name, where the framing names events; empty where it does not.
    pub name: &'a [u8],
    /// What it carries; `None` where it carries nothing (comments, blank lines). The bracket that
    /// ends a JSON array is an event that carries this bracket.
    pub data: Option<Cow<'a, [u8]>>,
}

/// The framing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// One JSON array that comes in pieces (Gemini without `alt=sse`).
    Array,
    /// A JSON document a line (Ollama).
    Lines,
    /// Binary frames (Bedrock).
    Frames,
    /// Bytes without events (sound).
    Opaque,
}

/// The scanner of one stream.
#[derive(Debug)]
pub(crate) enum Scanner {
    /// Nothing but white space has come; the first byte that is none decides.
    Undecided {
        kept: Vec<u8>,
        lines: bool,
    },
    Events(sse::Scanner),
    Array(values::Scanner),
    Lines(lines::Scanner),
    Frames(Frames),
    /// Every chunk is an event that says nothing.
    Opaque,
}

impl Scanner {
    /// A scanner for what this endpoint streams. Where clients can choose between framings, what
    /// comes decides.
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::OllamaChat => Self::Lines(lines::Scanner::default()),
            Endpoint::ConverseStream | Endpoint::InvokeStream => Self::Frames(Frames::default()),
            Endpoint::StreamGenerateContent => Self::Undecided { kept: Vec::new(), lines: false },
            Endpoint::Other => Self::Undecided { kept: Vec::new(), lines: true },
            _ => Self::Events(sse::Scanner::default()),
        }
    }

    /// Looks for the end of the next event in `chunk`, from the byte `from` on.
    pub(crate) fn step(&mut self, chunk: &[u8], from: usize) -> Result<Step, StreamError> {
        if let Self::Undecided { kept, lines } = self {
            let rest = chunk.get(from..).unwrap_or_default();
            // Blank lines pass by themselves, whichever form follows, so that no cut matters.
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let blank = rest.get(..blank).unwrap_or_default();
            if let Some(at) = memchr::memrchr2(b'\n', b'\r', blank) {
                return Ok(Step::Event { end: from + at + 1 });
            }
            let Some(first) = rest.iter().find(|byte| !byte.is_ascii_whitespace()) else {
                if kept.len().saturating_add(rest.len()) > MAX_EVENT {
                    return Err(TooLarge.into());
                }
                kept.extend_from_slice(rest);
                return Ok(Step::More);
            };
            *self = Self::decided(*first, std::mem::take(kept), *lines);
        }
        match self {
            Self::Events(scanner) => Ok(scanner.step(chunk, from)?),
            Self::Array(scanner) => Ok(scanner.step(chunk, from)?),
            Self::Lines(scanner) => Ok(scanner.step(chunk, from)?),
            Self::Frames(scanner) => Ok(scanner.step(chunk, from)?),
            Self::Opaque => Ok(Step::Event { end: chunk.len() }),
            Self::Undecided { .. } => Ok(Step::More),
        }
    }

    fn decided(first: u8, kept: Vec<u8>, lines: bool) -> Self {
        match first {
            b'{' if lines => Self::Lines(lines::Scanner::after(kept)),
            b'[' | b'{' => Self::Array(values::Scanner::after(kept)),
            _ => Self::Events(sse::Scanner::after(kept)),
        }
    }

    /// Whether an event has begun and not ended.
    pub(crate) fn has_kept(&self) -> bool {
        match self {
            Self::Undecided { kept, .. } => !kept.is_empty(),
            Self::Events(scanner) => scanner.has_kept(),
            Self::Array(scanner) => scanner.has_kept(),
            Self::Lines(scanner) => scanner.has_kept(),
            Self::Frames(scanner) => scanner.has_kept(),
            Self::Opaque => false,
        }
    }

    /// Takes what was kept of the event that has just ended.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        match self {
            Self::Undecided { kept, .. } => std::mem::take(kept),
            Self::Events(scanner) => scanner.take_kept(),
            Self::Array(scanner) => scanner.take_kept(),
            Self::Lines(scanner) => scanner.take_kept(),
            Self::Frames(scanner) => scanner.take_kept(),
            Self::Opaque => Vec::new(),
        }
    }

    /// Reads an event.
    pub(crate) fn read<'e>(&mut self, event: &'e [u8]) -> Event<'e> {
        match self {
            Self::Undecided { .. } | Self::Opaque => Event::default(),
            Self::Events(scanner) => scanner.read(event),
            Self::Array(_) => values::read(event),
            Self::Lines(_) => lines::read(event),
            Self::Frames(_) => frame::event(event),
        }
    }

    /// The framing; events where nothing has come that would tell.
    pub(crate) fn framing(&self) -> Framing {
        match self {
            Self::Undecided { .. } | Self::Events(_) => Framing::Events,
            Self::Array(_) => Framing::Array,
            Self::Lines(_) => Framing::Lines,
            Self::Frames(_) => Framing::Frames,
            Self::Opaque => Framing::Opaque,
        }
    }
}
