//! Launches of jobs, leases on them, and what they wrote.

use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::events::facts;
use bashgym_core::launch::LaunchRecord;
use bashgym_core::store::{JobLine, JobLineStore, JobStream, LaunchStore, Lease, LeaseStore, StoreError};
use jiff::Timestamp;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Change, Row, args};
use crate::error::{backend, bad_data};

const LAUNCHES: &str = "launches";
const LINES: &str = "job_lines";
const FIND: &str = "SELECT intent, version, record FROM launches WHERE intent = $1";

#[async_trait]
impl LaunchStore for SqlStore {
    async fn create_launch(&self, launch: &LaunchRecord) -> Result<(LaunchRecord, bool), StoreError> {
        let failed = |error: sqlx::Error| backend(format!("create launch {}", launch.intent), error);
        let mut change = self.database.begin().await.map_err(failed)?;
        let added = change
            .execute(
                "INSERT INTO launches (intent, version, finished, record) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (intent) DO NOTHING",
                &args![
                    launch.intent.as_str(),
                    launch.version,
                    i64::from(launch.is_finished()),
                    json(launch)?,
                ],
            )
            .await
            .map_err(failed)?;
        if added == 1 {
            change.log(&facts::of_launch(None, launch)).await?;
            change.commit().await.map_err(failed)?;
            return Ok((launch.clone(), true));
        }
        match find(&mut change, &launch.intent).await? {
            Some(there) => Ok((there, false)),
            None => Err(StoreError::Gone {
                what: format!("launch {}", launch.intent),
            }),
        }
    }

    async fn find_launch(&self, intent: &str) -> Result<Option<LaunchRecord>, StoreError> {
        self.database
            .fetch_optional(FIND, &args![intent])
            .await
            .map_err(|error| backend(format!("read launch {intent}"), error))?
            .as_ref()
            .map(launch)
            .transpose()
    }

    async fn update_launch(&self, launch: &LaunchRecord) -> Result<u64, StoreError> {
        let what = || format!("launch {}", launch.intent);
        let failed = |error: sqlx::Error| backend(format!("save launch {}", launch.intent), error);
        let next = launch.version + 1;
        let mut change = self.database.begin().await.map_err(failed)?;
        let before = find(&mut change, &launch.intent)
            .await?
            .ok_or_else(|| StoreError::Gone { what: what() })?;
        let saved = change
            .execute(
                "UPDATE launches SET version = $1, finished = $2, record = $3 WHERE intent = $4 AND version = $5",
                &args![
                    next,
                    i64::from(launch.is_finished()),
                    json(launch)?,
                    launch.intent.as_str(),
                    launch.version,
                ],
            )
            .await
            .map_err(failed)?;
        if saved == 0 {
            return Err(StoreError::Changed { what: what() });
        }
        // Of the version that was replaced, or the save would have changed nothing.
        change.log(&facts::of_launch(Some(&before), launch)).await?;
        change.commit().await.map_err(failed)?;
        Ok(next)
    }

    async fn list_unfinished_launches(&self) -> Result<Vec<LaunchRecord>, StoreError> {
        self.database
            .fetch_all(
                "SELECT intent, version, record FROM launches WHERE finished = 0 ORDER BY intent",
                &[],
            )
            .await
            .map_err(|error| backend("list unfinished launches", error))?
            .iter()
            .map(launch)
            .collect()
    }
}

async fn find(change: &mut Change, intent: &str) -> Result<Option<LaunchRecord>, StoreError> {
    let rows = change
        .fetch_all(FIND, &args![intent])
        .await
        .map_err(|error| backend(format!("read launch {intent}"), error))?;
    rows.first().map(launch).transpose()
}

fn launch(row: &Row) -> Result<LaunchRecord, StoreError> {
    let cells = Cells::new(row, LAUNCHES, "intent");
    Ok(LaunchRecord {
        version: cells.count("version")?,
        ..cells.json("record")?
    })
}

fn json(launch: &LaunchRecord) -> Result<String, StoreError> {
    serde_json::to_string(launch).map_err(|error| bad_data(LAUNCHES, "record", &launch.intent, error))
}

#[async_trait]
impl LeaseStore for SqlStore {
    async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let until = now.saturating_add(ttl).unwrap_or(Timestamp::MAX).as_microsecond();
        let taken = self
            .database
            .execute(
                "INSERT INTO leases (name, holder, expires_at_us) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE \
                 SET holder = excluded.holder, expires_at_us = excluded.expires_at_us \
                 WHERE leases.holder = excluded.holder OR leases.expires_at_us <= $4",
                &args![name, holder, until, now.as_microsecond()],
            )
            .await
            .map_err(|error| backend(format!("take the lease {name}"), error))?;
        if taken == 0 {
            return Ok(None);
        }
        Ok(Some(Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            expires_at: Timestamp::from_microsecond(until)
                .map_err(|error| bad_data("leases", "expires_at_us", name, error))?,
        }))
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.database
            .execute(
                "DELETE FROM leases WHERE name = $1 AND holder = $2",
                &args![name, holder],
            )
            .await
            .map_err(|error| backend(format!("give back the lease {name}"), error))?;
        Ok(())
    }
}

