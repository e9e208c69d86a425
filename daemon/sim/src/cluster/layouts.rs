//! A cluster whose layout changes: every node takes its steps when it has heard enough of the others, and does what each
//! asks for.

use settle_core::layout::steps::{LayoutState, Standing, Step};
use settle_core::partition::Moment;
use settle_core::plant::{Plant, planted};

use crate::broken::Broken;
use crate::invariants::layouts;
use crate::network::Body;
use crate::route::{node_at, nodes_at};
use crate::shape::Durability;
use crate::view::View;

use super::Cluster;

/// The most messages of one conversation while others wait.
const TALK_MAX: usize = 400;
/// The most rounds that a change takes when all is well.
const ROUNDS_MAX: usize = 40;

impl Cluster {
    /// What a node tells of itself.
    pub(super) fn standing(&self, place: usize) -> Option<Standing> {
        self.nodes[place].layouts.as_ref().map(|layouts| layouts.state.standing())
    }

    /// A node is told how far another one is.
    pub(super) fn hear(
        &mut self,
        place: usize,
        from: usize,
        standing: Option<Standing>,
    ) -> Result<(), Broken> {
        let (Some(told), Some(layouts)) = (standing, &mut self.nodes[place].layouts) else { return Ok(()) };
        layouts.heard.tell(node_at(from), told);
        if layouts.state.position() < told.position {
            self.advance(place)?;
        }
        if self.standing(place).is_some_and(|own| own.position < told.position) {
            self.send(place, from, 0, Body::LayoutRequest);
        }
        Ok(())
    }

