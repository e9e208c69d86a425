//! The asking side of a connection: sends deltas and questions, resolves acknowledgements and answers.

mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use settle_core::clock::Clock;
use settle_core::key::PartitionId;
use settle_core::partition::{FullPage, FullRequest, LogAnswer};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::ended::Ended;
use crate::frame::{FRAME_BYTES_MAX, FrameReader, Messages};
use crate::hello::{self, Hello, HelloError};
use crate::limits::Limits;
use crate::message::{Answer, EchoReply, Question, Reply, put_ask};
use crate::outbox::PushError;
use state::Shared;

/// Who waits for a delta to be durable at the peer. Dropped without a call when the connection ends first; the write
/// may be durable there nevertheless.
pub trait Acked: Send + 'static {
    /// Called once, on the connection's task: must be quick.
    fn acked(self);
}

/// A connection to a peer, opened by this node. Ends when the last handle is dropped.
#[derive(Debug)]
pub struct Link<W: Acked> {
    shared: Arc<Shared<W>>,
    ended: watch::Receiver<Option<Ended>>,
    remote: SocketAddr,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection to the address.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        error: std::io::Error,
    },
    /// The other side did not take the connection in time.
    #[error("no connection to {address} within {after:?}")]
    Timeout {
        /// The address.
        address: String,
        /// The deadline.
        after: Duration,
    },
    /// The two sides did not come to terms.
    #[error("{address}: {error}")]
    Hello {
        /// The address.
        address: String,
        /// Why.
        error: HelloError,
    },
}

/// Why a question has no answer. The peer may have read it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// Not sent: too many questions are open, or too much waits to be written.
    #[error("too many requests to the peer are open")]
    Busy,
    /// Not sent: no frame can hold it.
    #[error("the request is too long ({0} bytes)")]
    TooLong(usize),
    /// No answer in time.
    #[error("the peer did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended first.
    #[error("the connection ended: {0}")]
    Closed(Ended),
    /// The peer says that it cannot answer.
    #[error("the peer failed: {0}")]
    Failed(String),
    /// The answer belongs to another kind of question.
    #[error("the peer answered another question")]
    Mismatch,
}

