//! Connections that wait for their next call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::connection::Connection;
use super::{Base, ClientLimits, Failure};
use crate::lock;

/// Idle connections, a bounded number per server, the last used on top.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    idle: Arc<Mutex<HashMap<Base, Vec<Idle>>>>,
    limits: ClientLimits,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self { idle: Arc::default(), limits }
    }

    /// A connection to `base`, and whether it was used before.
    pub(super) async fn take(&self, base: &Base) -> Result<(Connection, bool), Failure> {
        while let Some(mut connection) = self.pop(base) {
            if connection.is_ready().await {
                return Ok((connection, true));
            }
        }
        match tokio::time::timeout(self.limits.connect, Connection::open(base)).await {
            Ok(opened) => opened.map(|connection| (connection, false)),
            Err(_) => Err(Failure::timeout(self.limits.connect, None)),
        }
    }

    fn pop(&self, base: &Base) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        self.sweep(&mut idle);
        idle.get_mut(base)?.pop().map(|idle| idle.connection)
    }

    /// Keeps a connection whose reply was read to its end.
    pub(super) fn keep(&self, base: &Base, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        self.sweep(&mut idle);
        let of_base = idle.entry(base.clone()).or_default();
        if of_base.len() < self.limits.idle_connections {
            of_base.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Connections kept that are still open.
    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        let idle = lock(&self.idle);
        idle.values().flatten().filter(|idle| !idle.connection.is_closed()).count()
    }

    /// Forgets connections that waited too long or were closed, and servers without any.
    fn sweep(&self, idle: &mut HashMap<Base, Vec<Idle>>) {
        idle.retain(|_, of_base| {
            of_base.retain(|idle| idle.since.elapsed() < self.limits.idle && !idle.connection.is_closed());
            !of_base.is_empty()
        });
    }
}
