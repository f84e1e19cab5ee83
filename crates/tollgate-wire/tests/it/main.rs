#![cfg(test)]
//! What the dialect promises, checked against recorded exchanges and against foreign readers.

mod anthropic;
mod cases;
mod clouds;
mod conversations;
mod events;
mod gemini;
mod golden;
mod invocations;
mod native;
mod requests;
mod simulated;
mod streams;
mod unknown;
mod vendors;
