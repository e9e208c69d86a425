//! The commands of `settle`, one module each.

pub mod bench;
