//! Repos in the index.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, Transaction};

use super::commit::{NewCommit, commit_in};
use super::model::{Repo, RepoId, RepoKind, Visibility};
use super::objects::NewBlob;
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub, ids};

/// A write to repos. Commit it inside [`detached`], so that a client that hangs up can't stop it half-way.
#[derive(Debug)]
pub(crate) struct RepoTx<'a> {
    hub: &'a Hub,
    pub(super) tx: Transaction<'static, Sqlite>,
}

impl<'a> RepoTx<'a> {
    pub(crate) async fn begin(hub: &'a Hub) -> HubResult<Self> {
        Ok(Self {
            hub,
            tx: hub.db.write().await?,
        })
    }

    pub(crate) fn db(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    pub(crate) async fn commit(self) -> HubResult<()> {
        let result = self.tx.commit().await;
        self.hub.seen.written();
        Ok(result?)
    }
}

/// Runs a write to its end even if the request it belongs to goes away.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = HubResult<T>> + Send + 'static,
) -> HubResult<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(HubError::internal(&error)),
    }
}

/// A repo to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewRepo {
    pub(crate) id: RepoId,
    pub(crate) visibility: Visibility,
    pub(crate) sdk: Option<String>,
    /// How a Space is set up.
    pub(crate) space: Option<crate::spaces::Setup>,
}

/// Which repos a list is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListFilter {
    pub(crate) author: Option<String>,
    pub(crate) search: Option<String>,
}

