//! Where a server listens.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;

/// A server's address: `http://host:port`, or `host:port` for short.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base(Arc<str>);

/// A text that is no server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the address of an HTTP server ({reason}); expected http://host:port")]
pub struct BadBase {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Base {
    /// Host and port, as in the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl FromStr for Base {
    type Err = BadBase;

    fn from_str(text: &str) -> Result<Self, BadBase> {
        let bad = |reason| BadBase { text: text.to_owned(), reason };
        let address = match text.split_once("://") {
            None => text,
            Some(("http", address)) => address,
            Some(("https", _)) => return Err(bad("TLS is not supported")),
            Some(_) => return Err(bad("unknown scheme")),
        };
        let uri: Uri = format!("http://{address}").parse().map_err(|_| bad("malformed"))?;
        if uri.path() != "/" || uri.query().is_some() || address.contains('@') {
            return Err(bad("more than host and port"));
        }
        match uri.host() {
            None | Some("") => Err(bad("no host")),
            Some(host) => Ok(Self(format!("{host}:{}", uri.port_u16().unwrap_or(80)).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for text in ["http://127.0.0.1:7402", "127.0.0.1:7402", "http://127.0.0.1:7402/"] {
            assert_eq!(text.parse::<Base>().unwrap().to_string(), "http://127.0.0.1:7402");
        }
        assert_eq!("http://[::1]:7400".parse::<Base>().unwrap().authority(), "[::1]:7400");
        assert_eq!("settle.example".parse::<Base>().unwrap().authority(), "settle.example:80");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("https://a:1", "TLS"),
            ("ftp://a:1", "scheme"),
            ("http://a:1/x", "more than"),
            ("user@a:1", "more than"),
            ("", "malformed"),
            ("a b", "malformed"),
        ] {
            let error = text.parse::<Base>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
