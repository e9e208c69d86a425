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
const MAGIC: &[u8] = b"FJL\x03";
const CHUNK_BYTES: usize = 64 << 10;

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

/// Looks for damage in one journal.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn damage(file: &Path) -> io::Result<Option<Damage>> {
    let bytes = read_used(file)?;
    let mut rest = bytes.as_slice();
    while let Some(after) = skip_batch(rest) {
        rest = after;
    }
    let offset = bytes.len() - rest.len();
    let behind = (1..rest.len()).find(|at| rest.get(*at..).and_then(skip_batch).is_some());
    Ok(behind.map(|at| Damage { file: file.to_owned(), offset, resumes: offset + at }))
}

/// A file's bytes without the zeros at its end, which are most of a young journal.
fn read_used(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut used = Vec::new();
    let mut zeros = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    let blank = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        let read = chunk.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(used);
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

/// What follows the whole batch at the front of `input`; `None` if there is none.
fn skip_batch(input: &[u8]) -> Option<&[u8]> {
    let (start, mut rest) = input.split_at_checked(START_BYTES)?;
    let (1, count) = (*start.first()?, u32_at(start, 1)?) else { return None };
    for _ in 0..count {
        rest = skip_item(rest)?;
    }
    let (end, after) = rest.split_at_checked(9 + MAGIC.len())?;
    (end.first() == Some(&3) && end.ends_with(MAGIC)).then_some(after)
}

fn skip_item(input: &[u8]) -> Option<&[u8]> {
    match input.first()? {
        2 => {
            let name = usize::from(u16::from_le_bytes(*input.get(11..)?.first_chunk()?));
            let stored = usize::try_from(u32_at(input, 17)?).ok()?;
            input.get(21_usize.checked_add(name)?.checked_add(stored)?..)
        }
        4 => input.get(9..),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
