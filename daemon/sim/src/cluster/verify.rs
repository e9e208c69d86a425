//! Verification while everything goes on: it never finds a contradiction between replicas that have lost nothing.

use bytes::Bytes;
use settle_core::codec::Encode;
use settle_core::partition::{FullPage, Scrubbed, Verdict, Verification};

use crate::broken::Broken;
use crate::invariants::verified;
use crate::network::{Body, Envelope, Kind};
use crate::node::Touch;

use super::Cluster;

/// The most messages of a hurried verification.
const HURRY_MAX: usize = 24;

/// A verification under way at some node.
#[derive(Debug)]
pub(super) struct Verifying {
    verification: Verification,
    /// Whom it asks.
    with: usize,
    /// A question that is to be asked a little later.
    later: Option<Bytes>,
}

impl Cluster {
    /// A node begins to compare a partition with another node's, or goes on with what was to be asked later.
    pub(super) fn verify(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let index = self.some_partition();
        let Some(place) = self.holder(place, index) else { return Ok(()) };
        let waiting = self.verifying[place][index].as_mut();
        if let Some((with, request)) = waiting.and_then(|going| Some((going.with, going.later.take()?))) {
            self.send(place, with, index, Body::FullRequest(request));
            return Ok(());
        }
        let with = self.some_other(place);
        let Some(with) = self.partner(place, index, with) else { return Ok(()) };
        let insist = self.rng.chance(700);
        let begun = Verification::begin(self.partition(place, index), insist);
        let Some((verification, request)) = begun else { return Ok(()) };
        self.trace.note(|| format!("node {place} verifies partition {index} with {with}"));
        self.send(place, with, index, Body::FullRequest(request.to_bytes()));
        self.verifying[place][index] = Some(Verifying { verification, with, later: None });
        if self.rng.chance(500) { self.hurry_verification(place, index, with) } else { Ok(()) }
    }

    /// Questions and answers of a verification arrive at once; other things come between.
    fn hurry_verification(&mut self, place: usize, index: usize, with: usize) -> Result<(), Broken> {
        for _ in 0..HURRY_MAX {
            let ours = |envelope: &Envelope| {
                envelope.partition == index
                    && envelope.body.kind() == Kind::Full
                    && [(place, with), (with, place)].contains(&(envelope.from, envelope.to))
            };
            if let Some(envelope) = self.network.take(&mut self.rng, ours) {
                self.accept(envelope)?;
                self.check()?;
            }
            if self.rng.chance(400) {
                self.come_between(place)?;
            }
            let going = self.verifying[place][index].as_mut();
            if let Some(request) = going.and_then(|going| going.later.take()) {
                self.send(place, with, index, Body::FullRequest(request));
            }
        }
        Ok(())
    }

    /// Takes a page, if it answers a verification; says whether it did.
    pub(super) fn take_verified(
        &mut self,
        place: usize,
        index: usize,
        page: &FullPage,
    ) -> Result<bool, Broken> {
        let awaited = |going: &mut Verifying| going.verification.awaits(page);
        let Some(mut going) = self.verifying[place][index].take_if(awaited) else { return Ok(false) };
        let limits = self.limits();
        let node = &mut self.nodes[place];
        let verdict = going.verification.take(&mut node.partitions[index], &node.disk, page, limits)?;
        node.touch(Touch::Staged);
        self.trace.note(|| format!("node {place} verifies partition {index}: {verdict:?}"));
        match verdict {
            Verdict::Ask(request) => {
                self.send(place, going.with, index, Body::FullRequest(request.to_bytes()));
                self.verifying[place][index] = Some(going);
            }
            Verdict::AskLater(request) => {
                going.later = Some(request.to_bytes());
                self.verifying[place][index] = Some(going);
            }
            verdict => verified::check_sound(&verdict, [place, going.with])?,
        }
        Ok(true)
    }

    /// A node reads some more of its rows again.
    pub(super) fn scrub_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let index = self.some_partition();
        let scrubbed = self.scrub(place, index)?;
        verified::check_rows(scrubbed, place)
    }

    /// Scrubs one page.
    pub(super) fn scrub(&mut self, place: usize, index: usize) -> Result<Scrubbed, Broken> {
        let limits = self.limits();
        let node = &mut self.nodes[place];
        let scrubbed = node.partitions[index].scrub(&node.disk, limits)?;
        node.touch(Touch::Staged);
        Ok(scrubbed)
    }
}
