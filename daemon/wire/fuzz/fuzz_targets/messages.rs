//! Any bytes as a frame of either side: decoded messages come back from their own bytes, the rest is an error.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use settle_core::codec::{Decode, Encode};
use settle_wire::Messages;
use settle_wire::message::{Reply, Request};

fn check<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let Ok(messages) = Messages::<T>::new(frame).collect::<Result<Vec<_>, _>>() else { return };
    let mut again = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut again));
    let decoded = Messages::<T>::new(Bytes::from(again)).collect::<Result<Vec<_>, _>>();
    assert_eq!(decoded, Ok(messages));
}

fuzz_target!(|bytes: &[u8]| {
    check::<Request>(bytes);
    check::<Reply>(bytes);
});
