//! Where the data lies: the kind of file system, and how long the disk takes to make a write durable.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::stats::percentile;

/// File systems in memory, where "durable" costs nothing and proves nothing.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// The directory to put temporary data in: the given one, or else the one above this program's own,
/// which for a program built by cargo is `target/`.
pub(super) fn base(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let program = std::env::current_exe().context("cannot tell where this program lies")?;
            let above = program.parent().and_then(Path::parent);
            above.context("this program has no directory above it; give --dir")?.to_owned()
        }
    };
    path.canonicalize()
        .with_context(|| format!("the directory {} for the data cannot be used", path.display()))
}

/// The type of the file system that holds the directory, refusing those in memory.
pub(super) fn durable_file_system(directory: &Path) -> Result<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let kind = file_system(&mounts, directory).unwrap_or_else(|| "unknown".to_owned());
    if VOLATILE.contains(&kind.as_str()) {
        bail!(
            "{} is on {kind}, in memory: durable writes cost nothing there; give --dir on a real disk",
            directory.display()
        );
    }
    Ok(kind)
}

/// Of the mounts that hold the path, the deepest; among equals the last, which covers the others.
fn file_system(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        // proc(5) writes a space in a mount point as \040.
        let point = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
        path.starts_with(&point).then_some((point.components().count(), right.split(' ').next()?))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind.to_owned())
}

/// Median microseconds to append 4 KiB and make them durable.
pub(super) fn sync_microseconds(directory: &Path) -> Result<u32> {
    const SYNCS: usize = 50;
    let path = directory.join("sync-probe");
    let mut file = File::create(&path).with_context(|| format!("cannot write to {}", directory.display()))?;
    let mut samples = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).context("cannot sync the disk")?;
        samples.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    std::fs::remove_file(&path).context("cannot remove the sync probe")?;
    samples.sort_unstable();
    Ok(percentile(&samples, 0.5).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw
31 30 8:1 / /tmp/real\\040disk rw shared:3 master:1 - xfs /dev/sda1 rw
";

    #[test]
    fn the_deepest_mount_decides() {
        let kind = |path: &str| file_system(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(kind("/home/x"), "ext4");
        assert_eq!(kind("/tmp/x"), "tmpfs");
        assert_eq!(kind("/tmp/real disk/x"), "xfs");
        assert_eq!(kind("/tmpfoo"), "ext4");
    }

    #[test]
    fn memory_is_refused() {
        // Present on any Linux with a usual /dev; where it is not, there is nothing to refuse.
        let shared = Path::new("/dev/shm");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        if file_system(&mounts, shared).as_deref() == Some("tmpfs") {
            let error = durable_file_system(shared).unwrap_err().to_string();
            assert!(error.contains("--dir"), "{error}");
        }
    }
}
