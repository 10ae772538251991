//! Branches, tags and the commits they name.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteExecutor};

use super::model::Repo;
use super::objects::read_oid;
use super::store::{RepoTx, detached};
use crate::git::Oid;
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub};

/// The branch every repo has.
pub(crate) const MAIN: &str = "refs/heads/main";

/// A commit, as the index has it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) oid: Oid,
    pub(crate) tree: Oid,
    pub(crate) parent: Option<Oid>,
    /// Commits up to and with this one.
    pub(crate) depth: i64,
    pub(crate) author: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) at_ms: i64,
}

/// A branch or tag.
#[derive(Clone, Debug)]
pub(crate) struct Ref {
    /// `refs/heads/main`
    pub(crate) name: String,
    pub(crate) target: Oid,
}

pub(super) fn read_commit(row: &SqliteRow) -> Result<Commit, sqlx::Error> {
    let parent: Option<String> = row.try_get("parent")?;
    Ok(Commit {
        oid: read_oid(row, "oid")?,
        tree: read_oid(row, "tree")?,
        parent: match parent {
            Some(_) => Some(read_oid(row, "parent")?),
            None => None,
        },
        depth: row.try_get("depth")?,
        author: row.try_get("author")?,
        title: row.try_get("title")?,
        message: row.try_get("message")?,
        at_ms: row.try_get("at_ms")?,
    })
}

pub(super) async fn commit_by_oid(
    db: impl SqliteExecutor<'_>,
    repo: i64,
    oid: Oid,
) -> Result<Option<Commit>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM commits WHERE repo = ? AND oid = ?")
        .bind(repo)
        .bind(oid.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(read_commit).transpose()
}

/// Finds what a ref points to.
pub(super) async fn commit_by_ref(
    db: impl SqliteExecutor<'_>,
    repo: i64,
    name: &str,
) -> Result<Option<Commit>, sqlx::Error> {
    const SQL: &str = "SELECT c.* FROM refs r JOIN commits c ON c.repo = r.repo AND c.oid = r.commit_oid WHERE r.repo = ? AND r.name = ?";
    let row = sqlx::query(SQL).bind(repo).bind(name).fetch_optional(db).await?;
    row.as_ref().map(read_commit).transpose()
}

/// The full names a revision can stand for, best first.
fn full_names(revision: &str) -> Vec<String> {
    if revision == "HEAD" {
        return vec![MAIN.to_owned()];
    }
    if revision.starts_with("refs/") {
        return vec![revision.to_owned()];
    }
    vec![format!("refs/heads/{revision}"), format!("refs/tags/{revision}")]
}

/// The branch a commit to `revision` goes to.
///
/// # Errors
/// 404 if it can't be a branch, 501 for pull requests.
pub(crate) fn branch_of(revision: &str) -> HubResult<String> {
    let name = full_names(revision).swap_remove(0);
    if name.starts_with("refs/pr/") {
        return Err(HubError::not_served("A commit to a pull request (refs/pr/..)"));
    }
    match name
        .strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/convert/"))
    {
        Some(short) if is_ref_name(short) => Ok(name),
        _ => Err(HubError::revision_not_found(revision)),
    }
}

/// Returns whether git would take a name for a branch or tag.
pub(crate) fn is_ref_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
    (1..=255).contains(&name.len())
        && name.chars().all(allowed)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.starts_with('-')
        && name.split('/').all(|part| {
            let ends =
                part.ends_with('.') || part.strip_suffix("lock").is_some_and(|rest| rest.ends_with('.'));
            !part.is_empty() && !part.starts_with('.') && !ends
        })
}

impl Hub {
    /// Finds the commit a branch, a tag, a full ref name or a commit id stands for.
    ///
    /// # Errors
    /// 404 `RevisionNotFound`.
    pub(crate) async fn revision(&self, repo: &Repo, revision: &str) -> HubResult<Commit> {
        if let Some(commit) = self.seen.commit(repo.row, revision) {
            return Ok(commit);
        }
        let writes = self.seen.writes();
        let commit = self
            .find_revision(repo, revision)
            .await?
            .ok_or_else(|| HubError::revision_not_found(revision))?;
        self.seen.keep_commit(writes, repo.row, revision, &commit);
        Ok(commit)
    }

    async fn find_revision(&self, repo: &Repo, revision: &str) -> HubResult<Option<Commit>> {
        for name in full_names(revision) {
            if let Some(commit) = commit_by_ref(self.db.read(), repo.row, &name).await? {
                return Ok(Some(commit));
            }
        }
        match revision.parse::<Oid>() {
            Ok(oid) => Ok(commit_by_oid(self.db.read(), repo.row, oid).await?),
            Err(_) => Ok(None),
        }
    }

    /// Finds the head of the main branch, if the repo has a commit.
    pub(crate) async fn head(&self, repo: &Repo) -> HubResult<Option<Commit>> {
        Ok(commit_by_ref(self.db.read(), repo.row, MAIN).await?)
    }

    /// Lists branches and tags by name.
    pub(crate) async fn refs(&self, repo: &Repo) -> HubResult<Vec<Ref>> {
        let rows = sqlx::query("SELECT name, commit_oid FROM refs WHERE repo = ? ORDER BY name")
            .bind(repo.row)
            .fetch_all(self.db.read())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Ref {
                    name: row.try_get("name")?,
                    target: read_oid(row, "commit_oid")?,
                })
            })
            .collect()
    }

    /// Makes a branch or tag (`name` is its full name).
    ///
    /// # Errors
    /// 409 if it exists and `overwrite` is false.
    pub(crate) async fn create_ref(
        self: &AppState,
        repo: &Repo,
        name: String,
        target: Oid,
        message: Option<String>,
        overwrite: bool,
    ) -> HubResult<()> {
        let (hub, row) = (AppState::clone(self), repo.row);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            let exists: Option<i64> = sqlx::query_scalar("SELECT 1 FROM refs WHERE repo = ? AND name = ?")
                .bind(row)
                .bind(&name)
                .fetch_optional(tx.db())
                .await?;
            if exists.is_some() && !overwrite {
                let short = name.splitn(3, '/').nth(2).unwrap_or(&name);
                let what = if name.starts_with("refs/tags/") {
                    "Tag"
                } else {
                    "Reference"
                };
                return Err(HubError::conflict(format!("{what} already exists: {short}")));
            }
            set_ref(&mut tx, row, &name, target, message.as_deref()).await?;
            tx.commit().await
        })
        .await
    }

    /// Removes a branch or tag. Returns whether there was one.
    pub(crate) async fn delete_ref(self: &AppState, repo: &Repo, name: String) -> HubResult<bool> {
        let (hub, row) = (AppState::clone(self), repo.row);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            let done = sqlx::query("DELETE FROM refs WHERE repo = ? AND name = ?")
                .bind(row)
                .bind(name)
                .execute(tx.db())
                .await?;
            tx.commit().await?;
            Ok(done.rows_affected() > 0)
        })
        .await
    }
}

pub(super) async fn set_ref(
    tx: &mut RepoTx<'_>,
    repo: i64,
    name: &str,
    target: Oid,
    message: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO refs (repo, name, commit_oid, message) VALUES (?, ?, ?, ?)")
        .bind(repo)
        .bind(name)
        .bind(target.to_string())
        .bind(message)
        .execute(tx.db())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_git_would_refuse_are_refused() {
        for good in ["main", "feature/x", "v1.0", "a@b", "é"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "", "a b", "a..b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a~1", "a^", "a:b", "-a", "a\\b",
            "a@{0}", "a\0",
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }
}
