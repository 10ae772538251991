//! Traces of the server for whoever runs an OpenTelemetry collector: OTLP over HTTP, and only where an address is set.
//!
//! # Source
//! The variables and the path below the address are the OpenTelemetry specification's ("OTLP Exporter Configuration");
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and
//! `OTEL_BSP_*` are read by its SDK.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use hf_core::{HttpBody, HttpRequest, HttpTransport, ReqwestTransport, SPANS, redact_url};
use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::context::{Context, own_variable};
use crate::error::{CliError, Kind};

/// The setting that holds the address.
const SETTING: &str = "serve.otlp_endpoint";
/// The variable of an address for traces alone, taken as it is.
const TRACES_VARIABLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// The longest the end of the server waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// The longest that a collector may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// The most of a collector's answer that is read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// The way to a collector.
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// The way to the collector that the settings name, if they name one.
    pub(crate) fn of(context: &Context, runtime: &Handle) -> Result<Option<Self>, CliError> {
        let Some(address) = address(context)? else {
            return Ok(None);
        };
        let failed = |error: String| {
            CliError::new(
                Kind::Usage,
                format!("cannot send traces to {}", redact_url(&address)),
            )
            .because(std::io::Error::other(error))
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Courier::new(&address, runtime))
            .with_endpoint(address.as_str())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let resource = Resource::builder();
        let named = own_variable("OTEL_SERVICE_NAME").is_some();
        let resource = if named {
            resource
        } else {
            resource.with_service_name("bashgym")
        };
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Some(Self { provider }))
    }

    /// What turns spans into what is sent. Log lines are none of it.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("bashgym"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(SPANS, LevelFilter::INFO))
    }

    /// Sends what is left, unless that takes too long.
    pub(crate) fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Puts the span of a request below the one that its `traceparent` names.
pub(crate) fn join_trace(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // Without a collector there is nothing to join.
    let _ = span.set_parent(parent);
}

/// Where spans go: the address for traces as it is, or the collector's with the path that the specification names.
fn address(context: &Context) -> Result<Option<Url>, CliError> {
    let traces = own_variable(TRACES_VARIABLE);
    let (text, whole, place) = match (traces, context.own(SETTING)) {
        (Some(text), _) => (text, true, format!("environment variable {TRACES_VARIABLE}")),
        (None, Some(text)) => (text, false, context.source_of_own(SETTING)),
        (None, None) => return Ok(None),
    };
    let wrong = |why: &str| {
        CliError::new(Kind::Usage, format!("{SETTING} ({place}): {why}"))
            .hint("name a collector that takes OTLP over HTTP, like http://127.0.0.1:4318")
    };
    let mut address: Url = text.parse().map_err(|_| wrong("this is no address"))?;
    if !matches!(address.scheme(), "http" | "https") || address.host().is_none() {
        return Err(wrong("this is no HTTP address"));
    }
    if !whole {
        let path = format!("{}/v1/traces", address.path().trim_end_matches('/'));
        address.set_path(&path);
    }
    Ok(Some(address))
}

/// Carries spans over the transport of everything else; says once that the collector is away, and once that it is back.
struct Courier {
    transport: Arc<ReqwestTransport>,
    runtime: Handle,
    shown: String,
    away: AtomicBool,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier")
            .field("to", &self.shown)
            .finish_non_exhaustive()
    }
}

impl Courier {
    fn new(address: &Url, runtime: &Handle) -> Self {
        Self {
            transport: Arc::new(ReqwestTransport::new()),
            runtime: runtime.clone(),
            shown: redact_url(address),
            away: AtomicBool::new(false),
        }
    }

    fn note(&self, why: Option<&str>) {
        let was_away = self.away.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !was_away => {
                tracing::warn!(
                    collector = self.shown,
                    why,
                    "traces are not taken; they are dropped"
                );
            }
            None if was_away => tracing::warn!(collector = self.shown, "traces are taken again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = HttpRequest {
            method: head.method,
            url: head.uri.to_string().parse()?,
            headers: head.headers,
            body: HttpBody::Full(body),
            idle_timeout: Some(SILENCE),
        };
        let transport = Arc::clone(&self.transport);
        // The exporter's own thread knows no runtime.
        let sent = self.runtime.spawn(async move {
            let response = transport.send(request).await?;
            let mut body = Vec::<u8>::new();
            let mut pieces = response.body;
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece?);
                if body.len() > LARGEST_ANSWER {
                    break;
                }
            }
            Ok::<_, hf_core::TransportError>((response.status, body))
        });
        let (status, body) = match sent.await? {
            Ok(answer) => answer,
            Err(error) => {
                self.note(Some(&error.to_string()));
                return Err(error.into());
            }
        };
        self.note((!status.is_success()).then_some(status.as_str()));
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        Ok(response)
    }
}
