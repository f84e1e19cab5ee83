//! Admission: decides whether a call may be made, sets aside what it can cost, and settles it.
//!
//! This crate owns its ports: [`ledger::Ledger`] is what it needs of durable storage. It knows no
//! HTTP, no SQL and no Redis.

pub mod books;
pub mod control;
pub mod directory;
pub mod engine;
pub mod gate;
pub mod identity;
pub mod ledger;
pub mod network;
pub mod switches;
pub mod token;
