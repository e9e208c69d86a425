//! Checks, changing nothing, the file that lists a tree's tables.
//!
//! A tree that is opened deletes what its manifest does not list, so a damaged one costs data. `current` names the
//! manifest (number u64, xxh3 checksum u128, kind of checksum u8; little endian); the file `v<number>` is it.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

const CURRENT: &str = "current";

/// What is wrong with the manifest of the tree in `tree`, if anything.
///
/// # Errors
/// When a file cannot be read; one that is missing is damage.
pub(crate) fn damage(tree: &Path) -> io::Result<Option<String>> {
    let current = tree.join(CURRENT);
    let Some(bytes) = read(&current)? else {
        return Ok(Some(format!("{} is missing", current.display())));
    };
    let Some((number, checksum)) = parse(&bytes) else {
        return Ok(Some(format!("{} is unreadable", current.display())));
    };
    let manifest = tree.join(format!("v{number}"));
    let what = match read(&manifest)? {
        None => "is missing",
        Some(bytes) if xxh3_128(&bytes) != checksum => "is not what was written",
        Some(_) => return Ok(None),
    };
    Ok(Some(format!("{} {what}", manifest.display())))
}

fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = current.split_first_chunk::<8>()?;
    let (checksum, kind) = rest.split_first_chunk::<16>()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
