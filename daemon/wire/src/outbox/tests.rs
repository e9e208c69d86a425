//! What is queued arrives in order, in few frames, within bounds.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, duplex};

use super::*;
use crate::frame::{FrameReader, Messages};
use crate::testing::LONG;

fn ack(upto: u64) -> impl FnOnce(&mut Vec<u8>) {
    move |out| Reply::Ack { upto }.encode(out)
}

fn raw(bytes: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |out| out.resize(out.len() + bytes, 0)
}

/// The frames in `bytes`, by their lengths.
async fn frames(bytes: &[u8]) -> Vec<Bytes> {
    let mut reader = FrameReader::new(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next(FRAME_BYTES_MAX).await.unwrap() {
        frames.push(frame);
    }
    frames
}

async fn taken(outbox: &Outbox) -> Vec<u8> {
    let mut buffer = Vec::new();
    outbox.take(&mut buffer).await.unwrap();
    buffer
}

#[tokio::test]
async fn what_gathers_leaves_in_one_frame_in_order() {
    let outbox = Outbox::new(1 << 20);
    (1..=1_000).for_each(|upto| outbox.push(ack(upto)).unwrap());
    let frames = frames(&taken(&outbox).await).await;
    assert_eq!(frames.len(), 1);
    let messages = Messages::<Reply>::new(frames[0].clone()).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(messages, (1..=1_000).map(|upto| Reply::Ack { upto }).collect::<Vec<_>>());
}

#[tokio::test]
async fn long_batches_are_cut_into_frames_that_a_receiver_accepts() {
    let outbox = Outbox::new(usize::MAX);
    let count = 2 * FRAME_MESSAGES_MAX + 1;
    (0..count).for_each(|_| outbox.push(ack(1)).unwrap());
    let lengths: Vec<usize> = frames(&taken(&outbox).await)
        .await
        .into_iter()
        .map(|frame| Messages::<Reply>::new(frame).map(Result::unwrap).count())
        .collect();
    assert_eq!(lengths, [FRAME_MESSAGES_MAX, FRAME_MESSAGES_MAX, 1]);

    // A long message ends its frame; the longest behind others moves into a frame of its own.
    outbox.push(raw(10)).unwrap();
    outbox.push(raw(BATCH_BYTES)).unwrap();
    outbox.push(raw(20)).unwrap();
    outbox.push(raw(FRAME_BYTES_MAX)).unwrap();
    let lengths: Vec<usize> = frames(&taken(&outbox).await).await.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [10 + BATCH_BYTES, 20, FRAME_BYTES_MAX]);
}

#[tokio::test]
async fn a_message_that_no_frame_holds_leaves_no_trace() {
    let outbox = Outbox::new(usize::MAX);
    let too_long = FRAME_BYTES_MAX + 1;
    assert_eq!(outbox.push(raw(too_long)), Err(PushError::TooLong(too_long)));
    outbox.push(raw(3)).unwrap();
    assert_eq!(outbox.push(raw(too_long)), Err(PushError::TooLong(too_long)));
    outbox.push(raw(4)).unwrap();
    let lengths: Vec<usize> = frames(&taken(&outbox).await).await.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [7]);
}

#[tokio::test]
async fn the_bound_counts_what_waits_and_what_is_being_written() {
    let outbox = Outbox::new(100);
    outbox.push(raw(60)).unwrap();
    let mut buffer = taken(&outbox).await;
    outbox.push(raw(60)).unwrap();
    assert_eq!(outbox.push(raw(1)), Err(PushError::Full));
    buffer.clear();
    outbox.take(&mut buffer).await.unwrap();
    outbox.push(raw(1)).unwrap();
}

#[tokio::test]
async fn acknowledgements_become_one_and_never_go_back() {
    let outbox = Outbox::new(0);
    [3, 9, 5].into_iter().for_each(|upto| outbox.ack(upto));
    assert_eq!(outbox.acked(), 9);
    let frames = frames(&taken(&outbox).await).await;
    assert_eq!(frames, [Reply::Ack { upto: 9 }.to_bytes()]);
    outbox.ack(7);
    let nothing = tokio::time::timeout(Duration::from_millis(20), taken(&outbox));
    nothing.await.unwrap_err();
}

#[tokio::test]
async fn a_push_wakes_the_writing_task_and_closing_ends_it() {
    let outbox = std::sync::Arc::new(Outbox::new(1 << 20));
    let (mut near, mut far) = duplex(1_024);
    let writer = std::sync::Arc::clone(&outbox);
    let writing = tokio::spawn(async move { writer.write(&mut near, LONG).await });
    for upto in 1..100 {
        outbox.push(ack(upto)).unwrap();
        let mut frame = [0; 6];
        far.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, [2, 0, 0, 0, 128, upto as u8]);
    }
    outbox.close(Ended::ByThisSide);
    assert!(matches!(writing.await.unwrap(), Ended::ByThisSide));
    assert_eq!(outbox.push(ack(1)), Err(PushError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_waited_for() {
    let outbox = Outbox::new(1 << 20);
    let (mut near, mut far) = duplex(16);
    outbox.push(raw(100)).unwrap();
    let reading = async {
        for _ in 0..13 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            far.read_exact(&mut [0; 8]).await.unwrap();
        }
        outbox.close(Ended::ByThisSide);
    };
    let (reason, ()) = tokio::join!(outbox.write(&mut near, Duration::from_secs(10)), reading);
    assert!(matches!(reason, Ended::ByThisSide), "{reason}");
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_given_up() {
    let outbox = Outbox::new(1 << 20);
    let (mut near, _far) = duplex(16);
    outbox.push(raw(100)).unwrap();
    let stall = Duration::from_millis(20);
    assert!(matches!(outbox.write(&mut near, stall).await, Ended::Stalled(after) if after == stall));
}
