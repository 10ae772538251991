//! From a commit of a Space to a model that answers.

use std::sync::Arc;

use super::EMBEDDED;
use crate::app::SpaceFile;
use crate::git::Oid;
use crate::inference::{AppModel, Wanted};
use crate::reply::HubResult;
use crate::repos::{Commit, Repo, RepoId, RepoKind};
use crate::spaces::run::{AppRun, Phase, Served};
use crate::state::AppState;
use crate::wire;

/// A model that answers for a Space.
#[derive(Debug)]
pub(crate) struct Student {
    pub(super) file: SpaceFile,
    pub(in crate::spaces) model: AppModel,
    /// The commit of the Space.
    pub(in crate::spaces) commit: Oid,
}

/// The file that says which model a Space of the template serves; none for other Spaces.
pub(in crate::spaces) async fn space_file(hub: &AppState, head: &Commit) -> HubResult<Option<SpaceFile>> {
    let text = hub.text_file(head.tree, SpaceFile::NAME).await?;
    Ok(text.as_deref().and_then(|text| SpaceFile::parse(text).ok()))
}

/// Brings a run to an answer or to a failure; gives back what answered before, once it is not needed any more.
pub(in crate::spaces) async fn start(
    hub: &AppState,
    run: &AppRun,
    repo: &Repo,
    head: &Commit,
    file: SpaceFile,
) -> Option<Served> {
    match prepare(hub, run, repo, &file).await {
        Err(error) => failed(hub, run, error.message().to_owned()),
        Ok(Err(why)) => failed(hub, run, why),
        Ok(Ok(model)) => {
            run.build_line(hub.clock.now_ms(), "Build done: there is nothing to install");
            let student = Student {
                file,
                model,
                commit: head.oid,
            };
            wake(hub, run, student).await
        }
    }
}

fn failed(hub: &AppState, run: &AppRun, why: String) -> Option<Served> {
    let now = hub.clock.now_ms();
    if run.run_log().is_empty() {
        startup(hub, run);
    }
    run.run_line(now, format!("ERROR: {why}"));
    run.go(Phase::Failed(why))
}

fn startup(hub: &AppState, run: &AppRun) {
    let now = hub.clock.now_ms();
    run.run_line(
        now,
        format!("===== Application Startup at {} =====", wire::time(now)),
    );
    run.run_line(now, EMBEDDED);
}

/// Finds the model at its revision, and sees that it can be loaded.
async fn prepare(
    hub: &AppState,
    run: &AppRun,
    space: &Repo,
    file: &SpaceFile,
) -> HubResult<Result<AppModel, String>> {
    let (name, revision) = match file.model() {
        Ok(model) => model,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let (namespace, bare) = name.split_once('/').unwrap_or_default();
    let id = RepoId::new(RepoKind::Model, namespace, bare);
    let Some(repo) = hub.find_repo(&id).await? else {
        return Ok(Err(format!("the model {name} is not on this Hub")));
    };
    // The code would read it with a token; here the Space's namespace stands for one.
    if !repo.is_public() && repo.id.namespace != space.id.namespace {
        return Ok(Err(format!(
            "the model {name} is private and of another namespace than the Space"
        )));
    }
    let commit = match hub.revision(&repo, revision).await {
        Ok(commit) => commit,
        Err(error) => {
            return Ok(Err(format!(
                "the model {name} has no revision {revision}: {}",
                error.message()
            )));
        }
    };
    let Some(model) = AppModel::find(hub, name, commit).await? else {
        return Ok(Err(format!(
            "the engine of this Hub does not run {name}: it takes a Llama (config.json, tokenizer.json, model.safetensors) \
             or a GGUF file, of 8 GB in memory at most"
        )));
    };
    let (files, bytes) = model.needs();
    run.build_line(
        hub.clock.now_ms(),
        format!(
            "Model {name} at {revision}: {}; about {} MB in memory",
            files.join(", "),
            bytes >> 20
        ),
    );
    Ok(Ok(model))
}

/// Loads the model and asks it a first question.
async fn wake(hub: &AppState, run: &AppRun, served: Student) -> Option<Served> {
    run.go(Phase::Starting);
    startup(hub, run);
    let began = hub.clock.now_ms();
    if let Err(why) = served.model.load(hub).await {
        return failed(
            hub,
            run,
            format!(
                "the model {} could not be loaded: {why}",
                served.file.model.repo_id
            ),
        );
    }
    let first = Wanted {
        max_tokens: 1,
        temperature: 0.0,
    };
    let answered = match served.model.answer(hub, "Hello", first).await {
        Ok(answering) => answering.until_end().await,
        Err(why) => Err(why),
    };
    if let Err(why) = answered {
        return failed(
            hub,
            run,
            format!("the model was loaded, and does not answer: {why}"),
        );
    }
    let now = hub.clock.now_ms();
    run.run_line(
        now,
        format!(
            "{} is loaded and answers, after {} ms",
            served.file.shown.repo_id,
            now - began
        ),
    );
    run.touch(now);
    run.go(Phase::Running(Served::Student(Arc::new(served))))
}
