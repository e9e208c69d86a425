//! Waiting until a server says that it can serve.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use settle_wire::http::{Base, Call, Client};
use tokio::time::{Instant, sleep};

use crate::processes::Server;

/// From the start of the processes until all say they are ready.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// The address as the client wants it.
pub(crate) fn base(address: SocketAddr) -> Result<Base> {
    address.to_string().parse().with_context(|| format!("{address} is no address of a server"))
}

/// `Ok(())` once the server answers 200, otherwise what it said instead.
pub(crate) async fn ask(client: &Client, server: &Base, path: &str) -> Result<(), String> {
    match client.send(server, &Call::get(path, ANSWER_DEADLINE)).await {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            Err(format!("status {}: {}", answer.status, text.trim()))
        }
        Err(error) => Err(error.failure.to_string()),
    }
}

/// Waits until the server answers 200; an error with the end of its log when it has ended, or when it
/// is not ready by `deadline`.
pub(crate) async fn wait(
    server: &mut Server,
    client: &Client,
    address: SocketAddr,
    path: &str,
    deadline: Instant,
) -> Result<()> {
    let base = base(address)?;
    loop {
        server.check_running()?;
        let Err(answer) = ask(client, &base, path).await else { return Ok(()) };
        if Instant::now() > deadline {
            bail!(
                "{} is not ready in time: {base}{path} says: {answer}; its last words:\n{}",
                server.name(),
                server.last_words()
            );
        }
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use settle_wire::http::ClientLimits;

    use super::*;
    use crate::processes::free_addresses;

    #[tokio::test]
    async fn who_is_not_ready_in_time_is_named_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let address = free_addresses(1).unwrap()[0];
        let client = Client::new(ClientLimits::default());
        let mut command = Command::new("sh");
        command.args(["-c", "echo still replaying; touch said; exec sleep 1000"]);
        command.current_dir(directory.path());
        let mut server = Server::start("n2", command, directory.path()).unwrap();
        while !directory.path().join("said").exists() {
            sleep(POLL_INTERVAL).await;
        }
        let late = Instant::now();
        let error = wait(&mut server, &client, address, "/readyz", late).await.unwrap_err().to_string();
        assert!(error.contains("n2 is not ready") && error.contains("still replaying"), "{error}");
        assert!(error.contains("connection refused"), "{error}");
    }
}
