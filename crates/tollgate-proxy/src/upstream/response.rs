//! The answer of a provider, read by whoever polls it; its connection goes back to the pool at the
//! end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame};
use hyper::body::{Bytes, Incoming, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::pool::{Http1, Pool};
use super::{Broken, Phase};

/// The head of an answer and its body.
pub type Response = http::Response<ResponseBody>;

/// The body of an answer, with the connection that brings it.
pub struct ResponseBody {
    incoming: Incoming,
    connection: Option<(Box<Http1>, Arc<Pool>)>,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

/// What has come of a body. A body of one frame is not copied.
#[derive(Debug, Default)]
pub struct Gathered {
    first: Bytes,
    all: Vec<u8>,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all = std::mem::take(&mut self.first).to_vec();
        }
        self.all.extend_from_slice(&data);
    }

    /// All of it.
    pub fn bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.into() }
    }
}

/// How long, in both senses, a body may be that is received whole.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most bytes.
    pub most: usize,
    /// How long it may pause.
    pub idle: Duration,
    /// By when all of it must be there.
    pub deadline: Instant,
}

/// A time that nobody waits for.
const NEVER: Duration = Duration::from_hours(24 * 365);

impl ResponseBody {
    pub(super) fn http1(incoming: Incoming, connection: Http1, pool: Arc<Pool>) -> Self {
        Self { incoming, connection: Some((Box::new(connection), pool)) }
    }

    pub(super) fn http2(incoming: Incoming) -> Self {
        Self { incoming, connection: None }
    }

    /// The whole body, of at most `limit` bytes; `None` where it is longer.
    pub async fn collect(&mut self, limit: usize) -> Result<Option<Bytes>, Broken> {
        let bounds = Bounds { most: limit, idle: NEVER, deadline: Instant::now() + NEVER };
        let mut gathered = Gathered::default();
        Ok(self.gather(bounds, &mut gathered).await?.then(|| gathered.bytes()))
    }

    /// Gathers the whole body; `false` where it is longer than it may be. What has come is in
    /// `gathered`, also where the body breaks off.
    pub async fn gather(
        &mut self,
        bounds: Bounds,
        gathered: &mut Gathered,
    ) -> Result<bool, Broken> {
        let Bounds { most, idle, deadline } = bounds;
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx));
            let pause = Instant::now() + idle;
            let Ok(frame) = timeout_at(pause.min(deadline), frame).await else {
                let late =
                    if pause < deadline { "the answer paused" } else { "no whole answer in time" };
                return Err(Broken::timed_out(Phase::Body, late));
            };
            let Some(frame) = frame else { return Ok(true) };
            let Ok(data) = frame?.into_data() else { continue };
            if gathered.len() + data.len() > most {
                return Ok(false);
            }
            gathered.push(data);
        }
    }

    /// At the end of the body: the connection is idle again, or it is dropped.
    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some((mut http1, pool)) = self.connection.take() {
            let open = Pin::new(&mut http1.connection).poll(cx).is_pending();
            if open && http1.sender.is_ready() {
                pool.give_back(*http1);
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let mut frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some((http1, _)) = &mut this.connection
        {
            let ended = Pin::new(&mut http1.connection).poll(cx);
            frame = Pin::new(&mut this.incoming).poll_frame(cx);
            if let Poll::Ready(ended) = ended {
                this.connection = None;
                if let (Err(error), Poll::Pending) = (ended, &frame) {
                    return Poll::Ready(Some(Err(Broken::new(Phase::Body, error))));
                }
            }
        }
        match frame {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                this.connection = None;
                Poll::Ready(Some(Err(Broken::new(Phase::Body, error))))
            }
            Poll::Ready(None) => {
                this.finish(cx);
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
