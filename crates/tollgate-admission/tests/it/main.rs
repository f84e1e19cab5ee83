//! Tests of the limits engine from outside: scenarios, windows, threads, and random interleavings
//! against a naive model.
#![cfg(test)]

mod actions;
mod burst;
mod clamps;
mod exchanges;
mod kit;
mod model;
mod overlays;
mod restarts;
mod simulation;
mod steps_back;
mod threads;
mod turns;
mod warnings;
mod windows;
