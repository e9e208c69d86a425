//! Finding the leaves in which two trees differ, in at most as many questions as the trees are deep.
//!
//! One side asks, the other answers, and neither keeps anything between messages but the question that was asked:
//!
//! 1. [`Tree::question`] tells this side's root. The other's [`Tree::answer`] is empty if it is the same there, and
//!    has the sums of the root's children otherwise.
//! 2. [`Tree::follow`] compares these with its own, and asks about all children that differ, and so on.
//! 3. When the children are leaves, those that differ are the result.
//!
//! A node that differs costs its `FANOUT` children, 512 bytes, so `d` differing keys cost at most `d * depth` times
//! that, and a walk never more than one side's whole tree. Writes that arrive during a walk may hide a difference or
//! show one that is none; [`Tree::recheck`] looks at leaves again later.
//!
//! Nodes of a question are of one level, and of an answer among those asked: whatever a peer answers, a walk ends.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};

use super::{DEPTH_MAX, FANOUT, Tree, child_indices, width};

/// What the asking side has in some nodes of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// How deep the asking side's tree is.
    pub depth: u8,
    /// The nodes' level.
    pub level: u8,
    /// Indices, ascending, and the asking side's sums.
    pub nodes: Vec<(u32, u128)>,
}

/// Which of the nodes of a question differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Of nodes above the leaves, those that differ, with their children; indices ascending.
    Opened(Vec<Opened>),
    /// Of leaves, the indices of those that differ, ascending.
    Leaves(Vec<u32>),
}

/// A node that differs, as the answering side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The node's index in the level of the question.
    pub index: u32,
    /// The sums of its children.
    pub children: [u128; FANOUT],
}

/// What comes after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask this next.
    Ask(Question),
    /// The leaves that differ, ascending: none if the trees are equal.
    Done(Vec<u32>),
}

/// Why a question cannot be answered, or an answer not be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The two trees have different depths.
    #[error("hash tree of depth {theirs} asked of one of depth {ours}: all nodes must run the same version")]
    Depth {
        /// This side's.
        ours: u8,
        /// The asking side's.
        theirs: u8,
    },
    /// The answer is of another kind, or names a node that was not asked about.
    #[error("the answer of a peer about its hash tree does not fit the question")]
    Unasked,
}

impl Tree {
    /// The question that opens a walk.
    #[must_use]
    pub fn question(&self) -> Question {
        self.ask(0, &[0])
    }

    /// The question whether these leaves still differ; its answer is followed at once to the end.
    #[must_use]
    pub fn recheck(&self, leaves: &[u32]) -> Question {
        let mut leaves = leaves.to_vec();
        leaves.sort_unstable();
        leaves.dedup();
        leaves.retain(|index| *index < self.leaves());
        self.ask(self.depth, &leaves)
    }

    fn ask(&self, level: u8, indices: &[u32]) -> Question {
        let nodes = indices.iter().map(|index| (*index, self.node(level, *index))).collect();
        Question { depth: self.depth, level, nodes }
    }

    /// The answer to a peer's question.
    ///
    /// # Errors
    /// [`WalkError::Depth`].
    pub fn answer(&self, question: &Question) -> Result<Answer, WalkError> {
        if question.depth != self.depth {
            return Err(WalkError::Depth { ours: self.depth, theirs: question.depth });
        }
        let level = question.level;
        let differing = question.nodes.iter().filter(|(index, sum)| self.node(level, *index) != *sum);
        let indices = differing.map(|(index, _)| *index);
        if level >= self.depth {
            return Ok(Answer::Leaves(indices.collect()));
        }
        let opened = indices.map(|index| Opened { index, children: self.children(level, index) });
        Ok(Answer::Opened(opened.collect()))
    }

    /// What to do after a peer answered `asked`.
    ///
    /// # Errors
    /// [`WalkError::Unasked`].
    pub fn follow(&self, asked: &Question, answer: &Answer) -> Result<Step, WalkError> {
        let was_asked = |index| asked.nodes.binary_search_by_key(&index, |(index, _)| *index).is_ok();
        match answer {
            Answer::Leaves(leaves) => {
                let fits = asked.level >= self.depth && leaves.iter().all(|index| was_asked(*index));
                if fits { Ok(Step::Done(leaves.clone())) } else { Err(WalkError::Unasked) }
            }
            Answer::Opened(opened) => {
                if asked.level >= self.depth || !opened.iter().all(|node| was_asked(node.index)) {
                    return Err(WalkError::Unasked);
                }
                let differing = opened.iter().flat_map(|node| self.differing(asked.level, node));
                Ok(self.next(asked.level + 1, differing.collect()))
            }
        }
    }

