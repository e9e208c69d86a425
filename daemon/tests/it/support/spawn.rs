//! Starting processes beside sockets that others wait for.
//!
//! Between its birth and its program, a child process has copies of all of this process's sockets. So a socket that is
//! closed while some test starts a process may stay bound for a moment longer; here the two keep out of each other's way.

use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

static SPAWNING: Mutex<()> = Mutex::new(());

/// Starts a process; it has its program when this returns.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _one_at_a_time = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Closes sockets so that their addresses are free when this returns.
pub(crate) fn close<T>(sockets: T) {
    let _nothing_spawns = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    drop(sockets);
}
