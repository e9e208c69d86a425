//! The asking side against a peer that the test plays, and against the answering side.

use std::future::Future;

use settle_core::codec::Encode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::message::Request;
use crate::testing::{LONG, Node, Waiter, delta, frame, hello, sockets};

type TestLink = Arc<Link<Waiter>>;

/// A link, and its peer's socket after the handshake.
async fn played(limits: Limits) -> (TestLink, FrameReader<TcpStream>) {
    let (asking, answering) = sockets().await;
    let remote = asking.peer_addr().unwrap();
    (Link::start(FrameReader::new(asking), remote, limits), FrameReader::new(answering))
}

async fn say(peer: &mut FrameReader<TcpStream>, replies: &[Reply]) {
    peer.stream_mut().write_all(&frame(replies)).await.unwrap();
}

/// The next requests that the link sent, at least `count`.
async fn hear(peer: &mut FrameReader<TcpStream>, count: usize) -> Vec<Request> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let frame = peer.next(FRAME_BYTES_MAX).await.unwrap().unwrap();
        heard.extend(Messages::<Request>::new(frame).map(Result::unwrap));
    }
    heard
}

fn send(link: &TestLink, count: u64) -> mpsc::UnboundedReceiver<u64> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let encoded = delta(1, b"v").to_bytes();
    for number in 1..=count {
        link.send_delta(PartitionId(1), &encoded, Some(Waiter(number, sender.clone()))).unwrap();
    }
    receiver
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap()
}

#[tokio::test]
async fn acknowledgements_resolve_waiters_in_order_and_the_rest_is_dropped_at_the_end() {
    let (link, mut peer) = played(Limits::default()).await;
    let mut acked = send(&link, 10);
    assert_eq!(hear(&mut peer, 10).await.len(), 10);
    say(&mut peer, &[Reply::Ack { upto: 3 }, Reply::Ack { upto: 2 }]).await;
    say(&mut peer, &[Reply::Ack { upto: 7 }]).await;
    for number in 1..=7 {
        assert_eq!(within(acked.recv()).await, Some(number));
    }
    assert_eq!(link.unacked(), 3);
    drop(peer);
    assert_eq!(within(acked.recv()).await, None);
    within(link.closed()).await;
    assert_eq!(link.send_delta(PartitionId(1), b"", None), Err(PushError::Closed));
    assert!(link.is_closed());
}

#[tokio::test]
async fn answers_in_any_order_find_their_questions() {
    let (link, mut peer) = played(Limits::default()).await;
    let ask = |since| {
        let link = Arc::clone(&link);
        tokio::spawn(async move { link.echo(since, LONG).await })
    };
    let asking: Vec<_> = (0..5).map(ask).collect();
    let mut heard = hear(&mut peer, 5).await;
    heard.reverse();
    for request in heard {
        let Request::Ask { id, question: Question::Echo { since } } = request else { panic!() };
        let (origin, changed) = (hello("").origin, Vec::new());
        let answer = Answer::Echo(EchoReply { origin, tick: since, standing: None, wall_ms: 0, changed });
        say(&mut peer, &[Reply::Answer { id, answer }]).await;
    }
    for (since, asked) in asking.into_iter().enumerate() {
        assert_eq!(within(asked).await.unwrap().unwrap().tick, since as u64);
    }
}

#[tokio::test]
async fn a_question_fails_by_deadline_by_bound_by_the_peers_word_and_by_the_end() {
    let (link, mut peer) = played(Limits { questions: 1, ..Limits::default() }).await;
    let short = Duration::from_millis(20);
    assert!(matches!(link.echo(0, short).await, Err(RequestError::Timeout(after)) if after == short));
    let late = hear(&mut peer, 1).await;
    let [Request::Ask { id: late, .. }] = late[..] else { panic!() };

    let (first, second, ()) = tokio::join!(link.echo(1, LONG), link.echo(2, LONG), async {
        let heard = hear(&mut peer, 1).await;
        let [Request::Ask { id, .. }] = heard[..] else { panic!() };
        assert_ne!(id, late);
        let failed = |id| Reply::Answer { id, answer: Answer::Failed("disk full".into()) };
        // An answer after its deadline concerns nobody.
        say(&mut peer, &[failed(late), failed(id)]).await;
    });
    assert!(matches!(first, Err(RequestError::Failed(text)) if text == "disk full"));
    assert!(matches!(second, Err(RequestError::Busy)));

    let (answered, ()) = tokio::join!(link.echo(3, LONG), async {
        let heard = hear(&mut peer, 1).await;
        let [Request::Ask { id, .. }] = heard[..] else { panic!() };
        say(&mut peer, &[Reply::Answer { id, answer: Answer::Log(LogAnswer::Full) }]).await;
    });
    assert!(matches!(answered, Err(RequestError::Mismatch)));

    let (answered, ()) = tokio::join!(link.echo(4, LONG), async {
        hear(&mut peer, 1).await;
        drop(peer);
    });
    assert!(matches!(answered, Err(RequestError::Closed(_))), "{answered:?}");
    assert!(matches!(link.echo(5, LONG).await, Err(RequestError::Closed(_))));
}

