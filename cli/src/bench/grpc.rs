//! etcd's side of the load: its gRPC calls Put and Range, framed by hand over one HTTP/2 connection.
//! Two messages of three fields need no code generator, and etcd meets a client as cheap as Settle's:
//! a call leaves in one packet.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::{Method, Request, Uri};
use tokio::net::TcpStream;

use super::Operation;
use super::load::{Client, Driver};

/// Precedes every gRPC message: a flag (1: compressed) and the length in 4 bytes, big-endian.
const PREFIX_BYTES: usize = 5;

/// One connection to one node of etcd.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    put: Uri,
    range: Uri,
    headers: HeaderMap,
}

impl Client for Connection {
    async fn connect(node: SocketAddr, _level: Arc<str>) -> Result<(Self, Driver)> {
        let stream = TcpStream::connect(node).await.with_context(|| format!("cannot connect to {node}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let method = |name: &str| Uri::try_from(format!("http://{node}/etcdserverpb.KV/{name}"));
        let client = Self { sender, put: method("Put")?, range: method("Range")?, headers };
        Ok((client, Box::pin(async move { drop(connection.await) })))
    }

    async fn call(&mut self, operation: Operation, key: &str, value: &Bytes) -> Result<()> {
        let (uri, message) = match operation {
            Operation::Write => (&self.put, put_request(key, value)?),
            Operation::Read => (&self.range, range_request(key, true)?),
            Operation::StrongRead => (&self.range, range_request(key, false)?),
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut stream) = self.sender.send_request(request, false)?;
        stream.send_data(message, true)?;
        let (head, mut body) = response.await?.into_parts();
        let reply = collect(&mut body).await.context("the reply broke off")?;
        let trailers = body.trailers().await.context("the reply broke off")?;
        // A call that fails at once has its status in the headers, and no trailers.
        check_status(trailers.as_ref().unwrap_or(&head.headers))?;
        if operation != Operation::Write && !holds_value(&reply, value.len()) {
            bail!("no value of {} bytes for {key}", value.len());
        }
        Ok(())
    }
}

async fn collect(body: &mut RecvStream) -> Result<BytesMut, h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

fn check_status(headers: &HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(status) => bail!("gRPC status {status}: {}", text("grpc-message").unwrap_or("")),
        None => bail!("a reply without gRPC status"),
    }
}

/// etcd's `PutRequest`: field 1 is the key, field 2 the value.
fn put_request(key: &str, value: &[u8]) -> Result<Bytes> {
    framed(|message| {
        bytes_field(message, 1, key.as_bytes());
        bytes_field(message, 2, value);
    })
}

/// etcd's `RangeRequest`: field 1 is the key; field 7, `serializable`, lets the node asked answer
/// alone, from what it has.
fn range_request(key: &str, serializable: bool) -> Result<Bytes> {
    framed(|message| {
        bytes_field(message, 1, key.as_bytes());
        if serializable {
            message.put_slice(&[7 << 3, 1]);
        }
    })
}

fn framed(fields: impl FnOnce(&mut BytesMut)) -> Result<Bytes> {
    let mut message = BytesMut::with_capacity(256);
    fields(&mut message);
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).context("a message over 4 GiB")?);
    frame.put_slice(&message);
    Ok(frame.freeze())
}

/// Wire type 2: a length, then that many bytes.
fn bytes_field(message: &mut BytesMut, number: u8, bytes: &[u8]) {
    message.put_u8(number << 3 | 2);
    let mut rest = bytes.len();
    while rest >= 0x80 {
        message.put_u8(0x80 | low_bits(rest));
        rest >>= 7;
    }
    message.put_u8(low_bits(rest));
    message.put_slice(bytes);
}

/// A varint carries seven bits in each byte.
fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

/// Whether a framed `RangeResponse` holds a key (field 2) with a value (its field 5) of that length.
fn holds_value(frame: &[u8], length: usize) -> bool {
    let Some(message) = frame.get(PREFIX_BYTES..) else { return false };
    find_bytes(message, 2).and_then(|entry| find_bytes(entry, 5)).is_some_and(|value| value.len() == length)
}

/// The first field of that number that holds bytes.
fn find_bytes(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                if tag >> 3 == wanted {
                    return Some(bytes);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_framed_as_protobuf_and_grpc_define() {
        assert_eq!(put_request("k", b"vw").unwrap()[..], *b"\0\0\0\0\x07\x0a\x01k\x12\x02vw");
        assert_eq!(range_request("k", true).unwrap()[..], *b"\0\0\0\0\x05\x0a\x01k\x38\x01");
        assert_eq!(range_request("k", false).unwrap()[..], *b"\0\0\0\0\x03\x0a\x01k");
        let long = put_request("k", &[7; 300]).unwrap();
        assert_eq!(long[8..11], [0x12, 0xac, 0x02]);
    }

    #[test]
    fn a_value_is_found_in_a_reply_and_missed_in_an_empty_one() {
        // Header (field 1), then kvs (field 2) with key, create_revision and value; then count.
        let reply = b"\0\0\0\0\0\x0a\x02\x08\x07\x12\x08\x0a\x01k\x10\x96\x01\x2a\x00\x20\x01";
        assert!(holds_value(reply, 0));
        assert!(!holds_value(reply, 2));
        assert!(!holds_value(b"\0\0\0\0\0\x0a\x02\x08\x07", 0));
        assert!(!holds_value(b"\0\0\0\0\0\x12\xff", 0), "a truncated reply holds nothing");
    }

    #[test]
    fn only_status_zero_is_success() {
        let mut headers = HeaderMap::new();
        assert!(check_status(&headers).is_err());
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        headers.insert("grpc-message", HeaderValue::from_static("no leader"));
        assert!(check_status(&headers).unwrap_err().to_string().contains("no leader"));
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        check_status(&headers).unwrap();
    }
}
