//! The commands of `settle`, one module each, and what they share.

pub mod bench;
pub mod demo;
mod processes;
mod random;
mod readiness;
mod settled;
