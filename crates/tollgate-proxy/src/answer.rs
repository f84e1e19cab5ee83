//! The answer of a provider as it is relayed: its head, and either all of its body or a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, response};
use http_body::Body as _;
use tokio::time::Sleep;
use tollgate_wire::bedrock::messages::MessagesStream;
use tollgate_wire::simulated::{End, Parts, Plan};

use crate::upstream::{Bounds, Broken, Gathered, Phase, Response, ResponseBody};

/// An answer, received as far as it must be before anything of it leaves.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: response::Parts,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// What is still to come.
    Stream(Source),
}

impl Answer {
    /// Receives an answer: a stream as soon as its head is there, anything else whole, within bounds.
    pub async fn of(
        response: Response,
        wants_stream: bool,
        bounds: Bounds,
    ) -> Result<Self, Broken> {
        let (head, mut body) = response.into_parts();
        if is_stream(&head, wants_stream) {
            return Ok(Self { head, body: AnswerBody::Stream(Source::Remote(body)) });
        }
        let mut gathered = Gathered::default();
        let broken = match body.gather(bounds, &mut gathered).await {
            Ok(true) => return Ok(Self { head, body: AnswerBody::Whole(gathered.bytes()) }),
            Ok(false) => Broken::new(Phase::Body, "the answer is larger than is accepted"),
            Err(broken) => broken,
        };
        Err(broken.after(head.status, gathered.bytes()))
    }

    /// Receives an answer of the simulated provider.
    pub async fn of_simulated(plan: Plan) -> Result<Self, Broken> {
        let Plan { latency, status, content_type, headers, parts, end } = plan;
        if latency == Duration::MAX {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(latency).await;
        let mut head = http::Response::new(()).into_parts().0;
        head.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                head.headers.insert(name, value);
            }
        }
        let mut source =
            Source::Simulated(Box::new(Simulated { parts, end, wait: None, next: None }));
        if content_type.starts_with("text/event-stream") {
            return Ok(Self { head, body: AnswerBody::Stream(source) });
        }
        let mut whole = Vec::new();
        while let Some(part) = std::future::poll_fn(|cx| source.poll_next(cx)).await {
            match part {
                Ok(part) => whole.extend_from_slice(&part),
                Err(broken) => return Err(broken.after(head.status, whole.into())),
            }
        }
        Ok(Self { head, body: AnswerBody::Whole(whole.into()) })
    }
}

/// Whether an answer is relayed as it comes: it says that it is a stream of events, or the client
/// asked for one and the answer does not say that it is something else.
fn is_stream(head: &response::Parts, wants_stream: bool) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let says = |what: &[u8]| kind.get(..what.len()).is_some_and(|k| k.eq_ignore_ascii_case(what));
    if says(b"text/event-stream") || says(b"application/vnd.amazon.eventstream") {
        return true;
    }
    let plain = says(b"application/json") || says(b"text/plain");
    head.status.is_success() && (is_sound(head) || wants_stream && !plain)
}

/// Whether an answer is plain sound, which passes as it comes.
pub(crate) fn is_sound(head: &response::Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case(b"audio/"))
}

/// Where the bytes of a stream come from.
#[derive(Debug)]
pub enum Source {
    /// From a provider on the network.
    Remote(ResponseBody),
    /// From the simulated provider.
    Simulated(Box<Simulated>),
    /// Claude at Bedrock: events in frames, which are taken out of them.
    Framed(Box<Self>, Box<MessagesStream>),
}

/// What the simulated provider still says.
#[derive(Debug)]
pub struct Simulated {
    parts: Parts,
    end: End,
    /// The pause before the next part.
    wait: Option<Pin<Box<Sleep>>>,
    /// The next part.
    next: Option<Bytes>,
}

impl Source {
    /// The next bytes; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self {
            Self::Remote(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                    Some(Ok(frame)) => {
                        // Trailers carry nothing that is relayed.
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
            Self::Simulated(simulated) => simulated.poll_next(cx),
            Self::Framed(source, frames) => loop {
                let chunk = match ready!(source.poll_next(cx)) {
                    Some(Ok(chunk)) => chunk,
                    end => return Poll::Ready(end),
                };
                let mut events = Vec::new();
                if let Err(error) = frames.push(&chunk, &mut events) {
                    return Poll::Ready(Some(Err(Broken::new(Phase::Body, error))));
                }
                if !events.is_empty() {
                    return Poll::Ready(Some(Ok(events.into())));
                }
            },
        }
    }

    /// The same without the frames that the events come in.
    #[must_use]
    pub fn unframed(self) -> Self {
        Self::Framed(Box::new(self), Box::default())
    }
}

impl Simulated {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.next.is_none() {
            let Some((wait, bytes)) = self.parts.next() else {
                let broken = std::mem::replace(&mut self.end, End::Clean) == End::Reset;
                let reset = || Broken::new(Phase::Body, "the simulated provider broke off");
                return Poll::Ready(broken.then(|| Err(reset())));
            };
            self.next = Some(bytes);
            self.wait = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(self.next.take().map(Ok))
    }
}
