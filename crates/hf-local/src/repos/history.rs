//! Looking back: commits of a revision, and which of them last touched a path.

use std::collections::HashMap;

use super::model::Repo;
use super::path::RepoPath;
use super::refs::{Commit, commit_by_oid, read_commit};
use crate::reply::HubResult;
use crate::state::Hub;

/// The commit that last changed a file or folder.
#[derive(Clone, Debug)]
pub(crate) struct LastCommit {
    pub(crate) oid: String,
    pub(crate) title: String,
    pub(crate) at_ms: i64,
}

impl Hub {
    /// Lists the commits of a revision, newest first.
    pub(crate) async fn history(
        &self,
        repo: &Repo,
        from: &Commit,
        skip: u64,
        limit: u64,
    ) -> HubResult<Vec<Commit>> {
        const SQL: &str = "WITH RECURSIVE line (oid, parent, depth) AS (
                SELECT oid, parent, depth FROM commits WHERE repo = ?1 AND oid = ?2
                UNION ALL
                SELECT c.oid, c.parent, c.depth FROM commits c JOIN line ON c.repo = ?1 AND c.oid = line.parent
                WHERE line.depth > ?3
            )
            SELECT c.* FROM line JOIN commits c ON c.repo = ?1 AND c.oid = line.oid
            WHERE line.depth <= ?4 AND line.depth >= ?3 ORDER BY line.depth DESC";
        let newest = from.depth.saturating_sub(i64::try_from(skip).unwrap_or(i64::MAX));
        let oldest = newest
            .saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX))
            .saturating_add(1)
            .max(1);
        if newest < 1 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(SQL)
            .bind(repo.row)
            .bind(from.oid.to_string())
            .bind(oldest)
            .bind(newest)
            .fetch_all(self.db.read())
            .await?;
        Ok(rows.iter().map(read_commit).collect::<Result<_, _>>()?)
    }

    /// Finds the last commit of each of some entries of one folder.
    pub(crate) async fn last_commits(
        &self,
        repo: &Repo,
        from: &Commit,
        folder: Option<&RepoPath>,
        names: &[&str],
    ) -> HubResult<HashMap<String, LastCommit>> {
        let mut found = HashMap::with_capacity(names.len());
        let mut open: Vec<&str> = names.to_vec();
        let mut commit = from.clone();
        let mut tree = self.folder(commit.tree, folder).await?;
        while !open.is_empty() {
            let parent = match commit.parent {
                Some(oid) => commit_by_oid(self.db.read(), repo.row, oid).await?,
                None => None,
            };
            let parent_tree = match &parent {
                Some(parent) => self.folder(parent.tree, folder).await?,
                None => None,
            };
            if parent_tree != tree || parent.is_none() {
                let now = match tree {
                    Some(oid) => Some(self.tree(oid).await?),
                    None => None,
                };
                let before = match parent_tree {
                    Some(oid) => Some(self.tree(oid).await?),
                    None => None,
                };
                let last = LastCommit {
                    oid: commit.oid.to_string(),
                    title: commit.title.clone(),
                    at_ms: commit.at_ms,
                };
                open.retain(|name| {
                    let at = |tree: &Option<std::sync::Arc<crate::git::Tree>>| {
                        tree.as_ref()
                            .and_then(|tree| tree.get(name))
                            .map(|entry| entry.oid)
                    };
                    let same = at(&now) == at(&before);
                    if !same {
                        found.insert((*name).to_owned(), last.clone());
                    }
                    same
                });
            }
            match parent {
                Some(parent) => {
                    commit = parent;
                    tree = parent_tree;
                }
                None => break,
            }
        }
        Ok(found)
    }
}
