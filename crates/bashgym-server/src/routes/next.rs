//! What to do next, from what is there.

use axum::extract::State;
use bashgym_core::run::RunState;
use bashgym_core::task::{TaskFilter, TaskState};
use serde::Serialize;
use utoipa::ToSchema;

use super::space_tasks::DEPLOY;
use crate::problem::{Code, Failures, Problem};
use crate::state::AppState;

/// Runs that are looked at.
const RUNS: u32 = 200;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepState {
    /// It is done.
    Done,
    /// Something is at it now.
    Running,
    /// It is the one to do.
    Next,
    /// Others come before it.
    Later,
}

/// A step on the way from sessions to a student that is served.
#[expect(clippy::struct_field_names, reason = "the names of the answer's keys")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// `sign_in`, `sessions`, `dataset`, `cap`, `run`, `model` or `space`.
    step: &'static str,
    /// How it stands.
    state: StepState,
    /// Why it stands so.
    reason: String,
    /// The command that does it.
    command: &'static str,
    /// Whether the way goes on without it.
    optional: bool,
}

struct Found {
    done: bool,
    running: bool,
    reason: String,
}

fn found(done: bool, yes: impl Into<String>, no: impl Into<String>) -> Found {
    Found {
        done,
        running: false,
        reason: if done { yes.into() } else { no.into() },
    }
}

/// What to do next: the steps from sessions to a student that is served, each with its state and the reason.
#[utoipa::path(get, path = "/api/next", operation_id = "show_next", tag = "server",
    responses((status = 200, body = Vec<Step>), Failures))]
pub(crate) async fn show(State(state): State<AppState>) -> Result<axum::Json<Vec<Step>>, Problem> {
    let account = state.parts.composition.account().await?;
    let word = account.account["state"].as_str().unwrap_or("unknown");
    let signed_in = match (word, account.embedded) {
        ("signed_in", false) => found(true, "a Hugging Face account is signed in", ""),
        (_, true) => found(
            true,
            "the embedded Hub of this machine is used; no account is needed",
            "",
        ),
        ("refused", _) => found(false, "", "the Hub refuses the token"),
        ("unreachable", _) => found(false, "", "the Hub cannot be reached"),
        _ => found(false, "", "there is no token"),
    };
    let parts = state.parts.clone();
    let (agents, built) = tokio::task::spawn_blocking(move || {
        let agents = parts.agents.folders().len();
        let built = std::fs::read_dir(&parts.datasets_dir)
            .map(|entries| {
                let there = entries.filter_map(Result::ok);
                there
                    .filter(|entry| entry.path().join("metadata.json").is_file())
                    .count()
            })
            .unwrap_or_default();
        (agents, built)
    })
    .await
    .map_err(|_| Problem::new(Code::Internal, "the folders could not be looked at"))?;
    let runs = state.parts.store.list_runs(None, RUNS).await?;
    let succeeded = runs
        .iter()
        .filter(|run| matches!(run.state, RunState::Succeeded { .. }))
        .count();
    let tasks = |kind: &str| TaskFilter {
        kind: Some(kind.to_owned()),
        state: None,
    };
    let driven = state.tasks.list(&tasks(super::runs::RUN), None, 50).await?;
    let deployed = state.tasks.list(&tasks(DEPLOY), None, 50).await?;
    let caps = state.parts.ledger.overview(None).await?.caps.len();
    let busy = |tasks: &[bashgym_core::task::TaskRecord]| tasks.iter().any(|task| !task.state.is_final());
    let published = runs.iter().any(|run| {
        run.spec.source.is_some() || run.state.job_id().is_some() || run.state.as_str() == "published"
    });
    let running = runs.first().map(|run| run.state.as_str()).unwrap_or_default();
    let steps = [
        ("sign_in", "bashgym token set", false, signed_in),
        (
            "sessions",
            "bashgym sessions ls",
            false,
            found(
                agents > 0,
                format!("{agents} folders of coding agents are on this machine"),
                "no coding agent has left sessions on this machine",
            ),
        ),
        (
            "dataset",
            "bashgym sessions import",
            false,
            found(
                built > 0 || published,
                if built > 0 {
                    format!("{built} datasets are built here")
                } else {
                    "a run has published a dataset".to_owned()
                },
                "no dataset is built from sessions yet",
            ),
        ),
        (
            "cap",
            "bashgym budget set",
            true,
            found(
                caps > 0,
                format!("{caps} caps bound what may be spent"),
                "nothing bounds what may be spent",
            ),
        ),
        (
            "run",
            "bashgym run",
            false,
            Found {
                running: busy(&driven),
                ..found(
                    !runs.is_empty(),
                    format!("there are {} runs; the newest is {running}", runs.len()),
                    "nothing was trained yet",
                )
            },
        ),
        (
            "model",
            "bashgym runs ls",
            false,
            found(
                succeeded > 0,
                format!("{succeeded} runs ended with a model"),
                "no run has ended with a model",
            ),
        ),
        (
            "space",
            "bashgym space create",
            false,
            Found {
                running: busy(&deployed),
                ..found(
                    deployed.iter().any(|task| task.state == TaskState::Done),
                    "a model was deployed from here",
                    "no model was deployed from here",
                )
            },
        ),
    ];
    let mut next_given = false;
    let shown = steps.into_iter().map(|(step, command, optional, found)| {
        let state = match (found.running, found.done) {
            (true, _) => StepState::Running,
            (_, true) => StepState::Done,
            _ if next_given => StepState::Later,
            _ => StepState::Next,
        };
        // What waits for something that runs waits too; what may be left out holds nothing up.
        next_given |= !optional && matches!(state, StepState::Next | StepState::Running);
        Step {
            step,
            state,
            reason: found.reason,
            command,
            optional,
        }
    });
    Ok(axum::Json(shown.collect()))
}
