//! What the end of a job means, and what a refusal lacks.

use super::{HfError, Quota};
use crate::error::scrub_secrets;

impl HfError {
    /// Turns the end of a job that did not succeed into its meaning.
    ///
    /// `cancel_reason` is `status.cancelReason` of the job: `NO_CREDITS` and `RESOURCE_GROUP_LIMIT` are
    /// [`HfError::QuotaExceeded`], `NO_SUBSCRIPTION` is [`HfError::ProRequired`], anything else [`HfError::JobFailed`].
    ///
    /// # Source
    /// Hub `OpenAPI`, the job object. That a job without credit ends as `CANCELED` with `NO_CREDITS` is inferred from it.
    pub fn from_job_end(
        job_id: &str,
        stage: &str,
        message: Option<&str>,
        cancel_reason: Option<&str>,
    ) -> Self {
        let said = message.map(scrub_secrets).filter(|text| !text.is_empty());
        let told = |reason: &str| match &said {
            Some(said) => format!("job {job_id} ended as {stage} ({reason}): {said}"),
            None => format!("job {job_id} ended as {stage} ({reason})"),
        };
        match cancel_reason {
            Some(reason @ "NO_CREDITS") => Self::QuotaExceeded {
                resource: Quota::Credit,
                message: told(reason),
                context: None,
            },
            Some(reason @ "RESOURCE_GROUP_LIMIT") => Self::QuotaExceeded {
                resource: Quota::ResourceGroup,
                message: told(reason),
                context: None,
            },
            Some(reason @ "NO_SUBSCRIPTION") => Self::ProRequired {
                feature: "this job".to_owned(),
                message: told(reason),
                context: None,
            },
            other => {
                let reason = other.map(scrub_secrets);
                Self::JobFailed {
                    job_id: job_id.to_owned(),
                    stage: stage.to_owned(),
                    message: match (said, reason) {
                        (Some(said), Some(reason)) => Some(format!("{said} ({reason})")),
                        (said, reason) => said.or(reason),
                    },
                }
            }
        }
    }

    /// The permissions a 403 says the token lacks, such as `job.write`; empty when it names none.
    ///
    /// # Source
    /// Recorded replies: `… on namespace X, missing permissions: job.write.`, and Inference Providers' `This
    /// authentication method does not have sufficient permissions to call Inference Providers on behalf of user ada`.
    pub fn missing_permissions(&self) -> Vec<String> {
        let Self::Forbidden { context } = self else {
            return Vec::new();
        };
        let message = context.server_message.as_deref().unwrap_or_default();
        if let Some((_, list)) = message.rsplit_once("missing permissions:") {
            let name_like = |text: &&str| {
                !text.is_empty()
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            };
            return list
                .split([',', ' '])
                .map(|text| text.trim().trim_end_matches('.'))
                .filter(name_like)
                .map(str::to_owned)
                .collect();
        }
        if message.contains("sufficient permissions to call Inference Providers") {
            return vec!["inference.serverless.write".to_owned()];
        }
        Vec::new()
    }
}
