//! The store from outside: one contract for both disks, a data directory's dangers, and kill -9.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the report")]

mod contract;
mod data_dir;
mod kill;
mod support;
