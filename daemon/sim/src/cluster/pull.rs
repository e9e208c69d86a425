//! The worst network for full exchanges: one whose pages arrive at once, while everything else comes between them.

use crate::broken::Broken;
use crate::network::{Envelope, Kind};

use super::Cluster;

/// The most messages of one exchange; more than any takes.
const MESSAGES_MAX: usize = 60;

impl Cluster {
    /// A full exchange from its beginning, to its end or to where it is given up.
    pub(super) fn pull(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let from = self.some_other(place);
        let index = self.some_partition();
        let Some(place) = self.holder(place, index) else { return Ok(()) };
        let Some(from) = self.partner(place, index, from) else { return Ok(()) };
        if self.network.is_cut(place, from) {
            return Ok(());
        }
        let mut next = Some(self.opening(place, from, index, true)?);
        for _ in 0..MESSAGES_MAX {
            let Some(envelope) = next.take() else { break };
            if self.rng.chance(40) {
                next = self.give_up(envelope, (place, from, index))?;
                continue;
            }
            next = self.receive(envelope)?;
            self.check()?;
            self.come_between(place)?;
        }
        Ok(())
    }

    /// A message takes too long: it comes later, maybe into the next exchange, which maybe begins at once.
    fn give_up(
        &mut self,
        late: Envelope,
        (place, from, index): (usize, usize, usize),
    ) -> Result<Option<Envelope>, Broken> {
        self.network.send(&mut self.rng, late);
        self.come_between(place)?;
        if !self.nodes[place].up || !self.nodes[place].holds(index) || self.rng.chance(500) {
            return Ok(None);
        }
        self.opening(place, from, index, true).map(Some)
    }

    /// Something happens between two messages of an exchange that `place` is the receiver of.
    pub(super) fn come_between(&mut self, place: usize) -> Result<(), Broken> {
        self.trace.next_step();
        self.now += 1;
        match self.rng.below(24) {
            // A stray page rather ends the exchange.
            0 | 1 => self.arrive_at(place, Kind::Full)?,
            2..=8 => self.arrive_at(place, Kind::Delta)?,
            9..=14 => self.write(false)?,
            15..=18 => self.flush_some()?,
            19 => self.deliver()?,
            _ => {}
        }
        self.check()
    }

    /// A message arrives at `place`, rather one of `kind`.
    fn arrive_at(&mut self, place: usize, kind: Kind) -> Result<(), Broken> {
        let wanted = |envelope: &Envelope| envelope.to == place && envelope.body.kind() == kind;
        match self.network.arrive(&mut self.rng, wanted) {
            Some(envelope) => self.accept(envelope),
            None => Ok(()),
        }
    }
}