    /// Changes a node's state, durably.
    pub(super) fn alter<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut LayoutState) -> T,
    ) -> Result<Option<T>, Broken> {
        let node = &mut self.nodes[place];
        let Some(layouts) = node.layouts.as_ref().filter(|_| node.up) else { return Ok(None) };
        let before = layouts.state.position();
        let mut state = layouts.state.clone();
        let done = change(&mut state);
        self.oracle.layouts.check_decided(&state, place)?;
        let stored = self.nodes[place].store(state);
        self.disk_did(place, stored)?;
        let Some(after) = self.standing(place) else { return Ok(None) };
        if after.position != before {
            self.trace.note(|| format!("node {place} is at {:?}", after.position));
            self.check_positions()?;
        }
        Ok(self.nodes[place].up.then_some(done))
    }

    /// Nobody acts two steps from another.
    fn check_positions(&self) -> Result<(), Broken> {
        let acting = self.nodes.iter().enumerate().filter_map(|(place, node)| {
            let acts = node.routes.iter().any(|route| route.writes || route.reads);
            let state = &node.layouts.as_ref().filter(|_| acts)?.state;
            Some((place, state.position()))
        });
        layouts::check_positions(acting)
    }

    /// A node takes its next step, if it may.
    fn advance(&mut self, place: usize) -> Result<(), Broken> {
        loop {
            let Some(layouts) = self.nodes[place].layouts.as_ref() else { return Ok(()) };
            let (own, heard) = (node_at(place), layouts.heard.clone());
            if self.alter(place, |state| state.advance(own, &heard))? != Some(true) {
                return Ok(());
            }
        }
    }

    /// One or all nodes get on with a change as far as they can, or the whole cluster does for a while, so that requests
    /// are overtaken by several steps.
    pub(super) fn progress(&mut self) -> Result<(), Broken> {
        let nodes = self.nodes.len();
        let (first, count) = (self.rng.below(nodes), self.rng.pick(&[1, 1, 1, nodes, nodes, 6 * nodes]));
        let impatient = self.rng.pick(&[0, 100, 500]);
        let overtaken = count > nodes && self.rng.chance(500);
        if overtaken {
            self.write(false)?;
            self.check()?;
            self.read_at_several()?;
            self.check()?;
        }
        for turn in 0..count {
            let place = (first + turn) % nodes;
            if !self.nodes[place].up {
                continue;
            }
            if self.rng.chance(impatient) {
                self.nodes[place].give_up_older();
            }
            self.progress_of(place)?;
        }
        if overtaken {
            for _ in 0..3 {
                self.hurry()?;
                self.hurry_read()?;
            }
        }
        Ok(())
    }

    pub(super) fn progress_of(&mut self, place: usize) -> Result<(), Broken> {
        for other in (0..self.nodes.len()).filter(|other| *other != place) {
            let reached = self.nodes[other].up && !self.network.is_cut(place, other);
            if reached && (self.healing || self.rng.chance(700)) {
                let told = self.standing(other);
                self.hear(place, other, told)?;
                if self.standing(place).map(|own| own.position) < told.map(|told| told.position) {
                    let request = self.envelope(place, other, 0, Body::LayoutRequest);
                    self.talk(request)?;
                }
            }
        }
        for _ in 0..2 {
            self.fulfil(place)?;
        }
        if self.may_acknowledge(place) {
            self.alter(place, LayoutState::acknowledge)?;
        }
        self.advance(place)
    }

    /// Does what the present step asks for, or a part of it.
    fn fulfil(&mut self, place: usize) -> Result<(), Broken> {
        if !self.nodes[place].up {
            return Ok(());
        }
        self.look()?;
        match self.nodes[place].routes[0].position.step {
            Some(Step::Pull) => self.fetch(place),
            Some(Step::Drop) => {
                self.hand_over(place)?;
                self.drop_some(place)
            }
            _ => Ok(()),
        }
    }

    /// Asks some old replica whose proof is missing, and fetches what is lacking, while others wait.
    fn fetch(&mut self, place: usize) -> Result<(), Broken> {
        let mut lacking = Vec::new();
        for index in 0..self.shape.partitions {
            if self.nodes[place].routes[index].new.contains(&place) {
                lacking.extend(self.unproven(place, index).into_iter().map(|old| (index, old)));
            }
        }
        let Some((index, old)) = lacking.get(self.rng.below(lacking.len())).copied() else { return Ok(()) };
        if self.network.is_cut(place, old) || !self.nodes[old].up {
            return Ok(());
        }
        let echo = self.echo_request(place, old);
        self.talk(echo)?;
        if self.nodes[place].holds(index) && self.nodes[old].up {
            let request = self.opening(place, old, index, false)?;
            self.talk(request)?;
        }
        Ok(())
    }

    /// All is well: the change under way comes to its end.
    pub(super) fn finish_change(&mut self) -> Result<(), Broken> {
        if self.first.is_none() {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            for place in 0..self.nodes.len() {
                self.now += 1;
                self.nodes.iter_mut().for_each(|node| node.now = self.now);
                self.nodes[place].give_up_older();
                self.progress_of(place)?;
                self.flush(place)?;
                self.nodes[place].spill()?;
                self.flush(place)?;
                self.check()?;
            }
            self.catch_up()?;
            let standings: Vec<_> = (0..self.nodes.len()).map(|place| self.standing(place)).collect();
            let steady = standings.iter().flatten().all(|told| told.position.step.is_none());
            if steady && standings.windows(2).all(|pair| pair[0] == pair[1]) {
                return Ok(());
            }
        }
        Err(Broken::new("layouts", "a change does not end although all is well".to_owned()))
    }

    /// Everybody hears of everybody, and fetches the layout and what the others have.
    fn catch_up(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            for other in (0..self.nodes.len()).filter(|other| *other != place) {
                self.now += 1;
                let request = self.echo_request(place, other);
                self.talk(request)?;
                if self.standing(place).map(|own| own.position) < self.standing(other).map(|own| own.position)
                {
                    let request = self.envelope(place, other, 0, Body::LayoutRequest);
                    self.talk(request)?;
                }
                for index in 0..self.shape.partitions {
                    if self.nodes[place].holds(index) && self.nodes[other].holds(index) {
                        let request = self.opening(place, other, index, false)?;
                        self.talk(request)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Has some new replica tell what it has of a partition that is to be dropped, and fetch what it lacks; goes on with
    /// what is being dropped.
    fn hand_over(&mut self, place: usize) -> Result<(), Broken> {
        let node = &mut self.nodes[place];
        if self.healing || self.rng.chance(400) {
            node.spill()?;
            self.maybe_flush(place)?;
            self.look()?;
        }
        let node = &self.nodes[place];
        if !node.up {
            return Ok(());
        }
        let drops = |index: &usize| node.routes[*index].drops && node.holds(*index);
        let dropping: Vec<usize> = (0..self.shape.partitions).filter(drops).collect();
        let Some(index) = dropping.get(self.rng.below(dropping.len())).copied() else { return Ok(()) };
        for new in self.route(place, index).new.iter().copied() {
            if self.network.is_cut(place, new) || !self.nodes[new].up || !self.nodes[place].holds(index) {
                continue;
            }
            if self.nodes[new].holds(index) && self.rng.chance(600) {
                let request = self.opening(new, place, index, false)?;
                self.talk(request)?;
            }
            if self.nodes[place].up {
                let echo = self.echo_request(place, new);
                self.talk(echo)?;
            }
        }
        Ok(())
    }

    /// A conversation that nothing disturbs.
    fn talk(&mut self, first: crate::network::Envelope) -> Result<(), Broken> {
        let mut next = Some(first);
        for _ in 0..TALK_MAX {
            let Some(envelope) = next.take() else { break };
            let to = envelope.to;
            self.look()?;
            next = self.receive(envelope)?;
            if self.nodes[to].up {
                self.flush(to)?;
            }
            self.check()?;
        }
        Ok(())
    }

    /// The old replicas of a partition of which a new one does not know that it has what they had when it entered the
    /// step.
    fn unproven(&mut self, place: usize, index: usize) -> Vec<usize> {
        let now = Moment(self.now);
        let node = &mut self.nodes[place];
        let entered = node.layouts.as_ref().map(|layouts| Moment(layouts.entered));
        let Some(partition) = node.partitions.get_mut(index) else { return Vec::new() };
        let others = node.routes[index].old.iter().copied().filter(|old| *old != place);
        let all: Vec<usize> = others.collect();
        let unproven: Vec<usize> =
            all.iter().copied().filter(|old| partition.proof(node_at(*old), now) < entered).collect();
        if planted(Plant::PulledFromOne) && unproven.len() < all.len() { Vec::new() } else { unproven }
    }

    /// Whether the condition of a node's step holds.
    fn may_acknowledge(&mut self, place: usize) -> bool {
        let node = &self.nodes[place];
        let Some(layouts) = node.layouts.as_ref().filter(|_| node.up) else { return false };
        let Some(change) = layouts.state.change().filter(|change| !change.acked) else { return false };
        if !layouts.state.members().contains(&node.id) {
            return false;
        }
        match change.step {
            Step::WriteBoth | Step::ReadNew | Step::WriteNew => {
                !node.has_older_requests() || planted(Plant::AckedBeforeRequestsEnded)
            }
            Step::Pull => (0..self.shape.partitions).all(|index| {
                !self.nodes[place].routes[index].new.contains(&place)
                    || self.unproven(place, index).is_empty()
            }),
            Step::Drop => (0..self.shape.partitions).all(|index| {
                let (partition, route) = (&node.partitions[index], &node.routes[index]);
                !route.drops || partition.is_empty()
            }),
        }
    }

    /// Begins to drop what every new replica has.
    fn drop_some(&mut self, place: usize) -> Result<(), Broken> {
        for index in 0..self.shape.partitions {
            let node = &mut self.nodes[place];
            let new = nodes_at(&node.routes[index].new);
            let drops = node.up && node.routes[index].drops;
            if !drops
                || node.partitions[index].is_dropping()
                || node.partitions[index].is_empty()
                || !node.partitions[index].may_be_dropped(&new)
            {
                continue;
            }
            self.trace.note(|| format!("node {place} drops partition {index}"));
            if self.shape.durability == Durability::Always {
                let node = &self.nodes[place];
                let new = node.routes[index].new.iter();
                let new = new.map(|other| (*other, &self.nodes[*other].views[index]));
                layouts::check_drop(&node.views[index], place, new)?;
            }
            let node = &mut self.nodes[place];
            node.change(index, |partition, transaction| Ok(partition.begin_drop(transaction)))?;
            node.views[index] = View::read(&node.partitions[index], index, &node.disk, &self.oracle)?;
            self.horizons[place][index] = 0;
            self.pulls[place][index] = None;
            self.verifying[place][index] = None;
            self.dropped[place][index] = settle_core::clock::Clock::new();
            self.maybe_flush(place)?;
            self.look()?;
            if !self.nodes[place].up {
                return Ok(());
            }
        }
        Ok(())
    }
}
