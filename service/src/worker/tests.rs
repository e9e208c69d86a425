//! Tests of the worker loop, on paused time.

use tokio::sync::mpsc;

use super::*;

/// Takes its steps from a script and reports each one.
struct Scripted {
    script: Vec<Result<Next, &'static str>>,
    steps: mpsc::Sender<()>,
}

impl Worker for Scripted {
    type Error = &'static str;

    fn name(&self) -> &str {
        "scripted"
    }

    async fn work(&mut self) -> Result<Next, &'static str> {
        self.steps.send(()).await.unwrap();
        if self.script.is_empty() {
            panic!("script is over");
        }
        self.script.remove(0)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

fn start(
    script: Vec<Result<Next, &'static str>>,
) -> (Workers, Shutdown, mpsc::Receiver<()>, mpsc::Receiver<String>) {
    let shutdown = Shutdown::new();
    let (steps, stepped) = mpsc::channel(64);
    let (panics, panicked) = mpsc::channel(1);
    let workers = Workers::new(shutdown.clone(), move |name, message| {
        panics.try_send(format!("{name}: {message}")).unwrap();
    });
    workers.spawn(Scripted { script, steps });
    (workers, shutdown, stepped, panicked)
}

async fn finish(workers: &Workers) -> Vec<String> {
    let mut drain = Drain::new();
    workers.drain_into(&mut drain);
    drain.finish(Duration::from_secs(1)).await
}

#[tokio::test(start_paused = true)]
async fn steps_until_done() {
    let (workers, _shutdown, mut stepped, _) = start(vec![Ok(Next::Again), Ok(Next::Wait), Ok(Next::Done)]);
    for _ in 0..3 {
        stepped.recv().await.unwrap();
    }
    assert!(finish(&workers).await.is_empty());
    assert_eq!(workers.list()[0].state, State::Done);
}

#[tokio::test(start_paused = true)]
async fn backs_off_and_recovers() {
    let script = vec![Err("disk"), Err("disk"), Ok(Next::Wait), Ok(Next::Done)];
    let (workers, _shutdown, mut stepped, _) = start(script);
    stepped.recv().await.unwrap();
    let first = tokio::time::Instant::now();
    stepped.recv().await.unwrap();
    stepped.recv().await.unwrap();
    assert!(first.elapsed() >= Duration::from_millis(300), "100 ms and 200 ms");
    stepped.recv().await.unwrap();
    let status = workers.list().remove(0);
    assert_eq!((status.errors, status.errors_in_a_row), (2, 0));
    assert_eq!(status.last_error.as_deref(), Some("disk"));
    assert_eq!((backoff(1), backoff(2), backoff(u32::MAX)), (BACKOFF_FIRST, BACKOFF_FIRST * 2, BACKOFF_MAX));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_cut_short_by_shutdown() {
    let (workers, shutdown, mut stepped, _) = start(vec![Ok(Next::Wait)]);
    stepped.recv().await.unwrap();
    shutdown.trigger();
    assert!(finish(&workers).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_poisons_and_is_told() {
    let (workers, _shutdown, _stepped, mut panicked) = start(vec![]);
    assert_eq!(panicked.recv().await.unwrap(), "scripted: script is over");
    assert_eq!(workers.list()[0].state, State::Poisoned);
}
