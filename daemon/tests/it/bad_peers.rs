//! Strangers on the peer port, TCP and UDP: refused with a reason, cut off, and the cluster goes on.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use settle_core::codec::Encode;
use settle_core::dot::{Epoch, NodeId, Origin};
use settle_wire::hello::{Greeting, Hello, RefusalCode};

use crate::support::random::Random;
use crate::support::stranger::{frame, greeted, greeting, hello, open};
use crate::support::{Cluster, Node, turn};

/// Waits for the node to close the connection.
#[track_caller]
fn assert_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// All nodes are still one cluster that takes writes at all.
#[track_caller]
fn assert_whole(cluster: &Cluster) {
    cluster.wait_connected();
    for node in &cluster.nodes {
        node.client().put("/v1/kv/default/alive?level=all&timeout=30s", &node.name).expect(204);
        let members = node.admin().get("/v1/members").expect(200).json();
        assert_eq!(members["members"].as_array().unwrap().len(), cluster.nodes.len(), "{members}");
    }
}

fn own_id(node: &Node) -> NodeId {
    let status = node.admin().get("/v1/status").expect(200).json();
    NodeId(u64::from_str_radix(status["node_id"].as_str().unwrap(), 16).unwrap())
}

#[test]
fn a_hello_that_does_not_fit_is_answered_with_the_reason() {
    let _turn = turn::shared();
    let cluster = Cluster::start(2);
    let node = &cluster.nodes[0];
    let own = own_id(node);
    let later = Hello { version_newest: 99, version_oldest: 98, ..hello() };
    let elsewhere = Hello { cluster: "elsewhere".to_owned(), ..hello() };
    let finer = Hello { partitions: 256, ..hello() };
    let copy = Hello { origin: Origin { node: own, epoch: Epoch(1) }, name: "n1".to_owned(), ..hello() };
    let namesake = Hello { name: "n2".to_owned(), ..hello() };
    for (wrong, code, named) in [
        (later, RefusalCode::Version, "versions 98 to 99"),
        (elsewhere, RefusalCode::Cluster, "elsewhere"),
        (finer, RefusalCode::Partitions, "256"),
        (copy, RefusalCode::Identity, "identity"),
        (namesake, RefusalCode::Name, "n2"),
    ] {
        let mut stream = open(node.peer);
        stream.write_all(&frame(&Greeting::Hello(wrong).to_bytes())).unwrap();
        let Greeting::Refusal(refusal) = greeting(&mut stream) else { panic!("{code:?} was not refused") };
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.text.contains(named), "{refusal}");
        assert_closed(stream);
    }
    assert_whole(&cluster);
}

#[test]
fn what_is_no_hello_is_cut_off() {
    let _turn = turn::shared();
    let cluster = Cluster::start(2);
    let address = cluster.nodes[0].peer;
    let mut random = Random::from_environment(3);
    let noise: Vec<u8> = (0..64 << 10).map(|_| random.next() as u8).collect();
    let cut = &frame(&Greeting::Hello(hello()).to_bytes())[..20];
    for wrong in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        noise,
        vec![0xff; 4],
        // An empty frame; one as long as can be announced, and one just above what a stranger may send.
        vec![0; 4],
        (u32::MAX - 1).to_le_bytes().to_vec(),
        (16_385_u32).to_le_bytes().to_vec(),
        frame(b"settlf\x01"),
        frame(b"settle\x07"),
    ] {
        let mut stream = open(address);
        // It may be closed before everything is written.
        drop(stream.write_all(&wrong));
        assert_closed(stream);
    }
    let mut stream = open(address);
    stream.write_all(cut).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_closed(stream);
    assert_whole(&cluster);
}

#[test]
fn a_peer_that_goes_wrong_after_its_hello_is_cut_off() {
    let _turn = turn::shared();
    let cluster = Cluster::start(2);
    let address = cluster.nodes[0].peer;
    let mut random = Random::from_environment(4);
    for length in [1, 7, 100, 10_000] {
        let mut stream = greeted(address);
        let noise: Vec<u8> = (0..length).map(|_| random.next() as u8 | 0x80).collect();
        drop(stream.write_all(&frame(&noise)));
        assert_closed(stream);
    }
    for announced in [0, u32::MAX] {
        let mut stream = greeted(address);
        drop(stream.write_all(&announced.to_le_bytes()));
        assert_closed(stream);
    }
    // Cut in the middle of a frame.
    let mut stream = greeted(address);
    stream.write_all(&[100, 0, 0, 0, 1, 2]).unwrap();
    drop(stream);
    assert_whole(&cluster);
}

#[test]
fn silent_strangers_hold_nobody_up() {
    let _turn = turn::shared();
    let cluster = Cluster::start(2);
    let silent: Vec<TcpStream> = (0..100).map(|_| open(cluster.nodes[0].peer)).collect();
    assert_whole(&cluster);
    for stream in silent {
        assert_closed(stream);
    }
}

#[test]
fn garbage_in_the_gossip_is_ignored() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut random = Random::from_environment(5);
    for number in 0..3_000_u64 {
        let length = random.below(1_400);
        let mut datagram: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        // Some begin as datagrams of the protocol do, as far as that can be guessed.
        if number % 3 == 0 {
            datagram.splice(..0, b"settle".iter().copied());
        }
        let node = &cluster.nodes[number as usize % 3];
        // A full buffer on the way is no failure of the node.
        drop(socket.send_to(&datagram, node.peer));
    }
    assert_whole(&cluster);
    for node in &cluster.nodes {
        assert_eq!(node.metrics().expect("settle_members{state=\"alive\"}"), 3.0, "{}", node.name);
    }
}
