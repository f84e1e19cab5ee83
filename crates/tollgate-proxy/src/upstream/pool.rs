//! Idle connections to one provider, newest first, and the shared HTTP/2 one where it speaks that.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::error::Elapsed;
use tollgate_domain::clock::Clock;

use super::connect::{Connector, Origin, Stream};
use super::response::{Response, ResponseBody};
use super::{Broken, Phase, RequestBody};

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Most idle connections that are kept.
    pub max_idle: usize,
    /// How long an idle connection is trusted. Below what providers use, or they close it first.
    pub idle_for: Duration,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long the first byte of an answer may take; `None` where whoever waits watches the time.
    pub first_byte: Option<Duration>,
}

/// An HTTP/1.1 connection: the handle that sends, and the machinery that must be polled for it.
pub(super) struct Http1 {
    pub sender: http1::SendRequest<RequestBody>,
    pub connection: http1::Connection<TokioIo<Stream>, RequestBody>,
}

struct Idle {
    connection: Http1,
    since: Duration,
}

/// The connections to one provider.
pub struct Pool {
    origin: Origin,
    connector: Connector,
    config: PoolConfig,
    clock: Clock,
    idle: Mutex<Vec<Idle>>,
    http2: Mutex<Option<http2::SendRequest<RequestBody>>>,
    tasks: tokio::runtime::Handle,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of connections to `origin`; its HTTP/2 connections live on the runtime `tasks`.
    pub fn new(
        origin: Origin,
        connector: Connector,
        config: PoolConfig,
        clock: Clock,
        tasks: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            origin,
            connector,
            config,
            clock,
            idle: Mutex::new(Vec::new()),
            http2: Mutex::new(None),
            tasks,
        })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// A connection that was idle and turns out closed is replaced once, without the caller
    /// noticing: no byte of an answer had come.
    pub async fn send(self: &Arc<Self>, request: Request<RequestBody>) -> Result<Response, Broken> {
        let shared = self.http2.lock().clone();
        if let Some(sender) = shared.filter(|sender| !sender.is_closed()) {
            return self.send_http2(sender, request).await;
        }
        if let Some(idle) = self.take_idle() {
            let copy = copy_of(&request);
            match self.send_http1(idle, request, true).await {
                Err(broken) if broken.stale => self.send_fresh(copy).await,
                answered => answered,
            }
        } else {
            self.send_fresh(request).await
        }
    }

    /// Makes a connection and gives it up again: whether the provider can be reached at all.
    pub async fn reach(&self) -> Result<(), Broken> {
        self.connector.connect(&self.origin, self.config.connect).await.map(drop)
    }

    async fn send_fresh(
        self: &Arc<Self>,
        request: Request<RequestBody>,
    ) -> Result<Response, Broken> {
        let connected = self.connector.connect(&self.origin, self.config.connect).await?;
        if connected.http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(Duration::from_secs(20))
                .handshake(connected.io)
                .await
                .map_err(|error| Broken::new(Phase::Connect, error))?;
            self.tasks.spawn(connection);
            *self.http2.lock() = Some(sender.clone());
            return self.send_http2(sender, request).await;
        }
        let (sender, connection) = http1::handshake(connected.io)
            .await
            .map_err(|error| Broken::new(Phase::Connect, error))?;
        self.send_http1(Http1 { sender, connection }, request, false).await
    }

    async fn send_http2(
        &self,
        mut sender: http2::SendRequest<RequestBody>,
        mut request: Request<RequestBody>,
    ) -> Result<Response, Broken> {
        request.headers_mut().remove(http::header::HOST);
        let answered = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        match in_time(self.config.first_byte, answered).await {
            Ok(Ok(response)) => Ok(response.map(ResponseBody::http2)),
            Ok(Err(error)) => Err(Broken::new(Phase::Request, error)),
            Err(_) => Err(Broken::timed_out(Phase::Request, "no answer in time")),
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut http1: Http1,
        mut request: Request<RequestBody>,
        reused: bool,
    ) -> Result<Response, Broken> {
        origin_form(&mut request);
        let mut answer = pin!(http1.sender.send_request(request));
        let exchange =
            std::future::poll_fn(|cx| poll_exchange(&mut http1.connection, answer.as_mut(), cx));
        match in_time(self.config.first_byte, exchange).await {
            Ok(Ok(response)) => {
                Ok(response.map(|body| ResponseBody::http1(body, http1, Arc::clone(self))))
            }
            Ok(Err(error)) => {
                let stale = reused
                    && (error.is_canceled() || error.is_incomplete_message() || is_reset(&error));
                Err(Broken { stale, ..Broken::new(Phase::Request, error) })
            }
            Err(_) => Err(Broken::timed_out(Phase::Request, "no answer in time")),
        }
    }

    /// The newest idle connection that still stands.
    fn take_idle(&self) -> Option<Http1> {
        let now = self.clock.monotonic();
        loop {
            let idle = self.idle.lock().pop()?;
            if now.saturating_sub(idle.since) > self.config.idle_for {
                // The rest is older still.
                let outdated = std::mem::take(&mut *self.idle.lock());
                drop(outdated);
                return None;
            }
            let mut connection = idle.connection;
            if stands(&mut connection) {
                return Some(connection);
            }
        }
    }

    /// Takes back a connection whose answer has been read to its end.
    pub(super) fn give_back(&self, connection: Http1) {
        let since = self.clock.monotonic();
        let mut idle = self.idle.lock();
        if idle.len() < self.config.max_idle {
            idle.push(Idle { connection, since });
        }
    }
}

/// Waits within a limit, where there is one.
async fn in_time<F: Future>(limit: Option<Duration>, wait: F) -> Result<F::Output, Elapsed> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, wait).await,
        None => Ok(wait.await),
    }
}

/// Polls a connection and the answer awaited on it, in one task.
fn poll_exchange<F>(
    connection: &mut http1::Connection<TokioIo<Stream>, RequestBody>,
    mut answer: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<hyper::Result<http::Response<Incoming>>>
where
    F: Future<Output = hyper::Result<http::Response<Incoming>>>,
{
    if let Poll::Ready(done) = answer.as_mut().poll(cx) {
        return Poll::Ready(done);
    }
    match Pin::new(connection).poll(cx) {
        // The connection has ended; whatever it had to say is in the answer's own channel.
        Poll::Ready(Ok(())) | Poll::Pending => answer.poll(cx),
        Poll::Ready(Err(error)) => match answer.poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Ready(Err(error)),
        },
    }
}

/// Whether an idle connection can take a request: one look, without waiting.
fn stands(http1: &mut Http1) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(&mut http1.connection).poll(&mut cx).is_pending() && http1.sender.is_ready()
}

fn is_reset(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::BrokenPipe
                    | std::io::ErrorKind::ConnectionAborted
            )
        })
}

/// HTTP/1.1 names the path alone; the host is in its header.
fn origin_form(request: &mut Request<RequestBody>) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Default::default, http::Uri::from);
}

/// The same request again; its body is shared, not copied.
fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
