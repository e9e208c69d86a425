//! The key-value calls.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

use super::Call;

/// The header that carries a key's causal context, both ways.
pub const CONTEXT: HeaderName = HeaderName::from_static("settle-context");

/// The header that carries a session token, both ways.
pub const SESSION: HeaderName = HeaderName::from_static("settle-session");

/// The header of a reply that says what it is worth.
pub const RECEIPT: HeaderName = HeaderName::from_static("settle-receipt");

/// What a call asks for; the server's configuration decides what is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The consistency level, by its name.
    pub level: Option<&'a str>,
    /// Reads: only this node's own replica, without coordination or repair.
    pub own_replica: bool,
    /// How long the server may try.
    pub timeout: Option<Duration>,
    /// The key's causal context, from an earlier reply.
    pub context: Option<&'a HeaderValue>,
}

/// Reads a key.
#[must_use]
pub fn get(bucket: &str, key: &[u8], options: &Options<'_>, deadline: Duration) -> Call {
    call(Method::GET, bucket, key, Bytes::new(), options, deadline)
}

/// Writes a value.
#[must_use]
pub fn put(bucket: &str, key: &[u8], value: Bytes, options: &Options<'_>, deadline: Duration) -> Call {
    call(Method::PUT, bucket, key, value, options, deadline)
}

/// Deletes a key.
#[must_use]
pub fn delete(bucket: &str, key: &[u8], options: &Options<'_>, deadline: Duration) -> Call {
    call(Method::DELETE, bucket, key, Bytes::new(), options, deadline)
}

fn call(
    method: Method,
    bucket: &str,
    key: &[u8],
    body: Bytes,
    options: &Options<'_>,
    deadline: Duration,
) -> Call {
    let mut call = Call { method, body, ..Call::get(path(bucket, key, options), deadline) };
    if let Some(context) = options.context {
        call.headers.insert(CONTEXT, context.clone());
    }
    call
}

fn path(bucket: &str, key: &[u8], options: &Options<'_>) -> String {
    let mut path = String::from("/v1/kv/");
    percent_encode(bucket.as_bytes(), &mut path);
    path.push('/');
    percent_encode(key, &mut path);
    let mut separator = '?';
    let mut parameter = |name: &str, value: &str| {
        path.push(separator);
        separator = '&';
        path.push_str(name);
        path.push('=');
        percent_encode(value.as_bytes(), &mut path);
    };
    if let Some(level) = options.level {
        parameter("level", level);
    }
    if options.own_replica {
        parameter("replica", "self");
    }
    if let Some(timeout) = options.timeout {
        parameter("timeout", &format!("{}ms", timeout.as_millis().max(1)));
    }
    path
}

/// Appends `bytes`, all but RFC 3986's unreserved characters as `%XX`.
pub fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(1);

    #[test]
    fn any_bytes_make_a_path() {
        let call = get("default", b"a/b c\0\xff~", &Options::default(), DEADLINE);
        assert_eq!(call.path, "/v1/kv/default/a%2Fb%20c%00%FF~");
    }

    #[test]
    fn only_what_is_asked_for_is_in_the_query() {
        let context = HeaderValue::from_static("token");
        let options = Options {
            level: Some("quorum"),
            own_replica: true,
            timeout: Some(Duration::from_micros(1_500)),
            context: Some(&context),
        };
        let call = put("b", b"k", Bytes::from_static(b"v"), &options, DEADLINE);
        assert_eq!(call.path, "/v1/kv/b/k?level=quorum&replica=self&timeout=1ms");
        assert_eq!((call.method, &call.body[..]), (Method::PUT, &b"v"[..]));
        assert_eq!(call.headers.get(CONTEXT), Some(&context));
        let options = Options { timeout: Some(DEADLINE), ..Options::default() };
        assert_eq!(delete("b", b"k", &options, DEADLINE).path, "/v1/kv/b/k?timeout=1000ms");
    }
}
