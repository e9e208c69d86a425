//! The metrics of one process: a registry, a catalogue of what is in it, and the text page.
//!
//! Each subsystem has a struct of its own metrics, built by a function that takes [`Metrics`] and
//! resolves the children it needs once. The catalogue exists because the registry forgets families
//! that have no series yet, while dashboards and alerts are checked against all names.

mod family;
mod summary;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, HistogramOpts, Opts, Registry, TextEncoder};
use thiserror::Error;

pub use family::{Counters, Family, Gauges, Histograms, Vector};
pub use prometheus::{Gauge, Histogram, IntCounter as Counter};
pub use summary::SummaryValues;

/// Upper bounds, in seconds, of histograms of lags, delays and the like.
const LAG_BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The registry of one process; clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    program: String,
    registry: Registry,
    catalogue: Mutex<BTreeMap<String, Described>>,
    removers: Mutex<Vec<Remover>>,
    hooks: Mutex<Vec<Hook>>,
}

/// Drops the series whose label (first argument) has the value (second argument).
type Remover = Box<dyn Fn(&str, &str) + Send + Sync>;

type Hook = Box<dyn Fn() + Send + Sync>;

/// A family that the process can emit, whether or not it has series yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The name of the family.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub kind: &'static str,
    /// The names of its labels, without `le` and `quantile`.
    pub labels: Vec<String>,
    /// What it measures and in which unit.
    pub help: String,
}

/// A metric that could not be registered: its name is bad or already taken.
#[derive(Debug, Error)]
#[error("metric {name} cannot be registered: {source}")]
pub struct MetricError {
    name: String,
    source: prometheus::Error,
}

/// The standard bounds in seconds plus `extra` ones (thresholds, deadlines), ascending.
pub fn lag_buckets(extra: &[f64]) -> Vec<f64> {
    let extra = extra.iter().copied().filter(|bound| bound.is_finite() && *bound > 0.0);
    let mut bounds: Vec<f64> = LAG_BUCKETS.into_iter().chain(extra).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}

// === impl Metrics ===

impl Metrics {
    /// A registry that already holds `settle_build_info` and `process_*`.
    pub fn new(program: &str, version: &str, revision: &str) -> Result<Self, MetricError> {
        let metrics = Self(Arc::new(Inner {
            program: program.to_owned(),
            registry: Registry::new(),
            catalogue: Mutex::default(),
            removers: Mutex::default(),
            hooks: Mutex::default(),
        }));
        let help = "Always 1; the labels say which program this is.";
        let build = metrics.gauges("settle_build_info", help, ["program", "version", "revision"])?;
        build.with([program, version, revision]).set(1.0);
        metrics.add("process", ProcessCollector::for_self())?;
        Ok(metrics)
    }

    /// The program's name, as in the label `program`.
    pub fn program(&self) -> &str {
        &self.0.program
    }