    fn next(&self, level: u8, differing: Vec<u32>) -> Step {
        if level >= self.depth || differing.is_empty() {
            Step::Done(differing)
        } else {
            Step::Ask(self.ask(level, &differing))
        }
    }

    /// Which children of a node differ from a peer's: their indices in the level below `level`, ascending.
    pub fn differing(&self, level: u8, theirs: &Opened) -> impl Iterator<Item = u32> {
        let ours = self.children(level, theirs.index).into_iter().zip(theirs.children);
        let differing = ours.zip(child_indices(theirs.index)).filter(|((ours, theirs), _)| ours != theirs);
        differing.map(|(_, index)| index)
    }
}

/// Bytes of an encoded sum.
pub(super) const SUM_BYTES: usize = 16;

pub(super) fn put_sum(out: &mut Vec<u8>, sum: u128) {
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(super) fn read_sum(input: &mut Reader) -> Result<u128, DecodeError> {
    let low = input.u64()?;
    Ok(u128::from(input.u64()?) << 64 | u128::from(low))
}

/// An index of a level, above `last`: a node that came twice would be answered twice.
fn read_index(input: &mut Reader, level: u8, last: Option<u32>) -> Result<u32, DecodeError> {
    let index = u32::try_from(input.varint()?).unwrap_or(u32::MAX);
    if index >= width(level) || last.is_some_and(|last| last >= index) {
        return Err(DecodeError::Invalid("hash tree: index"));
    }
    Ok(index)
}

impl Encode for Question {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.depth);
        out.push(self.level);
        put_varint(out, self.nodes.len() as u64);
        for (index, sum) in &self.nodes {
            put_varint(out, u64::from(*index));
            put_sum(out, *sum);
        }
    }
}

impl Decode for Question {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let depth = input.u8()?;
        let level = input.u8()?;
        if depth > DEPTH_MAX || level > depth {
            return Err(DecodeError::Invalid("hash tree: level"));
        }
        let count = input.count(1 + SUM_BYTES)?;
        let mut nodes: Vec<(u32, u128)> = Vec::with_capacity(count);
        for _ in 0..count {
            let index = read_index(input, level, nodes.last().map(|(index, _)| *index))?;
            nodes.push((index, read_sum(input)?));
        }
        Ok(Self { depth, level, nodes })
    }
}

impl Encode for Answer {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Opened(opened) => {
                out.push(0);
                put_varint(out, opened.len() as u64);
                for node in opened {
                    put_varint(out, u64::from(node.index));
                    for sum in node.children {
                        put_sum(out, sum);
                    }
                }
            }
            Self::Leaves(leaves) => {
                out.push(1);
                put_varint(out, leaves.len() as u64);
                for index in leaves {
                    put_varint(out, u64::from(*index));
                }
            }
        }
    }
}

impl Decode for Answer {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => decode_opened(input).map(Self::Opened),
            1 => decode_leaves(input).map(Self::Leaves),
            _ => Err(DecodeError::Invalid("hash tree: answer")),
        }
    }
}

fn decode_opened(input: &mut Reader) -> Result<Vec<Opened>, DecodeError> {
    let count = input.count(1 + FANOUT * SUM_BYTES)?;
    let mut opened: Vec<Opened> = Vec::with_capacity(count);
    for _ in 0..count {
        let index = read_index(input, DEPTH_MAX - 1, opened.last().map(|node| node.index))?;
        let mut children = [0; FANOUT];
        for sum in &mut children {
            *sum = read_sum(input)?;
        }
        opened.push(Opened { index, children });
    }
    Ok(opened)
}

fn decode_leaves(input: &mut Reader) -> Result<Vec<u32>, DecodeError> {
    let count = input.count(1)?;
    let mut leaves: Vec<u32> = Vec::with_capacity(count);
    for _ in 0..count {
        let index = read_index(input, DEPTH_MAX, leaves.last().copied())?;
        leaves.push(index);
    }
    Ok(leaves)
}
