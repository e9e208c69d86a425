//! Reads the engine's journals, changing nothing, to tell a torn end from damage in the middle.
//!
//! fjall stops its replay at the first thing that it cannot read and cuts off the rest. That is right for the end
//! of a journal, which a crash may tear. But damage further up would silently take acknowledged writes with it:
//! what can be read behind the damage shows that it is no torn end, and the directory is not opened then.
//!
//! The format: a batch is a start (tag 1, count of items u32, sequence number u64), its items (tag 2, kind u8,
//! compression u8, keyspace u64, name length u16, value length u32, stored length u32, name, value; or tag 4,
//! keyspace u64), and an end (tag 3, checksum u64, magic). Little endian. Unused space behind is zero.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const START_BYTES: usize = 13;
const ITEM_BYTES: usize = 21;
const CLEAR_BYTES: usize = 9;
const END_BYTES: usize = 9 + MAGIC.len();
const MAGIC: &[u8] = b"FJL\x03";
const CHUNK_BYTES: usize = 256 << 10;

/// Where a journal is damaged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The journal.
    pub(crate) file: PathBuf,
    /// The first byte that cannot be read.
    pub(crate) offset: usize,
    /// A whole batch behind it.
    pub(crate) resumes: usize,
}

/// Why there is no whole batch at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum NoBatch {
    /// More bytes could make it one.
    Incomplete,
    /// Nothing could.
    Invalid,
}

/// The journals of an engine, oldest first.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn list(engine: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(engine)? {
        let path = entry?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "jnl")
        {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Looks for damage in one journal. Holds little of it in memory at a time, unless it is damaged.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn damage(path: &Path) -> io::Result<Option<Damage>> {
    let mut file = File::open(path)?;
    let mut offset = 0;
    let mut window = Vec::new();
    loop {
        let (used, end) = skip_batches(&window);
        offset += used;
        window.drain(..used);
        // At least as much again, so that a batch of any size is parsed a few times only.
        let more = CHUNK_BYTES.max(window.len());
        let read = match end {
            NoBatch::Incomplete => (&mut file).take(more as u64).read_to_end(&mut window)?,
            NoBatch::Invalid => 0,
        };
        if read == 0 {
            break;
        }
    }
    read_used(&mut file, &mut window)?;
    let resumes = (1..window.len()).find(|at| window.get(*at..).is_some_and(|rest| skip_batch(rest).is_ok()));
    Ok(resumes.map(|at| Damage { file: path.to_owned(), offset, resumes: offset + at }))
}

/// Appends what is left of a file but the zeros at its end, which are most of a young journal.
fn read_used(file: &mut File, used: &mut Vec<u8>) -> io::Result<()> {
    let mut zeros = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    let blank = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        let read = chunk.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        if Some(read) == blank.get(..length) {
            zeros += length;
        } else {
            used.resize(used.len() + zeros, 0);
            used.extend_from_slice(read);
            zeros = 0;
        }
    }
}

/// The length of all whole batches at the front of `input`, and why the next is none.
fn skip_batches(input: &[u8]) -> (usize, NoBatch) {
    let mut rest = input;
    loop {
        match skip_batch(rest) {
            Ok(after) => rest = after,
            Err(end) => return (input.len() - rest.len(), end),
        }
    }
}

/// What follows the whole batch at the front of `input`.
fn skip_batch(input: &[u8]) -> Result<&[u8], NoBatch> {
    let (start, mut rest) = split(input, 1, START_BYTES)?;
    for _ in 0..u32_at(start, 1) {
        rest = skip_item(rest)?;
    }
    let (end, after) = split(rest, 3, END_BYTES)?;
    if end.ends_with(MAGIC) { Ok(after) } else { Err(NoBatch::Invalid) }
}

fn skip_item(input: &[u8]) -> Result<&[u8], NoBatch> {
    if input.first() == Some(&4) {
        return split(input, 4, CLEAR_BYTES).map(|(_, rest)| rest);
    }
    let (item, rest) = split(input, 2, ITEM_BYTES)?;
    let name =
        item.get(11..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let stored = u32_at(item, 17) as usize;
    rest.get(usize::from(name) + stored..).ok_or(NoBatch::Incomplete)
}

/// Splits a field of `length` bytes off the front, which must begin with `tag`.
fn split(input: &[u8], tag: u8, length: usize) -> Result<(&[u8], &[u8]), NoBatch> {
    match input.first() {
        Some(found) if *found != tag => Err(NoBatch::Invalid),
        _ => input.split_at_checked(length).ok_or(NoBatch::Incomplete),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}
