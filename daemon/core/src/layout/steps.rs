//! How a cluster goes from one layout to the next: in steps that every node takes by itself, none more than one step
//! ahead of another.
//!
//! ```text
//!   step          writes are met in   reads are met in   a node acknowledges it when
//!   (none)        old                 old
//!   1 WriteBoth   old and new         old                its requests begun before it have ended
//!   2 Pull        old and new         old                what it holds in the new layout covers what every old replica
//!                                                        told after this node had entered the step
//!   3 ReadNew     old and new         new                its requests begun before it have ended
//!   4 WriteNew    new                 new                its requests begun before it have ended
//!   5 Drop        new                 new                it has dropped what it holds in the old layout only
//! ```
//!
//! A node enters a step when every node of both layouts is known to have acknowledged the one before, or when any node
//! tells that it is further, for then they all have. Entering and acknowledging are durable before they take effect or
//! are told: work on a copy of the [`LayoutState`], store it, then use it.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64, put_varint};
use crate::dot::NodeId;
use crate::key::PartitionId;
use crate::plant::{Plant, planted};

use super::Layout;
use super::decide::Acceptor;
use super::sets::Sets;

/// A step of a layout change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Writes go to old and new replicas, and levels are met in both.
    WriteBoth = 1,
    /// New replicas pull what they lack.
    Pull = 2,
    /// Reads are met in the new replicas.
    ReadNew = 3,
    /// Writes go to the new replicas only.
    WriteNew = 4,
    /// Old replicas drop what is not theirs any more.
    Drop = 5,
}

/// How far a node is: a layout, and the step on the way to the next one, if it is on that way. Positions only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The version of the layout that is left, or in force.
    pub version: u64,
    /// The step; `None` while nothing changes.
    pub step: Option<Step>,
}

/// What a node tells others of itself, with every echo answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Tells two clusters of one name apart.
    pub birth: u64,
    /// How far it is.
    pub position: Position,
    /// Whether it has acknowledged its step.
    pub acked: bool,
}

/// What nodes have told of themselves, by identity: the furthest of each.
#[derive(Debug, Clone, Default)]
pub struct Heard(BTreeMap<NodeId, Standing>);

/// A change on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was decided.
    pub next: Layout,
    /// How far this node is.
    pub step: Step,
    /// Whether this node has acknowledged that.
    pub acked: bool,
}

/// All that a node keeps of layouts, as one durable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutState {
    current: Layout,
    change: Option<Change>,
    /// This node's part in deciding the layout after `current`.
    pub(super) acceptor: Acceptor,
}

/// What a node made of the state that another one told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It is not further than this node's.
    Known,
    /// This node is where the other one is.
    Moved,
    /// It is that of another cluster, or does not fit this one's: nothing was taken.
    Stranger,
}

impl Step {
    /// All, in order.
    pub const EVERY: [Self; 5] = [Self::WriteBoth, Self::Pull, Self::ReadNew, Self::WriteNew, Self::Drop];

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The step after it; `None` after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::EVERY.into_iter().find(|step| *step > self)
    }

    fn numbered(number: u8) -> Option<Self> {
        Self::EVERY.into_iter().find(|step| step.number() == number)
    }
}

impl Heard {
    /// A node told of itself. What it told is durable there, so a late word changes nothing.
    pub fn tell(&mut self, node: NodeId, standing: Standing) {
        let key = |standing: &Standing| (standing.position, standing.acked);
        match self.0.get_mut(&node) {
            Some(known) if known.birth == standing.birth && key(known) >= key(&standing) => {}
            Some(known) => *known = standing,
            None => {
                self.0.insert(node, standing);
            }
        }
    }

    /// The last word of a node.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<Standing> {
        self.0.get(&node).copied()
    }

    /// Whether a node of this cluster has told that it is further than `position`.
    fn is_beyond(&self, birth: u64, position: Position) -> bool {
        self.0.values().any(|told| told.birth == birth && told.position > position)
    }
}

impl LayoutState {
    /// The state of a node whose cluster has this layout, and is not changing it.
    #[must_use]
    pub fn new(current: Layout) -> Self {
        Self { current, change: None, acceptor: Acceptor::default() }
    }

    /// The layout in force, or left.
    #[must_use]
    pub const fn current(&self) -> &Layout {
        &self.current
    }

