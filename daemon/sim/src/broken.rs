//! The one way in which a run fails.

use settle_core::codec::DecodeError;
use settle_core::storage::StorageError;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {text}")]
pub struct Broken {
    /// The property's name: a file of [`crate::invariants`], or what else went wrong.
    pub property: &'static str,
    /// What was seen, and where.
    pub text: String,
}

impl Broken {
    /// A failure of `property`.
    #[must_use]
    pub const fn new(property: &'static str, text: String) -> Self {
        Self { property, text }
    }
}

impl From<StorageError> for Broken {
    fn from(error: StorageError) -> Self {
        Self::new("storage", error.to_string())
    }
}

impl From<DecodeError> for Broken {
    fn from(error: DecodeError) -> Self {
        Self::new("codec", error.to_string())
    }
}
