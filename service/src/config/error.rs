//! Configuration errors: all of them at once, each with the place and the key.

use std::fmt;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file or the environment variable to change.
    pub place: String,
    /// The key in dotted form, empty when the whole file is meant.
    pub key: String,
    /// What is wrong and what to do. Never holds a text that may be a secret.
    pub problem: String,
}

/// Everything wrong with the configuration; never empty when returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.problem)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.problem)
        }
    }
}

// === impl ConfigErrors ===

impl ConfigErrors {
    /// A single error about a whole file or variable.
    pub(crate) fn one(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(vec![ConfigError { place: place.into(), key: String::new(), problem: problem.into() }])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "configuration error: {only}"),
            all => {
                write!(f, "{} configuration errors:", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  - {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}
