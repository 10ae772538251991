//! What goes to the Hub with a job: scripts and folders of this machine, behind the secret gate.

use bashgym_core::publish::PublishGate;
use hf_core::HfError;
use hf_jobs::{HfJobRunner, JobSpec, UvScript};

use super::options::LocalFolder;
use super::submit::Jobs;
use crate::error::CliError;
use crate::gate::HomeGate;

/// Sends what a job needs of this machine, and leaves its request whole.
pub(crate) struct Shipper {
    runner: HfJobRunner,
    gate: PublishGate,
}

impl Shipper {
    /// Opens the gate of this home; it also looks for the values of the job's own secrets.
    pub(crate) fn open(spec: &JobSpec, jobs: &Jobs<'_>) -> Result<Self, CliError> {
        let secrets = spec.secrets.values().map(|secret| secret.expose().to_owned());
        let home = HomeGate::open(jobs.context)?.with_known(secrets);
        let gate = PublishGate::new(home.inspector());
        Ok(Self {
            runner: jobs.runner.clone().with_gate(gate.upload_gate()),
            gate,
        })
    }

    /// Sends folders and mounts the copies.
    pub(crate) async fn folders(&self, folders: &[LocalFolder], spec: &mut JobSpec) -> Result<(), CliError> {
        for local in folders {
            let sent = self
                .runner
                .ship_folder(&local.folder, &local.mount_path, local.read_only)
                .await;
            spec.volumes.push(sent.map_err(|error| self.explain(error))?);
        }
        Ok(())
    }

    /// Sends a script's files and sets the job's command.
    pub(crate) async fn script(&self, script: &UvScript, spec: JobSpec) -> Result<JobSpec, CliError> {
        let prepared = self.runner.prepare_uv(script, spec).await;
        prepared.map_err(|error| self.explain(error))
    }

    /// What the gate says, where it was the gate.
    fn explain(&self, error: HfError) -> CliError {
        self.gate
            .refusal()
            .map_or_else(|| CliError::from(error), CliError::from)
    }
}
