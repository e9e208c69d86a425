//! The answering side against peers that behave badly.

use std::time::Duration;

use settle_core::codec::Encode;
use settle_core::key::PartitionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::hello::Greeting;
use crate::message::{Question, Reply};
use crate::testing::{LONG, Node, delta, frame, hello};

/// A raw connection to `node`, after the handshake.
async fn connect(node: &Node) -> FrameReader<TcpStream> {
    let mut stream = FrameReader::new(TcpStream::connect(&node.address).await.unwrap());
    hello::offer(&mut stream, &hello("raw")).await.unwrap();
    stream
}

fn deltas(count: usize) -> Vec<Request> {
    vec![Request::Delta { partition: PartitionId(1), delta: delta(1, &[7; 100]) }; count]
}

fn echo(id: u64) -> Request {
    Request::Ask { id, question: Question::Echo { since: 0 } }
}

#[tokio::test]
async fn a_frame_reaches_the_service_whole_with_its_sequences() {
    let mut node = Node::start(Limits::default()).await;
    let mut peer = connect(&node).await;
    let mut first = deltas(3);
    first.insert(1, echo(4));
    for messages in [&first, &deltas(2)] {
        peer.stream_mut().write_all(&frame(messages)).await.unwrap();
    }
    let (batch, _) = node.frames.recv().await.unwrap();
    assert_eq!((batch.deltas_before, batch.deltas), (0, 3));
    assert_eq!(batch.messages, first);
    let (batch, replies) = node.frames.recv().await.unwrap();
    assert_eq!((batch.deltas_before, batch.deltas), (3, 2));

    // From any thread, later.
    std::thread::spawn(move || {
        replies.ack(3);
        replies.answer(4, &Answer::Failed("no".into()));
    })
    .join()
    .unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let frame = peer.next(FRAME_BYTES_MAX).await.unwrap().unwrap();
        heard.extend(Messages::<Reply>::new(frame).map(Result::unwrap));
    }
    let answer = Reply::Answer { id: 4, answer: Answer::Failed("no".into()) };
    assert!(heard.contains(&Reply::Ack { upto: 3 }) && heard.contains(&answer), "{heard:?}");
}

#[tokio::test]
async fn frames_that_do_not_decode_close_the_connection_and_nothing_of_them_is_taken() {
    let mut half_bad = frame(&[echo(1)]);
    half_bad.push(99);
    half_bad[0] += 1;
    let good = frame(&[echo(9)]);
    let oversized = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    for (bytes, reason) in [
        (half_bad, "message 1 at byte 3 of the frame"),
        (vec![3, 0, 0, 0, 1, 2, 3], "message 0 at byte 0"),
        (oversized, "16777217 bytes is announced"),
        (vec![0; 4], "an empty frame"),
    ] {
        let mut node = Node::start(Limits::default()).await;
        let mut peer = connect(&node).await;
        peer.stream_mut().write_all(&[good.clone(), bytes].concat()).await.unwrap();
        let (batch, _) = node.frames.recv().await.unwrap();
        assert_eq!(batch.messages, [echo(9)]);
        assert!(node.frames.recv().await.is_none());
        let ended = node.ended().await.to_string();
        assert!(ended.contains(reason) && ended.contains(&format!("byte {} of", good.len())), "{ended}");
        // The peer notices.
        let mut rest = Vec::new();
        let _ = peer.stream_mut().read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_cut_off_at_the_bound() {
    let mut node = Node::start(Limits { queued_bytes: 256 << 10, ..Limits::default() }).await;
    let mut peer = connect(&node).await;
    peer.stream_mut().write_all(&frame(&[echo(1)])).await.unwrap();
    let (_, replies) = node.frames.recv().await.unwrap();
    let answer = Answer::Failed("x".repeat(64 << 10));
    // Far more than socket buffers hold.
    for _ in 0..10_000 {
        if replies.is_closed() {
            break;
        }
        replies.answer(1, &answer);
        tokio::task::yield_now().await;
    }
    assert!(matches!(node.ended().await, Ended::Slow(bound) if bound == 256 << 10));
}

#[tokio::test]
async fn an_answer_that_no_frame_holds_becomes_a_failure() {
    let mut node = Node::start(Limits::default()).await;
    let mut peer = connect(&node).await;
    peer.stream_mut().write_all(&frame(&[echo(8)])).await.unwrap();
    let (_, replies) = node.frames.recv().await.unwrap();
    replies.answer(8, &Answer::Failed("x".repeat(FRAME_BYTES_MAX)));
    let heard = peer.next(FRAME_BYTES_MAX).await.unwrap().unwrap();
    let heard: Vec<Reply> = Messages::new(heard).map(Result::unwrap).collect();
    let [Reply::Answer { id: 8, answer: Answer::Failed(text) }] = &heard[..] else { panic!("{heard:?}") };
    assert!(text.contains("too long"), "{text}");
}

#[tokio::test]
async fn reading_pauses_while_too_much_is_not_durable() {
    let one = frame(&deltas(1));
    let limits = Limits { unacked_bytes: 3 * one.len(), ..Limits::default() };
    let mut node = Node::start(limits).await;
    let mut peer = connect(&node).await;
    for _ in 0..20 {
        peer.stream_mut().write_all(&one).await.unwrap();
    }
    let mut replies = None;
    for _ in 0..4 {
        replies = Some(node.frames.recv().await.unwrap().1);
    }
    let more = tokio::time::timeout(Duration::from_millis(50), node.frames.recv()).await;
    assert!(more.is_err(), "a fifth frame was taken");
    replies.unwrap().ack(2);
    for _ in 0..2 {
        node.frames.recv().await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_millis(50), node.frames.recv()).await;
    assert!(more.is_err(), "a seventh frame was taken");
}

#[tokio::test]
async fn a_silent_peer_is_given_up_and_half_a_frame_is_silence() {
    let node = Node::start(Limits { idle: Duration::from_millis(200), ..Limits::default() }).await;
    let mut peer = connect(&node).await;
    let one = frame(&deltas(1));
    // On a slow day the node gives up before it hears anything.
    let _ = peer.stream_mut().write_all(&[&one[..], &one[..20]].concat()).await;
    assert!(matches!(node.ended().await, Ended::Idle(_)));
}

#[tokio::test]
async fn a_half_sent_greeting_costs_the_deadline() {
    let handshake = Duration::from_millis(50);
    let node = Node::start(Limits { handshake, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(&node.address).await.unwrap();
    let greeting = frame(&[Greeting::Hello(hello("slow"))]);
    // On a slow day the node gives up before it hears anything.
    let _ = stream.write_all(&greeting[..greeting.len() / 2]).await;
    let served = tokio::time::timeout(LONG, node.served).await.unwrap().unwrap();
    assert!(matches!(served, Served::NotGreeted(HelloError::Timeout(_))), "{served}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn messages_behind_the_greeting_in_one_packet_are_not_lost() {
    let mut node = Node::start(Limits::default()).await;
    let mut stream = TcpStream::connect(&node.address).await.unwrap();
    let bytes = [frame(&[Greeting::Hello(hello("eager"))]), frame(&[echo(1)])].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(node.frames.recv().await.unwrap().0.messages, [echo(1)]);
}

#[test]
fn a_frame_is_taken_whole_or_not_at_all() {
    let mut bytes = Vec::new();
    echo(1).encode(&mut bytes);
    assert_eq!(batch(Messages::new(bytes.clone().into()), 5).unwrap().deltas_before, 5);
    bytes.push(0);
    assert!(batch(Messages::new(bytes.into()), 5).is_err());
}
