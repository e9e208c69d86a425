//! Frames come whole, however the stream is cut, and no announced length takes memory.

use settle_core::codec::Encode;
use tokio::io::{AsyncWriteExt, duplex};

use super::*;
use crate::message::Reply;
use crate::testing::frame;

fn acks(uptos: impl IntoIterator<Item = u64>) -> Vec<Reply> {
    uptos.into_iter().map(|upto| Reply::Ack { upto }).collect()
}

#[tokio::test]
async fn frames_come_whole_from_a_stream_in_pieces() {
    let (first, second) = (frame(&acks([1])), frame(&acks(1..9_000)));
    let (first_bytes, stream) = (first.len() as u64, [first, second].concat());
    for piece in [1, 3, 1_000, stream.len()] {
        let (mut writer, reader) = duplex(64);
        let mut reader = FrameReader::new(reader);
        let pieces = stream.clone();
        let writing = tokio::spawn(async move {
            for piece in pieces.chunks(piece) {
                writer.write_all(piece).await.unwrap();
            }
        });
        let one = reader.next(FRAME_BYTES_MAX).await.unwrap().unwrap();
        assert_eq!(one, Reply::Ack { upto: 1 }.to_bytes());
        assert_eq!(reader.offset(), first_bytes);
        let many = reader.next(FRAME_BYTES_MAX).await.unwrap().unwrap();
        let decoded: Vec<Reply> = Messages::new(many).take(8_192).collect::<Result<_, _>>().unwrap();
        assert_eq!(decoded, acks(1..8_193));
        assert!(reader.next(FRAME_BYTES_MAX).await.unwrap().is_none());
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_and_one_within_takes_no_memory() {
    let (mut writer, reader) = duplex(64);
    let mut reader = FrameReader::new(reader);
    writer.write_all(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes()).await.unwrap();
    let error = reader.next(FRAME_BYTES_MAX).await.unwrap_err();
    assert!(matches!(error, FrameError::TooLong { length, .. } if length == FRAME_BYTES_MAX + 1));

    let (mut writer, reader) = duplex(64);
    let mut reader = FrameReader::new(reader);
    writer.write_all(&(FRAME_BYTES_MAX as u32).to_le_bytes()).await.unwrap();
    writer.write_all(b"few").await.unwrap();
    drop(writer);
    assert!(matches!(reader.next(FRAME_BYTES_MAX).await, Err(FrameError::Cut)));
    assert!(reader.buffer.capacity() <= 2 * READ_BYTES);
}

#[tokio::test]
async fn empty_frames_are_refused() {
    let mut reader = FrameReader::new(&[0_u8; 4][..]);
    assert!(matches!(reader.next(FRAME_BYTES_MAX).await, Err(FrameError::Empty)));
}

#[test]
fn a_bad_message_is_named_by_its_place_and_ends_the_frame() {
    let mut bytes = frame(&acks([1, 2])).split_off(HEADER_BYTES);
    let good = bytes.len();
    bytes.extend_from_slice(&[77, 1]);
    let mut messages = Messages::<Reply>::new(Bytes::from(bytes));
    assert_eq!(messages.by_ref().take(2).map(Result::unwrap).collect::<Vec<_>>(), acks([1, 2]));
    let error = messages.next().unwrap().unwrap_err();
    assert_eq!((error.index, error.offset), (2, good));
    assert!(messages.next().is_none());
}

#[test]
fn a_frame_of_too_many_messages_is_refused() {
    let bytes = frame(&acks(vec![1; FRAME_MESSAGES_MAX + 1])).split_off(HEADER_BYTES);
    let error = Messages::<Reply>::new(Bytes::from(bytes)).collect::<Result<Vec<_>, _>>().unwrap_err();
    assert_eq!(error.index, FRAME_MESSAGES_MAX);
}
