//! Making a commit.

use std::sync::Arc;

use super::edit::{Change, TreeEdit};
use super::model::Repo;
use super::objects::{NewBlob, insert_blobs, insert_trees};
use super::refs::{Commit, commit_by_oid, commit_by_ref, set_ref};
use super::store::{RepoTx, detached};
use crate::git::{CommitObject, Oid};
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub};
use http::StatusCode;

/// What the Hub says when the branch moved under a commit.
const MOVED: &str = "A commit has happened since. Please refresh and try again.";

/// A commit to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewCommit {
    /// The full name of the branch.
    pub(crate) branch: String,
    pub(crate) author: String,
    pub(crate) title: String,
    pub(crate) message: String,
    /// What the head of the branch has to be.
    pub(crate) parent: Option<Oid>,
    pub(crate) changes: Vec<Change>,
}

/// What became of a commit.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) oid: Oid,
}

struct Draft {
    tree: Oid,
    trees: Vec<(Oid, Vec<u8>)>,
}

async fn draft(hub: &Hub, base: Option<&Commit>, changes: &[Change]) -> HubResult<Draft> {
    let mut edit = TreeEdit::new(hub, base.map(|commit| commit.tree)).await?;
    for change in changes {
        edit.apply(hub, change).await?;
    }
    let (tree, trees) = edit.finish();
    Ok(Draft { tree, trees })
}

impl Hub {
    /// Makes a commit: one transaction, after which the branch is at the new commit, or where it was.
    ///
    /// A client that lost the answer sends the same commit again. So a commit that changes nothing, or that is the head
    /// of the branch already (same parent, same tree, same title), is not made twice: the head is returned.
    ///
    /// # Errors
    /// 404 `RevisionNotFound` if the branch does not exist (the first commit of `main` makes it), 412 if its head is
    /// not the parent that was named, and what the changes give.
    pub(crate) async fn commit(
        self: &AppState,
        repo: &Repo,
        new: NewCommit,
        blobs: Vec<NewBlob>,
    ) -> HubResult<Committed> {
        let (hub, row) = (Arc::clone(self), repo.row);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            let done = commit_in(&hub, &mut tx, row, &new, &blobs).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    /// Stores blobs ahead of the commit that will use them.
    pub(crate) async fn store_blobs(self: &AppState, blobs: Vec<NewBlob>) -> HubResult<()> {
        let hub = Arc::clone(self);
        detached(async move {
            let mut tx = hub.db.write().await?;
            insert_blobs(&mut tx, &blobs).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Replaces the history of a branch by one commit with the tree its head has.
    pub(crate) async fn squash(
        self: &AppState,
        repo: &Repo,
        branch: String,
        author: String,
        title: String,
    ) -> HubResult<Committed> {
        let (hub, row) = (Arc::clone(self), repo.row);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            let head = commit_by_ref(tx.db(), row, &branch)
                .await?
                .ok_or_else(|| HubError::revision_not_found(&branch))?;
            let (title, message) = (title.as_str(), "");
            let made = insert_commit(&hub, &mut tx, row, head.tree, None, &author, title, message).await?;
            set_ref(&mut tx, row, &branch, made, None).await?;
            tx.commit().await?;
            Ok(Committed { oid: made })
        })
        .await
    }
}

/// Makes a commit within a transaction.
pub(super) async fn commit_in(
    hub: &Hub,
    tx: &mut RepoTx<'_>,
    repo: i64,
    new: &NewCommit,
    blobs: &[NewBlob],
) -> HubResult<Committed> {
    let head = commit_by_ref(tx.db(), repo, &new.branch).await?;
    if head.is_none() && new.branch != super::MAIN {
        let short = new.branch.strip_prefix("refs/heads/").unwrap_or(&new.branch);
        return Err(HubError::revision_not_found(short));
    }
    let before = match head.as_ref().and_then(|head| head.parent) {
        Some(parent) => commit_by_oid(tx.db(), repo, parent).await?,
        None => None,
    };
    let head_oid = head.as_ref().map(|head| head.oid);
    let is_retry = async || match &head {
        Some(head) if head.title == new.title && head.message == new.message && head.author == new.author => {
            draft(hub, before.as_ref(), &new.changes)
                .await
                .is_ok_and(|again| again.tree == head.tree)
        }
        _ => false,
    };
    if let Some(parent) = new.parent
        && head_oid != Some(parent)
    {
        return match head_oid {
            Some(oid) if before.as_ref().is_some_and(|before| before.oid == parent) && is_retry().await => {
                Ok(Committed { oid })
            }
            _ => Err(HubError::new(StatusCode::PRECONDITION_FAILED, MOVED)),
        };
    }
    let draft = match draft(hub, head.as_ref(), &new.changes).await {
        Ok(draft) => draft,
        Err(error) => {
            // Taking away what the lost commit has taken away already.
            return match head_oid {
                Some(oid) if new.parent.is_none() && is_retry().await => Ok(Committed { oid }),
                _ => Err(error),
            };
        }
    };
    if let Some(head) = &head
        && head.tree == draft.tree
    {
        return Ok(Committed { oid: head.oid });
    }
    insert_blobs(&mut tx.tx, blobs).await?;
    insert_trees(&mut tx.tx, &draft.trees).await?;
    for change in &new.changes {
        if let Change::Put(_, oid) = change {
            sqlx::query("INSERT OR IGNORE INTO repo_blobs (repo, oid) VALUES (?, ?)")
                .bind(repo)
                .bind(oid.to_string())
                .execute(tx.db())
                .await?;
        }
    }
    let oid = insert_commit(
        hub,
        tx,
        repo,
        draft.tree,
        head.as_ref(),
        &new.author,
        &new.title,
        &new.message,
    )
    .await?;
    set_ref(tx, repo, &new.branch, oid, None).await?;
    sqlx::query("UPDATE repos SET updated_ms = ? WHERE id = ?")
        .bind(hub.clock.now_ms())
        .bind(repo)
        .execute(tx.db())
        .await?;
    Ok(Committed { oid })
}

#[expect(clippy::too_many_arguments, reason = "they are the columns of the row")]
async fn insert_commit(
    hub: &Hub,
    tx: &mut RepoTx<'_>,
    repo: i64,
    tree: Oid,
    parent: Option<&Commit>,
    author: &str,
    title: &str,
    message: &str,
) -> Result<Oid, sqlx::Error> {
    let now = hub.clock.now();
    let parent_oid = parent.map(|parent| parent.oid);
    let object = CommitObject {
        tree,
        parent: parent_oid,
        author,
        seconds: now.as_second(),
        title,
        message,
    };
    let oid = object.oid();
    sqlx::query(
        "INSERT OR IGNORE INTO commits (repo, oid, tree, parent, depth, author, title, message, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(repo)
    .bind(oid.to_string())
    .bind(tree.to_string())
    .bind(parent_oid.map(|oid| oid.to_string()))
    .bind(parent.map_or(0, |parent| parent.depth) + 1)
    .bind(author)
    .bind(title)
    .bind(message)
    .bind(now.as_millisecond())
    .execute(tx.db())
    .await?;
    Ok(oid)
}
