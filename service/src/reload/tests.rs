//! Tests of live reload.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::Reader;

struct Settings {
    name: String,
    limit: u64,
}

fn parse(file: &Path) -> Result<Settings, ConfigErrors> {
    let mut reader = Reader::load(Some(file), std::iter::empty())?;
    let name = reader.string("node.name", "a", "Name.");
    let limit = reader.integer("limits.keys", 1, 1..=100, "Limit.");
    reader.finish()?;
    Ok(Settings { name, limit })
}

fn changes(old: &Settings, new: &Settings) -> Changes {
    let named = |same: bool, key: &str| if same { vec![] } else { vec![key.to_owned()] };
    Changes {
        live: named(old.limit == new.limit, "limits.keys"),
        boot: named(old.name == new.name, "node.name"),
    }
}

struct Fixture {
    directory: tempfile::TempDir,
    metrics: Metrics,
    live: Live<Settings>,
    applied: Arc<AtomicUsize>,
    reloader: Reloader,
}

impl Fixture {
    /// Laid out like a mounted ConfigMap: file -> ..data/file, ..data -> a directory per version.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Metrics::new("test", "0", "none").unwrap();
        let link = directory.path().join("settle.toml");
        std::os::unix::fs::symlink("..data/settle.toml", &link).unwrap();
        write_version(directory.path(), "v1", "[limits]\nkeys = 2\n");
        let live = Live::new(parse(&link).unwrap());
        let applied = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&applied);
        let file = link.clone();
        let reloader = Reloader::new(
            &metrics,
            vec![link],
            live.clone(),
            move || parse(&file),
            changes,
            move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            },
        )
        .unwrap();
        Self { directory, metrics, live, applied, reloader }
    }

    fn write(&self, version: &str, text: &str) {
        write_version(self.directory.path(), version, text);
    }

    fn page(&self) -> String {
        String::from_utf8(self.metrics.render()).unwrap()
    }
}

/// A new version of the mounted directory, swapped in as Kubernetes does it.
fn write_version(directory: &Path, version: &str, text: &str) {
    std::fs::create_dir(directory.join(version)).unwrap();
    std::fs::write(directory.join(version).join("settle.toml"), text).unwrap();
    std::os::unix::fs::symlink(version, directory.join("..tmp")).unwrap();
    std::fs::rename(directory.join("..tmp"), directory.join("..data")).unwrap();
}

const SUCCESSFUL: &str = "settle_config_last_reload_successful{program=\"test\"}";

#[tokio::test]
async fn takes_a_good_one() {
    let fixture = Fixture::new();
    assert_eq!(fixture.live.load().limit, 2);
    assert!(fixture.page().contains(&format!("{SUCCESSFUL} 1\n")));
    fixture.write("v2", "[limits]\nkeys = 3\n");
    assert_eq!(fixture.reloader.reload("test").await.unwrap(), ["limits.keys"]);
    assert_eq!((fixture.live.get().limit, fixture.applied.load(Ordering::SeqCst)), (3, 1));
    assert!(fixture.reloader.reload("test").await.unwrap().is_empty());
}

#[tokio::test]
async fn refuses_a_wrong_one_whole() {
    let fixture = Fixture::new();
    fixture.write("v2", "[limits]\nkeys = 3\nkeyz = 4\n");
    let error = fixture.reloader.reload("test").await.unwrap_err();
    assert!(matches!(error, ReloadError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("limits.keyz"), "{error}");
    assert_eq!((fixture.live.load().limit, fixture.applied.load(Ordering::SeqCst)), (2, 0));
    assert!(fixture.page().contains(&format!("{SUCCESSFUL} 0\n")));
    fixture.write("v3", "[limits]\nkeys = 4\n");
    fixture.reloader.reload("test").await.unwrap();
    assert!(fixture.page().contains(&format!("{SUCCESSFUL} 1\n")));
}

#[tokio::test]
async fn refuses_what_needs_a_restart() {
    let fixture = Fixture::new();
    fixture.write("v2", "[node]\nname = \"b\"\n[limits]\nkeys = 3\n");
    let error = fixture.reloader.reload("test").await.unwrap_err();
    assert!(error.to_string().contains("node.name can only change with a restart"), "{error}");
    assert_eq!(fixture.live.load().limit, 2, "the part that could change must not have changed");
}

#[tokio::test]
async fn notices_a_symlink_swap() {
    let fixture = Fixture::new();
    let shutdown = Shutdown::new();
    let watch = tokio::spawn(fixture.reloader.clone().watch(shutdown.clone()));
    fixture.write("v2", "[limits]\nkeys = 7\n");
    tokio::time::timeout(Duration::from_secs(60), async {
        while fixture.live.load().limit != 7 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the change was not noticed");
    shutdown.trigger();
    watch.await.unwrap().unwrap();
}

#[tokio::test]
async fn reloads_on_hangup() {
    // Taken here as well, for until someone takes it the signal ends the process.
    let _taken = signal(SignalKind::hangup()).unwrap();
    let metrics = Metrics::new("test", "0", "none").unwrap();
    let live = Live::new(1);
    let reloader =
        Reloader::new(&metrics, vec![], live.clone(), || Ok(2), |_, _| Changes::default(), |_| {}).unwrap();
    let shutdown = Shutdown::new();
    let watch = tokio::spawn(reloader.watch(shutdown.clone()));
    tokio::time::timeout(Duration::from_secs(60), async {
        // Sent again and again, since the watch may not listen yet.
        while **live.load() != 2 {
            let id = std::process::id().to_string();
            assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the signal was not noticed");
    shutdown.trigger();
    watch.await.unwrap().unwrap();
}

#[test]
fn waits_until_a_file_is_whole() {
    let mut watched = Watched::new(Some(1));
    let readings = [Some(1), Some(2), Some(3), Some(3), Some(3), None, Some(3), Some(3), Some(1), Some(1)];
    let changes = readings.map(|reading| watched.changed(reading));
    assert_eq!(changes, [false, false, false, true, false, false, false, false, false, true]);
}
