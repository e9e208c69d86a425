//! Lines of the log that would come again and again: one per reason and minute, with the number of those left out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines of one reason.
pub const QUIET: Duration = Duration::from_secs(60);

/// Reasons remembered at once; some are made of what strangers send. What does not fit is not said.
const REASONS_MAX: usize = 256;

/// What was said last, by reason.
#[derive(Debug, Default)]
pub struct Calm(Mutex<HashMap<String, Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    left_out: u64,
}

// === impl Calm ===

impl Calm {
    /// Whether a line about `reason` is to be written now; if so, how many were left out since the one before.
    pub fn says(&self, reason: &str) -> Option<u64> {
        let now = Instant::now();
        let is_old = |said: &Said| now.duration_since(said.at) >= QUIET;
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = reasons.get_mut(reason) {
            if !is_old(said) {
                said.left_out += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.left_out));
        }
        if reasons.len() >= REASONS_MAX {
            reasons.retain(|_, said| !is_old(said));
        }
        if reasons.len() >= REASONS_MAX {
            return None;
        }
        reasons.insert(reason.to_owned(), Said { at: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_reason_and_minute() {
        let calm = Calm::default();
        assert_eq!(
            [calm.says("a"), calm.says("a"), calm.says("b"), calm.says("a")],
            [Some(0), None, Some(0), None]
        );
        tokio::time::advance(QUIET).await;
        assert_eq!([calm.says("a"), calm.says("a"), calm.says("b")], [Some(2), None, Some(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_cannot_make_it_grow_or_be_silent_for_ever() {
        let calm = Calm::default();
        let said = (0..10 * REASONS_MAX).filter(|number| calm.says(&number.to_string()).is_some()).count();
        assert_eq!(said, REASONS_MAX);
        tokio::time::advance(QUIET).await;
        assert_eq!(calm.says("new"), Some(0));
    }
}
