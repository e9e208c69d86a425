//! Whether the nodes declare the same buckets. Where two nodes settle concurrent writes of a bucket by different rules,
//! what one of them keeps for its clients the other throws away, and where one lacks it, its clients are turned away.
//! Refusing the connection would only make matters worse: the nodes would drift apart. So it is said, loudly.

use settle_wire::hello::DeclaredBucket;

use crate::config::Bucket;
use crate::node::Node;

use super::Peer;

/// Conflicting buckets of one peer that are named one by one.
const NAMED_MAX: usize = 16;

/// A bucket that two nodes do not declare alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Its name.
    pub(crate) bucket: String,
    /// What this node declares, if it does.
    pub(crate) here: Option<Rules>,
    /// What the peer declares, if it does.
    pub(crate) there: Option<Rules>,
}

/// What nodes must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What the bucket's keys hold.
    pub(crate) kind: String,
    /// What becomes of concurrent writes.
    pub(crate) resolver: String,
}

/// What others are told of this node's buckets.
pub(crate) fn declared(buckets: &[Bucket]) -> Vec<DeclaredBucket> {
    let declared = buckets.iter().map(|bucket| DeclaredBucket {
        name: bucket.name.clone(),
        kind: bucket.kind().to_owned(),
        resolver: bucket.resolver.name().to_owned(),
    });
    declared.collect()
}

/// What differs between the buckets of this node and those of a peer, which are none when it has not told.
fn mismatches(own: &[DeclaredBucket], theirs: &[DeclaredBucket]) -> Vec<Mismatch> {
    if theirs.is_empty() {
        return Vec::new();
    }
    let rules =
        |bucket: &DeclaredBucket| Rules { kind: bucket.kind.clone(), resolver: bucket.resolver.clone() };
    let find =
        |among: &[DeclaredBucket], name: &str| among.iter().find(|bucket| bucket.name == name).map(rules);
    let mut names: Vec<&str> = own.iter().chain(theirs).map(|bucket| bucket.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let compared = names.into_iter().map(|name| Mismatch {
        bucket: name.to_owned(),
        here: find(own, name),
        there: find(theirs, name),
    });
    compared.filter(|compared| compared.here != compared.there).collect()
}

impl Node {
    /// What this node and others declare differently, with each one's name.
    pub(crate) fn bucket_mismatches(&self) -> Vec<(String, Mismatch)> {
        let own = declared(&self.config.load().boot.buckets);
        let all = self.peers();
        let of = |peer: &Peer| {
            let found = mismatches(&own, &peer.buckets.load());
            found.into_iter().map(|mismatch| (peer.name.clone(), mismatch)).collect::<Vec<_>>()
        };
        all.iter().flat_map(|peer| of(peer)).collect()
    }
}

/// Logs what this node and a peer declare differently.
pub(crate) fn report(node: &Node, peer: &Peer) {
    let config = node.config.load();
    let found = mismatches(&declared(&config.boot.buckets), &peer.buckets.load());
    let (conflicts, lacking): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| found.here.is_some() && found.there.is_some());
    for Mismatch { bucket, here, there } in conflicts.iter().take(NAMED_MAX) {
        let (Some(here), Some(there)) = (here, there) else { continue };
        tracing::error!(
            node = config.boot.node.name, peer = peer.name, bucket,
            here = %here, there = %there, conflicts = conflicts.len(),
            "two nodes declare a bucket differently, and its concurrent writes get lost: make [[bucket]] equal on every node"
        );
    }
    let only = |here: bool| -> Vec<String> {
        let lacking = lacking.iter().filter(|found| found.here.is_some() == here);
        lacking.map(|found| found.bucket.clone()).take(NAMED_MAX).collect()
    };
    if !lacking.is_empty() {
        tracing::warn!(
            peer = peer.name, only_here = ?only(true), only_there = ?only(false), count = lacking.len(),
            "a node lacks buckets that another one declares: make [[bucket]] equal on every node"
        );
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Quoted: what a peer sends must not be able to look like something else in the log.
        write!(f, "type {:?}, resolver {:?}", self.kind, self.resolver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, resolver: &str) -> DeclaredBucket {
        DeclaredBucket { name: name.to_owned(), kind: "register".to_owned(), resolver: resolver.to_owned() }
    }

    #[test]
    fn what_differs_is_found_on_either_side() {
        let own = [bucket("default", "lww"), bucket("notes", "lww"), bucket("mine", "lww")];
        let theirs = [bucket("default", "lww"), bucket("notes", "siblings"), bucket("yours", "lww")];
        let rules =
            |resolver: &str| Some(Rules { kind: "register".to_owned(), resolver: resolver.to_owned() });
        let mismatch = |bucket: &str, here, there| Mismatch { bucket: bucket.to_owned(), here, there };
        let expected = [
            mismatch("mine", rules("lww"), None),
            mismatch("notes", rules("lww"), rules("siblings")),
            mismatch("yours", None, rules("lww")),
        ];
        assert_eq!(mismatches(&own, &theirs), expected);
        assert!(mismatches(&own, &own).is_empty());
        assert!(mismatches(&own, &[]).is_empty(), "a peer that does not tell");
        let counter = DeclaredBucket { kind: "counter".to_owned(), ..bucket("notes", "lww") };
        assert_eq!(mismatches(&own[1..2], &[counter]).len(), 1, "the type counts, too");
    }
}
