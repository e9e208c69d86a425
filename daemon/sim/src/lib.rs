//! The simulator: seeded clusters of the real kernel under loss, reordering, cuts and crashes, judged after every step
//! from what clients were told.
//!
//! Reading order: [`shape`] (what a seed stands for), [`cluster`] (how it runs), [`oracle`] and [`view`] (what clients
//! were told, what they could read), [`invariants`] (what must be true of both), [`campaign`] (many seeds).

pub mod bits;
pub mod broken;
pub mod campaign;
pub mod cluster;
pub mod invariants;
pub mod network;
pub mod node;
pub mod oracle;
pub mod rng;
pub mod route;
pub mod shape;
pub mod trace;
pub mod view;
