//! How old log records are, and how many bytes they take: by generation, not one by one.
//!
//! A generation is what was logged at about the same time, within an eighth of its present age. So a log that grows for
//! a day takes some two hundred of them, each a clock of a few ranges, however many records it has.

use crate::clock::Clock;
use crate::dot::Dot;

/// More than generations of different age can be: what is above it has not been merged yet.
const GENERATIONS_MAX: usize = 512;

/// The ages of the records of one log, in seconds since 1970 by the caller's clock.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Oldest first; none is empty.
    generations: Vec<Generation>,
}

/// Records that were logged at about the same time.
#[derive(Debug)]
struct Generation {
    since: u64,
    until: u64,
    dots: Clock,
    /// What their rows take; after some were removed, their share by number.
    bytes: u64,
}

impl Ages {
    /// A record was logged `at`.
    pub(super) fn add(&mut self, at: u64, dot: Dot, bytes: u64) {
        let index = self.generations.partition_point(|generation| generation.until < at);
        match self.generations.get_mut(index) {
            Some(generation) if generation.since <= at => {
                generation.dots.add(dot);
                generation.bytes += bytes;
            }
            _ => {
                let dots = [dot].into_iter().collect();
                self.generations.insert(index, Generation { since: at, until: at, dots, bytes });
            }
        }
        if self.generations.len() > GENERATIONS_MAX {
            let newest = self.generations.last().map_or(at, |generation| generation.until);
            self.merge(newest);
        }
    }

    /// Merges generations between which time has made no difference.
    pub(super) fn merge(&mut self, now: u64) {
        let age = |then: u64| bucket(now.saturating_sub(then));
        self.generations.dedup_by(|newer, older| {
            let same = age(older.since) == age(newer.until);
            if same {
                older.until = newer.until;
                older.dots.join(&newer.dots);
                older.bytes += newer.bytes;
            }
            same
        });
    }

    /// Records are gone.
    pub(super) fn remove(&mut self, dots: &Clock) {
        self.generations.retain_mut(|generation| {
            let left = generation.dots.minus(dots);
            let (before, after) = (generation.dots.count(), left.count());
            if after < before {
                let bytes = u128::from(generation.bytes) * u128::from(after) / u128::from(before);
                generation.bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                generation.dots = left;
            }
            after > 0
        });
    }

    /// When the oldest generation was logged with which this holds.
    pub(super) fn oldest(&self, holds: impl Fn(&Clock) -> bool) -> Option<u64> {
        self.generations.iter().find(|generation| holds(&generation.dots)).map(|generation| generation.since)
    }

    /// The records of all generations that were complete at a time.
    pub(super) fn complete_at(&self, time: u64) -> Clock {
        let complete = self.generations.iter().take_while(|generation| generation.until <= time);
        complete.fold(Clock::new(), |mut dots, generation| {
            dots.join(&generation.dots);
            dots
        })
    }

    /// Of each generation, when it was complete, and the bytes that it takes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.generations.iter().map(|generation| (generation.until, generation.bytes))
    }
}

/// Ages that differ by less than an eighth, as one number.
fn bucket(age: u64) -> u64 {
    let octave = age.max(8).ilog2();
    if age < 8 { age } else { (u64::from(octave) << 3) | ((age >> (octave - 3)) & 7) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::{Epoch, NodeId, Origin};

    fn dot(counter: u64) -> Dot {
        Dot { origin: Origin { node: NodeId(1), epoch: Epoch(1) }, counter }
    }

    fn some(_: &Clock) -> bool {
        true
    }

    #[test]
    fn a_day_of_records_takes_few_generations_and_each_age_is_known_within_an_eighth() {
        let day = 86_400;
        let mut ages = Ages::default();
        for second in 0..day {
            ages.add(second, dot(second + 1), 10);
            ages.merge(second);
        }
        assert!(ages.generations.len() < 260, "{}", ages.generations.len());
        assert_eq!(ages.sizes().map(|(_, bytes)| bytes).sum::<u64>(), day * 10);
        for generation in &ages.generations {
            let age = day - generation.since;
            assert!(generation.until - generation.since <= age / 8, "{generation:?}");
        }
        for gone in [1, day / 2, day - 10] {
            ages.remove(&(1..=gone).map(dot).collect());
            let oldest = ages.oldest(some).unwrap();
            assert!(oldest <= gone && (gone - oldest) <= (day - oldest) / 8, "{oldest} after {gone}");
        }
        ages.remove(&(1..=day).map(dot).collect());
        assert_eq!((ages.oldest(some), ages.sizes().count()), (None, 0));
    }

    #[test]
    fn records_come_in_any_order_and_leave_with_their_share_of_bytes() {
        let mut ages = Ages::default();
        for (at, counter, bytes) in [(50, 1, 30), (20, 2, 10), (50, 3, 10), (90, 4, 5)] {
            ages.add(at, dot(counter), bytes);
        }
        assert_eq!(ages.sizes().collect::<Vec<_>>(), [(20, 10), (50, 40), (90, 5)]);
        assert_eq!(ages.complete_at(89), (1..=3).map(dot).collect());
        assert_eq!(ages.oldest(|dots| dots.has(dot(3))), Some(50));
        ages.remove(&[dot(2), dot(3)].into_iter().collect());
        assert_eq!(ages.sizes().collect::<Vec<_>>(), [(50, 20), (90, 5)]);
    }

    #[test]
    fn however_many_times_there_are_generations_stay_few() {
        let mut ages = Ages::default();
        for at in 0..100_000 {
            // As they lie on disk: by origin and counter, not by time.
            ages.add((at * 7_919) % 100_000, dot(at + 1), 1);
        }
        assert!(ages.generations.len() <= GENERATIONS_MAX, "{}", ages.generations.len());
        assert!(ages.generations.is_sorted_by_key(|generation| (generation.since, generation.until)));
    }
}
