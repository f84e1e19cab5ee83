//! The store from outside: what a server, a command and a crash see of it.
#![cfg(test)]

mod actions;
mod alerts;
mod calls;
mod given;
mod governance;
mod jobs;
mod kill;
mod proof;
mod registry;
mod usage;
