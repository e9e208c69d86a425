//! A key and its bucket, as they stand on the command line.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;

use settle_wire::http::kv::percent_encode;

use crate::outcome::Usage;
use crate::terminal::harmless;

/// Names a key.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeyArgs {
    /// The key, taken as it stands: slashes, spaces and percent signs mean themselves.
    key: OsString,
    /// The key is written in hexadecimal: for bytes that cannot be typed.
    #[arg(long)]
    key_hex: bool,
    /// The bucket that the key is in.
    #[arg(short, long, default_value = "default")]
    bucket: String,
}

/// A key of any bytes in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) bucket: String,
    pub(super) bytes: Vec<u8>,
}

impl KeyArgs {
    /// The key that is meant.
    pub(super) fn key(&self) -> Result<Key, Usage> {
        let bytes = if self.key_hex {
            let text = self.key.to_str().and_then(from_hex);
            text.ok_or_else(|| Usage(format!("{:?} is not hexadecimal, which --key-hex expects", self.key)))?
        } else {
            self.key.clone().into_vec()
        };
        if bytes.is_empty() {
            return Err(Usage("the key is empty; a key has at least one byte".to_owned()));
        }
        Ok(Key { bucket: self.bucket.clone(), bytes })
    }
}

impl Key {
    /// As in the path of a call: no two keys share it.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        percent_encode(self.bucket.as_bytes(), &mut path);
        path.push('/');
        percent_encode(&self.bytes, &mut path);
        path
    }

    /// The key alone, percent-encoded, as listings have it.
    pub(super) fn encoded(&self) -> String {
        let mut text = String::new();
        percent_encode(&self.bytes, &mut text);
        text
    }
}

/// For messages.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(&self.bytes) {
            Ok(text) => write!(f, "\"{}\"", harmless(text))?,
            Err(_) => {
                f.write_str("hexadecimal ")?;
                self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        write!(f, " in bucket \"{}\"", harmless(&self.bucket))
    }
}

/// The bytes that hexadecimal digits stand for, in either case.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok());
    bytes.collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, key_hex: bool) -> Result<Key, Usage> {
        KeyArgs { key: key.into(), key_hex, bucket: "b/1".to_owned() }.key()
    }

    #[test]
    fn keys_are_bytes() {
        assert_eq!(key("a/b %2F", false).unwrap().path(), "b%2F1/a%2Fb%20%252F");
        assert_eq!(key("00fF2f", true).unwrap().bytes, b"\0\xff/");
        assert_eq!(key("00fF2f", true).unwrap().encoded(), "%00%FF%2F");
        for (text, hex) in [("", false), ("", true), ("0", true), ("0g", true), ("é", true)] {
            assert!(key(text, hex).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn messages_show_keys_of_any_kind() {
        assert_eq!(key("a\nb", false).unwrap().to_string(), "\"a\\nb\" in bucket \"b/1\"");
        assert_eq!(key("ff00", true).unwrap().to_string(), "hexadecimal ff00 in bucket \"b/1\"");
    }
}
