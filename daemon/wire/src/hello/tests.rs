//! Who gets to talk to whom, and what the others are told.

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::frame::FrameReader;
use crate::testing::{frame, hello};

fn readers() -> (FrameReader<DuplexStream>, FrameReader<DuplexStream>) {
    let (asking, answering) = duplex(64 << 10);
    (FrameReader::new(asking), FrameReader::new(answering))
}

/// Both sides of a handshake.
async fn shake(
    asking: &Hello,
    answering: &Hello,
    check: impl FnOnce(&Hello) -> Result<(), Refusal>,
) -> (Result<Hello, HelloError>, Result<Hello, HelloError>) {
    let (mut left, mut right) = readers();
    tokio::join!(offer(&mut left, asking), accept(&mut right, answering, check))
}

#[tokio::test]
async fn nodes_of_one_cluster_learn_about_each_other() {
    let (left, right) = (hello("left"), Hello { fence: 3, ..hello("right") });
    let (of_right, of_left) = shake(&left, &right, |_| Ok(())).await;
    assert_eq!((of_right.unwrap(), of_left.unwrap()), (right, left));
}

#[tokio::test]
async fn both_sides_are_told_both_values_of_what_differs() {
    let own = hello("own");
    let cases = [
        (
            Hello { version_newest: 4, version_oldest: 3, ..own.clone() },
            RefusalCode::Version,
            ["version 1 ", "versions 3 to 4"],
        ),
        (Hello { cluster: "other".into(), ..own.clone() }, RefusalCode::Cluster, ["\"settle\"", "\"other\""]),
        (Hello { partitions: 64, ..own.clone() }, RefusalCode::Partitions, ["128 partitions", "into 64"]),
    ];
    for (stranger, code, values) in cases {
        let (left, right) = shake(&stranger, &own, |_| Ok(())).await;
        let (Err(HelloError::ByPeer(told)), Err(HelloError::ByThisSide(own))) = (left, right) else {
            panic!("not refused: {stranger:?}");
        };
        assert_eq!(told, own);
        assert_eq!(told.code, code);
        assert!(values.iter().all(|value| told.text.contains(value)), "{told}");
    }
}

#[tokio::test]
async fn the_asking_side_checks_too() {
    let (mut left, mut right) = readers();
    let theirs = Hello { cluster: "other".into(), ..hello("right") };
    right.stream_mut().write_all(&frame(&[Greeting::Hello(theirs)])).await.unwrap();
    let error = offer(&mut left, &hello("left")).await.unwrap_err();
    assert!(matches!(error, HelloError::ByThisSide(Refusal { code: RefusalCode::Cluster, .. })), "{error}");
}

#[tokio::test]
async fn the_callers_check_has_the_last_word() {
    let refusal = Refusal { code: RefusalCode::Identity, text: "that is me".into() };
    let (left, right) = shake(&hello("left"), &hello("right"), |_| Err(refusal.clone())).await;
    assert!(matches!(left, Err(HelloError::ByPeer(told)) if told == refusal));
    assert!(matches!(right, Err(HelloError::ByThisSide(own)) if own == refusal));
}

#[tokio::test]
async fn strangers_are_refused() {
    let request = b"GET /metrics HTTP/1.1\r\nhost: settle\r\n\r\n";
    let (mut left, mut right) = readers();
    left.stream_mut().write_all(request).await.unwrap();
    let error = accept(&mut right, &hello("own"), |_| Ok(())).await.unwrap_err();
    assert!(matches!(error, HelloError::Frame(_)), "{error}");

    let (mut left, mut right) = readers();
    left.stream_mut().write_all(&[4, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    let error = accept(&mut right, &hello("own"), |_| Ok(())).await.unwrap_err();
    assert!(matches!(error, HelloError::ByThisSide(Refusal { code: RefusalCode::Malformed, .. })), "{error}");
    drop(right);
    let mut told = Vec::new();
    left.stream_mut().read_to_end(&mut told).await.unwrap();
    assert!(String::from_utf8_lossy(&told).contains("cannot be read"));

    let (left, mut right) = readers();
    drop(left);
    let error = accept(&mut right, &hello("own"), |_| Ok(())).await.unwrap_err();
    assert!(matches!(error, HelloError::Closed), "{error}");
}

#[tokio::test]
async fn a_greeting_without_room_is_refused_before_it_is_sent() {
    let (mut left, _right) = readers();
    let long = Hello { name: "x".repeat(HELLO_BYTES_MAX), ..hello("") };
    assert!(matches!(offer(&mut left, &long).await, Err(HelloError::TooLong(_))));
}

#[test]
fn a_later_versions_greeting_can_be_read() {
    let later = Hello { version_newest: 9, ..hello("later") };
    let mut bytes = Greeting::Hello(later.clone()).to_bytes().to_vec();
    bytes.extend_from_slice(b"fields of a later version");
    let read = Greeting::decode(&mut Reader::new(Bytes::from(bytes)));
    assert_eq!(read, Ok(Greeting::Hello(later.clone())));
    assert_eq!(hello("own").common_version(&later), Some(1));
}

#[test]
fn the_buckets_of_a_node_are_told_and_bounded() {
    let bucket = |number: usize| DeclaredBucket {
        name: format!("{number:064}"),
        kind: "register".into(),
        resolver: "siblings".into(),
    };
    let told = Hello { buckets: (0..BUCKETS_MAX).map(bucket).collect(), ..hello("n1") };
    let bytes = Greeting::Hello(told.clone()).to_bytes();
    // With room for the longest names of hosts.
    assert!(bytes.len() + 3 * 256 < HELLO_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(Greeting::from_bytes(bytes), Ok(Greeting::Hello(told)));
    let more = Hello { buckets: (0..=BUCKETS_MAX).map(bucket).collect(), ..hello("n1") };
    assert!(Greeting::from_bytes(Greeting::Hello(more).to_bytes()).is_err());
    // A node that does not tell sends nothing at this place.
    let silent = Greeting::Hello(hello("n1")).to_bytes();
    let read = Greeting::from_bytes(silent.slice(..silent.len() - 1));
    assert_eq!(read, Ok(Greeting::Hello(hello("n1"))));
}

#[test]
fn codes_of_refusals_come_back() {
    for number in 0..=u8::MAX {
        let code = RefusalCode::of(number);
        assert_eq!(code.number(), number);
        let greeting = Greeting::Refusal(Refusal { code, text: "no".into() });
        assert_eq!(Greeting::from_bytes(greeting.to_bytes()), Ok(greeting));
    }
}

proptest! {
    #[test]
    fn any_greeting_decodes_or_fails(mut bytes: Vec<u8>) {
        bytes.splice(0..0, *b"settle\x01");
        if let Ok(greeting) = Greeting::from_bytes(Bytes::from(bytes)) {
            prop_assert_eq!(Greeting::from_bytes(greeting.to_bytes()), Ok(greeting));
        }
    }
}
