//! Where a value to write comes from: the command line, standard input or a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

/// More is not even read, in bytes: no node takes it, whatever its `limits.value_bytes`.
const VALUE_BYTES_MAX: u64 = 64 << 20;

/// The bytes that `value` stands for: `-` for standard input, `@file` for a file, otherwise itself.
pub(super) fn read(value: &OsString) -> Result<Bytes> {
    match value.as_bytes() {
        b"-" => all(io::stdin().lock()).context("cannot read the value from standard input"),
        [b'@', file @ ..] => {
            let file = Path::new(std::ffi::OsStr::from_bytes(file));
            let value = File::open(file).map_err(Into::into).and_then(all);
            value.with_context(|| format!("cannot read the value from {}", file.display()))
        }
        _ => Ok(literal(value)),
    }
}

/// The value as it stands.
pub(super) fn literal(value: &OsString) -> Bytes {
    Bytes::from(value.clone().into_vec())
}

fn all(input: impl Read) -> Result<Bytes> {
    let mut bytes = Vec::new();
    input.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= VALUE_BYTES_MAX, "it has over {VALUE_BYTES_MAX} bytes");
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_itself_or_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\0\xff\n").unwrap();
        let mut named = OsString::from("@");
        named.push(file.path());
        assert_eq!(read(&named).unwrap(), &b"\0\xff\n"[..]);
        assert_eq!(literal(&named), named.as_bytes());
        assert_eq!(read(&OsString::from("a@b")).unwrap(), &b"a@b"[..]);
        assert_eq!(read(&OsString::new()).unwrap(), &b""[..]);
        let error = format!("{:#}", read(&OsString::from("@/nowhere/x")).unwrap_err());
        assert!(error.starts_with("cannot read the value from /nowhere/x: "), "{error}");
    }

    #[test]
    fn a_value_without_end_is_refused() {
        let error = all(io::repeat(0)).unwrap_err().to_string();
        assert!(error.contains("over 67108864 bytes"), "{error}");
    }
}
