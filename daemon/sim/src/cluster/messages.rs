//! What messages do when they arrive. The same code serves the lossy network and the healing at the end.

use settle_core::clock::Clock;
use settle_core::codec::{Decode, Encode};
use settle_core::dot::Epoch;
use settle_core::partition::{
    Compared, Delta, FullPage, FullRequest, Have, LogAnswer, LogPage, Moment, PageLimits, Progress, Repair,
    Told,
};

use crate::broken::Broken;
use crate::invariants::durable;
use crate::network::{Body, Clocked, EchoAnswer, EchoRequest, Envelope};
use crate::node::{Waiter, Waiting};
use crate::shape::Durability;

use super::Cluster;

impl Cluster {
    pub(super) fn envelope(&self, from: usize, to: usize, partition: usize, body: Body) -> Envelope {
        Envelope { from, from_epoch: self.nodes[from].epoch, to, partition, body }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, partition: usize, body: Body) {
        let envelope = self.envelope(from, to, partition, body);
        self.network.send(&mut self.rng, envelope);
    }

    /// Some message arrives.
    pub(super) fn deliver(&mut self) -> Result<(), Broken> {
        let kind = self.rng.pick(self.shape.traffic);
        match self.network.arrive(&mut self.rng, |envelope| envelope.body.kind() == kind) {
            Some(envelope) => self.accept(envelope),
            None => Ok(()),
        }
    }

    /// A message arrives; its answer is sent.
    pub(super) fn accept(&mut self, envelope: Envelope) -> Result<(), Broken> {
        if let Some(answer) = self.receive(envelope)? {
            self.network.send(&mut self.rng, answer);
        }
        Ok(())
    }

    /// A node asks another for what it lacks, by log or in full.
    pub(super) fn exchange(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let from = self.some_other(place);
        let index = self.some_partition();
        let Some(place) = self.holder(place, index) else { return Ok(()) };
        let Some(from) = self.partner(place, index, from) else { return Ok(()) };
        // An exchange under way asks again now and then, or is given up, as after a deadline.
        let busy = self.partition(place, index).is_pulling() && !self.rng.chance(self.shape.give_up);
        if busy && self.rng.chance(500) {
            self.ask_again(place, index);
            return Ok(());
        }
        let full = !busy && self.rng.chance(self.shape.full);
        let request = self.opening(place, from, index, full)?;
        self.trace.note(|| format!("node {place} begins with {from}: {}", request.body.name()));
        self.network.send(&mut self.rng, request);
        Ok(())
    }

    /// Repeats the last request of a full exchange.
    fn ask_again(&mut self, place: usize, index: usize) {
        if let Some((from, request)) = self.pulls[place][index].clone() {
            self.trace.note(|| format!("node {place} asks {from} again"));
            self.send(place, from, index, Body::FullRequest(request));
        }
    }

    /// The message that opens an exchange.
    pub(super) fn opening(
        &mut self,
        place: usize,
        from: usize,
        index: usize,
        full: bool,
    ) -> Result<Envelope, Broken> {
        let limits = self.limits();
        let node = &mut self.nodes[place];
        let partition = &mut node.partitions[index];
        let body = if full {
            let request = partition.open_full(&node.disk, limits)?.to_bytes();
            self.pulls[place][index] = Some((from, request.clone()));
            Body::FullRequest(request)
        } else {
            Body::LogRequest(partition.durable().to_bytes())
        };
        Ok(self.envelope(place, from, index, body))
    }

    pub(super) fn limits(&self) -> PageLimits {
        // Pages stay small while things go wrong; healing has only to end.
        if self.healing { PageLimits { records: 8, bytes: 1 << 20 } } else { self.shape.limits }
    }

    /// A node asks another for its clocks.
    pub(super) fn echo(&mut self) {
        let Some(place) = self.some_node() else { return };
        let other = self.some_other(place);
        let request = self.echo_request(place, other);
        self.network.send(&mut self.rng, request);
    }

    pub(super) fn echo_request(&self, place: usize, other: usize) -> Envelope {
        let node = &self.nodes[place];
        let standing = self.standing(place);
        let base = node.peers[other].base;
        let request = EchoRequest { asked: self.now, epoch: node.epoch, base, standing };
        self.envelope(place, other, 0, Body::EchoRequest(request))
    }

