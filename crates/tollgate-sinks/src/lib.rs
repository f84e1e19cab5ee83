//! What leaves the program by itself: the line of each call to services that keep or draw lines, and
//! reports of faults to Sentry.
//!
//! Each kind of service is a sink: a module with the same parts ([`settings`] holds what may be
//! configured; `render` makes bytes of calls, without I/O; `send` hands them over and reads the
//! answer; `tests`). What is not particular to a service is written once: the bounded queue that the
//! log writer fills (`feed`), the loop that makes batches, retries and waits (`worker`), what is
//! kept on disk while a service is away (`spool`), and the connection (`transport`).
//!
//! Every sink has a thread of its own. A service that is slow or away costs calls nothing: its queue
//! and its spool are bounded, and what does not fit is dropped and counted (BOUND-1).
//!
//! It must not read prompts, answers, credentials or headers: a sink sees ledger rows and their
//! lines, nothing else (PRIVACY-1).

mod backoff;
mod elasticsearch;
mod event;
mod feed;
mod file;
mod level;
mod logstash;
mod loki;
mod otlp;
mod progress;
#[cfg(test)]
mod sample;
mod sentry;
pub mod settings;
mod sinks;
mod spool;
mod transport;
mod worker;

pub use event::WriteLine;
pub use progress::{Say, Status};
pub use sinks::{PanicReporter, Prepared, Sinks, StartError, Surroundings};
pub use transport::tls::trust;
