//! `settled`, the replica daemon: the only place where kernel, storage, wire and runtime meet.
//!
//! README.md beside this crate is the architecture document.

mod admin;
mod api;
mod clock;
pub mod config;
mod metrics;
mod node;
mod peer;
pub mod start;
#[cfg(test)]
mod testing;
mod watched;
pub mod worker;