    /// What a message does to its receiver, and the answer.
    pub(super) fn receive(&mut self, envelope: Envelope) -> Result<Option<Envelope>, Broken> {
        let Envelope { from, from_epoch, to, partition, body } = envelope;
        self.trace.note(|| format!("{} from node {from} reaches node {to}", body.name()));
        self.trace.mix(&[from as u64, to as u64, partition as u64]);
        if !self.nodes[to].up {
            return Ok(None);
        }
        self.meet(to, from, from_epoch);
        if body.is_of_partition() && !self.nodes[to].holds(partition) {
            return Ok(None);
        }
        let answer = match body {
            Body::Prepare(_) | Body::Accept(_) | Body::Vote(..) | Body::LayoutRequest | Body::Layout(_) => {
                self.receive_layout(to, from, &body)?
            }
            Body::Delta(bytes) => {
                self.take_delta(to, from, partition, &Delta::from_bytes(bytes)?)?;
                None
            }
            Body::Ack(dot) => {
                self.take_ack((to, from), partition, dot)?;
                None
            }
            Body::Collect(key, operation, known) => {
                Some(self.serve_collect(to, partition, (key, operation), &Clock::from_bytes(known)?)?)
            }
            Body::Collected(key, operation, dots, stamp) => {
                self.take_collected((to, from), (key, operation), &Clock::from_bytes(dots)?, stamp)?;
                None
            }
            Body::LogRequest(bytes) => Some(self.serve_log(to, partition, &Clock::from_bytes(bytes)?)?),
            Body::LogPage(bytes) => self.take_log(to, from, partition, &LogPage::from_bytes(bytes)?)?,
            // One full exchange at a time.
            Body::LogFull if self.partition(to, partition).is_pulling() && !self.healing => None,
            Body::LogFull => Some(self.opening(to, from, partition, true)?.body),
            Body::FullRequest(bytes) => {
                Some(self.serve_full(to, partition, &FullRequest::from_bytes(bytes)?)?)
            }
            Body::FullPage(bytes) => {
                let page = FullPage::from_bytes(bytes)?;
                if self.take_verified(to, partition, &page)? {
                    None
                } else {
                    self.take_full(to, from, partition, &page)?
                }
            }
            Body::EchoRequest(request) => self.take_echo_request(to, from, request)?,
            Body::EchoAnswer(answer) => {
                self.take_echo(to, from, from_epoch, answer)?;
                None
            }
            Body::Compare(read, key, have) => Some(self.compare(to, read, key, &Have::from_bytes(have)?)?),
            Body::Compared(read, compared) => {
                self.take_compared((to, from), read, Compared::from_bytes(compared)?)?;
                None
            }
            Body::Repair(read, repair) => {
                self.take_repair(to, from, read, partition, &Repair::from_bytes(repair)?)?;
                None
            }
            Body::Repaired(read) => {
                self.take_repaired((to, from), read)?;
                None
            }
        };
        // The receiver's disk may have failed meanwhile.
        let up = self.nodes[to].up;
        Ok(answer.filter(|_| up).map(|body| self.envelope(to, from, partition, body)))
    }

    /// A node learns of a peer's life; in a new one, nothing that the old one told counts any more.
    fn meet(&mut self, place: usize, peer: usize, epoch: Epoch) {
        if self.nodes[place].peers[peer].epoch >= Some(epoch) {
            return;
        }
        self.nodes[place].peers[peer].epoch = Some(epoch);
        self.nodes[place].peers[peer].base = None;
        let id = self.nodes[peer].id;
        for partition in &mut self.nodes[place].partitions {
            partition.forget(id);
        }
    }

    fn take_delta(&mut self, place: usize, from: usize, index: usize, delta: &Delta) -> Result<(), Broken> {
        let node = &mut self.nodes[place];
        let applied = node.change(index, |partition, transaction| partition.apply(transaction, delta))?;
        node.observe(applied.stamp_max, self.now);
        for dot in delta.seen.dots() {
            let waiter = Waiter::Coordinator(from, dot);
            node.wait(Waiting { partition: index, ticket: applied.ticket, waiter, position: None });
        }
        self.maybe_flush(place)
    }

    fn serve_log(&self, place: usize, index: usize, theirs: &Clock) -> Result<Body, Broken> {
        let node = &self.nodes[place];
        match node.partitions[index].serve_log(&node.disk, theirs, self.limits())? {
            LogAnswer::Page(page) => {
                durable::check_told(&page.clock, &node.views[index], place)?;
                for key in &node.views[index].keys {
                    let history = &self.oracle.keys[key.key];
                    for (_, entry) in page.entries.iter().filter(|(sent, _)| *sent == history.key) {
                        durable::check_sent(entry, key, history, place)?;
                    }
                }
                Ok(Body::LogPage(page.to_bytes()))
            }
            LogAnswer::Full => Ok(Body::LogFull),
        }
    }

    fn take_log(
        &mut self,
        place: usize,
        from: usize,
        index: usize,
        page: &LogPage,
    ) -> Result<Option<Body>, Broken> {
        let node = &mut self.nodes[place];
        let applied = node.change(index, |partition, transaction| partition.take_log(transaction, page))?;
        node.observe(applied.stamp_max, self.now);
        self.maybe_flush(place)?;
        if !page.more || !self.nodes[place].up || !self.nodes[place].holds(index) {
            return Ok(None);
        }
        Ok(Some(self.opening(place, from, index, false)?.body))
    }

