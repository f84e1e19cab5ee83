//! The answer of a provider, read by whoever polls it; its connection goes back to the pool at the
//! end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame};
use hyper::body::{Bytes, Incoming, SizeHint};

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

impl ResponseBody {
    pub(super) fn http1(incoming: Incoming, connection: Http1, pool: Arc<Pool>) -> Self {
        Self { incoming, connection: Some((Box::new(connection), pool)) }
    }

    pub(super) fn http2(incoming: Incoming) -> Self {
        Self { incoming, connection: None }
    }

    /// The whole body, of at most `limit` bytes; `None` where it is longer.
    pub async fn collect(&mut self, limit: usize) -> Result<Option<Bytes>, Broken> {
        self.collect_noting(limit, || {}).await
    }

    /// The same; `note` is told of each part that comes.
    pub async fn collect_noting(
        &mut self,
        limit: usize,
        note: impl Fn(),
    ) -> Result<Option<Bytes>, Broken> {
        let mut first = Bytes::new();
        let mut all = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await
        {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            note();
            if first.len() + all.len() + data.len() > limit {
                return Ok(None);
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                all = std::mem::take(&mut first).to_vec();
            }
            all.extend_from_slice(&data);
        }
        Ok(Some(if all.is_empty() { first } else { Bytes::from(all) }))
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
