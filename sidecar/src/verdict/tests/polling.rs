//! Polls as a ledger asks for them, played in simulated time: how fine is the result, what does it cost?

use std::time::{Duration, Instant};

use super::*;

const INTERVAL: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(10);
const KEYS: u64 = 16;

/// How long a read takes, and how much later than asked a timer fires.
const READ: Duration = Duration::from_micros(300);
const TIMER: Duration = Duration::from_millis(1);

/// What a run gave.
struct Run {
    outcomes: Vec<Outcome>,
    reads: usize,
    lag_at_end: Duration,
}

/// One canary per interval for `seconds`; the peer takes each in `delay` after its start.
fn run(seconds: u64, delay: impl Fn(Duration) -> Option<Duration>) -> Run {
    let origin = Instant::now();
    let end = origin + Duration::from_secs(seconds);
    let (mut ledger, mut outcomes, mut reads) = (Ledger::default(), Vec::new(), 0);
    let mut written: Vec<Canary> = Vec::new();
    let mut now = origin;
    while now < end {
        let next_write = origin + INTERVAL * u32::try_from(written.len()).unwrap();
        if now >= next_write {
            let seq = written.len() as Seq + 1;
            let canary = canary(seq, u32::try_from(seq % KEYS).unwrap(), now);
            ledger.begin(canary);
            ledger.acknowledge(seq);
            ledger.verdict_over(seq);
            written.push(canary);
        }
        match ledger.next_read() {
            Some((due, slot)) if due <= now => {
                ledger.asked(slot, now);
                let answered = now + READ / 2;
                let visible = |canary: &&Canary| {
                    delay(canary.start - origin).is_some_and(|delay| canary.start + delay <= answered)
                };
                let held = written.iter().filter(|canary| canary.slot == slot).rfind(visible);
                let seen = held.map_or(Seen::Absent, |canary| Seen::Canary(canary.seq));
                now += READ;
                assert_eq!(ledger.observe(&read(slot, now - READ, now, seen)), None);
                reads += 1;
            }
            Some((due, _)) => now = (due + TIMER / 2).min(next_write).max(now),
            None => now = next_write.max(now),
        }
        if now < next_write && ledger.next_read().is_some_and(|(due, _)| due > now) {
            now += TIMER / 2;
        }
        outcomes.extend(ledger.settle(now, DEADLINE).into_iter().map(|settled| settled.outcome));
    }
    Run { outcomes, reads, lag_at_end: ledger.lag(now).unwrap_or_default() }
}

#[test]
fn fine_and_cheap_at_any_delay() {
    for delay in [3, 20, 100, 500, 2_000].map(Duration::from_millis) {
        let run = run(60, |_| Some(delay));
        let mut resolutions = Vec::new();
        for outcome in &run.outcomes {
            let Outcome::Converged(visibility) = outcome else { panic!("{outcome:?} at {delay:?}") };
            assert!(visibility.low <= delay && delay <= visibility.high, "{visibility:?} at {delay:?}");
            resolutions.push(visibility.resolution());
        }
        assert!(resolutions.len() >= 57);
        resolutions.sort_unstable();
        let p95 = resolutions[resolutions.len() * 95 / 100];
        let wanted = Duration::from_millis(2).max(delay / 10) + READ;
        assert!(p95 <= wanted, "resolution {p95:?} at {delay:?}");
        assert!(run.reads <= 60 * 40, "{} reads at {delay:?}", run.reads);
    }
}

#[test]
fn a_peer_cut_off_is_cheap_and_its_recovery_is_seen_soon() {
    // Nothing gets through until second 40, then everything at once.
    let healed = Duration::from_secs(40);
    let delay = |start: Duration| Some(healed.checked_sub(start).unwrap_or(Duration::from_millis(3)));
    let cut = run(40, delay);
    assert!(cut.lag_at_end >= Duration::from_secs(39));
    assert!(cut.reads <= 40 * 25, "{} reads", cut.reads);
    assert!(cut.outcomes.iter().all(|outcome| *outcome == Outcome::Expired));
    assert_eq!(run(41, delay).lag_at_end, Duration::ZERO);
}
