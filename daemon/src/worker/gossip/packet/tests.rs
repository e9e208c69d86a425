//! Tests of reading datagrams: what was sent arrives, and nothing else gets through or does harm.

use std::net::SocketAddr;

use foca::State;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use settle_core::dot::{Epoch, NodeId};

use super::super::Identity;
use super::*;

fn id(node: u64, name: &str, peer: &str) -> Id {
    let peer: SocketAddr = peer.parse().unwrap();
    Id::first(&Identity {
        node: NodeId(node),
        name: name.to_owned(),
        epoch: Epoch(u64::MAX - node),
        peer,
        cluster: "settle".to_owned(),
    })
}

fn here() -> ClusterHash {
    ClusterHash::of("settle")
}

/// A message of the membership protocol from node 1, about nodes 2 and 3.
fn swim(message: Message<Id>) -> Vec<u8> {
    let (src, dst) = (id(1, "a", "127.0.0.1:1"), id(2, "b", "[::1]:2"));
    let mut payload = Vec::new();
    let header = Header { src, src_incarnation: 7, dst: dst.clone(), message };
    PostcardCodec.encode_header(&header, &mut payload).unwrap();
    payload.extend_from_slice(&2_u16.to_be_bytes());
    for (id, state) in [(dst, State::Suspect), (id(3, &"c".repeat(63), "10.0.0.3:3"), State::Down)] {
        PostcardCodec.encode_member(&Member::new(id, 9, state), &mut payload).unwrap();
    }
    sealed(here(), Kind::Swim, &payload)
}

#[test]
fn what_is_sent_is_read() {
    let own = id(1, "a", "127.0.0.1:1");
    let datagram = sealed_id(here(), Kind::Hello, &own).unwrap();
    assert_eq!(Packet::read(&datagram, here()), Ok(Packet::Hello(own.clone())));
    let datagram = sealed_id(here(), Kind::Newer, &own).unwrap();
    assert_eq!(Packet::read(&datagram, here()), Ok(Packet::Newer(own)));
    let datagram = swim(Message::Gossip);
    let Ok(Packet::Swim { payload, src, about }) = Packet::read(&datagram, here()) else { panic!("refused") };
    assert_eq!((payload, src.node), (&datagram[ENVELOPE_BYTES..], NodeId(1)));
    assert_eq!(about.iter().map(|id| id.node.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn others_are_told_apart() {
    let mut datagram = swim(Message::Gossip);
    assert_eq!(Packet::read(&datagram, ClusterHash::of("other")), Err(Unusable::Cluster));
    datagram[2] = 2;
    assert_eq!(Packet::read(&datagram, here()), Err(Unusable::Version(2)));
    datagram[0] = b'X';
    assert_eq!(Packet::read(&datagram, here()), Err(Unusable::Malformed));
    assert_eq!(Packet::read(&swim(Message::Broadcast), here()), Err(Unusable::Malformed));
    let too_long = [swim(Message::Gossip), vec![0; DATAGRAM_BYTES_MAX]].concat();
    assert_eq!(Packet::read(&too_long, here()), Err(Unusable::Malformed));
}

#[test]
fn impossible_identities_are_refused() {
    let wrong = [
        ("", "127.0.0.1:1"),
        ("a\nb", "127.0.0.1:1"),
        (&"n".repeat(64), "127.0.0.1:1"),
        ("a", "0.0.0.0:1"),
        ("a", "127.0.0.1:0"),
    ];
    for (name, peer) in wrong {
        let datagram = sealed_id(here(), Kind::Hello, &id(1, name, peer)).unwrap();
        assert_eq!(Packet::read(&datagram, here()), Err(Unusable::Malformed), "{name} {peer}");
    }
}

#[test]
fn no_part_of_a_datagram_is_taken() {
    let good = [
        swim(Message::Ping(1)),
        swim(Message::PingReq { target: id(3, "c", "127.0.0.1:3"), probe_number: 1 }),
        sealed_id(here(), Kind::Welcome, &id(1, "a", "127.0.0.1:1")).unwrap(),
    ];
    for datagram in good {
        assert!(Packet::read(&datagram, here()).is_ok());
        // A swim message may end after its header: then it has no news.
        let reads = (0..datagram.len()).filter(|end| Packet::read(&datagram[..*end], here()).is_ok()).count();
        assert!(reads <= usize::from(datagram[3] == Kind::Swim as u8), "{reads}");
        let longer = [datagram, vec![0]].concat();
        assert_eq!(Packet::read(&longer, here()), Err(Unusable::Malformed));
    }
}

/// Also foca, which reads the payload again, must live through whatever is let in.
#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut rng = StdRng::seed_from_u64(7);
    let good = swim(Message::Feed);
    let own = id(2, "b", "[::1]:2");
    let mut foca = foca::Foca::new(own, foca::Config::simple(), StdRng::seed_from_u64(8), PostcardCodec);
    let mut let_in = 0;
    for _ in 0..20_000 {
        let mut datagram = good.clone();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(ENVELOPE_BYTES..datagram.len());
            datagram[at] = rng.random();
        }
        if rng.random() {
            let tail = rng.random_range(ENVELOPE_BYTES..datagram.len());
            rng.fill_bytes(&mut datagram[tail..]);
        }
        if let Ok(Packet::Swim { payload, .. }) = Packet::read(&datagram, here()) {
            let_in += 1;
            let _any = foca.handle_data(payload, foca::AccumulatingRuntime::new());
        }
    }
    assert!(let_in > 100, "{let_in} reached foca: too few to prove anything");
}
