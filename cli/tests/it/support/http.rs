//! A blocking HTTP client of a few lines: HTTP/1.0, one request per connection, the body up to its end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer within this is an error.
const DEADLINE: Duration = Duration::from_secs(10);

/// The status and body of a request with an empty body.
pub(crate) fn request(method: &str, address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    send(method, address, path, "").map_err(|error| format!("{method} http://{address}{path}: {error}"))
}

/// The body of a reply that is 200, else an error that quotes it.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    match request("GET", address, path)? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("GET http://{address}{path}: {status}: {}", body.trim())),
    }
}

/// Puts a value; an error unless it is acknowledged.
pub(crate) fn put(address: SocketAddr, path: &str, value: &str) -> Result<(), String> {
    match send("PUT", address, path, value) {
        Ok((204, _)) => Ok(()),
        Ok((status, body)) => Err(format!("PUT http://{address}{path}: {status}: {}", body.trim())),
        Err(error) => Err(format!("PUT http://{address}{path}: {error}")),
    }
}

fn send(method: &str, address: SocketAddr, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) =
        reply.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no end of the head"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| std::io::Error::other("no status"))?, body.to_owned()))
}
