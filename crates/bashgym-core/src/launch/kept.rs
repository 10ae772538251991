//! Jobs that the Hub makes from what it kept: a duplicate, or a run of a schedule that is asked for now.

use hf_core::HfError;
use hf_jobs::{JobInfo, SubmissionState};
use uuid::Uuid;

use super::event::LaunchError;
use super::record::{LaunchPrice, LaunchRecord};
use super::scheduled::worst;
use super::start::{JobStarter, Work};
use super::view::JobView;
use crate::ledger::{Budget, ReserveRequest, Service, Settlement};

impl JobStarter {
    /// Starts a job of which the Hub keeps the request: its worst case is set aside first, and `send` is awaited once. After an unclear
    /// answer the worst case counts as spent; where the Hub made no job it is given back.
    ///
    /// # Errors
    /// [`LaunchError::Budget`] where a cap has no room; [`LaunchError::Unknown`] after an unclear answer; else
    /// [`LaunchError::NotCreated`].
    pub async fn start_kept(
        &self,
        work: &Work,
        price: LaunchPrice,
        send: impl Future<Output = Result<JobInfo, HfError>> + Send,
    ) -> Result<JobInfo, LaunchError> {
        let key = format!("again-{}", Uuid::now_v7());
        let request = ReserveRequest {
            key: key.clone(),
            service: Service::Jobs,
            run: None,
            purpose: work.purpose(),
            worst: worst(price)?,
            allow_unknown_price: price.allow_unknown,
        };
        self.ledger.reserve(request).await?;
        match send.await {
            Ok(job) => {
                let now = self.runner.client().clock().now();
                let record = LaunchRecord {
                    intent: key,
                    version: 0,
                    hub: self.hub.clone(),
                    namespace: self.runner.namespace().to_string(),
                    run: None,
                    created_at: now,
                    updated_at: now,
                    request: serde_json::Value::Null,
                    price,
                    submission: SubmissionState::Created {
                        job_id: job.id.clone(),
                        at: now,
                    },
                    view: JobView::new(false, price.timeout_secs),
                    settled: false,
                };
                if let Err(error) = self.store.create_launch(&record).await {
                    tracing::warn!(%error, "a job could not be noted; what it costs stays reserved");
                }
                Ok(job)
            }
            Err(error) if error.is_ambiguous() => {
                // Where even that fails, it stays reserved.
                let _ = self.ledger.settle(&key, Settlement::UNKNOWN).await;
                Err(LaunchError::Unknown(error))
            }
            Err(error) => {
                let _ = self.ledger.release(&key, "the Hub made no job").await;
                Err(LaunchError::NotCreated(error))
            }
        }
    }
}
