//! The ring of canary keys: which slot is next, what was last acknowledged in each, and the text forms
//! of keys and values.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::ProberName;
use crate::verdict::{Canary, Seen, Seq, Slot};

/// What separates the prober's name from the slot in a key; no name contains it.
const KEY_SEPARATOR: char = '~';

/// What every canary's value begins with; the number is the version of the form.
const VALUE_MARK: &str = "settle-canary/1";

/// The slots of one prober, overwritten in turn.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    next_seq: Seq,
    next_slot: Slot,
    acked: BTreeMap<Slot, Seq>,
}

/// The value of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The run of the prober that wrote it.
    pub(crate) run: u64,
    /// Its number within that run.
    pub(crate) seq: Seq,
    /// A ring that has not changed for this long is abandoned, and anyone may sweep it.
    pub(crate) silent_after: Duration,
}

// === impl Ring ===

impl Ring {
    pub(crate) fn new() -> Self {
        Self { next_seq: 1, next_slot: 0, acked: BTreeMap::new() }
    }

    /// The next canary, its clock starting at `start`, in a ring that now has these slots, ascending; nothing if it
    /// has none.
    pub(crate) fn next(&mut self, slots: &[Slot], start: Instant) -> Option<Canary> {
        let slot = *slots.iter().find(|slot| **slot >= self.next_slot).or(slots.first())?;
        let canary = Canary { seq: self.next_seq, slot, start };
        self.next_seq += 1;
        self.next_slot = slot + 1;
        Some(canary)
    }

    /// The write of this canary was acknowledged.
    pub(crate) fn acknowledge(&mut self, canary: &Canary) {
        self.acked.insert(canary.slot, canary.seq);
    }

    /// The last canary acknowledged in this slot.
    pub(crate) fn acknowledged(&self, slot: Slot) -> Option<Seq> {
        self.acked.get(&slot).copied()
    }
}

// === impl Value ===

impl Value {
    pub(crate) fn encode(&self) -> String {
        let Self { run, seq, silent_after } = self;
        format!("{VALUE_MARK} run={run:016x} seq={seq} silent_ms={}", silent_after.as_millis())
    }

    /// Nothing when the bytes are not a canary of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(bytes).ok()?.strip_prefix(VALUE_MARK)?;
        let mut words = rest.split_ascii_whitespace();
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Self {
            run: u64::from_str_radix(field("run")?, 16).ok()?,
            seq: field("seq")?.parse().ok()?,
            silent_after: Duration::from_millis(field("silent_ms")?.parse().ok()?),
        })
    }

    /// What these bytes mean to the prober with this run.
    pub(crate) fn seen(bytes: &[u8], run: u64) -> Seen {
        match Self::decode(bytes) {
            Some(value) if value.run == run => Seen::Canary(value.seq),
            _ => Seen::Foreign,
        }
    }
}

/// The key of one slot.
pub(crate) fn key(name: &ProberName, slot: Slot) -> String {
    format!("{name}{KEY_SEPARATOR}{slot}")
}

/// What all keys of one prober begin with.
pub(crate) fn prefix(name: &ProberName) -> String {
    format!("{name}{KEY_SEPARATOR}")
}

/// The prober's name and the slot of a key; nothing when it is no canary's key.
pub(crate) fn parse_key(key: &str) -> Option<(&str, Slot)> {
    let (name, slot) = key.rsplit_once(KEY_SEPARATOR)?;
    Some((name, slot.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_in_turn_also_when_their_number_changes() {
        let mut ring = Ring::new();
        let now = Instant::now();
        let mut next = |slots: &[Slot]| ring.next(slots, now).map(|canary| (canary.seq, canary.slot));
        let few: &[Slot] = &[0, 1, 2];
        let (more, others): (&[Slot], &[Slot]) = (&[0, 1, 2, 3, 4], &[2, 7]);
        let slots: Vec<Slot> = [few, few, few, few, more, more, more, more, few, others, others, others]
            .map(|slots| next(slots).unwrap().1)
            .into();
        assert_eq!(slots, [0, 1, 2, 0, 1, 2, 3, 4, 0, 2, 7, 2]);
        assert_eq!(next(&[]), None);
        assert_eq!(next(few), Some((13, 0)));
    }

    #[test]
    fn values() {
        let value = Value { run: 0xab, seq: 7, silent_after: Duration::from_secs(100) };
        let bytes = value.encode();
        assert_eq!(Value::decode(bytes.as_bytes()), Some(value));
        assert_eq!(Value::seen(bytes.as_bytes(), 0xab), Seen::Canary(7));
        assert_eq!(Value::seen(bytes.as_bytes(), 0xac), Seen::Foreign);
        for other in ["", "settle-canary/1", "settle-canary/1 seq=1 run=0 silent_ms=1", "x", "\u{e9}"] {
            assert_eq!(Value::seen(other.as_bytes(), 0), Seen::Foreign, "{other}");
        }
    }

    #[test]
    fn keys() {
        let name = ProberName::parse("host-1").unwrap();
        assert_eq!(parse_key(&key(&name, 12)), Some(("host-1", 12)));
        assert_eq!(parse_key("host-1"), None);
        assert_eq!(parse_key("host~x"), None);
    }
}
