//! Metrics of one name that differ in their labels; the number of labels is checked by the compiler.

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec};

/// Counters of one name with `N` labels.
pub type Counters<const N: usize> = Family<IntCounterVec, N>;

/// Gauges of one name with `N` labels.
pub type Gauges<const N: usize> = Family<GaugeVec, N>;

/// Histograms of one name with `N` labels.
pub type Histograms<const N: usize> = Family<HistogramVec, N>;

/// Metrics of one name with `N` labels. Resolve children once where their labels are known early:
/// finding one by its labels takes a lock and a hash.
#[derive(Debug, Clone)]
pub struct Family<V, const N: usize> {
    vector: V,
    labels: [&'static str; N],
}

/// What the three kinds of vectors have in common.
pub trait Vector: Collector + Clone + 'static {
    /// The metric of one set of label values.
    type Child;

    /// The child with these label values, created when it is new.
    fn child(&self, values: &[&str]) -> Self::Child;

    /// Drops the child with these label values, if there is one.
    fn drop_child(&self, values: &[&str]);
}

// === impl Family ===

impl<V: Vector, const N: usize> Family<V, N> {
    pub(crate) fn new(vector: V, labels: [&'static str; N]) -> Self {
        Self { vector, labels }
    }

    pub(crate) fn vector(&self) -> &V {
        &self.vector
    }

    /// The metric with these label values, in the order of the labels, created when it is new.
    pub fn with(&self, values: [&str; N]) -> V::Child {
        self.vector.child(&values)
    }

    /// Drops one series. A child resolved earlier goes on counting, but is no longer shown.
    pub fn remove(&self, values: [&str; N]) {
        self.vector.drop_child(&values);
    }

    /// Drops all series where `label` is `value`.
    pub fn remove_where(&self, label: &str, value: &str) {
        if !self.labels.contains(&label) {
            return;
        }
        for metric in self.vector.collect().iter().flat_map(|family| family.get_metric()) {
            let value_of = |name: &str| {
                metric.get_label().iter().find(|pair| pair.name() == name).map(|pair| pair.value())
            };
            if value_of(label) == Some(value) {
                let values: Vec<&str> = self.labels.iter().filter_map(|name| value_of(name)).collect();
                self.vector.drop_child(&values);
            }
        }
    }
}

// === impl Vector ===

/// `with_label_values` panics only on a wrong number of labels, which [`Family`] rules out.
macro_rules! vector {
    ($vector:ty, $child:ty) => {
        impl Vector for $vector {
            type Child = $child;

            fn child(&self, values: &[&str]) -> $child {
                self.with_label_values(values)
            }

            fn drop_child(&self, values: &[&str]) {
                // The only failure is that there is no such child, which is what was wanted.
                let _absent = self.remove_label_values(values);
            }
        }
    };
}

vector!(IntCounterVec, IntCounter);
vector!(GaugeVec, Gauge);
vector!(HistogramVec, Histogram);
