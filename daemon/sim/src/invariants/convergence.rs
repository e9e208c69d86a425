//! Replicas converge when the network heals: after exchanges among all, every replica shows the same values and has
//! seen the same writes.

use crate::broken::Broken;
use crate::oracle::Oracle;
use crate::view::View;

/// Checks that all replicas of a partition, each given by its place, are the same.
///
/// # Errors
/// [`Broken`] naming the first difference.
pub fn check<'a>(
    oracle: &Oracle,
    index: usize,
    replicas: impl Iterator<Item = (usize, &'a View)>,
) -> Result<(), Broken> {
    let replicas: Vec<(usize, &View)> = replicas.collect();
    let Some(((first, a), rest)) = replicas.split_first() else { return Ok(()) };
    for (place, b) in rest {
        let pair = format!("nodes {first} and {place}, partition {index}");
        for (mine, theirs) in a.keys.iter().zip(&b.keys) {
            let only = |side: crate::bits::Bits, number: usize| {
                let history = oracle.keys.get(number);
                let dots = side.iter().filter_map(|write| history.map(|history| history.dot(write)));
                dots.collect::<Vec<_>>()
            };
            if mine.siblings != theirs.siblings {
                let (one, two) = (mine.siblings.minus(theirs.siblings), theirs.siblings.minus(mine.siblings));
                let text = format!(
                    "{pair}: key {} differs: {:?} against {:?}",
                    mine.key,
                    only(one, mine.key),
                    only(two, mine.key)
                );
                return Err(Broken::new("convergence", text));
            }
        }
        if a.clock != b.clock {
            let (one, two) = (a.clock.minus(&b.clock).count(), b.clock.minus(&a.clock).count());
            let text = format!("{pair}: clocks differ by {one} and {two} writes");
            return Err(Broken::new("convergence", text));
        }
    }
    Ok(())
}

/// Checks that an exchange between two healthy replicas, at rest otherwise, has brought what it is for.
///
/// # Errors
/// [`Broken`] when the receiver lacks something.
pub fn check_exchange(receiver: &View, sender: &View, places: (usize, usize)) -> Result<(), Broken> {
    let lacks = sender.clock.minus(&receiver.clock).count();
    if lacks == 0 {
        return Ok(());
    }
    let (to, from) = places;
    Err(Broken::new(
        "convergence",
        format!("an exchange ended, but node {to} lacks {lacks} writes of node {from}"),
    ))
}
