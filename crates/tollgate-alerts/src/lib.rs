//! Alerts: rules over finished calls and what is usual for them, and the channels that tell people.
//!
//! * [`condition`], [`rule`] and [`measure`] are the language of rules and the shipped ones.
//! * [`engine`] counts, compares and says what has begun and ended. It does no I/O and reads no clock.
//! * [`notice`] is what somebody is told, [`report`] what a day or a week came to, [`text`] puts it into Korean or English, and [`channel`]
//!   into the form of a service, and sends it.
//! * [`delivery`] says when a message that failed is tried again, and when it is given up.
//!
//! The program joins them: it feeds the engine, keeps incidents and messages in the database and
//! runs the deliveries on a thread of their own, so that a call never waits for an alert. Nothing
//! here reads prompts, answers or credentials of callers (PRIVACY-1).

mod baseline;
pub mod channel;
pub mod condition;
pub mod delivery;
pub mod engine;
mod incident;
mod live;
pub mod measure;
pub mod notice;
pub mod post;
pub mod report;
pub mod rule;
#[cfg(test)]
mod sample;
mod silence;
pub mod span;
mod sums;
pub mod text;

pub use baseline::{Ask, History};
pub use incident::{Budget, Doing, Incident, Progress, State};
pub use silence::{MATCHABLE, Silence};
pub use sums::Sums;
