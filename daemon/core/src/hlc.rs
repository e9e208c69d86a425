//! Hybrid logical clocks (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014) in one 64-bit stamp.
//!
//! They order writes for `lww`; no freshness bound and no measurement ever uses them.

/// A stamp: 48 bits of milliseconds since 1970, 16 bits of counter. Ordered as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

/// The clock of one node.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: Hlc,
}

/// A stamp that is too far ahead of this node's wall clock to be adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stamp is {ahead_ms} ms ahead of this node's wall clock; more than {} ms is not adopted",
    Hlc::AHEAD_MS_MAX
)]
pub struct TooFarAhead {
    /// How far ahead, in milliseconds.
    pub ahead_ms: u64,
}

impl Hlc {
    /// Stamps further ahead of the wall clock than this many milliseconds are not adopted.
    pub const AHEAD_MS_MAX: u64 = 60_000;

    /// The smallest stamp of a wall-clock millisecond.
    #[must_use]
    pub const fn at(wall_ms: u64) -> Self {
        Self(wall_ms << 16)
    }

    /// Its milliseconds since 1970.
    #[must_use]
    pub const fn wall_ms(self) -> u64 {
        self.0 >> 16
    }
}

impl HybridClock {
    /// A stamp for an event now: above every stamp given or observed before, and not before the wall clock.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        self.last = Hlc(self.last.0.saturating_add(1)).max(Hlc::at(wall_ms));
        self.last
    }

    /// Takes note of a stamp from elsewhere, so that later ones of this node are above it.
    ///
    /// # Errors
    /// [`TooFarAhead`]; the clock is unchanged then, since one broken wall clock would otherwise drag all along.
    pub fn observe(&mut self, stamp: Hlc, wall_ms: u64) -> Result<(), TooFarAhead> {
        let ahead_ms = stamp.wall_ms().saturating_sub(wall_ms);
        if ahead_ms > Hlc::AHEAD_MS_MAX {
            return Err(TooFarAhead { ahead_ms });
        }
        self.last = self.last.max(stamp);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_whatever_the_wall_clock_does() {
        let mut clock = HybridClock::default();
        let mut last = Hlc::default();
        for wall_ms in [1_000, 1_000, 5_000, 10, 10, 5_001] {
            let stamp = clock.tick(wall_ms);
            assert!(stamp > last && stamp.wall_ms() >= wall_ms);
            last = stamp;
        }
    }

    #[test]
    fn observed_stamps_are_exceeded_unless_they_are_too_far_ahead() {
        let mut clock = HybridClock::default();
        assert_eq!(clock.observe(Hlc::at(50_000), 10_000), Ok(()));
        assert!(clock.tick(10_000) > Hlc::at(50_000));
        assert_eq!(clock.observe(Hlc::at(170_000), 10_000), Err(TooFarAhead { ahead_ms: 160_000 }));
        assert!(clock.tick(10_000) < Hlc::at(60_000));
    }
}
