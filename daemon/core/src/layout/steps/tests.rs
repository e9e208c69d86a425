//! Steps: nobody runs ahead, everybody arrives, and reads meet writes at every mixture of steps that can be.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::layout::tests::hosts;
use crate::level::Level;
use crate::placement::Replication;

const NODES: usize = 5;

/// Four nodes that become five, one of which is drained.
fn layouts() -> (Layout, Layout) {
    let current = Layout::born(3, hosts(4), Replication::Everywhere(3), 16).unwrap().0;
    let mut more = hosts(4);
    more.extend(hosts(6).pop());
    more[1].holds_data = false;
    let next = current.next(more, Replication::Everywhere(3)).unwrap().0;
    (current, next)
}

fn at(step: Step) -> LayoutState {
    let (current, next) = layouts();
    let mut state = LayoutState::new(current);
    assert!(state.decide(next));
    state.change.as_mut().unwrap().step = step;
    state
}

fn members() -> Vec<NodeId> {
    at(Step::WriteBoth).members().into_iter().collect()
}

/// Positions as numbers: 0 before the change, 6 after it.
fn number(state: &LayoutState) -> i32 {
    let done = i32::from(state.current().version == 2) * 6;
    done + state.change().map_or(0, |change| i32::from(change.step.number()))
}

#[test]
fn a_state_comes_back_from_its_bytes_and_what_is_told_hides_what_is_the_nodes_own() {
    let (current, next) = layouts();
    let mut state = LayoutState::new(current.clone());
    let ballot = crate::layout::decide::Ballot { round: 4, node: NodeId(7) };
    state.accept(crate::layout::decide::Accept { ballot, next: next.clone() });
    assert_eq!(LayoutState::from_bytes(state.to_bytes()), Ok(state.clone()));
    assert!(state.decide(next) && state.acknowledge() && !state.acknowledge());
    assert_eq!(LayoutState::from_bytes(state.to_bytes()), Ok(state.clone()));
    assert_eq!(Standing::from_bytes(state.standing().to_bytes()), Ok(state.standing()));
    let told = state.told();
    assert!(!told.standing().acked && told.acceptor().accepted().is_none());
    let mut other = LayoutState::new(current);
    assert_eq!((other.adopt(&told), other.adopt(&told)), (Adopted::Moved, Adopted::Known));
    assert_eq!(other.position(), Position { version: 1, step: Some(Step::WriteBoth) });
    let stranger = LayoutState::new(Layout::born(4, hosts(4), Replication::Everywhere(3), 16).unwrap().0);
    assert_eq!(other.adopt(&stranger), Adopted::Stranger);
}

#[test]
fn a_dead_node_holds_the_change_up_and_is_named() {
    let (own, mut heard) = (members()[0], Heard::default());
    let mut state = at(Step::Pull);
    let acked = Standing { acked: true, ..state.standing() };
    members()[1..NODES - 1].iter().for_each(|node| heard.tell(*node, acked));
    assert!(state.acknowledge() && !state.advance(own, &heard));
    assert_eq!(state.waiting_for(own, &heard), [members()[NODES - 1]]);
    // A late word is no step back, and one from another cluster none forward.
    heard.tell(members()[1], Standing { acked: false, ..acked });
    let far = Position { version: 9, step: None };
    heard.tell(NodeId(1000), Standing { birth: 99, position: far, acked: false });
    assert!(!state.advance(own, &heard) && state.waiting_for(own, &heard).len() == 1);
    heard.tell(members()[NODES - 1], acked);
    assert!(state.advance(own, &heard) && !state.advance(own, &heard));
    assert_eq!(state.change().map(|change| (change.step, change.acked)), Some((Step::ReadNew, false)));
}

