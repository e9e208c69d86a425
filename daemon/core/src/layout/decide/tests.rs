//! One layout is decided per version, whoever proposes, whatever is lost or comes late; and a node alone decides.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::layout::tests::hosts;
use crate::placement::Replication;

const HOSTS: u64 = 5;

fn current() -> Layout {
    Layout::born(7, hosts(HOSTS), Replication::Everywhere(2), 8).unwrap().0
}

/// Layouts that differ by the nodes that they add.
fn next(added: u64) -> Layout {
    let mut more = hosts(HOSTS);
    more.extend(hosts(HOSTS + added).pop());
    current().next(more, Replication::Everywhere(2)).unwrap().0
}

fn nodes() -> Vec<NodeId> {
    current().hosts().iter().map(|host| host.node).collect()
}

fn states() -> Vec<LayoutState> {
    nodes().iter().map(|_| LayoutState::new(current())).collect()
}

/// What the hosts `asked` answer to an attempt that nobody disturbs; the last outcome.
fn attempt(states: &mut [LayoutState], asked: &[usize], round: u64, value: Layout) -> Outcome {
    let (mut proposer, prepare) = Proposer::new(nodes()[asked[0]], round, &states[asked[0]], value).unwrap();
    let mut accept = None;
    for host in asked {
        match proposer.voted(nodes()[*host], states[*host].prepare(prepare)) {
            Outcome::Ask(asked) => accept = Some(asked),
            Outcome::Wait => {}
            other => return other,
        }
    }
    let Some(accept) = accept else { return Outcome::Wait };
    let votes = asked.iter().map(|host| proposer.voted(nodes()[*host], states[*host].accept(accept.clone())));
    votes.last().unwrap()
}

#[test]
fn a_majority_decides_and_a_later_attempt_learns_of_it() {
    let mut states = states();
    assert_eq!(attempt(&mut states, &[0, 1], 1, next(1)), Outcome::Wait, "two of five are no majority");
    assert_eq!(attempt(&mut states, &[2, 3, 4], 1, next(2)), Outcome::Decided(next(2)));
    assert_eq!(attempt(&mut states, &[0, 1, 2], 1, next(3)), Outcome::Beaten(1));
    assert_eq!(attempt(&mut states, &[0, 1, 2], 2, next(3)), Outcome::Decided(next(2)));
}

#[test]
fn a_node_that_is_elsewhere_says_so() {
    let mut states = states();
    assert!(states[1].decide(next(1)));
    let there = states[1].position();
    assert_eq!(attempt(&mut states, &[0, 1, 2], 1, next(2)), Outcome::Elsewhere(there));
    assert!(Proposer::new(nodes()[1], 9, &states[1], next(2)).is_none(), "one change at a time");
    assert!(!states[1].decide(next(2)), "nor is a second one taken");
}

#[test]
fn votes_and_acceptors_come_back_from_their_bytes() {
    let ballot = Ballot { round: 300, node: NodeId(2) };
    let position = Position { version: 3, step: Some(super::super::steps::Step::Pull) };
    for vote in [
        Vote::Promised(None),
        Vote::Promised(Some((ballot, next(1)))),
        Vote::Accepted,
        Vote::Refused(ballot),
        Vote::Elsewhere(position),
    ] {
        assert_eq!(Vote::from_bytes(vote.to_bytes()), Ok(vote));
    }
    let prepare = Prepare { birth: 7, version: 2, ballot };
    assert_eq!(Prepare::from_bytes(prepare.to_bytes()), Ok(prepare));
    let accept = Accept { ballot, next: next(1) };
    assert_eq!(Accept::from_bytes(accept.to_bytes()), Ok(accept));
}

/// A message under way: from which proposer to which host, or back.
#[derive(Debug, Clone)]
enum Flying {
    Prepare(usize, usize, Prepare),
    Accept(usize, usize, Accept),
    Vote(usize, usize, Vote),
}

/// Proposers who begin at any time, messages in any order, some twice, some never; hosts that restart from their bytes.
fn decided(schedule: &[(u8, Index)]) -> Vec<Layout> {
    let mut states = states();
    let mut proposers: Vec<Proposer> = Vec::new();
    let (mut flying, mut decided): (Vec<Flying>, Vec<Layout>) = (Vec::new(), Vec::new());
    let all = 0..nodes().len();
    for (what, index) in schedule {
        if flying.is_empty() || *what < 10 {
            let (host, number) = (index.index(nodes().len()), proposers.len());
            let round = 1 + states[host].acceptor().round();
            let begun = Proposer::new(nodes()[host], round, &states[host], next(1 + number as u64 % 9));
            let (proposer, prepare) = begun.unwrap();
            // One life of a node never uses a ballot twice: it remembers what it asked itself.
            states[host].prepare(prepare);
            proposers.push(proposer);
            flying.extend(all.clone().map(|host| Flying::Prepare(number, host, prepare)));
            continue;
        }
        let at = index.index(flying.len());
        let message = if *what < 30 { flying[at].clone() } else { flying.swap_remove(at) };
        match message {
            Flying::Prepare(proposer, host, prepare) => {
                let vote = states[host].prepare(prepare);
                states[host] = LayoutState::from_bytes(states[host].to_bytes()).unwrap();
                flying.push(Flying::Vote(proposer, host, vote));
            }
            Flying::Accept(proposer, host, accept) => {
                let vote = states[host].accept(accept);
                states[host] = LayoutState::from_bytes(states[host].to_bytes()).unwrap();
                flying.push(Flying::Vote(proposer, host, vote));
            }
            Flying::Vote(proposer, host, vote) => match proposers[proposer].voted(nodes()[host], vote) {
                Outcome::Ask(accept) => {
                    flying.extend(all.clone().map(|host| Flying::Accept(proposer, host, accept.clone())));
                }
                Outcome::Decided(layout) => decided.push(layout),
                Outcome::Wait | Outcome::Beaten(_) | Outcome::Elsewhere(_) => {}
            },
        }
    }
    decided
}

proptest! {
    #[test]
    fn no_two_layouts_are_decided(schedule in prop::collection::vec((any::<u8>(), any::<Index>()), 20..300)) {
        let decided = decided(&schedule);
        prop_assert!(decided.iter().all(|layout| *layout == decided[0]));
    }
}