    /// The change on its way.
    #[must_use]
    pub const fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// How far this node is.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { version: self.current.version, step: self.change.as_ref().map(|change| change.step) }
    }

    /// What this node tells of itself, once this state is durable.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let acked = self.change.as_ref().is_some_and(|change| change.acked);
        Standing { birth: self.current.birth, position: self.position(), acked }
    }

    /// What other nodes may take over of it ([`LayoutState::adopt`]): all but what concerns this node alone.
    #[must_use]
    pub fn told(&self) -> Self {
        let change = self.change.clone().map(|change| Change { acked: false, ..change });
        Self { current: self.current.clone(), change, acceptor: Acceptor::default() }
    }

    /// Every node whose acknowledgement a step of the present change needs: those that hold anything in the old or in the
    /// new layout; in the only layout when nothing changes. Others coordinate nothing at any step, so that nobody has to
    /// wait for them: a node that was drained may be stopped.
    #[must_use]
    pub fn members(&self) -> BTreeSet<NodeId> {
        let next = self.change.iter().flat_map(|change| change.next.holding());
        self.current.holding().chain(next).collect()
    }

    /// The name of a node of the old or the new layout; of another one its identity.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        let next = self.change.as_ref().and_then(|change| change.next.host(node));
        self.current.host(node).or(next).map_or_else(|| node.to_string(), |host| host.name.clone())
    }

    /// Who holds a partition, and for what.
    #[must_use]
    pub fn sets(&self, partition: PartitionId) -> Sets {
        let old = self.current.replicas(partition).collect();
        match &self.change {
            None => Sets::steady(old),
            Some(change) => Sets::new(old, change.next.replicas(partition).collect(), change.step),
        }
    }

    /// A change was decided: this node enters its first step. Says whether it was new; a decision about another version is
    /// late and changes nothing.
    pub fn decide(&mut self, next: Layout) -> bool {
        let fits = next.follows(&self.current) && self.change.is_none();
        if fits {
            self.change = Some(Change { next, step: Step::WriteBoth, acked: false });
        }
        fits
    }

    /// Takes over the state that another node told ([`LayoutState::told`]), if that is further.
    pub fn adopt(&mut self, told: &Self) -> Adopted {
        let fits = told.current.birth == self.current.birth
            && told.current.partitions() == self.current.partitions();
        if !fits {
            return Adopted::Stranger;
        }
        if told.position() <= self.position() {
            return Adopted::Known;
        }
        if told.current.version > self.current.version {
            self.acceptor = Acceptor::default();
        }
        self.current = told.current.clone();
        self.change = told.change.clone().map(|change| Change { acked: false, ..change });
        Adopted::Moved
    }

    /// This node's condition for its present step holds. Says whether that was news.
    pub fn acknowledge(&mut self) -> bool {
        self.change.as_mut().is_some_and(|change| !std::mem::replace(&mut change.acked, true))
    }

    /// Enters the next step if `own` may: all members have acknowledged the present one, or some node is further. After
    /// the last step the new layout is the current one. Says whether anything changed; then it is worth another call once
    /// that is durable.
    pub fn advance(&mut self, own: NodeId, heard: &Heard) -> bool {
        let position = self.position();
        let all = self.waiting_for(own, heard).is_empty();
        if self.change.is_none() || !all && !heard.is_beyond(self.current.birth, position) {
            return false;
        }
        let Some(mut change) = self.change.take() else { return false };
        match change.step.next() {
            Some(next) => {
                (change.step, change.acked) = (next, false);
                self.change = Some(change);
            }
            None => *self = Self::new(change.next),
        }
        true
    }

    /// The members that are not known to have acknowledged the present step: they hold the change up. Nobody, when
    /// nothing changes.
    #[must_use]
    pub fn waiting_for(&self, own: NodeId, heard: &Heard) -> Vec<NodeId> {
        let Some(change) = &self.change else { return Vec::new() };
        let (birth, position) = (self.current.birth, self.position());
        let acked = |told: Standing| {
            told.birth == birth && (told.position > position || told.position == position && told.acked)
        };
        let has_acked = |node: NodeId| match node == own {
            true => change.acked,
            false => heard.of(node).is_some_and(acked),
        };
        let members = self.members();
        let missing: Vec<NodeId> = members.iter().copied().filter(|node| !has_acked(*node)).collect();
        if planted(Plant::StepEnteredByMajority) && missing.len() * 2 < members.len() {
            return Vec::new();
        }
        missing
    }
}

const STATE_VERSION: u8 = 1;

impl Encode for LayoutState {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(STATE_VERSION);
        self.current.encode(out);
        match &self.change {
            None => out.push(0),
            Some(change) => {
                out.push(change.step.number());
                out.push(u8::from(change.acked));
                change.next.encode(out);
            }
        }
        self.acceptor.encode(out);
    }
}

impl Decode for LayoutState {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("layout state", STATE_VERSION)?;
        let current = Layout::decode(input)?;
        let change = match input.u8()? {
            0 => None,
            number => {
                let step = Step::numbered(number).ok_or(DecodeError::Invalid("layout state: step"))?;
                Some(Change { step, acked: input.u8()? != 0, next: Layout::decode(input)? })
            }
        };
        let acceptor = Acceptor::decode(input)?;
        let mut others = change.iter().map(|change| &change.next).chain(acceptor.accepted());
        if !others.all(|next| next.follows(&current)) {
            return Err(DecodeError::Invalid("layout state: a layout that does not follow the current one"));
        }
        Ok(Self { current, change, acceptor })
    }
}

impl Encode for Position {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version);
        out.push(self.step.map_or(0, Step::number));
    }
}

impl Decode for Position {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let version = input.varint()?;
        let step = match input.u8()? {
            0 => None,
            number => Some(Step::numbered(number).ok_or(DecodeError::Invalid("layout step"))?),
        };
        Ok(Self { version, step })
    }
}

impl Encode for Standing {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.birth);
        self.position.encode(out);
        out.push(u8::from(self.acked));
    }
}

impl Decode for Standing {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { birth: input.u64()?, position: Position::decode(input)?, acked: input.u8()? != 0 })
    }
}

#[cfg(test)]
mod tests;
