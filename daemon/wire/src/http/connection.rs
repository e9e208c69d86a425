//! One HTTP/1.1 connection.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Base, Failure};

/// An open connection. Dropping it closes the socket at once, also amid a reply: what an abandoned call might still
/// receive must not stay behind.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(base: &Base) -> Result<Self, Failure> {
        let connected = TcpStream::connect(base.authority()).await;
        let stream = connected.map_err(|error| Failure::connect(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::connect(&error))?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| Failure::of(&error))?;
        let task = tokio::spawn(async move {
            // The caller learns of a failure from its call; between calls there is nobody to tell.
            let _ = connection.await;
        });
        Ok(Self { sender, task })
    }

    /// Whether another request may be sent; false once the server has closed it.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        self.sender.try_send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
