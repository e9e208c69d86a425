//! The answering side of a connection: hands frames to a service, and carries its acknowledgements and answers back.

mod unacked;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::ended::Ended;
use crate::frame::{BadMessage, FRAME_BYTES_MAX, FrameReader, Messages};
use crate::hello::{self, Hello, HelloError, Refusal};
use crate::limits::Limits;
use crate::message::{Answer, Request, put_answer};
use crate::outbox::{Outbox, PushError};
use unacked::Unacked;

/// Takes what peers send.
pub trait Service: Send + Sync + 'static {
    /// Takes the messages of one frame, in order. Called on the connection's task, one frame after the other: must be
    /// quick, and finish longer work elsewhere. `replies` may be kept and used from any thread.
    fn frame(&self, peer: &Hello, batch: Batch, replies: &Arc<Replies>);
}

/// The messages of one frame. Their payloads share its memory: what is kept for long is better copied.
#[derive(Debug)]
pub struct Batch {
    /// Deltas of this connection before this frame: the first delta in it has the sequence `deltas_before + 1`.
    pub deltas_before: u64,
    /// Deltas in this frame: acknowledging `deltas_before + deltas` acknowledges all of them.
    pub deltas: u64,
    /// All messages, in the order in which they were sent.
    pub messages: Vec<Request>,
}

/// The way back to the asking side.
#[derive(Debug)]
pub struct Replies {
    outbox: Outbox,
    acknowledged: Notify,
    queued_bytes_max: usize,
}

/// How serving a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Served {
    /// It never began. Not logged: strangers can repeat it as often as they like.
    #[error(transparent)]
    NotGreeted(HelloError),
    /// It began and ended. It has been logged.
    #[error(transparent)]
    Ended(Ended),
}

/// Serves one connection until it ends, and logs why it did if it had begun. Dropping the future closes it.
///
/// `check` decides about the peer after versions, cluster and partitions were found to agree.
pub async fn serve<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    hello: &Hello,
    check: impl FnOnce(&Hello) -> Result<(), Refusal> + Send,
    service: &Arc<S>,
    limits: Limits,
) -> Served {
    // Without it answers wait for the peer's acknowledgement of the packet before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%remote, %error, "cannot switch off packet coalescing");
    }
    let mut reader = FrameReader::new(stream);
    let accepted = tokio::time::timeout(limits.handshake, hello::accept(&mut reader, hello, check)).await;
    let accepted = accepted.unwrap_or(Err(HelloError::Timeout(limits.handshake)));
    let peer = match accepted {
        Ok(peer) => peer,
        Err(error) => return Served::NotGreeted(error),
    };
    let replies = Arc::new(Replies::new(limits.queued_bytes));
    let (mut reader, mut writer) = reader.split_stream();
    let reason = run(&mut reader, &mut writer, &peer, service, &replies, limits).await;
    replies.outbox.close(reason.clone());
    log(&peer, remote, &reason);
    Served::Ended(reason)
}

fn log(peer: &Hello, remote: SocketAddr, reason: &Ended) {
    match reason {
        Ended::ByPeer | Ended::ByThisSide => {
            tracing::debug!(peer = %peer.name, %remote, "connection closed: {reason}");
        }
        _ => tracing::warn!(peer = %peer.name, %remote, "connection closed: {reason}"),
    }
}

async fn run<S: Service, T: AsyncRead + AsyncWrite>(
    reader: &mut FrameReader<ReadHalf<T>>,
    writer: &mut WriteHalf<T>,
    peer: &Hello,
    service: &Arc<S>,
    replies: &Arc<Replies>,
    limits: Limits,
) -> Ended {
    tokio::select! {
        reason = read(reader, peer, &**service, replies, limits) => reason,
        reason = replies.outbox.write(writer, limits.stall) => reason,
    }
}

async fn read<S: Service>(
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    peer: &Hello,
    service: &S,
    replies: &Arc<Replies>,
    limits: Limits,
) -> Ended {
    let mut deltas_before = 0;
    let mut unacked = Unacked::new(limits.unacked_bytes);
    let idle = tokio::time::sleep(limits.idle);
    tokio::pin!(idle);
    let mut last = Instant::now();
    loop {
        let offset = reader.offset();
        let frame = tokio::select! {
            biased;
            frame = reader.next(FRAME_BYTES_MAX) => match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ended::ByPeer,
                Err(error) => return Ended::bad_frame(offset, error),
            },
            () = &mut idle => {
                // The timer is set anew once per period instead of once per frame.
                if last.elapsed() >= limits.idle {
                    return Ended::Idle(limits.idle);
                }
                idle.as_mut().reset((last + limits.idle).into());
                continue;
            }
        };
        let frame_bytes = frame.len();
        let batch = match batch(Messages::new(frame), deltas_before) {
            Ok(batch) => batch,
            Err(error) => return Ended::BadMessage { offset, error },
        };
        deltas_before += batch.deltas;
        if batch.deltas > 0 {
            unacked.add(deltas_before, frame_bytes);
        }
        service.frame(peer, batch, replies);
        while unacked.is_full(replies.outbox.acked()) {
            replies.acknowledged.notified().await;
        }
        last = Instant::now();
    }
}

/// A frame's messages: all, or none if one of them cannot be decoded.
fn batch(messages: Messages<Request>, deltas_before: u64) -> Result<Batch, BadMessage> {
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let deltas = messages.iter().filter(|message| matches!(message, Request::Delta { .. })).count() as u64;
    Ok(Batch { deltas_before, deltas, messages })
}

impl Replies {
    fn new(queued_bytes_max: usize) -> Self {
        Self { outbox: Outbox::new(queued_bytes_max), acknowledged: Notify::new(), queued_bytes_max }
    }

    /// Says that all deltas up to the sequence `upto` are durable. Calls may come in any order; only the highest
    /// counts, and several may become one message.
    pub fn ack(&self, upto: u64) {
        self.outbox.ack(upto);
        self.acknowledged.notify_one();
    }

    /// Ends the connection: for a delta that could not be taken, since a later acknowledgement would cover it.
    pub fn close(&self) {
        self.outbox.close(Ended::ByThisSide);
    }

    /// Answers the question `id`. Does nothing when the connection has ended; ends it when the peer lets too many
    /// answers pile up.
    pub fn answer(&self, id: u64, answer: &Answer) {
        match self.outbox.push(|out| put_answer(out, id, answer)) {
            Ok(()) | Err(PushError::Closed) => {}
            Err(PushError::Full) => self.outbox.close(Ended::Slow(self.queued_bytes_max)),
            Err(PushError::TooLong(bytes)) => {
                let text = format!("the answer is too long ({bytes} bytes)");
                self.answer(id, &Answer::Failed(text));
            }
        }
    }

    /// Whether the connection has ended, so that answering is in vain.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.outbox.closed().is_some()
    }
}

#[cfg(test)]
mod tests;
