//! CPU time of processes, from `/proc/PID/stat`.
//!
//! Its user and system time together come from the scheduler's exact sum over all threads, ended ones
//! included, rounded to ticks of 10 ms; the finer `schedstat` of each thread would forget threads that
//! ended. Over seconds of load the rounding is below one per cent.

use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel reports CPU time to user space in ticks of a hundredth of a second (`USER_HZ`) on every
/// architecture that Rust's Linux targets with tier 1 support.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time that the process has used since it started, all threads included.
pub(super) fn of_process(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {path}: has the process ended?"))?;
    parse(&text).with_context(|| format!("{path} is not as proc(5) describes it"))
}

/// Of this program: the load generator.
pub(super) fn of_self() -> Result<Duration> {
    of_process(std::process::id())
}

/// Fields 14 and 15 of proc(5). Counted from the end of field 2, the program's name in parentheses,
/// which itself may hold spaces and parentheses.
fn parse(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut times = after_name.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_user_and_system_time_past_a_hostile_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 5 0 0 0 150 50 900 900 20 0 4 0 123";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn own_usage_grows_with_work() {
        let before = of_self().unwrap();
        let mut sum = 0_u64;
        while of_self().unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
