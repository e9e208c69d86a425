//! Background work, one kind per file.

pub(crate) mod anti_entropy;
pub(crate) mod birth;
pub(crate) mod echo;
pub mod gossip;
pub(crate) mod growth;
pub(crate) mod repair;
pub(crate) mod scrub;
pub(crate) mod steps;
pub(crate) mod upkeep;
pub(crate) mod verify;
