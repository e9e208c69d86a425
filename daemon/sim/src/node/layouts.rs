//! What a node knows of layouts, and where it is on the way to the next one.

use std::rc::Rc;

use settle_core::codec::{Decode, Encode};
use settle_core::layout::decide::Proposer;
use settle_core::layout::steps::{Heard, LayoutState};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use settle_store::Disk;

use crate::network::Attempt;
use crate::oracle::Oracle;
use crate::route::{Route, nodes_at, place_of};

use super::{Node, Peer};

/// The row of the state.
const ROW: &[u8] = b"layout";

/// Layouts at one node.
#[derive(Debug)]
pub struct Layouts {
    /// What is durable.
    pub state: LayoutState,
    /// What the others told.
    pub heard: Heard,
    /// When it entered its step, in this life.
    pub entered: u64,
    /// Its attempt to decide on the next layout.
    pub proposing: Option<(Attempt, Proposer)>,
    /// The highest round that it has met.
    pub round: u64,
}

impl Node {
    /// Makes a state durable, and then its own.
    ///
    /// # Errors
    /// [`StorageError`]; the node must crash then.
    pub fn store(&mut self, state: LayoutState) -> Result<(), StorageError> {
        let Some(layouts) = &self.layouts else { return Ok(()) };
        if layouts.state == state {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(Table::Node.row(ROW), state.to_bytes());
        self.disk.commit(&[batch], true)?;
        let moved = layouts.state.position() != state.position();
        if let Some(layouts) = &mut self.layouts {
            layouts.state = state;
        }
        if moved {
            self.enter();
        }
        Ok(())
    }

    /// Starts with the state that its disk holds, or the first one.
    pub(super) fn recall(&mut self, first: Option<LayoutState>) -> Result<(), StorageError> {
        let Some(first) = first else { return Ok(()) };
        let stored = self.disk.get(&Table::Node.row(ROW))?;
        let stored = stored.map(LayoutState::from_bytes).transpose();
        let stored = stored.map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let state = stored.unwrap_or(first);
        self.layouts =
            Some(Layouts { state, heard: Heard::default(), entered: self.now, proposing: None, round: 0 });
        self.enter();
        Ok(())
    }

    /// Its position has changed: so has who its partners are.
    fn enter(&mut self) {
        let (place, now) = (place_of(self.id), self.now);
        let Some(layouts) = &mut self.layouts else { return };
        layouts.entered = now;
        let route = |index| Rc::new(Route::of(place, &layouts.state, Oracle::partition_id(index)));
        self.routes = (0..self.views.len()).map(route).collect();
        for (partition, route) in self.partitions.iter_mut().zip(&self.routes) {
            partition.retain_peers(&nodes_at(&route.others));
        }
        // What answers refer to is another set of partitions now.
        for peer in &mut self.peers {
            *peer = Peer { base: None, ..*peer };
        }
    }

    /// Whether it holds a partition, and answers for it.
    #[must_use]
    pub fn holds(&self, index: usize) -> bool {
        let (Some(partition), Some(route)) = (self.partitions.get(index), self.routes.get(index)) else {
            return false;
        };
        let dropped = route.drops && partition.durable().is_empty();
        route.own && !partition.is_dropping() && !dropped
    }

    /// Whether requests that began before it entered its step still run.
    #[must_use]
    pub fn has_older_requests(&self) -> bool {
        let Some(layouts) = &self.layouts else { return false };
        let position = layouts.state.position();
        let older = |route: &Route| route.position < position;
        self.quorums.iter().any(|quorum| older(&quorum.route))
            || self.collecting.iter().any(|collecting| older(&collecting.route))
            || self.reads.iter().any(|read| older(&read.route))
            || self.waiting.iter().any(|waiting| waiting.position.is_some_and(|begun| begun < position))
    }

    /// Gives up requests that began before it entered its step: their clients are told that it took too long.
    pub fn give_up_older(&mut self) {
        let Some(layouts) = &self.layouts else { return };
        let position = layouts.state.position();
        self.quorums.retain(|quorum| quorum.route.position >= position);
        self.collecting.retain(|collecting| collecting.route.position >= position);
        self.reads.retain(|read| read.route.position >= position);
    }
}
