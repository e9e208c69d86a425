//! Finding the leaves in which two trees differ, in at most as many questions as the trees have levels.
//!
//! One side asks, the other answers, and neither keeps anything between messages but the question that was asked:
//!
//! 1. [`Tree::question`] tells this side's root. The other's [`Tree::answer`] is empty if it is the same there, and
//!    has the sums of the root's children otherwise.
//! 2. [`Tree::settle`] compares these with its own, and asks about all children that differ, and so on.
//! 3. When the children are leaves, those that differ are the result.
//!
//! A node that differs costs its `FANOUT` children, 512 bytes, so `d` differing keys cost at most `d * depth` times
//! that, and a walk never more than one side's whole tree. Both sides may change meanwhile: what an answer says of a
//! node holds for the instant of the answer and that in which it is taken. So leaves are said to be equal one by one,
//! each at its own instant.
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

/// What an answer says about the data of this very moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Below these nodes, by level and index, this tree is what the other was when it answered.
    pub equal: Vec<(u8, u32)>,
    /// Leaves that differ, or may.
    pub differing: Vec<u32>,
    /// What to ask about the rest.
    pub next: Option<Question>,
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

impl Answer {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        match self {
            Self::Opened(opened) => opened.is_empty(),
            Self::Leaves(leaves) => leaves.is_empty(),
        }
    }
}

impl Tree {
    /// The question that opens a walk.
    #[must_use]
    pub fn question(&self) -> Question {
        self.ask(0, &[0])
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

    /// Whether an answer is of the kind that was asked for, and only of nodes that were asked about.
    fn fits(&self, asked: &Question, answer: &Answer) -> bool {
        let was_asked = |index| asked.nodes.binary_search_by_key(&index, |(index, _)| *index).is_ok();
        match answer {
            Answer::Leaves(leaves) => {
                asked.level >= self.depth && leaves.iter().all(|index| was_asked(*index))
            }
            Answer::Opened(opened) => {
                asked.level < self.depth && opened.iter().all(|node| was_asked(node.index))
            }
        }
    }

    /// What the answer to `asked` says, although this tree may have changed since it was asked: a node of which the
    /// answer says that it was equal counts only if it still is what it was, and is looked at more closely otherwise.
    ///
    /// # Errors
    /// [`WalkError::Unasked`].
    pub fn settle(&self, asked: &Question, answer: &Answer) -> Result<Settled, WalkError> {
        if !self.fits(asked, answer) {
            return Err(WalkError::Unasked);
        }
        let mut settled = Settled { equal: Vec::new(), differing: Vec::new(), next: None };
        let mut again = Vec::new();
        for (index, sum) in &asked.nodes {
            let node = (asked.level, *index);
            match theirs(answer, *index) {
                Theirs::Same if self.node(asked.level, *index) == *sum => settled.equal.push(node),
                Theirs::Same | Theirs::Differs if asked.level >= self.depth => settled.differing.push(*index),
                Theirs::Same | Theirs::Differs => again.extend(child_indices(*index)),
                Theirs::Opened(opened) => {
                    let ours = self.children(asked.level, *index).into_iter().zip(opened.children);
                    for ((ours, theirs), child) in ours.zip(child_indices(*index)) {
                        if ours == theirs {
                            settled.equal.push((asked.level + 1, child));
                        } else if asked.level + 1 >= self.depth {
                            settled.differing.push(child);
                        } else {
                            again.push(child);
                        }
                    }
                }
            }
        }
        settled.next = (!again.is_empty()).then(|| self.ask(asked.level + 1, &again));
        Ok(settled)
    }
}

/// What an answer says about a node that was asked about.
enum Theirs<'a> {
    Same,
    Differs,
    Opened(&'a Opened),
}

fn theirs(answer: &Answer, index: u32) -> Theirs<'_> {
    match answer {
        Answer::Opened(opened) => {
            let found = opened.binary_search_by_key(&index, |node| node.index).ok();
            found.and_then(|at| opened.get(at)).map_or(Theirs::Same, Theirs::Opened)
        }
        Answer::Leaves(leaves) if leaves.binary_search(&index).is_ok() => Theirs::Differs,
        Answer::Leaves(_) => Theirs::Same,
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
