//! One layout is decided per version, and no two nodes that act are more than one step from each other; when a change is
//! over, who does not hold a partition any more has nothing of it.

use std::collections::BTreeMap;

use settle_core::layout::Layout;
use settle_core::layout::steps::{LayoutState, Position};

use crate::broken::Broken;
use crate::view::View;

/// What was decided, by version.
#[derive(Debug, Default)]
pub struct Decided(BTreeMap<u64, Layout>);

impl Decided {
    /// Checks what a proposer takes for decided.
    ///
    /// # Errors
    /// [`Broken`] when something else was.
    pub fn note_decided(&mut self, next: &Layout, place: usize) -> Result<(), Broken> {
        let first = self.0.entry(next.version).or_insert_with(|| next.clone());
        if first == next {
            return Ok(());
        }
        let version = next.version;
        Err(Broken::new("layouts", format!("node {place}: two layouts are decided under version {version}")))
    }

    /// Checks that a node acts on nothing that was not decided.
    ///
    /// # Errors
    /// [`Broken`] when it does.
    pub fn check_decided(&self, state: &LayoutState, place: usize) -> Result<(), Broken> {
        let change = state.change().map(|change| &change.next);
        let taken = change.into_iter().chain([state.current()]).filter(|layout| layout.version > 1);
        for layout in taken {
            if self.0.get(&layout.version) != Some(layout) {
                let version = layout.version;
                let text = format!("node {place} has a layout {version} that was not decided");
                return Err(Broken::new("layouts", text));
            }
        }
        Ok(())
    }
}

/// Checks how far the nodes that act are, each given by its place.
///
/// # Errors
/// [`Broken`] when two of them are too far apart.
pub fn check_positions(acting: impl Iterator<Item = (usize, Position)>) -> Result<(), Broken> {
    // The last step of one change and none are the same for requests.
    let number =
        |position: Position| position.version * 5 + position.step.map_or(0, |step| u64::from(step.number()));
    let mut all: Vec<(u64, usize)> = acting.map(|(place, position)| (number(position), place)).collect();
    all.sort_unstable();
    match (all.first(), all.last()) {
        (Some((low, behind)), Some((high, ahead))) if high - low > 1 => {
            let text = format!("node {ahead} is {} steps ahead of node {behind}", high - low);
            Err(Broken::new("layouts", text))
        }
        _ => Ok(()),
    }
}

/// Checks that every new replica, each given by its place, has what an old one is about to drop.
///
/// # Errors
/// [`Broken`] when one of them lacks something.
pub fn check_drop<'a>(
    dropped: &View,
    place: usize,
    new: impl Iterator<Item = (usize, &'a View)>,
) -> Result<(), Broken> {
    for (other, view) in new {
        let lacks = dropped.clock.minus(&view.clock).count();
        if lacks > 0 {
            let text = format!("node {place} drops a partition of which node {other} lacks {lacks} writes");
            return Err(Broken::new("layouts", text));
        }
    }
    Ok(())
}

/// Checks that a node which does not hold a partition has nothing of it.
///
/// # Errors
/// [`Broken`] when rows, dots or log records are left.
pub fn check_dropped(left: usize, place: usize, partition: usize) -> Result<(), Broken> {
    if left == 0 {
        return Ok(());
    }
    let text =
        format!("node {place} does not hold partition {partition} any more, but has {left} rows of it");
    Err(Broken::new("layouts", text))
}
