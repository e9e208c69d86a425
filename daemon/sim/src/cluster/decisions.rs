//! Decisions on layouts: who proposes what, promises and votes, and what nodes take over from each other.

use settle_core::codec::{Decode, Encode};
use settle_core::layout::Layout;
use settle_core::layout::decide::{Accept, Outcome, Prepare, Proposer, Vote};
use settle_core::layout::steps::LayoutState;
use settle_core::placement::{Host, Replication};

use crate::broken::Broken;
use crate::network::{Attempt, Body, Kind};
use crate::route::{node_at, place_of};

use super::Cluster;

impl Cluster {
    /// Some node wants another layout: somebody joins, is drained, or holds data again.
    pub(super) fn propose(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let Some(state) = self.nodes[place].layouts.as_ref().map(|layouts| layouts.state.clone()) else {
            return Ok(());
        };
        let Some(next) = self.next_layout(state.current()) else { return Ok(()) };
        let Some(layouts) = &mut self.nodes[place].layouts else { return Ok(()) };
        if state.current().host(node_at(place)).is_none() {
            return Ok(());
        }
        let round = 1 + layouts.round.max(state.acceptor().round());
        let Some((proposer, prepare)) = Proposer::new(node_at(place), round, &state, next) else {
            return Ok(());
        };
        self.trace.note(|| format!("node {place} proposes layout {} in round {round}", prepare.version));
        let attempt = Attempt { version: prepare.version, ballot: prepare.ballot };
        layouts.proposing = Some((attempt, proposer));
        self.ask_hosts(place, &state, &Body::Prepare(prepare.to_bytes()))?;
        if self.rng.chance(750) { self.hurry_decision(place) } else { Ok(()) }
    }

    /// An attempt's questions and answers arrive, while nothing else moves.
    fn hurry_decision(&mut self, place: usize) -> Result<(), Broken> {
        for _ in 0..3 {
            for other in (0..self.nodes.len()).filter(|other| *other != place) {
                self.pass(place, other, Kind::Layout)?;
                self.pass(other, place, Kind::Layout)?;
            }
        }
        Ok(())
    }

    /// A layout after `current`, if chance finds one.
    fn next_layout(&mut self, current: &Layout) -> Option<Layout> {
        let mut hosts = current.hosts().to_vec();
        let drained: Vec<usize> =
            hosts.iter().filter(|host| !host.holds_data).map(|host| place_of(host.node)).collect();
        let place = match drained.first() {
            // Who comes back may have something left.
            Some(drained) if self.rng.chance(600) => *drained,
            _ => self.rng.below(self.nodes.len()),
        };
        match hosts.iter_mut().find(|host| host.node == node_at(place)) {
            Some(host) => host.holds_data = !host.holds_data,
            None => hosts.push(Host { node: node_at(place), name: format!("n{place}"), ..hosts[0].clone() }),
        }
        // A host that is copied may be drained; one that joins is not.
        hosts
            .iter_mut()
            .filter(|host| current.host(host.node).is_none())
            .for_each(|host| host.holds_data = true);
        let Replication::Everywhere(replicas) = *current.replication() else { return None };
        if hosts.iter().filter(|host| host.holds_data).count() < replicas {
            return None;
        }
        Some(current.next(hosts, Replication::Everywhere(replicas)).ok()?.0)
    }

    /// A proposer asks every host, itself first.
    fn ask_hosts(&mut self, place: usize, state: &LayoutState, question: &Body) -> Result<(), Broken> {
        if let Some(Body::Vote(attempt, vote)) = self.take_question(place, question)? {
            self.take_vote(place, place, attempt, Vote::from_bytes(vote)?)?;
        }
        for host in state.current().hosts() {
            let other = place_of(host.node);
            if other != place && self.nodes[place].up {
                self.send(place, other, 0, question.clone());
            }
        }
        Ok(())
    }

    /// What a message about layouts does, and its answer.
    pub(super) fn receive_layout(
        &mut self,
        place: usize,
        from: usize,
        body: &Body,
    ) -> Result<Option<Body>, Broken> {
        match body {
            Body::Vote(attempt, vote) => {
                self.take_vote(place, from, *attempt, Vote::from_bytes(vote.clone())?)?;
            }
            Body::LayoutRequest => return Ok(self.layout_answer(place)),
            Body::Layout(told) => self.take_layout(place, &LayoutState::from_bytes(told.clone())?)?,
            question => return self.take_question(place, question),
        }
        Ok(None)
    }

    /// A host is asked for a promise, or to accept a layout.
    fn take_question(&mut self, place: usize, question: &Body) -> Result<Option<Body>, Broken> {
        let (attempt, vote) = match question {
            Body::Prepare(asked) => {
                let asked = Prepare::from_bytes(asked.clone())?;
                let attempt = Attempt { version: asked.version, ballot: asked.ballot };
                (attempt, self.alter(place, |state| state.prepare(asked))?)
            }
            Body::Accept(asked) => {
                let asked = Accept::from_bytes(asked.clone())?;
                let attempt = Attempt { version: asked.next.version, ballot: asked.ballot };
                (attempt, self.alter(place, |state| state.accept(asked))?)
            }
            _ => return Ok(None),
        };
        Ok(vote.map(|vote| Body::Vote(attempt, vote.to_bytes())))
    }

    /// A proposer is answered.
    fn take_vote(&mut self, place: usize, from: usize, attempt: Attempt, vote: Vote) -> Result<(), Broken> {
        let Some(layouts) = &mut self.nodes[place].layouts else { return Ok(()) };
        let state = layouts.state.clone();
        let Some((_, proposer)) = layouts.proposing.as_mut().filter(|(own, _)| *own == attempt) else {
            return Ok(());
        };
        match proposer.voted(node_at(from), vote) {
            Outcome::Wait => Ok(()),
            Outcome::Ask(accept) => self.ask_hosts(place, &state, &Body::Accept(accept.to_bytes())),
            Outcome::Decided(next) => {
                layouts.proposing = None;
                self.oracle.layouts.note_decided(&next, place)?;
                self.alter(place, |state| state.decide(next))?;
                Ok(())
            }
            Outcome::Beaten(round) => {
                layouts.proposing = None;
                layouts.round = layouts.round.max(round);
                Ok(())
            }
            Outcome::Elsewhere(position) => {
                if position > state.position() {
                    layouts.proposing = None;
                    self.send(place, from, 0, Body::LayoutRequest);
                }
                Ok(())
            }
        }
    }

    /// What another node has of layouts.
    fn layout_answer(&self, place: usize) -> Option<Body> {
        let layouts = self.nodes[place].layouts.as_ref()?;
        Some(Body::Layout(layouts.state.told().to_bytes()))
    }

    /// A node takes over what another one has of layouts.
    fn take_layout(&mut self, place: usize, told: &LayoutState) -> Result<(), Broken> {
        self.alter(place, |state| state.adopt(told))?;
        Ok(())
    }
}
