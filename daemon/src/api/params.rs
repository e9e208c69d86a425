//! Query parameters of data calls. Unknown ones are errors: a misspelt level must not fall back to a default.

use std::time::Duration;

use settle_core::level::Level;
use settle_service::config::parse_duration;

use super::metrics::Op;

/// The longest deadline that a client may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Keys per page unless asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// What the query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Params {
    /// `level`.
    pub(super) level: Option<Level>,
    /// `timeout`.
    pub(super) timeout: Option<Duration>,
    /// `replica=self`: this node's own state only.
    pub(super) own: bool,
    /// `prefix`.
    pub(super) prefix: Vec<u8>,
    /// `cursor`.
    pub(super) cursor: Option<String>,
    /// `limit`.
    pub(super) limit: usize,
}

impl Params {
    pub(super) fn parse(query: &str, op: Op) -> Result<Self, String> {
        let mut params = Self {
            level: None,
            timeout: None,
            own: false,
            prefix: Vec::new(),
            cursor: None,
            limit: LIMIT_DEFAULT,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bytes =
                percent_decode(value).ok_or_else(|| format!("{name}: not percent-encoded correctly"))?;
            let text = || String::from_utf8(bytes.clone()).map_err(|_| format!("{name}: not UTF-8"));
            match (name, op) {
                ("level", Op::Get | Op::Put | Op::Delete) => {
                    params.level = Some(text()?.parse().map_err(|error| format!("level: {error}"))?);
                }
                ("timeout", _) => params.timeout = Some(timeout(&text()?)?),
                ("replica", Op::Get) if bytes == b"self" => params.own = true,
                ("replica", Op::Get) => return Err("replica: the only value is \"self\"".to_owned()),
                ("prefix", Op::Keys) => params.prefix = bytes,
                ("cursor", Op::Keys) => params.cursor = Some(text()?),
                ("limit", Op::Keys) => params.limit = limit(&text()?)?,
                _ => return Err(unknown(name, op)),
            }
        }
        if params.own && params.level.is_some() {
            return Err("replica=self asks this node alone; leave level out".to_owned());
        }
        Ok(params)
    }
}

/// The level that a call asks for whose parameters are wrong otherwise, to count it under.
pub(super) fn asked_level(query: &str, op: Op) -> Option<Level> {
    if op == Op::Keys {
        return None;
    }
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("level="));
    values.filter_map(|value| String::from_utf8(percent_decode(value)?).ok()?.parse().ok()).next_back()
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text).map_err(|error| format!("timeout: {error}"))?;
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(format!("timeout: {text} is not above 0 and at most {}s", TIMEOUT_MAX.as_secs()));
    }
    Ok(timeout)
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| format!("limit: {text:?} is not a number from 1 to {LIMIT_MAX}"))
}

fn unknown(name: &str, op: Op) -> String {
    let known = match op {
        Op::Get => "level, timeout and replica",
        Op::Put | Op::Delete => "level and timeout",
        Op::Keys => "prefix, cursor, limit and timeout",
    };
    format!("unknown parameter {name:?}; known here are {known}")
}

/// The bytes that a percent-encoded text stands for; `None` where a `%` is not followed by two hex digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
        out.push(u8::try_from(value).ok()?);
    }
    Some(out)
}

/// The percent-encoded form of bytes, with everything but unreserved characters (RFC 3986) encoded.
pub(super) fn percent_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_key_survives_its_encoding(bytes: Vec<u8>) {
            prop_assert_eq!(percent_decode(&percent_encode(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn half_an_escape_is_refused() {
        assert_eq!([percent_decode("%"), percent_decode("a%2"), percent_decode("%zz")], [None, None, None]);
    }

    #[test]
    fn what_is_unknown_is_named() {
        assert!(Params::parse("level=most", Op::Get).unwrap_err().contains("most"));
        assert!(Params::parse("levle=one", Op::Get).unwrap_err().contains("levle"));
        assert!(Params::parse("replica=self", Op::Put).is_err());
        assert!(Params::parse("replica=self&level=all", Op::Get).is_err());
        assert!(Params::parse("timeout=0ms", Op::Get).is_err());
        assert_eq!(Params::parse("level=quorum", Op::Put).unwrap().level, Some(Level::Quorum));
    }
}
