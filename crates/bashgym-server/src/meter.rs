//! What the server counts about itself, in the text format of Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Labels = Vec<(&'static str, String)>;

/// The counters. Labels are routes, methods and statuses: never a name, a path or anything of a request.
pub(crate) struct Meter {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    open: Gauge<i64, AtomicI64>,
}

impl Default for Meter {
    fn default() -> Self {
        let requests = Family::default();
        let seconds = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]);
        let open = Gauge::default();
        let mut registry = Registry::with_prefix("bashgym");
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until the head of an answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("http_connections", "Connections that are open", open.clone());
        Self {
            registry,
            requests,
            seconds,
            open,
        }
    }
}

impl Meter {
    /// Notes an answered request.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = vec![
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a connection as long as the returned value lives.
    pub(crate) fn connected(&self) -> impl Drop + Send + use<> {
        let open = self.open.clone();
        open.inc();
        Connected(Arc::new(open))
    }

    /// The text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Connected(Arc<Gauge<i64, AtomicI64>>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
