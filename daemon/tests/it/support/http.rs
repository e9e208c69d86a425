//! A blocking HTTP client that hides nothing: one connection, kept between calls, nothing ever sent twice.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting, and each read or write, may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The causal context of a key.
pub(crate) const CONTEXT: &str = "settle-context";

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// A reply with all of its body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection: the server has seen nothing of the call.
    #[error("cannot connect: {0}")]
    NotSent(io::Error),
    /// The server may have acted on it.
    #[error("no reply: {0}")]
    Lost(io::Error),
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// One call; the connection is kept if there was a reply.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, CallError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address).map_err(CallError::NotSent)?,
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        let sent = connection.get_mut().write_all(&bytes);
        // A server may answer and close before it has read a body that is too long.
        let reply = match (sent, read_reply(&mut connection, method)) {
            (_, Ok(reply)) => reply,
            (Err(error), Err(_)) | (Ok(()), Err(error)) => return Err(CallError::Lost(error)),
        };
        if !reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    /// A call that must be answered.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.call(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn put(&mut self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send("PUT", path, &[], body.as_ref())
    }

    pub(crate) fn delete(&mut self, path: &str) -> Reply {
        self.send("DELETE", path, &[], b"")
    }

    pub(crate) fn post(&mut self, path: &str) -> Reply {
        self.send("POST", path, &[], b"")
    }
}

impl Reply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The context that it carries.
    pub(crate) fn context(&self) -> &str {
        self.header(CONTEXT).unwrap_or_else(|| panic!("no context in {self:?}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The reply itself, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The problem document of a refusal with this status and the end of its type.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> serde_json::Value {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let problem = reply.json();
        assert_eq!(problem["type"], format!("urn:settle:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        problem
    }
}

/// A connection with deadlines.
pub(crate) fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// A PUT whose body of `length` bytes is still to be sent, and which the server waits for: it is in progress.
pub(crate) fn begin_put(address: SocketAddr, path: &str, length: usize) -> BufReader<TcpStream> {
    let mut connection = connect(address).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.get_mut().write_all(head.as_bytes()).unwrap();
    assert_eq!(line(&mut connection).unwrap(), "HTTP/1.1 100 Continue");
    assert_eq!(line(&mut connection).unwrap(), "");
    connection
}

/// Reads one reply to a call with `method`.
pub(crate) fn read_reply(connection: &mut BufReader<TcpStream>, method: &str) -> io::Result<Reply> {
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("a header without colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    if method == "HEAD" || status == 204 {
        return Ok(reply);
    }
    let length = reply.header("content-length").and_then(|text| text.parse().ok());
    reply.body = vec![0; length.ok_or_else(|| io::Error::other("a reply without Content-Length"))?];
    connection.read_exact(&mut reply.body)?;
    Ok(reply)
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