#[test]
fn sets_are_those_of_the_step() {
    let moving = (0..16).map(PartitionId).find(|id| at(Step::Pull).sets(*id).moves()).unwrap();
    let sets = |step| at(step).sets(moving);
    let (old, new) = (sets(Step::Pull).old().to_vec(), sets(Step::Pull).new_replicas().to_vec());
    let (only_old, only_new) = (
        *old.iter().find(|node| !new.contains(node)).unwrap(),
        *new.iter().find(|node| !old.contains(node)).unwrap(),
    );
    for (step, read, write, coordinators) in [
        (Step::WriteBoth, &old, vec![&old, &new], (true, false)),
        (Step::Pull, &old, vec![&old, &new], (true, false)),
        (Step::ReadNew, &new, vec![&old, &new], (true, true)),
        (Step::WriteNew, &new, vec![&new], (false, true)),
        (Step::Drop, &new, vec![&new], (false, true)),
    ] {
        let sets = sets(step);
        assert_eq!((sets.read(), sets.write().collect::<Vec<_>>().len()), (read.as_slice(), write.len()));
        assert!(sets.write().zip(write).all(|(set, expected)| set == expected.as_slice()));
        assert_eq!((sets.writes(only_old), sets.writes(only_new)), coordinators);
        assert_eq!(
            (sets.reads(only_old), sets.reads(only_new)),
            (step < Step::ReadNew, step >= Step::ReadNew)
        );
        assert_eq!((sets.drops(only_old), sets.drops(only_new)), (step == Step::Drop, false));
        assert!(
            sets.holds(only_old)
                && sets.holds(only_new)
                && sets.all().count() == old.len() + new.iter().filter(|node| !old.contains(node)).count()
        );
    }
    let still = (0..16).map(PartitionId).find(|id| !at(Step::Pull).sets(*id).moves());
    assert!(still.is_none_or(|id| at(Step::Pull).sets(id).write().count() == 1));
}

/// A write that is met as one node's step has it is met by a read as another's step has it, wherever both can be.
#[test]
fn reads_at_quorum_meet_writes_at_quorum() {
    let steps = Step::EVERY.map(at);
    let mut states = vec![LayoutState::new(layouts().0)];
    states.extend(steps);
    states.push(LayoutState::new(layouts().1));
    for (one, two) in states.iter().zip(&states).chain(states.iter().zip(&states[1..])) {
        for (writer, reader) in [(one, two), (two, one)] {
            for id in (0..16).map(PartitionId) {
                let (write, read) = (writer.sets(id), reader.sets(id));
                // After step 2 the new replicas hold what the old ones did.
                let needed = Level::Quorum.needed(read.read().len());
                let subsets = (0_u32..1 << NODES).map(|bits| {
                    let chosen = members().into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
                    chosen.map(|(_, node)| node).collect::<Vec<_>>()
                });
                for holders in
                    subsets.filter(|holders| write.is_met(Level::Quorum, |node| holders.contains(&node)))
                {
                    let missed = read.read().iter().filter(|node| !holders.contains(node)).count();
                    assert!(missed < needed, "{:?} and {:?}", writer.position(), reader.position());
                }
            }
        }
    }
}

/// What one node tells reaches another, or some node does what it can.
fn run(schedule: &[(Index, Index)]) -> Vec<LayoutState> {
    let (current, next) = layouts();
    let all = members();
    let mut states = vec![LayoutState::new(current); NODES];
    let mut heard = vec![Heard::default(); NODES];
    assert!(states[0].decide(next));
    for (node, other) in schedule {
        let (node, other) = (node.index(NODES), other.index(NODES));
        if node == other {
            states[node].acknowledge();
        } else {
            let told = states[other].standing();
            heard[node].tell(all[other], told);
            if told.position > states[node].position() && states[node].change().is_none() {
                let state = states[other].told();
                states[node].adopt(&state);
            }
        }
        let _ = states[node].advance(all[node], &heard[node]);
        let numbers = states.iter().map(number);
        let (low, high) = (numbers.clone().min().unwrap(), numbers.max().unwrap());
        assert!(high - low <= 1, "steps {low} and {high}");
    }
    states
}

proptest! {
    #[test]
    fn nobody_is_two_steps_from_another(schedule in prop::collection::vec((any::<Index>(), any::<Index>()), 1..600)) {
        run(&schedule);
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_another_state(spot in any::<Index>(), byte: u8) {
        let mut bytes = at(Step::Pull).to_bytes().to_vec();
        let spot = spot.index(bytes.len());
        bytes[spot] = byte;
        if let Ok(state) = LayoutState::from_bytes(bytes.into()) {
            prop_assert!(state.change().is_none_or(|change| change.next.follows(state.current())));
        }
    }
}

#[test]
fn everybody_arrives() {
    let rounds = (0..400_usize).map(|turn| (turn % NODES, turn / NODES % NODES));
    let (current, next) = layouts();
    let all = members();
    let mut states = vec![LayoutState::new(current); NODES];
    let mut heard = Heard::default();
    assert!(states[0].decide(next.clone()));
    for (node, other) in rounds {
        states[node].acknowledge();
        heard.tell(all[node], states[node].standing());
        let told = states[other].told();
        states[node].adopt(&told);
        let _ = states[node].advance(all[node], &heard);
    }
    assert!(states.iter().all(|state| *state == LayoutState::new(next.clone())));
}
