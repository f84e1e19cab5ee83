//! The data plane: every call to a provider passes here.
//!
//! Start reading at [`journey`]: it names the steps of a call in their order, each a module of that
//! name. [`server`] is what listens, [`snapshot`] what is configured, [`open_call`] and [`leftover`]
//! are how a call ends.

pub mod accept;
pub mod admit;
pub mod answer;
mod answer_headers;
pub mod api;
pub mod attempts;
pub mod bodies;
pub mod breaker;
pub mod call_log;
pub mod captcha;
pub mod demand;
pub mod desk;
pub mod edge;
pub mod forward;
pub mod headroom;
pub mod health;
pub mod identify;
pub mod journey;
pub mod leftover;
pub mod media;
pub mod metrics;
pub mod open_call;
mod outgoing;
pub mod overload;
pub mod past;
pub mod plane;
pub mod probe;
pub mod provider;
pub mod pump;
pub mod read;
pub mod record;
pub mod refusals;
pub mod relay;
mod ring;
pub mod route;
pub mod savings;
pub mod server;
pub mod snapshot;
pub mod standing;
pub mod stop;
pub mod stored;
pub mod streaming;
pub mod surface;
pub mod through;
pub mod upstream;
