//! What a job is asked for with.

use std::collections::BTreeMap;
use std::time::Duration;

use hf_core::{RepoId, SecretValue};
use hf_jobs::{Expose, JobImage, JobSpec, Volume};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::parts::HubConnection;
use crate::problem::{Code, Problem};

/// A job to start.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// The Docker image; `python:3.12` without it.
    image: Option<String>,
    /// A Space whose image is taken instead.
    space: Option<String>,
    /// The command.
    #[schema(min_items = 1, example = json!(["python", "-c", "print('hi')"]))]
    command: Vec<String>,
    /// The hardware, by its name; `cpu-basic` without it.
    flavor: Option<String>,
    /// The longest it may run, in seconds; an hour without it.
    #[schema(minimum = 1, maximum = 2_592_000)]
    timeout_seconds: Option<u64>,
    /// How often it is tried.
    #[schema(minimum = 1, maximum = 100)]
    attempts: Option<u32>,
    /// The environment. Whoever sees the job can read it.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Variables that the Hub encrypts. `HF_TOKEN` with null is the token for jobs, or that of this server.
    #[serde(default)]
    secrets: BTreeMap<String, Option<String>>,
    /// Labels to find it by.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// What is mounted: `hf://[datasets/|spaces/|buckets/]NAMESPACE/NAME[@REVISION][/PATH]:/MOUNT[:ro|:rw]`.
    #[serde(default)]
    volumes: Vec<String>,
    /// Ports it offers.
    #[serde(default)]
    ports: Vec<u16>,
    /// Those of them that need no token.
    #[serde(default)]
    ports_public: Vec<u16>,
    /// Start it even if its price is not known; caps then cannot count it.
    #[serde(default)]
    pub(crate) allow_unknown_price: bool,
}

impl JobRequest {
    /// The job.
    ///
    /// # Errors
    /// [`Problem`] of code `invalid`.
    pub(crate) fn spec(&self, hub: &HubConnection) -> Result<JobSpec, Problem> {
        if self.command.is_empty() {
            return Err(Problem::new(Code::Invalid, "a job needs a command"));
        }
        let image = self.image.as_deref().unwrap_or("python:3.12");
        let mut spec = JobSpec::docker(image, self.command.clone());
        match (&self.space, &self.image) {
            (Some(_), Some(_)) => {
                return Err(Problem::new(
                    Code::Invalid,
                    "a job has an image or a Space, not both",
                ));
            }
            (Some(space), None) => spec.image = JobImage::Space(RepoId::parse(space)?),
            (None, _) => {}
        }
        if let Some(flavor) = &self.flavor {
            spec.flavor.clone_from(flavor);
        }
        let seconds = self.timeout_seconds.unwrap_or(3600);
        if !(1..=2_592_000).contains(&seconds) {
            return Err(Problem::new(
                Code::Invalid,
                "timeout_seconds is 1 to 2592000, which is 30 days",
            ));
        }
        spec.timeout = Some(Duration::from_secs(seconds));
        spec.attempts = self.attempts;
        spec.environment.clone_from(&self.environment);
        for (name, value) in &self.secrets {
            let value = match (value, hub.token_of_jobs()) {
                (Some(value), _) => SecretValue::from(value.clone()),
                (None, Some(token)) if name == "HF_TOKEN" => SecretValue::from(token),
                _ => {
                    let why = "a secret without a value is HF_TOKEN, where the server has a token";
                    return Err(Problem::new(Code::Invalid, why));
                }
            };
            spec.secrets.insert(name.clone(), value);
        }
        spec.labels.clone_from(&self.labels);
        for volume in &self.volumes {
            spec.volumes.push(Volume::parse(volume)?);
        }
        if !self.ports.is_empty() || !self.ports_public.is_empty() {
            spec.expose = Some(Expose {
                ports: self.ports.clone(),
                ports_public: self.ports_public.clone(),
            });
        }
        spec.name_by_default();
        spec.validate()?;
        Ok(spec)
    }
}
