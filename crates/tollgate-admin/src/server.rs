//! The listener of the control plane.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::api::{self, Api};
use crate::metrics::{Scrape, metrics};

/// Serves until `stop` resolves.
pub async fn serve(
    listener: TcpListener,
    scrape: Scrape,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(alive))
        .route("/livez", get(alive))
        .with_state(scrape)
        .merge(api::router(api));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

async fn alive() -> &'static str {
    "{\"status\":\"ok\"}"
}
