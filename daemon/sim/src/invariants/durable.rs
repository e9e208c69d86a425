//! Durable reads never show what a crash can take back: what can be read changes only when commits are reported, never
//! shrinks under `always`, and a restart of a node at rest changes nothing.

use settle_core::clock::Clock;
use settle_core::dot::Dot;
use settle_core::entry::Entry;

use crate::broken::Broken;
use crate::node::Touch;
use crate::oracle::History;
use crate::view::{KeyView, View};

use super::Look;

/// Checks the difference between two looks at one replica.
///
/// # Errors
/// [`Broken`] when something appeared too early or was taken back.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    let broken = |text: &str| {
        let text = format!("node {}, partition {}: {text}", look.place, look.partition);
        Err(Broken::new("durable", text))
    };
    match look.touched {
        Touch::Untouched | Touch::Staged if look.before != look.now => {
            broken("a change could be read or was told before its commit was reported")
        }
        Touch::Reported if !look.now.covers(look.before) => broken("a commit made seen writes unseen"),
        Touch::Restarted if look.always && !look.now.covers(look.before) => {
            broken("a crash took back what had been read or told")
        }
        _ => Ok(()),
    }
}

/// Checks a clock that another node is told: nothing in it may be lost in a crash.
///
/// # Errors
/// [`Broken`] when it is ahead of what can be read.
pub fn check_told(told: &Clock, view: &View, place: usize) -> Result<(), Broken> {
    if view.clock.covers(told) {
        return Ok(());
    }
    Err(Broken::new("durable", format!("node {place} told a clock that is ahead of what can be read there")))
}

/// Checks an entry that another node is sent: it is what clients can read.
///
/// # Errors
/// [`Broken`] when it is not.
pub fn check_sent(sent: &Entry, readable: &KeyView, history: &History, place: usize) -> Result<(), Broken> {
    let sent: Vec<Dot> = sent.dots().collect();
    let shown = readable.siblings.iter().count() + readable.strangers.len();
    let same = sent.iter().all(|dot| {
        let number = history.writes.iter().position(|write| write.dot == *dot);
        number.is_some_and(|number| readable.siblings.has(number))
    });
    if same && sent.len() == shown {
        return Ok(());
    }
    let key = readable.key;
    Err(Broken::new(
        "durable",
        format!("node {place} sent {sent:?} of key {key}, and clients can read {shown} values"),
    ))
}

/// Checks a restart at rest; `same`: views and counts are what they were.
///
/// # Errors
/// [`Broken`] when they are not.
pub fn check_restart(same: bool, place: usize) -> Result<(), Broken> {
    if same {
        return Ok(());
    }
    Err(Broken::new("durable", format!("node {place} is not what it was after a restart at rest")))
}
