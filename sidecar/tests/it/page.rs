//! The page for people counts what the metrics count, under the same names.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, Mode};
use crate::sidecar::{Running, number, peer};

/// Short deadlines and laps: canaries expire and slots are read again within a test.
const SETTINGS: &str =
    "[probe]\ninterval = \"50ms\"\nkeys = 16\ndeadline = \"700ms\"\nbudget_per_second = 5000\n";

const COUNTS: [(&str, &str, &str); 5] = [
    ("stale", "reads", "result"),
    ("missing", "reads", "result"),
    ("error", "reads", "result"),
    ("expired", "canaries", "outcome"),
    ("unreachable", "canaries", "outcome"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_the_page_are_those_of_the_metrics() {
    let late = Mode::Delayed(Duration::from_millis(300));
    let cluster = Cluster::start(&[late, Mode::Refusing, Mode::CutOff(Instant::now())]).await;
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    let all = |state: &Value| {
        let some = |name: &str, group: &str, count: &str| number(&peer(state, name)[group][count]) >= 1.0;
        !peer(state, "n4").is_null()
            && some("n2", "reads", "stale")
            && some("n2", "reads", "missing")
            && some("n3", "reads", "error")
            && some("n3", "canaries", "unreachable")
            && some("n4", "canaries", "expired")
    };
    sidecar.until("something of everything", all).await;
    // They only rise: what the page says lies between what the metrics say before and after.
    let before = metrics(&sidecar).await;
    let (_, page) = sidecar.get("/").await;
    let after = metrics(&sidecar).await;
    let shown = table(&page);
    for (key, least) in &before {
        let shown = shown.get(key).unwrap_or_else(|| panic!("{key:?} is not in\n{page}"));
        let most = &after[key];
        assert!(least <= shown && shown <= most, "{key:?}: {least} {shown} {most}\n{page}");
    }
    sidecar.stop().await;
}

/// By peer and name of the count.
type Table = BTreeMap<(String, String), f64>;

async fn metrics(sidecar: &Running) -> Table {
    let mut table = Table::new();
    for name in ["n2", "n3", "n4"] {
        for (count, family, label) in COUNTS {
            // Labels stand in the order of the alphabet.
            let series = match label {
                "outcome" => format!("settle_probe_{family}_total{{outcome=\"{count}\",peer=\"{name}\"}}"),
                _ => format!("settle_probe_{family}_total{{peer=\"{name}\",{label}=\"{count}\"}}"),
            };
            let value = sidecar.metric(&series).await.unwrap_or_else(|| panic!("no {series}"));
            table.insert((name.to_owned(), count.to_owned()), value);
        }
    }
    table
}

/// The counts in the table of the page.
fn table(page: &str) -> Table {
    let mut lines = page.lines().skip_while(|line| !line.starts_with("peer "));
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let columns = cells(lines.next().unwrap());
    let rows = lines.take_while(|line| !line.is_empty()).map(cells);
    let mut table = Table::new();
    for row in rows {
        assert_eq!(row.len(), columns.len(), "{row:?}");
        for (column, cell) in columns.iter().zip(&row) {
            if COUNTS.iter().any(|(count, ..)| count == column) {
                table.insert((row[0].clone(), column.clone()), cell.parse().unwrap());
            }
        }
    }
    table
}
