//! The binary encoding of everything that is stored or sent: little-endian integers, LEB128 varints,
//! length-prefixed byte strings.
//!
//! Own code rather than a serde format for two reasons. Byte strings decode as slices of the frame they came in,
//! without a copy; and a decoder never reserves memory for a length that the remaining bytes cannot hold, so a
//! hostile frame of n bytes costs O(n) memory ([`Reader::count`]).

use bytes::Bytes;

/// Why bytes could not be decoded. Nothing was changed by the attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("the input ends inside a field ({needed} more bytes expected at offset {offset})")]
    Truncated {
        /// Where the field started, in bytes from the beginning of the input.
        offset: usize,
        /// How many bytes were missing.
        needed: usize,
    },
    /// A varint longer than 64 bits.
    #[error("an integer at offset {offset} does not fit 64 bits")]
    Overflow {
        /// Where the integer started.
        offset: usize,
    },
    /// The format's version byte is not one that this program reads.
    #[error("{what} has format version {found}, this program reads up to {newest}")]
    Version {
        /// What was being decoded.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The newest version known here.
        newest: u8,
    },
    /// A field holds a value that the format forbids.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// Bytes are left over after the last field.
    #[error("{0} bytes are left over at the end")]
    Trailing(usize),
}

/// Reads fields from the front of a byte string.
#[derive(Debug, Clone)]
pub struct Reader {
    input: Bytes,
    offset: usize,
}

/// Something with a binary form.
pub trait Encode {
    /// Appends the binary form to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The binary form as bytes of its own.
    fn to_bytes(&self) -> Bytes {
        // Most forms are short, and growing to a few dozen bytes would take several steps.
        let mut out = Vec::with_capacity(64);
        self.encode(&mut out);
        Bytes::from(out)
    }
}

/// Something that can be read back from its binary form.
pub trait Decode: Sized {
    /// Reads one value from the front of `input`.
    ///
    /// # Errors
    /// [`DecodeError`], with `input` left somewhere inside the value.
    fn decode(input: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads one value that must fill `input` exactly.
    ///
    /// # Errors
    /// [`DecodeError`], also when bytes are left over.
    fn from_bytes(input: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

impl Reader {
    /// Reads from the beginning of `input`.
    #[must_use]
    pub fn new(input: Bytes) -> Self {
        Self { input, offset: 0 }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.input.len() - self.offset
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let left = self.remaining();
        if length > left {
            return Err(DecodeError::Truncated { offset: self.offset, needed: length - left });
        }
        let slice = self.input.slice(self.offset..self.offset + length);
        self.offset += length;
        Ok(slice)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = self.input.get(self.offset).copied();
        let byte = byte.ok_or(DecodeError::Truncated { offset: self.offset, needed: 1 })?;
        self.offset += 1;
        Ok(byte)
    }

    /// Eight bytes, little endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let rest = self.input.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk::<8>() else {
            return Err(DecodeError::Truncated { offset: self.offset, needed: 8 - rest.len() });
        };
        self.offset += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// An unsigned LEB128 integer of at most ten bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Overflow`].
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Overflow { offset: start })
    }

    /// A byte string: its length as a varint, then its bytes, shared with the input.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Overflow`].
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.varint()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.take(length)
    }

    /// The number of items that follow, each of at least `item_bytes_min` bytes; refused when the remaining input
    /// cannot hold them, so that a caller may reserve memory for that many.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Overflow`].
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let needed = count.saturating_mul(item_bytes_min.max(1));
        if needed > self.remaining() {
            return Err(DecodeError::Truncated { offset: self.offset, needed: needed - self.remaining() });
        }
        Ok(count)
    }

    /// A version byte between 1 and `newest`.
    ///
    /// # Errors
    /// [`DecodeError::Version`], [`DecodeError::Truncated`].
    pub fn version(&mut self, what: &'static str, newest: u8) -> Result<u8, DecodeError> {
        let found = self.u8()?;
        if found == 0 || found > newest {
            return Err(DecodeError::Version { what, found, newest });
        }
        Ok(found)
    }
}

/// Appends an unsigned LEB128 integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends eight bytes, little endian.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a byte string behind its length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(Bytes::from(out));
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn lengths_that_the_input_cannot_hold_are_refused_before_memory_is_reserved() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(matches!(Reader::new(Bytes::from(out.clone())).count(1), Err(DecodeError::Truncated { .. })));
        assert!(matches!(Reader::new(Bytes::from(out)).bytes(), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn an_eleven_byte_integer_is_refused() {
        let mut reader = Reader::new(Bytes::from_static(&[0xff; 11]));
        assert_eq!(reader.varint(), Err(DecodeError::Overflow { offset: 0 }));
    }
}
