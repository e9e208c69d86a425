//! Segments come back from their rows; damaged ones are errors.

use super::*;
use crate::dot::{Epoch, NodeId, Origin};

struct OneRow(Bytes, Bytes);

impl Rows for OneRow {
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok((row == self.0).then(|| self.1.clone()))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if (from..to).contains(&self.0.as_ref()) {
            let _ = visit(&self.0, self.1.clone());
        }
        Ok(())
    }
}

fn dot(counter: u64) -> Dot {
    Dot { origin: Origin { node: NodeId(7), epoch: Epoch(1 << 60) }, counter }
}

fn logged(partition: u16, counter: u64, key: &Key) -> Batch {
    let mut batch = Batch::default();
    put_record(&mut batch.log, PartitionId(partition), dot(counter), key);
    batch
}

#[test]
fn a_group_becomes_one_row_and_comes_back() {
    let (a, b) = (Key::new("default", b"a"), Key::new("default", b""));
    let mut segments = Segments { kept: Kept { newest: 4, ..Kept::default() } };
    let mut batches = vec![logged(3, 1, &a), Batch::default(), logged(9, 2, &b), logged(3, 2, &b)];
    segments.seal(&mut batches, 70);
    assert_eq!(segments.newest(), 5);
    assert!(batches.iter().all(|batch| batch.log.is_empty()));
    let sealed: Vec<_> = batches.into_iter().flat_map(|batch| batch.rows).collect();
    let [(name, Some(value))] = &sealed[..] else { panic!("one row: {sealed:?}") };
    let (recovered, records) = Segments::recover(&OneRow(name.clone(), value.clone())).unwrap();
    assert_eq!(recovered.newest(), 5);
    let logged = |counter, key: &Key| Logged { dot: dot(counter), key: key.clone(), at: 70 };
    let expected =
        [(PartitionId(3), vec![logged(1, &a), logged(2, &b)]), (PartitionId(9), vec![logged(2, &b)])];
    assert_eq!(records, expected.into_iter().collect());
    let mut kept = recovered.kept();
    // Recovered records are durable, and the partitions do not know that before the first round.
    for rows in [vec![], vec![(name.clone(), None)], vec![]] {
        let round = kept.round();
        assert_eq!(kept.finish(round).rows, rows);
    }
}

#[test]
fn a_group_without_records_needs_no_segment() {
    let mut segments = Segments { kept: Kept { newest: 4, ..Kept::default() } };
    let mut batches = vec![Batch::default()];
    segments.seal(&mut batches, 70);
    assert_eq!((segments.newest(), batches.len()), (4, 1));
}

#[test]
fn a_damaged_segment_is_an_error_and_never_fewer_records() {
    let mut batches = vec![logged(3, 1, &Key::new("default", b"a"))];
    Segments { kept: Kept::default() }.seal(&mut batches, 70);
    let value = batches.pop().and_then(|mut batch| batch.rows.pop()).and_then(|(_, value)| value).unwrap();
    for end in 0..value.len() {
        // Nothing but version and time is a segment without records, which is never written, and loses nothing.
        let cut = Segments::recover(&OneRow(row(1), value.slice(..end)));
        assert_eq!(cut.is_ok(), end == 2, "{end}");
    }
    assert!(Segments::recover(&OneRow(Bytes::from_static(b"s12"), value)).is_err());
}

#[test]
fn a_segment_goes_a_whole_round_after_it_was_reported() {
    let mut kept = Kept::default();
    let removed = |kept: &mut Kept, round| kept.finish(round).rows.len();
    kept.reported(2);
    let round = kept.round();
    kept.reported(3);
    assert_eq!(removed(&mut kept, round), 0);
    // A round that fails counts for nothing.
    let _ = kept.round();
    let round = kept.round();
    assert_eq!(removed(&mut kept, round), 2);
    let round = kept.round();
    assert_eq!(removed(&mut kept, round), 1);
}
