//! The listener of the data plane: connections in, the journey for each request, and an orderly
//! end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::journey::{self, Connection};
use crate::plane::Plane;

mod head_watch;

pub use head_watch::HeadWatch;
use head_watch::Watched;

/// How the listener behaves.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// Most connections at a time; further ones wait in the backlog of the machine.
    pub max_connections: usize,
    /// How long calls in flight may take to finish when the program ends.
    pub grace: Duration,
}

/// Largest head and largest single read, in bytes.
const BUFFER: usize = 64 * 1024;
/// How long to wait after the machine refused a connection (too many open files).
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// Serves until `stop` says so, then lets calls in flight finish within the grace period.
pub async fn serve(
    listener: TcpListener,
    plane: Arc<Plane>,
    config: ServerConfig,
    mut stop: watch::Receiver<bool>,
) {
    let http = builder(config);
    let mut connections = JoinSet::new();
    let seats = Arc::new(tokio::sync::Semaphore::new(config.max_connections));
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        let Some((stream, peer, seat)) = accepted else {
            tokio::time::sleep(AFTER_REFUSAL).await;
            continue;
        };
        let (plane, http, stop) = (Arc::clone(&plane), http.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, peer, plane, http, stop).await;
            drop(seat);
        });
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    // What is not finished by then is cut off, and settled by the task for leftovers.
    drop(tokio::time::timeout(config.grace, finished).await);
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    seats: &Arc<tokio::sync::Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some((stream, peer, seat))
}

fn builder(config: ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        // Without `pipeline_flush`, which takes answers in without bound where a client is slow.
        .max_buf_size(BUFFER);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
        .max_concurrent_streams(256);
    http
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    plane: Arc<Plane>,
    http: auto::Builder<TokioExecutor>,
    mut stop: watch::Receiver<bool>,
) {
    let watch = Arc::new(HeadWatch::default());
    let stream = Watched::new(stream, Arc::clone(&watch));
    let service = service_fn(move |request| {
        let plane = Arc::clone(&plane);
        let from = Connection { peer: peer.ip(), watch: Arc::clone(&watch) };
        // Boxed, so that a connection whose answer streams does not keep the room of the steps.
        Box::pin(async move { Ok::<_, Infallible>(journey::serve(plane, request, from).await) })
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stopped = tokio::select! {
        // A client that breaks off or talks nonsense has been answered as far as HTTP allows.
        _ = connection.as_mut() => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopped {
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}
