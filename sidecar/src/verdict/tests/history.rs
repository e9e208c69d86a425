//! Random histories of one peer, compared with a model that keeps everything and computes nothing
//! in advance.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const DEADLINE: Duration = Duration::from_millis(400);
const STEP: Duration = Duration::from_millis(10);
const SLOTS: u32 = 3;

/// One step of a history.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Begin a canary, unless the write of the one before is still under way.
    Write { sampled: bool },
    /// The write under way is acknowledged, or refused; one that is refused may be applied all the same.
    Answer { acknowledged: bool },
    /// Read this slot; the replica has taken in all but the last few canaries of it.
    Read { slot: Slot, behind: u64 },
    /// A read of this slot gets no answer.
    Fail { slot: Slot },
    /// The verdict read of the last canary is over.
    Verdict,
    /// End what is past the deadline.
    Settle,
    /// Nothing.
    Idle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::bool::weighted(0.9).prop_map(|sampled| Step::Write { sampled }),
        4 => prop::bool::weighted(0.8).prop_map(|acknowledged| Step::Answer { acknowledged }),
        6 => (0..SLOTS, 0..4_u64).prop_map(|(slot, behind)| Step::Read { slot, behind }),
        1 => (0..SLOTS).prop_map(|slot| Step::Fail { slot }),
        3 => Just(Step::Verdict),
        3 => Just(Step::Settle),
        2 => Just(Step::Idle),
    ]
}

/// Everything that happened.
#[derive(Default)]
struct Model {
    written: Vec<Canary>,
    /// The canary whose write is under way, and whether it is looked for at this peer.
    under_way: Option<(Canary, bool)>,
    owed: Vec<Canary>,
    /// What each read found, in order.
    found: Vec<(Slot, Seen)>,
    acknowledged: u64,
    outcomes: Vec<Settled>,
}

impl Model {
    /// The definition of current lag, word by word.
    fn lag(&self, now: Instant) -> Duration {
        self.oldest_owed().map_or(Duration::ZERO, |start| now - start)
    }

    fn oldest_owed(&self) -> Option<Instant> {
        let reflected = |canary: &Canary| {
            self.found.iter().any(|(slot, seen)| *slot == canary.slot && seen.reflects(canary.seq))
        };
        self.owed.iter().filter(|canary| !reflected(canary)).map(|canary| canary.start).min()
    }

    /// What an honest replica holds in a slot when it is `behind` by so many canaries, but never
    /// less than it has already shown.
    fn value(&self, slot: Slot, behind: u64) -> Seen {
        let in_slot: Vec<Seq> =
            self.written.iter().filter(|canary| canary.slot == slot).map(|canary| canary.seq).collect();
        let at = in_slot.len().saturating_sub(usize::try_from(behind).unwrap());
        let newest = at.checked_sub(1).map(|index| in_slot[index]);
        let shown = self.found.iter().filter(|(of, _)| *of == slot).filter_map(|(_, seen)| match seen {
            Seen::Canary(seq) => Some(*seq),
            _ => None,
        });
        newest.into_iter().chain(shown).max().map_or(Seen::Absent, Seen::Canary)
    }
}

fn begin(ledger: &mut Ledger, model: &mut Model, sampled: bool, now: Instant) {
    if model.under_way.is_some() {
        return;
    }
    let seq = model.written.len() as Seq + 1;
    let canary = canary(seq, u32::try_from(seq).unwrap() % SLOTS, now);
    if sampled {
        ledger.begin(canary);
    }
    model.under_way = Some((canary, sampled));
    model.written.push(canary);
}

