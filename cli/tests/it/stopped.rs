//! A replica that is stopped where it stands, as by a long pause of its machine: what the sidecar of
//! another one says while it is, and after.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::exposition::value;
use crate::support::{eventually, http, within};

/// How long the replica is stopped at least and, if the breach is not seen by then, at most. It cannot
/// be seen much before the threshold's 5 s, and should not take much longer.
const STOPPED: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(30));

/// After this everything must be as before.
const RECOVERY: Duration = Duration::from_secs(10);

/// Lag below this is that of a canary on its way, in seconds.
const SETTLED: f64 = 0.5;

/// Two readings of a lag at known moments differ by the time between them, but for rounding, in seconds.
const ROUNDING: f64 = 1e-3;

/// What one page of the sidecar says, and when it was read. Times are in seconds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The page is of a moment between these two.
    from: Instant,
    to: Instant,
    /// Of the replica that is stopped.
    lag: f64,
    /// Of the one that is not.
    other: f64,
    /// Whether `replication_lag` is above its threshold.
    breached: bool,
}

#[test]
fn the_sidecar_sees_a_stopped_replica_and_its_return() {
    let cluster = Cluster::start();
    let sidecar = cluster.sidecar;
    let threshold = eventually("the threshold", || {
        series(sidecar, "settle_probe_threshold{objective=\"replication_lag\",unit=\"seconds\"}")
    });
    assert!((threshold - 5.0).abs() < f64::EPSILON, "{threshold}");
    eventually("a measured and healthy lag", || healthy(sidecar));

    let stopped = &cluster.nodes[2].process;
    let before = Instant::now();
    stopped.freeze();
    let samples = watch(sidecar, threshold, before);
    stopped.thaw();
    let after = within(RECOVERY, "recovery", || healthy(sidecar));

    rises_as_time_passes(&samples, threshold);
    for sample in samples.iter().chain([&after]) {
        assert!(sample.other < threshold / 2.0, "the replica that ran on is behind: {sample:?}");
    }
}

/// Reads on until the breach is seen and the replica was stopped for long enough.
fn watch(sidecar: SocketAddr, threshold: f64, stopped: Instant) -> Vec<Sample> {
    let mut samples = Vec::new();
    within(STOPPED.1, "a breach", || {
        let sample = read(sidecar)?;
        // One page is of one moment: what it says of the breach is what it says of the lag.
        let above = sample.lag.max(sample.other) > threshold;
        assert_eq!(sample.breached, above, "threshold {threshold}: {sample:?}");
        // What is owed is not older than the stop, but for canaries that were on their way.
        let longest = (sample.to - stopped).as_secs_f64() + threshold / 2.0;
        assert!(sample.lag <= longest, "more than {longest}: {sample:?}");
        samples.push(sample);
        let enough = sample.breached && stopped.elapsed() >= STOPPED.0;
        if enough { Ok(()) } else { Err(format!("{sample:?}")) }
    });
    samples
}

/// From half the threshold on, the lag was measured again and again and grew exactly as time passed.
fn rises_as_time_passes(samples: &[Sample], threshold: f64) {
    let late: Vec<&Sample> = samples.iter().filter(|sample| sample.lag > threshold / 2.0).collect();
    assert!(late.iter().any(|sample| !sample.breached), "not seen on its way to the threshold: {samples:?}");
    for pair in late.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        let grown = next.lag - one.lag;
        let least = (next.from - one.to).as_secs_f64();
        let most = (next.to - one.from).as_secs_f64();
        assert!(grown >= least - ROUNDING && grown <= most + ROUNDING, "{one:?} then {next:?}");
    }
    assert!(samples.last().unwrap().lag > threshold);
}

/// Content when canaries arrive at both peers at once.
fn healthy(sidecar: SocketAddr) -> Result<Sample, String> {
    let sample = read(sidecar)?;
    let settled = [sample.lag, sample.other].iter().all(|lag| *lag < SETTLED);
    let arrived = |peer: &str| {
        let series_of = format!("settle_probe_canaries_total{{outcome=\"converged\",peer={peer:?}}}");
        series(sidecar, &series_of).is_ok_and(|canaries| canaries > 0.0)
    };
    let healthy = settled && !sample.breached && arrived("n2") && arrived("n3");
    if healthy { Ok(sample) } else { Err(format!("{sample:?}")) }
}

fn read(sidecar: SocketAddr) -> Result<Sample, String> {
    let from = Instant::now();
    let page = http::get(sidecar, "/metrics")?;
    let to = Instant::now();
    let gauge = |series: &str| {
        let known = value(&page, series).filter(|value| !value.is_nan());
        known.ok_or_else(|| format!("{series} is not known"))
    };
    let lag = |peer: &str| gauge(&format!("settle_probe_replication_lag_seconds{{peer={peer:?}}}"));
    let breached = gauge("settle_probe_threshold_breached{objective=\"replication_lag\"}")?;
    Ok(Sample { from, to, lag: lag("n3")?, other: lag("n2")?, breached: breached > 0.0 })
}

fn series(sidecar: SocketAddr, series: &str) -> Result<f64, String> {
    let page = http::get(sidecar, "/metrics")?;
    value(&page, series).ok_or_else(|| format!("no {series}"))
}
