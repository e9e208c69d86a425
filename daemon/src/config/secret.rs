//! What the nodes of a cluster know and nobody else.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use settle_core::merkle::Secret;
use settle_service::config::Reader;

/// Fewer bytes can be guessed.
const BYTES_MIN: usize = 16;
/// More is some other file.
const BYTES_MAX: u64 = 64 << 10;

/// What hash trees are keyed with is derived under this name, so that it says nothing about other uses of the secret.
const TREES: &str = "settle hash trees of partitions";
/// The same, where there is no secret.
const TREES_OF_NAME: &str = "settle hash trees of partitions, from the name of a cluster without a secret";

/// The content of `cluster.secret_file`.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(Vec<u8>);

// === impl ClusterSecret ===

impl ClusterSecret {
    /// Reads `cluster.secret_file`, if it is set.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        const KEY: &str = "cluster.secret_file";
        let doc = "File with a secret of the cluster, the same on every node: 16 bytes or more, best random ones; \
                   white space around them is ignored. Without it hash trees are keyed with cluster.name, and \
                   whoever knows that can choose data whose differences verification does not see.";
        let path = reader.optional_string(KEY, "/etc/settle/secret", doc)?;
        match Self::from_file(Path::new(&path)) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                reader.reject(KEY, problem);
                None
            }
        }
    }

    fn from_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error: std::io::Error| format!("{shown} cannot be read: {error}");
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("{shown} has more than {BYTES_MAX} bytes: it is some other file"));
        }
        // Editors end files with a line break, and some secret stores do not.
        let secret = bytes.trim_ascii();
        if secret.len() < BYTES_MIN {
            let problem = format!(
                "{shown} holds {} bytes, at least {BYTES_MIN} are needed; make one with: head -c 32 /dev/urandom | \
                 base64 > {shown}",
                secret.len()
            );
            return Err(problem);
        }
        Ok(Self(secret.to_vec()))
    }

    /// What hash trees are computed with: derived from the secret, or from the cluster's name where there is none.
    pub(super) fn of_trees(secret: Option<&Self>, cluster: &str) -> Secret {
        let derived = match secret {
            Some(Self(bytes)) => blake3::derive_key(TREES, bytes),
            // Everybody knows it; but all nodes agree on it without having met.
            None => blake3::derive_key(TREES_OF_NAME, cluster.as_bytes()),
        };
        Secret::new(&derived)
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settle_core::dot::{Dot, Epoch, NodeId, Origin};
    use settle_core::entry::{Entry, Version};
    use settle_core::hlc::Hlc;
    use settle_core::key::Key;

    fn of(content: &[u8]) -> Result<ClusterSecret, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        ClusterSecret::from_file(&path)
    }

    fn fingerprint(secret: Option<&ClusterSecret>, cluster: &str) -> u128 {
        let version = Version { stamp: Hlc(1), payload: b"value".as_slice().into() };
        let origin = Origin { node: NodeId(1), epoch: Epoch(1) };
        let entry = Entry { siblings: vec![(Dot { origin, counter: 1 }, version)], ..Entry::default() };
        ClusterSecret::of_trees(secret, cluster).fingerprint(&Key::new("default", b"key"), &entry)
    }

    #[test]
    fn a_line_break_at_the_end_is_no_part_of_the_secret() {
        let secret = of(b"0123456789abcdef").unwrap();
        assert_eq!(of(b"0123456789abcdef\n").unwrap(), secret);
        assert_ne!(of(b"0123456789abcdeg").unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "ClusterSecret(..)");
    }

    #[test]
    fn trees_follow_the_secret_and_without_one_the_name() {
        let (one, two) = (of(&[1; 32]).unwrap(), of(&[2; 32]).unwrap());
        assert_ne!(fingerprint(Some(&one), "a"), fingerprint(Some(&two), "a"));
        assert_eq!(fingerprint(Some(&one), "a"), fingerprint(Some(&one), "b"));
        assert_ne!(fingerprint(None, "a"), fingerprint(None, "b"));
        assert_ne!(
            fingerprint(None, "0123456789abcdef"),
            fingerprint(of(b"0123456789abcdef").ok().as_ref(), "a")
        );
    }

    #[test]
    fn files_that_are_no_secret_are_refused() {
        assert!(of(b"   short \n").unwrap_err().contains("holds 5 bytes, at least 16 are needed"));
        assert!(of(&vec![b'x'; BYTES_MAX as usize + 1]).unwrap_err().contains("some other file"));
        let missing = ClusterSecret::from_file(Path::new("/nowhere/secret")).unwrap_err();
        assert!(missing.starts_with("/nowhere/secret cannot be read: "), "{missing}");
    }
}
