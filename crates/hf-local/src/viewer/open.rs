//! From the parameters of a viewer request to a dataset, a config and a split that the caller may see.

use std::sync::Arc;

use serde_json::Value;

use super::answer::{ViewerError, ViewerResult};
use super::features::{Kind, declared};
use super::layout::{ConfigLayout, configs};
use super::statistics::Column;
use super::table::Table;
use crate::accounts::Plan;
use crate::extract::Caller;
use crate::git::Oid;
use crate::repos::{Blob, Facts, Repo, RepoId, RepoKind, RepoPath};
use crate::routes::query::Params;
use crate::state::Hub;

/// A dataset at the head of its main branch.
pub(super) struct Dataset {
    pub(super) name: String,
    pub(super) revision: Oid,
    tree: Oid,
    facts: Arc<Facts>,
    pub(super) configs: Vec<ConfigLayout>,
}

/// A file of rows, read.
pub(super) struct Part {
    pub(super) path: String,
    pub(super) oid: Oid,
    pub(super) blob: Arc<Blob>,
    pub(super) table: Arc<Table>,
}

/// A split, read.
pub(super) struct Split {
    pub(super) config: String,
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
    /// Columns with their types, in the viewer's words.
    pub(super) features: Vec<(String, Value)>,
}

impl Split {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.table.rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.table.bytes).sum()
    }

    /// The columns of all files together.
    pub(super) fn columns(&self) -> Vec<(String, Column)> {
        let mut joined: Vec<(String, Column)> = Vec::new();
        for (name, column) in self.parts.iter().flat_map(|part| &part.table.columns) {
            match joined.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.join(column),
                None => joined.push((name.clone(), column.clone())),
            }
        }
        joined
    }
}

fn owner_pays(hub: &Hub, namespace: &str) -> bool {
    let user = hub.accounts.by_name(namespace);
    let org = hub.accounts.org(namespace);
    user.is_some_and(|account| account.plan != Plan::Free) || org.is_some_and(|org| org.plan.is_some())
}

/// Finds the dataset of a request.
///
/// # Errors
/// What the viewer answers for datasets that are missing, hidden, private without a plan, or shut.
pub(super) async fn dataset(hub: &Arc<Hub>, caller: &Caller, params: &Params) -> ViewerResult<Dataset> {
    let name = params
        .text("dataset")
        .ok_or_else(|| ViewerError::missing_parameter("dataset"))?;
    let hidden = || {
        if caller.account().is_some() {
            ViewerError::not_accessible()
        } else {
            ViewerError::unauthenticated()
        }
    };
    let (namespace, short) = name.split_once('/').ok_or_else(hidden)?;
    let id = RepoId::new(RepoKind::Dataset, namespace.to_owned(), short.to_owned());
    let repo: Repo = match hub.find_repo(&id).await? {
        Some(repo) if caller.sees(repo.is_public(), &repo.id.namespace) => repo,
        _ => return Err(hidden()),
    };
    let name = repo.id.path();
    if !repo.is_public() && !owner_pays(hub, &repo.id.namespace) {
        return Err(ViewerError::private(&name));
    }
    let commit = hub
        .head(&repo)
        .await?
        .ok_or_else(|| ViewerError::not_found(format!("The dataset {name} is empty.")))?;
    let facts = hub.facts(RepoKind::Dataset, &commit).await?;
    let shut = |card: &Value| card.get("viewer") == Some(&Value::Bool(false));
    if facts.card.as_ref().is_some_and(shut) {
        return Err(ViewerError::disabled(&name));
    }
    let paths: Vec<String> = hub
        .all_files(commit.tree, None)
        .await?
        .into_iter()
        .map(|item| item.path)
        .collect();
    Ok(Dataset {
        configs: configs(facts.card.as_ref(), &paths),
        name,
        revision: commit.oid,
        tree: commit.tree,
        facts,
    })
}

impl Dataset {
    /// The configs asked for: the one named, or all.
    pub(super) fn asked<'a>(&'a self, params: &Params) -> ViewerResult<Vec<&'a ConfigLayout>> {
        let Some(name) = params.text("config") else {
            return Ok(self.configs.iter().collect());
        };
        let found: Vec<_> = self.configs.iter().filter(|config| config.name == name).collect();
        if found.is_empty() {
            return Err(ViewerError::not_found(format!(
                "The config {name:?} does not exist in {}.",
                self.name
            )));
        }
        Ok(found)
    }

    /// Reads the split that a request must name.
    pub(super) async fn split(&self, hub: &Arc<Hub>, params: &Params) -> ViewerResult<Split> {
        let config = params
            .text("config")
            .ok_or_else(|| ViewerError::missing_parameter("config"))?;
        let split = params
            .text("split")
            .ok_or_else(|| ViewerError::missing_parameter("split"))?;
        for layout in self.asked(params)? {
            if layout.splits.iter().any(|known| known.name == split) {
                return self.read(hub, config, split).await;
            }
        }
        Err(ViewerError::not_found(format!(
            "The split {split:?} does not exist in the config {config:?} of {}.",
            self.name
        )))
    }

    /// Reads a split that is in the layout.
    pub(super) async fn read(&self, hub: &Arc<Hub>, config: &str, split: &str) -> ViewerResult<Split> {
        let paths = self
            .configs
            .iter()
            .filter(|known| known.name == config)
            .flat_map(|known| &known.splits)
            .filter(|known| known.name == split)
            .flat_map(|known| &known.paths);
        let mut parts = Vec::new();
        for path in paths {
            let missing = || ViewerError::not_found(format!("The file {path} is not in {}.", self.name));
            let file = RepoPath::parse(path)?;
            let (oid, blob) = hub.file(self.tree, &file).await?.ok_or_else(missing)?;
            let table = hub.table(path, oid, &blob).await?;
            parts.push(Part {
                path: path.clone(),
                oid,
                blob,
                table,
            });
        }
        let features = match declared(self.facts.card.as_ref(), config) {
            Some(features) => features,
            None => shown(&parts),
        };
        Ok(Split {
            config: config.to_owned(),
            name: split.to_owned(),
            parts,
            features,
        })
    }
}

/// The features that the rows of all files show.
fn shown(parts: &[Part]) -> Vec<(String, Value)> {
    let mut kinds: Vec<(String, Kind)> = Vec::new();
    for (name, kind) in parts.iter().flat_map(|part| part.table.kinds()) {
        match kinds.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => {
                let old = std::mem::replace(known, Kind::Null);
                *known = old.merge(kind.clone());
            }
            None => kinds.push((name.to_owned(), kind.clone())),
        }
    }
    kinds
        .into_iter()
        .map(|(name, kind)| (name, kind.describe()))
        .collect()
}
