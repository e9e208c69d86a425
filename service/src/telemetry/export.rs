//! The OTLP/HTTP exporter of spans.

use std::time::Duration;

use ::http::Uri;
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;

use super::{Identity, TelemetryError};

/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where OTLP/HTTP takes spans, below the base URL.
const TRACES_PATH: &str = "/v1/traces";

/// Runs requests on the runtime it was made in. The SDK calls it from a thread of its own, where
/// hyper would find no reactor and the spans would vanish.
#[derive(Debug)]
struct OnRuntime {
    client: HyperClient,
    runtime: Handle,
}

/// A provider that batches spans and sends them to `url`.
pub(crate) fn provider(
    url: &str,
    sample_ratio: f64,
    identity: &Identity,
) -> Result<SdkTracerProvider, TelemetryError> {
    let client = OnRuntime {
        client: HyperClient::with_default_connector(EXPORT_TIMEOUT, None),
        runtime: Handle::current(),
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(traces_url(url)?)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(identity.program.clone())
        .with_attribute(KeyValue::new("service.instance.id", identity.instance.clone()))
        .with_attribute(KeyValue::new("service.version", identity.version.clone()))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio)));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .with_sampler(sampler)
        .build())
}

/// The base URL with the path for spans, unless it has a path of its own.
pub(crate) fn traces_url(url: &str) -> Result<String, TelemetryError> {
    let uri: Uri = url.parse().map_err(|_| TelemetryError::Endpoint)?;
    if uri.scheme_str() != Some("http") || uri.authority().is_none() {
        return Err(TelemetryError::Endpoint);
    }
    let bare = url.trim_end_matches('/');
    Ok(if uri.path() == "/" { format!("{bare}{TRACES_PATH}") } else { bare.to_owned() })
}

// === impl OnRuntime ===

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
