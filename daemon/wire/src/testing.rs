//! What several tests of this crate need: arbitrary messages, greetings, and peers to talk to.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use settle_core::clock::Clock;
use settle_core::codec::{Encode, put_varint};
use settle_core::dot::{Dot, DotRange, Epoch, NodeId, Origin};
use settle_core::entry::{Entry, Version};
use settle_core::hlc::Hlc;
use settle_core::key::{Key, PartitionId};
use settle_core::layout::Layout;
use settle_core::layout::decide::{Accept, Ballot, Prepare, Vote};
use settle_core::layout::steps::{LayoutState, Position, Standing, Step};
use settle_core::merkle::walk::{self, Opened};
use settle_core::merkle::{DEPTH, FANOUT, Leaves};
use settle_core::partition::{
    Asked, Collected, Compared, Delta, FullPage, FullPart, FullRequest, FullStep, Have, Held, Incomparable,
    Listing, LogAnswer, LogPage, Repair, TreesCompared,
};
use settle_core::placement::{Host, Replication};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::hello::{Hello, VERSION_NEWEST, VERSION_OLDEST};
use crate::link::Acked;
use crate::message::{Answer, EchoReply, Question, Reply, Request};
use crate::serve::{Batch, Replies, Served, Service, serve};
use crate::{Ended, Limits};

/// Far beyond what any test takes: a test that reaches it fails, and a slow day does not.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn hello(name: &str) -> Hello {
    Hello {
        version_newest: VERSION_NEWEST,
        version_oldest: VERSION_OLDEST,
        cluster: "settle".into(),
        partitions: 128,
        origin: Origin { node: NodeId(7), epoch: Epoch(1 << 20) },
        name: name.into(),
        api: "127.0.0.1:7400".into(),
        admin: "127.0.0.1:7402".into(),
        peer: "127.0.0.1:7401".into(),
        fence: 0,
        datacenter: "default".to_owned(),
        zone: "default".to_owned(),
        buckets: Vec::new(),
    }
}

/// A delta of one version under the dot `counter`.
pub(crate) fn delta(counter: u64, payload: &[u8]) -> Delta {
    let dot = Dot { origin: hello("").origin, counter };
    let mut entry = Entry::default();
    entry.insert(dot, Version { stamp: Hlc(counter), payload: Bytes::copy_from_slice(payload) });
    Delta { key: Key::new("default", b"k"), entry, seen: DotRange::single(dot) }
}

/// A frame of messages, with its length.
pub(crate) fn frame<T: Encode>(messages: &[T]) -> Vec<u8> {
    let mut body = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut body));
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    frame
}

/// Two ends of a connection over loopback.
pub(crate) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (asking, answering) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (asking.unwrap(), answering.unwrap().0)
}

/// Sends the number of the delta that was acknowledged.
#[derive(Debug)]
pub(crate) struct Waiter(pub(crate) u64, pub(crate) mpsc::UnboundedSender<u64>);

impl Acked for Waiter {
    fn acked(self) {
        // A test that has ended does not care.
        let _ = self.1.send(self.0);
    }
}

/// A service that hands everything to the test.
#[derive(Debug)]
pub(crate) struct Recorder(mpsc::UnboundedSender<(Batch, Arc<Replies>)>);

impl Service for Recorder {
    fn frame(&self, _: &Hello, batch: Batch, replies: &Arc<Replies>) {
        let _ = self.0.send((batch, Arc::clone(replies)));
    }
}

/// A node that answers one connection.
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) frames: mpsc::UnboundedReceiver<(Batch, Arc<Replies>)>,
    pub(crate) served: tokio::task::JoinHandle<Served>,
}

impl Node {
    pub(crate) async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, frames) = mpsc::unbounded_channel();
        let served = tokio::spawn(async move {
            let (stream, remote) = listener.accept().await.unwrap();
            let service = Arc::new(Recorder(sender));
            serve(stream, remote, &hello("answering"), |_| Ok(()), &service, limits).await
        });
        Self { address, frames, served }
    }

    /// Why the connection ended.
    pub(crate) async fn ended(self) -> Ended {
        match tokio::time::timeout(LONG, self.served).await.unwrap().unwrap() {
            Served::Ended(reason) => reason,
            Served::NotGreeted(error) => panic!("not greeted: {error}"),
        }
    }
}