const LAST_LINE: &str =
    "SELECT COALESCE(MAX(seq), 0) AS last FROM job_lines WHERE job_id = $1 AND stream = $2";

#[async_trait]
impl JobLineStore for SqlStore {
    async fn append_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        lines: &[String],
    ) -> Result<u64, StoreError> {
        let what = || format!("{} of job {job}", stream.as_str());
        let failed = |error: sqlx::Error| backend(format!("append to the {}", what()), error);
        let mut change = self.database.begin_turn(&what()).await.map_err(failed)?;
        if last_line(&mut change, job, stream).await? != after {
            return Err(StoreError::Changed { what: what() });
        }
        if lines.is_empty() {
            return Ok(after);
        }
        // All lines travel as one parameter.
        let all = serde_json::to_string(lines).map_err(|error| bad_data(LINES, "line", job, error))?;
        let sql = self.database.pick(
            "INSERT INTO job_lines (job_id, stream, seq, line) \
             SELECT $1, $2, $3 + key + 1, value FROM json_each($4)",
            "INSERT INTO job_lines (job_id, stream, seq, line) \
             SELECT $1, $2, $3 + ordinality, value FROM json_array_elements_text(CAST($4 AS json)) WITH ORDINALITY",
        );
        let added = change
            .execute(sql, &args![job, stream.as_str(), after, all])
            .await
            .map_err(failed)?;
        change.log(&facts::of_lines(job, stream, after, lines)).await?;
        change.commit().await.map_err(failed)?;
        Ok(after + added)
    }

    async fn list_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        limit: u32,
    ) -> Result<Vec<JobLine>, StoreError> {
        self.database
            .fetch_all(
                "SELECT seq, line FROM job_lines WHERE job_id = $1 AND stream = $2 AND seq > $3 ORDER BY seq LIMIT $4",
                &args![job, stream.as_str(), after, limit],
            )
            .await
            .map_err(|error| backend(format!("list the {} of job {job}", stream.as_str()), error))?
            .iter()
            .map(|row| line_of(row, job))
            .collect()
    }

    async fn find_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        until: u64,
        text: &str,
        most: u32,
    ) -> Result<Vec<JobLine>, StoreError> {
        self.database
            .fetch_all(
                "SELECT seq, line FROM job_lines WHERE job_id = $1 AND stream = $2 AND seq > $3 AND seq <= $4 \
                 AND lower(line) LIKE $5 ESCAPE '!' ORDER BY seq LIMIT $6",
                &args![job, stream.as_str(), after, until, pattern_of(text), most],
            )
            .await
            .map_err(|error| backend(format!("search the {} of job {job}", stream.as_str()), error))?
            .iter()
            .map(|row| line_of(row, job))
            .collect()
    }

    async fn count_job_lines(&self, job: &str, stream: JobStream) -> Result<u64, StoreError> {
        let row = self
            .database
            .fetch_optional(LAST_LINE, &args![job, stream.as_str()])
            .await
            .map_err(|error| backend(format!("count the {} of job {job}", stream.as_str()), error))?;
        last(row.as_ref(), job)
    }
}

fn line_of(row: &Row, job: &str) -> Result<JobLine, StoreError> {
    let cells = Cells::new(row, LINES, job);
    Ok(JobLine {
        seq: cells.count("seq")?,
        text: cells.text("line")?,
    })
}

/// A `LIKE` pattern that every kept line matches which holds a text, in any case.
///
/// A kept line is JSON: what JSON escapes is a wildcard, and so is every letter that the two databases write small in
/// different ways.
fn pattern_of(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => pattern.push('%'),
            '%' | '_' | '!' => pattern.extend(['!', letter]),
            letter if letter.is_ascii() && !letter.is_ascii_control() => {
                pattern.push(letter.to_ascii_lowercase());
            }
            _ => pattern.push('%'),
        }
    }
    pattern.push('%');
    pattern
}

async fn last_line(change: &mut Change, job: &str, stream: JobStream) -> Result<u64, StoreError> {
    let row = change
        .fetch_all(LAST_LINE, &args![job, stream.as_str()])
        .await
        .map_err(|error| backend(format!("count the {} of job {job}", stream.as_str()), error))?
        .pop();
    last(row.as_ref(), job)
}

fn last(row: Option<&Row>, job: &str) -> Result<u64, StoreError> {
    row.map_or(Ok(0), |row| Cells::new(row, LINES, job).count("last"))
}
