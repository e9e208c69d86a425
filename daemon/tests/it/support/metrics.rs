//! A page of metrics, to look values up in.

/// What `/metrics` returned.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// The value of a series by its name with labels as the page shows them, such as `settle_peer_up{peer="n2"}`.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The value of a series that must be there.
    #[track_caller]
    pub(crate) fn expect(&self, series: &str) -> f64 {
        self.value(series).unwrap_or_else(|| panic!("{series} is not in\n{}", self.0))
    }
}
