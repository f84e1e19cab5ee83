//! For tests only: a scripted provider, a harness that runs the whole program, hostile and
//! well-behaved clients, and the replay of recorded exchanges.
//!
//! Everything here fails loudly (it panics with what it saw), because a harness that returns
//! errors makes tests that forget to look at them. Nothing here may be a dependency of the program.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a harness for tests: it fails loudly, says what it saw, reads the clock, spawns tasks"
)]

pub mod case;
pub mod client;
pub mod config;
pub mod oracle;
pub mod program;
pub mod raw;
pub mod upstream;
pub mod wait;