    /// A counter without labels, 0 from the start.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, MetricError> {
        let counter = Counter::with_opts(Opts::new(name, help)).map_err(failed(name))?;
        self.add(name, counter.clone())?;
        Ok(counter)
    }

    /// Counters that differ in labels; each exists from its first [`Family::with`].
    pub fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
    ) -> Result<Counters<N>, MetricError> {
        let vector = prometheus::IntCounterVec::new(Opts::new(name, help), &labels).map_err(failed(name))?;
        self.add_family(name, vector, labels)
    }

    /// A gauge without labels, NaN until it is first set.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricError> {
        let gauge = Gauge::with_opts(Opts::new(name, help)).map_err(failed(name))?;
        gauge.set(f64::NAN);
        self.add(name, gauge.clone())?;
        Ok(gauge)
    }

    /// Gauges that differ in labels; each exists, with 0, from its first [`Family::with`].
    pub fn gauges<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
    ) -> Result<Gauges<N>, MetricError> {
        let vector = prometheus::GaugeVec::new(Opts::new(name, help), &labels).map_err(failed(name))?;
        self.add_family(name, vector, labels)
    }

    /// A histogram without labels, empty from the start; `bounds` ascend.
    pub fn histogram(&self, name: &str, help: &str, bounds: Vec<f64>) -> Result<Histogram, MetricError> {
        let options = HistogramOpts::new(name, help).buckets(bounds);
        let histogram = Histogram::with_opts(options).map_err(failed(name))?;
        self.add(name, histogram.clone())?;
        Ok(histogram)
    }

    /// Histograms that differ in labels; each exists from its first [`Family::with`].
    pub fn histograms<const N: usize>(
        &self,
        name: &str,
        help: &str,
        bounds: Vec<f64>,
        labels: [&'static str; N],
    ) -> Result<Histograms<N>, MetricError> {
        let options = HistogramOpts::new(name, help).buckets(bounds);
        let vector = prometheus::HistogramVec::new(options, &labels).map_err(failed(name))?;
        self.add_family(name, vector, labels)
    }

    /// A summary without labels whose values `read` computes at every scrape, and once right here.
    pub fn summary(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> SummaryValues + Send + Sync + 'static,
    ) -> Result<(), MetricError> {
        self.add(name, summary::Summary::new(name, help, read).map_err(failed(name))?)
    }

    /// Runs `hook` before every rendering, to refresh gauges that are computed rather than counted.
    /// It must be quick and must not add hooks itself.
    pub fn on_scrape(&self, hook: Box<dyn Fn() + Send + Sync>) {
        unpoisoned(&self.0.hooks).push(hook);
    }

    /// Drops, from every family, the series where `label` is `value`: those of a departed peer.
    pub fn remove_series(&self, label: &str, value: &str) {
        unpoisoned(&self.0.removers).iter().for_each(|remove| remove(label, value));
    }

    /// Every family that this process can emit, by name.
    pub fn catalogue(&self) -> Vec<Described> {
        unpoisoned(&self.0.catalogue).values().cloned().collect()
    }

    /// The page in the text format 0.0.4, by name; families without series have HELP and TYPE only.
    pub fn render(&self) -> Vec<u8> {
        unpoisoned(&self.0.hooks).iter().for_each(|hook| hook());
        let mut sections: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for described in unpoisoned(&self.0.catalogue).values() {
            sections.insert(described.name.clone(), header(described));
        }
        for family in self.0.registry.gather() {
            let mut text = Vec::new();
            if let Err(error) = TextEncoder::new().encode(std::slice::from_ref(&family), &mut text) {
                tracing::error!(metric = family.name(), %error, "metric cannot be rendered");
                continue;
            }
            sections.insert(family.name().to_owned(), text);
        }
        sections.into_values().flatten().collect()
    }

    fn add_family<V: Vector, const N: usize>(
        &self,
        name: &str,
        vector: V,
        labels: [&'static str; N],
    ) -> Result<Family<V, N>, MetricError> {
        let family = Family::new(vector, labels);
        self.add(name, family.vector().clone())?;
        let removing = family.clone();
        unpoisoned(&self.0.removers).push(Box::new(move |label, value| removing.remove_where(label, value)));
        Ok(family)
    }

    fn add(&self, name: &str, collector: impl Collector + 'static) -> Result<(), MetricError> {
        let kinds: BTreeMap<String, &'static str> =
            collector.collect().iter().map(|family| (family.name().to_owned(), kind(family))).collect();
        let described: Vec<Described> = collector
            .desc()
            .into_iter()
            .map(|desc| Described {
                name: desc.fq_name.clone(),
                kind: kinds.get(&desc.fq_name).copied().unwrap_or("gauge"),
                labels: desc.variable_labels.clone(),
                help: desc.help.clone(),
            })
            .collect();
        self.0.registry.register(Box::new(collector)).map_err(failed(name))?;
        unpoisoned(&self.0.catalogue).extend(described.into_iter().map(|one| (one.name.clone(), one)));
        Ok(())
    }
}

fn failed(name: &str) -> impl Fn(prometheus::Error) -> MetricError {
    move |source| MetricError { name: name.to_owned(), source }
}

fn kind(family: &MetricFamily) -> &'static str {
    use prometheus::proto::MetricType;
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::GAUGE | MetricType::UNTYPED => "gauge",
    }
}

fn header(described: &Described) -> Vec<u8> {
    let Described { name, kind, help, .. } = described;
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    format!("# HELP {name} {help}\n# TYPE {name} {kind}\n").into_bytes()
}

/// A panic elsewhere must not take the metrics page with it; what these locks guard stays whole.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
