//! Clocks: sets of dots, kept per origin as everything up to a base plus the few ranges above it.
//!
//! A clock is an exact set; bases and ranges are only its encoding. Two clocks are equal exactly when they hold the
//! same dots.

use std::cmp::Ordering;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::dot::{Dot, DotRange, NodeId, Origin};

/// A set of dots of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    /// Sorted by origin; no origin without dots.
    origins: Vec<(Origin, Seen)>,
}

/// The counters of one origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// All counters from 1 to this one.
    base: u64,
    /// Inclusive ranges above `base + 1`, ascending, disjoint and not adjacent.
    above: Vec<(u64, u64)>,
}

impl Clock {
    /// A clock without dots.
    #[must_use]
    pub const fn new() -> Self {
        Self { origins: Vec::new() }
    }

    /// Whether it holds no dot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    fn seen(&self, origin: Origin) -> Option<&Seen> {
        let index = self.origins.binary_search_by_key(&origin, |(origin, _)| *origin).ok()?;
        self.origins.get(index).map(|(_, seen)| seen)
    }

    fn seen_mut(&mut self, origin: Origin) -> &mut Seen {
        let index = match self.origins.binary_search_by_key(&origin, |(origin, _)| *origin) {
            Ok(index) => index,
            Err(index) => {
                self.origins.insert(index, (origin, Seen::default()));
                index
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the index was just found or filled")]
        &mut self.origins[index].1
    }

    /// Whether it holds `dot`.
    #[must_use]
    pub fn has(&self, dot: Dot) -> bool {
        self.seen(dot.origin).is_some_and(|seen| seen.has(dot.counter))
    }

    /// Adds one dot.
    pub fn add(&mut self, dot: Dot) {
        self.add_range(DotRange::single(dot));
    }

    /// Adds consecutive dots of one origin.
    pub fn add_range(&mut self, range: DotRange) {
        self.seen_mut(range.origin).add(range.first, range.last);
    }

    /// Adds every dot of `other`.
    pub fn join(&mut self, other: &Self) {
        for range in other.ranges() {
            self.add_range(range);
        }
    }

    /// Whether it holds every dot of `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.origins.iter().all(|(origin, theirs)| {
            let Some(ours) = self.seen(*origin) else { return false };
            theirs.ranges().all(|(first, last)| ours.has_range(first, last))
        })
    }

    /// The dots that it holds and `other` lacks.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        for (origin, seen) in &self.origins {
            let left = match other.seen(*origin) {
                None => seen.clone(),
                Some(theirs) => seen.minus(theirs),
            };
            if left != Seen::default() {
                rest.origins.push((*origin, left));
            }
        }
        rest
    }

    /// The dots that both hold.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// Its dots as ranges: origins ascending, within an origin counters ascending.
    pub fn ranges(&self) -> impl Iterator<Item = DotRange> + '_ {
        self.origins.iter().flat_map(|(origin, seen)| {
            seen.ranges().map(|(first, last)| DotRange { origin: *origin, first, last })
        })
    }

    /// Its origins, ascending.
    pub fn origins(&self) -> impl Iterator<Item = Origin> + '_ {
        self.origins.iter().map(|(origin, _)| *origin)
    }

    /// The greatest counter of `origin`, 0 if it has none.
    #[must_use]
    pub fn greatest(&self, origin: Origin) -> u64 {
        self.seen(origin).map_or(0, |seen| seen.above.last().map_or(seen.base, |(_, last)| *last))
    }

    /// How many dots it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges().fold(0, |sum: u64, range| sum.saturating_add(range.last - range.first + 1))
    }

    /// The part that concerns the newest epoch of each of `nodes`: small enough to hand to a client.
    #[must_use]
    pub fn newest_of(&self, nodes: &[NodeId]) -> Self {
        let mut part = Self::new();
        for (index, (origin, seen)) in self.origins.iter().enumerate() {
            let newer = self.origins.get(index + 1).is_some_and(|(next, _)| next.node == origin.node);
            if !newer && nodes.contains(&origin.node) {
                part.origins.push((*origin, seen.clone()));
            }
        }
        part
    }
}

