//! The sidecar against a cluster made of small fakes whose faults are under control and which keep
//! their own record of what was visible when.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "in tests a panic is the report, and nothing here is for others"
)]

mod cluster;
mod discovery;
mod faults;
mod logs;
mod page;
mod process;
mod reload;
mod sidecar;
mod sweep;
mod target;
mod traffic;
mod truth;
