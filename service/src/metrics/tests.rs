//! Tests of the registry, the catalogue and the text page.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn metrics() -> Metrics {
    Metrics::new("settled", "1.2.3", "abc").unwrap()
}

fn page(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).unwrap()
}

#[test]
fn a_fresh_page_names_the_build_and_the_process() {
    let page = page(&metrics());
    assert!(
        page.contains("settle_build_info{program=\"settled\",revision=\"abc\",version=\"1.2.3\"} 1\n"),
        "{page}"
    );
    assert!(page.contains("process_resident_memory_bytes "), "{page}");
}

#[test]
fn empty_families_are_on_the_page_and_in_the_catalogue() {
    let metrics = metrics();
    let writes = metrics.counters("settle_writes_total", "Writes\ntaken.", ["bucket"]).unwrap();
    metrics.histograms("settle_wait_seconds", "Waits.", lag_buckets(&[]), ["op", "level"]).unwrap();
    let empty = page(&metrics);
    let header = "# HELP settle_writes_total Writes\\ntaken.\n# TYPE settle_writes_total counter\n";
    assert!(empty.contains(header), "{empty}");
    assert!(empty.contains("# TYPE settle_wait_seconds histogram\n"), "{empty}");
    assert!(!empty.contains("settle_writes_total{"), "{empty}");
    writes.with(["default"]).inc();
    let filled = page(&metrics);
    assert!(filled.contains(&format!("{header}settle_writes_total{{bucket=\"default\"}} 1\n")), "{filled}");
    assert_eq!(filled.matches("# TYPE settle_writes_total").count(), 1);

    let catalogue = metrics.catalogue();
    let names: Vec<&str> = catalogue.iter().map(|one| one.name.as_str()).collect();
    assert!(
        names.contains(&"process_cpu_seconds_total") && names.contains(&"settle_build_info"),
        "{names:?}"
    );
    let wait = catalogue.iter().find(|one| one.name == "settle_wait_seconds").unwrap();
    assert_eq!(
        (wait.kind, wait.labels.as_slice()),
        ("histogram", ["op".to_owned(), "level".to_owned()].as_slice())
    );
}

#[test]
fn counters_start_at_zero_and_gauges_unmeasured() {
    let metrics = metrics();
    metrics.counter("settle_misses_total", "Misses.").unwrap();
    metrics.histogram("settle_age_seconds", "Ages.", lag_buckets(&[0.7, 5.0, f64::NAN, -1.0])).unwrap();
    let lag = metrics.gauge("settle_lag_seconds", "Lag.").unwrap();
    let before = page(&metrics);
    for line in ["settle_misses_total 0\n", "settle_lag_seconds NaN\n", "settle_age_seconds_count 0\n"] {
        assert!(before.contains(line), "{before}");
    }
    assert_eq!(before.matches("settle_age_seconds_bucket{").count(), 16 + 1 + 1, "{before}");
    assert!(before.contains("settle_age_seconds_bucket{le=\"0.7\"} 0\n"), "{before}");
    lag.set(-0.25);
    assert!(page(&metrics).contains("settle_lag_seconds -0.25\n"));
}

#[test]
fn a_name_is_taken_once() {
    let metrics = metrics();
    metrics.counter("settle_x_total", "X.").unwrap();
    let error = metrics.counters("settle_x_total", "Other.", ["peer"]).unwrap_err();
    assert!(error.to_string().starts_with("metric settle_x_total cannot be registered"), "{error}");
    assert!(metrics.gauge("not a name", "Bad.").is_err());
}

#[test]
fn series_of_a_departed_peer_go() {
    let metrics = metrics();
    let reads = metrics.counters("settle_reads_total", "Reads.", ["result", "peer"]).unwrap();
    let up = metrics.gauges("settle_peer_up", "Up.", ["peer"]).unwrap();
    let other = metrics.gauges("settle_members", "Members.", ["state"]).unwrap();
    for peer in ["a", "b"] {
        reads.with(["fresh", peer]).inc();
        reads.with(["stale", peer]).inc();
        up.with([peer]).set(1.0);
    }
    other.with(["b"]).set(1.0);
    metrics.remove_series("peer", "b");
    let after = page(&metrics);
    assert!(!after.contains("peer=\"b\""), "{after}");
    assert_eq!(after.matches("peer=\"a\"").count(), 3, "{after}");
    assert!(after.contains("settle_members{state=\"b\"} 1\n"), "{after}");
    up.remove(["a"]);
    assert!(!page(&metrics).contains("settle_peer_up{"));
}

#[test]
fn a_summary_shows_its_own_quantiles() {
    let metrics = metrics();
    let quantiles = vec![(0.5, 0.25), (0.99, f64::NAN)];
    let read = move || SummaryValues { quantiles: quantiles.clone(), sum: 1.5, count: 6 };
    metrics.summary("settle_q_seconds", "Quantiles.", read).unwrap();
    let expected = "# HELP settle_q_seconds Quantiles.\n# TYPE settle_q_seconds summary\n\
                    settle_q_seconds{quantile=\"0.5\"} 0.25\nsettle_q_seconds{quantile=\"0.99\"} NaN\n\
                    settle_q_seconds_sum 1.5\nsettle_q_seconds_count 6\n";
    let page = page(&metrics);
    assert!(page.contains(expected), "{page}");
    assert!(metrics.catalogue().iter().any(|one| one.name == "settle_q_seconds" && one.kind == "summary"));
}

#[test]
fn hooks_run_before_every_page() {
    let metrics = metrics();
    let gauge = metrics.gauge("settle_scrapes", "Scrapes.").unwrap();
    let count = AtomicU64::new(0);
    metrics.on_scrape(Box::new(move || gauge.set((count.fetch_add(1, Ordering::Relaxed) + 1) as f64)));
    assert!(page(&metrics).contains("settle_scrapes 1\n"));
    assert!(page(&metrics).contains("settle_scrapes 2\n"));
}
