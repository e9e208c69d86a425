//! What happened, as a hash that two runs can be compared by, and as text when somebody wants to read it.

use std::fmt;
use std::io::Write;

/// Collects the events of one run.
pub struct Trace {
    hash: u64,
    step: u64,
    text: Option<Box<dyn Write>>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("hash", &self.hash).field("step", &self.step).finish_non_exhaustive()
    }
}

impl Trace {
    /// A trace that also writes each event to `text`, if given.
    #[must_use]
    pub fn new(text: Option<Box<dyn Write>>) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, step: 0, text }
    }

    /// The hash of everything so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of the current step.
    #[must_use]
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// Begins the next step.
    pub fn next_step(&mut self) {
        self.step += 1;
    }

    /// Adds numbers to the hash.
    pub fn mix(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.hash = (self.hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    /// Writes an event down, if the run is read by somebody.
    pub fn note(&mut self, event: impl FnOnce() -> String) {
        let step = self.step;
        if let Some(text) = &mut self.text {
            // A reader that went away does not change the run.
            let _ = writeln!(text, "{step:>5}  {}", event());
        }
    }
}
