//! Messages come back from their bytes; no bytes make a decoder panic or take more memory than they pay for.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Messages;
use crate::testing::{delta, mutated, replies, requests};

/// Bytes of memory per byte of input, at the most, while a frame is decoded. The shortest message takes two bytes
/// and its decoded form about 136; the list of messages doubles as it grows.
const MEMORY_FACTOR: u64 = 128;

/// For what the error and the list take whatever the input.
const MEMORY_EXTRA: u64 = 2_048;

fn decode<T: Decode>(bytes: Vec<u8>) -> Result<Vec<T>, crate::BadMessage> {
    Messages::new(Bytes::from(bytes)).collect()
}

/// Decodes arbitrary bytes; whatever was decoded comes back from its own bytes.
fn check_any_bytes<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let input = bytes.to_vec();
    let mut decoded = None;
    let memory = allocation_counter::measure(|| decoded = Some(decode::<T>(input)));
    let allowed = MEMORY_FACTOR * bytes.len() as u64 + MEMORY_EXTRA;
    prop_assert!(memory.bytes_max <= allowed, "{} bytes of memory for {}", memory.bytes_max, bytes.len());
    if let Some(Ok(messages)) = decoded {
        let mut again = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut again));
        prop_assert_eq!(decode::<T>(again), Ok(messages));
    }
    Ok(())
}

fn encoded<T: Encode + Debug>(messages: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<u8>> {
    vec(messages, 1..4).prop_map(|messages| {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn requests_come_back(messages in vec(requests(), 0..5)) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        prop_assert_eq!(decode(bytes), Ok(messages));
    }

    #[test]
    fn replies_come_back(messages in vec(replies(), 0..5)) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        prop_assert_eq!(decode(bytes), Ok(messages));
    }

    #[test]
    fn any_bytes_decode_or_fail_within_their_memory(mut bytes in vec(any::<u8>(), 1..400), tag in 0..16_u8) {
        // A known kind at the beginning reaches further than a random one.
        bytes[0] = tag;
        check_any_bytes::<Request>(&bytes)?;
        bytes[0] = tag | 0x80;
        check_any_bytes::<Reply>(&bytes)?;
    }

    #[test]
    fn damaged_requests_decode_or_fail_within_their_memory(bytes in encoded(requests()).prop_flat_map(mutated)) {
        check_any_bytes::<Request>(&bytes)?;
    }

    #[test]
    fn damaged_replies_decode_or_fail_within_their_memory(bytes in encoded(replies()).prop_flat_map(mutated)) {
        check_any_bytes::<Reply>(&bytes)?;
    }
}

/// `prefix`, a count, and then `item` so often.
fn crowded(prefix: &[u8], item: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    put_varint(&mut bytes, count as u64);
    bytes.extend(item.repeat(count));
    bytes
}

#[test]
fn the_smallest_items_by_the_thousand_stay_within_their_memory() {
    let origin = [0; 16];
    let frames: [(&str, Vec<u8>); 6] = [
        ("echoes", [tag::ECHO, 1, 1].repeat(8_000)),
        ("acknowledgements", [tag::ACK, 1].repeat(8_000)),
        ("entries of a page", crowded(&[tag::LOG_PAGE, 1, 0], &[0, 1, 0, 0], 8_000)),
        (
            "clocks of an echo",
            crowded(&[&[tag::ECHO_REPLY, 1], &origin[..], &[1, 1]].concat(), &[1, 0], 8_000),
        ),
        (
            "ranges of a clock",
            crowded(&[&[tag::PULL_LOG, 1, 1, 1], &origin[..], &[1]].concat(), &[2, 0], 8_000),
        ),
        ("origins of a clock", crowded(&[tag::PULL_LOG, 1, 1], &[&origin[..], &[1, 0]].concat(), 8_000)),
    ];
    for (name, bytes) in frames {
        check_any_bytes::<Request>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_any_bytes::<Reply>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn counts_that_the_input_cannot_hold_are_refused_without_memory() {
    for prefix in [&[tag::LOG_PAGE, 1, 0][..], &[tag::PULL_LOG, 1, 1], &[tag::COMPARED, 1, 1, 1]] {
        let mut bytes = prefix.to_vec();
        put_varint(&mut bytes, u64::MAX >> 8);
        check_any_bytes::<Request>(&bytes).unwrap();
        check_any_bytes::<Reply>(&bytes).unwrap();
        assert!(decode::<Reply>(bytes).is_err());
    }
}

#[test]
fn unknown_kinds_and_the_other_sides_messages_are_refused() {
    let ask = Request::Ask { id: 1, question: Question::Echo { since: 0 } }.to_bytes();
    assert!(Reply::from_bytes(ask).is_err());
    assert!(Request::from_bytes(Reply::Ack { upto: 1 }.to_bytes()).is_err());
    for kind in [0, 2, 127, 129, 255] {
        assert!(Request::from_bytes(Bytes::copy_from_slice(&[kind, 1, 1])).is_err());
        assert!(Reply::from_bytes(Bytes::copy_from_slice(&[kind, 1, 1])).is_err());
    }
}

#[test]
fn payloads_share_the_frame_and_an_encoded_delta_is_the_same_message() {
    let partition = PartitionId(9);
    let request = Request::Delta { partition, delta: delta(3, b"payload") };
    let mut bytes = Vec::new();
    put_delta(&mut bytes, partition, &delta(3, b"payload").to_bytes());
    assert_eq!(bytes, request.to_bytes());

    let frame = Bytes::from(bytes);
    let Request::Delta { delta, .. } = Request::from_bytes(frame.clone()).unwrap() else { panic!() };
    let payload = &delta.entry.siblings[0].1.payload;
    assert!(frame.as_ptr_range().contains(&payload.as_ptr()));
}
