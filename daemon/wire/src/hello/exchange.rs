//! The two sides of the handshake. Callers put a deadline around them.

use std::io;

use settle_core::codec::{Decode, DecodeError, Encode, Reader};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Greeting, HELLO_BYTES_MAX, Hello, Refusal, RefusalCode};
use crate::frame::{FrameError, FrameReader};

/// Why no connection came about. Nothing was exchanged but greetings.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The peer refused.
    #[error("refused by the peer: {0}")]
    ByPeer(Refusal),
    /// This side refused.
    #[error("refused: {0}")]
    ByThisSide(Refusal),
    /// What arrived is not a greeting.
    #[error("the peer sent no greeting of a Settle node: {0}")]
    Malformed(#[from] DecodeError),
    /// What arrived is not even a frame.
    #[error("the peer sent no greeting of a Settle node: {0}")]
    Frame(#[from] FrameError),
    /// The peer closed the connection instead of greeting.
    #[error("the peer closed the connection before it greeted")]
    Closed,
    /// This side's greeting has no room.
    #[error(
        "this node's greeting is {0} bytes long, at most {HELLO_BYTES_MAX} fit: shorten its names or addresses"
    )]
    TooLong(usize),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The peer took too long.
    #[error("the peer did not greet within {0:?}")]
    Timeout(std::time::Duration),
}

/// The asking side: sends `hello`, returns the peer's.
pub(crate) async fn offer<S>(reader: &mut FrameReader<S>, hello: &Hello) -> Result<Hello, HelloError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(reader.stream_mut(), &Greeting::Hello(hello.clone())).await?;
    match receive(reader).await? {
        Greeting::Refusal(refusal) => Err(HelloError::ByPeer(refusal)),
        Greeting::Hello(peer) => {
            hello.check(&peer).map_err(HelloError::ByThisSide)?;
            Ok(peer)
        }
    }
}

/// The answering side: returns the asking side's hello once `hello` was sent, which happens only if `check` agrees.
pub(crate) async fn accept<S>(
    reader: &mut FrameReader<S>,
    hello: &Hello,
    check: impl FnOnce(&Hello) -> Result<(), Refusal>,
) -> Result<Hello, HelloError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let checked = match receive(reader).await {
        Ok(Greeting::Hello(peer)) => hello.check(&peer).and_then(|()| check(&peer)).map(|()| peer),
        Ok(Greeting::Refusal(refusal)) => return Err(HelloError::ByPeer(refusal)),
        Err(HelloError::Malformed(error)) => Err(Refusal {
            code: RefusalCode::Malformed,
            text: format!("the greeting cannot be read: {error}"),
        }),
        Err(error) => return Err(error),
    };
    match checked {
        Ok(peer) => {
            send(reader.stream_mut(), &Greeting::Hello(hello.clone())).await?;
            Ok(peer)
        }
        Err(refusal) => {
            let stream = reader.stream_mut();
            send(stream, &Greeting::Refusal(refusal.clone())).await?;
            stream.shutdown().await?;
            Err(HelloError::ByThisSide(refusal))
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), greeting: &Greeting) -> Result<(), HelloError> {
    let body = greeting.to_bytes();
    if body.len() > HELLO_BYTES_MAX {
        return Err(HelloError::TooLong(body.len()));
    }
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    Ok(stream.write_all(&frame).await?)
}

async fn receive(reader: &mut FrameReader<impl AsyncRead + Unpin>) -> Result<Greeting, HelloError> {
    let frame = reader.next(HELLO_BYTES_MAX).await?.ok_or(HelloError::Closed)?;
    // Not `from_bytes`: later versions append fields.
    Ok(Greeting::decode(&mut Reader::new(frame))?)
}
