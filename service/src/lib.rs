//! What any long-running process needs and no replication is needed for: configuration with live
//! reload, a metrics registry, an HTTP server, the admin routes, telemetry, shutdown, workers, a calm log.

pub mod admin;
pub mod calm;
pub mod config;
pub mod console;
pub mod http;
pub mod metrics;
pub mod reload;
pub mod shutdown;
pub mod telemetry;
pub mod worker;
