//! The control plane: what operators and Prometheus read and change. It never sees the data plane's
//! code; the program hands it what it shows, and a [`Control`](tollgate_admission::control::Control)
//! to change it with.

pub mod api;
mod metrics;
pub mod server;

pub use metrics::Scrape;