impl Seen {
    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let base = (self.base > 0).then_some((1, self.base));
        base.into_iter().chain(self.above.iter().copied())
    }

    fn has(&self, counter: u64) -> bool {
        self.has_range(counter, counter)
    }

    fn has_range(&self, first: u64, last: u64) -> bool {
        if last <= self.base {
            return true;
        }
        let found = self.above.binary_search_by(|(low, high)| match () {
            () if *high < first => Ordering::Less,
            () if *low > first => Ordering::Greater,
            () => Ordering::Equal,
        });
        found.ok().and_then(|index| self.above.get(index)).is_some_and(|(_, high)| *high >= last)
    }

    fn add(&mut self, first: u64, last: u64) {
        if first <= self.base.saturating_add(1) {
            self.base = self.base.max(last);
        } else {
            self.insert_above(first, last);
        }
        self.absorb();
    }

    /// Inserts a range and merges it with those that it overlaps or touches.
    fn insert_above(&mut self, first: u64, last: u64) {
        let start = self.above.partition_point(|(_, high)| high.saturating_add(1) < first);
        let end = self.above.partition_point(|(low, _)| *low <= last.saturating_add(1));
        let touched = self.above.get(start..end).unwrap_or_default();
        let low = touched.first().map_or(first, |(low, _)| first.min(*low));
        let high = touched.last().map_or(last, |(_, high)| last.max(*high));
        self.above.splice(start..end, [(low, high)]);
    }

    /// Moves ranges that the base has reached into the base.
    fn absorb(&mut self) {
        let reached = self.above.iter().take_while(|(low, high)| {
            let touches = *low <= self.base.saturating_add(1);
            if touches {
                self.base = self.base.max(*high);
            }
            touches
        });
        let count = reached.count();
        self.above.drain(..count);
    }

    fn minus(&self, other: &Self) -> Self {
        let mut left = Self::default();
        // Both ascend, so one pass is enough, however many gaps there are.
        let mut others = other.ranges().peekable();
        for (mut first, last) in self.ranges() {
            while first <= last {
                match others.peek() {
                    Some((_, high)) if *high < first => drop(others.next()),
                    Some((low, high)) if *low <= last => {
                        if *low > first {
                            left.add(first, low - 1);
                        }
                        first = high.saturating_add(1);
                    }
                    _ => {
                        left.add(first, last);
                        break;
                    }
                }
            }
        }
        left
    }
}

impl Extend<Dot> for Clock {
    fn extend<I: IntoIterator<Item = Dot>>(&mut self, dots: I) {
        for dot in dots {
            self.add(dot);
        }
    }
}

impl FromIterator<Dot> for Clock {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut clock = Self::new();
        clock.extend(dots);
        clock
    }
}

impl Encode for Clock {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.origins.len() as u64);
        for (origin, seen) in &self.origins {
            origin.encode(out);
            put_varint(out, seen.base);
            put_varint(out, seen.above.len() as u64);
            let mut end = seen.base;
            for (first, last) in &seen.above {
                put_varint(out, first - end);
                put_varint(out, last - first);
                end = *last;
            }
        }
    }
}

impl Decode for Clock {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let count = input.count(Dot::ENCODED_MIN + 1)?;
        let mut clock = Self { origins: Vec::with_capacity(count) };
        for _ in 0..count {
            let origin = Origin::decode(input)?;
            if clock.origins.last().is_some_and(|(last, _)| *last >= origin) {
                return Err(DecodeError::Invalid("clock: origins out of order"));
            }
            let seen = Seen::decode(input)?;
            clock.origins.push((origin, seen));
        }
        Ok(clock)
    }
}

impl Decode for Seen {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        const INVALID: DecodeError = DecodeError::Invalid("clock: ranges");
        let base = input.varint()?;
        let count = input.count(2)?;
        let mut above = Vec::with_capacity(count);
        let mut end = base;
        for _ in 0..count {
            let first = end.checked_add(input.varint()?).ok_or(INVALID)?;
            let last = first.checked_add(input.varint()?).ok_or(INVALID)?;
            // A gap of one would be adjacent: such a range has another, shorter encoding.
            if first < end.saturating_add(2) {
                return Err(INVALID);
            }
            above.push((first, last));
            end = last;
        }
        if end > Dot::COUNTER_MAX || end == 0 {
            return Err(INVALID);
        }
        Ok(Self { base, above })
    }
}

#[cfg(test)]
mod tests;
