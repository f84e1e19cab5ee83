#![cfg(test)]
//! What the dialect promises, checked against recorded exchanges and against foreign readers.

mod cases;
mod clouds;
mod events;
mod golden;
mod requests;
mod simulated;
mod streams;
