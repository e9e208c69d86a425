//! Any bytes as a greeting: what a stranger can send before anything else.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use settle_core::codec::{Decode, Encode};
use settle_wire::hello::Greeting;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(greeting) = Greeting::from_bytes(Bytes::copy_from_slice(bytes)) {
        assert_eq!(Greeting::from_bytes(greeting.to_bytes()), Ok(greeting));
    }
});
