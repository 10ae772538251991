//! What the tokens of a training may do.

use std::sync::Arc;

use hf_core::{HfClient, HfErrorKind, WhoAmI};

use super::wanted::PlanRequest;
use super::{Problem, TrainPlan};
use crate::CoreError;
use crate::run::Target;

/// Whether the token may write the output and start the job.
pub(super) async fn check_token(
    client: &HfClient,
    request: &PlanRequest,
    plan: &mut TrainPlan,
) -> Result<Arc<WhoAmI>, CoreError> {
    let account = client
        .whoami()
        .await
        .map_err(CoreError::hub("tell who you are"))?;
    let output = request.model_repo.split('/').next().unwrap_or_default();
    let asked = [
        (
            "token_cannot_write",
            account.may_write_repos(output),
            output,
            "write repositories",
            "repo.write",
        ),
        (
            "token_cannot_start_jobs",
            account.may_start_jobs(request.namespace.as_str()),
            request.namespace.as_str(),
            "start jobs",
            "job.write",
        ),
    ];
    for (code, may, namespace, what, scope) in asked {
        match may {
            Some(true) => {}
            Some(false) => plan.problems.push(Problem::new(
                code,
                format!("this token may not {what} of {namespace}"),
                format!("make a token with `{scope}` on {namespace}, or take another output"),
            )),
            None => plan.warnings.push(Problem::new(
                code,
                format!("the Hub does not tell whether this token may {what} of {namespace}"),
                "the first refusal will tell, before anything is paid",
            )),
        }
    }
    Ok(account)
}

/// The job's token can be read by every package the job installs, so it should open as little as the job needs.
pub(super) async fn check_job_token(
    client: &HfClient,
    request: &PlanRequest,
    account: &WhoAmI,
    plan: &mut TrainPlan,
) -> Result<(), CoreError> {
    const FIX: &str =
        "`bashgym token set --for-jobs` stores a fine-grained token with `repo.write` alone for jobs";
    let output = request.model_repo.split('/').next().unwrap_or_default();
    let Some(token) = &request.job_token else {
        let more = account.beyond_repositories().unwrap_or_default();
        if !more.is_empty() && request.target.hub != Target::EMBEDDED {
            let what = beyond(&more);
            plan.warnings.push(Problem::new(
                "job_carries_broad_token",
                format!("the job gets the token you work with, which every package it installs can read and which may {what}"),
                FIX,
            ));
        }
        return Ok(());
    };
    let asked = client
        .with_token(token.clone())
        .map_err(CoreError::hub("use the job's token"))?;
    let job_account = match asked.whoami().await {
        Ok(job_account) => job_account,
        Err(error) if error.kind() == HfErrorKind::Auth => {
            plan.problems.push(Problem::new(
                "job_token_refused",
                "the Hub does not know the token that jobs get",
                "store another: `bashgym token set --for-jobs`, or remove it: `bashgym token rm --for-jobs`",
            ));
            return Ok(());
        }
        Err(error) => return Err(CoreError::hub("tell whose the job's token is")(error)),
    };
    if job_account.may_write_repos(output) == Some(false) {
        plan.problems.push(Problem::new(
            "job_token_cannot_write",
            format!("the token that jobs get may not write repositories of {output}"),
            format!("give it `repo.write` on {output}, or store another: `bashgym token set --for-jobs`"),
        ));
    }
    let more = job_account.beyond_repositories().unwrap_or_default();
    if !more.is_empty() {
        plan.warnings.push(Problem::new(
            "job_carries_broad_token",
            format!("the token that jobs get may {}", beyond(&more)),
            FIX,
        ));
    }
    Ok(())
}

/// What a token may do beyond repositories, in words.
fn beyond(more: &[String]) -> String {
    if more.iter().any(|permission| permission == "*") {
        "do everything its account may".to_owned()
    } else {
        format!("also do this: {}", more.join(", "))
    }
}
