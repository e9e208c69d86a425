//! Logs to standard error and, when an endpoint is configured, traces over OTLP/HTTP.

mod export;

use std::io::IsTerminal as _;
use std::time::Duration;

use ::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Reader;

/// How long the end of the process waits for the last spans to leave.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// The section `[telemetry]`, which is the same in every program.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Directives such as `info` or `info,settle_daemon=debug`.
    pub log: String,
    /// Base URL of a collector, `http://host:4318`; none: no traces, at no cost.
    pub otlp_endpoint: Option<String>,
    /// The part of traces begun here that is kept, 0 to 1; a caller's decision is followed.
    pub sample_ratio: f64,
}

/// Who the spans are from.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `service.name`.
    pub program: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `service.version`.
    pub version: String,
}

/// The running telemetry; keep it to change the level and to flush at the end.
#[derive(Debug)]
pub struct Telemetry {
    level: Handle<EnvFilter, Registry>,
    provider: Option<SdkTracerProvider>,
}

/// Telemetry could not be set up or changed.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log directives are not understood.
    #[error("log level not understood: {0}; use error, warn, info, debug, trace, or target=level pairs")]
    Level(String),
    /// The endpoint is no URL that spans can be sent to. Its text is left out: it may hold a password.
    #[error("expected a URL such as \"http://127.0.0.1:4318\", without TLS")]
    Endpoint,
    /// The exporter refused its settings.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
    /// Something else in this process has already taken the global subscriber.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Sets up logging, and traces if wanted, for the whole process. Must be called within a tokio
/// runtime, which then carries the export.
pub fn init(settings: &Settings, identity: &Identity) -> Result<Telemetry, TelemetryError> {
    let (filter, level) = reload::Layer::new(parse_level(&settings.log)?);
    let provider = settings
        .otlp_endpoint
        .as_deref()
        .map(|url| export::provider(url, settings.sample_ratio, identity))
        .transpose()?;
    // The log level filters the log only: at level "warn" the traces must still be whole.
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("settle");
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_filter(LevelFilter::INFO)
    });
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if std::io::stderr().is_terminal() {
        logs.boxed()
    } else {
        logs.json().flatten_event(true).with_span_list(false).boxed()
    };
    Registry::default()
        .with(logs.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    Ok(Telemetry { level, provider })
}

/// Writes the trace of `span` into headers, so that the receiver's spans become its children.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
}

/// Makes `span`, not yet entered, a child of the trace in the headers, if there is one.
pub fn accept_parent(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Refused when traces are off, or when the span has already begun: then it is its own root.
        let _refused = span.set_parent(parent);
    }
}

/// The trace id of `span` in hexadecimal, when traces are on.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    span_context.is_valid().then(|| span_context.trace_id().to_string())
}

fn parse_level(log: &str) -> Result<EnvFilter, TelemetryError> {
    if log.trim().is_empty() {
        return Err(TelemetryError::Level("it is empty".to_owned()));
    }
    EnvFilter::try_new(log).map_err(|error| TelemetryError::Level(error.to_string()))
}

// === impl Settings ===

impl Settings {
    /// Reads and checks the section. The log level may change live, the rest needs a restart.
    pub fn read(reader: &mut Reader) -> Self {
        let log = reader.string(
            "telemetry.log",
            "info",
            "What to log: error, warn, info, debug or trace, also per target: \"info,settle_daemon=debug\".",
        );
        if let Err(error) = parse_level(&log) {
            reader.reject("telemetry.log", error);
        }
        let otlp_endpoint = reader.optional_string(
            "telemetry.otlp_endpoint",
            "http://127.0.0.1:4318",
            "Where to send traces (OTLP over HTTP); without it there are none.",
        );
        if let Some(Err(error)) = otlp_endpoint.as_deref().map(export::traces_url) {
            reader.reject("telemetry.otlp_endpoint", error);
        }
        let sample_ratio =
            reader.ratio("telemetry.sample_ratio", 1.0, "The part of traces begun here that is kept.");
        Self { log, otlp_endpoint, sample_ratio }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Changes what is logged from now on.
    pub fn set_level(&self, log: &str) -> Result<(), TelemetryError> {
        let filter = parse_level(log)?;
        self.level.reload(filter).map_err(|error| TelemetryError::Level(error.to_string()))
    }

    /// Sends the spans still held, at most for a few seconds, and stops exporting.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        // The provider blocks its thread until the export, which runs on this runtime, is over.
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_DEADLINE)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "last spans were not exported"),
            Err(error) => tracing::warn!(%error, "last spans were not exported"),
        }
    }
}

#[cfg(test)]
mod tests;
