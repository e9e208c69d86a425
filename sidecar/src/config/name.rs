//! The name that makes a ring of canary keys one prober's own.

use std::fmt;

/// The longest name in bytes; it is part of every canary's key.
const NAME_BYTES_MAX: usize = 63;

/// Letters, digits, dash, dot and underscore, so that it needs no escaping in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProberName(String);

// === impl ProberName ===

impl ProberName {
    /// Checks a configured name; the error says what is allowed.
    pub fn parse(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_allowed) {
            return Err(format!(
                "expected 1 to {NAME_BYTES_MAX} characters out of letters, digits, '-', '.' and '_'"
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The host's name and `run`, a number that is new at every start.
    pub fn mint(run: u64) -> Self {
        let host = host_name();
        let kept: String = host.chars().filter(|c| is_allowed(*c)).take(40).collect();
        let host = if kept.is_empty() { "sidecar" } else { kept.as_str() };
        Self(format!("{host}-{run:016x}"))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
}

/// The kernel's idea of the host's name, else the shell's.
fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default().trim().to_owned()
}
