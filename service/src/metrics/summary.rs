//! A metric of type summary whose quantiles the program computes itself, over a window of its own.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

/// What a summary shows at one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryValues {
    /// Pairs of quantile (0 to 1) and value; the value is NaN when the window is empty.
    pub quantiles: Vec<(f64, f64)>,
    /// Sum of all observations since the process started.
    pub sum: f64,
    /// Number of all observations since the process started.
    pub count: u64,
}

/// Asks `read` for the values at every scrape.
pub(crate) struct Summary<F> {
    desc: Desc,
    read: F,
}

// === impl Summary ===

impl<F: Fn() -> SummaryValues + Send + Sync> Summary<F> {
    pub(crate) fn new(name: &str, help: &str, read: F) -> Result<Self, prometheus::Error> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, read })
    }
}

impl<F: Fn() -> SummaryValues + Send + Sync> Collector for Summary<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let values = (self.read)();
        let quantile = |(at, value): (f64, f64)| {
            let mut quantile = proto::Quantile::default();
            quantile.set_quantile(at);
            quantile.set_value(value);
            quantile
        };
        let mut summary = proto::Summary::default();
        summary.set_quantile(values.quantiles.into_iter().map(quantile).collect());
        summary.set_sample_sum(values.sum);
        summary.set_sample_count(values.count);
        let mut metric = proto::Metric::default();
        metric.set_summary(summary);
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
