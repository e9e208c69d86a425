//! The one integration binary of the whole project: the programs as a user starts them, and the rules
//! that the repository keeps.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "in tests a panic is the report, and what goes with it is printed"
)]

mod arrows;
mod commands;
mod demo;
mod make;
mod prometheus;
mod reference;
mod rings;
mod stopped;
mod support;
mod target;
mod tidy;