fn origins() -> impl Strategy<Value = Origin> {
    (0..3_u64, 0..2_u64).prop_map(|(node, epoch)| Origin { node: NodeId(node), epoch: Epoch(epoch) })
}

fn dots() -> impl Strategy<Value = Dot> {
    (origins(), 1..20_u64).prop_map(|(origin, counter)| Dot { origin, counter })
}

pub(crate) fn clocks() -> impl Strategy<Value = Clock> {
    vec(dots(), 0..12).prop_map(|dots| dots.into_iter().collect())
}

fn keys() -> impl Strategy<Value = Key> {
    vec(any::<u8>(), 0..12).prop_map(|key| Key::new("default", &key))
}

fn versions() -> impl Strategy<Value = Version> {
    (any::<u64>(), vec(any::<u8>(), 0..24))
        .prop_map(|(stamp, payload)| Version { stamp: Hlc(stamp), payload: Bytes::from(payload) })
}

fn entries() -> impl Strategy<Value = Entry> {
    (vec((dots(), versions()), 0..3), clocks()).prop_map(|(siblings, context)| {
        let mut entry = Entry { siblings: Vec::new(), context };
        siblings.into_iter().for_each(|(dot, version)| entry.insert(dot, version));
        entry
    })
}

fn pages() -> impl Strategy<Value = Vec<(Key, Entry)>> {
    vec((keys(), entries()), 0..4)
}

fn deltas() -> impl Strategy<Value = Delta> {
    (keys(), dots(), vec(versions(), 0..3), clocks()).prop_map(|(key, first, versions, context)| {
        let last = first.counter + (versions.len() as u64).max(1) - 1;
        let seen = DotRange { origin: first.origin, first: first.counter, last };
        let siblings = seen.dots().zip(versions).collect();
        Delta { key, entry: Entry { siblings, context }, seen }
    })
}

