//! The report's arithmetic and its two forms.

use super::*;

fn round(operations_per_second: f64, server_cpu_us: f64) -> Round {
    Round {
        operations_per_second,
        p50_ms: 1.0,
        p99_ms: 2.0,
        server_cpu_us,
        generator_cpu_us: 5.0,
        generator_cores: 0.2,
        idle_system_cores: 0.01,
        failed: 0,
        first_failure: None,
    }
}

fn report() -> Report {
    let measured = |system, rounds| Measured { system, rounds };
    let comparison = Comparison::new(
        Operation::Write,
        [
            measured(System::Settle, vec![round(300.0, 30.0), round(100.0, 50.0), round(500.0, 40.0)]),
            measured(System::Etcd, vec![round(100.0, 300.0), round(50.0, 100.0), round(100.0, 400.0)]),
        ]
        .into_iter(),
    );
    let settings = Settings {
        cores: 2,
        directory: "/data".to_owned(),
        file_system: "ext4".to_owned(),
        disk_sync_us: 450,
        nodes: NODES,
        connections: 64,
        generator_threads: 1,
        rounds: 3,
        seconds: 4.0,
        warm_up_seconds: 1.0,
        keys: 10,
        value_bytes: 100,
        write_level: "quorum".to_owned(),
    };
    Report::new(settings, &[], vec![comparison])
}

#[test]
fn ratios_pair_the_rounds() {
    let report = report();
    let ratio = report.results[0].ratio.as_ref().unwrap();
    // Of the rounds' quotients 3, 2 and 5; the quotient of the medians would be 3 as well, their
    // extremes 1 to 10 would not.
    assert_eq!(ratio.operations_per_second, Spread { median: 3.0, min: 2.0, max: 5.0 });
    assert_eq!(ratio.server_cpu, Spread { median: 0.1, min: 0.1, max: 0.5 });
}

#[test]
fn one_system_alone_has_no_ratio() {
    let alone = Measured { system: System::Etcd, rounds: vec![round(1.0, 1.0)] };
    assert!(Comparison::new(Operation::Read, std::iter::once(alone)).ratio().is_none());
}

#[test]
fn the_table_shows_spreads_and_a_saturated_generator() {
    let mut report = report();
    let table = report.table().unwrap();
    assert!(table.contains("300 (100-500)") && table.contains("3.00 (2.00-5.00)"), "{table}");
    assert!(!table.contains("may be the limit"), "{table}");
    for round in &mut report.results[0].measured[0].rounds {
        round.generator_cores = 0.95;
    }
    let table = report.table().unwrap();
    assert!(table.contains("settle: the load generator used 95 %"), "{table}");
}

#[test]
fn json_holds_every_round_and_the_ratio() {
    let value = serde_json::to_value(report()).unwrap();
    let write = &value["results"][0];
    assert_eq!(write["operation"], "write");
    assert_eq!(write["measured"][1]["system"], "etcd");
    assert_eq!(write["measured"][1]["rounds"][2]["server_cpu_us"], 400.0);
    assert_eq!(write["ratio"]["operations_per_second"]["median"], 3.0);
    assert_eq!(value["settings"]["file_system"], "ext4");
}
