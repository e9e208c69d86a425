//! Bugs that the simulator plants to prove that it would find them.
//!
//! Without the feature `plant` [`planted`] is a constant `false` and costs nothing; no release build has it.

/// Every bug that can be planted in the kernel. Each was once a plausible sentence of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// Merging looks at the entry's explicit context only, not at the partition's clock.
    MergeWithoutImpliedContext = 1,
    /// A restarted replica keeps its epoch, so a counter lost in a crash is minted twice.
    DotReusedAfterCrash,
    /// An exchange marks dots as seen without merging the entries that carry them.
    ClockJoinedWithoutEntries,
    /// A full exchange joins the clock of its last page instead of its first.
    ExchangeClockTakenAtItsEnd,
    /// A page carries a clock older than the entries on it.
    PageContextOlderThanEntry,
    /// A full exchange goes on although the source restarted and may have lost what it told.
    ExchangeOutlivesSource,
    /// An echo tells only the dots that the answering node minted itself.
    EchoTellsOwnDotsOnly,
    /// A freshness proof is stamped when it is completed, not when it was asked for.
    ProofStampedWhenCovered,
    /// A deleted key's context is dropped although the clock does not cover it yet.
    DeleteContextDroppedEarly,
    /// A delta travels without the context that it supersedes.
    DeltaWithoutContext,
    /// A log segment is removed although records in it have no row of their own yet.
    SegmentRemovedUnspilled,
    /// A full exchange joins the first clock although pages are missing.
    JoinedAfterPartialWalk,
    /// A full exchange joins the first clock before the receiver has what came up meanwhile.
    JoinedBeforeTheRest,
    /// A full exchange forgets under which clock it found what it did not send.
    SkippedKeysUnguarded,
    /// A full exchange leaves out entries that have the same siblings and an explicit context.
    ExplicitContextSkipped,
    /// Where two replicas contradict each other, the absence of a version wins as if it were a delete.
    DifferenceMergedAsDelete,
    /// Two replicas contradict each other as soon as one shows what the other has seen and does not show.
    DifferenceIsContradiction,
    /// What replicas contradict each other about is written anew beside its old name, not over it.
    SettledBesideTheOld,
    /// Replicas that show the same dots agree, whatever is stored under them.
    SameDotsAgree,
    /// A row that has changed by itself is found, but its cached copy goes on being read.
    RotHiddenByCache,
    /// A scrub does not follow what is written meanwhile.
    ScrubMissesWrites,
    /// The hash tree takes changes in when they are staged, not when they are durable.
    TreeUpdatedWhenStaged,
    /// A coordinator is told of no write that it has not seen.
    NothingIsCollected,
    /// A coordinator is told only of what is shown, not of what was superseded there and may be shown elsewhere.
    HiddenIsNotCollected,
    /// Replicas that show the same siblings agree, whatever else they have seen of the key.
    SameSiblingsAgree,
    /// A repair marks as seen all that its sender knows of, not only the siblings that it carries.
    RepairJoinsClock,
    /// A repair replaces what its receiver shows, also what the sender does not know.
    RepairReplaces,
    /// A repair claims what the asked replicas show, not what they know to be superseded.
    RepairOfShownOnly,
    /// A read at several replicas is answered before what it repairs is durable.
    ReadBeforeRepair,
    /// A log record is dropped at a bound, and nobody remembers that a replica lacks its write.
    DroppedHintUnmarked,
    /// A log record is dropped at a bound, and the stored clock does not have its write.
    DroppedHintNotInClock,
    /// A log exchange leaves out what the log cannot name any more.
    DroppedHintSkipped,
    /// An acceptor forgets its promise.
    PromiseForgotten,
    /// A step is entered when a majority has acknowledged the one before.
    StepEnteredByMajority,
    /// During a change, the level of a write is met in the new replicas only.
    LevelMetInNewOnly,
    /// Reads are met in the new replicas while these still pull.
    NewReadEarly,
    /// A node acknowledges a step while requests that it began before still run.
    AckedBeforeRequestsEnded,
    /// A node acknowledges that it has pulled everything when it has from one old replica.
    PulledFromOne,
    /// An old replica drops its copy although a new one lacks something of it.
    DroppedTooEarly,
    /// A dropped partition mints from 1 again.
    CounterRestarted,
    /// A partition is dropped without a mark, so that a crash in the middle leaves a part of it.
    DropUnmarked,
    /// The mark of a dropped partition is removed while log segments still have records of it.
    MarkRemovedEarly,
    /// What a replica that has dropped the partition told of it counts when it comes back.
    DroppedNotForgotten,
}

/// Those that are found in clusters whose layout stays.
pub const ALL: &[Plant] = &[
    Plant::MergeWithoutImpliedContext,
    Plant::DotReusedAfterCrash,
    Plant::ClockJoinedWithoutEntries,
    Plant::ExchangeClockTakenAtItsEnd,
    Plant::PageContextOlderThanEntry,
    Plant::ExchangeOutlivesSource,
    Plant::EchoTellsOwnDotsOnly,
    Plant::ProofStampedWhenCovered,
    Plant::DeleteContextDroppedEarly,
    Plant::DeltaWithoutContext,
    Plant::SegmentRemovedUnspilled,
    Plant::JoinedAfterPartialWalk,
    Plant::JoinedBeforeTheRest,
    Plant::SkippedKeysUnguarded,
    Plant::ExplicitContextSkipped,
    Plant::DifferenceMergedAsDelete,
    Plant::DifferenceIsContradiction,
    Plant::SettledBesideTheOld,
    Plant::SameDotsAgree,
    Plant::RotHiddenByCache,
    Plant::ScrubMissesWrites,
    Plant::TreeUpdatedWhenStaged,
    Plant::NothingIsCollected,
    Plant::HiddenIsNotCollected,
    Plant::SameSiblingsAgree,
    Plant::RepairJoinsClock,
    Plant::RepairReplaces,
    Plant::RepairOfShownOnly,
    Plant::ReadBeforeRepair,
    Plant::DroppedHintUnmarked,
    Plant::DroppedHintNotInClock,
    Plant::DroppedHintSkipped,
];

/// Those that take a change of the layout to be found.
pub const LAYOUT: &[Plant] = &[
    Plant::PromiseForgotten,
    Plant::StepEnteredByMajority,
    Plant::LevelMetInNewOnly,
    Plant::NewReadEarly,
    Plant::AckedBeforeRequestsEnded,
    Plant::PulledFromOne,
    Plant::DroppedTooEarly,
    Plant::CounterRestarted,
    Plant::DropUnmarked,
    Plant::MarkRemovedEarly,
    Plant::DroppedNotForgotten,
];

#[cfg(feature = "plant")]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<u8> = const { Cell::new(0) };
    }

    /// Plants `bug` in everything that runs on this thread from now on; `None` digs it out.
    pub fn plant(bug: Option<super::Plant>) {
        PLANTED.with(|planted| planted.set(bug.map_or(0, |bug| bug as u8)));
    }

    /// Whether `bug` is planted on this thread.
    #[must_use]
    pub fn planted(bug: super::Plant) -> bool {
        PLANTED.with(|planted| planted.get() == bug as u8)
    }
}

#[cfg(feature = "plant")]
pub use switch::{plant, planted};

/// Whether `bug` is planted: never, in this build.
#[cfg(not(feature = "plant"))]
#[inline]
#[must_use]
pub const fn planted(_bug: Plant) -> bool {
    false
}
