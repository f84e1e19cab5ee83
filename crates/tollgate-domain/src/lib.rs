//! The nouns and the arithmetic of Tollgate: ids, money, usage, prices, limits, time.
//!
//! Everything here is pure: no I/O, no async, no float holds money or a count. The other crates
//! depend on this one; it depends on none of them.

pub mod attempt;
pub mod bodies;
pub mod call;
pub mod catalogue;
pub mod clock;
pub mod decision;
pub mod fault;
pub mod id;
pub mod invariant;
pub mod limit;
pub mod money;
pub mod packed;
pub mod price;
pub mod redact;
pub mod trace;
pub mod usage;
