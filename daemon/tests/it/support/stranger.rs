//! A node that is no member, on the peer port: it says what it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use settle_core::codec::{Decode, Encode, Reader};
use settle_core::dot::{Dot, DotRange, Epoch, NodeId, Origin};
use settle_core::entry::{Entry, Version};
use settle_core::hlc::Hlc;
use settle_core::key::Key;
use settle_core::partition::Delta;
use settle_core::value::register::Value;
use settle_wire::hello::{Greeting, Hello, VERSION_NEWEST, VERSION_OLDEST};
use settle_wire::message::{Reply, Request};

use super::wait::PATIENCE;

/// The partitions of a cluster that is not configured otherwise.
const PARTITIONS: u32 = 128;

/// A hello that a node of the cluster could have sent.
pub(crate) fn hello() -> Hello {
    Hello {
        version_newest: VERSION_NEWEST,
        version_oldest: VERSION_OLDEST,
        cluster: "settle".to_owned(),
        partitions: PARTITIONS,
        origin: Origin { node: NodeId(0x5eed), epoch: Epoch(1) },
        name: "stranger".to_owned(),
        api: "127.0.0.1:1".to_owned(),
        admin: "127.0.0.1:2".to_owned(),
        peer: "127.0.0.1:3".to_owned(),
        fence: 0,
        datacenter: "default".to_owned(),
        zone: "default".to_owned(),
        buckets: Vec::new(),
    }
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

pub(crate) fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one frame of a handshake.
pub(crate) fn greeting(stream: &mut TcpStream) -> Greeting {
    Greeting::decode(&mut Reader::new(read_frame(stream))).unwrap()
}

/// A connection on which hellos were exchanged.
pub(crate) fn greeted(address: SocketAddr) -> TcpStream {
    let mut stream = open(address);
    stream.write_all(&frame(&Greeting::Hello(hello()).to_bytes())).unwrap();
    match greeting(&mut stream) {
        Greeting::Hello(_) => stream,
        Greeting::Refusal(refusal) => panic!("{refusal}"),
    }
}

fn read_frame(stream: &mut TcpStream) -> Bytes {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    Bytes::from(body)
}

/// The name of the stranger's n-th write.
pub(crate) fn dot(counter: u64) -> Dot {
    Dot { origin: hello().origin, counter }
}

/// Gives one node a write that no other one hears of: a value, or with `None` a delete, that supersedes `over`. Returns
/// when it is durable there.
pub(crate) fn write(address: SocketAddr, key: &str, counter: u64, value: Option<&str>, over: &[Dot]) {
    let key = Key::new("default", key.as_bytes());
    let partition = key.partition(PARTITIONS);
    let mut entry = Entry { siblings: Vec::new(), context: over.iter().copied().collect() };
    entry.context.add(dot(counter));
    if let Some(value) = value {
        let payload = Value { content_type: Bytes::new(), bytes: Bytes::from(value.to_owned()) }.to_payload();
        entry.insert(dot(counter), Version { stamp: Hlc(counter << 16), payload });
    }
    let delta = Delta { key, entry, seen: DotRange::single(dot(counter)) };
    let mut stream = greeted(address);
    stream.write_all(&frame(&Request::Delta { partition, delta }.to_bytes())).unwrap();
    let reply = Reply::from_bytes(read_frame(&mut stream)).unwrap();
    assert_eq!(reply, Reply::Ack { upto: 1 });
}
