//! Settle's side of the load: HTTP/1.1 on one kept-alive connection.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Operation;
use super::load::{Client, Driver};

/// One connection to one node of Settle.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    write_level: Arc<str>,
}

impl Client for Connection {
    async fn connect(node: SocketAddr, level: Arc<str>) -> Result<(Self, Driver)> {
        let (sender, driver) = open(node).await?;
        let host = HeaderValue::try_from(node.to_string())?;
        Ok((Self { sender, host, write_level: level }, driver))
    }

    async fn call(&mut self, operation: Operation, key: &str, value: &Bytes) -> Result<()> {
        let response = self.sender.send_request(self.request(operation, key, value)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await.context("the reply broke off")?.to_bytes();
        let expected = match operation {
            Operation::Write => StatusCode::NO_CONTENT,
            Operation::Read | Operation::StrongRead => StatusCode::OK,
        };
        if status != expected {
            let text = String::from_utf8_lossy(&body);
            bail!("HTTP {status} instead of {expected} for {key}: {}", text.trim());
        }
        if operation != Operation::Write && body.len() != value.len() {
            bail!("{} bytes instead of {} for {key}", body.len(), value.len());
        }
        Ok(())
    }
}

impl Connection {
    fn request(&self, operation: Operation, key: &str, value: &Bytes) -> Result<Request<Full<Bytes>>> {
        let (method, level, body) = match operation {
            Operation::Write => (Method::PUT, &*self.write_level, value.clone()),
            Operation::Read => (Method::GET, "one", Bytes::new()),
            Operation::StrongRead => (Method::GET, "quorum", Bytes::new()),
        };
        Request::builder()
            .method(method)
            .uri(format!("/v1/kv/default/{key}?level={level}"))
            .header(HOST, self.host.clone())
            .body(Full::new(body))
            .context("no valid request: is --level the name of a level?")
    }
}

async fn open(node: SocketAddr) -> Result<(SendRequest<Full<Bytes>>, Driver)> {
    let stream = TcpStream::connect(node).await.with_context(|| format!("cannot connect to {node}"))?;
    stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error is seen by the request that it breaks.
    Ok((sender, Box::pin(async move { drop(connection.await) })))
}