/// The entries in the order of their keys, no key twice.
fn each_key_once(entries: Vec<(Key, Entry)>) -> Vec<(Key, Entry)> {
    entries.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn log_pages() -> impl Strategy<Value = LogPage> {
    (clocks(), pages(), any::<bool>()).prop_map(|(mut clock, entries, more)| {
        let entries = each_key_once(entries);
        clock.extend(entries.iter().flat_map(|(_, entry)| entry.dots()));
        let mut records = Vec::new();
        if !entries.is_empty() {
            let dots = clock.ranges().flat_map(DotRange::dots).take(5);
            records.extend(dots.enumerate().map(|(index, dot)| (dot, index % entries.len())));
        }
        LogPage { clock, entries, records, more }
    })
}

fn partitions() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

fn asked() -> impl Strategy<Value = Asked> {
    (any::<u64>(), any::<u64>()).prop_map(|(epoch, number)| Asked { epoch: Epoch(epoch), number })
}

fn leaves() -> impl Strategy<Value = Leaves> {
    vec(0..1_024_u32, 0..4).prop_map(|leaves| {
        let mut set = Leaves::none(DEPTH);
        leaves.into_iter().for_each(|leaf| set.insert(leaf));
        set
    })
}

fn full_steps() -> impl Strategy<Value = FullStep> {
    let nodes = btree_map(0..32_u32, any::<u128>(), 0..4);
    let question =
        nodes.prop_map(|nodes| walk::Question { depth: 2, level: 1, nodes: nodes.into_iter().collect() });
    let held = btree_map(keys(), any::<u128>(), 0..4);
    let listing = (leaves(), option::of(keys()), option::of(keys()), held);
    prop_oneof![
        (any::<u64>(), question).prop_map(|(mark, question)| FullStep::Compare { mark, question }),
        listing.prop_map(|(leaves, after, until, held)| {
            FullStep::List(Listing { leaves, after, until, held })
        }),
        btree_set(keys(), 0..4).prop_map(|keys| FullStep::Keys(keys.into_iter().collect())),
        clocks().prop_map(FullStep::Rest),
    ]
}

fn walk_answers() -> impl Strategy<Value = walk::Answer> {
    let opened = btree_map(0..32_u32, any::<u128>(), 0..3).prop_map(|nodes| {
        let opened = nodes.into_iter().map(|(index, sum)| Opened { index, children: [sum; FANOUT] });
        walk::Answer::Opened(opened.collect())
    });
    let leaves = btree_set(0..1_024_u32, 0..4).prop_map(|leaves| leaves.into_iter().collect());
    prop_oneof![opened, leaves.prop_map(walk::Answer::Leaves)]
}

/// Answers of full exchanges, whose clocks cover what they show.
fn full_pages() -> impl Strategy<Value = FullPage> {
    let compared = (walk_answers(), option::of(btree_set(keys(), 0..4)))
        .prop_map(|(answer, explicit)| TreesCompared { answer, explicit });
    let parts = prop_oneof![
        compared.prop_map(|compared| FullPart::Compared(Ok(compared))),
        Just(FullPart::Compared(Err(Incomparable::Secret))),
        (option::of(keys()), pages())
            .prop_map(|(until, entries)| FullPart::Listed { until, entries: each_key_once(entries) }),
        pages().prop_map(|entries| FullPart::Keys(each_key_once(entries))),
        log_pages().prop_map(|page| FullPart::Rest(LogAnswer::Page(page))),
        Just(FullPart::Rest(LogAnswer::Full)),
    ];
    (asked(), origins(), clocks(), parts).prop_map(|(asked, source, mut clock, part)| {
        if let FullPart::Listed { entries, .. } | FullPart::Keys(entries) = &part {
            clock.extend(entries.iter().flat_map(|(_, entry)| entry.dots()));
        }
        FullPage { asked, source, clock, part }
    })
}

fn questions() -> impl Strategy<Value = Question> {
    prop_oneof![
        (partitions(), keys(), clocks()).prop_map(|(partition, key, known)| Question::Collect {
            partition,
            key,
            known
        }),
        (partitions(), keys(), any::<u128>(), clocks()).prop_map(|(partition, key, siblings, known)| {
            Question::Compare { partition, key, have: Have { siblings, known } }
        }),
        (partitions(), keys(), entries()).prop_map(|(partition, key, mut entry)| {
            entry.context.extend(entry.siblings.iter().map(|(dot, _)| *dot));
            Question::Repair { partition, repair: Repair { key, entry } }
        }),
        Just(Question::Layout),
        (any::<[u64; 2]>(), ballots()).prop_map(|([birth, version], ballot)| Question::Prepare(Prepare {
            birth,
            version,
            ballot
        })),
        (ballots(), layouts()).prop_map(|(ballot, next)| Question::Accept(Box::new(Accept { ballot, next }))),
        any::<u64>().prop_map(|since| Question::Echo { since }),
        (partitions(), clocks()).prop_map(|(partition, clock)| Question::PullLog { partition, clock }),
        (partitions(), asked(), full_steps()).prop_map(|(partition, asked, step)| {
            Question::PullFull { partition, request: FullRequest { asked, step } }
        }),
    ]
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    prop_oneof![
        (partitions(), deltas()).prop_map(|(partition, delta)| Request::Delta { partition, delta }),
        (any::<u64>(), questions()).prop_map(|(id, question)| Request::Ask { id, question }),
    ]
}

fn ballots() -> impl Strategy<Value = Ballot> {
    any::<[u64; 2]>().prop_map(|[round, node]| Ballot { round, node: NodeId(node) })
}

fn positions() -> impl Strategy<Value = Position> {
    (any::<u64>(), 0..=Step::EVERY.len())
        .prop_map(|(version, step)| Position { version, step: Step::EVERY.get(step).copied() })
}

/// In one of the first two steps of a change, or in none.
fn states() -> impl Strategy<Value = LayoutState> {
    (layouts(), any::<[bool; 2]>()).prop_map(|(layout, [changes, acked])| {
        let next = layout.next(layout.hosts().to_vec(), Replication::Everywhere(1)).unwrap().0;
        let mut state = LayoutState::new(layout);
        if changes {
            state.decide(next);
        }
        if acked {
            state.acknowledge();
        }
        state
    })
}

fn votes() -> impl Strategy<Value = Vote> {
    prop_oneof![
        option::of((ballots(), layouts())).prop_map(Vote::Promised),
        Just(Vote::Accepted),
        ballots().prop_map(Vote::Refused),
        positions().prop_map(Vote::Elsewhere),
    ]
}

fn layouts() -> impl Strategy<Value = Layout> {
    (any::<u64>(), 1..6_u64, 1..4_usize).prop_map(|(birth, nodes, replicas)| {
        let host = |node| Host {
            node: NodeId(node),
            name: format!("n{node}"),
            datacenter: "d".to_owned(),
            zone: "z".to_owned(),
            weight: NonZeroU32::MIN,
            holds_data: true,
        };
        let hosts = (0..nodes).map(host).collect();
        Layout::born(birth, hosts, Replication::Everywhere(replicas), 4).unwrap().0
    })
}

fn answers() -> impl Strategy<Value = Answer> {
    let standings = (any::<u64>(), positions(), any::<bool>());
    let standings = standings.prop_map(|(birth, position, acked)| Standing { birth, position, acked });
    let changed = vec((partitions(), clocks()), 0..4);
    let echoes = (origins(), any::<u64>(), option::of(standings), any::<u64>(), changed);
    prop_oneof![
        (clocks(), any::<u64>())
            .prop_map(|(dots, stamp)| Answer::Collected(Collected { dots, stamp: Hlc(stamp) })),
        clocks().prop_map(|known| Answer::Compared(Compared::Same { known })),
        (entries(), clocks(), any::<bool>()).prop_map(|(entry, clock, news)| {
            Answer::Compared(Compared::Differs { held: Held { entry, clock }, news })
        }),
        any::<bool>().prop_map(|changed| Answer::Repaired { changed }),
        echoes.prop_map(|(origin, tick, standing, wall_ms, changed)| {
            Answer::Echo(EchoReply { origin, tick, standing, wall_ms, changed })
        }),
        log_pages().prop_map(|page| Answer::Log(LogAnswer::Page(page))),
        Just(Answer::Log(LogAnswer::Full)),
        option::of(states().prop_map(Box::new)).prop_map(Answer::Layout),
        votes().prop_map(|vote| Answer::Vote(Box::new(vote))),
        full_pages().prop_map(Answer::Full),
        "\\PC{0,20}".prop_map(Answer::Failed),
    ]
}

pub(crate) fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        any::<u64>().prop_map(|upto| Reply::Ack { upto }),
        (any::<u64>(), answers()).prop_map(|(id, answer)| Reply::Answer { id, answer }),
    ]
}

/// Bytes close to `valid` ones: some changed, some replaced by huge numbers, cut short, or repeated.
pub(crate) fn mutated(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let spots = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let number = option::of((any::<prop::sample::Index>(), any::<u64>(), 0..64_u32));
    (Just(valid), spots, number, any::<prop::sample::Index>(), 1..4_usize).prop_map(
        |(mut bytes, spots, number, end, times)| {
            for (spot, byte) in spots {
                let spot = spot.index(bytes.len());
                bytes[spot] = byte;
            }
            if let Some((spot, value, shift)) = number {
                let mut varint = Vec::new();
                put_varint(&mut varint, value >> shift);
                let spot = spot.index(bytes.len());
                bytes.splice(spot..=spot, varint);
            }
            if times == 1 {
                bytes.truncate(end.index(bytes.len()) + 1);
            }
            bytes.repeat(times)
        },
    )
}
