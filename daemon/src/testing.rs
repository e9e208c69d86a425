//! What several tests of this crate need: a node that is open and has nothing running around it.

use std::path::Path;
use std::sync::Arc;

use settle_service::admin::Readiness;
use settle_service::metrics::Metrics;
use settle_service::reload::Live;
use settle_service::shutdown::Shutdown;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::node::Node;
use crate::node::commit::drive;
use crate::start::open::{open_data, open_node};

/// A node of its own with its data in `directory`, its commits reported; `settings` are TOML.
pub(crate) fn open(directory: &Path, settings: &str) -> (Arc<Node>, Metrics) {
    let file = directory.join("settled.toml");
    let data = directory.join("data");
    let text = format!("[node]\nname = \"n1\"\ndata_dir = {data:?}\n{settings}");
    std::fs::write(&file, text).unwrap();
    let config = Config::load_with(Some(&file), std::iter::empty()).unwrap();
    let metrics = Metrics::new("test", "0", "0").unwrap();
    let (engine, identity) = open_data(&config).unwrap();
    let (groups, committed) = mpsc::channel(8);
    let live = Live::new(config);
    let readiness = Readiness::new(&[]);
    let node = open_node(&live, &metrics, engine, &identity, readiness, groups, &Shutdown::new()).unwrap();
    tokio::spawn(drive(Arc::clone(&node), committed));
    (node, metrics)
}
