//! The listener of the control plane.

use std::future::Future;
use std::io;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::{Scrape, metrics};

/// Serves until `stop` resolves.
pub async fn serve(
    listener: TcpListener,
    scrape: Scrape,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(alive))
        .route("/livez", get(alive))
        .with_state(scrape);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn alive() -> &'static str {
    "{\"status\":\"ok\"}"
}
