//! What a sidecar says of its own replica when that is silent, or is not where it is looked for.

use std::net::SocketAddr;

use crate::support::cluster::Cluster;
use crate::support::exposition::value;
use crate::support::{eventually, http};

#[test]
fn a_sidecar_says_what_is_wrong_with_its_own_replica() {
    let cluster = Cluster::start();
    let own = &cluster.nodes[0];
    eventually("all is well", || says(cluster.sidecar, 1.0, "settle-sidecar ", ", beside n1 of it"));

    // The address for clients instead of that for operators. The right one is not far.
    let (_mistaken, address) = cluster.sidecar_at("mistaken", own.api);
    let words = format!("http://{} is the API address of a replica", own.api);
    eventually("the mistake is told", || says(address, 0.0, "TARGET DOWN ", &words));

    own.process.freeze();
    eventually("its silence is told", || says(cluster.sidecar, 0.0, "TARGET DOWN ", "does not answer"));
    own.process.thaw();
    eventually("all is well again", || says(cluster.sidecar, 1.0, "settle-sidecar ", ", beside n1 of it"));
}

/// Content when the target is up or down as wanted, and the page's first line begins so and has these words.
fn says(sidecar: SocketAddr, up: f64, begins: &str, words: &str) -> Result<(), String> {
    let gauge = value(&http::get(sidecar, "/metrics")?, "settle_probe_target_up");
    let page = http::get(sidecar, "/")?;
    let first = page.lines().next().unwrap_or_default();
    let told = gauge == Some(up) && first.starts_with(begins) && first.contains(words);
    if told { Ok(()) } else { Err(format!("up {gauge:?}, {first}")) }
}