/// Plays one step on ledger and model; returns whether it was a read that was answered.
fn play(ledger: &mut Ledger, model: &mut Model, step: Step, now: Instant) -> bool {
    match step {
        Step::Write { sampled } => begin(ledger, model, sampled, now),
        Step::Answer { acknowledged } => {
            let Some((canary, sampled)) = model.under_way.take() else { return false };
            if !acknowledged {
                assert_eq!(ledger.abort(canary.seq), sampled);
            } else if ledger.acknowledge(canary.seq) {
                model.owed.push(canary);
                model.acknowledged += 1;
            }
        }
        Step::Read { slot, behind } => {
            let seen = model.value(slot, behind);
            ledger.asked(slot, now);
            assert_eq!(ledger.observe(&read(slot, now, now + ms(1), seen)), None, "an honest replica");
            model.found.push((slot, seen));
            return true;
        }
        Step::Fail { slot } => ledger.asked(slot, now),
        Step::Verdict => ledger.verdict_over(model.written.len() as Seq),
        Step::Settle => model.outcomes.extend(ledger.settle(now, DEADLINE)),
        Step::Idle => {}
    }
    false
}

proptest! {
    /// Lag is what its definition says at every moment, and only an answered read lowers it.
    #[test]
    fn lag_is_as_defined(steps in prop::collection::vec(step(), 1..80)) {
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        let mut now = Instant::now();
        for step in steps {
            now += STEP;
            let before = ledger.lag(now);
            let answered = play(&mut ledger, &mut model, step, now);
            prop_assert_eq!(ledger.lag(now), (model.acknowledged > 0).then(|| model.lag(now)));
            prop_assert!(answered || ledger.lag(now) >= before, "{:?} lowered the lag", step);
            // Whoever is behind is read again, before long.
            prop_assert_eq!(ledger.is_behind(), model.oldest_owed().is_some());
            if ledger.is_behind() {
                let (at, _) = ledger.next_read().expect("a read is due");
                prop_assert!(at <= now + Duration::from_millis(501));
            }
        }
    }

    /// Every acknowledged canary ends exactly once, at the latest at the deadline, and not as
    /// converged unless it was seen.
    #[test]
    fn nothing_is_dropped(steps in prop::collection::vec(step(), 1..80)) {
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        let mut now = Instant::now();
        for step in steps {
            now += STEP;
            play(&mut ledger, &mut model, step, now);
        }
        model.outcomes.extend(ledger.settle(now + DEADLINE, DEADLINE));
        let mut ended: Vec<Seq> = model.outcomes.iter().map(|settled| settled.seq).collect();
        ended.sort_unstable();
        let owed: Vec<Seq> = model.owed.iter().map(|canary| canary.seq).collect();
        prop_assert_eq!(ended, owed);
        for Settled { seq, outcome } in &model.outcomes {
            let canary = model.written.iter().find(|canary| canary.seq == *seq).unwrap();
            let seen = model.found.iter().any(|(slot, seen)| *slot == canary.slot && seen.reflects(*seq));
            match outcome {
                Outcome::Converged(visibility) => {
                    prop_assert!(seen && visibility.low <= visibility.high && visibility.high <= DEADLINE);
                }
                Outcome::Expired => prop_assert!(model.found.iter().any(|(slot, _)| *slot == canary.slot)),
                Outcome::Unreachable => {}
            }
        }
    }

    /// Whatever a replica answers, honest or not, lag is never lower than its definition.
    #[test]
    fn lag_is_never_understated(
        writes in 1..200_u64,
        reads in prop::collection::vec((0..SLOTS, 0..250_u64), 0..40),
    ) {
        let (mut owed, mut model) = (Owed::default(), Model::default());
        let mut now = Instant::now();
        // More debts than are remembered one by one.
        for seq in 1..=writes {
            now += STEP;
            let canary = canary(seq, u32::try_from(seq).unwrap() % SLOTS, now);
            owed.acknowledge(&canary);
            model.owed.push(canary);
        }
        for (slot, seq) in reads {
            now += STEP;
            owed.observe(&read(slot, now, now + ms(1), Seen::Canary(seq)));
            model.found.push((slot, Seen::Canary(seq)));
            prop_assert!(owed.lag(now) >= model.lag(now), "{:?} < {:?}", owed.lag(now), model.lag(now));
        }
        for slot in 0..SLOTS {
            now += STEP;
            owed.observe(&read(slot, now, now + ms(1), Seen::Canary(writes)));
        }
        prop_assert_eq!(owed.lag(now), Duration::ZERO);
    }
}
