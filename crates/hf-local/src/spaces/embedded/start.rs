//! From a commit of a Space to a model that answers.

use std::sync::Arc;

use super::EMBEDDED;
use super::apps::Want;
use super::run::{AppRun, Phase, Served};
use super::space_file::SpaceFile;
use crate::inference::{AppModel, Said, Wanted};
use crate::reply::HubResult;
use crate::repos::{Commit, Repo};
use crate::state::AppState;
use crate::wire;

/// Starts a run, in the background.
pub(super) fn begin(hub: &AppState, run: &Arc<AppRun>, want: &Want<'_>, file: SpaceFile) {
    let now = hub.clock.now_ms();
    run.build_line(now, format!("===== {EMBEDDED} ====="));
    run.build_line(now, format!("Commit {}", want.head.oid));
    let (hub, run) = (Arc::clone(hub), Arc::clone(run));
    let (repo, head) = (want.repo.clone(), want.head.clone());
    tokio::spawn(async move {
        let closing = hub.closing.clone();
        tokio::select! {
            () = closing.cancelled() => {}
            () = go(&hub, &run, &repo, &head, file) => {}
        }
    });
}

async fn go(hub: &AppState, run: &Arc<AppRun>, repo: &Repo, head: &Commit, file: SpaceFile) {
    let old = match prepare(hub, run, repo, &file).await {
        Err(error) => failed(hub, run, error.message().to_owned()),
        Ok(Err(why)) => failed(hub, run, why),
        Ok(Ok(model)) => {
            run.build_line(hub.clock.now_ms(), "Build done: there is nothing to install");
            let served = Served {
                file,
                model,
                commit: head.oid,
            };
            wake(hub, run, served).await
        }
    };
    let current = hub.apps.is_current(&repo.oid, run);
    match (run.phase(), old) {
        // What answered before is not needed any more, unless it is the same files.
        (Phase::Running(served), Some(old)) if current && !old.model.is(&served.model) => {
            old.model.unload(hub);
        }
        (Phase::Failed(_), Some(old)) if current => old.model.unload(hub),
        // Paused, removed or replaced meanwhile.
        (Phase::Running(served), _) if !current => served.model.unload(hub),
        _ => {}
    }
}

fn failed(hub: &AppState, run: &AppRun, why: String) -> Option<Arc<Served>> {
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
    let id = match file.servable() {
        Ok(id) => id,
        Err(why) => return Ok(Err(why)),
    };
    let (name, revision) = (&file.model.repo_id, &file.model.revision);
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
async fn wake(hub: &AppState, run: &AppRun, served: Served) -> Option<Arc<Served>> {
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
        Ok(mut answering) => loop {
            match answering.next().await {
                Said::Text(_) => {}
                Said::End { .. } => break Ok(()),
                Said::Failed(why) => break Err(why),
            }
        },
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
    run.go(Phase::Running(Arc::new(served)))
}