#[tokio::test]
async fn deltas_beyond_the_bound_are_refused_until_some_are_acknowledged() {
    let (link, mut peer) = played(Limits { unacked_deltas: 3, ..Limits::default() }).await;
    let mut acked = send(&link, 3);
    assert_eq!(link.send_delta(PartitionId(1), b"", None), Err(PushError::Full));
    hear(&mut peer, 3).await;
    say(&mut peer, &[Reply::Ack { upto: 1 }]).await;
    assert_eq!(within(acked.recv()).await, Some(1));
    send(&link, 1);
    assert_eq!(link.send_delta(PartitionId(1), b"", None), Err(PushError::Full));
}

#[tokio::test]
async fn a_peer_that_stops_reading_fills_the_queue_and_is_cut_off() {
    // Longer than filling the queue can take, once the socket is full.
    let stall = Duration::from_secs(1);
    let (link, _peer) = played(Limits { queued_bytes: 1 << 20, stall, ..Limits::default() }).await;
    let encoded = delta(1, &[0; 64 << 10]).to_bytes();
    let refused = loop {
        if let Err(refused) = link.send_delta(PartitionId(1), &encoded, None) {
            break refused;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused, PushError::Full);
    assert!(matches!(within(link.closed()).await, Ended::Stalled(_)));
}

#[tokio::test]
async fn what_the_peer_may_not_say_ends_the_connection() {
    let nonsense = [
        frame(&[Reply::Ack { upto: 1 }]),
        frame(&[Reply::Answer { id: 1, answer: Answer::Failed(String::new()) }]),
        vec![1, 0, 0, 0, 0xff],
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 0],
    ];
    for bytes in nonsense {
        let (link, mut peer) = played(Limits::default()).await;
        peer.stream_mut().write_all(&bytes).await.unwrap();
        let reason = within(link.closed()).await;
        let expected = matches!(
            reason,
            Ended::Violation(_) | Ended::BadMessage { offset: 0, .. } | Ended::BadFrame { offset: 0, .. }
        );
        assert!(expected, "{reason}");
    }
}

#[tokio::test]
async fn a_dropped_link_closes_its_connection() {
    let (link, mut peer) = played(Limits::default()).await;
    drop(link);
    assert!(within(peer.next(FRAME_BYTES_MAX)).await.unwrap().is_none());
}

#[tokio::test]
async fn connecting_fails_with_the_reason() {
    let connect = |address: String, handshake| async move {
        let limits = Limits { handshake, ..Limits::default() };
        Link::<Waiter>::connect(&address, &hello("asking"), limits).await.unwrap_err()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The kernel accepts the connection, nobody greets.
    let error = connect(address.clone(), Duration::from_millis(50)).await;
    assert!(matches!(error, LinkError::Hello { error: HelloError::Timeout(_), .. }), "{error}");
    drop(listener);
    let error = connect(address.clone(), LONG).await;
    assert!(matches!(error, LinkError::Connect { .. }) && error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_link_and_a_serving_node_understand_each_other() {
    let mut node = Node::start(Limits::default()).await;
    let (link, peer) =
        Link::<Waiter>::connect(&node.address, &hello("asking"), Limits::default()).await.unwrap();
    assert_eq!(peer, hello("answering"));
    let mut acked = send(&link, 5);
    let question = Question::PullLog { partition: PartitionId(1), clock: Clock::new() };
    let (answered, ()) = tokio::join!(link.request(&question, LONG), async {
        let (mut deltas, mut asked) = (0, None);
        while deltas < 5 || asked.is_none() {
            let (batch, replies) = node.frames.recv().await.unwrap();
            assert_eq!(batch.deltas_before, deltas);
            deltas += batch.deltas;
            for message in batch.messages {
                if let Request::Ask { id, .. } = message {
                    asked = Some(id);
                }
            }
            if let Some(id) = asked {
                replies.answer(id, &Answer::Repaired { changed: true });
            }
            replies.ack(deltas);
        }
    });
    assert_eq!(answered.unwrap(), Answer::Repaired { changed: true });
    for number in 1..=5 {
        assert_eq!(within(acked.recv()).await, Some(number));
    }
    link.close();
    assert!(matches!(within(link.closed()).await, Ended::ByThisSide));
    assert!(matches!(node.ended().await, Ended::ByPeer));
}
