//! The peer port: TCP for links and UDP for gossip, under one number.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

/// How many ports are tried when any free one will do: one free for TCP may be taken for UDP.
const ATTEMPTS_MAX: usize = 32;

/// The peer port could not be taken.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone else has it.
    #[error(
        "listen.peer: {address} is already in use for {protocol}; stop the program that uses it, or set another port"
    )]
    InUse {
        /// What was to be taken.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// It is not this machine's, or not allowed.
    #[error("listen.peer: cannot listen on {address} for {protocol}: {source}")]
    Refused {
        /// What was to be taken.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes one port for both TCP and UDP; port 0 is any that is free for both. Must be called within a tokio runtime.
///
/// # Errors
/// [`BindError`] with the key, the address and the protocol.
pub async fn bind_both(address: SocketAddr) -> Result<(TcpListener, UdpSocket), BindError> {
    let mut attempts = if address.port() == 0 { ATTEMPTS_MAX } else { 1 };
    loop {
        attempts -= 1;
        match bind_pair(address).await {
            Err(BindError::InUse { .. }) if attempts > 0 => {}
            outcome => return outcome,
        }
    }
}

async fn bind_pair(address: SocketAddr) -> Result<(TcpListener, UdpSocket), BindError> {
    let tcp = TcpListener::bind(address).await.map_err(|error| failed(address, "TCP", error))?;
    let real = tcp.local_addr().map_err(|error| failed(address, "TCP", error))?;
    let udp = UdpSocket::bind(real).await.map_err(|error| failed(real, "UDP", error))?;
    Ok((tcp, udp))
}

fn failed(address: SocketAddr, protocol: &'static str, source: io::Error) -> BindError {
    match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { address, protocol },
        _ => BindError::Refused { address, protocol, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_have_the_same_port() {
        let (tcp, udp) = bind_both(([127, 0, 0, 1], 0).into()).await.unwrap();
        assert_eq!(tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind_both(address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen.peer: {address} is already in use for")), "{error}");
        // No address of this machine: reserved for documentation.
        let error = bind_both(([192, 0, 2, 1], 0).into()).await.unwrap_err().to_string();
        assert!(error.starts_with("listen.peer: cannot listen on 192.0.2.1:0 for TCP"), "{error}");
    }
}
