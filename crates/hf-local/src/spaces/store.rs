//! Spaces in the index.

use serde_json::{Map, Value, json};
use sqlx::{Row, SqliteConnection};

use super::Setup;
use crate::reply::HubResult;
use crate::state::Hub;
use crate::state::db::Migration;
use crate::wire;

pub(crate) const MIGRATIONS: &[Migration] = &[("20261123-spaces", include_str!("schema.sql"))];

/// The row of a Space.
#[derive(Clone, Debug)]
pub(super) struct SpaceRow {
    pub(super) hardware: Option<String>,
    pub(super) sleep_s: Option<i64>,
    pub(super) dev_mode: bool,
    pub(super) paused: bool,
    pub(super) started_ms: i64,
}

/// What a Space keeps under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Variable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Variable => "variable",
        }
    }
}

/// Writes the row of a new Space, in the transaction that makes its repo.
pub(crate) async fn insert(db: &mut SqliteConnection, repo: i64, setup: &Setup, now: i64) -> HubResult<()> {
    sqlx::query("INSERT INTO spaces (repo, hardware, sleep_s, dev_mode, started_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(repo)
        .bind(&setup.hardware)
        .bind(setup.sleep_s)
        .bind(setup.dev_mode)
        .bind(now)
        .execute(&mut *db)
        .await?;
    for (kind, pairs) in [(Kind::Secret, &setup.secrets), (Kind::Variable, &setup.variables)] {
        for pair in pairs {
            put(
                db,
                repo,
                kind,
                &pair.key,
                &pair.value,
                pair.description.as_deref(),
                now,
            )
            .await?;
        }
    }
    Ok(())
}

async fn put(
    db: &mut SqliteConnection,
    repo: i64,
    kind: Kind,
    key: &str,
    value: &str,
    description: Option<&str>,
    now: i64,
) -> HubResult<()> {
    sqlx::query(
        "INSERT INTO space_settings (repo, kind, key, value, description, updated_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (repo, kind, key) DO UPDATE SET value = excluded.value, description = excluded.description,
         updated_ms = excluded.updated_ms",
    )
    .bind(repo)
    .bind(kind.name())
    .bind(key)
    .bind((kind == Kind::Variable).then_some(value))
    .bind(description)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// The row of a Space. One made by an older version has none: it is as a new one on free hardware.
pub(super) async fn find(hub: &Hub, repo: i64, is_static: bool, created_ms: i64) -> HubResult<SpaceRow> {
    let row =
        sqlx::query("SELECT hardware, sleep_s, dev_mode, paused, started_ms FROM spaces WHERE repo = ?")
            .bind(repo)
            .fetch_optional(hub.db.read())
            .await?;
    Ok(match row {
        Some(row) => SpaceRow {
            hardware: row.try_get("hardware")?,
            sleep_s: row.try_get("sleep_s")?,
            dev_mode: row.try_get("dev_mode")?,
            paused: row.try_get("paused")?,
            started_ms: row.try_get("started_ms")?,
        },
        None => SpaceRow {
            hardware: (!is_static).then(|| "cpu-basic".to_owned()),
            sleep_s: None,
            dev_mode: false,
            paused: false,
            started_ms: created_ms,
        },
    })
}

/// Writes the whole row.
pub(super) async fn save(hub: &Hub, repo: i64, row: &SpaceRow) -> HubResult<()> {
    let mut tx = hub.db.write().await?;
    sqlx::query(
        "INSERT INTO spaces (repo, hardware, sleep_s, dev_mode, paused, started_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (repo) DO UPDATE SET hardware = excluded.hardware, sleep_s = excluded.sleep_s,
         dev_mode = excluded.dev_mode, paused = excluded.paused, started_ms = excluded.started_ms",
    )
    .bind(repo)
    .bind(&row.hardware)
    .bind(row.sleep_s)
    .bind(row.dev_mode)
    .bind(row.paused)
    .bind(row.started_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// How many Spaces of a namespace ask for a hardware, one of them left out.
pub(super) async fn count_on(
    hub: &Hub,
    namespace: &str,
    hardware: &str,
    without: Option<i64>,
) -> HubResult<i64> {
    const SQL: &str = "SELECT COUNT(*) FROM spaces JOIN repos ON repos.id = spaces.repo
        WHERE repos.namespace = ? AND spaces.hardware = ? AND repos.id IS NOT ?";
    Ok(sqlx::query_scalar(SQL)
        .bind(namespace)
        .bind(hardware)
        .bind(without)
        .fetch_one(hub.db.read())
        .await?)
}

/// Sets a secret or a variable, and starts the app again.
pub(super) async fn set(
    hub: &Hub,
    repo: i64,
    kind: Kind,
    key: &str,
    value: &str,
    description: Option<&str>,
) -> HubResult<()> {
    let now = hub.clock.now_ms();
    let mut tx = hub.db.write().await?;
    put(&mut tx, repo, kind, key, value, description, now).await?;
    restart(&mut tx, repo, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Removes a secret or a variable, and starts the app again; one that is not there is fine.
pub(super) async fn unset(hub: &Hub, repo: i64, kind: Kind, key: &str) -> HubResult<()> {
    let mut tx = hub.db.write().await?;
    let gone = sqlx::query("DELETE FROM space_settings WHERE repo = ? AND kind = ? AND key = ?")
        .bind(repo)
        .bind(kind.name())
        .bind(key)
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() > 0 {
        restart(&mut tx, repo, hub.clock.now_ms()).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn restart(db: &mut SqliteConnection, repo: i64, now: i64) -> HubResult<()> {
    sqlx::query("UPDATE spaces SET started_ms = ? WHERE repo = ?")
        .bind(now)
        .bind(repo)
        .execute(db)
        .await?;
    Ok(())
}

/// All secrets or variables of a Space, as the Hub shows them.
pub(super) async fn settings(hub: &Hub, repo: i64, kind: Kind) -> HubResult<Map<String, Value>> {
    let rows = sqlx::query(
        "SELECT key, value, description, updated_ms FROM space_settings WHERE repo = ? AND kind = ? ORDER BY key",
    )
    .bind(repo)
    .bind(kind.name())
    .fetch_all(hub.db.read())
    .await?;
    let mut all = Map::new();
    for row in rows {
        let key: String = row.try_get("key")?;
        let mut shown = json!({"key": key, "updatedAt": wire::time(row.try_get("updated_ms")?)});
        if let Some(description) = row.try_get::<Option<String>, _>("description")? {
            shown["description"] = json!(description);
        }
        if kind == Kind::Variable {
            shown["value"] = json!(row.try_get::<Option<String>, _>("value")?);
        }
        all.insert(key, shown);
    }
    Ok(all)
}
