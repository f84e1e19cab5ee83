//! The control plane: what operators and Prometheus read. It never sees the data plane's code; the
//! program hands it what it shows.

mod metrics;
pub mod server;

pub use metrics::Scrape;
