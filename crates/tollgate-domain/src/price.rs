//! What a call costs: the price book, what overrides it, and the arithmetic of a charge.
//!
//! A [`PriceTable`] is built at load from the [`PriceBook`], the configuration and the environment.
//! It resolves a provider and a model to a [`ModelPrice`], and from then on a charge is arithmetic
//! alone: no text is read and nothing is allocated.
//!
//! A model without a price resolves to `None`, never to zero (PRICE-1); a price that says zero is
//! free on purpose. Nothing here reads a file, the environment or the clock.

mod book;
mod environment;
mod model;
mod notation;
mod overrides;
mod rule;
mod served;
mod set;
mod table;
mod unit;
mod uplift;

pub use book::{BookError, PriceBook, Reason};
pub use environment::{EnvPrices, InvalidEnvPrice};
pub use model::{Ceiling, Charge, Line, ModelPrice};
pub use overrides::{Override, OverrideError};
pub use served::Served;
pub use table::{Builder, PriceTable, TableError};
pub use unit::Unit;
