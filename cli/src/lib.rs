//! The commands of `settle`, one module each, and what they share.

pub mod admin;
pub mod bench;
pub mod client;
mod columns;
pub mod completions;
pub mod demo;
pub mod kv;
pub mod leash;
mod outcome;
mod processes;
mod random;
mod readiness;
mod settled;
mod terminal;
mod units;
