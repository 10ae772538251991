//! What drives a run for a command: the service, where its events go, and what Ctrl-C does.

use std::sync::Arc;

use async_trait::async_trait;
use bashgym_core::events::{EventSink, RunEvent};
use bashgym_core::ledger::Ledger;
use bashgym_core::run::{RunContext, RunId, RunService};
use bashgym_core::store::RunStore;
use bashgym_core::trainer::TrainingBackend;
use bashgym_store::SqlStore;
use hf_jobs::HfJobRunner;

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::job_token;
use crate::progress::RunScreen;
use crate::student::EngineSampler;

/// What is said of a run that Ctrl-C ended here.
pub(crate) async fn interrupted(
    cancel: bool,
    context: &Context,
    connection: &Connection,
    store: &dyn RunStore,
    id: RunId,
) -> Result<(), CliError> {
    let job = store
        .find_run(id)
        .await?
        .and_then(|record| record.state.job_id().map(str::to_owned));
    let again = "the same command again goes on where it stopped";
    match job {
        Some(job) if cancel => {
            let runner = HfJobRunner::new(&connection.client, connection.namespace.clone());
            runner.cancel_job(&job.parse()?).await?;
            Err(CliError::new(Kind::Interrupted, format!("interrupted; job {job} is cancelled")).hint(again))
        }
        Some(job) => Err(
            CliError::new(Kind::Interrupted, format!("detached; job {job} goes on"))
                .hint(format!("follow it: bashgym jobs logs -f {job}"))
                .hint(format!("end it: bashgym jobs cancel {job}"))
                .hint(again),
        ),
        None => {
            context.output.note("No job was submitted yet.");
            Err(CliError::new(Kind::Interrupted, "interrupted").hint(again))
        }
    }
}

/// Prints events as JSON, or draws them.
pub(crate) struct Sink<'a> {
    pub(crate) context: &'a Context,
    pub(crate) screen: &'a RunScreen,
}

#[async_trait]
impl EventSink for Sink<'_> {
    async fn emit(&self, event: RunEvent) {
        // A reader that went away does not stop the run.
        if self.context.output.is_json() {
            let _ = self.context.output.json(&event);
        } else {
            self.screen.show(&event);
        }
    }
}

/// Puts together what drives runs: this home's gate, its ledger, and the store.
pub(crate) fn service(
    context: &Context,
    connection: &Connection,
    store: &Arc<SqlStore>,
    backend: Arc<dyn TrainingBackend>,
) -> Result<RunService, CliError> {
    let home_gate = HomeGate::open(context)?;
    Ok(RunService::new(RunContext {
        client: connection.client.clone(),
        token: match job_token::of_connection(context, connection)? {
            Some(own) => own.token,
            None => connection.token()?,
        },
        store: store.clone(),
        jobs: store.clone(),
        budget: Some(Arc::new(
            Ledger::new(store.clone(), context.clock.clone()).at(connection.client.endpoint()),
        )),
        backend,
        sampler: Arc::new(EngineSampler),
        clock: context.clock.clone(),
        runs_dir: context.home()?.join("runs"),
        gate: home_gate.gate()?,
        inspector: home_gate.inspector(),
    }))
}
