//! Where a Space is, worked out from its files and the clock.

use serde_json::Value;

use super::store::SpaceRow;
use crate::reply::HubResult;
use crate::repos::{Commit, Repo, RepoKind, RepoPath};
use crate::state::Hub;

/// How long a build is simulated, in milliseconds of the Hub's clock.
pub(super) const BUILD_MS: i64 = 600;
/// How long a start is simulated.
pub(super) const START_MS: i64 = 400;

/// A stage and, for failures, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) word: &'static str,
    pub(super) error: Option<String>,
    /// When the build that is shown began.
    pub(super) since_ms: i64,
}

impl Stage {
    fn failed(word: &'static str, error: impl Into<String>, since_ms: i64) -> Self {
        Self {
            word,
            error: Some(error.into()),
            since_ms,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.word == "RUNNING"
    }
}

/// The stage of a Space at `head`.
pub(super) async fn of(hub: &Hub, repo: &Repo, row: &SpaceRow, head: Option<&Commit>) -> HubResult<Stage> {
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
        return Ok(Stage {
            word: "PAUSED",
            error: None,
            since_ms: since,
        });
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
    Ok(Stage {
        word,
        error: None,
        since_ms: since,
    })
}
