//! The few settings most training jobs need.

use std::collections::BTreeMap;
use std::time::Duration;

use hf_core::{HfError, SecretValue};

use crate::spec::JobSpec;

/// The few settings most training jobs need; [`JobSpec`] has them all.
#[derive(Debug, Clone)]
pub struct HfJobConfig {
    /// The hardware, by its name in [`JobHardware`](crate::JobHardware).
    pub hardware: String,
    /// The longest the job may run.
    pub timeout_minutes: u32,
    /// The Docker image.
    pub docker_image: String,
    /// The environment, which others can read.
    pub environment: BTreeMap<String, String>,
    /// The secrets, which the Hub encrypts.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Labels to find the job by.
    pub labels: BTreeMap<String, String>,
}

impl Default for HfJobConfig {
    fn default() -> Self {
        Self {
            hardware: "a10g-small".to_owned(),
            timeout_minutes: 30,
            docker_image: "huggingface/transformers-pytorch-gpu".to_owned(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl HfJobConfig {
    /// The job that runs `command` under these settings.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] as of [`JobSpec::validate`].
    pub fn job<S: Into<String>>(&self, command: impl IntoIterator<Item = S>) -> Result<JobSpec, HfError> {
        let mut spec = JobSpec::docker(&self.docker_image, command);
        spec.flavor.clone_from(&self.hardware);
        spec.timeout = Some(Duration::from_secs(60 * u64::from(self.timeout_minutes)));
        spec.environment = self.environment.clone();
        spec.secrets = self.secrets.clone();
        spec.labels = self.labels.clone();
        spec.validate()?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_a_job() {
        let wire = HfJobConfig::default()
            .job(["python", "train.py"])
            .unwrap()
            .to_wire();
        assert_eq!(wire["flavor"], "a10g-small");
        assert_eq!(wire["timeoutSeconds"], 1800);
        assert_eq!(wire["dockerImage"], "huggingface/transformers-pytorch-gpu");
    }

    #[test]
    fn no_time_is_refused() {
        let config = HfJobConfig {
            timeout_minutes: 0,
            ..HfJobConfig::default()
        };
        assert!(matches!(config.job(["x"]), Err(HfError::InvalidArgument { .. })));
    }
}
