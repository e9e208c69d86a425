//! Why a connection ended.

use std::io;
use std::sync::Arc;

use crate::frame::{BadMessage, FrameError};

/// Why a connection ended. The connection is gone; nothing else is affected.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Ended {
    /// The peer closed it between two frames.
    #[error("the peer closed the connection")]
    ByPeer,
    /// This side closed it.
    #[error("this side closed the connection")]
    ByThisSide,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(Arc<io::Error>),
    /// What arrived is not a frame.
    #[error("at byte {offset} of the stream: {error}")]
    BadFrame {
        /// Where the frame began, in bytes since the handshake.
        offset: u64,
        /// What is wrong with it.
        error: Arc<FrameError>,
    },
    /// A message of a frame could not be decoded.
    #[error("frame at byte {offset} of the stream: {error}")]
    BadMessage {
        /// Where the frame began, in bytes since the handshake.
        offset: u64,
        /// Where in the frame, and why.
        error: BadMessage,
    },
    /// A message was well formed and impossible at this point.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// The peer did not take what was written to it.
    #[error("the peer took no bytes for {0:?}")]
    Stalled(std::time::Duration),
    /// The peer let its answers pile up.
    #[error("more than {0} bytes of answers wait for the peer")]
    Slow(usize),
    /// The peer sent nothing.
    #[error("the peer sent no whole frame for {0:?}")]
    Idle(std::time::Duration),
}

impl Ended {
    /// A failure to read the frame that begins at `offset`.
    pub(crate) fn bad_frame(offset: u64, error: FrameError) -> Self {
        match error {
            FrameError::Socket(error) => error.into(),
            error => Self::BadFrame { offset, error: Arc::new(error) },
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Socket(Arc::new(error))
    }
}
