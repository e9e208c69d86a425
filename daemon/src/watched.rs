//! Background tasks whose panic must not go unnoticed: a node that lost one of them looks well and is not.
//!
//! A panic makes the node unready until it is restarted. The task is not begun anew: nobody knows what it left half
//! done.

use std::panic::resume_unwind;

use settle_service::admin::Readiness;
use settle_service::http::catch_panic;
use tokio::task::JoinHandle;

/// Runs `task`. After a panic in it, `part` of the node has failed for the rest of the process's life.
pub(crate) async fn watched(part: &str, readiness: Readiness, task: impl Future<Output = ()>) {
    watched_or(part, readiness, task, |_| {}).await;
}

/// [`watched`], with something to be done after a panic; it gets the reason.
pub(crate) async fn watched_or(
    part: &str,
    readiness: Readiness,
    task: impl Future<Output = ()>,
    on_panic: impl FnOnce(&str),
) {
    if let Err(panic) = catch_panic(task).await {
        tracing::error!(task = part, panic, "a background task panicked; the node is not ready any more");
        let reason = format!("a task panicked: {panic}");
        readiness.fail(part, reason.as_str());
        on_panic(&reason);
    }
}

/// What a task came to; a panic in it goes on here. `None` when the task was cancelled, as the runtime does at its
/// end.
pub(crate) async fn joined<T>(task: JoinHandle<T>) -> Option<T> {
    match task.await {
        Ok(result) => Some(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::spawn_blocking;

    use super::*;

    #[tokio::test]
    async fn a_panic_makes_the_node_unready_and_says_so() {
        let readiness = Readiness::new(&[]);
        let mut told = None;
        watched("quiet", readiness.clone(), async {}).await;
        assert!(readiness.is_ready());
        let task = async {
            tokio::task::yield_now().await;
            panic!("no such thing");
        };
        watched_or("echo", readiness.clone(), task, |reason| told = Some(reason.to_owned())).await;
        let expected = "a task panicked: no such thing";
        assert_eq!(told.as_deref(), Some(expected));
        assert_eq!(
            readiness.reasons(),
            [("echo".to_owned(), format!("failed: {expected}; restart the process"))]
        );
    }

    #[tokio::test]
    async fn a_panic_on_another_thread_counts_as_the_tasks_own() {
        let readiness = Readiness::new(&[]);
        let task = async { assert_eq!(joined(spawn_blocking(|| panic!("on a thread"))).await, Some(())) };
        watched("upkeep", readiness.clone(), task).await;
        assert!(readiness.reasons().first().unwrap().1.contains("on a thread"));
        let cancelled = tokio::spawn(std::future::pending::<()>());
        cancelled.abort();
        assert_eq!(joined(cancelled).await, None);
    }
}
