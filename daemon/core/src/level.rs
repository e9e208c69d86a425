//! Consistency levels: how many replicas must have a write, or be asked by a read.

use std::fmt;
use std::str::FromStr;

/// How many replicas a request involves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The coordinator alone.
    One,
    /// A majority of the replicas.
    Quorum,
    /// Every replica.
    All,
}

/// A level that is not one of those this program serves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown level {0:?}; known are one, quorum and all")]
pub struct UnknownLevel(pub String);

impl Level {
    /// Every level, weakest first.
    pub const EVERY: [Self; 3] = [Self::One, Self::Quorum, Self::All];

    /// How many of `replicas` are needed.
    #[must_use]
    pub const fn needed(self, replicas: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Quorum => replicas / 2 + 1,
            Self::All => replicas,
        }
    }

    /// Its name in requests, configuration and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Quorum => "quorum",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::EVERY.into_iter().find(|level| level.name() == name);
        found.ok_or_else(|| UnknownLevel(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_quorums_share_a_replica() {
        for replicas in 1..10 {
            assert!(2 * Level::Quorum.needed(replicas) > replicas);
        }
        assert_eq!("quorum".parse(), Ok(Level::Quorum));
        assert!("most".parse::<Level>().is_err());
    }
}
