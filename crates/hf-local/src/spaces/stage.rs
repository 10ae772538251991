//! Where a Space is, worked out from its files and the clock.

use std::sync::Arc;

use serde_json::Value;

use super::apps::Want;
use super::run::{AppRun, Phase};
use super::store::SpaceRow;
use crate::reply::HubResult;
use crate::repos::{Commit, Repo, RepoKind, RepoPath};
use crate::state::AppState;

/// Seconds without a visitor until free hardware sleeps.
const FREE_SLEEP_S: i64 = 48 * 3600;

/// How long a build is simulated, in milliseconds of the Hub's clock.
pub(super) const BUILD_MS: i64 = 600;
/// How long a start is simulated.
pub(super) const START_MS: i64 = 400;

/// A stage and, for failures, why.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) word: &'static str,
    pub(super) error: Option<String>,
    /// When the build that is shown began.
    pub(super) since_ms: i64,
    /// The app, where it runs.
    pub(super) run: Option<Arc<AppRun>>,
}

impl Stage {
    fn new(word: &'static str, since_ms: i64) -> Self {
        Self {
            word,
            error: None,
            since_ms,
            run: None,
        }
    }

    fn failed(word: &'static str, error: impl Into<String>, since_ms: i64) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::new(word, since_ms)
        }
    }

    /// The stage of an app that runs.
    fn of_run(run: Arc<AppRun>, since_ms: i64) -> Self {
        let serves = run.serves().is_some();
        let (word, error) = match run.phase() {
            Phase::Building if serves => ("RUNNING_BUILDING", None),
            Phase::Building => ("BUILDING", None),
            Phase::Starting if serves => ("RUNNING_APP_STARTING", None),
            Phase::Starting => ("APP_STARTING", None),
            Phase::Running(_) => ("RUNNING", None),
            Phase::Unbuilt(why) => ("BUILD_ERROR", Some(why)),
            Phase::Failed(why) => ("RUNTIME_ERROR", Some(why)),
            Phase::Asleep => ("SLEEPING", None),
        };
        Self {
            word,
            error,
            since_ms,
            run: Some(run),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.word == "RUNNING"
    }
}

/// Seconds without a visitor until a Space sleeps; none is never.
pub(super) fn sleep_s(row: &SpaceRow) -> Option<i64> {
    match (row.hardware.as_deref(), row.sleep_s) {
        (Some("cpu-basic"), _) => Some(FREE_SLEEP_S),
        (_, Some(seconds)) if seconds >= 0 => Some(seconds),
        _ => None,
    }
}

/// A Space as it is to run at `head`.
pub(super) fn want<'a>(repo: &'a Repo, row: &SpaceRow, head: &'a Commit) -> Want<'a> {
    Want {
        repo,
        head,
        started_ms: row.started_ms,
        sleep_s: sleep_s(row),
    }
}

/// The stage of a Space at `head`. A Space that is run begins to when it is looked at.
pub(super) async fn of(
    hub: &AppState,
    repo: &Repo,
    row: &SpaceRow,
    head: Option<&Commit>,
) -> HubResult<Stage> {
    let sdk = repo.sdk.as_deref().unwrap_or_default();
    let Some(head) = head else {
        return Ok(Stage::failed(
            "NO_APP_FILE",
            "the Space has no commit",
            row.started_ms,
        ));
    };
    let since = row.started_ms.max(head.at_ms);
    if row.paused {
        hub.apps.stop(hub, &repo.oid);
        return Ok(Stage::new("PAUSED", since));
    }
    let facts = hub.facts(RepoKind::Space, head).await?;
    let card = facts.card.clone().unwrap_or(Value::Null);
    if let Some(named) = card["sdk"].as_str().filter(|named| *named != sdk) {
        let why = format!("the front matter of README.md says sdk: {named}, and the Space was made as {sdk}");
        return Ok(Stage::failed("CONFIG_ERROR", why, since));
    }
    let file = match (sdk, card["app_file"].as_str()) {
        ("docker", _) => "Dockerfile",
        (_, Some(named)) => named,
        ("static", None) => "index.html",
        _ => "app.py",
    };
    let there = match RepoPath::parse(file) {
        Ok(path) => hub.file(head.tree, &path).await?.is_some(),
        Err(_) => false,
    };
    if !there {
        return Ok(Stage::failed("NO_APP_FILE", format!("there is no {file}"), since));
    }
    if sdk != "static"
        && let Some(run) = hub.apps.look(hub, &want(repo, row, head)).await?
    {
        return Ok(Stage::of_run(run, since));
    }
    let passed = hub.clock.now_ms() - since;
    let served_before = since > repo.created_ms + BUILD_MS + START_MS;
    let word = if sdk == "static" || passed >= BUILD_MS + START_MS {
        "RUNNING"
    } else {
        match (passed < BUILD_MS, served_before) {
            (true, false) => "BUILDING",
            (true, true) => "RUNNING_BUILDING",
            (false, false) => "APP_STARTING",
            (false, true) => "RUNNING_APP_STARTING",
        }
    };
    Ok(Stage::new(word, since))
}
