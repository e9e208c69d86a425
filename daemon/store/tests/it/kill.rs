//! kill -9 in a loop: nothing that was acknowledged is lost, and no batch is there in part.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, thread, time::Duration};

use bytes::Bytes;
use settle_core::storage::{Batch, Rows};
use settle_store::{Disk, Engine};
use tempfile::TempDir;

use crate::support::{self, Random, rows};

const DIRECTORY: &str = "SETTLE_TEST_KILL_DIRECTORY";
const ROUNDS: u64 = 24;

/// Batch `number`: its own rows, as many as their values say, and one row that every batch overwrites. Every few are
/// large, so that memtables fill and tables are written and merged while the process is killed.
fn numbered(number: u64) -> Batch {
    let mut random = Random(number);
    let count = 1 + random.below(5);
    let length = if random.below(8) == 0 { 30_000 } else { 100 };
    let mut batch = Batch::default();
    for index in 0..count {
        let mut value = vec![0; length];
        value[..8].copy_from_slice(&count.to_be_bytes());
        batch.put(row(number, index), Bytes::from(value));
    }
    batch.put(Bytes::from_static(b"y"), Bytes::copy_from_slice(&number.to_be_bytes()));
    batch
}

fn row(number: u64, index: u64) -> Bytes {
    Bytes::from([b"x", &number.to_be_bytes()[..], &index.to_be_bytes()].concat())
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(*bytes[at..].first_chunk().unwrap())
}

/// How many batches, numbered from 0, are there; each must be whole, and none missing below another.
fn whole_batches(engine: &Engine) -> u64 {
    let mut next = 0;
    let mut expected_rows = 0;
    for (name, value) in rows(engine, b"x", b"y") {
        let (number, index) = (number_at(&name, 1), number_at(&name, 9));
        if index == 0 {
            assert_eq!((number, expected_rows), (next, 0), "a batch is missing or ends early");
            expected_rows = number_at(&value, 0);
            next += 1;
        }
        assert_eq!(number + 1, next, "a batch lacks its first row");
        expected_rows -= 1;
    }
    assert_eq!(expected_rows, 0, "the last batch ends early");
    let newest = engine.get(b"y").unwrap().map_or(0, |value| number_at(&value, 0) + 1);
    assert_eq!(newest, next, "the row that all batches write is not the last one's");
    next
}

/// Not a test by itself: the process that is killed. Commits groups of batches and says which are acknowledged.
#[test]
fn writer() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let (engine, _) = support::open(Path::new(&directory)).unwrap();
    let mut next = engine.get(b"y").unwrap().map_or(0, |value| number_at(&value, 0) + 1);
    let mut out = std::io::stdout();
    loop {
        let group: Vec<Batch> = (next..next + 1 + next % 3).map(numbered).collect();
        engine.commit(&group, true).unwrap();
        next += group.len() as u64;
        writeln!(out, "\nacknowledged {next}").unwrap();
        out.flush().unwrap();
    }
}

/// Runs the writer, kills it after some acknowledgements, and returns how many batches it had acknowledged.
fn run_and_kill(directory: &Path, random: &mut Random) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::writer", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let patience = random.below(100);
    let delay = Duration::from_micros(random.below(3_000));
    let mut acknowledged = 0;
    let mut heard = 0;
    for line in lines {
        if let Some(number) = line.unwrap().strip_prefix("acknowledged ") {
            acknowledged = number.parse().unwrap();
            heard += 1;
            if heard == patience + 1 {
                // Not a wait for anything: it moves the blow to somewhere inside a commit.
                thread::sleep(delay);
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(heard > patience, "the writer ended by itself: {status}");
    acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_and_no_batch_is_torn() {
    let directory = TempDir::new().unwrap();
    let mut random = Random(1);
    let mut last_epoch = None;
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(directory.path(), &mut random);
        let (engine, identity) = support::open(directory.path()).unwrap();
        let found = whole_batches(&engine);
        assert!(found >= acknowledged, "round {round}: {acknowledged} acknowledged, {found} found");
        assert!(Some(identity.epoch) > last_epoch, "round {round}");
        last_epoch = Some(identity.epoch);
    }
}