    fn serve_full(&self, place: usize, index: usize, request: &FullRequest) -> Result<Body, Broken> {
        let node = &self.nodes[place];
        let page = node.partitions[index].serve_full(&node.disk, request, self.limits())?;
        durable::check_told(&page.clock, &node.views[index], place)?;
        for key in &node.views[index].keys {
            let history = &self.oracle.keys[key.key];
            for (_, entry) in page.part.entries().iter().filter(|(sent, _)| *sent == history.key) {
                durable::check_sent(entry, key, history, place)?;
            }
        }
        Ok(Body::FullPage(page.to_bytes()))
    }

    fn take_full(
        &mut self,
        place: usize,
        from: usize,
        index: usize,
        page: &FullPage,
    ) -> Result<Option<Body>, Broken> {
        let limits = self.limits();
        let node = &mut self.nodes[place];
        let (applied, progress) =
            node.change(index, |partition, transaction| partition.take_full(transaction, page, limits))?;
        node.observe(applied.stamp_max, self.now);
        self.trace.note(|| format!("node {place}: {progress:?}"));
        self.maybe_flush(place)?;
        let next = match progress {
            Progress::Next(request) => Some(request.to_bytes()),
            Progress::Done | Progress::Aborted => None,
            Progress::Stray => return Ok(None),
        };
        self.pulls[place][index] = next.clone().map(|request| (from, request));
        Ok(next.map(Body::FullRequest))
    }

    fn take_echo_request(
        &mut self,
        place: usize,
        from: usize,
        request: EchoRequest,
    ) -> Result<Option<Body>, Broken> {
        let epoch = self.nodes[place].epoch;
        self.hear(place, from, request.standing)?;
        // A disk that fails on the way ends the life in which it was asked.
        let same = self.nodes[place].up && self.nodes[place].epoch == epoch;
        if same { self.answer_echo(place, from, request).map(Some) } else { Ok(None) }
    }

    fn answer_echo(&self, place: usize, to: usize, request: EchoRequest) -> Result<Body, Broken> {
        let node = &self.nodes[place];
        let position = node.routes[0].position;
        let mut clocks = Vec::with_capacity(node.partitions.len());
        for (index, (partition, view)) in node.partitions.iter().zip(&node.views).enumerate() {
            if !node.holds(index) || !node.routes[index].others.contains(&to) {
                clocks.push(Clocked::NotShared);
                continue;
            }
            let named =
                |(epoch, tick, at)| epoch == node.epoch && partition.changed_at() <= tick && position == at;
            let clock = partition.echo();
            durable::check_told(&clock, view, place)?;
            let same = request.base.is_some_and(named);
            clocks.push(if same { Clocked::Same } else { Clocked::Whole(clock.to_bytes()) });
        }
        let standing = self.standing(place);
        Ok(Body::EchoAnswer(EchoAnswer { request, tick: node.tick, position, standing, clocks }))
    }

    /// An answer counts only between the two lives in which it was asked and given, and if the answer that it refers
    /// to is the last one that was taken.
    fn take_echo(
        &mut self,
        place: usize,
        from: usize,
        epoch: Epoch,
        answer: EchoAnswer,
    ) -> Result<(), Broken> {
        let EchoAnswer { request, tick, position, standing, clocks } = answer;
        self.hear(place, from, standing)?;
        if !self.nodes[place].up {
            return Ok(());
        }
        let peer = self.nodes[place].peers[from];
        let relative = clocks.contains(&Clocked::Same);
        let asked_at = request.standing.map(|standing| standing.position).unwrap_or_default();
        let void = request.epoch != self.nodes[place].epoch
            || asked_at != self.nodes[place].routes[0].position
            || peer.epoch != Some(epoch)
            || relative && request.base != peer.base;
        if void {
            return Ok(());
        }
        let (id, asked, now) = (self.nodes[from].id, Moment(request.asked), Moment(self.now));
        for (index, clock) in clocks.into_iter().enumerate() {
            if !self.nodes[place].holds(index) || !self.nodes[place].routes[index].others.contains(&from) {
                continue;
            }
            match clock {
                Clocked::Whole(bytes) => {
                    let firm = self.shape.durability == Durability::Always;
                    let told = Told { clock: Clock::from_bytes(bytes)?, firm };
                    self.partition(place, index)
                        .told(id, asked, told, now)
                        .map_err(|error| Broken::new("durable", format!("node {from}: {error}")))?;
                }
                Clocked::Same => self.partition(place, index).told_same(id, asked, now),
                Clocked::NotShared => {}
            }
        }
        self.nodes[place].peers[from].base = Some((epoch, tick, position));
        Ok(())
    }
}
