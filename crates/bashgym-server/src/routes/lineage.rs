//! What a run came from and what came of it: sessions, dataset, job, model, and the Spaces that serve it.

use axum::extract::State;
use bashgym_core::run::RunState;
use futures::{StreamExt, TryStreamExt};
use hf_spaces::HfSpaceManager;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::runs::find;
use crate::extract::Path;
use crate::parts::HubConnection;
use crate::problem::{Failures, Missing, Problem};
use crate::state::AppState;

/// Spaces that are asked what they serve, newest change first as the Hub lists them.
const MOST_SPACES: usize = 50;
/// Spaces that are asked at once.
const AT_ONCE: usize = 8;

/// One link of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Link {
    /// `sessions`, `dataset`, `job`, `model` or `space`.
    kind: &'static str,
    /// Its name: a path, a repository, a job's id.
    name: String,
    /// The commit, where it is pinned.
    #[schema(required)]
    revision: Option<String>,
    /// Whether it is there; false for what the run has yet to make.
    exists: bool,
    /// What else is known, such as how many rows.
    #[schema(value_type = Object)]
    more: Value,
}

/// A run's lineage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lineage {
    /// The run.
    run_id: String,
    /// The chain, from the sessions on.
    links: Vec<Link>,
    /// Why the Spaces are not among them, where they could not be looked up.
    #[schema(required)]
    spaces_unknown: Option<String>,
}

/// What is known of a state, with what still holds of the ones before.
fn known(state: &RunState) -> Value {
    match state {
        RunState::Failed { resume_from, .. } | RunState::Canceled { resume_from } => known(resume_from),
        RunState::Queued => Value::Null,
        RunState::Built(built) => json!({ "dataset": { "built": built } }),
        RunState::Published(dataset) => json!({ "dataset": dataset }),
        RunState::Submitting(intent) => json!({ "dataset": intent.dataset }),
        RunState::Submitted(job) | RunState::Unverified(job) => {
            json!({ "dataset": job.dataset, "job": job.job_id })
        }
        RunState::Succeeded { model, .. } => json!({
            "dataset": model.job.dataset, "job": model.job.job_id, "model": model.revision,
            "val_loss_before": model.val_loss_before, "val_loss_after": model.val_loss_after,
        }),
    }
}

/// What a run came from and what came of it: sessions, dataset, job, model, and the Spaces that serve the model now.
#[utoipa::path(get, path = "/api/runs/{id}/lineage", operation_id = "show_lineage", tag = "training",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, body = Lineage), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<Lineage>, Problem> {
    let run = find(&state, &name).await?;
    let known = known(&run.state);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut links: Vec<Link> = run
        .spec
        .inputs
        .iter()
        .map(|path| Link {
            kind: "sessions",
            name: path.display().to_string(),
            revision: None,
            exists: path.exists(),
            more: json!({}),
        })
        .collect();
    let source = run.spec.source.as_ref().map(|source| source.revision.clone());
    let dataset = source.or_else(|| text(&known["dataset"]["revision"]));
    let built = &known["dataset"]["built"];
    links.push(Link {
        kind: "dataset",
        name: run.spec.dataset_repo.clone(),
        exists: dataset.is_some(),
        revision: dataset,
        more: json!({ "sessions": built["sessions"], "rows_train": built["rows_train"], "rows_val": built["rows_val"] }),
    });
    if let Some(job) = text(&known["job"]) {
        links.push(Link {
            kind: "job",
            name: job,
            revision: None,
            exists: true,
            more: json!({ "flavor": run.spec.flavor }),
        });
    }
    let model = text(&known["model"]);
    links.push(Link {
        kind: "model",
        name: run.spec.model_repo.clone(),
        exists: model.is_some(),
        revision: model.clone(),
        more: json!({ "val_loss_before": known["val_loss_before"], "val_loss_after": known["val_loss_after"] }),
    });
    let mut spaces_unknown = None;
    if let Some(revision) = &model {
        let served = async {
            let hub = state.hub().await?;
            serving(&hub, &run.spec.model_repo, revision).await
        };
        match served.await {
            Ok(spaces) => links.extend(spaces),
            Err(problem) => spaces_unknown = Some(hf_core::scrub_secrets(problem.detail())),
        }
    }
    Ok(axum::Json(Lineage {
        run_id: run.id.to_string(),
        links,
        spaces_unknown,
    }))
}

/// The Spaces that say they serve a model.
async fn serving(hub: &HubConnection, model: &str, revision: &str) -> Result<Vec<Link>, Problem> {
    let spaces = HfSpaceManager::new(&hub.client, hub.namespace.clone());
    let listed: Vec<_> = spaces.list_spaces().take(MOST_SPACES).try_collect().await?;
    let asked = futures::stream::iter(listed).map(|space| {
        let spaces = spaces.clone();
        async move {
            let id = space.id.parse().ok()?;
            // A Space of another making serves what it likes.
            let file = spaces.served_model(&id).await.ok()??;
            Some((space, file))
        }
    });
    let served: Vec<_> = asked
        .buffered(AT_ONCE)
        .filter_map(futures::future::ready)
        .collect()
        .await;
    Ok(served
        .into_iter()
        .filter(|(_, file)| file.shown.repo_id == model)
        .map(|(space, file)| Link {
            kind: "space",
            more: json!({
                "stage": space.runtime.map(|runtime| runtime.stage),
                "serves_this_revision": file.shown.revision == revision,
            }),
            name: space.id,
            revision: Some(file.shown.revision),
            exists: true,
        })
        .collect())
}
