//! What clients were told about each key, and so what a read may return.
//!
//! Each key is written by one client, one write at a time. Every value names its key and the number of its write. A
//! write is acknowledged, or refused (then it must never show), or in doubt (then it may show or not).

use std::fmt;

/// What a key holds: the number of the write that put it there, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Value(u64),
}

/// One key and its past.
#[derive(Debug, Clone)]
pub(crate) struct KeyHistory {
    pub(crate) key: String,
    /// How many writes were tried.
    tried: u64,
    acked: State,
    doubtful: Vec<State>,
}

/// What the client heard of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked,
    Refused,
    InDoubt,
}

/// A read that contradicts what clients were told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    key: String,
    found: State,
    acked: State,
    doubtful: Vec<State>,
}

impl KeyHistory {
    pub(crate) fn new(key: String) -> Self {
        Self { key, tried: 0, acked: State::Absent, doubtful: Vec::new() }
    }

    /// The number of the next write.
    pub(crate) fn next(&mut self) -> u64 {
        self.tried += 1;
        self.tried
    }

    /// A write that would leave `state` ended so.
    pub(crate) fn ended(&mut self, state: State, outcome: Outcome) {
        match outcome {
            Outcome::Acked => {
                self.acked = state;
                self.doubtful.clear();
            }
            Outcome::InDoubt => self.doubtful.push(state),
            Outcome::Refused => {}
        }
    }

    /// Whether some write's fate is unknown.
    pub(crate) fn is_doubtful(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// A read found `found`, while writes in doubt may still be on their way.
    pub(crate) fn allows(&self, found: State) -> Result<(), Violation> {
        if found == self.acked || self.doubtful.contains(&found) {
            return Ok(());
        }
        let Self { key, acked, doubtful, .. } = self.clone();
        Err(Violation { key, found, acked, doubtful })
    }

    /// A read found `found`, and no write is on its way any more: this is what must stay.
    pub(crate) fn settle(&mut self, found: State) -> Result<(), Violation> {
        self.allows(found)?;
        self.acked = found;
        self.doubtful.clear();
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, found, acked, doubtful } = self;
        write!(f, "{key}: found {found:?}; acknowledged {acked:?}, in doubt {doubtful:?}")
    }
}

/// The value of a key's write, of a size that depends on both.
pub(crate) fn value(key: &str, number: u64) -> Vec<u8> {
    let filler = (number.wrapping_mul(7_919) % 3_001) as usize;
    format!("{key} {number} {}", "x".repeat(filler)).into_bytes()
}

/// The state that a read's status and body stand for.
///
/// # Panics
/// When the body is none that was ever written to this key.
pub(crate) fn state_of(key: &str, status: u16, body: &[u8]) -> State {
    if status == 404 {
        return State::Absent;
    }
    let text = String::from_utf8_lossy(body);
    assert_eq!(status, 200, "{key}: {text}");
    let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
    let number = number.unwrap_or_else(|| panic!("{key}: never written: {text}"));
    assert!(body == value(key, number), "{key}: not as it was written: {text}");
    State::Value(number)
}

#[test]
fn the_oracle_sees_a_lost_write_and_a_refused_one_that_shows() {
    let mut history = KeyHistory::new("k".to_owned());
    history.ended(State::Value(1), Outcome::Acked);
    history.ended(State::Value(2), Outcome::Refused);
    history.ended(State::Value(3), Outcome::InDoubt);
    for wrong in [State::Absent, State::Value(2)] {
        assert!(history.clone().settle(wrong).is_err());
    }
    for right in [State::Value(1), State::Value(3)] {
        let mut history = history.clone();
        assert_eq!(history.settle(right), Ok(()));
        // What was seen once must stay.
        assert!(history.settle(State::Absent).is_err());
    }
}
