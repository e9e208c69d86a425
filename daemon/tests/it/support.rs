//! What the tests share: nodes as processes, clusters of them, an HTTP client, a workload with its oracle.

pub(crate) mod cluster;
pub(crate) mod configuration;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod oracle;
pub(crate) mod random;
pub(crate) mod spawn;
pub(crate) mod steady;
pub(crate) mod stranger;
pub(crate) mod turn;
pub(crate) mod wait;

pub(crate) use cluster::Cluster;
pub(crate) use http::{Client, Reply};
pub(crate) use node::Node;
pub(crate) use wait::wait_for;