impl<W: Acked> Link<W> {
    /// Connects to the node at `address` (`host:port`) and shakes hands. Returns the link and who answered.
    ///
    /// # Errors
    /// [`LinkError`]; at the latest after `limits.handshake` for each of connecting and shaking hands.
    pub async fn connect(
        address: &str,
        hello: &Hello,
        limits: Limits,
    ) -> Result<(Arc<Self>, Hello), LinkError> {
        let connecting = tokio::time::timeout(limits.handshake, TcpStream::connect(address));
        let failed = |error| LinkError::Connect { address: address.to_owned(), error };
        let stream = match connecting.await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => {
                return Err(LinkError::Timeout { address: address.to_owned(), after: limits.handshake });
            }
        };
        stream.set_nodelay(true).map_err(failed)?;
        let remote = stream.peer_addr().map_err(failed)?;
        let mut reader = FrameReader::new(stream);
        let greeted = tokio::time::timeout(limits.handshake, hello::offer(&mut reader, hello)).await;
        let greeted = greeted.unwrap_or(Err(HelloError::Timeout(limits.handshake)));
        let peer = greeted.map_err(|error| LinkError::Hello { address: address.to_owned(), error })?;
        Ok((Self::start(reader, remote, limits), peer))
    }

    fn start(reader: FrameReader<TcpStream>, remote: SocketAddr, limits: Limits) -> Arc<Self> {
        let (report, ended) = watch::channel(None);
        let shared = Arc::new(Shared::new(limits));
        let (reader, writer) = reader.split_stream();
        tokio::spawn(run(Arc::clone(&shared), reader, writer, limits, report));
        Arc::new(Self { shared, ended, remote })
    }

    /// The peer's socket address.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Queues a delta, given in its encoded form (`Delta::to_bytes`, once for all peers). `waiter` is called when the
    /// peer has it durably.
    ///
    /// # Errors
    /// [`PushError`]: not queued, `waiter` is dropped.
    pub fn send_delta(
        &self,
        partition: PartitionId,
        encoded: &[u8],
        waiter: Option<W>,
    ) -> Result<(), PushError> {
        self.shared.send_delta(partition, encoded, waiter)
    }

    /// Deltas that the peer has not acknowledged yet.
    #[must_use]
    pub fn unacked(&self) -> usize {
        self.shared.unacked()
    }

    /// Asks a question and waits for its answer, at most for `deadline`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request(&self, question: &Question, deadline: Duration) -> Result<Answer, RequestError> {
        let answer = tokio::time::timeout(deadline, self.ask(question)).await;
        answer.unwrap_or(Err(RequestError::Timeout(deadline)))
    }

    /// Asks a question and waits for its answer for as long as the connection lasts: for callers that have a deadline
    /// of their own, and drop this when it passes.
    ///
    /// # Errors
    /// [`RequestError`], but for [`RequestError::Timeout`].
    pub async fn ask(&self, question: &Question) -> Result<Answer, RequestError> {
        let (id, answer) = self.shared.open().ok_or_else(|| self.refused())?;
        let _open = Open { shared: &self.shared, id };
        self.shared.outbox.push(|out| put_ask(out, id, question)).map_err(|error| match error {
            PushError::Full => RequestError::Busy,
            PushError::TooLong(bytes) => RequestError::TooLong(bytes),
            PushError::Closed => self.refused(),
        })?;
        match answer.await {
            Ok(Answer::Failed(text)) => Err(RequestError::Failed(text)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.refused()),
        }
    }

    /// Why a question was not taken: the connection ended, or is busy.
    fn refused(&self) -> RequestError {
        self.shared.outbox.closed().map_or(RequestError::Busy, RequestError::Closed)
    }

    /// The peer's durable clocks that changed since its answer `since` (0: all).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn echo(&self, since: u64, deadline: Duration) -> Result<EchoReply, RequestError> {
        match self.request(&Question::Echo { since }, deadline).await? {
            Answer::Echo(reply) => Ok(reply),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// The entries behind the first dots that the peer has and `clock` lacks.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn pull_log(
        &self,
        partition: PartitionId,
        clock: Clock,
        deadline: Duration,
    ) -> Result<LogAnswer, RequestError> {
        match self.request(&Question::PullLog { partition, clock }, deadline).await? {
            Answer::Log(answer) => Ok(answer),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// A page of all the peer's keys.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn pull_full(
        &self,
        partition: PartitionId,
        request: FullRequest,
        deadline: Duration,
    ) -> Result<FullPage, RequestError> {
        match self.request(&Question::PullFull { partition, request }, deadline).await? {
            Answer::Full(page) => Ok(page),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.shared.outbox.close(Ended::ByThisSide);
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.outbox.closed().is_some()
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Ended {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(Ended::ByThisSide)
    }
}

impl<W: Acked> Drop for Link<W> {
    fn drop(&mut self) {
        self.close();
    }
}

/// A question without an answer; forgets it when whoever asked waits no longer.
struct Open<'a, W: Acked> {
    shared: &'a Shared<W>,
    id: u64,
}

impl<W: Acked> Drop for Open<'_, W> {
    fn drop(&mut self) {
        self.shared.forget(self.id);
    }
}

/// The connection's task.
async fn run<W: Acked, S: AsyncRead + AsyncWrite>(
    shared: Arc<Shared<W>>,
    mut reader: FrameReader<ReadHalf<S>>,
    mut writer: WriteHalf<S>,
    limits: Limits,
    report: watch::Sender<Option<Ended>>,
) {
    let reason = tokio::select! {
        reason = read(&shared, &mut reader) => reason,
        reason = shared.outbox.write(&mut writer, limits.stall) => reason,
    };
    shared.end(&reason);
    report.send_replace(Some(reason));
}

async fn read<W: Acked>(shared: &Shared<W>, reader: &mut FrameReader<impl AsyncRead + Unpin>) -> Ended {
    let mut waiters = Vec::new();
    loop {
        let offset = reader.offset();
        let frame = match reader.next(FRAME_BYTES_MAX).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ended::ByPeer,
            Err(error) => return Ended::bad_frame(offset, error),
        };
        for message in Messages::new(frame) {
            let taken = match message {
                Ok(Reply::Ack { upto }) => shared.acked(upto, &mut waiters),
                Ok(Reply::Answer { id, answer }) => shared.answered(id, answer),
                Err(error) => return Ended::BadMessage { offset, error },
            };
            if let Err(violation) = taken {
                return Ended::Violation(violation);
            }
        }
    }
}

#[cfg(test)]
mod tests;
