//! One call, from its beginning to its record.

use std::time::Duration;

use jiff::Timestamp;

use super::HfInferenceClient;
use crate::chat::WireUsage;
use crate::cost::{Cost, Usage};
use crate::error::InferenceError;
use crate::provider::Provider;
use crate::report::{Attempt, AttemptEnd, CallRecord, CallReport, millis};

/// One call. However it ends, also when its caller goes away, it is recorded once.
pub(crate) struct Call {
    client: HfInferenceClient,
    at: Timestamp,
    pub(super) began: Duration,
    pub(super) model: String,
    pub(super) task: &'static str,
    purpose: Option<String>,
    pub(super) attempts: Vec<Attempt>,
    /// Who answered, where that is known.
    pub(super) served_by: Option<Provider>,
    recorded: bool,
}

impl HfInferenceClient {
    pub(super) fn begin(&self, model: &str, task: &'static str, purpose: Option<String>) -> Call {
        Call {
            client: self.clone(),
            at: self.inner.clock.now(),
            began: self.inner.clock.elapsed(),
            model: model.to_owned(),
            task,
            purpose,
            attempts: Vec::new(),
            served_by: None,
            recorded: false,
        }
    }

    /// What the tokens cost, as far as anybody says.
    async fn cost_of(&self, model: &str, provider: Option<&Provider>, usage: Option<&WireUsage>) -> Cost {
        let Some(usage) = usage else {
            return Cost::Unknown;
        };
        if let Some(reported) = usage.reported {
            return Cost::Reported(reported);
        }
        let Some(provider) = provider else {
            return Cost::Unknown;
        };
        let Ok(catalog) = self.inner.catalog.get().await else {
            return Cost::Unknown;
        };
        catalog
            .model(model)
            .and_then(|known| known.price_at(provider))
            .and_then(|price| price.cost(usage.usage))
            .map_or(Cost::Unknown, Cost::RoutePrice)
    }
}

impl Call {
    fn report(&self, usage: Option<Usage>, cost: Cost) -> CallReport {
        CallReport {
            model: self.model.clone(),
            task: self.task.to_owned(),
            provider: self.served_by.clone(),
            attempts: self.attempts.clone(),
            usage,
            cost,
            millis: millis(self.client.inner.clock.elapsed().saturating_sub(self.began)),
        }
    }

    fn record_of(&self, succeeded: bool, report: CallReport) -> CallRecord {
        CallRecord {
            at: self.at,
            purpose: self.purpose.clone(),
            bill_to: self.client.inner.config.bill_to.clone(),
            succeeded,
            report,
        }
    }

    async fn record(&mut self, succeeded: bool, report: &CallReport) {
        self.recorded = true;
        if let Some(observer) = &self.client.inner.observer {
            observer.record(&self.record_of(succeeded, report.clone())).await;
        }
    }

    /// The call was answered, whole.
    pub(crate) async fn finish(mut self, usage: Option<WireUsage>) -> CallReport {
        let cost = self
            .client
            .cost_of(&self.model, self.served_by.as_ref(), usage.as_ref())
            .await;
        let report = self.report(usage.map(|wire| wire.usage), cost);
        self.record(true, &report).await;
        report
    }

    /// The answer broke off after its first content.
    pub(crate) async fn break_off(mut self) -> CallReport {
        if let Some(last) = self.attempts.last_mut() {
            last.end = AttemptEnd::BrokeOff;
        }
        let report = self.report(None, Cost::Unknown);
        self.record(false, &report).await;
        report
    }

    /// The call failed.
    pub(crate) async fn fail(mut self, error: InferenceError) -> InferenceError {
        let report = self.report(None, Cost::Unknown);
        // What never left this machine is no call.
        if !self.attempts.is_empty() {
            self.record(false, &report).await;
        }
        self.recorded = true;
        error
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.recorded || self.attempts.is_empty() {
            return;
        }
        if let Some(last) = self.attempts.last_mut()
            && last.end == AttemptEnd::Answered
        {
            last.end = AttemptEnd::Dropped;
        }
        let Some(observer) = self.client.inner.observer.clone() else {
            return;
        };
        let record = self.record_of(false, self.report(None, Cost::Unknown));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { observer.record(&record).await });
        }
    }
}