pub(super) fn read_repo(row: &SqliteRow) -> Result<Repo, sqlx::Error> {
    let bad =
        |what: &str, value: &str| sqlx::Error::Decode(format!("repos.{what}: {value:?} is not known").into());
    let kind: String = row.try_get("kind")?;
    let visibility: String = row.try_get("visibility")?;
    Ok(Repo {
        row: row.try_get("id")?,
        oid: row.try_get("oid")?,
        id: RepoId {
            kind: RepoKind::parse(&kind).ok_or_else(|| bad("kind", &kind))?,
            namespace: row.try_get("namespace")?,
            name: row.try_get("name")?,
        },
        visibility: Visibility::parse(&visibility).ok_or_else(|| bad("visibility", &visibility))?,
        sdk: row.try_get("sdk")?,
        gated: row.try_get("gated")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

async fn repo_at(db: &mut SqliteConnection, id: &RepoId) -> Result<Option<Repo>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM repos WHERE kind = ? AND namespace = ? AND name = ?")
        .bind(id.kind.name())
        .bind(&id.namespace)
        .bind(&id.name)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(read_repo).transpose()
}

impl Hub {
    /// Finds a repo by its name, or by one it had before.
    pub(crate) async fn find_repo(&self, id: &RepoId) -> HubResult<Option<Repo>> {
        const SQL: &str = "SELECT * FROM repos WHERE kind = ?1 AND namespace = ?2 AND name = ?3
            UNION ALL
            SELECT r.* FROM moved_repos m JOIN repos r ON r.id = m.repo
            WHERE m.kind = ?1 AND m.namespace = ?2 AND m.name = ?3
            LIMIT 1";
        if let Some(repo) = self.seen.repo(id) {
            return Ok(Some(repo));
        }
        let writes = self.seen.writes();
        let row = sqlx::query(SQL)
            .bind(id.kind.name())
            .bind(&id.namespace)
            .bind(&id.name)
            .fetch_optional(self.db.read())
            .await?;
        let repo = row.as_ref().map(read_repo).transpose()?;
        if let Some(repo) = &repo {
            self.seen.keep_repo(writes, id, repo);
        }
        Ok(repo)
    }

    /// Makes a repo with its first commit. Returns the one that is there if the name is taken.
    pub(crate) async fn create_repo(
        self: &AppState,
        new: NewRepo,
        first: NewCommit,
        blobs: Vec<NewBlob>,
    ) -> HubResult<Result<Repo, Repo>> {
        let hub = Arc::clone(self);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            if let Some(taken) = repo_at(tx.db(), &new.id).await? {
                return Ok(Err(taken));
            }
            let now = hub.clock.now_ms();
            // A new repo takes its name over from one that was moved away.
            sqlx::query("DELETE FROM moved_repos WHERE kind = ? AND namespace = ? AND name = ?")
                .bind(new.id.kind.name())
                .bind(&new.id.namespace)
                .bind(&new.id.name)
                .execute(tx.db())
                .await?;
            sqlx::query(
                "INSERT INTO repos (oid, kind, namespace, name, visibility, sdk, created_ms, updated_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(ids::fresh(now))
            .bind(new.id.kind.name())
            .bind(&new.id.namespace)
            .bind(&new.id.name)
            .bind(new.visibility.name())
            .bind(&new.sdk)
            .bind(now)
            .bind(now)
            .execute(tx.db())
            .await?;
            let made = repo_at(tx.db(), &new.id).await?.ok_or(sqlx::Error::RowNotFound)?;
            if let Some(setup) = &new.space {
                crate::spaces::insert(tx.db(), made.row, setup, now).await?;
            }
            commit_in(&hub, &mut tx, made.row, &first, &blobs).await?;
            tx.commit().await?;
            if let Some(setup) = new.space {
                hub.apps.keep_secrets(&made.oid, setup);
            }
            Ok(Ok(made))
        })
        .await
    }

    /// Removes a repo with its history. What only it used is dropped later.
    pub(crate) async fn delete_repo(self: &AppState, repo: &Repo) -> HubResult<()> {
        let (hub, row, oid) = (Arc::clone(self), repo.row, repo.oid.clone());
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            sqlx::query("DELETE FROM repos WHERE id = ?")
                .bind(row)
                .execute(tx.db())
                .await?;
            tx.commit().await?;
            hub.apps.forget(&hub, &oid);
            hub.sweeping.ask();
            Ok(())
        })
        .await
    }

    /// Gives a repo another name; the old one leads to it from then on.
    ///
    /// # Errors
    /// 409 if the new name is taken.
    pub(crate) async fn move_repo(self: &AppState, repo: &Repo, to: RepoId) -> HubResult<()> {
        let (hub, repo) = (Arc::clone(self), repo.clone());
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            if repo_at(tx.db(), &to)
                .await?
                .is_some_and(|taken| taken.row != repo.row)
            {
                return Err(HubError::conflict(format!(
                    "There is already a repository at {}",
                    to.path()
                )));
            }
            for id in [&to, &repo.id] {
                sqlx::query("DELETE FROM moved_repos WHERE kind = ? AND namespace = ? AND name = ?")
                    .bind(id.kind.name())
                    .bind(&id.namespace)
                    .bind(&id.name)
                    .execute(tx.db())
                    .await?;
            }
            sqlx::query("INSERT INTO moved_repos (kind, namespace, name, repo) VALUES (?, ?, ?, ?)")
                .bind(repo.id.kind.name())
                .bind(&repo.id.namespace)
                .bind(&repo.id.name)
                .bind(repo.row)
                .execute(tx.db())
                .await?;
            sqlx::query("UPDATE repos SET namespace = ?, name = ? WHERE id = ?")
                .bind(&to.namespace)
                .bind(&to.name)
                .bind(repo.row)
                .execute(tx.db())
                .await?;
            // A change of letter case alone is no move.
            sqlx::query("DELETE FROM moved_repos WHERE kind = ? AND namespace = ? AND name = ?")
                .bind(to.kind.name())
                .bind(&to.namespace)
                .bind(&to.name)
                .execute(tx.db())
                .await?;
            tx.commit().await
        })
        .await
    }

    /// Changes who sees a repo, whether it is gated, and the settings that are only kept.
    pub(crate) async fn update_repo(
        self: &AppState,
        repo: &Repo,
        visibility: Option<Visibility>,
        gated: Option<String>,
        kept: serde_json::Value,
    ) -> HubResult<()> {
        let (hub, row) = (Arc::clone(self), repo.row);
        detached(async move {
            let mut tx = RepoTx::begin(&hub).await?;
            sqlx::query(
                "UPDATE repos SET visibility = coalesce(?, visibility), gated = coalesce(?, gated),
                 settings = json_patch(settings, ?) WHERE id = ?",
            )
            .bind(visibility.map(Visibility::name))
            .bind(gated)
            .bind(kept.to_string())
            .bind(row)
            .execute(tx.db())
            .await?;
            tx.commit().await
        })
        .await
    }

    /// Lists the repos of a kind, newest first.
    pub(crate) async fn list_repos(&self, kind: RepoKind, filter: &ListFilter) -> HubResult<Vec<Repo>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM repos WHERE kind = ");
        query.push_bind(kind.name());
        if let Some(author) = &filter.author {
            query.push(" AND namespace = ").push_bind(author.clone());
        }
        if let Some(search) = &filter.search {
            let needle = search.to_lowercase();
            query
                .push(" AND instr(lower(namespace || '/' || name), ")
                .push_bind(needle)
                .push(") > 0");
        }
        query.push(" ORDER BY id DESC");
        let rows = query.build().fetch_all(self.db.read()).await?;
        Ok(rows.iter().map(read_repo).collect::<Result<_, _>>()?)
    }

    /// Adds up what the history of a repo holds, in bytes.
    pub(crate) async fn used_storage(&self, repo: &Repo) -> HubResult<u64> {
        const SQL: &str = "SELECT coalesce(sum(coalesce(b.lfs_size, b.size)), 0)
            FROM repo_blobs rb JOIN blobs b ON b.oid = rb.oid WHERE rb.repo = ?";
        let used: i64 = sqlx::query_scalar(SQL)
            .bind(repo.row)
            .fetch_one(self.db.read())
            .await?;
        Ok(u64::try_from(used).unwrap_or(0))
    }
}
