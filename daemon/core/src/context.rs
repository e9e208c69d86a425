//! The causal context of a key as clients carry it: opaque to them, versioned, small.

use bytes::Bytes;

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64};
use crate::hlc::Hlc;
use crate::key::KeyHash;

/// What a client has seen of a key: handed out with every read, sent back with a write that builds on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The key that it was read under. What it covers beside that key's own versions it covers because the replica had
    /// them settled there; under another key it would supersede versions that its client never saw.
    pub key: Option<KeyHash>,
    /// The dots covered.
    pub clock: Clock,
    /// The highest stamp covered, so that a write that builds on it gets a higher one.
    pub stamp: Hlc,
}

/// The format of an encoded context.
const CONTEXT_VERSION: u8 = 2;

impl Encode for ClientContext {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(CONTEXT_VERSION);
        out.push(u8::from(self.key.is_some()));
        put_u64(out, self.key.map_or(0, |key| key.0));
        put_u64(out, self.stamp.0);
        self.clock.encode(out);
    }
}

impl Decode for ClientContext {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        if input.version("context", CONTEXT_VERSION)? != CONTEXT_VERSION {
            return Err(DecodeError::Invalid("context: of an older format, which did not name its key"));
        }
        let known = match input.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Invalid("context: key flag")),
        };
        let key = KeyHash(input.u64()?);
        let stamp = Hlc(input.u64()?);
        Ok(Self { key: known.then_some(key), stamp, clock: Clock::decode(input)? })
    }
}

impl ClientContext {
    /// Reads a context that a client sent.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that this program did not encode.
    pub fn from_client(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Self::from_bytes(Bytes::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::{Dot, Epoch, NodeId, Origin};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            if let Ok(context) = ClientContext::from_client(bytes) {
                prop_assert_eq!(ClientContext::from_bytes(context.to_bytes()), Ok(context));
            }
        }
    }

    #[test]
    fn a_context_comes_back_and_other_formats_are_named() {
        let dot = Dot { origin: Origin { node: NodeId(1), epoch: Epoch(2) }, counter: 3 };
        let clock = [dot].into_iter().collect();
        let context = ClientContext { key: Some(KeyHash(9)), clock, stamp: Hlc(77) };
        let mut bytes = context.to_bytes().to_vec();
        assert_eq!(ClientContext::from_client(bytes.clone()), Ok(context));
        bytes[0] = 9;
        let refused = ClientContext::from_client(bytes.clone()).unwrap_err();
        assert_eq!(refused, DecodeError::Version { what: "context", found: 9, newest: 2 });
        bytes[0] = 1;
        let refused = ClientContext::from_client(bytes).unwrap_err();
        assert!(refused.to_string().contains("older format"), "{refused}");
    }
}
