//! The messages of a full exchange as bytes.

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64, put_varint};
use crate::dot::{Epoch, Origin};
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::Leaves;
use crate::merkle::walk::{Answer, Question};

use super::super::exchange::{LogAnswer, LogPage, decode_entries, encode_entries};
use super::{Asked, FullPage, FullPart, FullRequest, FullStep, Incomparable, Listing, TreesCompared};

const COMPARE: u8 = 0;
const LIST: u8 = 1;
const KEYS: u8 = 2;
const REST: u8 = 3;
/// A comparison that says nothing, a log that is not enough.
const NOTHING: u8 = 4;
const REST_FULL: u8 = 5;

const INVALID_STEP: DecodeError = DecodeError::Invalid("full exchange: step");
const INVALID_KEYS: DecodeError = DecodeError::Invalid("full exchange: keys");

fn encode_option(key: Option<&Key>, out: &mut Vec<u8>) {
    out.push(u8::from(key.is_some()));
    if let Some(key) = key {
        key.encode(out);
    }
}

fn decode_option(input: &mut Reader) -> Result<Option<Key>, DecodeError> {
    match input.u8()? {
        0 => Ok(None),
        1 => Key::decode(input).map(Some),
        _ => Err(DecodeError::Invalid("full exchange: option")),
    }
}

fn encode_keys<'a>(keys: impl ExactSizeIterator<Item = &'a Key>, out: &mut Vec<u8>) {
    put_varint(out, keys.len() as u64);
    keys.for_each(|key| key.encode(out));
}

/// Keys that ascend: a key that came twice would be merged twice, the second time with what it was before.
fn decode_keys(input: &mut Reader) -> Result<Vec<Key>, DecodeError> {
    let count = input.count(1)?;
    // In memory a key is many times larger than its byte here: growing costs what really arrives.
    let mut keys: Vec<Key> = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let key = Key::decode(input)?;
        if keys.last().is_some_and(|last| *last >= key) {
            return Err(INVALID_KEYS);
        }
        keys.push(key);
    }
    Ok(keys)
}

fn decode_ascending(input: &mut Reader) -> Result<Vec<(Key, Entry)>, DecodeError> {
    let entries = decode_entries(input)?;
    if entries.is_sorted_by(|(a, _), (b, _)| a < b) { Ok(entries) } else { Err(INVALID_KEYS) }
}

impl Encode for Asked {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.epoch.0);
        put_varint(out, self.number);
    }
}

impl Decode for Asked {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { epoch: Epoch(input.u64()?), number: input.varint()? })
    }
}

impl Encode for Listing {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leaves.encode(out);
        encode_option(self.after.as_ref(), out);
        encode_option(self.until.as_ref(), out);
        put_varint(out, self.held.len() as u64);
        for (key, fingerprint) in &self.held {
            key.encode(out);
            out.extend_from_slice(&fingerprint.to_le_bytes());
        }
    }
}

impl Decode for Listing {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let leaves = Leaves::decode(input)?;
        let (after, until) = (decode_option(input)?, decode_option(input)?);
        let mut held = BTreeMap::new();
        for _ in 0..input.count(1 + 16)? {
            let key = Key::decode(input)?;
            if held.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(INVALID_KEYS);
            }
            let low = u128::from(input.u64()?);
            held.insert(key, u128::from(input.u64()?) << 64 | low);
        }
        Ok(Self { leaves, after, until, held })
    }
}

impl Encode for FullRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        self.asked.encode(out);
        match &self.step {
            FullStep::Compare { mark, question } => {
                out.push(COMPARE);
                put_u64(out, *mark);
                question.encode(out);
            }
            FullStep::List(listing) => {
                out.push(LIST);
                listing.encode(out);
            }
            FullStep::Keys(keys) => {
                out.push(KEYS);
                encode_keys(keys.iter(), out);
            }
            FullStep::Rest(clock) => {
                out.push(REST);
                clock.encode(out);
            }
        }
    }
}

impl Decode for FullRequest {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let asked = Asked::decode(input)?;
        let step = match input.u8()? {
            COMPARE => FullStep::Compare { mark: input.u64()?, question: Question::decode(input)? },
            LIST => FullStep::List(Listing::decode(input)?),
            KEYS => FullStep::Keys(decode_keys(input)?),
            REST => FullStep::Rest(Clock::decode(input)?),
            _ => return Err(INVALID_STEP),
        };
        Ok(Self { asked, step })
    }
}

impl Encode for FullPage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.asked.encode(out);
        self.source.encode(out);
        self.clock.encode(out);
        match &self.part {
            FullPart::Compared(Err(reason)) => {
                out.push(NOTHING);
                out.push(match reason {
                    Incomparable::Unbuilt => 0,
                    Incomparable::Secret => 1,
                    Incomparable::Depth => 2,
                });
            }
            FullPart::Compared(Ok(compared)) => {
                out.push(COMPARE);
                compared.answer.encode(out);
                out.push(u8::from(compared.explicit.is_some()));
                if let Some(explicit) = &compared.explicit {
                    encode_keys(explicit.iter(), out);
                }
            }
            FullPart::Listed { until, entries } => {
                out.push(LIST);
                encode_option(until.as_ref(), out);
                encode_entries(entries, out);
            }
            FullPart::Keys(entries) => {
                out.push(KEYS);
                encode_entries(entries, out);
            }
            FullPart::Rest(LogAnswer::Page(page)) => {
                out.push(REST);
                page.encode(out);
            }
            FullPart::Rest(LogAnswer::Full) => out.push(REST_FULL),
        }
    }
}

impl Decode for FullPage {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let asked = Asked::decode(input)?;
        let source = Origin::decode(input)?;
        let clock = Clock::decode(input)?;
        let part = match input.u8()? {
            NOTHING => FullPart::Compared(Err(match input.u8()? {
                0 => Incomparable::Unbuilt,
                1 => Incomparable::Secret,
                2 => Incomparable::Depth,
                _ => return Err(DecodeError::Invalid("full exchange: reason")),
            })),
            COMPARE => {
                let answer = Answer::decode(input)?;
                let explicit = match input.u8()? {
                    0 => None,
                    1 => Some(decode_keys(input)?.into_iter().collect()),
                    _ => return Err(INVALID_STEP),
                };
                FullPart::Compared(Ok(TreesCompared { answer, explicit }))
            }
            LIST => FullPart::Listed { until: decode_option(input)?, entries: decode_ascending(input)? },
            KEYS => FullPart::Keys(decode_ascending(input)?),
            REST => FullPart::Rest(LogAnswer::Page(LogPage::decode(input)?)),
            REST_FULL => FullPart::Rest(LogAnswer::Full),
            _ => return Err(INVALID_STEP),
        };
        let (FullPart::Listed { entries, .. } | FullPart::Keys(entries)) = &part else {
            return Ok(Self { asked, source, clock, part });
        };
        // What a page shows the sender has seen, or its clock would be no context for it.
        if !entries.iter().all(|(_, entry)| entry.dots().all(|dot| clock.has(dot))) {
            return Err(DecodeError::Invalid("full exchange: entries"));
        }
        Ok(Self { asked, source, clock, part })
    }
}
