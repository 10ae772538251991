//! `bashgym train plan`: what a training will need, take and cost. It spends nothing.

use super::options::JobOptions;
use super::show;
use crate::context::Context;
use crate::error::{CliError, Kind};

pub(super) async fn run(options: &JobOptions, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let store = context.store().await?;
    let plan = options.plan(context, &connection, &store).await?;
    if context.output.is_json() {
        context.output.json(&plan)?;
    } else {
        show::plan(&plan, context.output)?;
    }
    refuse_problems(&plan)
}

/// A plan with problems is an answer, and its exit code says that nothing can be started from it.
pub(super) fn refuse_problems(plan: &bashgym_core::plan::TrainPlan) -> Result<(), CliError> {
    if plan.problems.is_empty() {
        return Ok(());
    }
    let said: Vec<&str> = plan
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let mut error = CliError::new(Kind::Data, said.join("; "));
    for problem in &plan.problems {
        error = error.hint(problem.next.clone());
    }
    Err(error)
}
